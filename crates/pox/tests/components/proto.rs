//! What answers hosts in their own words: ARP, pings, DHCP, names. Hosts are played by the test.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::lab::{Lab, both, question};
use openflow::Version;
use openflow::matching::Match;
use packet::wire::dhcpv4::{self, MessageType, Operation};
use packet::wire::{MacAddr, arp, dns, icmpv4};
use pox::components::proto::arp_responder::{AddressMoved, ArpResponder};
use pox::components::proto::dhcp_client::{DhcpClient, LeaseLost, Leased};
use pox::components::proto::dhcpd::{Lease, LeaseOver};
use pox::components::proto::dns_spy::DnsSpy;
use pox::compose::{self, Ends};

const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OWN: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);

const fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00, 0x00, 0x07], &frame[12..]].concat()
}

#[test]
fn arp_is_answered_for_what_is_told_and_what_is_learned() {
    both(|version| {
        let mut lab =
            Lab::new(version, &["proto.arp_responder", "--hosts=10.0.0.254,10.0.0.9=02:00:00:00:00:09"]);
        assert!(lab.flows().contains(&Match::new().arp()));
        let answers = lab.host(1, &question((HOST, ip(1)), ip(254)));
        let request = arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac: HOST,
            sender_ip: ip(1),
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: ip(254),
        };
        assert_eq!(answers, [compose::arp(&request.reply(OWN))]);
        let answers = lab.host(1, &tagged(&question((HOST, ip(1)), ip(254))));
        assert_eq!(answers, [tagged(&compose::arp(&request.reply(OWN)))], "behind the same tag");
        assert_eq!(lab.host(2, &question((OTHER, ip(2)), ip(77))), Vec::<Vec<u8>>::new(), "nobody knows");
        let answers = lab.host(1, &question((HOST, ip(1)), ip(2)));
        assert_eq!(&answers[0][6..12], &OTHER.0, "learned from its question");
        lab.pass(Duration::from_secs(300));
        assert!(lab.host(1, &question((HOST, ip(1)), ip(2))).is_empty(), "forgotten");
        assert_eq!(lab.host(1, &question((HOST, ip(1)), ip(9))).len(), 1, "what is told is not");
    });
}

#[test]
fn an_address_that_moves_is_told_and_what_is_told_cannot_be_taken() {
    let mut lab = Lab::new(Version::V13, &["proto.arp_responder", "--hosts=10.0.0.254"]);
    let moves =
        lab.diary("proto.arp_responder", |event: &AddressMoved| format!("{} {}", event.ip, event.now));
    lab.host(1, &question((HOST, ip(1)), ip(77)));
    lab.host(2, &question((OTHER, ip(1)), ip(77)));
    assert_eq!(*moves.borrow(), [format!("10.0.0.1 {OTHER}")]);
    lab.host(2, &question((OTHER, ip(254)), ip(77)));
    lab.host(2, &question((OTHER, Ipv4Addr::UNSPECIFIED), ip(77)));
    let table: &ArpResponder = lab.controller.core().get("proto.arp_responder").unwrap();
    assert_eq!((table.lookup(ip(254)), table.lookup(Ipv4Addr::UNSPECIFIED)), (Some(OWN), None));
}

#[test]
fn pings_are_answered() {
    both(|version| {
        let mut lab = Lab::new(version, &["proto.pong", "--for=10.0.0.254"]);
        let ends = |to| Ends { macs: (HOST, OWN), ips: (ip(1), to) };
        let ping = icmpv4::Repr::EchoRequest { ident: 7, sequence: 9, data: b"abcdefgh" };
        let pong = icmpv4::Repr::EchoReply { ident: 7, sequence: 9, data: b"abcdefgh" };
        let frame = compose::icmpv4(ends(ip(254)), &ping);
        assert_eq!(lab.host(1, &frame), [compose::icmpv4(ends(ip(254)).back(), &pong)]);
        assert!(lab.host(1, &compose::icmpv4(ends(ip(253)), &ping)).is_empty(), "not for us");
        assert!(lab.host(1, &compose::icmpv4(ends(ip(254)), &pong)).is_empty(), "an answer is not answered");
        let mut spoiled = frame.clone();
        *spoiled.last_mut().unwrap() ^= 1;
        assert!(lab.host(1, &spoiled).is_empty(), "a wrong checksum");
        for length in 0..frame.len() {
            assert!(lab.host(1, &frame[..length]).is_empty());
        }
    });
}

fn dhcp(message: &dhcpv4::Repr<'_>) -> Vec<u8> {
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut dhcpv4::View::new_unchecked(&mut payload[..]));
    let from = message.client_ip;
    let ends = Ends { macs: (message.client_mac, MacAddr::BROADCAST), ips: (from, Ipv4Addr::BROADCAST) };
    compose::udp(ends, (68, 67), &payload)
}

