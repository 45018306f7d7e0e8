//! Checking a file without carrying it out: names, classes, arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{hook_argument, parametrise};
use super::arguments::encode;
use super::{ApplyError, Call, Parsed, Place, Problem, Statement, StatementKind, Step};
use crate::bess::{argument_of, command_argument_of, has_driver, name_template, pb};
use crate::engine::{GATES_MAX, Resource};

/// Policies of traffic classes, and whether they take a resource.
const POLICIES: [(&str, bool); 4] =
    [("priority", false), ("weighted_fair", true), ("round_robin", false), ("rate_limit", true)];

/// Looks for what is wrong with a file without creating anything: names that nothing bears, names that two things bear,
/// classes and commands that do not exist, arguments that they do not take. What only shows when it is tried (an
/// interface that is not there, a rule that makes no sense) is left to [`apply`](super::apply).
///
/// ```
/// use softnic::config::{check, parse};
/// let wrong = check(&parse("in::Source() -> out::Sinc()")?).unwrap_err();
/// assert_eq!(wrong.to_string(), "line 1: there is no module class `Sinc`");
/// # Ok::<(), softnic::config::SyntaxError>(())
/// ```
///
/// # Errors
/// The first thing that is wrong.
pub fn check(parsed: &Parsed) -> Result<(), ApplyError> {
    let mut known = Known::default();
    for Statement { line, kind } in &parsed.statements {
        known.statement(kind).map_err(|problem| ApplyError { line: *line, problem })?;
    }
    Ok(())
}

/// What the statements so far have created.
#[derive(Default)]
struct Known {
    /// The class of each module.
    modules: BTreeMap<String, String>,
    ports: BTreeSet<String>,
    workers: BTreeSet<u64>,
    classes: BTreeSet<String>,
    /// Output gates that lead somewhere.
    gates: BTreeSet<(String, u64)>,
}

fn wrong(problem: impl Into<String>) -> Problem {
    Problem::Wrong(problem.into())
}

/// Puts a new name in.
fn name<T: Ord>(names: &mut BTreeSet<T>, name: T, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if names.insert(name) { Ok(()) } else { Err(wrong(format!("there is {} already", what()))) }
}

fn gate(gate: u64) -> Result<(), Problem> {
    if gate < u64::from(GATES_MAX) {
        return Ok(());
    }
    Err(wrong(format!("gates go from 0 to {}, not to {gate}", GATES_MAX - 1)))
}

impl Known {
    fn statement(&mut self, kind: &StatementKind) -> Result<(), Problem> {
        match kind {
            StatementKind::Port(port, call) => {
                if !has_driver(&call.name) {
                    return Err(wrong(format!("there is no port driver `{}`", call.name)));
                }
                encode(&format!("{}Arg", call.name), call)?;
                name(&mut self.ports, port.clone(), || format!("a port `{port}`"))
            }
            StatementKind::Worker { number, .. } => {
                name(&mut self.workers, *number, || format!("a worker {number}"))
            }
            StatementKind::Class { name: class, policy, parameters, place } => {
                let takes = POLICIES.iter().find(|known| known.0 == policy).map(|known| known.1);
                let takes = takes.ok_or_else(|| {
                    let known = POLICIES.map(|policy| policy.0).join(", ");
                    wrong(format!("there is no policy `{policy}`, only {known}"))
                })?;
                let mut filled = pb::TrafficClass::default();
                parametrise(&mut filled, parameters)?;
                if takes && Resource::find(&filled.resource).is_none() {
                    let text = format!("{policy} takes a resource (count, cycle, packet, bit)");
                    return Err(wrong(text));
                }
                self.place(place)?;
                name(&mut self.classes, class.clone(), || format!("a class `{class}`"))
            }
            StatementKind::Attach { module, place, .. } => {
                self.module(module)?;
                self.place(place)
            }
            StatementKind::Chain(chain) => self.chain(chain),
            StatementKind::Command(module, call) => {
                let class = self.module(module)?;
                let argument = command_argument_of(class, &call.name).ok_or_else(|| {
                    wrong(format!("`{module}` is a {class}, which has no command `{}`", call.name))
                })?;
                encode(argument, call)?;
                Ok(())
            }
            StatementKind::Hook { call, module, gate: at, .. } => {
                self.module(module)?;
                encode(hook_argument(&call.name)?, call)?;
                gate(*at)
            }
        }
    }

