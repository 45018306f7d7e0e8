//! One run of the engine, from source text to copied values.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Instant;

use rquickjs::context::intrinsic;
use rquickjs::{Context, Ctx, Function, Module, Object, Promise, Runtime, Value};

use super::files::Files;
use super::host::{FileKind, MODULES, Shared};
use super::raw::{Copier, CopyError, Raw, number};
use super::{Evaluation, Options, STACK_BYTES_MAX, lower, place};
use crate::fault::{Fault, Faults, Kind, similar};
use crate::model::Span;
use crate::{original, policy};

/// What scripts may use: no `performance`, no weak references (their answers depend on the collector).
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// What [`describe`] says of a thrown null, which the engine throws when it has no memory left for an error.
const NO_MEMORY: &str = "the script threw null";
/// How often the engine has asked whether to go on, at least, before memory can have run out.
const POLLS_MIN: u64 = 4;
/// Jobs (settled promises) run after the script itself.
const JOBS_MAX: usize = 10_000_000;
/// Rejections remembered.
const REJECTIONS_MAX: usize = 100;

/// Evaluates the file `name`, which `files` knows.
pub(crate) fn evaluate(name: &str, files: Files, options: &Options) -> Result<Evaluation, Faults> {
    let mut shared = Shared::new(files.clone(), options.clone());
    let polls = Rc::new(Cell::new(0));
    let mut result = run(name, &shared, options, &polls, u64::MAX);
    if let Err(fault) = &result
        && matches!(&fault.kind, Kind::Thrown { message } if message == NO_MEMORY)
        && polls.get() >= POLLS_MIN
    {
        // There was no memory left to say where. The same script halfway there has some.
        let half = polls.replace(0) / 2;
        shared = Shared::new(files, options.clone());
        result = run(name, &shared, options, &polls, half).map_err(|fault| match fault.kind {
            Kind::TimeLimit { .. } => {
                let kind = Kind::MemoryLimit { limit_bytes: options.memory_limit_bytes };
                Box::new(Fault::new(kind, fault.span))
            }
            _ => fault,
        });
    }
    let mut host = shared.0.borrow_mut();
    let host = &mut *host;
    let console = std::mem::take(&mut host.console);
    match result {
        Err(fault) => Err(Faults::finish(vec![*fault], &host.files.sources, console)),
        Ok(mut raw) => {
            let record = raw.take("original");
            let document = (!record.is_absent()).then(|| original::document(&record, &host.spans));
            let (policy, unwritten) = policy::of(&raw, &host.spans, &host.files.sources);
            let lowered = lower::lower(raw, &host.spans, name, &mut host.files);
            let sources = std::mem::take(&mut host.files.sources);
            Ok(Evaluation {
                name: name.to_owned(),
                blueprint: lowered.blueprint,
                policy,
                faults: lowered
                    .faults
                    .into_iter()
                    .chain(unwritten)
                    .map(|fault| fault.with_source(&sources))
                    .collect(),
                notes: lowered.notes,
                console,
                sources,
                inputs: std::mem::take(&mut host.files.inputs),
                document,
            })
        }
    }
}

/// A promise rejected without a handler.
struct Rejection {
    promise: u64,
    kind: Kind,
    span: Option<Span>,
}

/// One engine and what is known about its run.
struct Run<'a> {
    name: &'a str,
    shared: &'a Shared,
    options: &'a Options,
    timed_out: Rc<Cell<bool>>,
    rejections: Rc<RefCell<Vec<Rejection>>>,
}

/// Runs the script until it ends, its time is over, or the engine has asked `polls_max` times whether to go on
/// (which it does at the same places every time).
fn run(
    name: &str,
    shared: &Shared,
    options: &Options,
    polls: &Rc<Cell<u64>>,
    polls_max: u64,
) -> Result<Raw, Box<Fault>> {
    let engine =
        |error: rquickjs::Error| Fault::new(Kind::Engine { message: error.to_string() }, Span::default());
    let runtime = Runtime::new().map_err(engine)?;
    runtime.set_memory_limit(options.memory_limit_bytes);
    runtime.set_max_stack_size(STACK_BYTES_MAX);
    runtime.set_loader(shared.clone(), shared.clone());
    let timed_out = Rc::new(Cell::new(false));
    let deadline = Instant::now() + options.time_limit;
    let (flag, polls) = (timed_out.clone(), polls.clone());
    runtime.set_interrupt_handler(Some(Box::new(move || {
        polls.set(polls.get() + 1);
        flag.set(flag.get() || Instant::now() >= deadline || polls.get() > polls_max);
        flag.get()
    })));
    let rejections: Rc<RefCell<Vec<Rejection>>> = Rc::default();
    let (into, handle) = (rejections.clone(), shared.clone());
    runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, handled| {
        let mut hasher = DefaultHasher::new();
        promise.hash(&mut hasher);
        let promise = hasher.finish();
        if handled {
            into.borrow_mut().retain(|rejection| rejection.promise != promise);
        } else if into.borrow().len() < REJECTIONS_MAX {
            let (kind, span) = describe(&ctx, &reason, &handle);
            into.borrow_mut().push(Rejection { promise, kind, span });
        }
    })));
    let context = Context::custom::<Intrinsics>(&runtime).map_err(engine)?;
    let run = Run { name, shared, options, timed_out, rejections };
    let result = context.with(|ctx| run.evaluate(&ctx));
    drop(context);
    result
}

