//! States that differ in the names of nodes alone, or in how often links were reversed before, count once.

use std::rc::Rc;

use hashbrown::HashMap;

use super::state::{State, World};
use super::table::Input;
use crate::map::Map;

/// The most nodes whose orders are all tried.
const NODES_MAX: usize = 7;

/// A way to rename the nodes after which every link is a link, and the destination what it was.
#[derive(Debug)]
struct Renaming {
    /// By node: its other name.
    nodes: Vec<usize>,
    /// By node and port: the port of the renamed node.
    ports: Vec<Vec<usize>>,
    /// By channel: what it becomes.
    channels: Vec<u16>,
    /// By number of a node's state: the number of the renamed node's; 0, and one more than it.
    turned: Vec<u32>,
}

/// What a set of failures is called, and the renamings that call it so.
type Called = (Box<[bool]>, Rc<[usize]>);

/// All ways to rename the nodes of a map, the one that changes nothing first.
#[derive(Debug)]
pub(super) struct Symmetry {
    renamings: Vec<Renaming>,
    /// By which ends know of which cuts.
    stages: HashMap<Vec<bool>, Called, foldhash::fast::FixedState>,
    image: State,
}

impl Symmetry {
    /// All renamings where nothing but links and directions counts; otherwise the one that changes nothing.
    pub(super) fn new(world: &World<'_>, free: bool) -> Self {
        let nodes = world.map.node_count();
        let mut renamings = Vec::new();
        let mut names: Vec<usize> = (0..nodes).collect();
        if free && nodes <= NODES_MAX {
            permute(&mut names, 0, &mut |names| {
                if names[world.destination] == world.destination {
                    renamings.extend(Renaming::new(world.map, names));
                }
            });
        }
        Self { renamings, stages: HashMap::default(), image: world.start.clone() }
    }

    /// What the set of failures of a state is called.
    pub(super) fn stage(&mut self, state: &State) -> Box<[bool]> {
        if self.renamings.is_empty() {
            return state.noticed.as_slice().into();
        }
        self.look_up(&state.noticed).0.clone()
    }

    fn look_up(&mut self, noticed: &[bool]) -> &Called {
        let renamings = &self.renamings;
        self.stages.entry_ref(noticed).or_insert_with(|| {
            let all: Vec<Box<[bool]>> = renamings.iter().map(|renaming| renaming.noticed(noticed)).collect();
            let name = all.iter().min().cloned().unwrap_or_else(|| noticed.into());
            let by = (0..all.len()).filter(|renaming| all[*renaming] == name).collect();
            (name, by)
        })
    }

    /// Writes the state as bytes, the same for all states that differ in names alone. They leave out the set of failures.
    pub(super) fn write(
        &mut self,
        world: &mut World<'_>,
        state: &State,
        key: &mut Vec<u8>,
        spare: &mut Vec<u8>,
    ) {
        key.clear();
        if self.renamings.is_empty() {
            write(state, key);
            return;
        }
        let by = self.look_up(&state.noticed).1.clone();
        for renaming in by.iter().copied() {
            self.renamings[renaming].turn(world, state, &mut self.image);
            spare.clear();
            write(&self.image, spare);
            if key.is_empty() || spare < key {
                std::mem::swap(key, spare);
            }
        }
    }
}

impl Renaming {
    /// None where a link would become none.
    fn new(map: &Map, names: &[usize]) -> Option<Self> {
        let mut ports = Vec::new();
        let mut channels = vec![0; 2 * map.link_count()];
        for (node, name) in names.iter().enumerate() {
            let mut of_node = Vec::new();
            for (number, port) in map.ports(node).iter().enumerate() {
                let to = names[port.node as usize];
                let other = map.ports(*name).iter().position(|port| port.node as usize == to)?;
                of_node.push(other);
                let channel = |node: usize, number: usize| {
                    let link = map.ports(node)[number].link;
                    2 * link + u16::from(map.ends(link.into())[0] != (node as u32, number as u16))
                };
                channels[usize::from(channel(node, number))] = channel(*name, other);
            }
            let mut all = of_node.clone();
            all.sort_unstable();
            all.dedup();
            if all.len() != map.ports(*name).len() {
                return None;
            }
            ports.push(of_node);
        }
        Some(Self { nodes: names.to_vec(), ports, channels, turned: Vec::new() })
    }