    fn module(&self, module: &str) -> Result<&str, Problem> {
        let class = self.modules.get(module).map(String::as_str);
        class.ok_or_else(|| wrong(format!("there is no module `{module}`; NAME::CLASS(…) creates one")))
    }

    fn place(&self, place: &Place) -> Result<(), Problem> {
        match &place.under {
            Some(class) if !self.classes.contains(class) => {
                Err(wrong(format!("there is no class `{class}`")))
            }
            _ => Ok(()),
        }
    }

    fn chain(&mut self, chain: &[Step]) -> Result<(), Problem> {
        let mut before: Option<(String, u64)> = None;
        for step in chain {
            gate(step.input)?;
            gate(step.output)?;
            let module = match &step.create {
                Some(call) => self.create(step.name.as_deref(), call)?,
                None => {
                    let module = step.name.clone().unwrap_or_default();
                    self.module(&module)?;
                    module
                }
            };
            if let Some((from, output)) = before {
                let what = || format!("a connection from gate {output} of `{from}`");
                name(&mut self.gates, (from.clone(), output), what)?;
            }
            before = Some((module, step.output));
        }
        Ok(())
    }

    /// Notes a module under the name that it will have.
    fn create(&mut self, wanted: Option<&str>, call: &Call) -> Result<String, Problem> {
        let message = argument_of(&call.name)
            .ok_or_else(|| wrong(format!("there is no module class `{}`", call.name)))?;
        encode(message, call)?;
        if let Some(port) = call.arguments.iter().find(|(name, _)| name == "port").map(|(_, value)| value)
            && let super::Value::Text(port) = port
            && !self.ports.contains(port)
        {
            return Err(wrong(format!("there is no port `{port}`")));
        }
        let module = match wanted {
            Some(name) => name.to_owned(),
            None => {
                let prefix = name_template(&call.name);
                let mut names = (0..).map(|number| format!("{prefix}{number}"));
                names.find(|name| !self.modules.contains_key(name)).unwrap_or_default()
            }
        };
        match self.modules.insert(module.clone(), call.name.clone()) {
            None => Ok(module),
            Some(_) => Err(wrong(format!("there is a module `{module}` already"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn error(text: &str) -> String {
        check(&parse(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_right_passes() {
        let text = "port p PMDPort(vdev=\"net_ring0\")\nworker 0 core=0\nclass c rate_limit(bit, 1000, 0) worker=0\n\
                    in::PortInc(port=p) -> ACL(rules=[{src_ip: 10.0.0.0/8}]) -> Sink()\nattach in c\n\
                    both::Replicate(gates=[0, 1]) -> sink0\nboth:1 -> Sink()\nacl0.clear()\n\
                    hook TcpDump(fifo=\"/x\") acl0 out 0\n";
        check(&parse(text).unwrap()).unwrap();
    }

    #[test]
    fn what_is_wrong_is_found_where_it_stands() {
        for (text, wanted) in [
            ("Source()\nport p TapPort()", "line 2: there is no port driver `TapPort`"),
            ("port p VPort()\nport p VPort()", "line 2: there is a port `p` already"),
            ("worker 1\nworker 1", "line 2: there is a worker 1 already"),
            (
                "class c lottery worker=0",
                "line 1: there is no policy `lottery`, only priority, weighted_fair",
            ),
            ("class c rate_limit worker=0", "line 1: rate_limit takes a resource"),
            ("class c priority under=d", "line 1: there is no class `d`"),
            ("attach a worker=0", "line 1: there is no module `a`"),
            ("a::Source() -> b", "line 1: there is no module `b`; NAME::CLASS(…) creates one"),
            ("a::Source(size=1)", "line 1: Source has no argument `size`; it has pkt_size"),
            ("a::Source()\na::Sink()", "line 2: there is a module `a` already"),
            ("a::PortInc(port=p)", "line 1: there is no port `p`"),
            ("a::Source() -> Sink()\na -> sink0", "line 2: there is a connection from gate 0 of `a` already"),
            ("a::Source():8192 -> Sink()", "line 1: gates go from 0 to 8191, not to 8192"),
            ("a::Source()\na.stop()", "line 2: `a` is a Source, which has no command `stop`"),
            ("a::Source()\nhook Tap() a out 0", "line 2: there is no hook class `Tap`"),
        ] {
            let error = error(text);
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
