//! A cluster's beginning and end.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process::{Started, end, start};
use super::record::{Held, Record, SiteRecord, Store};
use super::{LiveError, Site, hold, wires};
use crate::compile::Plan;
use crate::deploy::{Deployed, Scheme, gate_name, gates, site_name};
use crate::policy::{Kind, Policy};

/// What a daemon writes once it serves.
const SERVES: &str = "serving BESS's clients on ";
/// Packet buffers of a site, each large enough for what a kernel leaves uncut.
const BUFFERS: usize = 8192;
/// Bytes of a packet on a wire to a legacy instance.
const MTU: u32 = 1500;

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The policy, as the file says it.
    pub text: String,
    /// weft's program, which the sites run.
    pub program: PathBuf,
    /// A number that those who send packets cannot guess.
    pub seed: u64,
    /// How long a flow is known after its last packet, in ns: no shorter than the functions know it.
    pub idle_ns: u64,
}

/// Starts what a plan says, and returns once packets flow.
///
/// # Errors
/// What cannot be; then nothing is left of it.
pub fn up(store: &Store, options: &Options, policy: &Policy, plan: &Plan) -> Result<Record, LiveError> {
    let scheme = Scheme::of_plan(policy, plan)?;
    let deployed = Deployed { idle_ns: options.idle_ns, ..Deployed::of_plan(policy, plan, options.seed)? };
    if store.load(&options.name)?.is_some() {
        return Err(LiveError::Runs(options.name.clone()));
    }
    let directory = store.directory(&options.name)?;
    fs::create_dir_all(&directory).map_err(|error| LiveError::File { path: directory.clone(), error })?;
    let (name, text) = (options.name.clone(), options.text.clone());
    let record = Record { name, policy: text, sites: Vec::new(), held: Vec::new(), deployed, moving: None };
    let mut beginning = Beginning { store, options, policy, directory, record };
    match beginning.begin(&scheme) {
        Ok(()) => Ok(beginning.record),
        Err(error) => {
            // What it has come to is written down, and ended as any other.
            let _ = clear(store, &beginning.record);
            Err(error)
        }
    }
}

/// Ends a cluster.
///
/// # Errors
/// There is none of that name.
pub fn stop(store: &Store, name: &str) -> Result<Record, LiveError> {
    let record = store.known(name)?;
    clear(store, &record)?;
    Ok(record)
}

fn clear(store: &Store, record: &Record) -> Result<(), LiveError> {
    let sites = record.sites.iter().map(|site| (site.process, site.own_namespace));
    let held = record.held.iter().map(|held| (held.process, true));
    end(&sites.chain(held).collect::<Vec<_>>());
    for server in 0..record.sites.len() {
        wires::remove(&trunk_name(record.deployed.seed, server));
    }
    store.remove(&record.name)
}

/// The switch's end of a server's wire. The seed tells clusters apart.
fn trunk_name(seed: u64, server: usize) -> String {
    format!("e2{:06x}s{server}", seed & 0xff_ffff)
}

/// A cluster that is being started.
struct Beginning<'a> {
    store: &'a Store,
    options: &'a Options,
    policy: &'a Policy,
    directory: PathBuf,
    record: Record,
}

