//! What is to be sent.

use std::time::Duration;

use thiserror::Error;

use super::requests::Requests;
use crate::Version;
use crate::codec::{self, EncodeError};
use crate::message::{Body, Message};

/// Bytes that a channel keeps for its peer unless its configuration says otherwise.
pub const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Bytes whose memory is kept when all is sent.
const KEPT_BYTES: usize = 64 << 10;

/// Why a message is not sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// There is no agreement on a version yet, or the channel is down.
    #[error("the channel is not up")]
    NotUp,
    /// The peer does not read: a packet-in is dropped, anything else costs the peer the connection.
    #[error("the peer does not read")]
    Full,
    /// The version spoken has no such message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// As many requests wait for their replies as may ([`REQUESTS_MAX`](super::REQUESTS_MAX)), or nothing answers it.
    #[error("too many requests wait for replies, or no reply is to be expected")]
    Request,
}

/// What is to be sent to one peer: encoded, in order, and bounded.
///
/// It is apart from the rest of the [`Channel`](super::Channel) so that what answers a message can be written while the
/// message is still read where it lies.
#[derive(Debug)]
pub struct Outbox {
    version: Option<Version>,
    bytes: Vec<u8>,
    /// Bytes in front that are sent already.
    sent: usize,
    limit: usize,
    xid: u32,
    pub(super) requests: Requests,
    /// There was more to send than may wait.
    pub(super) overflown: bool,
    pub(super) messages: u64,
    pub(super) packet_ins_dropped: u64,
    /// At a switch: the number of this connection, for its features.
    pub(super) auxiliary: u8,
}

impl Outbox {
    pub(super) fn new(limit: usize, auxiliary: u8) -> Self {
        Self {
            version: None,
            bytes: Vec::new(),
            sent: 0,
            limit,
            xid: 0,
            requests: Requests::default(),
            overflown: false,
            messages: 0,
            packet_ins_dropped: 0,
            auxiliary,
        }
    }

    /// What is spoken, once that is agreed on.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    pub(super) fn agree(&mut self, version: Option<Version>) {
        self.version = version;
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether more waits than half of what may: packet-ins are dropped until there is less.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.waiting() > self.limit / 2
    }

    /// Packet-ins that were dropped since the peer did not read.
    #[must_use]
    pub fn packet_ins_dropped(&self) -> u64 {
        self.packet_ins_dropped
    }

    /// A transaction number that no request waits for.
    pub fn next_xid(&mut self) -> u32 {
        // One of the next 4097 is free, since at most 4096 wait.
        loop {
            self.xid = self.xid.wrapping_add(1);
            if self.xid != 0 && !self.requests.has(self.xid) {
                return self.xid;
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        self.send_as(message.xid, &message.body)
    }

    fn send_as(&mut self, xid: u32, body: &Body) -> Result<(), SendError> {
        let version = self.version.ok_or(SendError::NotUp)?;
        if self.overflown {
            return Err(SendError::Full);
        }
        if self.is_congested() && matches!(body, Body::PacketIn(_)) {
            self.packet_ins_dropped += 1;
            return Err(SendError::Full);
        }
        let before = self.bytes.len();
        codec::encode_body(version, xid, body, &mut self.bytes)?;
        if self.auxiliary != 0 && matches!(body, Body::FeaturesReply(_)) {
            self.number_features(before);
        }
        self.bounded(before)
    }

    /// Sends it under a transaction number of its own, which is returned.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send_body(&mut self, body: &Body) -> Result<u32, SendError> {
        let xid = self.next_xid();
        self.send_as(xid, body)?;
        Ok(xid)
    }

    /// Sends a request; its answer, or that there was none until `due`, comes as an
    /// [`Event::Answer`](super::Event::Answer) of the transaction that is returned.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn request(&mut self, due: Duration, body: &Body) -> Result<u32, SendError> {
        let xid = self.next_xid();
        if !self.requests.add(xid, body, due) {
            return Err(SendError::Request);
        }
        match self.send_as(xid, body) {
            Ok(()) => Ok(xid),
            Err(error) => {
                self.requests.forget(xid);
                Err(error)
            }
        }
    }

    /// Sends whole messages that are encoded already, for the version spoken.
    ///
    /// # Errors
    /// Then nothing of it is sent.
    pub fn send_encoded(&mut self, messages: &[u8]) -> Result<(), SendError> {
        if self.version.is_none() {
            return Err(SendError::NotUp);
        }
        self.raw(|out| out.extend(messages))
    }

    /// Has something written behind what waits, whatever the version.
    pub(super) fn raw(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), SendError> {
        if self.overflown {
            return Err(SendError::Full);
        }
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.bounded(before)
    }

    /// What was written from `before` on stays, if it is within the limit.
    fn bounded(&mut self, before: usize) -> Result<(), SendError> {
        if self.waiting() > self.limit {
            self.bytes.truncate(before);
            self.overflown = true;
            return Err(SendError::Full);
        }
        self.messages += 1;
        Ok(())
    }

    /// Writes the number of this connection into features of 1.3 (byte 21: header 8, datapath 8, buffers 4, tables 1).
    fn number_features(&mut self, at: usize) {
        const AUXILIARY: usize = 21;
        if self.version == Some(Version::V13)
            && let Some(byte) = self.bytes.get_mut(at + AUXILIARY)
        {
            *byte = self.auxiliary;
        }
    }

    pub(super) fn output(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.sent = 0;
        } else if self.sent >= self.waiting() && self.sent >= KEPT_BYTES {
            // What moves is less than what was sent.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }

    /// Gives memory back, when there has been nothing to do for a while.
    pub(super) fn relax(&mut self) {
        if self.waiting() == 0 {
            self.clear();
        }
    }
}
