//! The instructions of a stage.

use super::{Base, Cook, Copy, Current, From, Run, Stage, Step, Stored, What, key};
use crate::fault::similar;
use crate::images::ImageError;
use crate::images::alias::alias;
use crate::images::config::{Config, exposed};
use crate::images::context::Context;
use crate::images::dockerfile::{Instruction, NOTED, exec_form};
use crate::images::layout::plain_path;
use crate::images::resolve;

/// What a file of the host's is that says which system this is.
const SYSTEM: &str = "/etc/os-release";

impl Cook<'_> {
    /// `FROM BASE [AS NAME]`.
    pub(super) fn from(&mut self, instruction: &Instruction) {
        self.end_stage();
        let Some(words) = self.words(instruction, &instruction.rest) else { return };
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.eq_ignore_ascii_case("as") => (base, Some(name.to_lowercase())),
            _ => {
                return self.fault(instruction, "FROM is not of the form FROM BASE [AS NAME]", "write it so");
            }
        };
        for (flag, value) in &instruction.flags {
            let value = self.words(instruction, value).unwrap_or_default().concat();
            let ours = format!("linux/{}", crate::images::layout::architecture());
            if flag != "platform" {
                self.unknown_flag(instruction, flag, &["platform"]);
            } else if value != ours && value != "linux" {
                let what = format!("FROM asks for the platform '{value}', and this machine is {ours}");
                self.fault(instruction, what, "weft builds for the machine that it runs on");
            }
        }
        match self.base(base) {
            Ok((base, key, config)) => {
                let stage = Stage { name, base, steps: Vec::new(), key, config };
                self.current = Some(Current {
                    stage,
                    arguments: std::collections::BTreeMap::new(),
                    shell: vec!["/bin/sh".into(), "-c".into()],
                    has_command: false,
                });
                if let Some(note) = note_of(&words[0]) {
                    self.notes.push((note, instruction.span.clone()));
                }
            }
            Err(error) => {
                let help = "FROM takes host, scratch, oci:PATH (an image layout or archive below the blueprint's \
                            directory), an earlier stage, or a name that stands for programs of this host (nginx, \
                            python, debian, …): there is no registry";
                self.fault(instruction, error.to_string(), help);
            }
        }
    }

    fn base(&mut self, base: &str) -> Result<(Base, String, Config), ImageError> {
        if let Some(at) = self.stage(base) {
            let Stage { key, config, .. } = &self.stages[at];
            return Ok((Base::Stage(at), key.clone(), config.clone()));
        }
        let host = || {
            let system = std::fs::read(SYSTEM).unwrap_or_default();
            key([&b"host"[..], &system])
        };
        match base {
            "scratch" => Ok((Base::Scratch, key([&b"scratch"[..]]), Config::default())),
            "host" => Ok((Base::Host, host(), Config::default())),
            _ => {
                if let Some(reference) = base.strip_prefix("oci:") {
                    let (stored, config) = self.image(reference)?;
                    let key = key([&b"oci"[..], stored.digest.as_bytes()]);
                    return Ok((Base::Image(stored), key, config));
                }
                let Some(alias) = alias(base) else {
                    return Err(ImageError::Work(format!("there is no image '{base}' to begin with")));
                };
                let command = alias.command.iter().map(|word| (*word).to_owned()).collect();
                let user = alias.user.map(str::to_owned);
                Ok((Base::Host, host(), Config { command, user, ..Config::default() }))
            }
        }
    }

    fn image(&mut self, reference: &str) -> Result<(Stored, Config), ImageError> {
        let root = self.pantry.root;
        let root =
            root.ok_or_else(|| ImageError::Work("this blueprint has no directory to read from".into()))?;
        let (layout, name, real) = resolve::open(root, reference)?;
        self.inputs.push(real);
        let manifest = layout.manifest(name)?;
        Ok((Stored { reference: reference.to_owned(), digest: manifest.digest }, manifest.config))
    }

    /// The stage of a name or number.
    fn stage(&self, name: &str) -> Option<usize> {
        let called = |stage: &Stage| stage.name.as_deref() == Some(name.to_lowercase().as_str());
        let by_number = || name.parse().ok().filter(|at| *at < self.stages.len());
        self.stages.iter().rposition(called).or_else(by_number)
    }

    fn unknown_flag(&mut self, instruction: &Instruction, flag: &str, known: &[&str]) {
        let what = format!("{} has no flag '--{flag}' that weft knows", instruction.keyword);
        let list = known.iter().map(|flag| format!("--{flag}")).collect::<Vec<_>>().join(", ");
        let help = match similar(flag, known.iter().copied()) {
            Some(similar) => format!("did you mean --{similar}?"),
            None if known.is_empty() => "leave it out".to_owned(),
            None => format!("there are {list}"),
        };
        self.fault(instruction, what, &help);
    }

    pub(super) fn stage_instruction(&mut self, instruction: &Instruction) {
        let keyword = instruction.keyword.as_str();
        if !instruction.flags.is_empty() && !["RUN", "COPY", "ADD", "HEALTHCHECK"].contains(&keyword) {
            let flag = instruction.flags[0].0.clone();
            return self.unknown_flag(instruction, &flag, &[]);
        }
        if instruction.rest.is_empty() {
            let what = format!("{keyword} says nothing");
            return self.fault(instruction, what, "write after it what it is to do");
        }
        match keyword {
            "RUN" => self.run(instruction),
            "COPY" | "ADD" => self.copy(instruction),
            "ENV" | "LABEL" => self.pairs(instruction),
            "WORKDIR" => self.workdir(instruction),
            "USER" => {
                if let Some(user) = self.read(instruction, |words| words.whole(&instruction.rest)) {
                    self.config(|config| config.user = Some(user));
                }
            }
            "EXPOSE" => self.expose(instruction),
            "CMD" | "ENTRYPOINT" | "SHELL" => self.program(instruction),
            "MAINTAINER" => {
                let author = instruction.rest.clone();
                self.config(|config| _ = config.labels.insert("maintainer".into(), author));
            }
            _ if NOTED.contains(&keyword) => {
                let note = format!("{keyword} of a Dockerfile is ignored: say it in the blueprint");
                self.notes.push((note, instruction.span.clone()));
            }
            _ => {}
        }
    }

    fn config(&mut self, change: impl FnOnce(&mut Config)) {
        if let Some(current) = &mut self.current {
            change(&mut current.stage.config);
        }
    }

    fn step(&mut self, instruction: &Instruction, fields: &[&[u8]], what: What) {
        let Some(current) = &mut self.current else { return };
        let before = current.stage.key.clone().into_bytes();
        let all = [before.as_slice(), instruction.keyword.as_bytes()];
        let key = key(all.into_iter().chain(fields.iter().copied()));
        current.stage.key.clone_from(&key);
        let rest: String = instruction.rest.chars().take(120).collect();
        let shown = format!("{} {rest}", instruction.keyword);
        current.stage.steps.push(Step { key, span: instruction.span.clone(), shown, what });
    }

    fn run(&mut self, instruction: &Instruction) {
        for (flag, value) in &instruction.flags {
            if flag != "network" || value != "none" {
                self.unknown_flag(instruction, flag, &["network=none"]);
            }
        }
        let Some(current) = &self.current else { return };
        let command = match exec_form(&instruction.rest) {
            Some(words) if instruction.heredocs.is_empty() => words,
            _ => {
                if instruction.rest.starts_with("['") {
                    let help = "the exec form is JSON, with double quotes: [\"program\", \"argument\"]";
                    return self.fault(instruction, "RUN begins with a list in single quotes", help);
                }
                let script = match script(instruction) {
                    Ok(script) => script,
                    Err(what) => {
                        return self.fault(
                            instruction,
                            what,
                            "write the program before it: RUN python3 <<EOF",
                        );
                    }
                };
                current.shell.iter().cloned().chain([script]).collect()
            }
        };
        if command.first().is_none_or(String::is_empty) {
            return self.fault(instruction, "RUN has no program", "write one");
        }
        let mut env = current.arguments.clone();
        env.extend(current.stage.config.env.clone());
        let user = current.stage.config.user.clone();
        let workdir = current.stage.config.workdir.clone().unwrap_or_else(|| "/".into());
        let said = serde_json::to_vec(&(&command, &env, &user, &workdir)).unwrap_or_default();
        self.step(instruction, &[&said], What::Run(Run { command, env, user, workdir }));
    }

    fn pairs(&mut self, instruction: &Instruction) {
        let first = instruction.rest.split_whitespace().next().unwrap_or_default();
        let pairs: Vec<(String, String)> = if first.contains('=') {
            let Some(words) = self.words(instruction, &instruction.rest) else { return };
            let mut pairs = Vec::new();
            for word in words {
                let Some((key, value)) = word.split_once('=') else {
                    let what = format!("'{word}' in {} is no NAME=VALUE", instruction.keyword);
                    return self.fault(instruction, what, "put values with blanks into quotes");
                };
                pairs.push((key.to_owned(), value.to_owned()));
            }
            pairs
        } else {
            let Some((key, value)) = instruction.rest.split_once(char::is_whitespace) else {
                let what = format!("{} {first} has no value", instruction.keyword);
                return self.fault(instruction, what, "write NAME=VALUE");
            };
            let Some(value) = self.read(instruction, |words| words.whole(value.trim())) else { return };
            vec![(key.to_owned(), value)]
        };
        let is_label = instruction.keyword == "LABEL";
        self.config(|config| if is_label { config.labels.extend(pairs) } else { config.env.extend(pairs) });
    }

    fn workdir(&mut self, instruction: &Instruction) {
        let Some(path) = self.read(instruction, |words| words.whole(&instruction.rest)) else { return };
        let path = self.absolute(&path);
        self.config(|config| config.workdir = Some(path.clone()));
        if path != "/" {
            self.step(instruction, &[path.as_bytes()], What::Directory(path.clone()));
        }
    }

    /// A path as seen from the working directory.
    fn absolute(&self, path: &str) -> String {
        let workdir = self.current.as_ref().and_then(|current| current.stage.config.workdir.as_deref());
        let whole =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", workdir.unwrap_or("")) };
        plain_path(&whole).unwrap_or_else(|| "/".into())
    }

    fn expose(&mut self, instruction: &Instruction) {
        let Some(words) = self.words(instruction, &instruction.rest) else { return };
        for word in words {
            match exposed(&word.to_lowercase()) {
                Some(port) => self.config(|config| config.exposed.push(port)),
                None => {
                    let what = format!("'{word}' is no port to expose");
                    self.fault(
                        instruction,
                        what,
                        "write a port from 1 to 65535, or a range, and /tcp or /udp",
                    );
                }
            }
        }
    }

    fn program(&mut self, instruction: &Instruction) {
        let Some(current) = &mut self.current else { return };
        let list = exec_form(&instruction.rest);
        let words = match (instruction.keyword.as_str(), list) {
            (_, Some(words)) => words,
            ("SHELL", None) => {
                return self.fault(instruction, "SHELL is no list", "write SHELL [\"/bin/bash\", \"-c\"]");
            }
            (keyword, None) if instruction.rest.starts_with("['") => {
                let what = format!("{keyword} begins with a list in single quotes");
                let help = "the exec form is JSON, with double quotes: [\"program\", \"argument\"]";
                return self.fault(instruction, what, help);
            }
            (_, None) => current.shell.iter().cloned().chain([instruction.rest.clone()]).collect(),
        };
        let config = &mut current.stage.config;
        match instruction.keyword.as_str() {
            "SHELL" => current.shell = words,
            "CMD" => {
                config.command = words;
                current.has_command = true;
            }
            _ => {
                config.entrypoint = words;
                // A command of the base is no argument of another program.
                if !current.has_command {
                    config.command.clear();
                }
            }
        }
    }

    fn copy(&mut self, instruction: &Instruction) {
        let is_add = instruction.keyword == "ADD";
        let known: &[&str] = if is_add { &["chown", "chmod"] } else { &["from", "chown", "chmod", "link"] };
        let (mut from, mut owner, mut mode) = (From::Context, None, None);
        for (flag, value) in &instruction.flags {
            let Some(value) = self.read(instruction, |words| words.whole(value)) else { return };
            match flag.as_str() {
                "from" if !is_add => match self.source(&value) {
                    Ok(source) => from = source,
                    Err(error) => {
                        let help = "--from takes an earlier stage, by name or number, oci:PATH, or host";
                        return self.fault(instruction, error.to_string(), help);
                    }
                },
                "chown" => owner = Some(value),
                "chmod" => match u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777) {
                    Some(bits) => mode = Some(bits),
                    None => {
                        let what = format!("--chmod={value} is no mode");
                        return self.fault(instruction, what, "write octal digits, such as 755");
                    }
                },
                "link" if !is_add => {}
                _ => return self.unknown_flag(instruction, flag, known),
            }
        }
        let words = match exec_form(&instruction.rest) {
            Some(words) => words,
            None => match self.words(instruction, &instruction.rest) {
                Some(words) => words,
                None => return,
            },
        };
        let Some((last, words)) = words.split_last().filter(|(_, words)| !words.is_empty()) else {
            let what = format!("{} has no destination", instruction.keyword);
            return self.fault(instruction, what, "write what to copy and where to");
        };
        let must_be_directory = last.ends_with('/') || last == "." || last.ends_with("/.") || words.len() > 1;
        let mut destination = self.absolute(last);
        if must_be_directory && !destination.ends_with('/') {
            destination.push('/');
        }
        let sources: Vec<String> = words.iter().filter(|word| !word.starts_with("<<")).cloned().collect();
        if let Some(address) = sources.iter().find(|word| word.contains("://") || word.starts_with("git@")) {
            let what = format!("ADD of '{address}' needs the network, which a build does not have");
            return self.fault(instruction, what, "fetch it beforehand, and COPY it");
        }
        let mut texts = Vec::new();
        for heredoc in &instruction.heredocs {
            let text = match heredoc.expand {
                false => Some(heredoc.text.clone()),
                true => self.read(instruction, |words| words.variables_of(&heredoc.text)),
            };
            let Some(text) = text else { return };
            texts.push((heredoc.name.clone(), text));
        }
        let content = match self.content(&from, &sources) {
            Ok(content) => content,
            Err(error) => {
                let help = "paths are relative to the context, and its .dockerignore may leave some out";
                return self.fault(instruction, error.to_string(), help);
            }
        };
        let copy = Copy { from, sources, texts, destination, owner, mode, unpack: is_add, content };
        let source = match &copy.from {
            From::Context => "context".to_owned(),
            From::Host => "host".to_owned(),
            From::Stage(at) => self.stages[*at].key.clone(),
            From::Image(stored) => stored.digest.clone(),
        };
        let said =
            (&source, &copy.content, &copy.sources, &copy.texts, &copy.destination, &copy.owner, copy.mode);
        let said = serde_json::to_vec(&said).unwrap_or_default();
        self.step(instruction, &[&said], What::Copy(copy));
    }

    fn source(&mut self, name: &str) -> Result<From, ImageError> {
        if let Some(at) = self.stage(name) {
            return Ok(From::Stage(at));
        }
        if name == "host" {
            return Ok(From::Host);
        }
        match name.strip_prefix("oci:") {
            Some(reference) => Ok(From::Image(self.image(reference)?.0)),
            None => Err(ImageError::Work(format!("there is no stage '{name}' to copy from"))),
        }
    }

    /// The digest of what is copied, where it is there already.
    fn content(&mut self, from: &From, sources: &[String]) -> Result<Option<String>, ImageError> {
        if sources.is_empty() {
            return Ok(None);
        }
        let selection = match from {
            From::Context => {
                if self.context.is_none() {
                    self.context = Some(self.pantry.context()?);
                }
                let Some(context) = &self.context else { return Ok(None) };
                context.select(sources)?
            }
            From::Host => Context::whole(std::path::Path::new("/"), "this host").select(sources)?,
            From::Stage(_) | From::Image(_) => return Ok(None),
        };
        self.inputs.extend(selection.files().map(std::path::Path::to_owned));
        Ok(Some(selection.digest()?))
    }
}

/// What a shell is given: here-documents are its own, unless one of them is all there is.
fn script(instruction: &Instruction) -> Result<String, String> {
    let Instruction { rest, heredocs, .. } = instruction;
    if let [only] = heredocs.as_slice()
        && rest.starts_with("<<")
        && rest.split_whitespace().count() == 1
    {
        if only.text.starts_with("#!") {
            return Err("the text of RUN begins with #!, and it is the shell that reads it".into());
        }
        return Ok(only.text.clone());
    }
    let mut script = rest.clone();
    for heredoc in heredocs {
        script = format!("{script}\n{}{}", heredoc.text, heredoc.name);
    }
    if !heredocs.is_empty() {
        script.push('\n');
    }
    Ok(script)
}

/// What to know about a base that is not what it is called.
fn note_of(base: &str) -> Option<String> {
    let plain = base == "host" || base == "scratch" || base.starts_with("oci:");
    (!plain && alias(base).is_some()).then(|| {
        format!("image '{base}' is not pulled: what is built on it is built on this host's own files")
    })
}
