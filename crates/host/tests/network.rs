//! The one interface of a container: a TAP read by another process, or a veth.

mod stage;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use host::link::{Link, Netlink, Route};
use host::{ContainerSpec, Exit, Mac, NetworkKind, NetworkSpec, ProcessId, StopOptions, netns, tap};
use rustix::event::{PollFd, PollFlags, Timespec};
use stage::{Stage, Who, interface_prefix};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const IPV4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

fn network(kind: NetworkKind) -> NetworkSpec {
    NetworkSpec {
        kind,
        mac: MAC,
        ipv4: Some(IPV4),
        ipv6: Some(IPV6),
        gateway4: Some(GATEWAY4),
        gateway6: Some(GATEWAY6),
        gateway_mac: None,
        mtu: 1400,
    }
}

fn with(mut spec: ContainerSpec, kind: NetworkKind) -> ContainerSpec {
    spec.network = Some(network(kind));
    spec
}

fn send(tap: &OwnedFd, frame: &[u8]) {
    let mut bytes = vec![0; tap::HEADER_BYTES];
    bytes.extend_from_slice(frame);
    assert_eq!(rustix::io::write(tap, &bytes).unwrap(), bytes.len());
}

fn arp_reply(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[0..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&GATEWAY_MAC.0);
    reply[21] = 2;
    reply[22..28].copy_from_slice(&GATEWAY_MAC.0);
    reply[28..32].copy_from_slice(&GATEWAY4.octets());
    reply[32..42].copy_from_slice(&request[22..32]);
    reply
}

fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[0..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&request[0..6]);
    reply[26..30].copy_from_slice(&request[30..34]);
    reply[30..34].copy_from_slice(&request[26..30]);
    reply[34] = 0;
    // From type 8 to type 0 the sum of the message falls by 0x0800, so its complement rises by as much.
    let (sum, carry) = u16::from_be_bytes([reply[36], reply[37]]).overflowing_add(0x0800);
    reply[36..38].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    reply
}

/// Answers ARP and ping as the gateway until `goal`; returns how many of each it answered.
fn be_the_gateway(tap: &OwnedFd, goal: impl Fn() -> bool) -> (u32, u32) {
    let begin = Instant::now();
    let (mut arps, mut pings) = (0, 0);
    let mut buffer = vec![0; 70_000];
    while !goal() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited too long after {arps} ARPs, {pings} pings"
        );
        let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = rustix::event::poll(&mut [PollFd::new(tap, PollFlags::IN)], Some(&pause)).unwrap();
        while let Ok(read) = rustix::io::read(tap, &mut buffer) {
            let frame = &buffer[tap::HEADER_BYTES..read];
            if frame[12..14] == [8, 6] {
                assert_eq!((&frame[6..12], &frame[28..32]), (&MAC.0[..], &IPV4.octets()[..]));
                assert_eq!(frame[38..42], GATEWAY4.octets());
                send(tap, &arp_reply(frame));
                arps += 1;
            } else if frame[12..14] == [8, 0] && frame[23] == 1 {
                assert_eq!(frame[30..34], GATEWAY4.octets());
                send(tap, &echo_reply(frame));
                pings += 1;
            }
        }
    }
    (arps, pings)
}

#[test]
fn a_tap_carries_arp_and_ping_to_whoever_attaches_and_attaches_again() {
    let stage = Stage::new(Who::Root);
    let script = "while :; do ping -c1 -W1 10.77.0.1; sleep 0.05; done";
    let launched =
        stage.launch_one(with(stage.shell("tap", script), NetworkKind::Tap { queues: 1, txqueuelen: 750 }));
    let link = link_of(launched.init);
    assert_eq!((link.mac, link.mtu, link.up), (Some(MAC), 1400, true));
    let several = tap::attach(launched.init, host::network::INTERFACE, 2);
    assert!(several.is_err(), "it was made for one queue");
    let received = || stage.output("tap").matches("1 received").count();
    let tap = tap::attach(launched.init, host::network::INTERFACE, 1).unwrap().remove(0);
    let (arps, pings) = be_the_gateway(&tap, || received() > 0);
    assert!(arps > 0 && pings > 0);
    // A dataplane that died and came back. One answer may have been on its way.
    drop(tap);
    let before = received();
    let tap = tap::attach(launched.init, host::network::INTERFACE, 1).unwrap().remove(0);
    let (_, pings) = be_the_gateway(&tap, || received() > before + 1);
    assert!(pings > 0);
    let missing = tap::attach(launched.init, "eth7", 1).unwrap_err().to_string();
    assert_eq!(missing, "cannot find interface eth7: No such device (os error 19)");
    assert_eq!(stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false }), [Ok(())]);
    assert!(tap::attach(launched.init, host::network::INTERFACE, 1).is_err());
    assert!(stage.traces().is_empty());
}

