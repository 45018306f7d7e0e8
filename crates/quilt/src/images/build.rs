//! Building: each step of a Dockerfile in a container of its own, and what it writes is a layer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::{Container, ContainerSpec, ProcessId, StopOptions};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, WaitOptions};

use super::context::{Context, Selection};
use super::error::{ImageError, On};
use super::prepare::{Answer, Kitchen};
use super::recipe::{Base, Copy, From, Pantry, Plan, Run, Step, Stored, What};
use super::store::{KEY_DIGITS, LayerNote};
use super::unpack::{self, Budget, Options};
use super::{layout::Layout, resolve};
use crate::model::{Recipe, Span};

/// What control groups and containers of a build are called.
pub(super) const DEPLOYMENT: &str = "build";
const CONTAINER: &str = "step";
/// Longest time of one RUN.
pub const RUN_TIME_MAX: Duration = Duration::from_secs(3600);
/// Lines of a failed RUN that are shown.
const LAST_LINES: usize = 20;
/// Files of a container that each launch makes anew.
const MADE_ANEW: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];
/// Directories that each launch mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Why an image could not be built.
pub(super) struct Unbuilt {
    pub(super) reason: String,
    pub(super) span: Option<Span>,
}

impl std::convert::From<ImageError> for Unbuilt {
    fn from(error: ImageError) -> Self {
        Unbuilt { reason: error.to_string(), span: None }
    }
}

/// One build.
pub(super) struct Build<'a> {
    kitchen: &'a Kitchen<'a>,
    recipe: &'a Recipe,
    plan: &'a Plan,
    /// Layers of the stages that are done, the topmost first, and whether they lie over the host's files.
    stages: BTreeMap<usize, (Vec<String>, bool)>,
}

impl<'a> Build<'a> {
    pub(super) fn new(kitchen: &'a Kitchen<'a>, recipe: &'a Recipe, plan: &'a Plan) -> Self {
        Self { kitchen, recipe, plan, stages: BTreeMap::new() }
    }

    /// Builds what is wanted, and gives its layers.
    pub(super) fn layers(mut self) -> Result<(Vec<String>, bool), Unbuilt> {
        self.stage(self.plan.target)
    }

    /// A stage, and before it those that it needs; each of those stands before it.
    fn stage(&mut self, number: usize) -> Result<(Vec<String>, bool), Unbuilt> {
        if let Some(done) = self.stages.get(&number) {
            return Ok(done.clone());
        }
        let plan = self.plan;
        let stage = &plan.stages[number];
        let (mut layers, host) = match &stage.base {
            Base::Host => (Vec::new(), true),
            Base::Scratch => (Vec::new(), false),
            Base::Image(stored) => (self.stored(stored)?, false),
            Base::Stage(before) => self.stage(*before)?,
        };
        let count = stage.steps.len();
        for (at, step) in stage.steps.iter().enumerate() {
            let key = step.key[..KEY_DIGITS].to_owned();
            if !self.kitchen.store.layer(&key).is_dir() {
                let text =
                    format!("building {}: step {} of {count}, {}", self.recipe.name, at + 1, step.shown);
                self.kitchen.step(text);
                self.step(step, &key, &layers, host).map_err(|unbuilt| Unbuilt {
                    span: unbuilt.span.or_else(|| Some(step.span.clone())),
                    ..unbuilt
                })?;
            }
            layers.insert(0, key);
            if layers.len() > host::LAYERS_MAX {
                let reason = format!("it has more than {} layers: join RUN and COPY", host::LAYERS_MAX);
                return Err(Unbuilt { reason, span: Some(step.span.clone()) });
            }
        }
        self.stages.insert(number, (layers.clone(), host));
        Ok((layers, host))
    }

    fn stored(&self, stored: &Stored) -> Result<Vec<String>, ImageError> {
        let (layout, name, _): (Layout, _, _) = resolve::open(&self.kitchen.root, &stored.reference)?;
        let shown = format!("oci:{}", stored.reference);
        self.kitchen.layers(&layout, name, &stored.digest, &shown)
    }

