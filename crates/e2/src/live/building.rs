//! Sites and instances as they are started: at a cluster's beginning, and again where one has died.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::process::{Started, end, end_strays, start};
use super::record::{Held, Record, SiteRecord, Store};
use super::{LiveError, Site, hold, wires};
use crate::deploy::{Placed, gate_name, gates, site_name};
use crate::plane::proto;
use crate::policy::{Kind, Policy};

/// What a daemon writes once it serves.
const SERVES: &str = "serving BESS's clients on ";
/// Packet buffers of a site, each large enough for what a kernel leaves uncut.
const BUFFERS: usize = 8192;
/// Bytes of a packet on a wire to a legacy instance.
const MTU: u32 = 1500;

/// The switch's end of a server's wire. The seed tells clusters apart.
pub(super) fn trunk_name(seed: u64, server: usize) -> String {
    format!("e2{:06x}s{server}", seed & 0xff_ffff)
}

/// What is needed to start them. Each process is written down before it is told anything.
pub(super) struct Building<'a> {
    pub(super) store: &'a Store,
    /// weft's program, which the sites run.
    pub(super) program: &'a Path,
    pub(super) policy: &'a Policy,
    pub(super) record: &'a mut Record,
    /// What was started, for who stays to see it end.
    pub(super) children: &'a mut Vec<Child>,
}

