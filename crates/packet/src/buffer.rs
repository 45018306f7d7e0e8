//! The packet handle and the header that lies in front of its bytes.
#![allow(unsafe_code)]

use std::fmt;
use std::ptr::NonNull;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::meta::{METADATA, MetaSlot};
use crate::offload::Offload;
use crate::pool::{self, Inner};

/// The port a packet came from or goes to; a number that whoever opens ports gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

impl PortId {
    /// No port.
    pub const NONE: Self = Self(u32::MAX);
}

impl Default for PortId {
    fn default() -> Self {
        Self::NONE
    }
}

/// A buffer has too little space at that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes do not fit: the buffer has {available}")]
pub struct NoRoom {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes there are.
    pub available: usize,
}

/// What lies in front of a packet's bytes. The first line is all that passing a packet on touches.
#[repr(C, align(64))]
pub(crate) struct Header {
    shape: Shape,
    pub(crate) pool: NonNull<Inner>,
    timestamp_ns: u64,
    ingress: PortId,
    egress: PortId,
    flow_hash: u32,
    offload: Offload,
    metadata: Metadata,
}

/// All that a new packet says of itself, so that making one is one store of 16 bytes.
///
/// What is rarely known of a packet (`noted`) counts only while its bit is set; without it the field holds what the buffer's last
/// owner left there.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Shape {
    /// First byte of the packet, from the start of the buffer's space.
    start: u32,
    len: u32,
    /// Bytes of the buffer's space, headroom included: the same in all of a pool's buffers, at any time.
    space: u32,
    noted: u32,
}

/// The bits of [`Shape::noted`].
mod noted {
    pub(super) const INGRESS: u32 = 1;
    pub(super) const EGRESS: u32 = 2;
    pub(super) const FLOW_HASH: u32 = 4;
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const OFFLOAD: u32 = 16;
}

/// A shape as one word. Field by field it would be four stores.
#[cfg(target_arch = "x86_64")]
type Whole = std::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Whole = u128;

#[repr(align(64))]
struct Metadata([u8; METADATA]);

impl Shape {
    /// A new packet's, of which nothing is noted yet.
    #[inline]
    pub(crate) const fn new(space: u32, start: u32, len: u32) -> Self {
        Self { start, len, space, noted: 0 }
    }
}

impl Header {
    pub(crate) fn new(pool: NonNull<Inner>, space: u32) -> Self {
        Self {
            shape: Shape::new(space, 0, 0),
            pool,
            timestamp_ns: 0,
            ingress: PortId::NONE,
            egress: PortId::NONE,
            flow_hash: 0,
            offload: Offload::default(),
            metadata: Metadata([0; METADATA]),
        }
    }

    /// Has a free buffer look like that.
    ///
    /// # Safety
    /// The buffer has no owner but the caller; the shape's space is its own, and `start` and `len` together are no more.
    #[inline]
    pub(crate) unsafe fn reshape(this: NonNull<Self>, shape: Shape) {
        // SAFETY: both are 16 bytes that may hold anything.
        let whole = unsafe { std::mem::transmute::<Shape, Whole>(shape) };
        // SAFETY: the shape is the first thing in a header (`repr(C)`), as large as this and no less aligned; nobody else refers
        // to this header.
        unsafe { this.cast::<Whole>().write(whole) };
    }

    /// A field, if it is noted.
    #[inline]
    fn noted<T>(&self, bit: u32, field: T, otherwise: T) -> T {
        if self.shape.noted & bit == 0 { otherwise } else { field }
    }
}

/// A packet: the one owner of one buffer, which goes home to its pool when the packet is dropped.
///
/// Passing a packet on is a move, so whoever has sent a packet can no longer touch it. The bytes beyond
/// [`Packet::len`] and the metadata hold what the buffer's last owner left there.
#[repr(transparent)]
pub struct Packet(NonNull<Header>);

// SAFETY: a packet is the only way to its buffer, so whichever thread has it may use it.
unsafe impl Send for Packet {}
// SAFETY: a shared packet only gives shared access to its bytes.
unsafe impl Sync for Packet {}

impl Packet {
    /// Takes over a free buffer, which looks like that from now on.
    ///
    /// # Safety
    /// As [`Header::reshape`], and this is its only packet.
    #[inline]
    pub(crate) unsafe fn adopt(header: NonNull<Header>, shape: Shape) -> Self {
        // SAFETY: by the caller's word.
        unsafe { Header::reshape(header, shape) };
        Self(header)
    }