#[test]
fn a_tap_of_several_queues_gives_one_descriptor_for_each() {
    let stage = Stage::new(Who::Root);
    let launched = stage
        .launch_one(with(stage.shell("wide", "sleep 60"), NetworkKind::Tap { queues: 2, txqueuelen: 100 }));
    let queues = tap::attach(launched.init, host::network::INTERFACE, 2).unwrap();
    assert_eq!(queues.len(), 2);
    drop(queues);
    assert_eq!(stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false }), [Ok(())]);
}

/// Two containers whose TAPs this test joins like a cable: what TCP sends as one segment of many packets' size
/// arrives as one, with its checksum left to nobody.
#[test]
fn taps_carry_tcp_in_large_segments_with_their_offloads() {
    let stage = Stage::new(Who::Root);
    let kind = || NetworkKind::Tap { queues: 1, txqueuelen: 1000 };
    let server = "exec perl -MIO::Socket::INET -e '$l = IO::Socket::INET->new(LocalPort => 80, Listen => 1) or die; print \"up\\n\"; \
        $| = 1; $c = $l->accept; $n += length $b while sysread $c, $b, 65536; print \"got $n\\n\"'";
    let client = "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(PeerAddr => \"10.77.0.1:80\") or die $!; \
        print $s \"x\" x 20000000; close $s; print \"sent\\n\"'";
    let mut far = with(stage.shell("server", server), kind());
    let network = far.network.as_mut().unwrap();
    (network.mac, network.gateway_mac) = (GATEWAY_MAC, Some(MAC));
    (network.ipv4, network.gateway4) = (Some(GATEWAY4), Some(IPV4));
    (network.ipv6, network.gateway6) = (Some(GATEWAY6), Some(IPV6));
    let far = stage.launch_one(far).init;
    let far = tap::attach(far, host::network::INTERFACE, 1).unwrap().remove(0);
    std::thread::sleep(Duration::from_millis(300));
    let mut near = with(stage.shell("client", client), kind());
    near.network.as_mut().unwrap().gateway_mac = Some(GATEWAY_MAC);
    let near = stage.launch_one(near).init;
    let near = tap::attach(near, host::network::INTERFACE, 1).unwrap().remove(0);
    let (mut largest, mut asked_for_arp) = (0, false);
    let begin = Instant::now();
    let mut buffer = vec![0; 70_000];
    while stage.status("server").is_live() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{} {}",
            stage.output("server"),
            stage.output("client")
        );
        let mut polled = [PollFd::new(&near, PollFlags::IN), PollFd::new(&far, PollFlags::IN)];
        let _ = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap();
        for (from, to) in [(&near, &far), (&far, &near)] {
            for _ in 0..64 {
                let Ok(read) = rustix::io::read(from, &mut buffer) else { break };
                largest = largest.max(read);
                asked_for_arp |= buffer[22..24] == [8, 6];
                let _ = rustix::io::write(to, &buffer[..read]);
            }
        }
    }
    assert_eq!(stage.output("server"), "up\ngot 20000000\n");
    assert!(largest > 30_000, "largest frame {largest}");
    assert!(!asked_for_arp, "the neighbour was written down");
}

fn link_of(process: ProcessId) -> Link {
    netns::within(netns::of(process).unwrap(), || Netlink::open().unwrap().link("eth0").unwrap().unwrap())
        .unwrap()
}

