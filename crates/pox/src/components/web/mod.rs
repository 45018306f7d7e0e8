//! The web: programs outside ask the controller, and change it.

pub mod jsonrpc;
mod serve;
pub mod webcore;
