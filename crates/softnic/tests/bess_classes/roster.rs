//! Which classes there are, and what their modules can be told.

use std::collections::BTreeSet;

use softnic::bess::{Config, pb};

use crate::EMPTY;
use crate::bess_kit::{Daemon, schema};

/// The classes of NetSys, by name, with their commands in order.
const NETSYS: [(&str, &[&str]); 52] = [
    ("ACL", &["add", "clear"]),
    ("ArpResponder", &["add"]),
    ("BPF", &["add", "delete", "clear", "get_initial_arg"]),
    ("Buffer", &[]),
    ("Bypass", &[]),
    ("DRR", &["set_quantum_size", "set_max_flow_queue_size"]),
    ("Dump", &["set_interval"]),
    ("EtherEncap", &[]),
    ("ExactMatch", &RULES),
    ("FlowGen", &["update", "set_burst"]),
    ("GenericDecap", &[]),
    ("GenericEncap", &[]),
    ("HashLB", &["set_mode", "set_gates"]),
    ("IPChecksum", &[]),
    ("IPEncap", &[]),
    ("IPLookup", &["add", "delete", "clear"]),
    ("IPSwap", &[]),
    ("L2Forward", &["add", "delete", "set_default_gate", "lookup", "populate"]),
    ("L4Checksum", &[]),
    ("MACSwap", &[]),
    ("MPLSPop", &["set"]),
    ("Measure", &["get_summary", "clear"]),
    ("Merge", &[]),
    ("MetadataTest", &[]),
    ("NAT", &CONFIG),
    ("NoOP", &[]),
    ("PortInc", &["set_burst", "get_initial_arg"]),
    ("PortOut", &["get_initial_arg"]),
    (
        "Queue",
        &[
            "set_burst",
            "set_size",
            "get_status",
            "get_initial_arg",
            "get_runtime_config",
            "set_runtime_config",
        ],
    ),
    ("QueueInc", &["set_burst"]),
    ("QueueOut", &["get_initial_arg"]),
    ("RandomSplit", &["set_droprate", "set_gates"]),
    ("RandomUpdate", &["add", "clear"]),
    ("Replicate", &["set_gates"]),
    ("Rewrite", &["add", "clear"]),
    ("RoundRobin", &["set_mode", "set_gates"]),
    ("SetMetadata", &["get_initial_arg"]),
    ("Sink", &[]),
    ("Source", &["set_pkt_size", "set_burst"]),
    ("Split", &[]),
    ("StaticNAT", &CONFIG),
    ("Timestamp", &[]),
    ("Update", &["add", "clear"]),
    ("UpdateTTL", &[]),
    ("UrlFilter", &["get_initial_arg", "get_runtime_config", "set_runtime_config", "add", "clear"]),
    ("VLANPop", &[]),
    ("VLANPush", &["set_tci"]),
    ("VLANSplit", &[]),
    ("VXLANDecap", &[]),
    ("VXLANEncap", &[]),
    ("WildcardMatch", &RULES),
    ("WorkerSplit", &["reset"]),
];

/// Those that omec adds.
const OMEC: [(&str, &[&str]); 10] = [
    ("Counter", &["add", "removeAll", "remove"]),
    ("FlowMeasure", &["read", "flip"]),
    ("GtpuDecap", &[]),
    ("GtpuEcho", &[]),
    ("GtpuEncap", &[]),
    ("GtpuParser", &[]),
    ("GtpuPathMonitoring", &["add", "delete", "clear", "read"]),
    ("IPDefrag", &[]),
    ("IPFrag", &["get_eth_mtu"]),
    ("Qos", &["add", "delete", "clear", "set_default_gate"]),
];

/// weft's own.
const OURS: [&str; 2] = ["LinkEmulator", "NetworkFunction"];

const RULES: [&str; 7] = [
    "get_initial_arg",
    "get_runtime_config",
    "set_runtime_config",
    "add",
    "delete",
    "clear",
    "set_default_gate",
];
const CONFIG: [&str; 3] = ["get_initial_arg", "get_runtime_config", "set_runtime_config"];

#[test]
fn all_classes_and_commands_of_both_lines_are_there() {
    let mut daemon = Daemon::start(Config { buffers: 64, ..Config::default() });
    let listed: pb::ListMclassResponse = daemon.ask("ListMclass", &EMPTY);
    let theirs = NETSYS.iter().chain(&OMEC);
    let wanted: BTreeSet<&str> = theirs.clone().map(|class| class.0).chain(OURS).collect();
    assert_eq!(listed.names, wanted.into_iter().collect::<Vec<_>>(), "in order, each once");
    let messages = schema();
    for (name, commands) in theirs {
        let info: pb::GetMclassInfoResponse =
            daemon.ask("GetMclassInfo", &pb::GetMclassInfoRequest { name: (*name).to_owned() });
        assert_eq!((info.error, info.name.as_str()), (None, *name));
        assert_eq!(info.cmds, *commands, "{name}");
        assert_eq!(info.cmd_args.len(), info.cmds.len(), "{name}");
        for arg in &info.cmd_args {
            assert!(messages.get_message_by_name(&format!("bess.pb.{arg}")).is_some(), "{name}: {arg}");
        }
        assert!(!info.help.is_empty(), "{name}");
    }
    let none = daemon.tell("GetMclassInfo", &pb::GetMclassInfoRequest { name: "Nothing".to_owned() });
    assert_eq!(none, (2, "no module class 'Nothing' found".to_owned()));
}
