//! A switch on sockets, under Open vSwitch's own tools and under controllers that come and go.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openflow::Version;
use openflow::channel::{Config, ConnectionId, Down, Event, Up, Versions};
use openflow::field::Field;
use openflow::live::agent::{Agent, AgentConfig, Sent};
use openflow::live::snapshot::Snapshot;
use openflow::live::{Handler, Hub, HubConfig, Links, Side, Target};
use openflow::matching::Match;
use openflow::message::{Body, Role, RoleMessage};
use openflow::oxm::Oxm;
use openflow::port::{Port, PortNo};
use openflow::switch::{FailMode, SwitchConfig};
use packet::wire::MacAddr;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const VERSIONS: [&str; 2] = ["OpenFlow10", "OpenFlow13"];

/// A switch with three ports that listens.
struct Rig {
    hub: Hub<Agent>,
    at: Target,
    directory: tempfile::TempDir,
}

/// A program, and what it says.
struct Running {
    child: Child,
    said: File,
}

impl Rig {
    fn new(switch: SwitchConfig, more: Vec<Target>, grace: Duration) -> Self {
        let mut controllers = vec!["ptcp:0:127.0.0.1".parse().unwrap()];
        controllers.extend(more);
        let config = AgentConfig { grace, ..AgentConfig::new(switch, controllers) };
        let (mut hub, listening) = Agent::start(config, HubConfig::default()).unwrap();
        for number in 1..=3 {
            let port = Port {
                number: PortNo(number),
                name: format!("eth{number}"),
                address: MacAddr([2, 0, 0, 0, 1, number as u8]),
                ..Port::default()
            };
            hub.with(|agent, links| agent.change(links, |switch, now| switch.add_port(now, port))).unwrap();
        }
        let Target::Listen(at, tls) = listening[0] else { panic!("{listening:?}") };
        Self { hub, at: Target::Dial(at, tls), directory: tempfile::tempdir().unwrap() }
    }

    fn turn(&mut self) {
        self.hub.turn(Some(Duration::from_millis(2))).unwrap();
    }

    fn until(&mut self, what: impl Fn(&mut Agent) -> bool) {
        let begin = Instant::now();
        while !what(self.hub.handler()) {
            assert!(begin.elapsed() < PATIENCE);
            self.turn();
        }
    }

    fn start(&self, version: &str, command: &str, arguments: &[&str]) -> Running {
        let said = tempfile::tempfile().unwrap();
        let mut program = Command::new("ovs-ofctl");
        program.args(["-O", version, command, &self.at.to_string()]).args(arguments);
        program.env("OVS_RUNDIR", self.directory.path()).stdin(Stdio::null());
        program.stdout(said.try_clone().unwrap()).stderr(said.try_clone().unwrap());
        Running { child: program.spawn().unwrap(), said }
    }

    /// Waits for it to end, with the switch running; what it says, and whether it is content.
    fn end(&mut self, mut running: Running) -> (bool, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = running.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                running.child.kill().unwrap();
            }
            self.turn();
        };
        let mut said = String::new();
        running.said.rewind().unwrap();
        running.said.read_to_string(&mut said).unwrap();
        (status.success(), said)
    }

    /// What `ovs-ofctl` prints.
    fn ofctl(&mut self, version: &str, command: &str, arguments: &[&str]) -> String {
        let running = self.start(version, command, arguments);
        let (content, said) = self.end(running);
        assert!(content, "{version} {command} {arguments:?}: {said}");
        said
    }

    fn receive(&mut self, port: u32, frame: &[u8]) -> Vec<Sent> {
        self.hub.with(|agent, links| agent.receive(links, PortNo(port), frame));
        self.hub.flush();
        self.sent()
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::iter::from_fn(|| self.hub.handler().poll_packet()).collect()
    }
}

/// A frame between two stations.
fn frame(destination: u8, source: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source, 0x88, 0xb5];
    frame.resize(60, 0);
    frame
}

fn ports(sent: &[Sent]) -> Vec<u32> {
    let mut ports: Vec<u32> = sent.iter().map(|sent| sent.port.0).collect();
    ports.sort_unstable();
    ports
}

fn rig() -> Rig {
    Rig::new(SwitchConfig { datapath: 0xabc, ..SwitchConfig::default() }, vec![], PATIENCE)
}

