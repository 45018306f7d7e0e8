//! The buffer pool: fixed-size buffers in one mapping, handed out as [`Packet`]s.
//!
//! # Why it looks like this
//!
//! A packet changes hands at every module, so the handle is one pointer; a batch of 32 is 256 bytes. Everything
//! else about a packet (where its bytes start, offload state, metadata) sits in a header in front of the bytes,
//! in the cache lines that the first module touches anyway.
//!
//! Three ways of finding the way home were weighed. A reference count in every packet is an atomic operation at
//! each allocation and release, 0.6 ns a packet when one thread has the pool to itself and a shared line when
//! workers do not. A pool that must outlive its packets by a lifetime parameter infects every type above it. So the
//! header holds a plain pointer to the pool, and the pool counts buffers instead of references: a dropped pool
//! stays mapped until the last buffer is home, then unmaps itself.
//!
//! Each thread keeps a small stack of free buffers per pool, so that neither an allocation nor a release takes a
//! lock or touches a shared line; stacks are filled from and spilled to the shared list in bulk, under a mutex.
//! The stack is last in, first out: the buffer whose lines are still in the cache is the next one used.
//!
//! An allocation and its release, by `cargo bench -p packet --bench pool` (a shared machine with two cores): 3.7 ns a
//! packet in batches of 32, 12 ns one by one, 27 ns without the threads' stacks, 23 ns from the heap. Handing a batch
//! on costs 0.9 ns a packet out of a reference and 1.3 ns by value, which is why modules take `&mut Batch`.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;

use crate::Batch;
use crate::batch::BATCH;
use crate::buffer::{Header, Packet, Shape};

/// Bytes of a buffer for ordinary frames, after its headroom.
pub const ROOM: usize = 2048;
/// Bytes of a buffer that holds a whole TCP segment before segmentation (64 KiB and its headers).
pub const ROOM_GSO: usize = 65_536 + 512;
/// Bytes left free in front of a received frame, for headers that encapsulation adds.
pub const HEADROOM: usize = 128;
/// The most buffers that one pool may have.
pub const BUFFERS_MAX: usize = 1 << 24;
/// The most bytes that one buffer may hold, headroom included.
pub const BUFFER_MAX: usize = 1 << 20;
/// The most free buffers that one thread keeps to itself.
const CACHE_MAX: usize = 256;
const LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// Whether a pool's memory comes from huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HugePages {
    /// Ordinary pages.
    #[default]
    Never,
    /// Reserved 2 MiB pages if the kernel has them, else a hint for transparent ones.
    Try,
    /// Reserved 2 MiB pages or an error.
    Require,
}

