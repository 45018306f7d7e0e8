//! TCP with options (RFC 9293).
//!
//! ```text
//! 0             2             4          8     12                       14       16         18       20
//! | source port | destination | sequence | ack | offset 4, flags 12 | window | checksum | urgent | options
//! ```

use std::fmt;
use std::net::IpAddr;
use std::ops::{BitOr, BitOrAssign};

use super::{Field, IpProtocol, WireError, be16, be32, need, put16, put32, span, span_mut};
use crate::checksum;

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const HEADER_LEN_MAX: usize = 60;
/// Blocks that fit into one SACK option.
pub const SACK_BLOCKS_MAX: usize = 4;

mod field {
    use super::Field;
    pub(super) const SOURCE: Field = 0..2;
    pub(super) const DESTINATION: Field = 2..4;
    pub(super) const SEQUENCE: Field = 4..8;
    pub(super) const ACK: Field = 8..12;
    pub(super) const OFFSET_FLAGS: Field = 12..14;
    pub(super) const WINDOW: Field = 14..16;
    pub(super) const CHECKSUM: Field = 16..18;
    pub(super) const URGENT: Field = 18..20;
}

/// Where the checksum lies in the header, for offloads.
pub const CHECKSUM_OFFSET: usize = field::CHECKSUM.start;

/// Control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset.
    pub const RST: Self = Self(0x004);
    /// Push.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(0x020);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x040);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN (RFC 9768).
    pub const AE: Self = Self(0x100);

    /// Whether every bit of `other` is set.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[inline]
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & 0x1ff == 0 {
            return f.write_str("none");
        }
        "FSRP.UEWe"
            .chars()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 != 0)
            .try_for_each(|(_, c)| write!(f, "{c}"))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// A TCP segment's bytes. The segment ends where the buffer ends: hand in an IP payload, not a padded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than [`HEADER_LEN`].
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A data offset below 5 or beyond the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("tcp header", data, HEADER_LEN)?;
        let header_len = usize::from(data[12] >> 4) * 4;
        if header_len < HEADER_LEN {
            return Err(WireError::BadLength { what: "tcp data offset", value: header_len });
        }
        need("tcp data offset", data, header_len)?;
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::SOURCE])
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::DESTINATION])
    }

    /// Sequence number of the first byte.
    #[inline]
    pub fn sequence(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::SEQUENCE])
    }

    /// Acknowledgement number, valid with [`Flags::ACK`].
    #[inline]
    pub fn ack(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::ACK])
    }

    /// Bytes of the header, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[12] >> 4) * 4
    }

    /// Control bits.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(be16(&self.buffer.as_ref()[field::OFFSET_FLAGS]) & 0x1ff)
    }

    /// Window, not scaled.
    #[inline]
    pub fn window(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::WINDOW])
    }

    /// The checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::CHECKSUM])
    }

    /// Urgent pointer, valid with [`Flags::URG`].
    #[inline]
    pub fn urgent(&self) -> u16 {
        be16(&self.buffer.as_ref()[field::URGENT])
    }

    /// Whether the checksum is right.
    #[inline]
    pub fn verify_checksum(&self, source: IpAddr, destination: IpAddr) -> bool {
        let segment = self.buffer.as_ref();
        checksum::pseudo(source, destination, IpProtocol::TCP, segment.len() as u32)
            .is_some_and(|pseudo| checksum::verify(pseudo, segment))
    }

    /// The header's options.
    #[inline]
    pub fn options(&self) -> Options<'_> {
        Options { data: span(self.buffer.as_ref(), HEADER_LEN, self.header_len()) }
    }

    /// Everything after the header.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }

    /// Bytes of sequence space taken: payload, and one each for SYN and FIN.
    #[inline]
    pub fn sequence_len(&self) -> u32 {
        let flags = self.flags();
        let control = u32::from(flags.contains(Flags::SYN)) + u32::from(flags.contains(Flags::FIN));
        self.payload().len() as u32 + control
    }
}

impl<'a> View<&'a [u8]> {
    /// [`View::payload`] that outlives the view.
    #[inline]
    pub fn into_payload(self) -> &'a [u8] {
        span(self.buffer, self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets the source port without touching the checksum.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put16(&mut self.buffer.as_mut()[field::SOURCE], port);
    }

