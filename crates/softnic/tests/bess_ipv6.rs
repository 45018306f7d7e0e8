//! IPv6 through BESS's classes, over a real connection: what its clients know takes addresses of either version, and where
//! they have no words a field of ours asks for it.

mod bess_kit;

use std::net::Ipv6Addr;

use bess_kit::bench::Bench;
use bess_kit::frames::{datagram, ip};
use bess_kit::{Daemon, packed, receive};
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, MacAddr, ethernet, gtpu, icmpv6, ipv6, udp};
use prost_types::Any;
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};

fn octets(address: &str) -> Vec<u8> {
    address.parse::<Ipv6Addr>().unwrap().octets().to_vec()
}

/// Gives packets these attributes.
fn metadata(values: &[(&str, &[u8])]) -> (&'static str, Any) {
    let attribute = |(name, value): &(&str, &[u8])| pb::set_metadata_arg::Attribute {
        name: (*name).to_owned(),
        size: value.len() as u64,
        value: Some(pb::set_metadata_arg::attribute::Value::ValueBin(value.to_vec())),
        ..Default::default()
    };
    ("SetMetadata", packed(&pb::SetMetadataArg { attrs: values.iter().map(attribute).collect() }))
}

const INNER: [&str; 2] = ["[fd00::1]:1000", "[fd00::2]:2000"];
const TUNNEL: [&str; 2] = ["2001:db8::a", "2001:db8::b"];

/// The datagram of a frame from one end of the tunnel to the other, whose checksum is right if there is one.
fn tunnelled(frame: &[u8]) -> (Layers, udp::View<&[u8]>) {
    let layers = Layers::of(frame).unwrap();
    let [from, to] = TUNNEL.map(|end| end.parse().unwrap());
    assert_eq!(layers.addresses(frame), Some((from, to)));
    let datagram = udp::View::new_checked(layers.segment(frame)).unwrap();
    assert!(datagram.checksum() == 0 || datagram.verify_checksum(from, to));
    (layers, datagram)
}

#[test]
fn vxlan_tunnels_are_of_ipv6_if_asked_for() {
    let inner = datagram(INNER, b"helloworld");
    let [from, to] = TUNNEL.map(octets);
    let attributes = metadata(&[
        ("tun_ip_src", &from),
        ("tun_ip_dst", &to),
        ("tun_id", &[0, 0, 0, 77]),
        ("ether_src", &[2, 0, 0, 0, 0, 3]),
        ("ether_dst", &[2, 0, 0, 0, 0, 4]),
    ]);
    let modules = [
        attributes,
        ("VXLANEncap", packed(&pb::VxlanEncapArg { dstport: 4789, ipv6: true })),
        ("IPEncap", packed(&pb::IpEncapArg { ipv6: true })),
        ("EtherEncap", packed(&pb::EtherEncapArg {})),
    ];
    let outer = Bench::of(&modules, 1).through(0, &inner, 0);
    let (layers, view) = tunnelled(&outer);
    assert_eq!((layers.network, view.destination_port()), (Network::V6, 4789));
    assert_eq!(ethernet::View::new_checked(&outer[..]).unwrap().destination(), MacAddr([2, 0, 0, 0, 0, 4]));
    assert_eq!(view.payload()[4..7], [0, 0, 77]);
    let decap = Bench::new("VXLANDecap", &pb::VxlanDecapArg { ipv6: true }, 1);
    assert_eq!(decap.through(0, &outer, 0), inner);
}

#[test]
fn gtp_tunnels_are_of_ipv6_if_asked_for() {
    let inner = datagram(INNER, b"helloworld");
    let [from, to] = TUNNEL.map(octets);
    let attributes = metadata(&[
        ("action", &[1]),
        ("tunnel_out_src_ip6addr", &from),
        ("tunnel_out_dst_ip6addr", &to),
        ("tunnel_out_teid", &77u32.to_ne_bytes()),
        ("tunnel_out_udp_port", &2152u16.to_ne_bytes()),
        ("qfi", &[9]),
    ]);
    let encap = ("GtpuEncap", packed(&pb::GtpuEncapArg { add_psc: true, ipv6: true }));
    let outer = Bench::of(&[attributes, encap], 2).through(0, &inner, 1);
    let (_, view) = tunnelled(&outer);
    assert_ne!(view.checksum(), 0, "IPv6 wants one");
    assert_eq!(gtpu::View::new_checked(view.payload()).unwrap().teid(), 77);
    assert_eq!(Bench::new("GtpuDecap", &pb::EmptyArg {}, 1).through(0, &outer, 0), inner);
}

