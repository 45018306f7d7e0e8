//! A switch as a module, told by Open vSwitch's tool.

use std::process::Command;
use std::time::{Duration, Instant};

use openflow::live::Target;
use openflow::live::agent::AgentConfig;
use openflow::port::Port;
use openflow::switch::{FailMode, SwitchConfig};
use packet::{Pool, PoolConfig};
use softnic::engine::{Edit, Engine, WorkerConfig};
use softnic::modules::{OpenFlowSwitch, Sink, Source};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// From 02:00:00:00:00:01 to 02:00:00:00:00:02, EtherType 88b5.
const FRAME: [u8; 60] = {
    let mut frame = [0; 60];
    (frame[0], frame[5], frame[6], frame[11], frame[12], frame[13]) = (2, 2, 2, 1, 0x88, 0xb5);
    frame
};

/// A switch of two ports: packets come in at one, and are counted at the other.
struct Rig {
    engine: Engine,
    at: String,
    pool: Pool,
    worker: usize,
    sources: usize,
}

impl Rig {
    fn new(fail_mode: FailMode, controller: &str) -> Self {
        let engine = Engine::new();
        let worker = engine.add_worker(WorkerConfig::default()).unwrap();
        let pool = Pool::new(PoolConfig::default()).unwrap();
        let switch = SwitchConfig { fail_mode, ..SwitchConfig::default() };
        let controllers = vec![controller.parse().unwrap()];
        let config =
            AgentConfig { grace: Duration::from_millis(200), ..AgentConfig::new(switch, controllers) };
        let ports = ["left", "right"].map(|name| Port { name: name.into(), ..Port::default() });
        let (switch, listening) =
            OpenFlowSwitch::new(config, ports.into(), pool.clone(), Default::default()).unwrap();
        let at = match listening.first() {
            Some(Target::Listen(at, _)) => format!("tcp:{at}"),
            _ => String::new(),
        };
        engine
            .apply(
                Edit::new()
                    .add("switch", switch, worker)
                    .add("sink", Sink::new(), worker)
                    .connect("switch", 1, "sink", 0),
            )
            .unwrap();
        Self { engine, at, pool, worker, sources: 0 }
    }

    /// Sends frames into the first port and waits until the switch has had them; how many have come out of the second, in
    /// all.
    fn send(&mut self, count: u64) -> u64 {
        let before = self.seen();
        let name = format!("source{}", self.sources);
        self.sources += 1;
        let source = Source::new(self.pool.clone(), &FRAME).count(count);
        self.engine
            .apply(Edit::new().add(&name, source, self.worker).connect(&name, 0, "switch", 0))
            .unwrap();
        self.until(|rig| rig.seen() == before + count);
        let come = self.engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap();
        self.engine.apply(Edit::new().remove(&name)).unwrap();
        come
    }

    /// Packets that the switch has looked up.
    fn seen(&self) -> u64 {
        let counters = self.with(|switch| switch.switch().counters());
        counters.cache_hits + counters.cache_misses
    }

    fn with<R: Send + 'static>(&self, run: impl FnOnce(&mut OpenFlowSwitch) -> R + Send + 'static) -> R {
        self.engine.with_module("switch", run).unwrap()
    }

    fn until(&self, what: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !what(self) {
            assert!(begin.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ofctl(&self, command: &str, arguments: &[&str]) -> String {
        let mut program = Command::new("ovs-ofctl");
        let output = program.args(["-O", "OpenFlow13", command, &self.at]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn flows_carry_packets_from_gate_to_gate() {
    let mut rig = Rig::new(FailMode::Secure, "ptcp:0:127.0.0.1");
    assert_eq!(rig.send(100), 0);
    rig.ofctl("add-flow", &["in_port=1,actions=output:2"]);
    assert_eq!(rig.send(10_000), 10_000);
    let flows = rig.ofctl("dump-flows", &[]);
    assert!(flows.contains("n_packets=10000, n_bytes=600000"), "{flows}");
    assert!(rig.ofctl("dump-ports", &["2"]).contains("tx pkts=10000"));
    let trace = rig.with(|switch| switch.explain(0, &FRAME).to_string());
    assert!(trace.contains("Sent: 60 bytes out of port 2"), "{trace}");

    // Out of the port it came in by, and none that is no gate.
    rig.ofctl("add-flow", &["in_port=1,actions=in_port,local"]);
    assert_eq!(rig.send(10), 10_000);
    let snapshot = rig.engine.snapshot();
    assert_eq!(snapshot.module("switch").unwrap().outputs[1].packets, 10_000);

    rig.with(|switch| switch.set_link(1, false));
    assert!(rig.ofctl("show", &[]).contains("LINK_DOWN"));
    rig.with(|switch| switch.set_link(1, true));
    assert!(!rig.ofctl("show", &[]).contains("LINK_DOWN"));
    // A packet of the controller's.
    rig.ofctl(
        "packet-out",
        &["controller", "2", "020000000002020000000001 88b5 0000".replace(' ', "").as_str()],
    );
    rig.until(|rig| rig.engine.with_module("sink", |sink: &mut Sink| sink.packets()).unwrap() == 10_001);
}

#[test]
fn without_a_controller_it_forwards_by_itself() {
    let mut rig = Rig::new(FailMode::Standalone, "tcp:127.0.0.1:1");
    rig.until(|rig| rig.with(OpenFlowSwitch::is_alone));
    assert_eq!(rig.send(100), 100);
    let status = rig.with(OpenFlowSwitch::controllers);
    assert!(status.len() == 1 && status[0].version.is_none() && status[0].problem.is_some(), "{status:?}");
}
