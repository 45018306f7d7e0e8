//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`.
//!
//! Each takes any bytes, calls every accessor, iterator, setter and `Display` there is, and asserts that what is read can
//! be written and reads back the same. Not for other uses.

pub mod bounded;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::{FlowHasher, FlowKey};
use crate::parse::Layers;
use crate::pcap::{self, Capture, LinkType, PcapError};
use crate::wire::{EtherType, IpProtocol, MacAddr};
use crate::wire::{
    arp, bpdu, dhcpv4, dns, eapol, ethernet, geneve, gre, gtpu, icmpv4, icmpv6, igmp, ipv4, ipv6, llc, lldp,
    mpls, ndp, rip, tcp, udp, vlan, vxlan,
};
use crate::{checksum, pcapng};

const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Every wire view over `data`, and over what lies at the offsets the layer parser finds in it.
pub fn wire(data: &[u8]) {
    views(data);
    for layers in [Layers::of(data), Layers::of_ip(data), Layers::of_quoted(data)].into_iter().flatten() {
        layers_hold(&layers, data);
        for at in [Some(layers.l3), layers.l4, layers.payload].into_iter().flatten() {
            views(&data[at.min(layers.end)..layers.end]);
        }
    }
}

fn layers_hold(layers: &Layers, data: &[u8]) {
    assert!(layers.l3 <= layers.end && layers.end <= data.len(), "{layers:?}");
    assert!(layers.l4.is_none_or(|l4| (layers.l3..=layers.end).contains(&l4)), "{layers:?}");
    assert!(
        layers.payload.is_none_or(|payload| (layers.l4.unwrap()..=layers.end).contains(&payload)),
        "{layers:?}"
    );
    assert!(layers.fragment.is_none_or(|fragment| fragment.offset == 0) || layers.l4.is_none(), "{layers:?}");
    black_box((layers.network_packet(data), layers.segment(data), layers.l4_payload(data)));
    black_box(layers.segment_mut(&mut data.to_vec()).len());
    for key in [FlowKey::of(layers, data), FlowKey::hosts(layers, data)].into_iter().flatten() {
        assert_eq!(key.reversed().reversed(), key);
        assert_eq!(key.symmetric(), key.reversed().symmetric());
        black_box((key.to_string(), FlowHasher::new(1).hash(&key)));
    }
}

fn views(data: &[u8]) {
    link(data);
    ip4(data);
    ip6(data);
    transport(data);
    icmp(data);
    tunnels(data);
    names(data);
    control(data);
    neighbours(data);
}

fn link(data: &[u8]) {
    if let Ok(view) = ethernet::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        let repr = ethernet::Repr::parse(&view);
        let mut out = data.to_vec();
        let mut view = ethernet::View::new_checked(&mut out[..]).unwrap();
        view.payload_mut().fill(0);
        repr.emit(&mut view);
        assert_eq!(ethernet::Repr::parse(&view), repr);
    }
    if let Ok(view) = vlan::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        let repr = vlan::Repr::parse(&view);
        let mut out = data.to_vec();
        let mut view = vlan::View::new_checked(&mut out[..]).unwrap();
        repr.emit(&mut view);
        view.payload_mut().fill(0);
        assert_eq!(vlan::Repr::parse(&view), repr);
    }
    let tags = vlan::Tags::new(EtherType::VLAN, data);
    assert!(tags.count() <= vlan::TAGS_MAX + 1);
    if let Ok(view) = mpls::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        let repr = mpls::Repr::parse(&view);
        let mut out = data.to_vec();
        let mut view = mpls::View::new_checked(&mut out[..]).unwrap();
        view.set_ttl(0);
        repr.emit(&mut view);
        view.payload_mut().fill(0);
        assert_eq!(mpls::Repr::parse(&view), repr);
    }
    let mut labels = mpls::Labels::new(data);
    assert!(labels.by_ref().count() <= mpls::LABELS_MAX + 1);
    black_box(labels.guess());
    if let Ok(view) = arp::View::new_checked(data) {
        let repr = arp::Repr::parse(&view);
        black_box((view.to_string(), repr.reply(MacAddr::BROADCAST)));
        let mut out = vec![0; repr.buffer_len()];
        repr.emit(&mut arp::View::new_unchecked(&mut out[..]));
        assert_eq!(arp::Repr::parse(&arp::View::new_checked(&out[..]).unwrap()), repr);
    }
}

