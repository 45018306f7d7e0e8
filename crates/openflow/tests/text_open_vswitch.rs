//! Open vSwitch judges our text: what `ovs-ofctl` prints of our bytes our parser takes, and it means what we print; and of
//! a flow as people write it both parsers make the same. Needs Debian's `openvswitch-common` (`tests/install.sh`).

use std::path::PathBuf;
use std::process::Command;

use openflow::flow::DEFAULT_PRIORITY;
use openflow::fuzzing::specimens;
use openflow::matching::Match;
use openflow::message::{Body, HelloElement, Message};
use openflow::meter::MeterCommand;
use openflow::monitor::MonitorUpdate;
use openflow::multipart::{Reply, Request};
use openflow::{Version, codec, nicira, text};
use packet::fuzzing::bounded::Random;

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("openflow-text-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, bytes).expect("a file");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn ofctl(arguments: &[&str], file: &Scratch) -> String {
    let run = Command::new("ovs-ofctl").args(arguments).arg(&file.0).output();
    let run = run.expect("ovs-ofctl runs (tests/install.sh)");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{text} {}", String::from_utf8_lossy(&run.stderr));
    text
}

fn encode(version: Version, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(version, message, &mut bytes).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    bytes
}

/// What it prints of each message; all have transactions of their own.
fn printed(name: &str, messages: &[(Version, Message)]) -> Vec<String> {
    let bytes: Vec<u8> = messages.iter().flat_map(|(version, message)| encode(*version, message)).collect();
    let text = ofctl(&["ofp-parse"], &Scratch::new(name, &bytes));
    let mut printed: Vec<String> = Vec::new();
    for line in text.lines() {
        let next = messages.get(printed.len()).map(|(_, message)| format!("(xid={:#x}):", message.xid));
        if next.is_some_and(|next| line.contains(&next)) {
            printed.push(String::new());
        }
        let last = printed.last_mut().unwrap_or_else(|| panic!("{text}"));
        last.push_str(line);
        last.push('\n');
    }
    assert_eq!(printed.len(), messages.len(), "{text}");
    printed
}

/// What it means, whatever the order of fields and the way to say them; without what `ovs-ofctl` leaves out: packets.
fn meaning(mut message: Message) -> String {
    let normal = |matching: &mut Match| *matching = matching.normalise();
    match &mut message.body {
        Body::FlowMod(flow) => normal(&mut flow.matching),
        Body::FlowRemoved(flow) => normal(&mut flow.matching),
        Body::PacketIn(packet) => {
            normal(&mut packet.metadata);
            packet.data.clear();
        }
        Body::PacketOut(packet) => packet.data.clear(),
        Body::Error(error) => error.data.clear(),
        // Which are of no use, and which it does not print.
        Body::MeterMod(meter) if meter.command == MeterCommand::Delete => meter.flags = 0,
        // It prints the version of a hello that has no list.
        Body::Hello(hello) if hello.elements == [HelloElement::VersionBitmap(vec![2])] => {
            hello.elements.clear();
        }
        Body::MultipartRequest(request) => match &mut request.body {
            Request::Flow(flow) | Request::Aggregate(flow) => normal(&mut flow.matching),
            Request::Nicira(
                nicira::StatsRequest::Flow { matching, .. }
                | nicira::StatsRequest::Aggregate { matching, .. },
            ) => normal(matching),
            Request::FlowMonitor(monitors) => {
                monitors.iter_mut().for_each(|monitor| normal(&mut monitor.matching));
            }
            _ => {}
        },
        Body::MultipartReply(reply) => match &mut reply.body {
            // It leaves the priority out.
            Reply::FlowMonitor(updates) => updates.iter_mut().for_each(|update| {
                if let MonitorUpdate::Flow(flow) = update {
                    normal(&mut flow.matching);
                    flow.priority = DEFAULT_PRIORITY;
                }
            }),
            Reply::Flow(flows) => flows.iter_mut().for_each(|flow| normal(&mut flow.matching)),
            Reply::Nicira(nicira::StatsReply::Flow(flows)) => {
                flows.iter_mut().for_each(|flow| normal(&mut flow.flow.matching));
            }
            // It has no words for the TTL's copying and for PBB.
            Reply::GroupFeatures(features) => {
                features.actions.iter_mut().for_each(|actions| *actions &= !(3 << 11 | 3 << 26));
            }
            // Which fields a table of 1.0 can leave out stands there in words.
            Reply::Table(tables) => tables.iter_mut().for_each(|table| table.wildcards = 0),
            _ => {}
        },
        _ => {}
    }
    format!("{message:?}")
}

