//! The body of the fuzz target for the network functions: any frames through each of them.

use std::io;

use packet::flow::FlowHasher;
use packet::parse::Layers;
use packet::{BATCH, Batch, Packet, Pool, PoolConfig};

use super::{Kind, Setup, StreamLimits, TcpStreams};
use crate::reassembly::{Config, StreamConfig};
use crate::{Args, Context, Gate, NetworkFunction, Report};

mod script;

use script::{STEP, Step};

/// Frames of one input.
const STEPS_MAX: usize = 96;
const BUFFERS: usize = 128;
/// Calls for one deadline that has passed; each has to bring the function on.
const EXPIRES_MAX: usize = 8;
/// Gates that frames come in by.
const GATES: Gate = 2;

const ROUTER_LEFT: &str = "interface=0,address=10.0.0.1/24,address=fd00::1/64,mac=02:00:00:00:00:01";

/// Every function with arguments that bring its limits close; those that write, write to nowhere. `streams` is built
/// without words, on [`Nowhere`].
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("acl", &["rule=permit out tcp any any 80", "rule=deny udp 10.0.0.0/31 any", "rule=permit any any"]),
    ("delay", &["by=5us", "jitter=3us", "loss=1%", "queue=9"]),
    ("delay", &["by=1ms", "jitter=1ms", "shape=normal", "reorder=on", "queue=9", "seed=5"]),
    ("dump", &["file=/dev/null", "rate=0"]),
    ("dump", &["file=/dev/null", "rate=2", "count=5"]),
    ("firewall", &["rule=permit out any any", "flows=6", "reject=on"]),
    ("firewall", &["rule=permit tcp any any", "flows=6", "loose=off", "checksums=on", "other=deny"]),
    ("generate", &["rate=10000pps", "flows=5", "size=60-90", "seed=3"]),
    (
        "generate",
        &["rate=1mbit", "frame=syn", "gate=0", "count=40", "source=2001:db8::/120", "destination=fd00::1"],
    ),
    ("macswap", &[]),
    (
        "maglev",
        &["vip=192.0.2.2:80/tcp", "backend=10.0.0.1:8080", "backend=10.0.0.2", "flows=6", "table=251"],
    ),
    ("maglev", &["vip=192.0.2.2:53/udp", "backend=10.0.0.1,mac=02:00:00:00:00:03", "mode=dsr", "table=251"]),
    ("maglev", &["vip=[fd00::2]:80/tcp", "backend=10.0.0.1", "mode=ipip", "source=10.0.0.3", "table=251"]),
    ("maglev", &["vip=192.0.2.2:80/tcp", "backend=fd00::1", "mode=gre", "source=fd00::3", "table=251"]),
    ("monitor", &["flows=5", "top=3", "idle=1s"]),
    (
        "nat44",
        &[
            "inside=10.0.0.1/24",
            "outside=192.0.2.1/24",
            "gateway=192.0.2.3",
            "forward=tcp/80:10.0.0.2:80",
            "flows=6",
            "mappings=9",
            "per-host=5",
            "inside-mac=02:00:00:00:00:01",
            "outside-mac=02:00:00:00:00:01",
            "inside-next-hop=02:00:00:00:00:02",
        ],
    ),
    (
        "nat64",
        &[
            "inside=fd00::1/64",
            "outside=192.0.2.1/24",
            "flows=6",
            "mappings=9",
            "inside-mac=02:00:00:00:00:01",
            "outside-mac=02:00:00:00:00:01",
            "inside-next-hop=02:00:00:00:00:02",
            "outside-next-hop=02:00:00:00:00:02",
        ],
    ),
    ("payload", &["file=/dev/null", "as=lines"]),
    ("payload", &["file=/dev/null", "port=80"]),
    ("ping", &["address=10.0.0.1", "address=fd00::1", "mac=02:00:00:00:00:01"]),
    ("ping", &["address=any", "pass=off"]),
    ("ratelimit", &["rate=100kbit", "per=flow", "keys=4", "burst=500"]),
    ("ratelimit", &["rate=20pps", "peak=50pps", "mark=10", "per=source", "keys=3", "from=0"]),
    (
        "router",
        &[
            ROUTER_LEFT,
            "interface=1,address=192.0.2.1/24,address=fd01::1/64,mac=02:00:00:00:00:01,mtu=1280",
            "route=default,gate=1,via=192.0.2.2",
            "route=2001:db8::/32,gate=1,via=fd01::2",
        ],
    ),
    (
        "router",
        &[ROUTER_LEFT, "interface=1,address=192.0.2.1/30,mac=02:00:00:00:00:01,peer=02:00:00:00:00:02"],
    ),
    (
        "signature",
        &[
            "rule=drop \"one\" content \"aa\"",
            "rule=alert \"two\" regex \"a+b$\"",
            "connections=5",
            "memory=1",
        ],
    ),
    ("signature", &["rule=alert \"one\" content \"|61|\" port 80", "checksums=on", "policy=last"]),
    ("streams", &[]),
    ("synguard", &["rate=0", "flows=5", "idle=1s"]),
    ("synguard", &["rate=1", "burst=2", "flows=5"]),
];