    /// The pool that its buffer belongs to, which is alive as long as the packet is.
    #[inline]
    pub(crate) fn pool(&self) -> NonNull<Inner> {
        self.header().pool
    }

    /// Gives up ownership of the buffer without sending it home.
    #[inline]
    pub(crate) fn into_header(self) -> NonNull<Header> {
        std::mem::ManuallyDrop::new(self).0
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header is initialised and this packet owns it; the reference spans the header only.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and the packet is borrowed mutably.
        unsafe { self.0.as_mut() }
    }

    #[inline]
    fn shape(&self) -> &Shape {
        &self.header().shape
    }

    #[inline]
    fn shape_mut(&mut self) -> &mut Shape {
        &mut self.header_mut().shape
    }

    /// The header, of which a field is noted from now on.
    #[inline]
    fn note(&mut self, bit: u32) -> &mut Header {
        let header = self.header_mut();
        header.shape.noted |= bit;
        header
    }

    /// The buffer's space: the bytes right behind the header.
    #[inline]
    fn space(&self) -> NonNull<u8> {
        // SAFETY: the pool's stride leaves `space` bytes behind every header, in the same mapping.
        unsafe { self.0.add(1).cast() }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.shape().len as usize
    }

    /// Whether it has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Free bytes in front.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.shape().start as usize
    }

    /// Free bytes behind.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let Shape { start, len, space, .. } = *self.shape();
        (space - start - len) as usize
    }

    /// Where the bytes lie, and how many there are.
    #[inline]
    pub(crate) fn place(&self) -> (NonNull<u8>, usize) {
        // SAFETY: `start` lies within the space.
        (unsafe { self.space().add(self.headroom()) }, self.len())
    }

    /// The bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `start + len <= space` holds always; the mapping was zeroed, so every byte is initialised.
        unsafe { std::slice::from_raw_parts(self.space().as_ptr().add(self.headroom()), self.len()) }
    }

    /// The bytes, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let (start, len) = (self.headroom(), self.len());
        // SAFETY: as for `data`, and the packet is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.space().as_ptr().add(start), len) }
    }

    /// All the space from the first byte on, used or not: what a port reads a frame into before
    /// [`Packet::set_len`] says how long it was.
    #[inline]
    pub fn room_mut(&mut self) -> &mut [u8] {
        let (start, space) = (self.headroom(), self.shape().space as usize);
        // SAFETY: as for `data`, up to the end of the space.
        unsafe { std::slice::from_raw_parts_mut(self.space().as_ptr().add(start), space - start) }
    }

    /// Makes the packet `len` bytes long; bytes that this adds hold what the buffer held.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer ends before.
    #[inline]
    pub fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        let available = self.len() + self.tailroom();
        if len > available {
            return Err(NoRoom { wanted: len, available });
        }
        self.shape_mut().len = len as u32;
        Ok(())
    }

    /// Makes the packet the `len` bytes behind the first `headroom` of its buffer, wherever it was; they hold what the
    /// buffer held.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer ends before.
    #[inline]
    pub fn set_bounds(&mut self, headroom: usize, len: usize) -> Result<(), NoRoom> {
        let available = self.shape().space as usize;
        let wanted = headroom.saturating_add(len);
        if wanted > available {
            return Err(NoRoom { wanted, available });
        }
        let shape = self.shape_mut();
        (shape.start, shape.len) = (headroom as u32, len as u32);
        Ok(())
    }

    /// Adds `count` bytes in front and returns them; they hold what the buffer held.
    ///
    /// # Errors
    /// [`NoRoom`] when there is less headroom.
    #[inline]
    pub fn prepend(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let available = self.headroom();
        if count > available {
            return Err(NoRoom { wanted: count, available });
        }
        let shape = self.shape_mut();
        shape.start -= count as u32;
        shape.len += count as u32;
        Ok(&mut self.data_mut()[..count])
    }

    /// Adds `count` bytes behind and returns them; they hold what the buffer held.
    ///
    /// # Errors
    /// [`NoRoom`] when there is less tailroom.
    #[inline]
    pub fn append(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let (len, available) = (self.len(), self.tailroom());
        if count > available {
            return Err(NoRoom { wanted: count, available });
        }
        self.shape_mut().len += count as u32;
        Ok(&mut self.data_mut()[len..])
    }

    /// Removes up to `count` bytes in front; returns how many.
    #[inline]
    pub fn trim_front(&mut self, count: usize) -> usize {
        let count = count.min(self.len());
        let shape = self.shape_mut();
        shape.start += count as u32;
        shape.len -= count as u32;
        count
    }

    /// Shortens the packet to `len` bytes, if it is longer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        let shape = self.shape_mut();
        shape.len = shape.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// A copy in a buffer of the same pool, offload state and metadata included; `None` when none is free.
    pub fn try_clone(&self) -> Option<Packet> {
        // Another buffer of the pool has as much space.
        let mut copy = pool::alloc_beside(self.header().pool, *self.shape())?;
        copy.data_mut().copy_from_slice(self.data());
        let (from, to) = (self.header(), copy.header_mut());
        to.ingress = from.ingress;
        to.egress = from.egress;
        to.flow_hash = from.flow_hash;
        to.timestamp_ns = from.timestamp_ns;
        to.offload = from.offload;
        to.metadata.0 = from.metadata.0;
        Some(copy)
    }

    /// Work that is left to the last hop.
    #[inline]
    pub fn offload(&self) -> Offload {
        let header = self.header();
        header.noted(noted::OFFLOAD, header.offload, Offload::default())
    }

    /// Says what work is left to the last hop.
    #[inline]
    pub fn set_offload(&mut self, offload: Offload) {
        if offload == Offload::default() {
            self.shape_mut().noted &= !noted::OFFLOAD;
        } else {
            self.note(noted::OFFLOAD).offload = offload;
        }
    }

    /// The port it came from.
    #[inline]
    pub fn ingress(&self) -> PortId {
        let header = self.header();
        header.noted(noted::INGRESS, header.ingress, PortId::NONE)
    }

    /// Says which port it came from.
    #[inline]
    pub fn set_ingress(&mut self, port: PortId) {
        self.note(noted::INGRESS).ingress = port;
    }

    /// The port it goes to.
    #[inline]
    pub fn egress(&self) -> PortId {
        let header = self.header();
        header.noted(noted::EGRESS, header.egress, PortId::NONE)
    }

    /// Says which port it goes to.
    #[inline]
    pub fn set_egress(&mut self, port: PortId) {
        self.note(noted::EGRESS).egress = port;
    }

    /// When it came in, in nanoseconds of the clock of whoever received it; 0 when nobody noted it.
    #[inline]
    pub fn timestamp_ns(&self) -> u64 {
        let header = self.header();
        header.noted(noted::TIMESTAMP, header.timestamp_ns, 0)
    }

    /// Notes when it came in.
    #[inline]
    pub fn set_timestamp_ns(&mut self, timestamp_ns: u64) {
        self.note(noted::TIMESTAMP).timestamp_ns = timestamp_ns;
    }

    /// The hash of its flow; 0 when nobody computed it.
    #[inline]
    pub fn flow_hash(&self) -> u32 {
        let header = self.header();
        header.noted(noted::FLOW_HASH, header.flow_hash, 0)
    }

    /// Notes the hash of its flow.
    #[inline]
    pub fn set_flow_hash(&mut self, hash: u32) {
        self.note(noted::FLOW_HASH).flow_hash = hash;
    }

    /// The whole metadata area, for those that deal out places in it at run time.
    #[inline]
    pub fn metadata(&self) -> &[u8; METADATA] {
        &self.header().metadata.0
    }

    /// The whole metadata area, to be written.
    #[inline]
    pub fn metadata_mut(&mut self) -> &mut [u8; METADATA] {
        &mut self.header_mut().metadata.0
    }

    /// A value from the metadata area.
    #[inline]
    pub fn get<T: FromBytes>(&self, slot: MetaSlot<T>) -> T {
        T::read_from_bytes(&self.header().metadata.0[slot.range()]).expect("a slot is as long as its type")
    }

    /// Writes a value into the metadata area.
    #[inline]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "values are small, and `set(slot, 7)` reads as it should"
    )]
    pub fn set<T: IntoBytes + Immutable>(&mut self, slot: MetaSlot<T>, value: T) {
        self.header_mut().metadata.0[slot.range()].copy_from_slice(value.as_bytes());
    }
}