    /// Sets the destination port without touching the checksum.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put16(&mut self.buffer.as_mut()[field::DESTINATION], port);
    }

    /// Sets the sequence number.
    #[inline]
    pub fn set_sequence(&mut self, sequence: u32) {
        put32(&mut self.buffer.as_mut()[field::SEQUENCE], sequence);
    }

    /// Sets the acknowledgement number.
    #[inline]
    pub fn set_ack(&mut self, ack: u32) {
        put32(&mut self.buffer.as_mut()[field::ACK], ack);
    }

    /// Sets the header length in bytes, a multiple of 4, and the control bits.
    #[inline]
    pub fn set_header_len_flags(&mut self, length: usize, flags: Flags) {
        let word = ((length / 4) as u16 & 0xf) << 12 | flags.0 & 0x1ff;
        put16(&mut self.buffer.as_mut()[field::OFFSET_FLAGS], word);
    }

    /// Sets the control bits.
    #[inline]
    pub fn set_flags(&mut self, flags: Flags) {
        self.set_header_len_flags(self.header_len(), flags);
    }

    /// Sets the window.
    #[inline]
    pub fn set_window(&mut self, window: u16) {
        put16(&mut self.buffer.as_mut()[field::WINDOW], window);
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put16(&mut self.buffer.as_mut()[field::CHECKSUM], checksum);
    }

    /// Sets the urgent pointer.
    #[inline]
    pub fn set_urgent(&mut self, urgent: u16) {
        put16(&mut self.buffer.as_mut()[field::URGENT], urgent);
    }

    /// Computes the checksum over the pseudo header and the whole buffer. Addresses of different families leave 0.
    pub fn fill_checksum(&mut self, source: IpAddr, destination: IpAddr) {
        self.set_checksum(0);
        let segment = self.buffer.as_ref();
        if let Some(pseudo) = checksum::pseudo(source, destination, IpProtocol::TCP, segment.len() as u32) {
            let check = !checksum::combine(pseudo, checksum::sum(segment));
            self.set_checksum(check);
        }
    }

    /// The bytes of the options, as long as the header length says.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }

    /// Everything after the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        span_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination, length) =
            (self.source_port(), self.destination_port(), self.payload().len());
        write!(f, "{source} > {destination}: Flags [{}]", self.flags())?;
        if self.flags().intersects(Flags::SYN | Flags::FIN | Flags::RST) || length > 0 {
            let start = self.sequence();
            write!(f, ", seq {start}")?;
            if length > 0 {
                write!(f, ":{}", start.wrapping_add(length as u32))?;
            }
        }
        if self.flags().contains(Flags::ACK) {
            write!(f, ", ack {}", self.ack())?;
        }
        write!(f, ", win {}", self.window())?;
        if self.flags().contains(Flags::URG) {
            write!(f, ", urg {}", self.urgent())?;
        }
        for (index, option) in self.options().enumerate() {
            f.write_str(if index == 0 { ", options [" } else { "," })?;
            match option {
                Ok(option) => write!(f, "{option}")?,
                Err(wrong) => write!(f, "{wrong}")?,
            }
        }
        let close = if self.header_len() > HEADER_LEN { "]" } else { "" };
        write!(f, "{close}, length {length}")
    }
}

/// One option (IANA tcp-parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOption<'a> {
    /// End of the list; the rest is padding.
    End,
    /// Padding of one byte.
    Nop,
    /// Largest segment the sender can receive (RFC 9293 §3.7.1).
    MaximumSegment(u16),
    /// Shift of the window field (RFC 7323 §2).
    WindowScale(u8),
    /// SACK may be used (RFC 2018).
    SackPermitted,
    /// Ranges received out of order (RFC 2018).
    Sack(SackBlocks),
    /// Timestamps (RFC 7323 §3).
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The clock value echoed.
        echo: u32,
    },
    /// Any other, or one of the above with a length that is not its own.
    Unknown {
        /// Kind byte.
        kind: u8,
        /// Data behind kind and length.
        data: &'a [u8],
    },
}

impl fmt::Display for HeaderOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::MaximumSegment(size) => write!(f, "mss {size}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                write!(f, "sack {} ", blocks.len)?;
                blocks.as_slice().iter().try_for_each(|(left, right)| write!(f, "{{{left}:{right}}}"))
            }
            Self::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            Self::Unknown { kind, data } => {
                write!(f, "unknown-{kind}")?;
                data.iter()
                    .enumerate()
                    .try_for_each(|(at, byte)| write!(f, "{}{byte:02x}", if at == 0 { " 0x" } else { "" }))
            }
        }
    }
}

