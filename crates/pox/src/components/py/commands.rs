//! The commands: one table, from which `help` and completion come too.

use serde_json::{Value, json};

use super::switch;
use super::words::{first, switch as switch_of};
use crate::components::host_tracker::HostTracker;
use crate::components::openflow::discovery::Discovery;
use crate::launch::read_words;
use crate::{Connection, Core, Launcher, Level, PortNo, Record, is_live, rpc};

/// Records that `log` shows.
const RECORDS_SHOWN: usize = 20;

/// What a command is answered with, or why not.
pub(super) type Answer = Result<String, String>;
/// Whom the answer is for.
pub(super) type Respond = Box<dyn FnOnce(Answer)>;

/// What a command's first argument is, to complete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    Switch,
    Kind,
    Component,
    Topic,
    Level,
}

/// How a command is done: at once, or when a switch has answered.
#[derive(Clone, Copy)]
enum Do {
    Now(fn(&mut Core, &str) -> Answer),
    Later(fn(&mut Core, &str, Respond)),
}

/// A command.
#[derive(Clone, Copy)]
pub struct Command {
    /// Its first word.
    pub name: &'static str,
    /// What follows it.
    pub arguments: &'static str,
    /// What it does.
    pub help: &'static str,
    /// A line that shows it.
    pub example: &'static str,
    pub(super) wants: Wants,
    act: Do,
}

const fn command(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    example: &'static str,
    wants: Wants,
    act: Do,
) -> Command {
    Command { name, arguments, help, example, wants, act }
}

/// All commands, in the order that `help` has them.
pub const COMMANDS: &[Command] = &[
    command(
        "help",
        "[COMMAND | COMPONENT]",
        "lists the commands, or explains one, or prints a component's manual",
        "help flow-mod",
        Wants::Topic,
        Do::Now(help),
    ),
    command(
        "components",
        "",
        "the components that run: events handled, failures, whom they wait for",
        "components",
        Wants::Nothing,
        Do::Now(components),
    ),
    command(
        "start",
        "COMPONENT [--OPTION=VALUE]",
        "starts a component, with its options as on the launch line",
        "start openflow.discovery --link-timeout=4",
        Wants::Kind,
        Do::Now(start),
    ),
    command(
        "stop",
        "COMPONENT",
        "stops a component: it hears no more events, and flows it has installed stay",
        "stop forwarding.l2_learning",
        Wants::Component,
        Do::Now(stop),
    ),
    command(
        "switches",
        "",
        "the switches that are connected: datapath id, version, address",
        "switches",
        Wants::Nothing,
        Do::Now(switches),
    ),
    command(
        "ports",
        "[SWITCH]",
        "the ports of a switch, or of all: number, name, address, whether they are up",
        "ports 1",
        Wants::Switch,
        Do::Now(ports),
    ),
    command(
        "links",
        "",
        "the links between switches, each way, as openflow.discovery knows them",
        "links",
        Wants::Nothing,
        Do::Now(links),
    ),
    command(
        "hosts",
        "",
        "the hosts, where they are and their addresses, as host_tracker knows them",
        "hosts",
        Wants::Nothing,
        Do::Now(hosts),
    ),
    command(
        "flows",
        "SWITCH [MATCH]",
        "the flows of a switch with their counters, all or those that a match covers",
        "flows 1 tcp,tp_dst=80",
        Wants::Switch,
        Do::Later(switch::flows),
    ),
    command(
        "flow-mod",
        "SWITCH [add|modify|modify_strict|delete|delete_strict,]FLOW",
        "changes a switch's flows, in ovs-ofctl's words, and waits until it has done it",
        "flow-mod 1 priority=10,ip,nw_dst=10.0.0.0/8 actions=dec_ttl,output:2",
        Wants::Switch,
        Do::Later(switch::flow_mod),
    ),
    command(
        "del-flows",
        "SWITCH [MATCH]",
        "removes the flows of a switch, all or those that a match covers",
        "del-flows 1 in_port=3",
        Wants::Switch,
        Do::Later(switch::del_flows),
    ),
    command(
        "packet-out",
        "SWITCH [in_port=PORT] packet=HEX actions=ACTIONS",
        "sends a packet out of a switch",
        "packet-out 1 packet=ffffffffffff0200000000010800 actions=flood",
        Wants::Switch,
        Do::Later(switch::packet_out),
    ),
    command(
        "port-stats",
        "SWITCH",
        "the counters of a switch's ports",
        "port-stats 1",
        Wants::Switch,
        Do::Later(switch::port_stats),
    ),
    command(
        "tables",
        "SWITCH",
        "the tables of a switch that are in use: flows, lookups, matches",
        "tables 1",
        Wants::Switch,
        Do::Later(switch::tables),
    ),
    command(
        "groups",
        "SWITCH",
        "the groups of a switch (1.3)",
        "groups 1",
        Wants::Switch,
        Do::Later(switch::groups),
    ),
    command(
        "meters",
        "SWITCH",
        "the meters of a switch (1.3)",
        "meters 1",
        Wants::Switch,
        Do::Later(switch::meters),
    ),
    command(
        "describe",
        "SWITCH",
        "what a switch's maker says of it",
        "describe 1",
        Wants::Switch,
        Do::Later(switch::describe),
    ),
    command(
        "stats",
        "[SWITCH]",
        "what the controller has counted, or what passed between it and a switch",
        "stats 1",
        Wants::Switch,
        Do::Now(stats),
    ),
    command(
        "log",
        "[debug|info|warning|error]",
        "the last things that components said, or how loud they are from now on",
        "log debug",
        Wants::Level,
        Do::Now(log),
    ),
    command(
        "methods",
        "",
        "the methods of web.jsonrpc; a line may be one, with its parameters as JSON",
        "openflow.get_flow_stats {\"dpid\": 1}",
        Wants::Nothing,
        Do::Now(methods),
    ),
    command("quit", "", "ends the controller; so does exit", "quit", Wants::Nothing, Do::Now(quit)),
];

