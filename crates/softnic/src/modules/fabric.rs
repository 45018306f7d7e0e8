//! [`FabricModule`].

mod links;

use packet::{Batch, Packet, PortId};

use crate::engine::{Context, GATES_MAX, Gate, Module, monotonic_ns};
use crate::fabric::functions::SLOTS_MAX;
use crate::fabric::program::FUNCTION_PORTS;
use crate::fabric::{
    Counters, ExplainError, Explanation, FLOWS_MAX, Fabric, Policy, Program, ProgramError, Protocol, Tables,
    compile,
};

/// How long after the first program connections from before the start are picked up.
const ADOPTION_NS: u64 = 60_000_000_000;
/// How often flows are looked at that may have run out of time.
const EXPIRY_NS: u64 = 1_000_000_000;
/// Bounded steps of expiry made in one go; what is left waits for the next round of the worker.
const EXPIRY_STEPS: usize = 16;

pub use links::{FabricLinks, FabricLinksError};

/// Packets that one direction of an emulated link lets out in one go; the rest is due at once, in the next.
const RELEASE_MAX: usize = 256;

/// Runs the container network: see [`fabric`](crate::fabric).
///
/// *Input gates*: gate 0, for packets of every port; a packet's ingress port says which (`PortIn::numbered`). *Output
/// gates*: gate N leads to port N. Beyond [`PORTS_MAX`](Self::PORTS_MAX) ports there are gates for network functions, two in and
/// two out for each slot ([`function_gates`](Self::function_gates)).
///
/// Packets between two endpoints with an emulated link between them ([`set_links`](Self::set_links)) leave by its rate and after its
/// delay; all others at once.
///
/// An endpoint is attached once [`set_link`](Self::set_link) has said so of its port, before or after the program
/// that names it.
pub struct FabricModule {
    fabric: Fabric,
    links: FabricLinks,
    /// By port number.
    attached: Vec<bool>,
    /// By port number: those that are not ready.
    unready: Vec<bool>,
    expire_at_ns: Option<u64>,
}

impl FabricModule {
    /// Ports there may be: numbers are below.
    pub const PORTS_MAX: Gate = GATES_MAX - 2 * SLOTS_MAX;

    /// The output gates that lead to the two input gates of the network function in a slot, and the input gates that its two
    /// output gates lead to.
    #[must_use]
    pub const fn function_gates(slot: u16) -> [(Gate, Gate); 2] {
        let first = 2 * slot;
        [(Self::PORTS_MAX + first, 1 + first), (Self::PORTS_MAX + first + 1, 2 + first)]
    }

