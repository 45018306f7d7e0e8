//! The launch line: components by name, each followed by its options, on a command line or one a line in a file.
//!
//! ```text
//! weft pox forwarding.l2_learning openflow.discovery --link-timeout=10
//!
//! # the same as a file: weft pox --config FILE
//! forwarding.l2_learning
//! openflow.discovery --link-timeout=10
//! ```

use thiserror::Error;

use crate::Core;
use crate::component::{Component, RegisterError};
use crate::components::KINDS;
use crate::options::{OPTIONS_MAX, Options, OptionsError};

/// Components one launch may name.
pub const LINES_MAX: usize = 1_024;
/// Bytes of the largest configuration file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Builds a component from its options.
pub type Build = fn(&mut Options) -> Result<Box<dyn Component>, OptionsError>;

/// A kind of component: its name, its manual, how it is built.
///
/// A component is one file; its `//!` comment is its manual, so the file is what the manual is read from. [`kind!`](crate::kind)
/// makes one.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name on the launch line: `forwarding.hub`.
    pub name: &'static str,
    /// The text of its file.
    pub source: &'static str,
    /// Whether it may be launched several times.
    pub several: bool,
    /// How it is built.
    pub build: Build,
}

/// The [`Kind`] of a component in a file: its name, the file beside this one, its build function, and `several` where it may be
/// launched several times: `kind!("misc.quota", "quota.rs", quota::build)`.
#[macro_export]
macro_rules! kind {
    ($name:literal, $file:literal, $build:path) => {
        $crate::Kind { name: $name, source: include_str!($file), several: false, build: $build }
    };
    ($name:literal, $file:literal, $build:path, several) => {
        $crate::Kind { name: $name, source: include_str!($file), several: true, build: $build }
    };
}