#[test]
fn the_gtp_parser_says_addresses_of_ipv6_if_asked_for() {
    let mut daemon = Daemon::start(Config { buffers: 1024, ..Config::default() });
    let socket = daemon.socket("p");
    daemon.module("PortInc", "in", &pb::PortIncArg { port: "p".to_owned(), prefetch: false });
    daemon.module("GtpuParser", "parser", &pb::GtpuParserArg { ipv6: true });
    let field = |name: &str, size| pb::generic_encap_arg::EncapField {
        size,
        insertion: Some(pb::generic_encap_arg::encap_field::Insertion::Attribute(name.to_owned())),
    };
    let fields = vec![field("dst_port", 2), field("src_ip", 4), field("src_ip6", 16), field("dst_ip6", 16)];
    daemon.module("GenericEncap", "tell", &pb::GenericEncapArg { fields });
    daemon.module("PortOut", "out", &pb::PortOutArg { port: "p".to_owned() });
    daemon.connect("in", 0, 0, "parser");
    daemon.connect("parser", 1, 0, "tell");
    daemon.connect("tell", 0, 0, "out");
    daemon.must("ResumeAll", &pb::EmptyRequest {});
    let frame = datagram(INNER, b"helloworld");
    send(&socket, &frame, SendFlags::empty()).unwrap();
    let told = receive(&socket);
    assert_eq!(told[..6], [&2000u16.to_be_bytes()[..], &[0xff; 4]].concat());
    assert_eq!(told[6..38], [octets("fd00::1"), octets("fd00::2")].concat());
    assert_eq!(told[38..], frame);
}

#[test]
fn paths_to_stations_of_ipv6_are_measured() {
    let mut bench = Bench::new("GtpuPathMonitoring", &pb::EmptyArg {}, 1);
    let station = |gnb_ip6: Vec<u8>| pb::GtpuPathMonitoringCommandAddDeleteArg { gnb_ip: 0, gnb_ip6 };
    let _: pb::EmptyArg = bench.ask("add", &station(octets("fd00::5")));
    assert_eq!(bench.command("add", &station(vec![1; 4])).error.unwrap().code, 22);
    let both = pb::GtpuPathMonitoringCommandAddDeleteArg { gnb_ip: 7, ..station(octets("fd00::5")) };
    assert_eq!(bench.command("add", &both).error.unwrap().code, 22);
    let echo = |message, ends, sequence| {
        let repr =
            gtpu::Repr { message, teid: 0, sequence: Some(sequence), pdu_session: None, payload_len: 0 };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(ends, &bytes)
    };
    let own = "[fd00::9]:2152";
    let asked = bench.through(0, &echo(gtpu::Message::ECHO_REQUEST, [own, "[::]:2152"], 99), 0);
    assert_eq!(asked, echo(gtpu::Message::ECHO_REQUEST, [own, "[fd00::5]:2152"], 0));
    bench.send(0, &echo(gtpu::Message::ECHO_RESPONSE, ["[fd00::5]:2152", own], 0));
    bench.wait_for(2);
    let read: pb::GtpuPathMonitoringCommandReadResponse =
        bench.ask("read", &pb::GtpuPathMonitoringCommandReadArg { clear: false });
    let said: Vec<_> = read.statistics.iter().map(|one| (one.gnb_ip, &one.gnb_ip6[..], one.count)).collect();
    assert_eq!(said, [(0, &octets("fd00::5")[..], 1)]);
}

#[test]
fn packets_of_ipv6_are_cut_if_asked_for_and_put_together() {
    let payload: Vec<u8> = (0..1700u32).map(|at| at as u8).collect();
    let frame = datagram(INNER, &payload);
    let uncut = Bench::new("IPFrag", &pb::IpFragArg { mtu: 1518, ipv6: false }, 2);
    assert_eq!(uncut.through(0, &frame, 0), frame);
    let mut frag = Bench::new("IPFrag", &pb::IpFragArg { mtu: 1518, ipv6: true }, 2);
    let arg: pb::IpFragArg = frag.ask("get_eth_mtu", &pb::EmptyArg {});
    assert_eq!(arg.mtu, 1518);
    frag.send(0, &frame);
    let defrag = Bench::new("IPDefrag", &pb::IpDefragArg { num_flows: 100, numa: -1 }, 2);
    for _ in 0..2 {
        let fragment = frag.receive(1);
        assert!(fragment.len() <= 1514 && Layers::of(&fragment).unwrap().fragment.is_some());
        defrag.send(0, &fragment);
    }
    assert_eq!(defrag.receive(1), frame);
}

#[test]
fn nat_gives_each_version_an_address_of_its_own() {
    let external =
        |ext_addr: &str| pb::nat_arg::ExternalAddress { ext_addr: ext_addr.to_owned(), port_ranges: vec![] };
    let arg = pb::NatArg { ext_addrs: vec![external("2001:db8::1"), external("192.0.2.1")] };
    let nat = Bench::new("NAT", &arg, 2);
    let peer = "[2001:db8:f::8]:53";
    let natted = nat.through(0, &datagram(["[fd00::2]:1000", peer], b"hello"), 1);
    let port = FlowKey::of(&Layers::of(&natted).unwrap(), &natted).unwrap().source_port();
    let outside = format!("[2001:db8::1]:{port}");
    assert_eq!(natted, datagram([&outside, peer], b"hello"));
    let back = nat.through(1, &datagram([peer, &outside], b"world"), 0);
    assert_eq!(back, datagram([peer, "[fd00::2]:1000"], b"world"));
}

