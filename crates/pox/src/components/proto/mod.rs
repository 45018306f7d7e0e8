//! Protocols: what answers hosts in their own words.

pub mod arp_responder;
pub mod dhcp_client;
pub(crate) mod dhcp_server;
pub mod dhcpd;
pub mod dns_spy;
pub mod dnsd;
pub(crate) mod frames;
pub mod pong;
pub mod pool;
pub mod rip;