    fn noticed(&self, noticed: &[bool]) -> Box<[bool]> {
        let mut image = vec![false; noticed.len()];
        // The end that a channel begins at has its number.
        for (end, to) in self.channels.iter().enumerate() {
            image[usize::from(*to)] = noticed[end];
        }
        image.into()
    }

    /// Renames the nodes of a state; not its cuts.
    fn turn(&mut self, world: &mut World<'_>, state: &State, image: &mut State) {
        image.aeos = state.aeos;
        for node in 0..state.nodes.len() {
            image.nodes[self.nodes[node]] = self.turn_node(world, node, state.nodes[node]);
        }
        image.frames.clear();
        image.frames.extend(
            state.frames.iter().map(|(channel, frame)| (self.channels[usize::from(*channel)], *frame)),
        );
        image.frames.sort_by_key(|(channel, _)| *channel);
    }

    fn turn_node(&mut self, world: &mut World<'_>, node: usize, number: u32) -> u32 {
        if let Some(turned) = self.turned.get(number as usize).and_then(|turned| turned.checked_sub(1)) {
            return turned;
        }
        let table = &mut world.table;
        let mut other = table.router(world.start.nodes[self.nodes[node]]).clone();
        for (port, to) in self.ports[node].iter().enumerate() {
            let slots = table.slots(number, port as u16);
            other.slots_mut()[2 * to..2 * to + 2].copy_from_slice(&slots);
            other.set_live(*to as u16, table.router(number).is_live(port as u16));
        }
        let turned = table.number(&other);
        let place = number as usize;
        self.turned.resize(self.turned.len().max(place + 1), 0);
        self.turned[place] = turned + 1;
        turned
    }
}

/// Every order of `names[from..]`; the first is the one that they are in.
fn permute(names: &mut Vec<usize>, from: usize, found: &mut impl FnMut(&[usize])) {
    if from == names.len() {
        found(names);
        return;
    }
    for place in from..names.len() {
        names.swap(from, place);
        permute(names, from + 1, found);
        names.swap(from, place);
    }
}

fn write(state: &State, key: &mut Vec<u8>) {
    for node in &state.nodes {
        key.extend(&node.to_le_bytes()[..3]);
    }
    key.push(state.aeos);
    for (channel, frame) in &state.frames {
        key.extend(channel.to_le_bytes());
        key.extend(frame.to_le_bytes());
    }
}

/// Reads what [`Symmetry::write`] wrote; failures stay as they are.
pub(super) fn read(key: &[u8], state: &mut State) {
    let (nodes, rest) = key.split_at(3 * state.nodes.len());
    for (node, bytes) in state.nodes.iter_mut().zip(nodes.chunks_exact(3)) {
        *node = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    }
    state.aeos = rest[0];
    state.frames.clear();
    let pair =
        |frame: &[u8]| (u16::from_le_bytes([frame[0], frame[1]]), u16::from_le_bytes([frame[2], frame[3]]));
    state.frames.extend(rest[1..].chunks_exact(4).map(pair));
}

/// Bits count only beside the bits that they are compared with: where a link's end knows of an odd number of reversals, it
/// may as well know of none, if the other end and what is between them take one away, too. Of what is cut nothing is compared.
pub(super) fn level(world: &mut World<'_>, state: &mut State) {
    for channel in 0..2 * world.map.link_count() {
        let ends = world.map.ends(channel / 2);
        let ((from, at_from), (to, at_to)) = (ends[channel % 2], ends[1 - channel % 2]);
        let sender = world.table.slots(state.nodes[from as usize], at_from)[0];
        if state.cut[channel / 2] {
            if sender.lseq() {
                toggle(world, state, from, Input::Reversed(at_from));
            }
            if sender.rseq() {
                toggle(world, state, from, Input::Heard(at_from));
            }
        } else if world.table.slots(state.nodes[to as usize], at_to)[0].rseq() {
            toggle(world, state, from, Input::Reversed(at_from));
            toggle(world, state, to, Input::Heard(at_to));
            for (_, frame) in state.frames.iter_mut().filter(|(other, _)| usize::from(*other) == channel) {
                *frame = world.table.flipped(*frame);
            }
        }
    }
}

fn toggle(world: &mut World<'_>, state: &mut State, node: u32, input: Input) {
    let node = &mut state.nodes[node as usize];
    let ways = world.table.step(*node, input);
    *node = world.table.effect(ways.start).to;
}
