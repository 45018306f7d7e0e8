//! Bodies of the fuzz targets, random messages and specimens, shared by the tests and the coverage-guided targets in
//! `fuzz/`. Not for other uses.

mod actions;
mod generate;
mod multipart;
mod specimens;
mod text;

pub use self::generate::Generator;
pub use self::specimens::specimens;
pub use self::text::{decoded_text, generated_text, round, text};

use packet::fuzzing::bounded::Random;

use crate::Version;
use crate::codec::{self, PacketInView};
use crate::matching;
use crate::message::{Body, Message};
use crate::wire::Header;

/// Any bytes through the decoder: what is read is written, and reads back the same; what is written once is written
/// again to the same bytes. Views and checks hold whatever there is.
///
/// # Panics
/// They do not.
pub fn codec(data: &[u8]) {
    let _ = Header::peek(data);
    let _ = codec::decode_hello(data);
    let view = PacketInView::new(data);
    let Ok((version, message)) = codec::decode(data) else {
        assert!(!matches!(view, Ok(Some(_))), "a view of a packet-in that does not decode");
        return;
    };
    let mut bytes = Vec::new();
    codec::encode(version, &message, &mut bytes).expect("what was read can be written");
    let (again, read) = codec::decode(&bytes).expect("what was written can be read");
    assert_eq!((version, &message), (again, &read));
    let mut twice = Vec::new();
    codec::encode(version, &read, &mut twice).expect("what was read can be written");
    assert_eq!(bytes, twice);
    same_view(&message, view.expect("a message that decodes can be viewed"));
    matches(&message);
    across(version, &message);
}

/// The view of a packet-in says what the message does.
fn same_view(message: &Message, view: Option<PacketInView<'_>>) {
    let (Body::PacketIn(packet), Some(view)) = (&message.body, view) else {
        assert!(view.is_none() && !matches!(message.body, Body::PacketIn(_)), "{message:?}");
        return;
    };
    let fixed = (packet.format, packet.buffer, packet.total_len, packet.reason, packet.table, packet.cookie);
    assert_eq!(fixed, (view.format, view.buffer, view.total_len, view.reason, view.table, view.cookie));
    assert_eq!((message.xid, &packet.data[..]), (view.xid, view.data));
    if let Some(port) = packet.in_port() {
        // Of several the view has the last.
        assert!(port == view.in_port || matching::check(&packet.metadata).is_err(), "{packet:?} {view:?}");
    }
}

/// What holds of every match: it covers itself and is its normal form's like; 1.0's form of it means the same.
fn matches(message: &Message) {
    let matching = match &message.body {
        Body::FlowMod(flow) => &flow.matching,
        Body::FlowRemoved(flow) => &flow.matching,
        Body::PacketIn(packet) => &packet.metadata,
        _ => return,
    };
    if matching::check(matching).is_err() {
        return;
    }
    let normal = matching.normalise();
    assert!(matching.covers(matching) && matching.overlaps(matching), "{matching:?}");
    assert!(matching.is_same(&normal) && normal.covers(matching) && matching.covers(&normal), "{matching:?}");
    assert_eq!(normal, normal.normalise());
    if let Some(v10) = matching.to_v10() {
        assert!(crate::matching::Match::V10(v10).is_same(matching), "{matching:?} {v10:?}");
    }
}

/// The other version says it, too, or says why not; what it says can be read there.
fn across(version: Version, message: &Message) {
    let other = if version == Version::V10 { Version::V13 } else { Version::V10 };
    let mut bytes = vec![1, 2, 3];
    match codec::encode(other, message, &mut bytes) {
        Err(_) => assert_eq!(bytes, [1, 2, 3], "half a message is left"),
        Ok(()) => {
            let (read, _) = codec::decode(&bytes[3..]).expect("what was written can be read");
            assert_eq!(read, other);
        }
    }
}

/// A random message, made from a seed, is read as it was written.
///
/// # Panics
/// It is not.
pub fn generated(data: &[u8]) {
    let seed = data.iter().fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte));
    let mut random = Random(seed);
    for version in Version::ALL {
        let message = Generator::new(&mut random, version).message();
        let mut bytes = Vec::new();
        codec::encode(version, &message, &mut bytes)
            .unwrap_or_else(|error| panic!("{error}: {version} {message:?}"));
        let (read_version, read) =
            codec::decode(&bytes).unwrap_or_else(|error| panic!("{error}: {version} {message:?}"));
        assert_eq!((read_version, &read), (version, &message), "{bytes:02x?}");
        codec(&bytes);
    }
}
