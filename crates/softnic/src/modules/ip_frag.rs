//! [`IpFrag`].

mod six;

use netbricks::rewrite;
use packet::parse::{Layers, Network};
use packet::wire::ipv4;
use packet::{Batch, Packet, Pool};

use crate::engine::{Context, Gate, Module};

/// Cuts IPv4 packets that are too long for the next link into fragments (RFC 791 §3.2), and IPv6 packets
/// [if told so](Self::with_ipv6) (RFC 8200 §4.5).
///
/// *Input gates*: one. *Output gates*: two; packets and fragments leave at gate 1. Gate 0 is for packets that are too long
/// and may not be cut: "don't fragment" is set, they are not IP or malformed, there would be more than
/// [`IpFrag::FRAGMENTS_MAX`] fragments, or no buffers for them. They leave as they are.
///
/// Only its source may cut an IPv6 packet; others are to answer "packet too big". So it leaves at gate 0, unless the module
/// was told to cut it, as behind an encapsulation, where this graph is the source. What is a fragment already leaves at gate
/// 0 in any case, and so does what has more headers than a fragment has room for.
///
/// The length is that of the whole Ethernet frame with its check sequence, which packets here do not have: 1518 lets IP
/// packets of 1500 bytes pass. A packet that the last hop is to cut into segments passes if those are short enough. A
/// transport checksum that was left to the last hop is done before. Fragments get the metadata of their packet.
///
/// ```
/// # use packet::{Pool, PoolConfig};
/// # use softnic::modules::IpFrag;
/// let frag = IpFrag::new(Pool::new(PoolConfig::default())?, 1518)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IpFrag {
    pool: Pool,
    frame_max: usize,
    /// Gives packets of IPv6 their identifications, where it cuts them.
    idents: Option<six::Idents>,
    /// Used again for every packet.
    fragments: Vec<Packet>,
}

/// A length that is none of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid MTU size! {0}, not {min} to {max}", min = IpFrag::FRAME_MIN + 1, max = IpFrag::FRAME_MAX)]
pub struct IpFragError(pub i64);

/// Bytes of the frame check sequence.
const CHECK_SEQUENCE: usize = 4;

impl IpFrag {
    /// The shortest frame there is; a limit is above.
    pub const FRAME_MIN: usize = 64;
    /// The longest frame that a packet may need.
    pub const FRAME_MAX: usize = 65_535 + 64;
    /// The most fragments of a packet.
    pub const FRAGMENTS_MAX: usize = 64;

    /// Cuts what is longer than a frame of `length` bytes, check sequence included, into buffers of `pool`.
    ///
    /// # Errors
    /// A length that no frame has.
    pub fn new(pool: Pool, length: i64) -> Result<Self, IpFragError> {
        let fits = usize::try_from(length)
            .ok()
            .filter(|length| (Self::FRAME_MIN + 1..=Self::FRAME_MAX).contains(length));
        let frame_max = fits.ok_or(IpFragError(length))? - CHECK_SEQUENCE;
        Ok(Self { pool, frame_max, idents: None, fragments: Vec::with_capacity(Self::FRAGMENTS_MAX) })
    }

    /// Cuts IPv6 packets too. The seed, which nobody outside should know, draws their identifications (RFC 7739).
    #[must_use]
    pub fn with_ipv6(self, seed: u64) -> Self {
        Self { idents: Some(six::Idents::new(seed)), ..self }
    }

    /// Whether it cuts IPv6 packets.
    pub fn cuts_ipv6(&self) -> bool {
        self.idents.is_some()
    }

    /// The longest frame, check sequence included.
    pub fn length(&self) -> usize {
        self.frame_max + CHECK_SEQUENCE
    }

    /// Cuts a packet that is too long into `fragments`. `false`, and the packet as it was, where it may not be cut.
    fn cut(&mut self, packet: &mut Packet) -> bool {
        let Ok(layers) = Layers::of(packet.data()) else { return false };
        match layers.network {
            Network::V4 => self.cut_v4(packet, &layers),
            Network::V6 => self.cut_v6(packet, &layers),
            _ => false,
        }
    }

