use packet::wire::MacAddr;

use super::*;
use crate::engine::rig::{Random, Rig, packet, pool};

const CLIENT: [u8; 6] = [2, 0x1e, 0x67, 0x9f, 0x4d, 0xae];
const SERVER: [u8; 6] = [6, 0x16, 0x3e, 0x1b, 0x72, 0x32];
const CALL: u32 = 12_345;

fn module() -> UrlFilter {
    let mut module = UrlFilter::new(pool(), 7);
    module.add("www.blacklisted.com", "/").unwrap();
    module
}

/// A segment of client `host` from inside, over IPv4 or IPv6, tagged or not.
fn segment(host: u8, v6: bool, tagged: bool, flags: Flags, sequence: u32, text: &[u8]) -> Vec<u8> {
    let mut frame = [SERVER, CLIENT].concat();
    if tagged {
        frame.extend([0x81, 0x00, 0, 5]);
    }
    frame.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    let (l3, length) = (frame.len(), tcp::HEADER_LEN + text.len());
    let header = if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    frame.resize(l3 + header, 0);
    let (from, to): (IpAddr, IpAddr) = match v6 {
        true => {
            let (from, to) =
                ([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host].into(), "fd01::1".parse().unwrap());
            ipv6::Repr::new(from, to, IpProtocol::TCP, length)
                .emit(&mut ipv6::View::new_unchecked(&mut frame[l3..]));
            (from.into(), to.into())
        }
        false => {
            let (from, to) = ([192, 168, 0, host].into(), [10, 0, 0, host].into());
            ipv4::Repr::new(from, to, IpProtocol::TCP, length)
                .emit(&mut ipv4::View::new_unchecked(&mut frame[l3..]));
            (from.into(), to.into())
        }
    };
    let l4 = frame.len();
    frame.resize(l4 + tcp::HEADER_LEN, 0);
    frame.extend(text);
    let ack = if flags.contains(Flags::SYN) { 0 } else { 23_456 };
    let mut view = tcp::View::new_unchecked(&mut frame[l4..]);
    tcp::Repr { window: 8192, ..plain((10_001, 80), (sequence, ack), flags) }.emit(&mut view);
    view.fill_checksum(from, to);
    frame
}

fn call(host: u8) -> Vec<u8> {
    segment(host, false, false, Flags::SYN, CALL, b"")
}

fn say(host: u8, at: usize, text: &str) -> Vec<u8> {
    segment(host, false, false, Flags::ACK, CALL + 1 + at as u32, text.as_bytes())
}

/// What comes out of the gates for frames that come in from inside.
fn pass(module: &mut UrlFilter, now_ns: u64, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
    let out = Rig::on(module).at(now_ns).pass(0, frames.iter().map(|frame| packet(frame)));
    [0, 1].map(|gate| {
        out.iter().filter(|(at, _)| *at == gate).map(|(_, packet)| packet.data().to_vec()).collect()
    })
}

const GOOD: &str = "GET / HTTP/1.1\r\nHost: www.google.com\r\n\r\n";
const BAD: &str = "GET / HTTP/1.1\r\nHost: www.blacklisted.com\r\n\r\n";

/// BESS's own test, byte for byte.
#[test]
fn a_request_on_the_list_is_answered_and_reset() {
    let frames = [call(1), say(1, 0, GOOD), call(2), say(2, 0, BAD)];
    let [outside, inside] = pass(&mut module(), 0, &frames);
    assert_eq!((outside.len(), inside.len()), (4, 2));
    assert_eq!(outside[..3], frames[..3]);
    let read = |frame: &[u8]| {
        let layers = Layers::of(frame).unwrap();
        let view = tcp::View::new_checked(layers.segment(frame)).unwrap();
        let (from, to) = layers.addresses(frame).unwrap();
        assert!(view.verify_checksum(from, to) && frame.len() == layers.end);
        let link = ethernet::View::new_checked(frame).unwrap();
        (
            link.source(),
            from.to_string(),
            view.source_port(),
            view.sequence(),
            view.ack(),
            view.flags(),
            view.window(),
        )
    };
    let reset = Flags::RST | Flags::ACK;
    let (client, server) = (MacAddr(CLIENT), MacAddr(SERVER));
    let (there, back) = ("192.168.0.2".to_owned(), "10.0.0.2".to_owned());
    assert_eq!(read(&outside[3]), (client, there, 10_001, CALL + 1, 23_456, reset, 0));
    assert_eq!(read(&inside[0]), (server, back.clone(), 80, 23_456, CALL + 1, Flags::ACK, 0));
    let behind = 23_456 + FORBIDDEN.len() as u32;
    assert_eq!(read(&inside[1]), (server, back, 80, behind, CALL + 1, reset, 0));
    assert_eq!(inside[0][54..], *FORBIDDEN);
    // Version, TOS, length, identification 1, no flags, TTL 64, TCP: what BESS's test compares.
    assert_eq!(inside[0][14..24], [0x45, 0, 0, 90, 0, 1, 0, 0, 64, 6]);
}