#[test]
fn ovs_ofctl_sees_the_switch_and_its_ports() {
    let mut rig = rig();
    for version in VERSIONS {
        let said = rig.ofctl(version, "show", &[]);
        assert!(said.contains("dpid:0000000000000abc"), "{said}");
        for number in 1..=3 {
            assert!(
                said.contains(&format!(" {number}(eth{number}): addr:02:00:00:00:01:0{number}")),
                "{said}"
            );
        }
        assert!(rig.ofctl(version, "dump-desc", &[]).contains("Manufacturer: weft"));
        let said = rig.ofctl(version, "dump-tables", &[]);
        assert!(said.contains("active=0"), "{said}");
        assert!(rig.ofctl(version, "probe", &[]).is_empty());
        assert!(rig.ofctl(version, "ping", &["64"]).contains("64 bytes from"));
        let said = rig.ofctl(version, "queue-stats", &[]);
        assert!(said.contains("0 queues"), "{said}");
        assert!(rig.ofctl(version, "get-frags", &[]).contains("normal"));
    }
    let said = rig.ofctl("OpenFlow13", "dump-table-features", &[]);
    assert!(said.contains("table 0"), "{said}");
}

#[test]
fn flows_of_ovs_ofctl_carry_packets_and_count_them() {
    let mut rig = rig();
    for version in VERSIONS {
        let flow = "table=0,priority=10,cookie=0x7,in_port=1,dl_dst=02:00:00:00:00:02,actions=mod_vlan_vid:9,output:2";
        rig.ofctl(version, "add-flow", &[flow]);
        rig.ofctl(version, "add-flow", &["priority=5,in_port=1,actions=output:2,output:3"]);
        let sent = rig.receive(1, &frame(2, 1));
        assert_eq!(ports(&sent), [2]);
        assert_eq!(sent[0].bytes[12..16], [0x81, 0x00, 0, 9]);
        assert_eq!(ports(&rig.receive(1, &frame(9, 1))), [2, 3]);
        assert_eq!(ports(&rig.receive(2, &frame(1, 2))), [0; 0], "nothing matches, and it fails secure");

        let said = rig.ofctl(version, "dump-flows", &[]);
        let line = said.lines().find(|line| line.contains("cookie=0x7")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("n_packets=1, n_bytes=60") && line.contains("priority=10"), "{said}");
        let said = rig.ofctl(version, "dump-aggregate", &["in_port=1"]);
        assert!(said.contains("packet_count=2 byte_count=120 flow_count=2"), "{said}");

        // Strict and loose.
        rig.ofctl(version, "mod-flows", &["--strict", "priority=5,in_port=1,actions=output:3"]);
        assert_eq!(ports(&rig.receive(1, &frame(9, 1))), [3]);
        rig.ofctl(version, "del-flows", &["--strict", "priority=6,in_port=1"]);
        assert_eq!(rig.hub.handler().switch().flows(), 2);
        let refused = rig.start(
            version,
            "add-flow",
            &["check_overlap,priority=10,dl_dst=02:00:00:00:00:02,actions=drop"],
        );
        let (content, said) = rig.end(refused);
        assert!(!content && said.contains("OFPFMFC_OVERLAP"), "{said}");
        rig.ofctl(version, "del-flows", &[]);
        assert_eq!(rig.hub.handler().switch().flows(), 0);
    }
}

#[test]
fn more_flows_than_fit_into_a_message_are_told_of() {
    let mut rig = rig();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flows");
    let flows: String = (1..=3000)
        .map(|n| format!("priority={n},in_port=1,ip,nw_dst=10.0.{}.{},actions=output:2\n", n / 256, n % 256))
        .collect();
    std::fs::write(&file, flows).unwrap();
    for version in VERSIONS {
        rig.ofctl(version, "add-flows", &[file.to_str().unwrap()]);
        let said = rig.ofctl(version, "dump-flows", &["--no-stats"]);
        assert_eq!(
            said.lines().filter(|line| line.contains("output:2") || line.contains("output:eth2")).count(),
            3000
        );
        rig.ofctl(version, "del-flows", &[]);
    }
}

#[test]
fn ports_are_counted_and_taken_down() {
    let mut rig = rig();
    for version in VERSIONS {
        rig.ofctl(version, "add-flow", &["in_port=1,actions=output:2"]);
        let before = rig.ofctl(version, "dump-ports", &["2"]);
        assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [2]);
        let after = rig.ofctl(version, "dump-ports", &["2"]);
        assert!(before != after && after.contains("tx pkts="), "{after}");

        rig.ofctl(version, "mod-port", &["eth2", "down"]);
        assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0]);
        assert!(rig.ofctl(version, "show", &[]).contains("config:     PORT_DOWN"));
        rig.ofctl(version, "mod-port", &["2", "up"]);
        assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [2]);
        rig.ofctl(version, "mod-port", &["1", "no-receive"]);
        assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0]);
        rig.ofctl(version, "mod-port", &["1", "receive"]);
    }
}

