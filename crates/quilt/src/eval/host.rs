//! What the embedded modules can ask of Rust, and how the engine finds modules.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use rquickjs::context::EvalOptions;
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Ctx, Exception, Function, Module, Object, TypedArray, Value};

use super::files::{Files, Found, Place, Unread};
use super::packages::{self, Asker};
use super::place::{self, INTERNAL};
use super::raw::Copier;
use super::{Options, hash};
use crate::fault::Kind;
use crate::model::Span;
use crate::original;
use crate::original::sizes::{self, Bounds};

/// Bytes of console output kept.
pub const CONSOLE_BYTES_MAX: usize = 256 << 10;
/// Places remembered: one for each container, link and note, and some to spare.
const PLACES_MAX: usize = 1_000_000;

/// What CommonJS files are wrapped in, as in Node.
const WRAP_HEAD: &str = "(function (exports, require, module, __filename, __dirname) {";
const WRAP_TAIL: &str = "\n})";

/// Modules that ship inside weft, each after those it needs at once.
pub(crate) const MODULES: [(&str, &str); 13] = [
    ("weft:core", include_str!("../js/core.js")),
    ("weft:weft", include_str!("../js/weft.js")),
    ("weft:nf", include_str!("../js/nf.js")),
    ("weft:buffer", include_str!("../js/buffer.js")),
    ("weft:path", include_str!("../js/path.js")),
    ("weft:fs", include_str!("../js/fs.js")),
    ("weft:crypto", include_str!("../js/crypto.js")),
    ("weft:util", include_str!("../js/util.js")),
    ("weft:arguments", include_str!("../js/arguments.js")),
    ("weft:both", include_str!("../js/both.js")),
    ("weft:quilt", include_str!("../js/quilt.js")),
    ("weft:kelda", include_str!("../js/kelda.js")),
    ("weft:require", include_str!("../js/require.js")),
];
/// What `import` may call them: the languages, and modules of Node.
const PUBLIC: [(&str, &str); 9] = [
    ("weft", "weft:weft"),
    ("weft/nf", "weft:nf"),
    ("kelda", "weft:kelda"),
    ("@quilt/quilt", "weft:quilt"),
    ("buffer", "weft:buffer"),
    ("crypto", "weft:crypto"),
    ("fs", "weft:fs"),
    ("path", "weft:path"),
    ("util", "weft:util"),
];
/// Prefix of the module made for a CommonJS file that an ES module imports.
const BRIDGE: &str = "weft:commonjs/";

/// How a file is to be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Module,
    Script,
    Json,
}

/// The state shared by the host's functions.
pub(crate) struct Host {
    pub(crate) files: Files,
    pub(crate) spans: Vec<Span>,
    pub(crate) console: String,
    /// Faults thrown into the script as exceptions, by their text.
    pub(crate) thrown: Vec<(Kind, Span)>,
    kinds: BTreeMap<String, FileKind>,
    /// Places by file, line, column and names.
    places: HashMap<(String, u32, u32, String), Span>,
    options: Options,
}

/// A handle every function holds.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Rc<RefCell<Host>>);

impl Shared {
    pub(crate) fn new(files: Files, options: Options) -> Shared {
        let host = Host {
            files,
            spans: vec![Span::default()],
            console: String::new(),
            thrown: Vec::new(),
            kinds: BTreeMap::new(),
            places: HashMap::new(),
            options,
        };
        Shared(Rc::new(RefCell::new(host)))
    }

    /// The place in user code that a stack leads to; `names` are what a call there may be of.
    pub(crate) fn place(&self, stack: &str, names: &str) -> Option<Span> {
        let mut host = self.0.borrow_mut();
        let host = &mut *host;
        let wrapped = |file: &str| match host.kinds.get(file) {
            Some(FileKind::Script) => WRAP_HEAD.len() as u32,
            _ => 0,
        };
        let (file, line, column) = place::innermost(stack, &host.files.sources, wrapped)?;
        let text = host.files.sources.get(file)?;
        // Loops come by the same place again and again.
        let key = (file.to_owned(), line, column, names.to_owned());
        if let Some(span) = host.places.get(&key) {
            return Some(span.clone());
        }
        let span = place::call_span(file, text, line, column, names);
        if host.places.len() < PLACES_MAX {
            host.places.insert(key, span.clone());
        }
        Some(span)
    }

    /// Where `from` first mentions the module `name`.
    fn mention(&self, from: &str, name: &str) -> Span {
        let host = self.0.borrow();
        let text = host.files.sources.get(from);
        let find = |quote: char| place::find(from, text?, &format!("{quote}{name}{quote}"));
        find('\'').or_else(|| find('"')).unwrap_or_else(|| Span { file: from.to_owned(), ..Span::default() })
    }