/// Does what one line says.
pub fn run(core: &mut Core, line: &str, respond: impl FnOnce(String) + 'static) {
    let (word, rest) = first(line);
    let respond: Respond = Box::new(|answer: Answer| {
        respond(answer.unwrap_or_else(|problem| format!("error: {problem}")));
    });
    let name = match word {
        "exit" => "quit",
        "?" => "help",
        "add-flow" => "flow-mod",
        other => other,
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(Command { act: Do::Now(act), .. }) => respond(act(core, rest)),
        Some(Command { act: Do::Later(act), .. }) => act(core, rest, respond),
        None => method(core, word, rest, respond),
    }
}

fn help(_: &mut Core, rest: &str) -> Answer {
    if rest.is_empty() {
        let wide = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
        let line = |command: &Command| format!("{:wide$}  {}", command.name, command.help);
        let lines: Vec<String> = COMMANDS.iter().map(line).collect();
        return Ok(format!(
            "{}\n`help COMMAND` shows what it takes, `help COMPONENT` a component's manual",
            lines.join("\n")
        ));
    }
    if let Some(command) = COMMANDS.iter().find(|command| command.name == rest) {
        let Command { name, arguments, help, example, .. } = command;
        return Ok(format!("{name} {arguments}\n  {help}\n  such as: {example}").replace(" \n", "\n"));
    }
    match Launcher::stock().find(rest) {
        Some(kind) => Ok(kind.manual()),
        None => Err(format!("there is no command or component '{rest}'; `help` lists the commands")),
    }
}

fn components(core: &mut Core, _: &str) -> Answer {
    let mut lines = Vec::new();
    for health in core.health() {
        let mut line = format!("{}: {} handled", health.name, health.handled);
        if health.failures > 0 {
            line += &format!(
                ", {} failed, the last: {}",
                health.failures,
                health.last_failure.unwrap_or_default()
            );
        }
        lines.push(line);
    }
    for (name, missing) in core.missing() {
        lines.push(format!("{name} waits for {}", missing.join(", ")));
    }
    Ok(lines.join("\n"))
}

fn start(core: &mut Core, rest: &str) -> Answer {
    if rest.is_empty() {
        let kinds = Launcher::stock().kinds().iter().map(|kind| kind.name).collect::<Vec<_>>();
        return Err(format!("which? There are {}", kinds.join(", ")));
    }
    let lines = read_words(rest.split_whitespace()).map_err(|error| error.to_string())?;
    Launcher::stock().launch(core, &lines).map_err(|error| error.to_string())?;
    let names = lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>();
    Ok(format!("started {}", names.join(", ")))
}

fn stop(core: &mut Core, rest: &str) -> Answer {
    match rest {
        "" => Err("which? `components` lists them".into()),
        "py" => Err("it is what you speak to; `quit` ends the controller".into()),
        "core" => Err("`quit` ends the controller".into()),
        name if core.unregister(name) => Ok(format!("stopped {name}")),
        name => Err(format!("no component '{name}' runs; `components` lists them")),
    }
}

/// Lines, or that there are none.
fn listed(lines: &[String]) -> Answer {
    Ok(if lines.is_empty() { "none".into() } else { lines.join("\n") })
}

fn switches(core: &mut Core, _: &str) -> Answer {
    let now = core.now();
    let line = |connection: &Connection| {
        format!(
            "{}  {}  {}  {} ports, {} tables, up {} s",
            connection.datapath(),
            connection.version(),
            connection.peer(),
            connection.physical_ports().count(),
            connection.features().tables,
            now.saturating_sub(connection.up_since()).as_secs()
        )
    };
    listed(&core.connections().map(line).collect::<Vec<_>>())
}

