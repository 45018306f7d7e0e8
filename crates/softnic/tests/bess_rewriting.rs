//! What BESS's own module tests check of the modules that rewrite, encapsulate, translate, queue and measure, over a real
//! connection: frames into a socket, a module in between, frames out of others.

mod bess_kit;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bess_kit::bench::Bench;
use bess_kit::frames::{self, framed, tagged};
use bess_kit::{Daemon, packed};
use packet::parse::Layers;
use packet::wire::{EtherType, IpProtocol, MacAddr, arp, ethernet, icmpv4, ipv4, tcp};
use prost::Message;
use rustix::net::{RecvFlags, recv};
use softnic::bess::{Config, Flavour, pb};

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

fn ip(ends: [[u8; 4]; 2], protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends.map(IpAddr::from);
    frames::ip(source, destination, protocol, payload)
}

/// Such ends as text, with their ports.
fn text(ends: [[u8; 4]; 2], ports: [u16; 2]) -> [String; 2] {
    [0, 1].map(|end| SocketAddr::from((ends[end], ports[end])).to_string())
}

fn datagram(ends: [[u8; 4]; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let [source, destination] = text(ends, ports);
    frames::datagram([&source, &destination], payload)
}

fn segment(ends: [[u8; 4]; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let [source, destination] = text(ends, ports);
    frames::segment([&source, &destination], tcp::Flags::SYN, payload)
}

fn echo(kind: u8, ends: [[u8; 4]; 2], ident: u16, payload: &[u8]) -> Vec<u8> {
    let [a, b] = ident.to_be_bytes();
    let mut message = [&[kind, 0, 0, 0, a, b, 0, 0][..], payload].concat();
    icmpv4::View::new_unchecked(&mut message[..]).fill_checksum();
    ip(ends, IpProtocol::ICMP, &message)
}

const HOST: [u8; 4] = [172, 16, 0, 2];
const PEER: [u8; 4] = [8, 8, 8, 8];
const NATTED: [u8; 4] = [192, 168, 1, 1];

fn nat() -> Bench {
    let external = pb::nat_arg::ExternalAddress { ext_addr: "192.168.1.1".to_owned(), port_ranges: vec![] };
    Bench::new("NAT", &pb::NatArg { ext_addrs: vec![external] }, 2)
}

/// The port, or ICMP identifier, that the translator has chosen.
fn port(frame: &[u8]) -> u16 {
    let layers = Layers::of(frame).unwrap();
    packet::flow::FlowKey::of(&layers, frame).unwrap().source_port()
}

#[test]
fn nat_translates_udp_tcp_and_icmp_there_and_back() {
    for make in [datagram, segment] {
        let nat = nat();
        let natted = nat.through(0, &make([HOST, PEER], [56_797, 53], b"helloworld"), 1);
        let own = port(&natted);
        assert_eq!(natted, make([NATTED, PEER], [own, 53], b"helloworld"));
        let back = nat.through(1, &make([PEER, NATTED], [53, own], b"helloworld"), 0);
        assert_eq!(back, make([PEER, HOST], [53, 56_797], b"helloworld"));
    }
    let nat = nat();
    let natted = nat.through(0, &echo(8, [HOST, PEER], 0, b"helloworld"), 1);
    let own = port(&natted);
    assert_eq!(natted, echo(8, [NATTED, PEER], own, b"helloworld"));
    let back = nat.through(1, &echo(0, [PEER, NATTED], own, b"helloworld"), 0);
    assert_eq!(back, echo(0, [PEER, HOST], 0, b"helloworld"));
}

#[test]
fn nat_says_what_it_was_told() {
    let range = |begin, end| pb::nat_arg::PortRange { begin, end, suspended: false };
    let arg = pb::NatArg {
        ext_addrs: vec![pb::nat_arg::ExternalAddress {
            ext_addr: "192.168.1.1".to_owned(),
            port_ranges: vec![range(1, 1024), range(1025, 65_535)],
        }],
    };
    let mut nat = Bench::new("NAT", &arg, 2);
    assert_eq!(nat.ask::<_, pb::NatArg>("get_initial_arg", &NO_ARG), arg);
    assert_eq!(nat.ask::<_, pb::EmptyArg>("get_runtime_config", &NO_ARG), NO_ARG);
    assert_eq!(nat.ask::<_, pb::EmptyArg>("set_runtime_config", &NO_ARG), NO_ARG);
    for arg in [
        pb::NatArg::default(),
        pb::NatArg {
            ext_addrs: vec![pb::nat_arg::ExternalAddress {
                ext_addr: "192.168.1.1".to_owned(),
                port_ranges: vec![range(2, 2)],
            }],
        },
    ] {
        let request =
            pb::CreateModuleRequest { mclass: "NAT".into(), arg: Some(packed(&arg)), ..Default::default() };
        assert_eq!(nat.daemon.tell("CreateModule", &request).0, 22);
    }
}

#[test]
fn update_ttl_lowers_and_drops() {
    let with_ttl = |ttl| {
        let mut frame = segment([HOST, PEER], [1, 2], b"x");
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_ttl(ttl);
        ip.fill_checksum();
        frame
    };
    let bench = Bench::new("UpdateTTL", &NO_ARG, 1);
    for (sent, left) in [(2, 1), (64, 63)] {
        // What is dropped does not come between.
        bench.send(0, &with_ttl(0));
        bench.send(0, &with_ttl(1));
        assert_eq!(bench.through(0, &with_ttl(sent), 0), with_ttl(left));
    }
}

#[test]
fn ip_checksum_is_computed_behind_tags() {
    let bench = Bench::new("IPChecksum", &pb::IpChecksumArg::default(), 1);
    let right = datagram([[1, 2, 3, 4], [2, 3, 4, 5]], [10_001, 10_002], b"helloworldhelloworldhelloworld");
    let mut wrong = right.clone();
    wrong[24..26].fill(0);
    let single = |frame: &[u8]| tagged(frame, EtherType::VLAN, 6);
    let double = |frame: &[u8]| tagged(&single(frame), EtherType::QINQ, 5);
    assert_eq!(bench.through(0, &wrong, 0), right);
    assert_eq!(bench.through(0, &single(&wrong), 0), single(&right));
    assert_eq!(bench.through(0, &double(&wrong), 0), double(&right));
    let verifying = Bench::new("IPChecksum", &pb::IpChecksumArg { verify: true, ..Default::default() }, 2);
    assert_eq!(verifying.through(0, &right, 0), right);
    assert_eq!(verifying.through(0, &wrong, 1), wrong);
}

#[test]
fn generic_decap_strips_ethernet() {
    let frame = datagram([[1, 2, 3, 4], [2, 3, 4, 5]], [10_001, 10_002], b"helloworldhelloworldhelloworld");
    for (bytes, rest) in [(14, &frame[14..]), (0, &frame[..]), (1000, &frame[..])] {
        let bench = Bench::new("GenericDecap", &pb::GenericDecapArg { bytes }, 1);
        assert_eq!(bench.through(0, &frame, 0), rest);
    }
}

#[test]
fn ether_encap_takes_its_header_from_metadata() {
    let frame = datagram([[1, 2, 3, 4], [2, 3, 4, 5]], [10_001, 10_002], b"helloworld");
    let attribute = |name: &str, value: &[u8]| pb::set_metadata_arg::Attribute {
        name: name.to_owned(),
        size: value.len() as u64,
        value: Some(pb::set_metadata_arg::attribute::Value::ValueBin(value.to_vec())),
        ..Default::default()
    };
    let attrs = vec![
        attribute("ether_src", &frame[6..12]),
        attribute("ether_dst", &frame[..6]),
        attribute("ether_type", &[8, 0]),
    ];
    let modules = [
        ("SetMetadata", packed(&pb::SetMetadataArg { attrs })),
        ("EtherEncap", packed(&pb::EtherEncapArg {})),
    ];
    let bench = Bench::of(&modules, 1);
    assert_eq!(bench.through(0, &frame[14..], 0), frame);
}

#[test]
fn tags_are_pushed_and_popped() {
    let frame = datagram([HOST, PEER], [10_001, 10_002], b"truculence");
    let mut push = Bench::new("VLANPush", &pb::VlanPushArg { tci: 17 }, 1);
    assert_eq!(push.through(0, &frame, 0), tagged(&frame, EtherType::VLAN, 17));
    push.ask::<_, pb::EmptyArg>("set_tci", &pb::VlanPushArg { tci: 29 });
    let single = tagged(&frame, EtherType::VLAN, 17);
    assert_eq!(push.through(0, &single, 0), tagged(&single, EtherType::QINQ, 29));
    let pop = Bench::new("VLANPop", &pb::VlanPopArg {}, 1);
    assert_eq!(pop.through(0, &tagged(&single, EtherType::QINQ, 29), 0), single);
    assert_eq!(pop.through(0, &single, 0), frame);
    assert_eq!(pop.through(0, &frame, 0), frame);
}

#[test]
fn drr_lets_a_packet_alone_pass() {
    let drr = Bench::new("DRR", &pb::DrrArg { num_flows: 4, max_flow_queue_size: 100, quantum: 0 }, 1);
    for (source, destination) in [([22, 22, 22, 1], HOST), ([22, 22, 22, 1], HOST), ([22, 22, 11, 1], PEER)] {
        let frame = segment([source, destination], [1, 2], b"x");
        assert_eq!(drr.through(0, &frame, 0), frame);
    }
}

#[test]
fn a_buffer_withholds_until_a_batch_is_full() {
    for (flavour, size) in [(Flavour::NetSys, 32u32), (Flavour::Omec, 64)] {
        let mut daemon = Daemon::start(Config { buffers: 4096, flavour, ..Config::default() });
        daemon.module("Buffer", "m0", &pb::BufferArg {});
        let sockets = vec![Bench::attach(&mut daemon, 0, "m0")];
        daemon.must("ResumeAll", &EMPTY);
        let mut bench = Bench { daemon, sockets };
        let frame = |number: u32| datagram([HOST, PEER], [1, 2], &number.to_be_bytes());
        (1..size).for_each(|number| bench.send(0, &frame(number)));
        bench.wait_for(u64::from(size) - 1);
        let nothing = recv(&bench.sockets[0], &mut [0; 8][..], RecvFlags::DONTWAIT);
        assert_eq!(nothing.unwrap_err(), rustix::io::Errno::AGAIN);
        bench.send(0, &frame(size));
        (1..=size).for_each(|number| assert_eq!(bench.receive(0), frame(number)));
    }
}

#[test]
fn arp_requests_are_answered() {
    let mut bench = Bench::new("ArpResponder", &pb::ArpResponderArg::default(), 1);
    let mac: MacAddr = "a0:22:33:44:55:66".parse().unwrap();
    let asker = MacAddr([2, 0x1e, 0x67, 0x9f, 0x4d, 0xae]);
    let add = |ip: &str, mac: &str| pb::ArpResponderArg { ip: ip.to_owned(), mac_addr: mac.to_owned() };
    assert_eq!(bench.command("add", &add("1.2.3.4", "A0:22:33:44:55:66")).error, None);
    for wrong in [add("", "A0:22:33:44:55:66"), add("1.2.3", "A0:22:33:44:55:66"), add("1.2.3.4", "A0:22")] {
        assert_eq!(bench.command("add", &wrong).error.unwrap().code, 22);
    }
    let frame = |link: [MacAddr; 2], repr: arp::Repr| {
        let mut bytes = vec![0; arp::PACKET_LEN];
        repr.emit(&mut arp::View::new_unchecked(&mut bytes[..]));
        let mut frame = framed(EtherType::ARP, &bytes);
        ethernet::Repr { source: link[0], destination: link[1], ethertype: EtherType::ARP }
            .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
        frame
    };
    // The sender in the request need not be the one of the frame.
    let request = arp::Repr {
        operation: arp::Operation::REQUEST,
        sender_mac: MacAddr::UNSPECIFIED,
        sender_ip: [127, 0, 0, 1].into(),
        target_mac: MacAddr::UNSPECIFIED,
        target_ip: [1, 2, 3, 4].into(),
    };
    let answer = bench.through(0, &frame([asker, MacAddr::BROADCAST], request), 0);
    assert_eq!(answer, frame([mac, asker], request.reply(mac)));
}

#[test]
fn measured_latencies_add_up() {
    let template = datagram([HOST, PEER], [1, 2], b"hello");
    let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
    daemon.module("Source", "source", &pb::SourceArg::default());
    daemon.module("Rewrite", "rewrite", &pb::RewriteArg { templates: vec![template] });
    daemon.module("Timestamp", "stamp", &pb::TimestampArg::default());
    daemon.module("Bypass", "bypass", &pb::BypassArg { cycles_per_batch: 100, ..Default::default() });
    let measure = pb::MeasureArg { latency_ns_resolution: 1, latency_ns_max: 100_000, ..Default::default() };
    daemon.module("Measure", "measure", &measure);
    daemon.module("Sink", "sink", &NO_ARG);
    let way = ["source", "rewrite", "stamp", "bypass", "measure", "sink"];
    way.windows(2).for_each(|pair| daemon.connect(pair[0], 0, 0, pair[1]));
    daemon.must("ResumeAll", &EMPTY);
    assert_eq!(daemon.command("measure", "clear", &NO_ARG).error, None);
    let ask = pb::MeasureCommandGetSummaryArg {
        latency_percentiles: vec![0.0, 25.0, 50.0, 99.0, 100.0],
        ..Default::default()
    };
    let start = Instant::now();
    let summary = loop {
        let answer = daemon.command("measure", "get_summary", &ask);
        let data = answer.data.unwrap_or_default().value;
        let summary = pb::MeasureCommandGetSummaryResponse::decode(&*data).unwrap();
        if summary.packets > 10_000 {
            break summary;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{summary:?}");
    };
    let latency = summary.latency.unwrap();
    assert!(latency.count == summary.packets && latency.min_ns > 0 && latency.resolution_ns == 1);
    assert!(latency.percentile_values_ns.is_sorted() && latency.percentile_values_ns.len() == 5);
    let (sum, total) = (latency.avg_ns * latency.count, latency.total_ns);
    assert!(sum.abs_diff(total) * 100 <= total, "{latency:?}");
    let wrong =
        pb::MeasureCommandGetSummaryArg { latency_percentiles: vec![99.0, 1.0], ..Default::default() };
    assert_eq!(daemon.command("measure", "get_summary", &wrong).error.unwrap().code, 22);
}

#[test]
fn fields_and_templates_come_and_go_while_it_runs() {
    let frame = [7u8; 60];
    let mut update = Bench::new("Update", &pb::UpdateArg::default(), 1);
    assert_eq!(update.through(0, &frame, 0), frame);
    let field = |offset, size, value| pb::update_arg::Field { offset, size, value };
    let add = |fields| pb::UpdateArg { fields };
    assert_eq!(update.command("add", &add(vec![field(0, 2, 0x0102), field(59, 1, 9)])).error, None);
    let written = update.through(0, &frame, 0);
    assert_eq!((&written[..3], written[59]), (&[1, 2, 7][..], 9));
    for wrong in [field(-1, 1, 0), field(0, 9, 0), field(0, 1, 256), field(4000, 1, 0)] {
        assert_eq!(update.command("add", &add(vec![wrong])).error.unwrap().code, 22);
    }
    assert_eq!(update.command("clear", &NO_ARG).error, None);
    assert_eq!(update.through(0, &frame, 0), frame);

    let template = |byte: u8| vec![byte; 50];
    let mut rewrite = Bench::new("Rewrite", &pb::RewriteArg { templates: vec![template(1)] }, 1);
    assert_eq!(rewrite.through(0, &frame, 0), template(1));
    assert_eq!(rewrite.command("add", &pb::RewriteArg { templates: vec![template(2)] }).error, None);
    let both = [rewrite.through(0, &frame, 0), rewrite.through(0, &frame, 0)];
    assert!(both.contains(&template(1)) && both.contains(&template(2)));
    let many = pb::RewriteArg { templates: vec![template(3); 31] };
    assert_eq!(rewrite.command("add", &many).error.unwrap().code, 22);
    assert_eq!(rewrite.command("clear", &NO_ARG).error, None);
    assert_eq!(rewrite.through(0, &frame, 0), frame);
}

#[test]
fn a_queue_says_what_it_holds() {
    let arg = pb::QueueArg { size: 8, prefetch: true, backpressure: false };
    let mut queue = Bench::new("Queue", &arg, 1);
    assert_eq!(queue.through(0, &[7; 60], 0), [7; 60]);
    let status: pb::QueueCommandGetStatusResponse = queue.ask("get_status", &pb::QueueCommandGetStatusArg {});
    assert_eq!(
        (status.count, status.size, status.enqueued, status.dequeued, status.dropped),
        (0, 8, 1, 1, 0)
    );
    assert_eq!(queue.ask::<_, pb::QueueArg>("get_initial_arg", &NO_ARG), arg);
    for size in [3, 5, 32_768] {
        assert_eq!(queue.command("set_size", &pb::QueueCommandSetSizeArg { size }).error.unwrap().code, 22);
    }
    assert_eq!(
        queue.command("set_burst", &pb::QueueCommandSetBurstArg { burst: 65 }).error.unwrap().code,
        22
    );
    assert_eq!(queue.command("set_burst", &pb::QueueCommandSetBurstArg { burst: 1 }).error, None);
    let config = pb::QueueArg { size: 16, prefetch: false, backpressure: true };
    assert_eq!(queue.command("set_runtime_config", &config).error, None);
    assert_eq!(queue.ask::<_, pb::QueueArg>("get_runtime_config", &NO_ARG), config);
    assert_eq!(queue.through(0, &[8; 60], 0), [8; 60]);
}