fn ip4(data: &[u8]) {
    if let Ok(view) = ipv4::View::new_quoted(data) {
        black_box((view.to_string(), view.packet(), view.payload(), view.verify_checksum(), view.checksum()));
        assert!(view.options().count() <= 40);
    }
    let Ok(view) = ipv4::View::new_checked(data) else { return };
    let repr = ipv4::Repr::parse(&view);
    assert_eq!(view.payload().len(), repr.payload_len);
    let mut out = vec![0; repr.buffer_len() + repr.payload_len];
    repr.emit(&mut ipv4::View::new_unchecked(&mut out[..]));
    let again = ipv4::View::new_checked(&out[..]).unwrap();
    assert!(again.verify_checksum());
    assert_eq!(ipv4::Repr::parse(&again), repr);

    let mut out = data.to_vec();
    let mut view = ipv4::View::new_checked(&mut out[..]).unwrap();
    view.fill_checksum();
    assert!(view.verify_checksum());
    view.decrement_ttl();
    view.translate_source(V4);
    view.translate_destination(V4);
    assert!(view.verify_checksum());
    // Setters that lie shorten what is read; nothing panics.
    for (header_len, total_len) in [(60, 0), (0, 65_535), (20, 10)] {
        view.set_header_len(header_len);
        view.set_total_len(total_len);
        view.payload_mut().fill(1);
        view.options_mut().fill(7);
        view.fill_checksum();
        black_box((view.to_string(), view.payload(), view.packet()));
    }
}

fn ip6(data: &[u8]) {
    if let Ok(view) = ipv6::View::new_quoted(data) {
        black_box((view.to_string(), view.packet(), view.payload()));
        if let Ok(upper) = view.upper() {
            assert!(upper.offset <= view.packet().len());
        }
        for extension in view.extensions().flatten() {
            if let ipv6::Extension::HopByHop(options) | ipv6::Extension::Destination(options) = extension {
                assert!(options.count() <= 2048);
            }
        }
        assert!(view.extensions().count() <= ipv6::EXTENSIONS_MAX + 1);
    }
    let Ok(view) = ipv6::View::new_checked(data) else { return };
    let repr = ipv6::Repr::parse(&view);
    let mut out = vec![0; repr.buffer_len() + repr.payload_len];
    repr.emit(&mut ipv6::View::new_unchecked(&mut out[..]));
    assert_eq!(ipv6::Repr::parse(&ipv6::View::new_checked(&out[..]).unwrap()), repr);
    let mut out = data.to_vec();
    let mut view = ipv6::View::new_checked(&mut out[..]).unwrap();
    view.decrement_hop_limit();
    view.payload_mut().fill(0);
    view.set_payload_len(usize::MAX);
    view.set_next_header(IpProtocol::HOP_BY_HOP);
    black_box((view.to_string(), view.upper().is_ok(), view.payload_mut().len()));
}

fn transport(data: &[u8]) {
    let addresses: [(IpAddr, IpAddr); 3] =
        [(V4.into(), V4.into()), (V6.into(), V6.into()), (V4.into(), V6.into())];
    if let Ok(view) = udp::View::new_checked(data) {
        black_box((view.to_string(), view.payload(), view.checksum()));
        let repr = udp::Repr::parse(&view);
        let mut out = data.to_vec();
        let mut view = udp::View::new_checked(&mut out[..]).unwrap();
        repr.emit(&mut view);
        assert_eq!(udp::Repr::parse(&view), repr);
        for (index, (source, destination)) in addresses.into_iter().enumerate() {
            view.fill_checksum(source, destination);
            assert_eq!(view.verify_checksum(source, destination), index < 2 || source.is_ipv4());
        }
        view.set_length(3);
        view.payload_mut().fill(0);
        black_box((view.to_string(), view.payload()));
    }
    if let Ok(view) = tcp::View::new_checked(data) {
        black_box((view.to_string(), view.payload(), view.sequence_len()));
        assert!(view.options().count() <= 40);
        if let Ok(repr) = tcp::Repr::parse(&view) {
            let mut out = vec![0; repr.buffer_len()];
            repr.emit(&mut tcp::View::new_unchecked(&mut out[..]));
            assert_eq!(tcp::Repr::parse(&tcp::View::new_checked(&out[..]).unwrap()), Ok(repr));
        }
        let mut out = data.to_vec();
        let mut view = tcp::View::new_checked(&mut out[..]).unwrap();
        for (index, (source, destination)) in addresses.into_iter().enumerate() {
            view.fill_checksum(source, destination);
            assert_eq!(view.verify_checksum(source, destination), index < 2);
        }
        view.options_mut().fill(8);
        view.payload_mut().fill(0);
        view.set_header_len_flags(60, tcp::Flags(0xffff));
        black_box((view.to_string(), view.payload().len(), view.options_mut().len()));
    }
}

