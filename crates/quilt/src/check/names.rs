//! Names: DNS labels, each given once.

use std::collections::{HashMap, HashSet};

use crate::fault::{Fault, Kind, similar};
use crate::model::{Blueprint, Span};

/// Names that mean something else inside a container.
const RESERVED: [&str; 2] = ["localhost", "gateway"];

pub(super) fn check(blueprint: &Blueprint, faults: &mut Vec<Fault>) {
    if let Some(reason) = label(&blueprint.name) {
        let kind = Kind::Name { what: "deployment", name: blueprint.name.clone(), reason };
        faults.push(Fault::new(kind, Span::default()));
    }
    if blueprint.containers.is_empty() {
        faults.push(Fault::new(Kind::Nothing, Span::default()));
    }
    let services = blueprint.services.iter().map(|service| ("services", &service.name, &service.span));
    let containers =
        blueprint.containers.iter().map(|container| ("containers", &container.name, &container.span));
    let mut taken: HashMap<&str, (&'static str, &Span)> = HashMap::new();
    let mut at_fault: HashSet<&Span> = HashSet::new();
    // Services first: the fault of a container with replicas is that of the name it was given.
    for (what, name, span) in services.chain(containers) {
        let reason = if RESERVED.contains(&name.as_str()) { Some("it is reserved") } else { label(name) };
        let what_one = if what == "containers" { "container" } else { "service" };
        let mut kinds = Vec::new();
        kinds.extend(reason.map(|reason| Kind::Name { what: what_one, name: name.clone(), reason }));
        if let Some((first_what, first)) = taken.insert(name, (what, span)) {
            let what = if first_what == what { what } else { "things" };
            // The later of the two is at fault.
            let (first, second) = if (first.line, first.file.as_str()) > (span.line, span.file.as_str()) {
                (span, first)
            } else {
                (first, span)
            };
            let kind = Kind::Duplicate { what, name: name.clone(), first: first.clone() };
            if !second.is_known() || at_fault.insert(second) {
                faults.push(Fault::new(kind, second.clone()));
            }
        }
        for kind in kinds {
            if !span.is_known() || at_fault.insert(span) {
                faults.push(Fault::new(kind, span.clone()));
            }
        }
    }
    members(blueprint, faults);
    aliases(blueprint, &taken, faults);
}

/// Further names: DNS names that nothing else has, of things that exist.
fn aliases(blueprint: &Blueprint, taken: &HashMap<&str, (&'static str, &Span)>, faults: &mut Vec<Fault>) {
    for (alias, name) in &blueprint.aliases {
        let Some((_, span)) = taken.get(name.as_str()) else {
            let (what, name) = (format!("the further name '{alias}'"), name.clone());
            faults.push(Fault::new(Kind::Unknown { what, name, similar: None }, Span::default()));
            continue;
        };
        // Host names in the wild have capitals and `_`, and are found all the same (RFC 2181 section 11).
        let too_long = alias.len() > 253 || alias.split('.').any(|part| !(1..=63).contains(&part.len()));
        if too_long
            || taken.contains_key(alias.as_str())
            || alias.contains(|c: char| c.is_control() || c == ' ')
        {
            let reason =
                if too_long { "it is longer than a host name" } else { "it is taken, or no host name" };
            let kind = Kind::Name { what: "further name", name: alias.clone(), reason };
            faults.push(Fault::new(kind, (*span).clone()));
        }
    }
}

fn members(blueprint: &Blueprint, faults: &mut Vec<Fault>) {
    let known: HashSet<&str> = blueprint.containers.iter().map(|container| container.name.as_str()).collect();
    for service in &blueprint.services {
        if service.members.is_empty() {
            let kind = Kind::EmptyService { name: service.name.clone() };
            faults.push(Fault::new(kind, service.span.clone()));
        }
        let mut seen = HashSet::new();
        if let Some(member) = service.members.iter().find(|member| !seen.insert(member.as_str())) {
            let kind = Kind::MemberTwice { service: service.name.clone(), member: member.clone() };
            faults.push(Fault::new(kind, service.span.clone()));
        }
        for member in service.members.iter().filter(|member| !known.contains(member.as_str())) {
            let kind = Kind::Unknown {
                what: format!("service '{}'", service.name),
                name: member.clone(),
                similar: similar(member, known.iter().copied()),
            };
            faults.push(Fault::new(kind, service.span.clone()));
        }
    }
}

/// Why `name` is no DNS label (RFC 1123 section 2.1, RFC 1035 section 2.3.4); `None` if it is one.
///
/// Capitals are refused although DNS ignores case: two names that differ by case would be one.
pub(super) fn label(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 63 {
        Some("it is longer than 63 characters")
    } else if name.chars().any(|c| c.is_ascii_uppercase()) {
        Some("it has capitals")
    } else if !name.chars().all(allowed) {
        Some("it has a character that is not allowed")
    } else if name.starts_with('-') || name.ends_with('-') {
        Some("it starts or ends with '-'")
    } else if name.chars().all(|c| c.is_ascii_digit()) {
        Some("it is all digits and would be taken for an address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_follow_rfc_1123() {
        for good in ["a", "web-1", "1a", &"x".repeat(63)] {
            assert_eq!(label(good), None, "{good}");
        }
        for bad in ["", "Web", "a.b", "-a", "a-", "a_b", "ü", "12", "a b", "a\0", &"x".repeat(64)] {
            assert!(label(bad).is_some(), "{bad}");
        }
    }
}
