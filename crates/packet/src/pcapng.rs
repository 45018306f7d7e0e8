//! pcapng files (draft-ietf-opsawg-pcapng).
//!
//! Read: section headers of both byte orders, interface descriptions with their time resolution, enhanced and simple
//! packets. All other blocks (name resolution, statistics, custom, obsolete) are passed over and counted. Written:
//! one section, any number of interfaces, enhanced packets with nanoseconds, and with comments where there are any.
//!
//! ```
//! use packet::pcap::{Capture, LinkType};
//! let mut writer = packet::pcapng::Writer::new(Vec::new())?;
//! let eth0 = writer.add_interface("eth0", LinkType::ETHERNET)?;
//! writer.write(eth0, 1_700_000_000_123_456_789, b"a frame")?;
//! let file = writer.into_inner()?;
//! let mut capture = Capture::new(&file[..])?;
//! assert_eq!(capture.next()?.unwrap().timestamp_ns, 1_700_000_000_123_456_789);
//! # Ok::<(), packet::pcap::PcapError>(())
//! ```

use std::io::{Read, Write};

use crate::pcap::{Input, LinkType, Order, PcapError, RECORD_MAX, Record, SECOND_NS};

/// Interfaces in one section.
pub const INTERFACES_MAX: usize = 4096;
/// Bytes of the longest block that is read into memory: a packet and as much again for its options.
pub const BLOCK_MAX: usize = 2 * RECORD_MAX;
/// Bytes of the longest interface name written.
pub const NAME_MAX: usize = 255;
/// Bytes of the longest comment written.
pub const COMMENT_MAX: usize = u16::MAX as usize;

/// A section header's first bytes, the same in both byte orders.
pub(crate) const SECTION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;
/// Type and length in front, length behind.
const FRAME_LEN: usize = 12;

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    snaplen: usize,
    /// Timestamp units in a second.
    units: u64,
    offset_s: i64,
}

