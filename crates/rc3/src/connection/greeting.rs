//! The client's side of the handshake: says HELLO until it is welcome.

use sim::Time;

use crate::secure::{Initiator, Key, Seal};
use crate::wire::{COOKIE_BYTES, Datagram, TOKEN_BYTES};

/// When a HELLO is said again, at first.
const AGAIN: Time = Time::from_secs(1);
/// Times the network says that nobody is there before it is believed.
const UNREACHABLE_MAX: u32 = 2;
/// Cookies it takes.
const RETRIES_MAX: u32 = 3;

#[derive(Debug)]
pub(super) struct Greeting {
    key: Key,
    initiator: Initiator,
    noise: Vec<u8>,
    cookie: Option<[u8; COOKIE_BYTES]>,
    began: Time,
    /// When the only HELLO that the WELCOME can answer went out.
    said: Option<Time>,
    due: Time,
    tries: u32,
    retries: u32,
    unreachable: u32,
}

/// What a WELCOME says.
pub(super) struct Welcome {
    pub(super) id: u64,
    pub(super) token: [u8; TOKEN_BYTES],
    pub(super) datagram: usize,
    pub(super) seal: Seal,
    pub(super) rtt: Option<Time>,
}

impl Greeting {
    pub(super) fn new(now: Time, key: Key, ephemeral: [u8; 32], datagram: usize) -> Option<Self> {
        let (initiator, noise) = Initiator::new(&key, ephemeral, &(datagram as u16).to_be_bytes()).ok()?;
        let (cookie, said) = (None, None);
        Some(Self {
            key,
            initiator,
            noise,
            cookie,
            began: now,
            said,
            due: now,
            tries: 0,
            retries: 0,
            unreachable: 0,
        })
    }

    pub(super) fn retry(&mut self, now: Time, cookie: &[u8; COOKIE_BYTES]) {
        if self.retries < RETRIES_MAX {
            (self.cookie, self.due, self.said, self.tries) = (Some(*cookie), now, None, 0);
            self.retries += 1;
        }
    }

    pub(super) fn welcome(&mut self, now: Time, noise: &[u8]) -> Option<Welcome> {
        let (payload, seal) = self.initiator.finish(noise, &self.key)?;
        let (datagram, rest) = payload.split_first_chunk()?;
        let (id, token) = rest.split_first_chunk()?;
        Some(Welcome {
            id: u64::from_be_bytes(*id),
            token: token.try_into().ok()?,
            datagram: usize::from(u16::from_be_bytes(*datagram)),
            seal,
            rtt: self.said.map(|said| now - said),
        })
    }

    /// Is it to be believed?
    pub(super) fn unreachable(&mut self) -> bool {
        self.unreachable += 1;
        self.unreachable >= UNREACHABLE_MAX
    }

    /// Is it too late?
    pub(super) fn timer(&self, now: Time, patience: Time) -> bool {
        self.began + patience <= now
    }

    pub(super) fn deadline(&self, patience: Time) -> Time {
        self.due.min(self.began + patience)
    }

    pub(super) fn poll(&mut self, now: Time, client: u64, out: &mut Vec<u8>) -> bool {
        if now < self.due {
            return false;
        }
        Datagram::Hello { client, cookie: self.cookie.as_ref(), noise: &self.noise }.emit(out);
        self.said = (self.tries == 0).then_some(now);
        self.due = now + AGAIN.times(1 << self.tries.min(3));
        self.tries += 1;
        true
    }
}
