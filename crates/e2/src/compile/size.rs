//! Step 2: how many instances of each function: rate ⁄ capacity of a core, rounded up, and no fewer than the policy wants.

use crate::policy::{End, Fault, FaultKind, Faults, Policy};
use crate::rate::Rate;

use super::merge::PGraph;

/// How many instances there are, by function; 0 where no pipelet uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Instances, by function.
    pub instances: Vec<u32>,
    /// What each function gets, by function.
    pub rates: Vec<Rate>,
}

/// Sizes every function of a graph.
///
/// # Errors
/// Every port that carries too little, every function that would need more instances than it may have, with what is missing.
pub fn size(policy: &Policy, graph: &PGraph) -> Result<Sizes, Faults> {
    let mut faults = Vec::new();
    for (place, port) in policy.hardware.ports.iter().enumerate() {
        let inward: Rate = graph.from(End::Port(place)).map(|edge| edge.rate).sum();
        let outward: Rate = graph.to(End::Port(place)).map(|edge| edge.rate).sum();
        for (needed, way) in [(inward, "come in"), (outward, "leave")] {
            if needed > port.rate {
                let kind = FaultKind::PortOverloaded { port: port.name.clone(), way, needed, has: port.rate };
                faults.push(Fault { place: port.place, kind });
            }
        }
    }
    let mut sizes = Sizes { instances: Vec::new(), rates: Vec::new() };
    for (place, function) in policy.functions.iter().enumerate() {
        let used = graph.to(End::Function(place)).next().is_some();
        let rate: Rate = graph.to(End::Function(place)).map(|edge| edge.rate).sum();
        let (least, most) = (u64::from(function.instances.least), u64::from(function.instances.most));
        let instances = function.capacity.map_or(1, |capacity| rate.instances(capacity)).max(least);
        let kind = match function.capacity {
            Some(capacity) if instances > 1 && !function.scalable => {
                Some(FaultKind::NotScalable { function: function.name.clone(), needed: rate, capacity })
            }
            _ if instances > most => Some(FaultKind::TooManyInstances {
                function: function.name.clone(),
                needed: rate,
                instances,
                most,
            }),
            _ => None,
        };
        faults.extend(kind.map(|kind| Fault { place: function.place, kind }));
        sizes.instances.push(if used { instances.min(most) as u32 } else { 0 });
        sizes.rates.push(rate);
    }
    if faults.is_empty() { Ok(sizes) } else { Err(Faults(faults)) }
}
