//! A site as its manager sees it: a client of its interface, in the words of this room.

use std::collections::BTreeMap;

use host::netns;
use prost::{Message, Name};
use softnic::bess::{Client, ClientError, pack, pb};

use super::LiveError;
use super::record::SiteRecord;
use crate::deploy::Placed;
use crate::plane::{CLASS, ISOLATED, proto};
use crate::policy::Function;

/// The data plane's name.
const PLANE: &str = "plane";
/// The class of a function that is not confined.
const NATIVE: &str = "NetworkFunction";
/// Packets that wait in front of an instance, on either side.
pub(super) const QUEUE: u64 = 4096;
/// The worker that has the data plane and the ports.
const FIRST: i64 = 0;

/// A site.
pub struct Site {
    name: String,
    client: Client,
    core: usize,
}

impl Site {
    /// Connects to one.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn connect(record: &SiteRecord) -> Result<Self, LiveError> {
        let address = record.address;
        let client = if record.own_namespace {
            let namespace = netns::of(record.process)?;
            netns::within(namespace, move || Client::connect(address))?
        } else {
            Client::connect(address)
        };
        let client = client.map_err(|error| LiveError::Site { site: record.name.clone(), error })?;
        Ok(Self { name: record.name.clone(), client, core: record.core })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn told<T>(&self, answer: Result<T, ClientError>) -> Result<T, LiveError> {
        answer.map_err(|error| LiveError::Site { site: self.name.clone(), error })
    }

    /// Begins: a worker, and the data plane with its program.
    ///
    /// # Errors
    /// It is refused.
    pub fn begin(&mut self, program: &proto::Program) -> Result<(), LiveError> {
        self.add_worker(FIRST)?;
        self.create(CLASS, PLANE, program)
    }

    /// Lets packets flow.
    ///
    /// # Errors
    /// It is refused.
    pub fn resume(&mut self) -> Result<(), LiveError> {
        let answer = self.client.resume_all(pb::EmptyRequest {});
        self.told(answer).map(drop)
    }