/// Kind, address, lease, router of the only answer.
fn answer(frames: &[Vec<u8>]) -> (MessageType, Ipv4Addr, Option<u32>, Vec<Ipv4Addr>) {
    assert_eq!(frames.len(), 1);
    let view = dhcpv4::View::new_checked(&frames[0][42..]).unwrap();
    let repr = dhcpv4::Repr::parse(&view).unwrap();
    assert_eq!((repr.operation, repr.transaction), (Operation::Reply, 5));
    (repr.kind, repr.your_ip, repr.lease_s, repr.routers.to_vec())
}

fn request(client: MacAddr, wanted: Ipv4Addr) -> dhcpv4::Repr<'static> {
    dhcpv4::Repr {
        kind: MessageType::REQUEST,
        requested_ip: Some(wanted),
        server: Some(ip(254)),
        ..dhcpv4::Repr::discover(5, client)
    }
}

#[test]
fn addresses_are_lent_renewed_refused_and_given_back() {
    both(|version| {
        let line = [
            "proto.dhcpd",
            "--network=10.0.0.0/24",
            "--ip=10.0.0.254",
            "--first=10",
            "--count=2",
            "--lease-time=100",
        ];
        let mut lab = Lab::new(version, &line);
        let lent = lab.diary("proto.dhcpd", |lease: &Lease| format!("{} {}", lease.ip, lease.port.0));
        let over = lab.diary("proto.dhcpd", |lease: &LeaseOver| lease.ip.to_string());
        let discover = |client| dhcp(&dhcpv4::Repr::discover(5, client));
        assert_eq!(
            answer(&lab.host(1, &discover(HOST))),
            (MessageType::OFFER, ip(10), Some(100), vec![ip(254)])
        );
        assert_eq!(answer(&lab.host(1, &dhcp(&request(HOST, ip(10))))).0, MessageType::ACK);
        assert_eq!(answer(&lab.host(2, &discover(OTHER))).1, ip(11));
        assert_eq!(
            answer(&lab.host(2, &dhcp(&request(OTHER, ip(10))))).0,
            MessageType::NAK,
            "it is another's"
        );
        assert_eq!(answer(&lab.host(2, &dhcp(&request(OTHER, ip(11))))).0, MessageType::ACK);
        assert!(lab.host(1, &discover(MacAddr([2, 0, 0, 0, 0, 3]))).is_empty(), "none is left");
        assert_eq!(*lent.borrow(), ["10.0.0.10 1", "10.0.0.11 2"]);

        lab.pass(Duration::from_secs(60));
        let renew =
            dhcpv4::Repr { server: None, requested_ip: None, client_ip: ip(10), ..request(HOST, ip(10)) };
        assert_eq!(answer(&lab.host(1, &dhcp(&renew))).0, MessageType::ACK);
        lab.pass(Duration::from_secs(60));
        assert_eq!(*over.borrow(), ["10.0.0.11"], "what was not renewed");
        let release = dhcpv4::Repr { kind: MessageType::RELEASE, client_ip: ip(10), ..request(HOST, ip(10)) };
        assert!(lab.host(1, &dhcp(&release)).is_empty());
        assert_eq!(*over.borrow(), ["10.0.0.11", "10.0.0.10"]);
    });
}

#[test]
fn a_dhcp_server_answers_arp_for_itself_and_nothing_else() {
    let mut lab = Lab::new(Version::V10, &["proto.dhcpd", "--network=10.0.0.0/24"]);
    assert_eq!(lab.host(1, &question((HOST, ip(1)), ip(254))).len(), 1);
    assert!(lab.host(1, &question((HOST, ip(1)), ip(253))).is_empty());
    let frame = dhcp(&dhcpv4::Repr::discover(5, HOST));
    for length in 0..frame.len() {
        lab.host(1, &frame[..length]); // cut short: no answer it could not give, no failure
    }
    assert!(lab.controller.core().health().iter().all(|health| health.failures == 0));
}

#[test]
fn the_client_gets_an_address_keeps_it_and_loses_it() {
    both(|version| {
        let mut client = Lab::new(version, &["proto.dhcp_client", "--switch=1", "--port=2"]);
        let line = ["proto.dhcpd", "--network=10.0.0.0/24", "--ip=10.0.0.254", "--lease-time=1000"];
        let mut server = Lab::new(version, &line);
        let leased =
            client.diary("proto.dhcp_client", |lease: &Leased| format!("{} {:?}", lease.ip, lease.routers));
        let lost = client.diary("proto.dhcp_client", |lease: &LeaseLost| lease.ip.to_string());
        let first = client.pass(Duration::from_secs(5));
        assert_eq!(first.len(), 2, "at once, and again after four seconds");
        let offer = server.host(1, &first[1]);
        let ask = client.host(2, &offer[0]);
        let ack = server.host(1, &ask[0]);
        assert!(client.host(2, &ack[0]).is_empty());
        assert_eq!(*leased.borrow(), ["10.0.0.1 [10.0.0.254]"]);
        assert_eq!(client.pass(Duration::from_secs(490)).len(), 0);
        let renew = client.pass(Duration::from_secs(20));
        server.pass(Duration::from_secs(510));
        let ack = server.host(1, &renew[0]);
        client.host(2, &ack[0]);
        assert_eq!(leased.borrow().len(), 2, "renewed");
        assert!(!client.pass(Duration::from_secs(1100)).is_empty(), "nobody answers any more");
        assert_eq!(*lost.borrow(), ["10.0.0.1"]);
        let component: &DhcpClient = client.controller.core().get("proto.dhcp_client").unwrap();
        assert_eq!(component.address(), None);
    });
}