    /// A network of nobody, until a program is applied. The seed keys the hash tables.
    ///
    /// # Panics
    /// Never: the empty program is in order.
    pub fn new(seed: u64) -> Self {
        // Addresses that are nobody's: the dummy address of RFC 7600 and one of the discard prefix of RFC 6666.
        let nobody = Program::new([192, 0, 0, 8].into(), std::net::Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1));
        let tables = compile(&nobody).expect("an empty program is in order");
        Self {
            fabric: Fabric::with_tables(tables, seed, FLOWS_MAX),
            links: FabricLinks::default(),
            attached: Vec::new(),
            unready: Vec::new(),
            expire_at_ns: None,
        }
    }

    /// Says whether a port is there. Ports that are not are neither sent to nor balanced to.
    pub fn set_link(&mut self, port: PortId, up: bool) {
        let at = port.0 as usize;
        if at >= usize::from(Self::PORTS_MAX) {
            return;
        }
        if self.attached.len() <= at {
            self.attached.resize(at + 1, false);
        }
        self.attached[at] = up;
        self.fabric.set_link(port, up);
    }

    /// Says whether what is attached to a port is ready for what services give it; it is, unless this was said.
    pub fn set_ready(&mut self, port: PortId, ready: bool) {
        let at = port.0 as usize;
        if at >= usize::from(Self::PORTS_MAX) {
            return;
        }
        if self.unready.len() <= at {
            self.unready.resize(at + 1, false);
        }
        self.unready[at] = !ready;
        self.fabric.set_ready(port, ready);
    }

    /// Takes away what was attached to ports, and the flows that it had; returns how many.
    pub fn unplug(&mut self, ports: &[PortId]) -> u64 {
        let forgotten = self.fabric.forget(ports);
        self.links.unplug(ports);
        for port in ports {
            self.set_link(*port, false);
            self.set_ready(*port, true);
        }
        forgotten
    }

    /// Connections to each of these endpoints that are not over, and whether services give it new ones.
    pub fn rotation(&self, names: &[String]) -> Vec<(u64, bool)> {
        self.fabric.rotation(monotonic_ns(), names)
    }

    /// Puts emulated links in force: those of the program that is put in force next, or the same again.
    pub fn set_links(&mut self, links: FabricLinks) {
        self.links.replace(links);
    }

    /// Puts a program in force, and returns how many flows that cut. With the `first` one, connections that are
    /// underway between what is attached already are taken over for a minute.
    pub fn apply(&mut self, tables: Tables, first: bool) -> u64 {
        let cut = self.fabric.replace(tables);
        let ports: Vec<PortId> = self.fabric.ports().collect();
        for port in ports {
            let up = self.attached.get(port.0 as usize).copied().unwrap_or(false);
            self.fabric.set_link(port, up);
            self.fabric.set_ready(port, !self.unready.get(port.0 as usize).copied().unwrap_or(false));
        }
        if first {
            self.fabric.adopt_existing(monotonic_ns().saturating_add(ADOPTION_NS));
        }
        cut
    }

    /// [`FabricModule::apply`] for a program that is not compiled yet.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn apply_program(&mut self, program: &Program, first: bool) -> Result<u64, ProgramError> {
        Ok(self.apply(compile(program)?, first))
    }

    /// Counts packets that went away with a network function.
    pub fn count_lost(&mut self, packets: u64) {
        self.fabric.count_lost(packets);
    }

    /// Everything that is counted.
    pub fn counters(&self) -> Counters {
        Counters { links: self.links.counters(), ..self.fabric.counters() }
    }

    /// Everything that may pass.
    pub fn policy(&self) -> Policy {
        self.fabric.policy()
    }

    /// Whether a flow would pass, and why.
    ///
    /// # Errors
    /// A party that does not exist.
    pub fn explain(
        &self,
        source: &str,
        destination: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Explanation, ExplainError> {
        let explanation = self.fabric.explain(source, destination, protocol, port)?;
        let link =
            explanation.allowed.then(|| self.links.between(&explanation.source, destination)).flatten();
        Ok(Explanation { link, ..explanation })
    }
}

impl Module for FabricModule {
    fn class(&self) -> &'static str {
        "Fabric"
    }

    fn inputs(&self) -> Gate {
        1 + 2 * SLOTS_MAX
    }

    fn outputs(&self) -> Gate {
        GATES_MAX
    }

    fn process(&mut self, ctx: &mut Context<'_>, gate: Gate, batch: &mut Batch) {
        let now = ctx.now_ns();
        let Self { fabric, links, .. } = self;
        let mut out = |packet: Packet| {
            let between = packet.egress().0 >= FUNCTION_PORTS;
            if let Some(packet) = if between { Some(packet) } else { links.take(now, packet) } {
                leave(ctx, packet);
            }
        };
        match gate.checked_sub(1) {
            None => fabric.handle_batch(now, batch, &mut out),
            Some(from) => {
                batch.drain(..).for_each(|packet| fabric.resume(now, packet, from / 2, from % 2, &mut out));
            }
        }
        if self.expire_at_ns.is_none() {
            self.expire_at_ns = Some(now + EXPIRY_NS);
        }
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.expire_at_ns.into_iter().chain(self.links.next_deadline()).min()
    }

    fn exact(&self) -> bool {
        let link = self.links.next_deadline();
        link.is_some() && link == self.deadline_ns()
    }

    fn held(&self) -> usize {
        self.links.held()
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now_ns();
        self.links.release(now, RELEASE_MAX, |packet| leave(ctx, packet));
        if self.expire_at_ns.is_none_or(|at| at > now) {
            return;
        }
        let due = |fabric: &Fabric| fabric.next_deadline().is_some_and(|deadline| deadline <= now);
        for _ in 0..EXPIRY_STEPS {
            if !due(&self.fabric) {
                break;
            }
            self.fabric.expire(now);
        }
        // With flows there is something to look at again; the deadline itself may be hours away.
        let next = self.fabric.next_deadline();
        self.expire_at_ns =
            next.map(|deadline| if deadline <= now { now } else { deadline.max(now + EXPIRY_NS) });
    }
}

/// Lets a packet out where it goes.
fn leave(ctx: &mut Context<'_>, packet: Packet) {
    let port = packet.egress().0;
    let at = port.checked_sub(FUNCTION_PORTS).map_or(port, |gate| u32::from(FabricModule::PORTS_MAX) + gate);
    // A number above every gate is counted as one that leads nowhere.
    let gate = Gate::try_from(at).unwrap_or(Gate::MAX);
    ctx.emit(gate, packet);
}
