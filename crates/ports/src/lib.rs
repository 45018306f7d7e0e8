//! Where packets enter and leave.

mod counters;
mod error;
mod interface;
pub mod packet_socket;
mod port;
pub mod ring;
pub mod tap;

pub use error::PortError;
pub use port::{Counters, LinkState, Offloads, Port, PortInfo, RxQueue, TxQueue};
