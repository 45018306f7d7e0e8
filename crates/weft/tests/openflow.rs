//! `weft openflow`, with the real binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use packet::pcap::{self, LinkType};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, tcp};
use serde_json::Value;

/// `table=1,priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80 actions=output:2` in 1.3, transaction 1.
const FLOW: &str = "table=1,priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80 actions=output:2";

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
        .arg("openflow")
        .args(args)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn ok(args: &[&str], input: &[u8]) -> String {
    let output = run(args, input);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(code: i32, args: &[&str], input: &[u8]) -> String {
    let output = run(args, input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.trim().len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn what_is_parsed_is_printed_and_what_is_printed_is_parsed() {
    for version in ["1.0", "1.3"] {
        let flow = if version == "1.0" { FLOW.trim_start_matches("table=1,") } else { FLOW };
        let hex = ok(&["parse", flow, "--version", version, "--xid", "7"], b"");
        let printed = ok(&["print"], hex.as_bytes());
        let header = if version == "1.0" {
            "OFPT_FLOW_MOD (xid=0x7): ADD "
        } else {
            "OFPT_FLOW_MOD (OF1.3) (xid=0x7): ADD "
        };
        assert!(printed.starts_with(header), "{printed}");
        assert!(printed.trim_end().ends_with("priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80 actions=output:2"));
        assert_eq!(ok(&["parse", "--message", "-"], printed.as_bytes()), hex);
        assert_eq!(ok(&["print", hex.trim()], b""), printed);
    }
}

#[test]
fn groups_and_meters_are_messages_too() {
    for (kind, text) in [
        ("--group", "group_id=1,type=select,bucket=weight:2,output:1,bucket=output:2"),
        ("--meter", "meter=1,kbps,band=type=drop,rate=1000,burst_size=100"),
    ] {
        let hex = ok(&["parse", kind, text], b"");
        let printed = ok(&["print", hex.trim()], b"");
        assert_eq!(ok(&["parse", "--message", &printed], b""), hex, "{printed}");
    }
}

#[test]
fn an_error_points_into_the_text() {
    let said = fails(1, &["parse", "priority=10,ip,nw_dts=10.0.0.0/8 actions=output:2"], b"");
    for part in ["`nw_dts` is no field", "did you mean `nw_dst`?", "priority=10,ip,nw_dts=10.0.0.0/8", "here"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = fails(1, &["parse", "--group", "group_id=1,type=all", "--version", "1.0"], b"");
    assert!(said.contains("OF1.0 cannot say"), "{said}");
    fails(2, &["parse"], b"");
    fails(1, &["print", "04000008000000"], b"");
    assert!(fails(1, &["print"], b"").contains("no OpenFlow message is there"));
}

#[test]
fn listings_are_json_for_programs() {
    let parsed: Value = serde_json::from_str(&ok(&["parse", FLOW, "--json"], b"")).unwrap();
    assert_eq!((parsed["version"].as_str(), parsed["xid"].as_u64()), (Some("1.3"), Some(1)));
    let hex = parsed["hex"].as_str().unwrap();
    assert_eq!(parsed["length"].as_u64(), Some(hex.len() as u64 / 2));
    let printed: Value =
        serde_json::from_str(&ok(&["print", "--json", hex, "0400000800000001"], b"")).unwrap();
    assert_eq!(printed.as_array().unwrap().len(), 2);
    assert_eq!(printed[0]["text"], parsed["text"]);
    assert_eq!(printed[1]["text"], "OFPT_HELLO (OF1.3) (xid=0x1):");
}

#[test]
fn a_packet_is_followed_through_a_file_of_flows() {
    let flows = b"# Two tables.
table=0,priority=10,tcp,nw_dst=10.0.0.0/8 actions=dec_ttl,goto_table:1
table=1,priority=5,tcp,tp_dst=80 actions=output:3
";
    let trace = ["trace", "--flows", "-", "in_port=1,tcp,nw_dst=10.0.0.2,tp_dst=80"];
    let text = ok(&trace, flows);
    let tables = " 0. tcp,nw_dst=10.0.0.0/8, priority 10
    dec_ttl
    goto_table:1
 1. tcp,tp_dst=80, priority 5
    output:3
";
    assert!(text.contains(tables) && text.trim_end().ends_with("bytes out of port 3"), "{text}");
    let told: Value = serde_json::from_str(&ok(&[&trace[..], &["--json"]].concat(), flows)).unwrap();
    let steps: Vec<&str> =
        told["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
    assert_eq!(steps.join("\n"), tables.trim_end());
    let sent = &told["outputs"][0];
    assert_eq!((told["outputs"].as_array().unwrap().len(), sent["port"].as_u64()), (1, Some(3)));
    let sent = sent["bytes"].as_str().unwrap();
    assert_eq!(bytes(sent)[22], 63, "its time to live");
    // The packet itself, from a file; and one that no flow is for.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), flows).unwrap();
    let path = file.path().to_str().unwrap();
    let text = ok(&["trace", "--flows", path, "--in-port", "9", sent], b"");
    assert!(text.starts_with("Flow: in_port=9,") && text.contains("out of port 3"), "{text}");
    let text = ok(&["trace", "--flows", path, "in_port=1,udp,nw_dst=10.0.0.2"], b"");
    assert!(text.contains(" 0. no match") && !text.contains("out of port"), "{text}");
}

#[test]
fn a_wrong_line_among_flows_is_pointed_at() {
    let good = "# one\nin_port=1 actions=output:2\n";
    let trace = ["trace", "--flows", "-", "in_port=1"];
    let said = fails(1, &trace, format!("{good}  ip,nw_dts=10.0.0.1 actions=drop\n").as_bytes());
    for part in ["`nw_dts` is no field", "did you mean `nw_dst`?", ":3:6]"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = fails(1, &trace, format!("{good}actions=output:77\n").as_bytes());
    assert!(said.contains("line 3: actions=output:77: OFPBAC_BAD_OUT_PORT"), "{said}");
    assert!(
        fails(1, &["trace", "--flows", "-", "nw_dts=1"], good.as_bytes()).contains("`nw_dts` is no field")
    );
    assert!(fails(1, &["trace", "--flows", "/nowhere", "in_port=1"], b"").contains("/nowhere"));
    assert!(fails(1, &["trace", "--switch", "tcp:127.0.0.1:1", "in_port=1"], b"").contains("refused"));
    fails(2, &["trace", "in_port=1"], b"");
}

/// A segment from a switch's port 40000 to the controller.
fn segment(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let (switch, controller) = ([10, 0, 0, 1], [10, 0, 0, 9]);
    let repr = tcp::Repr {
        source_port: 40_000,
        destination_port: 6653,
        sequence,
        flags: tcp::Flags::ACK,
        ..tcp::Repr::default()
    };
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + repr.buffer_len()];
    ethernet::Repr { source: MacAddr([2; 6]), destination: MacAddr([4; 6]), ethertype: EtherType::IPV4 }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    let length = repr.buffer_len() + payload.len();
    ipv4::Repr::new(switch.into(), controller.into(), IpProtocol::TCP, length)
        .emit(&mut ipv4::View::new_unchecked(&mut frame[ethernet::HEADER_LEN..]));
    repr.emit(&mut tcp::View::new_unchecked(&mut frame[ethernet::HEADER_LEN + ipv4::HEADER_LEN..]));
    frame.extend(payload);
    frame
}

#[test]
fn captures_are_read_stream_by_stream() {
    let flow = bytes(&ok(&["parse", FLOW], b""));
    let hello = [4, 0, 0, 8, 0, 0, 0, 1];
    let stream = [&hello[..], &flow, &hello].concat();
    let mut writer = pcap::Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for (index, start) in [0, 5, 5, 40].into_iter().enumerate() {
        let end = [5, 40, 40, stream.len()][index];
        writer.write(1_700_000_000_000_000_000, &segment(1000 + start as u32, &stream[start..end])).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), writer.into_inner().unwrap()).unwrap();
    let path = file.path().to_str().unwrap();
    let printed = ok(&["print", "--file", path], b"");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 6, "{printed}");
    assert_eq!(lines[0], "# 1700000000.000000000 tcp 10.0.0.1:40000 -> 10.0.0.9:6653");
    assert_eq!([lines[1], lines[5]], ["OFPT_HELLO (OF1.3) (xid=0x1):"; 2]);
    assert!(
        lines[3].starts_with("OFPT_FLOW_MOD (OF1.3) (xid=0x1): ADD table:1 priority=10,tcp"),
        "{printed}"
    );
    assert!(fails(1, &["print", "--file", path, "--port", "7"], b"").contains("no OpenFlow message"));
}
