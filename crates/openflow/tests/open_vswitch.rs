//! Open vSwitch judges: `ovs-ofctl` reads every message and every field of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use openflow::field::Field;
use openflow::flow::FlowMod;
use openflow::fuzzing::specimens;
use openflow::instruction::Instruction;
use openflow::matching::{self, Match, MatchV10, wildcards};
use openflow::message::{Body, Message};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use openflow::{Version, action::Action, codec};

fn encode(version: Version, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(version, message, &mut bytes).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    bytes
}

/// What it prints of a message.
fn print(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let run =
        Command::new("ovs-ofctl").args(["ofp-print", &hex]).output().expect("ovs-ofctl (tests/install.sh)");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// What it prints of many, each with its name before it.
fn print_all(name: &str, messages: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("openflow-{name}-{}", std::process::id()));
    let bytes: Vec<u8> = messages.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    std::fs::write(&path, bytes).expect("a file");
    let run = Command::new("ovs-ofctl").arg("ofp-parse").arg(&path).output();
    std::fs::remove_file(&path).expect("the file");
    let run = run.expect("ovs-ofctl (tests/install.sh)");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{text} {}", String::from_utf8_lossy(&run.stderr));
    // Each message's first line has its transaction.
    let mut printed: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let xid = line.split_once("(xid=0x").and_then(|(_, rest)| rest.split_once(')'));
        if let Some((xid, _)) = xid {
            let at = usize::from_str_radix(xid, 16).expect("a number") - 1;
            printed.push((messages[at].0.clone(), String::new()));
        }
        let (_, said) = printed.last_mut().expect("a message's line");
        said.push_str(line);
        said.push('\n');
    }
    assert_eq!(printed.len(), messages.len(), "{text}");
    printed
}

#[test]
fn every_message_is_read() {
    for version in Version::ALL {
        for (name, message) in specimens(version) {
            let text = print(&encode(version, &message));
            if name.contains("experimenter") {
                // Of a maker that is none.
                assert!(text.contains("OFPBRC_BAD_VENDOR"), "{version} {name}: {text}");
            } else {
                assert!(!text.contains("***") && !text.contains("decode error"), "{version} {name}: {text}");
                assert!(text.contains(&format!("(xid={:#x})", message.xid)), "{version} {name}: {text}");
            }
        }
    }
}

/// A value that the field can have.
const fn value(field: Field) -> u128 {
    match field {
        Field::VlanVid => 0x1005,
        Field::VlanTci => 0xb005,
        Field::EthType => 0x88cc,
        Field::NwTos => 0x28,
        Field::InPort | Field::ActsetOutput => 3,
        Field::TunFlags => 1,
        Field::IpFrag => 3,
        Field::CtState => 0x21,
        Field::TunGbpFlags => 0x8,
        _ => 1,
    }
}

/// Bits that a masked match can leave.
const fn mask(field: Field) -> u128 {
    match field {
        Field::VlanVid | Field::VlanTci => 0x1fff,
        Field::IpFrag => 3,
        Field::TunFlags => 1,
        Field::CtState => 0x3f,
        Field::TunGbpFlags => 0x8,
        Field::TcpFlags => 0xfff,
        _ => 0x0f,
    }
}

/// What Open vSwitch lacks: fields of 1.3 that are optional there, and ONF's number for PBB's bit.
const fn lacking(field: Field) -> bool {
    matches!(field, Field::InPhyPort | Field::PbbIsid | Field::PbbUca | Field::Ipv6ExtHdr)
}

/// A flow that matches each field in each of its spellings, with and without a mask.
fn flows(version: Version) -> Vec<(String, Vec<u8>)> {
    let mut flows = Vec::new();
    for field in Field::ALL {
        // The cookie is no field of a packet. An optional one that is exact has no mask in Open vSwitch.
        if *field == Field::Cookie {
            continue;
        }
        for (spelling, header) in field.headers().iter().enumerate() {
            for masked in [false, true] {
                if masked && !field.maskable() {
                    continue;
                }
                let bits = if masked { mask(*field) } else { field.all_bits() };
                let oxm = Oxm::Known {
                    field: *field,
                    spelling: spelling as u8,
                    value: value(*field) & bits,
                    mask: masked.then_some(bits),
                };
                let matching = Match::new().with(oxm);
                assert_eq!(matching::check(&matching), Ok(()), "{matching:?}");
                let flow = FlowMod {
                    nxm: version == Version::V10,
                    matching,
                    instructions: vec![Instruction::ApplyActions(vec![Action::output(PortNo(1))])],
                    ..FlowMod::default()
                };
                let message = Message::new(flows.len() as u32 + 1, Body::FlowMod(flow));
                flows.push((format!("{field} {header:x?} {masked}"), encode(version, &message)));
            }
        }
    }
    flows
}

#[test]
fn every_field_is_read() {
    for version in Version::ALL {
        let flows = flows(version);
        assert!(flows.len() > 180, "{}", flows.len());
        let mut refused = Vec::new();
        for (name, text) in print_all(if version == Version::V10 { "v10" } else { "v13" }, &flows) {
            let field = name.split(' ').next().and_then(Field::from_name).expect("a field");
            let wrong = text.contains("***");
            if wrong != lacking(field) {
                refused.push(format!("{name}: {text}"));
            }
        }
        assert!(refused.is_empty(), "{version}: {}", refused.join("\n"));
    }
}

