//! What the module classes look like to BESS's clients. The modules themselves are in [`crate::modules`].

mod acl;
mod bypass;
mod exact_match;
mod field;
mod hash_lb;
mod ip_lookup;
mod l2_forward;
mod merge;
mod noop;
mod port_inc;
mod port_out;
mod queue_inc;
mod queue_out;
mod random_split;
mod replicate;
mod round_robin;
mod sink;
mod source;
mod split;
mod vlan_split;
mod wildcard_match;
mod worker_split;

use super::class::Class;

/// Every class, by name.
pub(crate) const CLASSES: &[Class] = &[
    acl::CLASS,
    bypass::CLASS,
    exact_match::CLASS,
    hash_lb::CLASS,
    ip_lookup::CLASS,
    l2_forward::CLASS,
    merge::CLASS,
    noop::CLASS,
    port_inc::CLASS,
    port_out::CLASS,
    queue_inc::CLASS,
    queue_out::CLASS,
    random_split::CLASS,
    replicate::CLASS,
    round_robin::CLASS,
    sink::CLASS,
    source::CLASS,
    split::CLASS,
    vlan_split::CLASS,
    wildcard_match::CLASS,
    worker_split::CLASS,
];

/// The class of that name.
pub(crate) fn find(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}
