//! What keeps containers from being placed, in words and with the lines that say so.

use std::fmt;

use crate::model::Span;

/// Machines of which it is said why they will not do.
pub(super) const MACHINES_SHOWN_MAX: usize = 4;

/// Why the containers of a blueprint cannot all be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A container that fits none of the machines, as far as containers were placed before it.
    NoMachine {
        /// The container.
        container: String,
        /// Machines, at most four, each with why it will not do.
        machines: Vec<(String, Reason)>,
        /// How many more there are.
        more: usize,
    },
    /// More containers want a machine for themselves than there are machines for them.
    TooFew {
        /// One of the containers.
        container: String,
        /// What they are called together.
        party: String,
        /// How many they are.
        containers: usize,
        /// How many machines they may run on.
        machines: usize,
        /// Where it is said that they are kept apart.
        span: Span,
    },
    /// Containers need more together than the machines have that they may run on.
    TooMuch {
        /// One of the containers.
        container: String,
        /// How many they are.
        containers: usize,
        /// Of what.
        what: Resource,
        /// How much they need.
        needed: u64,
        /// How many machines there are for them.
        machines: usize,
        /// How much these have.
        available: u64,
    },
    /// A container that must be beside another that never is where it could be.
    Alone {
        /// The container.
        container: String,
        /// Whom it must be beside.
        beside: String,
        /// Where that is said.
        span: Span,
    },
    /// It takes too long to find out.
    TooCostly,
}

/// Why a machine will not do for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule about machines.
    Rule {
        /// The rule, in words.
        rule: String,
        /// Where it is said.
        span: Span,
    },
    /// It has too little left.
    Full {
        /// Of what.
        what: Resource,
        /// How much the container needs.
        needed: u64,
        /// How much is left.
        left: u64,
        /// How much the machine has.
        of: u64,
    },
    /// It has a container on it that must not be beside this one.
    Apart {
        /// That container.
        from: String,
        /// The rule, in words.
        rule: String,
        /// Where it is said.
        span: Span,
    },
    /// It has nobody on it whom the container must be beside.
    NotBeside {
        /// Whom.
        whom: String,
        /// Where it is said.
        span: Span,
    },
}

/// What machines have, and containers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Thousandths of a core.
    Cpu,
    /// Bytes of memory.
    Memory,
}

impl Resource {
    /// An amount, in words.
    pub(super) fn amount(self, amount: u64) -> String {
        let decimal = |value: f64| {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match self {
            Resource::Cpu => format!("{} cores", decimal(amount as f64 / 1000.0)),
            Resource::Memory if amount < 1 << 30 => {
                format!("{} MiB", decimal(amount as f64 / f64::from(1 << 20)))
            }
            Resource::Memory => format!("{} GiB", decimal(amount as f64 / f64::from(1 << 30))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "processor time",
            Resource::Memory => "memory",
        }
    }
}

impl Obstacle {
    /// The rules that it comes from, each in words.
    pub(crate) fn places(&self) -> Vec<(String, Span)> {
        match self {
            Obstacle::NoMachine { machines, .. } => {
                let place = |(_, reason): &(String, Reason)| match reason {
                    Reason::Rule { rule, span } | Reason::Apart { rule, span, .. } => {
                        Some((rule.clone(), span.clone()))
                    }
                    Reason::NotBeside { whom, span } => Some((format!("beside {whom}"), span.clone())),
                    Reason::Full { .. } => None,
                };
                let mut places: Vec<(String, Span)> = machines.iter().filter_map(place).collect();
                places.dedup();
                places
            }
            Obstacle::TooFew { span, .. } => vec![("kept apart here".into(), span.clone())],
            Obstacle::Alone { beside, span, .. } => vec![(format!("beside {beside}"), span.clone())],
            Obstacle::TooMuch { .. } | Obstacle::TooCostly => Vec::new(),
        }
    }
}

/// ` (shop.js:3:1)`, or nothing where the place is not known.
fn at(span: &Span) -> String {
    if span.is_known() { format!(" ({span})") } else { String::new() }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NoMachine { container, machines, more } => {
                write!(f, "{container} finds no machine: ")?;
                for (index, (machine, reason)) in machines.iter().enumerate() {
                    write!(f, "{}{machine} {reason}", if index > 0 { "; " } else { "" })?;
                }
                if *more > 0 { write!(f, "; and {more} more will not do") } else { Ok(()) }
            }
            Obstacle::TooFew { party, containers, machines, span, .. } => write!(
                f,
                "{containers} containers of {party} are kept apart{}, and there {} for them",
                at(span),
                counted(*machines)
            ),
            Obstacle::TooMuch { containers, what, needed, machines, available, container } => {
                let (needed, available) = (what.amount(*needed), what.amount(*available));
                let who = match containers {
                    1 => format!("{container} needs"),
                    count => format!("{count} containers ({container} among them) need"),
                };
                write!(f, "{who} {needed} of {}, and there {} for them with {available}", what.name(), counted(*machines))
            }
            Obstacle::Alone { container, beside, span } => write!(
                f,
                "{container} must be on a machine with {beside}{}, and none of it is where {container} may run",
                at(span)
            ),
            Obstacle::TooCostly => f.write_str(
                "it takes too long to find out whether every container finds a machine: there are too many ways to \
                 try, and the ones that were tried fail",
            ),
        }
    }
}

fn counted(machines: usize) -> String {
    match machines {
        0 => "is no machine".into(),
        1 => "is 1 machine".into(),
        count => format!("are {count} machines"),
    }
}

/// To follow the name of a machine.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Rule { rule, span } => write!(f, "is ruled out: {rule}{}", at(span)),
            Reason::Full { what, needed, left, of } => {
                let amount = |amount| what.amount(amount);
                if left == of {
                    write!(f, "has {} of {}, and it needs {}", amount(*of), what.name(), amount(*needed))
                } else {
                    let (left, of) = (amount(*left), amount(*of));
                    write!(f, "has {left} of its {of} left, and it needs {}", amount(*needed))
                }
            }
            Reason::Apart { from, rule, span } => write!(f, "has {from} on it, and {rule}{}", at(span)),
            Reason::NotBeside { whom, span } => write!(f, "has nobody of {whom} on it{}", at(span)),
        }
    }
}
