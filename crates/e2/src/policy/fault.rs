//! What is wrong with a policy, and where.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use super::{
    ATTRIBUTES_MAX, CORES_MAX, EDGES_MAX, ENTRIES_MAX, FILE_BYTES_MAX, FUNCTIONS_MAX, INSTANCES_EACH_MAX,
    NAME_BYTES_MAX, PIPELETS_MAX, SERVERS_MAX,
};
use crate::filter::FilterError;
use crate::key::FieldsError;
use crate::rate::{Rate, RateError, Share, ShareError};

/// A place in a file, from line 1 and column 1; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl Place {
    /// The byte of the text that it is.
    pub fn offset(self, text: &str) -> usize {
        let before: usize =
            text.split_inclusive('\n').take((self.line as usize).saturating_sub(1)).map(str::len).sum();
        let rest = text.get(before..).unwrap_or_default();
        let skipped = (self.column as usize).saturating_sub(1);
        before + rest.char_indices().nth(skipped).map_or(rest.len(), |(at, _)| at)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: FaultKind,
}

/// Everything that is wrong, in order of lines.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Fault { place, kind }) in self.0.iter().enumerate() {
            let end = if number + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "line {}, column {}: {kind}{end}", place.line, place.column)?;
        }
        Ok(())
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// No YAML, or not of this shape.
    #[error("{0}")]
    Yaml(String),
    /// The file is too long.
    #[error("a policy of {0} bytes (at most {FILE_BYTES_MAX})")]
    FileTooLong(usize),
    /// A least and a most number of instances that no function can have.
    #[error(
        "from {least} to {most} instances: the least is 1 or more and no more than the most, which is {INSTANCES_EACH_MAX} or fewer; what is not scalable has 1"
    )]
    Instances {
        /// The fewest.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Too many of something.
    #[error("{count} {what} (at most {most})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// None of something that is needed.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A name that cannot be one.
    #[error(
        "`{0}` cannot be a name: letters, digits, `-` and `_`, a letter first, no word of filters, at most {NAME_BYTES_MAX} bytes"
    )]
    Name(String),
    /// Two of one name.
    #[error("`{name}` is already the name of a {what}, in line {line}")]
    Duplicate {
        /// The name.
        name: String,
        /// What has it.
        what: &'static str,
        /// In which line.
        line: u32,
    },
    /// Nothing has this name.
    #[error("there is no {what} `{name}`{}", did_you_mean(.like))]
    Unknown {
        /// What was expected.
        what: &'static str,
        /// The name.
        name: String,
        /// A name that is there and nearly the same.
        like: Option<String>,
    },
    /// A port that is no port of ours.
    #[error("{0}")]
    PortSpec(String),
    /// No rate.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// A rate of zero where nothing would move.
    #[error("{0} of 0 bit/s")]
    ZeroRate(&'static str),
    /// No share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// More than all.
    #[error("the edges of `{pipelet}` from `{from}` share {sum} of what it sends")]
    ShareSum {
        /// The pipelet.
        pipelet: String,
        /// Where the edges start.
        from: String,
        /// How much it is in sum.
        sum: Share,
    },
    /// No filter.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// No header field.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// Attributes in a traffic class.
    #[error("the traffic of a pipelet is told by headers alone: nothing has given it `{0}` yet")]
    AttributeOfTraffic(String),
    /// Nobody gives it.
    #[error("`{function}` gives no attribute `{attribute}`; it gives {known}")]
    UnknownAttribute {
        /// Who should.
        function: String,
        /// What.
        attribute: String,
        /// What it gives.
        known: String,
    },
    /// A port gives nothing.
    #[error("`{port}` is a port and gives no attribute `{attribute}`")]
    AttributeOfPort {
        /// The port.
        port: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute from further up that cannot come here.
    #[error("`{function}.{attribute}` cannot be known behind `{at}`: {why}")]
    AttributeLost {
        /// Who gives it.
        function: String,
        /// What.
        attribute: String,
        /// Where it is asked for.
        at: String,
        /// Why not.
        why: String,
    },
    /// Tags end at legacy functions.
    #[error("`{function}` is legacy and can give `{attribute}` only by a port")]
    LegacyMetadata {
        /// The function.
        function: String,
        /// The attribute.
        attribute: String,
    },
    /// Legacy functions are apart already.
    #[error("`{0}` is legacy: it has a namespace of its own, and no process of ours to confine")]
    LegacyIsolated(String),
    /// A circle.
    #[error("`{pipelet}` goes in a circle: {circle}")]
    Cycle {
        /// The pipelet.
        pipelet: String,
        /// `a → b → a`.
        circle: String,
    },
    /// Nothing leads there.
    #[error("no traffic of `{pipelet}` reaches `{function}`: no way leads there from a port")]
    Unreachable {
        /// The pipelet.
        pipelet: String,
        /// The function.
        function: String,
    },
    /// No edge starts at a port.
    #[error("`{0}` starts nowhere: no edge of it comes from a port")]
    NoEntrance(String),
    /// An edge from a port to itself or another.
    #[error("`{pipelet}` goes from `{from}` straight to `{to}`: a policy is about what passes functions")]
    NoFunction {
        /// The pipelet.
        pipelet: String,
        /// A port.
        from: String,
        /// A port.
        to: String,
    },
    /// Twice the same edge.
    #[error("`{pipelet}` has an edge `{from} → {to}` already, in line {line}; `or` joins two filters")]
    ParallelEdge {
        /// The pipelet.
        pipelet: String,
        /// Where it starts.
        from: String,
        /// Where it ends.
        to: String,
        /// In which line the other is.
        line: u32,
    },
    /// An edge that takes nothing.
    #[error(
        "no packet takes `{from} → {to}` in `{pipelet}`: the edge in line {line} has all that its filter matches; the first edge that matches is taken"
    )]
    Shadowed {
        /// The pipelet.
        pipelet: String,
        /// Where it starts.
        from: String,
        /// Where it ends.
        to: String,
        /// The line of the edge before it.
        line: u32,
    },
    /// The table is too small.
    #[error("the rules that connect all instances take {needed} entries, and `{switch}` has {has}: {missing} are missing", missing = .needed - .has)]
    Table {
        /// The switch.
        switch: String,
        /// Entries that are wanted.
        needed: u64,
        /// Entries that there are.
        has: u64,
    },
    /// Too few cores.
    #[error("{instances} instances need a core each, and the servers have {cores}: {missing} are missing; {by_function}", missing = instances - cores)]
    TooFewCores {
        /// How many are wanted.
        instances: u64,
        /// How many there are.
        cores: u64,
        /// The functions with most instances.
        by_function: String,
    },
    /// A link carries too little in every placement that was found.
    #[error("{needed} {way} `{server}`, whose links carry {has}: {missing} are missing", missing = .needed.minus(*.has))]
    LinkOverloaded {
        /// The server.
        server: String,
        /// `go to` or `leave`.
        way: &'static str,
        /// How much.
        needed: Rate,
        /// What it carries.
        has: Rate,
    },
    /// A server without cores.
    #[error("`{0}` has no cores: nothing can run on it")]
    NoCores(String),
    /// More cores than any machine has.
    #[error("`{server}` has {cores} cores (at most {CORES_MAX})")]
    Cores {
        /// The server.
        server: String,
        /// How many.
        cores: u64,
    },
    /// A table larger than any switch has.
    #[error("{0} table entries (at most {ENTRIES_MAX})")]
    Entries(u64),
    /// Nothing leads to it.
    #[error("no link leads to `{0}`")]
    Unlinked(String),
    /// Not between a server and the switch.
    #[error("a link between `{0}` and `{1}`: links join a server and the switch")]
    Link(String, String),
    /// More traffic than the port takes.
    #[error("{needed} {way} at `{port}`, which carries {has}: {missing} are missing", missing = .needed.minus(*.has))]
    PortOverloaded {
        /// The port.
        port: String,
        /// `come in` or `leave`.
        way: &'static str,
        /// What there is of it.
        needed: Rate,
        /// What it carries.
        has: Rate,
    },
    /// An instance cannot be made more.
    #[error("{needed} go to `{function}`, one core of which carries {capacity}, and it is not scalable: {missing} are missing", missing = .needed.minus(*.capacity))]
    NotScalable {
        /// The function.
        function: String,
        /// What it gets.
        needed: Rate,
        /// What it can.
        capacity: Rate,
    },
    /// More instances than hashes make sense for.
    #[error("`{function}` would need {instances} instances for {needed} (at most {most})")]
    TooManyInstances {
        /// The function.
        function: String,
        /// What it gets.
        needed: Rate,
        /// How many that would be.
        instances: u64,
        /// How many there may be.
        most: u64,
    },
    /// Tags are needed and lost.
    #[error(
        "behind `{function}`, which is legacy, `{one}` and `{other}` part ways, and it changes {fields}, by which alone they are told apart"
    )]
    Indistinguishable {
        /// The function.
        function: String,
        /// A pipelet.
        one: String,
        /// Another.
        other: String,
        /// What it changes.
        fields: String,
    },
}

