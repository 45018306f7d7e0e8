//! Random frames through both translators, both ways.

use std::net::{IpAddr, SocketAddr};

use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{
    EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, icmpv6, ipv4, ipv6, ndp, tcp, udp,
};
use packet::{Batch, Checksum, Offload, Pool, PoolConfig, checksum};

use crate::functions::{Kind, Setup};
use crate::{Args, Context, Gate, NetworkFunction, rewrite};

/// Bytes that make one frame.
const STEP: usize = 8;
/// Frames of one input.
const STEPS_MAX: usize = 64;
const BUFFERS: usize = 512;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Plays a script of frames: whatever comes in, nothing panics, what leaves can be read, what came in right leaves right,
/// and no buffer is lost.
///
/// # Panics
/// On a fault.
pub fn nat(input: &[u8]) {
    let Some((kind, script)) = input.split_first() else { return };
    let six = kind & 1 != 0;
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a small pool");
    let setup = Setup { pool: pool.clone(), key: u128::from(*kind), seed: 1 };
    let asks = kind & 4 != 0;
    let mut trial = Trial {
        six,
        asks,
        function: function(six, [kind & 2 != 0, asks], &setup),
        pool,
        last: None,
        wrong_may_wait: false,
    };
    let mut ctx = Context::new(2);
    let mut now_ns = 0;
    for step in script.chunks_exact(STEP).take(STEPS_MAX) {
        now_ns += 1u64 << (step[7] % 48);
        ctx.set_now_ns(now_ns);
        if trial.function.deadline_ns().is_some_and(|deadline_ns| deadline_ns <= now_ns) {
            trial.function.expire(&mut ctx);
        }
        trial.check(&mut ctx, true);
        trial.step(&mut ctx, step);
    }
    let held = trial.function.held();
    assert_eq!(trial.pool.available() + held, BUFFERS, "buffers are lost");
    drop(trial.function);
    assert_eq!(trial.pool.available(), BUFFERS, "buffers are lost with the function");
}

/// A translator that filters or not, and asks for its neighbours or not. Not contained: a panic shall be seen.
fn function(six: bool, [filters, asks]: [bool; 2], setup: &Setup) -> Box<dyn NetworkFunction> {
    let (name, inside) = if six { ("nat64", "inside=fd00::1/64") } else { ("nat44", "inside=10.0.0.1/24") };
    let forward = if six { "forward=tcp/80:[fd00::2]:80" } else { "forward=tcp/80:10.0.0.2:80" };
    let words = [
        inside,
        "outside=192.0.2.2/24",
        "gateway=192.0.2.1",
        "external=192.0.2.2-192.0.2.3",
        "ports=1-40",
        if filters { "filter=on" } else { "filter=off" },
        forward,
        "flows=16",
        "mappings=24",
        "per-host=16",
        "inside-mac=02:00:00:00:00:01",
        "outside-mac=02:00:00:00:00:01",
    ];
    let next_hops = ["inside-next-hop=02:00:00:00:00:02", "outside-next-hop=02:00:00:00:00:02"];
    let words = words.iter().chain(next_hops.iter().filter(|_| !asks));
    let mut args = Args::parse(name, words).expect("words");
    Kind::find(name).expect("it is there").build(&mut args, setup).expect("the words are right")
}

struct Trial {
    six: bool,
    asks: bool,
    function: Box<dyn NetworkFunction>,
    pool: Pool,
    /// The last packet that left, and where.
    last: Option<(Gate, Vec<u8>)>,
    /// A packet with a wrong checksum came in, and may wait for its neighbour until another one's turn.
    wrong_may_wait: bool,
}

impl Trial {
    fn step(&mut self, ctx: &mut Context, step: &[u8]) {
        let (gate, mut frame) = self.frame(step);
        if step[6] != 0 && !frame.is_empty() {
            let at = usize::from(step[5]) * 7 % frame.len();
            frame[at] ^= step[6];
        }
        let mut offload = Offload::default();
        let is_partial = step[1] & 2 != 0 && make_partial(&mut frame, &mut offload);
        let is_right = is_partial || is_right(&frame, &offload);
        self.wrong_may_wait |= !is_right && self.asks;
        let Some(mut packet) = self.pool.packet(&frame) else { return };
        packet.set_offload(offload);
        let mut batch = Batch::new();
        let _ = batch.push(packet);
        self.function.process(gate, &mut batch, ctx);
        assert!(batch.is_empty());
        self.check(ctx, is_right);
    }

