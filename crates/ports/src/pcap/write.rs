//! The side of a capture file port that writes: records gather in memory, and a thread takes them to the file.
//!
//! A call of write(2) costs as much as twenty packets do otherwise, and senders may have only one packet at a time. So the
//! sender copies records, and the thread writes all there are:
//! - at once, if it has not written for [`GATHER`]: what goes to a quiet port is in the file as soon as the thread runs;
//! - else once that time is over, or [`WRITE_BYTES`] have gathered;
//! - when somebody asks for the counters, which count what is in the file;
//! - when the queue is dropped, which waits for it.
//!
//! A sender that is faster than the disk, or than the reader of a pipe, waits.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use packet::pcap::{FILE_HEADER_LEN, LinkType, PcapError, RECORD_HEADER_LEN, RECORD_MAX, Writer};
use packet::{Batch, Packet};

use super::{broken, file_error};
use crate::counters::QueueCounters;
use crate::finish::{self, Segments};
use crate::{PortError, TxQueue};

/// The longest that records gather while the thread could write them.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes that are worth a write.
const WRITE_BYTES: usize = 64 << 10;
/// Bytes, beyond which no packet is taken before some are written.
const GATHERED_MAX: usize = 4 * WRITE_BYTES;
/// Bytes reserved: the last packet may go beyond.
const ROOM: usize = GATHERED_MAX + RECORD_HEADER_LEN + RECORD_MAX;
/// How long who asks for counters waits for a disk, or the reader of a pipe, that does not go on.
const SETTLE_MAX: Duration = Duration::from_millis(100);

/// What the sender, the thread and the port share.
pub(super) struct Output {
    gathered: Mutex<Gathered>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread has written.
    written: Condvar,
    counters: Arc<QueueCounters>,
}

struct Gathered {
    records: Writer<Vec<u8>>,
    /// Bytes that have ever gathered.
    taken: u64,
    /// Of those, bytes that are in the file or were dropped.
    settled: u64,
    /// The thread sleeps until it is woken.
    idle: bool,
    /// Somebody waits until all is settled.
    wanted: bool,
    closed: bool,
}

impl Gathered {
    fn len(&mut self) -> usize {
        self.records.get_mut().len()
    }

