//! Dockerfiles: from text to instructions, each with its line.
//!
//! What is read is the subset that weft builds; anything else is an error on its line, never passed over.

pub(crate) mod words;

use crate::fault::{Fault, Kind, similar};
use crate::model::Span;

/// Largest Dockerfile, in bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// Most instructions of one.
pub const INSTRUCTIONS_MAX: usize = 1_000;
/// Most here-documents of one instruction.
const HEREDOCS_MAX: usize = 100;

/// What weft builds, or takes note of.
pub const KNOWN: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
    "ONBUILD",
];
/// Those of them that change nothing here.
pub(crate) const NOTED: [&str; 3] = ["HEALTHCHECK", "STOPSIGNAL", "VOLUME"];

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In capitals.
    pub(crate) keyword: String,
    /// `--name=value`, in order; without a value, an empty one.
    pub(crate) flags: Vec<(String, String)>,
    /// The rest, on one line.
    pub(crate) rest: String,
    /// The texts that `<<NAME` stands for.
    pub(crate) heredocs: Vec<Heredoc>,
    /// Where it is.
    pub(crate) span: Span,
}

/// A text inside of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether variables in it are replaced: its name is not in quotes.
    pub(crate) expand: bool,
    /// Whether leading tabs go: `<<-NAME`.
    pub(crate) chomp: bool,
}

/// A Dockerfile, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    pub(crate) instructions: Vec<Instruction>,
    /// What takes away the meaning of the character after it.
    pub(crate) escape: char,
}

/// A fault at a place of a Dockerfile.
pub(crate) fn fault(span: &Span, what: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault::new(Kind::Image { what: what.into(), help: help.into() }, span.clone())
}

/// A line of a Dockerfile, with its place.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    number: u32,
    offset: usize,
}

/// Reads a Dockerfile; `file` is what its places call it.
pub(crate) fn parse(text: &str, file: &str) -> Result<Dockerfile, Vec<Fault>> {
    let start = Span { file: file.to_owned(), line: 1, column: 1, ..Span::default() };
    if text.len() > BYTES_MAX {
        let what = format!("the Dockerfile is larger than {} KiB", BYTES_MAX >> 10);
        return Err(vec![fault(&start, what, "leave data out of it")]);
    }
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() as u32 + 1;
        let span = Span { line, offset: at, len: 1, ..start };
        return Err(vec![fault(&span, "the Dockerfile has a zero byte", "write it as text")]);
    }
    let mut parser = Parser { file, lines: lines(text), at: 0, faults: Vec::new(), escape: '\\' };
    parser.directives();
    let mut instructions = Vec::new();
    while let Some(instruction) = parser.instruction() {
        if instructions.len() == INSTRUCTIONS_MAX {
            let what = format!("the Dockerfile has more than {INSTRUCTIONS_MAX} instructions");
            parser.faults.push(fault(&instruction.span, what, "join them"));
            break;
        }
        instructions.push(instruction);
    }
    if instructions.is_empty() && parser.faults.is_empty() {
        parser.faults.push(fault(&start, "the Dockerfile is empty", "begin with FROM"));
    }
    let escape = parser.escape;
    if parser.faults.is_empty() { Ok(Dockerfile { instructions, escape }) } else { Err(parser.faults) }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let skipped = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut offset = skipped;
    let mut lines = Vec::new();
    for (number, whole) in text[skipped..].split_inclusive('\n').enumerate() {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        lines.push(Line { text: line, number: number as u32 + 1, offset });
        offset += whole.len();
    }
    lines
}

