//! Whole networks in virtual time, under the components that run live too.

mod forest;
mod forwarding;
mod hosts;
mod info;
mod misc;
mod multi;
mod network;
mod proactive;
mod rip;
mod same;
mod shell;
mod topology;

use ::topology::{LinkSpec, Topology, generate};
use openflow::Version;
use pox::world::{World, WorldConfig};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A shape with hosts on every switch.
fn with_hosts(shape: Topology, hosts: u32) -> Topology {
    generate::with_hosts(shape, hosts, &LinkSpec::default()).unwrap()
}

fn line(switches: u32) -> Topology {
    with_hosts(generate::line(switches, &LinkSpec::default()).unwrap(), 1)
}

fn ring(switches: u32) -> Topology {
    with_hosts(generate::ring(switches, &LinkSpec::default()).unwrap(), 1)
}

/// Networks of 1.0, of 1.3, and of both, whose switches keep packets or do not.
fn configs() -> Vec<WorldConfig> {
    let config = |versions: &[Version], buffers| WorldConfig {
        versions: versions.to_vec(),
        buffers,
        ..WorldConfig::default()
    };
    vec![
        config(&[Version::V10], 0),
        config(&[Version::V10], 256),
        config(&[Version::V13], 0),
        config(&[Version::V13], 256),
        config(&[Version::V10, Version::V13], 0),
    ]
}

/// A network under a launch line, a second after it has begun.
fn launched(network: &Topology, config: WorldConfig, line: &str) -> World {
    let mut world = World::new(network, config).unwrap();
    world.launch(line).unwrap();
    world.run_for(SECOND).unwrap();
    world
}

/// No handler has failed.
fn assert_healthy(world: &World) {
    let failed: Vec<_> = world.core().health().into_iter().filter(|health| health.failures > 0).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
