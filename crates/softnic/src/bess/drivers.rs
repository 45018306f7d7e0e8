//! Port drivers under BESS's names.
//!
//! | driver | argument | becomes |
//! |---|---|---|
//! | `UnixSocketPort` | `path` (a leading `@` is an abstract name), `confirm_connect` | `unix:PATH` |
//! | `PCAPPort` | `dev` | `packet:DEV`, a packet socket on the interface |
//! | `PMDPort` | `vdev='net_af_packet0,iface=eth0,qpairs=2'` | `packet:eth0,queues=2` |
//! | | `vdev='net_af_xdp0,iface=eth0'` | `xdp:eth0` |
//! | | `vdev='net_tap0,iface=tap0'` | `tap:tap0` |
//! | | `vdev='net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap'` | `pcap:a.pcap,out=b.pcap` |
//! | | `vdev='net_pcap0,iface=eth0'` | `packet:eth0` |
//! | | `vdev='net_memif0,role=server,socket=/run/x.sock,socket-abstract=no,id=1'` | `memif:/run/x.sock,role=server,id=1` |
//! | | `vdev='net_ring0'`, `loopback` | `ring:NAME` |
//! | `VPort` | `ifname`, `netns` or `container_pid`, `ip_addrs` | `tap:IFNAME` in that namespace, with these addresses, up |
//! | | `loopback` | `ring:NAME` |
//!
//! A memif's options are DPDK's, and so is what they are without a word: `role=client`, `socket=/run/memif.sock`, which is an
//! abstract name unless `socket-abstract=no`, `id=0`, `bsize=2048`, `rsize=10` (log2), no `secret`. It has as many queues as
//! the port.
//!
//! What needs DPDK or a kernel module (`port_id`, `pci`, other vdevs, `docker`) is refused with what to use instead.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use host::link::Netlink;
use packet::Pool;
use ports::memif::{MemifConfig, Role};
use ports::packet_socket::PacketConfig;
use ports::pcap::PcapConfig;
use ports::tap::TapConfig;
use ports::unix::UnixConfig;
use ports::xdp::XdpConfig;
use ports::{Port, PortError, PortSpec};
use prost_types::Any;
use rustix::io::Errno;

use super::class::{Argument, decode};
use super::{Failure, pb};

/// A port driver.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) template: &'static str,
    pub(crate) help: &'static str,
    pub(crate) open: fn(&Request<'_>) -> Result<Box<dyn Port>, Failure>,
    /// Sets an interface's address and MTU, and takes it up or down.
    pub(crate) configure: Configure,
}

/// Changes the interface of a port that was opened with that argument.
pub(crate) type Configure = fn(&Any, &str, Changes) -> Result<(), Failure>;

/// What is to change of an interface, as far as it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: Option<u32>,
    /// Whether it is to be up.
    pub(crate) up: Option<bool>,
}

/// A port to be opened.
pub(crate) struct Request<'a> {
    pub(crate) name: &'a str,
    pub(crate) arg: &'a Any,
    pub(crate) queues: u64,
    pub(crate) pool: &'a Pool,
    /// The descriptors of a port that is open already, from another process.
    pub(crate) handed: Mutex<Option<Vec<OwnedFd>>>,
}

/// Every driver, by name.
pub(crate) const DRIVERS: &[Driver] = &[
    Driver {
        name: "PCAPPort",
        template: "pcap_port",
        help: "packet socket on a Linux interface",
        open: pcap,
        configure: interface,
    },
    Driver {
        name: "PMDPort",
        template: "pmd_port",
        help: "DPDK's virtual devices, by Linux' own means",
        open: pmd,
        configure: interface,
    },
    Driver {
        name: "SpecPort",
        template: "spec_port",
        help: "any port of weft's, as it is named on its command line: veth:eth0, tap:t0, pcap:in.pcap,out=out.pcap",
        open: spec,
        configure: interface,
    },
    Driver {
        name: "UnixSocketPort",
        template: "unix_port",
        help: "packet exchange over a Unix socket",
        open: unix,
        configure: nothing,
    },
    Driver {
        name: "VPort",
        template: "vport",
        help: "an interface of the Linux host or a container (TAP)",
        open: vport,
        configure: interface_at_home,
    },
];

