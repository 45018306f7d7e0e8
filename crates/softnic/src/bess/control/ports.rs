//! Ports under BESS's names, and who has their queues.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use packet::Pool;
use ports::{LinkState, Port, RxQueue, TxQueue};
use prost_types::Any;
use rustix::io::Errno;

use super::{Bess, now_s};
use crate::bess::class::template;
use crate::bess::drivers::{self, Changes, DRIVERS, Driver};
use crate::bess::{Failure, pb};
use crate::modules::{BurstCounts, Bursts};

/// The most queues of a port in one direction (as BESS).
const QUEUES_MAX: u64 = 128;
/// The longest queue that may be asked for (as BESS).
const QUEUE_SIZE_MAX: u64 = 65536;
/// The most ports.
const PORTS_MAX: usize = 4096;

/// The ports that clients have created.
#[derive(Default)]
pub(crate) struct Ports {
    open: BTreeMap<String, Entry>,
    /// Descriptors that another process has handed over, for ports that are still to be opened.
    handed: BTreeMap<String, Vec<OwnedFd>>,
}

struct Entry {
    driver: &'static Driver,
    arg: Any,
    port: Box<dyn Port>,
    inc: u64,
    out: u64,
    sizes: (u64, u64),
    /// Each queue that nobody has at the moment.
    rx: Vec<Option<Box<dyn RxQueue>>>,
    tx: Vec<Option<Box<dyn TxQueue>>>,
    /// The bursts of each.
    rx_bursts: Vec<Arc<Bursts>>,
    tx_bursts: Vec<Arc<Bursts>>,
    conf: pb::PortConf,
    /// Whether a client has set that.
    configured: bool,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.rx.iter().any(Option::is_none) || self.tx.iter().any(Option::is_none)
    }
}

/// Queues, and where the bursts of each are counted.
pub(crate) type Taken<Q> = (Vec<Box<Q>>, Vec<Arc<Bursts>>);

/// Takes all queues, or one of them.
fn take<Q: ?Sized>(
    queues: &mut [Option<Box<Q>>],
    bursts: &[Arc<Bursts>],
    wanted: Option<u64>,
    port: &str,
) -> Result<Taken<Q>, Failure> {
    let range = match wanted {
        None => 0..queues.len(),
        Some(queue) => {
            let at = usize::try_from(queue).unwrap_or(usize::MAX);
            if at >= queues.len() {
                return Err(Failure::invalid(format!(
                    "port {port} has no queue {queue}: it has {}",
                    queues.len()
                )));
            }
            at..at + 1
        }
    };
    let (queues, bursts) = (&mut queues[range.clone()], bursts[range].to_vec());
    if queues.is_empty() || queues.iter().any(Option::is_none) {
        return Err(Failure::busy(format!("a queue of port {port} is in use by another module")));
    }
    Ok((queues.iter_mut().filter_map(Option::take).collect(), bursts))
}

/// Lays queues back where they are missing.
fn give<Q>(queues: &mut [Option<Q>], first: usize, back: Vec<Q>) {
    for (place, queue) in queues[first..].iter_mut().zip(back) {
        *place = Some(queue);
    }
}

impl Ports {
    fn entry(&mut self, port: &str) -> Result<&mut Entry, Failure> {
        if port.is_empty() {
            return Err(Failure::invalid("'port' must be given as a string"));
        }
        self.open.get_mut(port).ok_or_else(|| Failure::new(Errno::NODEV, format!("port {port} not found")))
    }

    /// Takes the receiving queues of a port, or one of them.
    pub(crate) fn take_rx(&mut self, port: &str, queue: Option<u64>) -> Result<Taken<dyn RxQueue>, Failure> {
        let entry = self.entry(port)?;
        take(&mut entry.rx, &entry.rx_bursts, queue, port)
    }

    /// Takes the sending queues of a port, or one of them.
    pub(crate) fn take_tx(&mut self, port: &str, queue: Option<u64>) -> Result<Taken<dyn TxQueue>, Failure> {
        let entry = self.entry(port)?;
        take(&mut entry.tx, &entry.tx_bursts, queue, port)
    }

