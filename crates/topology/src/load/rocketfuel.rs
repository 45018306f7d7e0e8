//! Rocketfuel's inferred intradomain weights (Mahajan, Spring, Wetherall and Anderson, IMW 2002): the files
//! `weights.intra`, a link a line: the two routers or places, and the weight.

use super::{LoadError, Loader, check_length, excerpt};
use crate::graph::Topology;
use crate::link::LinkSpec;
use crate::units::Weight;

/// The most a weight is scaled so that it becomes an integer.
const SCALE_MAX: u32 = 1000;

/// Reads `Sydney,+Australia7 Perth,+Australia8 17.5` lines. A file lists most links once for each direction:
/// a line whose reverse came before with the same weight is the same link, one with another weight is a link
/// of the other direction, and both are directed. `+` stands for a blank in names.
///
/// Weights may have decimals: all are multiplied by the smallest power of ten, at most 1000, that makes all of
/// them integers, which changes no shortest path.
///
/// # Errors
/// When the file is too long or a line has another form.
pub fn rocketfuel_weights(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let lines = parse(text)?;
    let whole = |scale: u32| {
        lines.iter().all(|(_, _, _, weight)| {
            let scaled = weight * f64::from(scale);
            (scaled - scaled.round()).abs() < 1e-6
        })
    };
    let scale = [1, 10, 100].into_iter().find(|scale| whole(*scale)).unwrap_or(SCALE_MAX);
    let mut loader = Loader::new();
    // By pair of names in order: weights there and back.
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (line, from, to, weight) in lines {
        let scaled = (weight * f64::from(scale)).round();
        let weight = Weight::new(scaled.min(f64::from(u32::MAX)) as u32).unwrap_or(Weight::ONE);
        for key in [from, to] {
            if !loader.known.contains_key(key) {
                loader.node(line, key, &key.replace('+', " "), super::Attributes::default())?;
            }
        }
        let back = from > to;
        let key = if back { (to, from) } else { (from, to) };
        let at = *places.entry(key).or_insert(pairs.len());
        if at == pairs.len() {
            pairs.push(Pair { line, ends: key, weights: [None, None] });
        }
        // A repeated line says nothing new; the last weight counts.
        pairs[at].weights[usize::from(back)] = Some(weight);
    }
    for pair in pairs {
        pair.add(&mut loader)?;
    }
    Ok(loader.topology)
}

struct Pair<'a> {
    line: usize,
    ends: (&'a str, &'a str),
    weights: [Option<Weight>; 2],
}

impl Pair<'_> {
    fn add(&self, loader: &mut Loader) -> Result<(), LoadError> {
        let (a, b) = self.ends;
        match self.weights {
            [Some(there), Some(back)] if there != back => {
                loader.link(self.line, a, b, LinkSpec::default().weight(there).directed())?;
                loader.link(self.line, b, a, LinkSpec::default().weight(back).directed())
            }
            [Some(weight), _] | [None, Some(weight)] => {
                loader.link(self.line, a, b, LinkSpec::default().weight(weight))
            }
            [None, None] => Ok(()),
        }
    }
}

fn parse(text: &str) -> Result<Vec<(usize, &str, &str, f64)>, LoadError> {
    let mut parsed = Vec::new();
    for (line, content) in text.lines().enumerate().map(|(index, content)| (index + 1, content)) {
        let fields: Vec<&str> = content.split_whitespace().take(4).collect();
        match fields.as_slice() {
            [] => {}
            [from, to, weight] => {
                let weight = weight.parse::<f64>().ok().filter(|weight| *weight > 0.0 && *weight <= 1e6);
                let weight = weight.ok_or_else(|| {
                    LoadError::at(
                        line,
                        format!("`{}` is no weight above 0, up to 1,000,000", excerpt(fields[2])),
                    )
                })?;
                parsed.push((line, *from, *to, weight));
            }
            _ => {
                return Err(LoadError::at(
                    line,
                    format!("expected `from to weight`, found `{}`", excerpt(content)),
                ));
            }
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_one_link_unless_they_differ() {
        let text = "Sydney,+Australia7 Perth,+Australia8 17.5\nPerth,+Australia8 Sydney,+Australia7 17.5\n\
                    Perth,+Australia8 Darwin,+Australia9 2\nDarwin,+Australia9 Perth,+Australia8 3\n";
        let topology = rocketfuel_weights(text).unwrap();
        assert!(topology.find("Sydney, Australia7").is_some());
        let links: Vec<(u32, bool)> =
            topology.links().map(|link| (link.weight.get(), link.is_directed())).collect();
        assert_eq!(links, [(175, false), (30, true), (20, true)], "all weights times ten");
    }

    #[test]
    fn faults_are_named_by_line() {
        let fault = |text: &str| rocketfuel_weights(text).unwrap_err().to_string();
        assert_eq!(fault("a b 1\n\na b"), "line 3: expected `from to weight`, found `a b`");
        assert_eq!(fault("a b 0"), "line 1: `0` is no weight above 0, up to 1,000,000");
        assert_eq!(fault("a b NaN"), "line 1: `NaN` is no weight above 0, up to 1,000,000");
    }
}
