//! The four rings of an AF_XDP socket, and memory shared with the kernel.
//!
//! Each ring has one producer and one consumer, one of which is the kernel; positions are 32 bits and wrap
//! (`net/xdp/xsk_queue.h`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::interface;

/// `struct xdp_desc`: a frame in the UMEM.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) options: u32,
}

/// Memory that is mapped until dropped.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is memory like any other; who may touch which part is settled by the rings.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access hands out raw pointers only.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, protection, flags)? };
        Self::new(base.cast(), len)
    }

    /// Memory that the kernel shares through a descriptor.
    pub(crate) fn of(fd: &OwnedFd, len: usize, offset: u64) -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: as above.
        let base =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, fd.as_fd(), offset)? };
        Self::new(base.cast(), len)
    }

    /// Memory that another process shares, whose pages come when they are first touched.
    pub(crate) fn lazily(fd: &OwnedFd, len: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, fd.as_fd(), 0)?
        };
        Self::new(base.cast(), len)
    }

    fn new(base: *mut u8, len: usize) -> io::Result<Self> {
        let base = NonNull::new(base).ok_or_else(|| io::Error::other("the kernel mapped page zero"))?;
        Ok(Self { base, len })
    }

    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// `len` bytes from `at` on, if they lie in the mapping.
    pub(crate) fn range(&self, at: usize, len: usize) -> Option<*const [u8]> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: within the mapping, as was just checked.
        Some(std::ptr::slice_from_raw_parts(unsafe { self.base.as_ptr().add(at) }, len))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length; whoever held a pointer into it also held the mapping.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// One ring; this side is its producer or its consumer.
pub(crate) struct Ring<T> {
    map: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    size: u32,
    /// This side's position.
    own: u32,
    _entry: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn map(fd: &OwnedFd, size: u32, at: u64, offsets: &libc::xdp_ring_offset) -> io::Result<Self> {
        let len = offsets.desc as usize + size as usize * size_of::<T>();
        let map = Mapping::of(fd, len, at)?;
        let position = |offset: u64| {
            let end = offset as usize + size_of::<u32>();
            if end <= len {
                Ok(offset as usize)
            } else {
                Err(io::Error::other("a ring's offsets lie outside it"))
            }
        };
        Ok(Self {
            producer: position(offsets.producer)?,
            consumer: position(offsets.consumer)?,
            flags: position(offsets.flags)?,
            entries: offsets.desc as usize,
            map,
            size,
            own: 0,
            _entry: std::marker::PhantomData,
        })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `map` checked that the word lies in the mapping; the kernel aligns it and, like us, only uses it
        // atomically.
        unsafe { AtomicU32::from_ptr(self.map.base.as_ptr().add(at).cast()) }
    }

    fn entry(&self, position: u32) -> *mut T {
        let at = (position & (self.size - 1)) as usize;
        // SAFETY: the size is a power of two, so `at` is below it, and that many entries are mapped.
        unsafe { self.map.base.as_ptr().add(self.entries).cast::<T>().add(at) }
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Whether the kernel wants to be told of what was done (`XDP_RING_NEED_WAKEUP`).
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// As a consumer: how many entries wait.
    pub(crate) fn filled(&self) -> u32 {
        self.word(self.producer).load(Ordering::Acquire).wrapping_sub(self.own).min(self.size)
    }

    /// As a consumer: the entry `ahead` of the position, below [`Ring::filled`].
    pub(crate) fn get(&self, ahead: u32) -> T {
        // SAFETY: the kernel has published the entry and leaves it alone until it is released; entries are plain
        // integers.
        unsafe { self.entry(self.own.wrapping_add(ahead)).read() }
    }

    /// As a consumer: gives `count` entries back.
    pub(crate) fn release(&mut self, count: u32) {
        self.own = self.own.wrapping_add(count);
        self.word(self.consumer).store(self.own, Ordering::Release);
    }

    /// As a producer: writes the entry `ahead` of the position. There is a place for every chunk that this side may
    /// own, so none is ever overwritten.
    pub(crate) fn put(&mut self, ahead: u32, value: T) {
        // SAFETY: the entry is mapped, and the kernel reads it only once it is published.
        unsafe { self.entry(self.own.wrapping_add(ahead)).write(value) };
    }

    /// As a producer: hands `count` written entries over.
    pub(crate) fn publish(&mut self, count: u32) {
        self.own = self.own.wrapping_add(count);
        self.word(self.producer).store(self.own, Ordering::Release);
    }

    /// As a producer: entries that the kernel has not taken yet.
    pub(crate) fn unread(&self) -> u32 {
        self.own.wrapping_sub(self.word(self.consumer).load(Ordering::Acquire))
    }
}

/// The rings of one socket.
pub(crate) struct Rings {
    pub(crate) fill: Ring<u64>,
    pub(crate) completion: Ring<u64>,
    pub(crate) rx: Ring<Descriptor>,
    pub(crate) tx: Ring<Descriptor>,
}

impl Rings {
    /// Makes all four with `size` entries each.
    pub(crate) fn map(fd: &OwnedFd, size: u32) -> io::Result<Self> {
        let options =
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING];
        for option in options {
            interface::set_option(fd, libc::SOL_XDP, option, &size)?;
        }
        // `struct xdp_mmap_offsets`: rx, tx, fill, completion, each producer, consumer, desc, flags.
        let [rx, tx, fill, completion] =
            interface::option::<[[u64; 4]; 4]>(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?.map(
                |[producer, consumer, desc, flags]| libc::xdp_ring_offset { producer, consumer, desc, flags },
            );
        Ok(Self {
            fill: Ring::map(fd, size, libc::XDP_UMEM_PGOFF_FILL_RING, &fill)?,
            completion: Ring::map(fd, size, libc::XDP_UMEM_PGOFF_COMPLETION_RING, &completion)?,
            rx: Ring::map(fd, size, libc::XDP_PGOFF_RX_RING as u64, &rx)?,
            tx: Ring::map(fd, size, libc::XDP_PGOFF_TX_RING as u64, &tx)?,
        })
    }
}
