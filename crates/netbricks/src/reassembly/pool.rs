//! The memory of all streams: chunks of one size, reserved at the start, and the lists streams keep them in.

use super::policy::Extent;

/// No chunk.
pub(super) const NONE: u32 = u32::MAX;
/// Most chunks of a pool; more are not made.
pub const CHUNKS_MAX: usize = 1 << 24;

/// What one chunk holds: `len` bytes from `from` on, of which the first stands at `start` in its stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) start: i64,
    /// Of the segment the bytes came in.
    pub(super) extent: Extent,
    from: u32,
    len: u32,
    pub(super) next: u32,
}

impl Chunk {
    /// Behind the last byte.
    #[inline]
    pub(super) const fn end(&self) -> i64 {
        self.start + self.len as i64
    }
}

/// A singly linked list of chunks in the order of their positions.
#[derive(Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) chunks: u32,
    pub(super) bytes: u32,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { head: NONE, tail: NONE, chunks: 0, bytes: 0 }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

/// Chunks and their bytes.
#[derive(Debug)]
pub(super) struct Pool {
    bytes: Box<[u8]>,
    chunks: Box<[Chunk]>,
    chunk_bytes: usize,
    free: List,
}

impl Pool {
    pub(super) fn new(pool_bytes: usize, chunk_bytes: usize) -> Self {
        let chunk_bytes = chunk_bytes.clamp(1, usize::from(u16::MAX));
        let count = (pool_bytes / chunk_bytes).min(CHUNKS_MAX);
        let empty = Chunk { start: 0, extent: Extent::default(), from: 0, len: 0, next: NONE };
        let mut pool = Self {
            bytes: vec![0; count * chunk_bytes].into_boxed_slice(),
            chunks: vec![empty; count].into_boxed_slice(),
            chunk_bytes,
            free: List::new(),
        };
        let mut free = List::new();
        (0..count as u32).for_each(|at| pool.link(&mut free, NONE, at));
        pool.free = free;
        pool
    }

    pub(super) const fn capacity(&self) -> usize {
        self.chunks.len()
    }

    pub(super) const fn free(&self) -> usize {
        self.free.chunks as usize
    }

    pub(super) const fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    #[inline]
    pub(super) const fn chunk(&self, at: u32) -> &Chunk {
        &self.chunks[at as usize]
    }

    #[inline]
    pub(super) fn bytes(&self, at: u32) -> &[u8] {
        let chunk = self.chunk(at);
        let base = at as usize * self.chunk_bytes + chunk.from as usize;
        &self.bytes[base..base + chunk.len as usize]
    }

    /// The bytes of a chunk from the position `start` on.
    #[inline]
    pub(super) fn bytes_from(&self, at: u32, start: i64) -> &[u8] {
        &self.bytes(at)[(start - self.chunk(at).start) as usize..]
    }

    /// Overwrites the bytes of a chunk from the position `start` on.
    pub(super) fn overwrite(&mut self, at: u32, start: i64, bytes: &[u8]) {
        let chunk = self.chunk(at);
        let base = at as usize * self.chunk_bytes + chunk.from as usize + (start - chunk.start) as usize;
        self.bytes[base..base + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) const fn set_extent(&mut self, at: u32, extent: Extent) {
        self.chunks[at as usize].extent = extent;
    }

    /// Takes a free chunk, fills it with as much of `bytes` as it holds, and puts it behind `previous` ([`NONE`]: in front).
    /// Returns it; `None` where the pool is empty.
    pub(super) fn insert(
        &mut self,
        list: &mut List,
        previous: u32,
        start: i64,
        bytes: &[u8],
        extent: Extent,
    ) -> Option<u32> {
        let at = self.free.head;
        if at == NONE {
            return None;
        }
        self.free.head = self.chunk(at).next;
        self.free.chunks -= 1;
        let len = bytes.len().min(self.chunk_bytes);
        let base = at as usize * self.chunk_bytes;
        self.bytes[base..base + len].copy_from_slice(&bytes[..len]);
        self.chunks[at as usize] = Chunk { start, extent, from: 0, len: len as u32, next: NONE };
        self.link(list, previous, at);
        Some(at)
    }

    fn link(&mut self, list: &mut List, previous: u32, at: u32) {
        let next = if previous == NONE {
            std::mem::replace(&mut list.head, at)
        } else {
            std::mem::replace(&mut self.chunks[previous as usize].next, at)
        };
        self.chunks[at as usize].next = next;
        if next == NONE {
            list.tail = at;
        }
        list.chunks += 1;
        list.bytes += self.chunk(at).len;
    }

    fn unlink_front(&mut self, list: &mut List) -> u32 {
        let at = list.head;
        list.head = self.chunk(at).next;
        if list.head == NONE {
            list.tail = NONE;
        }
        list.chunks -= 1;
        list.bytes -= self.chunk(at).len;
        at
    }

    /// Frees the first chunk of a list that is not empty.
    pub(super) fn free_front(&mut self, list: &mut List) {
        let at = self.unlink_front(list);
        self.chunks[at as usize].len = 0;
        self.chunks[at as usize].next = self.free.head;
        self.free.head = at;
        self.free.chunks += 1;
    }

    /// Moves the first chunk of a list that is not empty to the end of another.
    pub(super) fn move_front(&mut self, from: &mut List, to: &mut List) {
        let at = self.unlink_front(from);
        self.link(to, to.tail, at);
    }

    pub(super) fn free_all(&mut self, list: &mut List) {
        while !list.is_empty() {
            self.free_front(list);
        }
    }

    /// Takes the bytes in front of the position `to`, which lies inside the chunk, off it.
    pub(super) fn trim_front(&mut self, list: &mut List, at: u32, to: i64) {
        let chunk = &mut self.chunks[at as usize];
        let cut = (to - chunk.start) as u32;
        chunk.from += cut;
        chunk.len -= cut;
        chunk.start = to;
        list.bytes -= cut;
    }

    /// Adds to the last chunk what follows it and fits in; returns how many bytes those were.
    pub(super) fn extend_back(&mut self, list: &mut List, start: i64, bytes: &[u8]) -> usize {
        let at = list.tail;
        if at == NONE || self.chunk(at).end() != start {
            return 0;
        }
        let chunk = &mut self.chunks[at as usize];
        let used = (chunk.from + chunk.len) as usize;
        let len = bytes.len().min(self.chunk_bytes - used);
        let base = at as usize * self.chunk_bytes + used;
        self.bytes[base..base + len].copy_from_slice(&bytes[..len]);
        chunk.len += len as u32;
        list.bytes += len as u32;
        len
    }
}