fn ask(name: &str, kind: dns::RecordType) -> Vec<u8> {
    let query = dns::Query { id: 9, recursion_desired: true, name: name.parse().unwrap(), kind };
    let mut buffer = [0; 512];
    let length = query.emit(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

#[test]
fn names_are_answered_and_overheard() {
    both(|version| {
        let line = [
            "proto.dnsd",
            "--ip=10.0.0.53",
            "--names=web=10.0.0.1,web=10.0.0.2,db.lab=fd00::1",
            "--domain=lab",
        ];
        let mut lab = Lab::new(version, &line);
        let ends = Ends { macs: (HOST, OWN), ips: (ip(1), ip(53)) };
        let mut asked = |name: &str, kind| {
            let frames = lab.host(1, &compose::udp(ends, (4000, 53), &ask(name, kind)));
            assert_eq!(frames.len(), 1);
            let view = dns::View::new_checked(frames[0][42..].to_vec()).unwrap();
            let addresses: Vec<IpAddr> =
                view.records().unwrap().filter_map(|record| record.unwrap().address()).collect();
            (view.response_code(), addresses, frames[0].clone())
        };
        let web = asked("WEB.lab", dns::RecordType::A);
        assert_eq!((web.0, &web.1[..]), (dns::ResponseCode::NO_ERROR, &[ip(1).into(), ip(2).into()][..]));
        assert_eq!(asked("db.lab", dns::RecordType::AAAA).1, ["fd00::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(asked("no.lab", dns::RecordType::A).0, dns::ResponseCode::NAME_ERROR);
        assert_eq!(asked("example.com", dns::RecordType::A).0, dns::ResponseCode::REFUSED);

        let mut spy = Lab::new(version, &["proto.dns_spy"]);
        assert_eq!(spy.flows(), [Match::new().udp_src(53)]);
        spy.host(1, &web.2);
        for length in 0..web.2.len() {
            spy.host(1, &web.2[..length]);
        }
        let names: &DnsSpy = spy.controller.core().get("proto.dns_spy").unwrap();
        assert_eq!(names.names_of(ip(2).into()).collect::<Vec<_>>(), ["web.lab"]);
        assert_eq!(names.addresses_of("web.lab.").count(), 2);
        assert!(spy.controller.core().health().iter().all(|health| health.failures == 0));
    });
}

#[test]
fn a_host_that_answers_no_more_is_gone_and_what_is_no_host_is_not_one() {
    use pox::components::host_tracker::{HostEvent, HostTracker};
    both(|version| {
        let line = ["host_tracker", "--arp-aware=10", "--arp-reply=2", "--arp-silent=100"];
        let mut lab = Lab::new(version, &line);
        let told =
            lab.diary("host_tracker", |event: &HostEvent| format!("{} {}", event.mac, event.now.is_some()));
        lab.host(1, &question((HOST, ip(1)), ip(2)));
        lab.host(2, &compose::ethernet(OTHER, HOST, packet::wire::EtherType(0x88b5), b"no address"));
        lab.host(2, &compose::ethernet(MacAddr::BROADCAST, HOST, packet::wire::EtherType(0x88b5), b"nobody"));
        let tracker = |lab: &Lab| {
            let tracker: &HostTracker = lab.controller.core().get("host_tracker").unwrap();
            (tracker.hosts().count(), tracker.host_of(ip(1)))
        };
        assert_eq!(tracker(&lab), (2, Some(HOST)));
        let asked = lab.pass(Duration::from_secs(11));
        assert_eq!(asked.len(), 1);
        assert_eq!(&asked[0][..6], &HOST.0, "the one with an address, at its own");
        assert_eq!(lab.pass(Duration::from_secs(6)).len(), 1, "once more");
        assert_eq!(tracker(&lab), (1, None));
        lab.pass(Duration::from_secs(100));
        assert_eq!(tracker(&lab).0, 0);
        let come_and_gone = [
            format!("{HOST} true"),
            format!("{OTHER} true"),
            format!("{HOST} false"),
            format!("{OTHER} false"),
        ];
        assert_eq!(*told.borrow(), come_and_gone);
    });
}
