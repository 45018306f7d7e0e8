//! Whether what an author expects of the network is true of it, for every number of replicas.
//!
//! Links are rights to connect; a chain of connections is what somebody has who takes over one container after the
//! other. A claim that must not hold is refuted by one chain, which is shown with the line of each of its links. One
//! that must hold is refuted by a pair of containers without a chain. Everything outside is where chains start and
//! end; none leads through it.
//!
//! Replicas are folded together first ([`quotient`]), and a claim about two parties takes one walk over rules and
//! nodes: time is linear in the blueprint. Where a claim that must hold starts at a party whose containers are of
//! several kinds, it takes a walk for each kind.
//!
//! ```
//! use quilt::eval::{evaluate_text, Options};
//!
//! let text = "import {Container, allow, expect} from 'weft';
//! const client = new Container('client', {command: ['x']});
//! const web = new Container('web', {command: ['x'], replicas: 2});
//! const db = new Container('db', {command: ['x']});
//! allow(client, web, 80);
//! allow(web, db, 5432);
//! expect(web).isBetween(client, db);
//! expect(client).cannotConnect(db);
//! expect(client).cannotReach(db);";
//! let evaluation = evaluate_text("shop.js", text, &Options::default())?;
//! let faults = quilt::checked(evaluation, &|_| true).unwrap_err();
//! assert_eq!(faults.to_string(), "shop.js:9:1: client is not to reach db, but client -> web-1 on 80 (shop.js:5:1) \
//!     -> db on 5432 (shop.js:6:1)");
//! # Ok::<(), quilt::fault::Faults>(())
//! ```

mod cover;
mod quotient;
mod walk;

use std::collections::HashSet;
use std::fmt;

use cover::Asked;
use quotient::{End, NodeId, Quotient};
use walk::{Step, Walk};

use super::placement::{self, Obstacle};
use crate::fault::{Fault, Kind};
use crate::model::{Blueprint, Claim, Invariant, Party, Ports, Protocol, Span};

/// Most connections of a chain that are shown.
const HOPS_SHOWN_MAX: usize = 12;
/// Most names of what can be reached that are shown.
const NAMES_SHOWN_MAX: usize = 5;
/// Most nodes and rules that all walks together may look at.
const WORK_MAX: usize = 500_000_000;

/// What refutes a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counterexample {
    /// Connections that are allowed, one after the other.
    Chain(Vec<Hop>),
    /// Two containers, or a container and the name of a service, that are not connected as they should be.
    Gap {
        /// Who should reach.
        from: String,
        /// What.
        to: String,
        /// Some of what it does reach.
        reached: Vec<String>,
    },
    /// Some container finds no machine.
    NotEnough(Box<Obstacle>),
    /// Every container finds a machine.
    Enough,
    /// Too many containers of different kinds: deciding this takes longer than a blueprint may.
    TooCostly,
}

/// One connection of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who connects. A replica that is not there in the count that is written has a description for a name.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Ports of the link.
    pub ports: Ports,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its place.
    pub span: Span,
}

impl Hop {
    fn of(step: &Step, quotient: &Quotient<'_>) -> Hop {
        let edge = &quotient.edges[step.edge];
        Hop {
            from: step.from.clone(),
            to: step.to.clone(),
            ports: edge.ports,
            protocol: edge.protocol,
            span: edge.span.clone(),
        }
    }

    fn on(&self) -> String {
        match self.protocol {
            Protocol::Any => self.ports.to_string(),
            protocol => format!("{}/{protocol}", self.ports),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counterexample::Chain(hops) => {
                let shown = hops.len().min(HOPS_SHOWN_MAX);
                // The ends of a long chain say most.
                let (head, tail) = (shown.div_ceil(2), hops.len() - shown / 2);
                f.write_str(hops.first().map_or("", |hop| hop.from.as_str()))?;
                for (at, hop) in hops.iter().enumerate() {
                    if at < head || at >= tail {
                        write!(f, " -> {} on {}", hop.to, hop.on())?;
                        if hop.span.is_known() {
                            write!(f, " ({})", hop.span)?;
                        }
                    } else if at == head {
                        write!(f, " -> ({} more)", tail - head)?;
                    }
                }
                Ok(())
            }
            Counterexample::Gap { from, to, reached } if reached.is_empty() => {
                write!(f, "nothing leads from {from} to {to}: {from} reaches nothing")
            }
            Counterexample::Gap { from, to, reached } => {
                write!(f, "that does not lead from {from} to {to}: {from} reaches {}", reached.join(", "))?;
                if reached.len() == NAMES_SHOWN_MAX { f.write_str(", …") } else { Ok(()) }
            }
            Counterexample::NotEnough(obstacle) => obstacle.fmt(f),
            Counterexample::Enough => f.write_str("every container finds a machine"),
            Counterexample::TooCostly => {
                f.write_str("it is about so many different containers that this cannot be decided in time")
            }
        }
    }
}

