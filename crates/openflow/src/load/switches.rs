//! The switches of a load.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use packet::wire::MacAddr;

use super::frames::Template;
use super::histogram::Histogram;
use super::{AHEAD_BYTES, LOOK_EVERY, LOST_AFTER, LoadConfig, Report, responder};
use crate::channel::{ConnectionId, Down, Event, Up};
use crate::codec;
use crate::flow::NO_BUFFER;
use crate::live::{Handler, Links};
use crate::wire::Header;

const FEATURES_REQUEST: u8 = 5;
const PACKET_OUT: u8 = 13;
const FLOW_MOD: u8 = 14;
/// Everybody.
const BROADCAST: MacAddr = MacAddr([0xff; 6]);
/// Packet-ins that a switch writes at a time.
const BURST: usize = 64;

/// All switches, and what they have counted.
#[derive(Debug)]
pub(super) struct Switches {
    config: LoadConfig,
    template: Template,
    switches: Vec<Switch>,
    by_connection: HashMap<ConnectionId, usize>,
    /// Switches whose features the controller has.
    ready: usize,
    running: bool,
    due: Option<Duration>,
    latency: Histogram,
    lost: u64,
    disconnected: u64,
    refusal: Option<String>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Switch {
    connection: Option<ConnectionId>,
    is_ready: bool,
    /// Frames sent, those that teach included.
    frames: u64,
    /// When the unanswered ones were sent.
    unanswered: VecDeque<Instant>,
    packet_ins: u64,
    flow_mods: u64,
    packet_outs: u64,
}

impl Switches {
    pub(super) fn new(config: &LoadConfig) -> Self {
        Self {
            config: config.clone(),
            template: Template::new(config.version),
            switches: Vec::new(),
            by_connection: HashMap::new(),
            ready: 0,
            running: false,
            due: None,
            latency: Histogram::default(),
            lost: 0,
            disconnected: 0,
            refusal: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Lets the hosts speak.
    pub(super) fn begin(&mut self, links: &mut Links<'_>) {
        self.running = true;
        for at in 0..self.switches.len() {
            self.fill(at, links);
        }
        self.look_again(links.now());
    }

    /// Forgets what was counted.
    pub(super) fn reset(&mut self) {
        for switch in &mut self.switches {
            (switch.packet_ins, switch.flow_mods, switch.packet_outs) = (0, 0, 0);
        }
        self.latency = Histogram::default();
        self.lost = 0;
    }

    pub(super) fn report(&mut self, report: &mut Report) {
        let flow_mods = || self.switches.iter().map(|switch| switch.flow_mods);
        report.packet_ins = self.switches.iter().map(|switch| switch.packet_ins).sum();
        report.packet_outs = self.switches.iter().map(|switch| switch.packet_outs).sum();
        report.flow_mods = flow_mods().sum();
        report.flow_mods_per_switch = (flow_mods().min().unwrap_or(0), flow_mods().max().unwrap_or(0));
        (report.lost, report.disconnected) = (self.lost, self.disconnected);
        report.latency = std::mem::take(&mut self.latency);
    }

    fn look_again(&mut self, now: Duration) {
        // Without a window a switch has something to send whenever its socket takes something.
        self.due = Some(if self.config.window.is_none() { now } else { now + LOOK_EVERY });
    }

    /// Has a switch send as much as it may.
    fn fill(&mut self, at: usize, links: &mut Links<'_>) {
        let Some(id) = self.switches[at].connection.filter(|_| self.running) else { return };
        let Some(outbox) = links.outbox(id) else { return };
        let switch = &mut self.switches[at];
        let room = match self.config.window {
            Some(window) => (window as usize).saturating_sub(switch.unanswered.len()),
            None if outbox.waiting() < AHEAD_BYTES => BURST,
            None => 0,
        };
        if room == 0 {
            return;
        }
        self.scratch.clear();
        let now = Instant::now();
        for _ in 0..room {
            let (source, destination) = ends(switch.frames, self.config.hosts as u64);
            let address = |host: u64| mac(at, host);
            let buffer = if self.config.buffers { switch.frames as u32 & 0x7fff_ffff } else { NO_BUFFER };
            let in_port = (source % u64::from(self.config.ports)) as u32 + 1;
            let destination = destination.map_or(BROADCAST, address);
            self.template.write(&mut self.scratch, buffer, in_port, address(source), destination);
            switch.frames += 1;
            switch.packet_ins += 1;
            if self.config.window.is_some() {
                switch.unanswered.push_back(now);
            }
        }
        // Of a channel that is not up nothing is expected.
        let _ = outbox.send_encoded(&self.scratch);
    }

    /// A response: pairs it with the oldest packet-in that has none.
    fn answered(&mut self, at: usize) {
        if let Some(sent) = self.switches[at].unanswered.pop_front() {
            self.latency.add(sent.elapsed().as_nanos() as u64);
        }
    }

    fn other(&mut self, at: usize, links: &mut Links<'_>, id: ConnectionId, bytes: &[u8], header: Header) {
        // What cannot be read is the controller's business.
        let Ok((version, message)) = codec::decode(bytes) else { return };
        let datapath = self.config.first_datapath + at as u64;
        if let Some(reply) = responder::answer(version, datapath, self.config.ports, &message, bytes) {
            let _ = links.send(id, &reply);
        }
        if header.kind == FEATURES_REQUEST && !self.switches[at].is_ready {
            self.switches[at].is_ready = true;
            self.ready += 1;
        }
    }
}

impl Handler for Switches {
    fn connected(&mut self, _links: &mut Links<'_>, id: ConnectionId, _up: Up) {
        // One that comes again takes the place of one that went.
        let free = self.switches.iter().position(|switch| switch.connection.is_none());
        let at = free.filter(|_| self.disconnected > 0).unwrap_or(self.switches.len());
        if at == self.switches.len() {
            self.switches.push(Switch {
                connection: None,
                is_ready: false,
                frames: 0,
                unanswered: VecDeque::new(),
                packet_ins: 0,
                flow_mods: 0,
                packet_outs: 0,
            });
        }
        self.switches[at].connection = Some(id);
        self.by_connection.insert(id, at);
    }

    fn event(&mut self, links: &mut Links<'_>, id: ConnectionId, event: Event<'_>) {
        let Some(&at) = self.by_connection.get(&id) else { return };
        let Event::Raw(bytes) = event else { return };
        let Ok(Some(header)) = Header::peek(bytes) else { return };
        let teaching = self.config.window.is_some() && self.switches[at].frames <= self.config.hosts as u64;
        match header.kind {
            FLOW_MOD => {
                // Those that clear the table when a switch comes up, or send misses to the controller, are no responses.
                if !self.running {
                    return;
                }
                self.switches[at].flow_mods += 1;
                self.answered(at);
                if self.config.window.is_some() {
                    self.fill(at, links);
                }
            }
            PACKET_OUT => {
                self.switches[at].packet_outs += 1;
                if teaching && self.running {
                    self.switches[at].unanswered.pop_front();
                    self.fill(at, links);
                }
            }
            _ => self.other(at, links, id, bytes, header),
        }
    }

    fn disconnected(&mut self, _links: &mut Links<'_>, id: ConnectionId, reason: &Down) {
        self.disconnected += 1;
        self.refusal = Some(reason.to_string());
        if let Some(at) = self.by_connection.remove(&id) {
            let switch = &mut self.switches[at];
            switch.connection = None;
            switch.unanswered.clear();
            if std::mem::take(&mut switch.is_ready) {
                self.ready -= 1;
            }
        }
    }

    fn refused(&mut self, _links: &mut Links<'_>, _peer: &str, reason: &Down) {
        self.refusal = Some(reason.to_string());
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.due
    }

    fn deadline(&mut self, links: &mut Links<'_>) {
        let window = self.config.window.is_some();
        let now = Instant::now();
        for at in 0..self.switches.len() {
            if window {
                let unanswered = &mut self.switches[at].unanswered;
                while unanswered.front().is_some_and(|sent| now - *sent > LOST_AFTER) {
                    unanswered.pop_front();
                    self.lost += 1;
                }
            }
            self.fill(at, links);
        }
        self.look_again(links.now());
    }
}

/// From which host to which the frame of that number goes: first from each to everybody, then from each to the next, who
/// is behind another port.
fn ends(frame: u64, hosts: u64) -> (u64, Option<u64>) {
    let source = frame % hosts;
    (source, (frame >= hosts).then(|| (source + 1) % hosts))
}

/// The address of a switch's host.
fn mac(switch: usize, host: u64) -> MacAddr {
    let [a, b] = (switch as u16).to_be_bytes();
    let [.., c, d, e] = host.to_be_bytes();
    MacAddr([2, a, b, c, d, e])
}
