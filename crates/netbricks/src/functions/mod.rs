//! The network functions. Each is one file, whose doc comment is its manual: `weft netbricks list` prints them.
//!
//! To add one: a file here, with a `build` function, and a line in [`KINDS`].

mod acl;
mod delay;
mod dump;
mod firewall;
pub(crate) mod fuzz;
mod generate;
mod isolated;
mod macswap;
mod maglev;
mod monitor;
mod nat44;
mod nat64;
mod nat_args;
mod payload;
mod ping;
mod random;
mod ratelimit;
mod router;
#[cfg(test)]
mod sample;
mod signature;
mod spool;
mod stream_args;
mod streams;
mod synguard;
#[cfg(test)]
mod test_frames;

use packet::Pool;

use crate::{Args, ArgsError, Contained, Line, NetworkFunction};

pub use acl::Acl;
pub use delay::{Delay, DelayConfig, Shape};
pub use dump::{Headers, PacketDump};
pub use firewall::Firewall;
pub use generate::{Frames, FramesError, Generator, Pace, PaceError};
pub use isolated::{IsolatedError, build_isolated, serve_isolated};
pub use macswap::macswap;
pub use maglev::{Backend, BackendsError, BalancerConfig, Maglev, Mode, Service, SpecError};
pub use monitor::{Connection, End, RoundTrips, State, TcpMonitor, Totals};
pub use nat44::Nat44;
pub use nat64::Nat64;
pub use payload::TcpPayload;
pub use ping::Ping;
pub use random::Random;
pub use ratelimit::{Limit, Limits, Per, RateLimit};
pub use router::Router;
pub use signature::{Action, Alert, MatcherError, Pattern, Rule, RuleError, SignatureMatch};
pub use streams::{Directory, Limits as StreamLimits, Store, TcpStreams};
pub use synguard::{Guarding, SynGuard};

/// What every function is built with, beside its arguments.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where new packets come from.
    pub pool: Pool,
    /// The key of its hash tables; drawn at random once per process, fixed in tests.
    pub key: u128,
    /// The seed of what it does at random.
    pub seed: u64,
}

/// Builds a function.
pub type Build = fn(&mut Args, &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError>;

/// A kind of network function: its name, its manual, how it is built.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name as a module class of the software NIC.
    pub class: &'static str,
    source: &'static str,
    build: Build,
}

/// All kinds, by name.
pub const KINDS: &[Kind] = &[
    Kind { name: "acl", class: "Acl", source: include_str!("acl.rs"), build: acl::build },
    Kind { name: "delay", class: "Delay", source: include_str!("delay.rs"), build: delay::build },
    Kind { name: "dump", class: "PacketDump", source: include_str!("dump.rs"), build: dump::build },
    Kind { name: "firewall", class: "Firewall", source: include_str!("firewall.rs"), build: firewall::build },
    Kind {
        name: "generate",
        class: "Generator",
        source: include_str!("generate.rs"),
        build: generate::build,
    },
    Kind { name: "macswap", class: "MacSwap", source: include_str!("macswap.rs"), build: macswap::build },
    Kind { name: "maglev", class: "Maglev", source: include_str!("maglev.rs"), build: maglev::build },
    Kind { name: "monitor", class: "TcpMonitor", source: include_str!("monitor.rs"), build: monitor::build },
    Kind { name: "nat44", class: "Nat44", source: include_str!("nat44.rs"), build: nat44::build },
    Kind { name: "nat64", class: "Nat64", source: include_str!("nat64.rs"), build: nat64::build },
    Kind { name: "payload", class: "TcpPayload", source: include_str!("payload.rs"), build: payload::build },
    Kind { name: "ping", class: "Ping", source: include_str!("ping.rs"), build: ping::build },
    Kind {
        name: "ratelimit",
        class: "RateLimit",
        source: include_str!("ratelimit.rs"),
        build: ratelimit::build,
    },
    Kind { name: "router", class: "Router", source: include_str!("router.rs"), build: router::build },
    Kind {
        name: "signature",
        class: "SignatureMatch",
        source: include_str!("signature.rs"),
        build: signature::build,
    },
    Kind { name: "streams", class: "TcpStreams", source: include_str!("streams.rs"), build: streams::build },
    Kind { name: "synguard", class: "SynGuard", source: include_str!("synguard.rs"), build: synguard::build },
];