    fn cut_v4(&mut self, packet: &mut Packet, layers: &Layers) -> bool {
        let Ok(ip) = ipv4::View::new_checked(layers.network_packet(packet.data())) else { return false };
        if ip.dont_fragment() {
            return false;
        }
        let (header_len, payload_len) = (ip.header_len(), ip.payload().len());
        let Some(room) = self.frame_max.checked_sub(layers.l3 + header_len).map(|room| room / 8 * 8) else {
            return false;
        };
        if room == 0 || payload_len.div_ceil(room) > Self::FRAGMENTS_MAX {
            return false;
        }
        rewrite::finish(packet, layers);
        self.cut_at(payload_len, room, |frag, start, length| frag.fragment(packet, layers, start, length))
    }

    /// Makes fragments of so many bytes, `room` in each. `false`, and none, where one could not be made.
    fn cut_at(
        &mut self,
        bytes: usize,
        room: usize,
        fragment: impl Fn(&Self, usize, usize) -> Option<Packet>,
    ) -> bool {
        for start in (0..bytes).step_by(room) {
            let Some(fragment) = fragment(self, start, room.min(bytes - start)) else {
                self.fragments.clear();
                return false;
            };
            self.fragments.push(fragment);
        }
        true
    }

    /// The fragment that carries `length` bytes of the payload from `start` on; `None` without a buffer.
    fn fragment(&self, packet: &Packet, layers: &Layers, start: usize, length: usize) -> Option<Packet> {
        let frame = packet.data();
        let whole = ipv4::View::new_checked(layers.network_packet(frame)).ok()?;
        let mut header = [0; ipv4::HEADER_LEN_MAX];
        let header_len = header_for(&whole, start, &mut header);
        let payload = whole.payload().get(start..start + length)?;
        let more = start + length < whole.payload().len() || whole.more_fragments();
        let mut view = ipv4::View::new_unchecked(&mut header[..header_len]);
        view.set_header_len(header_len);
        view.set_total_len(header_len + length);
        view.set_fragment(false, more, whole.fragment_offset() + start as u16);
        view.fill_checksum();
        self.assembled(packet, &[&frame[..layers.l3], &header[..header_len], payload])
    }

    /// A packet of these parts that came with another; `None` without a buffer.
    fn assembled(&self, origin: &Packet, parts: &[&[u8]]) -> Option<Packet> {
        let mut packet = self.pool.alloc()?;
        packet.set_len(parts.iter().map(|part| part.len()).sum()).ok()?;
        let mut rest = packet.data_mut();
        for part in parts {
            let (room, behind) = rest.split_at_mut(part.len());
            room.copy_from_slice(part);
            rest = behind;
        }
        packet.set_ingress(origin.ingress());
        packet.set_egress(origin.egress());
        packet.set_timestamp_ns(origin.timestamp_ns());
        *packet.metadata_mut() = *origin.metadata();
        Some(packet)
    }

    /// Whether a packet is short enough as it is.
    fn fits(&self, packet: &Packet) -> bool {
        if packet.len() <= self.frame_max {
            return true;
        }
        let Some(segmentation) = packet.offload().segmentation else { return false };
        let payload = Layers::of(packet.data()).ok().and_then(|layers| layers.payload);
        payload.is_some_and(|payload| payload + usize::from(segmentation.size) <= self.frame_max)
    }
}

/// Writes the header of the fragment at `start`: of the options, later fragments have only those that say so (RFC 791
/// §3.1, "copied flag"). Returns its length.
fn header_for(whole: &ipv4::View<&[u8]>, start: usize, header: &mut [u8; ipv4::HEADER_LEN_MAX]) -> usize {
    const COPIED: u8 = 0x80;
    let bytes = &whole.packet()[..whole.header_len()];
    if start == 0 {
        header[..bytes.len()].copy_from_slice(bytes);
        return bytes.len();
    }
    let (fixed, mut options) = bytes.split_at(ipv4::HEADER_LEN);
    header[..ipv4::HEADER_LEN].copy_from_slice(fixed);
    let mut end = ipv4::HEADER_LEN;
    while let [kind, rest @ ..] = options {
        let length = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(rest.first().copied().unwrap_or(0)),
        };
        // An option without a length, or with one that lies, ends them.
        let Some(option) = options.get(..length).filter(|option| !option.is_empty()) else { break };
        if kind & COPIED != 0 {
            header[end..end + length].copy_from_slice(option);
            end += length;
        }
        options = &options[length..];
    }
    // The rest is "end of options", which is 0.
    end.next_multiple_of(4)
}