impl FaultKind {
    /// The same where lines that it names are those of another text, of which this policy was made.
    #[must_use]
    pub fn with_lines(mut self, of: impl Fn(u32) -> u32) -> Self {
        if let Self::Duplicate { line, .. } | Self::ParallelEdge { line, .. } | Self::Shadowed { line, .. } =
            &mut self
        {
            *line = of(*line);
        }
        self
    }
}

fn did_you_mean(like: &Option<String>) -> String {
    like.as_ref().map_or_else(String::new, |like| format!(" (`{like}`?)"))
}

/// The limits that [`FaultKind::TooMany`] speaks of.
pub(super) const LIMITS: [(&str, usize); 6] = [
    ("network functions", FUNCTIONS_MAX),
    ("attributes of one function", ATTRIBUTES_MAX),
    ("pipelets", PIPELETS_MAX),
    ("edges", EDGES_MAX),
    ("servers", SERVERS_MAX),
    ("ports", SERVERS_MAX),
];

/// The name most like another, if one is near: at most a third of its letters differ.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = known.map(|known| (distance(name, known), known)).min()?;
    (near.0 <= name.chars().count().max(3) / 3).then(|| near.1.to_owned())
}

/// Letters to be changed, put in or taken out (Levenshtein); names are short.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for at in 0..other.len() {
            let changed = diagonal + usize::from(letter != other[at]);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        assert_eq!(distance("firewall", "firewal"), 1);
        assert_eq!(nearest("firewal", ["ids", "firewall"].into_iter()), Some("firewall".into()));
        assert_eq!(nearest("proxy", ["ids", "firewall"].into_iter()), None);
        assert_eq!(Place { line: 2, column: 3 }.offset("ä\nböc"), "ä\nbö".len());
        assert_eq!(Place { line: 9, column: 3 }.offset("a\nb"), 3);
    }
}
