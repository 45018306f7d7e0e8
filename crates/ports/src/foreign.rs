//! Bytes that another process may write to at any time: they are copied, once, through raw pointers, and no reference to
//! them exists anywhere.
#![allow(unsafe_code)]

/// Bytes that are copied at once.
const CHUNK: usize = 16;

/// Copies `len` bytes. Those of small frames are copied in chunks of [`CHUNK`], as many from the front as from the back,
/// which overlap in the middle: no loop, and no call.
///
/// # Safety
/// Both places have `len` bytes, which may be read, and written, and which do not overlap.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: N chunks from either end lie within `len`, as each arm says; else as the caller promises.
    unsafe {
        match len {
            16..=32 => copy_ends::<1>(from, to, len),
            33..=64 => copy_ends::<2>(from, to, len),
            65..=128 => copy_ends::<4>(from, to, len),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// Copies the first `N` chunks and the last `N`.
///
/// # Safety
/// As for [`copy`], and `N * CHUNK <= len`.
#[inline]
unsafe fn copy_ends<const N: usize>(from: *const u8, to: *mut u8, len: usize) {
    for chunk in 0..N {
        for at in [chunk * CHUNK, len - (N - chunk) * CHUNK] {
            // SAFETY: the chunk lies within `len`; neither place needs to be aligned.
            unsafe {
                let bytes = from.add(at).cast::<[u8; CHUNK]>().read_unaligned();
                to.add(at).cast::<[u8; CHUNK]>().write_unaligned(bytes);
            }
        }
    }
}

/// Has the processor fetch a line that will be read soon; any address will do.
#[inline]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing as far as the program can see, and faults at no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