impl Request<'_> {
    fn handed(&self) -> MutexGuard<'_, Option<Vec<OwnedFd>>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, spec: &PortSpec) -> Result<Box<dyn Port>, Failure> {
        let opened = match self.handed().take() {
            Some(fds) => ports::adopt(spec, fds, self.pool),
            None => ports::open(spec, self.pool),
        };
        opened.map_err(|error| refused(&error))
    }

    fn ring(&self) -> Result<Box<dyn Port>, Failure> {
        self.open(&PortSpec::Ring(self.name.to_owned(), 1024))
    }
}

fn refused(error: &PortError) -> Failure {
    let code = match error {
        PortError::Privilege { .. } => Errno::PERM,
        PortError::Missing { .. } => Errno::NODEV,
        PortError::System { source, .. } => source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error),
        PortError::Closed { .. } => Errno::CONNRESET,
        PortError::Option { .. } => Errno::INVAL,
    };
    Failure::new(code, error.to_string())
}

fn kernel(error: &host::Error) -> Failure {
    let code = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
    Failure::new(code, error.to_string())
}

fn unix(request: &Request<'_>) -> Result<Box<dyn Port>, Failure> {
    let arg: pb::UnixSocketPortArg = decode(&Argument { any: request.arg })?;
    if request.queues > 1 {
        return Err(Failure::invalid("a Unix socket has one queue in each direction"));
    }
    let path = if arg.path.is_empty() { format!("/tmp/bess_unix_{}", request.name) } else { arg.path };
    request.open(&PortSpec::Unix(path, UnixConfig { confirm: arg.confirm_connect, ..UnixConfig::default() }))
}

fn pcap(request: &Request<'_>) -> Result<Box<dyn Port>, Failure> {
    let arg: pb::PcapPortArg = decode(&Argument { any: request.arg })?;
    if arg.dev.is_empty() {
        return Err(Failure::invalid("'dev' must name an interface"));
    }
    request.open(&PortSpec::Packet(arg.dev, PacketConfig::default()))
}

fn spec(request: &Request<'_>) -> Result<Box<dyn Port>, Failure> {
    let arg: pb::SpecPortArg = decode(&Argument { any: request.arg })?;
    let spec: PortSpec = arg.spec.parse().map_err(|error: PortError| refused(&error))?;
    if request.queues > 1 {
        return Err(Failure::invalid("the number of queues is a part of the spec: veth:eth0,queues=2"));
    }
    request.open(&spec)
}

fn pmd(request: &Request<'_>) -> Result<Box<dyn Port>, Failure> {
    let arg: pb::PmdPortArg = decode(&Argument { any: request.arg })?;
    if arg.loopback {
        return request.ring();
    }
    match arg.port {
        Some(pb::pmd_port_arg::Port::Vdev(vdev)) => virtual_device(request, &vdev),
        Some(pb::pmd_port_arg::Port::PortId(_) | pb::pmd_port_arg::Port::Pci(_)) => Err(Failure::new(
            Errno::NODEV,
            "no network card is driven directly: name its interface, as vdev='net_af_xdp0,iface=eth0' or \
             vdev='net_af_packet0,iface=eth0'",
        )),
        None => Err(Failure::invalid("'vdev' must be given, such as 'net_af_packet0,iface=eth0'")),
    }
}

