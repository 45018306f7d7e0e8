//! SCTP's checksum: CRC32c (RFC 9260, appendix A).

/// The reflected polynomial of Castagnoli.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The CRC of a whole SCTP packet, its own checksum (bytes 8 to 11) taken as 0. It is little-endian on the wire.
pub(super) fn crc(segment: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in segment.iter().enumerate() {
        let byte = if (8..12).contains(&at) { 0 } else { byte };
        crc = crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)];
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn castagnoli_of_zeros() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(super::crc(&[0; 32]), 0x8a91_36aa);
    }
}
