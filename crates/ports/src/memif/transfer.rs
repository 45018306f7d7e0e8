//! Packets out of a ring and into it.

use arrayvec::ArrayVec;
use packet::{BATCH, Batch, Packet, Pool};

use super::half::{Fault, Fill, Half, Piece};
use crate::finish::{self, Segments};

/// What came of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Packets that were received or sent.
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    /// What the other side has done wrong: the connection is of no more use.
    pub(super) fault: Option<Fault>,
}

/// Adds as many packets to the batch as wait and as it and the pool have room for. Frames that are empty, longer than a
/// buffer or not complete are dropped.
pub(super) fn receive<H: Half>(half: &mut H, pool: &Pool, batch: &mut Batch) -> Tally {
    let mut tally = Tally::default();
    let ready = match half.ready(batch.room() as u16) {
        Ok(ready) => ready,
        Err(fault) => return Tally { fault: Some(fault), ..tally },
    };
    // All descriptors first, so that the frames' lines are on their way while the first are copied.
    let mut pieces = ArrayVec::<Piece<'_>, BATCH>::new();
    for ahead in 0..ready.min(batch.room() as u16) {
        match half.piece(ahead) {
            Ok(piece) => {
                piece.place.prefetch();
                pieces.push(piece);
            }
            Err(fault) => {
                tally.fault = Some(fault);
                break;
            }
        }
    }
    let got = pool.alloc_batch(pieces.len(), batch);
    let mut next = batch.len() - got;
    let mut used = 0;
    while next < batch.len() && used < pieces.len() {
        let packet = &mut batch[next];
        let piece = pieces[used];
        let whole = if piece.more {
            match gather(half, &pieces, used, ready, packet) {
                Ok((count, whole)) => {
                    used += count;
                    whole
                }
                Err(fault) => {
                    tally.fault = Some(fault);
                    break;
                }
            }
        } else {
            used += 1;
            append(packet, piece)
        };
        if whole && !packet.is_empty() {
            tally.packets += 1;
            tally.bytes += packet.len() as u64;
            next += 1;
        } else {
            packet.truncate(0);
            tally.dropped += 1;
        }
    }
    drop(pieces);
    while batch.len() > next {
        batch.pop();
    }
    if tally.fault.is_some() {
        // The packet that it was found in; whatever follows is never looked at.
        tally.dropped += 1;
    }
    if used > 0 {
        // No more than the ring has.
        half.hand_over(used as u16);
    }
    tally
}

/// Copies a piece to the end of a packet; false when it has no room for it.
#[inline]
fn append(packet: &mut Packet, piece: Piece<'_>) -> bool {
    packet.append(piece.place.len()).map(|bytes| piece.place.read(bytes)).is_ok()
}

/// Copies a frame that lies in more than one piece; returns how many, and whether all of it was there and fitted.
#[cold]
fn gather<H: Half>(
    half: &H,
    pieces: &[Piece<'_>],
    first: usize,
    ready: u16,
    packet: &mut Packet,
) -> Result<(usize, bool), Fault> {
    let mut fits = true;
    for at in first..usize::from(ready) {
        let piece = match pieces.get(at) {
            Some(&piece) => piece,
            None => half.piece(at as u16)?,
        };
        fits = fits && append(packet, piece);
        if !piece.more {
            return Ok((at + 1 - first, fits));
        }
    }
    Ok((usize::from(ready) - first, false))
}

/// What became of a frame.
enum Sent {
    /// It is in the ring.
    Whole,
    /// It can never be sent.
    Never,
    /// There is no space now.
    Full,
}

/// Takes packets from the front of the batch; returns how many it took besides what came of it. What is left there has no
/// space now. `segment` is where large packets are cut.
pub(super) fn send<H: Fill>(half: &mut H, batch: &mut Batch, segment: &mut Vec<u8>) -> (usize, Tally) {
    let mut writer = Writer { half, ahead: 0, ready: 0, tally: Tally::default() };
    let taken = writer.send(batch, segment).unwrap_or_else(|(taken, fault)| {
        writer.tally.fault = Some(fault);
        taken
    });
    let Writer { ahead, tally, .. } = writer;
    if ahead > 0 {
        half.hand_over(ahead);
    }
    batch.drop_front(taken);
    (taken, tally)
}

struct Writer<'a, H> {
    half: &'a mut H,
    /// Descriptors that were filled and not handed over yet.
    ahead: u16,
    ready: u16,
    tally: Tally,
}