fn icmp(data: &[u8]) {
    if let Ok(view) = icmpv4::View::new_checked(data) {
        black_box((view.to_string(), view.payload(), view.rest(), view.verify_checksum()));
        if let Ok(quoted) = view.quoted() {
            black_box(quoted.to_string());
        }
        if let Ok(repr) = icmpv4::Repr::parse(&view) {
            let mut out = vec![0; repr.buffer_len()];
            repr.emit(&mut icmpv4::View::new_unchecked(&mut out[..]));
            let mut again = icmpv4::View::new_checked(&mut out[..]).unwrap();
            assert!(again.verify_checksum());
            assert_eq!(icmpv4::Repr::parse(&again), Ok(repr));
            again.set_ident(1);
            again.payload_mut().fill(0);
        }
    }
    if let Ok(view) = icmpv6::View::new_checked(data) {
        black_box((
            view.to_string(),
            view.payload(),
            view.ident(),
            view.sequence(),
            view.verify_checksum(V6, V6),
        ));
        if let Ok(quoted) = view.quoted() {
            black_box(quoted.to_string());
        }
        if let Ok(repr) = icmpv6::Repr::parse(&view) {
            let mut out = vec![0; repr.buffer_len()];
            repr.emit(V6, V6, &mut icmpv6::View::new_unchecked(&mut out[..]));
            assert_eq!(icmpv6::Repr::parse(&icmpv6::View::new_checked(&out[..]).unwrap()), Ok(repr));
        }
        if let Ok(repr) = ndp::Repr::parse(&view) {
            let mut out = vec![0; repr.buffer_len()];
            repr.emit(V6, V6, &mut icmpv6::View::new_unchecked(&mut out[..]));
            let again = icmpv6::View::new_checked(&out[..]).unwrap();
            assert!(again.verify_checksum(V6, V6));
            assert_eq!(ndp::Repr::parse(&again), Ok(repr));
        }
        assert!(ndp::Options::new(view.body()).count() <= ndp::OPTIONS_MAX + 1);
        let mut out = data.to_vec();
        let mut view = icmpv6::View::new_checked(&mut out[..]).unwrap();
        view.set_ident(1);
        view.set_rest(1);
        view.payload_mut().fill(0);
        view.set_kind(icmpv6::Type::ECHO_REQUEST, 0);
        black_box(view.to_string());
    }
}

fn tunnels(data: &[u8]) {
    if let Ok(view) = gre::View::new_checked(data) {
        black_box((view.to_string(), view.payload(), view.verify_checksum()));
        let repr = gre::Repr::parse(&view);
        let mut out = vec![0; repr.buffer_len() + view.payload().len()];
        let mut again = gre::View::new_unchecked(&mut out[..]);
        repr.emit(&mut again);
        again.payload_mut().copy_from_slice(view.payload());
        again.fill_checksum();
        assert!(again.verify_checksum());
        assert_eq!(gre::Repr::parse(&gre::View::new_checked(&out[..]).unwrap()), repr);
    }
    if let Ok(view) = gtpu::View::new_checked(data) {
        let repr = gtpu::Repr::parse(&view);
        black_box(view.to_string());
        let mut out = vec![0; repr.buffer_len() + repr.payload_len];
        let mut again = gtpu::View::new_unchecked(&mut out[..]);
        repr.emit(&mut again);
        again.payload_mut().copy_from_slice(view.payload());
        again.set_sequence(repr.sequence.unwrap_or(0));
        assert_eq!(gtpu::Repr::parse(&gtpu::View::new_checked(&out[..]).unwrap()), repr);
    }
    if let Ok(view) = vxlan::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        let repr = vxlan::Repr::parse(&view);
        let mut out = data.to_vec();
        repr.emit(&mut vxlan::View::new_unchecked(&mut out[..]));
        let mut again = vxlan::View::new_checked(&mut out[..]).unwrap();
        again.payload_mut().fill(0);
        assert_eq!(vxlan::Repr::parse(&again), repr);
    }
    if let Ok(view) = geneve::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        assert!(view.options().count() <= 64);
        let repr = geneve::Repr::parse(&view);
        let mut out = data.to_vec();
        let mut again = geneve::View::new_checked(&mut out[..]).unwrap();
        repr.emit(&mut again);
        assert_eq!(geneve::Repr::parse(&again), repr);
        again.payload_mut().fill(0);
        let mut at = 0;
        for option in view.options().flatten() {
            at += option.emit(&mut again.options_mut()[at..]).unwrap();
        }
        assert!(again.options().flatten().eq(view.options().flatten()));
    }
}