impl Drop for Packet {
    #[inline]
    fn drop(&mut self) {
        pool::release(std::iter::once(Self(self.0)));
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("len", &self.len())
            .field("ingress", &self.ingress())
            .field("offload", &self.offload())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pool, PoolConfig, SegmentKind, Segmentation};

    fn packet(bytes: &[u8]) -> Packet {
        let pool =
            Pool::new(PoolConfig { buffers: 2, room: 64, headroom: 16, ..PoolConfig::default() }).unwrap();
        pool.packet(bytes).unwrap()
    }

    #[test]
    fn a_header_is_three_lines() {
        assert_eq!(size_of::<Header>(), 192);
        assert_eq!(std::mem::offset_of!(Header, shape), 0);
        assert_eq!(std::mem::offset_of!(Header, metadata), 64);
        assert_eq!(size_of::<Option<Packet>>(), 8);
    }

    #[test]
    fn ends_grow_and_shrink_within_the_buffer() {
        let mut packet = packet(b"middle");
        packet.prepend(2).unwrap().copy_from_slice(b"<<");
        packet.append(2).unwrap().copy_from_slice(b">>");
        assert_eq!(packet.data(), b"<<middle>>");
        assert_eq!(packet.prepend(15).unwrap_err(), NoRoom { wanted: 15, available: 14 });
        assert_eq!(packet.append(57).unwrap_err(), NoRoom { wanted: 57, available: 56 });
        assert_eq!(packet.set_len(67).unwrap_err(), NoRoom { wanted: 67, available: 66 });
        assert_eq!(packet.trim_front(2), 2);
        packet.truncate(6);
        assert_eq!(packet.data(), b"middle");
        assert_eq!(packet.trim_front(100), 6);
        assert!(packet.is_empty());
    }

