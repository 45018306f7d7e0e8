//! The modules that the stream crosses from the start, and those beside it: between them one at least of each class that
//! can be told anything.

use prost::{Message, Name};
use prost_types::Any;
use softnic::bess::pb;
use softnic::engine::Gate;

use crate::bess_kit::frames::datagram;
use crate::bess_kit::packed;
use crate::tables::field;
use crate::{Hop, NO_ARG, Work};

/// Each class that has commands, and the module that is told them; at the end those that are told what would end the stream.
pub(crate) const TOLD: [(&str, &str); 40] = [
    ("ACL", "acl"),
    ("ArpResponder", "arp"),
    ("BPF", "bpf"),
    ("Counter", "counter"),
    ("DRR", "drr"),
    ("Dump", "dump"),
    ("ExactMatch", "exact"),
    ("FlowGen", "flows"),
    ("FlowMeasure", "sessions"),
    ("GtpuPathMonitoring", "paths"),
    ("HashLB", "hash"),
    ("IPFrag", "frag"),
    ("IPLookup", "lookup"),
    ("L2Forward", "stations"),
    ("LinkEmulator", "link"),
    ("MPLSPop", "mpls"),
    ("Measure", "measure"),
    ("NAT", "nat"),
    ("NetworkFunction", "function"),
    ("PortInc", "ring_in"),
    ("PortOut", "ring_out"),
    ("Qos", "qos"),
    ("Queue", "queue"),
    ("QueueInc", "queue_in"),
    ("QueueOut", "queue_out"),
    ("RandomSplit", "split"),
    ("RandomUpdate", "random"),
    ("Replicate", "copies"),
    ("Rewrite", "rewrite"),
    ("RoundRobin", "turns"),
    ("SetMetadata", "session"),
    ("Source", "maker"),
    ("StaticNAT", "static"),
    ("Update", "update"),
    ("UrlFilter", "urls"),
    ("VLANPush", "push"),
    ("WildcardMatch", "wild"),
    ("WorkerSplit", "workers"),
    ("ACL", "side_acl"),
    ("IPLookup", "side_lookup"),
];

/// A module of the chain: class, name, argument, and the gate at which the stream leaves it.
type Link = (&'static str, &'static str, Any, Gate);

fn link<A: Message + Name>(class: &'static str, name: &'static str, arg: &A, gate: Gate) -> Link {
    (class, name, packed(arg), gate)
}