/// A file of frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let word = |number: usize| (number as u32).to_le_bytes();
    let mut bytes: Vec<u8> = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 0xffff, 1].into_iter().flat_map(word).collect();
    for frame in frames {
        bytes.extend([0, 0, frame.len(), frame.len()].into_iter().flat_map(word));
        bytes.extend(frame);
    }
    bytes
}

/// Open vSwitch's words for protocols: EtherType, and IP protocol.
const PROTOCOLS: [(&str, u16, Option<u8>); 10] = [
    ("arp", 0x0806, None),
    ("mpls", 0x8847, None),
    ("ip", 0x0800, None),
    ("ipv6", 0x86dd, None),
    ("icmp", 0x0800, Some(1)),
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("icmp6", 0x86dd, Some(58)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
];

/// What Open vSwitch says of a frame, in 1.0's fields.
fn theirs(line: &str) -> BTreeMap<&'static str, String> {
    let mut fields = BTreeMap::new();
    for word in line.split(',') {
        if let Some((_, ethertype, protocol)) = PROTOCOLS.iter().find(|(name, ..)| *name == word) {
            fields.insert("dl_type", format!("{ethertype:#06x}"));
            if let Some(protocol) = protocol {
                fields.insert("nw_proto", protocol.to_string());
                // Those of a later fragment are zero, and not printed.
                fields.insert("tp_src", "0".to_owned());
                fields.insert("tp_dst", "0".to_owned());
            }
        }
        let Some((name, value)) = word.split_once('=') else { continue };
        let name = match name {
            "vlan_tci" => "dl_vlan",
            "dl_vlan" | "dl_vlan_pcp" | "dl_src" | "dl_dst" | "dl_type" | "nw_src" | "nw_dst" | "nw_tos"
            | "nw_proto" | "tp_src" | "tp_dst" => {
                FIELDS.iter().find(|field| **field == name).expect("a field")
            }
            "icmp_type" => "tp_src",
            "icmp_code" => "tp_dst",
            "arp_spa" => "nw_src",
            "arp_tpa" => "nw_dst",
            "arp_op" => "nw_proto",
            _ => continue,
        };
        let value = if value == "0x0000" { "65535" } else { value };
        fields.insert(name, value.to_owned());
    }
    // Of IGMP it keeps type and code where ports would be, which no match of 1.0 can say.
    if fields.get("nw_proto").is_some_and(|protocol| protocol == "2") {
        fields.retain(|name, _| !name.starts_with("tp_"));
    }
    fields
}

const FIELDS: [&str; 11] = [
    "dl_vlan",
    "dl_vlan_pcp",
    "dl_src",
    "dl_dst",
    "dl_type",
    "nw_src",
    "nw_dst",
    "nw_tos",
    "nw_proto",
    "tp_src",
    "tp_dst",
];

/// What our match of a frame says.
fn ours(frame: &[u8]) -> BTreeMap<&'static str, String> {
    let matching = MatchV10::from_packet(PortNo(1), frame);
    let there = |bit: u32| matching.wildcards & bit == 0;
    assert!(there(wildcards::IN_PORT) && matching.in_port == 1);
    let fields = [
        ("dl_vlan", there(wildcards::DL_VLAN), matching.dl_vlan.to_string()),
        ("dl_vlan_pcp", there(wildcards::DL_VLAN_PCP), matching.dl_vlan_pcp.to_string()),
        ("dl_src", there(wildcards::DL_SRC), matching.dl_src.to_string()),
        ("dl_dst", there(wildcards::DL_DST), matching.dl_dst.to_string()),
        ("dl_type", there(wildcards::DL_TYPE), format!("{:#06x}", matching.dl_type)),
        ("nw_src", matching.nw_src_mask() == u32::MAX, matching.nw_src.to_string()),
        ("nw_dst", matching.nw_dst_mask() == u32::MAX, matching.nw_dst.to_string()),
        ("nw_tos", there(wildcards::NW_TOS), matching.nw_tos.to_string()),
        ("nw_proto", there(wildcards::NW_PROTO), matching.nw_proto.to_string()),
        ("tp_src", there(wildcards::TP_SRC), matching.tp_src.to_string()),
        ("tp_dst", there(wildcards::TP_DST), matching.tp_dst.to_string()),
    ];
    fields.into_iter().filter(|(_, there, _)| *there).map(|(name, _, value)| (name, value)).collect()
}

#[test]
fn a_packet_s_match_is_what_open_vswitch_sees_in_it() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wire");
    let mut frames = packet::fuzzing::bounded::seeds(&corpus);
    // IEEE 802.3: a length in the EtherType's place, and no SNAP.
    frames.push([&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 3][..], &[0; 43]].concat());
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("openflow-frames-{}", std::process::id()));
    std::fs::write(&path, capture(&frames)).expect("a file");
    let run = Command::new("ovs-ofctl").arg("parse-pcap").arg(&path).output();
    std::fs::remove_file(&path).expect("the file");
    let run = run.expect("ovs-ofctl (tests/install.sh)");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(text.lines().count(), frames.len(), "{text} {}", String::from_utf8_lossy(&run.stderr));
    for (frame, line) in frames.iter().zip(text.lines()) {
        assert_eq!(ours(frame), theirs(line), "{line}");
        // Both forms mean the same, and cover the packet's own match.
        let matching = Match::from_packet(PortNo(1), frame);
        assert!(matching.is_same(&Match::V10(MatchV10::from_packet(PortNo(1), frame))), "{matching:?}");
        assert_eq!(matching::check(&matching), Ok(()), "{matching:?}");
    }
}
