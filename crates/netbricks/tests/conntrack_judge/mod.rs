//! A router of the kernel's between two wires of ours, which writes what its conntrack says of each packet into the
//! packet: the DSCP of what it forwards is the verdict. What it keeps of the flow is in `/proc/net/nf_conntrack`.
//!
//! ```text
//!  ours: in1 ──veth── in0 [ router: conntrack, nft ] out0 ──veth── out1 :ours
//!       10.1.0.1, fd01::1                                  10.2.0.1, fd02::1
//! ```
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netbricks::conntrack::Direction;
use packet::wire::{EtherType, MacAddr, ethernet, ipv4, ipv6};
use packet::{Batch, Pool, PoolConfig};
use ports::packet_socket::{PacketConfig, PacketPort};
use ports::{Port, RxQueue, TxQueue};

/// The client's and the server's side of the router, and who lives there.
const SIDES: [(&str, &str, &str, &str); 2] =
    [("in0", "in1", "10.1.0", "fd01::"), ("out0", "out1", "10.2.0", "fd02::")];
/// Address of a side of the router, the same on both.
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
/// A packet that has not come out of the router by then is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// DSCP 0 is no verdict.
const RULES: &str = "
table inet judge {
  chain verdicts {
    type filter hook prerouting priority 0; policy accept;
    ct state new ip dscp set 1
    ct state new ip6 dscp set 1
    ct state established ct direction original ip dscp set 2
    ct state established ct direction original ip6 dscp set 2
    ct state established ct direction reply ip dscp set 3
    ct state established ct direction reply ip6 dscp set 3
    ct state related ct direction original ip dscp set 4
    ct state related ct direction original ip6 dscp set 4
    ct state related ct direction reply ip dscp set 5
    ct state related ct direction reply ip6 dscp set 5
    ct state invalid ip dscp set 6
    ct state invalid ip6 dscp set 6
    ct state untracked ip dscp set 7
    ct state untracked ip6 dscp set 7
  }
}
";
const VERDICTS: [&str; 8] = [
    "unjudged",
    "new original",
    "established original",
    "established reply",
    "related original",
    "related reply",
    "invalid",
    "untracked",
];

/// A named network namespace, removed when dropped.
struct Netns(String);

impl Netns {
    fn new(name: &str) -> Self {
        let name = format!("wt-ct-{}-{name}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self(name)
    }

    fn ip(&self, arguments: &str) {
        let arguments = ["-n", &self.0].into_iter().chain(arguments.split_whitespace());
        run("ip", &arguments.collect::<Vec<_>>());
    }

    fn sysctl(&self, setting: &str) {
        run("ip", &["netns", "exec", &self.0, "sysctl", "-qw", setting]);
    }

    /// Runs `work` on a thread that has entered the namespace.
    fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let path = format!("/run/netns/{}", self.0);
        let work = move || {
            let ns = std::fs::File::open(path).unwrap();
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(ns.as_fd(), kind).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program}: {e}: install iproute2, nftables, procps; be root"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

struct Wire {
    _port: PacketPort,
    rx: Box<dyn RxQueue>,
    tx: Box<dyn TxQueue>,
}

/// The kernel's conntrack, asked packet by packet.
pub struct Judge {
    router: Netns,
    _ours: Netns,
    pool: Pool,
    wires: [Wire; 2],
    ident: u16,
}

impl Judge {
    pub fn new(name: &str, loose: bool, liberal: bool) -> Self {
        let (router, ours) = (Netns::new(&format!("{name}-r")), Netns::new(&format!("{name}-o")));
        for setting in ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"] {
            router.sysctl(setting);
        }
        ours.sysctl("net.ipv6.conf.all.disable_ipv6=1");
        for (theirs, peer, four, six) in SIDES {
            router.ip(&format!(
                "link add {theirs} address {ROUTER} type veth peer name {peer} netns {}",
                ours.0
            ));
            ours.ip(&format!("link set {peer} up"));
            router.ip(&format!("link set {theirs} up"));
            router.ip(&format!("addr add {four}.254/24 dev {theirs}"));
            router.ip(&format!("addr add {six}fe/64 dev {theirs} nodad"));
            for host in 1..=3 {
                for address in [format!("{four}.{host}"), format!("{six}{host}")] {
                    router.ip(&format!(
                        "neigh replace {address} lladdr 02:00:00:00:00:01 dev {theirs} nud permanent"
                    ));
                }
            }
        }
        router.sysctl("net.ipv4.ip_forward=1");
        router.sysctl("net.ipv6.conf.all.forwarding=1");
        load_rules(&router);
        router.sysctl(&format!("net.netfilter.nf_conntrack_tcp_loose={}", u8::from(loose)));
        router.sysctl(&format!("net.netfilter.nf_conntrack_tcp_be_liberal={}", u8::from(liberal)));
        let pool = Pool::new(PoolConfig { buffers: 512, ..PoolConfig::default() }).unwrap();
        let wires = SIDES.map(|(_, peer, ..)| wire(&ours, peer, &pool));
        Self { router, _ours: ours, pool, wires, ident: 0 }
    }

    /// What the kernel says of a frame that travels in `direction` between the two sides.
    pub fn verdict(&mut self, direction: Direction, frame: &[u8]) -> &'static str {
        self.ident += 1;
        let frame = addressed(frame, self.ident);
        let mut batch = Batch::new();
        batch.push(self.pool.packet(&frame).unwrap()).unwrap();
        let start = Instant::now();
        while self.wires[direction as usize].tx.send(&mut batch).unwrap() == 0 {
            assert!(start.elapsed() < PATIENCE, "the wire takes nothing");
        }
        let rx = &mut self.wires[direction.opposite() as usize].rx;
        loop {
            assert!(start.elapsed() < PATIENCE, "the router lost packet {}: {frame:02x?}", self.ident);
            batch.clear();
            rx.receive(&mut batch).unwrap();
            if let Some(dscp) = batch.iter().find_map(|packet| dscp(packet.data(), self.ident)) {
                return VERDICTS[usize::from(dscp)];
            }
            let ready = rx.poll_fd().unwrap();
            let patience = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut ready = [rustix::event::PollFd::new(&ready, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut ready, Some(&patience)).unwrap();
        }
    }

    /// What the kernel keeps of the flow between two TCP ends, whoever opened it: its state, `unreplied`, `assured`, and
    /// for how many seconds.
    pub fn flow(&self, a: SocketAddr, b: SocketAddr) -> Option<(String, i64)> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack");
        let table = self.router.enter(read).expect("CONFIG_NF_CONNTRACK_PROCFS");
        let tuple = |a: SocketAddr, b: SocketAddr| {
            format!("src={} dst={} sport={} dport={} ", address(a), address(b), a.port(), b.port())
        };
        let line = table.lines().find(|line| line.contains(&tuple(a, b)) || line.contains(&tuple(b, a)))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut state = words[5].to_string();
        for (flag, word) in [("[UNREPLIED]", " unreplied"), ("[ASSURED]", " assured")] {
            if words.contains(&flag) {
                state += word;
            }
        }
        Some((state, words[4].parse().unwrap()))
    }
}

