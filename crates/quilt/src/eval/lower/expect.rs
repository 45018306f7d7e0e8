//! Expectations: what a script claims of its network.

use super::{Lower, shown};
use crate::eval::raw::Raw;
use crate::fault::Kind;
use crate::model::{Claim, Invariant, Party, Protocol, Span};

/// Parties that all expectations may name together, once lists are written out.
const PARTIES_MAX: usize = 100_000;

impl Lower<'_> {
    /// A claim of lists of parties is one of each pair.
    pub(super) fn invariant(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let holds = matches!(entry.get("holds"), Raw::Bool(true));
        if matches!(entry.get("kind"), Raw::Text(kind) if kind == "enough") {
            return self.blueprint.invariants.push(Invariant { claim: Claim::Enough, holds, span });
        }
        let subject = self.claimed(entry.get("subject"), &span);
        let to = self.claimed(entry.get("to"), &span);
        let from = self.claimed(entry.get("from"), &span);
        let parties = if from.is_empty() { 2 * subject.len() } else { from.len() * (subject.len() + 2) };
        self.claimed_parties = self.claimed_parties.saturating_add(parties.saturating_mul(to.len()));
        if self.claimed_parties > PARTIES_MAX {
            let what = format!("its expectations name more than {PARTIES_MAX} parties");
            return self.fault(Kind::TooLarge { what }, &span);
        }
        let claims: Vec<Claim> = if matches!(entry.get("kind"), Raw::Text(kind) if kind == "between") {
            pairs(from, &to).map(|(from, to)| Claim::Between { from, through: subject.clone(), to }).collect()
        } else {
            let Some((ports, protocol)) = self.on(entry, holds, &span) else { return };
            let reach = matches!(entry.get("kind"), Raw::Text(kind) if kind == "reach");
            pairs(subject, &to)
                .map(|(from, to)| match reach {
                    true => Claim::Reach { from, to, ports, protocol },
                    false => Claim::Connect { from, to, ports, protocol },
                })
                .collect()
        };
        let invariant = |claim| Invariant { claim, holds, span: span.clone() };
        self.blueprint.invariants.extend(claims.into_iter().map(invariant));
    }

    fn claimed(&mut self, raw: &Raw, span: &Span) -> Vec<Party> {
        let Raw::List(parties) = raw else { return Vec::new() };
        parties.iter().filter_map(|party| self.party(party, "the expectation", span)).collect()
    }

    /// Ports and protocol of a claim: over TCP where something must hold and nothing else is said, over either where
    /// it must not. `None` if they are at fault.
    fn on(
        &mut self,
        entry: &Raw,
        holds: bool,
        span: &Span,
    ) -> Option<(Option<crate::model::Ports>, Protocol)> {
        let first = |raw: &Raw| match raw {
            Raw::List(list) => list.first().map(shown).unwrap_or_default(),
            _ => String::new(),
        };
        let what =
            format!("the expectation of {} and {}", first(entry.get("subject")), first(entry.get("to")));
        if entry.get("ports").is_absent() {
            return Some((None, self.protocol(&what, entry, span, Protocol::Any)?));
        }
        let default = if holds { Protocol::Tcp } else { Protocol::Any };
        let ports = self.ports(&what, entry.get("ports"), span);
        let protocol = self.protocol(&what, entry, span, default);
        Some((Some(ports?), protocol?))
    }
}

fn pairs(from: Vec<Party>, to: &[Party]) -> impl Iterator<Item = (Party, Party)> {
    from.into_iter().flat_map(move |from| to.iter().map(move |to| (from.clone(), to.clone())))
}
