//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use packet::fuzzing::bounded::fuzz_seeds;
use rc3::fuzzing;

#[test]
fn parsers_hold_any_bytes() {
    let mut seeds = fuzzing::seeds();
    seeds.push([&[0x11][..], &[1; 8], &[0, 0, 48], &[5; 48]].concat());
    seeds.push([&[0x14][..], &[2; 60]].concat());
    seeds.push([&[0x15][..], &[2; 16]].concat());
    fuzz_seeds("rc3_wire", &seeds, &[0, 1, 3, 5, 6, 7, 10, 12, 0x11, 0x14, 0xff], fuzzing::wire);
}

#[test]
fn local_clients_may_say_anything() {
    let seeds = [
        b"\xff\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x00\x50GET /".to_vec(),
        b"\x03\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50".to_vec(),
        b"\x40CONNECT [::1]:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
    ];
    fuzz_seeds("rc3_socks", &seeds, b"\x00\x01\x03\x04\x05.:/[]\r\n 1aA", fuzzing::socks);
}

#[test]
fn strangers_move_nothing() {
    let seeds = [
        [&[0x14][..], &[0; 100]].concat(),
        [&[0x11][..], &[1; 199]].concat(),
        [&[0x12][..], &[3; 32]].concat(),
    ];
    fuzz_seeds("rc3_strangers", &seeds, &[0x11, 0x12, 0x13, 0x14, 0x15, 0, 0xff], fuzzing::strangers);
}

#[test]
fn peers_with_the_key_may_say_anything() {
    fuzz_seeds(
        "rc3_peers",
        &fuzzing::seeds(),
        &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x7f, 0xff],
        fuzzing::peers,
    );
}