    /// Throws a fault into the script, to be recognised if it comes back out.
    fn throw(&self, ctx: &Ctx<'_>, kind: Kind, span: Span) -> rquickjs::Error {
        const THROWN_MAX: usize = 100;
        let text = kind.to_string();
        let mut host = self.0.borrow_mut();
        if host.thrown.len() < THROWN_MAX {
            host.thrown.push((kind, span));
        }
        drop(host);
        Exception::throw_message(ctx, &text)
    }

    /// Finds the file that `from` means by `name`.
    fn find(&self, ctx: &Ctx<'_>, from: &str, name: &str, asker: Asker) -> rquickjs::Result<Found> {
        let found = {
            let mut host = self.0.borrow_mut();
            let base = host.files.directory(from);
            packages::find(&mut host.files, &base, name, asker)
        };
        found.map_err(|reason| {
            let name: String = name.chars().take(200).collect();
            let span = self.mention(from, &name);
            self.throw(ctx, Kind::Import { name, reason }, span)
        })
    }

    /// The text of a file, read if it was not before.
    fn text(&self, ctx: &Ctx<'_>, found: &Found) -> rquickjs::Result<std::sync::Arc<str>> {
        let text = self.0.borrow_mut().files.read(found);
        text.map_err(|reason| {
            let kind = Kind::Read { path: found.name.clone(), reason };
            self.throw(ctx, kind, Span::default())
        })
    }

    /// Decides how a file whose text is known is evaluated.
    pub(crate) fn kind(&self, ctx: &Ctx<'_>, file: &str) -> FileKind {
        if let Some(kind) = self.0.borrow().kinds.get(file) {
            return *kind;
        }
        let ending = Path::new(file).extension().and_then(|ending| ending.to_str());
        let kind = match ending {
            Some("json") => FileKind::Json,
            Some("mjs") => FileKind::Module,
            Some("cjs") => FileKind::Script,
            _ => {
                let text = self.source(file);
                // `import` and `export` do not parse inside a function, so a file that does is CommonJS.
                let candidate = text.contains("require") || text.contains("exports");
                if candidate && self.compile(ctx, file).is_ok() {
                    FileKind::Script
                } else {
                    ctx.catch();
                    FileKind::Module
                }
            }
        };
        self.0.borrow_mut().kinds.insert(file.to_owned(), kind);
        kind
    }

    pub(crate) fn source(&self, file: &str) -> std::sync::Arc<str> {
        self.0.borrow().files.sources.get(file).cloned().unwrap_or_else(|| "".into())
    }