    fn is_urgent(&mut self) -> bool {
        self.closed || self.wanted || self.len() >= WRITE_BYTES
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what was sent so far written and counted, unless that takes too long.
    pub(super) fn settle(&self) {
        let mut gathered = self.lock();
        let taken = gathered.taken;
        if gathered.settled < taken {
            gathered.wanted = true;
            self.work.notify_one();
            let unsettled = |gathered: &mut Gathered| gathered.settled < taken;
            drop(self.written.wait_timeout_while(gathered, SETTLE_MAX, unsettled));
        }
    }

    /// The thread: writes until the queue is dropped and nothing is left.
    fn run(&self, mut target: Target) {
        let mut records = Vec::with_capacity(ROOM);
        let mut wrote: Option<Instant> = None;
        loop {
            let mut gathered = self.wait(wrote);
            std::mem::swap(&mut records, gathered.records.get_mut());
            gathered.wanted = false;
            if records.is_empty() && gathered.closed {
                return;
            }
            drop(gathered);
            let (there, lost) = target.append(&records);
            let mut gathered = self.lock();
            self.counters.sent(there.records, there.bytes, lost.records);
            gathered.settled += records.len() as u64;
            self.written.notify_all();
            drop(gathered);
            records.clear();
            wrote = Some(Instant::now());
        }
    }

    /// Until there is something to write, and it is time.
    fn wait(&self, wrote: Option<Instant>) -> MutexGuard<'_, Gathered> {
        let mut gathered = self.lock();
        while !gathered.is_urgent() {
            if gathered.len() == 0 {
                gathered.idle = true;
                gathered = self.work.wait(gathered).unwrap_or_else(PoisonError::into_inner);
                gathered.idle = false;
                continue;
            }
            let left = wrote.map_or(Duration::ZERO, |wrote| GATHER.saturating_sub(wrote.elapsed()));
            if left.is_zero() {
                break;
            }
            let waited = self.work.wait_timeout(gathered, left);
            gathered = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        gathered
    }
}

/// The end of a file that grows by whole records.
struct Target {
    file: File,
    /// Bytes that are in the file, all of them whole records.
    whole: u64,
}

/// Records, and bytes of packets in them.
#[derive(Default)]
struct Amount {
    records: u64,
    bytes: u64,
}

impl Target {
    /// Appends records: what of them is in the file, and what is not because it could not be written.
    fn append(&mut self, records: &[u8]) -> (Amount, Amount) {
        let mut written = 0;
        while written < records.len() {
            match self.file.write(&records[written..]) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let (end, there) = whole_records(&records[..written]);
        self.whole += end as u64;
        if end < written {
            // The rest of it would end the file inside a record. A pipe cannot be cut, and has no more readers.
            let _ = self.file.set_len(self.whole);
            let _ = self.file.seek(SeekFrom::Start(self.whole));
        }
        (there, whole_records(&records[end..]).1)
    }
}

/// The records that are whole at the beginning of `bytes`, and where they end.
fn whole_records(bytes: &[u8]) -> (usize, Amount) {
    let (mut end, mut amount) = (0, Amount::default());
    while let Some(header) = bytes[end..].first_chunk::<RECORD_HEADER_LEN>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        if bytes.len() - end - RECORD_HEADER_LEN < len {
            break;
        }
        end += RECORD_HEADER_LEN + len;
        amount.records += 1;
        amount.bytes += len as u64;
    }
    (end, amount)
}

/// The sending queue.
pub(super) struct PcapTx {
    /// `None`: what is sent is dropped and counted.
    output: Option<(Arc<Output>, JoinHandle<()>)>,
    counters: Arc<QueueCounters>,
    /// Where large packets are cut; stays empty until there is one.
    scratch: Vec<u8>,
}

impl PcapTx {
    /// Creates the file, if one is wanted, and starts the thread.
    pub(super) fn create(
        port: &str,
        path: Option<&Path>,
        counters: Arc<QueueCounters>,
    ) -> Result<Self, PortError> {
        let create = |path: &Path| {
            let failed = |action| move |error| file_error(port, path, action, error);
            let mut file = File::create(path).map_err(failed("creating the capture"))?;
            let mut records = Writer::new(Vec::with_capacity(ROOM), LinkType::ETHERNET)
                .map_err(|error| broken(port, error))?;
            let whole = FILE_HEADER_LEN as u64;
            file.write_all(records.get_mut())
                .map_err(|source| broken(port, PcapError::Io { offset: whole, source }))?;
            records.get_mut().clear();
            let target = Target { file, whole };
            let gathered =
                Gathered { records, taken: 0, settled: 0, idle: false, wanted: false, closed: false };
            let output = Arc::new(Output {
                gathered: Mutex::new(gathered),
                work: Condvar::new(),
                written: Condvar::new(),
                counters: counters.clone(),
            });
            let shared = output.clone();
            let thread = std::thread::Builder::new().name("pcap-writer".into());
            let thread = thread
                .spawn(move || shared.run(target))
                .map_err(failed("starting the thread that writes"))?;
            Ok((output, thread))
        };
        let output = path.map(create).transpose()?;
        Ok(Self { output, counters, scratch: Vec::new() })
    }

    pub(super) fn output(&self) -> Option<Arc<Output>> {
        Some(self.output.as_ref()?.0.clone())
    }
}

/// Writes a packet, or its segments; `None` if it cannot be written.
fn write(records: &mut Writer<Vec<u8>>, scratch: &mut Vec<u8>, packet: &mut Packet) -> Option<()> {
    let time_ns = match packet.timestamp_ns() {
        0 => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        noted => noted,
    };
    let Some(wanted) = packet.offload().segmentation else {
        finish::complete(packet).ok()?;
        return records.write(time_ns, packet.data()).ok();
    };
    let mut segments = Segments::new(packet, wanted, false).ok()?;
    scratch.resize(segments.frame_len_max(), 0);
    while let Some(len) = segments.write_next(scratch) {
        records.write(time_ns, &scratch[..len]).ok()?;
    }
    Some(())
}

impl TxQueue for PcapTx {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let count = batch.len();
        let Some((output, _)) = &self.output else {
            self.counters.sent(0, 0, count as u64);
            batch.clear();
            return Ok(count);
        };
        let mut gathered = output.lock();
        let (mut dropped, mut wake) = (0, false);
        for packet in batch.iter_mut() {
            while gathered.len() >= GATHERED_MAX {
                output.work.notify_one();
                gathered = output.written.wait(gathered).unwrap_or_else(PoisonError::into_inner);
            }
            let before = gathered.len();
            dropped += u64::from(write(&mut gathered.records, &mut self.scratch, packet).is_none());
            let after = gathered.len();
            gathered.taken += (after - before) as u64;
            wake |= before < WRITE_BYTES && after >= WRITE_BYTES;
        }
        // The thread counts as well, under the same lock.
        self.counters.sent(0, 0, dropped);
        wake |= std::mem::take(&mut gathered.idle);
        drop(gathered);
        if wake {
            output.work.notify_one();
        }
        batch.clear();
        Ok(count)
    }
}

impl Drop for PcapTx {
    fn drop(&mut self) {
        if let Some((output, thread)) = self.output.take() {
            output.lock().closed = true;
            output.work.notify_one();
            let _ = thread.join();
        }
    }
}
