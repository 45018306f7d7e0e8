//! The body of the fuzz target for frames and operators.

use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, gre, ipv4, ipv6, mpls, udp, vlan, vxlan};
use packet::{Batch, Pool, PoolConfig};

use super::{chain, chain_of};
use crate::frame::{Frame, Stack};
use crate::header::{
    Arp, Ethernet, Follows, Geneve, Gre, Icmpv4, Icmpv6, Ip, Ipv4, Ipv6, Mpls, Push, Tcp, Udp, Vlan, Vxlan,
};
use crate::{Cause, Context, NetworkFunction};

/// Frames that grow and shrink do so by less than this.
const GROWTH_MAX: usize = 96;

/// Typed frames and a chain of all operators over `data` as a frame: nothing panics, no buffer is lost, what is pushed comes
/// out again, and a frame that was reconciled is one.
///
/// # Panics
/// Where one of these does not hold.
pub fn operators(data: &[u8]) {
    let config = PoolConfig { buffers: 16, room: 2048, headroom: 256, ..PoolConfig::default() };
    let pool = Pool::new(config).expect("a pool");
    let frame = || pool.packet(&data[..data.len().min(1500)]).map(Frame::new);
    if let Some(Ok(link)) = frame().map(Frame::parse::<Ethernet>) {
        link_layer(&link, || frame()?.parse::<Ethernet>().ok());
    }
    changed(&pool, data);
    composed(&pool, data);
    assert_eq!(pool.available(), pool.capacity(), "a buffer is lost");
}

/// Reads all that a frame offers, and parses on by every way there is.
fn read<S: Stack, M>(frame: &Frame<S, M>) {
    let _ = (frame.header(), frame.flow_key(), frame.layers());
    assert!(frame.payload().len() <= frame.bytes().len());
}

/// Every header that may follow, on a frame that `again` makes anew each time.
macro_rules! each {
    ($again:expr, $($header:ty => $then:expr),+ $(,)?) => {$(
        if let Some(Ok(parsed)) = $again().map(|frame| frame.parse::<$header>()) {
            read(&parsed);
            let below = parsed.deparse();
            read(&below);
            let then: fn(&dyn Fn() -> Option<_>) = $then;
            then(&|| $again()?.parse::<$header>().ok());
        }
    )+};
}

fn nothing<S: Stack>(_: &dyn Fn() -> Option<Frame<S>>) {}

fn link_layer<S: Stack<Top = Ethernet>>(link: &Frame<S>, again: impl Fn() -> Option<Frame<S>>) {
    read(link);
    each!(again,
        Arp => nothing, Ipv4 => v4, Ipv6 => v6, Ip => either, Mpls => label,
        Vlan => tag,
    );
}

fn tag<S: Stack<Top = Vlan>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Vlan => nothing, Arp => nothing, Mpls => label, Ipv4 => v4, Ipv6 => v6, Ip => either);
}

fn label<S: Stack<Top = Mpls>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Mpls => nothing, Ipv4 => v4, Ipv6 => v6, Ip => either);
}

fn v4<S: Stack<Top = Ipv4>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Tcp => nothing, Udp => datagram, Icmpv4 => nothing, Gre => tunnel, Ipv4 => nothing, Ipv6 => nothing);
}

fn v6<S: Stack<Top = Ipv6>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Tcp => nothing, Udp => datagram, Icmpv6 => nothing, Gre => tunnel, Ipv4 => nothing, Ipv6 => nothing);
}

fn either<S: Stack<Top = Ip>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Tcp => nothing, Udp => nothing);
}

fn tunnel<S: Stack<Top = Gre>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Ipv4 => nothing, Ipv6 => nothing, Ip => nothing, Ethernet => nothing);
}

fn datagram<S: Stack<Top = Udp>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Vxlan => inner_of_vxlan, Geneve => inner_of_geneve);
}

fn inner_of_vxlan<S: Stack<Top = Vxlan>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Ethernet => nothing);
}

fn inner_of_geneve<S: Stack<Top = Geneve>>(again: &dyn Fn() -> Option<Frame<S>>) {
    each!(again, Ethernet => nothing);
}

/// Pushes a header and takes it out again: the bytes around it are those that were there.
fn out_again<S: Stack, H: Push + Follows<S::Top>>(frame: Frame<S>, repr: &H::Repr) {
    let (payload, before) = (frame.payload().to_vec(), frame.bytes().to_vec());
    let Ok(pushed) = frame.push::<H>(repr) else { return };
    assert_eq!(pushed.payload(), payload);
    assert!(pushed.bytes().len() == before.len() + H::length(repr), "{}", H::NAME);
    let removed = pushed.remove();
    assert_eq!((removed.payload(), removed.bytes().len()), (&payload[..], before.len()), "{}", H::NAME);
}

