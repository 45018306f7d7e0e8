//! What policies let through, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::ports::PortSet;
use super::reach::{Range, Reach};
use super::read::Cluster;

/// Most ranges of addresses named on a line.
const RANGES_SHOWN_MAX: usize = 6;

/// What can reach each workload, and what it can reach outside.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The workloads, by namespace and name.
    pub workloads: Vec<Entry>,
    /// How many policies there are.
    pub policies: usize,
    /// What the author should know.
    pub notes: Vec<String>,
}

/// One workload.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Namespace and name.
    pub name: String,
    /// `Deployment`, `Pod`, ….
    pub kind: String,
    /// Policies that close what comes in; open without.
    pub ingress_policies: Vec<String>,
    /// Policies that close what goes out; open without.
    pub egress_policies: Vec<String>,
    /// Workloads that reach it, by what they reach it on.
    pub from: Vec<Opening>,
    /// Addresses outside that reach it.
    pub from_outside: Vec<Outside>,
    /// Addresses outside that it reaches.
    pub to_outside: Vec<Outside>,
}

/// Who may pass, and on what.
#[derive(Clone, Debug, Serialize)]
pub struct Opening {
    /// The workloads; its own name stands for other pods of its own.
    pub workloads: Vec<String>,
    /// Whether these are all that there are.
    pub is_everyone: bool,
    /// On what.
    pub ports: PortSet,
}

/// Which addresses may pass, and on what.
#[derive(Clone, Debug, Serialize)]
pub struct Outside {
    /// The addresses.
    pub ranges: Vec<Range>,
    /// On what.
    pub ports: PortSet,
}

impl Report {
    /// Sums up what was decided.
    pub fn of(cluster: &Cluster, reach: &Reach) -> Report {
        let mut order: Vec<usize> = (0..cluster.workloads.len()).collect();
        order.sort_by_key(|at| cluster.workloads[*at].full_name());
        let policies = |these: &[usize]| {
            let name =
                |at: &usize| format!("{}/{}", cluster.policies[*at].namespace, cluster.policies[*at].name);
            these.iter().map(name).collect()
        };
        let entry = |to: &usize| {
            let workload = &cluster.workloads[*to];
            let mut groups: BTreeMap<&PortSet, Vec<String>> = BTreeMap::new();
            let mut others = 0;
            for from in &order {
                if from != to || workload.count > 1 {
                    others += 1;
                    let open = reach.between(*from, *to);
                    if !open.is_empty() {
                        groups.entry(open).or_default().push(cluster.workloads[*from].full_name());
                    }
                }
            }
            let opening = |(ports, workloads): (&PortSet, Vec<String>)| Opening {
                is_everyone: workloads.len() == others,
                workloads,
                ports: ports.clone(),
            };
            let (ingress, egress) = &reach.closed_by[*to];
            Entry {
                name: workload.full_name(),
                kind: workload.kind.clone(),
                ingress_policies: policies(ingress),
                egress_policies: policies(egress),
                from: groups.into_iter().map(opening).collect(),
                from_outside: outside(&reach.from_outside[*to]),
                to_outside: outside(&reach.to_outside[*to]),
            }
        };
        Report {
            workloads: order.iter().map(entry).collect(),
            policies: cluster.policies.len(),
            notes: cluster.notes.clone(),
        }
    }
}

fn outside(open: &[(Range, PortSet)]) -> Vec<Outside> {
    let mut groups: BTreeMap<&PortSet, Vec<Range>> = BTreeMap::new();
    for (range, ports) in open {
        groups.entry(ports).or_default().push(*range);
    }
    groups.into_iter().map(|(ports, ranges)| Outside { ranges, ports: ports.clone() }).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.workloads {
            write!(f, "{} ({})", entry.name, entry.kind)?;
            match (entry.ingress_policies.is_empty(), entry.egress_policies.is_empty()) {
                (true, true) => writeln!(f, ", which no policy selects")?,
                (true, false) => writeln!(f, ", open to all that may send to it")?,
                _ => writeln!(f)?,
            }
            for opening in &entry.from {
                let who =
                    if opening.is_everyone { "every pod".to_owned() } else { opening.workloads.join(", ") };
                writeln!(f, "  from {who}: {}", opening.ports)?;
            }
            for outside in &entry.from_outside {
                writeln!(f, "  from {}: {}", addresses(&outside.ranges), outside.ports)?;
            }
            for outside in &entry.to_outside {
                writeln!(f, "  to {}: {}", addresses(&outside.ranges), outside.ports)?;
            }
        }
        write!(f, "{} workloads, {} network policies", self.workloads.len(), self.policies)
    }
}

fn addresses(ranges: &[Range]) -> String {
    if ranges.len() == 2 && ranges.iter().all(Range::is_all) {
        return "all addresses outside".into();
    }
    let mut words: Vec<String> = ranges.iter().take(RANGES_SHOWN_MAX).map(ToString::to_string).collect();
    if ranges.len() > RANGES_SHOWN_MAX {
        words.push(format!("{} more", ranges.len() - RANGES_SHOWN_MAX));
    }
    words.join(", ")
}