/// Up to four SACK blocks: left edge, right edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [(u32, u32); SACK_BLOCKS_MAX],
    len: usize,
}

impl SackBlocks {
    /// The blocks.
    #[must_use]
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.blocks[..self.len]
    }

    /// Adds a block; `false` where four are there already.
    pub fn push(&mut self, left: u32, right: u32) -> bool {
        let Some(place) = self.blocks.get_mut(self.len) else { return false };
        *place = (left, right);
        self.len += 1;
        true
    }

    fn parse(data: &[u8]) -> Option<Self> {
        let (pairs, rest) = data.as_chunks::<8>();
        if !rest.is_empty() || pairs.is_empty() {
            return None;
        }
        let mut blocks = Self::default();
        pairs.iter().all(|pair| blocks.push(be32(pair), be32(&pair[4..]))).then_some(blocks)
    }
}

/// Walks a header's options: at most 40 bytes, so at most 40 of them. Ends at the end-of-list option (yielded) and at
/// the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    data: &'a [u8],
}

impl<'a> Options<'a> {
    /// Options from their bytes.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    fn advance(&mut self, kind: u8) -> Result<HeaderOption<'a>, WireError> {
        let data = self.data;
        need("tcp option", data, 2)?;
        let length = usize::from(data[1]);
        if length < 2 {
            return Err(WireError::BadLength { what: "tcp option", value: length });
        }
        need("tcp option", data, length)?;
        self.data = &data[length..];
        let body = &data[2..length];
        let unknown = HeaderOption::Unknown { kind, data: body };
        Ok(match (kind, body) {
            (2, &[high, low]) => HeaderOption::MaximumSegment(u16::from_be_bytes([high, low])),
            (3, &[shift]) => HeaderOption::WindowScale(shift),
            (4, []) => HeaderOption::SackPermitted,
            (5, body) => SackBlocks::parse(body).map_or(unknown, HeaderOption::Sack),
            (8, body) if body.len() == 8 => {
                HeaderOption::Timestamps { value: be32(body), echo: be32(&body[4..]) }
            }
            _ => unknown,
        })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<HeaderOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        match *self.data.first()? {
            0 => {
                self.data = &[];
                Some(Ok(HeaderOption::End))
            }
            1 => {
                self.data = &self.data[1..];
                Some(Ok(HeaderOption::Nop))
            }
            kind => {
                let option = self.advance(kind);
                if option.is_err() {
                    self.data = &[];
                }
                Some(option)
            }
        }
    }
}

