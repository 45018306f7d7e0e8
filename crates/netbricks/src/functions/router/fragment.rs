//! Cutting IPv4 packets that the next link does not take whole (RFC 791 §3.2, RFC 1812 §4.2.2.7 and §5.2.6).

use packet::parse::{Layers, Network};
use packet::wire::ipv4;
use packet::{Packet, Pool};
use ports::finish;

use crate::Cause;

/// The smallest link that IPv4 knows (RFC 791 §3.2).
const MTU_MIN: usize = 68;
/// An option whose type has this bit is in every fragment, the others are in the first (RFC 791 §3.1).
const COPIED: u8 = 0x80;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;

/// No such packet comes whole: it would be longer than 64 KiB.
const BEYOND: Cause = Cause::new("fragment beyond 64 KiB");
/// Less than IPv4 can do with.
const LINK_TOO_SMALL: Cause = Cause::new("too big, and the link smaller than IPv4 may have it");

/// Whether a router may cut the packet. Not one that is to be segmented: that is the port's work, and its segments have
/// been found too long for the link.
pub(super) fn may_fragment(layers: &Layers, packet: &Packet) -> bool {
    layers.network == Network::V4
        && packet.offload().segmentation.is_none()
        && !ipv4::View::new_unchecked(layers.network_packet(packet.data())).dont_fragment()
}

/// Hands out `packet`, which is longer than `mtu`, in fragments of at most that from the IP header on: in order, as few
/// as there can be, each in a buffer of `pool`, with the link header in front. Returns how many found no buffer.
pub(super) fn fragments(
    mut packet: Packet,
    layers: &Layers,
    mtu: usize,
    pool: &Pool,
    mut out: impl FnMut(Packet),
) -> Result<u64, Cause> {
    if mtu < MTU_MIN {
        return Err(LINK_TOO_SMALL);
    }
    packet.truncate(layers.end);
    // No fragment can have its checksum completed by a port.
    finish::complete(&mut packet).map_err(|_| Cause::new("wrong place of a checksum"))?;
    let (link, ip) = packet.data().split_at(layers.l3);
    let whole = ipv4::View::new_checked(ip)?;
    let payload = whole.payload();
    let (offset, more) = (usize::from(whole.fragment_offset()), whole.more_fragments());
    if offset + payload.len() > usize::from(u16::MAX) {
        return Err(BEYOND);
    }
    let (first, later) = (&ip[..whole.header_len()], later_header(&whole));
    let (mut header, mut at, mut lost) = (first, 0, 0);
    while at < payload.len() {
        // All but the last are a multiple of eight bytes long.
        let room = mtu - header.len();
        let left = payload.len() - at;
        let piece = if left <= room { left } else { room & !7 };
        let is_last = piece == left;
        match pool.alloc() {
            Some(mut fragment) => {
                let bytes = &payload[at..at + piece];
                write(&mut fragment, (link, header, bytes), (offset + at) as u16, more || !is_last)?;
                fragment.set_timestamp_ns(packet.timestamp_ns());
                out(fragment);
            }
            None => lost += 1,
        }
        at += piece;
        header = &later;
    }
    Ok(lost)
}

fn write(
    fragment: &mut Packet,
    (link, header, payload): (&[u8], &[u8], &[u8]),
    offset: u16,
    more: bool,
) -> Result<(), Cause> {
    let l3 = link.len();
    fragment.set_len(l3 + header.len() + payload.len())?;
    let data = fragment.data_mut();
    data[..l3].copy_from_slice(link);
    data[l3..l3 + header.len()].copy_from_slice(header);
    data[l3 + header.len()..].copy_from_slice(payload);
    let mut ip = ipv4::View::new_unchecked(&mut data[l3..]);
    ip.set_total_len(header.len() + payload.len());
    ip.set_fragment(false, more, offset);
    ip.fill_checksum();
    Ok(())
}

