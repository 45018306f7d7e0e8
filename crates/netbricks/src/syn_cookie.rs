//! SYN cookies: a handshake without memory (D. J. Bernstein, 1996).
//!
//! ```text
//! 31        27 26      24 23                    0
//! | time     | segment  | keyed hash of all of it, the tuple, the client's sequence number
//! ```
//!
//! Who sends forged addresses never sees the answer and would have to guess 24 bits for each connection he opens.

use std::hash::{BuildHasher, Hash, Hasher};

use packet::flow::{FlowHasher, FlowKey};

/// The time, in the cookie, moves on this often; a cookie is good for one to two of these.
pub const SLOT_NS: u64 = 64_000_000_000;
/// The segment sizes that a cookie can say: what links of all kinds leave, the smallest first.
const SEGMENTS: [u16; 8] = [536, 1220, 1300, 1360, 1400, 1440, 1460, 8940];
const HASH: u32 = 0x00ff_ffff;

/// Makes cookies and knows them again.
#[derive(Clone, Copy, Debug)]
pub struct SynCookies {
    hasher: FlowHasher,
}

impl SynCookies {
    /// Under a key that nobody else knows.
    #[must_use]
    pub const fn new(key: u128) -> Self {
        Self { hasher: FlowHasher::new(key) }
    }

    /// The sequence number with which to answer a SYN of this tuple (from the client) with this sequence number, from a
    /// client that takes segments of this size.
    #[must_use]
    pub fn make(&self, key: &FlowKey, sequence: u32, segment: u16, now_ns: u64) -> u32 {
        let place = SEGMENTS.iter().rposition(|size| *size <= segment).unwrap_or(0);
        self.cookie(key, sequence, place as u32, now_ns / SLOT_NS)
    }

    /// The segment size that the cookie says, if it is one of ours and not too old.
    #[must_use]
    pub fn open(&self, key: &FlowKey, sequence: u32, cookie: u32, now_ns: u64) -> Option<u16> {
        let place = cookie >> 24 & 7;
        let slot = now_ns / SLOT_NS;
        let good = [Some(slot), slot.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|slot| cookie == self.cookie(key, sequence, place, slot));
        good.then(|| SEGMENTS[place as usize])
    }

    fn cookie(&self, key: &FlowKey, sequence: u32, place: u32, slot: u64) -> u32 {
        let mut state = self.hasher.build_hasher();
        key.hash(&mut state);
        state.write_u64(u64::from(sequence) << 32 | u64::from(place));
        state.write_u64(slot);
        (slot as u32 & 31) << 27 | place << 24 | state.finish() as u32 & HASH
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::wire::IpProtocol;

    fn key(port: u16) -> FlowKey {
        FlowKey::new(IpProtocol::TCP, ([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 80).into()).unwrap()
    }

    #[test]
    fn a_cookie_is_known_again_for_a_while_and_by_its_owner() {
        let cookies = SynCookies::new(7);
        for (offered, said) in
            [(0, 536), (536, 536), (1300, 1300), (1459, 1440), (1460, 1460), (65_535, 8940)]
        {
            let now_ns = 100 * SLOT_NS + 5;
            let cookie = cookies.make(&key(9), 77, offered, now_ns);
            assert_eq!(cookies.open(&key(9), 77, cookie, now_ns), Some(said));
            assert_eq!(cookies.open(&key(9), 77, cookie, now_ns + SLOT_NS), Some(said));
            assert_eq!(cookies.open(&key(9), 77, cookie, now_ns + 2 * SLOT_NS), None, "too old");
            assert_eq!(cookies.open(&key(9), 77, cookie, now_ns + 32 * SLOT_NS), None, "much too old");
            assert_eq!(cookies.open(&key(8), 77, cookie, now_ns), None);
            assert_eq!(cookies.open(&key(9), 78, cookie, now_ns), None);
            assert_eq!(cookies.open(&key(9), 77, cookie ^ 1 << 25, now_ns), None);
            assert_eq!(SynCookies::new(8).open(&key(9), 77, cookie, now_ns), None);
        }
    }

    #[test]
    fn a_guess_is_right_once_in_sixteen_million() {
        let cookies = SynCookies::new(1);
        let right = (0..2_000_000u32).filter(|guess| {
            let cookie = 3 << 27 | guess.wrapping_mul(2_654_435_761) & 0x07ff_ffff;
            cookies.open(&key(1), *guess, cookie, 3 * SLOT_NS).is_some()
        });
        assert!(right.count() <= 4);
    }
}
