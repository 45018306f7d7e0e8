//! Network functions, and the chains of them that links go through.

use super::{At, Lower};
use crate::check::INSTANCES_MAX;
use crate::eval::raw::{Raw, number};
use crate::model::{Affinity, NetworkFunction, Span};
use crate::policy;

/// Options of a network function.
const FUNCTION_OPTIONS: [&str; 3] = ["affinity", "instances", "run"];
/// Names kept of one chain: more than there may be, so that the checks can say so.
const NAMES_MAX: usize = 100;

impl Lower<'_> {
    /// Notes which functions are a policy's and which are links', before any of them is looked at.
    pub(super) fn pipelets(&mut self, raw: &Raw) {
        self.of_pipelets = policy::used(raw).into_iter().map(str::to_owned).collect();
        for entry in raw.list("links").iter().chain(raw.list("publishes")) {
            let names = self.chain(entry);
            self.of_links.extend(names);
        }
        if let Some(first) = raw.list("pipelets").first() {
            let text = "pipelets are what `weft e2 up` runs; `weft up` does without them".to_owned();
            self.note(text, self.span(first));
        }
    }

    pub(super) fn function(&mut self, entry: &Raw) {
        let span = self.span(entry);
        let Raw::Text(name) = entry.get("name") else {
            let at = At { span: &span, what: "name of a network function" };
            return self.shape(&at, "a string", entry.get("name"));
        };
        if self.of_pipelets.contains(name) && !self.of_links.contains(name) {
            return; // of a policy alone, which says what is wrong with it
        }
        let of = format!("network function '{name}'");
        let options = entry.get("options");
        if !matches!(options, Raw::Map(_)) {
            let what = format!("options of {of}");
            let expected = "an object such as { run: 'firewall rule=permit out any any' }";
            return self.shape(&At { span: &span, what: &what }, expected, options);
        }
        let mut known = FUNCTION_OPTIONS.to_vec();
        if self.of_pipelets.contains(name) {
            known.extend(policy::FUNCTION_OPTIONS);
        }
        self.unknown_options(&of, options, &known, &span);
        let run = self.run(&of, options.get("run"), &span);
        let affinity = self.affinity(&of, options.get("affinity"), &span);
        let instances = self.instances(&of, options.get("instances"), &span);
        // One more than there may be is enough to be told.
        if self.blueprint.functions.len() <= usize::from(INSTANCES_MAX) {
            let name = name.clone();
            self.blueprint.functions.push(NetworkFunction { name, run, affinity, instances, span });
        }
    }

    /// A function and its arguments: a list of words, or a text in which each `KEY=` begins a new one.
    fn run(&mut self, of: &str, raw: &Raw, span: &Span) -> Vec<String> {
        match raw {
            Raw::Text(line) => words(line),
            Raw::List(_) => self.words(&At { span, what: &format!("run of {of}") }, raw),
            other => {
                let expected = "a function and its arguments, such as 'firewall rule=permit out any any'";
                self.shape(&At { span, what: &format!("run of {of}") }, expected, other);
                Vec::new()
            }
        }
    }

    fn affinity(&mut self, of: &str, raw: &Raw, span: &Span) -> Affinity {
        match raw {
            Raw::Undefined | Raw::Null => Affinity::default(),
            Raw::Text(word) if word == "flow" => Affinity::Flow,
            Raw::Text(word) if word == "host pair" => Affinity::HostPair,
            Raw::Text(word) if word == "none" => Affinity::None,
            other => {
                let what = format!("affinity of {of}");
                self.shape(&At { span, what: &what }, "'flow', 'host pair' or 'none'", other);
                Affinity::default()
            }
        }
    }

    fn instances(&mut self, of: &str, raw: &Raw, span: &Span) -> u16 {
        match raw {
            Raw::Undefined | Raw::Null => 1,
            Raw::Number(count)
                if count.fract() == 0.0 && (1.0..=f64::from(INSTANCES_MAX)).contains(count) =>
            {
                *count as u16
            }
            other => {
                let what = format!("instances of {of}");
                let found = match other {
                    Raw::Number(count) => Raw::Text(number(*count)),
                    other => other.clone(),
                };
                self.shape(&At { span, what: &what }, "a whole number from 1 to 32", &found);
                1
            }
        }
    }

    /// The names of the functions that a link goes through.
    pub(super) fn chain(&mut self, entry: &Raw) -> Vec<String> {
        let Raw::List(functions) = entry.get("through") else { return Vec::new() };
        let name = |function: &Raw| match function.get("name") {
            Raw::Text(name) => Some(name.clone()),
            _ => None,
        };
        functions.iter().filter_map(name).take(NAMES_MAX).collect()
    }

    /// Tells of functions that nothing goes through.
    pub(super) fn idle_functions(&mut self) {
        let links = self.blueprint.links.iter().flat_map(|link| &link.through);
        let used: std::collections::HashSet<String> = links
            .chain(self.blueprint.publishes.iter().flat_map(|publish| &publish.through))
            .cloned()
            .collect();
        let idle: Vec<(String, Span)> = self
            .blueprint
            .functions
            .iter()
            .filter(|function| !used.contains(&function.name))
            .map(|function| (function.name.clone(), function.span.clone()))
            .collect();
        for (name, span) in idle {
            self.note(format!("no link goes through network function '{name}'"), span);
        }
    }
}

/// `firewall rule=permit out any any reject=on` as `firewall`, `rule=permit out any any`, `reject=on`.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in line.split_whitespace() {
        let key = part.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        });
        match words.last_mut() {
            Some(last) if !key && last.contains('=') => {
                last.push(' ');
                last.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn each_key_begins_a_word() {
        assert_eq!(
            words("firewall  rule=permit out any any rule=deny in any any reject=on"),
            ["firewall", "rule=permit out any any", "rule=deny in any any", "reject=on"]
        );
        assert_eq!(words("monitor"), ["monitor"]);
        assert_eq!(words("acl monitor"), ["acl", "monitor"]);
        assert_eq!(words(" "), [""; 0]);
    }
}
