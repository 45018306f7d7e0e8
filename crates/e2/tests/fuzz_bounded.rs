//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use e2::fuzzing;
use packet::fuzzing::bounded::fuzz_seeds;

#[test]
fn filters_hold_any_bytes() {
    let seeds = [
        "tcp dst port 80 and not safe",
        "(src net 10.0.0.0/8 or dst net 2001:db8::/32) and udp",
        "not (icmp or icmp6) && ids.alarm || any",
        "portrange 8000-8100",
        "ip host 192.0.2.1 or proto 47 or sctp src port 7",
        "((((not not any))))",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    fuzz_seeds("e2_filter", &seeds, b"()!&|. 0123456789/:-aonx", fuzzing::filter);
}

#[test]
fn policies_hold_any_bytes() {
    let seeds = [
        include_bytes!("../examples/shop.yaml").to_vec(),
        b"hardware: {switch: {name: a, entries: 1}}".to_vec(),
    ];
    fuzz_seeds("e2_policy", &seeds, b"[]{}:,-#&*!|>%@ \n0159GMk/s\"'", fuzzing::policy);
}