/// Opens what DPDK calls a virtual device: `net_KIND<N>,key=value,…`.
fn virtual_device(request: &Request<'_>, vdev: &str) -> Result<Box<dyn Port>, Failure> {
    let mut parts = vdev.split(',');
    let device = parts.next().unwrap_or_default();
    let kind = device.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let kind = kind.strip_prefix("net_").or_else(|| kind.strip_prefix("eth_")).unwrap_or(kind);
    let options: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let option = |key: &str| options.iter().find(|(have, _)| *have == key).map(|(_, value)| *value);
    let number = |key: &str| -> Result<usize, Failure> {
        let wanted = option(key).map(str::parse).transpose();
        let wanted = wanted.map_err(|_| Failure::invalid(format!("{vdev}: {key} takes a number")))?;
        Ok(wanted.unwrap_or(1).max(request.queues as usize))
    };
    let interface = || {
        let name = option("iface").filter(|name| !name.is_empty());
        name.map(ToOwned::to_owned).ok_or_else(|| Failure::invalid(format!("{vdev}: iface=NAME is missing")))
    };
    match kind {
        "af_packet" => {
            let config = PacketConfig { queues: number("qpairs")?, ..PacketConfig::default() };
            request.open(&PortSpec::Packet(interface()?, config))
        }
        "af_xdp" => {
            let config = XdpConfig { queues: number("queue_count")?, ..XdpConfig::default() };
            request.open(&PortSpec::Xdp(interface()?, config))
        }
        "tap" => {
            let name = option("iface").map_or_else(|| format!("d{device}"), ToOwned::to_owned);
            let config = TapConfig { queues: request.queues as usize, ..TapConfig::default() };
            request.open(&PortSpec::Tap(name, config))
        }
        "pcap" => match option("iface").or_else(|| option("rx_iface")) {
            Some(name) => request.open(&PortSpec::Packet(name.to_owned(), PacketConfig::default())),
            None => request.open(&PortSpec::Pcap(PcapConfig {
                read: option("rx_pcap").map(PathBuf::from),
                write: option("tx_pcap").map(PathBuf::from),
                repeat: option("infinite_rx") == Some("1"),
            })),
        },
        "memif" => request.open(&memif(request, vdev, option)?),
        "ring" => request.ring(),
        _ => Err(Failure::unsupported(format!(
            "{vdev}: net_af_packet, net_af_xdp, net_tap, net_pcap, net_memif and net_ring are known; for a peer in a \
             container or a virtual machine take net_memif, net_tap or a UnixSocketPort"
        ))),
    }
}

/// What DPDK's `net_memif` is asked for.
fn memif<'v>(
    request: &Request<'_>,
    vdev: &str,
    option: impl Fn(&str) -> Option<&'v str>,
) -> Result<PortSpec, Failure> {
    let wrong = |key: &str, takes: &str| Failure::invalid(format!("{vdev}: {key} takes {takes}"));
    let number = |key: &str, default: u32| {
        option(key).map_or(Ok(default), |value| value.parse().map_err(|_| wrong(key, "a number")))
    };
    let default = MemifConfig::default();
    let role = match option("role") {
        None | Some("client" | "slave") => Role::Client,
        Some("server" | "master") => Role::Server,
        Some(_) => return Err(wrong("role", "server or client")),
    };
    let socket = option("socket").unwrap_or("/run/memif.sock");
    let path = match option("socket-abstract") {
        None | Some("yes") => format!("@{socket}"),
        Some("no") => socket.to_owned(),
        Some(_) => return Err(wrong("socket-abstract", "yes or no")),
    };
    let ring = 1u32.checked_shl(number("rsize", default.ring.ilog2())?);
    let config = MemifConfig {
        role,
        id: number("id", default.id)?,
        queues: request.queues as usize,
        ring: ring.ok_or_else(|| wrong("rsize", "the logarithm of 2 to 16384"))?,
        buffer: number("bsize", default.buffer)?,
        secret: option("secret").unwrap_or_default().to_owned(),
    };
    Ok(PortSpec::Memif(path, Box::new(config)))
}

