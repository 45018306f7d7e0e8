//! Messages to text and back: random ones, one of each kind, and any text at all. See `packet::fuzzing::bounded`.

use std::path::PathBuf;

use openflow::fuzzing::{self, specimens};
use openflow::{Version, codec, text};
use packet::fuzzing::bounded::{fuzz, fuzz_seeds, seeds};

/// Characters that decide something.
const TELLING: &[u8] = b",=:()/.[] \n-+>0x19a_";

fn corpus(kind: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(kind)
}

/// Flows as people write them, beside the specimens' texts.
const WRITTEN: &[&str] = &[
    "table=0,priority=10,ip,nw_dst=10.0.0.0/8 actions=output:2",
    "cookie=0x5/0xff,tcp6,ipv6_dst=fd00::/8,tp_dst=0x50/0xfff0,send_flow_rem actions=dec_ttl,NORMAL,goto_table:1",
    "delete_strict priority=5,dl_vlan=5,dl_vlan_pcp=3,out_port=LOCAL",
    "actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)",
    "arp,arp_op=1 actions=load:0x2->NXM_OF_ARP_OP[],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT",
    "actions=bundle(eth_src,0,hrw,ofport,members:1,2),multipath(nw_src,1,modulo_n,2,0,NXM_NX_REG0[])",
    "actions=write_actions(group:1,set_field:5->tcp_src),clear_actions,meter:1,write_metadata:0x1/0x3",
    "group_id=1,type=select,bucket=weight:2,watch_port:1,actions=output:1,bucket=actions=drop",
    "meter=1,pktps,burst,band=type=dscp_remark,rate=5,burst_size=1,prec_level=1",
];

fn texts() -> Vec<(String, String)> {
    let of = |version: Version| {
        specimens(version).into_iter().map(move |(name, message)| {
            (format!("{}_{name}", version.to_string().to_lowercase()), message.text(version).to_string())
        })
    };
    let written =
        WRITTEN.iter().enumerate().map(|(index, text)| (format!("written_{index}"), (*text).to_owned()));
    Version::ALL.into_iter().flat_map(of).chain(written).collect()
}

/// The seeds on disk are these; `WEFT_BLESS=1` writes them.
#[test]
fn seed_corpus_is_in_step_with_the_specimens() {
    for (name, text) in texts() {
        let path = corpus("openflow_text").join(&name);
        if std::env::var_os("WEFT_BLESS").is_some() {
            std::fs::create_dir_all(corpus("openflow_text")).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let there =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(there == text, "{name}: run with WEFT_BLESS=1");
    }
}

#[test]
fn every_specimen_is_read_as_it_was_written() {
    for version in Version::ALL {
        for (_, message) in specimens(version) {
            fuzzing::round(version, &message);
        }
    }
}

/// A message whose text tells all of it comes back to the same bytes. Those that do not, and why.
#[test]
fn what_a_text_tells_comes_back_to_the_same_bytes() {
    let mut lossy = Vec::new();
    for version in Version::ALL {
        for (name, message) in specimens(version) {
            let encode = |message| {
                let mut bytes = Vec::new();
                codec::encode(version, message, &mut bytes).map(|()| bytes)
            };
            let (_, read) = text::parse_message(&message.text(version).to_string()).unwrap();
            if encode(&read) != encode(&message) {
                lossy.push(format!("{version} {name}"));
            }
        }
    }
    // `output:NXM_NX_REG0[]` says nothing of how much goes to the controller.
    assert_eq!(lossy, ["OF1.0 flow_mod_nicira_actions", "OF1.3 flow_mod_nicira_actions"]);
}

#[test]
fn random_messages_are_read_as_they_were_written() {
    fuzz("openflow_generated_text", |random| random.bytes(8), fuzzing::generated_text);
}

#[test]
fn messages_of_any_bytes_are_read_as_they_were_written() {
    let seeds = seeds(&corpus("openflow"));
    fuzz_seeds(
        "openflow_decoded_text",
        &seeds,
        &[0, 1, 2, 3, 4, 8, 16, 24, 0x80, 0xff],
        fuzzing::decoded_text,
    );
}

#[test]
fn any_text_is_parsed_or_refused() {
    let seeds = seeds(&corpus("openflow_text"));
    assert!(seeds.len() >= texts().len());
    fuzz_seeds("openflow_text", &seeds, TELLING, fuzzing::text);
}