impl Kind {
    /// Its manual: the `//!` comment its file opens with.
    #[must_use]
    pub fn manual(&self) -> String {
        let lines = self.source.lines().take_while(|line| line.starts_with("//!"));
        let lines = lines
            .map(|line| line.trim_start_matches("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The first sentence of its manual.
    #[must_use]
    pub fn summary(&self) -> String {
        let manual = self.manual();
        let paragraph: Vec<&str> = manual.lines().take_while(|line| !line.is_empty()).collect();
        let paragraph = paragraph.join(" ");
        match paragraph.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => paragraph,
        }
    }
}

/// Why nothing was launched.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// No component of that name.
    #[error("{}there is no component '{name}'", place(.line))]
    Component {
        /// The name.
        name: String,
        /// Its line in a file.
        line: Option<usize>,
    },
    /// An option before any component.
    #[error("{}'{word}' stands before any component: options follow the component that takes them", place(.line))]
    Homeless {
        /// The word.
        word: String,
        /// Its line in a file.
        line: Option<usize>,
    },
    /// Options that are wrong.
    #[error("{}{error}", place(.line))]
    Options {
        /// What is wrong.
        error: OptionsError,
        /// Its line in a file.
        line: Option<usize>,
    },
    /// A component that may be launched once.
    #[error("{}'{name}' may be launched once", place(.line))]
    Again {
        /// Its name.
        name: String,
        /// Its line in a file.
        line: Option<usize>,
    },
    /// A line of a file that is not one component and its options.
    #[error("line {line}: {problem}")]
    Line {
        /// The line.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Too much of it.
    #[error("more than {0}")]
    TooMuch(String),
    /// A component that did not start.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

fn place(line: &Option<usize>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

/// One component of a launch: its name, its options, and its line if it is from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The component.
    pub name: String,
    /// Its options: names without dashes, values.
    pub options: Vec<(String, Option<String>)>,
    /// Its line in a file, from 1.
    pub line: Option<usize>,
}

impl Line {
    /// A component without options.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), options: Vec::new(), line: None }
    }
}

/// Reads a launch line that is split into words.
///
/// # Errors
/// An option before the first component, too many words.
pub fn read_words<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Vec<Line>, LaunchError> {
    let mut lines: Vec<Line> = Vec::new();
    for word in words {
        add_word(&mut lines, word.as_ref(), None)?;
    }
    Ok(lines)
}

/// The same with `openflow.of_01` in front, where it is not among them: somebody has to wait for the switches.
#[must_use]
pub fn with_listener(mut lines: Vec<Line>) -> Vec<Line> {
    const LISTENER: &str = "openflow.of_01";
    if lines.iter().all(|line| line.name != LISTENER) {
        lines.insert(0, Line::new(LISTENER));
    }
    lines
}

fn add_word(lines: &mut Vec<Line>, word: &str, line: Option<usize>) -> Result<(), LaunchError> {
    if !word.starts_with('-') {
        if lines.len() >= LINES_MAX {
            return Err(LaunchError::TooMuch(format!("{LINES_MAX} components")));
        }
        lines.push(Line { name: word.into(), options: Vec::new(), line });
        return Ok(());
    }
    let homeless = || LaunchError::Homeless { word: word.chars().take(80).collect(), line };
    let last = lines.last_mut().filter(|last| last.line == line).ok_or_else(homeless)?;
    if last.options.len() >= OPTIONS_MAX {
        return Err(LaunchError::TooMuch(format!("{OPTIONS_MAX} options of {}", last.name)));
    }
    let option = word.trim_start_matches('-');
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (option, None),
    };
    last.options.push((name.replace('_', "-"), value));
    Ok(())
}

/// Reads a configuration file: one component a line, spelled as on the command line. `#` begins a comment, double quotes hold
/// blanks together.
///
/// # Errors
/// The first line that is wrong, and what with it.
pub fn read_file(text: &str) -> Result<Vec<Line>, LaunchError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(LaunchError::TooMuch(format!("{FILE_BYTES_MAX} bytes of configuration")));
    }
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = |problem: String| LaunchError::Line { line: number, problem };
        let words = split(line).ok_or_else(|| wrong("a quote is not closed".into()))?;
        for (place, word) in words.iter().enumerate() {
            if place > 0 && !word.starts_with('-') {
                return Err(wrong(format!("'{word}': one component a line, its options begin with --")));
            }
            add_word(&mut lines, word, Some(number))?;
        }
    }
    Ok(lines)
}

/// The words of a line, without its comment; `None` where a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' if !quoted && word.is_none() => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

/// The kinds of components there are, and how to launch them.
///
/// ```
/// use pox::{Controller, Launcher, launch};
///
/// let mut controller = Controller::new();
/// let lines = launch::read_words(["forwarding.hub", "--reactive"])?;
/// Launcher::stock().launch(controller.core_mut(), &lines)?;
/// assert!(controller.core().has("forwarding.hub"));
/// # Ok::<(), pox::LaunchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Launcher {
    kinds: Vec<Kind>,
}

impl Launcher {
    /// The stock components.
    #[must_use]
    pub fn stock() -> Self {
        Self { kinds: KINDS.to_vec() }
    }

    /// One more; it takes the place of another of the same name.
    #[must_use]
    pub fn with(mut self, kind: Kind) -> Self {
        self.kinds.retain(|other| other.name != kind.name);
        self.kinds.push(kind);
        self.kinds.sort_by_key(|kind| kind.name);
        self
    }

