//! `weft ddc run`: a whole network on this machine.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use ddc::live::{Direction, Member, NodeReport, OVERHEAD_MAX, Site};
use host::link::{Netlink, Route, VethEnd};
use host::{ProcessId, netns};
use miette::{IntoDiagnostic, WrapErr, miette};

use super::place::{Host, Place, Record, Running, read_site};
use super::stop;

/// How long routers may take until each knows a way to all others.
const READY_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// Packets that wait at an end of a veth pair.
const QUEUE: u32 = 1000;

/// Run a whole network on this machine: a network namespace and a process for each router, and a namespace for a host of each
/// prefix.
///
/// The namespaces are those of `ip netns`: NETWORK-R1 for router R1, whose interfaces are named after its neighbours, and
/// NETWORK-R1-host for its host. Links can be cut and restored with `ip`, routers can be killed; run it again, and routers
/// that are gone are started. Needs root.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weft ddc run examples/ddc/twelve.ddc\n  ip netns exec ddc-R1-host ping -c 3 10.12.0.2\n  \
                        ip -n ddc-R1 link set R2 down; weft ddc show --router R1; weft ddc stop"
)]
pub(crate) struct Run {
    /// The network file
    file: PathBuf,
    /// What the network is called: its namespaces begin with it
    #[arg(long, value_name = "NAME", default_value = "ddc")]
    network: String,
}

impl Run {
    pub(crate) fn run(&self) -> miette::Result<()> {
        let (text, site) = read_site(&self.file)?;
        let place = Place::of(&self.network)?;
        let mut record = match place.read()? {
            Some(_) if std::fs::read_to_string(place.file()).into_diagnostic()? != text => {
                return Err(miette!(
                    "a network `{0}` of another file runs: `weft ddc stop --network {0}` ends it",
                    place.name
                ));
            }
            Some(record) => record,
            None => {
                std::fs::create_dir_all(&place.directory).into_diagnostic()?;
                std::fs::write(place.file(), &text).into_diagnostic()?;
                let mut record = Record::default();
                if let Err(error) = build(&place, &site, &mut record) {
                    stop::take_down(&place, &record);
                    return Err(error);
                }
                record
            }
        };
        for router in &mut record.routers {
            if router.process.is_none_or(|process| !process.is_alive()) {
                router.process = Some(spawn(&place, router)?);
            }
        }
        place.write(&record)?;
        let begin = Instant::now();
        await_ways(&place, &record, begin)?;
        println!(
            "{}: {} routers know {} links and all ways, after {:.1} s",
            place.name,
            record.routers.len(),
            site.map.link_count(),
            begin.elapsed().as_secs_f64()
        );
        for host in &record.hosts {
            println!("{}  {}", host.namespace, host.addresses.join("  "));
        }
        Ok(())
    }
}

/// Is there room for a host in one of a router's prefixes?
pub(super) fn has_hosts(router: &Member) -> bool {
    router.addresses.iter().any(|(address, length)| host_of(*address, *length).is_some())
}

/// The address of the host of a prefix whose router has `address`: the next one, or the one before.
fn host_of(address: IpAddr, length: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(own) if length <= 30 => {
            let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let next = own.to_bits() + 1;
            Some(IpAddr::V4(if next & host == host { own.to_bits() - 1 } else { next }.into()))
        }
        IpAddr::V6(own) if length <= 126 => {
            let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let own = own.to_bits();
            Some(IpAddr::V6(if own & host == host { own - 1 } else { own + 1 }.into()))
        }
        _ => None,
    }
}