    fn step(&mut self, step: &Step, key: &str, layers: &[String], host: bool) -> Result<(), Unbuilt> {
        match &step.what {
            What::Run(run) => self.run(run, layers, host)?,
            What::Directory(path) => {
                let make =
                    || fs::create_dir_all(path).map_err(|error| format!("cannot make {path}: {error}"));
                inside(&self.spec(layers, host, true), make)?;
            }
            What::Copy(copy) => self.copy(copy, layers, host)?,
        }
        let layer = self.collect(layers, host)?;
        let note = LayerNote { what: step.shown.clone(), bytes: bytes_below(&layer) };
        self.kitchen.store.place(key, &layer, &note)?;
        self.stop()?;
        Ok(())
    }

    fn container(&self) -> Container {
        host::Deployment::new(&self.kitchen.draft).container(CONTAINER)
    }

    fn stop(&self) -> Result<(), ImageError> {
        let options = StopOptions { grace: Duration::ZERO, keep_logs: false };
        host::stop(&self.container(), options).map_err(|error| ImageError::Work(error.to_string()))
    }

    /// A container on layers, without a network.
    fn spec(&self, layers: &[String], host: bool, kept: bool) -> ContainerSpec {
        let state = self.kitchen.store.directory().parent().unwrap_or(Path::new("/"));
        let mut spec = ContainerSpec::new(DEPLOYMENT, &self.kitchen.draft, CONTAINER, &["true"]);
        spec.root = self.kitchen.store.root_of(layers, host, kept);
        spec.hide = vec![state.to_owned()];
        spec.hosts = Some("127.0.0.1 localhost\n::1 localhost ip6-localhost\n".into());
        spec.resolv_conf = Some(String::new());
        spec
    }

    fn run(&self, run: &Run, layers: &[String], host: bool) -> Result<(), Unbuilt> {
        let mut spec = self.spec(layers, host, true);
        spec.command.clone_from(&run.command);
        spec.env.clone_from(&run.env);
        spec.user.clone_from(&run.user);
        spec.cwd = PathBuf::from(&run.workdir);
        let mut outcome = None;
        let launched = host::launch([spec], |_, _| Ok(()), |_, result| outcome = Some(result));
        let failed = |error: host::Error| Unbuilt { reason: error.to_string(), span: None };
        launched.map_err(failed)?;
        let launched = match outcome {
            Some(result) => result.map_err(failed)?,
            None => return Err(ImageError::Work("the command did not start".into()).into()),
        };
        let mut last = Vec::new();
        let ended = self.follow(launched.init, &mut last)?;
        if ended == 0 {
            return Ok(());
        }
        let mut reason = format!("the command ended with code {ended}");
        if ended == 127 && last.is_empty() {
            reason.push_str(" (not found)");
        }
        for line in &last {
            reason.push_str("\n  ");
            reason.push_str(line);
        }
        Err(Unbuilt { reason, span: None })
    }

