//! More of what ends or breaks the original, as requests to a daemon whose traffic runs on.

mod bess_kit;

use std::time::{Duration, Instant};

use bess_kit::{Daemon, packed};
use prost::Message;
use softnic::bess::{Config, pb};
use softnic::modules::Bypass;

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

/// A daemon whose source sends through the modules of these classes and names into a sink.
fn running(modules: &[(&str, &str)]) -> Daemon {
    let mut daemon = Daemon::start(Config { buffers: 1024, ..Config::default() });
    daemon.module("Source", "source", &pb::SourceArg { pkt_size: 60 });
    let mut last = "source";
    for (class, name) in modules.iter().chain([&("Sink", "sink")]) {
        match *class {
            "WildcardMatch" => daemon.module(class, name, &wildcard_arg()),
            _ => daemon.module(class, name, &NO_ARG),
        };
        daemon.connect(last, 0, 0, name);
        last = name;
    }
    daemon.must("ResumeAll", &EMPTY);
    daemon
}

/// One field: the EtherType, which is 0 in a packet of a `Source`.
fn wildcard_arg() -> pb::WildcardMatchArg {
    let position = Some(pb::field::Position::Offset(12));
    pb::WildcardMatchArg { fields: vec![pb::Field { position, num_bytes: 2 }], ..Default::default() }
}

fn rule(value: u16, mask: u16, gate: u64) -> pb::WildcardMatchCommandAddArg {
    let data = |number: u16| {
        let bytes = number.to_be_bytes().to_vec();
        vec![pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueBin(bytes)) }]
    };
    pb::WildcardMatchCommandAddArg {
        gate,
        priority: i64::from(mask),
        values: data(value & mask),
        masks: data(mask),
        valuesv: vec![],
    }
}

/// Packets that have come in at a module's gate.
fn arrived(daemon: &Daemon, module: &str) -> u64 {
    daemon.bess.engine().snapshot().module(module).unwrap().inputs.first().copied().unwrap_or_default()
}

fn wait_for_more(daemon: &Daemon, module: &str) {
    let (before, start) = (arrived(daemon, module), Instant::now());
    while arrived(daemon, module) <= before {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing comes to {module} any more");
    }
}

#[test]
fn a_table_is_read_back_while_traffic_runs() {
    // BESS dies of the module test of `WildcardMatch.get_runtime_config`.
    let mut daemon = running(&[("WildcardMatch", "wild")]);
    let config = pb::WildcardMatchConfig {
        default_gate: 3,
        rules: vec![rule(0x0800, 0xffff, 1), rule(0x86dd, 0xfff0, 2), rule(0, 0, 0)],
    };
    for _ in 0..100 {
        let set = daemon.command("wild", "set_runtime_config", &config);
        assert_eq!(set.error, None);
        let got = daemon.command("wild", "get_runtime_config", &NO_ARG);
        assert_eq!(got.error, None);
        let mut got = pb::WildcardMatchConfig::decode(&*got.data.unwrap().value).unwrap();
        got.rules.sort_by_key(|rule| rule.gate == 0);
        got.rules[..2].sort_by_key(|rule| rule.gate);
        assert_eq!(got, config);
    }
    wait_for_more(&daemon, "sink");
}

#[test]
fn rules_are_added_without_a_pause() {
    // BESS crashes: omec-project/upf issue 267.
    let mut daemon = running(&[("WildcardMatch", "wild")]);
    let add = daemon.command("wild", "add", &rule(0, 0, 0));
    assert_eq!(add.error, None);
    wait_for_more(&daemon, "sink");
    for value in 1..=300u16 {
        // Three masks, so that tables of their own come and go as well.
        let mask = [0xffff, 0xfff0, 0xff0f][usize::from(value) % 3];
        let rule = rule(value | 0x8000, mask, 1);
        assert_eq!(daemon.command("wild", "add", &rule).error, None);
        if value % 2 == 0 {
            let pb::WildcardMatchCommandAddArg { values, masks, .. } = rule;
            let gone = pb::WildcardMatchCommandDeleteArg { values, masks };
            assert_eq!(daemon.command("wild", "delete", &gone).error, None);
        }
    }
    wait_for_more(&daemon, "sink");
    let snapshot = daemon.bess.engine().snapshot();
    assert!(snapshot.modules.iter().all(|module| module.failed.is_none()));
    let wild = snapshot.module("wild").unwrap();
    // Before there was a rule, the default gate dropped.
    assert_eq!((wild.lost, wild.outputs.iter().map(|gate| gate.unconnected).sum()), (0, 0u64));
}

fn make_a_mistake(_: &mut Bypass) {
    panic!("a mistake");
}

#[test]
fn a_module_that_panics_takes_its_packets_along_and_nothing_else() {
    let mut daemon = running(&[("Bypass", "bad")]);
    daemon.module("Source", "other_source", &pb::SourceArg { pkt_size: 60 });
    daemon.module("Sink", "other_sink", &NO_ARG);
    daemon.connect("other_source", 0, 0, "other_sink");
    let class = pb::TrafficClass { leaf_module_name: "other_source".to_owned(), ..Default::default() };
    daemon.must("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(class) });
    for module in ["sink", "other_sink"] {
        wait_for_more(&daemon, module);
    }
    assert!(daemon.bess.engine().with_module("bad", make_a_mistake).is_err());
    wait_for_more(&daemon, "other_sink");

    let info: pb::GetModuleInfoResponse =
        daemon.ask("GetModuleInfo", &pb::GetModuleInfoRequest { name: "bad".to_owned() });
    assert!(info.desc.contains("out of order: a mistake") && info.deadends > 0, "{info:?}");
    let command = daemon.command("bad", "nothing", &NO_ARG);
    assert_eq!(command.error.unwrap().code, rustix::io::Errno::NOTSUP.raw_os_error());

    let name = "bad".to_owned();
    daemon.must("DestroyModule", &pb::DestroyModuleRequest { name: name.clone() });
    daemon.must(
        "CreateModule",
        &pb::CreateModuleRequest { name, mclass: "Bypass".to_owned(), arg: Some(packed(&NO_ARG)) },
    );
    daemon.connect("bad", 0, 0, "sink");
    daemon.connect("source", 0, 0, "bad");
    for module in ["sink", "other_sink"] {
        wait_for_more(&daemon, module);
    }
}

#[test]
fn a_module_put_into_the_way_is_at_once_with_the_right_worker() {
    // A worker apart would get a ring's worth of packets, and the rest would be lost before the module has moved.
    let mut daemon = running(&[("Bypass", "first")]);
    wait_for_more(&daemon, "sink");
    for round in 0..20 {
        let name = format!("new{round}");
        daemon.module("Bypass", &name, &NO_ARG);
        daemon.connect(&name, 0, 0, "sink");
        let first = pb::DisconnectModulesRequest { name: "first".to_owned(), ogate: 0 };
        daemon.must("DisconnectModules", &first);
        daemon.connect("first", 0, 0, &name);
        wait_for_more(&daemon, "sink");
        let snapshot = daemon.bess.engine().snapshot();
        let overrun = snapshot.modules.iter().flat_map(|module| &module.outputs).map(|gate| gate.overrun);
        assert_eq!(overrun.sum::<u64>(), 0, "round {round}");
        daemon.must("DisconnectModules", &first);
        daemon.must("DestroyModule", &pb::DestroyModuleRequest { name });
        daemon.connect("first", 0, 0, "sink");
    }
}