/// As `/proc` has it: IPv6 in full.
fn address(end: SocketAddr) -> String {
    match end {
        SocketAddr::V4(end) => end.ip().to_string(),
        SocketAddr::V6(end) => end.ip().segments().map(|word| format!("{word:04x}")).join(":"),
    }
}

fn load_rules(router: &Netns) {
    let mut nft = Command::new("ip")
        .args(["netns", "exec", &router.0, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("nft: {e}: install nftables"));
    std::io::Write::write_all(&mut nft.stdin.take().unwrap(), RULES.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refused the rules: is nf_conntrack in the kernel?");
}

fn wire(ours: &Netns, interface: &str, pool: &Pool) -> Wire {
    let mut port = ours.enter(|| PacketPort::open(interface, &PacketConfig::default(), pool)).unwrap();
    let start = Instant::now();
    while port.link() != ports::LinkState::Up {
        assert!(start.elapsed() < PATIENCE, "{interface} stays down");
        std::thread::yield_now();
    }
    let (rx, tx) = port.queue(0).unwrap();
    Wire { _port: port, rx, tx }
}

/// The frame addressed to the router, and numbered.
fn addressed(frame: &[u8], ident: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let mut link = ethernet::View::new_checked(&mut frame[..]).unwrap();
    link.set_destination(ROUTER);
    if link.ethertype() == EtherType::IPV4 {
        let mut ip = ipv4::View::new_checked(link.payload_mut()).unwrap();
        ip.set_ident(ident);
        ip.fill_checksum();
    } else {
        ipv6::View::new_checked(link.payload_mut()).unwrap().set_first(0, u32::from(ident));
    }
    frame
}

/// The DSCP of the packet with this number.
fn dscp(frame: &[u8], ident: u16) -> Option<u8> {
    let link = ethernet::View::new_checked(frame).ok()?;
    if link.ethertype() == EtherType::IPV4 {
        let ip = ipv4::View::new_checked(link.payload()).ok()?;
        (ip.ident() == ident).then(|| ip.tos() >> 2)
    } else {
        let ip = ipv6::View::new_checked(link.payload()).ok()?;
        (ip.flow_label() == u32::from(ident)).then(|| ip.traffic_class() >> 2)
    }
}
