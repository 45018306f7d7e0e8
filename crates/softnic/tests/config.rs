//! Configuration files carried out by a daemon.

use softnic::bess::{Bess, Config};
use softnic::config;

/// What a file is checked for is what the daemon then takes.
#[test]
fn the_examples_are_right() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/softnic");
    let mut found = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        // Other runs of this test have sockets of their own.
        let own = format!("@weft_config_{}_", std::process::id());
        let text = std::fs::read_to_string(&path).unwrap().replace("@weft_", &own);
        let parsed = config::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        config::check(&parsed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bess = Bess::start(Config { buffers: 4096, ..Config::default() }).unwrap();
        config::apply(&bess, &parsed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        found += 1;
    }
    assert!(found >= 3);
}