    /// Takes receiving queues back that began with number `first`.
    pub(super) fn give_rx(&mut self, port: &str, first: u64, queues: Vec<Box<dyn RxQueue>>) {
        if let Some(entry) = self.open.get_mut(port) {
            give(&mut entry.rx, first as usize, queues);
        }
    }

    /// Takes sending queues back that began with number `first`.
    pub(super) fn give_tx(&mut self, port: &str, first: u64, queues: Vec<Box<dyn TxQueue>>) {
        if let Some(entry) = self.open.get_mut(port) {
            give(&mut entry.tx, first as usize, queues);
        }
    }

    /// What a port is, for a module's description: `name/driver`.
    pub(super) fn describe(&self, port: &str) -> String {
        self.open.get(port).map(|entry| format!("{port}/{}", entry.driver.name)).unwrap_or_default()
    }

    /// The requests that open the ports again, and configure those that a client has configured.
    pub(in crate::bess) fn requests(
        &self,
    ) -> impl Iterator<Item = (pb::CreatePortRequest, Option<pb::SetPortConfRequest>)> {
        self.open.iter().map(|(name, entry)| {
            let create = pb::CreatePortRequest {
                name: name.clone(),
                driver: entry.driver.name.to_owned(),
                num_inc_q: entry.inc,
                num_out_q: entry.out,
                size_inc_q: entry.sizes.0,
                size_out_q: entry.sizes.1,
                arg: Some(entry.arg.clone()),
            };
            let conf = pb::SetPortConfRequest { name: name.clone(), conf: Some(entry.conf.clone()) };
            (create, entry.configured.then_some(conf))
        })
    }

    /// Descriptors for ports that are about to be opened.
    pub(in crate::bess) fn handed(&mut self, ports: Vec<(String, Vec<OwnedFd>)>) {
        self.handed.extend(ports);
    }

