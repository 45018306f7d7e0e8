//! NAT between two kernels' network stacks, in both versions of IP.
//!
//! ```text
//!  inside: in0 10.0.0.5, fd00::5 ── [ NAT: 192.0.2.1, 2001:db8::1 ] ── out0 192.0.2.9, 2001:db8::9 :outside
//! ```
//!
//! The translator is no router: each side is told the other's Ethernet address.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use packet::wire::MacAddr;
use softnic::bess::{Config, pb};

use crate::bess_kit::{Daemon, packed};
use crate::lab::{Netns, PATIENCE};

/// Bytes of a TCP connection, each way.
const BYTES: usize = 1 << 20;

/// One version of IP: whom the inside talks to, and who it is for them.
#[derive(Clone, Copy)]
struct Version {
    server: &'static str,
    external: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version { server: "192.0.2.9", external: "192.0.2.1" },
    Version { server: "2001:db8::9", external: "2001:db8::1" },
];

impl Version {
    fn server(self) -> IpAddr {
        self.server.parse().unwrap()
    }

    fn external(self) -> IpAddr {
        self.external.parse().unwrap()
    }
}

/// Ends in order: the daemon before its namespaces.
struct Lab {
    _daemon: Daemon,
    inside: Netns,
    outside: Netns,
}

impl Lab {
    fn new() -> Self {
        let (inside, outside) = (Netns::new("in"), Netns::new("out"));
        let mut daemon = Daemon::start(Config { buffers: 4096, ..Config::default() });
        let external = |version: &Version| pb::nat_arg::ExternalAddress {
            ext_addr: version.external.to_owned(),
            port_ranges: vec![],
        };
        daemon.module("NAT", "nat", &pb::NatArg { ext_addrs: VERSIONS.iter().map(external).collect() });
        let sides = [
            (&inside, "in0", ["10.0.0.5/24", "fd00::5/64"]),
            (&outside, "out0", ["192.0.2.9/24", "2001:db8::9/64"]),
        ];
        let macs: Vec<MacAddr> = sides
            .iter()
            .enumerate()
            .map(|(gate, (ns, name, addresses))| Self::attach(&mut daemon, gate as u64, ns, name, addresses))
            .collect();
        daemon.must("ResumeAll", &pb::EmptyRequest {});
        for (ns, name, neighbours, mac) in [
            (&inside, "in0", ["10.0.0.1", "fd00::1"], macs[1]),
            (&outside, "out0", ["192.0.2.1", "2001:db8::1"], macs[0]),
        ] {
            for neighbour in neighbours {
                ns.ip(&format!("neigh replace {neighbour} lladdr {mac} dev {name} nud permanent"));
            }
        }
        inside.ip("route add default via 10.0.0.1 dev in0");
        inside.ip("-6 route add default via fd00::1 dev in0");
        Self { _daemon: daemon, inside, outside }
    }

    /// Puts an interface of the translator's into a namespace, and says its address.
    fn attach(daemon: &mut Daemon, gate: u64, ns: &Netns, name: &str, addresses: &[&str]) -> MacAddr {
        let arg = pb::VPortArg {
            ifname: name.to_owned(),
            cpid: Some(pb::v_port_arg::Cpid::Netns(ns.name().to_owned())),
            ip_addrs: addresses.iter().map(|&address| address.to_owned()).collect(),
            ..Default::default()
        };
        let (port, driver, arg) = (name.to_owned(), "VPort".to_owned(), Some(packed(&arg)));
        daemon.must(
            "CreatePort",
            &pb::CreatePortRequest { name: port.clone(), driver, arg, ..Default::default() },
        );
        let [inwards, outwards] = ["from", "to"].map(|way| format!("{way}_{name}"));
        daemon.module("PortInc", &inwards, &pb::PortIncArg { port: port.clone(), prefetch: false });
        daemon.module("PortOut", &outwards, &pb::PortOutArg { port });
        daemon.connect(&inwards, 0, gate, "nat");
        daemon.connect("nat", gate, 0, &outwards);
        ns.run(&format!("cat /sys/class/net/{name}/address")).trim().parse().unwrap()
    }
}

/// What a connection carries.
fn bytes() -> Vec<u8> {
    (0..BYTES).map(|at| (at / 7 % 251) as u8).collect()
}

#[test]
fn tcp_goes_through_in_both_versions() {
    let lab = Lab::new();
    for version in VERSIONS {
        let listener = lab.outside.enter(move || TcpListener::bind((version.server(), 80)).unwrap());
        let listener = listener.join().unwrap();
        let served = std::thread::spawn(move || {
            let (mut connection, peer) = listener.accept().unwrap();
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut seen = vec![0; BYTES];
            connection.read_exact(&mut seen).unwrap();
            connection.write_all(&seen).unwrap();
            peer.ip()
        });
        let asked = lab.inside.enter(move || {
            let server = SocketAddr::from((version.server(), 80));
            let mut connection = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut other = connection.try_clone().unwrap();
            let sending = std::thread::spawn(move || other.write_all(&bytes()).unwrap());
            let mut seen = vec![0; BYTES];
            connection.read_exact(&mut seen).unwrap();
            sending.join().unwrap();
            assert!(seen == bytes(), "other bytes came back");
        });
        asked.join().unwrap();
        assert_eq!(served.join().unwrap(), version.external());
    }
}

#[test]
fn datagrams_pings_fragments_and_errors_go_through_in_both_versions() {
    let lab = Lab::new();
    for version in VERSIONS {
        let bind = move |ns: &Netns, address: IpAddr| {
            let open = move || {
                let socket = UdpSocket::bind((address, 0)).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
            };
            ns.enter(open).join().unwrap()
        };
        let server = bind(&lab.outside, version.server());
        let own: IpAddr = if version.server().is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
        let client = bind(&lab.inside, own);
        // The second is longer than a link carries.
        for length in [10, 5000] {
            let question = &bytes()[..length];
            client.send_to(question, server.local_addr().unwrap()).unwrap();
            let mut seen = vec![0; 2 * length];
            let (count, peer) = server.recv_from(&mut seen).unwrap();
            assert_eq!((peer.ip(), &seen[..count]), (version.external(), question));
            server.send_to(&seen[..count], peer).unwrap();
            let (count, peer) = client.recv_from(&mut seen).unwrap();
            assert_eq!((peer, &seen[..count]), (server.local_addr().unwrap(), question));
        }
        for size in [56, 5000] {
            let said = lab.inside.run(&format!("ping -c 3 -i 0.1 -W 5 -s {size} {}", version.server));
            assert!(said.contains(" 0% packet loss"), "{said}");
        }
        // Nobody is there: the error about the translated packet reaches who sent it.
        let closed = bind(&lab.inside, own);
        closed.connect((version.server(), 9)).unwrap();
        closed.send(b"anybody?").unwrap();
        let error = closed.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}
