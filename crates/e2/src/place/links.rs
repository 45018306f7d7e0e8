//! What the servers' links to the switch carry under a placement.

use serde::Serialize;

/// The traffic of one server's links, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// From the switch to the server.
    pub inward: u64,
    /// From the server to the switch.
    pub outward: u64,
}

impl Load {
    /// By server; `None` stands for the switch, where ports are and what was put into its table.
    pub fn of(
        traffic: impl IntoIterator<Item = (Option<usize>, Option<usize>, u64)>,
        servers: usize,
    ) -> Vec<Self> {
        let mut loads = vec![Self::default(); servers];
        for (from, to, rate) in traffic.into_iter().filter(|(from, to, _)| from != to) {
            if let Some(load) = from.and_then(|from| loads.get_mut(from)) {
                load.outward = load.outward.saturating_add(rate);
            }
            if let Some(load) = to.and_then(|to| loads.get_mut(to)) {
                load.inward = load.inward.saturating_add(rate);
            }
        }
        loads
    }

    /// What is too much for links of a rate, both ways together.
    pub const fn over(self, rate: u64) -> u64 {
        self.inward.saturating_sub(rate).saturating_add(self.outward.saturating_sub(rate))
    }
}