    /// Opens a port and joins it to a gate of the data plane.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn add_port(&mut self, name: &str, spec: &str, gate: u16) -> Result<(), LiveError> {
        let arg = pb::SpecPortArg { spec: spec.to_owned() };
        let request = pb::CreatePortRequest {
            name: name.to_owned(),
            driver: "SpecPort".to_owned(),
            arg: Some(pack(&arg)),
            ..Default::default()
        };
        let answer = self.client.create_port(request);
        self.told(answer)?;
        let (port, receives, sends) = (name.to_owned(), format!("from_{name}"), format!("to_{name}"));
        self.create("PortInc", &receives, &pb::PortIncArg { port: port.clone(), prefetch: false })?;
        self.create("PortOut", &sends, &pb::PortOutArg { port })?;
        self.connect_modules(PLANE, gate, &sends, 0)?;
        self.connect_modules(&receives, 0, PLANE, gate)?;
        self.attach(&receives, FIRST)
    }

    /// Closes a port, as far as it is there.
    ///
    /// # Errors
    /// The site is gone.
    pub fn remove_port(&mut self, name: &str) -> Result<(), LiveError> {
        for module in [format!("from_{name}"), format!("to_{name}")] {
            let answer = self.client.destroy_module(pb::DestroyModuleRequest { name: module });
            self.unless_refused(answer)?;
        }
        let answer = self.client.destroy_port(pb::DestroyPortRequest { name: name.to_owned() });
        self.unless_refused(answer)
    }

    /// Adds an instance of a native function, on a worker of its own, and joins it to gates of the data plane.
    ///
    /// # Errors
    /// Its arguments are wrong, or it has fewer gates than it is said to have.
    pub fn add_function(
        &mut self,
        id: u32,
        function: &Function,
        placed: &Placed,
        gates: u16,
    ) -> Result<(), LiveError> {
        let (words, isolated) = (function.run.clone(), function.isolated);
        let (function, first, worker) = (function_name(id), placed.gate, i64::from(placed.worker));
        self.add_worker(worker)?;
        match isolated {
            true => self.create(ISOLATED, &function, &proto::IsolatedArg { words })?,
            false => self.create(NATIVE, &function, &pb::NetworkFunctionArg { words })?,
        }
        for gate in 0..gates {
            self.connect_modules(&function, gate, PLANE, first + gate)?;
        }
        for gate in 0..gates.min(2) {
            let queue = queue_name(id, gate);
            self.create("Queue", &queue, &pb::QueueArg { size: QUEUE, ..Default::default() })?;
            self.connect_modules(&queue, 0, &function, gate)?;
            self.attach(&queue, worker)?;
            self.connect_modules(PLANE, first + gate, &queue, 0)?;
        }
        Ok(())
    }

    /// Whether there is such an instance of a native function.
    ///
    /// # Errors
    /// The site is gone.
    pub fn has_function(&mut self, id: u32) -> Result<bool, LiveError> {
        match self.client.get_module_info(pb::GetModuleInfoRequest { name: function_name(id) }) {
            Ok(_) => Ok(true),
            Err(ClientError::Refused(_)) => Ok(false),
            Err(error) => self.told(Err(error)),
        }
    }

    /// Takes an instance of a native function away, as far as it is there.
    ///
    /// # Errors
    /// The site is gone.
    pub fn remove_function(&mut self, id: u32, placed: &Placed) -> Result<(), LiveError> {
        for name in [queue_name(id, 0), queue_name(id, 1), function_name(id)] {
            let answer = self.client.destroy_module(pb::DestroyModuleRequest { name });
            self.unless_refused(answer)?;
        }
        let answer = self.client.destroy_worker(pb::DestroyWorkerRequest { wid: placed.worker.into() });
        self.unless_refused(answer)
    }

    /// What is refused was not there.
    fn unless_refused<T>(&self, answer: Result<T, ClientError>) -> Result<(), LiveError> {
        match answer {
            Ok(_) | Err(ClientError::Refused(_)) => Ok(()),
            Err(error) => self.told(Err(error)),
        }
    }

    /// Has the data plane forget flows.
    ///
    /// # Errors
    /// The site is gone.
    pub fn forget(&mut self, forget: &proto::Forget) -> Result<(), LiveError> {
        self.command(PLANE, "forget", forget).map(drop)
    }

    /// Tells the data plane all that it does from now on.
    ///
    /// # Errors
    /// A later manager has spoken, or the site is gone.
    pub fn set_program(&mut self, program: &proto::Program) -> Result<(), LiveError> {
        self.command(PLANE, "set_program", program).map(drop)
    }

    /// What the data plane was told last.
    ///
    /// # Errors
    /// The site is gone.
    pub fn program(&mut self) -> Result<proto::Program, LiveError> {
        self.ask(PLANE, "get_program", &pb::EmptyArg {})
    }

    /// What the data plane has counted.
    ///
    /// # Errors
    /// The site is gone.
    pub fn report(&mut self) -> Result<proto::Report, LiveError> {
        self.ask(PLANE, "get_report", &pb::EmptyArg {})
    }

    /// The flows that an instance is known to have, in a range.
    ///
    /// # Errors
    /// The site is gone.
    pub fn flows(&mut self, of: &proto::FlowsOf) -> Result<proto::Flows, LiveError> {
        self.ask(PLANE, "get_flows", of)
    }

    /// Packets that were lost besides those that the data plane has dropped and that queues have, by where.
    ///
    /// # Errors
    /// The site is gone.
    pub fn losses(&mut self) -> Result<BTreeMap<String, u64>, LiveError> {
        let mut losses = BTreeMap::new();
        let mut add = |cause: String, packets| {
            if packets > 0 {
                losses.insert(cause, packets);
            }
        };
        let ports = self.client.list_ports(pb::EmptyRequest {});
        for port in self.told(ports)?.ports {
            let answer = self.client.get_port_stats(pb::GetPortStatsRequest { name: port.name.clone() });
            let stats = self.told(answer)?;
            let dropped =
                |side: Option<pb::get_port_stats_response::Stat>| side.map_or(0, |side| side.dropped);
            add(format!("port {} was full before they were read", port.name), dropped(stats.inc));
            add(format!("port {} did not take them", port.name), dropped(stats.out));
        }
        let modules = self.client.list_modules(pb::EmptyRequest {});
        for module in self.told(modules)?.modules {
            let cause = match module.mclass.as_str() {
                CLASS | "PortInc" => format!("the ring behind {} was full", module.name),
                NATIVE | ISOLATED => format!("{} dropped them, or the ring behind it was full", module.name),
                // What queues drop is told with the instances.
                _ => continue,
            };
            let answer = self.client.get_module_info(pb::GetModuleInfoRequest { name: module.name });
            add(cause, self.told(answer)?.deadends);
        }
        Ok(losses)
    }

    /// What a native function says of itself.
    ///
    /// # Errors
    /// The site is gone, or has no such instance.
    pub fn function_report(&mut self, id: u32) -> Result<pb::NetworkFunctionReport, LiveError> {
        self.ask(&function_name(id), "get_report", &pb::EmptyArg {})
    }

    /// The queues in front of an instance: of its inside, and of its outside.
    ///
    /// # Errors
    /// The site is gone, or has no such instance.
    pub fn queues(&mut self, id: u32) -> Result<[pb::QueueCommandGetStatusResponse; 2], LiveError> {
        let mut of = |gate| self.ask(&queue_name(id, gate), "get_status", &pb::QueueCommandGetStatusArg {});
        Ok([of(0)?, of(1)?])
    }

    /// How long the core of a native instance has worked for it, in ns of this machine's clock of cycles.
    ///
    /// # Errors
    /// The site is gone, or has no such instance.
    pub fn worked_ns(&mut self, id: u32, worker: u16) -> Result<u64, LiveError> {
        let listed = self.client.list_tcs(pb::ListTcsRequest { wid: worker.into() });
        let own = [queue_name(id, 0), queue_name(id, 1)];
        let mut cycles = 0;
        for class in self.told(listed)?.classes_status.into_iter().filter_map(|status| status.class) {
            if own.contains(&class.leaf_module_name) {
                let stats = self.client.get_tc_stats(pb::GetTcStatsRequest { name: class.name });
                cycles += self.told(stats)?.cycles;
            }
        }
        let ns = u128::from(cycles) * 1_000_000_000 / u128::from(host::cycles::per_second());
        Ok(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    fn add_worker(&mut self, wid: i64) -> Result<(), LiveError> {
        // Cores are shared where there are fewer than workers.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let core = (self.core as i64 + wid) % cores as i64;
        let answer = self.client.add_worker(pb::AddWorkerRequest { wid, core, scheduler: String::new() });
        self.told(answer).map(drop)
    }

    fn create(&mut self, class: &str, name: &str, arg: &impl Name) -> Result<(), LiveError> {
        let (mclass, name, arg) = (class.to_owned(), name.to_owned(), Some(pack(arg)));
        let answer = self.client.create_module(pb::CreateModuleRequest { name, mclass, arg });
        self.told(answer).map(drop)
    }

    fn connect_modules(&mut self, from: &str, ogate: u16, to: &str, igate: u16) -> Result<(), LiveError> {
        let request = pb::ConnectModulesRequest {
            m1: from.to_owned(),
            m2: to.to_owned(),
            ogate: ogate.into(),
            igate: igate.into(),
            skip_default_hooks: false,
        };
        let answer = self.client.connect_modules(request);
        self.told(answer).map(drop)
    }

    /// Gives a module's task to a worker.
    fn attach(&mut self, module: &str, wid: i64) -> Result<(), LiveError> {
        let class = pb::TrafficClass { leaf_module_name: module.to_owned(), wid, ..Default::default() };
        let answer = self.client.update_tc_parent(pb::UpdateTcParentRequest { class: Some(class) });
        self.told(answer).map(drop)
    }

    fn command(
        &mut self,
        module: &str,
        command: &'static str,
        arg: &impl Name,
    ) -> Result<pb::CommandResponse, LiveError> {
        let (name, cmd, arg) = (module.to_owned(), command.to_owned(), Some(pack(arg)));
        let answer = self.client.module_command(pb::CommandRequest { name, cmd, arg });
        self.told(answer)
    }

    fn ask<A: Message + Default>(
        &mut self,
        module: &str,
        command: &'static str,
        arg: &impl Name,
    ) -> Result<A, LiveError> {
        let answer = self.command(module, command, arg)?.data;
        let decoded = answer.and_then(|any| A::decode(&*any.value).ok());
        decoded.ok_or_else(|| LiveError::Answer { site: self.name.clone(), asked: command })
    }
}

fn function_name(id: u32) -> String {
    format!("instance_{id}")
}

fn queue_name(id: u32, gate: u16) -> String {
    format!("queue_{id}_{gate}")
}