fn a_veth_reaches_the_namespace_of_its_peer(who: Who) {
    let mut stage = Stage::new(who);
    let holder = stage.hold();
    let peer = format!("{}p", interface_prefix(&stage.deployment));
    let kind = NetworkKind::Veth { peer_name: peer.clone(), peer_netns: holder };
    let script = "until ping -c1 -W1 10.77.0.1; do sleep 0.05; done; until ping -c1 -W1 fd77::1; do sleep 0.05; done; \
        ip -6 addr show dev eth0 scope link | wc -l; ip route get 8.8.8.8 | head -1";
    let launched = stage.launch_one(with(stage.shell("veth", script), kind));
    let link = link_of(launched.init);
    assert_eq!((link.mac, link.mtu, link.up, link.carrier), (Some(MAC), 1400, true, true));
    netns::within(netns::of(holder).unwrap(), || {
        let mut netlink = Netlink::open().unwrap();
        let link = netlink.link(&peer).unwrap().expect("the peer is in the holder's namespace");
        assert!(link.up);
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{peer}/disable_ipv6"), "0").unwrap();
        for (gateway, address, prefix_len) in
            [(IpAddr::V4(GATEWAY4), IpAddr::V4(IPV4), 32), (IpAddr::V6(GATEWAY6), IpAddr::V6(IPV6), 128)]
        {
            netlink.add_address(link.index, gateway, prefix_len).unwrap();
            let route = Route {
                destination: address,
                prefix_len,
                gateway: None,
                interface: link.index,
                source: None,
            };
            netlink.add_route(route).unwrap();
        }
    })
    .unwrap();
    let status = stage.wait("veth", |status| !status.is_live());
    let output = stage.output("veth");
    assert_eq!(status.exit, Some(Exit::Code(0)), "{output}");
    assert!(output.contains("\n0\n8.8.8.8 via 10.77.0.1 dev eth0 src 10.77.0.2"), "{output}");
    assert_eq!(stage.stop(None, StopOptions::default()), [Ok(())]);
    let deadline = Instant::now() + Duration::from_secs(5);
    // The kernel takes a namespace apart in the background.
    while netns::within(netns::of(holder).unwrap(), || Netlink::open().unwrap().link(&peer).unwrap())
        .unwrap()
        .is_some()
    {
        assert!(Instant::now() < deadline, "the peer went with the container");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_veth_as_root() {
    a_veth_reaches_the_namespace_of_its_peer(Who::Root);
}

#[test]
fn a_veth_as_user() {
    a_veth_reaches_the_namespace_of_its_peer(Who::User);
}

#[test]
fn interfaces_are_made_renamed_listed_and_deleted() {
    let netns = std::thread::spawn(|| {
        netns::unshare_here().unwrap();
        netns::open("/proc/thread-self/ns/net".as_ref()).unwrap()
    })
    .join()
    .unwrap();
    netns::within(netns.as_fd(), || {
        let mut netlink = Netlink::open().unwrap();
        let names = |netlink: &mut Netlink| -> Vec<String> {
            netlink.links().unwrap().into_iter().map(|link| link.name).collect()
        };
        assert_eq!(names(&mut netlink), ["lo"]);
        netlink.add_link("one", "bridge").unwrap();
        let index = netlink.index("one").unwrap();
        netlink.rename(index, "two").unwrap();
        netlink.set_mtu(index, 1300).unwrap();
        netlink.set_mac(index, MAC).unwrap();
        netlink.set_txqueuelen(index, 77).unwrap();
        netlink.set_up(index, true).unwrap();
        let link = netlink.link("two").unwrap().unwrap();
        assert_eq!((link.index, link.mac, link.mtu, link.up), (index, Some(MAC), 1300, true), "{link:?}");
        assert_eq!(netlink.link("one").unwrap(), None);
        assert_eq!(netlink.add_link("two", "bridge").unwrap_err().errno(), Some(17));
        assert!(netlink.add_link("a-name-that-is-too-long", "bridge").is_err());
        netlink.delete(index).unwrap();
        assert_eq!(names(&mut netlink), ["lo"]);
    })
    .unwrap();
    assert!(!Netlink::open().unwrap().links().unwrap().is_empty(), "the caller stayed where it was");
}