struct Parser<'a> {
    file: &'a str,
    lines: Vec<Line<'a>>,
    at: usize,
    faults: Vec<Fault>,
    escape: char,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<Line<'a>> {
        let line = self.lines.get(self.at).copied();
        self.at += 1;
        line
    }

    fn span(&self, line: Line<'_>, len: usize) -> Span {
        let indent = line.text.len() - line.text.trim_start().len();
        let column = line.text[..indent].chars().count() as u32 + 1;
        Span { file: self.file.to_owned(), line: line.number, column, offset: line.offset + indent, len }
    }

    /// `# escape=X` at the very top, and others that are for other tools.
    fn directives(&mut self) {
        while let Some(line) = self.lines.get(self.at).copied() {
            let Some((key, value)) = line.text.trim().strip_prefix('#').and_then(|text| text.split_once('='))
            else {
                return;
            };
            match (key.trim().to_lowercase().as_str(), value.trim()) {
                ("escape", "\\") => {}
                ("escape", "`") => self.escape = '`',
                ("escape", other) => {
                    let what = format!("the escape character cannot be '{}'", other.escape_debug());
                    let span = self.span(line, line.text.trim().len());
                    self.faults.push(fault(&span, what, "write \\ or `"));
                }
                ("syntax" | "check", _) => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    fn instruction(&mut self) -> Option<Instruction> {
        loop {
            let first = self.next()?;
            let text = first.text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let whole = self.joined(first);
            let span = self.span(first, text.len());
            let (keyword, rest) = match whole.trim_start().split_once(char::is_whitespace) {
                Some((keyword, rest)) => (keyword.to_uppercase(), rest.trim()),
                None => (whole.trim().to_uppercase(), ""),
            };
            if !KNOWN.contains(&keyword.as_str()) || keyword == "ONBUILD" {
                self.unknown(&keyword, &span);
                continue;
            }
            let (flags, rest) = flags(rest);
            let heredocs = match keyword.as_str() {
                "RUN" | "COPY" | "ADD" => self.heredocs(&rest, &span),
                _ => Vec::new(),
            };
            return Some(Instruction { keyword, flags, rest, heredocs, span });
        }
    }

    fn unknown(&mut self, keyword: &str, span: &Span) {
        let shown: String = keyword.chars().take(40).flat_map(char::escape_debug).collect();
        let known: Vec<&str> = KNOWN.into_iter().filter(|word| *word != "ONBUILD").collect();
        let what = format!("weft builds no instruction '{shown}'");
        let help = match similar(keyword, known.iter().copied()) {
            Some(similar) => format!("did you mean {similar}? There are {}", known.join(", ")),
            None => format!("there are {}", known.join(", ")),
        };
        self.faults.push(fault(span, what, help));
    }

    /// A line and those that it is continued on.
    fn joined(&mut self, first: Line<'_>) -> String {
        let mut whole = String::new();
        let mut text = first.text;
        loop {
            let Some(continued) = text.trim_end().strip_suffix(self.escape) else {
                whole.push_str(text);
                return whole;
            };
            whole.push_str(continued);
            // Comments and empty lines in between do not count.
            text = loop {
                match self.next() {
                    None => return whole,
                    Some(line) if line.text.trim().is_empty() || line.text.trim_start().starts_with('#') => {}
                    Some(line) => break line.text,
                }
            };
        }
    }

    /// Reads the texts that the line asks for.
    fn heredocs(&mut self, rest: &str, span: &Span) -> Vec<Heredoc> {
        let mut heredocs = Vec::new();
        for mut heredoc in wanted(rest).into_iter().take(HEREDOCS_MAX) {
            loop {
                let Some(line) = self.next() else {
                    let what = format!("the text <<{} has no end", heredoc.name);
                    self.faults.push(fault(span, what, format!("end it by a line {}", heredoc.name)));
                    return heredocs;
                };
                let text = if heredoc.chomp { line.text.trim_start_matches('\t') } else { line.text };
                if text == heredoc.name {
                    break;
                }
                heredoc.text.push_str(text);
                heredoc.text.push('\n');
            }
            heredocs.push(heredoc);
        }
        heredocs
    }
}

/// The flags before the rest.
fn flags(rest: &str) -> (Vec<(String, String)>, String) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while let Some(flag) = rest.strip_prefix("--") {
        let end = flag.find(char::is_whitespace).unwrap_or(flag.len());
        let (name, value) = flag[..end].split_once('=').unwrap_or((&flag[..end], ""));
        flags.push((name.to_owned(), value.to_owned()));
        rest = flag[end..].trim_start();
    }
    (flags, rest.to_owned())
}

/// The here-documents that a line names: `<<NAME`, `<<-NAME`, `<<"NAME"`, at the start of a word.
fn wanted(rest: &str) -> Vec<Heredoc> {
    let mut found = Vec::new();
    for word in rest.split_whitespace() {
        // `3<<NAME` names a descriptor, `<<<` is something else.
        let Some(name) = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<") else {
            continue;
        };
        let (chomp, name) = name.strip_prefix('-').map_or((false, name), |name| (true, name));
        let quoted = ['"', '\''].into_iter().find_map(|quote| name.strip_prefix(quote)?.strip_suffix(quote));
        let (expand, name) = quoted.map_or((true, name), |name| (false, name));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
        if !name.is_empty() && name.chars().all(plain) {
            found.push(Heredoc { name: name.to_owned(), text: String::new(), expand, chomp });
        }
    }
    found
}