fn port_lines(connection: &Connection) -> impl Iterator<Item = String> {
    let line = |(number, port): (&PortNo, &openflow::port::Port)| {
        let state = if is_live(port) { "up" } else { "down" };
        let quiet = if connection.floods(*number) { "" } else { ", not flooded to" };
        format!("  {number}  {}  {}  {state}{quiet}", port.name, port.address)
    };
    connection.ports().iter().map(line)
}

fn ports(core: &mut Core, rest: &str) -> Answer {
    let mut lines = Vec::new();
    let wanted = if rest.is_empty() { None } else { Some(switch_of(core, rest)?.0) };
    for connection in core.connections() {
        if wanted.is_none_or(|dpid| dpid == connection.datapath()) {
            lines.push(connection.datapath().to_string());
            lines.extend(port_lines(connection));
        }
    }
    listed(&lines)
}

fn links(core: &mut Core, _: &str) -> Answer {
    let discovery =
        core.find::<Discovery>().ok_or("nobody looks for links: `start openflow.discovery` does")?;
    let line = |link: crate::components::openflow::discovery::Link| {
        let ((from, out), (to, at)) = (link.from, link.to);
        format!("{from} port {out} -> {to} port {at}")
    };
    let mut lines: Vec<String> = discovery.links().map(line).collect();
    lines.sort_unstable();
    listed(&lines)
}

fn hosts(core: &mut Core, _: &str) -> Answer {
    let tracker = core.find::<HostTracker>().ok_or("nobody tracks hosts: `start host_tracker` does")?;
    let line = |(mac, host): (packet::wire::MacAddr, &crate::components::host_tracker::Host)| {
        let addresses: Vec<String> = host.addresses.keys().map(ToString::to_string).collect();
        let line =
            format!("{mac}  {} port {}  {}", host.place.datapath, host.place.port, addresses.join(" "));
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = tracker.hosts().map(line).collect();
    lines.sort_unstable();
    listed(&lines)
}

fn stats(core: &mut Core, rest: &str) -> Answer {
    if !rest.is_empty() {
        return switch::connection(core, rest);
    }
    let counters = core.counters();
    let sum = |of: fn(&Connection) -> u64| core.connections().map(of).sum::<u64>();
    Ok(format!(
        "{} switches, up {} s\n{} packet-ins, {} other messages received, {} sent, {} errors\n\
         {} events, {} lost; {} handlers failed",
        core.connections().count(),
        core.now().as_secs(),
        sum(|connection| connection.counters().packet_ins),
        sum(|connection| connection.counters().received),
        sum(|connection| connection.counters().sent),
        sum(|connection| connection.counters().errors),
        counters.raised,
        counters.lost,
        counters.failures
    ))
}

fn log(core: &mut Core, rest: &str) -> Answer {
    let level = match rest.to_ascii_lowercase().as_str() {
        "" => {
            let records: Vec<String> = core.records().map(Record::to_string).collect();
            return listed(&records[records.len().saturating_sub(RECORDS_SHOWN)..]);
        }
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warning" => Level::Warning,
        "error" => Level::Error,
        _ => return Err("levels are debug, info, warning and error".into()),
    };
    core.set_log_level(level);
    Ok(format!("{rest} and louder"))
}

fn methods(core: &mut Core, _: &str) -> Answer {
    let methods = core.find::<rpc::Methods>().ok_or("nobody keeps methods: `start web.jsonrpc` does")?;
    listed(&methods.list().map(|(name, help)| format!("{name}: {help}")).collect::<Vec<_>>())
}

fn quit(core: &mut Core, _: &str) -> Answer {
    core.quit();
    Ok(super::BYE.into())
}

/// A method of `web.jsonrpc`.
fn method(core: &mut Core, word: &str, rest: &str, respond: Respond) {
    if core.find::<rpc::Methods>().is_none() {
        return respond(Err(format!("there is no command '{word}'; `help` lists them")));
    }
    let parameters = match rest {
        "" => json!({}),
        text => match serde_json::from_str(text) {
            Ok(parameters) => parameters,
            Err(error) => return respond(Err(format!("parameters are JSON: {error}"))),
        },
    };
    rpc::call(core, word, &parameters, |answer| {
        respond(match answer {
            Ok(value) => Ok(shown(&value)),
            Err(error) if error.code == rpc::NO_METHOD => {
                Err(format!("{error}, nor a command of that name; `help` and `methods` list them"))
            }
            Err(error) => Err(error.to_string()),
        });
    });
}

/// A list by lines, anything else as it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"),
        Value::Object(map) => {
            let line = |(name, value): (&String, &Value)| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            };
            map.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
