//! A legacy function grows and shrinks: each instance is a namespace with a program that knows nothing of us.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use e2::live::{Record, Store};

use crate::LEGACY;
use crate::bed::{Bed, LEFT, RIGHT, must, pair};

fn record(bed: &Bed) -> Record {
    Store::new(bed.state.path()).known("test").unwrap()
}

/// What each instance's own counter has seen pass.
fn passed(bed: &Bed) -> Vec<u64> {
    let of = |pid: String| {
        let counters = must(Command::new("nsenter").args(["-t", &pid, "-n", "nft", "list", "counters"]));
        let behind = counters.split("counter passed").nth(1).unwrap().split("packets ").nth(1).unwrap();
        behind.split(' ').next().unwrap().parse().unwrap()
    };
    record(bed).held.iter().map(|held| of(held.process.pid.to_string())).collect()
}

fn again(stream: &mut TcpStream) {
    stream.write_all(b"and once more").unwrap();
    let mut back = [0; 13];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"and once more");
}

#[test]
fn a_legacy_function_grows_and_shrinks() {
    let bed = Bed::new();
    for (namespace, other, address) in [(&bed.left, &bed.right, RIGHT), (&bed.right, &bed.left, LEFT)] {
        let mac = other.run("cat", &["/sys/class/net/eth0/address"]);
        namespace.run("ip", &["neigh", "add", address, "lladdr", mac.trim(), "dev", "eth0"]);
    }
    bed.up(&LEGACY.replace("cores: 1", "cores: 2"), &["--idle", "2"]);
    bed.echo(80);
    let mut streams: Vec<TcpStream> = (0..30).map(|_| bed.talk(80)).collect();
    let [alone] = passed(&bed)[..] else { panic!("one instance") };
    assert!(alone >= 30 * 5, "{alone}");

    // One that cannot be set up is none, and the other goes on.
    let broken = record(&bed);
    let path = bed.state.path().join("e2/test/record.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("table bridge own", "table brigde own")).unwrap();
    let failed = bed.weft(&["scale", "nft", "out"]).output().unwrap();
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && error.contains("nft.2"), "{error}");
    assert_eq!(record(&bed).held, broken.held);
    assert!(record(&bed).moving.is_empty() && record(&bed).deployed.instances.len() == 2);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("table brigde own", "table bridge own")).unwrap();
    streams.iter_mut().for_each(again);

    println!("{}", must(&mut bed.weft(&["scale", "nft", "out", "--wait", "0"])));
    let grown = record(&bed);
    assert_eq!(grown.held.len(), 2);
    streams.extend((0..30).map(|_| bed.talk(80)));
    let passed = passed(&bed);
    assert!(passed.iter().all(|packets| *packets >= 5 * 5), "both have some: {passed:?}");
    let mut seen: Vec<String> = bed
        .flows()
        .iter()
        .filter(|(name, ..)| name.starts_with("nft"))
        .map(|(_, flow, _)| pair(flow))
        .collect();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|two| two[0] != two[1]), "no flow is at two of them: {seen:#?}");
    streams.iter_mut().for_each(again);

    println!("{}", must(&mut bed.weft(&["scale", "nft", "in", "--wait", "0"])));
    let shrunk = record(&bed);
    assert_eq!((shrunk.held.len(), shrunk.leaving.len()), (1, 0));
    let gone = grown.held.iter().find(|held| !shrunk.held.contains(held)).unwrap();
    assert!(!gone.process.is_alive());
    streams.iter_mut().for_each(again);
    bed.talk(80);
    let status = bed.json(&["ps"]);
    assert!(status["sites"].as_array().unwrap().iter().all(|site| site["error"].is_null()), "{status:#}");
}