impl Kind {
    /// The kind of that name, or of that class.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name || kind.class == name)
    }

    /// Its manual: the doc comment at the head of its file.
    #[must_use]
    pub fn manual(&self) -> String {
        let lines = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    /// The first line of its manual.
    #[must_use]
    pub fn summary(&self) -> String {
        self.manual().lines().next().unwrap_or_default().to_owned()
    }

    /// Builds one.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub fn build(&self, args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
        let function = (self.build)(args, setup)?;
        args.done()?;
        Ok(function)
    }
}

/// Builds one function, or several in a line: `["acl", "rules=@rules.txt", "nat44", "external=192.0.2.1"]`. Each is
/// [`Contained`].
///
/// # Errors
/// What is wrong with the words.
pub fn build<W: AsRef<str>>(words: &[W], setup: &Setup) -> Result<Line, ArgsError> {
    let mut line = Line::new();
    for (kind, args) in read(words)? {
        let function = kind.build(&mut args.clone(), setup)?;
        let (setup, name) = (setup.clone(), args.function().to_owned());
        // Arguments that were right once may be wrong now, when they name a file: then it stays broken.
        let make = move || kind.build(&mut args.clone(), &setup).unwrap_or_else(|error| panic!("{error}"));
        line.push(&name, Box::new(Contained::new(function, Box::new(make))));
    }
    Ok(line)
}

/// Reads which functions words name, and the arguments of each.
fn read<W: AsRef<str>>(words: &[W]) -> Result<Vec<(&'static Kind, Args)>, ArgsError> {
    let mut read = Vec::new();
    let mut rest = words;
    while let Some((name, behind)) = rest.split_first() {
        let count = behind.iter().take_while(|word| word.as_ref().contains('=')).count();
        let (words, next) = behind.split_at(count);
        let name = name.as_ref();
        let kind = Kind::find(name).ok_or_else(|| ArgsError::Function(name.into()))?;
        read.push((kind, Args::parse(name, words)?));
        rest = next;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Drops, Gate};
    use packet::{Batch, PoolConfig};

    /// A setup for tests: what is drawn at random elsewhere is fixed.
    pub(super) fn setup() -> Setup {
        let pool = Pool::new(PoolConfig { buffers: 256, ..PoolConfig::default() }).unwrap();
        Setup { pool, key: 1, seed: 1 }
    }

    /// Builds a function from words.
    pub(super) fn function(name: &str, words: &[&str], setup: &Setup) -> Box<dyn NetworkFunction> {
        Kind::find(name).unwrap().build(&mut Args::parse(name, words).unwrap(), setup).unwrap()
    }

    /// Hands frames to a function at a gate, at a time; returns what left, with the gate.
    pub(super) fn at(
        function: &mut dyn NetworkFunction,
        ctx: &mut Context,
        (gate, now_ns): (Gate, u64),
        pool: &Pool,
        frames: &[&[u8]],
    ) -> Vec<(Gate, Vec<u8>)> {
        ctx.set_now_ns(now_ns);
        for frame in frames {
            let mut batch = Batch::new();
            batch.push(pool.packet(frame).unwrap()).unwrap();
            function.process(gate, &mut batch, ctx);
        }
        left(ctx)
    }

    /// What has left a context, gate by gate.
    pub(super) fn left(ctx: &mut Context) -> Vec<(Gate, Vec<u8>)> {
        let mut left = Vec::new();
        for gate in 0..ctx.gates() {
            ctx.drain(gate, |batch| {
                left.extend(batch.drain(..).map(|packet| (gate, packet.data().to_vec())));
            });
        }
        left
    }

    /// Frames in at gate 0; those that left at gate 1, and the drops. No buffer is lost on the way.
    pub(super) fn through(name: &str, words: &[&str], frames: &[&[u8]]) -> (Vec<Vec<u8>>, Drops) {
        let setup = setup();
        let (mut function, mut ctx) = (function(name, words, &setup), Context::new(2));
        let left = at(&mut *function, &mut ctx, (0, 1), &setup.pool, frames);
        assert_eq!(setup.pool.available() + function.held(), setup.pool.capacity());
        let out = left.into_iter().filter(|(gate, _)| *gate == 1).map(|(_, frame)| frame).collect();
        (out, ctx.drops().clone())
    }

    #[test]
    fn every_manual_is_one() {
        for kind in KINDS {
            let manual = kind.manual();
            assert!(
                manual.contains(&format!("weft netbricks run {}", kind.name)),
                "{}: no example",
                kind.name
            );
            assert!(kind.summary().ends_with('.'), "{}: no first sentence", kind.name);
        }
        assert!(KINDS.is_sorted_by_key(|kind| kind.name));
    }
}