    /// A CommonJS file as a function of `exports`, `require`, `module`, `__filename` and `__dirname`.
    fn compile<'js>(&self, ctx: &Ctx<'js>, file: &str) -> rquickjs::Result<Function<'js>> {
        let text = self.source(file);
        let text = text.strip_prefix("#!").map_or_else(|| text.to_string(), |rest| format!("//{rest}"));
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(file.to_owned());
        ctx.eval_with_options(format!("{WRAP_HEAD}{text}{WRAP_TAIL}"), options)
    }

    fn json<'js>(&self, ctx: &Ctx<'js>, file: &str) -> rquickjs::Result<Value<'js>> {
        let text = self.source(file);
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            let span = place::span(file, &text, error.line() as u32, error.column() as u32);
            return Err(self.throw(ctx, Kind::Syntax { message: error.to_string() }, span));
        }
        ctx.json_parse(text.as_bytes())
    }

    /// The object the embedded modules reach Rust through.
    pub(crate) fn object<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
        let object = Object::new(ctx.clone())?;
        let (options, main, cwd) = {
            let host = self.0.borrow();
            (host.options.clone(), host.files.main(), host.files.own())
        };
        object.set("dialect", options.dialect.map_or("", super::Dialect::name))?;
        object.set("cwd", cwd)?;
        let shared = self.clone();
        object.set(
            "place",
            Function::new(ctx.clone(), move |stack: Value<'js>, names: String| {
                shared.remember(&stack, &names)
            })?,
        )?;
        let shared = self.clone();
        object
            .set("print", Function::new(ctx.clone(), move |line: Value<'js>| shared.print(&line, "\n"))?)?;
        let shared = self.clone();
        object.set("write", Function::new(ctx.clone(), move |text: Value<'js>| shared.print(&text, ""))?)?;
        let filled = |values: BTreeMap<String, String>| {
            move |into: Object<'js>| -> rquickjs::Result<Object<'js>> {
                for (name, value) in &values {
                    into.set(name.as_str(), value.as_str())?;
                }
                Ok(into)
            }
        };
        object.set("args", Function::new(ctx.clone(), filled(options.args))?)?;
        object.set("env", Function::new(ctx.clone(), filled(options.env))?)?;
        let argv: Vec<String> = std::iter::once(main).chain(options.argv).collect();
        object.set("argv", Function::new(ctx.clone(), move || argv.clone())?)?;
        self.module_functions(ctx, &object)?;
        self.file_functions(ctx, &object)?;
        self.dialect_functions(ctx, &object)?;
        Ok(object)
    }

    /// What `require` is made of.
    fn module_functions<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> rquickjs::Result<()> {
        let shared = self.clone();
        let find = move |ctx: Ctx<'js>, from: String, name: String| -> rquickjs::Result<String> {
            let found = shared.find(&ctx, &from, &name, Asker::Require)?;
            shared.text(&ctx, &found)?;
            Ok(found.name)
        };
        object.set("find", Function::new(ctx.clone(), find)?)?;
        let shared = self.clone();
        let kind = move |ctx: Ctx<'js>, file: String| match shared.kind(&ctx, &file) {
            FileKind::Module => "module",
            FileKind::Script => "script",
            FileKind::Json => "json",
        };
        object.set("kind", Function::new(ctx.clone(), kind)?)?;
        let shared = self.clone();
        object.set(
            "json",
            Function::new(ctx.clone(), move |ctx: Ctx<'js>, file: String| shared.json(&ctx, &file))?,
        )?;
        let shared = self.clone();
        let compile = move |ctx: Ctx<'js>, file: String| shared.compile(&ctx, &file);
        object.set("compile", Function::new(ctx.clone(), compile)?)?;
        let shared = self.clone();
        let virtual_name = move |file: String| shared.0.borrow().files.seen(&file);
        object.set("virtual", Function::new(ctx.clone(), virtual_name)?)?;
        let shared = self.clone();
        let import_now = move |ctx: Ctx<'js>, file: String| -> rquickjs::Result<Object<'js>> {
            let text = shared.source(&file);
            let (module, promise) = Module::declare(ctx, file.as_str(), text.as_bytes())?.eval()?;
            promise.finish::<()>()?;
            module.namespace()
        };
        object.set("importNow", Function::new(ctx.clone(), import_now)?)
    }

    /// What `fs` and `crypto` are made of.
    fn file_functions<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> rquickjs::Result<()> {
        let refused = |object: &Object<'js>, fault: Unread| -> rquickjs::Result<()> {
            object.set("reason", fault.reason)?;
            object.set("code", fault.code)
        };
        let shared = self.clone();
        let read = move |ctx: Ctx<'js>, path: String, text: bool| -> rquickjs::Result<Object<'js>> {
            let answer = Object::new(ctx.clone())?;
            let bytes = shared.0.borrow_mut().files.bytes(&path);
            match bytes {
                Ok(bytes) if text => answer.set("content", String::from_utf8_lossy(&bytes).as_ref())?,
                Ok(bytes) => answer.set("content", TypedArray::new(ctx, bytes)?)?,
                Err(fault) => refused(&answer, fault)?,
            }
            Ok(answer)
        };
        object.set("read", Function::new(ctx.clone(), read)?)?;
        let shared = self.clone();
        let look = move |ctx: Ctx<'js>, path: String| -> rquickjs::Result<Object<'js>> {
            let answer = Object::new(ctx)?;
            let mut host = shared.0.borrow_mut();
            let own = host.files.directory("");
            match host.files.look(&own, &path) {
                Ok(Some(Place::File(found))) => {
                    answer.set("kind", "file")?;
                    answer.set("size", found.real.metadata().map_or(0, |data| data.len()) as f64)?;
                }
                Ok(Some(Place::Directory { .. })) => {
                    answer.set("kind", "directory")?;
                    answer.set("size", 0)?;
                }
                Ok(None) => refused(&answer, Unread::missing())?,
                Err(reason) => refused(&answer, Unread::refused(reason))?,
            }
            Ok(answer)
        };
        object.set("look", Function::new(ctx.clone(), look)?)?;
        let shared = self.clone();
        let list = move |ctx: Ctx<'js>, path: String| -> rquickjs::Result<Object<'js>> {
            let answer = Object::new(ctx)?;
            let names = shared.0.borrow_mut().files.names(&path);
            match names {
                Ok(names) => {
                    let kind =
                        |(_, directory): &(String, bool)| if *directory { "directory" } else { "file" };
                    answer.set("kinds", names.iter().map(kind).collect::<Vec<_>>())?;
                    answer.set("names", names.into_iter().map(|(name, _)| name).collect::<Vec<_>>())?;
                }
                Err(fault) => refused(&answer, fault)?,
            }
            Ok(answer)
        };
        object.set("list", Function::new(ctx.clone(), list)?)?;
        object
            .set("hash", Function::new(ctx.clone(), |name: String, bytes: String| hash::hash(&name, &bytes))?)
    }

    /// What the old dialects need.
    fn dialect_functions<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> rquickjs::Result<()> {
        let shared = self.clone();
        let document = move |ctx: Ctx<'js>, record: Value<'js>| -> rquickjs::Result<String> {
            let raw = Copier::new().copy(&record).map_err(|error| match error {
                super::raw::CopyError::Thrown(error) => error,
                super::raw::CopyError::TooLarge(what) => Exception::throw_message(&ctx, what),
                super::raw::CopyError::Key => Exception::throw_message(&ctx, "a name is not valid Unicode"),
            })?;
            let spans = shared.0.borrow().spans.clone();
            original::document(&raw, &spans).map_err(|mut faults| {
                let fault = faults.remove(0);
                shared.throw(&ctx, fault.kind, fault.span)
            })
        };
        object.set("document", Function::new(ctx.clone(), document)?)?;
        type Ends = Vec<Option<f64>>;
        let size = |ctx: Ctx<'js>, provider: String, named: String, cpu: Ends, ram: Ends| {
            let bounds = |ends: &Ends| Bounds {
                min: ends.first().copied().flatten(),
                max: ends.get(1).copied().flatten(),
            };
            let size = sizes::choose(&provider, &named, bounds(&cpu), bounds(&ram))
                .map_err(|reason| Exception::throw_message(&ctx, &reason))?;
            let answer = Object::new(ctx)?;
            answer.set("name", size.name)?;
            answer.set("cpu", size.cpu)?;
            answer.set("ram", size.ram)?;
            Ok::<_, rquickjs::Error>(answer)
        };
        object.set("size", Function::new(ctx.clone(), size)?)
    }

    fn remember(&self, stack: &Value<'_>, names: &str) -> u32 {
        let stack = stack.as_string().and_then(|stack| stack.to_string().ok()).unwrap_or_default();
        let Some(span) = self.place(&stack, names) else { return 0 };
        let mut host = self.0.borrow_mut();
        if host.spans.len() >= PLACES_MAX {
            return 0;
        }
        host.spans.push(span);
        host.spans.len() as u32 - 1
    }

    fn print(&self, line: &Value<'_>, end: &str) {
        let line = line.as_string().and_then(|line| line.to_string().ok()).unwrap_or_default();
        let mut host = self.0.borrow_mut();
        let room = CONSOLE_BYTES_MAX.saturating_sub(host.console.len() + 1);
        let cut = (0..=room.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        if room > 0 {
            host.console.push_str(&line[..cut]);
            host.console.push_str(end);
        }
    }
}

