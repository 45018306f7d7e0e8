//! Patterns of `.dockerignore` and of COPY: Go's `filepath.Match`, and `**` for any number of directories.

use std::path::Path;

/// Most patterns of a `.dockerignore`.
pub(crate) const PATTERNS_MAX: usize = 10_000;

/// Whether a name between slashes matches a pattern. A pattern that is none matches itself.
pub(crate) fn matches(pattern: &[char], name: &[char]) -> bool {
    // Where the last star may take one more: what lies before it need not be tried again.
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if n == name.len() {
            return p == pattern.len();
        }
        match one(&pattern[p.min(pattern.len())..], name[n]) {
            Some(used) => (p, n) = (p + used, n + 1),
            None => match star {
                None => return false,
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
            },
        }
    }
}

/// How much of a pattern matches one character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        [] => None,
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => {
            let (negated, rest) = match rest {
                ['^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let end = rest.iter().skip(1).position(|c| *c == ']').map(|end| end + 1);
            let Some(end) = end else { return (c == '[').then_some(1) };
            let set = &rest[..end];
            let mut found = false;
            let mut at = 0;
            while at < set.len() {
                if at + 2 < set.len() && set[at + 1] == '-' {
                    found |= (set[at]..=set[at + 2]).contains(&c);
                    at += 3;
                } else {
                    found |= set[at] == c;
                    at += 1;
                }
            }
            (found != negated).then_some(end + 2 + usize::from(negated))
        }
        [literal, ..] => (*literal == c).then_some(1),
    }
}

/// Whether a pattern may match more than one name.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A pattern for whole paths, part by part.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Vec<char>>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
        Pattern(parts.map(|part| part.chars().collect()).collect())
    }

    /// Whether it matches `path` or a directory that `path` lies in.
    fn covers(&self, path: &[Vec<char>]) -> bool {
        (1..=path.len()).any(|length| self.matches(&path[..length]))
    }

    /// Whether it matches a whole path. Which parts are reached is computed for the pattern's parts one by one, so that
    /// many `**` take no more time than one.
    pub(crate) fn matches(&self, path: &[Vec<char>]) -> bool {
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            let mut next = vec![false; path.len() + 1];
            if part == &['*', '*'] {
                let mut any = false;
                for at in 0..=path.len() {
                    any |= reached[at];
                    next[at] = any;
                }
            } else {
                for at in 0..path.len() {
                    next[at + 1] = reached[at] && matches(part, &path[at]);
                }
            }
            reached = next;
        }
        reached[path.len()]
    }
}

/// The parts of a relative path.
pub(crate) fn parts(path: &Path) -> Vec<Vec<char>> {
    path.iter().map(|part| part.to_string_lossy().chars().collect()).collect()
}

/// What a `.dockerignore` leaves out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore(Vec<(Pattern, bool)>);

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    pub(crate) fn new(text: &str) -> Ignore {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).take(PATTERNS_MAX);
        let rule = |line: &str| match line.strip_prefix('!') {
            Some(kept) => (Pattern::new(kept.trim()), false),
            None => (Pattern::new(line), true),
        };
        Ignore(lines.map(rule).filter(|(pattern, _)| !pattern.0.is_empty()).collect())
    }

    /// Whether a path is left out: the last pattern that covers it decides.
    pub(crate) fn leaves_out(&self, path: &Path) -> bool {
        let parts = parts(path);
        let decisive = self.0.iter().rev().find(|(pattern, _)| pattern.covers(&parts));
        decisive.is_some_and(|(_, out)| *out)
    }

    /// Whether something in a directory that is left out may be kept.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.0.iter().any(|(_, out)| !out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        matches(&chars(pattern), &chars(name))
    }

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name) in [
            ("*", ""),
            ("*.go", "a.go"),
            ("a*b*c", "aXbYbc"),
            ("?b", "ab"),
            ("[a-c]x", "bx"),
            ("[^a]x", "bx"),
            ("\\*", "*"),
            ("[", "["),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.go", "a.rs"), ("?", ""), ("[a-c]x", "dx"), ("[^a]x", "ax"), ("\\*", "a"), ("a", "ab")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        let many = "a*".repeat(30) + "b";
        assert!(!fits(&many, &"a".repeat(2_000)));
    }

    #[test]
    fn the_last_pattern_decides() {
        let ignore =
            Ignore::new("# all but one\n*.md\n!README.md\nnode_modules\n**/*.log\ntarget/**\n/abs\n");
        let out = |path: &str| ignore.leaves_out(Path::new(path));
        assert!(out("a.md") && out("node_modules/x/y.js") && out("a/b/c.log") && out("c.log") && out("abs"));
        assert!(out("target/x"));
        assert!(!out("README.md") && !out("src/a.md") && !out("src/node_modules/x") && !out("main.js"));
        assert!(!Ignore::new("").leaves_out(Path::new("a")));
    }
}
