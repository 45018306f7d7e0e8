//! Hooks on gates.
//!
//! Track on an output gate is a view of the engine's own counters, which run anyway; all else is a hook in the engine.

use std::collections::BTreeMap;

use prost_types::Any;

use super::gates::upstream;
use super::{Bess, State};
use crate::bess::class::{Argument, decode};
use crate::bess::{Failure, pb};
use crate::engine::{Gate, GateHook, ModuleLinks, ModuleSnapshot, Side};
use crate::hooks::{Capture, ETHERNET_OVERHEAD, Format, Track};

use pb::gate_hook_info::Gate as Which;
use pb::get_module_info_response as info;

/// A class of hooks.
struct Class {
    name: &'static str,
    /// What default names begin with.
    prefix: &'static str,
    help: &'static str,
    /// Commands and their arguments.
    commands: &'static [(&'static str, &'static str)],
}

const CLASSES: [Class; 3] = [
    Class { name: "PcapNg", prefix: "pcapng", help: "writes packets into a FIFO as pcapng", commands: &[] },
    Class { name: "TcpDump", prefix: "tcpdump", help: "writes packets into a FIFO as pcap", commands: &[] },
    Class {
        name: "Track",
        prefix: "track",
        help: "counts packets and batches",
        commands: &[("reset", "EmptyArg")],
    },
];

/// The hooks that clients have put on gates.
#[derive(Default)]
pub(in crate::bess) struct Hooks(BTreeMap<(String, Side), Vec<Entry>>);

struct Entry {
    class: &'static str,
    name: String,
    arg: Any,
    /// Whether Track counts bytes.
    bytes: bool,
    /// What the engine had counted when Track began.
    base: [u64; 3],
}

/// What the engine has counted on an output gate: batches, packets, bytes with the wire's overhead.
fn counted(module: &ModuleSnapshot, side: Side) -> [u64; 3] {
    match side {
        Side::Output(gate) => module.outputs.get(usize::from(gate)).map_or([0; 3], |output| {
            [output.batches, output.packets, output.bytes + output.packets * ETHERNET_OVERHEAD]
        }),
        Side::Input(_) => [0; 3],
    }
}

impl Hooks {
    /// A module is gone.
    pub(super) fn forget(&mut self, module: &str) {
        self.0.retain(|(name, _), _| name != module);
    }

    /// The hooks of a gate.
    pub(super) fn listed(&self, module: &str, side: Side) -> Vec<info::GateHook> {
        let entries = self.0.get(&(module.to_owned(), side));
        let list = |entry: &Entry| info::GateHook {
            class_name: entry.class.to_owned(),
            hook_name: entry.name.clone(),
        };
        entries.into_iter().flatten().map(list).collect()
    }

    /// All hooks, in the order in which they came to their gates.
    pub(in crate::bess) fn all(&self) -> Vec<pb::GateHookInfo> {
        let mut hooks = Vec::new();
        for ((module, side), entries) in &self.0 {
            let gate = match *side {
                Side::Input(gate) => Which::Igate(i64::from(gate)),
                Side::Output(gate) => Which::Ogate(i64::from(gate)),
            };
            hooks.extend(entries.iter().map(|entry| pb::GateHookInfo {
                class_name: entry.class.to_owned(),
                hook_name: entry.name.clone(),
                module_name: module.clone(),
                arg: Some(entry.arg.clone()),
                gate: Some(gate),
            }));
        }
        hooks
    }

    /// What Track has counted on a gate, if it is there.
    pub(super) fn tracked(&self, bess: &Bess, module: &ModuleSnapshot, side: Side) -> Option<[u64; 3]> {
        let entries = self.0.get(&(module.name.clone(), side))?;
        let entry = entries.iter().find(|entry| entry.class == "Track")?;
        if let Side::Input(_) = side {
            return bess
                .engine
                .with_hook(&module.name, side, &entry.name, |track: &mut Track| track.counts)
                .ok();
        }
        let [batches, packets, bytes] = counted(module, side);
        let since = |now: u64, base: u64| now.saturating_sub(base);
        let bytes = if entry.bytes { since(bytes, entry.base[2]) } else { 0 };
        Some([since(batches, entry.base[0]), since(packets, entry.base[1]), bytes])
    }
}

fn number(gate: Option<&Which>) -> (bool, Option<u64>) {
    match gate {
        Some(Which::Igate(gate)) => (true, u64::try_from(*gate).ok()),
        Some(Which::Ogate(gate)) => (false, u64::try_from(*gate).ok()),
        None => (false, Some(0)),
    }
}

fn side(input: bool, gate: u64) -> Result<Side, Failure> {
    let gate = Gate::try_from(gate).map_err(|_| Failure::not_found(format!("gate {gate} does not exist")))?;
    Ok(if input { Side::Input(gate) } else { Side::Output(gate) })
}

/// The gates of a module that are connected.
fn connected(graph: &[ModuleLinks], name: &str, input: bool) -> Vec<Side> {
    if input {
        return upstream(graph, name).into_keys().map(Side::Input).collect();
    }
    let module = graph.iter().find(|module| module.name == name);
    module.into_iter().flat_map(|module| &module.links).map(|link| Side::Output(link.0)).collect()
}

