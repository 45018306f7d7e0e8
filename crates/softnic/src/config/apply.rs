//! Carrying a file out.

use std::collections::HashMap;

use super::arguments::encode;
use super::{ArgumentError, Call, Parsed, Place, Statement, StatementKind, Step, Value};
use crate::bess::{Bess, Failure, argument_of, command_argument_of, pb};

/// Why a file could not be carried out; what stands before the line is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ApplyError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An argument.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The daemon refuses.
    #[error("{}", .0.message)]
    Refused(#[from] Failure),
    /// Something that a class does not take.
    #[error("{0}")]
    Wrong(String),
}

/// Carries a file out on a daemon, statement by statement; then everything runs.
///
/// # Errors
/// [`ApplyError`], with the line at fault.
pub fn apply(bess: &Bess, parsed: &Parsed) -> Result<(), ApplyError> {
    let mut classes = HashMap::new();
    for Statement { line, kind } in &parsed.statements {
        statement(bess, kind, &mut classes).map_err(|problem| ApplyError { line: *line, problem })?;
    }
    let line = parsed.statements.last().map_or(1, |last| last.line);
    let resume = bess.resume_all(&pb::EmptyRequest::default());
    resume.map(|_| ()).map_err(|failure| ApplyError { line, problem: failure.into() })
}

/// Carries out one statement. `classes` has the class of each module that the file has named.
fn statement(
    bess: &Bess,
    kind: &StatementKind,
    classes: &mut HashMap<String, String>,
) -> Result<(), Problem> {
    match kind {
        StatementKind::Port(name, call) => {
            let arg = Some(encode(&format!("{}Arg", call.name), call)?);
            bess.create_port(&pb::CreatePortRequest {
                name: name.clone(),
                driver: call.name.clone(),
                arg,
                ..Default::default()
            })?;
        }
        StatementKind::Worker { number, core } => {
            let core = core.unwrap_or(*number) as i64;
            bess.add_worker(&pb::AddWorkerRequest { wid: *number as i64, core, scheduler: String::new() })?;
        }
        StatementKind::Class { name, policy, parameters, place } => {
            let mut class = traffic_class(place);
            class.name.clone_from(name);
            class.policy.clone_from(policy);
            parametrise(&mut class, parameters)?;
            bess.add_tc(&pb::AddTcRequest { class: Some(class) })?;
        }
        StatementKind::Attach { module, task, place } => {
            let mut class = traffic_class(place);
            class.leaf_module_name.clone_from(module);
            class.leaf_module_taskid = *task;
            bess.update_tc_parent(&pb::UpdateTcParentRequest { class: Some(class) })?;
        }
        StatementKind::Chain(chain) => return connect(bess, chain, classes),
        StatementKind::Command(module, call) => {
            let class = classes
                .get(module)
                .ok_or_else(|| Problem::Wrong(format!("there is no module `{module}`")))?;
            let name = command_argument_of(class, &call.name).ok_or_else(|| {
                Problem::Wrong(format!("`{module}` is a {class}, which has no command `{}`", call.name))
            })?;
            let arg = Some(encode(name, call)?);
            bess.module_command(&pb::CommandRequest { name: module.clone(), cmd: call.name.clone(), arg })?;
        }
        StatementKind::Hook { call, module, input, gate } => {
            let name = hook_argument(&call.name)?;
            let gate = *gate as i64;
            let gate = if *input {
                pb::gate_hook_info::Gate::Igate(gate)
            } else {
                pb::gate_hook_info::Gate::Ogate(gate)
            };
            let hook = pb::GateHookInfo {
                class_name: call.name.clone(),
                module_name: module.clone(),
                arg: Some(encode(name, call)?),
                gate: Some(gate),
                ..Default::default()
            };
            bess.configure_gate_hook(&pb::ConfigureGateHookRequest { hook: Some(hook), enable: true })?;
        }
    }
    Ok(())
}

/// The message that a class of hooks takes.
pub(super) fn hook_argument(class: &str) -> Result<&'static str, Problem> {
    match class {
        "TcpDump" => Ok("TcpdumpArg"),
        "PcapNg" => Ok("PcapngArg"),
        "Track" => Ok("TrackArg"),
        _ => Err(Problem::Wrong(format!("there is no hook class `{class}`, only PcapNg, TcpDump, Track"))),
    }
}

/// Creates the modules of a chain that are not there yet, and connects each to the next.
fn connect(bess: &Bess, chain: &[Step], classes: &mut HashMap<String, String>) -> Result<(), Problem> {
    let mut before: Option<(String, u64)> = None;
    for step in chain {
        let name = match (&step.create, &step.name) {
            (Some(call), name) => create(bess, name.as_deref(), call, classes)?,
            (None, Some(name)) if classes.contains_key(name) => name.clone(),
            (None, name) => {
                let name = name.clone().unwrap_or_default();
                return Err(Problem::Wrong(format!(
                    "there is no module `{name}`; NAME::CLASS(…) creates one"
                )));
            }
        };
        if let Some((from, ogate)) = before {
            bess.connect_modules(&pb::ConnectModulesRequest {
                m1: from,
                m2: name.clone(),
                ogate,
                igate: step.input,
                skip_default_hooks: false,
            })?;
        }
        before = Some((name, step.output));
    }
    Ok(())
}

fn create(
    bess: &Bess,
    name: Option<&str>,
    call: &Call,
    classes: &mut HashMap<String, String>,
) -> Result<String, Problem> {
    let message = argument_of(&call.name)
        .ok_or_else(|| Problem::Wrong(format!("there is no module class `{}`", call.name)))?;
    let arg = Some(encode(message, call)?);
    let request =
        pb::CreateModuleRequest { name: name.unwrap_or_default().to_owned(), mclass: call.name.clone(), arg };
    let name = bess.create_module(&request)?.name;
    classes.insert(name.clone(), call.name.clone());
    Ok(name)
}

fn traffic_class(place: &Place) -> pb::TrafficClass {
    use pb::traffic_class::Arg;
    let priority = place.priority.map(|priority| Arg::Priority(priority as i64));
    pb::TrafficClass {
        parent: place.under.clone().unwrap_or_default(),
        wid: place.worker.map_or(-1, |worker| worker as i64),
        arg: place.share.map(|share| Arg::Share(share as i64)).or(priority),
        ..Default::default()
    }
}

/// Resource, limit and burst.
pub(super) fn parametrise(class: &mut pb::TrafficClass, parameters: &[Value]) -> Result<(), Problem> {
    let wrong = || {
        Problem::Wrong("a class takes a resource (count, cycle, packet, bit), a limit and a burst".to_owned())
    };
    let mut parameters = parameters.iter();
    if let Some(resource) = parameters.next() {
        let Value::Text(resource) = resource else { return Err(wrong()) };
        class.resource.clone_from(resource);
    }
    for map in [&mut class.limit, &mut class.max_burst] {
        if let Some(value) = parameters.next() {
            let Value::Integer(number) = value else { return Err(wrong()) };
            map.insert(class.resource.clone(), i64::try_from(*number).map_err(|_| wrong())?);
        }
    }
    if parameters.next().is_some() { Err(wrong()) } else { Ok(()) }
}
