//! Components of all kinds.

pub mod cbench;
pub mod full_payload;
pub mod ip_loadbalancer;
pub mod mac_blocker;
pub mod mappings;
pub mod nat;
pub mod of_tutorial;
