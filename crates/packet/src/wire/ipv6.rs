//! IPv6 with extension headers (RFC 8200).
//!
//! ```text
//! 0                                4                6             7           8        24            40
//! | ver 4 | class 8 | flow label 20 | payload length | next header | hop limit | source | destination | extensions, payload
//! ```

use std::fmt;
use std::net::Ipv6Addr;

use super::{Field, IpProtocol, WireError, array, be16, be32, len16, need, put16, put32, span, span_mut};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers walked in one packet; more is an error (RFC 8504 §5.3 lets hosts limit them).
pub const EXTENSIONS_MAX: usize = 8;
/// Bytes of a fragment header.
pub const FRAGMENT_LEN: usize = 8;
/// The smallest MTU (RFC 8200 §5).
pub const MTU_MIN: usize = 1280;

mod field {
    use super::Field;
    pub(super) const FIRST: Field = 0..4;
    pub(super) const PAYLOAD_LEN: Field = 4..6;
    pub(super) const NEXT: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SOURCE: Field = 8..24;
    pub(super) const DESTINATION: Field = 24..40;
}

/// An IPv6 packet's bytes.
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
    /// A version other than 6, a payload length beyond the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let view = Self::new_quoted(buffer)?;
        need("ipv6 payload length", view.buffer.as_ref(), view.total_len())?;
        Ok(view)
    }

    /// For a packet quoted in an ICMPv6 error, which is usually cut: only the fixed header must be whole.
    ///
    /// # Errors
    /// As [`View::new_checked`], without the payload length.
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("ipv6 header", data, HEADER_LEN)?;
        let version = data[0] >> 4;
        if version != 6 {
            return Err(WireError::BadValue { what: "ipv6 version", value: u64::from(version) });
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Traffic class: DSCP 6 bits, ECN 2 bits.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (be32(&self.buffer.as_ref()[field::FIRST]) >> 20) as u8
    }

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        be32(&self.buffer.as_ref()[field::FIRST]) & 0xf_ffff
    }

    /// Bytes after the fixed header, extension headers included.
    #[inline]
    pub fn payload_len(&self) -> usize {
        usize::from(be16(&self.buffer.as_ref()[field::PAYLOAD_LEN]))
    }

    /// Bytes of fixed header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// What follows the fixed header: an extension header, or the upper layer.
    #[inline]
    pub fn next_header(&self) -> IpProtocol {
        IpProtocol(self.buffer.as_ref()[field::NEXT])
    }

    /// Hops left.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.buffer.as_ref()[field::HOP_LIMIT]
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        array::<16>(&self.buffer.as_ref()[field::SOURCE]).into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        array::<16>(&self.buffer.as_ref()[field::DESTINATION]).into()
    }

    /// Header and payload without what follows the payload length.
    #[inline]
    pub fn packet(&self) -> &[u8] {
        span(self.buffer.as_ref(), 0, self.total_len())
    }

    /// What follows the fixed header, extension headers included.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        span(self.buffer.as_ref(), HEADER_LEN, self.total_len())
    }

    /// The extension headers.
    #[inline]
    pub fn extensions(&self) -> Extensions<'_> {
        Extensions::new(self.next_header(), self.payload())
    }

    /// Walks the extension headers to what they carry.
    ///
    /// # Errors
    /// A lying extension header length, more than [`EXTENSIONS_MAX`] of them.
    #[inline]
    pub fn upper(&self) -> Result<Upper, WireError> {
        let mut extensions = self.extensions();
        let mut fragment = None;
        for extension in extensions.by_ref() {
            if let Extension::Fragment(found) = extension? {
                fragment = Some(found);
            }
        }
        Ok(Upper { protocol: extensions.next_header, offset: HEADER_LEN + extensions.offset, fragment })
    }
}

impl<'a> View<&'a [u8]> {
    /// [`View::payload`] that outlives the view.
    #[inline]
    pub fn into_payload(self) -> &'a [u8] {
        span(self.buffer, HEADER_LEN, self.total_len())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Sets version 6, traffic class and flow label (cut to 20 bits).
    #[inline]
    pub fn set_first(&mut self, traffic_class: u8, flow_label: u32) {
        let word = 6 << 28 | u32::from(traffic_class) << 20 | flow_label & 0xf_ffff;
        put32(&mut self.buffer.as_mut()[field::FIRST], word);
    }

