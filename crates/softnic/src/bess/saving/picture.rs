//! What a daemon runs, as the requests that lead to it.
//!
//! It is a list of requests and not a format of its own, so that whatever a request can bring about can be saved, and what
//! is restored goes through the same checks as what clients ask for. What no request says is in records of our own: where
//! everything began, which modules have which seeds, and which worker has those that several lead to.

use std::collections::BTreeMap;

use prost::Message;

use super::file::Record;
use crate::bess::control::{Bess, State};
use crate::bess::{Failure, Flavour, pb};
use crate::engine::{ClassKind, ClassSnapshot, Edit, Policy};

/// How a saved state begins.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Head {
    /// The line of clients: 0 NetSys, 1 omec.
    #[prost(uint32, tag = "1")]
    pub(super) flavour: u32,
    /// What hashes are keyed with.
    #[prost(fixed64, tag = "2")]
    pub(super) seed: u64,
    /// When the file was written as a whole, in seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub(super) at_s: u64,
}

/// How many modules had been built before the next one.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Built {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
}

/// Modules without tasks that a worker has.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Placed {
    #[prost(uint32, tag = "1")]
    pub(super) worker: u32,
    #[prost(string, repeated, tag = "2")]
    pub(super) modules: Vec<String>,
}

/// How the part ends that was written as a whole; what follows are requests as they came.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Tail {
    /// Records in front of it.
    #[prost(uint64, tag = "1")]
    pub(super) records: u64,
    /// Modules that had been built.
    #[prost(uint64, tag = "2")]
    pub(super) built: u64,
    /// The worker that adopts next.
    #[prost(uint32, tag = "3")]
    pub(super) next: u32,
    /// The workers that were not paused.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) running: Vec<u32>,
}

/// The names of our own records.
pub(super) const HEAD: &str = "state.head";
const BUILT: &str = "state.built";
const PLACED: &str = "state.placed";
pub(super) const TAIL: &str = "state.tail";

pub(super) fn number(flavour: Flavour) -> u32 {
    match flavour {
        Flavour::NetSys => 0,
        Flavour::Omec => 1,
    }
}

/// Takes records one after the other; what goes wrong ends the picture.
pub(in crate::bess) type Take<'a, E> = dyn FnMut(&str, &[u8]) -> Result<(), E> + 'a;

impl Bess {
    /// Tells all that runs, from head to tail. Nothing changes meanwhile, and packets flow on.
    pub(in crate::bess) fn picture<E: From<Failure>>(&self, take: &mut Take<'_, E>) -> Result<(), E> {
        let state = self.lock();
        let mut records = 0;
        let mut tell = |kind: &str, body: Vec<u8>| {
            records += 1;
            take(kind, &body)
        };
        tell(HEAD, self.head().encode_to_vec())?;
        for (port, conf) in state.ports.requests() {
            tell("CreatePort", port.encode_to_vec())?;
            if let Some(conf) = conf {
                tell("SetPortConf", conf.encode_to_vec())?;
            }
        }
        for (wid, core) in state.workers.cores() {
            let worker = pb::AddWorkerRequest { wid: wid as i64, core: core as i64, ..Default::default() };
            tell("AddWorker", worker.encode_to_vec())?;
        }
        for (name, built) in &state.modules {
            let (number, create, commands) = built.requests(self, name)?;
            tell(BUILT, Built { count: number - 1 }.encode_to_vec())?;
            tell("CreateModule", create.encode_to_vec())?;
            for command in commands {
                tell("ModuleCommand", command.encode_to_vec())?;
            }
        }
        self.connections(&state, &mut tell)?;
        for class in self.engine().classes() {
            if state.workers.contains(class.worker)
                && let Some((method, request)) = placed(&class)
            {
                tell(method, request)?;
            }
        }
        let mut placed: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for module in self.engine().graph() {
            if module.tasks == 0 {
                placed.entry(module.worker as u32).or_default().push(module.name);
            }
        }
        for (worker, modules) in placed {
            tell(PLACED, Placed { worker, modules }.encode_to_vec())?;
        }
        let running = state.workers.running.iter().map(|&worker| worker as u32).collect();
        let tail = Tail { records, built: state.built, next: state.workers.next as u32, running };
        take(TAIL, &tail.encode_to_vec())
    }

