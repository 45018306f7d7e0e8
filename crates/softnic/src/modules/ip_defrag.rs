//! [`IpDefrag`].

mod piece;

use lookup::flow_table::{FlowId, FlowTable};
use netbricks::{Cause, Drops};
use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::{Batch, Packet, Pool};

use super::store::{NONE, Store};
use crate::engine::{Context, Gate, Module};

use piece::{Key, Piece};

/// Puts fragments of IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §4.5) together.
///
/// *Input gates*: one. *Output gates*: two; 1 is for packets that are whole, put together or never cut, and for what is not
/// IP. Gate 0 is for what is malformed, and for fragments whose packet does not fit a buffer: they leave as they came.
///
/// A packet is waited for 30 s from its first fragment on, in up to [`IpDefrag::PIECES_MAX`] fragments. It is given up when
/// fragments overlap (RFC 5722) or contradict each other about its end; a fragment that came before is dropped. What is
/// dropped is counted by cause, in [`drops`](Self::drops) and the module's status. A packet that was put together has the
/// metadata and the Ethernet header of its beginning.
///
/// ```
/// # use packet::{Pool, PoolConfig};
/// # use softnic::modules::IpDefrag;
/// let defrag = IpDefrag::new(Pool::new(PoolConfig::default())?, 1000, 0x5eed)?; // 1000 packets at a time
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IpDefrag {
    pool: Pool,
    wholes: FlowTable<Key, Whole>,
    store: Store,
    /// What each stored fragment is, by its place.
    pieces: Vec<Piece>,
    drops: Drops,
}

/// A number of packets that cannot be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid num_flows! {0}, not 1 to {max}", max = IpDefrag::PACKETS_MAX)]
pub struct IpDefragError(pub usize);

/// A packet that is waited for.
#[derive(Clone, Copy, Debug)]
struct Whole {
    /// Its fragments, the last that came in front.
    first: u32,
    count: usize,
    bytes: usize,
    /// Where it ends, once the last fragment is there.
    end: Option<usize>,
}

/// What a fragment leads to.
enum Step {
    /// It is kept.
    Wait,
    /// Its packet is whole.
    Whole(FlowId),
    /// It ends here.
    Drop(Packet, Cause),
}

const FULL: Cause = Cause::new("too many fragments waiting");
const OVERLAP: Cause = Cause::new("fragments overlap");
const DUPLICATE: Cause = Cause::new("fragment came before");
const END: Cause = Cause::new("fragments contradict each other about the end");
const PIECES: Cause = Cause::new("too many fragments of one packet");
const TIME: Cause = Cause::new("rest of the packet did not come");

/// How long a packet is waited for (Linux' `ipfrag_time`; RFC 8200 has 60 s, RFC 791 15 s).
const WAIT_NS: u64 = 30_000_000_000;
/// Packets that are given up in one go.
const EXPIRE_TURNS: usize = 64;

impl IpDefrag {
    /// The most packets that are waited for.
    pub const PACKETS_MAX: usize = 65_536;
    /// The most fragments of one packet.
    pub const PIECES_MAX: usize = 64;
    /// The most fragments that wait.
    pub const HELD_MAX: usize = 16_384;

    /// Waits for `packets` packets at a time; those that do not fit the buffer of their first fragment go into one of
    /// `pool`. The key of the table is drawn at random.
    ///
    /// # Errors
    /// 0 packets, or more than [`IpDefrag::PACKETS_MAX`].
    pub fn new(pool: Pool, packets: usize, key: u128) -> Result<Self, IpDefragError> {
        if !(1..=Self::PACKETS_MAX).contains(&packets) {
            return Err(IpDefragError(packets));
        }
        Ok(Self {
            pool,
            wholes: FlowTable::with_hasher(packets, FlowHasher::new(key)),
            store: Store::new(Self::HELD_MAX),
            pieces: vec![Piece::default(); Self::HELD_MAX],
            drops: Drops::default(),
        })
    }