    /// Sets the bytes after the fixed header.
    #[inline]
    pub fn set_payload_len(&mut self, length: usize) {
        put16(&mut self.buffer.as_mut()[field::PAYLOAD_LEN], len16(length));
    }

    /// Sets what follows the fixed header.
    #[inline]
    pub fn set_next_header(&mut self, protocol: IpProtocol) {
        self.buffer.as_mut()[field::NEXT] = protocol.0;
    }

    /// Sets what follows the extension headers: the next header field of the last one, or of the fixed header where there is
    /// none. Extension headers that lie are left as they are.
    pub fn set_upper_protocol(&mut self, protocol: IpProtocol) {
        let mut last = field::NEXT;
        let mut extensions = self.extensions();
        let mut start = extensions.offset();
        while let Some(extension) = extensions.next() {
            if extension.is_err() {
                return;
            }
            // Every extension header begins with what follows it (RFC 8200 §4).
            last = HEADER_LEN + start;
            start = extensions.offset();
        }
        if let Some(field) = self.buffer.as_mut().get_mut(last) {
            *field = protocol.0;
        }
    }

    /// Sets the hops left.
    #[inline]
    pub fn set_hop_limit(&mut self, hops: u8) {
        self.buffer.as_mut()[field::HOP_LIMIT] = hops;
    }

    /// One hop. `false`, and nothing changed, where the packet's life ends here.
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> bool {
        let hops = self.hop_limit();
        if hops <= 1 {
            return false;
        }
        self.set_hop_limit(hops - 1);
        true
    }

    /// Sets the source without touching the L4 checksum.
    #[inline]
    pub fn set_source(&mut self, address: Ipv6Addr) {
        self.buffer.as_mut()[field::SOURCE].copy_from_slice(&address.octets());
    }

    /// Sets the destination without touching the L4 checksum.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv6Addr) {
        self.buffer.as_mut()[field::DESTINATION].copy_from_slice(&address.octets());
    }

    /// What follows the fixed header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = self.total_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        if self.traffic_class() != 0 {
            write!(f, "class 0x{:02x}, ", self.traffic_class())?;
        }
        if self.flow_label() != 0 {
            write!(f, "flowlabel 0x{:05x}, ", self.flow_label())?;
        }
        let (hops, next, length) = (self.hop_limit(), self.next_header(), self.payload_len());
        write!(f, "hlim {hops}, next-header {next} payload length: {length}) ")?;
        write!(f, "{} > {}", self.source(), self.destination())?;
        for extension in self.extensions() {
            match extension {
                Ok(extension) => write!(f, " {extension}")?,
                Err(wrong) => write!(f, " [{wrong}]")?,
            }
        }
        Ok(())
    }
}

/// What a packet carries behind its extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upper {
    /// The protocol; [`IpProtocol::NONE`] where nothing follows.
    pub protocol: IpProtocol,
    /// Where it starts, counted from the fixed header. In a fragment that is not the first, the bytes there are the
    /// middle of something.
    pub offset: usize,
    /// The fragment header, if there was one.
    pub fragment: Option<Fragment>,
}

/// A fragment header (RFC 8200 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Identification, by which fragments find each other.
    pub ident: u32,
    /// Where in the original this fragment belongs, in bytes.
    pub offset: u16,
    /// Not the last.
    pub more: bool,
}

