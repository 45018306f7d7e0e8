//! The exact error that a malformed message is answered with, in either version.

use openflow::error::{
    BadAction, BadInstruction, BadMatch, BadRequest, ErrorCode, Fault, MeterModFailed, TableFeaturesFailed,
};
use openflow::{Version, codec};

/// A message of that kind and body, its length right.
fn message(version: u8, kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = (8 + body.len()) as u16;
    let mut bytes = vec![version, kind];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(body);
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], fault: impl Into<Fault>, code: (u16, u16)) {
    let error = codec::decode(bytes).expect_err("what is malformed");
    assert_eq!(error.fault, fault.into(), "{error}");
    let version = Version::from_wire(bytes[0]).unwrap_or(Version::V13);
    assert_eq!(error.fault.code(version), ErrorCode::new(code.0, code.1), "{error}");
}

/// A 1.3 flow-mod of that match and those instructions.
fn flow(matching: &[u8], instructions: &[u8]) -> Vec<u8> {
    message(4, 14, &[&[0; 40], matching, instructions])
}

const ANY: &[u8] = &[0, 1, 0, 4, 0, 0, 0, 0];

/// Apply-actions of those actions.
fn apply(actions: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 4, 0, (8 + actions.len()) as u8, 0, 0, 0, 0];
    bytes.extend(actions);
    bytes
}

#[test]
fn messages() {
    refused(&message(9, 5, &[]), BadRequest::BadVersion, (1, 0));
    refused(&message(4, 30, &[]), BadRequest::BadType, (1, 1));
    refused(&message(1, 22, &[]), BadRequest::BadType, (1, 1));
    refused(&message(4, 5, &[&[0]]), BadRequest::BadLen, (1, 6));
    refused(&message(4, 9, &[&[0, 0, 0]]), BadRequest::BadLen, (1, 6));
    refused(&message(4, 18, &[&[0, 14, 0, 0, 0, 0, 0, 0]]), BadRequest::BadMultipart, (1, 2));
    refused(&message(1, 16, &[&[0, 6, 0, 0]]), BadRequest::BadMultipart, (1, 2));
    let mut longer = message(4, 5, &[]);
    longer.push(0);
    refused(&longer, BadRequest::BadLen, (1, 6));
    refused(&longer[..5], BadRequest::BadLen, (1, 6));
    refused(&[4, 5, 0, 7, 0, 0, 0, 1], BadRequest::BadLen, (1, 6));
}

#[test]
fn matches() {
    refused(&flow(&[0, 0, 0, 4, 0, 0, 0, 0], &[]), BadMatch::BadType, (4, 0));
    refused(&flow(&[0, 1, 0, 3, 0, 0, 0, 0], &[]), BadMatch::BadLen, (4, 1));
    refused(&flow(&[0, 1, 0, 12, 0, 0, 0, 0], &[]), BadMatch::BadLen, (4, 1));
    // A field that says it is longer than the match.
    refused(&flow(&[0, 1, 0, 12, 0x80, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0], &[]), BadMatch::BadLen, (4, 1));
}

#[test]
fn instructions() {
    refused(&flow(ANY, &[0, 9, 0, 8, 0, 0, 0, 0]), BadInstruction::UnknownInst, (3, 0));
    refused(&flow(ANY, &[0, 1, 0, 7, 0, 0, 0]), BadInstruction::BadLen, (3, 7));
    refused(&flow(ANY, &[0, 1, 0, 0, 0, 0, 0, 0]), BadInstruction::BadLen, (3, 7));
    refused(&flow(ANY, &[0, 1, 0, 16, 0, 0, 0, 0]), BadInstruction::BadLen, (3, 7));
    refused(&flow(ANY, &[[0, 1, 0, 16], [0; 4], [0; 4], [0; 4]].concat()), BadInstruction::BadLen, (3, 7));
}

