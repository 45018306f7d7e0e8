//! Loaders meet text of every kind: they answer, and never panic.

use proptest::prelude::*;
use topology::load::{
    FILE_BYTES_MAX, LoadError, edge_list, gml, graphml, json, node_link, rocketfuel_weights, to_json,
};
use topology::{Topology, generate};

type Loader = fn(&str) -> Result<Topology, LoadError>;
const LOADERS: [Loader; 6] = [edge_list, gml, graphml, json, node_link, rocketfuel_weights];

/// Words of all formats, so that random sequences of them get far into the parsers.
fn words() -> impl Strategy<Value = String> {
    let words = vec![
        "graph",
        "node",
        "edge",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "</",
        "/>",
        "id",
        "source",
        "target",
        "label",
        "\"",
        "\"a\"",
        ":",
        ",",
        "nodes",
        "\"nodes\"",
        "\"links\"",
        "0",
        "1",
        "-1",
        "1e400",
        "NaN",
        "\n",
        " ",
        "<graphml>",
        "<graph>",
        "<node id=\"0\"/>",
        "<edge source=\"0\" target=\"0\"/>",
        "</graph>",
        "</graphml>",
        "&",
        "&amp;",
        "#",
        "é",
        "\u{0}",
        "weight",
        "LinkSpeedRaw",
        "999999999999999999999",
    ];
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_gets_an_answer(text in prop_oneof![words(), any::<String>()]) {
        for load in LOADERS {
            if let Ok(topology) = load(&text) {
                prop_assert_eq!(&json(&to_json(&topology)).unwrap(), &topology);
            }
        }
    }

    #[test]
    fn a_file_cut_short_gets_an_answer(cut in 0..4000_usize) {
        let whole = to_json(&generate::ring(6, &topology::LinkSpec::default()).unwrap());
        let at = whole.floor_char_boundary(cut.min(whole.len()));
        prop_assert_eq!(json(&whole[..at]).is_ok(), at == whole.len());
    }
}

#[test]
fn long_files_are_refused() {
    let long = " ".repeat(FILE_BYTES_MAX + 1);
    for load in LOADERS {
        assert_eq!(load(&long), Err(LoadError::TooLong(FILE_BYTES_MAX + 1)));
    }
}