impl Building<'_> {
    fn log(&self, name: &str) -> Result<PathBuf, LiveError> {
        Ok(self.store.directory(&self.record.name)?.join(format!("{name}.log")))
    }

    /// Starts the process of a site, in place of the one that it had.
    pub(super) fn start_site(&mut self, site: usize) -> Result<Started, LiveError> {
        let name = site_name(self.policy, site).to_owned();
        let log = self.log(&name)?;
        // A server is alone in its namespace; the switch shares one with others.
        let own_namespace = site > 0;
        if let Some(old) = self.record.sites.get(site) {
            end(&[(old.process, own_namespace)]);
            end_strays(&log);
        }
        let port = if own_namespace { 10_514 } else { 0 };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(self.program);
        command.args(["softnic", "daemon", "--foreground", "--large"]);
        command.args(["--listen", &address.to_string(), "--buffers", &BUFFERS.to_string()]);
        command.arg("--pid-file").arg(log.with_extension("pid"));
        command.stdin(Stdio::null()).current_dir("/");
        let started = start(&name, command, &log, own_namespace)?;
        let process = started.process;
        let known = SiteRecord { name, process, address, own_namespace, core: site, whole: false };
        match self.record.sites.get_mut(site) {
            Some(there) => *there = known,
            None => self.record.sites.push(known),
        }
        self.store.save(self.record)?;
        Ok(started)
    }

    /// Waits until a site can be told what it does.
    pub(super) fn served(&mut self, site: usize, mut started: Started) -> Result<(), LiveError> {
        let address = started.wait_for(SERVES);
        self.children.push(started.child);
        let address = address?;
        let wrong = || LiveError::Answer { site: address.clone(), asked: "listen" };
        self.record.sites[site].address = address.parse().map_err(|_| wrong())?;
        self.store.save(self.record)
    }

    /// Joins a server to the switch's namespace.
    pub(super) fn trunk(&self, server: usize) -> Result<(), LiveError> {
        let name = trunk_name(self.record.deployed.seed, server);
        // One that died may not have taken its own with it yet.
        wires::remove(&wires::End { name: &name, within: None });
        wires::trunk(&name, self.record.sites[server + 1].process)
    }

    /// Tells a site that has begun all that it is.
    pub(super) fn tell(&mut self, site: usize, program: &proto::Program) -> Result<(), LiveError> {
        let mut client = Site::connect(&self.record.sites[site])?;
        client.begin(program)?;
        self.ports(site, &mut client)?;
        let instances = self.record.deployed.instances.clone();
        for (id, placed) in instances.iter().filter(|(_, placed)| placed.site == site) {
            let function = &self.policy.functions[placed.function];
            match function.kind {
                Kind::Native => {
                    let gates = gates(self.policy, placed.function);
                    client.add_function(*id, function, placed, gates)?;
                }
                Kind::Legacy => self.join(&mut client, *id, placed)?,
            }
        }
        client.resume()
    }

    /// A site is there.
    pub(super) fn finish(&mut self, site: usize) -> Result<(), LiveError> {
        self.record.sites[site].whole = true;
        self.store.save(self.record)
    }

    fn ports(&self, site: usize, client: &mut Site) -> Result<(), LiveError> {
        if site > 0 {
            return client.add_port(wires::TRUNK, &format!("veth:{}", wires::TRUNK), 0);
        }
        for (gate, port) in (0..).zip(&self.policy.hardware.ports) {
            client.add_port(&port.name, port.at.as_deref().unwrap_or_default(), gate)?;
        }
        for server in 0..self.policy.hardware.servers.len() {
            self.trunk_port(server, client)?;
        }
        Ok(())
    }

    /// Opens the switch's end of a server's wire. One whose server has died is opened when that is back.
    pub(super) fn trunk_port(&self, server: usize, client: &mut Site) -> Result<(), LiveError> {
        let name = trunk_name(self.record.deployed.seed, server);
        if !wires::exists(&wires::End { name: &name, within: None }) {
            return Ok(());
        }
        let gate = (self.policy.hardware.ports.len() + server) as u16;
        client.add_port(&name, &format!("veth:{name}"), gate)
    }

    /// The interface of its site that leads to a gate of a legacy instance. The switch's namespace is the caller's, where names
    /// are shared: the number tells them apart.
    fn wire_name(&self, id: u32, gate: u16) -> String {
        format!("e2{:04x}i{id}g{gate}", self.record.deployed.seed & 0xffff)
    }

    /// Joins a legacy instance to its site; one that has died, or whose wires have, is started.
    pub(super) fn join(&mut self, client: &mut Site, id: u32, placed: &Placed) -> Result<(), LiveError> {
        let gates = gates(self.policy, placed.function);
        let server = &self.record.sites[placed.site];
        let within = server.own_namespace.then_some(server.process);
        let wired =
            (0..gates).all(|gate| wires::exists(&wires::End { name: &self.wire_name(id, gate), within }));
        let lives = self.record.held.iter().any(|held| held.instance == id && held.process.is_alive());
        if !(wired && lives) {
            self.start_legacy(id, placed, within)?;
        }
        self.legacy_ports(client, id, placed)
    }

    /// Starts a legacy instance, whatever there is of it, and joins it to its site.
    pub(super) fn add_legacy(
        &mut self,
        client: &mut Site,
        id: u32,
        placed: &Placed,
    ) -> Result<(), LiveError> {
        let server = &self.record.sites[placed.site];
        let within = server.own_namespace.then_some(server.process);
        self.start_legacy(id, placed, within)?;
        self.legacy_ports(client, id, placed)
    }

    fn legacy_ports(&self, client: &mut Site, id: u32, placed: &Placed) -> Result<(), LiveError> {
        for gate in 0..gates(self.policy, placed.function) {
            let name = self.wire_name(id, gate);
            client.remove_port(&name)?;
            client.add_port(&name, &format!("veth:{name}"), placed.gate + gate)?;
        }
        Ok(())
    }

    /// Ends a legacy instance, with its wires. `name` is what it was called.
    pub(super) fn remove_legacy(&mut self, id: u32, placed: &Placed, name: &str) -> Result<(), LiveError> {
        if self.record.sites[placed.site].is_alive() {
            let mut client = Site::connect(&self.record.sites[placed.site])?;
            for gate in 0..gates(self.policy, placed.function) {
                client.remove_port(&self.wire_name(id, gate))?;
            }
        }
        self.end_legacy(id, name)?;
        self.store.save(self.record)
    }

    /// Ends the processes of a legacy instance. Its namespace goes with them, and the wires with that.
    fn end_legacy(&mut self, id: u32, name: &str) -> Result<(), LiveError> {
        if let Some(place) = self.record.held.iter().position(|held| held.instance == id) {
            end(&[(self.record.held.swap_remove(place).process, true)]);
            end_strays(&self.log(name)?);
        }
        Ok(())
    }

    fn start_legacy(
        &mut self,
        id: u32,
        placed: &Placed,
        within: Option<host::ProcessId>,
    ) -> Result<(), LiveError> {
        let function = &self.policy.functions[placed.function];
        let name = self.record.deployed.name(self.policy, id);
        self.end_legacy(id, &name)?;
        let log = self.log(&name)?;
        let mut command = Command::new(self.program);
        command.args(["e2", "hold", "--"]).args(&function.run).stdin(Stdio::piped());
        let mut holder = start(&name, command, &log, true)?;
        self.record.held.push(Held { instance: id, process: holder.process });
        self.store.save(self.record)?;
        let ready = self.set_up(id, placed, within, &mut holder);
        self.children.push(holder.child);
        ready
    }

    fn set_up(
        &self,
        id: u32,
        placed: &Placed,
        within: Option<host::ProcessId>,
        holder: &mut Started,
    ) -> Result<(), LiveError> {
        for gate in 0..gates(self.policy, placed.function) {
            let (own, far) = (gate_name(self.policy, placed.function, gate), self.wire_name(id, gate));
            let outer = wires::End { name: &far, within };
            wires::remove(&outer);
            wires::lay(&wires::End { name: own, within: Some(holder.process) }, &outer, MTU)?;
        }
        let go = holder.child.stdin.take().map(|mut input| writeln!(input, "{}", hold::GO));
        if let Some(Err(error)) = go {
            let what = self.record.deployed.name(self.policy, id);
            return Err(LiveError::Process { what, error });
        }
        holder.wait_for(hold::READY).map(drop)
    }
}

/// Makes the directory that all of it is written to.
pub(super) fn make_directory(path: &Path) -> Result<(), LiveError> {
    fs::create_dir_all(path).map_err(|error| LiveError::File { path: path.to_owned(), error })
}
