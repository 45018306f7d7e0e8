//! What the module classes look like to BESS's clients. The modules themselves are in [`crate::modules`].
#![allow(clippy::needless_pass_by_value)] // All handlers of commands have one shape.

mod acl;
mod arp_responder;
mod bpf;
mod buffer;
mod bypass;
mod counter;
mod drr;
mod dump;
mod ether_encap;
mod exact_match;
mod field;
mod flow_gen;
mod flow_measure;
mod generic_decap;
mod generic_encap;
mod gtpu_decap;
mod gtpu_echo;
mod gtpu_encap;
mod gtpu_parser;
mod gtpu_path_monitoring;
mod hash_lb;
mod ip_checksum;
mod ip_defrag;
mod ip_encap;
mod ip_frag;
mod ip_lookup;
mod ip_swap;
mod l2_forward;
mod l4_checksum;
mod link_emulator;
mod mac_swap;
mod measure;
mod merge;
mod metadata_test;
mod mpls_pop;
mod nat;
mod network_function;
mod noop;
mod port_inc;
mod port_out;
mod qos;
mod queue;
mod queue_inc;
mod queue_out;
mod random_split;
mod random_update;
mod replicate;
mod rewrite;
mod round_robin;
mod set_metadata;
mod sink;
mod source;
mod split;
mod static_nat;
mod timestamp;
mod update;
mod update_ttl;
mod url_filter;
mod vlan_pop;
mod vlan_push;
mod vlan_split;
mod vxlan_decap;
mod vxlan_encap;
mod wildcard_match;
mod worker_split;

use super::class::{Class, Save, extensions};

/// Every class, by name.
pub(crate) const CLASSES: &[Class] = &[
    acl::CLASS,
    arp_responder::CLASS,
    bpf::CLASS,
    buffer::CLASS,
    bypass::CLASS,
    counter::CLASS,
    drr::CLASS,
    dump::CLASS,
    ether_encap::CLASS,
    exact_match::CLASS,
    flow_gen::CLASS,
    flow_measure::CLASS,
    generic_decap::CLASS,
    generic_encap::CLASS,
    gtpu_decap::CLASS,
    gtpu_echo::CLASS,
    gtpu_encap::CLASS,
    gtpu_parser::CLASS,
    gtpu_path_monitoring::CLASS,
    hash_lb::CLASS,
    ip_checksum::CLASS,
    ip_defrag::CLASS,
    ip_encap::CLASS,
    ip_frag::CLASS,
    ip_lookup::CLASS,
    ip_swap::CLASS,
    l2_forward::CLASS,
    l4_checksum::CLASS,
    link_emulator::CLASS,
    mac_swap::CLASS,
    measure::CLASS,
    merge::CLASS,
    metadata_test::CLASS,
    mpls_pop::CLASS,
    nat::CLASS,
    network_function::CLASS,
    noop::CLASS,
    port_inc::CLASS,
    port_out::CLASS,
    qos::CLASS,
    queue::CLASS,
    queue_inc::CLASS,
    queue_out::CLASS,
    random_split::CLASS,
    random_update::CLASS,
    replicate::CLASS,
    rewrite::CLASS,
    round_robin::CLASS,
    set_metadata::CLASS,
    sink::CLASS,
    source::CLASS,
    split::CLASS,
    static_nat::CLASS,
    timestamp::CLASS,
    update::CLASS,
    update_ttl::CLASS,
    url_filter::CLASS,
    vlan_pop::CLASS,
    vlan_push::CLASS,
    vlan_split::CLASS,
    vxlan_decap::CLASS,
    vxlan_encap::CLASS,
    wildcard_match::CLASS,
    worker_split::CLASS,
];

/// Every class, those of rooms above as well.
pub(crate) fn all() -> impl Iterator<Item = &'static Class> {
    CLASSES.iter().chain(extensions())
}

/// The class of that name.
pub(crate) fn find(name: &str) -> Option<&'static Class> {
    all().find(|class| class.name == name)
}

/// How modules of a class with a table tell what is in it. Of the others it is enough to know which commands they have
/// carried out.
pub(crate) fn saved(class: &str) -> Option<Save> {
    Some(match class {
        "ACL" => |target| target.save(acl::save),
        "ArpResponder" => |target| target.save(arp_responder::save),
        "BPF" => |target| target.save(bpf::save),
        "ExactMatch" => |target| target.save(exact_match::save),
        "FlowGen" => |target| target.save(flow_gen::save),
        "GtpuPathMonitoring" => |target| target.save(gtpu_path_monitoring::save),
        "IPLookup" => |target| target.save(ip_lookup::save),
        "L2Forward" => |target| target.save(l2_forward::save),
        "Qos" => |target| target.save(qos::save),
        "Queue" => |target| target.save(queue::save),
        "UrlFilter" => |target| target.save(url_filter::save),
        "WildcardMatch" => |target| target.save(wildcard_match::save),
        _ => return None,
    })
}