#[test]
fn groups_and_meters_of_ovs_ofctl() {
    let mut rig = rig();
    let version = "OpenFlow13";
    rig.ofctl(version, "add-group", &["group_id=7,type=all,bucket=output:2,bucket=output:3"]);
    rig.ofctl(version, "add-meter", &["meter=1,pktps,burst,band=type=drop,rate=1,burst_size=1"]);
    rig.ofctl(version, "add-flow", &["in_port=1,actions=group:7"]);
    rig.ofctl(version, "add-flow", &["in_port=2,actions=meter:1,output:3"]);
    assert_eq!(ports(&rig.receive(1, &frame(9, 1))), [2, 3]);
    let passed: usize = (0..10).map(|_| rig.receive(2, &frame(9, 2)).len()).sum();
    assert!((1..=3).contains(&passed), "{passed} of 10 passed a meter of one");
    assert!(rig.ofctl(version, "dump-groups", &[]).contains("group_id=7,type=all,bucket="));
    assert!(rig.ofctl(version, "dump-group-stats", &[]).contains("packet_count=1,byte_count=60"));
    assert!(rig.ofctl(version, "dump-meters", &[]).contains("meter=1 pktps burst"));
    let said = rig.ofctl(version, "meter-stats", &[]);
    assert!(said.contains("packet_in_count:10"), "{said}");
    assert!(rig.ofctl(version, "meter-features", &[]).contains("max_meter"));
}

#[test]
fn ovs_ofctl_watches_packets_and_sends_some() {
    let mut rig = rig();
    for version in VERSIONS {
        let bytes = "ffffffffffff02000000000188b5000000";
        rig.ofctl(version, "packet-out", &["1", "flood", bytes]);
        assert_eq!(ports(&rig.sent()), [2, 3]);
        if version == "OpenFlow13" {
            rig.ofctl(version, "add-flow", &["priority=0,actions=controller"]);
        }
        rig.until(|agent| agent.controllers().is_empty());
        let mut watch = rig.start(version, "monitor", &["65534"]);
        rig.until(|agent| agent.controllers().len() == 1);
        // It asks for whole packets, and then waits for them.
        for _ in 0..100 {
            rig.turn();
        }
        let unheard = rig.receive(1, &frame(2, 1));
        assert_eq!(unheard, []);
        for _ in 0..100 {
            rig.turn();
        }
        watch.child.kill().unwrap();
        let (_, said) = rig.end(watch);
        assert!(
            said.contains("PACKET_IN") && said.contains("dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"),
            "{said}"
        );
    }
}

/// `ovs-ofctl monitor … watch:` sets a flow monitor up: Nicira's in 1.0, the Foundation's in 1.3.
#[test]
fn ovs_ofctl_watches_flows() {
    for version in VERSIONS {
        let mut rig = rig();
        rig.ofctl(version, "add-flow", &["table=0,priority=3,in_port=1,actions=output:2"]);
        let mut watch = rig.start(version, "monitor", &["watch:"]);
        rig.until(|agent| agent.controllers().len() == 1);
        for _ in 0..100 {
            rig.turn();
        }
        let tcp = "priority=7,idle_timeout=100,cookie=0x5,tcp,tp_dst=80";
        rig.ofctl(version, "add-flow", &[&format!("{tcp},actions=output:2,output:3")]);
        rig.ofctl(version, "mod-flows", &["tcp,actions=drop"]);
        rig.ofctl(version, "del-flows", &["tcp"]);
        rig.ofctl(version, "add-flow", &["hard_timeout=1,ip,actions=normal"]);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1500) {
            rig.turn();
        }
        watch.child.kill().unwrap();
        let (_, said) = rig.end(watch);
        let name = if version == "OpenFlow10" { "NXST_FLOW_MONITOR" } else { "ONFST_FLOW_MONITOR" };
        assert!(said.contains(name), "{said}");
        // Open vSwitch is told the same by itself; a modification of 1.0 has a cookie of its own.
        let cookie = if version == "OpenFlow10" { "0" } else { "0x5" };
        let events: Vec<&str> =
            said.lines().map(str::trim).filter(|line| line.starts_with("event=")).collect();
        let wanted = [
            "event=ADDED table=0 cookie=0 in_port=1 actions=output:2".to_owned(),
            "event=ADDED table=0 idle_timeout=100 cookie=0x5 tcp,tp_dst=80 actions=output:2,output:3"
                .to_owned(),
            format!("event=MODIFIED table=0 idle_timeout=100 cookie={cookie} tcp,tp_dst=80"),
            format!("event=DELETED reason=delete table=0 idle_timeout=100 cookie={cookie} tcp,tp_dst=80"),
            "event=ADDED table=0 hard_timeout=1 cookie=0 ip actions=NORMAL".to_owned(),
            "event=DELETED reason=hard table=0 hard_timeout=1 cookie=0 ip actions=NORMAL".to_owned(),
        ];
        assert_eq!(events, wanted, "{version}: {said}");
        rig.ofctl(version, "add-flow", &["tcp,tp_dst=80,actions=output:2"]);
        let mut watch = rig.start(version, "monitor", &["watch:!own,!delete,table=0,out_port=2,tcp"]);
        rig.until(|agent| agent.controllers().len() == 1);
        for _ in 0..100 {
            rig.turn();
        }
        watch.child.kill().unwrap();
        let (_, said) = rig.end(watch);
        assert!(said.contains("event=ADDED table=0 cookie=0 tcp,tp_dst=80 actions=output:2"), "{said}");
        assert!(!said.contains("in_port=1"), "{said}");
    }
}

