//! What functions that translate addresses have in common: arguments, and the parts that they are built into.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;

use packet::flow::FlowHasher;
use packet::wire::IpProtocol;

use super::Setup;
use crate::conntrack::{self, FLOWS_MAX};
use crate::nat::{self, Config, EXTERNALS_MAX, Limits, MAPPINGS_MAX, Nat, Realm, Router};
use crate::neighbours::Subnet;
use crate::{Args, ArgsError};

/// What a translator is made of.
pub(super) struct Translator {
    pub(super) router: Router,
    pub(super) nat: Nat,
    /// Whether who gets no mapping is told.
    pub(super) tells: bool,
}

impl Translator {
    /// Takes `outside`, `gateway`, `external`, `ports`, `filter`, `forward`, `flows`, `mappings`, `per-host`, `refuse`,
    /// `liberal`, and the Ethernet addresses.
    pub(super) fn build(
        args: &mut Args,
        setup: &Setup,
        inside: Subnet,
        realm: Realm,
    ) -> Result<Self, ArgsError> {
        let (outside, address) = outside(args)?;
        let externals = externals(args, address)?;
        let forwards = args.lines("forward")?;
        let router = Router::build(args, setup, [inside, outside], externals)?;
        let (config, tells) = config(args, realm, externals)?;
        let mut nat = Nat::new(&config, FlowHasher::new(setup.key));
        forward(args, &mut nat, &forwards, (externals.0, &inside))?;
        Ok(Self { router, nat, tells })
    }
}

/// Sets the static forwards up.
fn forward(
    args: &Args,
    nat: &mut Nat,
    forwards: &[String],
    (external, inside): (Ipv4Addr, &Subnet),
) -> Result<(), ArgsError> {
    for text in forwards {
        let wrong = |problem: &str| args.wrong("forward", text, problem);
        let (protocol, from, to) = parse_forward(text, external).map_err(|problem| wrong(&problem))?;
        if !inside.contains(to.ip()) {
            return Err(wrong("the host is not inside"));
        }
        if !nat.forward(protocol, from.into(), to) {
            return Err(wrong("the external address is none of ours, or the port is taken"));
        }
    }
    Ok(())
}

/// An address of IPv4 with its subnet.
pub(super) fn subnet_v4(
    args: &mut Args,
    key: &'static str,
    wanted: &'static str,
) -> Result<Subnet, ArgsError> {
    let subnet: Subnet = args.require(key, wanted)?;
    match subnet.address().is_ipv4() && !subnet.is_reserved(subnet.address()) {
        true => Ok(subnet),
        false => Err(args.wrong(key, &subnet.to_string(), "a host's IPv4 address is wanted")),
    }
}

/// The address outside, as all translators have one.
fn outside(args: &mut Args) -> Result<(Subnet, Ipv4Addr), ArgsError> {
    let subnet = subnet_v4(args, "outside", "its address outside, such as 192.0.2.2/24")?;
    match subnet.address() {
        IpAddr::V4(address) => Ok((subnet, address)),
        IpAddr::V6(_) => Err(args.conflict("outside is IPv4")),
    }
}

/// `external=A[-B]`: the first and the last.
fn externals(args: &mut Args, own: Ipv4Addr) -> Result<(Ipv4Addr, Ipv4Addr), ArgsError> {
    let read = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let wrong = |_| "an address or two are wanted: 192.0.2.3-192.0.2.9".to_owned();
        let (first, last): (Ipv4Addr, Ipv4Addr) =
            (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
        match last.to_bits().checked_sub(first.to_bits()) {
            Some(count) if (count as usize) < EXTERNALS_MAX => Ok((first, last)),
            _ => Err(format!("1 to {EXTERNALS_MAX} addresses are wanted")),
        }
    };
    Ok(args.take_with("external", read)?.unwrap_or((own, own)))
}

/// What all translators are told, and whether they tell who gets no mapping.
fn config(
    args: &mut Args,
    realm: Realm,
    (first, last): (Ipv4Addr, Ipv4Addr),
) -> Result<(Config, bool), ArgsError> {
    let ports = args.take_with("ports", parse_ports)?.unwrap_or(1024..=u16::MAX);
    let filters = args.switch("filter", true)?;
    let flows = args.number("flows", 65_536, 1..=FLOWS_MAX as u64)? as usize;
    let mappings = args.number("mappings", 65_536, 1..=MAPPINGS_MAX as u64)? as usize;
    let per_host = args.number("per-host", 4096, 1..=MAPPINGS_MAX as u64)? as u32;
    let tells = args.take_with("refuse", |text| match text {
        "icmp" => Ok(true),
        "silent" => Ok(false),
        _ => Err("icmp or silent is wanted".into()),
    })?;
    let liberal = args.switch("liberal", false)?;
    let conntrack = conntrack::Config {
        flows,
        translations: flows,
        liberal,
        timeouts: nat::timeouts(),
        ..Default::default()
    };
    let externals = (first.to_bits()..=last.to_bits()).map(|bits| Ipv4Addr::from(bits).into()).collect();
    let limits = Limits { ports, mappings, per_host };
    Ok((Config { realm, externals, limits, filters, conntrack }, tells.unwrap_or(true)))
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "a range of ports from 1 on is wanted: 1024-65535".to_owned();
    let (low, high) = text.split_once('-').ok_or_else(wrong)?;
    let (low, high): (u16, u16) = (low.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
    if low == 0 || low > high { Err(wrong()) } else { Ok(low..=high) }
}

/// Reads `tcp/8080:10.0.0.5:80` and `udp/192.0.2.3:53:[fd00::5]:53`.
fn parse_forward(text: &str, external: Ipv4Addr) -> Result<(IpProtocol, SocketAddrV4, SocketAddr), String> {
    let wrong = || "tcp/PORT:HOST:PORT or udp/ADDRESS:PORT:HOST:PORT is wanted".to_owned();
    let (protocol, rest) = text.split_once('/').ok_or_else(wrong)?;
    let protocol = match protocol {
        "tcp" => IpProtocol::TCP,
        "udp" => IpProtocol::UDP,
        _ => return Err(wrong()),
    };
    let (first, behind) = rest.split_once(':').ok_or_else(wrong)?;
    let (external, port, inside) = match first.parse::<Ipv4Addr>() {
        Ok(address) => {
            let (port, inside) = behind.split_once(':').ok_or_else(wrong)?;
            (address, port, inside)
        }
        Err(_) => (external, first, behind),
    };
    let (port, inside): (u16, SocketAddr) =
        (port.parse().map_err(|_| wrong())?, inside.parse().map_err(|_| wrong())?);
    if port == 0 || inside.port() == 0 {
        Err(wrong())
    } else {
        Ok((protocol, SocketAddrV4::new(external, port), inside))
    }
}
