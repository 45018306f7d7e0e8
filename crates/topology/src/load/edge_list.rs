//! Edge lists: a link a line, `#` begins a comment.

use super::{LoadError, Loader, bits_per_second, check_length, delay_ms, excerpt};
use crate::graph::Topology;
use crate::link::LinkSpec;
use crate::units::Capacity;

/// Reads `a b`, `a b MBITS` or `a b MBITS MS` lines, fields apart by blanks, tabs or commas. Nodes are named by
/// the first two fields. One or two lines of a single number at the top (the count of nodes, then of links, as
/// the RC3 authors' files have them) are checked against what follows.
///
/// # Errors
/// When the file is longer than [`FILE_BYTES_MAX`](super::FILE_BYTES_MAX), a line has another form, or a count is wrong.
pub fn edge_list(text: &str) -> Result<Topology, LoadError> {
    check_length(text)?;
    let mut loader = Loader::new();
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for (line, content) in text.lines().enumerate().map(|(index, content)| (index + 1, content)) {
        let content = content.split('#').next().unwrap_or_default();
        let fields: Vec<&str> =
            content.split([' ', '\t', ',', '\r']).filter(|field| !field.is_empty()).take(5).collect();
        match fields.as_slice() {
            [] => {}
            [count] if loader.topology.node_count() == 0 && counts.len() < 2 => {
                let count = count
                    .parse()
                    .map_err(|_| LoadError::at(line, format!("`{}` is no count", excerpt(count))))?;
                counts.push((line, count));
            }
            [from, to, quantities @ ..] if quantities.len() <= 2 => {
                let spec = spec(line, quantities)?;
                for key in [from, to] {
                    loader.node_of(line, key)?;
                }
                loader.link(line, from, to, spec)?;
            }
            _ => {
                return Err(LoadError::at(
                    line,
                    format!("expected `a b [Mbit/s [ms]]`, found `{}`", excerpt(content)),
                ));
            }
        }
    }
    let actual = [(loader.topology.node_count(), "nodes"), (loader.topology.link_count(), "links")];
    for ((line, said), (found, what)) in counts.into_iter().zip(actual) {
        if said != found {
            return Err(LoadError::at(line, format!("{said} {what} announced, but {found} follow")));
        }
    }
    Ok(loader.topology)
}

fn spec(line: usize, quantities: &[&str]) -> Result<LinkSpec, LoadError> {
    let mut spec = LinkSpec::default();
    if let Some(mbit) = quantities.first() {
        let bits = bits_per_second(mbit).and_then(|_| mbit.parse::<f64>().ok()).filter(|mbit| *mbit < 1e12);
        let mbit =
            bits.ok_or_else(|| LoadError::at(line, format!("`{}` is no capacity in Mbit/s", excerpt(mbit))))?;
        spec.capacity = Some(Capacity::from_bits_per_second((mbit * 1e6).round() as u64));
    }
    if let Some(ms) = quantities.get(1) {
        spec.delay = delay_ms(ms)
            .ok_or_else(|| LoadError::at(line, format!("`{}` is no delay in ms", excerpt(ms))))?;
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let topology = edge_list("3\n2\n# core\n0\t1\t5556\t10\nb 1 0.5 # edge\n").unwrap();
        let links: Vec<String> = topology
            .links()
            .map(|link| {
                let name = |end: crate::link::Endpoint| topology.node(end.node).unwrap().name().to_owned();
                format!("{}-{} {} {}", name(link.from()), name(link.to()), link.capacity.unwrap(), link.delay)
            })
            .collect();
        assert_eq!(links, ["0-1 5.55 Gbit/s 10 ms", "b-1 500 kbit/s 0 ns"]);
    }

    #[test]
    fn faults_are_named_by_line() {
        let fault = |text: &str| edge_list(text).unwrap_err().to_string();
        assert_eq!(fault("a b\na\n"), "line 2: expected `a b [Mbit/s [ms]]`, found `a`");
        assert_eq!(fault("a b fast"), "line 1: `fast` is no capacity in Mbit/s");
        assert_eq!(fault("a b 1 -1"), "line 1: `-1` is no delay in ms");
        assert_eq!(fault("a b nan"), "line 1: `nan` is no capacity in Mbit/s");
        assert_eq!(fault("7\na b"), "line 1: 7 nodes announced, but 2 follow");
        assert_eq!(fault("2\n9\na b"), "line 2: 9 links announced, but 1 follow");
        assert_eq!(fault("a b c d e f"), "line 1: expected `a b [Mbit/s [ms]]`, found `a b c d e f`");
    }
}