#[test]
fn a_snapshot_of_a_switch_explains_what_it_would_do() {
    let mut rig = rig();
    rig.ofctl("OpenFlow13", "add-group", &["group_id=1,type=all,bucket=output:3"]);
    rig.ofctl("OpenFlow13", "add-group", &["group_id=2,type=all,bucket=output:2,bucket=group:1"]);
    rig.ofctl("OpenFlow13", "add-meter", &["meter=1,kbps,band=type=drop,rate=1000"]);
    rig.ofctl("OpenFlow13", "add-flow", &["in_port=1,tcp,tcp_dst=80,actions=meter:1,goto_table:3"]);
    rig.ofctl("OpenFlow13", "add-flow", &["table=3,actions=group:2"]);
    let (at, limits) = (rig.at.clone(), HubConfig::default());
    for version in Version::ALL {
        let config = Config { versions: Versions::only(version), ..Config::default() };
        let (at, limits) = (at.clone(), limits.clone());
        let taking = std::thread::spawn(move || Snapshot::take(&at, PATIENCE, config, limits));
        while !taking.is_finished() {
            rig.turn();
        }
        let snapshot = taking.join().unwrap().unwrap();
        assert_eq!((snapshot.version, snapshot.features.datapath), (version, 0xabc));
        if version == Version::V13 {
            assert_eq!((snapshot.flows.len(), snapshot.groups.len(), snapshot.meters.len()), (2, 2, 1));
            let (switch, missing) = snapshot.build();
            assert_eq!(missing, [""; 0]);
            let web = Match::new().with(Oxm::exact(Field::TcpDst, 80)).example();
            let mut out: Vec<u32> = switch
                .explain(Duration::ZERO, PortNo(1), &web)
                .outputs
                .iter()
                .map(|(port, _)| port.0)
                .collect();
            out.sort_unstable();
            assert_eq!(out, [2, 3]);
            assert!(switch.explain(Duration::ZERO, PortNo(2), &web).outputs.is_empty());
        }
    }
    let nobody: Target = "tcp:127.0.0.1:1".parse().unwrap();
    let refused = Snapshot::take(&nobody, PATIENCE, Config::default(), limits).unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}

/// A controller that keeps what it is told.
#[derive(Default)]
struct Controller {
    up: Vec<ConnectionId>,
    packet_ins: usize,
    messages: Vec<Body>,
}

impl Handler for Controller {
    fn connected(&mut self, _links: &mut Links<'_>, id: ConnectionId, _up: Up) {
        self.up.push(id);
    }

    fn event(&mut self, _links: &mut Links<'_>, _id: ConnectionId, event: Event<'_>) {
        match event {
            Event::PacketIn(_) => self.packet_ins += 1,
            Event::Message(message) => self.messages.push(message.body),
            other => panic!("{other:?}"),
        }
    }