/// One extension header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension<'a> {
    /// Options for every router (§4.3).
    HopByHop(ExtensionOptions<'a>),
    /// Options for the destination (§4.6).
    Destination(ExtensionOptions<'a>),
    /// Routing (§4.4; type 4 is segment routing, RFC 8754).
    Routing {
        /// Routing type.
        kind: u8,
        /// Nodes still to visit.
        segments_left: u8,
        /// Data behind the first four bytes.
        data: &'a [u8],
    },
    /// Fragment (§4.5).
    Fragment(Fragment),
    /// Authentication header (RFC 4302).
    Authentication {
        /// Security parameters index.
        spi: u32,
        /// Sequence number.
        sequence: u32,
        /// Integrity check value.
        icv: &'a [u8],
    },
}

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HopByHop(_) => f.write_str("HBH"),
            Self::Destination(_) => f.write_str("DSTOPT"),
            Self::Routing { kind, segments_left, data } => {
                write!(f, "srcrt (len={}, type={kind}, segleft={segments_left})", (data.len() + 4) / 8)
            }
            Self::Fragment(Fragment { ident, offset, more }) => {
                let length = if *more { "+" } else { "" };
                write!(f, "frag (0x{ident:08x}:{offset}{length})")
            }
            Self::Authentication { spi, sequence, .. } => write!(f, "AH(spi=0x{spi:08x},seq=0x{sequence:x})"),
        }
    }
}

/// Walks extension headers; afterwards [`Extensions::next_header`] and [`Extensions::offset`] say what they carry and
/// where. Ends at the upper layer, behind the fragment header of a later fragment (whose bytes are the middle of
/// something), at the first error, and after [`EXTENSIONS_MAX`]. ESP is an upper layer here: nothing behind it is
/// readable.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    data: &'a [u8],
    next_header: IpProtocol,
    offset: usize,
    seen: usize,
    done: bool,
}

impl<'a> Extensions<'a> {
    /// `data` starts at the header `next_header`.
    #[inline]
    #[must_use]
    pub const fn new(next_header: IpProtocol, data: &'a [u8]) -> Self {
        Self { data, next_header, offset: 0, seen: 0, done: false }
    }

    /// The protocol behind the headers walked so far.
    #[inline]
    #[must_use]
    pub const fn next_header(&self) -> IpProtocol {
        self.next_header
    }

    /// Bytes of the headers walked so far.
    #[inline]
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn advance(&mut self) -> Result<Extension<'a>, WireError> {
        if self.seen == EXTENSIONS_MAX {
            return Err(WireError::TooMany { what: "ipv6 extension headers", limit: EXTENSIONS_MAX });
        }
        let rest = span(self.data, self.offset, usize::MAX);
        need("ipv6 extension header", rest, 8)?;
        let length = match self.next_header {
            IpProtocol::FRAGMENT => FRAGMENT_LEN,
            IpProtocol::AH => (usize::from(rest[1]) + 2) * 4,
            _ => (usize::from(rest[1]) + 1) * 8,
        };
        need("ipv6 extension header", rest, length)?;
        let header = &rest[..length];
        let extension = match self.next_header {
            IpProtocol::HOP_BY_HOP => Extension::HopByHop(ExtensionOptions { data: &header[2..] }),
            IpProtocol::DESTINATION => Extension::Destination(ExtensionOptions { data: &header[2..] }),
            IpProtocol::ROUTING => {
                Extension::Routing { kind: header[2], segments_left: header[3], data: &header[4..] }
            }
            IpProtocol::FRAGMENT => {
                let word = be16(&header[2..]);
                let fragment = Fragment { ident: be32(&header[4..]), offset: word & !7, more: word & 1 != 0 };
                self.done = fragment.offset != 0;
                Extension::Fragment(fragment)
            }
            _ => {
                need("authentication header", header, 12)?;
                Extension::Authentication {
                    spi: be32(&header[4..]),
                    sequence: be32(&header[8..]),
                    icv: &header[12..],
                }
            }
        };
        self.next_header = IpProtocol(header[0]);
        self.offset += length;
        self.seen += 1;
        Ok(extension)
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Result<Extension<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let extension = matches!(
            self.next_header,
            IpProtocol::HOP_BY_HOP
                | IpProtocol::ROUTING
                | IpProtocol::FRAGMENT
                | IpProtocol::DESTINATION
                | IpProtocol::AH
        );
        if self.done || !extension {
            return None;
        }
        let extension = self.advance();
        self.done |= extension.is_err();
        Some(extension)
    }
}

