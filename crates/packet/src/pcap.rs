//! pcap files (the format of libpcap's `savefile`, draft-ietf-opsawg-pcap), and what they share with [`pcapng`].
//!
//! Both byte orders and both magics (microseconds and nanoseconds) are read. A record claims its own length, so lengths
//! are checked against [`RECORD_MAX`] before anything is allocated; errors carry the offset in the file.
//!
//! ```
//! use packet::pcap::{Capture, LinkType, Writer};
//! let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET)?;
//! writer.write(1_700_000_000_123_456_789, b"a frame")?;
//! let file = writer.into_inner()?;
//!
//! let mut capture = Capture::new(&file[..])?; // or packet::pcap::open("trace.pcapng")
//! while let Some(record) = capture.next()? {
//!     assert_eq!((record.timestamp_ns, record.data), (1_700_000_000_123_456_789, &b"a frame"[..]));
//! }
//! # Ok::<(), packet::pcap::PcapError>(())
//! ```

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::pcapng;

/// Bytes of the longest record read or written: libpcap's `MAXIMUM_SNAPLEN`.
pub const RECORD_MAX: usize = 262_144;

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
/// Bytes in front of the first record of a pcap file.
pub const FILE_HEADER_LEN: usize = 24;
/// Bytes in front of each packet of a pcap file: seconds, rest of the time, bytes kept, bytes on the wire.
pub const RECORD_HEADER_LEN: usize = 16;

/// Why a capture file cannot be read or written. Offsets count bytes from the start of the file.
#[derive(Debug, Error)]
pub enum PcapError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The first bytes are those of neither format.
    #[error("not a capture file: it starts with {magic:02x?}, neither pcap nor pcapng")]
    NotACapture {
        /// The first bytes.
        magic: [u8; 4],
    },
    /// The file ends inside something.
    #[error("at byte {offset}: the file ends inside a {what}: needs {need} bytes, has {have}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A length beyond the limit, or one that contradicts the format.
    #[error("at byte {offset}: {what} of {length} bytes is not possible (limit {limit})")]
    BadLength {
        /// Whose length.
        what: &'static str,
        /// Where.
        offset: u64,
        /// The length claimed.
        length: u64,
        /// What is possible.
        limit: usize,
    },
    /// A field holds what the format does not have.
    #[error("at byte {offset}: {what} {value:#x} is not valid")]
    BadValue {
        /// The field.
        what: &'static str,
        /// Where.
        offset: u64,
        /// Its value.
        value: u64,
    },
}

/// What a record's bytes start with (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: 4 bytes of address family.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// An IPv4 or IPv6 header.
    pub const RAW: Self = Self(101);
    /// Linux "cooked".
    pub const LINUX_SLL: Self = Self(113);
    /// Linux "cooked", version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// One captured packet. The bytes are good until the next is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970; 0 where the file does not say.
    pub timestamp_ns: u64,
    /// Bytes the packet had on the wire; at least as many as `data`.
    pub original_len: u32,
    /// What its bytes start with.
    pub link: LinkType,
    /// Which of the file's interfaces it was seen on; 0 in pcap files.
    pub interface: u32,
    /// The bytes captured.
    pub data: &'a [u8],
}

/// A reader that knows where it is and can take its first bytes back.
#[derive(Debug)]
pub(crate) struct Input<R> {
    inner: R,
    pub(crate) offset: u64,
    ahead: Option<[u8; 4]>,
}

impl<R: Read> Input<R> {
    pub(crate) const fn new(inner: R) -> Self {
        Self { inner, offset: 0, ahead: None }
    }