    fn disconnected(&mut self, _links: &mut Links<'_>, _id: ConnectionId, _reason: &Down) {}
}

fn controller(version: Version) -> (Hub<Controller>, Target) {
    let mut hub = Hub::new(Controller::default(), HubConfig::default()).unwrap();
    let config = Config { versions: Versions::only(version), ..Config::default() };
    let at = hub.links().listen(&"ptcp:0:127.0.0.1".parse().unwrap(), Side::Controller(config)).unwrap();
    let Target::Listen(at, tls) = at else { panic!("{at}") };
    (hub, Target::Dial(at, tls))
}

fn both(rig: &mut Rig, hubs: &mut [&mut Hub<Controller>], what: impl Fn(&mut Agent, &[&Controller]) -> bool) {
    let begin = Instant::now();
    loop {
        rig.turn();
        for hub in hubs.iter_mut() {
            hub.turn(Some(Duration::from_millis(1))).unwrap();
        }
        let handlers: Vec<&Controller> = hubs.iter_mut().map(|hub| &*hub.handler()).collect();
        if what(rig.hub.handler(), &handlers) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn several_controllers_of_either_version_and_their_roles() {
    let (mut old, old_at) = controller(Version::V10);
    let (mut new, new_at) = controller(Version::V13);
    let mut rig = Rig::new(SwitchConfig::default(), vec![old_at, new_at], PATIENCE);
    both(&mut rig, &mut [&mut old, &mut new], |_, both| both.iter().all(|one| one.up.len() == 1));
    assert_eq!(rig.hub.handler().controllers().iter().filter(|status| status.version.is_some()).count(), 2);
    // A miss goes to the one of 1.0; one of 1.3 has to ask for it with an entry.
    rig.receive(1, &frame(2, 1));
    both(&mut rig, &mut [&mut old, &mut new], |_, both| both[0].packet_ins == 1);
    rig.ofctl("OpenFlow13", "add-flow", &["priority=0,actions=controller"]);
    rig.receive(1, &frame(2, 1));
    both(&mut rig, &mut [&mut old, &mut new], |_, both| both[0].packet_ins == 2 && both[1].packet_ins == 1);
    // A slave hears of no packets.
    let id = new.handler().up[0];
    let role = RoleMessage { role: Role::Slave, generation: 1 };
    new.links().send_body(id, &Body::RoleRequest(role)).unwrap();
    both(&mut rig, &mut [&mut old, &mut new], |_, both| both[1].messages.contains(&Body::RoleReply(role)));
    rig.receive(1, &frame(2, 1));
    both(&mut rig, &mut [&mut old, &mut new], |_, both| both[0].packet_ins == 3);
    assert_eq!(new.handler().packet_ins, 1);
    // One that is gone is known to be.
    drop(new);
    both(&mut rig, &mut [&mut old], |agent, _| {
        agent.controllers().iter().any(|status| status.problem.is_some())
    });
}

#[test]
fn without_a_controller_it_stands_alone_after_a_while_or_not_at_all() {
    let grace = Duration::from_millis(300);
    let standalone = SwitchConfig { fail_mode: FailMode::Standalone, ..SwitchConfig::default() };
    let (mut hub, at) = controller(Version::V13);
    let mut rig = Rig::new(standalone, vec![at.clone()], grace);
    both(&mut rig, &mut [&mut hub], |_, all| all[0].up.len() == 1);
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0], "its controller has no flows for it");
    // What a controller leaves behind.
    rig.ofctl("OpenFlow13", "add-flow", &["priority=0,actions=controller"]);
    drop(hub);
    rig.until(|agent| agent.controllers().iter().all(|status| status.version.is_none()));
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0], "it may come back");
    rig.until(|agent| agent.is_alone());
    // It learns.
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [2, 3]);
    assert_eq!(ports(&rig.receive(2, &frame(1, 2))), [1]);
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [2]);
    // The controller is back, and in charge.
    let mut hub = Hub::new(Controller::default(), HubConfig::default()).unwrap();
    let Target::Dial(address, tls) = at else { panic!() };
    hub.links().listen(&Target::Listen(address, tls), Side::Controller(Config::default())).unwrap();
    both(&mut rig, &mut [&mut hub], |agent, all| all[0].up.len() == 1 && !agent.is_alone());
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0]);

    // Nobody was ever there.
    let nobody: Target = "tcp:127.0.0.1:1".parse().unwrap();
    let mut rig = Rig::new(SwitchConfig::default(), vec![nobody], grace);
    let begin = Instant::now();
    while begin.elapsed() < 2 * grace {
        rig.turn();
    }
    assert_eq!(ports(&rig.receive(1, &frame(2, 1))), [0; 0], "secure");
    assert!(rig.hub.handler().controllers()[0].problem.is_some());
}
