//! The network, and what routes in it.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Cut, System};
use crate::cleanup::Guard;
use crate::error::{During, Error, Result};
use crate::namespace::Namespace;
use crate::process::{Running, quick, start};

/// The example's network.
const FILE: &str = include_str!("../../../examples/ddc/twelve.ddc");
/// The routers with the hosts of the stream, and the link in the midst of its way.
const SENDER: usize = 1;
const RECEIVER: usize = 12;
const MIDST: (usize, usize) = (6, 7);
/// Room for what ddc puts in front of a packet of 1500 bytes.
const LINK_MTU: &str = "1536";

/// A network that runs.
pub(super) struct Lab {
    system: System,
    /// Programs end before their namespaces go.
    running: Vec<Running>,
    routers: Vec<Namespace>,
    hosts: [Namespace; 2],
    middle: Namespace,
    links: Vec<(usize, usize)>,
    _directory: Guard,
}

/// The links of the network file, by the numbers of routers.
fn links() -> Vec<(usize, usize)> {
    let number = |name: &str| name.strip_prefix('R').and_then(|digits| digits.parse().ok());
    let link = |line: &str| {
        let mut words = line.split_whitespace().filter(|word| *word != "link");
        Some((number(words.next()?)?, number(words.next()?)?))
    };
    FILE.lines().filter(|line| line.starts_with("link ")).filter_map(link).collect()
}