    /// Fills `buffer`, or says how many bytes were left.
    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, PcapError> {
        let mut have = 0;
        if let Some(ahead) = self.ahead.take() {
            // Only ever taken back before a header, which is longer.
            buffer[..4].copy_from_slice(&ahead);
            have = 4;
        }
        while have < buffer.len() {
            match self.inner.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(PcapError::Io { offset: self.offset + have as u64, source }),
            }
        }
        self.offset += have as u64;
        Ok(have)
    }

    /// Fills `buffer`; `false` where the file ends cleanly in front of it.
    pub(crate) fn fill_or_end(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<bool, PcapError> {
        let offset = self.offset;
        match self.read_up_to(buffer)? {
            0 => Ok(false),
            have if have < buffer.len() => {
                Err(PcapError::Truncated { what, offset, need: buffer.len(), have })
            }
            _ => Ok(true),
        }
    }

    pub(crate) fn fill(&mut self, what: &'static str, buffer: &mut [u8]) -> Result<(), PcapError> {
        let offset = self.offset;
        if buffer.is_empty() || self.fill_or_end(what, buffer)? {
            return Ok(());
        }
        Err(PcapError::Truncated { what, offset, need: buffer.len(), have: 0 })
    }

    /// Reads over `length` bytes.
    pub(crate) fn skip(&mut self, what: &'static str, length: u64) -> Result<(), PcapError> {
        let mut left = length;
        let mut waste = [0; 4096];
        while left > 0 {
            let step = left.min(waste.len() as u64) as usize;
            self.fill(what, &mut waste[..step])?;
            left -= step as u64;
        }
        Ok(())
    }

    fn peek_magic(&mut self) -> Result<[u8; 4], PcapError> {
        let mut magic = [0; 4];
        self.fill("file magic", &mut magic)?;
        self.ahead = Some(magic);
        self.offset = 0;
        Ok(magic)
    }
}

/// The byte order of a file's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Opens a capture file of either format.
///
/// # Errors
/// The file cannot be opened, or is no capture.
pub fn open(path: impl AsRef<Path>) -> Result<Capture<BufReader<File>>, PcapError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| PcapError::Open { path: path.to_owned(), source })?;
    Capture::new(BufReader::with_capacity(1 << 16, file))
}

/// A reader of either format.
#[derive(Debug)]
pub enum Capture<R> {
    /// A pcap file.
    Pcap(Reader<R>),
    /// A pcapng file.
    Pcapng(pcapng::Reader<R>),
}

impl<R: Read> Capture<R> {
    /// Looks at the first bytes and picks the format.
    ///
    /// # Errors
    /// The bytes are of neither format, or end inside the file header.
    pub fn new(inner: R) -> Result<Self, PcapError> {
        let mut input = Input::new(inner);
        if input.peek_magic()? == pcapng::SECTION_MAGIC {
            return pcapng::Reader::from_input(input).map(Self::Pcapng);
        }
        Reader::from_input(input).map(Self::Pcap)
    }

    /// The next record; `None` at the end. After an error the reader is at its end.
    ///
    /// # Errors
    /// See [`PcapError`].
    #[expect(clippy::should_implement_trait, reason = "it lends its buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, PcapError> {
        match self {
            Self::Pcap(reader) => reader.next(),
            Self::Pcapng(reader) => reader.next(),
        }
    }
}

/// A pcap reader.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    order: Order,
    nanoseconds: bool,
    snaplen: usize,
    link: LinkType,
    buffer: Vec<u8>,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// No pcap magic, another version than 2, or fewer bytes than the header.
    pub fn new(inner: R) -> Result<Self, PcapError> {
        Self::from_input(Input::new(inner))
    }

    fn from_input(mut input: Input<R>) -> Result<Self, PcapError> {
        let mut header = [0; FILE_HEADER_LEN];
        let have = input.read_up_to(&mut header)?;
        let magic = [header[0], header[1], header[2], header[3]];
        let (order, nanoseconds) = match (Order::Little.u32(&magic), Order::Big.u32(&magic)) {
            (MAGIC_MICRO, _) => (Order::Little, false),
            (MAGIC_NANO, _) => (Order::Little, true),
            (_, MAGIC_MICRO) => (Order::Big, false),
            (_, MAGIC_NANO) => (Order::Big, true),
            _ => return Err(PcapError::NotACapture { magic }),
        };
        if have < FILE_HEADER_LEN {
            return Err(PcapError::Truncated { what: "file header", offset: 0, need: FILE_HEADER_LEN, have });
        }
        let version = order.u16(&header[4..]);
        if version != 2 {
            return Err(PcapError::BadValue { what: "pcap version", offset: 4, value: u64::from(version) });
        }
        let snaplen = match order.u32(&header[16..]) as usize {
            0 => RECORD_MAX,
            snaplen => snaplen.min(RECORD_MAX),
        };
        // The upper bits say whether frames end in an FCS; the type is in the lower 16.
        let link = LinkType(order.u32(&header[20..]) as u16);
        Ok(Self { input, order, nanoseconds, snaplen, link, buffer: Vec::new(), done: false })
    }

    /// What every record's bytes start with.
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// Bytes kept of each packet, as the file header says; longer records are cut to it, as libpcap does.
    pub const fn snaplen(&self) -> usize {
        self.snaplen
    }

    /// Whether timestamps have nanoseconds, or only microseconds.
    pub const fn nanoseconds(&self) -> bool {
        self.nanoseconds
    }

    /// The next record; `None` at the end. After an error the reader is at its end.
    ///
    /// # Errors
    /// See [`PcapError`].
    #[expect(clippy::should_implement_trait, reason = "it lends its buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, PcapError> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let offset = self.input.offset;
        let mut header = [0; RECORD_HEADER_LEN];
        if !self.input.fill_or_end("record header", &mut header)? {
            return Ok(None);
        }
        let word = |at: usize| self.order.u32(&header[at..]);
        let length = word(8) as usize;
        if length > RECORD_MAX {
            return Err(PcapError::BadLength {
                what: "record",
                offset,
                length: length as u64,
                limit: RECORD_MAX,
            });
        }
        let unit_ns = if self.nanoseconds { 1 } else { 1000 };
        let timestamp_ns = u64::from(word(0)) * SECOND_NS + u64::from(word(4)) * unit_ns;
        let original_len = word(12).max(length as u32);
        self.buffer.resize(length, 0);
        self.input.fill("record", &mut self.buffer)?;
        self.done = false;
        let data = &self.buffer[..length.min(self.snaplen)];
        Ok(Some(Record { timestamp_ns, original_len, link: self.link, interface: 0, data }))
    }
}