fn changed(pool: &Pool, data: &[u8]) {
    let link = || pool.packet(&data[..data.len().min(1500)]).map(Frame::new)?.parse::<Ethernet>().ok();
    let tag = vlan::Repr { id: 7, priority: 1, drop_eligible: false, ethertype: EtherType::IPV4 };
    let (v4_source, v4_destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let (v6_source, v6_destination) = ([0xfd; 16].into(), [0xfc; 16].into());
    let address = MacAddr([2; 6]);
    let gre = gre::Repr { protocol: EtherType::IPV4, checksum: true, key: Some(1), sequence: None };
    let datagram = udp::Repr { source_port: 1, destination_port: 2, payload_len: 0 };
    if let Some(frame) = link() {
        out_again::<_, Vlan>(frame, &tag);
    }
    if let Some(frame) = link() {
        out_again::<_, Mpls>(frame, &mpls::Repr { label: 5, traffic_class: 0, bottom: true, ttl: 3 });
    }
    if let Some(frame) = link() {
        out_again::<_, Ipv6>(frame, &ipv6::Repr::new(v6_source, v6_destination, IpProtocol::UDP, 0));
    }
    let v4 = ipv4::Repr::new(v4_source, v4_destination, IpProtocol::UDP, 0);
    let outer = |frame: Frame<_>| frame.push::<Ipv4>(&v4).ok();
    if let Some(frame) = link().and_then(outer) {
        out_again::<_, Gre>(frame, &gre);
    }
    if let Some(frame) = link().and_then(outer).and_then(|frame| frame.push::<Udp>(&datagram).ok()) {
        out_again::<_, Vxlan>(frame, &vxlan::Repr { vni: 9 });
    }
    if let Some(frame) = pool.packet(data.get(..data.len().min(1500)).unwrap_or_default()).map(Frame::new) {
        let link = ethernet::Repr { source: address, destination: address, ethertype: EtherType::IPV4 };
        out_again::<_, Ethernet>(frame, &link);
    }
    // Whatever it was, under new headers that are made true it is a datagram.
    if let Some(mut frame) = link().and_then(outer).and_then(|frame| frame.push::<Udp>(&datagram).ok()) {
        let wanted = frame.payload().len() + data.first().map_or(0, |byte| usize::from(*byte) % GROWTH_MAX);
        let fits = frame.resize_payload(wanted).is_ok();
        frame.trim_payload_front(data.get(1).map_or(0, |byte| usize::from(*byte)));
        frame.reconcile();
        let layers = Layers::of(frame.bytes()).expect("a frame made true");
        let view = udp::View::new_checked(layers.segment(frame.bytes())).expect("a datagram made true");
        let right = view.verify_checksum(v4_source.into(), v4_destination.into());
        assert!(right && (!fits || layers.end == frame.bytes().len()), "{view}");
    }
}

/// All operators in one chain, dropped frames among them, under a context that counts.
fn composed(pool: &Pool, data: &[u8]) {
    let mut function = chain()
        .metadata(|frame| frame.bytes().len())
        .map(|frame| {
            let length = *frame.meta();
            frame.with_meta(()).with_meta(length)
        })
        .parse::<Ethernet>()
        .inspect(read)
        .for_each(|frame, ctx| match frame.header().ethertype() {
            EtherType::LLDP => Err(Cause::new("topology").into()),
            _ => {
                ctx.count(Cause::new("looked at"), 0);
                Ok(())
            }
        })
        .filter("empty", |frame| !frame.payload().is_empty())
        .group_by(
            |frame| usize::from(frame.payload()[0] >> 6),
            (
                chain_of().map(|frame: Frame<_, usize>| frame.with_meta(())).deparse(),
                chain_of().map(|frame: Frame<_, usize>| frame.with_meta(())).parse::<Ip>().reset().boxed(),
                chain_of().map(|frame: Frame<_, usize>| frame.with_meta(())).reset(),
            ),
        )
        .emit(|frame, ctx| {
            if let Some(copy) = frame.packet().try_clone() {
                ctx.send(0, copy);
            }
        })
        .filter_map(|frame| match frame.bytes().len() % 5 {
            4 => Err(Cause::new("length").into()),
            _ => Ok(frame),
        })
        .replace(|frame, _| Ok(Frame::new(frame.into_packet())))
        .build();
    let (mut ctx, mut batch) = (Context::new(2), Batch::new());
    let mut frames = 0;
    for piece in data.chunks(data.len().div_ceil(4).max(1)) {
        let Some(packet) = pool.packet(&piece[..piece.len().min(1500)]) else { continue };
        if batch.push(packet).is_ok() {
            frames += 1;
        }
    }
    function.process(0, &mut batch, &mut ctx);
    let mut left = [0u64; 2];
    for gate in 0..2 {
        ctx.drain(gate, |batch| left[usize::from(gate)] += batch.len() as u64);
    }
    // Copies left at gate 0 beside their originals, which went on or were dropped behind.
    assert_eq!(left[1] + ctx.drops().total(), frames, "{:?}", ctx.drops());
}