/// What the header says; options it has no name for are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Maximum segment size.
    pub maximum_segment: Option<u16>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps: value, echo.
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// An option whose length lies.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, WireError> {
        let mut repr = Self {
            source_port: view.source_port(),
            destination_port: view.destination_port(),
            sequence: view.sequence(),
            ack: view.ack(),
            flags: view.flags(),
            window: view.window(),
            urgent: view.urgent(),
            ..Self::default()
        };
        for option in view.options() {
            match option? {
                HeaderOption::MaximumSegment(size) => repr.maximum_segment = Some(size),
                HeaderOption::WindowScale(shift) => repr.window_scale = Some(shift),
                HeaderOption::SackPermitted => repr.sack_permitted = true,
                HeaderOption::Timestamps { value, echo } => repr.timestamps = Some((value, echo)),
                HeaderOption::Sack(blocks) => repr.sack = blocks,
                HeaderOption::End | HeaderOption::Nop | HeaderOption::Unknown { .. } => {}
            }
        }
        Ok(repr)
    }

    /// SACK blocks that fit behind the other options.
    fn sack_blocks(&self) -> &[(u32, u32)] {
        let left = (HEADER_LEN_MAX - HEADER_LEN).saturating_sub(self.fixed_options_len());
        let blocks = self.sack.as_slice();
        &blocks[..blocks.len().min(left.saturating_sub(2) / 8)]
    }

    const fn fixed_options_len(&self) -> usize {
        (if self.maximum_segment.is_some() { 4 } else { 0 })
            + (if self.sack_permitted { 2 } else { 0 })
            + (if self.timestamps.is_some() { 10 } else { 0 })
            + (if self.window_scale.is_some() { 3 } else { 0 })
    }

    /// Bytes [`Repr::emit`] writes: the header with its options, padded to a multiple of 4.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        let blocks = self.sack_blocks().len();
        let sack = if blocks == 0 { 0 } else { 2 + 8 * blocks };
        HEADER_LEN + (self.fixed_options_len() + sack).next_multiple_of(4)
    }

    /// Writes the header with checksum 0; [`View::fill_checksum`] once the payload is there. SACK blocks that do not fit
    /// are left out.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_source_port(self.source_port);
        view.set_destination_port(self.destination_port);
        view.set_sequence(self.sequence);
        view.set_ack(self.ack);
        view.set_header_len_flags(self.buffer_len(), self.flags);
        view.set_window(self.window);
        view.set_checksum(0);
        view.set_urgent(self.urgent);
        self.emit_options(view.options_mut());
    }

    fn emit_options(&self, room: &mut [u8]) {
        room.fill(1); // what no option takes is no-operation
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            room[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(size) = self.maximum_segment {
            put(&[2, 4]);
            put(&size.to_be_bytes());
        }
        if self.sack_permitted {
            put(&[4, 2]);
        }
        if let Some((value, echo)) = self.timestamps {
            put(&[8, 10]);
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            put(&[3, 3, shift]);
        }
        let blocks = self.sack_blocks();
        if !blocks.is_empty() {
            put(&[5, 2 + 8 * blocks.len() as u8]);
            for (left, right) in blocks {
                put(&left.to_be_bytes());
                put(&right.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(repr: &Repr, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; repr.buffer_len() + payload.len()];
        let mut view = View::new_unchecked(&mut bytes[..]);
        repr.emit(&mut view);
        view.payload_mut().copy_from_slice(payload);
        bytes
    }

    #[test]
    fn syn_of_linux_reads_back_and_prints_like_tcpdump() {
        let repr = Repr {
            source_port: 40_000,
            destination_port: 80,
            sequence: 1000,
            flags: Flags::SYN,
            window: 64_240,
            maximum_segment: Some(1460),
            sack_permitted: true,
            timestamps: Some((7, 0)),
            window_scale: Some(7),
            ..Repr::default()
        };
        let mut bytes = emit(&repr, b"");
        let mut view = View::new_checked(&mut bytes[..]).unwrap();
        assert_eq!(Repr::parse(&view).unwrap(), repr);
        assert_eq!(
            view.to_string(),
            "40000 > 80: Flags [S], seq 1000, win 64240, \
             options [mss 1460,sackOK,TS val 7 ecr 0,wscale 7,nop], length 0"
        );
        let addresses = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        view.fill_checksum(addresses.0, addresses.1);
        assert!(view.verify_checksum(addresses.0, addresses.1));
        assert!(!view.verify_checksum(addresses.0, [10, 0, 0, 3].into()));
    }

    #[test]
    fn sack_blocks_that_do_not_fit_are_left_out() {
        let mut repr = Repr { timestamps: Some((1, 2)), flags: Flags::ACK, ..Repr::default() };
        for n in 0..4 {
            assert!(repr.sack.push(n * 10, n * 10 + 5));
        }
        assert!(!repr.sack.push(9, 9));
        let bytes = emit(&repr, b"xy");
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(view.header_len(), 56);
        assert_eq!(Repr::parse(&view).unwrap().sack.as_slice(), &[(0, 5), (10, 15), (20, 25)]);
        assert_eq!(view.payload(), b"xy");
        assert!(view.to_string().contains("sack 3 {0:5}{10:15}{20:25}"), "{view}");
    }

    #[test]
    fn data_offset_that_lies_is_refused() {
        let mut bytes = emit(&Repr::default(), b"abcd");
        bytes[12] = 0x40;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::BadLength { what: "tcp data offset", value: 16 });
        bytes[12] = 0x70;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "tcp data offset", need: 28, have: 24 });
    }

    #[test]
    fn lying_options_end_in_one_error_and_odd_lengths_are_unknown() {
        for options in [&[8u8, 0][..], &[8, 1], &[8, 11, 0], &[2]] {
            let walked: Vec<_> = Options::new(options).collect();
            assert_eq!(walked.len(), 1);
            assert!(walked[0].is_err(), "{options:?}");
        }
        let odd: Vec<_> = Options::new(&[2, 3, 9, 5, 4, 0, 0, 0, 99]).collect();
        assert_eq!(odd[0], Ok(HeaderOption::Unknown { kind: 2, data: &[9] }));
        assert_eq!(odd[1], Ok(HeaderOption::Unknown { kind: 5, data: &[0, 0] }));
        assert_eq!((odd[2], odd.len()), (Ok(HeaderOption::End), 3));
    }
}
