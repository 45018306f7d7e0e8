//! Components that forward packets.

pub mod addresses;
pub mod hub;
pub mod l2_flowvisor;
pub mod l2_learning;
pub mod l2_multi;
pub mod l2_nx;
pub mod l2_nx_self_learning;
pub mod l2_pairs;
pub mod l3_learning;
pub(crate) mod pairs;
pub mod topo_proactive;
