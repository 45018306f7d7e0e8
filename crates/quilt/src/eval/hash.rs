//! The hashes that `crypto.createHash` has.

use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// The hash `name` of bytes, both sides as characters up to U+00FF, one a byte; empty for a name that is unknown.
pub(super) fn hash(name: &str, bytes: &str) -> String {
    let bytes: Vec<u8> = bytes.chars().map(|byte| byte as u8).collect();
    let digest = match name {
        "sha1" => Sha1::digest(bytes).to_vec(),
        "sha224" => Sha224::digest(bytes).to_vec(),
        "sha256" => Sha256::digest(bytes).to_vec(),
        "sha384" => Sha384::digest(bytes).to_vec(),
        "sha512" => Sha512::digest(bytes).to_vec(),
        _ => Vec::new(),
    };
    digest.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn hashes_are_those_of_fips_180() {
        let hex =
            |name| hash(name, "abc").chars().map(|byte| format!("{:02x}", byte as u32)).collect::<String>();
        // The examples of FIPS 180-4: printf abc | sha1sum, and so on.
        assert_eq!(hex("sha1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex("sha256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hex("sha512").starts_with("ddaf35a193617abacc417349ae204131"));
        assert_eq!((hex("sha224").len(), hex("sha384").len(), hex("md5").len()), (56, 96, 0));
    }
}