/// One option of a hop-by-hop or destination options header (§4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionOption<'a> {
    /// One byte of padding.
    Pad1,
    /// So many bytes of padding, type and length included.
    PadN(usize),
    /// Every router shall look at the packet (RFC 2711).
    RouterAlert(u16),
    /// A payload beyond 64 KiB (RFC 2675); such packets do not occur here.
    JumboPayload(u32),
    /// Any other. The two high bits of the type say what to do with the packet if it is not understood.
    Unknown {
        /// Type byte.
        kind: u8,
        /// Data behind type and length.
        data: &'a [u8],
    },
}

/// Walks the options of one header, bounded by its at most 2 KiB. Ends at the first error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionOptions<'a> {
    data: &'a [u8],
}

impl<'a> ExtensionOptions<'a> {
    fn advance(&mut self, kind: u8) -> Result<ExtensionOption<'a>, WireError> {
        let data = self.data;
        need("ipv6 option", data, 2)?;
        let end = 2 + usize::from(data[1]);
        need("ipv6 option", data, end)?;
        self.data = &data[end..];
        Ok(match (kind, &data[2..end]) {
            (1, _) => ExtensionOption::PadN(end),
            (0x05, &[high, low]) => ExtensionOption::RouterAlert(u16::from_be_bytes([high, low])),
            (0xc2, &[a, b, c, d]) => ExtensionOption::JumboPayload(u32::from_be_bytes([a, b, c, d])),
            (_, data) => ExtensionOption::Unknown { kind, data },
        })
    }
}

impl<'a> Iterator for ExtensionOptions<'a> {
    type Item = Result<ExtensionOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = *self.data.first()?;
        if kind == 0 {
            self.data = &self.data[1..];
            return Some(Ok(ExtensionOption::Pad1));
        }
        let option = self.advance(kind);
        if option.is_err() {
            self.data = &[];
        }
        Some(option)
    }
}

/// What the fixed header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// What follows the fixed header.
    pub next_header: IpProtocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes after the fixed header.
    pub payload_len: usize,
}

impl Repr {
    /// A packet with hop limit 64.
    #[must_use]
    pub const fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: IpProtocol,
        payload_len: usize,
    ) -> Self {
        Self { source, destination, next_header, hop_limit: 64, traffic_class: 0, flow_label: 0, payload_len }
    }

    /// Reads a header.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        Self {
            source: view.source(),
            destination: view.destination(),
            next_header: view.next_header(),
            hop_limit: view.hop_limit(),
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            payload_len: view.payload_len(),
        }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the fixed header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        view.set_first(self.traffic_class, self.flow_label);
        view.set_payload_len(self.payload_len);
        view.set_next_header(self.next_header);
        view.set_hop_limit(self.hop_limit);
        view.set_source(self.source);
        view.set_destination(self.destination);
    }
}

