use packet::PoolConfig;
use packet::wire::{IpProtocol, icmpv4, icmpv6, ipv4, ipv6};

use super::super::sample::{echo6, icmp, icmp6, ip, tcp, udp, words};
use super::super::tests::{at, function, setup};
use super::*;
use crate::nat;

const SECOND: u64 = 1_000_000_000;
/// 203.0.113.9 and 198.51.100.1, seen from inside.
const SERVER: &str = "64:ff9b::cb00:7109";
const ROUTER: &str = "64:ff9b::c633:6401";

struct Lab {
    function: Box<dyn NetworkFunction>,
    ctx: Context,
    setup: Setup,
    now: u64,
}

fn lab_with(setup: Setup, more: &[&str]) -> Lab {
    let mut words = vec![
        "inside=fd00::1/64",
        "outside=192.0.2.2/24",
        "inside-mac=02:00:00:00:00:02",
        "outside-mac=02:00:00:00:00:02",
        "inside-next-hop=02:00:00:00:00:0a",
        "outside-next-hop=02:00:00:00:00:0b",
    ];
    words.extend(more);
    Lab { function: function("nat64", &words, &setup), ctx: Context::new(2), setup, now: SECOND }
}

fn lab(more: &[&str]) -> Lab {
    lab_with(setup(), more)
}

impl Lab {
    fn frames(&mut self, gate: Gate, frame: &[u8]) -> Vec<Vec<u8>> {
        let left = at(&mut *self.function, &mut self.ctx, (gate, self.now), &self.setup.pool, &[frame]);
        assert_eq!(self.setup.pool.available(), self.setup.pool.capacity(), "no buffer is lost");
        left.into_iter().map(|(_, frame)| frame).collect()
    }

    fn frame(&mut self, gate: Gate, frame: &[u8]) -> Vec<u8> {
        let mut frames = self.frames(gate, frame);
        assert_eq!(frames.len(), 1, "{:?}", self.ctx.drops());
        frames.remove(0)
    }

    /// What leaves, in words; every checksum is verified, and that nothing follows the packet.
    fn one(&mut self, gate: Gate, frame: &[u8]) -> String {
        words(&self.frame(gate, frame))
    }

    fn dropped(&mut self, gate: Gate, frame: &[u8], cause: Cause) {
        assert!(self.frames(gate, frame).is_empty(), "{cause}");
        assert_eq!(self.ctx.drops().of(cause), 1, "{cause}: {:?}", self.ctx.drops());
    }
}

fn with_v4(mut frame: Vec<u8>, change: impl FnOnce(&mut ipv4::View<&mut [u8]>)) -> Vec<u8> {
    let mut view = ipv4::View::new_unchecked(&mut frame[14..]);
    change(&mut view);
    view.fill_checksum();
    frame
}

#[test]
fn udp_and_tcp_change_family_and_back() {
    let mut lab = lab(&[]);
    let out = lab.one(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"odd"));
    assert!(
        out.contains("02:00:00:00:00:02 > 02:00:00:00:00:0b: 192.0.2.2 > 203.0.113.9: 5000 > 53"),
        "{out}"
    );
    let back = lab.one(1, &udp("203.0.113.9:53", "192.0.2.2:5000", b"answer"));
    assert!(back.contains(&format!("> 02:00:00:00:00:0a: {SERVER} > fd00::5: 53 > 5000")), "{back}");
    lab.one(0, &tcp("[fd00::5]:5000", &format!("[{SERVER}]:80"), "S", (1, 0), b""));
    let back = lab.one(1, &tcp("203.0.113.9:80", "192.0.2.2:5000", "SA", (9, 2), b""));
    assert!(back.contains(&format!("{SERVER} > fd00::5: 80 > 5000")), "{back}");
    lab.dropped(0, &udp("[fd00::5]:5000", "[2001:db8::1]:53", b"x"), nat::NO_MAPPING);
}

#[test]
fn what_the_headers_say_is_kept() {
    let mut lab = lab(&[]);
    let mut frame = udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x");
    ipv6::View::new_unchecked(&mut frame[14..]).set_first(0xb8, 0x12345);
    let out = lab.frame(0, &frame);
    let view = ipv4::View::new_checked(&out[14..]).unwrap();
    assert_eq!((view.tos(), view.ttl(), view.dont_fragment(), view.ident()), (0xb8, 63, false, 1));
    let long = lab.frame(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), &[7; 1300]));
    let view = ipv4::View::new_checked(&long[14..]).unwrap();
    assert_eq!((view.dont_fragment(), view.ident()), (true, 0), "above 1260 bytes (RFC 7915 5.1)");
    let answer = with_v4(udp("203.0.113.9:53", "192.0.2.2:5000", b"x"), |view| view.set_tos(0x2e));
    let back = lab.frame(1, &answer);
    let view = ipv6::View::new_checked(&back[14..]).unwrap();
    assert_eq!((view.traffic_class(), view.hop_limit(), view.flow_label()), (0x2e, 63, 0));
}

