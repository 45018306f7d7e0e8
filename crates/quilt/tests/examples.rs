//! The blueprints a newcomer copies: each loads without a fault, and allows what its comments say and no more.

use std::path::{Path, PathBuf};

use quilt::check::reach::allowed;
use quilt::eval::Options;
use quilt::model::{Blueprint, Protocol};

fn example(name: &str, options: &Options) -> Blueprint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let loaded = quilt::load(&path, options).unwrap_or_else(|faults| panic!("{:?}", faults.into_report()));
    assert_eq!(loaded.notes, [], "{name}");
    assert_eq!(loaded.console, "", "{name}");
    loaded.blueprint
}

/// `source -> destination:port` for all that may connect, of the ports the blueprint mentions.
fn connections(blueprint: &Blueprint) -> Vec<String> {
    let services = blueprint.services.iter().map(|service| &service.name);
    let names: Vec<&String> = blueprint.containers.iter().map(|c| &c.name).chain(services).collect();
    let mut ports: Vec<u16> =
        blueprint.links.iter().flat_map(|link| [link.ports.min, link.ports.max]).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut found = Vec::new();
    for source in &blueprint.containers {
        for destination in &names {
            for port in &ports {
                if allowed(blueprint, &source.name, destination, *port, Protocol::Tcp).is_some() {
                    found.push(format!("{} -> {destination}:{port}", source.name));
                }
            }
        }
    }
    found
}

#[test]
fn the_shop_lets_only_the_web_tier_reach_the_database() {
    let shop = example("shop.js", &Options::default());
    assert_eq!(shop.name, "shop");
    let expected = [
        "web-1 -> db:5432",
        "web-2 -> db:5432",
        "web-3 -> db:5432",
        "client -> web-1:80",
        "client -> web-2:80",
        "client -> web-3:80",
        "client -> web:80",
    ];
    assert_eq!(connections(&shop), expected);
    assert_eq!(shop.publishes[0].to_string(), "8080 -> web:80/tcp");
}

#[test]
fn nginx_is_reached_by_its_client() {
    let nginx = example("nginx.js", &Options::default());
    let expected = ["client -> north:80", "client -> south:80", "client -> pages:80"];
    assert_eq!(connections(&nginx), expected);
    assert!(nginx.containers[0].files.contains_key("/srv/www/index.html"));
}

#[test]
fn redis_replicates_one_way_on_the_port_asked_for() {
    let expected = |port: u16| {
        [("replica", "primary"), ("client", "primary"), ("client", "replica")]
            .map(|(from, to)| format!("{from} -> {to}:{port}"))
    };
    assert_eq!(connections(&example("redis.js", &Options::default())), expected(6379));
    let options = Options { args: [("port".to_owned(), "7000".to_owned())].into(), ..Options::default() };
    assert_eq!(connections(&example("redis.js", &options)), expected(7000));
}

#[test]
fn every_example_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|ending| ending == "js"));
    let this = include_str!("examples.rs");
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(this.contains(&format!("example(\"{name}\"")), "{name} has no test");
    }
}