    /// Passes on what the command writes until it has ended; gives its code.
    fn follow(&self, init: ProcessId, last: &mut Vec<String>) -> Result<i32, ImageError> {
        let container = self.container();
        let mut follower = host::log::Follower::new(&container);
        let deadline = Instant::now() + RUN_TIME_MAX;
        let handle = init.open();
        loop {
            if let Some(handle) = &handle {
                let pause = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let _ = rustix::event::poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&pause));
            }
            let child = Pid::from_raw(init.pid as i32);
            let ended = !matches!(rustix::process::waitpid(child, WaitOptions::NOHANG), Ok(None));
            for line in follower.next_lines().on("read", container.log())? {
                let text: String =
                    String::from_utf8_lossy(&line.text).chars().filter(|c| !c.is_control()).collect();
                if last.len() == LAST_LINES {
                    last.remove(0);
                }
                last.push(text.clone());
                (self.kitchen.answer)(Answer::Output(text));
            }
            if ended {
                let status = container.status().map_err(|error| ImageError::Work(error.to_string()))?;
                return Ok(status.and_then(|status| status.exit).map_or(1, host::Exit::code));
            }
            if Instant::now() > deadline {
                let what = format!("the command ran for more than {} minutes", RUN_TIME_MAX.as_secs() / 60);
                return Err(ImageError::Work(what));
            }
        }
    }

    fn copy(&mut self, copy: &Copy, layers: &[String], host: bool) -> Result<(), Unbuilt> {
        let mut archive = self.scratch_file()?;
        let mut archives = Vec::new();
        let mut single = copy.sources.is_empty() && copy.texts.len() == 1;
        match &copy.from {
            _ if copy.sources.is_empty() => {}
            From::Context | From::Host => {
                let context = match copy.from {
                    From::Host => Context::whole(Path::new("/"), "this host"),
                    _ => Pantry { root: Some(&self.kitchen.root), recipe: self.recipe }.context()?,
                };
                let mut selection = context.select(&copy.sources)?;
                if copy.unpack {
                    archives = selection.take_archives()?;
                }
                single = selection.single && copy.texts.is_empty();
                let digest = selection.write(&mut archive, copy.mode)?;
                if archives.is_empty() && copy.content.as_ref().is_some_and(|content| *content != digest) {
                    return Err(ImageError::Work("what is copied changes while it is copied".into()).into());
                }
            }
            From::Stage(_) | From::Image(_) => {
                let (from, over_host) = match &copy.from {
                    From::Stage(number) => self.stage(*number)?,
                    From::Image(stored) => (self.stored(stored)?, false),
                    From::Context | From::Host => (Vec::new(), false),
                };
                let take = || -> Result<bool, String> {
                    let selection = Context::whole(Path::new("/"), "the stage").select(&copy.sources);
                    let write = |selection: Selection| {
                        selection.write(&mut archive, copy.mode).map(|_| selection.single)
                    };
                    selection.and_then(write).map_err(|error| error.to_string())
                };
                single = inside(&self.spec(&from, over_host, false), take)? && copy.texts.is_empty();
                self.stop()?;
            }
        }
        let texts = self.texts(copy)?;
        let put = || put(copy, single, vec![archive, texts], archives);
        for warning in inside(&self.spec(layers, host, true), put)? {
            (self.kitchen.answer)(Answer::Warning(warning));
        }
        Ok(())
    }

    /// The texts of a Dockerfile, as an archive.
    fn texts(&self, copy: &Copy) -> Result<File, ImageError> {
        let mut builder = tar::Builder::new(self.scratch_file()?);
        for (name, text) in &copy.texts {
            let mut header = tar::Header::new_gnu();
            header.set_mode(copy.mode.unwrap_or(0o644));
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, name, text.as_bytes()).on("write", &self.kitchen.draft)?;
        }
        builder.into_inner().on("write", &self.kitchen.draft)
    }

    /// A file without a name.
    fn scratch_file(&self) -> Result<File, ImageError> {
        let path = self.kitchen.draft.join("copy");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .on("make", &path)?;
        fs::remove_file(&path).on("remove", &path)?;
        Ok(file)
    }

    /// What a container has written, as a layer.
    fn collect(&self, layers: &[String], host: bool) -> Result<PathBuf, ImageError> {
        let written = self.container().written().map_err(|error| ImageError::Work(error.to_string()))?;
        let layer = self.kitchen.fresh("layer")?;
        let in_parts = written.len() > 1 && host;
        for one in written {
            if one.place.as_os_str().is_empty() {
                fs::rename(&one.directory, &layer).on("put in place", &layer)?;
            } else if !is_empty(&one.directory) {
                let place = layer.join(&one.place);
                if let Some(parent) = place.parent() {
                    fs::create_dir_all(parent).on("make", parent)?;
                }
                fs::rename(&one.directory, &place).on("put in place", &place)?;
            }
        }
        for name in MADE_ANEW {
            let _ = fs::remove_file(layer.join(name));
        }
        for name in MOUNT_POINTS {
            let _ = fs::remove_dir(layer.join(name));
        }
        if in_parts && self.kitchen.rootless {
            self.remove_stubs(&layer, layers)?;
        }
        Ok(layer)
    }

    /// Where the root was put together from its top directories, they are among what was written: empty directories and
    /// links to what is there anyway.
    fn remove_stubs(&self, layer: &Path, layers: &[String]) -> Result<(), ImageError> {
        let below: Vec<PathBuf> =
            layers.iter().map(|key| self.kitchen.store.layer(key)).chain([PathBuf::from("/")]).collect();
        for entry in fs::read_dir(layer).on("list", layer)?.flatten() {
            let path = entry.path();
            let there = |base: &PathBuf| fs::symlink_metadata(base.join(entry.file_name())).is_ok();
            if below.iter().any(there) {
                let kind = entry.file_type().on("look at", &path)?;
                if kind.is_dir() {
                    let _ = fs::remove_dir(&path);
                } else {
                    let _ = fs::remove_file(&path);
                }
            }
        }
        Ok(())
    }
}

