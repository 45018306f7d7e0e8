//! `weft softnic show`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use softnic::bess::{Client, ClientError, argument_of, pb};
use softnic::config;

use super::picture::{self, Class, Module, Picture, Port, Worker};
use super::{At, drawing, report};
use crate::commands::print_json;
use crate::style::{bytes, columns, count, tint};

/// Show what a daemon runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  weft softnic show pipeline\n  weft softnic show mclass ACL")]
pub(crate) enum Show {
    /// Draw the modules, and how many packets went from each to the next
    #[command(after_help = "Example:\n  weft softnic show pipeline\n  \
                            weft softnic show pipeline --dot | dot -Tsvg > pipeline.svg")]
    Pipeline(Pipeline),
    /// List the ports
    #[command(after_help = "Example:\n  weft softnic show port --json")]
    Port(Ask),
    /// List the traffic classes, each under its parent
    #[command(after_help = "Example:\n  weft softnic show tc")]
    Tc(Ask),
    /// List the modules, or all about one
    #[command(after_help = "Example:\n  weft softnic show module\n  weft softnic show module rules")]
    Module(Named),
    /// List the workers
    #[command(after_help = "Example:\n  weft softnic show worker")]
    Worker(Ask),
    /// List the classes of modules, or the arguments and commands of one
    #[command(after_help = "Example:\n  weft softnic show mclass\n  weft softnic show mclass ACL")]
    Mclass(Named),
    /// List the hooks on gates
    #[command(after_help = "Example:\n  weft softnic show hook")]
    Hook(Ask),
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    at: At,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Which one
    name: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Args)]
pub(crate) struct Pipeline {
    #[command(flatten)]
    ask: Ask,
    /// Print Graphviz text
    #[arg(long, conflicts_with = "json")]
    dot: bool,
}

impl Ask {
    /// Asks, and prints the answer as JSON or as text.
    fn answer<T: Serialize>(
        self,
        ask: impl FnOnce(&mut Client) -> Result<T, ClientError>,
        text: impl FnOnce(&T) -> String,
    ) -> miette::Result<()> {
        let answer = ask(&mut self.at.connect()?).map_err(report)?;
        if self.json {
            return print_json(&answer);
        }
        print!("{}", text(&answer));
        Ok(())
    }
}

