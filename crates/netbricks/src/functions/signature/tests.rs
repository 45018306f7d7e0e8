use packet::wire::tcp::Flags;

use super::super::random::Random;
use super::super::test_frames::{datagram, frame, segment};
use super::super::tests::{at, setup};
use super::*;

const ENDS: [&str; 2] = ["10.0.0.1:40000", "10.0.0.2:80"];
const BACK: [&str; 2] = ["10.0.0.2:80", "10.0.0.1:40000"];

fn function(words: &[&str], setup: &Setup) -> Box<dyn NetworkFunction> {
    build(&mut Args::parse("signature", words).unwrap(), setup).unwrap()
}

/// Hands frames in at gate 0; how many passed, and the report.
fn run(words: &[&str], frames: &[Vec<u8>]) -> (usize, Report) {
    let (setup, mut ctx) = (setup(), Context::new(2));
    let mut function = function(words, &setup);
    let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
    let passed = at(&mut *function, &mut ctx, (0, 5), &setup.pool, &frames).len();
    assert_eq!(passed as u64 + ctx.drops().of(HIT), frames.len() as u64);
    function.finish(&mut ctx);
    let mut report = Report::default();
    function.report(&mut report);
    (passed, report)
}

fn opening() -> Vec<Vec<u8>> {
    vec![segment(ENDS, 99, Flags::SYN, b""), segment(BACK, 0, Flags::SYN | Flags::ACK, b"")]
}

#[test]
fn a_signature_across_segments_is_found_in_any_order_and_told_once() {
    let rule = r#"rule=alert "passwd" content "/etc/passwd" tcp port 80"#;
    let mut frames = opening();
    frames.push(segment(ENDS, 109, Flags::ACK, b"passwd x"));
    frames.push(segment(ENDS, 100, Flags::ACK, b"GET /etc"));
    frames.push(segment(ENDS, 104, Flags::ACK, b"/etc"));
    assert_eq!(run(&[rule], &frames).1.get("alerts"), 0, "a byte is missing");
    frames.push(segment(ENDS, 107, Flags::ACK, b"c/p"));
    frames.push(segment(BACK, 1, Flags::ACK, b"/etc/passwd"));
    let (passed, report) = run(&[rule], &frames);
    assert_eq!(passed, frames.len());
    let lines = [
        "\"passwd\" tcp 10.0.0.1:40000 -> 10.0.0.2:80 15",
        "\"passwd\" tcp 10.0.0.2:80 -> 10.0.0.1:40000 11",
    ];
    assert_eq!((report.lines(), report.get("hits of \"passwd\"")), (&lines.map(String::from)[..], 2));
}

#[test]
fn drop_ends_the_connection_in_both_directions_and_no_other() {
    let rule = r#"rule=drop "evil" content "evil" nocase"#;
    let other = ["10.0.0.3:40000", "10.0.0.2:80"];
    let mut frames = opening();
    frames.push(segment(ENDS, 100, Flags::ACK, b"an eV"));
    frames.push(segment(ENDS, 105, Flags::ACK, b"Il word")); // hit: dropped
    frames.push(segment(ENDS, 105, Flags::ACK, b"Il word")); // again
    frames.push(segment(BACK, 1, Flags::ACK, b"what?"));
    frames.push(segment(other, 7, Flags::SYN, b""));
    frames.push(segment(other, 8, Flags::ACK, b"fine"));
    let (passed, report) = run(&[rule], &frames);
    assert_eq!((passed, report.get("connections ended"), report.get("alerts")), (frames.len() - 3, 1, 1));
}

