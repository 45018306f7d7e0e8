//! os-ken's switch conformance suite, judged in virtual time: os-ken reads its files and makes the bytes of messages and
//! packets (`conformance/cases.py`), and what the switch makes of them is compared as os-ken's tester does, whose second
//! switch is one of ours too. `docs/conformance.md` lists what does not pass, and why.

#[path = "conformance/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openflow::Version;
use openflow::action::Action;
use openflow::codec;
use openflow::flow::{ALL_TABLES, FlowCommand, FlowMod, PacketIn, PacketInReason};
use openflow::group::{GroupCommand, GroupKind, GroupMod};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, Message};
use openflow::meter::{MeterCommand, MeterMod};
use openflow::multipart::{FlowRequest, MultipartRequest, Reply, Request};
use openflow::port::{Port, PortNo};
use openflow::switch::{ConnectionId, Output, Switch, SwitchConfig};

use cases::{Case, Expected, Ingress, Trial};

const CONTROLLER: ConnectionId = ConnectionId(1);
/// What os-ken gives measured rates (`THROUGHPUT_THRESHOLD`).
const TOLERANCE: f64 = 0.10;

/// A switch with ports 1 to 3 and a controller.
struct Target {
    switch: Switch,
    version: Version,
    now: Duration,
    xid: u32,
}

/// What came out.
#[derive(Default)]
struct Got {
    packets: Vec<(u32, Vec<u8>)>,
    packet_ins: Vec<PacketIn>,
    others: Vec<Body>,
}

impl Target {
    fn new(version: Version) -> Self {
        let (mut switch, now) = (Switch::new(SwitchConfig::default()), Duration::ZERO);
        for number in 1..=3 {
            switch.add_port(now, Port { number: PortNo(number), ..Port::default() }).unwrap();
        }
        switch.connect(now, CONTROLLER, version);
        Self { switch, version, now, xid: 0 }
    }

