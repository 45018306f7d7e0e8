//! Ports under BESS's names: a frame each way through each line that names an interface, and what the others are told to
//! use instead. Interfaces need root and `ip`.

mod bess_kit;
#[path = "../../netbricks/tests/lab/mod.rs"]
mod lab;

use bess_kit::{Daemon, packed};
use prost_types::Any;
use softnic::bess::{Config, pb};

fn daemon() -> Daemon {
    Daemon::start(Config { buffers: 4096, ..Config::default() })
}

fn create(daemon: &mut Daemon, driver: &str, arg: Any, queues: u64) -> (i32, String) {
    let (name, driver, arg) = ("p".to_owned(), driver.to_owned(), Some(arg));
    let request = pb::CreatePortRequest {
        name,
        driver,
        arg,
        num_inc_q: queues,
        num_out_q: queues,
        ..Default::default()
    };
    daemon.tell("CreatePort", &request)
}

fn pmd(port: pb::pmd_port_arg::Port) -> Any {
    packed(&pb::PmdPortArg { port: Some(port), ..Default::default() })
}

fn vdev(line: &str) -> Any {
    pmd(pb::pmd_port_arg::Port::Vdev(line.to_owned()))
}

#[test]
fn what_cannot_be_says_what_to_use_instead() {
    use pb::pmd_port_arg::Port;
    const NO_CARD: &str = "no network card is driven directly: name its interface, as vdev='net_af_xdp0,iface=eth0' \
                           or vdev='net_af_packet0,iface=eth0'";
    const KNOWN: &str = "net_af_packet, net_af_xdp, net_tap, net_pcap, net_memif and net_ring are known; for a peer in \
                         a container or a virtual machine take net_memif, net_tap or a UnixSocketPort";
    let docker =
        pb::VPortArg { cpid: Some(pb::v_port_arg::Cpid::Docker("box".to_owned())), ..Default::default() };
    let vhost = "net_vhost0,iface=/tmp/x.sock";
    let mut daemon = daemon();
    for (driver, arg, code, text) in [
        ("PMDPort", pmd(Port::PortId(0)), 19, NO_CARD.to_owned()),
        ("PMDPort", pmd(Port::Pci("00:04.0".to_owned())), 19, NO_CARD.to_owned()),
        ("PMDPort", vdev(vhost), 95, format!("{vhost}: {KNOWN}")),
        ("PMDPort", vdev("net_af_packet0"), 22, "net_af_packet0: iface=NAME is missing".to_owned()),
        ("PMDPort", vdev("net_af_xdp0,iface="), 22, "net_af_xdp0,iface=: iface=NAME is missing".to_owned()),
        (
            "PMDPort",
            packed(&pb::PmdPortArg::default()),
            22,
            "'vdev' must be given, such as 'net_af_packet0,iface=eth0'".to_owned(),
        ),
        (
            "VPort",
            packed(&docker),
            95,
            "docker is not asked for 'box': give container_pid, as `docker inspect -f '{{.State.Pid}}'` prints it"
                .to_owned(),
        ),
        ("PCAPPort", packed(&pb::PcapPortArg::default()), 22, "'dev' must name an interface".to_owned()),
    ] {
        assert_eq!(create(&mut daemon, driver, arg, 1), (code, text));
    }
    let listed: pb::ListPortsResponse = daemon.ask("ListPorts", &pb::EmptyRequest {});
    assert_eq!(listed.ports, []);
}

/// `--skip before_the_kernel` leaves these out where nobody is root.
mod before_the_kernel {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use packet::{Pool, PoolConfig};

    use super::*;
    use crate::lab::{Netns, Wire};

    const NO_ARG: pb::EmptyArg = pb::EmptyArg {};
    const FRAMES: u8 = 40;