/// Without counts of bytes: of a packet that is left out.
fn untold(text: &str) -> String {
    let words = text.split_inclusive(' ').filter(|word| !word.starts_with("data_len="));
    words.collect()
}

#[test]
fn what_ovs_ofctl_prints_we_take_and_it_means_the_same() {
    let mut wrong = Vec::new();
    for version in Version::ALL {
        let (names, messages): (Vec<_>, Vec<_>) = specimens(version)
            .into_iter()
            // Of a maker that is none, which it does not print; echoes, whose bytes it shows as a dump; what tables can do,
            // of which it makes a summary.
            .filter(|(name, _)| {
                !["experimenter", "echo", "table_features"].iter().any(|not| name.contains(not))
            })
            .map(|(name, message)| (name, (version, message)))
            .unzip();
        let theirs = printed(&format!("specimens-{}", version.wire()), &messages);
        for ((name, (_, message)), theirs) in names.iter().zip(&messages).zip(&theirs) {
            let ours = message.text(version).to_string();
            let error = matches!(message.body, Body::Error(_));
            let theirs = if error { theirs.lines().next().unwrap_or_default() } else { theirs };
            match (text::parse_message(&ours), text::parse_message(theirs)) {
                (Ok((a, ours)), Ok((b, read)))
                    if a == b && meaning(ours.clone()) == meaning(read.clone()) => {}
                (ours, read) => {
                    wrong.push(format!("{version} {name}\n{}\n{ours:?}\n{read:?}", untold(theirs)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Flows as people write them.
struct Flows<'a>(&'a mut Random);

impl Flows<'_> {
    fn ip4(&mut self) -> String {
        let [a, b, c, d] = (self.0.next() as u32).to_be_bytes();
        match self.0.below(3) {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{a}.{b}.0.0/16"),
            _ => format!("{a}.0.0.{d}/255.0.0.255"),
        }
    }

    fn host4(&mut self) -> String {
        std::net::Ipv4Addr::from(self.0.next() as u32).to_string()
    }

    fn ip6(&mut self) -> String {
        let address =
            std::net::Ipv6Addr::from(u128::from(self.0.next()) << 64 | u128::from(self.0.next() & 0xffff));
        if self.0.one_in(2) { address.to_string() } else { format!("{address}/{}", 1 + self.0.below(128)) }
    }

    fn mac(&mut self) -> String {
        packet::wire::MacAddr(self.0.next().to_be_bytes()[2..].try_into().unwrap_or_default()).to_string()
    }

    fn port(&mut self) -> String {
        match self.0.below(3) {
            0 => format!("{:#x}/0xff00", self.0.next() as u16 & 0xff00),
            _ => (self.0.next() as u16).to_string(),
        }
    }

    fn maybe(&mut self, list: &mut Vec<String>, part: impl FnOnce(&mut Self) -> String) {
        if self.0.one_in(2) {
            list.push(part(self));
        }
    }

    /// A match and the actions that its packets can have.
    fn flow(&mut self, version: Version) -> String {
        let mut parts = vec![format!("priority={}", self.0.below(65_536))];
        self.maybe(&mut parts, |this| format!("cookie={:#x}", 1 + this.0.below(1 << 30)));
        self.maybe(&mut parts, |this| format!("idle_timeout={}", this.0.below(65_536)));
        self.maybe(&mut parts, |this| format!("hard_timeout={}", this.0.below(65_536)));
        self.maybe(&mut parts, |_| "send_flow_rem".to_owned());
        self.maybe(&mut parts, |_| "check_overlap".to_owned());
        let mut fields = Vec::new();
        let local = format!("in_port={}", self.0.one_of(&["1", "2", "LOCAL"]));
        self.maybe(&mut fields, |_| local);
        self.maybe(&mut fields, |this| format!("dl_src={}", this.mac()));
        self.maybe(&mut fields, |this| format!("dl_dst={}", this.mac()));
        let vlan = match self.0.below(5) {
            0 => format!("dl_vlan={}", self.0.below(4096)),
            1 => format!("dl_vlan={},dl_vlan_pcp={}", self.0.below(4096), self.0.below(8)),
            2 => format!("dl_vlan_pcp={}", self.0.below(8)),
            3 => "vlan_tci=0x0000/0x1fff".to_owned(),
            _ => String::new(),
        };
        if !vlan.is_empty() {
            fields.push(vlan);
        }
        let mut actions = Vec::new();
        self.kind(&mut fields, &mut actions, version);
        if version == Version::V13 {
            parts.push(format!("table={}", self.0.below(200)));
            self.maybe(&mut fields, |this| format!("metadata={:#x}/0xff", this.0.below(256)));
            self.maybe(&mut fields, |this| format!("tun_id={:#x}", this.0.next()));
            self.maybe(&mut fields, |this| format!("reg{}={:#x}", this.0.below(16), this.0.next() as u32));
        }
        self.actions(&mut actions, version);
        // Keys in any order.
        parts.extend(fields);
        for at in (1..parts.len()).rev() {
            parts.swap(at, self.0.below(at + 1));
        }
        let actions = if actions.is_empty() { "drop".to_owned() } else { actions.join(",") };
        format!("{} actions={actions}", parts.join(","))
    }

    fn kind(&mut self, fields: &mut Vec<String>, actions: &mut Vec<String>, version: Version) {
        let thirteen = version == Version::V13;
        let set = |field: &str, old: &str, value: String| match thirteen {
            true => format!("set_field:{value}->{field}"),
            false => format!("{old}:{value}"),
        };
        match self.0.below(if thirteen { 7 } else { 4 }) {
            0 => fields.push(format!("dl_type={:#x}", 0x0600 + self.0.below(100))),
            1 => {
                fields.push("arp".to_owned());
                self.maybe(fields, |this| format!("arp_op={}", 1 + this.0.below(2)));
                self.maybe(fields, |this| {
                    format!("arp_spa={}", if thirteen { this.ip4() } else { this.host4() })
                });
                self.maybe(fields, |this| format!("arp_tpa={}", this.host4()));
            }
            2 => {
                fields.push(self.0.one_of(&["ip", "icmp", "ip,nw_proto=50"]).to_owned());
                self.maybe(fields, |this| {
                    format!("nw_src={}", if thirteen { this.ip4() } else { this.host4() })
                });
                self.maybe(fields, |this| format!("nw_tos={}", 4 * this.0.below(64)));
                self.maybe(actions, |this| set("ip_src", "mod_nw_src", this.host4()));
                let tos = if thirteen {
                    format!("set_field:{}->ip_dscp", self.0.below(64))
                } else {
                    format!("mod_nw_tos:{}", 4 * self.0.below(64))
                };
                self.maybe(actions, |_| tos);
            }
            3 => {
                let kind = self.0.one_of(&["tcp", "udp"]);
                fields.push(kind.to_owned());
                self.maybe(fields, |this| {
                    format!("nw_dst={}", if thirteen { this.ip4() } else { this.host4() })
                });
                self.maybe(fields, |this| {
                    let port = if thirteen { this.port() } else { this.0.below(65_536).to_string() };
                    format!("tp_dst={port}")
                });
                self.maybe(actions, |this| {
                    set(&format!("{kind}_dst"), "mod_tp_dst", this.0.below(65_536).to_string())
                });
            }
            4 => {
                fields.push(self.0.one_of(&["ipv6", "tcp6", "udp6", "sctp6"]).to_owned());
                self.maybe(fields, |this| format!("ipv6_src={}", this.ip6()));
                self.maybe(fields, |this| format!("ipv6_label={:#x}", this.0.below(1 << 20)));
                self.maybe(fields, |this| format!("nw_ecn={}", this.0.below(4)));
                self.maybe(actions, |_| "dec_ttl".to_owned());
            }
            5 => {
                fields.push(format!("icmp6,icmp_type=135,nd_sll={}", self.mac()));
                self.maybe(fields, |this| format!("nd_target={}", this.ip6()));
            }
            _ => {
                fields.push("mpls".to_owned());
                self.maybe(fields, |this| format!("mpls_label={}", this.0.below(1 << 20)));
                self.maybe(fields, |this| format!("mpls_bos={}", this.0.below(2)));
                self.maybe(actions, |this| format!("set_field:{}->mpls_tc", this.0.below(8)));
            }
        }
    }

    fn actions(&mut self, actions: &mut Vec<String>, version: Version) {
        let thirteen = version == Version::V13;
        self.maybe(actions, |this| {
            let address = this.mac();
            if thirteen { format!("set_field:{address}->eth_dst") } else { format!("mod_dl_dst:{address}") }
        });
        self.maybe(actions, |this| format!("output:{}", 1 + this.0.below(1000)));
        let port = self.0.one_of(&[
            "NORMAL",
            "FLOOD",
            "ALL",
            "IN_PORT",
            "LOCAL",
            "CONTROLLER:128",
            "CONTROLLER:65535",
        ]);
        self.maybe(actions, |_| port.to_owned());
        self.maybe(actions, |this| format!("load:{:#x}->NXM_NX_REG0[0..15]", this.0.below(65_536)));
        self.maybe(actions, |this| format!("move:NXM_OF_IN_PORT[]->NXM_NX_REG{}[16..31]", this.0.below(16)));
        self.maybe(actions, |this| format!("resubmit({},{})", this.0.below(100), this.0.below(100)));
        let nicira = self.0.one_of(&[
            "multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG0[])",
            "bundle(nw_src,0,hrw,ofport,members:4,8)",
            "learn(table=2,hard_timeout=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
            "output:NXM_NX_REG0[0..15]",
            "controller(max_len=100,id=5)",
            "push:NXM_NX_REG0[]",
            "note:01.02.03.04.05.06",
            "exit",
        ]);
        self.maybe(actions, |_| nicira.to_owned());
        if thirteen {
            self.maybe(actions, |this| format!("group:{}", this.0.below(1000)));
            self.maybe(actions, |this| format!("write_metadata:{:#x}/0xffff", this.0.below(65_536)));
            self.maybe(actions, |this| format!("goto_table:{}", 201 + this.0.below(50)));
        } else {
            self.maybe(actions, |this| format!("enqueue:{}:{}", 1 + this.0.below(100), this.0.below(10)));
        }
    }
}

#[test]
fn of_random_flows_both_parsers_and_both_printers_make_the_same() {
    /// Flows of each version.
    const FLOWS: u32 = 2000;
    let seed = std::env::var("WEFT_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    println!("WEFT_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    for version in Version::ALL {
        let mut flows = Flows(&mut random);
        let written: Vec<String> = (0..FLOWS).map(|_| flows.flow(version)).collect();
        let messages: Vec<(Version, Message)> = (1..)
            .zip(&written)
            .map(|(xid, flow)| {
                let flow = text::parse_flow(flow).unwrap_or_else(|wrong| panic!("{flow}: {wrong:?}"));
                (version, Message::new(xid, Body::FlowMod(flow)))
            })
            .collect();

        // Their parser and printer, of the same text.
        let file = Scratch::new(&format!("flows-{}", version.wire()), written.join("\n").as_bytes());
        let protocol = if version == Version::V13 { "OpenFlow13" } else { "OpenFlow10" };
        let parsed = ofctl(&["-O", protocol, "parse-flows"], &file);
        let parsed: Vec<&str> = parsed.lines().filter(|line| line.contains("(xid=")).collect();
        assert_eq!(parsed.len(), written.len());
        // Their printer, of our bytes.
        let theirs = printed(&format!("bytes-{}", version.wire()), &messages);
        for (((written, (_, message)), parsed), theirs) in
            written.iter().zip(&messages).zip(parsed).zip(&theirs)
        {
            let bytes = encode(version, message);
            let (_, decoded) = codec::decode(&bytes).expect("what was written can be read");
            let ours = text::parse_message(&decoded.text(version).to_string()).expect("our text").1;
            for other in [parsed, theirs] {
                let (_, mut read) =
                    text::parse_message(other).unwrap_or_else(|wrong| panic!("{other}: {wrong:?}"));
                read.xid = ours.xid;
                if let (Body::FlowMod(read), Body::FlowMod(ours)) = (&mut read.body, &ours.body) {
                    read.nxm = ours.nxm; // which it chooses for all flows of a file
                }
                assert_eq!(
                    meaning(read),
                    meaning(ours.clone()),
                    "{written}\n{other}\n{}",
                    decoded.text(version)
                );
            }
        }
    }
}
