//! Where packets enter and leave.

mod bpf;
mod counters;
mod error;
pub mod finish;
mod interface;
mod packet_ring;
pub mod packet_socket;
pub mod pcap;
mod port;
pub mod ring;
pub mod spec;
pub mod tap;
pub mod unix;
pub mod xdp;
mod xdp_ring;

pub use error::PortError;
pub use port::{Counters, LinkState, Offloads, Port, PortInfo, RxQueue, TxQueue};
pub use spec::{PortSpec, open};
