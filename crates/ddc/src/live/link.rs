//! One end of a link: whether it is alive, the order of its frames, and control messages that are repeated until they are heard.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::site::Timers;
use super::verdict::Refused;
use super::wire::{Control, ITEMS_MAX, Item, Kind, Shim};

/// The most messages that wait to be heard. With more the link is given up, which forgets them at both ends.
const WAITING_MAX: usize = 8192;

/// What a link has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounts {
    /// How often it came to life.
    pub ups: u64,
    /// How often it was given up because nothing was heard.
    pub timeouts: u64,
    /// Packets and ghosts sent.
    pub sent: u64,
    /// Packets and ghosts received.
    pub received: u64,
    /// Frames that are missing between those that came.
    pub missing: u64,
    /// Control frames sent.
    pub control_sent: u64,
    /// Control messages sent again.
    pub repeated: u64,
    /// Control frames of a router with another network file.
    pub foreign: u64,
}

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Up,
    Down,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    hello_ns: u64,
    dead_ns: u64,
    digest: u32,
    /// Does the port have a carrier?
    carrier: bool,
    up: bool,
    /// This end's number of this life, and the other end's as it was heard (0: not).
    session: u32,
    peer: u32,
    heard_ns: u64,
    /// Was it spared since then, because this end had not listened either?
    spared: bool,
    hello_at_ns: u64,
    next_sequence: u32,
    last_sequence: Option<u32>,
    /// Messages that were not yet acknowledged; the first has the number `acknowledged`, and `sent` of them were sent.
    waiting: VecDeque<Item>,
    acknowledged: u16,
    sent: usize,
    repeat_at_ns: Option<u64>,
    /// Messages received.
    received: u16,
    /// Is something to be said at once?
    owes: bool,
    pub(super) counts: LinkCounts,
}