/// Makes namespaces and links. What was made is in the record, whether it came to an end or not.
fn build(place: &Place, site: &Site, record: &mut Record) -> miette::Result<()> {
    for router in &site.routers {
        let namespace = format!("{}-{}", place.name, router.name);
        netns::create_named(&namespace, false).into_diagnostic()?;
        record.routers.push(Running { name: router.name.clone(), namespace, process: None });
        place.write(record)?;
    }
    let opened = |running: &Running| -> miette::Result<OwnedFd> {
        netns::open(&netns::named(&running.namespace).into_diagnostic()?).into_diagnostic()
    };
    let namespaces: Vec<OwnedFd> = record.routers.iter().map(opened).collect::<miette::Result<_>>()?;
    let mut netlink = Netlink::open().into_diagnostic()?;
    for link in 0..site.map.link_count() {
        let [(a, _), (b, _)] = site.map.ends(link);
        let end = |at: u32, to: u32| VethEnd {
            name: site.map.name(to as usize),
            mac: None,
            netns: Some(namespaces[at as usize].as_fd()),
            up: false,
        };
        netlink
            .add_veth(end(a, b), end(b, a), u32::from(site.mtu) + OVERHEAD_MAX as u32, QUEUE)
            .into_diagnostic()?;
        switch_on(&namespaces[a as usize], site.map.name(b as usize))?;
        switch_on(&namespaces[b as usize], site.map.name(a as usize))?;
    }
    for (member, namespace) in site.routers.iter().zip(&namespaces) {
        if has_hosts(member) {
            let host = format!("{}-{}-host", place.name, member.name);
            netns::create_named(&host, true).into_diagnostic()?;
            let addresses = member.addresses.iter().filter_map(|(address, length)| {
                host_of(*address, *length).map(|host| format!("{host}/{length}"))
            });
            record.hosts.push(Host {
                router: member.name.clone(),
                namespace: host.clone(),
                addresses: addresses.collect(),
            });
            place.write(record)?;
            let host = netns::open(&netns::named(&host).into_diagnostic()?).into_diagnostic()?;
            attach(&mut netlink, member, site.mtu, namespace, &host)?;
        }
    }
    Ok(())
}

/// Switches an interface on: the ends of a pair can be once both are there.
fn switch_on(namespace: &OwnedFd, name: &str) -> miette::Result<()> {
    let done = netns::within(namespace, || -> host::Result<()> {
        let mut netlink = Netlink::open()?;
        let interface = netlink.index(name)?;
        netlink.set_up(interface, true)
    });
    done.into_diagnostic()?.into_diagnostic()
}

/// Joins a host to its router.
fn attach(
    netlink: &mut Netlink,
    member: &Member,
    mtu: u16,
    router: &OwnedFd,
    host: &OwnedFd,
) -> miette::Result<()> {
    let at_router = VethEnd { name: "host", mac: None, netns: Some(router.as_fd()), up: false };
    let at_host = VethEnd { name: "eth0", mac: None, netns: Some(host.as_fd()), up: false };
    netlink.add_veth(at_router, at_host, mtu.into(), QUEUE).into_diagnostic()?;
    switch_on(router, "host")?;
    switch_on(host, "eth0")?;
    let configured = netns::within(host, || -> host::Result<()> {
        let mut netlink = Netlink::open()?;
        let interface = netlink.index("eth0")?;
        for (address, length) in &member.addresses {
            if let Some(own) = host_of(*address, *length) {
                netlink.add_address(interface, own, *length)?;
            }
        }
        for (address, length) in &member.addresses {
            if host_of(*address, *length).is_some() {
                let everything = match address {
                    IpAddr::V4(_) => IpAddr::from([0; 4]),
                    IpAddr::V6(_) => IpAddr::from([0; 16]),
                };
                // The second prefix of a family needs no second default route.
                let _ = netlink.add_route(Route {
                    destination: everything,
                    prefix_len: 0,
                    gateway: Some(*address),
                    interface,
                    source: None,
                });
            }
        }
        Ok(())
    });
    configured.into_diagnostic()?.into_diagnostic()
}

fn spawn(place: &Place, router: &Running) -> miette::Result<ProcessId> {
    let log = File::create(place.log(&router.name)).into_diagnostic()?;
    let program = std::env::current_exe().into_diagnostic()?;
    let mut command = Command::new(program);
    command.args(["ddc", "router"]).arg(place.file()).args([
        "--name",
        &router.name,
        "--netns",
        &router.namespace,
    ]);
    command.arg("--control").arg(place.socket(&router.name));
    // A group of its own: Ctrl-C at the terminal is not meant for it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    let child = command.spawn().into_diagnostic().wrap_err("starting a router")?;
    ProcessId::of(child.id()).into_diagnostic()
}

/// Waits until every router knows a way to every other.
fn await_ways(place: &Place, record: &Record, begin: Instant) -> miette::Result<()> {
    for router in &record.routers {
        while !place.ask(&router.name)?.is_some_and(|report| knows_all(&report)) {
            if router.process.is_some_and(|process| !process.is_alive()) {
                let said = std::fs::read_to_string(place.log(&router.name)).unwrap_or_default();
                return Err(miette!("router {} has ended: {}", router.name, said.trim()));
            }
            if begin.elapsed() > READY_LIMIT {
                return Err(miette!(
                    "router {} knows no way to some others; `weft ddc show --router {}` says which",
                    router.name,
                    router.name
                ));
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

fn knows_all(report: &NodeReport) -> bool {
    report.destinations.iter().all(|destination| {
        destination.router == report.router
            || destination.ways.iter().any(|way| way.direction == Direction::Out)
    })
}
