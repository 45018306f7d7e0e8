//! The switch from outside: messages and packets in, messages and packets out.

mod actions;
mod flow_mods;
mod rig;