fn field(offset: u32, num_bytes: u32) -> pb::Field {
    pb::Field { position: Some(pb::field::Position::Offset(offset)), num_bytes }
}

fn data(bytes: &[u8]) -> pb::FieldData {
    pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueBin(bytes.to_vec())) }
}

#[test]
fn exact_match_knows_flows_of_ipv6_and_gives_them_addresses() {
    let next_hop = |name: &str| pb::Field {
        position: Some(pb::field::Position::AttrName(name.to_owned())),
        num_bytes: 16,
    };
    let places = [(20, 1), (22, 16), (38, 16), (54, 2), (56, 2)];
    let arg = pb::ExactMatchArg {
        fields: places.map(|(offset, bytes)| field(offset, bytes)).to_vec(),
        values: vec![next_hop("hop")],
        ..Default::default()
    };
    let (flow, other) = (datagram(INNER, b"x"), datagram([INNER[0], "[fd00::3]:2000"], b"x"));
    let encap = pb::generic_encap_arg::EncapField {
        size: 16,
        insertion: Some(pb::generic_encap_arg::encap_field::Insertion::Attribute("hop".to_owned())),
    };
    let modules = [
        ("ExactMatch", packed(&arg)),
        ("GenericEncap", packed(&pb::GenericEncapArg { fields: vec![encap] })),
    ];
    let mut bench = Bench::of(&modules, 1);
    let fields = places.map(|(offset, bytes)| data(&flow[offset as usize..][..bytes as usize])).to_vec();
    let values = vec![data(&octets("2001:db8::5"))];
    let add = pb::ExactMatchCommandAddArg { gate: 0, fields, values };
    let _: pb::EmptyArg = bench.ask("add", &add);
    let config: pb::ExactMatchConfig = bench.ask("get_runtime_config", &pb::EmptyArg {});
    assert_eq!(config.rules, [add]);
    // What is no such flow is dropped, and does not come between.
    bench.send(0, &other);
    assert_eq!(bench.through(0, &flow, 0), [&octets("2001:db8::5")[..], &flow].concat());
}

#[test]
fn wildcard_match_knows_prefixes_of_ipv6() {
    let arg = pb::WildcardMatchArg { fields: vec![field(38, 16)], ..Default::default() };
    let mut bench = Bench::new("WildcardMatch", &arg, 3);
    for (prefix, length, gate) in [("fd00::", 16, 1), ("fd00:0:0:7::", 64, 2)] {
        let mask = (u128::MAX << (128 - length)).to_be_bytes();
        let add = pb::WildcardMatchCommandAddArg {
            gate,
            priority: length.into(),
            values: vec![data(&octets(prefix))],
            masks: vec![data(&mask)],
            valuesv: vec![],
        };
        let _: pb::EmptyArg = bench.ask("add", &add);
    }
    let _: pb::EmptyArg =
        bench.ask("set_default_gate", &pb::WildcardMatchCommandSetDefaultGateArg { gate: 0 });
    for (to, gate) in [("[fd00:0:0:8::9]:5", 1), ("[fd00:0:0:7::9]:5", 2), ("[fd01::9]:5", 0)] {
        let frame = datagram([INNER[0], to], b"x");
        assert_eq!(bench.through(0, &frame, gate), frame, "{to}");
    }
}

#[test]
fn a_solicitation_is_answered_as_a_request_of_arp_is() {
    use packet::wire::ndp;
    let mut bench = Bench::new("ArpResponder", &pb::EmptyArg {}, 1);
    let station = pb::ArpResponderArg { ip: "fd00::7".to_owned(), mac_addr: "02:00:00:00:00:07".to_owned() };
    let _: pb::EmptyArg = bench.ask("add", &station);
    let [asker, target]: [Ipv6Addr; 2] = ["fd00::1", "fd00::7"].map(|address| address.parse().unwrap());
    let message = |repr: ndp::Repr, [from, to]: [Ipv6Addr; 2]| {
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(from, to, &mut icmpv6::View::new_unchecked(&mut bytes[..]));
        let mut frame = ip(from.into(), to.into(), IpProtocol::ICMPV6, &bytes);
        ipv6::View::new_unchecked(&mut frame[14..]).set_hop_limit(255);
        frame
    };
    let source_mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
    let asked = message(
        ndp::Repr::NeighbourSolicitation { target, source_mac },
        [asker, ipv6::solicited_node(target)],
    );
    let answer = bench.through(0, &asked, 0);
    let layers = Layers::of(&answer).unwrap();
    assert_eq!(layers.addresses(&answer), Some((target.into(), asker.into())));
    let view = icmpv6::View::new_checked(layers.segment(&answer)).unwrap();
    assert!(view.verify_checksum(target, asker));
    assert_eq!(view.kind().0, 136);
}
