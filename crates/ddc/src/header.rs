//! What a packet carries: one byte of Data-Driven Connectivity, and up to [`HEADER_BYTES_MAX`] while its walk is bounded.
//!
//! ```text
//!  byte 0   bit 0 seq · bit 1 vnode · bits 2–3 phase (plain, patient, scout, ghost) · bits 4–7 failed links that follow
//!  byte 1   patient: hops it still waits for the graph to lead it · scout: hops it may still take
//!  then     scout: a big-endian u16 for each failed link that it met
//! ```

/// The most failed links that a scout remembers. Where it meets more it goes on as a plain packet.
pub const MET_MAX: usize = 12;
/// The longest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 2 + 2 * MET_MAX;

/// The header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The paper's bit: how often, modulo 2, the sender has reversed this link.
    pub seq: bool,
    /// Which of two virtual ends of the link the packet is between.
    pub vnode: bool,
    /// Whether and how its walk is bounded.
    pub phase: Phase,
}

/// How a packet is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// By the link directions alone, for as long as it takes: the paper's protocol.
    Plain,
    /// By the link directions until it meets a node that must reverse, or has made this many more hops.
    Patient(u8),
    /// By the map without the failed links that it met.
    Scout(Scout),
    /// As a plain packet, but there is nothing in it: it reverses what the packet that became a scout would have reversed,
    /// and is thrown away at the destination.
    Ghost,
}

/// What a scout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scout {
    /// The hops that it may still take. Only maps that differ from router to router use them up.
    pub hops_left: u8,
    count: u8,
    met: [u16; MET_MAX],
}

impl Scout {
    /// One that has met nothing.
    pub const fn new(hops_left: u8) -> Self {
        Self { hops_left, count: 0, met: [0; MET_MAX] }
    }

    /// The failed links that it met, in that order.
    pub fn met(&self) -> &[u16] {
        &self.met[..usize::from(self.count)]
    }

    /// Remembers a failed link; false where there is no room.
    pub fn meet(&mut self, link: u16) -> bool {
        let Some(place) = self.met.get_mut(usize::from(self.count)) else { return false };
        *place = link;
        self.count += 1;
        true
    }
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is cut off.
    #[error("a header of {needed} bytes, of which {found} are there")]
    Short {
        /// How long it should be.
        needed: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// More failed links than a scout remembers, or failed links without a scout.
    #[error("{count} failed links in phase {phase}")]
    Count {
        /// How many.
        count: u8,
        /// In which phase.
        phase: u8,
    },
}

impl Header {
    /// A packet that has not been anywhere.
    pub const fn new(phase: Phase) -> Self {
        Self { seq: false, vnode: false, phase }
    }

    /// How many bytes it takes.
    pub fn wire_bytes(&self) -> usize {
        match &self.phase {
            Phase::Plain | Phase::Ghost => 1,
            Phase::Patient(_) => 2,
            Phase::Scout(scout) => 2 + 2 * scout.met().len(),
        }
    }

    /// Appends it to a packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (phase, count) = match &self.phase {
            Phase::Plain => (0, 0),
            Phase::Patient(_) => (1, 0),
            Phase::Scout(scout) => (2, scout.count),
            Phase::Ghost => (3, 0),
        };
        out.push(u8::from(self.seq) | u8::from(self.vnode) << 1 | phase << 2 | count << 4);
        match &self.phase {
            Phase::Plain | Phase::Ghost => {}
            Phase::Patient(patience) => out.push(*patience),
            Phase::Scout(scout) => {
                out.push(scout.hops_left);
                out.extend(scout.met().iter().flat_map(|link| link.to_be_bytes()));
            }
        }
    }

    /// Reads it from the front of a packet; also says how many bytes it took.
    ///
    /// # Errors
    /// When it is cut off, or says what no header says.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        let short = |needed| HeaderError::Short { needed, found: bytes.len() };
        let first = *bytes.first().ok_or(short(1))?;
        let (phase, count) = (first >> 2 & 3, first >> 4);
        let header = |phase| Self { seq: first & 1 != 0, vnode: first & 2 != 0, phase };
        if usize::from(count) > MET_MAX || (phase != 2 && count > 0) {
            return Err(HeaderError::Count { count, phase });
        }
        if phase == 0 || phase == 3 {
            return Ok((header(if phase == 0 { Phase::Plain } else { Phase::Ghost }), 1));
        }
        let length = 2 + 2 * usize::from(count);
        let body = bytes.get(1..length).ok_or(short(length))?;
        if phase == 1 {
            return Ok((header(Phase::Patient(body[0])), length));
        }
        let mut scout = Scout::new(body[0]);
        for link in body[1..].chunks_exact(2) {
            scout.meet(u16::from_be_bytes([link[0], link[1]]));
        }
        Ok((header(Phase::Scout(scout)), length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut scout = Scout::new(7);
        for link in 0..MET_MAX as u16 {
            assert!(scout.meet(link * 5000));
        }
        assert!(!scout.meet(1), "full");
        for phase in [
            Phase::Plain,
            Phase::Patient(9),
            Phase::Ghost,
            Phase::Scout(Scout::new(255)),
            Phase::Scout(scout),
        ] {
            for bits in 0..4 {
                let header = Header { seq: bits & 1 != 0, vnode: bits & 2 != 0, phase };
                let mut bytes = Vec::new();
                header.write(&mut bytes);
                assert_eq!(
                    (bytes.len(), Ok((header, bytes.len()))),
                    (header.wire_bytes(), Header::read(&bytes))
                );
                for cut in 0..bytes.len() {
                    let found = Header::read(&bytes[..cut]);
                    assert!(matches!(found, Err(HeaderError::Short { .. })), "{found:?} of {cut} bytes");
                }
            }
        }
    }

    #[test]
    fn every_first_byte_is_answered() {
        for first in 0..=255 {
            let bytes = [&[first][..], &[1; HEADER_BYTES_MAX]].concat();
            if let Ok((header, length)) = Header::read(&bytes) {
                let mut again = Vec::new();
                header.write(&mut again);
                assert_eq!(again, bytes[..length]);
            }
        }
        assert_eq!(Header::read(&[13 << 4 | 2 << 2]), Err(HeaderError::Count { count: 13, phase: 2 }));
    }
}