/// What refutes each of a blueprint's invariants, in their order; `None` where it holds.
///
/// Names must exist: [`crate::check::check`] sees to that first.
pub fn decide(blueprint: &Blueprint) -> Vec<Option<Counterexample>> {
    if blueprint.invariants.is_empty() {
        return Vec::new();
    }
    let quotient = Quotient::of(blueprint);
    let mut prover = Prover { quotient: &quotient, work: WORK_MAX };
    let refute = |invariant: &Invariant| match (&invariant.claim, invariant.holds) {
        (Claim::Enough, true) => {
            placement::enough(blueprint).err().map(|why| Counterexample::NotEnough(why.into()))
        }
        (Claim::Enough, false) => placement::enough(blueprint).ok().map(|()| Counterexample::Enough),
        _ => prover.refute(invariant).err(),
    };
    blueprint.invariants.iter().map(refute).collect()
}

/// A fault for each invariant that does not hold.
pub(super) fn faults(blueprint: &Blueprint) -> Vec<Fault> {
    let refuted = decide(blueprint).into_iter().zip(&blueprint.invariants);
    let fault = |(found, invariant): (Option<Counterexample>, &Invariant)| {
        let found = found?;
        let places = match &found {
            Counterexample::Chain(hops) => hops
                .iter()
                .take(HOPS_SHOWN_MAX)
                .map(|hop| (format!("{} -> {}", hop.from, hop.to), hop.span.clone()))
                .collect(),
            Counterexample::NotEnough(obstacle) => obstacle.places(),
            _ => Vec::new(),
        };
        let kind = Kind::Broken { expected: invariant.to_string(), found: found.to_string(), places };
        Some(Fault::new(kind, invariant.span.clone()))
    };
    refuted.filter_map(fault).collect()
}

/// One way of asking: which ports, and what chains may pass.
struct Question<'p> {
    asked: Asked,
    /// Whether a chain is a single connection.
    single: bool,
    may_pass: &'p dyn Fn(NodeId) -> bool,
}

struct Prover<'q, 'a> {
    quotient: &'q Quotient<'a>,
    /// Nodes and rules that may still be looked at.
    work: usize,
}

impl<'q, 'a> Prover<'q, 'a> {
    /// `Err` with what refutes it.
    fn refute(&mut self, invariant: &Invariant) -> Result<(), Counterexample> {
        let quotient = self.quotient;
        let always = |node: NodeId| quotient.nodes[node].always;
        match &invariant.claim {
            Claim::Connect { from, to, ports, protocol } => {
                let question = Question {
                    asked: Asked { ports: *ports, protocol: *protocol },
                    single: true,
                    may_pass: &|_| false,
                };
                let (starts, ends) = (quotient.party(from), quotient.party(to));
                if !invariant.holds {
                    return self.none(starts, ends, &question);
                }
                self.all(starts, ends, &question)?;
                self.all_names(starts, to, &question)
            }
            Claim::Reach { from, to, ports, protocol } => {
                let asked = Asked { ports: *ports, protocol: *protocol };
                let (starts, ends) = (quotient.party(from), quotient.party(to));
                if invariant.holds {
                    self.all(starts, ends, &Question { asked, single: false, may_pass: &always })
                } else {
                    self.none(starts, ends, &Question { asked, single: false, may_pass: &|_| true })
                }
            }
            // About machines, not about the network.
            Claim::Enough => Ok(()),
            Claim::Between { from, through, to } => {
                let between: HashSet<NodeId> =
                    through.iter().flat_map(|party| quotient.party(party)).copied().collect();
                let around = |nodes: &[NodeId]| -> Vec<NodeId> {
                    nodes.iter().copied().filter(|node| !between.contains(node)).collect()
                };
                let (starts, ends) = (around(quotient.party(from)), around(quotient.party(to)));
                if invariant.holds {
                    let may_pass = |node: NodeId| !between.contains(&node);
                    self.none(
                        &starts,
                        &ends,
                        &Question { asked: Asked::ANY, single: false, may_pass: &may_pass },
                    )
                } else {
                    let may_pass = |node: NodeId| always(node) && !between.contains(&node);
                    self.all(
                        &starts,
                        &ends,
                        &Question { asked: Asked::ANY, single: false, may_pass: &may_pass },
                    )
                }
            }
        }
    }