/// Everything between the source and the judge.
fn chain() -> Vec<Link> {
    let acl = pb::AclArg {
        rules: vec![pb::acl_arg::Rule { dst_ip: "203.0.113.0/24".to_owned(), ..Default::default() }],
    };
    let outside = pb::nat_arg::ExternalAddress { ext_addr: "192.0.2.1".to_owned(), port_ranges: vec![] };
    let fields = vec![field(30, 4)];
    let attribute = |name: &str, value: &[u8]| pb::set_metadata_arg::Attribute {
        name: name.to_owned(),
        size: value.len() as u64,
        value: Some(pb::set_metadata_arg::attribute::Value::ValueBin(value.to_vec())),
        ..Default::default()
    };
    let attrs = vec![
        attribute("fseid", &7u64.to_ne_bytes()),
        attribute("pdr_id", &9u32.to_ne_bytes()),
        attribute("session", &5u32.to_ne_bytes()),
    ];
    let stamp = "timestamp".to_owned();
    let range = |start: &str, end: &str| {
        Some(pb::static_nat_arg::AddressRange { start: start.to_owned(), end: end.to_owned() })
    };
    let pair = pb::static_nat_arg::AddressRangePair {
        int_range: range("198.51.100.0", "198.51.100.255"),
        ext_range: range("198.18.0.0", "198.18.0.255"),
    };
    let sessions = pb::FlowMeasureArg { flag_attr_name: "side".to_owned(), entries: 16, leader: true };
    vec![
        link("ExactMatch", "exact", &pb::ExactMatchArg { fields: fields.clone(), ..Default::default() }, 0),
        link(
            "WildcardMatch",
            "wild",
            &pb::WildcardMatchArg { fields: fields.clone(), ..Default::default() },
            0,
        ),
        link("ACL", "acl", &acl, 0),
        link("Update", "update", &NO_ARG, 0),
        link("NAT", "nat", &pb::NatArg { ext_addrs: vec![outside] }, 1),
        link("Queue", "queue", &pb::QueueArg { size: 1024, ..Default::default() }, 0),
        link("SetMetadata", "session", &pb::SetMetadataArg { attrs }, 0),
        link(
            "Timestamp",
            "stamp",
            &pb::TimestampArg { r#type: Some(pb::timestamp_arg::Type::AttrName(stamp.clone())) },
            0,
        ),
        link("BPF", "bpf", &NO_ARG, 0),
        link("HashLB", "hash", &NO_ARG, 0),
        link("L2Forward", "stations", &NO_ARG, 0),
        link("MPLSPop", "mpls", &NO_ARG, 1),
        link("StaticNAT", "static", &pb::StaticNatArg { pairs: vec![pair] }, 1),
        link("UrlFilter", "urls", &NO_ARG, 0),
        link("VLANPush", "push", &pb::VlanPushArg { tci: 2 }, 0),
        link("VLANPop", "pop", &NO_ARG, 0),
        link("WorkerSplit", "workers", &by_worker(0), 0),
        link("RoundRobin", "turns", &pb::RoundRobinArg { gates: vec![0], ..Default::default() }, 0),
        link("DRR", "drr", &pb::DrrArg { num_flows: 16, quantum: 1500, max_flow_queue_size: 1024 }, 0),
        link("RandomSplit", "split", &pb::RandomSplitArg { drop_rate: 0.0, gates: vec![0] }, 0),
        link("Replicate", "copies", &pb::ReplicateArg { gates: vec![0] }, 0),
        link(
            "Measure",
            "measure",
            &pb::MeasureArg { r#type: Some(pb::measure_arg::Type::AttrName(stamp)), ..Default::default() },
            0,
        ),
        link("FlowMeasure", "sessions", &sessions, 0),
        link(
            "Counter",
            "counter",
            &pb::CounterArg { name_id: "session".to_owned(), check_exist: true, total: 16 },
            0,
        ),
        link("Qos", "qos", &pb::QosArg { fields, ..Default::default() }, 4),
        link("IPFrag", "frag", &pb::IpFragArg { mtu: 1518, ipv6: false }, 1),
        link("RandomUpdate", "random", &NO_ARG, 0),
        link("Dump", "dump", &pb::DumpArg { interval: 1e6 }, 0),
        link("IPLookup", "lookup", &NO_ARG, 0),
    ]
}

/// Packets of each of our workers leave at gate 0, those of another one at `other`.
pub(crate) fn by_worker(other: u32) -> pb::WorkerSplitArg {
    pb::WorkerSplitArg { worker_gates: [(0, 0), (1, 0), (2, 0), (7, other)].into() }
}

impl Work {
    fn create(&mut self, class: &str, name: &str, arg: Any) {
        let (name, mclass, arg) = (name.to_owned(), class.to_owned(), Some(arg));
        self.daemon.must("CreateModule", &pb::CreateModuleRequest { name, mclass, arg });
    }

    /// Makes the chain, from the module behind the source to the one before the judge.
    pub(crate) fn make_chain(&mut self) {
        for (class, name, arg, gate) in chain() {
            self.create(class, name, arg);
            self.chain.push(Hop { name: name.to_owned(), gate, inserted: false });
        }
        for pair in self.chain.windows(2) {
            self.daemon.connect(&pair[0].name, u64::from(pair[0].gate), 0, &pair[1].name);
        }
        self.daemon.module("Sink", "copies_end", &NO_ARG);
        for gate in [1, 2] {
            self.daemon.connect("copies", gate, 0, "copies_end");
        }
    }

    /// Makes what stands beside the chain: a generator of flows, copies of which go to each class that keeps packets to
    /// itself, or whose commands would end the stream; through rings and back; and a source that is held to a rate.
    pub(crate) fn make_side(&mut self) {
        let flows = pb::FlowGenArg {
            template: datagram(["10.9.0.1:1000", "10.9.0.2:53"], b"beside"),
            pps: 500.0,
            flow_rate: 50.0,
            flow_duration: 0.1,
            ..Default::default()
        };
        let words = ["firewall", "rule=permit out any any"].map(str::to_owned).to_vec();
        let link = pb::LinkEmulatorArg {
            rate: "100mbit".to_owned(),
            delay: "1ms".to_owned(),
            packets: 64,
            ..Default::default()
        };
        for port in ["ring", "one"] {
            let arg = packed(&pb::PmdPortArg { loopback: true, ..Default::default() });
            let (name, driver) = (port.to_owned(), "PMDPort".to_owned());
            let request = pb::CreatePortRequest { name, driver, arg: Some(arg), ..Default::default() };
            self.daemon.must("CreatePort", &request);
        }
        let (ring, one) = ("ring".to_owned(), "one".to_owned());
        let taking = [
            ("ACL", "side_acl", packed(&NO_ARG)),
            ("IPLookup", "side_lookup", packed(&NO_ARG)),
            ("ArpResponder", "arp", packed(&NO_ARG)),
            ("Rewrite", "rewrite", packed(&NO_ARG)),
            ("GtpuPathMonitoring", "paths", packed(&NO_ARG)),
            ("LinkEmulator", "link", packed(&link)),
            ("NetworkFunction", "function", packed(&pb::NetworkFunctionArg { words })),
            ("PortOut", "ring_out", packed(&pb::PortOutArg { port: ring.clone() })),
            ("QueueOut", "queue_out", packed(&pb::QueueOutArg { port: one.clone(), qid: 0 })),
        ];
        let making = [
            ("PortInc", "ring_in", packed(&pb::PortIncArg { port: ring, prefetch: false })),
            ("QueueInc", "queue_in", packed(&pb::QueueIncArg { port: one, qid: 0, prefetch: false })),
            ("Source", "maker", packed(&pb::SourceArg { pkt_size: 60 })),
        ];
        self.create("FlowGen", "flows", packed(&flows));
        let gates = (0..taking.len() as i64).collect();
        self.create("Replicate", "fan", packed(&pb::ReplicateArg { gates }));
        self.create("Sink", "end", packed(&NO_ARG));
        self.daemon.connect("flows", 0, 0, "fan");
        for (gate, (class, name, arg)) in taking.into_iter().enumerate() {
            self.create(class, name, arg);
            self.daemon.connect("fan", gate as u64, 0, name);
            if !class.ends_with("Out") {
                self.daemon.connect(name, 0, 0, "end");
            }
        }
        for (class, name, arg) in making {
            self.create(class, name, arg);
            self.daemon.connect(name, 0, 0, "end");
        }
        // Without it, a source has all the turns that there are.
        let rate = |amount| [("packet".to_owned(), amount)].into();
        let class = pb::TrafficClass {
            name: "held".to_owned(),
            policy: "rate_limit".to_owned(),
            resource: "packet".to_owned(),
            limit: rate(2000),
            max_burst: rate(100),
            ..Default::default()
        };
        self.daemon.must("AddTc", &pb::AddTcRequest { class: Some(class) });
        let class = pb::TrafficClass {
            leaf_module_name: "maker".to_owned(),
            parent: "held".to_owned(),
            wid: -1,
            ..Default::default()
        };
        self.daemon.must("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(class) });
    }
}