/// What a pool is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How many buffers.
    pub buffers: usize,
    /// Bytes of each buffer, headroom not counted.
    pub room: usize,
    /// Bytes kept free in front of a new packet.
    pub headroom: usize,
    /// The kind of memory.
    pub huge_pages: HugePages,
    /// Free buffers that one thread may keep to itself; by default a sixteenth of the pool, 256 at most.
    pub cache: Option<usize>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { buffers: 4096, room: ROOM, headroom: HEADROOM, huge_pages: HugePages::Never, cache: None }
    }
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No buffers, or more than [`BUFFERS_MAX`].
    #[error("a pool has 1 to {BUFFERS_MAX} buffers, not {0}")]
    Buffers(usize),
    /// An empty buffer, or one above [`BUFFER_MAX`].
    #[error("a buffer has 1 to {BUFFER_MAX} bytes with its headroom, not {0}")]
    Size(usize),
    /// The kernel has too few free 2 MiB pages.
    #[error(
        "no {pages} free huge pages: `sysctl vm.nr_hugepages={pages}` reserves them (kernel says: {source})"
    )]
    HugePages {
        /// 2 MiB pages that the pool needs.
        pages: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The kernel refused the memory.
    #[error("no memory for {bytes} bytes of packet buffers: {source}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// A pool of packet buffers. Clones are handles to the same pool.
///
/// ```
/// use packet::{Pool, PoolConfig};
/// let pool = Pool::new(PoolConfig { buffers: 64, ..PoolConfig::default() })?;
/// let packet = pool.packet(b"sixty-four bytes, or fewer").unwrap();
/// assert_eq!(pool.available(), 63);
/// drop(packet);
/// assert_eq!(pool.available(), 64);
/// # Ok::<(), packet::PoolError>(())
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

/// Closes the pool when the last handle goes.
struct Owner(NonNull<Inner>);

/// The pool itself, alive until it is closed and every buffer is home.
pub(crate) struct Inner {
    memory: Memory,
    count: usize,
    room: u32,
    headroom: u32,
    cache: usize,
    closed: AtomicBool,
    exhausted: AtomicU64,
    free: Mutex<Vec<Buffer>>,
}

/// A free buffer.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Buffer(NonNull<Header>);

// SAFETY: a free buffer is reachable from nowhere else; whoever holds the pointer owns the memory.
unsafe impl Send for Buffer {}
// SAFETY: `Inner` is only changed through atomics and the mutex; the mapping itself is owned by its buffers.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

impl Pool {
    /// Maps the buffers.
    ///
    /// # Errors
    /// [`PoolError`] when a size is out of bounds or the kernel has no such memory.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        if !(1..=BUFFERS_MAX).contains(&config.buffers) {
            return Err(PoolError::Buffers(config.buffers));
        }
        let size = config.room.saturating_add(config.headroom);
        if config.room == 0 || size > BUFFER_MAX {
            return Err(PoolError::Size(size));
        }
        // An odd number of lines, so that the headers of neighbours fall into different cache sets.
        let lines = (size_of::<Header>() + size).div_ceil(LINE) | 1;
        let stride = lines * LINE;
        let memory = Memory::map(stride * config.buffers, config.huge_pages)?;
        let base = memory.base;
        let inner = Box::into_raw(Box::new(Inner {
            memory,
            count: config.buffers,
            room: size as u32,
            headroom: config.headroom as u32,
            cache: config.cache.unwrap_or(config.buffers / 16).min(CACHE_MAX),
            closed: AtomicBool::new(false),
            exhausted: AtomicU64::new(0),
            free: Mutex::new(Vec::with_capacity(config.buffers)),
        }));
        // SAFETY: `Box::into_raw` never returns null.
        let inner = unsafe { NonNull::new_unchecked(inner) };
        // SAFETY: the pool was just made; nothing else refers to it.
        let mut free = lock(unsafe { &inner.as_ref().free });
        for index in (0..config.buffers).rev() {
            // SAFETY: `index * stride` lies in the mapping, which is aligned to a line; a header fits there.
            let header = unsafe { base.add(index * stride).cast::<Header>() };
            // SAFETY: as above; the buffer has no owner yet.
            unsafe { header.write(Header::new(inner, size as u32)) };
            free.push(Buffer(header));
        }
        drop(free);
        Ok(Self(Arc::new(Owner(inner))))
    }

    fn inner(&self) -> &Inner {
        // SAFETY: an open pool is alive, and it is open while a handle exists.
        unsafe { self.0.0.as_ref() }
    }

    /// An empty packet, or `None` when every buffer is in use.
    pub fn alloc(&self) -> Option<Packet> {
        let inner = self.inner();
        alloc_beside(self.0.0, Shape::new(inner.room, inner.headroom, 0))
    }

    /// Adds up to `wanted` empty packets to `out`, as many as it has room for and the pool has buffers for;
    /// returns how many.
    pub fn alloc_batch(&self, wanted: usize, out: &mut Batch) -> usize {
        self.alloc_batch_of(0, wanted, out)
    }

    /// [`alloc_batch`](Self::alloc_batch) of packets that are `len` bytes long and hold what their buffers held; none where
    /// a buffer is shorter than that.
    pub fn alloc_batch_of(&self, len: usize, wanted: usize, out: &mut Batch) -> usize {
        let inner = self.inner();
        if len > self.room() {
            return 0;
        }
        let (shape, wanted) = (Shape::new(inner.room, inner.headroom, len as u32), wanted.min(out.room()));
        let got = with_cache(self.0.0, |cache| {
            if cache.free.len() < wanted {
                inner.refill(cache);
            }
            let rest = cache.free.len().saturating_sub(wanted);
            // SAFETY: the buffers come off a free list, which forgets them below, so these are their only owners; the
            // headroom and the room behind it make up a buffer, `len` is no more than the room, and `out` has room for all.
            unsafe { adopt_all(&cache.free[rest..], shape, out.packets()) };
            let got = cache.free.len() - rest;
            cache.free.truncate(rest);
            got
        })
        .unwrap_or(0);
        for taken in got..wanted {
            let Some(packet) = alloc_beside(self.0.0, shape) else { return taken };
            // There is room for as many as are wanted.
            let _ = out.push(packet);
        }
        wanted
    }

    /// A packet with these bytes; `None` when no buffer is free or the bytes do not fit one.
    pub fn packet(&self, bytes: &[u8]) -> Option<Packet> {
        let mut packet = self.alloc()?;
        packet.set_len(bytes.len()).ok()?;
        packet.data_mut().copy_from_slice(bytes);
        Some(packet)
    }

    /// How many buffers the pool has.
    pub fn capacity(&self) -> usize {
        self.inner().count
    }

    /// Bytes that a new packet can grow to at its tail.
    pub fn room(&self) -> usize {
        (self.inner().room - self.inner().headroom) as usize
    }

    /// Buffers that are home: on the shared list or in the calling thread's own stack. Buffers that other threads
    /// keep for themselves count as in use.
    pub fn available(&self) -> usize {
        let cached = with_cache(self.0.0, |cache| cache.free.len()).unwrap_or(0);
        lock(&self.inner().free).len() + cached
    }

    /// Those of them that the calling thread keeps for itself.
    pub fn kept_here(&self) -> usize {
        with_cache(self.0.0, |cache| cache.free.len()).unwrap_or(0)
    }

    /// How often an allocation found no free buffer.
    pub fn exhausted(&self) -> u64 {
        self.inner().exhausted.load(Ordering::Relaxed)
    }

    /// Whether the memory is on reserved huge pages.
    pub fn on_huge_pages(&self) -> bool {
        self.inner().memory.huge
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("Pool")
            .field("buffers", &inner.count)
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The closing thread's own stack goes home first; other threads' follow when they end or next look.
        let pool = self.0;
        let own = with_cache(pool, |cache| std::mem::take(&mut cache.free)).unwrap_or_default();
        // SAFETY: the pool is open, hence alive; this is the one call of `close`.
        unsafe { close(pool, own) };
    }
}