fn names(data: &[u8]) {
    let Ok(view) = dns::View::new_checked(data) else { return };
    black_box((view.to_string(), view.truncated(), view.opcode()));
    for question in view.questions().flatten() {
        assert!(question.name.ends_with(&dns::Name::ROOT));
        black_box((question.name.to_lower(), question.name.labels().count()));
    }
    if let Ok(records) = view.records() {
        assert!(records.clone().count() <= dns::RECORDS_MAX + 1);
        assert!(records.flatten().all(|record| record.address().is_none() || !record.data.is_empty()));
    }
    if let Ok(query) = dns::Query::parse(data) {
        let mut out = [0; dns::UDP_LEN];
        let length = query.emit(&mut out).unwrap();
        assert_eq!(dns::Query::parse(&out[..length]), Ok(query));
    }
    let addresses = [IpAddr::from(V4), IpAddr::from(V6)].repeat(40);
    for answer in [dns::Answer::Addresses(&addresses), dns::Answer::NoData, dns::Answer::NoName] {
        let mut out = [0; dns::UDP_LEN_MAX];
        if let Ok(length) = (dns::Response { query: data, answer, ttl_s: 1 }).emit(&mut out) {
            let response = dns::View::new_checked(&out[..length]).unwrap();
            assert!(response.is_response() && response.id() == view.id());
            assert!(response.records().unwrap().all(|record| record.is_ok()));
        }
    }
}

/// What stations and bridges tell each other.
fn control(data: &[u8]) {
    if let Ok(view) = dhcpv4::View::new_checked(data) {
        black_box((view.to_string(), view.option(dhcpv4::option::SERVER)));
        assert!(view.options().count() <= dhcpv4::OPTIONS_MAX + 1);
        if let Ok(repr) = dhcpv4::Repr::parse(&view) {
            let mut out = vec![0; repr.buffer_len()];
            repr.emit(&mut dhcpv4::View::new_unchecked(&mut out[..]));
            let again = dhcpv4::View::new_checked(&out[..]).unwrap();
            assert_eq!(dhcpv4::Repr::parse(&again), Ok(repr));
        }
    }
    if let Ok(view) = lldp::View::new_checked(data) {
        assert!(view.tlvs().count() <= lldp::TLVS_MAX && view.tlvs().all(|tlv| tlv.is_ok()));
        let repr = lldp::Repr::parse(&view).unwrap();
        let mut out = vec![0; repr.buffer_len()];
        let mut again = lldp::View::new_unchecked(&mut out[..]);
        repr.emit(&mut again).unwrap();
        let mut at = 0;
        for tlv in view.optional().flatten() {
            at += tlv.emit(&mut again.optional_mut()[at..]).unwrap();
        }
        let again = lldp::View::new_checked(&out[..]).unwrap();
        assert_eq!(lldp::Repr::parse(&again), Ok(repr));
        assert!(again.tlvs().eq(view.tlvs()));
        assert_eq!(again.to_string().is_empty(), view.to_string().is_empty());
    }
}