    /// The descriptors of each port that cannot be opened again beside this one.
    ///
    /// # Errors
    /// When there is one that has none to give.
    pub(in crate::bess) fn duplicates(&self) -> Result<Vec<(String, Vec<OwnedFd>)>, Failure> {
        let mut all = Vec::new();
        for (name, entry) in &self.open {
            let fds = entry.port.duplicate();
            match fds.map_err(|error| Failure::internal(format!("port {name}: {error}")))? {
                Some(fds) => all.push((name.clone(), fds)),
                // It is memory of the process's own, and begins empty.
                None if entry.port.info().kind == "ring" => {}
                None => {
                    let kind = entry.port.info().kind;
                    return Err(Failure::unsupported(format!("port {name} ({kind}) cannot be handed over")));
                }
            }
        }
        Ok(all)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sees to new clients of sockets from which nobody receives yet.
    pub(super) fn tend(&mut self) {
        for queue in self.open.values_mut().flat_map(|entry| entry.rx.iter_mut().flatten()) {
            queue.tend();
        }
    }

    fn find(&self, port: &str) -> Result<&Entry, Failure> {
        self.open.get(port).ok_or_else(|| Failure::not_found(format!("no port '{port}' found")))
    }

    fn create(
        &mut self,
        request: &pb::CreatePortRequest,
        pool: &Pool,
    ) -> Result<pb::CreatePortResponse, Failure> {
        if request.driver.is_empty() {
            return Err(Failure::invalid("missing 'driver' field"));
        }
        let driver = DRIVERS
            .iter()
            .find(|driver| driver.name == request.driver)
            .ok_or_else(|| Failure::not_found(format!("no port driver '{}' found", request.driver)))?;
        let (inc, out) = (request.num_inc_q.max(1), request.num_out_q.max(1));
        if inc.max(out) > QUEUES_MAX {
            return Err(Failure::invalid(format!(
                "at most {QUEUES_MAX} queues are possible, not {}",
                inc.max(out)
            )));
        }
        if request.size_inc_q.max(request.size_out_q) > QUEUE_SIZE_MAX {
            return Err(Failure::invalid(format!("a queue holds at most {QUEUE_SIZE_MAX} packets")));
        }
        if self.open.len() >= PORTS_MAX {
            return Err(Failure::no_memory(format!("there are {PORTS_MAX} ports already")));
        }
        let name = self.name(request)?;
        let arg = request.arg.clone().unwrap_or_default();
        let handed = Mutex::new(self.handed.remove(&name));
        let mut port =
            (driver.open)(&drivers::Request { name: &name, arg: &arg, queues: inc.max(out), pool, handed })?;
        let (rx, tx) =
            (0..port.info().queues).map_while(|queue| port.queue(queue)).unzip::<_, _, Vec<_>, Vec<_>>();
        let mac_addr = mac(port.info().mac.unwrap_or_default());
        let conf = pb::PortConf { mac_addr: mac_addr.clone(), mtu: port.info().mtu as u32, admin_up: true };
        let entry = Entry {
            driver,
            arg,
            port,
            inc,
            out,
            sizes: (default(request.size_inc_q), default(request.size_out_q)),
            rx_bursts: rx.iter().map(|_| Arc::default()).collect(),
            tx_bursts: tx.iter().map(|_| Arc::default()).collect(),
            rx: rx.into_iter().map(Some).collect(),
            tx: tx.into_iter().map(Some).collect(),
            conf,
            configured: false,
        };
        self.open.insert(name.clone(), entry);
        Ok(pb::CreatePortResponse { error: None, name, mac_addr })
    }

    fn name(&self, request: &pb::CreatePortRequest) -> Result<String, Failure> {
        if self.open.contains_key(&request.name) {
            return Err(Failure::exists(format!("port {} exists", request.name)));
        }
        if !request.name.is_empty() {
            return Ok(request.name.clone());
        }
        let prefix =
            DRIVERS.iter().find(|driver| driver.name == request.driver).map(|driver| driver.template);
        let prefix = prefix.map_or_else(|| template(&request.driver), ToOwned::to_owned);
        // There are fewer names taken than numbers to try.
        let free = (0..).map(|number| format!("{prefix}{number}")).find(|name| !self.open.contains_key(name));
        free.ok_or_else(|| Failure::no_memory("no name is free"))
    }
}

/// Packets that a queue holds when the client does not say.
fn default(size: u64) -> u64 {
    if size == 0 { 1024 } else { size }
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

impl Bess {
    pub(crate) fn list_drivers(&self, _: &pb::EmptyRequest) -> Result<pb::ListDriversResponse, Failure> {
        let driver_names = DRIVERS.iter().map(|driver| driver.name.to_owned()).collect();
        Ok(pb::ListDriversResponse { error: None, driver_names })
    }

    pub(crate) fn get_driver_info(
        &self,
        request: &pb::GetDriverInfoRequest,
    ) -> Result<pb::GetDriverInfoResponse, Failure> {
        let name = &request.driver_name;
        if name.is_empty() {
            return Err(Failure::invalid("the argument must be a driver's name"));
        }
        let driver = DRIVERS.iter().find(|driver| driver.name == name);
        let driver = driver.ok_or_else(|| Failure::not_found(format!("no driver '{name}' found")))?;
        Ok(pb::GetDriverInfoResponse {
            error: None,
            name: driver.name.to_owned(),
            help: driver.help.to_owned(),
            commands: Vec::new(),
        })
    }

    pub(crate) fn reset_ports(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        let mut state = self.lock();
        if let Some((name, _)) = state.ports.open.iter().find(|(_, entry)| entry.is_used()) {
            return Err(Failure::busy(format!("port {name} is in use by a module")));
        }
        state.ports.open.clear();
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn list_ports(&self, _: &pb::EmptyRequest) -> Result<pb::ListPortsResponse, Failure> {
        let state = self.lock();
        let describe = |(name, entry): (&String, &Entry)| pb::list_ports_response::Port {
            name: name.clone(),
            driver: entry.driver.name.to_owned(),
            mac_addr: entry.conf.mac_addr.clone(),
            num_inc_q: entry.inc,
            num_out_q: entry.out,
            size_inc_q: entry.sizes.0,
            size_out_q: entry.sizes.1,
            driver_arg: Some(entry.arg.clone()),
        };
        Ok(pb::ListPortsResponse { error: None, ports: state.ports.open.iter().map(describe).collect() })
    }

    pub(crate) fn create_port(
        &self,
        request: &pb::CreatePortRequest,
    ) -> Result<pb::CreatePortResponse, Failure> {
        let created = self.lock().ports.create(request, &self.pool)?;
        self.minder.wake();
        Ok(created)
    }

    pub(crate) fn destroy_port(
        &self,
        request: &pb::DestroyPortRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        if request.name.is_empty() {
            return Err(Failure::invalid("the argument must be a port's name"));
        }
        let mut state = self.lock();
        if state.ports.find(&request.name)?.is_used() {
            return Err(Failure::busy(format!("port {} is in use by a module", request.name)));
        }
        state.ports.open.remove(&request.name);
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn set_port_conf(
        &self,
        request: &pb::SetPortConfRequest,
    ) -> Result<pb::CommandResponse, Failure> {
        let mut state = self.lock();
        state.ports.find(&request.name)?;
        let wanted = request.conf.clone().unwrap_or_default();
        let entry = state.ports.entry(&request.name)?;
        let address = parse_mac(&wanted.mac_addr)?;
        let changes_address = address != [0; 6] && mac(address) != entry.conf.mac_addr;
        let changes_mtu = wanted.mtu != 0 && wanted.mtu != entry.conf.mtu;
        let changes = Changes {
            mac: changes_address.then_some(address),
            mtu: changes_mtu.then_some(wanted.mtu),
            up: (wanted.admin_up != entry.conf.admin_up).then_some(wanted.admin_up),
        };
        if changes != Changes::default() {
            let interface = entry.port.info().name.clone();
            (entry.driver.configure)(&entry.arg, &interface, changes)?;
        }
        if changes_address {
            entry.conf.mac_addr = mac(address);
        }
        if changes_mtu {
            entry.conf.mtu = wanted.mtu;
        }
        entry.conf.admin_up = wanted.admin_up;
        entry.configured = true;
        Ok(pb::CommandResponse::default())
    }

    pub(crate) fn get_port_conf(
        &self,
        request: &pb::GetPortConfRequest,
    ) -> Result<pb::GetPortConfResponse, Failure> {
        let conf = self.lock().ports.find(&request.name)?.conf.clone();
        Ok(pb::GetPortConfResponse { error: None, conf: Some(conf) })
    }

    pub(crate) fn get_port_stats(
        &self,
        request: &pb::GetPortStatsRequest,
    ) -> Result<pb::GetPortStatsResponse, Failure> {
        let state = self.lock();
        let entry = state.ports.find(&request.name)?;
        let counters = entry.port.counters();
        Ok(pb::GetPortStatsResponse {
            error: None,
            inc: Some(stat((counters.rx_packets, counters.rx_dropped, counters.rx_bytes), &entry.rx_bursts)),
            out: Some(stat((counters.tx_packets, counters.tx_dropped, counters.tx_bytes), &entry.tx_bursts)),
            timestamp: now_s(),
        })
    }

    pub(crate) fn get_link_status(
        &self,
        request: &pb::GetLinkStatusRequest,
    ) -> Result<pb::GetLinkStatusResponse, Failure> {
        let link = self.lock().ports.find(&request.name)?.port.link();
        Ok(pb::GetLinkStatusResponse {
            error: None,
            // Nothing here has a speed of its own.
            speed: 0,
            full_duplex: true,
            autoneg: false,
            link_up: link != LinkState::Down,
        })
    }
}

/// What a port has counted in one direction, and the bursts of all its queues.
fn stat((packets, dropped, bytes): (u64, u64, u64), of: &[Arc<Bursts>]) -> pb::get_port_stats_response::Stat {
    let mut sum = BurstCounts::default();
    of.iter().for_each(|bursts| bursts.add_to(&mut sum));
    let BurstCounts { wanted, done, missing } = sum;
    let (requested_hist, actual_hist, diff_hist) = (wanted.to_vec(), done.to_vec(), missing.to_vec());
    pb::get_port_stats_response::Stat { packets, dropped, bytes, requested_hist, actual_hist, diff_hist }
}

fn parse_mac(text: &str) -> Result<[u8; 6], Failure> {
    let parts: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| Failure::invalid(format!("a MAC address is written xx:xx:xx:xx:xx:xx, not `{text}`")))
}
