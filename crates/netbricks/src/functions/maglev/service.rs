//! What is balanced, over what, and how: as values and as words.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use lookup::maglev::MaglevError;
use packet::flow::{FlowHasher, FlowKey};
use packet::wire::{IpProtocol, MacAddr};
use thiserror::Error;

use super::super::Setup;
use super::Maglev;
use super::balancer::BalancerConfig;
use crate::{Args, ArgsError, NetworkFunction};

/// A second.
const SECOND_NS: u64 = 1_000_000_000;

/// Text that is no service or back end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Not a service.
    #[error("{0:?}: a service is wanted: 192.0.2.10:80/tcp, [2001:db8::10]:53/udp")]
    Service(String),
    /// Not a back end.
    #[error("{0:?}: a back end is wanted: 10.0.0.1, 10.0.0.1:8080,weight=2,mac=02:00:00:00:00:01")]
    Backend(String),
}

/// Back ends that cannot be balanced over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BackendsError {
    /// Packets cannot get to one.
    #[error("back end {address}: {problem}")]
    OutOfReach {
        /// Its address.
        address: IpAddr,
        /// Why not.
        problem: &'static str,
    },
    /// There is no table of them.
    #[error(transparent)]
    Table(#[from] MaglevError),
}

/// What is balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: IpProtocol,
}

impl Service {
    /// Whether packets of that flow are for it.
    pub(super) fn is_of(&self, key: &FlowKey) -> bool {
        key.protocol() == self.protocol
            && key.destination() == self.address
            && key.destination_port() == self.port
    }

    /// The flow to it from where that one comes from, if it is of its protocol.
    pub(super) fn flow_from(&self, key: &FlowKey) -> Option<FlowKey> {
        let client = (key.source(), key.source_port()).into();
        let service = (self.address, self.port).into();
        FlowKey::new(self.protocol, client, service).filter(|_| key.protocol() == self.protocol)
    }
}

impl FromStr for Service {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::Service(text.chars().take(60).collect());
        let (end, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let end: SocketAddr = end.parse().map_err(|_| wrong())?;
        let protocol = match protocol {
            "tcp" => IpProtocol::TCP,
            "udp" => IpProtocol::UDP,
            _ => return Err(wrong()),
        };
        Ok(Self { address: end.ip(), port: end.port(), protocol })
    }
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 is the service's.
    pub port: u16,
    /// Its share of new connections, relative to the others'.
    pub weight: u32,
    /// Its Ethernet address, where frames are to go to it directly.
    pub mac: Option<MacAddr>,
}

impl FromStr for Backend {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::Backend(text.chars().take(60).collect());
        let mut parts = text.split(',');
        let (address, port) = end(parts.next().unwrap_or_default()).ok_or_else(wrong)?;
        let mut backend = Self { address, port, weight: 1, mac: None };
        for part in parts {
            match part.split_once('=') {
                Some(("weight", weight)) => backend.weight = weight.parse().map_err(|_| wrong())?,
                Some(("mac", mac)) => backend.mac = Some(mac.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(backend)
    }
}

/// `10.0.0.1` or `10.0.0.1:8080`.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let with_port = text.parse::<SocketAddr>().map(|end| (end.ip(), end.port()));
    with_port.or_else(|_| text.parse().map(|address| (address, 0))).ok()
}

/// How packets get to a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With its address and port as destination.
    Nat,
    /// With its Ethernet address as destination.
    Dsr,
    /// In an IP packet (RFC 2003, RFC 2473) from this address.
    Ipip(IpAddr),
    /// In a GRE packet (RFC 2784) from this address.
    Gre(IpAddr),
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let service: Service = args.require("vip", "the service: 192.0.2.10:80/tcp")?;
    let lines = args.lines("backend")?;
    let mut backends = lines
        .iter()
        .map(|line| line.parse::<Backend>().map_err(|error| args.conflict(error)))
        .collect::<Result<Vec<_>, _>>()?;
    for line in args.lines("down")? {
        let down =
            end(&line).ok_or_else(|| args.wrong("down", &line, "a back end is wanted: 10.0.0.1:8080"))?;
        let of =
            |backend: &&mut Backend| backend.address == down.0 && (down.1 == 0 || backend.port == down.1);
        let mut found = false;
        backends.iter_mut().filter(of).for_each(|backend| (backend.weight, found) = (0, true));
        if !found {
            return Err(args.wrong("down", &line, "there is no such back end"));
        }
    }
    let source = args.take::<IpAddr>("source")?;
    let tunnel = |mode: fn(IpAddr) -> Mode| source.map(mode).ok_or_else(|| "it needs source=…".to_owned());
    let mode = args.take_with("mode", |text| match text {
        "nat" => Ok(Mode::Nat),
        "dsr" => Ok(Mode::Dsr),
        "ipip" => tunnel(Mode::Ipip),
        "gre" => tunnel(Mode::Gre),
        _ => Err("nat, dsr, ipip or gre is wanted".into()),
    })?;
    let mode = mode.unwrap_or(Mode::Nat);
    let default = BalancerConfig::default();
    let config = BalancerConfig {
        flows: args.number("flows", default.flows as u64, 1..=1 << 24)? as usize,
        idle_ns: args.duration_ns("idle", default.idle_ns)?.max(SECOND_NS),
        table: args.number("table", default.table as u64, 2..=1 << 24)? as usize,
    };
    let maglev = Maglev::new(service, backends, mode, config, FlowHasher::new(setup.key));
    Ok(Box::new(maglev.map_err(|error| args.conflict(error))?))
}

/// Whether packets can get to every back end.
pub(super) fn check(service: &Service, backends: &[Backend], mode: Mode) -> Result<(), BackendsError> {
    for &Backend { address, port, mac, .. } in backends {
        let problem = match mode {
            Mode::Nat if address.is_ipv4() != service.address.is_ipv4() => {
                "it is of another family than the service"
            }
            Mode::Dsr if mac.is_none() => "mode=dsr needs its mac=…",
            Mode::Ipip(source) | Mode::Gre(source) if address.is_ipv4() != source.is_ipv4() => {
                "it is of another family than source=…"
            }
            Mode::Dsr | Mode::Ipip(_) | Mode::Gre(_) if port != 0 && port != service.port => {
                "only mode=nat changes ports"
            }
            _ => continue,
        };
        return Err(BackendsError::OutOfReach { address, problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_back_ends_are_read_or_refused() {
        let service: Service = "[2001:db8::10]:53/udp".parse().unwrap();
        assert_eq!((service.port, service.protocol), (53, IpProtocol::UDP));
        let backend: Backend = "10.0.0.1:8080,weight=2,mac=02:00:00:00:00:01".parse().unwrap();
        let mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(backend, Backend { address: [10, 0, 0, 1].into(), port: 8080, weight: 2, mac });
        assert_eq!("2001:db8::1".parse::<Backend>().map(|backend| backend.port), Ok(0));
        for wrong in ["", "10.0.0.1:80", "10.0.0.1/tcp", "10.0.0.1:80/sctp"] {
            assert!(wrong.parse::<Service>().is_err(), "{wrong}");
        }
        for wrong in ["", "10.0.0.1:x", "10.0.0.1,weight=-1", "10.0.0.1,mac=1", "10.0.0.1,up"] {
            assert!(wrong.parse::<Backend>().is_err(), "{wrong}");
        }
    }
}