impl Interface {
    fn nanoseconds(&self, timestamp: u64) -> u64 {
        let ns = i128::from(timestamp) * i128::from(SECOND_NS) / i128::from(self.units)
            + i128::from(self.offset_s) * i128::from(SECOND_NS);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// A packet found in the block buffer.
struct Found {
    timestamp_ns: u64,
    original_len: u32,
    link: LinkType,
    interface: u32,
    data: std::ops::Range<usize>,
}

/// A pcapng reader.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    order: Order,
    interfaces: Vec<Interface>,
    /// The body of the block being read.
    body: Vec<u8>,
    skipped: u64,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the first section header.
    ///
    /// # Errors
    /// No section header, another version than 1, or fewer bytes than the header.
    pub fn new(inner: R) -> Result<Self, PcapError> {
        Self::from_input(Input::new(inner))
    }

    pub(crate) fn from_input(input: Input<R>) -> Result<Self, PcapError> {
        let mut reader = Self {
            input,
            order: Order::Little,
            interfaces: Vec::new(),
            body: Vec::new(),
            skipped: 0,
            done: false,
        };
        let mut head = [0; 8];
        reader.input.fill("section header", &mut head)?;
        let magic = [head[0], head[1], head[2], head[3]];
        if magic != SECTION_MAGIC {
            return Err(PcapError::NotACapture { magic });
        }
        reader.section(&head)?;
        Ok(reader)
    }

    /// Blocks passed over so far because they hold no packet.
    pub const fn skipped(&self) -> u64 {
        self.skipped
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
        let found = loop {
            let mut head = [0; 8];
            if !self.input.fill_or_end("block header", &mut head)? {
                return Ok(None);
            }
            if let Some(found) = self.block(&head)? {
                break found;
            }
        };
        self.done = false;
        let Found { timestamp_ns, original_len, link, interface, data } = found;
        Ok(Some(Record { timestamp_ns, original_len, link, interface, data: &self.body[data] }))
    }

    fn block(&mut self, head: &[u8; 8]) -> Result<Option<Found>, PcapError> {
        let kind = self.order.u32(head);
        if kind == SECTION {
            self.section(head)?;
            return Ok(None);
        }
        let offset = self.input.offset - 8;
        let length = self.order.u32(&head[4..]);
        match kind {
            INTERFACE | SIMPLE_PACKET | ENHANCED_PACKET => self.read_body(offset, length, BLOCK_MAX)?,
            _ => {
                self.check_length(offset, length, u32::MAX as usize)?;
                self.input.skip("block", u64::from(length) - FRAME_LEN as u64)?;
                self.trailer(offset, length)?;
                self.skipped += 1;
                return Ok(None);
            }
        }
        match kind {
            INTERFACE => self.interface(offset).map(|()| None),
            SIMPLE_PACKET => self.simple_packet(offset).map(Some),
            _ => self.enhanced_packet(offset).map(Some),
        }
    }

    fn check_length(&self, offset: u64, length: u32, limit: usize) -> Result<(), PcapError> {
        if (length as usize) < FRAME_LEN || !length.is_multiple_of(4) || length as usize > limit {
            return Err(PcapError::BadLength { what: "block", offset, length: u64::from(length), limit });
        }
        Ok(())
    }

    fn read_body(&mut self, offset: u64, length: u32, limit: usize) -> Result<(), PcapError> {
        self.check_length(offset, length, limit)?;
        self.body.resize(length as usize - FRAME_LEN, 0);
        self.input.fill("block", &mut self.body)?;
        self.trailer(offset, length)
    }

    /// The length is repeated behind the block.
    fn trailer(&mut self, offset: u64, length: u32) -> Result<(), PcapError> {
        let mut trailer = [0; 4];
        self.input.fill("block trailer", &mut trailer)?;
        match self.order.u32(&trailer) {
            again if again == length => Ok(()),
            again => {
                Err(PcapError::BadValue { what: "block trailer length", offset, value: u64::from(again) })
            }
        }
    }

    /// A new section: its byte order is in its body, so the length is read after it.
    fn section(&mut self, head: &[u8; 8]) -> Result<(), PcapError> {
        let offset = self.input.offset - 8;
        let mut body = [0; 16];
        self.input.fill("section header", &mut body)?;
        self.order = match (Order::Little.u32(&body), Order::Big.u32(&body)) {
            (BYTE_ORDER, _) => Order::Little,
            (_, BYTE_ORDER) => Order::Big,
            (wrong, _) => {
                let value = u64::from(wrong);
                return Err(PcapError::BadValue { what: "section byte order", offset: offset + 8, value });
            }
        };
        let version = self.order.u16(&body[4..]);
        if version != 1 {
            let value = u64::from(version);
            return Err(PcapError::BadValue { what: "pcapng version", offset: offset + 12, value });
        }
        let length = self.order.u32(&head[4..]);
        self.check_length(offset, length, u32::MAX as usize)?;
        let Some(options) = u64::from(length).checked_sub(28) else {
            let length = u64::from(length);
            return Err(PcapError::BadLength { what: "section header", offset, length, limit: 28 });
        };
        self.input.skip("section options", options)?;
        self.interfaces.clear();
        self.trailer(offset, length)
    }

    fn need(&self, what: &'static str, offset: u64, need: usize) -> Result<(), PcapError> {
        let length = self.body.len();
        if length < need {
            return Err(PcapError::BadLength { what, offset, length: length as u64, limit: need });
        }
        Ok(())
    }

    fn interface(&mut self, offset: u64) -> Result<(), PcapError> {
        self.need("interface block", offset, 8)?;
        if self.interfaces.len() == INTERFACES_MAX {
            let value = INTERFACES_MAX as u64 + 1;
            return Err(PcapError::BadValue { what: "number of interfaces", offset, value });
        }
        let snaplen = match self.order.u32(&self.body[4..]) as usize {
            0 => RECORD_MAX,
            snaplen => snaplen.min(RECORD_MAX),
        };
        let link = LinkType(self.order.u16(&self.body));
        let mut interface = Interface { link, snaplen, units: 1_000_000, offset_s: 0 };
        self.interface_options(offset, &mut interface)?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Each option takes at least 4 bytes of a bounded block, so the walk ends.
    fn interface_options(&self, offset: u64, interface: &mut Interface) -> Result<(), PcapError> {
        let mut rest = &self.body[8..];
        while let Some((head, after)) = rest.split_at_checked(4) {
            let (code, length) = (self.order.u16(head), usize::from(self.order.u16(&head[2..])));
            if code == OPTION_END {
                break;
            }
            let Some(value) = after.get(..length) else {
                let (length, limit) = (length as u64, after.len());
                return Err(PcapError::BadLength { what: "interface option", offset, length, limit });
            };
            match (code, value) {
                (OPTION_RESOLUTION, &[resolution]) => interface.units = units(offset, resolution)?,
                (OPTION_TIME_OFFSET, value) if length == 8 => {
                    let (first, second) = (self.order.u32(value), self.order.u32(&value[4..]));
                    let (high, low) =
                        if self.order == Order::Big { (first, second) } else { (second, first) };
                    interface.offset_s = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            rest = after.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(())
    }

    fn interface_of(&self, offset: u64, number: u32) -> Result<Interface, PcapError> {
        self.interfaces.get(number as usize).copied().ok_or(PcapError::BadValue {
            what: "interface number",
            offset,
            value: u64::from(number),
        })
    }

    fn enhanced_packet(&self, offset: u64) -> Result<Found, PcapError> {
        const HEAD: usize = 20;
        self.need("packet block", offset, HEAD)?;
        let word = |at: usize| self.order.u32(&self.body[at..]);
        let interface = self.interface_of(offset, word(0))?;
        let length = word(12) as usize;
        let limit = RECORD_MAX.min(self.body.len() - HEAD);
        if length > limit {
            return Err(PcapError::BadLength { what: "record", offset, length: length as u64, limit });
        }
        Ok(Found {
            timestamp_ns: interface.nanoseconds(u64::from(word(4)) << 32 | u64::from(word(8))),
            original_len: word(16).max(length as u32),
            link: interface.link,
            interface: word(0),
            data: HEAD..HEAD + length,
        })
    }

    /// No time, no interface number (it is the first), no captured length: the snap length and the block bound it.
    fn simple_packet(&self, offset: u64) -> Result<Found, PcapError> {
        const HEAD: usize = 4;
        self.need("simple packet block", offset, HEAD)?;
        let interface = self.interface_of(offset, 0)?;
        let original_len = self.order.u32(&self.body);
        let length = (original_len as usize).min(interface.snaplen);
        let limit = self.body.len() - HEAD;
        if length > limit {
            return Err(PcapError::BadLength { what: "record", offset, length: length as u64, limit });
        }
        Ok(Found {
            timestamp_ns: 0,
            original_len,
            link: interface.link,
            interface: 0,
            data: HEAD..HEAD + length,
        })
    }
}

/// `if_tsresol`: a negative power of 10, or with the high bit set of 2, that fits into 64 bits.
fn units(offset: u64, resolution: u8) -> Result<u64, PcapError> {
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(resolution & 0x7f)).ok_or(PcapError::BadValue {
        what: "interface time resolution",
        offset,
        value: u64::from(resolution),
    })
}

/// A pcapng writer, little-endian. Wrap files in a `BufWriter`.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    offset: u64,
    interfaces: u32,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the section header.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(inner: W) -> Result<Self, PcapError> {
        let mut writer = Self { inner, offset: 0, interfaces: 0, block: Vec::new() };
        writer.begin(SECTION);
        writer.block.extend(BYTE_ORDER.to_le_bytes());
        writer.block.extend([1, 0, 0, 0]); // version 1.0
        writer.block.extend((-1i64).to_le_bytes()); // length not given
        writer.end()?;
        Ok(writer)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend(value);
        self.pad();
    }

    fn end(&mut self) -> Result<(), PcapError> {
        self.pad();
        let length = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&length);
        self.block.extend(length);
        self.inner.write_all(&self.block).map_err(|source| PcapError::Io { offset: self.offset, source })?;
        self.offset += self.block.len() as u64;
        Ok(())
    }

    /// Describes an interface and returns its number. Names are cut to [`NAME_MAX`] bytes.
    ///
    /// # Errors
    /// Writing fails; more than [`INTERFACES_MAX`] of them.
    pub fn add_interface(&mut self, name: &str, link: LinkType) -> Result<u32, PcapError> {
        if self.interfaces as usize == INTERFACES_MAX {
            let (offset, value) = (self.offset, INTERFACES_MAX as u64 + 1);
            return Err(PcapError::BadValue { what: "number of interfaces", offset, value });
        }
        self.begin(INTERFACE);
        self.block.extend(link.0.to_le_bytes());
        self.block.extend([0; 2]);
        self.block.extend((RECORD_MAX as u32).to_le_bytes());
        let cut = name.floor_char_boundary(NAME_MAX);
        self.option(OPTION_NAME, &name.as_bytes()[..cut]);
        self.option(OPTION_RESOLUTION, &[9]);
        self.option(OPTION_END, &[]);
        self.end()?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet seen on an interface. Of packets beyond [`RECORD_MAX`] the front is kept.
    ///
    /// # Errors
    /// Writing fails; an interface that was not added.
    pub fn write(&mut self, interface: u32, timestamp_ns: u64, data: &[u8]) -> Result<(), PcapError> {
        self.write_cut(interface, timestamp_ns, data, data.len() as u32)
    }

    /// Writes a packet of which only `data` of `original_len` bytes was kept.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_cut(
        &mut self,
        interface: u32,
        timestamp_ns: u64,
        data: &[u8],
        original_len: u32,
    ) -> Result<(), PcapError> {
        self.enhanced(interface, timestamp_ns, data, original_len)?;
        self.end()
    }

    /// Writes a packet with a comment, which is cut to [`COMMENT_MAX`] bytes.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_commented(
        &mut self,
        interface: u32,
        timestamp_ns: u64,
        data: &[u8],
        comment: &str,
    ) -> Result<(), PcapError> {
        self.enhanced(interface, timestamp_ns, data, data.len() as u32)?;
        self.pad();
        let cut = comment.floor_char_boundary(COMMENT_MAX);
        self.option(OPTION_COMMENT, &comment.as_bytes()[..cut]);
        self.option(OPTION_END, &[]);
        self.end()
    }

    /// Begins the block of a packet.
    fn enhanced(
        &mut self,
        interface: u32,
        timestamp_ns: u64,
        data: &[u8],
        original_len: u32,
    ) -> Result<(), PcapError> {
        if interface >= self.interfaces {
            let (offset, value) = (self.offset, u64::from(interface));
            return Err(PcapError::BadValue { what: "interface number", offset, value });
        }
        let data = &data[..data.len().min(RECORD_MAX)];
        self.begin(ENHANCED_PACKET);
        let length = data.len() as u32;
        let words =
            [interface, (timestamp_ns >> 32) as u32, timestamp_ns as u32, length, original_len.max(length)];
        words.iter().for_each(|word| self.block.extend(word.to_le_bytes()));
        self.block.extend(data);
        Ok(())
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

    /// A block as a writer of either byte order makes it.
    fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
        let word =
            |value: u32| if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
        let length = (FRAME_LEN + body.len()) as u32;
        [&word(kind)[..], &word(length), body, &word(length)].concat()
    }

    fn words(order: Order, words: &[u32]) -> Vec<u8> {
        let word =
            |value: &u32| if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
        words.iter().flat_map(word).collect()
    }

    fn section(order: Order) -> Vec<u8> {
        let version = if order == Order::Little { 1 } else { 1 << 16 };
        block(order, SECTION, &words(order, &[BYTE_ORDER, version, u32::MAX, u32::MAX]))
    }

    fn interface(order: Order, options: &[u8]) -> Vec<u8> {
        let link = if order == Order::Little { 1 } else { 1 << 16 };
        block(order, INTERFACE, &[words(order, &[link, 0]), options.to_vec()].concat())
    }

    fn packet(order: Order, interface: u32, time: u64, data: [u8; 4]) -> Vec<u8> {
        let head = words(order, &[interface, (time >> 32) as u32, time as u32, 3, 9]);
        block(order, ENHANCED_PACKET, &[head, data.to_vec()].concat())
    }

    type Owned = (u64, u32, u32, Vec<u8>);

    fn read(bytes: &[u8]) -> Result<Vec<Owned>, PcapError> {
        let mut reader = Reader::new(bytes)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next()? {
            records.push((record.timestamp_ns, record.interface, record.original_len, record.data.to_vec()));
        }
        Ok(records)
    }

    #[test]
    fn sections_of_both_orders_follow_each_other() {
        let mut bytes = Vec::new();
        for order in [Order::Little, Order::Big] {
            bytes.extend(section(order));
            bytes.extend(interface(order, &[]));
            bytes.extend(block(order, 4, &[1, 0, 0, 0])); // name resolution
            bytes.extend(block(order, 5, &[0; 12])); // statistics
            bytes.extend(block(order, 0xbad, &[])); // custom
            bytes.extend(packet(order, 0, 7, *b"abc\0"));
            bytes.extend(block(order, SIMPLE_PACKET, &[words(order, &[2]), b"hi\0\0".to_vec()].concat()));
        }
        let expected = [(7000, 0, 9, b"abc".to_vec()), (0, 0, 2, b"hi".to_vec())];
        assert_eq!(read(&bytes).unwrap(), [expected.clone(), expected].concat());
        let mut reader = Reader::new(&bytes[..]).unwrap();
        while reader.next().unwrap().is_some() {}
        assert_eq!(reader.skipped(), 6);
    }

    #[test]
    fn time_resolutions_and_offset() {
        let resolution = |value: u8| if value == 0xff { vec![] } else { vec![9, 0, 1, 0, value, 0, 0, 0] };
        for (value, time, expected_ns) in [
            (0xff, 7, 7000),
            (9, 7, 7),
            (0, 7, 7 * SECOND_NS),
            (12, 7999, 7),
            (0x80 | 10, 512, SECOND_NS / 2),
            (3, u64::MAX, u64::MAX),
        ] {
            let bytes = [
                section(Order::Little),
                interface(Order::Little, &resolution(value)),
                packet(Order::Little, 0, time, [0; 4]),
            ];
            assert_eq!(read(&bytes.concat()).unwrap()[0].0, expected_ns, "{value:#x}");
        }
        let bytes = [section(Order::Little), interface(Order::Little, &resolution(20))].concat();
        assert!(matches!(
            read(&bytes),
            Err(PcapError::BadValue { what: "interface time resolution", value: 20, .. })
        ));
        let offset = [&[14, 0, 8, 0][..], &5i64.to_le_bytes()].concat();
        let bytes =
            [section(Order::Little), interface(Order::Little, &offset), packet(Order::Little, 0, 7, [0; 4])];
        assert_eq!(read(&bytes.concat()).unwrap()[0].0, 5 * SECOND_NS + 7000);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        assert!(writer.write(0, 1, b"too early").is_err());
        let first = writer.add_interface("eth0", LinkType::ETHERNET).unwrap();
        let second = writer.add_interface(&"é".repeat(200), LinkType::RAW).unwrap();
        writer.write(second, u64::MAX, b"12345").unwrap();
        writer.write_cut(first, 1, b"", 1500).unwrap();
        let bytes = writer.into_inner().unwrap();
        assert_eq!(read(&bytes).unwrap(), [(u64::MAX, 1, 5, b"12345".to_vec()), (1, 0, 1500, vec![])]);
    }

    #[test]
    fn lengths_and_numbers_that_lie_are_errors_with_their_offset() {
        let good = [section(Order::Little), interface(Order::Little, &[])].concat();
        let with = |tail: Vec<u8>| read(&[good.clone(), tail].concat()).unwrap_err().to_string();
        assert_eq!(
            with(packet(Order::Little, 1, 0, [0; 4])),
            "at byte 48: interface number 0x1 is not valid"
        );
        let mut long = packet(Order::Little, 0, 0, [0; 4]);
        long[20] = 5;
        assert_eq!(with(long), "at byte 48: record of 5 bytes is not possible (limit 4)");
        let mut huge = packet(Order::Little, 0, 0, [0; 4]);
        huge[4..8].copy_from_slice(&0xffff_fffcu32.to_le_bytes());
        assert_eq!(
            with(huge),
            format!("at byte 48: block of 4294967292 bytes is not possible (limit {BLOCK_MAX})")
        );
        let mut trailer = packet(Order::Little, 0, 0, [0; 4]);
        *trailer.last_mut().unwrap() = 1;
        assert!(with(trailer).contains("block trailer length"));
        assert!(with(block(Order::Little, ENHANCED_PACKET, &[0; 16])).contains("packet block of 16 bytes"));
        assert!(with(vec![99, 0, 0, 0, 8, 0, 0, 0]).contains("block of 8 bytes"));
        assert!(with(vec![99, 0, 0, 0, 252, 255, 255, 255]).contains("ends inside a block"));
        assert!(with(interface(Order::Little, &[9, 0, 9, 0])).contains("interface option of 9 bytes"));
        assert!(matches!(Reader::new(&good[4..]), Err(PcapError::NotACapture { .. })));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let parts = [section(Order::Big), interface(Order::Big, &[]), packet(Order::Big, 0, 1, [1; 4])];
        let ends: Vec<usize> = (1..=3).map(|n| parts[..n].concat().len()).collect();
        let bytes = parts.concat();
        for length in 0..=bytes.len() {
            let outcome = read(&bytes[..length]);
            match outcome {
                Ok(_) => assert!(ends.contains(&length), "{length}"),
                Err(PcapError::Truncated { .. }) => assert!(!ends.contains(&length), "{length}"),
                Err(other) => panic!("{length}: {other}"),
            }
        }
    }

    #[test]
    fn interfaces_are_limited() {
        let mut bytes = section(Order::Little);
        bytes.extend(interface(Order::Little, &[]).repeat(INTERFACES_MAX + 1));
        assert!(matches!(read(&bytes), Err(PcapError::BadValue { what: "number of interfaces", .. })));
    }
}