/// The header of the fragments behind the first: with those options that are copied, filled up to words.
fn later_header<T: AsRef<[u8]>>(whole: &ipv4::View<T>) -> arrayvec::ArrayVec<u8, { ipv4::HEADER_LEN_MAX }> {
    let (fixed, mut options) = whole.packet()[..whole.header_len()].split_at(ipv4::HEADER_LEN);
    let mut header: arrayvec::ArrayVec<u8, { ipv4::HEADER_LEN_MAX }> = fixed.iter().copied().collect();
    // What is behind a malformed option cannot be read by anybody else either.
    while let [kind, rest @ ..] = options {
        let length = match (*kind, rest.first()) {
            (OPTION_END, _) => break,
            (OPTION_NOP, _) => 1,
            (_, Some(length)) if (2..=options.len()).contains(&usize::from(*length)) => usize::from(*length),
            _ => break,
        };
        let (option, behind) = options.split_at(length);
        if kind & COPIED != 0 {
            header.extend(option.iter().copied());
        }
        options = behind;
    }
    while header.len() % 4 != 0 {
        header.push(OPTION_END);
    }
    let length = header.len();
    ipv4::View::new_unchecked(&mut header[..]).set_header_len(length);
    header
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use packet::wire::{EtherType, IpProtocol};
    use packet::{Checksum, Offload, PoolConfig, SegmentKind, Segmentation};
    use proptest::prelude::*;

    fn pool(buffers: usize) -> Pool {
        Pool::new(PoolConfig { buffers, room: 9200, ..PoolConfig::default() }).unwrap()
    }

    /// A packet of this header and payload, in a frame.
    fn frame(options: &[u8], payload: &[u8], offset: u16, more: bool) -> Vec<u8> {
        let repr = ipv4::Repr {
            ident: 0x1234,
            tos: 0x2e,
            dont_fragment: false,
            more_fragments: more,
            fragment_offset: offset,
            ..ipv4::Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol(253), 0)
        };
        let mut bytes = vec![0; ipv4::HEADER_LEN];
        repr.emit(&mut ipv4::View::new_unchecked(&mut bytes[..]));
        bytes.extend_from_slice(options);
        bytes.extend_from_slice(payload);
        let length = bytes.len();
        let mut view = ipv4::View::new_unchecked(&mut bytes[..]);
        view.set_header_len(ipv4::HEADER_LEN + options.len());
        view.set_total_len(length);
        view.fill_checksum();
        sample::ethernet(EtherType::IPV4, &bytes)
    }

    fn cut(pool: &Pool, packet: Packet, mtu: usize) -> Result<(Vec<Vec<u8>>, u64), Cause> {
        let layers = Layers::of(packet.data()).unwrap();
        assert!(may_fragment(&layers, &packet));
        let mut out = Vec::new();
        let lost = fragments(packet, &layers, mtu, pool, |fragment| out.push(fragment.data().to_vec()))?;
        Ok((out, lost))
    }

    /// One option of RFC 791: its bytes.
    fn option() -> impl Strategy<Value = Vec<u8>> {
        let known = prop_oneof![Just(7u8), Just(68), Just(130), Just(136), Just(148), Just(30), Just(158)];
        (known, 0usize..9).prop_map(|(kind, data)| {
            let mut option = vec![kind, data as u8 + 2];
            option.resize(data + 2, 0xa5);
            option
        })
    }

    fn padded(options: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for option in options {
            if bytes.len() + option.len() <= 40 {
                bytes.extend(option);
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    proptest! {
        /// The slow twin is the receiver: bytes are put where fragments say that they belong.
        #[test]
        fn fragments_are_what_the_packet_was(
            options in proptest::collection::vec(option(), 0..6),
            length in 1usize..9000,
            mtu in MTU_MIN..2000,
            eights in 0u16..1000,
            more: bool,
        ) {
            let length = if more { length.next_multiple_of(8) } else { length };
            let payload: Vec<u8> = (0..length).map(|n| (n * 7 + n / 256) as u8).collect();
            let (pool, offset, options_of_all) = (pool(256), eights * 8, padded(&options));
            let whole = frame(&options_of_all, &payload, offset, more);
            prop_assume!(whole.len() - 14 > mtu);
            let (out, lost) = cut(&pool, pool.packet(&whole).unwrap(), mtu).unwrap();
            prop_assert_eq!((lost, pool.available()), (0, 256));
            let taken: Vec<Vec<u8>> = {
                let mut room = 40;
                let fits = |option: &&Vec<u8>| option.len() <= room && { room -= option.len(); true };
                options.iter().filter(fits).filter(|option| option[0] >= 128).cloned().collect()
            };
            let copied = padded(&taken);
            let mut put = Vec::new();
            for (nth, bytes) in out.iter().enumerate() {
                let view = ipv4::View::new_checked(&bytes[14..]).unwrap();
                prop_assert!(view.verify_checksum() && view.total_len() == bytes.len() - 14);
                prop_assert!(bytes.len() - 14 <= mtu);
                prop_assert_eq!(&bytes[..14], &whole[..14]);
                prop_assert_eq!((view.ident(), view.tos(), view.ttl()), (0x1234, 0x2e, 64));
                prop_assert_eq!(usize::from(view.fragment_offset()), usize::from(offset) + put.len());
                let last = nth + 1 == out.len();
                prop_assert_eq!(view.more_fragments(), more || !last);
                prop_assert!(last || view.payload().len() % 8 == 0);
                let expected = if nth == 0 { &options_of_all } else { &copied };
                prop_assert_eq!(&view.packet()[20..view.header_len()], &expected[..]);
                // As few as there can be: eight bytes more would not have fitted.
                prop_assert!(last || bytes.len() - 14 + 8 > mtu);
                put.extend_from_slice(view.payload());
            }
            prop_assert_eq!(put, payload);
        }
    }

    #[test]
    fn an_unfinished_checksum_is_finished_before() {
        let mut whole = sample::udp("10.0.0.1:5", "198.51.100.7:53", &[7; 3001]);
        let right = u16::from_be_bytes([whole[40], whole[41]]);
        let (source, destination) = ([10, 0, 0, 1].into(), [198, 51, 100, 7].into());
        let pseudo = packet::checksum::pseudo_v4(source, destination, IpProtocol::UDP, 3009);
        whole[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let pool = pool(8);
        let mut packet = pool.packet(&whole).unwrap();
        let checksum = Checksum::Partial { start: 34, offset: 6 };
        packet.set_offload(Offload { checksum, segmentation: None });
        let (out, _) = cut(&pool, packet, 1300).unwrap();
        assert_eq!(out.len(), 3);
        assert_eq!(u16::from_be_bytes([out[0][40], out[0][41]]), right);
    }

    #[test]
    fn what_must_not_be_cut_is_not() {
        let pool = pool(2);
        let may = |bytes: &[u8], segmentation| {
            let mut packet = pool.packet(bytes).unwrap();
            packet.set_offload(Offload { segmentation, ..Offload::default() });
            may_fragment(&Layers::of(bytes).unwrap(), &packet)
        };
        let mut whole = frame(&[], &[1; 100], 0, false);
        assert!(may(&whole, None));
        let segmentation = Segmentation { kind: SegmentKind::Udp, ecn: false, size: 50, header_len: 42 };
        assert!(!may(&whole, Some(segmentation)), "the port cuts it");
        ipv4::View::new_unchecked(&mut whole[14..]).set_fragment(true, false, 0);
        assert!(!may(&whole, None));
        assert!(!may(&sample::udp("[fd00::1]:5", "[fd00::2]:5", b"x"), None), "routers cut no IPv6");
    }

    #[test]
    fn lies_and_a_pool_without_buffers_end_it() {
        let pool = pool(4);
        let beyond = frame(&[], &[1; 1400], 65_000, true);
        assert_eq!(cut(&pool, pool.packet(&beyond).unwrap(), 1000), Err(BEYOND));
        let whole = frame(&[], &[1; 1400], 0, false);
        assert_eq!(cut(&pool, pool.packet(&whole).unwrap(), 67), Err(LINK_TOO_SMALL));
        // An option that is longer than all of them: what stands before it is copied.
        let lying = frame(&[148, 4, 0, 0, 130, 40, 0, 0], &[1; 1400], 0, false);
        let (out, _) = cut(&pool, pool.packet(&lying).unwrap(), 1000).unwrap();
        assert_eq!(ipv4::View::new_checked(&out[1][14..]).unwrap().packet()[20..24], [148, 4, 0, 0]);
        let _held: Vec<_> = (0..3).map(|_| pool.alloc().unwrap()).collect();
        let (out, lost) = cut(&pool, pool.packet(&whole).unwrap(), 1000).unwrap();
        assert_eq!((out.len(), lost, pool.available()), (0, 2, 1));
    }
}