impl Lab {
    pub(super) fn new(system: System, weft: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("wb{}-ddc", std::process::id()));
        fs::create_dir_all(&directory).during("make a directory")?;
        let guard = Guard::directory(&directory);
        let routers =
            (1..=12).map(|router| Namespace::new(&format!("r{router}"))).collect::<Result<Vec<_>>>()?;
        let hosts = [Namespace::new("hs")?, Namespace::new("hr")?];
        let mut lab = Self {
            system,
            running: Vec::new(),
            routers,
            hosts,
            middle: Namespace::new("mid")?,
            links: links(),
            _directory: guard,
        };
        lab.cable()?;
        match system {
            System::Ddc => lab.start_ddc(weft, &directory)?,
            System::Static => {
                lab.address()?;
                lab.write_routes()?;
            }
            System::Ospf | System::OspfFast | System::OspfBfd => {
                lab.address()?;
                lab.start_bird(&directory)?;
            }
        }
        Ok(lab)
    }

    pub(super) fn name(&self) -> &'static str {
        self.system.name()
    }

    fn router(&self, number: usize) -> &Namespace {
        &self.routers[number - 1]
    }

    /// Joins routers, interfaces named after the neighbour, and hosts.
    fn cable(&self) -> Result<()> {
        self.middle.ip(&["link", "add", "name", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        self.middle.ip(&["link", "set", "bridge", "up"])?;
        for router in &self.routers {
            sysctl(router, "net.ipv6.conf.all.disable_ipv6=1")?;
            sysctl(router, "net.ipv6.conf.default.disable_ipv6=1")?;
            if self.system != System::Ddc {
                sysctl(router, "net.ipv4.ip_forward=1")?;
            }
        }
        for &(a, b) in &self.links {
            let (at_a, at_b) = (format!("R{b}"), format!("R{a}"));
            if (a, b) == MIDST {
                for (router, name, port) in [(a, &at_a, "left"), (b, &at_b, "right")] {
                    veth(&self.middle, port, self.router(router), name, LINK_MTU)?;
                    self.middle.ip(&["link", "set", port, "master", "bridge"])?;
                }
            } else {
                veth(self.router(a), &at_a, self.router(b), &at_b, LINK_MTU)?;
            }
        }
        for (host, router) in self.hosts.iter().zip([SENDER, RECEIVER]) {
            veth(self.router(router), "host", host, "eth0", "1500")?;
            host.ip(&["addr", "add", &format!("10.{router}.0.2/24"), "dev", "eth0"])?;
            host.ip(&["route", "add", "default", "via", &format!("10.{router}.0.1")])?;
        }
        Ok(())
    }

    /// Gives the kernel's routers addresses.
    fn address(&self) -> Result<()> {
        for (number, &(a, b)) in self.links.iter().enumerate() {
            for (router, other, last) in [(a, b, 1), (b, a, 2)] {
                let address = format!("10.200.{number}.{last}/30");
                self.router(router).ip(&["addr", "add", &address, "dev", &format!("R{other}")])?;
            }
        }
        for router in [SENDER, RECEIVER] {
            self.router(router).ip(&["addr", "add", &format!("10.{router}.0.1/24"), "dev", "host"])?;
        }
        Ok(())
    }

    fn write_routes(&self) -> Result<()> {
        for destination in [SENDER, RECEIVER] {
            let distances = self.distances(destination);
            for router in (1..=12).filter(|router| *router != destination) {
                let ways = self.links.iter().enumerate().filter_map(|(number, &(a, b))| match router {
                    _ if router == a => Some((b, format!("10.200.{number}.2"))),
                    _ if router == b => Some((a, format!("10.200.{number}.1"))),
                    _ => None,
                });
                if let Some((_, via)) = ways.min_by_key(|(neighbour, _)| (distances[*neighbour], *neighbour))
                {
                    let prefix = format!("10.{destination}.0.0/24");
                    self.router(router).ip(&["route", "add", &prefix, "via", &via])?;
                }
            }
        }
        Ok(())
    }

    /// Hops from every router to one.
    fn distances(&self, to: usize) -> [usize; 13] {
        let mut distances = [usize::MAX - 1; 13];
        distances[to] = 0;
        for _ in 0..12 {
            for &(a, b) in &self.links {
                distances[a] = distances[a].min(distances[b] + 1);
                distances[b] = distances[b].min(distances[a] + 1);
            }
        }
        distances
    }

    fn start_ddc(&mut self, weft: &Path, directory: &Path) -> Result<()> {
        if !weft.is_file() {
            return Err(Error::NoWeft(weft.into()));
        }
        let file = directory.join("network.ddc");
        // Hosts are where the stream begins and ends, and nowhere else.
        let text: Vec<String> = FILE
            .lines()
            .map(|line| match line.split_whitespace().nth(1) {
                Some("R4" | "R9") if line.starts_with("router") => {
                    line.replace("/24", "/32").replace("/64", "/128")
                }
                _ => line.to_owned(),
            })
            .collect();
        fs::write(&file, text.join("\n")).during("write a network file")?;
        for router in 1..=12 {
            let mut command = Command::new(weft);
            command.args(["ddc", "router"]).arg(&file).args(["--name", &format!("R{router}")]);
            command.args(["--netns", self.router(router).name()]);
            self.running.push(start(&mut command)?);
        }
        Ok(())
    }

    fn start_bird(&mut self, directory: &Path) -> Result<()> {
        for router in 1..=12 {
            let file = directory.join(format!("bird{router}.conf"));
            fs::write(&file, self.bird_configuration(router)).during("write BIRD's configuration")?;
            let path = |kind: &str| directory.join(format!("bird{router}.{kind}")).display().to_string();
            let mut command = self.router(router).command("bird");
            command.args(["-f", "-c", &path("conf"), "-s", &path("ctl"), "-P", &path("pid")]);
            self.running.push(start(&mut command)?);
        }
        Ok(())
    }

    fn bird_configuration(&self, router: usize) -> String {
        let timers = match self.system {
            System::OspfFast => "hello 1; dead 3;",
            System::OspfBfd => "hello 1; dead 3; bfd yes;",
            _ => "",
        };
        let mut text = format!(
            "router id 10.255.0.{router};\nprotocol device {{}}\n\
             protocol kernel {{ ipv4 {{ import none; export all; }}; }}\n"
        );
        if self.system == System::OspfBfd {
            text += "protocol bfd { interface \"R*\" { interval 20 ms; multiplier 10; }; }\n";
        }
        // Links of two: no router need be elected to speak for them.
        let _ = write!(
            text,
            "protocol ospf v2 {{ ipv4 {{ import all; export none; }}; area 0 {{\n  \
             interface \"R*\" {{ type ptp; {timers} }};\n  interface \"host\" {{ stub yes; }};\n}}; }}\n"
        );
        text
    }

    /// Makes a cut, or takes it back.
    pub(super) fn cut(&self, cut: Cut, makes: bool) -> Result<()> {
        let state = if makes { "down" } else { "up" };
        let (a, b) = MIDST;
        match cut {
            Cut::Down => {
                // The carrier goes at both ends, bridge or not.
                self.middle.ip(&["link", "set", "right", state])?;
                self.router(a).ip(&["link", "set", &format!("R{b}"), state])
            }
            Cut::Silent if makes => self.middle.ip(&["link", "set", "left", "nomaster"]),
            Cut::Silent => self.middle.ip(&["link", "set", "left", "master", "bridge"]),
            Cut::Router => {
                let batch: String = self
                    .links
                    .iter()
                    .filter_map(|&(from, to)| match b {
                        _ if b == from => Some(to),
                        _ if b == to => Some(from),
                        _ => None,
                    })
                    .map(|other| format!("link set R{other} {state}\n"))
                    .collect();
                let file = batch_file(&batch)?;
                let path = file.display().to_string();
                let done = self.router(b).ip(&["-batch", &path]);
                let _ = fs::remove_file(file);
                done?;
                // The bridge keeps R6's carrier; a cable would not.
                self.middle.ip(&["link", "set", "left", state])
            }
        }?;
        if !makes && self.system == System::Static {
            // The kernel has thrown away the routes over interfaces that were off; whoever writes routes writes them again.
            let _ = self.write_routes_again();
        }
        Ok(())
    }

    fn write_routes_again(&self) -> Result<()> {
        for router in &self.routers {
            for destination in [SENDER, RECEIVER] {
                // Not there, where the router is next to the host.
                let _ = router.ip(&["route", "del", &format!("10.{destination}.0.0/24"), "proto", "boot"]);
            }
        }
        self.write_routes()
    }

    /// Routers between the hosts, by what an answer's time to live has left; `None`: none came.
    pub(super) fn routers_between(&self) -> Option<u32> {
        let to = self.receiver_address().to_string();
        let said = quick(self.hosts[0].command("ping").args(["-n", "-c", "1", "-W", "1", &to])).ok()?.text;
        let left = said.split("ttl=").nth(1)?.split_whitespace().next()?.parse::<u32>().ok()?;
        64_u32.checked_sub(left)
    }

    pub(super) fn receiver_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, RECEIVER as u8, 0, 2)
    }

    pub(super) fn within_receiver<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        within(&self.hosts[1], work)
    }

    pub(super) fn within_sender<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        within(&self.hosts[0], work)
    }
}

fn within<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    let path = Path::new("/run/netns").join(namespace.name());
    let file = File::open(&path).during(format!("open {}", path.display()))?;
    host::netns::within(file, work)
        .map_err(|error| Error::Peer { peer: "a namespace".into(), what: error.to_string() })
}

fn batch_file(text: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("wb{}-batch", std::process::id()));
    fs::write(&path, text).during("write a file for ip -batch")?;
    Ok(path)
}

fn veth(here: &Namespace, name: &str, there: &Namespace, other: &str, mtu: &str) -> Result<()> {
    let pair = ["link", "add", "name", name, "mtu", mtu, "type", "veth", "peer", "name", other, "mtu", mtu];
    here.ip(&[&pair[..], &["netns", there.name()]].concat())?;
    here.ip(&["link", "set", name, "up"])?;
    there.ip(&["link", "set", other, "up"])
}

fn sysctl(namespace: &Namespace, setting: &str) -> Result<()> {
    quick(namespace.command("sysctl").args(["-qw", setting])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_the_links_that_are_cut() {
        let links = links();
        assert_eq!(links.len(), 20);
        assert!(links.contains(&MIDST) && links.contains(&(1, 6)) && links.contains(&(7, 12)));
    }
}
