//! What travels with a packet: where it came in, whose it is, and what functions have said of it.

use packet::{METADATA, Packet};

/// Of no pipelet, or come in by no port.
pub const NOBODY: u16 = u16::MAX;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// Where it lies in the metadata: at the end, since BESS's modules deal the area out from its start.
const AT: usize = METADATA - TAG_LEN;

/// Marks packets that have one. A packet that a function makes anew has no flow hash, whatever is left in its metadata.
const MARK: u32 = 0xe2e2_e2e2;

/// A packet's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The port where it came in, by place.
    pub port: u16,
    /// Its pipelet, by place.
    pub pipelet: u16,
    /// Whether another data plane sent it on, by detour or return: then it is not sent back.
    pub sent_on: bool,
    /// Its attributes, a bit each.
    pub attributes: u64,
}

impl Tag {
    /// A packet that comes in by a port.
    pub const fn of_port(port: u16) -> Self {
        Self { port, pipelet: NOBODY, sent_on: false, attributes: 0 }
    }

    /// As bytes, all of them of the same order as on a wire.
    pub fn to_bytes(self) -> [u8; TAG_LEN] {
        let mut bytes = [0; TAG_LEN];
        bytes[..2].copy_from_slice(&self.port.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.pipelet.to_be_bytes());
        bytes[4] = u8::from(self.sent_on);
        bytes[8..].copy_from_slice(&self.attributes.to_be_bytes());
        bytes
    }

    /// From bytes.
    pub fn of_bytes(bytes: &[u8; TAG_LEN]) -> Self {
        let [p0, p1, q0, q1, flags, _, _, _, attributes @ ..] = *bytes;
        Self {
            port: u16::from_be_bytes([p0, p1]),
            pipelet: u16::from_be_bytes([q0, q1]),
            sent_on: flags & 1 == 1,
            attributes: u64::from_be_bytes(attributes),
        }
    }

    /// The tag of a packet that comes back from a function; none where the function made it anew.
    pub fn take(packet: &Packet) -> Option<Self> {
        let bytes = packet.metadata()[AT..].first_chunk()?;
        (packet.flow_hash() == MARK).then(|| Self::of_bytes(bytes))
    }

    /// Gives it to a packet.
    pub fn put(self, packet: &mut Packet) {
        packet.set_flow_hash(MARK);
        packet.metadata_mut()[AT..].copy_from_slice(&self.to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Pool, PoolConfig};

    #[test]
    fn it_reads_back_and_does_not_outlive_its_packet() {
        let pool = Pool::new(PoolConfig { buffers: 1, ..PoolConfig::default() }).unwrap();
        let tag = Tag { port: 3, pipelet: 700, sent_on: true, attributes: 1 << 63 | 5 };
        assert_eq!(Tag::of_bytes(&tag.to_bytes()), tag);
        let mut packet = pool.alloc().unwrap();
        tag.put(&mut packet);
        assert_eq!(Tag::take(&packet), Some(tag));
        drop(packet);
        assert_eq!(Tag::take(&pool.alloc().unwrap()), None, "the same buffer, another packet");
    }
}
