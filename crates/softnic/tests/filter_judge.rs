//! tcpdump says what a filter passes: random filters over random packets, whole and cut. Needs Debian's `tcpdump`.

mod filter_kit;

use filter_kit::{Random, expression, frame, judge, seed};
use packet::pcap::{LinkType, Writer};
use softnic::filter::Filter;

/// Packets of one judgement, and filters of a run.
const FRAMES: usize = 200;
const FILTERS: usize = 150;

/// Compares; whether tcpdump took the filter, and how many frames passed.
fn compare(frames: &[(Vec<u8>, u32)], text: &str, optimised: bool, seed: u64) -> Option<usize> {
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for (at, (frame, length)) in frames.iter().enumerate() {
        writer.write_cut(at as u64 * 1_000_000_000, frame, *length).unwrap();
    }
    let capture = writer.into_inner().unwrap();
    let ours: Result<Filter, _> = text.parse();
    match (judge(&capture, text, optimised), ours) {
        (Ok(theirs), Ok(filter)) => {
            let ours: Vec<usize> = (0..frames.len())
                .filter(|at| filter.matches_captured(&frames[*at].0, frames[*at].1))
                .collect();
            let differs = (0..frames.len()).find(|at| ours.contains(at) != theirs.contains(at));
            if let Some(at) = differs {
                let (frame, length) = &frames[at];
                panic!(
                    "WEFT_SEED={seed}: '{text}', tcpdump passes it: {}, {length} bytes: {frame:02x?}",
                    theirs.contains(&at)
                );
            }
            Some(theirs.len())
        }
        (Err(sentence), Ok(filter)) if sentence.contains("rejects all packets") => {
            let passed =
                frames.iter().filter(|(frame, length)| filter.matches_captured(frame, *length)).count();
            assert_eq!(passed, 0, "WEFT_SEED={seed}: '{text}': {sentence}");
            None
        }
        // libpcap takes `x % ip[0]` for a division by the index.
        (Err(sentence), Ok(_)) if sentence.contains("by zero") => None,
        (Err(_), Err(_)) => None,
        (Err(sentence), Ok(_)) => panic!("WEFT_SEED={seed}: only we take '{text}': {sentence}"),
        (Ok(_), Err(error)) => panic!("WEFT_SEED={seed}: only tcpdump takes '{text}': {error}"),
    }
}

#[test]
fn random_filters_pass_what_tcpdump_passes() {
    let seed = seed();
    let mut random = Random(seed);
    let (mut taken, mut passed) = (0, 0);
    for turn in 0..FILTERS {
        // The optimiser leaves loads out, and with them the failures of cut frames.
        let optimised = turn % 3 == 0;
        let frames: Vec<(Vec<u8>, u32)> = (0..FRAMES)
            .map(|_| {
                let mut frame = frame(&mut random);
                let length = frame.len() as u32;
                if optimised {
                    frame.resize(200, 0);
                } else if random.one_in(4) {
                    frame.truncate(random.below(60).min(frame.len()));
                }
                let length = length.max(frame.len() as u32);
                (frame, length)
            })
            .collect();
        let text = expression(&mut random, 2);
        if let Some(frames) = compare(&frames, &text, optimised, seed) {
            taken += 1;
            passed += frames;
        }
    }
    println!("WEFT_SEED={seed}: {taken} filters taken, {passed} frames passed");
    assert!(taken > FILTERS / 3, "WEFT_SEED={seed}: {taken}");
    let all = taken * FRAMES;
    assert!(passed > all / 20 && passed < all * 19 / 20, "WEFT_SEED={seed}: {passed} of {all}");
}

#[test]
fn what_is_no_filter_is_told_where() {
    for (text, at) in [
        ("host", 4),
        ("tcp and", 7),
        ("port 80 80", 8),
        ("10.0.0.1", 0),
        ("host example.org", 5),
        ("src 10.0.0.0/8", 4),
        ("tcp[0:3] = 1", 6),
        ("ip[0] = 1 / 0", 13),
        ("(tcp", 4),
        ("vlan 4096", 9),
        ("tcp or $", 7),
    ] {
        assert_eq!(text.parse::<Filter>().unwrap_err().at, at, "{text}");
    }
    let deep = format!("{}tcp{}", "(".repeat(40), ")".repeat(40));
    assert!(deep.parse::<Filter>().is_err());
    assert!(" ".repeat(5000).parse::<Filter>().is_err());
    assert!(format!("tcp{}", " or tcp".repeat(511)).parse::<Filter>().is_ok());
    assert!(format!("tcp{}", " or tcp".repeat(512)).parse::<Filter>().is_err());
    assert!("".parse::<Filter>().unwrap().matches(&[]));
}
