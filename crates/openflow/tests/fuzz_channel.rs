//! Bounded fuzzing on stable Rust: see `packet::fuzzing::bounded`.

use openflow::channel::fuzzing;
use packet::fuzzing::bounded::{Random, fuzz};

/// Messages with few types, lengths that are mostly right, and whatever behind the header.
fn stream(random: &mut Random) -> Vec<u8> {
    let mut input = random.bytes(2);
    let version = random.one_of(&[1u8, 4]);
    for _ in 0..random.below(40) {
        let kind = if random.one_in(4) {
            random.bytes(1)[0]
        } else {
            random.one_of(&[0u8, 1, 2, 3, 4, 6, 10, 17, 19, 21])
        };
        let body = random.below(80);
        let mut length = 8 + body as u16;
        if random.one_in(30) {
            length = u16::from_be_bytes([random.bytes(1)[0], random.bytes(1)[0]]);
        }
        let version = if random.one_in(30) { random.bytes(1)[0] } else { version };
        input.extend([version, kind]);
        input.extend(length.to_be_bytes());
        input.extend([0, 0, 0, random.below(6) as u8]);
        let mut bytes = random.bytes(body);
        // Parts of few kinds of multipart messages.
        if let [0, kind, _, flags, ..] = &mut bytes[..] {
            (*kind, *flags) = (*kind % 14, *flags % 2);
        }
        if random.one_in(2) {
            bytes.iter_mut().take(8).for_each(|byte| *byte &= 3);
        }
        input.extend(bytes);
    }
    input
}

#[test]
fn a_channel_holds_any_bytes() {
    fuzz("openflow_channel", stream, fuzzing::channel);
}