#[test]
fn pings_change_family_and_identifier() {
    let mut lab = lab(&[]);
    assert!(
        lab.one(0, &echo6("fd00::5", SERVER, b"odd")).contains("192.0.2.2 > 203.0.113.9: echo request, id 7")
    );
    let other = lab.one(0, &echo6("fd00::6", SERVER, b"x"));
    let ident: u16 = other.split("id ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert_ne!(ident, 7);
    let reply = icmpv4::Repr::EchoReply { ident, sequence: 9, data: b"x" };
    let back = lab.one(1, &icmp("203.0.113.9", "192.0.2.2", &reply));
    assert!(back.contains(&format!("{SERVER} > fd00::6: echo reply, id 7, seq 9")), "{back}");
    assert!(lab.one(0, &echo6("fd00::5", "fd00::1", b"")).contains("fd00::1 > fd00::5: echo reply"));
}

#[test]
fn length_and_checksum_end_with_the_packet_and_padded_frames_do_not_grow() {
    // Capsule takes length and checksum to the end of the buffer.
    let mut lab = lab(&[]);
    let mut frame = udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x");
    frame.resize(frame.len() + 9, 0xee);
    assert_eq!(lab.frame(0, &frame).len(), 14 + 20 + 9);
    let mut frame = udp("203.0.113.9:53", "192.0.2.2:5000", b"x");
    frame.resize(60, 0xee);
    let back = lab.frame(1, &frame);
    assert_eq!(back.len(), 14 + 40 + 9);
    words(&back);
}

#[test]
fn nat64_mappings_expire_ports_never_are_0_and_hop_limit_0_does_not_underflow() {
    // Capsule's port counter wraps to 0, its mappings never expire, and a TTL of 0 becomes 255.
    let mut lab = lab(&["ports=1-3", "flows=100"]);
    let mut seen = Vec::new();
    for host in 0..4 {
        let left = lab.frames(0, &udp(&format!("[fd00::1{host}]:9"), &format!("[{SERVER}]:53"), b"x"));
        if ipv4::View::new_checked(&left[0][14..]).is_ok() {
            seen.push(u16::from_be_bytes([left[0][34], left[0][35]]));
        }
    }
    seen.sort_unstable();
    assert_eq!((&seen[..], lab.ctx.drops().of(nat::PORTS_OUT)), (&[1, 2, 3][..], 1));
    lab.now = 400 * SECOND;
    lab.ctx.set_now_ns(lab.now);
    lab.function.expire(&mut lab.ctx);
    for hops in [0, 1] {
        let mut frame = udp("[fd00::13]:9", &format!("[{SERVER}]:53"), b"x");
        ipv6::View::new_unchecked(&mut frame[14..]).set_hop_limit(hops);
        let told = lab.one(0, &frame);
        assert!(told.contains("fd00::1 > fd00::13: time exceeded"), "{told}");
    }
    assert!(lab.one(0, &udp("[fd00::13]:9", &format!("[{SERVER}]:53"), b"x")).contains("192.0.2.2"));
}

#[test]
fn options_and_extension_headers_end_here() {
    // Capsule reads the transport behind 20 or 40 bytes whatever the header says.
    let mut lab = lab(&[]);
    let plain = udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x");
    let mut frame = plain[..54].to_vec();
    frame.extend([IpProtocol::UDP.0, 0, 1, 4, 0, 0, 0, 0]); // destination options: PadN
    frame.extend(&plain[54..]);
    let mut view = ipv6::View::new_unchecked(&mut frame[14..]);
    view.set_next_header(IpProtocol::DESTINATION);
    view.set_payload_len(8 + 9);
    assert_eq!(lab.frame(0, &frame).len(), 14 + 20 + 9);
    let plain = udp("203.0.113.9:53", "192.0.2.2:5000", b"x");
    let mut frame = plain[..34].to_vec();
    frame.extend([1, 1, 1, 0]);
    frame.extend(&plain[34..]);
    let frame = with_v4(frame, |view| {
        view.set_header_len(24);
        view.set_total_len(24 + 9);
    });
    let back = lab.one(1, &frame);
    assert!(back.contains("fd00::5: 53 > 5000"), "{back}");
}

#[test]
fn a_datagram_without_checksum_gets_one() {
    let mut lab = lab(&[]);
    lab.one(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x"));
    let mut bare = udp("203.0.113.9:53", "192.0.2.2:5000", b"bare");
    bare[40..42].fill(0);
    lab.one(1, &bare); // whose words verify it
    let bare = with_v4(bare, |view| view.set_fragment(false, true, 0));
    lab.dropped(1, &bare, Failed::NoChecksum.into());
}

#[test]
fn errors_from_outside_reach_the_host_with_what_it_sent() {
    let mut lab = lab(&[]);
    lab.one(0, &udp("[fd00::6]:5000", &format!("[{SERVER}]:53"), b"x"));
    let sent = lab.frame(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), &[7; 100]));
    for (repr, expected) in [
        (icmpv4::Repr::time_exceeded(&sent[14..]), "time exceeded"),
        (icmpv4::Repr::unreachable(3, &sent[14..]), "port"),
        (icmpv4::Repr::fragmentation_needed(1400, &sent[14..]), "1420"),
    ] {
        let told = lab.frame(1, &icmp("198.51.100.1", "192.0.2.2", &repr));
        let text = words(&told);
        assert!(text.contains(&format!("{ROUTER} > fd00::5: ")) && text.contains(expected), "{text}");
        let quoted = ipv6::View::new_checked(&told[62..]).unwrap();
        assert_eq!(
            (quoted.source().to_string(), quoted.destination().to_string()),
            ("fd00::5".into(), SERVER.into())
        );
        let datagram = packet::wire::udp::View::new_checked(quoted.payload()).unwrap();
        assert_eq!(datagram.source_port(), 5000);
        assert!(datagram.verify_checksum(quoted.source().into(), quoted.destination().into()));
    }
    let ping = lab.frame(0, &echo6("fd00::5", SERVER, b"ping"));
    let told = lab.frame(1, &icmp("198.51.100.1", "192.0.2.2", &icmpv4::Repr::time_exceeded(&ping[14..])));
    let quoted = ipv6::View::new_checked(&told[62..]).unwrap();
    let message = icmpv6::View::new_checked(quoted.payload()).unwrap();
    assert_eq!(message.to_string(), "echo request, id 7, seq 9, length 12");
    assert!(message.verify_checksum(quoted.source(), quoted.destination()));
    words(&told);
}

