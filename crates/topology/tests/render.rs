//! Drawings are well formed, deterministic, complete, and do not hide one thing behind another.

mod twins;

use proptest::prelude::*;
use roxmltree::Document;
use topology::render::{Layout, PICTURE_NODES_MAX, RenderError, Style, dot, svg};
use topology::{LinkSpec, NodeKind, NodeSpec, Topology, generate};
use twins::small;

const KINDS: [NodeKind; 5] =
    [NodeKind::Host, NodeKind::Switch, NodeKind::Service, NodeKind::External, NodeKind::Custom];

/// Gives the nodes kinds, and some of them clusters.
fn dress(mut topology: Topology, clusters: usize) -> Topology {
    let ids: Vec<_> = topology.nodes().map(topology::Node::id).collect();
    for (index, id) in ids.into_iter().enumerate() {
        let node = topology.node_mut(id).unwrap();
        node.kind = KINDS[index % KINDS.len()];
        node.cluster = (clusters > 0 && index % 3 != 0).then(|| format!("<group> {}", index % clusters));
        node.attributes.insert("address".into(), format!("10.0.0.{index} & more"));
    }
    topology
}

/// Rectangles of a class: x, y, width, height.
fn rects(picture: &Document<'_>, classes: &[&str]) -> Vec<[f64; 4]> {
    let number =
        |node: &roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
    picture
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "rect")))
        .filter(|node| classes.contains(&node.attribute("class").unwrap_or_default()))
        .map(|node| ["x", "y", "width", "height"].map(|name| number(&node, name)))
        .collect()
}

fn overlap(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] + a[2] > b[0] + 0.2
        && b[0] + b[2] > a[0] + 0.2
        && a[1] + a[3] > b[1] + 0.2
        && b[1] + b[3] > a[1] + 0.2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pictures_are_well_formed_and_nothing_overlaps(
        topology in small(14, 30),
        clusters in 0..4_usize,
        layout in prop::sample::select(vec![Layout::Auto, Layout::Layered, Layout::Force, Layout::Circular]),
        port_numbers: bool,
    ) {
        let topology = dress(topology, clusters);
        let style = Style { layout, port_numbers, detail: Some("address".into()), ..Style::default() };
        let text = svg(&topology, &style).unwrap();
        prop_assert_eq!(&text, &svg(&topology, &style).unwrap());
        prop_assert!(!text.contains("NaN") && !text.contains("inf"));
        let picture = Document::parse(&text).unwrap();
        let drawn = picture.descendants().filter(|node| node.attribute("class") == Some("w")).count();
        prop_assert_eq!(drawn, topology.link_count());
        for node in topology.nodes() {
            prop_assert!(picture.descendants().any(|text| text.text() == Some(node.name())));
        }
        let boxes = rects(&picture, &["host", "service", "external", "custom"]);
        let groups = rects(&picture, &["c"]);
        for set in [&boxes, &groups] {
            for (index, a) in set.iter().enumerate() {
                prop_assert!(!set[..index].iter().any(|b| overlap(a, b)), "{} ({:?})", text, layout);
            }
        }
        // A node is in one group whole, or in none.
        for a in &boxes {
            let around = |g: &&[f64; 4]| {
                a[0] >= g[0] && a[1] >= g[1] && a[0] + a[2] <= g[0] + g[2] && a[1] + a[3] <= g[1] + g[3]
            };
            let (touching, inside) = (groups.iter().filter(|g| overlap(a, g)), groups.iter().filter(around));
            prop_assert_eq!(touching.count(), inside.count());
        }
    }

    #[test]
    fn no_name_breaks_a_drawing(name in "\\PC{1,50}|[\\x00-\\x7f]{1,50}") {
        let mut topology = Topology::new();
        topology.name.clone_from(&name);
        let spec = NodeSpec::host(&name).cluster(&name).attribute("a", &name);
        let node = topology.add_node(spec).unwrap();
        topology.add_link(node, node, LinkSpec::default().label(&name)).unwrap();
        let style = Style { detail: Some("a".into()), ..Style::default() };
        let text = svg(&topology, &style).unwrap();
        prop_assert!(Document::parse(&text).is_ok(), "{}", text);
        // Outside quoted strings, Graphviz text holds nothing of the name.
        let text = dot(&topology, &style);
        let (mut outside, mut quoted, mut escaped) = (String::new(), false, false);
        for character in text.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if !quoted => outside.push(character),
                _ => {}
            }
        }
        prop_assert!(!quoted);
        let plain = |c: char| c.is_ascii_alphanumeric() || " \n{}[]=,;-_".contains(c);
        prop_assert!(outside.chars().all(plain), "{}", outside);
    }
}

#[test]
fn graphviz_text_reads_as_expected() {
    let mut topology = Topology::new();
    topology.name = "pair".into();
    let a = topology.add_node(NodeSpec::switch("a \"quoted\"")).unwrap();
    let b = topology.add_node(NodeSpec::host("b").cluster("rack").attribute("address", "10.0.0.1")).unwrap();
    topology.add_link(a, b, LinkSpec::default().label("tcp 80").directed()).unwrap();
    topology.add_link(b, a, LinkSpec::default()).unwrap();
    let style = Style { detail: Some("address".into()), ..Style::default() };
    let expected = r#"digraph "pair" {
  label="pair"; labelloc=t;
  rankdir=LR;
  node [fontname="sans-serif"]; edge [fontname="sans-serif", fontsize=10];
  n0 [label="a \"quoted\"", shape=box];
  subgraph cluster_0 {
    label="rack"; style=rounded;
    n1 [label="b\n10.0.0.1", shape=box, style=rounded];
  }
  n0 -> n1 [label="tcp 80"];
  n1 -> n0 [dir=none];
}
"#;
    assert_eq!(dot(&topology, &style), expected);
}

#[test]
fn pictures_have_a_limit_and_stay_below_it() {
    let link = LinkSpec::default();
    let too_many = generate::line(PICTURE_NODES_MAX as u32 + 1, &link).unwrap();
    let refused = RenderError::TooLarge { nodes: PICTURE_NODES_MAX + 1, links: PICTURE_NODES_MAX };
    assert_eq!(svg(&too_many, &Style::default()), Err(refused));
    assert!(
        svg(&Topology::new(), &Style::default()).unwrap().ends_with("</svg>\n"),
        "an empty one has a picture"
    );
    // The longest links there can be, and many: every switch of a long line with the first.
    let mut long = generate::line(PICTURE_NODES_MAX as u32, &link.clone().directed()).unwrap();
    let ids: Vec<_> = long.nodes().map(topology::Node::id).collect();
    for id in &ids[1..] {
        long.add_link(ids[0], *id, LinkSpec::default().directed()).unwrap();
    }
    assert!(svg(&long, &Style::default()).is_ok());
}
