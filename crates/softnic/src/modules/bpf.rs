//! [`Bpf`].

use packet::Batch;
use thiserror::Error;

use super::gates::send_by;
use crate::engine::{Context, GATES_MAX, Gate, Module};
use crate::filter::Filter;

/// Most filters of one module.
pub const FILTERS_MAX: usize = 1024;
/// Most tests of all of its filters: what a packet may cost.
pub const FILTER_TESTS_MAX: usize = 1 << 16;

/// Sends packets to gates by filters in tcpdump's language.
///
/// *Input gates*: one. *Output gates*: those of the filters, up to 8191.
///
/// A packet goes to the gate of the first filter that it matches; filters are tried by falling priority, and those of equal
/// priority in the order in which they came. A packet that matches none goes to gate 0.
///
/// ```
/// use softnic::modules::{Bpf, PacketFilter};
/// let mut module = Bpf::default();
/// module.add([PacketFilter { priority: 1, gate: 2, filter: "udp port 53".parse()? }])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bpf {
    /// By falling priority.
    filters: Vec<PacketFilter>,
}

/// A filter and where its packets go.
#[derive(Clone, Debug)]
pub struct PacketFilter {
    /// The higher is tried first.
    pub priority: i64,
    /// Where its packets go.
    pub gate: Gate,
    /// What they are.
    pub filter: Filter,
}

/// There would be too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{filters} filters with {tests} tests: at most {FILTERS_MAX} with {FILTER_TESTS_MAX}")]
pub struct TooManyFilters {
    /// Filters.
    pub filters: usize,
    /// Their tests.
    pub tests: usize,
}

impl Bpf {
    /// Adds filters.
    ///
    /// # Errors
    /// Too many; then nothing changes.
    pub fn add(&mut self, filters: impl IntoIterator<Item = PacketFilter>) -> Result<(), TooManyFilters> {
        let before = self.filters.len();
        self.filters.extend(filters.into_iter().take(FILTERS_MAX + 1));
        let tests = self.filters.iter().map(|filter| filter.filter.tests()).sum();
        let filters = self.filters.len();
        if filters > FILTERS_MAX || tests > FILTER_TESTS_MAX {
            self.filters.truncate(before);
            return Err(TooManyFilters { filters, tests });
        }
        self.filters.sort_by_key(|filter| std::cmp::Reverse(filter.priority));
        Ok(())
    }

    /// Takes the first filter of this priority, gate and text out, if there is one.
    pub fn delete(&mut self, priority: i64, gate: Gate, text: &str) -> bool {
        let same = |known: &PacketFilter| {
            known.priority == priority && known.gate == gate && known.filter.text() == text
        };
        let at = self.filters.iter().position(same);
        at.map(|at| self.filters.remove(at)).is_some()
    }

    /// Takes all filters out.
    pub fn clear(&mut self) {
        self.filters.clear();
    }

    /// The filters, in the order in which they are tried.
    pub fn filters(&self) -> &[PacketFilter] {
        &self.filters
    }
}

impl Module for Bpf {
    fn class(&self) -> &'static str {
        "BPF"
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn keeps_lengths(&self) -> bool {
        true
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        send_by(ctx, batch, |packet| {
            let first = self.filters.iter().find(|filter| filter.filter.matches(packet.data()));
            first.map_or(0, |filter| filter.gate)
        });
    }

    fn status(&self) -> String {
        format!("{} filters", self.filters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rig::Rig;

    fn filter(priority: i64, gate: Gate, text: &str) -> PacketFilter {
        PacketFilter { priority, gate, filter: text.parse().unwrap() }
    }

    /// TCP from or to a host and a port.
    fn frame(source: [u8; 4], port: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
        frame[23] = 6;
        frame[26..30].copy_from_slice(&source);
        frame[35] = port;
        frame
    }

    #[test]
    fn the_first_filter_by_priority_decides() {
        let mut module = Bpf::default();
        assert_eq!(Rig::on(&mut module).gate(&frame([1; 4], 92)), Some(0));
        module.add([filter(1, 2, "ip host 22.22.22.22")]).unwrap();
        module.add([filter(2, 1, "tcp src port 92"), filter(2, 5, "tcp src port 92")]).unwrap();
        let mut gate = |source, port| Rig::on(&mut module).gate(&frame(source, port));
        assert_eq!(gate([22; 4], 92), Some(1), "of the higher priority, and the first of it");
        assert_eq!(gate([22; 4], 7), Some(2));
        assert_eq!(gate([1; 4], 7), Some(0));
        assert!(module.delete(2, 1, "tcp src port 92") && !module.delete(2, 1, "tcp src port 92"));
        assert_eq!(Rig::on(&mut module).gate(&frame([22; 4], 92)), Some(5));
        module.clear();
        assert_eq!(Rig::on(&mut module).gate(&frame([22; 4], 92)), Some(0));
    }

    #[test]
    fn there_are_not_too_many() {
        let mut module = Bpf::default();
        module.add(std::iter::repeat_n(filter(0, 1, "arp"), FILTERS_MAX)).unwrap();
        let full = TooManyFilters { filters: FILTERS_MAX + 1, tests: FILTERS_MAX + 1 };
        assert_eq!(module.add([filter(0, 1, "ip")]), Err(full));
        assert_eq!(module.filters().len(), FILTERS_MAX);
        module.clear();
        let long = filter(0, 1, &format!("port 1{}", " or 2".repeat(400)));
        let fit = FILTER_TESTS_MAX / long.filter.tests();
        let error = module.add(std::iter::repeat_n(long.clone(), fit + 1)).unwrap_err();
        assert_eq!(error.filters, fit + 1);
        module.add(std::iter::repeat_n(long, fit)).unwrap();
    }
}