impl Resolver for Shared {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        let bare = name.strip_prefix("node:").unwrap_or(name);
        if let Some((_, own)) = PUBLIC.iter().find(|(public, _)| *public == bare) {
            return Ok((*own).to_owned());
        }
        if base.starts_with(INTERNAL) && (MODULES.iter().any(|(own, _)| *own == name)) {
            return Ok(name.to_owned());
        }
        let found = self.find(ctx, base, name, Asker::Import)?;
        self.text(ctx, &found)?;
        match self.kind(ctx, &found.name) {
            FileKind::Module => Ok(found.name),
            FileKind::Script | FileKind::Json => Ok(format!("{BRIDGE}{}", found.name)),
        }
    }
}

impl Loader for Shared {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        if let Some((_, text)) = MODULES.iter().find(|(own, _)| *own == name) {
            return Module::declare(ctx.clone(), name, *text);
        }
        if let Some(file) = name.strip_prefix(BRIDGE) {
            return Module::declare(ctx.clone(), name, bridge(file, &self.source(file)));
        }
        Module::declare(ctx.clone(), name, self.source(name).as_bytes())
    }
}

/// An ES module that stands for a CommonJS or JSON file: the exports as default, and by name those that the
/// text assigns as `exports.name` or lists in `module.exports = {name, …}`.
fn bridge(file: &str, text: &str) -> String {
    const NAMES_MAX: usize = 1_000;
    let file = serde_json::to_string(file).unwrap_or_default();
    let mut module =
        format!("import {{ load }} from 'weft:require';\nconst m = load({file});\nexport default m;\n");
    let mut names: Vec<&str> = Vec::new();
    for (at, found) in text.match_indices("exports.") {
        names.push(identifier(&text[at + found.len()..]));
    }
    for (at, found) in text.match_indices("module.exports = {") {
        let list = text[at + found.len()..].split('}').next().unwrap_or("");
        names.extend(list.split(',').map(|item| identifier(item.trim())));
    }
    names.retain(|name| !name.is_empty() && *name != "default" && *name != "m" && *name != "load");
    names.sort_unstable();
    names.dedup();
    for (at, name) in names.into_iter().take(NAMES_MAX).enumerate() {
        module.push_str(&format!("const e{at} = m.{name};\nexport {{ e{at} as {name} }};\n"));
    }
    module
}

/// The plain identifier `text` starts with.
fn identifier(text: &str) -> &str {
    let is_start = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    if is_start { &text[..end] } else { "" }
}