#[test]
fn an_ended_connection_is_let_go_when_it_is_silent() {
    let (setup, mut ctx) = (setup(), Context::new(2));
    let mut function = function(&[r#"rule=drop "x" content "x""#], &setup);
    let frames = [segment(ENDS, 99, Flags::SYN, b""), segment(ENDS, 100, Flags::ACK, b"x")];
    let again = segment(ENDS, 100, Flags::ACK, b"y");
    let mut pass =
        |now_ns, frame: &[u8]| at(&mut *function, &mut ctx, (0, now_ns), &setup.pool, &[frame]).len();
    assert_eq!((pass(0, &frames[0]), pass(1, &frames[1])), (1, 0));
    assert_eq!((pass(ENDED_NS, &again), pass(2 * ENDED_NS - 1, &again)), (0, 0), "never silent for long");
    assert_eq!(pass(4 * ENDED_NS, &again), 1);
}

#[test]
fn datagrams_stand_for_themselves_and_padding_is_not_looked_into() {
    let rules = [r#"rule=drop "a" content "ab" udp"#, r#"rule=alert "end" regex "b$""#];
    let mut padded = datagram(["10.0.0.1:5", "10.0.0.2:53"], b"a");
    padded.extend_from_slice(b"bbbbbb");
    let frames = [
        datagram(["10.0.0.1:5", "10.0.0.2:53"], b"xxab"),
        padded,
        datagram(["[2001:db8::1]:5", "[2001:db8::2]:53"], b"b"),
        b"runt".to_vec(),
        frame([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::ICMP, b"\x08\0\0\0abab"),
    ];
    let (passed, report) = run(&rules, &frames);
    assert_eq!((passed, report.get("malformed packets"), report.get("connections ended")), (4, 1, 0));
    assert_eq!(
        report.lines(),
        [
            "\"a\" udp 10.0.0.1:5 -> 10.0.0.2:53 4",
            "\"end\" udp 10.0.0.1:5 -> 10.0.0.2:53 4",
            "\"end\" udp [2001:db8::1]:5 -> [2001:db8::2]:53 1"
        ]
    );
}

/// Ptacek and Newsham's evasion: the same bytes twice, with other content.
#[test]
fn overlaps_are_read_as_the_receiving_host_reads_them() {
    let mut frames = opening();
    frames.push(segment(ENDS, 102, Flags::ACK, b"tack"));
    frames.push(segment(ENDS, 102, Flags::ACK, b"xxxx"));
    frames.push(segment(ENDS, 100, Flags::ACK, b"at"));
    for (policy, alerts) in [("first", 1), ("last", 0), ("linux", 1), ("old-linux", 0), ("bsd", 1)] {
        let policy = format!("policy={policy}");
        let (_, report) = run(&[r#"rule=alert "x" content "attack""#, &policy], &frames);
        assert_eq!(
            (report.get("alerts"), report.get("overlaps with other content")),
            (alerts, 1),
            "{policy}"
        );
    }
}

/// The slow twin: the shortest beginning of the text in which the rule's pattern is.
fn first_hit(rule: &Rule, text: &[u8]) -> Option<u64> {
    let is_in = |text: &[u8]| match &rule.pattern {
        Pattern::Literal { bytes, nocase } => {
            text.windows(bytes.len()).any(|at| at == bytes || *nocase && at.eq_ignore_ascii_case(bytes))
        }
        Pattern::Regex(expression) => meta(expression).is_match(text),
    };
    (1..=text.len()).find(|end| is_in(&text[..*end])).map(|end| end as u64)
}

/// The expression for another engine.
fn meta(expression: &str) -> regex_automata::meta::Regex {
    let syntax = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
    let config = regex_automata::meta::Config::new().utf8_empty(false);
    regex_automata::meta::Builder::new().syntax(syntax).configure(config).build(expression).unwrap()
}

#[test]
fn any_segmentation_gives_the_alerts_of_the_whole_payload() {
    let texts = [
        r#"alert "literal" content "abba""#,
        r#"alert "suffix" content "ba""#,
        r#"alert "case" content "AbC" nocase"#,
        r#"alert "long" content "abcabcabcabcabc""#,
        r#"alert "regex" regex "a[^b]{2,4}c+a""#,
        r#"alert "begin" regex "^(ab|c)+ca""#,
        r#"alert "either" regex "ccc|bbbb""#,
    ];
    let rules: Vec<_> = texts.iter().map(|text| Rule::parse(text).unwrap()).collect();
    let words: Vec<_> = texts.iter().map(|text| format!("rule={text}")).collect();
    let words: Vec<_> = words.iter().map(|word| &**word).collect();
    let seed = std::env::var("WEFT_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2026);
    let mut random = Random::new(seed);
    let mut found = 0;
    for round in 0..150 {
        let length = random.among(&(1..=120)) as usize;
        let mut text: Vec<u8> = (0..length).map(|_| b'a' + (random.draw() % 3) as u8).collect();
        if round % 3 == 0 {
            text.extend_from_slice(b"abcabcabcabcabcabba");
        }
        let mut frames = opening();
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = (start + random.among(&(1..=20)) as usize).min(text.len());
            // Some reach back, some come twice.
            let back = start - (random.draw() as usize % 4).min(start);
            for _ in 0..=u64::from(random.happens(1 << 29)) {
                pieces.push(segment(ENDS, 100 + back as u32, Flags::ACK, &text[back..end]));
            }
            start = end;
        }
        for at in (1..pieces.len()).rev() {
            pieces.swap(at, random.among(&(0..=at as u64)) as usize);
        }
        frames.extend(pieces);
        let (_, report) = run(&words, &frames);
        let mut told = report.lines().to_vec();
        let mut wanted: Vec<_> = rules
            .iter()
            .filter_map(|rule| {
                let end = first_hit(rule, &text)?;
                Some(format!("{:?} tcp 10.0.0.1:40000 -> 10.0.0.2:80 {end}", rule.name))
            })
            .collect();
        found += wanted.len();
        told.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(told, wanted, "seed {seed}, round {round}: {}", text.escape_ascii());
    }
    assert!(found > 300, "too few to mean anything: {found}");
}

#[test]
fn wrong_rules_are_named() {
    for (words, said) in [
        (&[][..], "0 rules"),
        (&["rule=alert"], "a text in quotes is wanted"),
        (&[r#"rule=alert "x" regex "(""#], "\"x\""),
        (&["rule=@/nonexistent"], "No such file"),
        (&[r#"rule=alert "x" content "x""#, "policy=windows"], "first, last"),
    ] {
        let error = build(&mut Args::parse("signature", words).unwrap(), &setup()).err().unwrap().to_string();
        assert!(error.contains(said), "{words:?}: {error}");
    }
}
