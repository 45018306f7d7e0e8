//! A shell: commands from the terminal, while the controller runs.
//!
//! Each line is a method of `web.jsonrpc` and its parameters as JSON, or one of these: `help` lists methods, `switches`,
//! `flows DPID`, `components`, `log LEVEL` sets what is shown, `quit`. The name is POX's, whose shell speaks Python; this one
//! does not. At the end of the input the controller goes on.
//!
//! Launch: `weft pox py web.jsonrpc openflow.of_service forwarding.l2_learning`

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::remote::Remote;
use crate::{Component, Core, Level, Options, OptionsError, Result, rpc};

/// Bytes of one line.
const LINE_BYTES_MAX: usize = 1 << 16;

/// The shell.
#[derive(Debug)]
pub struct Shell;

pub(crate) fn build(_: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Shell))
}

impl Component for Shell {
    fn start(&mut self, core: &mut Core) -> Result {
        let remote = core.remote();
        std::thread::Builder::new().name("pox-shell".into()).spawn(move || {
            // A terminal that is gone has nothing more to say.
            let _ = read(std::io::stdin().lock(), std::io::stdout(), &remote);
        })?;
        Ok(())
    }
}

/// Answers each line of `input` on `output`, until either ends or the controller does.
///
/// # Errors
/// Input that cannot be read, output that cannot be written.
pub fn read(mut input: impl BufRead, mut output: impl Write, remote: &Remote) -> std::io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut input, LINE_BYTES_MAX as u64);
        if limited.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words = line.trim().to_owned();
        if words.is_empty() {
            continue;
        }
        let (sender, answer) = std::sync::mpsc::sync_channel(1);
        let posted = remote.post(move |core| {
            run(core, &words, move |text| {
                let _ = sender.send(text); // the shell is gone
            });
        });
        match posted.ok().and_then(|()| answer.recv().ok()) {
            Some(text) => writeln!(output, "{text}")?,
            None => return Ok(()),
        }
    }
}

/// Does what one line says.
pub fn run(core: &mut Core, line: &str, respond: impl FnOnce(String) + 'static) {
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let (method, parameters) = match command {
        "help" => ("core.methods", json!({})),
        "switches" => ("openflow.get_switches", json!({})),
        "flows" => ("openflow.get_flow_stats", json!({ "dpid": rest })),
        "components" => ("core.components", json!({})),
        "quit" | "exit" => ("core.quit", json!({})),
        "log" => return respond(set_level(core, rest)),
        method => match rest {
            "" => (method, json!({})),
            text => match serde_json::from_str(text) {
                Ok(parameters) => (method, parameters),
                Err(error) => return respond(format!("parameters are JSON: {error}")),
            },
        },
    };
    rpc::call(core, method, &parameters, |answer| {
        respond(match answer {
            Ok(value) => shown(&value),
            Err(error) => format!("error: {error}"),
        });
    });
}

fn set_level(core: &mut Core, name: &str) -> String {
    let level = match name.to_ascii_lowercase().as_str() {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warning" => Level::Warning,
        "error" => Level::Error,
        _ => return "levels are debug, info, warning and error".into(),
    };
    core.set_log_level(level);
    format!("{name} and louder")
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
