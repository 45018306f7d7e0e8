//! The main job, end to end, with the real binary: a blueprint goes in, a running network comes out.
//!
//! Every scenario runs twice: as root, with TAP devices, and as an ordinary user in a user namespace, with veth.

#![forbid(unsafe_code)]

mod bad_input;
mod crashes;
mod harness;
mod shop;
mod scale;