impl Run<'_> {
    fn evaluate(&self, ctx: &Ctx<'_>) -> Result<Raw, Box<Fault>> {
        let core = self.prepare(ctx).map_err(|error| self.fault(ctx, &error))?;
        self.script(ctx).map_err(|error| self.fault(ctx, &error))?;
        self.jobs(ctx)?;
        let collect = || core.get::<_, Function<'_>>("collect")?.call::<_, Value<'_>>(());
        let value = collect().map_err(|error| self.fault(ctx, &error))?;
        Copier::new().copy(&value).map_err(|error| match error {
            CopyError::Thrown(error) => self.fault(ctx, &error),
            CopyError::Key => {
                let message = "a name in an object is not valid Unicode".into();
                Box::new(Fault::new(Kind::Thrown { message }, self.file()))
            }
            CopyError::TooLarge(what) => {
                Box::new(Fault::new(Kind::TooLarge { what: what.into() }, self.file()))
            }
        })
    }

    /// Makes the realm: prelude, then our modules, so that they capture what they need before user code runs.
    fn prepare<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
        ctx.globals().set("__weft", self.shared.object(ctx)?)?;
        ctx.eval::<(), _>(include_str!("../js/prelude.js"))?;
        let mut core = None;
        for (name, text) in MODULES {
            let (module, promise) = match core {
                None => Module::declare(ctx.clone(), name, text)?.eval()?,
                Some(_) => {
                    Module::declare(ctx.clone(), format!("weft:start/{name}"), format!("import '{name}';"))?
                        .eval()?
                        .1
                        .finish::<()>()?;
                    continue;
                }
            };
            promise.finish::<()>()?;
            core = Some(module.namespace()?);
        }
        core.ok_or(rquickjs::Error::Unknown)
    }

    fn script(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        let promise: Promise<'_> = match self.shared.kind(ctx, self.name) {
            FileKind::Module => {
                let text = self.shared.source(self.name);
                Module::declare(ctx.clone(), self.name, text.as_bytes())?.eval()?.1
            }
            FileKind::Script | FileKind::Json => {
                let file = serde_json::to_string(self.name).unwrap_or_default();
                let text = format!("import {{ load }} from 'weft:require'; load({file});");
                Module::declare(ctx.clone(), "weft:main", text)?.eval()?.1
            }
        };
        promise.finish::<Value<'_>>().map(|_| ())
    }

    /// Runs what the script left to run, and reports what it left rejected.
    fn jobs(&self, ctx: &Ctx<'_>) -> Result<(), Box<Fault>> {
        for _ in 0..JOBS_MAX {
            if self.timed_out.get() || !ctx.execute_pending_job() {
                break;
            }
        }
        if self.timed_out.get() {
            let span = self.rejections.borrow_mut().drain(..).find_map(|rejection| rejection.span);
            return Err(Box::new(Fault::new(self.time_limit(), span.unwrap_or_else(|| self.file()))));
        }
        match self.rejections.borrow_mut().drain(..).next() {
            Some(rejection) => {
                let span = rejection.span.unwrap_or_else(|| self.file());
                Err(Box::new(Fault::new(rejection.kind, span)))
            }
            None => Ok(()),
        }
    }

    fn time_limit(&self) -> Kind {
        Kind::TimeLimit { limit_ms: self.options.time_limit.as_millis() }
    }

    /// The blueprint, no line known.
    fn file(&self) -> Span {
        Span { file: self.name.to_owned(), ..Span::default() }
    }

    /// What a failed call means.
    fn fault(&self, ctx: &Ctx<'_>, error: &rquickjs::Error) -> Box<Fault> {
        let (mut kind, span) = match error {
            rquickjs::Error::Exception => describe(ctx, &ctx.catch(), self.shared),
            rquickjs::Error::WouldBlock => {
                let text = self.shared.source(self.name);
                (Kind::NeverSettled, place::find(self.name, &text, "await"))
            }
            rquickjs::Error::Allocation => (self.memory_limit(), None),
            rquickjs::Error::InvalidString(_) => {
                (Kind::Syntax { message: "the text has a zero byte".into() }, None)
            }
            error => (Kind::Engine { message: error.to_string() }, None),
        };
        if self.timed_out.get() {
            kind = self.time_limit();
        } else if let Kind::MemoryLimit { .. } = kind {
            kind = self.memory_limit();
        }
        Box::new(Fault::new(kind, span.unwrap_or_else(|| self.file())))
    }

    fn memory_limit(&self) -> Kind {
        Kind::MemoryLimit { limit_bytes: self.options.memory_limit_bytes }
    }
}

