//! Rules of placement as affinities: of pods for nodes, by labels of the nodes, and of pods for each other.
//!
//! | rule | in a pod |
//! |---|---|
//! | on machines of a kind | `nodeAffinity` with `In` for everything that the kind says |
//! | never on them | the same with `NotIn` |
//! | apart from, beside a party | `podAntiAffinity`, `podAffinity` for the pods of the party, by node |
//!
//! All of them are required, not preferred. A size is the label `node.kubernetes.io/instance-type` of nodes and a region
//! `topology.kubernetes.io/region`, as clouds set them; a provider is `weft/provider` and a lasting address
//! `weft/floating-ip`, which whoever makes the nodes has to set: `weft up --target machines` does.

use std::collections::BTreeMap;

use super::{CONTAINER_LABEL, Exporter, MEMBER, Workload, member_label};
use crate::kubernetes::manifest::{
    Affinity, LabelSelector, NodeAffinity, NodeSelector, NodeTerm, PodAffinity, PodTerm, Requirement,
};
use crate::model::{MachineKind, Party, PlacementRule};

/// Label of nodes: who rents them out.
pub(crate) const PROVIDER_LABEL: &str = "weft/provider";
/// Label of nodes: their lasting address.
pub(crate) const ADDRESS_LABEL: &str = "weft/floating-ip";
/// Label of nodes: their size.
const SIZE_LABEL: &str = "node.kubernetes.io/instance-type";
/// Label of nodes: their region.
const REGION_LABEL: &str = "topology.kubernetes.io/region";
/// What makes two pods neighbours.
const BY_NODE: &str = "kubernetes.io/hostname";

impl Exporter<'_> {
    /// Where the pods of a workload may run; nothing where they may run anywhere.
    pub(super) fn affinity(&mut self, workload: &Workload<'_>) -> Option<Affinity> {
        let name = workload.members[0].name.as_str();
        let services = self.services_of.get(name);
        let is_target = |party: &Party| match party {
            Party::Container(target) => target == name,
            Party::Service(target) => {
                services.is_some_and(|all| all.iter().any(|service| service.name == *target))
            }
            Party::PublicInternet => false,
        };
        let (mut nodes, mut apart, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for placement in self.blueprint.placements.iter().filter(|placement| is_target(&placement.target)) {
            match &placement.rule {
                PlacementRule::On(kind) => nodes.extend(requirements(kind, "In")),
                PlacementRule::NotOn(kind) => nodes.extend(requirements(kind, "NotIn")),
                PlacementRule::Apart(other) => apart.extend(term(other)),
                PlacementRule::Beside(other) => beside.extend(term(other)),
            }
        }
        if nodes.iter().any(|one| one.key == PROVIDER_LABEL || one.key == ADDRESS_LABEL) {
            self.notes.insert(format!(
                "placement by provider or address goes by the labels {PROVIDER_LABEL} and {ADDRESS_LABEL} of nodes: set them, unless weft boots the machines"
            ));
        }
        let pods = |required: Vec<PodTerm>| (!required.is_empty()).then_some(PodAffinity { required });
        let affinity = Affinity {
            node_affinity: (!nodes.is_empty()).then(|| NodeAffinity {
                required: NodeSelector { node_selector_terms: vec![NodeTerm { match_expressions: nodes }] },
            }),
            pod_affinity: pods(beside),
            pod_anti_affinity: pods(apart),
        };
        (affinity != Affinity::default()).then_some(affinity)
    }
}

/// The labels of a node that is of a kind.
pub(crate) fn node_labels(kind: &MachineKind) -> BTreeMap<String, String> {
    let said = [
        (PROVIDER_LABEL, &kind.provider),
        (SIZE_LABEL, &kind.size),
        (REGION_LABEL, &kind.region),
        (ADDRESS_LABEL, &kind.floating_ip),
    ];
    said.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

fn requirements(kind: &MachineKind, operator: &str) -> impl Iterator<Item = Requirement> {
    node_labels(kind).into_iter().map(move |(key, value)| Requirement {
        key,
        operator: operator.to_owned(),
        values: vec![value],
    })
}

fn term(party: &Party) -> Option<PodTerm> {
    let label_selector = match party {
        Party::Container(name) => LabelSelector::of(CONTAINER_LABEL, name),
        Party::Service(name) => LabelSelector::of(member_label(name), MEMBER),
        Party::PublicInternet => return None,
    };
    Some(PodTerm { label_selector, topology_key: BY_NODE.into() })
}

#[cfg(test)]
mod tests {
    use crate::eval::{Options, evaluate_text};
    use crate::kubernetes::export::export;

    #[test]
    fn rules_are_affinities_that_are_required() {
        let text = "import {Container} from 'weft';
const web = new Container('web', {command: ['x'], replicas: 2});
const db = new Container('db', {command: ['x']});
web.placeOn({size: 'm6i.large', region: 'eu-west-1'}).notOn({provider: 'Google'}).apartFrom(web).beside(db);";
        let blueprint = evaluate_text("placed.js", text, &Options::default()).unwrap().blueprint;
        let exported = export(&blueprint, &Default::default()).unwrap();
        let yaml = exported.yaml().unwrap();
        let pod = yaml
            .split("---")
            .find(|text| text.contains("kind: Deployment") && text.contains("name: web"))
            .unwrap();
        for part in [
            "key: node.kubernetes.io/instance-type",
            "key: topology.kubernetes.io/region",
            "operator: NotIn",
            "podAffinity:",
            "weft/container: db",
            "podAntiAffinity:",
            "service.weft/web: member",
            "topologyKey: kubernetes.io/hostname",
        ] {
            assert!(pod.contains(part), "{part}: {pod}");
        }
        assert_eq!(yaml.matches("affinity:").count(), 1, "{yaml}");
        assert!(exported.notes.iter().any(|note| note.contains("weft/provider")));
    }
}
