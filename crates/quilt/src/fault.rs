//! What can be wrong with a blueprint, where, and what to do about it.
//!
//! A [`Fault`] is one error at one place; it is a [`miette::Diagnostic`] that carries its source text, so the
//! binary only has to print it. [`Faults`] is everything found in one go.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

use crate::check::{CONTAINERS_MAX, ENV_BYTES_MAX, FILE_BYTES_MAX, LINKS_MAX};
use crate::model::{Span, Text};

/// Faults reported in full; the rest are counted.
pub const FAULTS_MAX: usize = 50;

/// The text of every file an evaluation read, by the name its spans use.
pub type Sources = BTreeMap<String, Arc<str>>;

/// The kinds of fault, with the offending value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    // Reading and evaluating.
    /// The blueprint, or a file it imports, cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The path.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// An import names something that does not exist or may not be read.
    #[error("cannot import '{name}': {reason}")]
    Import {
        /// What was imported.
        name: String,
        /// Why not.
        reason: String,
    },
    /// An import asks a module for something it does not have.
    #[error("module '{module}' has no export '{name}'")]
    Export {
        /// The module.
        module: String,
        /// The missing name.
        name: String,
        /// A similar name it does have.
        similar: Option<String>,
    },
    /// The text is not JavaScript (or, for `.json`, not JSON).
    #[error("syntax error: {message}")]
    Syntax {
        /// What the parser said.
        message: String,
    },
    /// The script threw.
    #[error("{message}")]
    Thrown {
        /// The text of the exception.
        message: String,
    },
    /// The script ran too long.
    #[error("the blueprint ran for more than {limit_ms} ms")]
    TimeLimit {
        /// The limit, in milliseconds.
        limit_ms: u128,
    },
    /// The script asked for too much memory.
    #[error("the blueprint needs more than {} MiB of memory", limit_bytes >> 20)]
    MemoryLimit {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The script recursed too deeply.
    #[error("the blueprint calls itself too deeply")]
    StackLimit,
    /// The script waits for a promise that nothing will settle.
    #[error("the blueprint waits for something that never happens")]
    NeverSettled,
    /// The script built more than a blueprint may hold.
    #[error("the blueprint is too large: {what}")]
    TooLarge {
        /// Which limit was met.
        what: String,
    },
    /// The engine itself failed.
    #[error("the JavaScript engine failed: {message}")]
    Engine {
        /// What it said.
        message: String,
    },

    /// A manifest or compose file is not what it should be.
    #[error("{message}")]
    Manifest {
        /// What is wrong with it.
        message: String,
    },

    /// A policy of network functions is not what it should be.
    #[error("{message}")]
    Policy {
        /// What is wrong with it.
        message: String,
    },

    // Shapes of values.
    /// A value is of the wrong type.
    #[error("{what} must be {expected}, found {found}")]
    Shape {
        /// Which value.
        what: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// An option nobody knows.
    #[error("{of} has no option '{name}'")]
    UnknownOption {
        /// Of what.
        of: String,
        /// The option.
        name: String,
        /// A similar one that exists.
        similar: Option<String>,
    },
    /// A port that is no port.
    #[error("port {found} of {what} is out of range")]
    Port {
        /// Of what.
        what: String,
        /// The number found.
        found: String,
    },
    /// A port range upside down.
    #[error("port range {min}-{max} of {what} is upside down")]
    PortOrder {
        /// Of what.
        what: String,
        /// Lower end as written.
        min: u16,
        /// Upper end as written.
        max: u16,
    },

    // Names.
    /// A name that is no DNS label.
    #[error("'{name}' is not a valid name for a {what}: {reason}")]
    Name {
        /// Container, service or deployment.
        what: &'static str,
        /// The name.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// One name for two things.
    #[error("two {what} are called '{name}'")]
    Duplicate {
        /// Containers, or things.
        what: &'static str,
        /// The name.
        name: String,
        /// The other place.
        first: Span,
    },
    /// A name nothing has.
    #[error("{what} names '{name}', which does not exist")]
    Unknown {
        /// What refers to it.
        what: String,
        /// The name.
        name: String,
        /// A similar name that exists.
        similar: Option<String>,
    },
    /// A container that was made but not deployed.
    #[error("{what} names '{name}', which is never deployed")]
    Undeployed {
        /// What refers to it.
        what: String,
        /// The name.
        name: String,
    },
    /// A service without containers.
    #[error("service '{name}' has no containers")]
    EmptyService {
        /// The service.
        name: String,
    },
    /// A container that is in one service twice.
    #[error("service '{service}' has container '{member}' twice")]
    MemberTwice {
        /// The service.
        service: String,
        /// The container.
        member: String,
    },
    /// A blueprint without containers.
    #[error("the blueprint has no containers")]
    Nothing,

    /// A deployment that the system a dialect comes from refuses.
    #[error("{what}")]
    Deployment {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },

    /// An image that cannot be read or built.
    #[error("{what}")]
    Image {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },

    // Containers.
    /// Nothing to run.
    #[error("container '{name}' has no command")]
    NoCommand {
        /// The container.
        name: String,
        /// The image it names.
        image: Option<String>,
    },
    /// A string that a program cannot be given.
    #[error("{what} of container '{name}' {reason}")]
    Text {
        /// The container.
        name: String,
        /// Which string.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path that is not absolute and normal.
    #[error("path '{path}' of container '{name}' {reason}")]
    Path {
        /// The container.
        name: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit that makes no sense.
    #[error("{what} limit {found} of container '{name}' is out of range")]
    Limit {
        /// The container.
        name: String,
        /// Memory, cpu or pids.
        what: &'static str,
        /// The value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A secret without a value.
    #[error("secret '{name}' of container '{container}' has no value")]
    NoSecret {
        /// The container.
        container: String,
        /// The secret.
        name: String,
    },

    /// Containers that would never start, since each waits for the next.
    #[error("containers wait for each other: {}", shortened(names))]
    Cycle {
        /// The way round, its first name again at the end.
        names: Vec<String>,
        /// Who waits for whom, and where that is written.
        places: Vec<(String, Span)>,
    },

    // Links.
    /// A link that means nothing.
    #[error("{what}")]
    Link {
        /// What is wrong.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A network function that cannot be, or a link that cannot go through it.
    #[error("{what}")]
    Function {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// What the author expects of the network is not so.
    #[error("{expected}, but {found}")]
    Broken {
        /// The expectation, in words.
        expected: String,
        /// What refutes it.
        found: String,
        /// The links that do, each with what it leads from and to.
        places: Vec<(String, Span)>,
    },
    /// One host port published twice.
    #[error("host port {port}/{protocol} is published twice")]
    PublishedTwice {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: String,
        /// The other place.
        first: Span,
    },
    /// Two emulated links for the same packets.
    #[error("packets between {a} and {b} would go over two emulated links")]
    LinkedTwice {
        /// A container.
        a: String,
        /// Another one.
        b: String,
        /// The other place.
        first: Span,
    },
}

impl Kind {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Kind::Read { .. } => "check the path and that you may read the file".into(),
            Kind::Import { .. } => {
                "import 'weft', 'kelda' or '@quilt/quilt', a file beside the blueprint by its relative path, such as \
                 './web.js', or a package that `npm install` has put into node_modules there"
                    .into()
            }
            Kind::Export { similar: Some(similar), .. } => format!("did you mean '{similar}'?"),
            Kind::Export { module, .. } => format!("see the types of '{module}' for what it exports"),
            Kind::TimeLimit { .. } => "look for a loop that does not end".into(),
            Kind::MemoryLimit { .. } => "look for a list or string that grows without end".into(),
            Kind::StackLimit => "look for a function that calls itself without end".into(),
            Kind::NeverSettled => {
                "blueprints have no timers, files or network to wait for: remove the `await`".into()
            }
            Kind::UnknownOption { similar: Some(similar), .. } => format!("did you mean '{similar}'?"),
            Kind::UnknownOption { .. } => "remove it".into(),
            Kind::Port { .. } => "ports are whole numbers from 1 to 65535".into(),
            Kind::PortOrder { min, max, .. } => format!("write PortRange({max}, {min})"),
            Kind::Name { .. } => {
                "names are DNS labels: 1 to 63 of a-z, 0-9 and '-', and no '-' at either end".into()
            }
            Kind::Duplicate { first, .. } => {
                format!("the first is at {first}; give one of them another name, or use `replicas`")
            }
            Kind::Unknown { similar: Some(similar), .. } => format!("did you mean '{similar}'?"),
            Kind::Unknown { .. } => "create a container or a service of that name".into(),
            Kind::Undeployed { name, .. } => format!("deploy '{name}' with `.deploy(infrastructure)`"),
            Kind::MemberTwice { .. } => "name each container once".into(),
            Kind::EmptyService { .. } => "give it at least one container".into(),
            Kind::Nothing => {
                "create one: `new Container('web', {command: ['…']})`; in the kelda dialect, also call \
                              `.deploy(infrastructure)`"
                    .into()
            }
            Kind::NoCommand { image: Some(image), .. } => {
                format!(
                    "weft pulls no images: say which program of this host stands in for '{image}' with `command: ['…']`"
                )
            }
            Kind::NoCommand { .. } => "say what it runs: `command: ['/usr/bin/program', 'argument']`".into(),
            Kind::Path { .. } => {
                "write an absolute path without '.', '..' or '//', such as '/etc/app.conf'".into()
            }
            Kind::Limit { allowed, .. } => (*allowed).into(),
            Kind::NoSecret { name, .. } => {
                format!("set it in the environment: {}=… weft up …", Text::secret_variable(name))
            }
            Kind::Cycle { .. } => "take one of them out of `dependsOn`".into(),
            Kind::Link { help, .. } => (*help).into(),
            Kind::Broken { places, .. } if places.is_empty() => {
                "allow the connections that are missing, or expect something else".into()
            }
            Kind::Broken { .. } => "take away one of these links, or expect something else".into(),
            Kind::Deployment { help, .. } | Kind::Image { help, .. } | Kind::Function { help, .. } => {
                help.clone()
            }
            Kind::PublishedTwice { first, .. } => {
                format!("the first is at {first}; choose another host port")
            }
            Kind::LinkedTwice { first, .. } => format!("the first is at {first}; take away one of them"),
            Kind::TooLarge { .. } => format!(
                "a blueprint holds at most {CONTAINERS_MAX} containers, {LINKS_MAX} links, {} KiB of environment \
                 and {} MiB per file",
                ENV_BYTES_MAX >> 10,
                FILE_BYTES_MAX >> 20
            ),
            Kind::Syntax { .. }
            | Kind::Thrown { .. }
            | Kind::Engine { .. }
            | Kind::Manifest { .. }
            | Kind::Policy { .. }
            | Kind::Shape { .. }
            | Kind::Text { .. } => return None,
        };
        Some(help)
    }

    /// A stable name of the kind, for scripts that read diagnostics.
    fn code(&self) -> &'static str {
        match self {
            Kind::Read { .. } => "quilt::read",
            Kind::Import { .. } | Kind::Export { .. } => "quilt::import",
            Kind::Syntax { .. } => "quilt::syntax",
            Kind::Thrown { .. } | Kind::Engine { .. } | Kind::NeverSettled => "quilt::script",
            Kind::TimeLimit { .. } | Kind::MemoryLimit { .. } | Kind::StackLimit | Kind::TooLarge { .. } => {
                "quilt::limit"
            }
            Kind::Shape { .. } | Kind::UnknownOption { .. } => "quilt::value",
            Kind::Port { .. } | Kind::PortOrder { .. } | Kind::PublishedTwice { .. } => "quilt::port",
            Kind::Name { .. } | Kind::Duplicate { .. } | Kind::Unknown { .. } | Kind::Undeployed { .. } => {
                "quilt::name"
            }
            Kind::EmptyService { .. } | Kind::MemberTwice { .. } | Kind::Nothing => "quilt::empty",
            Kind::NoCommand { .. }
            | Kind::Text { .. }
            | Kind::Path { .. }
            | Kind::Limit { .. }
            | Kind::Cycle { .. }
            | Kind::NoSecret { .. } => "quilt::container",
            Kind::Manifest { .. } => "quilt::manifest",
            Kind::Policy { .. } => "quilt::policy",
            Kind::Link { .. } | Kind::LinkedTwice { .. } => "quilt::link",
            Kind::Function { .. } => "quilt::function",
            Kind::Broken { .. } => "quilt::expectation",
            Kind::Deployment { .. } => "quilt::deployment",
            Kind::Image { .. } => "quilt::image",
        }
    }

    /// The other place this fault is about.
    fn first(&self) -> Option<&Span> {
        match self {
            Kind::Duplicate { first, .. }
            | Kind::PublishedTwice { first, .. }
            | Kind::LinkedTwice { first, .. } => Some(first),
            _ => None,
        }
    }
}

/// Names one after the other; long lists lose their middle.
fn shortened(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    if names.len() <= SHOWN_MAX {
        return names.join(" -> ");
    }
    let (first, last) = (&names[..SHOWN_MAX / 2], &names[names.len() - SHOWN_MAX / 2..]);
    format!("{} -> … -> {}", first.join(" -> "), last.join(" -> "))
}

/// One error in a blueprint, at one place.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What is wrong.
    pub kind: Kind,
    /// Where; [`Span::is_known`] tells whether that could be found out.
    pub span: Span,
    source: Option<NamedSource<Arc<str>>>,
}

impl Fault {
    /// A fault whose source text is not known yet.
    pub fn new(kind: Kind, span: Span) -> Fault {
        Fault { kind, span, source: None }
    }

    fn language(&self) -> &'static str {
        if matches!(self.kind, Kind::Manifest { .. }) { "YAML" } else { "JavaScript" }
    }

    /// The same with the text of its file, so that it can be shown.
    #[must_use]
    pub fn with_source(mut self, sources: &Sources) -> Fault {
        let text = sources.get(&self.span.file);
        self.source =
            text.map(|text| NamedSource::new(&self.span.file, text.clone()).with_language(self.language()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.kind.code()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.kind.help().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if !self.span.is_known() || self.source.is_none() {
            return None;
        }
        let label = |text: &str, span: &Span| {
            LabeledSpan::new_with_span(Some(text.to_owned()), SourceSpan::from((span.offset, span.len)))
        };
        let here = if matches!(self.kind, Kind::TimeLimit { .. }) { "still running here" } else { "here" };
        let first = self.kind.first().filter(|first| first.is_known() && first.file == self.span.file);
        // The header of the report names the place at fault, though another one may come first in the file.
        let place = SourceSpan::from((self.span.offset, self.span.len));
        let mut labels = vec![LabeledSpan::new_primary_with_span(Some(here.to_owned()), place)];
        labels.extend(first.map(|first| label("first here", first)));
        if let Kind::Broken { places, .. } | Kind::Cycle { places, .. } = &self.kind {
            let shown = places.iter().filter(|(_, span)| span.is_known() && span.file == self.span.file);
            labels.extend(shown.map(|(text, span)| label(text, span)));
        }
        Some(Box::new(labels.into_iter()))
    }
}

/// Everything wrong with a blueprint.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The faults, in the order of the source; at most [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// Faults beyond those.
    pub omitted: usize,
    /// What the script printed before it failed.
    pub console: String,
}

impl Faults {
    /// One fault.
    pub fn one(kind: Kind, span: Span) -> Faults {
        Faults { faults: vec![Fault::new(kind, span)], ..Faults::default() }
    }

    /// Sorts by place, bounds the number and attaches the source texts.
    #[must_use]
    pub fn finish(mut faults: Vec<Fault>, sources: &Sources, console: String) -> Faults {
        faults.sort_by(|a, b| (&a.span.file, a.span.offset).cmp(&(&b.span.file, b.span.offset)));
        let omitted = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        let faults = faults.into_iter().map(|fault| fault.with_source(sources)).collect();
        Faults { faults, omitted, console }
    }

    /// A report to print: the fault itself when there is only one.
    pub fn into_report(mut self) -> miette::Report {
        match (self.faults.len(), self.omitted) {
            (1, 0) => miette::Report::new(self.faults.remove(0)),
            _ => miette::Report::new(self),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [only] if self.omitted == 0 => write!(f, "{}: {only}", only.span),
            _ => {
                write!(f, "{} errors in the blueprint", self.faults.len() + self.omitted)?;
                if self.omitted > 0 {
                    write!(f, ", of which the first {} are shown", self.faults.len())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Faults {}

impl Diagnostic for Faults {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.faults.iter().map(|fault| fault as &dyn Diagnostic)))
    }
}

/// The name among `names` that `name` was most likely meant to be.
pub fn similar<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const NAMES_MAX: usize = 1_000;
    let distance_max = (name.len() / 3).clamp(1, 3);
    names
        .into_iter()
        .take(NAMES_MAX)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance, ignoring case, of the first 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn similar_names_are_near_and_nearest() {
        assert_eq!(similar("wbe", ["web", "db"]), None, "two edits of three letters is a guess");
        assert_eq!(similar("we", ["web", "db"]).as_deref(), Some("web"));
        assert_eq!(similar("Contaner", ["Container", "Service"]).as_deref(), Some("Container"));
        assert_eq!(similar("", ["web"]), None);
    }
}