fn vport(request: &Request<'_>) -> Result<Box<dyn Port>, Failure> {
    let arg: pb::VPortArg = decode(&Argument { any: request.arg })?;
    if arg.loopback {
        return request.ring();
    }
    let name = if arg.ifname.is_empty() { request.name.to_owned() } else { arg.ifname.clone() };
    let config = TapConfig { queues: request.queues as usize, ..TapConfig::default() };
    let spec = PortSpec::Tap(name.clone(), config);
    if request.handed().is_some() {
        // It is where it should be, with its addresses, and up.
        return request.open(&spec);
    }
    let addresses = arg.ip_addrs.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
    let make = || -> Result<Box<dyn Port>, Failure> {
        let port = request.open(&spec)?;
        let mut netlink = Netlink::open().map_err(|error| kernel(&error))?;
        let index = netlink.index(&name).map_err(|error| kernel(&error))?;
        for &(address, prefix) in &addresses {
            netlink.add_address(index, address, prefix).map_err(|error| kernel(&error))?;
        }
        netlink.set_up(index, true).map_err(|error| kernel(&error))?;
        Ok(port)
    };
    match home(&arg)? {
        None => make(),
        Some(netns) => host::netns::within(netns, make).map_err(|error| kernel(&error))?,
    }
}

/// The namespace that a `VPort` is in, where it is not the daemon's own.
fn home(arg: &pb::VPortArg) -> Result<Option<OwnedFd>, Failure> {
    let netns = match &arg.cpid {
        None => return Ok(None),
        Some(pb::v_port_arg::Cpid::Netns(path)) => host::netns::open(&namespace(path)),
        Some(pb::v_port_arg::Cpid::ContainerPid(pid)) => {
            let pid =
                u32::try_from(*pid).map_err(|_| Failure::invalid(format!("no process has number {pid}")))?;
            host::ProcessId::of(pid).and_then(host::netns::of)
        }
        Some(pb::v_port_arg::Cpid::Docker(name)) => {
            return Err(Failure::unsupported(format!(
                "docker is not asked for '{name}': give container_pid, as `docker inspect -f '{{{{.State.Pid}}}}'` \
                 prints it"
            )));
        }
    };
    netns.map(Some).map_err(|error| kernel(&error))
}

/// A namespace by its path, or by its name as `ip netns` keeps it.
fn namespace(name: &str) -> PathBuf {
    if name.contains('/') { PathBuf::from(name) } else { Path::new("/var/run/netns").join(name) }
}

/// An address with its prefix length, `192.0.2.1/24`.
fn address(text: &str) -> Result<(std::net::IpAddr, u8), Failure> {
    let wrong =
        || Failure::invalid(format!("an address is written 192.0.2.1/24 or 2001:db8::1/64, not `{text}`"));
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|&prefix| prefix <= most).ok_or_else(wrong)?;
    Ok((address, prefix))
}

/// As [`interface`], where a `VPort` has put it.
fn interface_at_home(arg: &Any, name: &str, changes: Changes) -> Result<(), Failure> {
    match home(&decode(&Argument { any: arg })?)? {
        None => interface(arg, name, changes),
        Some(netns) => {
            host::netns::within(netns, || interface(arg, name, changes)).map_err(|error| kernel(&error))?
        }
    }
}

fn interface(_: &Any, name: &str, Changes { mac, mtu, up }: Changes) -> Result<(), Failure> {
    let mut netlink = Netlink::open().map_err(|error| kernel(&error))?;
    let index = netlink.index(name).map_err(|error| kernel(&error))?;
    if let Some(mac) = mac {
        netlink.set_mac(index, host::Mac(mac)).map_err(|error| kernel(&error))?;
    }
    if let Some(mtu) = mtu {
        netlink.set_mtu(index, mtu).map_err(|error| kernel(&error))?;
    }
    if let Some(up) = up {
        netlink.set_up(index, up).map_err(|error| kernel(&error))?;
    }
    Ok(())
}

fn nothing(_: &Any, _: &str, changes: Changes) -> Result<(), Failure> {
    if changes == Changes::default() {
        Ok(())
    } else {
        Err(Failure::unsupported("a socket has neither a MAC address nor an MTU, and is not taken down"))
    }
}
