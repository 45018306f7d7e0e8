//! The shared memory: made by the client and sealed, checked by the server before it is mapped; and the only places where
//! packets' bytes in it are touched.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::layout::Layout;
use super::ring::Words;
use super::session::Reason;
use super::wire::Direction;
use crate::foreign;
use crate::xdp_ring::Mapping;

/// `TMPFS_MAGIC` (`linux/magic.h`): what memfds of ordinary pages lie in.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Bytes of shared memory that a frame is in, or is to be put into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'m> {
    at: NonNull<u8>,
    len: u32,
    _memory: PhantomData<&'m Memory>,
}

impl Place<'_> {
    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    /// Copies bytes out, once.
    ///
    /// # Panics
    /// There are fewer: callers have checked.
    #[inline]
    pub(super) fn read(self, into: &mut [u8]) {
        assert!(into.len() <= self.len());
        // SAFETY: the bytes lie in a mapping (`Memory::place`), which the lifetime keeps, and no reference to them exists
        // anywhere; `into` is private memory, so that they do not overlap. Another process may write at the same time;
        // what is read then is some bytes.
        unsafe { foreign::copy(self.at.as_ptr(), into.as_mut_ptr(), into.len()) }
        // From here on the compiler must read the copy, and never the shared bytes again in its place.
        compiler_fence(Ordering::SeqCst);
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// There is less room: callers have checked.
    #[inline]
    pub(super) fn write(self, from: &[u8]) {
        assert!(from.len() <= self.len());
        // SAFETY: as for `read`.
        unsafe { foreign::copy(from.as_ptr(), self.at.as_ptr(), from.len()) }
    }

    /// Has the processor fetch the first line.
    #[inline]
    pub(super) fn prefetch(self) {
        foreign::prefetch(self.at.as_ptr());
    }
}

/// Every region of a connection, mapped.
#[derive(Clone)]
pub(super) struct Memory(Arc<[Region]>);

struct Region {
    map: Arc<Mapping>,
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: the pointer leads into the mapping, which this keeps, and which any thread may use.
unsafe impl Send for Region {}
// SAFETY: as above; shared access hands out places only, whose bytes are copied through raw pointers.
unsafe impl Sync for Region {}

impl Region {
    fn of(map: Mapping) -> Option<Self> {
        let len = map.len();
        let base = NonNull::new(map.range(0, len)?.cast::<u8>().cast_mut())?;
        Some(Self { map: Arc::new(map), base, len: len as u64 })
    }
}

impl Memory {
    /// Maps regions of so many bytes that a client has handed over, after seeing to it that nobody can take the memory
    /// away again.
    pub(super) fn join(regions: &[(u64, OwnedFd)]) -> Result<Self, Reason> {
        let map = |(index, (bytes, memory)): (usize, &(u64, OwnedFd))| {
            let error = |problem| Reason::Region { index: index as u16, problem };
            keep(memory, *bytes).map_err(error)?;
            let system = |_| error("it cannot be mapped");
            Region::of(Mapping::lazily(memory, *bytes as usize).map_err(system)?).ok_or(error("it is empty"))
        };
        Ok(Self(regions.iter().enumerate().map(map).collect::<Result<_, _>>()?))
    }

    /// New memory, zeroed and sealed to its size, with rings that nobody uses yet.
    pub(super) fn make(layout: Layout) -> Result<(Self, OwnedFd), Reason> {
        let system = |action| move |error: Errno| Reason::System { action, error };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Memory that can never be executed as a program (Linux 6.3); older kernels do not know the flag.
        let memory = rustix::fs::memfd_create("weft-memif", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create("weft-memif", flags))
            .map_err(system("making shared memory"))?;
        let bytes = layout.bytes();
        rustix::fs::ftruncate(&memory, bytes as u64).map_err(system("sizing shared memory"))?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&memory, seals).map_err(system("sealing shared memory"))?;
        let failed = || system("mapping shared memory")(Errno::NOMEM);
        let map = Mapping::lazily(&memory, bytes).map_err(|_| failed())?;
        let made = Self([Region::of(map).ok_or_else(failed)?].into());
        for (direction, count) in
            [(Direction::ToServer, layout.to_server), (Direction::ToClient, layout.to_client)]
        {
            for index in 0..count {
                let words = made.ring(0, layout.ring(direction, index), layout.log2_entries);
                words.ok_or_else(failed)?.format();
            }
        }
        Ok((made, memory))
    }

    /// The ring at `offset` in a region.
    pub(super) fn ring(&self, region: u16, offset: usize, log2_entries: u8) -> Option<Words> {
        Words::new(&self.0.get(usize::from(region))?.map, offset, log2_entries)
    }

