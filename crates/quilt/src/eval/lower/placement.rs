//! Where containers may run.

use super::{At, Lower};
use crate::check::placement::PLACEMENTS_MAX;
use crate::eval::raw::Raw;
use crate::model::{MachineKind, Party, Placement, PlacementRule, Span};

/// Options of a kind of machine.
const KIND_OPTIONS: [&str; 4] = ["floatingIp", "provider", "region", "size"];

impl Lower<'_> {
    /// A rule about lists of parties is one of each pair.
    pub(super) fn placement(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let targets = self.placed(entry.get("target"), &span);
        let others = self.placed(entry.get("other"), &span);
        let rules: Vec<PlacementRule> = match entry.text("kind") {
            "on" => self.kind(entry.get("options"), &span).map(PlacementRule::On).into_iter().collect(),
            "not-on" => {
                self.kind(entry.get("options"), &span).map(PlacementRule::NotOn).into_iter().collect()
            }
            "apart" => others.into_iter().map(PlacementRule::Apart).collect(),
            _ => others.into_iter().map(PlacementRule::Beside).collect(),
        };
        for target in targets {
            for rule in &rules {
                if self.blueprint.placements.len() <= PLACEMENTS_MAX {
                    let (target, rule, span) = (target.clone(), rule.clone(), span.clone());
                    self.blueprint.placements.push(Placement { target, rule, span });
                }
            }
        }
    }

    fn placed(&mut self, raw: &Raw, span: &Span) -> Vec<Party> {
        let Raw::List(parties) = raw else { return Vec::new() };
        parties.iter().filter_map(|party| self.party(party, "the placement", span)).collect()
    }

    fn kind(&mut self, options: &Raw, span: &Span) -> Option<MachineKind> {
        if !matches!(options, Raw::Map(_)) {
            let what = "the kind of machine";
            self.shape(&At { span, what }, "an object with provider, size, region or floatingIp", options);
            return None;
        }
        self.unknown_options("a kind of machine", options, &KIND_OPTIONS, span);
        let mut text = |what: &str| {
            let of = format!("{what} of a kind of machine");
            self.text(&At { span, what: &of }, options.get(what)).unwrap_or_default()
        };
        Some(MachineKind {
            provider: text("provider"),
            size: text("size"),
            region: text("region"),
            floating_ip: text("floatingIp"),
        })
    }
}