#[test]
fn actions() {
    refused(&flow(ANY, &apply(&[0, 99, 0, 8, 0, 0, 0, 0])), BadAction::BadType, (2, 0));
    // 1.0's actions are not 1.3's.
    refused(&flow(ANY, &apply(&[0, 1, 0, 8, 0, 0, 0, 0])), BadAction::BadType, (2, 0));
    refused(&flow(ANY, &apply(&[0, 0, 0, 8, 0, 0, 0, 1])), BadAction::BadLen, (2, 1));
    refused(&flow(ANY, &apply(&[0, 17, 0, 4, 0, 0, 0, 0])), BadAction::BadLen, (2, 1));
    refused(&flow(ANY, &apply(&[0, 17, 0, 0, 0, 0, 0, 0])), BadAction::BadLen, (2, 1));
    refused(&flow(ANY, &apply(&[0, 17, 0, 16, 0, 0, 0, 0])), BadAction::BadLen, (2, 1));
    let set = [0, 25, 0, 16, 0x80, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0];
    refused(&flow(ANY, &apply(&set)), BadAction::BadSetLen, (2, 14));
    // A field to set, padded too far.
    let set = [0, 25, 0, 24, 0x80, 0, 0x0a, 2, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    refused(&flow(ANY, &apply(&set)), BadAction::BadSetLen, (2, 14));
    // Nicira's, of a length that is not its own; a learned flow of reserved bits.
    let resubmit = [[0xff, 0xff, 0, 24], [0, 0, 0x23, 0x20], [0, 1, 0, 1], [0; 4], [0; 4], [0; 4]].concat();
    refused(&flow(ANY, &apply(&resubmit)), BadAction::BadLen, (2, 1));
    let mut learn = [[0xff, 0xff, 0, 40], [0, 0, 0x23, 0x20], [0, 16, 0, 0]].concat();
    learn.resize(32, 0);
    learn.extend([0x80, 1, 0, 0, 0, 0, 0, 0]);
    refused(&flow(ANY, &apply(&learn)), BadAction::BadArgument, (2, 5));
    // A packet-out's actions that say they are longer than the message; 1.0 has the same.
    let out = [&[0; 4][..], &[0; 4], &[0, 16, 0, 0, 0, 0, 0, 0]];
    refused(&message(4, 13, &out), BadAction::BadLen, (2, 1));
    refused(&message(1, 13, &[&[0; 4], &[0, 1], &[0, 16]]), BadAction::BadLen, (2, 1));
    refused(
        &message(1, 13, &[&[0; 4], &[0, 1], &[0, 8], &[0, 12, 0, 8, 0, 0, 0, 0]]),
        BadAction::BadType,
        (2, 0),
    );
}

#[test]
fn flow_monitors() {
    use openflow::error::NiciraRequest;
    // Nicira's errors of 1.0 are type 1 within its own; 1.3 has a type for experimenters.
    let nicira = |bytes: &[u8], fault: NiciraRequest, (kind, code): (u16, u16)| {
        let error = codec::decode(bytes).expect_err("what is malformed");
        assert_eq!(error.fault, fault.into(), "{error}");
        let version = Version::from_wire(bytes[0]).unwrap();
        let experimenter = Some(openflow::nicira::VENDOR);
        assert_eq!(error.fault.code(version), ErrorCode { kind, code, experimenter });
    };
    let old = [&[0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 0, 0, 2, 0, 0, 0, 0][..]].concat();
    let new = [&[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0x4f, 0x4e, 0x46, 0, 0, 0, 7, 0x4e][..]].concat();
    let monitor = [0, 0, 0, 1, 0, 2, 0xff, 0xff, 0, 0, 0xff, 0, 0, 0, 0, 1];
    nicira(&message(1, 16, &[&old, &monitor]), NiciraRequest::MustBeZero, (1, 515));
    let monitor = [0, 0, 0, 1, 0, 2, 0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0, 1, 0, 4, 0, 0, 0, 0];
    nicira(&message(4, 18, &[&new, &monitor]), NiciraRequest::MustBeZero, (0xffff, 4));
    nicira(&message(1, 17, &[&old, &[0, 8, 0, 7, 0, 0, 0, 0]]), NiciraRequest::BadEvent, (1, 520));
    nicira(&message(4, 19, &[&new, &[0, 8, 0, 7, 0, 0, 0, 0]]), NiciraRequest::BadEvent, (0xffff, 9));
    // Lengths that lie: cut off, of no bytes, of a match that is longer than what is there or than it says itself.
    refused(&message(1, 16, &[&old, &[0; 12]]), BadRequest::BadLen, (1, 6));
    refused(&message(1, 17, &[&old, &[0; 8]]), BadRequest::BadLen, (1, 6));
    refused(&message(4, 4, &[&[0x4f, 0x4e, 0x46, 0, 0, 0, 7, 0x4e, 0, 0]]), BadRequest::BadLen, (1, 6));
    let monitor = [0, 0, 0, 1, 0, 2, 0, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0];
    refused(&message(4, 18, &[&new, &monitor]), BadRequest::BadLen, (1, 6));
}

#[test]
fn groups_meters_and_tables() {
    use openflow::error::GroupModFailed;
    let group = [0, 0, 0, 0, 0, 0, 0, 1];
    refused(&message(4, 15, &[&group, &[0, 8, 0, 0, 0, 0, 0, 0]]), GroupModFailed::BadBucket, (6, 12));
    refused(&message(4, 15, &[&group, &[0; 16]]), GroupModFailed::BadBucket, (6, 12));
    let meter = [0, 0, 0, 1, 0, 0, 0, 1];
    refused(&message(4, 29, &[&meter, &[0, 1, 0, 12], &[0; 8]]), MeterModFailed::BadBand, (12, 8));
    refused(&message(4, 29, &[&meter, &[0, 1, 0, 0], &[0; 12]]), MeterModFailed::BadBand, (12, 8));
    let features = [0, 12, 0, 0, 0, 0, 0, 0];
    let table = [&[0, 68][..], &[0; 62]].concat();
    refused(&message(4, 18, &[&features, &table, &[0, 0, 0, 2]]), TableFeaturesFailed::BadLen, (13, 3));
    refused(&message(4, 18, &[&features, &[0; 64]]), TableFeaturesFailed::BadLen, (13, 3));
}