    /// Every kind, by name.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kind of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// Builds every component, then registers and starts them in that order. Where one is wrong, none is started.
    ///
    /// # Errors
    /// An unknown component or option, a wrong value, a component launched twice that may be once; one that does not start.
    pub fn launch(&self, core: &mut Core, lines: &[Line]) -> Result<(), LaunchError> {
        let mut built = Vec::with_capacity(lines.len());
        for (place, line) in lines.iter().enumerate() {
            let name = line.name.as_str();
            let unknown =
                || LaunchError::Component { name: name.chars().take(80).collect(), line: line.line };
            let kind = self.find(name).ok_or_else(unknown)?;
            let again = core.has(name) || lines[..place].iter().any(|before| before.name == line.name);
            if again && !kind.several {
                return Err(LaunchError::Again { name: name.into(), line: line.line });
            }
            let wrong = |error| LaunchError::Options { error, line: line.line };
            let mut options = Options::new(name, line.options.iter().cloned());
            let component = (kind.build)(&mut options).map_err(wrong)?;
            options.done().map_err(wrong)?;
            built.push((kind.name, component));
        }
        for (name, component) in built {
            let name = core.free_name(name);
            core.register_boxed(&name, component)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_their_component() {
        let lines = read_words(["a.b", "--x=1", "--long_name", "c", "-y=p=q"]).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].options, [("x".into(), Some("1".into())), ("long-name".into(), None)]);
        assert_eq!(lines[1].options, [("y".into(), Some("p=q".into()))]);
        let wrong = read_words(["--x", "a"]).unwrap_err().to_string();
        assert!(wrong.starts_with("'--x' stands before any component"), "{wrong}");
    }

    #[test]
    fn a_file_has_a_component_a_line() {
        let text = "# all of it\n\nforwarding.hub  --reactive # why not\nopenflow.of_01 --address=\"::1\" --port=7\n";
        let lines = read_file(text).unwrap();
        assert_eq!(lines[0].options, [("reactive".into(), None)]);
        assert_eq!((lines[1].line, lines[1].options[0].1.as_deref()), (Some(4), Some("::1")));
        for (text, wrong) in [
            ("a\n--b", "line 2: '--b' stands before any component"),
            ("a b", "line 1: 'b': one component a line"),
            ("a --b=\"c", "line 1: a quote is not closed"),
        ] {
            let error = read_file(text).unwrap_err().to_string();
            assert!(error.starts_with(wrong), "{error}");
        }
    }

    #[test]
    fn where_one_is_wrong_none_is_started() {
        for (words, wrong) in [
            (&["forwarding.hub", "forwarding.hubb"][..], "there is no component 'forwarding.hubb'"),
            (
                &["forwarding.hub", "info.switch_info", "--alwais"],
                "info.switch_info: it takes no --alwais; it takes --always",
            ),
            (&["forwarding.hub", "forwarding.hub"], "'forwarding.hub' may be launched once"),
        ] {
            let mut core = Core::default();
            let error = Launcher::stock().launch(&mut core, &read_words(words).unwrap()).unwrap_err();
            assert_eq!(error.to_string(), wrong);
            assert!(!core.has("forwarding.hub"));
        }
    }

    #[test]
    fn every_kind_has_a_manual_with_its_launch_line() {
        let kinds = Launcher::stock().kinds;
        assert!(kinds.is_sorted_by_key(|kind| kind.name), "listed by name");
        for kind in kinds {
            let manual = kind.manual();
            assert!(
                manual.contains(&format!("weft pox {}", kind.name)),
                "{} has no launch line:\n{manual}",
                kind.name
            );
            assert!(kind.summary().ends_with('.'), "{}: {}", kind.name, kind.summary());
        }
    }

    /// The files below a folder.
    fn files(folder: &std::path::Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(
                |path| {
                    if path.is_dir() { files(&path) } else { vec![std::fs::read_to_string(path).unwrap()] }
                },
            )
            .collect()
    }

    #[test]
    fn every_kind_is_launched_by_a_test() {
        let tests = files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
        let words: std::collections::BTreeSet<&str> = tests
            .iter()
            .flat_map(|text| text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))))
            .collect();
        let missing: Vec<&str> =
            KINDS.iter().map(|kind| kind.name).filter(|name| !words.contains(name)).collect();
        assert_eq!(missing, [""; 0], "no file of tests/ names them");
    }
}
