//! Draws the picture of the README and a few more: `cargo run -p topology --example draw -- DIRECTORY`.

use std::path::PathBuf;

use topology::render::{Layout, Style, dot, svg};
use topology::{LinkSpec, NodeKind, NodeSpec, Topology, generate};

/// A web shop: what `weft graph` draws for `examples/shop.js`.
fn shop() -> Result<Topology, Box<dyn std::error::Error>> {
    let mut shop = Topology::new();
    shop.name = "shop".into();
    let public = shop.add_node(NodeSpec::new(NodeKind::External, "public"))?;
    let client = shop.add_node(NodeSpec::host("client").attribute("address", "10.7.0.6"))?;
    let web = shop.add_node(NodeSpec::new(NodeKind::Service, "web").attribute("address", "10.7.128.1"))?;
    let database = NodeSpec::host("database").cluster("storage").attribute("address", "10.7.0.5");
    let database = shop.add_node(database)?;
    shop.add_link(public, web, LinkSpec::default().directed().label("tcp 8080 → 80"))?;
    shop.add_link(client, web, LinkSpec::default().directed().label("tcp 80"))?;
    for number in 1..=3 {
        let replica = NodeSpec::host(format!("web-{number}")).cluster("web tier");
        let replica = shop.add_node(replica.attribute("address", format!("10.7.0.{}", number + 1)))?;
        shop.add_link(web, replica, LinkSpec::default().directed())?;
        shop.add_link(replica, database, LinkSpec::default().directed().label("tcp 5432"))?;
    }
    Ok(shop)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let style = Style { detail: Some("address".into()), ..Style::default() };
    let link = LinkSpec::default();
    let pictures = [
        ("shop", shop()?, style.clone()),
        ("fat-tree", generate::fat_tree(4, &link)?, Style { layout: Layout::Layered, ..Style::default() }),
        (
            "waxman",
            generate::waxman(24, 0.5, 0.2, 7, &link)?,
            Style { port_numbers: true, ..Style::default() },
        ),
        ("ring", generate::ring(12, &link)?, Style { layout: Layout::Circular, ..Style::default() }),
    ];
    for (name, topology, style) in pictures {
        std::fs::write(directory.join(format!("{name}.svg")), svg(&topology, &style)?)?;
        std::fs::write(directory.join(format!("{name}.dot")), dot(&topology, &style))?;
    }
    Ok(())
}