/// Takes streams and keeps nothing; one name in four cannot be made.
struct Nowhere;

impl super::Store for Nowhere {
    type File = ();

    fn create(&mut self, name: &str) -> io::Result<()> {
        if name.len().is_multiple_of(4) { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }

    fn open(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, (): &mut (), _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Not contained: a panic shall be seen.
fn build((name, words): (&str, &[&str]), setup: &Setup) -> Box<dyn NetworkFunction> {
    if name == "streams" {
        let stream = StreamConfig { pool_bytes: 1 << 20, ..StreamConfig::default() };
        let config = Config { connections: 5, stream, ..Config::default() };
        let limits = StreamLimits { open: 2, files: 9, file_bytes: 64 };
        return Box::new(TcpStreams::new(Nowhere, config, limits, FlowHasher::new(setup.key)));
    }
    let mut args = Args::parse(name, words).expect("words");
    let kind = Kind::find(name).expect("a kind");
    kind.build(&mut args, setup).unwrap_or_else(|error| panic!("{error}"))
}

/// Plays a script of frames through one function. Whatever comes in, it does not panic, it moves its deadline, what leaves
/// can be read if what came in could, and no buffer is lost.
///
/// # Panics
/// On a fault.
pub fn functions(input: &[u8]) {
    if let [which, key, script @ ..] = input {
        play(usize::from(*which), *key, script);
    }
}

/// How many frames have left.
fn play(which: usize, key: u8, script: &[u8]) -> u64 {
    let words = FUNCTIONS[which % FUNCTIONS.len()];
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).expect("a small pool");
    let setup = Setup { pool: pool.clone(), key: u128::from(key), seed: u64::from(key) };
    let mut trial = Trial {
        function: build(words, &setup),
        ctx: Context::new(GATES),
        pool,
        batch: (0, Batch::new()),
        last: None,
        unreadable_may_wait: false,
    };
    trial.frame(0, script, |_, _| ());
    trial.process();
    let mut now_ns = 0u64;
    for step in script.as_chunks::<STEP>().0.iter().take(STEPS_MAX).map(Step) {
        now_ns += step.nanoseconds();
        trial.ctx.set_now_ns(now_ns);
        trial.expire();
        let (gate, frame) = step.frame(trial.last.as_ref().map(|(gate, frame)| (*gate, &frame[..])));
        trial.frame(gate, &frame, |packet, layers| step.leave_work(packet, layers));
        if !step.comes_with_next() {
            trial.process();
        }
    }
    trial.finish()
}

struct Trial {
    function: Box<dyn NetworkFunction>,
    ctx: Context,
    pool: Pool,
    /// Frames that come in together, and where.
    batch: (Gate, Batch),
    /// The last frame that left, and where.
    last: Option<(Gate, Vec<u8>)>,
    /// A frame that cannot be read came in, and may leave later.
    unreadable_may_wait: bool,
}

impl Trial {
    fn frame(&mut self, gate: Gate, frame: &[u8], leave_work: impl FnOnce(&mut Packet, &Layers)) {
        if self.batch.0 != gate || self.batch.1.len() == BATCH {
            self.process();
        }
        let Some(mut packet) = self.pool.packet(frame) else { return };
        let layers = Layers::of(frame);
        if let Ok(layers) = &layers {
            leave_work(&mut packet, layers);
        }
        self.unreadable_may_wait |= layers.is_err();
        self.batch.0 = gate;
        self.batch.1.push(packet).expect("room for one more");
    }

    fn process(&mut self) {
        let (gate, batch) = &mut self.batch;
        self.function.process(*gate, batch, &mut self.ctx);
        assert!(batch.is_empty(), "left behind");
        self.check();
    }

    fn expire(&mut self) {
        for _ in 0..EXPIRES_MAX {
            let state = (self.function.deadline_ns(), self.function.held());
            if state.0.is_none_or(|deadline_ns| deadline_ns > self.ctx.now_ns()) {
                return;
            }
            self.function.expire(&mut self.ctx);
            self.check();
            let later = (self.function.deadline_ns(), self.function.held());
            assert_ne!(later, state, "it does not move its deadline");
        }
    }

    /// Takes what has left.
    fn check(&mut self) {
        for gate in 0..GATES {
            self.ctx.drain(gate, |batch| {
                for packet in batch.drain(..) {
                    let frame = packet.data();
                    let is_right = Layers::of(frame).is_ok() || self.unreadable_may_wait;
                    assert!(is_right, "unreadable at gate {gate}: {frame:02x?}");
                    self.last = Some((gate, frame.to_vec()));
                }
            });
        }
        let held = self.function.held() + self.batch.1.len();
        self.unreadable_may_wait &= held > 0;
        assert_eq!(self.pool.available() + held, BUFFERS, "buffers are lost, {held} held");
    }

    fn finish(mut self) -> u64 {
        self.process();
        self.function.finish(&mut self.ctx);
        self.check();
        self.function.report(&mut Report::default());
        drop(self.function);
        assert_eq!(self.pool.available(), BUFFERS, "buffers are lost with the function");
        self.ctx.sent()
    }
}

#[cfg(test)]
mod tests {
    use lookup::lpm::sample::Random;
    use packet::Offload;

    use super::super::KINDS;
    use super::*;

    #[test]
    fn every_kind_is_fuzzed_and_its_words_are_right() {
        let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).unwrap();
        let setup = Setup { pool, key: 1, seed: 1 };
        for kind in KINDS {
            assert!(FUNCTIONS.iter().any(|(name, _)| *name == kind.name), "{} is not fuzzed", kind.name);
        }
        for words in FUNCTIONS {
            assert!(build(*words, &setup).gates() <= GATES, "{words:?}");
        }
    }

    /// Frames that are mostly whole, and come slowly.
    fn script(random: &mut Random) -> Vec<u8> {
        let mut script: Vec<u8> =
            std::iter::repeat_with(|| random.next_u64() as u8).take(60 * STEP).collect();
        for (nth, step) in script.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            step[9] = if nth % 8 == 0 { step[9] } else { 0 };
            step[10] %= 26;
        }
        script
    }