impl Bess {
    pub(crate) fn list_gate_hook_class(
        &self,
        _: &pb::EmptyRequest,
    ) -> Result<pb::ListGateHookClassResponse, Failure> {
        let names = CLASSES.iter().map(|class| class.name.to_owned()).collect();
        Ok(pb::ListGateHookClassResponse { error: None, names })
    }

    pub(crate) fn get_gate_hook_class_info(
        &self,
        request: &pb::GetGateHookClassInfoRequest,
    ) -> Result<pb::GetGateHookClassInfoResponse, Failure> {
        let Class { name, help, commands, .. } = *class(&request.name)?;
        Ok(pb::GetGateHookClassInfoResponse {
            error: None,
            name: name.to_owned(),
            help: help.to_owned(),
            cmds: commands.iter().map(|command| command.0.to_owned()).collect(),
            cmd_args: commands.iter().map(|command| command.1.to_owned()).collect(),
        })
    }

    pub(crate) fn list_gate_hooks(&self, _: &pb::EmptyRequest) -> Result<pb::ListGateHooksResponse, Failure> {
        Ok(pb::ListGateHooksResponse { error: None, hooks: self.lock().hooks.all() })
    }

    pub(crate) fn configure_gate_hook(
        &self,
        request: &pb::ConfigureGateHookRequest,
    ) -> Result<pb::ConfigureGateHookResponse, Failure> {
        let hook = request.hook.clone().unwrap_or_default();
        class(&hook.class_name)?;
        let mut state = self.lock();
        let snapshot = self.engine.snapshot();
        let modules: Vec<&ModuleSnapshot> = if hook.module_name.is_empty() {
            snapshot.modules.iter().collect()
        } else {
            state.built(&hook.module_name)?;
            snapshot.module(&hook.module_name).into_iter().collect()
        };
        let graph = self.engine.graph();
        let (input, gate) = number(hook.gate.as_ref());
        let mut places = Vec::new();
        for module in modules {
            let there = connected(&graph, &module.name, input);
            let sides = match gate {
                None => there,
                Some(gate) => {
                    let side = side(input, gate)?;
                    if !there.contains(&side) {
                        let letter = if input { 'i' } else { 'o' };
                        let message = format!("'{}': {letter}gate '{gate}' does not exist", module.name);
                        return Err(Failure::not_found(message));
                    }
                    vec![side]
                }
            };
            places.extend(sides.into_iter().map(|side| (module, side)));
        }
        let mut added: Vec<(&str, Side, String)> = Vec::new();
        for (module, side) in places {
            if !request.enable {
                self.remove_hook(&mut state, &module.name, side, &hook)?;
                continue;
            }
            match self.add_hook(&mut state, module, side, &hook) {
                Ok(name) => added.push((&module.name, side, name)),
                Err(failure) => {
                    // All gates that were meant get it, or none.
                    for (module, side, hook_name) in added {
                        let hook = pb::GateHookInfo { hook_name, ..Default::default() };
                        self.remove_hook(&mut state, module, side, &hook)?;
                    }
                    return Err(failure);
                }
            }
        }
        let name = added.pop().map(|(.., name)| name).unwrap_or_default();
        let name = if gate.is_some() && !hook.module_name.is_empty() { name } else { String::new() };
        Ok(pb::ConfigureGateHookResponse { error: None, name })
    }

    /// Puts the default Track on a gate.
    pub(super) fn track(&self, state: &mut State, module: &str, side: Side) -> Result<(), Failure> {
        let snapshot = self.engine.snapshot();
        let hook = pb::GateHookInfo { class_name: "Track".to_owned(), ..Default::default() };
        if let Some(module) = snapshot.module(module) {
            self.add_hook(state, module, side, &hook)?;
        }
        Ok(())
    }

    fn add_hook(
        &self,
        state: &mut State,
        module: &ModuleSnapshot,
        side: Side,
        hook: &pb::GateHookInfo,
    ) -> Result<String, Failure> {
        let Class { name: class, prefix, .. } = *class(&hook.class_name)?;
        // The reader of a FIFO may have gone with the process that wrote it.
        let later = state.workers.is_held();
        let entries = state.hooks.0.entry((module.name.clone(), side)).or_default();
        let taken = |name: &str| entries.iter().any(|entry| entry.name == name);
        if taken(&hook.hook_name) {
            return Err(Failure::exists(format!("a hook '{}' is on the gate already", hook.hook_name)));
        }
        let name = if hook.hook_name.is_empty() {
            (0..).map(|number| format!("{prefix}{number}")).find(|name| !taken(name)).unwrap_or_default()
        } else {
            hook.hook_name.clone()
        };
        let arg = hook.arg.clone().unwrap_or_default();
        let argument = Argument { any: &arg };
        let mut bytes = false;
        let made: Option<Box<dyn GateHook>> = match class {
            "Track" => {
                bytes = decode::<pb::TrackArg>(&argument)?.bits;
                matches!(side, Side::Input(_)).then(|| Box::new(Track::new(bytes)) as _)
            }
            "TcpDump" => {
                let arg: pb::TcpdumpArg = decode(&argument)?;
                Some(Box::new(capture(Format::Pcap, &arg.fifo, arg.defer || later, arg.reconnect)?))
            }
            _ => {
                let arg: pb::PcapngArg = decode(&argument)?;
                Some(Box::new(capture(Format::PcapNg, &arg.fifo, arg.defer || later, arg.reconnect)?))
            }
        };
        if let Some(made) = made {
            self.engine.add_hook(&module.name, side, &name, made)?;
        }
        entries.push(Entry { class, name: name.clone(), arg, bytes, base: counted(module, side) });
        Ok(name)
    }

