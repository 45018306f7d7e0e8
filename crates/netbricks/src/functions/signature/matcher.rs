//! All patterns as automata that read a stream byte by byte, and whose place in it is a few numbers.

use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::contiguous;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use thiserror::Error;

use super::rules::{Pattern, Rule};

/// Automata of regular expressions. All of one read a byte in one step.
const REGEX_GROUPS: usize = 4;
/// Bytes of one such automaton, and of the work of making it.
const REGEX_BYTES_MAX: usize = 16 << 20;
/// What stands in front of bytes of which nothing is known: no line end, no letter.
const UNKNOWN: u8 = 0;

/// Why patterns cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MatcherError {
    /// An expression that is malformed, or that no automaton of bounded size matches.
    #[error("{name:?}: {problem}")]
    Regex {
        /// The rule's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// An expression that would match everywhere.
    #[error("{name:?}: it matches nothing at all, which is everywhere")]
    Empty {
        /// The rule's name.
        name: String,
    },
    /// The expressions do not fit into a few automata.
    #[error(
        "the regular expressions together need more than 4 automata of 16 MiB: make them simpler or fewer"
    )]
    TooLarge,
    /// The literals do not fit.
    #[error("literals: {0}")]
    Literals(String),
}

/// Literals of one kind, and the rule of each.
struct Literals {
    automaton: contiguous::NFA,
    rules: Vec<u16>,
    start: aho_corasick::automaton::StateID,
}

/// Regular expressions in one automaton, and the rule of each.
struct Regexes {
    automaton: dense::DFA<Vec<u32>>,
    rules: Vec<u16>,
    /// Whether the hits at the last byte can be told without knowing what follows: none looks ahead.
    at_once: Vec<bool>,
    begin: StateID,
    midst: StateID,
}

/// Where a stream has come to in every automaton.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    literals: [aho_corasick::automaton::StateID; 2],
    regexes: [StateID; REGEX_GROUPS],
}

/// The patterns of all rules.
pub(super) struct Matcher {
    /// Those of which case counts, and the others.
    literals: [Option<Literals>; 2],
    regexes: Vec<Regexes>,
}

impl Matcher {
    pub(super) fn new(rules: &[Rule]) -> Result<Self, MatcherError> {
        Self::within(rules, REGEX_BYTES_MAX)
    }

    /// With automata of regular expressions of up to `limit` bytes.
    fn within(rules: &[Rule], limit: usize) -> Result<Self, MatcherError> {
        let literals = |wanted: bool| {
            let chosen = rules.iter().zip(0..).filter_map(|(rule, number)| match &rule.pattern {
                Pattern::Literal { bytes, nocase } if *nocase == wanted => Some((&bytes[..], number)),
                _ => None,
            });
            Literals::new(&chosen.collect::<Vec<_>>(), wanted)
        };
        let expressions: Vec<_> = rules
            .iter()
            .zip(0..)
            .filter_map(|(rule, number)| match &rule.pattern {
                Pattern::Regex(expression) => Some((&*rule.name, &**expression, number)),
                Pattern::Literal { .. } => None,
            })
            .collect();
        let mut matcher = Self { literals: [literals(false)?, literals(true)?], regexes: Vec::new() };
        if !expressions.is_empty() {
            matcher.add(&expressions, limit)?;
        }
        Ok(matcher)
    }

    /// Adds expressions as one automaton, or where that is too large in two halves.
    fn add(&mut self, expressions: &[(&str, &str, u16)], limit: usize) -> Result<(), MatcherError> {
        match Regexes::new(expressions, limit) {
            Ok(_) if self.regexes.len() == REGEX_GROUPS => Err(MatcherError::TooLarge),
            Ok(regexes) => {
                self.regexes.push(regexes);
                Ok(())
            }
            Err(problem) if expressions.len() == 1 => Err(problem),
            Err(_) => {
                let (front, back) = expressions.split_at(expressions.len() / 2);
                self.add(front, limit)?;
                self.add(back, limit)
            }
        }
    }

    /// The beginning of a stream.
    pub(super) fn begin(&self) -> Place {
        self.place(|regexes| regexes.begin)
    }

    /// Behind bytes that are not known.
    pub(super) fn midst(&self) -> Place {
        self.place(|regexes| regexes.midst)
    }

