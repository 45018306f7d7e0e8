//! A pipeline as text, and for Graphviz.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::picture::{Module, Output};
use crate::style::count;

/// How far branches are drawn inside each other; what lies deeper is drawn below, by its name.
const DEPTH_MAX: usize = 16;

/// Draws modules from where packets come in to where they end: a chain downwards, branches indented.
///
/// ```text
/// in  PortInc  left/UnixSocketPort
/// │ 12
/// acl  ACL
/// ├─:0─ 9 ─▶ out  PortOut
/// └─:1─ 3 ─▶ denied  Sink
/// ```
pub(super) fn text(modules: &[Module]) -> String {
    let by_name = modules.iter().map(|module| (module.name.as_str(), module)).collect();
    let led_to: BTreeSet<&str> =
        modules.iter().flat_map(|module| module.outputs.iter().map(|output| output.to.as_str())).collect();
    let (roots, others): (Vec<&Module>, Vec<&Module>) =
        modules.iter().partition(|module| !led_to.contains(module.name.as_str()));
    let mut drawing = Drawing { by_name, drawn: BTreeSet::new(), below: roots.into(), text: String::new() };
    let mut others = others.into_iter();
    while let Some(module) = drawing.below.pop_front().or_else(|| others.next()) {
        if drawing.drawn.contains(module.name.as_str()) {
            continue;
        }
        if !drawing.text.is_empty() {
            drawing.text.push('\n');
        }
        drawing.label(module, 0);
        drawing.chain(module, "", 0);
    }
    drawing.text
}

struct Drawing<'a> {
    by_name: BTreeMap<&'a str, &'a Module>,
    drawn: BTreeSet<&'a str>,
    below: VecDeque<&'a Module>,
    text: String,
}

impl<'a> Drawing<'a> {
    /// A module's own line, from where we are.
    fn label(&mut self, module: &'a Module, input: u64) {
        self.drawn.insert(&module.name);
        let gate = if input == 0 { String::new() } else { format!("{input}:") };
        let dropped = if module.dead_ends == 0 {
            String::new()
        } else {
            format!("{} ended here", count(module.dead_ends as f64))
        };
        let parts = [&format!("{gate}{}", module.name), &module.class, &module.description, &dropped];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        self.text += &parts.join("  ");
        self.text.push('\n');
    }

    /// What follows a module whose line is written.
    fn chain(&mut self, mut module: &'a Module, prefix: &str, depth: usize) {
        loop {
            match module.outputs.as_slice() {
                [] => return,
                [output] => {
                    let gate = if output.gate == 0 { String::new() } else { format!(":{} ", output.gate) };
                    self.text += &format!("{prefix}│ {gate}{}\n{prefix}", count(output.packets as f64));
                    match self.enter(output, depth) {
                        Some(next) => module = next,
                        None => return,
                    }
                }
                outputs => return self.branches(outputs, prefix, depth),
            }
        }
    }

    fn branches(&mut self, outputs: &'a [Output], prefix: &str, depth: usize) {
        for (at, output) in outputs.iter().enumerate() {
            let last = at + 1 == outputs.len();
            let (corner, bar) = if last { ("└", "   ") } else { ("├", "│  ") };
            self.text += &format!("{prefix}{corner}─:{}─ {} ─▶ ", output.gate, count(output.packets as f64));
            if let Some(next) = self.enter(output, depth + 1) {
                self.chain(next, &format!("{prefix}{bar}"), depth + 1);
            }
        }
    }

    /// Writes the line of the module that a gate leads to; `None` when it is drawn elsewhere.
    fn enter(&mut self, output: &'a Output, depth: usize) -> Option<&'a Module> {
        let gate = if output.to_gate == 0 { String::new() } else { format!("{}:", output.to_gate) };
        let Some(&next) = self.by_name.get(output.to.as_str()) else {
            self.text += &format!("{gate}{} (gone)\n", output.to);
            return None;
        };
        if self.drawn.contains(output.to.as_str()) {
            self.text += &format!("{gate}{} (above)\n", output.to);
            return None;
        }
        if depth > DEPTH_MAX {
            self.text += &format!("{gate}{} (below)\n", output.to);
            self.below.push_back(next);
            return None;
        }
        self.label(next, output.to_gate);
        Some(next)
    }
}

/// The pipeline in Graphviz' language.
pub(super) fn dot(modules: &[Module]) -> String {
    let quoted = |text: &str| {
        // Backslashes and quotation marks are all that a quoted name must not have as they are.
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let mut text = String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
    for module in modules {
        let label = quoted(&format!("{}\n{}", module.name, module.class)).replace('\n', "\\n");
        text += &format!("  {} [label={label}];\n", quoted(&module.name));
    }
    for module in modules {
        for output in &module.outputs {
            text += &format!(
                "  {} -> {} [taillabel=\"{}\", headlabel=\"{}\", label=\"{}\"];\n",
                quoted(&module.name),
                quoted(&output.to),
                output.gate,
                output.to_gate,
                output.packets
            );
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, class: &str, to: &[(u64, &str, u64)]) -> Module {
        let output = |&(gate, to, packets): &(u64, &str, u64)| Output {
            gate,
            to: to.to_owned(),
            packets,
            ..Output::default()
        };
        Module {
            name: name.to_owned(),
            class: class.to_owned(),
            outputs: to.iter().map(output).collect(),
            ..Module::default()
        }
    }

    #[test]
    fn chains_go_down_and_branches_to_the_right() {
        let modules = [
            module("acl", "ACL", &[(0, "split", 9), (1, "denied", 3)]),
            module("denied", "Sink", &[]),
            module("in", "PortInc", &[(0, "acl", 12)]),
            module("loop", "NoOP", &[(2, "loop", 1_500)]),
            module("out", "PortOut", &[]),
            module("split", "Split", &[(0, "out", 9)]),
            module("zero", "Source", &[(0, "out", 0)]),
        ];
        let wanted = "in  PortInc\n│ 12\nacl  ACL\n├─:0─ 9 ─▶ split  Split\n│  │ 9\n│  out  PortOut\n\
                      └─:1─ 3 ─▶ denied  Sink\n\nzero  Source\n│ 0\nout (above)\n\n\
                      loop  NoOP\n│ :2 1.5 k\nloop (above)\n";
        assert_eq!(text(&modules), wanted);
    }

    #[test]
    fn what_is_deep_is_drawn_below() {
        let names: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
        let mut modules: Vec<Module> = names
            .windows(2)
            .map(|pair| module(&pair[0], "Replicate", &[(0, &pair[1], 1), (1, "sink", 1)]))
            .collect();
        modules.push(module("r39", "Sink", &[]));
        modules.push(module("sink", "Sink", &[]));
        let text = text(&modules);
        assert_eq!(text.matches("(below)").count(), 3);
        for name in names {
            assert_eq!(text.matches(&format!("{name}  ")).count(), 1, "{name}");
        }
    }

    #[test]
    fn graphviz_gets_every_edge() {
        let text = dot(&[module("a\"b", "Source", &[(0, "s", 7)]), module("s", "Sink", &[])]);
        assert!(text.contains("  \"a\\\"b\" [label=\"a\\\"b\\nSource\"];\n"), "{text}");
        assert!(
            text.contains("  \"a\\\"b\" -> \"s\" [taillabel=\"0\", headlabel=\"0\", label=\"7\"];\n"),
            "{text}"
        );
    }
}
