//! Data-centre fabrics. Switches carry the attribute `layer`, so that they can be told apart and drawn in rows.

use super::{Builder, GenerateError, check, check_size};
use crate::graph::Topology;
use crate::link::LinkSpec;
use crate::node::NodeSpec;

/// The k-ary fat tree of Al-Fares, Loukissas and Vahdat (SIGCOMM 2008, section 3): (k/2)² core switches and k
/// pods of k/2 aggregation and k/2 edge switches, each edge switch with k/2 hosts; k³/4 hosts in all, with full
/// bisection bandwidth. Pods are clusters.
///
/// # Errors
/// When `k` is odd or 0, or the fabric too large.
pub fn fat_tree(k: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("fat_tree", "k", k, k >= 2 && k.is_multiple_of(2), "even and at least 2")?;
    let (ports, half) = (u64::from(k), u64::from(k / 2));
    let cube = ports.saturating_pow(2).saturating_mul(half) / 2;
    let switches = half.saturating_pow(2).saturating_add(ports.saturating_pow(2));
    check_size("fat_tree", switches.saturating_add(cube), cube.saturating_mul(3))?;

    let half = (k / 2) as usize;
    let mut builder = Builder::new(format!("fat tree {k}"), link);
    for number in 1..=half * half {
        builder.add(NodeSpec::switch(format!("core{number}")).attribute("layer", "core"))?;
    }
    let mut hosts = 0;
    for pod in 1..=k {
        let cluster = format!("pod {pod}");
        let switch = |layer: &str, number: usize| {
            NodeSpec::switch(format!("{layer}{pod}.{number}")).cluster(&cluster).attribute("layer", layer)
        };
        let mut aggregation = Vec::with_capacity(half);
        for number in 0..half {
            let above = builder.add(switch("aggregation", number + 1))?;
            for core in 0..half {
                builder.join(number * half + core, above)?;
            }
            aggregation.push(above);
        }
        for number in 0..half {
            let edge = builder.add(switch("edge", number + 1))?;
            for above in &aggregation {
                builder.join(*above, edge)?;
            }
            for _ in 0..half {
                hosts += 1;
                let spec = NodeSpec::host(format!("h{hosts}")).cluster(&cluster).attribute("layer", "host");
                let host = builder.add(spec)?;
                builder.join(edge, host)?;
            }
        }
    }
    Ok(builder.topology)
}

/// `spines` spine switches, each joined to every one of `leaves` leaf switches, which have `hosts` hosts each.
///
/// # Errors
/// When there is no spine or leaf, or the fabric is too large.
pub fn leaf_spine(spines: u32, leaves: u32, hosts: u32, link: &LinkSpec) -> Result<Topology, GenerateError> {
    check("leaf_spine", "spines", spines, spines >= 1, "at least 1")?;
    check("leaf_spine", "leaves", leaves, leaves >= 1, "at least 1")?;
    let all_hosts = u64::from(leaves) * u64::from(hosts);
    let links = (u64::from(leaves) * u64::from(spines)).saturating_add(all_hosts);
    let nodes = all_hosts.saturating_add(u64::from(spines) + u64::from(leaves));
    check_size("leaf_spine", nodes, links)?;

    let mut builder = Builder::new(format!("leaf-spine {spines}×{leaves}×{hosts}"), link);
    for number in 1..=spines {
        builder.add(NodeSpec::switch(format!("spine{number}")).attribute("layer", "spine"))?;
    }
    let mut number = 0;
    for leaf_number in 1..=leaves {
        let leaf = builder.add(NodeSpec::switch(format!("leaf{leaf_number}")).attribute("layer", "leaf"))?;
        for spine in 0..spines as usize {
            builder.join(spine, leaf)?;
        }
        for _ in 0..hosts {
            number += 1;
            let host = builder.add(NodeSpec::host(format!("h{number}")).attribute("layer", "host"))?;
            builder.join(leaf, host)?;
        }
    }
    Ok(builder.topology)
}
