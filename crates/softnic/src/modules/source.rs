//! [`Source`].

use packet::{Batch, Pool};

use crate::engine::{Context, Gate, Module, Ran};

/// Makes packets: copies of one frame, as fast as its task has turns.
///
/// *Input gates*: none. *Output gates*: one. *Tasks*: one, always ready until the count is reached.
///
/// While its pool has no free buffer it makes nothing and tries again.
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
    frame: Vec<u8>,
    left: u64,
    made: u64,
}

impl Source {
    /// Makes copies of `frame` without end. A frame that is longer than the pool's buffers is cut to fit.
    pub fn new(pool: Pool, frame: &[u8]) -> Self {
        let frame = frame[..frame.len().min(pool.room())].to_vec();
        Self { pool, frame, left: u64::MAX, made: 0 }
    }

    /// Stops after `count` packets.
    pub fn count(mut self, count: u64) -> Self {
        self.left = count;
        self
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
        let wanted = ctx.budget().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.pool.alloc_batch(wanted, batch);
        for packet in &mut *batch {
            // The frame was cut to fit.
            if packet.set_len(self.frame.len()).is_ok() {
                packet.data_mut().copy_from_slice(&self.frame);
            }
        }
        self.left -= got as u64;
        self.made += got as u64;
        ctx.forward(0);
        if got == 0 { Ran::idle() } else { Ran::more(got, (got * self.frame.len()) as u64) }
    }
}