impl<H: Fill> Writer<'_, H> {
    fn send(&mut self, batch: &mut Batch, segment: &mut Vec<u8>) -> Result<usize, (usize, Fault)> {
        self.ready = self.half.ready(batch.len() as u16).map_err(|fault| (0, fault))?;
        for (taken, packet) in batch.iter_mut().enumerate() {
            let whole = match packet.offload().segmentation {
                None => self.whole(packet),
                Some(wanted) => match Segments::new(packet, wanted, false) {
                    Ok(segments) => self.segments(segments, segment),
                    Err(_) => {
                        self.tally.dropped += 1;
                        Ok(true)
                    }
                },
            };
            match whole {
                Ok(true) => {}
                Ok(false) => return Ok(taken),
                Err(fault) => return Err((taken, fault)),
            }
        }
        Ok(batch.len())
    }

    /// Sends a packet in one piece; false when there is no space.
    #[inline]
    fn whole(&mut self, packet: &mut Packet) -> Result<bool, Fault> {
        let sent = match finish::complete(packet) {
            Ok(()) => self.place(packet.data())?,
            Err(_) => Sent::Never,
        };
        match sent {
            Sent::Whole => self.count(packet.len()),
            Sent::Never => self.tally.dropped += 1,
            Sent::Full => return Ok(false),
        }
        Ok(true)
    }

    /// Sends the segments of a packet; false when there is no space for the first. When there is none on the way, the rest
    /// is lost, as in any queue.
    #[cold]
    fn segments(&mut self, mut segments: Segments<'_>, segment: &mut Vec<u8>) -> Result<bool, Fault> {
        segment.resize(segments.frame_len_max(), 0);
        let mut first = true;
        while let Some(len) = segments.write_next(segment) {
            match self.place(&segment[..len])? {
                Sent::Whole => self.count(len),
                Sent::Full if first => return Ok(false),
                Sent::Full | Sent::Never => {
                    self.tally.dropped += segments.len() as u64 + 1;
                    return Ok(true);
                }
            }
            first = false;
        }
        Ok(true)
    }

    fn count(&mut self, len: usize) {
        self.tally.packets += 1;
        self.tally.bytes += len as u64;
    }

    #[inline]
    fn place(&mut self, frame: &[u8]) -> Result<Sent, Fault> {
        if self.ahead < self.ready && !frame.is_empty() {
            let piece = self.half.piece(self.ahead)?;
            if frame.len() <= piece.place.len() {
                piece.place.write(frame);
                self.half.fill(self.ahead, &piece, frame.len() as u32, false);
                self.ahead += 1;
                return Ok(Sent::Whole);
            }
        }
        self.spread(frame)
    }

    /// Puts a frame into as many buffers as it takes, or says why not.
    #[cold]
    fn spread(&mut self, frame: &[u8]) -> Result<Sent, Fault> {
        if frame.is_empty() {
            return Ok(Sent::Never);
        }
        let entries = self.half.entries();
        self.ready = self.half.ready(entries)?;
        let (mut room, mut count) = (0, 0);
        while room < frame.len() {
            if self.ahead + count >= self.ready {
                return Ok(if count == entries { Sent::Never } else { Sent::Full });
            }
            room += self.half.piece(self.ahead + count)?.place.len();
            count += 1;
        }
        let mut rest = frame;
        for ahead in self.ahead..self.ahead + count {
            let piece = self.half.piece(ahead)?;
            let (part, after) = rest.split_at(rest.len().min(piece.place.len()));
            piece.place.write(part);
            self.half.fill(ahead, &piece, part.len() as u32, !after.is_empty());
            rest = after;
        }
        if !rest.is_empty() {
            // What the descriptors say was more a moment ago.
            return Err(Fault::Buffer);
        }
        self.ahead += count;
        Ok(Sent::Whole)
    }
}
