//! Messages to bytes and back: random ones, one of each kind, and any bytes at all. See `packet::fuzzing::bounded`.

use std::path::PathBuf;

use openflow::fuzzing::{self, specimens};
use openflow::{Version, codec};
use packet::fuzzing::bounded::{fuzz, fuzz_seeds, seeds};

/// Bytes that decide something: lengths, types, counts, masks.
const TELLING: &[u8] = &[0, 1, 2, 3, 4, 6, 8, 13, 16, 24, 25, 32, 40, 0x19, 0x23, 0x80, 0xff];

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/openflow"))
}

/// Each specimen's name and bytes.
fn encoded() -> Vec<(String, Vec<u8>)> {
    let of = |version: Version| {
        specimens(version).into_iter().map(move |(name, message)| {
            let mut bytes = Vec::new();
            codec::encode(version, &message, &mut bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(codec::decode(&bytes), Ok((version, message)), "{name}");
            (format!("{}_{name}", version.to_string().to_lowercase()), bytes)
        })
    };
    Version::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn specimens_are_read_as_they_were_written_and_are_the_seed_corpus() {
    let specimens = encoded();
    for (name, bytes) in &specimens {
        let path = corpus().join(name);
        if std::env::var_os("WEFT_BLESS").is_some() {
            std::fs::create_dir_all(corpus()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let on_disk = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(on_disk == *bytes, "{name}: run with WEFT_BLESS=1");
    }
}

#[test]
fn random_messages_are_read_as_they_were_written() {
    fuzz("openflow_generated", |random| random.bytes(8), fuzzing::generated);
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    let seeds = seeds(&corpus());
    assert!(seeds.len() >= encoded().len());
    fuzz_seeds("openflow", &seeds, TELLING, |bytes| {
        fuzzing::codec(bytes);
        // A length that is right lets more of the rest be looked at.
        let mut framed = bytes.to_vec();
        if let (Ok(length), Some(field)) = (u16::try_from(bytes.len()), framed.get_mut(2..4)) {
            field.copy_from_slice(&length.to_be_bytes());
            fuzzing::codec(&framed);
        }
    });
}
