//! [`Source`].

use packet::{BATCH, Batch, Pool};

use crate::engine::{Context, Gate, Module, Ran};

/// Makes packets as fast as its task has turns: copies of one frame, or blank ones.
///
/// *Input gates*: none. *Output gates*: one. *Tasks*: one, always ready until the count is reached.
///
/// A blank packet has whatever its buffer held before, which costs nothing to make; a module behind this one writes it.
/// While its pool has no free buffer a source makes nothing and tries again.
///
/// ```
/// use packet::{Pool, PoolConfig};
/// use softnic::modules::Source;
/// let pool = Pool::new(PoolConfig::default())?;
/// let thousand = Source::new(pool, &[0; 60]).count(1000);
/// # Ok::<(), packet::PoolError>(())
/// ```
#[derive(Debug)]
pub struct Source {
    pool: Pool,
    frame: Option<Vec<u8>>,
    size: usize,
    burst: usize,
    most: usize,
    left: u64,
    made: u64,
}

impl Source {
    /// Makes copies of `frame` without end. A frame that is longer than the pool's buffers is cut to fit.
    pub fn new(pool: Pool, frame: &[u8]) -> Self {
        let frame = frame[..frame.len().min(pool.room())].to_vec();
        let size = frame.len();
        Self { frame: Some(frame), ..Self::blank(pool, size) }
    }

    /// Makes packets of `size` bytes without end, and writes nothing into them.
    pub fn blank(pool: Pool, size: usize) -> Self {
        let size = size.min(pool.room());
        Self { pool, frame: None, size, burst: BATCH, most: BATCH, left: u64::MAX, made: 0 }
    }

    /// Stops after `count` packets.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.left = count;
        self
    }

    /// Lets [`set_burst`](Self::set_burst) take values up to `most`, although a turn makes a batch at most.
    #[must_use]
    pub fn burst_max(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Packets that one turn makes, a batch at most.
    pub fn set_burst(&mut self, burst: usize) {
        self.burst = burst.min(BATCH);
    }

    /// The largest burst that may be asked for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Makes packets of `size` bytes from now on, blank ones; false when a buffer does not hold as much.
    pub fn set_size(&mut self, size: usize) -> bool {
        if size > self.pool.room() {
            return false;
        }
        (self.size, self.frame) = (size, None);
        true
    }

    /// Packets made so far.
    pub fn made(&self) -> u64 {
        self.made
    }
}

impl Module for Source {
    fn class(&self) -> &'static str {
        "Source"
    }

    fn inputs(&self) -> Gate {
        0
    }

    fn tasks(&self) -> usize {
        1
    }

    fn run(&mut self, ctx: &mut Context<'_>, _task: usize, batch: &mut Batch) -> Ran {
        if self.left == 0 {
            return Ran::finished();
        }
        let wanted = ctx.budget().min(self.burst).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.pool.alloc_batch_of(self.size, wanted, batch);
        if let Some(frame) = &self.frame {
            batch.iter_mut().for_each(|packet| packet.data_mut().copy_from_slice(frame));
        }
        self.left -= got as u64;
        self.made += got as u64;
        ctx.forward(0);
        if got == 0 { Ran::idle() } else { Ran::more(got, (got * self.size) as u64) }
    }
}