impl Link {
    /// A link that does not live. No two lives of an end may have the same number, across restarts: `session` is where they begin.
    pub(super) fn new(timers: &Timers, digest: u32, session: u32, now_ns: u64) -> Self {
        Self {
            hello_ns: timers.hello_ns,
            dead_ns: timers.dead_ns,
            digest,
            carrier: false,
            up: false,
            session: session.max(1),
            peer: 0,
            heard_ns: now_ns,
            spared: false,
            hello_at_ns: now_ns,
            next_sequence: 0,
            last_sequence: None,
            waiting: VecDeque::new(),
            acknowledged: 0,
            sent: 0,
            repeat_at_ns: None,
            received: 0,
            owes: false,
            counts: LinkCounts::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    fn go_down(&mut self) -> Change {
        let change = if self.up { Change::Down } else { Change::None };
        self.up = false;
        self.session = self.session.wrapping_add(1).max(1);
        self.peer = 0;
        self.waiting.clear();
        (self.acknowledged, self.sent, self.received) = (0, 0, 0);
        self.repeat_at_ns = None;
        self.owes = true;
        change
    }

    pub(super) fn set_carrier(&mut self, carrier: bool) -> Change {
        if self.carrier == carrier {
            return Change::None;
        }
        self.carrier = carrier;
        self.owes = true;
        if carrier { Change::None } else { self.go_down() }
    }

    /// Takes a control frame; gives what became of the link, and what the other end says.
    pub(super) fn hear(
        &mut self,
        now_ns: u64,
        shim: Shim,
        mut control: Control,
    ) -> Result<(Change, Vec<Item>), Refused> {
        if control.digest != self.digest {
            self.counts.foreign += 1;
            return Err(Refused::Foreign);
        }
        if !self.carrier || control.session == 0 {
            return Err(Refused::Stale);
        }
        let known = control.session == self.peer;
        if known {
            self.follow(shim.sequence)?;
        }
        let mut change = Change::None;
        if self.up && (!known || control.peer != self.session) {
            change = self.go_down();
        }
        if control.session != self.peer {
            self.peer = control.session;
            self.last_sequence = Some(shim.sequence);
            self.owes = true;
        }
        (self.heard_ns, self.spared) = (now_ns, false);
        if !self.up && control.peer == self.session {
            self.up = true;
            self.counts.ups += 1;
            self.owes = true;
            change = Change::Up;
        }
        let mut items = Vec::new();
        if self.up {
            self.acknowledge(now_ns, control.received);
            for (at, item) in control.items.drain(..).enumerate() {
                self.owes = true;
                if control.first.wrapping_add(at as u16) == self.received {
                    self.received = self.received.wrapping_add(1);
                    items.push(item);
                }
            }
        }
        Ok((change, items))
    }

    fn acknowledge(&mut self, now_ns: u64, received: u16) {
        let newly = usize::from(received.wrapping_sub(self.acknowledged));
        if newly == 0 || newly > self.sent {
            return;
        }
        self.waiting.drain(..newly);
        self.sent -= newly;
        self.acknowledged = received;
        self.repeat_at_ns = (self.sent > 0).then(|| now_ns + self.repeat_ns());
    }

    fn repeat_ns(&self) -> u64 {
        self.hello_ns / 2 + 1
    }

    /// May a packet or ghost be used?
    pub(super) fn accept(&mut self, now_ns: u64, shim: Shim) -> Result<(), Refused> {
        if !self.up || shim.session != self.peer as u8 {
            return Err(Refused::Stale);
        }
        self.follow(shim.sequence)?;
        (self.heard_ns, self.spared) = (now_ns, false);
        if shim.messages != self.received {
            return Err(Refused::Ahead);
        }
        self.counts.received += 1;
        Ok(())
    }

    fn follow(&mut self, sequence: u32) -> Result<(), Refused> {
        if let Some(last) = self.last_sequence {
            match sequence.wrapping_sub(last) {
                1.. if sequence.wrapping_sub(last) < 1 << 31 => {
                    self.counts.missing += u64::from(sequence.wrapping_sub(last) - 1);
                }
                _ => return Err(Refused::Late),
            }
        }
        self.last_sequence = Some(sequence);
        Ok(())
    }

    /// What the next frame begins with.
    pub(super) fn seal(&mut self, kind: Kind) -> Shim {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        match kind {
            Kind::Control => self.counts.control_sent += 1,
            Kind::Packet | Kind::Ghost => self.counts.sent += 1,
        }
        let messages = self.acknowledged.wrapping_add(self.waiting.len() as u16);
        Shim { kind, session: self.session as u8, sequence, messages }
    }

    /// Takes a message that is to be heard at the other end. Where too many wait, the link is given up.
    pub(super) fn say(&mut self, item: Item) -> Change {
        if !self.up {
            return Change::None;
        }
        if self.waiting.len() >= WAITING_MAX {
            return self.go_down();
        }
        self.waiting.push_back(item);
        Change::None
    }

    /// The next control frame, if there is something to be said.
    pub(super) fn poll(&mut self, now_ns: u64) -> Option<Vec<u8>> {
        let unsent = self.waiting.len() - self.sent;
        if !self.carrier || (unsent == 0 && !self.owes && now_ns < self.hello_at_ns) {
            return None;
        }
        let items: Vec<Item> = self.waiting.iter().skip(self.sent).take(ITEMS_MAX).copied().collect();
        let first = self.acknowledged.wrapping_add(self.sent as u16);
        if !items.is_empty() {
            self.sent += items.len();
            self.repeat_at_ns = Some(now_ns + self.repeat_ns());
        }
        self.owes = false;
        self.hello_at_ns = now_ns + self.hello_ns;
        let (session, peer, received) = (self.session, self.peer, self.received);
        let mut frame = Vec::new();
        self.seal(Kind::Control).write(&mut frame);
        Control { digest: self.digest, session, peer, received, first, items }.write(&mut frame);
        Some(frame)
    }

    /// Looks at the time. An end that is `late` may have what it waits for in its queues: it spares the link once.
    pub(super) fn expire(&mut self, now_ns: u64, late: bool) -> Change {
        if self.repeat_at_ns.is_some_and(|at| at <= now_ns) {
            self.repeat_at_ns = None;
            self.counts.repeated += self.sent as u64;
            self.sent = 0;
        }
        if self.up && now_ns >= self.heard_ns.saturating_add(self.dead_ns) {
            if late && !self.spared {
                self.spared = true;
                self.heard_ns = (now_ns + self.hello_ns).saturating_sub(self.dead_ns);
                return Change::None;
            }
            self.counts.timeouts += 1;
            return self.go_down();
        }
        Change::None
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        if !self.carrier {
            return None;
        }
        let dead = self.up.then(|| self.heard_ns.saturating_add(self.dead_ns));
        [Some(self.hello_at_ns), dead, self.repeat_at_ns].into_iter().flatten().min()
    }
}
