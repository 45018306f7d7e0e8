//! Addresses that say where a host is.

use std::net::Ipv4Addr;

use packet::wire::MacAddr;
use packet::wire::dhcpv4::{self, MessageType};
use pox::compose::{self, Ends};
use pox::world::World;

use super::{SECOND, assert_healthy, configs, launched, line, ring};

/// Says a DHCP message as a host; the answer's kind and address.
fn dhcp(world: &mut World, host: &str, message: &dhcpv4::Repr<'_>) -> Option<(MessageType, Ipv4Addr)> {
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut dhcpv4::View::new_unchecked(&mut payload[..]));
    let macs = (message.client_mac, MacAddr::BROADCAST);
    let ends = Ends { macs, ips: (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST) };
    let seen = world.host(host).unwrap().frames().count();
    world.send_frame(host, compose::udp(ends, (68, 67), &payload)).unwrap();
    world.run_for(SECOND).unwrap();
    let host = world.host(host).unwrap();
    host.frames().skip(seen).find_map(|(_, frame)| {
        let view = dhcpv4::View::new_checked(frame.get(42..)?).ok()?;
        let answer =
            dhcpv4::Repr::parse(&view).ok().filter(|answer| answer.transaction == message.transaction)?;
        Some((answer.kind, answer.your_ip))
    })
}

/// Gets a host its address.
fn address(world: &mut World, host: &str, transaction: u32) -> Ipv4Addr {
    let mac = world.host(host).unwrap().mac;
    let discover = dhcpv4::Repr::discover(transaction, mac);
    let (kind, ip) = dhcp(world, host, &discover).unwrap();
    assert_eq!(kind, MessageType::OFFER);
    let request = dhcpv4::Repr {
        kind: MessageType::REQUEST,
        requested_ip: Some(ip),
        transaction: transaction + 1,
        ..discover
    };
    assert_eq!(dhcp(world, host, &request), Some((MessageType::ACK, ip)));
    world.host_mut(host).unwrap().ip = ip;
    ip
}

#[test]
fn hosts_reach_each_other_by_flows_that_are_there_before_them() {
    for config in configs() {
        for network in [line(3), ring(4)] {
            let mut world =
                launched(&network, config.clone(), "forwarding.topo_proactive openflow.discovery");
            world.run_for(10 * SECOND).unwrap(); // until the links are known
            let names: Vec<String> = world.hosts().map(|host| host.name.clone()).collect();
            for (n, name) in names.iter().enumerate() {
                let ip = address(&mut world, name, 100 + 2 * n as u32);
                assert_eq!((ip.octets()[0], ip.octets()[3]), (10, 1));
            }
            let all = names.len() * (names.len() - 1);
            assert_eq!(world.ping_all(SECOND).unwrap(), (all, all), "{config:?}");
            assert_healthy(&world);
        }
    }
}

#[test]
fn when_a_link_fails_the_other_way_is_taken() {
    for config in configs() {
        let mut world = launched(&ring(4), config, "forwarding.topo_proactive openflow.discovery");
        world.run_for(10 * SECOND).unwrap();
        for (n, host) in ["h1", "h2"].into_iter().enumerate() {
            address(&mut world, host, 100 + 2 * n as u32);
        }
        world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
        world.set_link("s1", "s2", false).unwrap();
        world.run_for(SECOND).unwrap();
        world.ping_within("h1", "h2", SECOND).unwrap().unwrap();
        assert_healthy(&world);
    }
}