impl Inner {
    /// Moves up to half a stack of buffers from the shared list to `cache`.
    fn refill(&self, cache: &mut Cache) {
        let mut free = lock(&self.free);
        let count = (self.cache / 2).max(1).min(free.len());
        let rest = free.len() - count;
        cache.free.extend(free.drain(rest..));
    }

    fn take_shared(&self) -> Option<Buffer> {
        lock(&self.free).pop()
    }
}

/// Puts buffers back on the shared list and frees the pool if it was closed and these were the last.
///
/// # Safety
/// The buffers belong to `pool`, have no other owner, and there is at least one of them.
unsafe fn give_back(pool: NonNull<Inner>, buffers: impl IntoIterator<Item = Buffer>) {
    // SAFETY: a pool with a buffer abroad is alive.
    let inner = unsafe { pool.as_ref() };
    let mut free = lock(&inner.free);
    free.extend(buffers);
    let last = inner.closed.load(Ordering::Relaxed) && free.len() == inner.count;
    drop(free);
    if last {
        // SAFETY: closed and whole: no handle and no packet is left, and only the last return sees this.
        unsafe { free_pool(pool) };
    }
}

/// Marks the pool closed, under the lock, and frees it if every buffer is home.
///
/// # Safety
/// Called once, by the last handle.
unsafe fn close(pool: NonNull<Inner>, own: Vec<Buffer>) {
    // SAFETY: the last handle is still there.
    let inner = unsafe { pool.as_ref() };
    let mut free = lock(&inner.free);
    free.extend(own);
    inner.closed.store(true, Ordering::Relaxed);
    let all_home = free.len() == inner.count;
    drop(free);
    if all_home {
        // SAFETY: closed and whole; no later return can happen, since no buffer is abroad.
        unsafe { free_pool(pool) };
    }
}

