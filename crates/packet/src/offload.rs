//! Work on a packet that is left to the last hop: checksums and segmentation, as in `linux/virtio_net.h`.

/// Length of the virtio-net header that [`Offload`] is read from and written to
/// (`struct virtio_net_hdr`, `linux/virtio_net.h`).
pub const VIRTIO_HEADER: usize = 10;

const FLAG_NEEDS_CSUM: u8 = 1;
const FLAG_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// What is known of a packet's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: the field holds what the wire said.
    #[default]
    Unknown,
    /// The checksum was right when the packet came in, and whoever changed the packet since kept it right.
    Verified,
    /// The field holds the folded sum of the pseudo header, not complemented; the sum over the bytes from `start`
    /// is still to be added (`CHECKSUM_PARTIAL`, `linux/skbuff.h`).
    Partial {
        /// Where the sum starts, in bytes from the start of the frame.
        start: u16,
        /// Where the field lies, in bytes from `start`.
        offset: u16,
    },
}

/// What a large segment is to be cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// TCP over IPv4 (TSO).
    TcpV4,
    /// TCP over IPv6 (TSO6).
    TcpV6,
    /// UDP datagrams of one flow (USO).
    Udp,
}

/// Segmentation that is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// The protocol whose segments these are.
    pub kind: SegmentKind,
    /// Whether the first segment alone carries CWR (RFC 3168).
    pub ecn: bool,
    /// Payload bytes of each segment but the last.
    pub size: u16,
    /// Bytes of headers that every segment repeats; a hint, as the kernel says of it.
    pub header_len: u16,
}

/// Work that is left on a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// The transport checksum.
    pub checksum: Checksum,
    /// Segmentation, if the packet is larger than the wire takes.
    pub segmentation: Option<Segmentation>,
}

/// A virtio-net header that says something this machine cannot mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// A segmentation type that is none of ours.
    #[error("virtio-net header asks for unknown segmentation type {0}")]
    SegmentKind(u8),
    /// Segmentation without a segment size.
    #[error("virtio-net header asks for segments of no bytes")]
    SegmentSize,
}

impl Offload {
    /// Reads a `struct virtio_net_hdr` in the machine's byte order.
    ///
    /// # Errors
    /// [`OffloadError`] when the header asks for segmentation that makes no sense.
    pub fn from_virtio(header: &[u8; VIRTIO_HEADER]) -> Result<Self, OffloadError> {
        let [flags, kind, ..] = *header;
        let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let checksum = if flags & FLAG_NEEDS_CSUM != 0 {
            Checksum::Partial { start: field(6), offset: field(8) }
        } else if flags & FLAG_DATA_VALID != 0 {
            Checksum::Verified
        } else {
            Checksum::Unknown
        };
        let kind = match kind & !GSO_ECN {
            GSO_NONE => return Ok(Self { checksum, segmentation: None }),
            GSO_TCPV4 => SegmentKind::TcpV4,
            GSO_TCPV6 => SegmentKind::TcpV6,
            GSO_UDP_L4 => SegmentKind::Udp,
            other => return Err(OffloadError::SegmentKind(other)),
        };
        let (size, ecn) = (field(4), header[1] & GSO_ECN != 0);
        if size == 0 {
            return Err(OffloadError::SegmentSize);
        }
        Ok(Self { checksum, segmentation: Some(Segmentation { kind, ecn, size, header_len: field(2) }) })
    }

    /// Writes a `struct virtio_net_hdr` in the machine's byte order.
    pub fn to_virtio(self) -> [u8; VIRTIO_HEADER] {
        let mut header = [0; VIRTIO_HEADER];
        match self.checksum {
            Checksum::Unknown => {}
            Checksum::Verified => header[0] = FLAG_DATA_VALID,
            Checksum::Partial { start, offset } => {
                header[0] = FLAG_NEEDS_CSUM;
                header[6..8].copy_from_slice(&start.to_ne_bytes());
                header[8..10].copy_from_slice(&offset.to_ne_bytes());
            }
        }
        if let Some(segmentation) = self.segmentation {
            let kind = match segmentation.kind {
                SegmentKind::TcpV4 => GSO_TCPV4,
                SegmentKind::TcpV6 => GSO_TCPV6,
                SegmentKind::Udp => GSO_UDP_L4,
            };
            header[1] = kind | if segmentation.ecn { GSO_ECN } else { 0 };
            header[2..4].copy_from_slice(&segmentation.header_len.to_ne_bytes());
            header[4..6].copy_from_slice(&segmentation.size.to_ne_bytes());
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn virtio_headers_survive_the_round_trip(header: [u8; VIRTIO_HEADER]) {
            if let Ok(offload) = Offload::from_virtio(&header) {
                prop_assert_eq!(Offload::from_virtio(&offload.to_virtio()), Ok(offload));
            }
        }
    }

    #[test]
    fn segments_of_nothing_are_refused() {
        let header = [0, GSO_TCPV4, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Offload::from_virtio(&header), Err(OffloadError::SegmentSize));
    }
}
