//! The switch from outside: messages and packets in, messages and packets out.

mod actions;
mod controllers;
mod flow_mods;
mod fuzz;
mod groups;
mod monitors;
mod nicira;
mod ports;
mod random;
mod rig;
mod tables;
mod trace;
mod twin;
