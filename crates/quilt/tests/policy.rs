//! Pipelets of a blueprint as the text of a policy, and where each line of it comes from.

use quilt::eval::{Evaluation, Options, evaluate_text};

fn evaluated(text: &str) -> Evaluation {
    evaluate_text("nf.js", text, &Options::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

const BLUEPRINT: &str = "import { Hardware, NF, Pipelet } from 'weft/nf';
const rate = '1 Gbit/s';
const wall = new NF('wall', {
  run: 'firewall rule=permit out any any', instances: 2,
  switchEntries: 3,
  attributes: { safe: 'metadata' },
});
const old = new NF('old', { kind: 'legacy', run: 'nft -f -', inside: ['left'], scalable: false });
new NF('idle', { run: 'monitor' });
new Pipelet('way', {
  rate,
  edges: [
    { from: 'left', to: wall },
    { from: wall, to: old, when: \"safe and not 'x'\", share: undefined },
    ...[['old', 'right']].map(([from, to]) => ({ from, to })),
  ],
});
new Hardware({ switch: { name: 'tor', entries: 9 }, servers: [], links: [], ports: [{ name: 'left', rate }] });
";

const TEXT: &str = r#"nfs:
  -
    name: "wall"
    "run":
      - "firewall"
      - "rule=permit out any any"
    "instances":
      "least": 2
      "most": 2
    "switch_entries": 3
    "attributes":
      -
        "name": "safe"
        "by": "metadata"
  -
    name: "old"
    "kind": "legacy"
    "run":
      - "sh"
      - "-ec"
      - "nft -f -"
    "inside":
      - "left"
    "scalable": false
pipelets:
  -
    name: "way"
    "rate": "1 Gbit/s"
    "edges":
      -
        "from": "left"
        "to": "wall"
      -
        "from": "wall"
        "to": "old"
        "when": "safe and not 'x'"
      -
        "from": "old"
        "to": "right"
hardware:
  "switch":
    "name": "tor"
    "entries": 9
  "servers": []
  "links": []
  "ports":
    -
      "name": "left"
      "rate": "1 Gbit/s"
"#;

#[test]
fn a_blueprint_is_written_as_a_policy_with_the_place_of_each_line() {
    let evaluation = evaluated(BLUEPRINT);
    let policy = evaluation.policy.expect("there are pipelets");
    assert_eq!(policy.text, TEXT);
    let place = |line: &str| {
        let number = policy.text.lines().position(|known| known.trim() == line).expect(line) + 1;
        let span = policy.place(u32::try_from(number).expect("few lines"));
        (span.line, &BLUEPRINT[span.offset..span.offset + span.len])
    };
    assert_eq!(place("name: \"wall\"").0, 3);
    assert_eq!(place("- \"rule=permit out any any\""), (4, "'firewall rule=permit out any any'"));
    assert_eq!(place("\"switch_entries\": 3"), (5, "3"));
    assert_eq!(place("\"by\": \"metadata\""), (6, "{ safe: 'metadata' }"));
    assert_eq!(place("\"scalable\": false"), (8, "false"));
    assert_eq!(place("\"rate\": \"1 Gbit/s\""), (11, "rate"));
    assert_eq!(place("\"to\": \"wall\""), (13, "wall"));
    assert_eq!(place("\"when\": \"safe and not 'x'\""), (14, "\"safe and not 'x'\""));
    // Of what is spread nobody knows how much it is: the list.
    assert_eq!(place("\"to\": \"right\""), (12, "["));
    assert_eq!(place("\"entries\": 9"), (18, "9"));
    assert_eq!(policy.place(9999).line, policy.place(1).line);
    // A function that only pipelets lead to is none of the blueprint's, and the others are as before.
    let names: Vec<&str> = evaluation.blueprint.functions.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["idle"]);
    assert!(evaluation.faults.is_empty(), "{:?}", evaluation.faults);
    assert!(evaluation.notes.iter().any(|note| note.text.contains("weft e2 up") && note.span.line == 10));
}

#[test]
fn a_function_may_be_of_links_and_of_pipelets() {
    let text = BLUEPRINT.replace(
        "new NF('idle', { run: 'monitor' });",
        "import { Container, allow } from 'weft';
new Container('a', { command: ['sleep', '9'] });
allow('a', 'a', 80).through(new NF('both', { run: 'monitor', capacity: rate }));",
    );
    let text = text.replace("to: wall }", "to: wall }, { from: 'right', to: 'both' }");
    let evaluation = evaluated(&text);
    assert!(evaluation.faults.is_empty(), "{:?}", evaluation.faults);
    assert_eq!(evaluation.blueprint.functions[0].name, "both");
    assert!(evaluation.policy.expect("there are pipelets").text.contains("\"capacity\": \"1 Gbit/s\""));
    // Without the pipelet its capacity means nothing.
    let evaluation = evaluated(&text.replace(", { from: 'right', to: 'both' }", ""));
    assert!(evaluation.faults[0].to_string().contains("capacity"), "{:?}", evaluation.faults);
}

#[test]
fn what_no_policy_can_say_is_a_fault_at_its_place() {
    for (good, bad, told) in [
        ("switchEntries: 3", "switchEntries: () => 3", "a function is nothing that a policy can say"),
        ("new Hardware({", "new Hardware({}); new Hardware({", "the hardware is described a second time"),
    ] {
        let text = BLUEPRINT.replace(good, bad);
        assert_ne!(text, BLUEPRINT, "{good}");
        let evaluation = evaluated(&text);
        let [fault] = &evaluation.faults[..] else { panic!("{bad}: {:?}", evaluation.faults) };
        assert!(fault.to_string().contains(told), "{bad}: {fault}");
        let line = text[..text.find(bad).expect("it is there")].matches('\n').count() + 1;
        assert_eq!(fault.span.line as usize, line, "{bad}");
    }
}
