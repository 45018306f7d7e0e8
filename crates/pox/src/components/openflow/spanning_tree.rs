//! Keeps floods from going round in circles: they follow a tree of the links that `openflow.discovery` finds.
//!
//! From the moment a switch connects it floods to none of its ports. A port whose link is part of the tree is opened at once; one
//! behind which no switch is found within the hold-down is taken for a host's, and opened too; the others stay closed. When
//! links come or go the tree is made anew: what is to be closed is closed first, and only when the switches have confirmed that,
//! what is to be opened is opened. So no packet loops, from the first one on. A port that has had a switch behind it is no host's
//! before it has lost its carrier: a link that fails unseen may come back unseen.
//!
//! Components that flood through the controller obey it, on switches of either version: 1.0 switches are told by the port's
//! `NO_FLOOD` bit, which 1.3 does not have, so there they flood by a list of ports. What is not flooded is not affected.
//!
//! The tree is that of least hops from the switch of the lowest datapath id.
//!
//! | option | meaning |
//! |---|---|
//! | `--hold-down=SECONDS` | how long a port must be without another switch to be a host's; 1 |
//! | `--no-flood` | closes the ports of a switch that connects: so it is always, the option is POX's |
//!
//! Launch: `weft pox openflow.spanning_tree openflow.discovery forwarding.l2_learning`

use std::collections::BTreeSet;
use std::time::Duration;

use super::discovery::Link;
use super::flood_ports::{Place, least_hops};
use super::flood_tree::{FloodTree, Shape};
use crate::{Component, Dpid, Options, OptionsError};

/// The tree of least hops.
#[derive(Debug)]
pub struct LeastHops;

/// Keeps floods on that tree.
pub type SpanningTree = FloodTree<LeastHops>;

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    options.flag("no-flood")?;
    let hold_down = options.seconds("hold-down", Duration::from_secs(1))?;
    Ok(Box::new(FloodTree::new(LeastHops, Some(hold_down))))
}

impl Shape for LeastHops {
    fn tree(&mut self, switches: &BTreeSet<Dpid>, links: &[Link]) -> BTreeSet<Place> {
        least_hops(switches, links)
    }
}