    /// `len` bytes at `offset` of a region, if there are as many.
    #[inline]
    pub(super) fn place(&self, region: u16, offset: u32, len: u32) -> Option<Place<'_>> {
        let region = self.0.get(usize::from(region))?;
        if u64::from(offset) + u64::from(len) > region.len {
            return None;
        }
        // SAFETY: within the mapping, as was just checked.
        Some(Place { at: unsafe { region.base.add(offset as usize) }, len, _memory: PhantomData })
    }
}

/// Sees to it that a memory has so many bytes and always will.
///
/// A page that went away after it was mapped would end the process (SIGBUS). Memory of ordinary pages loses none but by
/// being truncated, which a seal forbids for ever; where it is missing, it is added. Memory of huge pages may lose some
/// that are never got back, and files of other kinds may do anything.
fn keep(memory: &OwnedFd, bytes: u64) -> Result<(), &'static str> {
    // Asked first, since nothing but memory has seals, and other files may block whoever asks them anything.
    let seals = rustix::fs::fcntl_get_seals(memory).map_err(|_| "it is no sealed memory (memfd_create)")?;
    if !seals.contains(SealFlags::SHRINK) {
        let sealed = rustix::fs::fcntl_add_seals(memory, SealFlags::SHRINK);
        sealed.map_err(|_| "it could be truncated (F_SEAL_SHRINK is missing)")?;
    }
    let kind = rustix::fs::fstatfs(memory.as_fd()).map_err(|_| "it cannot be looked at")?.f_type;
    if kind != TMPFS {
        return Err("memory of huge pages is not taken");
    }
    let size = rustix::fs::fstat(memory).map_err(|_| "it cannot be looked at")?.st_size;
    if u64::try_from(size).unwrap_or(0) < bytes { Err("it is shorter than was said") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memfd(bytes: u64, flags: MemfdFlags, seals: SealFlags) -> OwnedFd {
        let memory = rustix::fs::memfd_create("test", flags | MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, bytes).unwrap();
        if !seals.is_empty() {
            rustix::fs::fcntl_add_seals(&memory, seals).unwrap();
        }
        memory
    }

    fn problem(bytes: u64, memory: OwnedFd) -> String {
        Memory::join(&[(bytes, memory)]).err().map_or_else(String::new, |reason| reason.to_string())
    }

    #[test]
    fn memory_that_could_go_away_is_refused() {
        let sealable = MemfdFlags::ALLOW_SEALING;
        let shrink = SealFlags::SHRINK;
        assert_eq!(problem(4096, memfd(4096, sealable, shrink)), "");
        assert!(problem(4097, memfd(4096, sealable, shrink)).contains("shorter"));
        assert!(problem(4096, memfd(4096, sealable, SealFlags::SEAL)).contains("F_SEAL_SHRINK"));
        assert!(
            problem(4096, memfd(4096, MemfdFlags::empty(), SealFlags::empty())).contains("F_SEAL_SHRINK")
        );
        assert!(problem(4096, memfd(4096, sealable, shrink | SealFlags::WRITE)).contains("cannot be mapped"));
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        assert!(problem(4096, pipe).contains("no sealed memory"));
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert_ne!(problem(4096, file.into()), "");
    }

    #[test]
    fn a_missing_seal_is_added_and_holds() {
        let memory = memfd(4096, MemfdFlags::ALLOW_SEALING, SealFlags::empty());
        let theirs = memory.try_clone().unwrap();
        let joined = Memory::join(&[(4096, memory)]).unwrap();
        assert_eq!(rustix::fs::ftruncate(&theirs, 0), Err(Errno::PERM));
        let mut bytes = [1; 16];
        joined.place(0, 4080, 16).unwrap().read(&mut bytes);
        assert_eq!(bytes, [0; 16]);
    }

    #[test]
    fn places_outside_are_none() {
        let memory = memfd(8192, MemfdFlags::ALLOW_SEALING, SealFlags::SHRINK);
        let joined = Memory::join(&[(8192, memory)]).unwrap();
        assert!(joined.place(0, 8192, 0).is_some() && joined.place(0, 0, 8192).is_some());
        for (region, offset, len) in [
            (0, 8192, 1),
            (0, 0, 8193),
            (0, u32::MAX, u32::MAX),
            (0, 1, u32::MAX),
            (1, 0, 1),
            (u16::MAX, 0, 0),
        ] {
            assert!(joined.place(region, offset, len).is_none(), "{region} {offset} {len}");
        }
        assert!(joined.ring(0, 0, 8).is_some() && joined.ring(0, 0, 9).is_none());
        assert!(joined.ring(0, 4, 2).is_none() && joined.ring(0, usize::MAX, 2).is_none());
        assert!(!joined.ring(0, 0, 8).unwrap().is_ring());
    }
}