    fn place(&self, of: impl Fn(&Regexes) -> StateID) -> Place {
        let mut place = Place::default();
        for (at, literals) in place.literals.iter_mut().zip(&self.literals) {
            *at = literals.as_ref().map_or(*at, |literals| literals.start);
        }
        for (at, regexes) in place.regexes.iter_mut().zip(&self.regexes) {
            *at = of(regexes);
        }
        place
    }

    /// Reads bytes. `hit` gets the number of each rule whose pattern ends among them, and how many of them were read by
    /// then.
    pub(super) fn read(&self, place: &mut Place, bytes: &[u8], mut hit: impl FnMut(usize, usize)) {
        for (at, literals) in place.literals.iter_mut().zip(&self.literals) {
            let Some(literals) = literals else { continue };
            *at = literals.read(*at, bytes, &mut hit);
        }
        for (at, regexes) in place.regexes.iter_mut().zip(&self.regexes) {
            *at = regexes.read(*at, bytes, &mut hit);
        }
    }

    /// The stream is over: what had to know what follows, knows it.
    pub(super) fn end(&self, place: &Place, mut hit: impl FnMut(usize)) {
        for (at, regexes) in place.regexes.iter().zip(&self.regexes) {
            regexes.matches(regexes.automaton.next_eoi_state(*at), |pattern| {
                hit(usize::from(regexes.rules[pattern]));
            });
        }
    }
}

impl Literals {
    fn new(patterns: &[(&[u8], u16)], nocase: bool) -> Result<Option<Self>, MatcherError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let wrong = |error: &dyn std::fmt::Display| MatcherError::Literals(error.to_string());
        let automaton = contiguous::Builder::new()
            .match_kind(aho_corasick::MatchKind::Standard)
            .ascii_case_insensitive(nocase)
            .prefilter(false)
            .build(patterns.iter().map(|(pattern, _)| pattern))
            .map_err(|error| wrong(&error))?;
        let start = automaton.start_state(aho_corasick::Anchored::No).map_err(|error| wrong(&error))?;
        Ok(Some(Self { automaton, rules: patterns.iter().map(|(_, rule)| *rule).collect(), start }))
    }

    fn read(
        &self,
        mut at: aho_corasick::automaton::StateID,
        bytes: &[u8],
        hit: &mut impl FnMut(usize, usize),
    ) -> aho_corasick::automaton::StateID {
        for (read, byte) in bytes.iter().enumerate() {
            at = self.automaton.next_state(aho_corasick::Anchored::No, at, *byte);
            if self.automaton.is_match(at) {
                for index in 0..self.automaton.match_len(at) {
                    let pattern = self.automaton.match_pattern(at, index).as_usize();
                    hit(usize::from(self.rules[pattern]), read + 1);
                }
            }
        }
        at
    }
}

impl Regexes {
    fn new(expressions: &[(&str, &str, u16)], limit: usize) -> Result<Self, MatcherError> {
        let wrong = |problem: String| MatcherError::Regex { name: expressions[0].0.into(), problem };
        let texts: Vec<_> = expressions.iter().map(|(_, expression, _)| expression).collect();
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Unanchored)
            .accelerate(false)
            .dfa_size_limit(Some(limit))
            .determinize_size_limit(Some(limit));
        let automaton = dense::Builder::new()
            .configure(config)
            .syntax(syntax)
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(limit)))
            .build_many(&texts)
            .map_err(|error| wrong(described(&error)))?;
        let state = |before| {
            let config = start::Config::new().anchored(Anchored::No).look_behind(before);
            automaton.start_state(&config).map_err(|error| wrong(error.to_string()))
        };
        let (begin, midst) = (state(None)?, state(Some(UNKNOWN))?);
        let mut at_once = Vec::new();
        for (name, expression, _) in expressions {
            let hir = syntax::parse_with(expression, &syntax).map_err(|error| wrong(error.to_string()))?;
            if hir.properties().minimum_len() == Some(0) {
                return Err(MatcherError::Empty { name: (*name).into() });
            }
            at_once.push(hir.properties().look_set().is_empty());
        }
        let rules = expressions.iter().map(|(.., rule)| *rule).collect();
        Ok(Self { automaton, rules, at_once, begin, midst })
    }

    /// These automata tell a hit one byte late: when they have seen what follows it.
    fn read(&self, mut at: StateID, bytes: &[u8], hit: &mut impl FnMut(usize, usize)) -> StateID {
        for (read, byte) in bytes.iter().enumerate() {
            at = self.automaton.next_state(at, *byte);
            // What could be told at once at the end of earlier bytes has been.
            self.matches(at, |pattern| {
                if read > 0 || !self.at_once[pattern] {
                    hit(usize::from(self.rules[pattern]), read);
                }
            });
        }
        if !bytes.is_empty() {
            self.matches(self.automaton.next_eoi_state(at), |pattern| {
                if self.at_once[pattern] {
                    hit(usize::from(self.rules[pattern]), bytes.len());
                }
            });
        }
        at
    }

    #[inline]
    fn matches(&self, at: StateID, mut each: impl FnMut(usize)) {
        if self.automaton.is_special_state(at) && self.automaton.is_match_state(at) {
            (0..self.automaton.match_len(at))
                .for_each(|index| each(self.automaton.match_pattern(at, index).as_usize()));
        }
    }
}

