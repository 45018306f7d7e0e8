//! A `PMDPort` whose `vdev` names DPDK's `net_memif`: with a port of ours as its peer, and with DPDK itself.

mod bess_kit;
#[path = "../../ports/tests/testpmd/mod.rs"]
mod testpmd;

use std::time::{Duration, Instant};

use bess_kit::{Daemon, packed, receive};
use packet::{Batch, Pool, PoolConfig};
use ports::PortSpec;
use rustix::net::{SendFlags, send};
use softnic::bess::{Config, pb};
use testpmd::Testpmd;

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};
const PATIENCE: Duration = Duration::from_secs(30);
const FRAMES: u32 = 200;

fn daemon() -> Daemon {
    Daemon::start(Config { buffers: 4096, ..Config::default() })
}

fn create(daemon: &mut Daemon, name: &str, vdev: &str) -> (i32, String) {
    let port = Some(pb::pmd_port_arg::Port::Vdev(vdev.to_owned()));
    let arg = Some(packed(&pb::PmdPortArg { port, ..Default::default() }));
    let (name, driver) = (name.to_owned(), "PMDPort".to_owned());
    daemon.tell("CreatePort", &pb::CreatePortRequest { name, driver, arg, ..Default::default() })
}

fn is_up(daemon: &mut Daemon, port: &str) -> bool {
    let request = pb::GetLinkStatusRequest { name: port.to_owned() };
    daemon.ask::<pb::GetLinkStatusResponse>("GetLinkStatus", &request).link_up
}