impl Beginning<'_> {
    fn begin(&mut self, scheme: &Scheme) -> Result<(), LiveError> {
        self.processes()?;
        let mut holders = self.holders()?;
        for server in 1..self.record.sites.len() {
            let name = trunk_name(self.record.deployed.seed, server - 1);
            wires::trunk(&name, self.record.sites[server].process)?;
        }
        let programs = self.record.deployed.programs(scheme);
        for (site, program) in programs.iter().enumerate() {
            let mut client = Site::connect(&self.record.sites[site])?;
            client.begin(program)?;
            self.ports(site, &mut client)?;
            self.instances(site, &mut client, &mut holders)?;
            client.resume()?;
        }
        self.store.save(&self.record)
    }

    /// Starts the switch and the servers.
    fn processes(&mut self) -> Result<(), LiveError> {
        let mut started = Vec::new();
        for site in 0..=self.policy.hardware.servers.len() {
            let name = site_name(self.policy, site).to_owned();
            // A server is alone in its namespace; the switch shares one with others.
            let port = if site == 0 { 0 } else { 10_514 };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut command = Command::new(&self.options.program);
            command.args(["softnic", "daemon", "--foreground", "--large"]);
            command.args(["--listen", &address.to_string(), "--buffers", &BUFFERS.to_string()]);
            command.arg("--pid-file").arg(self.directory.join(format!("{name}.pid")));
            command.stdin(Stdio::null()).current_dir("/");
            let process = start(&name, command, &self.log(&name), site > 0)?;
            let own_namespace = site > 0;
            let process_id = process.process;
            self.record.sites.push(SiteRecord {
                name,
                process: process_id,
                address,
                own_namespace,
                core: site,
            });
            self.store.save(&self.record)?;
            started.push(process);
        }
        for (process, site) in started.iter_mut().zip(0..) {
            let address = process.wait_for(SERVES)?;
            let wrong = || LiveError::Answer { site: address.clone(), asked: "listen" };
            self.record.sites[site].address = address.parse().map_err(|_| wrong())?;
        }
        self.store.save(&self.record)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Starts what holds the namespaces of legacy instances.
    fn holders(&mut self) -> Result<Vec<(u32, Started)>, LiveError> {
        let mut holders = Vec::new();
        for (id, placed) in self.record.deployed.instances.clone() {
            let function = &self.policy.functions[placed.function];
            if function.kind != Kind::Legacy {
                continue;
            }
            let name = self.record.deployed.name(self.policy, id);
            let mut command = Command::new(&self.options.program);
            command.args(["e2", "hold", "--"]).args(&function.run).stdin(Stdio::piped());
            let holder = start(&name, command, &self.log(&name), true)?;
            self.record.held.push(Held { instance: id, process: holder.process });
            self.store.save(&self.record)?;
            holders.push((id, holder));
        }
        Ok(holders)
    }

    fn ports(&mut self, site: usize, client: &mut Site) -> Result<(), LiveError> {
        if site > 0 {
            return client.add_port(wires::TRUNK, &format!("veth:{}", wires::TRUNK), 0);
        }
        let ports = &self.policy.hardware.ports;
        for (gate, port) in (0..).zip(ports) {
            client.add_port(&port.name, port.at.as_deref().unwrap_or_default(), gate)?;
        }
        for server in 0..self.policy.hardware.servers.len() {
            let name = trunk_name(self.record.deployed.seed, server);
            client.add_port(&name, &format!("veth:{name}"), (ports.len() + server) as u16)?;
        }
        Ok(())
    }

    fn instances(
        &mut self,
        site: usize,
        client: &mut Site,
        holders: &mut [(u32, Started)],
    ) -> Result<(), LiveError> {
        let here = self.record.deployed.instances.iter().filter(|(_, placed)| placed.site == site);
        for (id, placed) in here {
            let function = &self.policy.functions[placed.function];
            let gates = gates(self.policy, placed.function);
            let Some((_, holder)) = holders.iter_mut().find(|(held, _)| held == id) else {
                client.add_function(*id, &function.run, placed, gates)?;
                continue;
            };
            for gate in 0..gates {
                let inside = wires::End {
                    name: gate_name(self.policy, placed.function, gate),
                    within: Some(holder.process),
                };
                // The switch's namespace is the caller's, where names are shared: the number tells them apart.
                let name = format!("e2{:04x}i{id}g{gate}", self.record.deployed.seed & 0xffff);
                let server = &self.record.sites[site];
                let within = server.own_namespace.then_some(server.process);
                wires::lay(&inside, &wires::End { name: &name, within }, MTU)?;
                client.add_port(&name, &format!("veth:{name}"), placed.gate + gate)?;
            }
            let go = holder.child.stdin.take().map(|mut input| writeln!(input, "{}", hold::GO));
            if let Some(Err(error)) = go {
                return Err(LiveError::Process { what: function.name.clone(), error });
            }
            holder.wait_for(hold::READY)?;
        }
        Ok(())
    }
}