/// Does something in the root of a container.
fn inside<R: serde::Serialize + serde::de::DeserializeOwned>(
    spec: &ContainerSpec,
    work: impl FnOnce() -> Result<R, String>,
) -> Result<R, ImageError> {
    host::inside(spec, work).map_err(|error| ImageError::Work(error.to_string()))
}

/// Puts archives into the root that the calling process sees. Gives warnings.
fn put(copy: &Copy, single: bool, mut plain: Vec<File>, archives: Vec<File>) -> Result<Vec<String>, String> {
    let destination = Path::new(&copy.destination);
    let named = single && !copy.destination.ends_with('/') && !destination.is_dir() && archives.is_empty();
    let owner = copy.owner.as_deref().map(owner).transpose()?.unwrap_or((0, 0));
    let below = if named { destination.parent().unwrap_or(Path::new("/")) } else { destination };
    let name = destination.file_name().filter(|_| named);
    let options = |owner| Options {
        what: "what is copied".into(),
        below: below.strip_prefix("/").unwrap_or(below).to_owned(),
        rename: name.map(|name| name.as_encoded_bytes().to_vec()),
        owner,
        own_root: true,
        ..Options::default()
    };
    if !named {
        fs::create_dir_all(destination)
            .map_err(|error| format!("cannot make {}: {error}", copy.destination))?;
    }
    let mut warnings = Vec::new();
    let mut budget = Budget::default();
    for archive in &mut plain {
        archive.rewind().map_err(|error| error.to_string())?;
        let reader = io::BufReader::new(archive);
        let unpacked = unpack::archive(reader, Path::new("/"), &options(Some(owner)), &mut budget);
        warnings.extend(unpacked.map_err(|error| error.to_string())?.warnings);
    }
    for archive in archives {
        let own = copy.owner.is_some().then_some(owner);
        let unpacked = unpack::decoder(io::BufReader::new(archive))
            .map_err(|error| error.to_string())
            .and_then(|reader| {
                unpack::archive(reader, Path::new("/"), &options(own), &mut budget)
                    .map_err(|error| error.to_string())
            });
        warnings.extend(unpacked?.warnings);
    }
    Ok(warnings)
}

/// Whom `--chown` names, by the files of the present root. Without a group, that of the user's number (Dockerfile
/// reference, COPY --chown).
fn owner(text: &str) -> Result<(u32, u32), String> {
    let user = host::find_user(Some(text)).map_err(|error| format!("--chown={text}: {error}"))?;
    Ok((user.uid, if text.contains(':') { user.gid } else { user.uid }))
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Bytes of the files below a directory.
fn bytes_below(directory: &Path) -> u64 {
    let mut waiting = vec![directory.to_owned()];
    let mut bytes = 0;
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => waiting.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
