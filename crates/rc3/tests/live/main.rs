//! On real sockets: two namespaces joined by a veth pair, curl, and files.

mod files;
#[path = "../kit/mod.rs"]
mod kit;
mod proxies;
mod stage;
mod wan;
