//! Stock components, on a switch whose ports the tests are behind.

mod balancing;
mod forwarding;
mod lab;
mod proto;
mod rip;
mod translation;