/// The solicited-node multicast group of an address (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | o[13] as u16, (o[14] as u16) << 8 | o[15] as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN + payload.len()];
        let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let repr = Repr::new(source, destination, next_header, payload.len());
        repr.emit(&mut View::new_unchecked(&mut bytes[..]));
        bytes[HEADER_LEN..].copy_from_slice(payload);
        bytes
    }

    #[test]
    fn what_follows_the_extensions_is_set_in_the_last_of_them() {
        let mut plain = packet(IpProtocol::UDP, &[0; 8]);
        View::new_unchecked(&mut plain[..]).set_upper_protocol(IpProtocol::TCP);
        assert_eq!(View::new_unchecked(&plain[..]).next_header(), IpProtocol::TCP);
        let mut payload = vec![60, 0, 5, 2, 0, 0, 1, 0]; // hop-by-hop, then destination options, then UDP
        payload.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        payload.extend([0; 8]);
        let mut bytes = packet(IpProtocol::HOP_BY_HOP, &payload);
        View::new_unchecked(&mut bytes[..]).set_upper_protocol(IpProtocol::GRE);
        let view = View::new_checked(&bytes[..]).unwrap();
        assert_eq!(
            (view.next_header(), view.upper().unwrap().protocol),
            (IpProtocol::HOP_BY_HOP, IpProtocol::GRE)
        );
        assert_eq!(view.upper().unwrap().offset, HEADER_LEN + 16);
    }

    #[test]
    fn chain_of_every_extension_reaches_the_upper_layer() {
        let mut payload = vec![43, 0, 5, 2, 0, 0, 1, 0]; // hop-by-hop: router alert, PadN(2)
        payload.extend([60, 0, 2, 1, 9, 9, 9, 9]); // routing type 2, one segment left
        payload.extend([51, 0, 1, 4, 0, 0, 0, 0]); // destination options: PadN(6)
        payload.extend([44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]); // AH without ICV
        payload.extend([17, 0, 0, 1, 0, 0, 0, 9]); // first fragment of id 9
        payload.extend([0xaa; 8]);
        let bytes = packet(IpProtocol::HOP_BY_HOP, &payload);
        let view = View::new_checked(&bytes[..]).unwrap();
        let upper = view.upper().unwrap();
        assert_eq!((upper.protocol, upper.offset), (IpProtocol::UDP, HEADER_LEN + 44));
        assert_eq!(upper.fragment, Some(Fragment { ident: 9, offset: 0, more: true }));
        let Some(Ok(Extension::HopByHop(options))) = view.extensions().next() else { panic!() };
        assert_eq!(
            options.collect::<Result<Vec<_>, _>>().unwrap(),
            [ExtensionOption::RouterAlert(0), ExtensionOption::PadN(2)]
        );
        assert_eq!(
            view.to_string(),
            "(hlim 64, next-header Options (0) payload length: 52) fd00::1 > fd00::2 HBH \
             srcrt (len=1, type=2, segleft=1) DSTOPT AH(spi=0x00000001,seq=0x2) frag (0x00000009:0+)"
        );
    }

    #[test]
    fn walk_stops_behind_a_later_fragment() {
        // Its data looks like another extension header and must not be read as one.
        let payload = [60, 0, 0, 8, 0, 0, 0, 9, 60, 255, 0, 0, 0, 0, 0, 0];
        let bytes = packet(IpProtocol::FRAGMENT, &payload);
        let upper = View::new_checked(&bytes[..]).unwrap().upper().unwrap();
        assert_eq!((upper.protocol, upper.offset), (IpProtocol::DESTINATION, HEADER_LEN + 8));
        assert_eq!(upper.fragment, Some(Fragment { ident: 9, offset: 8, more: false }));
    }

    #[test]
    fn chains_that_lie_or_never_end_are_refused() {
        let bytes = packet(IpProtocol::DESTINATION, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(20));
        let wrong = View::new_checked(&bytes[..]).unwrap().upper().unwrap_err();
        assert_eq!(wrong, WireError::TooMany { what: "ipv6 extension headers", limit: EXTENSIONS_MAX });
        let bytes = packet(IpProtocol::ROUTING, &[17, 1, 0, 0, 0, 0, 0, 0]);
        let wrong = View::new_checked(&bytes[..]).unwrap().upper().unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "ipv6 extension header", need: 16, have: 8 });
        let bytes = packet(IpProtocol::AH, &[17, 0, 0, 0, 0, 0, 0, 0]);
        let wrong = View::new_checked(&bytes[..]).unwrap().upper().unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "authentication header", need: 12, have: 8 });
    }

    #[test]
    fn nothing_follows_no_next_header() {
        let bytes = packet(IpProtocol::NONE, b"ignored");
        let upper = View::new_checked(&bytes[..]).unwrap().upper().unwrap();
        assert_eq!((upper.protocol, upper.offset), (IpProtocol::NONE, HEADER_LEN));
    }

    #[test]
    fn payload_length_beyond_the_buffer_is_refused() {
        let mut bytes = packet(IpProtocol::UDP, &[0; 8]);
        bytes[5] = 9;
        let wrong = View::new_checked(&bytes[..]).unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "ipv6 payload length", need: 49, have: 48 });
    }

    #[test]
    fn solicited_node_group() {
        let address: Ipv6Addr = "fd00::12:3456:789a".parse().unwrap();
        assert_eq!(solicited_node(address), "ff02::1:ff56:789a".parse::<Ipv6Addr>().unwrap());
    }
}