#[test]
fn errors_from_inside_reach_the_server() {
    let mut lab = lab(&[]);
    lab.one(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x"));
    let answer = lab.frame(1, &udp("203.0.113.9:53", "192.0.2.2:5000", b"answer"));
    let error = icmp6("fd00::5", SERVER, &icmpv6::Repr::unreachable(4, &answer[14..]));
    let told = lab.frame(0, &error);
    let text = words(&told);
    assert!(text.contains("192.0.2.2 > 203.0.113.9: ") && text.contains("port"), "{text}");
    let quoted = ipv4::View::new_checked(&told[42..]).unwrap();
    assert!(quoted.verify_checksum());
    let datagram = packet::wire::udp::View::new_checked(quoted.payload()).unwrap();
    assert_eq!((datagram.source_port(), datagram.destination_port()), (53, 5000));
    assert!(datagram.verify_checksum(quoted.source().into(), quoted.destination().into()));
}

#[test]
fn what_is_too_large_for_the_inside_is_refused_or_cut() {
    let mut lab = lab(&[]);
    lab.one(0, &udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), b"x"));
    let large = udp("203.0.113.9:53", "192.0.2.2:5000", &[7; 1472]);
    let whole = with_v4(large.clone(), |view| view.set_fragment(true, false, 0));
    let told = lab.one(1, &whole);
    assert!(told.contains("192.0.2.2 > 203.0.113.9: ") && told.contains("need to frag (mtu 1480)"), "{told}");

    let cut = lab.frames(1, &with_v4(large, |view| view.set_ident(99)));
    assert_eq!(cut.len(), 2);
    let mut datagram = Vec::new();
    for (at, frame) in cut.iter().enumerate() {
        assert!(frame.len() <= 14 + 1280);
        let view = ipv6::View::new_checked(&frame[14..]).unwrap();
        let upper = view.upper().unwrap();
        let fragment = upper.fragment.unwrap();
        assert_eq!((fragment.ident, fragment.offset, fragment.more), (99, 1232 * at as u16, at == 0));
        datagram.extend(&view.packet()[upper.offset..]);
    }
    let datagram = packet::wire::udp::View::new_checked(&datagram[..]).unwrap();
    let (server, host) = (SERVER.parse().unwrap(), "fd00::5".parse().unwrap());
    assert!(datagram.verify_checksum(server, host) && datagram.payload() == [7; 1472]);
}