    #[test]
    fn bounds_lie_anywhere_in_the_buffer() {
        let mut packet = packet(b"middle");
        packet.trim_front(3);
        packet.set_bounds(14, 8).unwrap();
        assert_eq!((packet.headroom(), packet.len(), packet.tailroom()), (14, 8, 58));
        assert_eq!(&packet.data()[2..], b"middle");
        assert_eq!(packet.set_bounds(81, 0).unwrap_err(), NoRoom { wanted: 81, available: 80 });
        assert_eq!(packet.set_bounds(usize::MAX, 1).unwrap_err().wanted, usize::MAX);
        assert_eq!((packet.headroom(), packet.len()), (14, 8));
        packet.set_bounds(0, 80).unwrap();
        assert_eq!(&packet.data()[16..22], b"middle");
    }

    #[test]
    fn a_new_packet_knows_nothing_of_the_buffers_last_owner() {
        let pool = Pool::new(PoolConfig { buffers: 1, room: 64, ..PoolConfig::default() }).unwrap();
        let segmentation = Segmentation { kind: SegmentKind::Udp, ecn: false, size: 9, header_len: 42 };
        let offload = Offload { segmentation: Some(segmentation), ..Offload::default() };
        let noted = |packet: &Packet| {
            let numbers = (packet.timestamp_ns(), packet.flow_hash());
            (packet.ingress(), packet.egress(), numbers, packet.offload())
        };
        let nothing = (PortId::NONE, PortId::NONE, (0, 0), Offload::default());
        for _ in 0..2 {
            let mut packet = pool.alloc().unwrap();
            assert_eq!(noted(&packet), nothing);
            // Each by itself, so that one does not bring another back.
            packet.set_egress(PortId(4));
            assert_eq!(noted(&packet), (PortId::NONE, PortId(4), (0, 0), Offload::default()));
            packet.set_timestamp_ns(5);
            packet.set_offload(offload);
            assert_eq!(noted(&packet), (PortId::NONE, PortId(4), (5, 0), offload));
            packet.set_offload(Offload::default());
            packet.set_flow_hash(6);
            packet.set_ingress(PortId(3));
            assert_eq!(noted(&packet), (PortId(3), PortId(4), (5, 6), Offload::default()));
        }
        let mut batch = crate::Batch::new();
        assert_eq!(pool.alloc_batch_of(10, 1, &mut batch), 1);
        assert_eq!((noted(&batch[0]), batch[0].len()), (nothing, 10));
    }

    #[test]
    fn a_copy_is_whole_and_apart() {
        let mut packet = packet(b"original");
        packet.set_ingress(PortId(3));
        packet.set_timestamp_ns(7);
        packet.trim_front(1);
        let copy = packet.try_clone().unwrap();
        packet.data_mut().fill(0);
        assert_eq!((copy.data(), copy.headroom()), (&b"riginal"[..], 17));
        assert_eq!((copy.ingress(), copy.egress(), copy.timestamp_ns()), (PortId(3), PortId::NONE, 7));
        assert!(packet.try_clone().is_none(), "the pool has two buffers");
    }

    #[test]
    fn a_pool_that_is_gone_still_serves_copies() {
        let packet = packet(b"orphan");
        assert_eq!(packet.try_clone().unwrap().data(), b"orphan");
    }
}
