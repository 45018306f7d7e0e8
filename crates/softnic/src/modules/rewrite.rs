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
    len: usize,
    /// The first of the chunks, which most have alone.
    first: [u8; CHUNK],
    chunks: Vec<[u8; CHUNK]>,
}

impl Template {
    fn new(frame: &[u8]) -> Self {
        let mut chunks = vec![[0; CHUNK]; frame.len().div_ceil(CHUNK)];
        chunks.as_flattened_mut()[..frame.len()].copy_from_slice(frame);
        Self { len: frame.len(), first: chunks.first().copied().unwrap_or([0; CHUNK]), chunks }
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

/// Makes a packet the template; how long it is then.
#[inline]
fn replace(packet: &mut Packet, template: &Template) -> usize {
    packet.set_offload(Offload::default());
    if packet.set_bounds(HEADROOM, template.len).is_err() {
        return replace_by_part(packet, template);
    }
    // Beyond its end a packet may hold anything.
    if let Some(first) = packet.room_mut().first_chunk_mut::<CHUNK>()
        && template.chunks.len() <= 1
    {
        *first = template.first;
    } else {
        replace_at_length(packet, template);
    }
    template.len
}

#[inline(never)]
fn replace_at_length(packet: &mut Packet, template: &Template) {
    let room = packet.room_mut();
    let (chunks, _) = room.as_chunks_mut::<CHUNK>();
    if chunks.len() >= template.chunks.len() {
        chunks.iter_mut().zip(&template.chunks).for_each(|(to, from)| *to = *from);
    } else {
        room[..template.len].copy_from_slice(&template.chunks.as_flattened()[..template.len]);
    }
}

/// [`replace`] where the buffer is too short for the template, or even for the headroom of a new packet: then the front stays
/// where it is.
#[cold]
fn replace_by_part(packet: &mut Packet, template: &Template) -> usize {
    let space = packet.headroom() + packet.len() + packet.tailroom();
    let headroom = if HEADROOM <= space { HEADROOM } else { packet.headroom() };
    let len = template.len.min(space - headroom);
    // It was cut to what there is.
    let _ = packet.set_bounds(headroom, len);
    packet.data_mut().copy_from_slice(&template.chunks.as_flattened()[..len]);
    len
}

impl Module for Rewrite {
    fn class(&self) -> &'static str {
        "Rewrite"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let count = self.templates.len();
        if count == 0 {
            return ctx.forward(0);
        }
        let (mut next, mut bytes) = (self.next, 0);
        for packet in batch {
            bytes += replace(packet, &self.templates[next]) as u64;
            next = if next + 1 < count { next + 1 } else { 0 };
        }
        self.next = next;
        ctx.forward_counted(0, bytes);
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
        // Too short for the template; for its headroom too; for whole chunks of it.
        for (room, headroom, front) in [(5, HEADROOM, HEADROOM), (5, 0, 0), (8, HEADROOM, HEADROOM)] {
            let config = PoolConfig { buffers: 1, room, headroom, ..PoolConfig::default() };
            let small = Pool::new(config).unwrap().packet(b"x");
            let left = rig.process(0, small);
            assert_eq!((left[0].1.data(), left[0].1.headroom()), (&b"template"[..room], front));
        }
    }

    #[test]
    fn templates_of_any_length_are_copied_whole() {
        let template = |length: usize| (0..length).map(|at| (at * 7 + length) as u8).collect::<Vec<u8>>();
        let lengths = [0, 1, 60, 63, 64, 65, 128, 129, 1000, Rewrite::LENGTH_MAX];
        let templates: Vec<Vec<u8>> = lengths.into_iter().map(template).collect();
        let mut rig = Rig::new(Rewrite::new(32, &templates).unwrap());
        for room in [packet::ROOM, 1540] {
            let pool = Pool::new(PoolConfig { buffers: 32, room, ..PoolConfig::default() }).unwrap();
            let blanks = lengths.map(|_| pool.packet(b"before").unwrap());
            for ((_, packet), template) in rig.process(0, blanks).iter().zip(&templates) {
                assert_eq!(packet.data(), template);
            }
        }
    }

    #[test]
    fn there_are_limits() {
        let wrong = Rewrite::new(2, &vec![vec![]; 3]).unwrap_err();
        assert_eq!(wrong, RewriteError::TooMany { most: 2, count: 3 });
        assert_eq!(Rewrite::new(2, &[vec![0; 1537]]).unwrap_err(), RewriteError::TooBig(1537));
        assert!(Rewrite::new(2, &[vec![0; 1536]]).is_ok());
    }
}