#[test]
fn fragments_keep_their_place_in_both_families() {
    let mut lab = lab(&[]);
    let whole = udp("[fd00::5]:5000", &format!("[{SERVER}]:53"), &[7; 40])[54..].to_vec();
    let fragment = |offset: u16, more: bool, payload: &[u8]| {
        let mut body = vec![IpProtocol::UDP.0, 0];
        body.extend((offset | u16::from(more)).to_be_bytes());
        body.extend(0xabcd_1234u32.to_be_bytes());
        body.extend(payload);
        ip("fd00::5", SERVER, IpProtocol::FRAGMENT, &body)
    };
    let mut datagram = Vec::new();
    for (offset, more, part) in [(0, true, &whole[..24]), (24, false, &whole[24..])] {
        let out = lab.frame(0, &fragment(offset, more, part));
        let view = ipv4::View::new_checked(&out[14..]).unwrap();
        assert_eq!((view.ident(), view.fragment_offset(), view.more_fragments()), (0x1234, offset, more));
        assert!(view.verify_checksum() && !view.dont_fragment());
        datagram.extend(view.payload());
    }
    let datagram = packet::wire::udp::View::new_checked(&datagram[..]).unwrap();
    assert!(datagram.verify_checksum([192, 0, 2, 2].into(), [203, 0, 113, 9].into()));

    let answer = udp("203.0.113.9:53", "192.0.2.2:5000", &[9; 40]);
    for (offset, more, part) in [(0u16, true, &answer[34..58]), (24, false, &answer[58..])] {
        let frame = with_v4(ip("203.0.113.9", "192.0.2.2", IpProtocol::UDP, part), |view| {
            view.set_ident(7);
            view.set_fragment(false, more, offset);
        });
        let back = lab.frame(1, &frame);
        let upper = ipv6::View::new_checked(&back[14..]).unwrap().upper().unwrap();
        assert_eq!(upper.fragment, Some(ipv6::Fragment { ident: 7, offset, more }));
    }
}

#[test]
fn hairpins_and_forwards_stay_in_their_family() {
    let mut lab = lab(&["forward=tcp/8080:[fd00::6]:80"]);
    let hairpin = lab.one(0, &tcp("[fd00::5]:5000", "[64:ff9b::192.0.2.2]:8080", "S", (1, 0), b""));
    assert!(hairpin.contains("64:ff9b::c000:202 > fd00::6: 5000 > 80"), "{hairpin}");
    let inwards = lab.one(1, &tcp("203.0.113.9:4000", "192.0.2.2:8080", "S", (1, 0), b""));
    assert!(inwards.contains(&format!("{SERVER} > fd00::6: 4000 > 80")), "{inwards}");
}

#[test]
fn a_segment_that_is_still_to_be_cut_changes_family_as_it_is() {
    let pool = Pool::new(PoolConfig { buffers: 4, room: packet::ROOM_GSO, ..PoolConfig::default() }).unwrap();
    let mut lab = lab_with(Setup { pool, key: 1, seed: 1 }, &[]);
    let mut frame = tcp("[fd00::5]:5000", &format!("[{SERVER}]:80"), "A", (1, 1), &vec![7; 60_000]);
    let pseudo = |source: &str, destination: &str| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        packet::checksum::pseudo(source, destination, IpProtocol::TCP, 60_020).unwrap()
    };
    frame[70..72].copy_from_slice(&pseudo("fd00::5", SERVER).to_be_bytes());
    let mut packet = lab.setup.pool.packet(&frame).unwrap();
    let segmentation =
        packet::Segmentation { kind: packet::SegmentKind::TcpV6, ecn: false, size: 1440, header_len: 74 };
    packet.set_offload(Offload {
        checksum: packet::Checksum::Partial { start: 54, offset: 16 },
        segmentation: Some(segmentation),
    });
    let mut batch = Batch::new();
    batch.push(packet).unwrap();
    lab.function.process(0, &mut batch, &mut lab.ctx);
    lab.ctx.drain(1, |batch| {
        let packet = batch.drain(..).next().unwrap();
        let expected =
            packet::Segmentation { kind: packet::SegmentKind::TcpV4, header_len: 54, ..segmentation };
        assert_eq!(packet.offload().checksum, packet::Checksum::Partial { start: 34, offset: 16 });
        assert_eq!(packet.offload().segmentation, Some(expected));
        assert_eq!(packet.data()[50..52], pseudo("192.0.2.2", "203.0.113.9").to_be_bytes());
        assert_eq!(packet.len(), 14 + 20 + 60_020);
    });
}
