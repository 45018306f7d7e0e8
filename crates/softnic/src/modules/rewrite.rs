//! [`Rewrite`].

use packet::{Batch, HEADROOM, Offload, Packet};

use crate::engine::{Context, Gate, Module};

/// Replaces each packet by the next of its templates.
///
/// *Input gates*: one. *Output gates*: one.
///
/// Templates follow each other in turn, across batches. There are up to as many as asked for when it is made
/// ([`Rewrite::TEMPLATES_MAX`] at most), of up to [`Rewrite::LENGTH_MAX`] bytes; without any, packets stay as they are. A
/// packet keeps its metadata and gets its headroom back; what was left to the last hop is not left any more. Where a
/// buffer is shorter than a template, the template is cut.
///
/// ```
/// let rewrite = softnic::modules::Rewrite::new(32, &[vec![0; 60], vec![1; 64]])?;
/// # Ok::<(), softnic::modules::RewriteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rewrite {
    templates: Vec<Template>,
    most: usize,
    next: usize,
}

/// Bytes that are copied at once, of a number that the compiler knows: a cache line.
const CHUNK: usize = 64;

/// A frame, followed by zeros up to a multiple of [`CHUNK`].
#[derive(Clone, Debug)]
struct Template {
    chunks: Vec<[u8; CHUNK]>,
    len: usize,
}

impl Template {
    fn new(frame: &[u8]) -> Self {
        let mut chunks = vec![[0; CHUNK]; frame.len().div_ceil(CHUNK)];
        chunks.as_flattened_mut()[..frame.len()].copy_from_slice(frame);
        Self { chunks, len: frame.len() }
    }
}

/// Templates that [`Rewrite`] does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// More than it was made for.
    #[error("max {most} packet templates can be used, not {count}")]
    TooMany {
        /// How many it was made for.
        most: usize,
        /// How many there would be.
        count: usize,
    },
    /// A longer one than it may be.
    #[error("template is too big: {0} bytes, {max} at most", max = Rewrite::LENGTH_MAX)]
    TooBig(usize),
}

impl Rewrite {
    /// The most templates.
    pub const TEMPLATES_MAX: usize = 64;
    /// The longest template.
    pub const LENGTH_MAX: usize = 1536;

    /// Room for `most` templates, and the first of them.
    ///
    /// # Errors
    /// See [`RewriteError`].
    pub fn new(most: usize, templates: &[Vec<u8>]) -> Result<Self, RewriteError> {
        let most = most.min(Self::TEMPLATES_MAX);
        let mut module = Self { templates: Vec::with_capacity(most), most, next: 0 };
        module.add(templates)?;
        Ok(module)
    }

    /// More templates, behind those there are: all of them or, after an error, none.
    ///
    /// # Errors
    /// See [`RewriteError`].
    pub fn add(&mut self, templates: &[Vec<u8>]) -> Result<(), RewriteError> {
        let count = self.templates.len() + templates.len();
        if count > self.most {
            return Err(RewriteError::TooMany { most: self.most, count });
        }
        if let Some(big) = templates.iter().map(Vec::len).find(|length| *length > Self::LENGTH_MAX) {
            return Err(RewriteError::TooBig(big));
        }
        self.templates.extend(templates.iter().map(|frame| Template::new(frame)));
        Ok(())
    }

    /// Lets packets pass as they are, until templates are added.
    pub fn clear(&mut self) {
        self.templates.clear();
        self.next = 0;
    }
}

#[inline]
fn replace(packet: &mut Packet, template: &Template) {
    if packet.headroom() != HEADROOM {
        reset_front(packet);
    }
    let room = packet.room_mut();
    let (chunks, _) = room.as_chunks_mut::<CHUNK>();
    if chunks.len() >= template.chunks.len() {
        // Beyond its end a packet may hold anything.
        chunks.iter_mut().zip(&template.chunks).for_each(|(to, from)| *to = *from);
    } else {
        let len = template.len.min(room.len());
        room[..len].copy_from_slice(&template.chunks.as_flattened()[..len]);
    }
    let len = template.len.min(room.len());
    // It was cut to what there is.
    let _ = packet.set_len(len);
    packet.set_offload(Offload::default());
}

/// Moves a packet's front to where a new packet has it, as far as its buffer reaches.
#[cold]
fn reset_front(packet: &mut Packet) {
    match packet.headroom().checked_sub(HEADROOM) {
        Some(more) => drop(packet.prepend(more)),
        None => {
            let less = HEADROOM - packet.headroom();
            if packet.set_len(less).is_ok() {
                packet.trim_front(less);
            }
        }
    }
}

impl Module for Rewrite {
    fn class(&self) -> &'static str {
        "Rewrite"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        let count = self.templates.len();
        if count == 0 {
            return;
        }
        let mut next = self.next;
        for packet in batch {
            replace(packet, &self.templates[next]);
            next = if next + 1 < count { next + 1 } else { 0 };
        }
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use packet::{Pool, PoolConfig};

    use super::super::frames::packet;
    use super::*;
    use crate::engine::rig::{Own, Rig};

    fn lengths(rig: &mut Own<Rewrite>, count: usize) -> Vec<usize> {
        let left = rig.process(0, (0..count).map(|_| packet(b"before")));
        left.iter().map(|(_, packet)| packet.len()).collect()
    }

    #[test]
    fn templates_come_in_turn_across_batches() {
        let templates: Vec<Vec<u8>> = (1..=3).map(|length| vec![length as u8; length]).collect();
        let mut rig = Rig::new(Rewrite::new(32, &templates).unwrap());
        assert_eq!(lengths(&mut rig, 5), [1, 2, 3, 1, 2]);
        assert_eq!(lengths(&mut rig, 2), [3, 1]);
        rig.module.add(&[vec![4; 4]]).unwrap();
        assert_eq!(lengths(&mut rig, 4), [2, 3, 4, 1]);
        rig.module.clear();
        assert_eq!(lengths(&mut rig, 2), [6, 6]);
        rig.module.add(&[vec![9; 9]]).unwrap();
        assert_eq!(lengths(&mut rig, 2), [9, 9]);
    }

    #[test]
    fn wherever_the_front_was_the_packet_is_as_new() {
        let mut rig = Rig::new(Rewrite::new(32, &[b"template".to_vec()]).unwrap());
        let mut moved = [packet(&[1; 100]), packet(&[1; 100]), packet(&[])];
        moved[0].prepend(20).unwrap().fill(2);
        moved[1].trim_front(90);
        for (_, packet) in rig.process(0, moved) {
            assert_eq!((packet.data(), packet.headroom()), (&b"template"[..], HEADROOM));
        }
        let small =
            Pool::new(PoolConfig { buffers: 1, room: 5, headroom: 0, ..PoolConfig::default() }).unwrap();
        let left = rig.process(0, small.packet(b"x"));
        assert_eq!(left[0].1.data(), b"templ");
    }

    #[test]
    fn there_are_limits() {
        let wrong = Rewrite::new(2, &vec![vec![]; 3]).unwrap_err();
        assert_eq!(wrong, RewriteError::TooMany { most: 2, count: 3 });
        assert_eq!(Rewrite::new(2, &[vec![0; 1537]]).unwrap_err(), RewriteError::TooBig(1537));
        assert!(Rewrite::new(2, &[vec![0; 1536]]).is_ok());
    }
}
