//! Channels over which programs outside and components send each other JSON.

pub mod chat;
pub mod log_service;
#[allow(clippy::module_inception)] // the component has POX's name
pub mod messenger;
pub mod tcp_transport;
