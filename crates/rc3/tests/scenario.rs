//! Scenario files: what they give, and how what is wrong with them is told.

use std::num::NonZeroUsize;

use rc3::scenario::{BASELINE, Scenario, ScenarioError};

const GOOD: &str = "\
name: small
topology: { dumbbell: { hosts: 3, edge: 1gbit 1ms, core: 200mbit 10ms } }
links: { buffer: 500KB, loss: 0 }
workload: { flows: 60, load: 0.4, capacity: 200mbit, sizes: paper }
protocols:
  - tcp
  - rc3
  - { name: half, like: rc3-paced, deployed: 0.5, initial_window: 10 }
sweep: { load: [0.1, 0.4] }
seeds: 3
";

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, &|path| match path {
        "net.txt" => Ok("3\n2\na b 100 1\nb c 100 x\n".into()),
        "good.txt" => Ok("a r 100 1\nb r 100 1\n".into()),
        _ => Err(format!("{path}: no such file")),
    })
}

#[test]
fn results_do_not_depend_on_threads() {
    let scenario = parse(GOOD).unwrap();
    assert_eq!(scenario.runs(), 18);
    let alone = scenario.run(NonZeroUsize::new(1), |_| {}).unwrap();
    let both = scenario.run(NonZeroUsize::new(2), |_| {}).unwrap();
    assert_eq!(alone, both);
    assert_eq!(alone.csv(), both.csv());
    assert_eq!(alone.rows.len(), 6);
    assert_eq!(alone.csv().lines().count(), 7);
    for row in &alone.rows {
        assert_eq!((row.flows, row.unfinished, row.lost), (180, 0, 0), "{row:?}");
        if row.protocol == "tcp" {
            assert_eq!(row.reduction_over_flows.unwrap().mean, 0.0);
        } else {
            assert!(row.reduction_over_flows.unwrap().mean > 0.1, "{row:?}");
        }
    }
    let svg = alone.plot().svg();
    assert!(
        ["small, 3 seeds", ">load<", ">tcp<", ">rc3<", ">half<"].iter().all(|text| svg.contains(text)),
        "{svg}"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    assert!(parse(BASELINE).is_ok());
    let fault = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        parse(&GOOD.replace(from, to)).map(|_| ()).expect_err(to)
    };
    let dumbbell = "{ dumbbell: { hosts: 3, edge: 1gbit 1ms, core: 200mbit 10ms } }";
    let cases = [
        ("flows: 60, ", "flows: 60, between: [[h1, h4], [h2, h9]], ", 4, "there is no host h9"),
        ("flows: 60, ", "flows: 60, between: [[h1, h1]], ", 4, "h1 is both ends"),
        ("flows: 60, ", "flows: 60, between: [], ", 4, "no pair of hosts"),
        ("flows: 60", "flows: 0", 4, "a number of flows of 0"),
        ("flows: 60", "flows: many", 4, "a number of flows of many"),
        ("1gbit 1ms", "-1gbit 1ms", 2, "`-1gbit` is no rate"),
        ("1gbit 1ms", "1gbit", 2, "is no link"),
        ("200mbit 10ms", "200mbit -10ms", 2, "`-10ms` is no time"),
        ("capacity: 200mbit", "capacity: -200mbit", 4, "is no rate"),
        ("buffer: 500KB", "buffer: -1", 3, "are no bytes"),
        ("loss: 0 ", "loss: 1.5 ", 3, "a loss of 1.5"),
        ("load: 0.4, ", "load: -0.4, ", 4, "a load of -0.4"),
        ("sizes: paper", "sizes: [[1000, 0.5], [2000, 0.9]]", 4, "want them to rise"),
        ("  - rc3\n", "  - rc4\n", 7, "there is no protocol rc4"),
        ("like: rc3-paced", "like: tcp, levels: 3", 8, "has no low levels"),
        ("like: rc3-paced", "like: rc3, levels: 9", 8, "9 levels"),
        ("[0.1, 0.4]", "[]", 9, "an empty sweep"),
        ("[0.1, 0.4]", "[0.1, -1]", 9, "a load of -1"),
        ("{ load: [0.1, 0.4] }", "{}", 9, "one parameter"),
        ("seeds: 3", "seeds: 0", 10, "want 1 to 100000 seeds"),
        ("seeds: 3", "seeds: 90000", 10, "540000 runs"),
        ("seeds: 3", "seed: 3", 10, "seed"),
        (dumbbell, "internet3", 2, "there is no topology internet3"),
        (dumbbell, "{ file: none.txt }", 2, "none.txt: no such file"),
        (dumbbell, "{ file: net.txt }", 2, "net.txt: line 4: `x` is no delay in ms"),
        (dumbbell, "{ links: [[a, b, 1gbit 1ms], [c, d, 1gbit 1ms]] }", 2, "there is no way from"),
        (dumbbell, "{ links: [] }", 2, "0 hosts"),
    ];
    for (from, to, line, message) in cases {
        let error = fault(from, to);
        assert!(error.line == line && error.message.contains(message), "{to}: {error}");
    }
    assert!(parse(&GOOD.replace(dumbbell, "{ file: good.txt }")).is_ok());
    assert!(parse(&"#".repeat(2 << 20)).is_err());
}

#[test]
fn every_example_is_a_scenario() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/rc3");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_cut_off_or_changed_panics(at in 0..GOOD.len(), byte in 32_u8..127) {
        let _ = parse(&GOOD[..at]);
        let mut changed = GOOD.as_bytes().to_vec();
        changed[at] = byte;
        let _ = parse(&String::from_utf8(changed).unwrap());
    }
}