impl Show {
    pub(super) fn run(&self) -> miette::Result<ExitCode> {
        match self {
            Self::Pipeline(Pipeline { ask, dot }) => {
                let draw = if *dot { drawing::dot } else { drawing::text };
                ask.answer(picture::modules, |modules| draw(modules))?;
            }
            Self::Port(ask) => ask.answer(picture::ports, |ports| ports_text(ports))?,
            Self::Tc(ask) => ask.answer(picture::classes, |classes| classes_text(classes))?,
            Self::Module(Named { name: None, ask }) => {
                ask.answer(picture::modules, |modules| modules_text(modules))?;
            }
            Self::Module(Named { name: Some(name), ask }) => {
                ask.answer(|client| picture::module(client, name), module_text)?;
            }
            Self::Worker(ask) => ask.answer(picture::workers, |workers| workers_text(workers))?,
            Self::Mclass(Named { name: None, ask }) => {
                ask.answer(manuals, |manuals| {
                    columns(
                        &manuals
                            .iter()
                            .map(|one| vec![one.name.clone(), one.help.clone()])
                            .collect::<Vec<_>>(),
                    )
                })?;
            }
            Self::Mclass(Named { name: Some(name), ask }) => {
                ask.answer(|client| manual(client, name), manual_text)?;
            }
            Self::Hook(ask) => ask.answer(hooks, |hooks| hooks_text(hooks))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a run has counted.
pub(super) fn counters(picture: &Picture, elapsed: Duration) -> String {
    let mut text = drawing::text(&picture.modules);
    for table in [ports_text(&picture.ports), classes_text(&picture.classes)] {
        // Only a header: there are none.
        if table.lines().count() > 1 {
            text += "\n";
            text += &table;
        }
    }
    text + &format!("\n{:.3} s\n", elapsed.as_secs_f64())
}

fn table(header: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.split(',').map(str::to_owned).collect();
    columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn ports_text(ports: &[Port]) -> String {
    let row = |port: &Port| {
        vec![
            port.name.clone(),
            port.driver.clone(),
            tint(if port.up { "up" } else { "down" }, port.up),
            port.received.packets.to_string(),
            bytes(port.received.bytes as f64),
            port.received.dropped.to_string(),
            port.sent.packets.to_string(),
            bytes(port.sent.bytes as f64),
            port.sent.dropped.to_string(),
        ]
    };
    table("PORT,DRIVER,LINK,RECEIVED,BYTES,DROPPED,SENT,BYTES,DROPPED", ports.iter().map(row))
}

fn classes_text(classes: &[Class]) -> String {
    let row = |(depth, class): (usize, &Class)| {
        let limits: Vec<String> = class
            .limit
            .iter()
            .map(|(resource, limit)| format!("{} {resource}/s", count(*limit as f64)))
            .collect();
        let state = if class.blocked { "idle" } else { "" };
        vec![
            format!("{}{}", "  ".repeat(depth), class.name),
            class.worker.to_string(),
            class.policy.clone(),
            class.rank.clone().unwrap_or_default(),
            limits.join(" "),
            class.turns.to_string(),
            class.packets.to_string(),
            class.bits.to_string(),
            state.to_owned(),
        ]
    };
    table("CLASS,WORKER,POLICY,RANK,LIMIT,TURNS,PACKETS,BITS,", picture::tree(classes).into_iter().map(row))
}

fn workers_text(workers: &[Worker]) -> String {
    let row = |worker: &Worker| {
        vec![
            worker.number.to_string(),
            worker.core.to_string(),
            tint(if worker.running { "runs" } else { "paused" }, worker.running),
            worker.classes.to_string(),
            worker.silent_drops.to_string(),
        ]
    };
    table("WORKER,CORE,STATE,CLASSES,CIRCLING", workers.iter().map(row))
}

fn modules_text(modules: &[Module]) -> String {
    let row = |module: &Module| {
        let out: u64 = module.outputs.iter().map(|output| output.packets).sum();
        let next: Vec<String> =
            module.outputs.iter().map(|output| format!(":{} {}", output.gate, output.to)).collect();
        vec![
            module.name.clone(),
            module.class.clone(),
            out.to_string(),
            module.dead_ends.to_string(),
            next.join(" "),
            module.description.clone(),
        ]
    };
    table("MODULE,CLASS,OUT,ENDED,NEXT,", modules.iter().map(row))
}

fn module_text(module: &Module) -> String {
    let mut text = format!("{}  {}", module.name, module.class);
    if !module.description.is_empty() {
        text += &format!("  {}", module.description);
    }
    text += "\n";
    for input in &module.inputs {
        text += &format!("input gate {}: from {}\n", input.gate, input.from.join(", "));
        input.hooks.iter().for_each(|hook| text += &format!("  hook {hook}\n"));
    }
    for output in &module.outputs {
        text += &format!(
            "output gate {}: {} packets in {} batches to {}:{}\n",
            output.gate, output.packets, output.batches, output.to_gate, output.to
        );
        output.hooks.iter().for_each(|hook| text += &format!("  hook {hook}\n"));
    }
    for attribute in &module.attributes {
        let place = match attribute.offset {
            -1 => "nobody writes it".to_owned(),
            -2 => "nobody reads it".to_owned(),
            -3 => "no space is left".to_owned(),
            offset => format!("at {offset}"),
        };
        text += &format!(
            "attribute {}: {} of {} bytes, {place}\n",
            attribute.name, attribute.mode, attribute.bytes
        );
    }
    text + &format!("{} packets ended here\n", module.dead_ends)
}

/// A class of modules, for programs.
#[derive(Serialize)]
struct Manual {
    name: String,
    help: String,
    /// What creates one.
    argument: Message,
    commands: Vec<Command>,
}

#[derive(Serialize)]
struct Command {
    name: String,
    #[serde(flatten)]
    argument: Message,
}

/// A message and its fields.
#[derive(Serialize)]
struct Message {
    message: String,
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    kind: String,
}

fn message(name: &str) -> Message {
    let field = |field: config::Field| Field { name: field.name, kind: field.kind };
    Message { message: name.to_owned(), fields: config::fields(name).into_iter().map(field).collect() }
}

fn manuals(client: &mut Client) -> Result<Vec<Manual>, ClientError> {
    let names = client.list_mclass(pb::EmptyRequest::default())?.names;
    names.iter().map(|name| manual(client, name)).collect()
}

fn manual(client: &mut Client, name: &str) -> Result<Manual, ClientError> {
    let told = client.get_mclass_info(pb::GetMclassInfoRequest { name: name.to_owned() })?;
    let commands = told.cmds.into_iter().zip(told.cmd_args);
    Ok(Manual {
        // The daemon does not say what creates a module; the schema that it serves is the one we were built with.
        argument: message(argument_of(&told.name).unwrap_or_default()),
        name: told.name,
        help: told.help,
        commands: commands.map(|(name, argument)| Command { name, argument: message(&argument) }).collect(),
    })
}

fn manual_text(manual: &Manual) -> String {
    let mut text =
        format!("{}: {}\n\n{}(…)\n{}", manual.name, manual.help, manual.name, fields(&manual.argument));
    for command in &manual.commands {
        text += &format!("\n.{}(…)\n{}", command.name, fields(&command.argument));
    }
    text
}

fn fields(message: &Message) -> String {
    if message.fields.is_empty() {
        return "  takes nothing\n".to_owned();
    }
    columns(
        &message
            .fields
            .iter()
            .map(|field| vec![format!("  {}", field.name), field.kind.clone()])
            .collect::<Vec<_>>(),
    )
}

/// A hook on a gate.
#[derive(Serialize)]
struct Hook {
    class: String,
    name: String,
    module: String,
    side: &'static str,
    gate: i64,
}

fn hooks(client: &mut Client) -> Result<Vec<Hook>, ClientError> {
    use pb::gate_hook_info::Gate;
    let hooks = client.list_gate_hooks(pb::EmptyRequest::default())?.hooks;
    let hook = |of: pb::GateHookInfo| {
        let (side, gate) = match of.gate {
            Some(Gate::Igate(gate)) => ("in", gate),
            Some(Gate::Ogate(gate)) => ("out", gate),
            None => ("out", 0),
        };
        Hook { class: of.class_name, name: of.hook_name, module: of.module_name, side, gate }
    };
    Ok(hooks.into_iter().map(hook).collect())
}

fn hooks_text(hooks: &[Hook]) -> String {
    let row = |hook: &Hook| {
        vec![
            hook.module.clone(),
            format!("{} {}", hook.side, hook.gate),
            hook.class.clone(),
            hook.name.clone(),
        ]
    };
    table("MODULE,GATE,HOOK,NAME", hooks.iter().map(row))
}
