//! Shapes of textbooks.

use super::{Builder, GenerateError, check, check_size};
use crate::graph::Topology;
use crate::link::LinkSpec;
use crate::node::NodeSpec;

/// `switches` switches in a row.
///
/// # Errors
/// When there is no switch, or too many.
pub fn line(switches: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("line", "switches", switches, switches >= 1, "at least 1")?;
    check_size("line", switches.into(), switches.into())?;
    let mut builder = Builder::new(format!("line {switches}"), link).switches(switches)?;
    for node in 1..switches as usize {
        builder.join(node - 1, node)?;
    }
    Ok(builder.topology)
}

/// `switches` switches in a circle.
///
/// # Errors
/// When there are fewer than three switches, or too many.
pub fn ring(switches: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("ring", "switches", switches, switches >= 3, "at least 3")?;
    check_size("ring", switches.into(), switches.into())?;
    let mut builder = Builder::new(format!("ring {switches}"), link).switches(switches)?;
    for node in 0..switches as usize {
        builder.join(node, (node + 1) % switches as usize)?;
    }
    Ok(builder.topology)
}

/// One switch with `hosts` hosts.
///
/// # Errors
/// When there are too many hosts.
pub fn star(hosts: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check_size("star", u64::from(hosts) + 1, hosts.into())?;
    let mut builder = Builder::new(format!("star {hosts}"), link).switches(1)?;
    for number in 1..=hosts {
        let host = builder.add(NodeSpec::host(format!("h{number}")))?;
        builder.join(host, 0)?;
    }
    Ok(builder.topology)
}

/// A tree of switches `depth` deep, each with `fanout` children; those of the last layer are hosts, as in
/// Mininet's `tree,depth,fanout`.
///
/// # Errors
/// When depth or fanout is 0, or the tree too large.
pub fn tree(depth: u32, fanout: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("tree", "depth", depth, depth >= 1, "at least 1")?;
    check("tree", "fanout", fanout, fanout >= 1, "at least 1")?;
    let layer = |depth| u64::from(fanout).saturating_pow(depth);
    let nodes = (0..=depth.min(64)).fold(0, |sum: u64, depth| sum.saturating_add(layer(depth)));
    check_size("tree", nodes.max(depth.into()), nodes)?;
    let mut builder = Builder::new(format!("tree {depth} {fanout}"), link).switches(1)?;
    let (mut switches, mut hosts, mut parents) = (1, 0, vec![0]);
    for below in 1..=depth {
        let mut children = Vec::new();
        for parent in parents {
            for _ in 0..fanout {
                let number = if below == depth { &mut hosts } else { &mut switches };
                *number += 1;
                let spec = if below == depth {
                    NodeSpec::host(format!("h{number}"))
                } else {
                    NodeSpec::switch(format!("s{number}"))
                };
                let child = builder.add(spec)?;
                builder.join(parent, child)?;
                children.push(child);
            }
        }
        parents = children;
    }
    Ok(builder.topology)
}

/// Switches in `rows` × `columns`, each joined to those beside, above and below it.
///
/// # Errors
/// When rows or columns is 0, or the grid too large.
pub fn grid(rows: u32, columns: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    lattice("grid", rows, columns, 1, false, link)
}

/// A grid whose opposite edges are joined.
///
/// # Errors
/// When there are fewer than three rows or columns, or the torus is too large.
pub fn torus(rows: u32, columns: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    lattice("torus", rows, columns, 3, true, link)
}

fn lattice(
    shape: &'static str,
    rows: u32,
    columns: u32,
    least: u32,
    wraps: bool,
    link: &LinkSpec,
) -> Result<Topology, GenerateError> {
    let range = if wraps { "at least 3" } else { "at least 1" };
    check(shape, "rows", rows, rows >= least, range)?;
    check(shape, "columns", columns, columns >= least, range)?;
    let nodes = u64::from(rows) * u64::from(columns);
    check_size(shape, nodes, nodes.saturating_mul(2))?;
    let mut builder = Builder::new(format!("{shape} {rows}×{columns}"), link).switches(rows * columns)?;
    let (rows, columns) = (rows as usize, columns as usize);
    let at = |row: usize, column: usize| row % rows * columns + column % columns;
    for row in 0..rows {
        for column in 0..columns {
            if wraps || column + 1 < columns {
                builder.join(at(row, column), at(row, column + 1))?;
            }
            if wraps || row + 1 < rows {
                builder.join(at(row, column), at(row + 1, column))?;
            }
        }
    }
    Ok(builder.topology)
}

/// `switches` switches, every two of them joined.
///
/// # Errors
/// When there is no switch, or too many.
pub fn full_mesh(switches: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("full_mesh", "switches", switches, switches >= 1, "at least 1")?;
    check_size("full_mesh", switches.into(), u64::from(switches) * u64::from(switches - 1) / 2)?;
    let mut builder = Builder::new(format!("full mesh {switches}"), link).switches(switches)?;
    for from in 0..switches as usize {
        for to in from + 1..switches as usize {
            builder.join(from, to)?;
        }
    }
    Ok(builder.topology)
}

/// Two switches joined by `bottleneck`, each with `pairs` hosts: `h1`… on the left send to their partners, the
/// second half, on the right.
///
/// # Errors
/// When there are too many hosts.
pub fn dumbbell(pairs: u32, edge: &LinkSpec, bottleneck: &LinkSpec) -> Result<Topology, GenerateError> {
    let hosts = u64::from(pairs) * 2;
    check_size("dumbbell", hosts + 2, hosts + 1)?;
    let mut builder = Builder::new(format!("dumbbell {pairs}"), edge).switches(2)?;
    builder.join_by(0, 1, LinkSpec { from_port: None, to_port: None, ..bottleneck.clone() })?;
    for number in 1..=hosts {
        let host = builder.add(NodeSpec::host(format!("h{number}")))?;
        builder.join(host, usize::from(number > u64::from(pairs)))?;
    }
    Ok(builder.topology)
}