    #[test]
    fn frames_get_through_every_function() {
        let mut random = Random(7);
        for (which, (name, words)) in FUNCTIONS.iter().enumerate() {
            let sent: u64 = (0..30).map(|key| play(which, key, &script(&mut random))).sum();
            assert!(sent > 30, "{name} {words:?}: {sent} frames left");
        }
    }

    /// A function, and what has left it since somebody looked.
    struct Side {
        function: Box<dyn NetworkFunction>,
        ctx: Context,
        pool: Pool,
    }

    impl Side {
        fn new(words: (&str, &[&str]), key: u8) -> Self {
            // Nobody runs out of buffers: how many are in use at a time is not the same.
            let pool = Pool::new(PoolConfig { buffers: 1024, ..PoolConfig::default() }).unwrap();
            let setup = Setup { pool: pool.clone(), key: u128::from(key), seed: u64::from(key) };
            Self { function: build(words, &setup), ctx: Context::new(GATES), pool }
        }

        fn process(&mut self, gate: Gate, frames: &[(Vec<u8>, Step<'_>)]) {
            let mut batch = Batch::new();
            for (frame, step) in frames {
                let mut packet = self.pool.packet(frame).unwrap();
                if let Ok(layers) = Layers::of(frame) {
                    step.leave_work(&mut packet, &layers);
                }
                batch.push(packet).unwrap();
            }
            self.function.process(gate, &mut batch, &mut self.ctx);
        }

        /// What has left since somebody looked, by gate.
        fn left(&mut self) -> Vec<(Gate, Vec<u8>, Offload)> {
            let mut left = Vec::new();
            for gate in 0..GATES {
                self.ctx.drain(gate, |batch| {
                    left.extend(batch.drain(..).map(|it| (gate, it.data().to_vec(), it.offload())));
                });
            }
            left
        }

        fn report(&self) -> Report {
            let mut report = Report::default();
            self.function.report(&mut report);
            report
        }
    }

    /// Those that look ahead at what a batch will need, which nobody can tell from what they do.
    #[test]
    fn a_batch_is_its_packets_one_by_one() {
        let mut random = Random(8);
        let look_ahead = ["firewall", "maglev", "nat44", "nat64"];
        let functions = FUNCTIONS.iter().filter(|(name, _)| look_ahead.contains(name));
        for (words, key) in functions.flat_map(|words| (0..40).map(move |key| (*words, key))) {
            let (mut many, mut single) = (Side::new(words, key), Side::new(words, key));
            let (script, mut last, mut now_ns) = (script(&mut random), None, 0);
            let mut steps = script.as_chunks::<STEP>().0.iter().map(Step).peekable();
            while steps.peek().is_some() {
                let (mut frames, mut at) = (Vec::new(), 0);
                for step in steps.by_ref().take(1 + random.below(BATCH as u64) as usize) {
                    now_ns += step.nanoseconds();
                    let answered =
                        last.as_ref().map(|(gate, frame, _): &(Gate, Vec<u8>, _)| (*gate, &frame[..]));
                    let (gate, frame) = step.frame(answered);
                    at = if frames.is_empty() { gate } else { at };
                    frames.push((frame, step));
                }
                for side in [&mut many, &mut single] {
                    side.ctx.set_now_ns(now_ns);
                    side.function.expire(&mut side.ctx);
                }
                many.process(at, &frames);
                frames.chunks(1).for_each(|frame| single.process(at, frame));
                let mut left = many.left();
                assert_eq!(left, single.left(), "{words:?} key {key}: in a batch, one by one");
                last = left.pop().or(last);
            }
            assert_eq!(many.ctx.drops(), single.ctx.drops(), "{words:?} key {key}");
            assert_eq!(many.report(), single.report(), "{words:?} key {key}");
        }
    }
}
