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
    pub(crate) pool: NonNull<Inner>,
    /// First byte of the packet, from the start of the buffer's space.
    start: u32,
    len: u32,
    /// Bytes of the buffer's space, headroom included.
    space: u32,
    ingress: PortId,
    egress: PortId,
    flow_hash: u32,
    timestamp_ns: u64,
    offload: Offload,
    metadata: Metadata,
}

#[repr(align(64))]
struct Metadata([u8; METADATA]);

impl Header {
    pub(crate) fn new(pool: NonNull<Inner>, space: u32) -> Self {
        Self {
            pool,
            start: 0,
            len: 0,
            space,
            ingress: PortId::NONE,
            egress: PortId::NONE,
            flow_hash: 0,
            timestamp_ns: 0,
            offload: Offload::default(),
            metadata: Metadata([0; METADATA]),
        }
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
    /// Takes over a free buffer, with `headroom` bytes in front and as long as `len`.
    ///
    /// # Safety
    /// The buffer has no other owner, and `headroom` and `len` together are no more than its space.
    #[inline]
    pub(crate) unsafe fn adopt(header: NonNull<Header>, headroom: u32, len: u32) -> Self {
        let mut packet = Self(header);
        let header = packet.header_mut();
        header.start = headroom;
        header.len = len;
        header.ingress = PortId::NONE;
        header.egress = PortId::NONE;
        header.flow_hash = 0;
        header.timestamp_ns = 0;
        header.offload = Offload::default();
        packet
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

    /// The buffer's space: the bytes right behind the header.
    #[inline]
    fn space(&self) -> NonNull<u8> {
        // SAFETY: the pool's stride leaves `space` bytes behind every header, in the same mapping.
        unsafe { self.0.add(1).cast() }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.header().len as usize
    }

    /// Whether it has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Free bytes in front.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.header().start as usize
    }

    /// Free bytes behind.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let header = self.header();
        (header.space - header.start - header.len) as usize
    }

    /// Where the bytes lie, and how many there are.
    #[inline]
    pub(crate) fn place(&self) -> (NonNull<u8>, usize) {
        let header = self.header();
        // SAFETY: `start` lies within the space.
        (unsafe { self.space().add(header.start as usize) }, header.len as usize)
    }

    /// The bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let header = self.header();
        // SAFETY: `start + len <= space` holds always; the mapping was zeroed, so every byte is initialised.
        unsafe {
            std::slice::from_raw_parts(self.space().as_ptr().add(header.start as usize), header.len as usize)
        }
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
        let (start, space) = (self.headroom(), self.header().space as usize);
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
        self.header_mut().len = len as u32;
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
        let header = self.header_mut();
        header.start -= count as u32;
        header.len += count as u32;
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
        self.header_mut().len += count as u32;
        Ok(&mut self.data_mut()[len..])
    }

    /// Removes up to `count` bytes in front; returns how many.
    #[inline]
    pub fn trim_front(&mut self, count: usize) -> usize {
        let count = count.min(self.len());
        let header = self.header_mut();
        header.start += count as u32;
        header.len -= count as u32;
        count
    }

    /// Shortens the packet to `len` bytes, if it is longer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        let header = self.header_mut();
        header.len = header.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// A copy in a buffer of the same pool, offload state and metadata included; `None` when none is free.
    pub fn try_clone(&self) -> Option<Packet> {
        let mut copy = pool::alloc_beside(self.header().pool, self.header().start)?;
        copy.set_len(self.len()).ok()?;
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
        self.header().offload
    }

    /// Says what work is left to the last hop.
    #[inline]
    pub fn set_offload(&mut self, offload: Offload) {
        self.header_mut().offload = offload;
    }

    /// The port it came from.
    #[inline]
    pub fn ingress(&self) -> PortId {
        self.header().ingress
    }

    /// Says which port it came from.
    #[inline]
    pub fn set_ingress(&mut self, port: PortId) {
        self.header_mut().ingress = port;
    }

    /// The port it goes to.
    #[inline]
    pub fn egress(&self) -> PortId {
        self.header().egress
    }

    /// Says which port it goes to.
    #[inline]
    pub fn set_egress(&mut self, port: PortId) {
        self.header_mut().egress = port;
    }

    /// When it came in, in nanoseconds of the clock of whoever received it; 0 when nobody noted it.
    #[inline]
    pub fn timestamp_ns(&self) -> u64 {
        self.header().timestamp_ns
    }

    /// Notes when it came in.
    #[inline]
    pub fn set_timestamp_ns(&mut self, timestamp_ns: u64) {
        self.header_mut().timestamp_ns = timestamp_ns;
    }

    /// The hash of its flow; 0 when nobody computed it.
    #[inline]
    pub fn flow_hash(&self) -> u32 {
        self.header().flow_hash
    }

    /// Notes the hash of its flow.
    #[inline]
    pub fn set_flow_hash(&mut self, hash: u32) {
        self.header_mut().flow_hash = hash;
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
    use crate::{Pool, PoolConfig};

    fn packet(bytes: &[u8]) -> Packet {
        let pool =
            Pool::new(PoolConfig { buffers: 2, room: 64, headroom: 16, ..PoolConfig::default() }).unwrap();
        pool.packet(bytes).unwrap()
    }

    #[test]
    fn a_header_is_three_lines() {
        assert_eq!(size_of::<Header>(), 192);
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
    fn a_copy_is_whole_and_apart() {
        let mut packet = packet(b"original");
        packet.set_ingress(PortId(3));
        packet.trim_front(1);
        let copy = packet.try_clone().unwrap();
        packet.data_mut().fill(0);
        assert_eq!((copy.data(), copy.ingress()), (&b"riginal"[..], PortId(3)));
        assert!(packet.try_clone().is_none(), "the pool has two buffers");
    }

    #[test]
    fn a_pool_that_is_gone_still_serves_copies() {
        let packet = packet(b"orphan");
        assert_eq!(packet.try_clone().unwrap().data(), b"orphan");
    }
}
