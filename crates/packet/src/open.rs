//! A packet with its place at hand.
#![allow(unsafe_code)]

use std::ops::Deref;
use std::ptr::NonNull;

use crate::buffer::{NoRoom, Packet};

/// A [`Packet`] with the place of its bytes held beside the handle.
///
/// [`Packet::data`] asks the buffer's header where the bytes lie, and as far as the compiler knows any write to the
/// bytes may have changed the answer, so code that looks at a packet many times asks, and checks bounds, many times.
/// Here place and length are plain values, so a chain of operators on one packet checks once.
///
/// All of [`Packet`] can be read through it; what moves the bytes goes through its own methods.
///
/// ```
/// # use packet::{OpenPacket, Pool, PoolConfig};
/// # let pool = Pool::new(PoolConfig { buffers: 1, ..PoolConfig::default() }).unwrap();
/// let mut open = OpenPacket::new(pool.packet(b"frame").unwrap());
/// open.prepend(1)?.copy_from_slice(b"a");
/// assert_eq!(open.data(), b"aframe");
/// assert_eq!(open.close().data(), b"aframe");
/// # Ok::<(), packet::NoRoom>(())
/// ```
#[derive(Debug)]
pub struct OpenPacket {
    packet: Packet,
    /// The packet's first byte. Always what the packet's header says, as is `len`: only `refresh` sets them, after
    /// everything that moves the bytes, and nobody else can reach the packet mutably.
    data: NonNull<u8>,
    len: usize,
}

// SAFETY: `data` points into the buffer that `packet` owns, and goes where it goes.
unsafe impl Send for OpenPacket {}
// SAFETY: a shared one only gives shared access to the bytes.
unsafe impl Sync for OpenPacket {}

impl OpenPacket {
    /// Opens a packet.
    #[inline]
    #[must_use]
    pub fn new(packet: Packet) -> Self {
        let (data, len) = packet.place();
        Self { packet, data, len }
    }

    /// The packet back.
    #[inline]
    #[must_use]
    pub fn close(self) -> Packet {
        self.packet
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        // SAFETY: place and length are the packet's, whose bytes are initialised and which is borrowed.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }

    /// The bytes, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `data`, and the packet is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// [`Packet::prepend`].
    ///
    /// # Errors
    /// [`NoRoom`] when there is less headroom.
    pub fn prepend(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        self.packet.prepend(count)?;
        self.refresh();
        Ok(&mut self.data_mut()[..count])
    }

    /// [`Packet::append`].
    ///
    /// # Errors
    /// [`NoRoom`] when there is less tailroom.
    pub fn append(&mut self, count: usize) -> Result<&mut [u8], NoRoom> {
        let before = self.len;
        self.packet.append(count)?;
        self.refresh();
        Ok(&mut self.data_mut()[before..])
    }

    /// [`Packet::trim_front`].
    pub fn trim_front(&mut self, count: usize) -> usize {
        let count = self.packet.trim_front(count);
        self.refresh();
        count
    }

    /// [`Packet::truncate`].
    pub fn truncate(&mut self, len: usize) {
        self.packet.truncate(len);
        self.refresh();
    }

    /// Changes what travels with the bytes: metadata, ports, offloads.
    #[inline]
    pub fn edit<T>(&mut self, edit: impl FnOnce(&mut Packet) -> T) -> T {
        // Should `edit` panic, this is a packet without bytes and not one with the wrong ones.
        (self.data, self.len) = (NonNull::dangling(), 0);
        let result = edit(&mut self.packet);
        self.refresh();
        result
    }

    #[inline]
    fn refresh(&mut self) {
        (self.data, self.len) = self.packet.place();
    }
}

impl Deref for OpenPacket {
    type Target = Packet;

    #[inline]
    fn deref(&self) -> &Packet {
        &self.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pool, PoolConfig};

    #[test]
    fn the_place_follows_the_bytes() {
        let pool =
            Pool::new(PoolConfig { buffers: 2, room: 64, headroom: 8, ..PoolConfig::default() }).unwrap();
        let mut open = OpenPacket::new(pool.packet(b"middle").unwrap());
        let mut twin = pool.packet(b"middle").unwrap();
        let same = |open: &OpenPacket, twin: &Packet| {
            assert_eq!((open.data(), open.len()), (twin.data(), twin.len()));
            assert_eq!(Packet::data(open), open.data());
        };
        open.prepend(2).unwrap().copy_from_slice(b"<<");
        twin.prepend(2).unwrap().copy_from_slice(b"<<");
        same(&open, &twin);
        open.append(2).unwrap().copy_from_slice(b">>");
        twin.append(2).unwrap().copy_from_slice(b">>");
        same(&open, &twin);
        assert_eq!(open.prepend(7).unwrap_err(), twin.prepend(7).unwrap_err());
        assert_eq!(open.trim_front(3), twin.trim_front(3));
        same(&open, &twin);
        open.truncate(4);
        twin.truncate(4);
        same(&open, &twin);
        open.data_mut()[0] = b'M';
        twin.data_mut()[0] = b'M';
        same(&open, &twin);
        // Even a packet that is exchanged for another is followed.
        open.edit(|packet| std::mem::swap(packet, &mut twin));
        open.data_mut()[1] = b'!';
        assert_eq!((open.data(), twin.data()), (&b"M!dl"[..], &b"Mddl"[..]));
        drop((open, twin));
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn an_edit_that_panics_half_way_leaves_no_stale_place() {
        let pool = Pool::new(PoolConfig { buffers: 2, room: 64, ..PoolConfig::default() }).unwrap();
        let mut open = OpenPacket::new(pool.packet(b"first").unwrap());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            open.edit(|packet| {
                *packet = pool.packet(b"second").unwrap();
                panic!("in the middle");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(open.data(), b"");
        assert_eq!(open.close().data(), b"second");
    }
}