    fn check(&mut self, ctx: &mut Context, came_right: bool) {
        for gate in 0..2 {
            ctx.drain(gate, |batch| {
                for packet in batch.drain(..) {
                    let frame = packet.data();
                    assert!(Layers::of(frame).is_ok(), "unreadable: {frame:02x?}");
                    let came_right = came_right && !self.wrong_may_wait;
                    assert!(
                        !came_right || is_right(frame, &packet.offload()),
                        "wrong checksum: {frame:02x?}"
                    );
                    self.last = Some((gate, frame.to_vec()));
                }
            });
        }
    }

    /// The frame that a step asks for, and its gate.
    fn frame(&self, step: &[u8]) -> (Gate, Vec<u8>) {
        let gate = Gate::from(step[1] & 1);
        let what = step[0] % 8;
        if let (5..=7, Some((gate, last))) = (what, &self.last)
            && let Some(frame) = answer(last, what, step)
        {
            return (*gate, frame);
        }
        let inside = gate == 0 && self.six;
        let host = |number: u8, far: bool| -> IpAddr {
            let number = number % 8;
            match (inside, far) {
                (true, false) => std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into(),
                (true, true) if number < 2 => "64:ff9b::192.0.2.2".parse().expect("an address"),
                (true, true) => {
                    std::net::Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0xcb00, 0x7100 | u16::from(number))
                        .into()
                }
                (false, far) if (gate == 0) != far => [10, 0, 0, number].into(),
                (false, far) if gate == 1 && far || number < 2 => [192, 0, 2, 2 | number & 1].into(),
                _ => [203, 0, 113, number].into(),
            }
        };
        let own = SocketAddr::new(host(step[2], false), u16::from(step[3] % 48));
        let far = SocketAddr::new(host(step[2] >> 4, true), u16::from(step[3] >> 4) * 8);
        let protocol = match (what, inside) {
            (0 | 3, _) => IpProtocol::TCP,
            (2, true) => IpProtocol::ICMPV6,
            (2, false) => IpProtocol::ICMP,
            _ => IpProtocol::UDP,
        };
        if what == 4 {
            return (gate, resolution(own.ip(), host(step[5], false), step));
        }
        (gate, FlowKey::new(protocol, own, far).map_or_else(Vec::new, |key| build(&key, step)))
    }
}

/// Address resolution between two on a link: question or answer, or no packet at all.
fn resolution(sender: IpAddr, target: IpAddr, step: &[u8]) -> Vec<u8> {
    let asks = step[4] & 1 != 0;
    match (sender, target) {
        _ if step[4].is_multiple_of(4) => step.repeat(9),
        (IpAddr::V4(sender_ip), IpAddr::V4(target_ip)) => {
            let operation = if asks { arp::Operation::REQUEST } else { arp::Operation::REPLY };
            let repr = arp::Repr { operation, sender_mac: THEIRS, sender_ip, target_mac: OURS, target_ip };
            let mut frame = link(EtherType::ARP);
            frame.resize(ethernet::HEADER_LEN + arp::PACKET_LEN, 0);
            repr.emit(&mut arp::View::new_unchecked(&mut frame[ethernet::HEADER_LEN..]));
            frame
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let repr = match asks {
                true => ndp::Repr::NeighbourSolicitation { target, source_mac: Some(THEIRS) },
                false => ndp::Repr::NeighbourAdvertisement {
                    router: false,
                    solicited: true,
                    overriding: step[4] & 2 != 0,
                    target: source,
                    target_mac: Some(THEIRS),
                },
            };
            let mut message = vec![0; repr.buffer_len()];
            repr.emit(source, target, &mut icmpv6::View::new_unchecked(&mut message[..]));
            let [from, to] = [source, target].map(|address| SocketAddr::new(address.into(), 0));
            FlowKey::new(IpProtocol::ICMPV6, from, to)
                .map_or_else(Vec::new, |key| framed(&key, &message, 255))
        }
        _ => Vec::new(),
    }
}

fn link(ethertype: EtherType) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: THEIRS, destination: OURS, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame
}