/// What a thrown value says, and where it was thrown.
fn describe(ctx: &Ctx<'_>, thrown: &Value<'_>, shared: &Shared) -> (Kind, Option<Span>) {
    let text = |object: &Object<'_>, key: &str| -> String {
        let text = object.get::<_, Value<'_>>(key).ok().and_then(|value| value.as_string()?.to_string().ok());
        if text.is_none() {
            ctx.catch();
        }
        text.unwrap_or_default().chars().take(2_000).collect()
    };
    let Some(object) = thrown.as_object() else {
        let shown = match Copier::new().copy(thrown) {
            Ok(Raw::Text(text)) => text.chars().take(2_000).collect(),
            Ok(Raw::Number(value)) => number(value),
            Ok(raw) => raw.describe(),
            Err(_) => "something".into(),
        };
        return (Kind::Thrown { message: format!("the script threw {shown}") }, None);
    };
    let (name, message, stack) = (text(object, "name"), text(object, "message"), text(object, "stack"));
    let mut span = shared.place(&stack, "");
    // Stopped by the deadline: the engine knows the last call made, and a loop may have come after it.
    if message == "interrupted" && !stack.lines().next().is_some_and(|frame| frame.contains("(native)")) {
        span = span.map(|span| endless(shared, span));
    }
    let host = shared.0.borrow();
    if let Some((kind, at)) = host.thrown.iter().rev().find(|(kind, _)| clipped(&kind.to_string(), &message))
    {
        return (kind.clone(), Some(at.clone()).filter(Span::is_known).or(span));
    }
    match (name.as_str(), message.as_str()) {
        (_, "out of memory" | "string too long" | "invalid array buffer length") => {
            (Kind::MemoryLimit { limit_bytes: 0 }, span)
        }
        ("RangeError" | "InternalError", message) if message.contains("stack") => (Kind::StackLimit, span),
        ("SyntaxError", message) => missing_export(message, &host.files)
            .unwrap_or_else(|| (Kind::Syntax { message: message.to_owned() }, span)),
        ("", "") => (Kind::Thrown { message: "the script threw an object".into() }, span),
        ("" | "Error", message) => (Kind::Thrown { message: message.to_owned() }, span),
        (name, message) => (Kind::Thrown { message: format!("{name}: {message}") }, span),
    }
}

/// The loop that begins after `span`, if one does.
fn endless(shared: &Shared, span: Span) -> Span {
    let text = shared.source(&span.file);
    match place::loop_after(&text, span.offset) {
        None => span,
        Some(at) => {
            let line = text[..at].matches('\n').count() as u32 + 1;
            place::span(&span.file, &text, line, 0)
        }
    }
}

/// Whether `message` is `text`, which the engine cuts at 255 bytes.
fn clipped(text: &str, message: &str) -> bool {
    text == message || (message.len() > 200 && text.starts_with(message))
}

/// The engine's "no such export", which has no line: found by the name in the sources.
fn missing_export(message: &str, files: &Files) -> Option<(Kind, Option<Span>)> {
    let rest = message.strip_prefix("Could not find export '")?;
    let (name, rest) = rest.split_once('\'')?;
    let module = rest.split('\'').nth(1)?.trim_start_matches(place::INTERNAL).trim_start_matches("commonjs/");
    let module = module.to_owned();
    let text = MODULES.iter().find(|(own, _)| own.strip_prefix(place::INTERNAL) == Some(&module));
    let exports = text.map(|(_, text)| exported(text)).unwrap_or_default();
    let similar = similar(name, exports.iter().copied());
    let span = files.sources.iter().find_map(|(file, text)| place::find(file, text, name));
    Some((Kind::Export { module, name: name.to_owned(), similar }, span))
}

/// The names a module of ours exports.
pub(crate) fn exported(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("export ") else { continue };
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or("").split(',');
            names.extend(list.map(|name| name.rsplit(" as ").next().unwrap_or(name).trim()));
        } else if rest.starts_with("default ") {
            continue;
        } else if let Some(name) = rest.split([' ', '(']).nth(1) {
            names.push(name);
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