    fn remove_hook(
        &self,
        state: &mut State,
        module: &str,
        side: Side,
        hook: &pb::GateHookInfo,
    ) -> Result<(), Failure> {
        let Some(entries) = state.hooks.0.get_mut(&(module.to_owned(), side)) else { return Ok(()) };
        let (class, name) = (hook.class_name.clone(), hook.hook_name.clone());
        let which = move |have: &str, of: &str| if name.is_empty() { of == class } else { have == name };
        entries.retain(|entry| !which(&entry.name, entry.class));
        self.engine.remove_hooks(module, side, which)?;
        Ok(())
    }

    /// Takes all hooks off a gate that is no longer connected.
    pub(super) fn unhook(&self, state: &mut State, module: &str, side: Side) -> Result<(), Failure> {
        state.hooks.0.remove(&(module.to_owned(), side));
        self.engine.remove_hooks(module, side, |_, _| true)?;
        Ok(())
    }

    pub(crate) fn gate_hook_command(
        &self,
        request: &pb::GateHookCommandRequest,
    ) -> Result<pb::CommandResponse, Failure> {
        let hook = request.hook.clone().unwrap_or_default();
        let mut state = self.lock();
        state.built(&hook.module_name)?;
        let (input, gate) = number(hook.gate.as_ref());
        let gate = gate.ok_or_else(|| Failure::invalid("one gate must be given"))?;
        let side = side(input, gate)?;
        let snapshot = self.engine.snapshot();
        let entries = state.hooks.0.get_mut(&(hook.module_name.clone(), side));
        let entry = entries.into_iter().flatten().find(|entry| entry.name == hook.hook_name);
        let entry = entry.ok_or_else(|| {
            Failure::not_found(format!(
                "{side:?} of '{}' has no hook named '{}'",
                hook.module_name, hook.hook_name
            ))
        })?;
        if (entry.class, request.cmd.as_str()) != ("Track", "reset") {
            return Err(Failure::unsupported(format!(
                "'{}' does not support command '{}'",
                entry.class, request.cmd
            )));
        }
        if let Some(module) = snapshot.module(&hook.module_name) {
            entry.base = counted(module, side);
        }
        if let Side::Input(_) = side {
            let reset = |track: &mut Track| track.counts = [0; 3];
            self.engine.with_hook(&hook.module_name, side, &entry.name, reset)?;
        }
        Ok(pb::CommandResponse::default())
    }

    /// Resume hooks: what BESS's two do when it resumes, is done here with every change of the graph, so neither can be
    /// installed, nor taken away.
    pub(crate) fn configure_resume_hook(
        &self,
        request: &pb::ConfigureResumeHookRequest,
    ) -> Result<pb::CommandResponse, Failure> {
        let name = &request.hook_name;
        if !matches!(
            name.as_str(),
            "SetupMetadata" | "setup_metadata" | "SetupTaskGraph" | "setup_task_graph"
        ) {
            return Err(Failure::not_found(format!("no such resume hook '{name}'")));
        }
        Err(if request.enable {
            Failure::exists(format!("resume hook '{name}' is already installed"))
        } else {
            Failure::unsupported(format!(
                "resume hook '{name}' cannot go: its work is done with every change"
            ))
        })
    }
}

fn class(name: &str) -> Result<&'static Class, Failure> {
    if name.is_empty() {
        return Err(Failure::invalid("the argument must be a hook class's name"));
    }
    let found = CLASSES.iter().find(|class| class.name == name);
    found.ok_or_else(|| Failure::not_found(format!("no gate hook class '{name}' found")))
}

fn capture(format: Format, path: &str, defer: bool, reconnect: bool) -> Result<Capture, Failure> {
    if path.is_empty() {
        return Err(Failure::invalid("'fifo' must name a FIFO or a file"));
    }
    if defer {
        return Ok(Capture::deferred(format, path).reconnect(reconnect));
    }
    let opened = Capture::open(format, path).map_err(|error| {
        let code =
            error.source.raw_os_error().map_or(rustix::io::Errno::IO, rustix::io::Errno::from_raw_os_error);
        Failure::new(code, error.to_string())
    })?;
    Ok(opened.reconnect(reconnect))
}