impl Module for IpFrag {
    fn class(&self) -> &'static str {
        "IPFrag"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        if batch.iter().all(|packet| self.fits(packet)) {
            return ctx.forward(1);
        }
        for mut packet in std::mem::take(batch) {
            if self.fits(&packet) {
                ctx.emit(1, packet);
            } else if self.cut(&mut packet) {
                self.fragments.drain(..).for_each(|fragment| ctx.emit(1, fragment));
            } else {
                ctx.emit(0, packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use packet::wire::{EtherType, IpProtocol};
    use packet::{Checksum, Offload, PoolConfig, ROOM_GSO, SegmentKind, Segmentation};

    use super::super::frames::{datagram, framed, pool, tagged};
    use super::*;
    use crate::engine::{Left, Rig};

    fn large() -> Pool {
        Pool::new(PoolConfig { buffers: 128, room: ROOM_GSO, ..PoolConfig::default() }).unwrap()
    }

    /// A datagram of `length` bytes of payload that may be cut, with these options.
    fn whole(length: usize, options: &[u8]) -> Vec<u8> {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let frame = datagram(["10.0.0.1:1000", "10.0.0.2:2000"], &payload);
        let mut packet = [&frame[14..34], options, &frame[34..]].concat();
        let total = packet.len();
        let mut ip = ipv4::View::new_unchecked(&mut packet[..]);
        ip.set_header_len(20 + options.len());
        ip.set_total_len(total);
        ip.set_ident(7);
        ip.set_fragment(false, false, 0);
        ip.fill_checksum();
        framed(EtherType::IPV4, &packet)
    }

    /// Puts fragments together again, in the slow and obvious way, and returns the payload.
    fn together(left: &Left, frame_max: usize) -> Vec<u8> {
        let mut payload = Vec::new();
        for (at, (gate, fragment)) in left.iter().enumerate() {
            assert!(*gate == 1 && fragment.len() <= frame_max);
            let layers = Layers::of(fragment.data()).unwrap();
            let ip = ipv4::View::new_checked(layers.network_packet(fragment.data())).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!((ip.fragment_offset() as usize, ip.ident()), (payload.len(), 7));
            assert_eq!(ip.more_fragments(), at + 1 < left.len());
            payload.extend(ip.payload());
        }
        payload
    }

    #[test]
    fn fragments_are_the_packet() {
        for (length, frame) in [(2000, 1518), (2000, 100), (1473, 1518), (2950, 1518)] {
            let pool = large();
            let before = whole(length, &[]);
            let mut rig = Rig::new(IpFrag::new(pool.clone(), frame).unwrap());
            let mut packet = pool.packet(&before).unwrap();
            packet.metadata_mut()[3] = 9;
            let left = rig.process(0, [packet]);
            assert_eq!(together(&left, frame as usize - 4), before[34..]);
            assert!(left.iter().all(|(_, fragment)| fragment.metadata()[3] == 9));
        }
    }

    #[test]
    fn what_fits_passes() {
        let frame = whole(1472, &[]);
        assert_eq!(frame.len(), 1514);
        let mut rig = Rig::new(IpFrag::new(pool(), 1518).unwrap());
        let left = rig.process(0, [pool().packet(&frame).unwrap()]);
        assert_eq!((left[0].0, left[0].1.data()), (1, &frame[..]));
        assert_eq!(rig.module.length(), 1518);
    }

    #[test]
    fn options_go_where_their_flag_says() {
        let options = [0x94, 4, 0, 0, 0x44, 4, 5, 0, 1, 0, 0, 0]; // router alert (copied), timestamp (not)
        let pool = large();
        let mut rig = Rig::new(IpFrag::new(pool.clone(), 518).unwrap());
        let left = rig.process(0, [pool.packet(&tagged(&whole(900, &options), EtherType::VLAN, 5)).unwrap()]);
        let options_of = |at: usize| {
            let layers = Layers::of(left[at].1.data()).unwrap();
            let ip = layers.network_packet(left[at].1.data()).to_vec();
            ip[20..4 * usize::from(ip[0] & 0xf)].to_vec()
        };
        assert_eq!((options_of(0), options_of(1)), (options.to_vec(), vec![0x94, 4, 0, 0]));
        assert_eq!(together(&left, 514), whole(900, &options)[46..]);
    }

    #[test]
    fn a_fragment_is_cut_further() {
        let pool = large();
        let mut frame = whole(1000, &[]);
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_fragment(false, true, 800);
        ip.fill_checksum();
        let left =
            Rig::new(IpFrag::new(pool.clone(), 518).unwrap()).process(0, [pool.packet(&frame).unwrap()]);
        let places: Vec<(u16, bool)> = left
            .iter()
            .map(|(_, fragment)| {
                let ip = ipv4::View::new_checked(&fragment.data()[14..]).unwrap();
                (ip.fragment_offset(), ip.more_fragments())
            })
            .collect();
        assert_eq!(places, [(800, true), (1280, true), (1760, true)]);
    }

    #[test]
    fn what_may_not_be_cut_leaves_at_gate_0() {
        let pool = large();
        let mut rig = Rig::new(IpFrag::new(pool.clone(), 518).unwrap());
        let fixed = datagram(["10.0.0.1:1", "10.0.0.2:2"], &[0; 1000]);
        let six = datagram(["[fd00::1]:1", "[fd00::2]:2"], &[0; 1000]);
        let other = framed(EtherType::LLDP, &[0; 1000]);
        for frame in [&fixed, &six, &other] {
            let left = rig.process(0, [pool.packet(frame).unwrap()]);
            assert_eq!((left[0].0, left[0].1.data()), (0, &frame[..]));
        }
        let mut tiny = Rig::new(IpFrag::new(pool.clone(), 65).unwrap());
        let left = tiny.process(0, [pool.packet(&whole(24 * 64, &[])).unwrap()]);
        assert_eq!((left.len(), left[0].0), (1, 0), "65 fragments");
        let few = Pool::new(PoolConfig { buffers: 2, ..PoolConfig::default() }).unwrap();
        let mut poor = Rig::new(IpFrag::new(few.clone(), 518).unwrap());
        let left = poor.process(0, [pool.packet(&whole(1400, &[])).unwrap()]);
        assert_eq!((left.len(), left[0].0, few.available()), (1, 0, 2));
    }

    #[test]
    fn the_last_hops_work_is_done_before_or_makes_cutting_unnecessary() {
        let pool = large();
        let mut rig = Rig::new(IpFrag::new(pool.clone(), 518).unwrap());
        let before = whole(1000, &[]);
        let mut unfinished = before.clone();
        let ends = [[10, 0, 0, 1], [10, 0, 0, 2]].map(std::net::IpAddr::from);
        let pseudo = packet::checksum::pseudo(ends[0], ends[1], IpProtocol::UDP, 1008).unwrap();
        unfinished[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let mut packet = pool.packet(&unfinished).unwrap();
        packet.set_offload(Offload {
            checksum: Checksum::Partial { start: 34, offset: 6 },
            segmentation: None,
        });
        assert_eq!(together(&rig.process(0, [packet]), 514), before[34..]);
        for (size, gate) in [(472, 1), (473, 0)] {
            let mut packet = pool.packet(&datagram(["10.0.0.1:1", "10.0.0.2:2"], &[0; 1000])).unwrap();
            let segmentation =
                Some(Segmentation { kind: SegmentKind::Udp, ecn: false, size, header_len: 42 });
            packet.set_offload(Offload { segmentation, ..Offload::default() });
            assert_eq!(rig.process(0, [packet])[0].0, gate);
        }
    }

    #[test]
    fn lengths_have_limits() {
        for length in [i64::MIN, 0, 64, 65_600] {
            assert_eq!(IpFrag::new(pool(), length).unwrap_err(), IpFragError(length));
        }
    }
}
