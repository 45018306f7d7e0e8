//! Keeps floods from going round in circles, on trees that change as little as they can.
//!
//! As `openflow.spanning_tree`: floods follow the links of a tree, one for each part of the network that hangs together, and
//! nothing opens before what must be closed is. But links that are part of a tree stay part of it as long as they are there:
//! a link or a switch that comes elsewhere moves no traffic, and one that goes moves only its own. The tree's paths may
//! be longer for that. It takes the place of `openflow.spanning_tree`; only one of the two can be launched.
//!
//! A port that comes up is held closed until discovery has had the time to find a switch behind it. One that has had one is no
//! host's before it has lost its carrier.
//!
//! | option | meaning |
//! |---|---|
//! | `--mode=MODE` | which links: `stable`, those it had, then the lowest; `unstable`, the lowest, whatever it had; `randomized`, any, others every time; `nx`, POX's name for what a library makes of them, is `unstable`. `stable` |
//! | `--hold-down=SECONDS` | how long a port must be without another switch to be a host's; a quarter of the time in which discovery probes every port, 1.25 |
//! | `--no-flood` | closes the ports of a switch that connects: so it is always |
//! | `--seed=N` | of what `randomized` draws; 1 |
//!
//! Launch: `weft pox openflow.spanning_forest openflow.discovery forwarding.l2_learning`

use std::collections::{BTreeMap, BTreeSet};

use super::discovery::Link;
use super::flood_ports::Place;
use super::flood_tree::{FloodTree, Shape};
use crate::random::Random;
use crate::{Component, Dpid, Options, OptionsError};

/// Which links are taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Stable,
    Unstable,
    Randomized,
}

/// Trees of links, taken one by one, that each join what did not hang together.
#[derive(Debug)]
pub struct Forest {
    mode: Mode,
    random: Random,
    /// The links of the present trees, those that have been part of them longest first.
    links: Vec<Link>,
}

/// Keeps floods on those trees.
pub type SpanningForest = FloodTree<Forest>;

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let mode = match options.text("mode")?.as_deref() {
        None | Some("stable") => Mode::Stable,
        Some("unstable" | "nx") => Mode::Unstable,
        Some("randomized") => Mode::Randomized,
        Some(other) => {
            return Err(options.wrong("mode", other, "the modes are stable, unstable, randomized, nx"));
        }
    };
    options.flag("no-flood")?;
    let hold_down = options.seconds_given("hold-down")?;
    let random = Random::new(options.take_or("seed", 1)?);
    Ok(Box::new(FloodTree::new(Forest { mode, random, links: Vec::new() }, hold_down)))
}

impl Shape for Forest {
    fn tree(&mut self, switches: &BTreeSet<Dpid>, links: &[Link]) -> BTreeSet<Place> {
        let there = |link: &Link| switches.contains(&link.from.0) && switches.contains(&link.to.0);
        let mut left: BTreeSet<Link> = links.iter().copied().filter(there).collect();
        let mut order = match self.mode {
            Mode::Stable => self.links.iter().copied().filter(|link| left.remove(link)).collect(),
            Mode::Unstable | Mode::Randomized => Vec::new(),
        };
        order.extend(left);
        if self.mode == Mode::Randomized {
            self.random.shuffle(&mut order);
        }
        let mut parts = Parts::default();
        order.retain(|link| parts.join(link.from.0, link.to.0));
        self.links = order;
        self.links.iter().flat_map(|link| [link.from, link.to]).collect()
    }
}

/// Which switches hang together (a disjoint-set forest, by halving paths).
#[derive(Debug, Default)]
struct Parts(BTreeMap<Dpid, Dpid>);

impl Parts {
    /// One switch of the part a switch is in, the same for all of them.
    fn find(&mut self, mut switch: Dpid) -> Dpid {
        // Ends: every step is one nearer to one that is its own.
        loop {
            let up = *self.0.entry(switch).or_insert(switch);
            if up == switch {
                return switch;
            }
            let further = *self.0.entry(up).or_insert(up);
            self.0.insert(switch, further);
            switch = further;
        }
    }

    /// `false` where they hung together already.
    fn join(&mut self, one: Dpid, other: Dpid) -> bool {
        let (one, other) = (self.find(one), self.find(other));
        self.0.insert(one.max(other), one.min(other));
        one != other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PortNo;

    fn link(from: (u64, u32), to: (u64, u32)) -> Link {
        Link { from: (Dpid(from.0), PortNo(from.1)), to: (Dpid(to.0), PortNo(to.1)) }
    }

    fn forest(mode: Mode) -> Forest {
        Forest { mode, random: Random::new(1), links: Vec::new() }
    }

    /// A ring of four switches: each has the next one at port 1, the one before at port 2.
    fn ring() -> Vec<Link> {
        vec![link((1, 1), (2, 2)), link((2, 1), (3, 2)), link((3, 1), (4, 2)), link((1, 2), (4, 1))]
    }

    fn all() -> BTreeSet<Dpid> {
        (1..=9).map(Dpid).collect()
    }

    #[test]
    fn links_that_are_part_of_it_stay_when_others_come() {
        let ring = ring();
        let mut stable = forest(Mode::Stable);
        let first = stable.tree(&all(), &ring[1..]);
        assert_eq!(first.len(), 6);
        assert_eq!(stable.tree(&all(), &ring), first, "1-2 comes, and would be the lowest");
        let mut unstable = forest(Mode::Unstable);
        unstable.tree(&all(), &ring[1..]);
        assert_ne!(unstable.tree(&all(), &ring), first);
        // What takes the place of a link that goes stays when it is back.
        let second = stable.tree(&all(), &[ring[0], ring[2], ring[3]]);
        assert_eq!(second.difference(&first).count(), 2);
        assert_eq!(stable.tree(&all(), &ring), second);
    }

    #[test]
    fn every_part_has_a_tree_of_its_own() {
        let links = [ring(), vec![link((7, 1), (8, 1)), link((7, 2), (8, 2)), link((8, 3), (9, 1))]].concat();
        for mode in [Mode::Stable, Mode::Unstable, Mode::Randomized] {
            let mut forest = forest(mode);
            forest.tree(&all(), &links);
            let second = forest.links.iter().filter(|link| link.from.0.0 > 4).count();
            assert_eq!((forest.links.len() - second, second), (3, 2), "{mode:?}");
        }
    }

    #[test]
    fn a_switch_that_is_gone_takes_its_links_along() {
        let mut forest = forest(Mode::Stable);
        forest.tree(&all(), &ring());
        let ports = forest.tree(&[1, 3, 4].map(Dpid).into(), &ring());
        assert!(ports.iter().all(|(switch, _)| switch.0 != 2), "{ports:?}");
        assert_eq!(ports.len(), 4);
    }

    #[test]
    fn what_is_drawn_differs_and_is_a_tree_each_time() {
        let mut forest = forest(Mode::Randomized);
        let trees: BTreeSet<_> = (0..50).map(|_| forest.tree(&all(), &ring())).collect();
        assert_eq!(trees.len(), 4, "each of the four links is left out at some time");
        assert!(trees.iter().all(|tree| tree.len() == 6));
    }
}