/// An error with what is behind it, on one line.
fn described(error: &dense::BuildError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(rules: &[&str]) -> Result<Matcher, MatcherError> {
        let rules: Vec<_> = rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect();
        Matcher::new(&rules)
    }

    /// All hits of a text read in pieces: rule and where it ends.
    fn hits(matcher: &Matcher, pieces: &[&[u8]]) -> Vec<(usize, usize)> {
        let (mut place, mut before, mut hits) = (matcher.begin(), 0, Vec::new());
        for piece in pieces {
            matcher.read(&mut place, piece, |rule, at| hits.push((rule, before + at)));
            before += piece.len();
        }
        matcher.end(&place, |rule| hits.push((rule, before)));
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    #[test]
    fn patterns_are_found_wherever_the_text_is_cut() {
        let rules = [
            r#"alert "a" content "abab""#,
            r#"alert "b" content "BAB" nocase"#,
            r#"alert "c" regex "a[bc]+d""#,
            r#"alert "d" regex "^ab""#,
            r#"alert "e" regex "(?i)d$""#,
            r#"alert "f" regex "\bcab\b""#,
            r#"alert "g" regex "^b""#,
        ];
        let matcher = matcher(&rules).unwrap();
        let text = b"ababab cab abcbd";
        let whole = hits(&matcher, &[text]);
        assert_eq!(
            whole,
            [(0, 4), (0, 6), (1, 4), (1, 6), (2, 16), (3, 2), (4, 16), (5, 10)],
            "as a reader sees it"
        );
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(hits(&matcher, &pieces), whole, "{first} {second}");
            }
        }
    }

    #[test]
    fn behind_a_gap_nothing_begins() {
        let matcher = matcher(&[r#"alert "x" regex "^ab""#, r#"alert "y" content "ab""#]).unwrap();
        let (mut place, mut hits) = (matcher.midst(), Vec::new());
        matcher.read(&mut place, b"ab", |rule, at| hits.push((rule, at)));
        assert_eq!(hits, [(1, 2)]);
    }

    #[test]
    fn what_cannot_be_matched_in_bounds_is_refused() {
        for (regex, said) in [
            ("a(b", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("a(?=b)", "look-around"),
            ("a*", "everywhere"),
            (r"(?u)\bx", "nicode word boundar"),
            ("[ab]*a[ab]{24}", "limit"),
            ("a{70000}", "limit"),
        ] {
            let error = matcher(&[&format!(r#"alert "x" regex "{regex}""#)]).err().unwrap().to_string();
            assert!(error.contains(said), "{regex}: {error}");
        }
        let many: Vec<_> =
            (0..5).map(|n| Rule::parse(&format!(r#"alert "x" regex "{n}.*a[ab]{{8}}c""#)).unwrap()).collect();
        let groups = |rules, limit| Matcher::within(rules, limit).map(|matcher| matcher.regexes.len());
        assert_eq!(groups(&many, 60_000), Err(MatcherError::TooLarge));
        assert_eq!((groups(&many[..4], 60_000), groups(&many[..2], 1 << 20)), (Ok(4), Ok(1)));
    }
}
