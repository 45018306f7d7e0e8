//! Body of the fuzz target `openflow_channel`, shared by `tests/fuzz_channel.rs` and `fuzz/`. Not for other uses.

use std::time::Duration;

use super::{Channel, Config, Event, Versions};
use crate::Version;

/// Bytes of input that a run looks at.
const INPUT_MAX: usize = 1 << 16;
/// Bytes that may wait for a peer.
const OUTPUT_MAX: usize = 1 << 12;

/// Any bytes from a peer. The first says who we are, what we speak, and whether a good hello comes first; the second how the
/// rest is cut. All at once or in pieces, the same happens; and whatever it is, little is kept.
pub fn channel(data: &[u8]) {
    let [how, cut, rest @ ..] = data else { return };
    let rest = &rest[..rest.len().min(INPUT_MAX)];
    let (mut whole, mut pieces) = (make(*how), make(*how));
    let mut input = Vec::new();
    if how & 4 != 0 {
        input.extend([if how & 8 != 0 { 1 } else { 4 }, 0, 0, 8, 0, 0, 0, 1]);
    }
    input.extend(rest);

    let now = Duration::from_millis(1);
    whole.handle_bytes(now, &input);
    let at_once = happens(&mut whole);
    let mut in_pieces = Vec::new();
    for piece in input.chunks(usize::from(*cut).max(1)) {
        pieces.handle_bytes(now, piece);
        in_pieces.extend(happens(&mut pieces));
    }
    assert_eq!(at_once, in_pieces);
    assert_eq!(whole.output(), pieces.output());
    assert_eq!(whole.counters(), pieces.counters());
    assert_eq!(whole.next_deadline(), pieces.next_deadline());
    ends(whole);
}

fn make(how: u8) -> Channel {
    let versions = if how & 2 != 0 { Versions::ALL } else { Versions::only(Version::V10) };
    let config = Config { versions, output_max: OUTPUT_MAX, auxiliary: how >> 7, ..Config::default() };
    let now = Duration::ZERO;
    if how & 1 != 0 { Channel::controller(config, now) } else { Channel::switch(config, now) }
}

/// What happens, in words.
fn happens(channel: &mut Channel) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((event, outbox)) = channel.poll() {
        if let Event::Up(_) = event {
            // Something to be answered.
            let _ = outbox.request(Duration::from_secs(5), &crate::message::Body::BarrierRequest);
        }
        all.push(format!("{event:?}"));
    }
    assert!(channel.output().len() <= OUTPUT_MAX);
    all
}

/// With nothing more to come it ends by itself.
fn ends(mut channel: Channel) {
    for _ in 0..8 {
        let Some(due) = channel.next_deadline() else { break };
        channel.expire(due);
        happens(&mut channel);
        channel.consume_output(usize::MAX);
    }
    assert!(channel.is_down() && channel.next_deadline().is_none());
}
