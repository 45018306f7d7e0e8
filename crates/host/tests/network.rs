//! The one interface of a container: a TAP read by another process, or a veth.

mod stage;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use host::link::{Link, Netlink, Route};
use host::{ContainerSpec, Exit, Mac, NetworkKind, NetworkSpec, ProcessId, StopOptions, netns};
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

/// What a container says of its TAP, and what the host sees of it there. What it carries is for those to test who
/// read it: `ports`, and `main_job` with the dataplane.
#[test]
fn a_tap_waits_in_its_container_for_whoever_reads_it() {
    let stage = Stage::new(Who::Root);
    let script = "ip -d link show dev eth0; ip neigh show dev eth0; sleep 60";
    let mut spec = with(stage.shell("tap", script), NetworkKind::Tap { queues: 1, txqueuelen: 750 });
    spec.network.as_mut().unwrap().gateway_mac = Some(GATEWAY_MAC);
    let launched = stage.launch_one(spec);
    let link = link_of(launched.init);
    assert_eq!((link.mac, link.mtu, link.up, link.carrier), (Some(MAC), 1400, true, false));
    let neighbour = "10.77.0.1 lladdr 02:00:00:00:00:01 PERMANENT";
    stage.wait("tap", |_| stage.output("tap").contains(neighbour));
    let output = stage.output("tap");
    for said in ["qlen 750", "tun type tap pi off vnet_hdr on persist on"] {
        assert!(output.contains(said), "{said} is not in {output}");
    }
    assert!(!output.contains("multi_queue"), "{output}");
    assert_eq!(stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false }), [Ok(())]);
    assert!(stage.traces().is_empty());
}

#[test]
fn a_tap_may_have_several_queues() {
    let stage = Stage::new(Who::Root);
    let kind = NetworkKind::Tap { queues: 2, txqueuelen: 100 };
    let (_, output) = stage.run(with(stage.shell("wide", "ip -d link show dev eth0"), kind));
    assert!(output.contains("multi_queue"), "{output}");
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