    fn drain(&mut self) -> Got {
        let mut got = Got::default();
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Packet { port, bytes, .. } => got.packets.push((port.0, bytes)),
                Output::Message { message, .. } => {
                    // As the wire carries it.
                    let mut bytes = Vec::new();
                    codec::encode(self.version, &message, &mut bytes)
                        .expect("what the switch says can be said");
                    match codec::decode(&bytes).expect("and read").1.body {
                        Body::PacketIn(packet_in) => got.packet_ins.push(packet_in),
                        other => got.others.push(other),
                    }
                }
            }
        }
        got
    }

    fn ask(&mut self, body: Body) -> Vec<Body> {
        self.xid += 1;
        self.switch.handle_message(self.now, CONTROLLER, &Message::new(self.xid, body));
        self.drain().others
    }

    fn tell(&mut self, body: Body) -> Result<(), String> {
        match self.ask(body).first() {
            None => Ok(()),
            Some(Body::Error(error)) => match error.code.fault(self.version) {
                Some(fault) => Err(format!("refused with {fault}")),
                None => Err(format!("refused with {:?}", error.code)),
            },
            Some(other) => Err(format!("answered with {other:?}")),
        }
    }

    /// What the tester does before each case.
    fn clear(&mut self) -> Result<(), String> {
        if self.version == Version::V13 {
            let all = openflow::meter::ALL;
            self.tell(Body::MeterMod(MeterMod {
                command: MeterCommand::Delete,
                flags: 0,
                meter: all,
                bands: vec![],
            }))?;
            let (command, kind, group) = (GroupCommand::Delete, GroupKind::All, openflow::group::ALL);
            self.tell(Body::GroupMod(GroupMod { command, kind, group, buckets: vec![] }))?;
        }
        let table = if self.version == Version::V13 { ALL_TABLES } else { 0 };
        self.tell(Body::FlowMod(FlowMod { command: FlowCommand::Delete, table, ..FlowMod::default() }))?;
        let matching = Match::new().in_port(PortNo(2)).for_version(self.version);
        let instructions = vec![Instruction::ApplyActions(vec![Action::controller()])];
        self.tell(Body::FlowMod(FlowMod { matching, instructions, ..FlowMod::default() }))
    }

    fn multipart(&mut self, body: Request) -> Vec<Reply> {
        let replies = self.ask(Body::MultipartRequest(MultipartRequest { flags: 0, body }));
        let one = |body| match body {
            Body::MultipartReply(reply) => Some(reply.body),
            _ => None,
        };
        replies.into_iter().filter_map(one).collect()
    }

    /// Every table's lookups and matches.
    fn tables(&mut self) -> BTreeMap<u8, (u64, u64)> {
        let tables = self.multipart(Request::Table).into_iter().flat_map(|reply| match reply {
            Reply::Table(tables) => tables,
            _ => Vec::new(),
        });
        tables.map(|table| (table.table, (table.lookups, table.matched))).collect()
    }

    /// Installs a prerequisite, which must then be there as it was sent.
    fn install(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (_, message) = codec::decode(bytes).map_err(|error| format!("not read: {error}"))?;
        self.tell(message.body.clone())?;
        let is_there = match message.body {
            Body::FlowMod(flow) => self.flows().iter().any(|found| {
                let attributes = (found.cookie, found.priority, found.idle_timeout, found.hard_timeout);
                let table = self.version == Version::V10 || found.table == flow.table;
                attributes == (flow.cookie, flow.priority, flow.idle_timeout, flow.hard_timeout)
                    && table
                    && found.matching == flow.matching
                    && found.instructions == flow.instructions
            }),
            Body::GroupMod(group) => {
                self.multipart(Request::GroupDescription).iter().any(|reply| match reply {
                    Reply::GroupDescription(groups) => {
                        let wanted = (group.group, group.kind, &group.buckets);
                        groups.iter().any(|found| (found.group, found.kind, &found.buckets) == wanted)
                    }
                    _ => false,
                })
            }
            Body::MeterMod(meter) => {
                self.multipart(Request::MeterConfig(openflow::meter::ALL)).iter().any(|reply| match reply {
                    Reply::MeterConfig(meters) => {
                        let wanted = (meter.meter, meter.flags, &meter.bands);
                        meters.iter().any(|found| (found.meter, found.flags, &found.bands) == wanted)
                    }
                    _ => false,
                })
            }
            other => return Err(format!("no prerequisite: {other:?}")),
        };
        if is_there { Ok(()) } else { Err("not in the statistics as it was sent".to_owned()) }
    }

    fn flows(&mut self) -> Vec<openflow::multipart::FlowStats> {
        let wanted = FlowRequest {
            table: ALL_TABLES,
            out_port: PortNo::ANY,
            out_group: openflow::group::ANY,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::default(),
        };
        let flows = self.multipart(Request::Flow(wanted)).into_iter().flat_map(|reply| match reply {
            Reply::Flow(flows) => flows,
            _ => Vec::new(),
        });
        flows.collect()
    }

    fn receive(&mut self, port: u32, packet: &[u8]) -> Got {
        self.switch.receive(self.now, PortNo(port), packet);
        self.drain()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn differs(wanted: &[u8], found: &[u8]) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("wanted {}\n     found {}", hex(wanted), hex(found))) }
}

fn judge_one(target: &mut Target, packet: &[u8], expected: &Expected) -> Result<(), String> {
    let before = target.tables();
    let got = target.receive(1, packet);
    match expected {
        Expected::Egress(wanted) => {
            if let Some(packet_in) = got.packet_ins.first() {
                return Err(format!("a packet-in, {:?}", packet_in.reason));
            }
            let sent = got.packets.iter().find(|(port, _)| *port == 2).ok_or("nothing sent")?;
            differs(wanted, &sent.1)
        }
        Expected::PacketIn(wanted) => {
            let packet_in = got.packet_ins.first().ok_or("no packet-in")?;
            if packet_in.reason != PacketInReason::Action {
                return Err(format!("for the reason {:?}", packet_in.reason));
            }
            differs(wanted, &packet_in.data)
        }
        Expected::Miss(tables) => {
            let after = target.tables();
            let lookups = tables.iter().any(|table| after[table].0 > before[table].0);
            match tables.iter().find(|table| after[table].1 > before[table].1) {
                _ if !lookups => Err("no lookup".to_owned()),
                Some(table) => Err(format!("matched in table {table}")),
                None => Ok(()),
            }
        }
        Expected::Rates(_) => Err("one packet has no rate".to_owned()),
    }
}