#[test]
fn a_request_is_found_however_it_is_cut_and_mixed() {
    let mut random = Random::seeded();
    for _ in 0..200 {
        let (v6, tagged, bad) = (random.below(2) == 0, random.below(2) == 0, random.below(2) == 0);
        let text = if bad { BAD } else { GOOD }.as_bytes();
        let part =
            |flags, at: usize, text: &[u8]| segment(1, v6, tagged, flags, CALL.wrapping_add(at as u32), text);
        // Overlapping pieces in any order, each of which may come twice.
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = (at + 1 + random.below(12)).min(text.len());
            pieces.push(part(Flags::ACK, 1 + at, &text[at..end]));
            at = end - random.below(end - at);
        }
        let twice = pieces[random.below(pieces.len())].clone();
        pieces.push(twice);
        for last in (1..pieces.len()).rev() {
            pieces.swap(last, random.below(last + 1));
        }
        let mut module = module();
        let syn = part(Flags::SYN, 0, b"");
        let [outside, inside] = pass(&mut module, 0, &[vec![syn], pieces.clone()].concat());
        if !bad {
            assert_eq!((outside.len(), inside.len()), (pieces.len() + 1, 0), "{random:?}");
            continue;
        }
        assert_eq!(inside.len(), 2, "{random:?}");
        assert!(outside.len() <= pieces.len() + 1, "{random:?}");
        let layers = Layers::of(&inside[1]).unwrap();
        assert_eq!(
            (layers.vlans.len(), layers.network == packet::parse::Network::V6),
            (usize::from(tagged), v6)
        );
        assert_eq!(module.flows.len(), 1);
        assert_eq!(module.shared.used_bytes(), 0, "{random:?}");
    }
}

#[test]
fn a_connection_is_blocked_until_it_has_been_silent() {
    let mut module = module();
    pass(&mut module, 0, &[call(1), say(1, 0, BAD)]);
    let again = [say(1, 0, BAD), call(1), say(1, 0, GOOD)];
    assert_eq!(pass(&mut module, IDLE_NS - 1, &again), [vec![], vec![]].map(|none: Vec<Vec<u8>>| none));
    let [outside, inside] = pass(&mut module, 2 * IDLE_NS, &again);
    assert_eq!((outside.len(), inside.len()), (3, 0), "what begins with no call is passed unread");
    assert_eq!(module.flows.len(), 0, "a request that passed is forgotten");
}

#[test]
fn other_packets_pass() {
    let mut module = module();
    let later = [say(3, 0, BAD), say(4, 0, "x"), vec![0; 60], vec![]];
    assert_eq!(pass(&mut module, 0, &later)[0], later);
    let second = [call(1), say(1, 0, GOOD), say(1, GOOD.len(), BAD)];
    assert_eq!(pass(&mut module, 0, &second)[0].len(), 3, "only the first request counts");
    let from_outside = Rig::on(&mut module).pass(1, [packet(&say(1, 0, BAD))]);
    assert_eq!(from_outside[0].0, 1);
    let tls = [call(5), say(5, 0, "\x16\x03\x01\x02"), say(5, 4, BAD)];
    assert_eq!(pass(&mut module, 0, &tls)[0], tls);
    assert_eq!(module.flows.len(), 0);
    let fin = [call(6), segment(6, false, false, Flags::FIN | Flags::ACK, CALL + 1, b"GET / HT")];
    assert_eq!(pass(&mut module, 0, &fin)[0], fin);
    assert_eq!(module.flows.len(), 0);
}

#[test]
fn a_call_again_begins_again() {
    let mut module = module();
    let other = |at: u32, text: &str| segment(1, false, false, Flags::ACK, 77_778 + at, text.as_bytes());
    let frames =
        [call(1), say(1, 0, "GET /old"), segment(1, false, false, Flags::SYN, 77_777, b""), other(0, BAD)];
    let [outside, inside] = pass(&mut module, 0, &frames);
    assert_eq!((outside.len(), inside.len()), (4, 2));
}

#[test]
fn what_comes_too_early_and_too_much_is_sent_again() {
    let mut module = module();
    let early: Vec<Vec<u8>> = (0..200).map(|at| say(1, 100 + at * 300, &"x".repeat(200))).collect();
    let [outside, _] = pass(&mut module, 0, &[vec![call(1)], early].concat());
    assert!(outside.len() < 201 && module.counts.no_room > 0, "{}", outside.len());
    assert_eq!(outside.len() as u64 + module.counts.no_room, 201);
    let [_, inside] = pass(&mut module, 0, &[say(1, 0, BAD)]);
    assert_eq!(inside.len(), 2);
    assert_eq!(module.shared.used_bytes(), 0);
}

#[test]
fn the_list_is_in_order_and_bounded() {
    let mut module = UrlFilter::new(pool(), 7);
    for (host, path) in
        [("www.bluelisted.com", "/b"), ("www.bluelisted.com", "/a"), ("WWW.blacklisted.com", "/")]
    {
        module.add(host, path).unwrap();
    }
    let urls: Vec<_> = module.urls().collect();
    assert_eq!(
        urls,
        [("www.blacklisted.com", "/"), ("www.bluelisted.com", "/a"), ("www.bluelisted.com", "/b")]
    );
    let long = "a".repeat(URL_BYTES_MAX);
    assert_eq!(module.add(&long, "/"), Err(UrlFilterError::Long(URL_BYTES_MAX + 1)));
    (3..URLS_MAX).for_each(|at| module.add("host", &at.to_string()).unwrap());
    assert_eq!(module.add("host", "one more"), Err(UrlFilterError::Full));
    module.add("host", "3").unwrap();
    module.clear();
    assert_eq!(pass(&mut module, 0, &[call(2), say(2, 0, BAD)])[0].len(), 2);
}