/// What comes back to what left: an answer, an error about it, or the same again.
fn answer(last: &[u8], what: u8, step: &[u8]) -> Option<Vec<u8>> {
    let layers = Layers::of(last).ok()?;
    let mut frame = last.to_vec();
    let key = FlowKey::of(&layers, last).or_else(|| FlowKey::hosts(&layers, last))?;
    let quoted = layers.network_packet(last);
    let quoted = &quoted[..quoted.len().min(28 + usize::from(step[2]) * 4)];
    if what == 5 {
        rewrite::tuple(&mut frame, &layers, &Offload::default(), &key.reversed());
    } else {
        let protocol = if quoted[0] >> 4 == 4 { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
        let from = if what == 6 { key.destination() } else { key.source() };
        let [from, to] = [from, key.source()].map(|address| SocketAddr::new(address, 0));
        frame = error(&FlowKey::new(protocol, from, to)?, quoted, step);
    }
    let mut link = ethernet::View::new_unchecked(&mut frame[..]);
    link.set_source(THEIRS);
    link.set_destination(OURS);
    Some(frame)
}

fn build(key: &FlowKey, step: &[u8]) -> Vec<u8> {
    let payload = vec![step[4]; usize::from(step[4]) * 8];
    let (source_port, destination_port) = (key.source_port(), key.destination_port());
    let mut segment;
    match key.protocol() {
        IpProtocol::TCP => {
            let flags = tcp::Flags([0x02, 0x12, 0x10, 0x11, 0x04, 0x18][usize::from(step[4]) % 6]);
            let repr =
                tcp::Repr { source_port, destination_port, flags, window: 1000, ..tcp::Repr::default() };
            segment = vec![0; repr.buffer_len()];
            repr.emit(&mut tcp::View::new_unchecked(&mut segment[..]));
            segment.extend(payload);
            tcp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
        }
        IpProtocol::UDP => {
            segment = vec![0; udp::HEADER_LEN];
            let repr = udp::Repr { source_port, destination_port, payload_len: payload.len() };
            repr.emit(&mut udp::View::new_unchecked(&mut segment[..]));
            segment.extend(payload);
            if step[4] & 1 == 0 || key.source().is_ipv6() {
                udp::View::new_unchecked(&mut segment[..]).fill_checksum(key.source(), key.destination());
            }
        }
        _ => segment = echo(key, &payload, step[4] & 1 != 0),
    }
    framed(key, &segment, step[4])
}

fn echo(key: &FlowKey, data: &[u8], is_reply: bool) -> Vec<u8> {
    let (ident, sequence) = (key.source_port(), 1);
    match key {
        FlowKey::V4(_) => {
            let repr = match is_reply {
                true => icmpv4::Repr::EchoReply { ident, sequence, data },
                false => icmpv4::Repr::EchoRequest { ident, sequence, data },
            };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(&mut icmpv4::View::new_unchecked(&mut bytes[..]));
            bytes
        }
        FlowKey::V6(key) => {
            let repr = match is_reply {
                true => icmpv6::Repr::EchoReply { ident, sequence, data },
                false => icmpv6::Repr::EchoRequest { ident, sequence, data },
            };
            let mut bytes = vec![0; repr.buffer_len()];
            repr.emit(key.source, key.destination, &mut icmpv6::View::new_unchecked(&mut bytes[..]));
            bytes
        }
    }
}

fn error(key: &FlowKey, quoted: &[u8], step: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; icmpv4::HEADER_LEN];
    bytes.extend(quoted);
    let kinds: [u8; 4] = if matches!(key, FlowKey::V4(_)) { [3, 11, 12, 5] } else { [1, 2, 3, 4] };
    bytes[..2].copy_from_slice(&[kinds[usize::from(step[3]) % 4], step[4] % 16]);
    bytes[4..8].copy_from_slice(&step[2..6]);
    match key {
        FlowKey::V4(_) => icmpv4::View::new_unchecked(&mut bytes[..]).fill_checksum(),
        FlowKey::V6(key) => {
            icmpv6::View::new_unchecked(&mut bytes[..]).fill_checksum(key.source, key.destination);
        }
    }
    framed(key, &bytes, 255)
}