/// # Safety
/// No handle, packet or cached buffer of the pool is left.
unsafe fn free_pool(pool: NonNull<Inner>) {
    // SAFETY: the pointer came from `Box::into_raw`, and by the caller's word nobody else uses it.
    drop(unsafe { Box::from_raw(pool.as_ptr()) });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under the lock can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread's stack of free buffers of one pool.
struct Cache {
    pool: NonNull<Inner>,
    free: Vec<Buffer>,
}

impl Cache {
    fn take(&mut self, inner: &Inner) -> Option<Buffer> {
        if self.free.is_empty() {
            inner.refill(self);
        }
        self.free.pop()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if !self.free.is_empty() {
            // SAFETY: these buffers are this thread's alone, and there is at least one.
            unsafe { give_back(self.pool, self.free.drain(..)) };
        }
    }
}

thread_local! {
    static CACHES: RefCell<Vec<Cache>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on this thread's stack for `pool`; `None` when the thread is ending.
fn with_cache<R>(pool: NonNull<Inner>, f: impl FnOnce(&mut Cache) -> R) -> Option<R> {
    CACHES.try_with(|caches| f(entry(&mut caches.borrow_mut(), pool))).ok()
}

fn entry(caches: &mut Vec<Cache>, pool: NonNull<Inner>) -> &mut Cache {
    if let Some(at) = caches.iter().position(|cache| cache.pool == pool) {
        return &mut caches[at];
    }
    // A new pool is the moment to send the buffers of closed ones home.
    caches.retain(|cache| {
        if cache.free.is_empty() {
            return false;
        }
        // SAFETY: a cache with a buffer in it keeps its pool alive.
        !unsafe { cache.pool.as_ref() }.closed.load(Ordering::Relaxed)
    });
    caches.push(Cache { pool, free: Vec::with_capacity(2 * CACHE_MAX) });
    caches.last_mut().expect("just pushed")
}

/// A packet of the same pool as another one's, which keeps the pool alive meanwhile. Its shape is that of a packet of this pool.
pub(crate) fn alloc_beside(pool: NonNull<Inner>, shape: Shape) -> Option<Packet> {
    // SAFETY: the caller's packet keeps the pool alive, open or closed.
    let inner = unsafe { pool.as_ref() };
    let closed = inner.closed.load(Ordering::Relaxed);
    let cached = if closed { None } else { with_cache(pool, |cache| cache.take(inner)) };
    match cached.unwrap_or_else(|| inner.take_shared()) {
        // SAFETY: the buffer came off a free list; all buffers of a pool have the same space.
        Some(Buffer(header)) => Some(unsafe { Packet::adopt(header, shape) }),
        None => {
            inner.exhausted.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Makes packets of free buffers, at the end of `out`.
///
/// # Safety
/// The buffers have no other owner, nor will they have; the shape is one of their pool's; `out` has room for all of them.
#[inline]
unsafe fn adopt_all(buffers: &[Buffer], shape: Shape, out: &mut ArrayVec<Packet, BATCH>) {
    // SAFETY: by the caller's word. The packets themselves are made below.
    buffers.iter().for_each(|buffer| unsafe { Header::reshape(buffer.0, shape) });
    let len = out.len();
    // SAFETY: a packet is a pointer to a header and nothing else, as a buffer is (both `repr(transparent)`); behind `len`
    // there is room for as many, all of which are initialised then.
    unsafe {
        let end = out.as_mut_ptr().add(len);
        std::ptr::copy_nonoverlapping(buffers.as_ptr().cast::<Packet>(), end, buffers.len());
        out.set_len(len + buffers.len());
    }
}

/// Returns the buffers of a batch, if they are all of one pool and this thread's stack has room for them, which is so
/// nearly always; the batch is empty then.
pub(crate) fn release_alike(packets: &mut ArrayVec<Packet, BATCH>) -> bool {
    let Some(pool) = packets.first().map(Packet::pool) else { return true };
    let differs = |packet: &Packet| packet.pool().addr().get() ^ pool.addr().get();
    let alike = packets.iter().fold(0, |all, packet| all | differs(packet)) == 0;
    // SAFETY: a pool is alive while one of its buffers is abroad.
    let (closed, keep) = unsafe { (pool.as_ref().closed.load(Ordering::Relaxed), pool.as_ref().cache) };
    if !alike || closed {
        return false;
    }
    let kept = with_cache(pool, |cache| {
        if cache.free.len() + packets.len() > 2 * keep {
            return false;
        }
        // SAFETY: both are one pointer to a header and nothing else (`repr(transparent)`), and the packets are whole.
        let buffers = unsafe { std::slice::from_raw_parts(packets.as_ptr().cast::<Buffer>(), packets.len()) };
        cache.free.extend_from_slice(buffers);
        // SAFETY: none is no more than there is room for; what the packets owned has just become the stack's, so
        // nobody may drop them.
        unsafe { packets.set_len(0) };
        true
    });
    kept == Some(true)
}

/// Returns the buffers of these packets, looking the thread's stack up once per run of packets of one pool.
pub(crate) fn release(packets: impl Iterator<Item = Packet>) {
    let mut packets = packets.map(Packet::into_header).peekable();
    while let Some(&first) = packets.peek() {
        // SAFETY: the header is owned by us; its pool is alive while its buffer is abroad.
        let pool = unsafe { first.as_ref().pool };
        // SAFETY: as above.
        let (closed, keep) = unsafe { (pool.as_ref().closed.load(Ordering::Relaxed), pool.as_ref().cache) };
        // SAFETY: as above, for each of the following headers.
        let mut next = || packets.next_if(|header| unsafe { header.as_ref().pool } == pool).map(Buffer);
        let cached = !closed
            && with_cache(pool, |cache| {
                while let Some(buffer) = next() {
                    cache.free.push(buffer);
                    if cache.free.len() > 2 * keep {
                        // The oldest go: the newest are the ones still in the CPU's cache.
                        let surplus = cache.free.len() - keep;
                        // SAFETY: free buffers of this pool, at least one.
                        unsafe { give_back(pool, cache.free.drain(..surplus)) };
                    }
                }
            })
            .is_some();
        if !cached {
            while let Some(buffer) = next() {
                // SAFETY: a buffer that this call owns.
                unsafe { give_back(pool, [buffer]) };
            }
        }
    }
}

/// The mapping that buffers lie in.
struct Memory {
    base: NonNull<u8>,
    len: usize,
    huge: bool,
}

impl Memory {
    fn map(bytes: usize, huge_pages: HugePages) -> Result<Self, PoolError> {
        use rustix::mm::{Advice, MapFlags, madvise};

        if huge_pages != HugePages::Never {
            let len = bytes.next_multiple_of(HUGE_PAGE);
            match Self::anonymous(len, MapFlags::PRIVATE | MapFlags::HUGETLB | MapFlags::HUGE_2MB) {
                Ok(base) => return Ok(Self { base, len, huge: true }),
                Err(source) if huge_pages == HugePages::Require => {
                    return Err(PoolError::HugePages { pages: len / HUGE_PAGE, source });
                }
                Err(_) => {}
            }
        }
        let base = Self::anonymous(bytes, MapFlags::PRIVATE)
            .map_err(|source| PoolError::Memory { bytes, source })?;
        if huge_pages == HugePages::Try {
            // A hint: where transparent huge pages are off, ordinary pages serve.
            // SAFETY: the range was just mapped and is ours.
            let _ = unsafe { madvise(base.as_ptr().cast(), bytes, Advice::LinuxHugepage) };
        }
        Ok(Self { base, len: bytes, huge: false })
    }

    fn anonymous(len: usize, flags: rustix::mm::MapFlags) -> std::io::Result<NonNull<u8>> {
        use rustix::mm::{ProtFlags, mmap_anonymous};
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags)? };
        NonNull::new(base.cast()).ok_or_else(|| std::io::Error::other("the kernel mapped page zero"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; the pool is freed only when no buffer is in use.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(buffers: usize) -> Pool {
        Pool::new(PoolConfig { buffers, room: 256, ..PoolConfig::default() }).expect("a small pool")
    }

    #[test]
    fn every_buffer_comes_home_once() {
        let pool = pool(100);
        let all: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
        assert_eq!((all.len(), pool.available(), pool.exhausted()), (100, 0, 1));
        drop(all);
        assert_eq!(pool.available(), 100);
    }

    #[test]
    fn a_batch_takes_what_there_is() {
        let pool = pool(40);
        let (mut first, mut second) = (Batch::new(), Batch::new());
        assert_eq!(pool.alloc_batch(64, &mut first), 32);
        assert_eq!(pool.alloc_batch(64, &mut second), 8);
        drop((first, second));
        assert_eq!(pool.available(), 40);
    }

    #[test]
    fn a_batch_of_a_length_is_as_long_as_that() {
        let pool = pool(40);
        let (mut first, mut second) = (Batch::new(), Batch::new());
        assert_eq!(pool.alloc_batch_of(257, 1, &mut first), 0, "longer than a buffer");
        assert_eq!(pool.alloc_batch_of(256, 32, &mut first), 32);
        // These do not fit the thread's stack, and come one by one.
        assert_eq!(pool.alloc_batch_of(9, 32, &mut second), 8);
        let shape = |batch: &Batch| batch.iter().map(|p| (p.len(), p.headroom())).collect::<Vec<_>>();
        assert_eq!((shape(&first), shape(&second)), (vec![(256, HEADROOM); 32], vec![(9, HEADROOM); 8]));
    }

    #[test]
    fn batches_beyond_a_threads_stack_go_to_the_shared_list() {
        let config = PoolConfig { buffers: 128, room: 64, cache: Some(20), ..PoolConfig::default() };
        let pool = Pool::new(config).unwrap();
        for _ in 0..3 {
            let mut batches: [Batch; 4] = std::array::from_fn(|_| Batch::new());
            for batch in &mut batches {
                assert_eq!(pool.alloc_batch(BATCH, batch), BATCH);
            }
            assert_eq!(pool.available(), 0);
            batches.iter_mut().for_each(Batch::clear);
            assert_eq!((pool.available(), pool.exhausted()), (128, 0));
        }
    }

    #[test]
    fn a_pool_without_thread_stacks_works() {
        let pool = Pool::new(PoolConfig { buffers: 3, cache: Some(0), ..PoolConfig::default() }).unwrap();
        let mut batch = Batch::new();
        assert_eq!(pool.alloc_batch(8, &mut batch), 3);
        drop(batch);
        assert_eq!(pool.available(), 3);
    }

    #[test]
    fn packets_outlive_their_pool() {
        let pool = pool(4);
        let mut packet = pool.packet(b"still here").unwrap();
        drop(pool);
        packet.data_mut()[0] = b'S';
        assert_eq!(packet.data(), b"Still here");
    }

    #[test]
    fn buffers_return_from_other_threads() {
        let pool = pool(64);
        for _ in 0..200 {
            let mut batch = Batch::new();
            pool.alloc_batch(32, &mut batch);
            std::thread::spawn(move || drop(batch)).join().unwrap();
        }
        assert_eq!(pool.available(), 64);
    }

    #[test]
    fn the_last_buffer_home_closes_the_pool_from_any_thread() {
        for _ in 0..100 {
            let pool = pool(64);
            let mut batch = Batch::new();
            pool.alloc_batch(32, &mut batch);
            let other = std::thread::spawn(move || drop(batch));
            drop(pool);
            other.join().unwrap();
        }
    }

    #[test]
    fn mixed_batches_are_sorted_home() {
        let (a, b) = (pool(32), pool(32));
        let mut batch = Batch::new();
        for turn in 0..BATCH_OF_BOTH {
            let from = if turn % 3 == 0 { &a } else { &b };
            batch.push(from.alloc().unwrap()).unwrap();
        }
        drop(batch);
        assert_eq!((a.available(), b.available()), (32, 32));
    }
    const BATCH_OF_BOTH: usize = 30;

    #[test]
    fn sizes_out_of_bounds_are_errors() {
        let with = |buffers, room| Pool::new(PoolConfig { buffers, room, ..PoolConfig::default() });
        assert!(matches!(with(0, 1), Err(PoolError::Buffers(0))));
        assert!(matches!(with(1, 0), Err(PoolError::Size(_))));
        assert!(matches!(with(1, usize::MAX), Err(PoolError::Size(_))));
    }
}