    /// What was dropped, by cause.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    fn add(&mut self, now_ns: u64, key: Key, piece: Piece, packet: Packet) -> Step {
        let new = Whole { first: NONE, count: 0, bytes: 0, end: None };
        let id = match self.wholes.find(&key, now_ns) {
            Some(id) => id,
            None => {
                self.expire_some(now_ns);
                match self.wholes.insert(key, new, now_ns.saturating_add(WAIT_NS), now_ns) {
                    Ok(id) => id,
                    Err(_) => return Step::Drop(packet, FULL),
                }
            }
        };
        let Some(whole) = self.wholes.get(id).copied() else { return Step::Drop(packet, FULL) };
        match self.judge(&whole, &piece) {
            Err(DUPLICATE) => Step::Drop(packet, DUPLICATE),
            Err(cause) => {
                self.give_up(id, cause);
                Step::Drop(packet, cause)
            }
            Ok(()) => self.keep(id, whole, piece, packet),
        }
    }

    /// Whether a fragment fits those that are there.
    fn judge(&self, whole: &Whole, piece: &Piece) -> Result<(), Cause> {
        let end = piece.start + piece.length;
        let mut at = whole.first;
        while let Some((_, next)) = self.store.get(at) {
            let known = self.pieces[at as usize];
            if known.start == piece.start && known.length == piece.length {
                return Err(DUPLICATE);
            }
            if piece.start < known.start + known.length && known.start < end {
                return Err(OVERLAP);
            }
            // The last one ends the packet, and nothing lies behind it.
            let is_wrong = if piece.more { false } else { known.start >= end };
            if is_wrong || whole.end.is_some_and(|known| end > known || !piece.more) {
                return Err(END);
            }
            at = next;
        }
        if whole.count >= Self::PIECES_MAX { Err(PIECES) } else { Ok(()) }
    }

    fn keep(&mut self, id: FlowId, mut whole: Whole, piece: Piece, packet: Packet) -> Step {
        let at = match self.store.put(packet) {
            Ok(at) => at,
            Err(packet) => {
                if whole.count == 0 {
                    self.wholes.remove(id);
                }
                return Step::Drop(packet, FULL);
            }
        };
        self.store.link(at, whole.first);
        self.pieces[at as usize] = piece;
        whole.first = at;
        whole.count += 1;
        whole.bytes += piece.length;
        whole.end = whole.end.or((!piece.more).then_some(piece.start + piece.length));
        if let Some(kept) = self.wholes.get_mut(id) {
            *kept = whole;
        }
        if whole.end == Some(whole.bytes) { Step::Whole(id) } else { Step::Wait }
    }

    /// Frees the fragments of a packet, and counts them.
    fn give_up(&mut self, id: FlowId, cause: Cause) {
        if let Some((_, whole)) = self.wholes.remove(id) {
            self.drops.count(cause, free(&mut self.store, &whole));
        }
    }

    fn expire_some(&mut self, now_ns: u64) {
        let Self { wholes, store, drops, .. } = self;
        wholes.expire(now_ns, EXPIRE_TURNS, |_, whole| drops.count(TIME, free(store, &whole)));
    }

    /// Lets a packet that is whole out.
    fn release(&mut self, ctx: &mut Context<'_>, id: FlowId) {
        let Some((_, whole)) = self.wholes.remove(id) else { return };
        let mut order = [(0, NONE); Self::PIECES_MAX];
        let mut at = whole.first;
        for place in &mut order[..whole.count] {
            *place = (self.pieces.get(at as usize).map_or(0, |piece| piece.start), at);
            at = self.store.get(at).map_or(NONE, |(_, next)| next);
        }
        let order = &mut order[..whole.count];
        order.sort_unstable();
        let fragments = order.iter().map(|(_, at)| {
            let packet = self.store.get(*at).map(|(packet, _)| packet);
            (self.pieces.get(*at as usize).copied().unwrap_or_default(), packet)
        });
        let joined = piece::join(&self.pool, fragments, whole.bytes);
        for (_, at) in order {
            // They leave as they came where the packet does not fit a buffer.
            if let (Some((packet, _)), None) = (self.store.take(*at), &joined) {
                ctx.emit(0, packet);
            }
        }
        if let Some(packet) = joined {
            ctx.emit(1, packet);
        }
    }
}

/// Frees the fragments of a packet, and says how many.
fn free(store: &mut Store, whole: &Whole) -> u64 {
    let mut at = whole.first;
    while let Some((packet, next)) = store.take(at) {
        drop(packet);
        at = next;
    }
    whole.count as u64
}

impl Module for IpDefrag {
    fn class(&self) -> &'static str {
        "IPDefrag"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let is_whole =
            |packet: &Packet| Layers::of(packet.data()).is_ok_and(|layers| layers.fragment.is_none());
        if batch.iter().all(is_whole) {
            return ctx.forward(1);
        }
        let now_ns = ctx.now_ns();
        for packet in std::mem::take(batch) {
            let Ok(layers) = Layers::of(packet.data()) else {
                ctx.emit(0, packet);
                continue;
            };
            if layers.fragment.is_none() {
                ctx.emit(1, packet);
                continue;
            }
            let Some((key, piece)) = Piece::of(&layers, packet.data()) else {
                ctx.emit(0, packet);
                continue;
            };
            match self.add(now_ns, key, piece, packet) {
                Step::Wait => {}
                Step::Whole(id) => self.release(ctx, id),
                Step::Drop(packet, cause) => {
                    self.drops.count(cause, 1);
                    // It came out of a batch of this size.
                    drop(batch.push(packet));
                }
            }
        }
    }

    fn timed(&self) -> bool {
        true
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.wholes.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context<'_>) {
        self.expire_some(ctx.now_ns());
    }

    fn held(&self) -> usize {
        self.store.held()
    }

    fn status(&self) -> String {
        let drops = self.drops.iter().map(|(cause, count)| format!("dropped {count}, {cause}"));
        drops.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests;