fn judge_many(target: &mut Target, trial: &Trial) -> Result<(), String> {
    let (Ingress::Many { rate, seconds, length, filler, heads }, Expected::Rates(rates)) =
        (&trial.ingress, &trial.expected)
    else {
        return Err("many packets have rates".to_owned());
    };
    let mut tester = Target::new(Version::V13);
    let mut flows = Vec::new();
    for wanted in rates {
        let (_, message) = codec::decode(&wanted.flow).map_err(|error| error.to_string())?;
        let Body::FlowMod(flow) = &message.body else { return Err("no flow-mod".to_owned()) };
        flows.push(flow.matching.clone());
        tester.tell(message.body)?;
    }
    let start = target.now;
    let mut packet = vec![*filler; *length];
    for number in 0..rate * seconds {
        let head = &heads[number as usize % heads.len()];
        packet[..head.len()].copy_from_slice(head);
        target.now = start + Duration::from_nanos(number * 1_000_000_000 / rate);
        for (port, bytes) in target.receive(1, &packet).packets {
            tester.receive(port, &bytes);
        }
    }
    target.now = start + Duration::from_secs(*seconds);
    let found = tester.flows();
    for (wanted, matching) in rates.iter().zip(&flows) {
        let flow = found.iter().find(|flow| flow.matching == *matching).ok_or("no such flow")?;
        // os-ken counts 1024 bits a kbit.
        let (measured, expected) = match (wanted.packets, wanted.kbps) {
            (Some(packets), _) => (flow.packets as f64, packets * *seconds as f64),
            (_, Some(kbps)) => (flow.bytes as f64, kbps * *seconds as f64 * 128.0),
            _ => return Err("no rate".to_owned()),
        };
        if (measured - expected).abs() > expected * TOLERANCE {
            return Err(format!("{measured} where {expected} was expected"));
        }
    }
    Ok(())
}

fn judge(target: &mut Target, case: &Case) -> Result<(), String> {
    target.clear()?;
    for message in &case.prerequisites {
        target.install(message)?;
    }
    for trial in &case.trials {
        match &trial.ingress {
            Ingress::One(packet) => judge_one(target, packet, &trial.expected)?,
            Ingress::Many { .. } => judge_many(target, trial)?,
        }
    }
    Ok(())
}

/// Cases, and those that fail, by file and title, with the reason.
fn run(version: Version, suite: &str) -> (usize, BTreeMap<(String, String), String>) {
    let mut target = Target::new(version);
    let mut failed = BTreeMap::new();
    let cases = cases::read(suite);
    for case in &cases {
        if let Err(reason) = judge(&mut target, case) {
            failed.insert((case.file.clone(), case.description.clone()), reason);
        }
    }
    (cases.len(), failed)
}

/// The cases that the document lists: file and title.
fn listed(suite: &str) -> BTreeSet<(String, String)> {
    let lines = include_str!("../docs/conformance.md").lines();
    let rows = lines.filter_map(|line| line.strip_prefix(&format!("| {suite} | `"))?.strip_suffix("` |"));
    rows.map(|row| row.split_once("` | `").unwrap_or_else(|| panic!("file and title: {row}")))
        .map(|(file, title)| (file.to_owned(), title.to_owned()))
        .collect()
}

/// Every case but those that the document lists passes, and it lists no other.
fn check(version: Version, suite: &str) {
    let (cases, failed) = run(version, suite);
    println!("{suite}: {} of {cases} pass", cases - failed.len());
    let listed = listed(suite);
    let new: Vec<_> = failed.iter().filter(|(case, _)| !listed.contains(case)).collect();
    assert!(new.is_empty(), "they fail, and are not listed: {new:#?}");
    let mended: Vec<_> = listed.iter().filter(|case| !failed.contains_key(case)).collect();
    assert!(mended.is_empty(), "they are listed, and pass: {mended:#?}");
}

#[test]
fn one_point_zero() {
    check(Version::V10, "of10");
}

#[test]
fn one_point_three() {
    check(Version::V13, "of13");
}