fn wait_until(daemon: &mut Daemon, port: &str, up: bool) {
    let start = Instant::now();
    while is_up(daemon, port) != up {
        assert!(start.elapsed() < PATIENCE, "{port} is not {}", if up { "up" } else { "down" });
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn frame(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
    frame.extend(number.to_be_bytes().repeat(12 + number as usize % 300));
    frame
}

fn swapped(number: u32) -> Vec<u8> {
    let mut frame = frame(number);
    frame[..12].rotate_left(6);
    frame
}

fn counters(daemon: &mut Daemon, port: &str) -> (u64, u64) {
    let request = pb::GetPortStatsRequest { name: port.to_owned() };
    let stats: pb::GetPortStatsResponse = daemon.ask("GetPortStats", &request);
    (stats.inc.unwrap().packets, stats.out.unwrap().packets)
}

#[test]
fn frames_pass_through_a_graph_between_two_memif_peers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memif.sock").to_str().unwrap().to_owned();
    let mut daemon = daemon();
    let served = format!("net_memif0,role=server,socket={path},socket-abstract=no,id=1,rsize=6,secret=s");
    // What DPDK takes for granted: a client, on an abstract name, number 0.
    let name = format!("weft-bess-memif-{}", std::process::id());
    assert_eq!(create(&mut daemon, "served", &served), (0, String::new()));
    assert_eq!(create(&mut daemon, "visiting", &format!("net_memif1,socket={name}")), (0, String::new()));
    for (from, to) in [("served", "visiting"), ("visiting", "served")] {
        let (inc, swap, out) = (format!("from_{from}"), format!("swap_{from}"), format!("to_{to}"));
        daemon.module("PortInc", &inc, &pb::PortIncArg { port: from.to_owned(), prefetch: false });
        daemon.module("MACSwap", &swap, &NO_ARG);
        daemon.module("PortOut", &out, &pb::PortOutArg { port: to.to_owned() });
        daemon.connect(&inc, 0, 0, &swap);
        daemon.connect(&swap, 0, 0, &out);
    }
    daemon.must("ResumeAll", &EMPTY);
    assert!(!is_up(&mut daemon, "served"));

    let pool = Pool::new(PoolConfig::default()).unwrap();
    let open = |spec: &str| ports::open(&spec.parse::<PortSpec>().unwrap(), &pool).unwrap();
    for round in 1..=3 {
        let mut visitor = open(&format!("memif:{path},id=1,secret=s"));
        let mut host = open(&format!("memif:socket=@{name},role=server"));
        wait_until(&mut daemon, "served", true);
        wait_until(&mut daemon, "visiting", true);
        let (mut near, mut far) = (visitor.queue(0).unwrap(), host.queue(0).unwrap());
        for _ in 0..2 {
            for number in 0..FRAMES {
                let mut batch = Batch::new();
                batch.push(pool.packet(&frame(number)).unwrap()).unwrap();
                assert_eq!(near.1.send(&mut batch).unwrap(), 1);
                let start = Instant::now();
                while batch.is_empty() {
                    assert!(start.elapsed() < PATIENCE, "frame {number}");
                    far.0.receive(&mut batch).unwrap();
                }
                assert_eq!(batch[0].data(), swapped(number));
            }
            std::mem::swap(&mut near, &mut far);
        }
        let all = u64::from(round * FRAMES);
        assert_eq!(counters(&mut daemon, "served"), (all, all));
        assert_eq!(counters(&mut daemon, "visiting"), (all, all));
        drop((visitor, host, near, far));
        wait_until(&mut daemon, "served", false);
        wait_until(&mut daemon, "visiting", false);
    }
    daemon.must("ResetAll", &EMPTY);
    assert!(!std::path::Path::new(&path).exists(), "the port is gone with its socket");
}

#[test]
fn the_same_line_serves_weft_and_dpdk() {
    for (own, theirs) in [("server", "client"), ("client", "server")] {
        let mut daemon = daemon();
        let line = |role: &str| {
            let socket = format!("weft-bess-dpdk-{}-{own}", std::process::id());
            format!("net_memif0,role={role},socket={socket},id=3,bsize=2048,rsize=8,secret=sesame")
        };
        assert_eq!(create(&mut daemon, "memif", &line(own)), (0, String::new()));
        let (near, far) = (daemon.socket("near"), daemon.socket("far"));
        for (from, to) in [("near", "memif"), ("memif", "far")] {
            let (inc, out) = (format!("from_{from}"), format!("to_{to}"));
            daemon.module("PortInc", &inc, &pb::PortIncArg { port: from.to_owned(), prefetch: false });
            daemon.module("PortOut", &out, &pb::PortOutArg { port: to.to_owned() });
            daemon.connect(&inc, 0, 0, &out);
        }
        daemon.must("ResumeAll", &EMPTY);
        let mut peer = Testpmd::start(&line(theirs), "macswap", 1, &[]);
        peer.say("start");
        peer.until_up();
        wait_until(&mut daemon, "memif", true);
        for number in 0..FRAMES {
            send(&near, &frame(number), SendFlags::empty()).unwrap();
            assert_eq!(receive(&far), swapped(number));
        }
        assert_eq!(counters(&mut daemon, "memif"), (FRAMES.into(), FRAMES.into()));
        assert_eq!(peer.packets(), (FRAMES.into(), FRAMES.into()));
        peer.kill();
        wait_until(&mut daemon, "memif", false);
    }
}

#[test]
fn a_line_that_is_wrong_is_told_what_is_wrong() {
    let mut daemon = daemon();
    for (vdev, part) in [
        ("net_memif0,role=boss", "role takes server or client"),
        ("net_memif0,id=x", "id takes a number"),
        ("net_memif0,rsize=15", "2 to 16384"),
        ("net_memif0,rsize=4000000000", "rsize takes the logarithm"),
        ("net_memif0,bsize=1", "64 to 65536"),
        ("net_memif0,socket-abstract=maybe", "yes or no"),
        (
            "net_memif0,socket-abstract=no,role=server,socket=/nonexistent/x",
            "the directory of /nonexistent/x",
        ),
        ("net_vhost0,iface=/tmp/x", "net_memif"),
    ] {
        let (code, said) = create(&mut daemon, "wrong", vdev);
        assert!(code != 0 && said.contains(part), "{vdev}: {said}");
    }
}