/// The words of an instruction in the exec form, a list in JSON; `None` if it is in the shell form.
pub(crate) fn exec_form(rest: &str) -> Option<Vec<String>> {
    let rest = rest.trim();
    if rest.starts_with('[') { serde_json::from_str(rest).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(text: &str) -> Vec<(String, String)> {
        let parsed = parse(text, "Dockerfile").unwrap();
        parsed.instructions.into_iter().map(|one| (one.keyword, one.rest)).collect()
    }

    fn pair(keyword: &str, rest: &str) -> (String, String) {
        (keyword.to_owned(), rest.to_owned())
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text = "# a comment\n\nfrom scratch\nRUN a && \\\n  # between\n\n  b \\\n&& c\r\nCMD x\n";
        assert_eq!(rests(text), [pair("FROM", "scratch"), pair("RUN", "a &&   b && c"), pair("CMD", "x")]);
        assert_eq!(
            rests("# escape=`\nFROM scratch\nRUN c:\\a `\n b\n")[1],
            pair("RUN", "c:\\a  b"),
            "another escape character"
        );
        assert_eq!(rests("FROM scratch\nRUN a \\")[1], pair("RUN", "a"), "the end ends it");
    }

    #[test]
    fn instructions_know_their_place_and_flags() {
        let parsed = parse("FROM scratch\n\n  COPY --from=a --chown=1:2 x y\n", "D").unwrap();
        let copy = &parsed.instructions[1];
        assert_eq!(copy.flags, [pair("from", "a"), pair("chown", "1:2")]);
        assert_eq!((copy.rest.as_str(), copy.span.to_string().as_str()), ("x y", "D:3:3"));
        assert_eq!((copy.span.offset, copy.span.len), (16, 29));
    }

    #[test]
    fn texts_are_read_to_their_end() {
        let text = "FROM scratch\nRUN <<EOF\necho $A\n  EOF\nEOF\nCOPY <<-\"A\" <<B /x/\n\tone\n\tA\n# two\nB\nCMD x\n";
        let parsed = parse(text, "D").unwrap();
        assert_eq!(parsed.instructions.len(), 4);
        let run = &parsed.instructions[1].heredocs[0];
        assert_eq!((run.text.as_str(), run.expand), ("echo $A\n  EOF\n", true));
        let texts: Vec<_> =
            parsed.instructions[2].heredocs.iter().map(|one| (one.text.as_str(), one.expand)).collect();
        assert_eq!(texts, [("one\n", false), ("# two\n", true)]);
        let faults = parse("FROM scratch\nRUN <<EOF\nx\n", "D").unwrap_err();
        assert_eq!(faults[0].to_string(), "the text <<EOF has no end");
    }

    #[test]
    fn what_is_unknown_is_an_error_on_its_line() {
        let faults = parse("FROM scratch\nRUM echo\nONBUILD RUN x\nFROM y\nINCLUDE z\n", "D").unwrap_err();
        let shown: Vec<_> = faults.iter().map(|fault| format!("{} {fault}", fault.span)).collect();
        assert_eq!(
            shown,
            [
                "D:2:1 weft builds no instruction 'RUM'",
                "D:3:1 weft builds no instruction 'ONBUILD'",
                "D:5:1 weft builds no instruction 'INCLUDE'"
            ]
        );
        assert!(faults[0].kind.help().unwrap().starts_with("did you mean RUN? There are ADD, ARG, CMD,"));
    }

    #[test]
    fn the_exec_form_is_a_list_in_json() {
        assert_eq!(exec_form("[\"a\", \"b c\"]"), Some(vec!["a".into(), "b c".into()]));
        assert_eq!(exec_form("[ -f x ] && y"), None);
        assert_eq!(exec_form("['a']"), None);
    }
}