/// The segment in a packet and a frame; `shape` chooses fragmentation and what life is left.
fn framed(key: &FlowKey, segment: &[u8], shape: u8) -> Vec<u8> {
    let ethertype = if matches!(key, FlowKey::V4(_)) { EtherType::IPV4 } else { EtherType::IPV6 };
    let mut frame = link(ethertype);
    match key {
        FlowKey::V4(key) => {
            let mut header = [0; ipv4::HEADER_LEN];
            ipv4::Repr {
                ttl: shape,
                ident: 7,
                dont_fragment: shape & 4 != 0,
                more_fragments: shape % 5 == 1,
                fragment_offset: if shape % 5 == 2 { 64 } else { 0 },
                ..ipv4::Repr::new(key.source, key.destination, key.protocol, segment.len())
            }
            .emit(&mut ipv4::View::new_unchecked(&mut header[..]));
            frame.extend(header);
        }
        FlowKey::V6(key) => {
            let is_fragment = matches!(shape % 5, 1 | 2);
            let extra = if is_fragment { ipv6::FRAGMENT_LEN } else { 0 };
            let next_header = if is_fragment { IpProtocol::FRAGMENT } else { key.protocol };
            let repr = ipv6::Repr::new(key.source, key.destination, next_header, extra + segment.len());
            let mut header = [0; ipv6::HEADER_LEN];
            ipv6::Repr { hop_limit: shape, ..repr }.emit(&mut ipv6::View::new_unchecked(&mut header[..]));
            frame.extend(header);
            if is_fragment {
                let place = if shape % 5 == 1 { 1 } else { 64 };
                frame.extend([key.protocol.0, 0, 0, place, 0, 0, 0, 7]);
            }
        }
    }
    frame.extend(segment);
    frame.resize(frame.len().max(60), 0xee);
    frame
}

/// Leaves a whole packet's checksum to the last hop; whether it could.
fn make_partial(frame: &mut [u8], offload: &mut Offload) -> bool {
    let Ok(layers) = Layers::of(frame) else { return false };
    let is_whole = is_right(frame, offload) && layers.fragment.is_none();
    let (Some((source, destination)), Some(l4)) = (layers.addresses(frame), layers.l4) else { return false };
    let offset = match layers.protocol {
        IpProtocol::TCP => tcp::CHECKSUM_OFFSET,
        IpProtocol::UDP => udp::CHECKSUM_OFFSET,
        _ => return false,
    };
    let length = layers.segment(frame).len() as u32;
    let Some(sum) = checksum::pseudo(source, destination, layers.protocol, length) else { return false };
    if !is_whole || layers.l4_payload(frame).len() + 40 < layers.segment(frame).len() {
        return false;
    }
    frame[l4 + offset..l4 + offset + 2].copy_from_slice(&sum.to_be_bytes());
    offload.checksum = Checksum::Partial { start: l4 as u16, offset: offset as u16 };
    true
}

/// Whether every checksum of a frame is right, as far as it can be told from this frame.
fn is_right(frame: &[u8], offload: &Offload) -> bool {
    let Ok(layers) = Layers::of(frame) else { return false };
    let packet = layers.network_packet(frame);
    if layers.network == Network::V4
        && !ipv4::View::new_checked(packet).is_ok_and(|packet| packet.verify_checksum())
    {
        return false;
    }
    let Some((source, destination)) = layers.addresses(frame) else { return true };
    let segment = layers.segment(frame);
    if segment.is_empty() || layers.fragment.is_some() {
        return true;
    }
    if let Checksum::Partial { start, offset } = offload.checksum {
        let (start, offset) = (usize::from(start), usize::from(offset));
        let field = start + offset;
        let held = u16::from_be_bytes([frame[field], frame[field + 1]]);
        let length = segment.len() as u32;
        let pseudo = checksum::pseudo(source, destination, layers.protocol, length);
        return Some(start) == layers.l4 && pseudo == Some(held);
    }
    match (layers.protocol, source, destination) {
        (IpProtocol::TCP, ..) => {
            tcp::View::new_checked(segment).is_ok_and(|view| view.verify_checksum(source, destination))
        }
        (IpProtocol::UDP, ..) => {
            udp::View::new_checked(segment).is_ok_and(|view| view.verify_checksum(source, destination))
        }
        (IpProtocol::ICMP, ..) => icmpv4::View::new_checked(segment).is_ok_and(|view| view.verify_checksum()),
        (IpProtocol::ICMPV6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            icmpv6::View::new_checked(segment).is_ok_and(|view| view.verify_checksum(source, destination))
        }
        _ => true,
    }
}