/// What hosts and routers say of groups and routes, bridges of trees, ports of who may use them.
fn neighbours(data: &[u8]) {
    if let Ok(view) = eapol::View::new_checked(data) {
        black_box(view.to_string());
        let repr = eapol::Repr::parse(&view);
        let mut out = vec![0; repr.buffer_len()];
        let mut again = eapol::View::new_unchecked(&mut out[..]);
        repr.emit(&mut again);
        again.body_mut().copy_from_slice(view.body());
        assert_eq!(eapol::Repr::parse(&eapol::View::new_checked(&out[..]).unwrap()), repr);
    }
    if let Ok(eap) = eapol::Eap::parse(data) {
        let mut out = vec![0; eap.buffer_len()];
        assert_eq!(eap.emit(&mut out), Ok(out.len()));
        assert_eq!(eapol::Eap::parse(&out), Ok(eap));
    }
    if let Ok(view) = igmp::View::new_checked(data) {
        black_box((view.to_string(), view.verify_checksum()));
        for record in view.records().flatten() {
            let mut out = vec![0; record.buffer_len()];
            assert_eq!(record.emit(&mut out), Ok(out.len()));
        }
        assert!(view.records().count() <= igmp::RECORDS_MAX + 1);
        if let Ok(repr) = igmp::Repr::parse(&view) {
            let mut out = data.to_vec();
            repr.emit(&mut igmp::View::new_unchecked(&mut out[..]));
            let again = igmp::View::new_checked(&out[..]).unwrap();
            assert!(again.verify_checksum());
            assert_eq!(igmp::Repr::parse(&again), Ok(repr));
        }
    }
    if let Ok(view) = rip::View::new_checked(data) {
        black_box(view.to_string());
        let repr = rip::Repr::parse(&view);
        let mut out = vec![0; repr.buffer_len()];
        let mut again = rip::View::new_unchecked(&mut out[..]);
        repr.emit(&mut again);
        let entries: Vec<_> = view.entries().flatten().collect();
        entries.iter().enumerate().for_each(|(index, entry)| again.set_entry(index, entry));
        let again = rip::View::new_checked(&out[..]).unwrap();
        assert_eq!(rip::Repr::parse(&again), repr);
        assert!(again.entries().flatten().take(entries.len()).eq(entries));
    }
    if let Ok(view) = llc::View::new_checked(data) {
        black_box((view.to_string(), view.payload()));
        let repr = llc::Repr::parse(&view);
        assert_eq!(repr.buffer_len(), view.header_len());
        let mut out = vec![0; repr.buffer_len()];
        repr.emit(&mut llc::View::new_unchecked(&mut out[..]));
        assert_eq!(llc::Repr::parse(&llc::View::new_checked(&out[..]).unwrap()), repr);
    }
    if let Ok(view) = bpdu::View::new_checked(data) {
        black_box(view.to_string());
        let repr = bpdu::Repr::parse(&view);
        let mut out = vec![0; repr.buffer_len()];
        repr.emit(&mut bpdu::View::new_unchecked(&mut out[..]));
        assert_eq!(bpdu::Repr::parse(&bpdu::View::new_checked(&out[..]).unwrap()), repr);
    }
}

/// Both capture readers over `data`; what they read is written in both formats and reads back the same.
pub fn pcap(data: &[u8]) {
    let mut records = Vec::new();
    let outcome = Capture::new(data).and_then(|mut capture| {
        while let Some(record) = capture.next()? {
            assert!(
                record.data.len() <= pcap::RECORD_MAX && record.original_len as usize >= record.data.len()
            );
            records.push((record.timestamp_ns, record.original_len, record.data.to_vec()));
        }
        assert!(capture.next()?.is_none());
        Ok(())
    });
    if let Err(wrong) = outcome {
        assert!(!matches!(wrong, PcapError::Io { .. } | PcapError::Open { .. }), "{wrong}");
        black_box(wrong.to_string());
    }
    black_box(pcapng::Reader::new(data).map(|reader| reader.skipped()).ok());
    black_box(pcap::Reader::new(data).map(|reader| (reader.link(), reader.snaplen())).ok());

    let mut old = pcap::Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    let mut new = pcapng::Writer::new(Vec::new()).unwrap();
    let interface = new.add_interface("any", LinkType::ETHERNET).unwrap();
    records.retain(|(timestamp_ns, original_len, data)| {
        new.write_cut(interface, *timestamp_ns, data, *original_len).unwrap();
        old.write_cut(*timestamp_ns, data, *original_len).is_ok()
    });
    let old = old.into_inner().unwrap();
    let mut again = Capture::new(&old[..]).unwrap();
    for (timestamp_ns, original_len, data) in &records {
        let record = again.next().unwrap().unwrap();
        assert_eq!(
            (record.timestamp_ns, record.original_len, record.data),
            (*timestamp_ns, *original_len, &data[..])
        );
    }
    let new = new.into_inner().unwrap();
    let mut again = Capture::new(&new[..]).unwrap();
    while again.next().unwrap().is_some() {}
}

/// The fast checksum against itself, cut anywhere: sums of even-length parts combine to the sum of the whole.
pub fn checksum(data: &[u8]) {
    let cut = data.first().map_or(0, |first| usize::from(*first) * 2).min(data.len() & !1);
    let (front, back) = data.split_at(cut);
    let parts = checksum::combine(checksum::sum(front), checksum::sum(back));
    assert_eq!(parts, checksum::sum(data));
}
