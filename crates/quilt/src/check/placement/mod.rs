//! Whether every container finds a machine: by the kinds of machine it may run on, whom it is kept apart from or beside,
//! and what the machines have.
//!
//! Containers that no rule tells apart and that need the same are one class, machines that no rule tells apart and
//! that have the same are one kind ([`classes`]). What can be seen from classes alone is decided first, in time linear
//! in the blueprint: a container that fits no machine, more containers that want a machine for themselves than there
//! are, more cores or memory than the machines have. What is left is packed into the machines, largest first, and where
//! that fails by trying every other way ([`search`]). That is exact, and as hard as packing bins: it ends after
//! [`STEPS_MAX`] steps, and then says that it did.
//!
//! A container needs what it is limited to. One without limits needs nothing that is counted; a machine whose size is not
//! known has enough.
//!
//! ```
//! use quilt::check::placement::{place, Node};
//! use quilt::eval::{evaluate_text, Options};
//!
//! let text = "import {Container} from 'weft';
//! const db = new Container('db', {command: ['x'], memory: '4G'});
//! const web = new Container('web', {command: ['x'], replicas: 2, memory: '1G'});
//! web.apartFrom(db);
//! web.apartFrom(web);";
//! let blueprint = evaluate_text("shop.js", text, &Options::default())?.blueprint;
//! let node = |name: &str, gib: u64| Node { name: name.into(), memory_bytes: Some(gib << 30), ..Node::default() };
//! let obstacle = place(&blueprint, &[node("big", 8), node("small", 1)]).unwrap_err();
//! assert_eq!(obstacle.to_string(), "web-2 finds no machine: big has db on it, and web is kept apart from db (shop.js:4:1); \
//!     small has web-1 on it, and web is kept apart from web (shop.js:5:1)");
//! assert!(place(&blueprint, &[node("big", 8), node("small", 1), node("another", 1)]).is_ok());
//! # Ok::<(), quilt::fault::Faults>(())
//! ```

mod classes;
mod early;
mod search;
mod why;

use crate::machines::sizes;
use crate::model::{Blueprint, Floating, Machine, MachineKind, Role};

use classes::Classes;
pub use why::{Obstacle, Reason};

/// Most rules of placement in one blueprint.
pub const PLACEMENTS_MAX: usize = 1_000;
/// Most steps that packing may take: machines that are looked at for a container.
pub const STEPS_MAX: usize = 5_000_000;

/// A machine as far as placing is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// What it is called: `worker-2`.
    pub name: String,
    /// What rules ask about.
    pub kind: MachineKind,
    /// Thousandths of a core that it has, where that is known.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory that it has, where that is known.
    pub memory_bytes: Option<u64>,
}

/// Where each container can run, in the order of the blueprint; or what is in the way.
///
/// # Errors
/// When no assignment of containers to nodes keeps every rule and fits, or that takes too long to find out.
pub fn place<'n>(blueprint: &Blueprint, nodes: &'n [Node]) -> Result<Vec<&'n Node>, Obstacle> {
    let classes = Classes::of(blueprint, nodes);
    early::check(&classes)?;
    let found = search::search(&classes)?;
    Ok(found.into_iter().map(|node| &nodes[node]).collect())
}

/// What this machine is called where everything runs on it.
pub const THIS_MACHINE: &str = "this machine";

/// The same where one machine runs everything, as it does here: of which kind it is plays no part.
///
/// # Errors
/// What is in the way.
pub fn place_on_one(blueprint: &Blueprint, node: &Node) -> Result<(), Obstacle> {
    let mut alone = blueprint.clone();
    alone.placements.retain(|placement| !classes::is_about_machines(&placement.rule));
    place(&alone, std::slice::from_ref(node)).map(drop)
}

/// The machines that a blueprint asks for, masters among them: they run containers too. What the system of a machine
/// takes of it is not known here.
///
/// ```
/// use quilt::check::placement::nodes;
/// use quilt::eval::{evaluate_text, Options};
///
/// let text = "import {Container, Machine} from 'weft';
/// new Container('web', {command: ['x']});
/// new Machine({provider: 'Amazon', role: 'master'});
/// new Machine({provider: 'Amazon', size: 'm6i.large', replicas: 2});";
/// let nodes = nodes(&evaluate_text("shop.js", text, &Options::default())?.blueprint.machines.all);
/// assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["master-1", "worker-1", "worker-2"]);
/// assert_eq!((nodes[2].cpu_milli, nodes[2].memory_bytes), (Some(2_000), Some(8 << 30)));
/// # Ok::<(), quilt::fault::Faults>(())
/// ```
pub fn nodes(machines: &[Machine]) -> Vec<Node> {
    let mut counts = [0; 2];
    let node = |machine: &Machine| {
        let count = &mut counts[usize::from(machine.role == Role::Worker)];
        *count += 1;
        let size = sizes::of(&machine.provider).iter().find(|size| size.name == machine.size);
        let floating_ip = match &machine.floating {
            Floating::Of(address) => address.clone(),
            Floating::None | Floating::New => String::new(),
        };
        Node {
            name: format!("{}-{count}", machine.role),
            kind: MachineKind {
                provider: machine.provider.clone(),
                size: machine.size.clone(),
                region: machine.region.clone(),
                floating_ip,
            },
            cpu_milli: size.map(|size| u64::from(size.cores) * 1_000),
            memory_bytes: size.map(|size| (size.memory_gib * f64::from(1 << 30)) as u64),
        }
    };
    machines.iter().map(node).collect()
}

/// Whether there are machines enough: those that the blueprint asks for, or else one, which has enough of everything.
pub(crate) fn enough(blueprint: &Blueprint) -> Result<(), Obstacle> {
    if blueprint.machines.is_empty() {
        return place_on_one(blueprint, &Node { name: THIS_MACHINE.into(), ..Node::default() });
    }
    place(blueprint, &nodes(&blueprint.machines.all)).map(drop)
}