    fn walk(
        &mut self,
        starts: &[NodeId],
        may_pass: impl Fn(NodeId) -> bool,
    ) -> Result<Walk<'q, 'a>, Counterexample> {
        let cost = self.quotient.nodes.len() + self.quotient.edges.len();
        self.work = self.work.checked_sub(cost).ok_or(Counterexample::TooCostly)?;
        Ok(Walk::from(self.quotient, starts, may_pass))
    }

    /// No chain leads from a start to an end that is another container.
    fn none(
        &mut self,
        starts: &[NodeId],
        ends: &[NodeId],
        question: &Question<'_>,
    ) -> Result<(), Counterexample> {
        let quotient = self.quotient;
        let chain = |walk: &mut Walk<'_, '_>, end: NodeId| match walk.touches(end, question.asked) {
            true => walk.chain(end, question.asked),
            false => None,
        };
        let found = |steps: Vec<Step>| {
            Err(Counterexample::Chain(steps.iter().map(|step| Hop::of(step, quotient)).collect()))
        };
        let is_start: HashSet<NodeId> = starts.iter().copied().collect();
        let mut walk = self.walk(starts, question.may_pass)?;
        for end in ends.iter().filter(|end| !is_start.contains(end)) {
            if let Some(steps) = chain(&mut walk, *end) {
                return found(steps);
            }
        }
        for end in ends.iter().filter(|end| is_start.contains(end)) {
            // What reaches itself is no pair, unless it is several.
            let several = quotient.nodes[*end].many;
            let others: Vec<NodeId> =
                starts.iter().copied().filter(|start| several || start != end).collect();
            if others.len() == starts.len() {
                if let Some(steps) = chain(&mut walk, *end) {
                    return found(steps);
                }
            } else if let Some(steps) = chain(&mut self.walk(&others, question.may_pass)?, *end) {
                return found(steps);
            }
        }
        Ok(())
    }

    /// A chain leads from every start to every end that is another container.
    fn all(
        &mut self,
        starts: &[NodeId],
        ends: &[NodeId],
        question: &Question<'_>,
    ) -> Result<(), Counterexample> {
        let quotient = self.quotient;
        for start in starts {
            self.work = self.work.checked_sub(ends.len()).ok_or(Counterexample::TooCostly)?;
            let mut walk = self.walk(&[*start], question.may_pass)?;
            for end in ends {
                if (start == end && !quotient.nodes[*end].many) || walk.covers(*end, question.asked) {
                    continue;
                }
                // A replica that is not always there is there when it is the end: the chain may pass it too.
                let mut again = None;
                if !question.single && !quotient.nodes[*end].always && !walk.passes(*end) {
                    again = Some(self.walk(&[*start], |node| node == *end || (question.may_pass)(node))?);
                }
                if !again.is_some_and(|mut walk| walk.covers(*end, question.asked)) {
                    return Err(Counterexample::Gap {
                        from: quotient.nodes[*start].name(false),
                        to: quotient.nodes[*end].name(start == end),
                        reached: walk.reached(NAMES_SHOWN_MAX),
                    });
                }
            }
        }
        Ok(())
    }

    /// Every start may also connect to the name of a service, not only to its members.
    fn all_names(
        &mut self,
        starts: &[NodeId],
        to: &Party,
        question: &Question<'_>,
    ) -> Result<(), Counterexample> {
        let quotient = self.quotient;
        let Some(End::Service(service)) = quotient.end(to) else { return Ok(()) };
        for start in starts {
            let mut walk = self.walk(&[*start], question.may_pass)?;
            if !walk.covers_name(service, question.asked) {
                return Err(Counterexample::Gap {
                    from: quotient.nodes[*start].name(false),
                    to: format!("the name {to}"),
                    reached: walk.reached(NAMES_SHOWN_MAX),
                });
            }
        }
        Ok(())
    }
}
