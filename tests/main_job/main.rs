//! The main job, end to end, with the real binary: a blueprint goes in, a running network comes out.
//!
//! Scenarios run twice where it makes a difference: as root, with TAP devices, and as an ordinary user in a user
//! namespace, with veth where `/dev/net/tun` is closed.

#![forbid(unsafe_code)]

mod bad_input;
mod commands;
mod crashes;
mod depends;
mod dialect;
mod emulated;
mod examples;
mod harness;
mod health;
mod images;
mod lifecycle;
mod oci;
mod outside;
mod policy;
mod publish;
mod quilt;
mod redeploy;
mod runtime;
mod scale;
mod secrets;
mod shop;
mod streams;
mod through;
mod update;