    fn frame(number: u8, swapped: bool) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
        frame.resize(60 + usize::from(number), number);
        if swapped {
            frame[..12].rotate_left(6);
        }
        frame
    }

    /// A namespace with a veth pair `near`, `far`, and the test in it.
    fn with_pair(test: impl FnOnce(&Netns) + Send + 'static) {
        let ns = Arc::new(Netns::new("ports"));
        ns.without_ipv6();
        ns.ip("link add near type veth peer name far");
        ns.ip("link set near up");
        ns.ip("link set far up");
        let inside = Arc::clone(&ns);
        ns.enter(move || test(&inside)).join().unwrap();
    }

    /// Sends frames to a port that sends them back with their addresses exchanged.
    fn there_and_back(daemon: &mut Daemon, wire: &mut Wire, pool: &Pool, line: &str) {
        daemon.module("PortInc", "in", &pb::PortIncArg { port: "p".to_owned(), prefetch: false });
        daemon.module("MACSwap", "swap", &NO_ARG);
        daemon.module("PortOut", "out", &pb::PortOutArg { port: "p".to_owned() });
        daemon.connect("in", 0, 0, "swap");
        daemon.connect("swap", 0, 0, "out");
        daemon.must("ResumeAll", &pb::EmptyRequest {});
        for number in 0..FRAMES {
            wire.send(pool, &frame(number, false));
            assert_eq!(wire.receive(), [frame(number, true)], "{line}");
        }
        // What was sent is counted after it has gone: the last frame may be here first.
        let start = Instant::now();
        loop {
            let stats: pb::GetPortStatsResponse =
                daemon.ask("GetPortStats", &pb::GetPortStatsRequest { name: "p".to_owned() });
            let counted = [stats.inc, stats.out].map(|way| way.unwrap().packets);
            if counted == [u64::from(FRAMES); 2] {
                break;
            }
            assert!(
                counted[1] < u64::from(FRAMES) && start.elapsed() < Duration::from_secs(10),
                "{line}: {counted:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn pool() -> Pool {
        Pool::new(PoolConfig { buffers: 512, ..PoolConfig::default() }).unwrap()
    }

    fn passes(driver: &'static str, arg: Any, queues: u64) {
        let line = format!("{driver} {}", String::from_utf8_lossy(&arg.value));
        with_pair(move |ns| {
            let pool = pool();
            let mut daemon = daemon();
            assert_eq!(create(&mut daemon, driver, arg, queues), (0, String::new()), "{line}");
            let mut wire = Wire::open(ns, "far", &pool);
            there_and_back(&mut daemon, &mut wire, &pool, &line);
        });
    }

    #[test]
    fn pcap_port_is_a_packet_socket() {
        passes("PCAPPort", packed(&pb::PcapPortArg { dev: "near".to_owned() }), 1);
        passes("PMDPort", vdev("net_pcap0,iface=near"), 1);
    }

    #[test]
    fn af_packet_has_one_queue_or_more() {
        passes("PMDPort", vdev("net_af_packet0,iface=near"), 1);
        passes("PMDPort", vdev("net_af_packet0,iface=near,qpairs=2"), 2);
        passes("PMDPort", vdev("eth_af_packet0,iface=near"), 2);
    }

    #[test]
    fn af_xdp_takes_a_veth() {
        passes("PMDPort", vdev("net_af_xdp0,iface=near"), 1);
    }

    #[test]
    fn a_tap_is_made() {
        for (line, name) in [("net_tap0,iface=weft0", "weft0"), ("net_tap1", "dnet_tap1")] {
            with_pair(move |ns| {
                let pool = pool();
                let mut daemon = daemon();
                assert_eq!(create(&mut daemon, "PMDPort", vdev(line), 1), (0, String::new()), "{line}");
                ns.ip(&format!("link set {name} up"));
                let mut wire = Wire::open(ns, name, &pool);
                there_and_back(&mut daemon, &mut wire, &pool, line);
            });
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        with_pair(|_| {
            let mut daemon = daemon();
            for line in ["net_af_packet0,iface=nobody", "net_af_xdp0,iface=nobody"] {
                let (code, text) = create(&mut daemon, "PMDPort", vdev(line), 1);
                assert!(code == 19 && text.contains("nobody"), "{code}: {text}");
            }
        });
    }

    /// Tells the interface's port what it is to be like, and asks the kernel.
    fn configured(daemon: &mut Daemon, ns: &Netns, interface: &str) {
        let get = |daemon: &mut Daemon| {
            let request = pb::GetPortConfRequest { name: "p".to_owned() };
            daemon.ask::<pb::GetPortConfResponse>("GetPortConf", &request).conf.unwrap()
        };
        let shown = || ns.run(&format!("ip -o link show dev {interface}"));
        let before = get(daemon);
        assert!(before.mtu == 1500 && before.admin_up && shown().contains(&before.mac_addr), "{before:?}");
        for (mac, mtu, admin_up) in [
            ("02:00:00:00:00:09", 1400, true),
            ("02:00:00:00:00:09", 1400, false),
            ("02:00:00:00:00:0a", 1300, true),
        ] {
            let conf = pb::PortConf { mac_addr: mac.to_owned(), mtu, admin_up };
            let request = pb::SetPortConfRequest { name: "p".to_owned(), conf: Some(conf.clone()) };
            daemon.must("SetPortConf", &request);
            assert_eq!(get(daemon), conf);
            let shown = shown();
            // A TAP that is up has a state of its own.
            let up = shown
                .split_once('<')
                .unwrap()
                .1
                .split('>')
                .next()
                .unwrap()
                .split(',')
                .any(|flag| flag == "UP");
            let is_so = shown.contains(mac) && shown.contains(&format!("mtu {mtu} ")) && up == admin_up;
            assert!(is_so, "{conf:?}: {shown}");
        }
    }

    #[test]
    fn an_interface_is_configured() {
        with_pair(|ns| {
            let mut daemon = daemon();
            let arg = packed(&pb::PcapPortArg { dev: "near".to_owned() });
            assert_eq!(create(&mut daemon, "PCAPPort", arg, 1).0, 0);
            configured(&mut daemon, ns, "near");
        });
    }

    #[test]
    fn a_port_in_another_namespace_is_configured_there() {
        with_pair(|_| {
            let elsewhere = Netns::new("elsewhere");
            let mut daemon = daemon();
            let cpid = Some(pb::v_port_arg::Cpid::Netns(elsewhere.name().to_owned()));
            let arg = packed(&pb::VPortArg { ifname: "inside".to_owned(), cpid, ..Default::default() });
            assert_eq!(create(&mut daemon, "VPort", arg, 1), (0, String::new()));
            configured(&mut daemon, &elsewhere, "inside");
        });
    }

    /// Bytes of a TCP connection, and what it takes to be well.
    const STREAM: usize = 8 << 20;

    /// Sends [`STREAM`] from one namespace to another; bits a second.
    fn transfer(from: &Netns, to: &Netns, address: &'static str) -> f64 {
        let (ready, listening) = std::sync::mpsc::channel();
        let taking = to.enter(move || {
            let listener = std::net::TcpListener::bind(address).unwrap();
            ready.send(()).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
        });
        listening.recv().unwrap();
        let start = std::time::Instant::now();
        let giving = from.enter(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            std::io::Write::write_all(&mut stream, &vec![7; STREAM]).unwrap();
        });
        giving.join().unwrap();
        assert_eq!(taking.join().unwrap(), STREAM as u64);
        8.0 * STREAM as f64 / start.elapsed().as_secs_f64()
    }

    /// Two hosts with TAPs, and between them a veth pair over which all frames go through packet sockets, tagged or not; the
    /// best of three transfers.
    fn across_a_pair(is_tagged: bool) -> f64 {
        let (done, rate) = std::sync::mpsc::channel();
        with_pair(move |_| {
            let hosts = ["a", "b"].map(Netns::new);
            // As large segments as the kernel hands over.
            let mut daemon =
                Daemon::start(Config { buffers: 1024, room: packet::ROOM_GSO, ..Config::default() });
            let open = |daemon: &mut Daemon, name: &str, driver: &str, arg: Any| {
                let (name, driver, arg) = (name.to_owned(), driver.to_owned(), Some(arg));
                daemon.must("CreatePort", &pb::CreatePortRequest { name, driver, arg, ..Default::default() });
            };
            for (host, address) in hosts.iter().zip(["10.7.0.1/24", "10.7.0.2/24"]) {
                let name = host.name().rsplit('-').next().unwrap();
                let cpid = Some(pb::v_port_arg::Cpid::Netns(host.name().to_owned()));
                let (ifname, ip_addrs) = (name.to_owned(), vec![address.to_owned()]);
                let arg = packed(&pb::VPortArg { ifname, cpid, ip_addrs, ..Default::default() });
                open(&mut daemon, name, "VPort", arg);
            }
            for dev in ["near", "far"] {
                open(&mut daemon, dev, "PCAPPort", packed(&pb::PcapPortArg { dev: dev.to_owned() }));
            }
            for (from, to, class) in [
                ("a", "near", "VLANPush"),
                ("far", "b", "VLANPop"),
                ("b", "far", "VLANPush"),
                ("near", "a", "VLANPop"),
            ] {
                let [inwards, tag, outwards] = ["in", "tag", "out"].map(|what| format!("{what}_{from}"));
                daemon.module(
                    "PortInc",
                    &inwards,
                    &pb::PortIncArg { port: from.to_owned(), prefetch: false },
                );
                daemon.module("PortOut", &outwards, &pb::PortOutArg { port: to.to_owned() });
                if is_tagged && class == "VLANPush" {
                    daemon.module(class, &tag, &pb::VlanPushArg { tci: 7 });
                } else {
                    daemon.module(if is_tagged { class } else { "Bypass" }, &tag, &NO_ARG);
                }
                daemon.connect(&inwards, 0, 0, &tag);
                daemon.connect(&tag, 0, 0, &outwards);
            }
            daemon.must("ResumeAll", &pb::EmptyRequest {});
            let rates = [(); 3].map(|()| transfer(&hosts[0], &hosts[1], "10.7.0.2:5001"));
            done.send(rates.into_iter().fold(0.0, f64::max)).unwrap();
        });
        rate.recv().unwrap()
    }

    /// With BESS, 10 Gbit/s become 25 Mbit/s when frames are tagged (NetSys/bess issue 1004).
    #[test]
    fn tagged_frames_are_as_fast() {
        let (plain, tagged) = (across_a_pair(false), across_a_pair(true));
        println!("TCP between two TAPs: {:.0} Mbit/s, tagged {:.0} Mbit/s", plain / 1e6, tagged / 1e6);
        assert!(tagged > plain / 3.0, "{tagged} bits a second of {plain}");
    }
}
