//! The shell on a terminal: lines are edited, completed and remembered.

use std::path::Path;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::commands::{COMMANDS, Wants};
use super::{BYE, LINE_BYTES_MAX, answer, is_farewell};
use crate::Connection;
use crate::Launcher;
use crate::remote::Remote;

const PROMPT: &str = "pox> ";

/// Reads lines until the controller ends, or is told to.
pub(super) fn read(remote: &Remote, history: Option<&Path>) {
    let Ok(mut editor) = Editor::<Words, FileHistory>::new() else { return };
    editor.set_helper(Some(Words { remote: remote.clone() }));
    if let Some(file) = history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    println!("`help` lists the commands");
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) if line.len() > LINE_BYTES_MAX => {
                println!("error: a line has at most {LINE_BYTES_MAX} bytes");
                continue;
            }
            Ok(line) => line.trim().to_owned(),
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => "quit".to_owned(),
            Err(_) => return,
        };
        if line.is_empty() {
            continue;
        }
        if is_farewell(&line) {
            println!("{BYE}");
            let _ = remote.post(crate::Core::quit); // it has ended
            return;
        }
        let _ = editor.add_history_entry(&line);
        if let Some(file) = history
            && let Err(error) = editor.save_history(file)
        {
            println!("{}: {error}", file.display());
        }
        match answer(remote, line) {
            Some(text) => println!("{text}"),
            None => return,
        }
    }
}

/// What may be said, to complete it.
struct Words {
    remote: Remote,
}

impl Words {
    /// The words that may stand where a word begins, behind those of the line before it.
    fn of(&self, before: &str) -> Vec<String> {
        let mut words = before.split_whitespace();
        let Some(first) = words.next() else {
            return COMMANDS.iter().map(|command| command.name.to_owned()).collect();
        };
        if words.next().is_some() {
            return Vec::new();
        }
        let command = COMMANDS.iter().find(|command| command.name == first);
        match command.map(|command| command.wants) {
            Some(Wants::Switch) => {
                let ids = self.remote.ask(|core| core.connections().map(Connection::datapath).collect());
                let ids: Vec<crate::Dpid> = ids.unwrap_or_default();
                ids.iter().map(ToString::to_string).collect()
            }
            Some(Wants::Kind) => Launcher::stock().kinds().iter().map(|kind| kind.name.to_owned()).collect(),
            Some(Wants::Component) => {
                let names = |core: &mut crate::Core| {
                    core.health().iter().map(|health| health.name.to_string()).collect::<Vec<_>>()
                };
                self.remote.ask(names).unwrap_or_default()
            }
            Some(Wants::Topic) => {
                let commands = COMMANDS.iter().map(|command| command.name.to_owned());
                commands.chain(Launcher::stock().kinds().iter().map(|kind| kind.name.to_owned())).collect()
            }
            Some(Wants::Level) => ["debug", "info", "warning", "error"].map(str::to_owned).to_vec(),
            Some(Wants::Nothing) | None => Vec::new(),
        }
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let said = line.get(..at).unwrap_or(line);
        let start = said.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let (before, begun) = said.split_at(start);
        let found = self.of(before).into_iter().filter(|word| word.starts_with(begun));
        Ok((start, found.map(|word| word + " ").collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}
