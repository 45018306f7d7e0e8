//! IPLookup before the kernel's routes.
//!
//! ```text
//!                          1 ─ Update: hop 1 ─┐
//!  socket ─ IPLookup gate  2 ─ Update: hop 2 ─┼─ the same socket
//!                            …               ─┘
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Prefix};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use softnic::bess::{Config, pb};

use crate::bess_kit::Daemon;
use crate::kernel_routes::{Netns, VIA_V4, VIA_V6, addresses, is_special_v4, is_special_v6, kernel, route};
use crate::lab::seed;

const ROUTES: usize = 1500;
const ADDRESSES: usize = 3000;
/// Frames under way at a time: as many as a socket holds for sure.
const WINDOW: usize = 64;
/// The next hop of the default routes.
const DEFAULT_HOP: u32 = sample::NEXT_HOPS + 1;

/// A daemon with the graph above.
struct Router {
    daemon: Daemon,
    socket: OwnedFd,
    sent: u64,
}

impl Router {
    fn new() -> Self {
        let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
        let socket = daemon.socket("p");
        let port = || "p".to_owned();
        daemon.module("PortInc", "in", &pb::PortIncArg { port: port(), prefetch: false });
        daemon.module("PortOut", "out", &pb::PortOutArg { port: port() });
        daemon.module("IPLookup", "routes", &pb::IpLookupArg { max_rules: 4096, max_tbl8s: 4096 });
        daemon.connect("in", 0, 0, "routes");
        for hop in 1..=u64::from(DEFAULT_HOP) {
            let name = format!("hop{hop}");
            let field = pb::update_arg::Field { offset: 6, size: 2, value: hop };
            daemon.module("Update", &name, &pb::UpdateArg { fields: vec![field] });
            daemon.connect("routes", hop, 0, &name);
            daemon.connect(&name, 0, 0, "out");
        }
        daemon.must("ResumeAll", &pb::EmptyRequest {});
        Self { daemon, socket, sent: 0 }
    }

    fn add<A: Address>(&mut self, prefix: Prefix<A>, hop: u32) {
        let arg = pb::IpLookupCommandAddArg {
            prefix: prefix.address().to_string(),
            prefix_len: prefix.len().into(),
            gate: hop.into(),
        };
        assert_eq!(self.daemon.command("routes", "add", &arg).error, None, "{prefix}");
    }

    fn delete<A: Address>(&mut self, prefix: Prefix<A>) {
        let arg = pb::IpLookupCommandDeleteArg {
            prefix: prefix.address().to_string(),
            prefix_len: prefix.len().into(),
        };
        assert_eq!(self.daemon.command("routes", "delete", &arg).error, None, "{prefix}");
    }

    /// The hop that packets to these addresses take, by address; without those that are dropped.
    fn hops<A: Address + Into<IpAddr>>(&mut self, addresses: &[A]) -> HashMap<String, u32> {
        let mut hops = HashMap::new();
        for window in addresses.chunks(WINDOW) {
            for (number, &address) in window.iter().enumerate() {
                send(&self.socket, &frame(number as u8, address.into()), SendFlags::empty()).unwrap();
            }
            self.sent += window.len() as u64;
            self.wait();
            loop {
                let mut seen = [0; 128];
                match recv(&self.socket, &mut seen[..], RecvFlags::DONTWAIT) {
                    Ok((length, _)) => {
                        let address = window[usize::from(seen[11])];
                        assert_eq!(seen[8..length], frame(seen[11], address.into())[8..]);
                        let hop = u32::from(u16::from_be_bytes([seen[6], seen[7]]));
                        assert_eq!(hops.insert(address.to_string(), hop), None, "{address} came twice");
                    }
                    Err(Errno::AGAIN) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        hops
    }

    /// Until all frames that were sent are through or dropped.
    fn wait(&mut self) {
        let (start, request) = (Instant::now(), pb::GetTcStatsRequest { name: "!leaf_in:0".to_owned() });
        while self.daemon.ask::<pb::GetTcStatsResponse>("GetTcStats", &request).packets < self.sent {
            assert!(start.elapsed() < Duration::from_secs(20), "packets are missing");
        }
    }
}

/// A frame for an address that says its number.
fn frame(number: u8, destination: IpAddr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 0xff, 0xff, 0, 0, 0, number];
    match destination {
        IpAddr::V4(address) => {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 0, 0, 1]);
            frame.extend(address.octets());
        }
        IpAddr::V6(address) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64, 0x20, 1]);
            frame.extend([0; 14]);
            frame.extend(address.octets());
        }
    }
    frame
}

/// One family: its routes there and here.
struct Family<A> {
    via: &'static str,
    routes: Vec<(Prefix<A>, u32)>,
    addresses: Vec<A>,
}

impl<A: Address + Into<IpAddr>> Family<A> {
    fn of(
        via: &'static str,
        routes: Vec<(Prefix<A>, u32)>,
        special: impl Fn(A) -> bool,
        random: &mut Random,
    ) -> Self {
        let addresses = addresses(&routes, ADDRESSES, special, random);
        Self { via, routes, addresses }
    }

    fn add_all(&self, ns: &Netns, router: &mut Router) {
        let mut lines = String::new();
        for &(prefix, hop) in &self.routes {
            router.add(prefix, hop + 1);
            lines += &route("add", prefix, self.via, hop + 1);
        }
        ns.batch("routes", &lines);
    }

    /// A default route, and half of the others less.
    fn change(&self, ns: &Netns, router: &mut Router, random: &mut Random) {
        router.add(Prefix::<A>::ALL, DEFAULT_HOP);
        let mut lines = route("add", Prefix::<A>::ALL, self.via, DEFAULT_HOP);
        for &(prefix, hop) in &self.routes {
            if random.below(2) == 0 {
                router.delete(prefix);
                lines += &route("del", prefix, self.via, hop + 1);
            }
        }
        ns.batch("changes", &lines);
    }

    /// How many addresses lead somewhere, there as here.
    fn compare(&self, ns: &Netns, router: &mut Router) -> usize {
        let (judge, ours) = (kernel(ns, &self.addresses), router.hops(&self.addresses));
        for address in &self.addresses {
            let text = address.to_string();
            assert_eq!(ours.get(&text), judge.get(&text), "{text}: ours, the kernel's");
        }
        judge.len()
    }
}

#[test]
fn ip_lookup_sends_packets_where_linux_does() {
    let seed = seed();
    let (ns, mut router, mut random) = (Netns::new("bess"), Router::new(), Random(seed));
    let v4 = Family::of(VIA_V4, sample::ipv4(ROUTES, seed), is_special_v4, &mut random);
    let v6 = Family::of(VIA_V6, sample::ipv6(ROUTES, seed), is_special_v6, &mut random);
    v4.add_all(&ns, &mut router);
    v6.add_all(&ns, &mut router);
    for (reached, asked) in [
        (v4.compare(&ns, &mut router), v4.addresses.len()),
        (v6.compare(&ns, &mut router), v6.addresses.len()),
    ] {
        assert!(reached > asked / 2 && reached < asked, "{reached} of {asked} have a route");
    }
    v4.change(&ns, &mut router, &mut random);
    v6.change(&ns, &mut router, &mut random);
    assert_eq!(v4.compare(&ns, &mut router), v4.addresses.len(), "all have the default route");
    assert_eq!(v6.compare(&ns, &mut router), v6.addresses.len(), "all have the default route");
}
