//! Where packets enter and leave.

mod error;
mod port;

pub use error::PortError;
pub use port::{Counters, LinkState, Offloads, Port, PortInfo, RxQueue, TxQueue};