    /// All that runs, as the requests that lead to it: names of methods and encoded messages. Those with a dot in their
    /// name are no requests of clients; they say which modules have which seeds and workers.
    ///
    /// # Errors
    /// When a module is out of order and cannot tell its state.
    pub fn requests(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut requests = Vec::new();
        self.picture::<Failure>(&mut |kind, body| {
            // When it was taken says nothing of what runs.
            if kind != HEAD {
                requests.push((kind.to_owned(), body.to_vec()));
            }
            Ok(())
        })?;
        Ok(requests)
    }

    fn head(&self) -> Head {
        let config = self.config();
        let at_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Head { flavour: number(config.flavour), seed: config.seed, at_s: at_s.as_secs() }
    }

    fn connections<E: From<Failure>>(
        &self,
        state: &State,
        tell: &mut impl FnMut(&str, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        for module in self.engine().graph() {
            for (output, to, input) in module.links {
                let connect = pb::ConnectModulesRequest {
                    m1: module.name.clone(),
                    m2: to,
                    ogate: output.into(),
                    igate: input.into(),
                    // Every hook is told by itself.
                    skip_default_hooks: true,
                };
                tell("ConnectModules", connect.encode_to_vec())?;
            }
        }
        for hook in state.hooks.all() {
            let configure = pb::ConfigureGateHookRequest { hook: Some(hook), enable: true };
            tell("ConfigureGateHook", configure.encode_to_vec())?;
        }
        Ok(())
    }

    /// Carries out a record of our own.
    pub(super) fn carry_out_own(&self, record: &Record) -> Result<(), Failure> {
        let wrong = |error: prost::DecodeError| Failure::invalid(error.to_string());
        let body = record.body.as_slice();
        match record.kind.as_str() {
            HEAD => {}
            BUILT => self.lock().built = Built::decode(body).map_err(wrong)?.count,
            PLACED => {
                let Placed { worker, modules } = Placed::decode(body).map_err(wrong)?;
                let move_to = |edit: Edit, module| edit.move_to(module, worker as usize);
                self.engine().apply(modules.into_iter().fold(Edit::new(), move_to))?;
            }
            TAIL => {
                let Tail { built, next, running, .. } = Tail::decode(body).map_err(wrong)?;
                let mut state = self.lock();
                state.built = built;
                state.workers.next = next as usize;
                for worker in running {
                    state.workers.run(worker as usize)?;
                }
            }
            other => return Err(Failure::unsupported(format!("'{other}' is unknown to this version"))),
        }
        Ok(())
    }
}

/// The request that gives a class, or the leaf of a task, its place; `None` for the engine's own.
fn placed(class: &ClassSnapshot) -> Option<(&'static str, Vec<u8>)> {
    let top = class.parent.as_ref().is_none_or(|parent| parent.starts_with('!'));
    let mut told = crate::bess::control::traffic_class(class);
    told.blocked = false;
    told.parent = if top { String::new() } else { class.parent.clone().unwrap_or_default() };
    told.wid = if top { class.worker as i64 } else { -1 };
    if top {
        told.arg = None;
    }
    match &class.kind {
        ClassKind::Leaf { .. } => {
            told.name.clear();
            let request = pb::UpdateTcParentRequest { class: Some(told) };
            Some(("UpdateTcParent", request.encode_to_vec()))
        }
        ClassKind::Inner(_) if class.name.starts_with('!') => None,
        ClassKind::Inner(policy) => {
            if let Policy::WeightedFair { resource } | Policy::RateLimit { resource, .. } = policy {
                resource.name().clone_into(&mut told.resource);
            }
            Some(("AddTc", pb::AddTcRequest { class: Some(told) }.encode_to_vec()))
        }
    }
}
