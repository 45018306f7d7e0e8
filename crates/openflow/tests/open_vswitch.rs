//! Open vSwitch judges: `ovs-ofctl` reads every message and every field of ours.

use std::path::PathBuf;
use std::process::Command;

use openflow::field::Field;
use openflow::flow::FlowMod;
use openflow::fuzzing::specimens;
use openflow::instruction::Instruction;
use openflow::matching::{self, Match};
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