/// How a [`Writer`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterConfig {
    /// What the records' bytes start with.
    pub link: LinkType,
    /// Bytes kept of each packet, at most [`RECORD_MAX`].
    pub snaplen: usize,
    /// Timestamps with nanoseconds; else microseconds, which every tool reads.
    pub nanoseconds: bool,
}

/// A pcap writer, little-endian. Wrap files in a `BufWriter`.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    config: WriterConfig,
    offset: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the file header: whole packets, nanoseconds.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(inner: W, link: LinkType) -> Result<Self, PcapError> {
        Self::with_config(inner, WriterConfig { link, snaplen: RECORD_MAX, nanoseconds: true })
    }

    /// Writes the file header.
    ///
    /// # Errors
    /// Writing fails.
    pub fn with_config(inner: W, config: WriterConfig) -> Result<Self, PcapError> {
        let config = WriterConfig { snaplen: config.snaplen.clamp(1, RECORD_MAX), ..config };
        let mut header = [0; FILE_HEADER_LEN];
        let magic = if config.nanoseconds { MAGIC_NANO } else { MAGIC_MICRO };
        header[..4].copy_from_slice(&magic.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&(config.snaplen as u32).to_le_bytes());
        header[20..24].copy_from_slice(&u32::from(config.link.0).to_le_bytes());
        let mut writer = Self { inner, config, offset: 0 };
        writer.put(&header)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), PcapError> {
        self.inner.write_all(bytes).map_err(|source| PcapError::Io { offset: self.offset, source })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Writes a packet, cut to the snap length.
    ///
    /// # Errors
    /// Writing fails; a time after the year 2106, which the format cannot hold.
    pub fn write(&mut self, timestamp_ns: u64, data: &[u8]) -> Result<(), PcapError> {
        self.write_cut(timestamp_ns, data, data.len() as u32)
    }

    /// Writes a packet of which only `data` of `original_len` bytes was kept.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_cut(&mut self, timestamp_ns: u64, data: &[u8], original_len: u32) -> Result<(), PcapError> {
        let seconds = u32::try_from(timestamp_ns / SECOND_NS).map_err(|_| PcapError::BadValue {
            what: "timestamp",
            offset: self.offset,
            value: timestamp_ns,
        })?;
        let unit_ns = if self.config.nanoseconds { 1 } else { 1000 };
        let data = &data[..data.len().min(self.config.snaplen)];
        let words = [
            seconds,
            (timestamp_ns % SECOND_NS / unit_ns) as u32,
            data.len() as u32,
            original_len.max(data.len() as u32),
        ];
        let mut header = [0; RECORD_HEADER_LEN];
        for (place, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        self.put(&header)?;
        self.put(data)
    }

    /// What is below.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Flushes what is below.
    ///
    /// # Errors
    /// Writing fails.
    pub fn flush(&mut self) -> Result<(), PcapError> {
        self.inner.flush().map_err(|source| PcapError::Io { offset: self.offset, source })
    }

    /// Flushes and gives back what is below.
    ///
    /// # Errors
    /// Writing fails.
    pub fn into_inner(mut self) -> Result<W, PcapError> {
        self.flush()?;
        Ok(self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME_NS: u64 = 1_700_000_000_123_456_789;

    fn file(config: WriterConfig, frames: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::with_config(Vec::new(), config).unwrap();
        frames.iter().for_each(|frame| writer.write(TIME_NS, frame).unwrap());
        writer.into_inner().unwrap()
    }

    const NANO: WriterConfig =
        WriterConfig { link: LinkType::ETHERNET, snaplen: RECORD_MAX, nanoseconds: true };

    /// The same file as a big-endian machine writes it.
    fn swapped(file: &[u8]) -> Vec<u8> {
        let mut out = file.to_vec();
        out[..4].reverse();
        out[4..6].reverse();
        out[6..8].reverse();
        out[8..24].as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        let mut at = FILE_HEADER_LEN;
        while at < out.len() {
            let length = Order::Little.u32(&out[at + 8..]) as usize;
            out[at..at + 16].as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
            at += 16 + length;
        }
        out
    }

    #[test]
    fn both_orders_and_both_resolutions_read_back() {
        for nanoseconds in [true, false] {
            let little = file(WriterConfig { nanoseconds, ..NANO }, &[b"one", b"", b"three"]);
            for bytes in [little.clone(), swapped(&little)] {
                let mut reader = Reader::new(&bytes[..]).unwrap();
                assert_eq!((reader.link(), reader.nanoseconds()), (LinkType::ETHERNET, nanoseconds));
                let expected_ns = if nanoseconds { TIME_NS } else { TIME_NS / 1000 * 1000 };
                for frame in [&b"one"[..], b"", b"three"] {
                    let record = reader.next().unwrap().unwrap();
                    assert_eq!((record.data, record.timestamp_ns), (frame, expected_ns));
                    assert_eq!(record.original_len as usize, frame.len());
                }
                assert!(reader.next().unwrap().is_none());
                assert!(reader.next().unwrap().is_none());
            }
        }
    }

    #[test]
    fn snap_length_cuts_and_keeps_the_original_length() {
        let bytes = file(WriterConfig { snaplen: 4, ..NANO }, &[b"123456789"]);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let record = reader.next().unwrap().unwrap();
        assert_eq!((record.data, record.original_len), (&b"1234"[..], 9));
        // A record longer than the header's snap length is cut on reading too.
        let mut bytes = file(NANO, &[b"123456789", b"next"]);
        bytes[16..20].copy_from_slice(&4u32.to_le_bytes());
        let mut reader = Reader::new(&bytes[..]).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().data, b"1234");
        assert_eq!(reader.next().unwrap().unwrap().data, b"next");
    }

    #[test]
    fn every_truncation_is_an_error_with_its_offset() {
        let bytes = file(NANO, &[b"one", b"three"]);
        let whole = [24, 24 + 16 + 3, bytes.len()];
        for length in 0..bytes.len() {
            let outcome = Capture::new(&bytes[..length]).and_then(|mut capture| {
                while capture.next()?.is_some() {}
                Ok(())
            });
            match outcome {
                Ok(()) => assert!(whole.contains(&length), "{length}"),
                Err(PcapError::Truncated { offset, need, have, .. }) => {
                    assert!(!whole.contains(&length), "{length}");
                    assert_eq!(offset as usize + have, length);
                    assert!(have < need);
                }
                Err(other) => panic!("{length}: {other}"),
            }
        }
    }

    #[test]
    fn record_of_four_gigabytes_is_refused_before_it_is_allocated() {
        let mut bytes = file(NANO, &[b"one"]);
        bytes[32..36].fill(0xff);
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let wrong = reader.next().unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "at byte 24: record of 4294967295 bytes is not possible (limit 262144)"
        );
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn other_files_are_named_by_their_first_bytes() {
        let wrong = Capture::new(&b"#!/bin/sh and more than a header"[..]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "not a capture file: it starts with [23, 21, 2f, 62], neither pcap nor pcapng"
        );
        let mut bytes = file(NANO, &[]);
        bytes[4] = 3;
        assert!(matches!(
            Reader::new(&bytes[..]),
            Err(PcapError::BadValue { what: "pcap version", value: 3, .. })
        ));
        assert!(open("/nonexistent/x.pcap").unwrap_err().to_string().contains("/nonexistent/x.pcap"));
    }

    #[test]
    fn time_after_2106_is_refused() {
        let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
        assert!(matches!(writer.write(u64::MAX, b""), Err(PcapError::BadValue { what: "timestamp", .. })));
    }
}
