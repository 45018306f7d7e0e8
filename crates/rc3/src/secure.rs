//! Keys, the handshake and the seal: Noise by `snow`, codes of authentication by `ring`.
//!
//! Nothing here draws randomness from the machine: [`Entropy`] is seeded from outside.

use std::fmt;

use ring::hmac;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState, StatelessTransportState};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"weft rc3 1";
/// Most bytes of a message of the handshake.
const MESSAGE_BYTES_MAX: usize = 512;

/// A key that both sides have: 32 bytes, as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hexadecimal digits, as `weft rc3 key` makes one")]
pub struct KeyError;

impl Key {
    /// Of where nothing is secret: traffic is sealed against those who only listen, and anybody may be the other side.
    pub const OPEN: Self = Self([0; 32]);

    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As text.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::str::FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().as_bytes();
        let mut key = [0; 32];
        if digits.len() != 64 {
            return Err(KeyError);
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(KeyError);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Ok(Self(key))
    }
}

/// Shows nothing of it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A code of 32 bytes over a message, that only who has the secret can make.
pub(crate) fn code(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message);
    let mut code = [0; 32];
    code.copy_from_slice(tag.as_ref());
    code
}

/// Are they the same? Takes as long whatever they are.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}

/// An endless stream of random bytes from 32 that nobody knows.
#[derive(Clone)]
pub struct Entropy {
    seed: [u8; 32],
    count: u64,
}

impl Entropy {
    /// From a seed, which is to be used for nothing else.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, count: 0 }
    }

    /// The next 32 bytes.
    pub(crate) fn draw(&mut self) -> [u8; 32] {
        self.count += 1;
        code(&self.seed, &self.count.to_be_bytes())
    }

    /// A number of them.
    pub(crate) fn draw_u64(&mut self) -> u64 {
        let bytes = self.draw();
        bytes[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Shows nothing of it.
impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

/// The parts of the handshake: ours the randomness, ring's what it has, the rest snow's.
struct Parts([u8; 32]);

/// Bytes for one ephemeral key.
struct Once(Option<[u8; 32]>);

impl Random for Once {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        into.copy_from_slice(bytes.get(..into.len()).ok_or(snow::Error::Rng)?);
        Ok(())
    }
}

impl CryptoResolver for Parts {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

fn builder(ephemeral: [u8; 32], key: &Key) -> Result<Builder<'_>, snow::Error> {
    Builder::with_resolver(PATTERN.parse()?, Box::new(Parts(ephemeral))).psk(0, &key.0)?.prologue(PROLOGUE)
}

/// The client's side of a handshake that is under way.
pub(crate) struct Initiator(HandshakeState);

impl Initiator {
    /// Begins one: the first message, with a payload.
    pub(crate) fn new(
        key: &Key,
        ephemeral: [u8; 32],
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), snow::Error> {
        let mut state = builder(ephemeral, key)?.build_initiator()?;
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let length = state.write_message(payload, &mut message)?;
        message.truncate(length);
        Ok((Self(state), message))
    }

    /// Takes the second message: its payload, and the seal. One that is not the server's changes nothing.
    pub(crate) fn finish(&mut self, message: &[u8], key: &Key) -> Option<(Vec<u8>, Seal)> {
        let mut payload = vec![0; MESSAGE_BYTES_MAX];
        if message.len() > MESSAGE_BYTES_MAX {
            return None;
        }
        let length = self.0.read_message(message, &mut payload).ok()?;
        payload.truncate(length);
        // The state goes with the seal; what is left in its place is never used.
        let spent = builder([1; 32], key).ok()?.build_initiator().ok()?;
        let state = std::mem::replace(&mut self.0, spent);
        Some((payload, Seal(state.into_stateless_transport_mode().ok()?)))
    }
}

/// What the first message says, if it is from somebody who has the key; to be answered by [`Responder::finish`].
pub(crate) struct Responder {
    state: HandshakeState,
    pub(crate) payload: Vec<u8>,
}

impl Responder {
    pub(crate) fn new(key: &Key, ephemeral: [u8; 32], message: &[u8]) -> Option<Self> {
        let mut state = builder(ephemeral, key).ok()?.build_responder().ok()?;
        let mut payload = vec![0; MESSAGE_BYTES_MAX];
        if message.len() > MESSAGE_BYTES_MAX {
            return None;
        }
        let length = state.read_message(message, &mut payload).ok()?;
        payload.truncate(length);
        Some(Self { state, payload })
    }

    /// The second message, with a payload, and the seal.
    pub(crate) fn finish(mut self, payload: &[u8]) -> Option<(Vec<u8>, Seal)> {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let length = self.state.write_message(payload, &mut message).ok()?;
        message.truncate(length);
        Some((message, Seal(self.state.into_stateless_transport_mode().ok()?)))
    }
}

/// Seals and opens: the number is the nonce.
pub(crate) struct Seal(StatelessTransportState);

impl Seal {
    /// Appends what is sealed, and its tag.
    pub(crate) fn seal(&self, number: u64, frames: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + frames.len() + 16, 0);
        match self.0.write_message(number, frames, &mut out[start..]) {
            Ok(length) => out.truncate(start + length),
            Err(_) => out.truncate(start), // longer than any datagram of ours: the other side finds it too short
        }
    }

    /// Opens into a buffer.
    pub(crate) fn open(&self, number: u64, sealed: &[u8], into: &mut Vec<u8>) -> bool {
        into.resize(sealed.len(), 0);
        match self.0.read_message(number, sealed, into) {
            Ok(length) => into.truncate(length),
            Err(_) => return false,
        }
        true
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator")
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_key_is_understood_and_nobody_else() {
        let key = Key::new([5; 32]);
        let (mut client, hello) = Initiator::new(&key, [1; 32], b"hello").unwrap();
        assert!(Responder::new(&Key::OPEN, [2; 32], &hello).is_none());
        let server = Responder::new(&key, [2; 32], &hello).unwrap();
        assert_eq!(server.payload, b"hello");
        let (welcome, server) = server.finish(b"welcome").unwrap();
        let mut forged = welcome.clone();
        forged[40] ^= 1;
        assert!(client.finish(&forged, &key).is_none(), "and the true one still counts");
        let (payload, client) = client.finish(&welcome, &key).unwrap();
        assert_eq!(payload, b"welcome");
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        client.seal(9, b"frames", &mut sealed);
        assert!(!server.open(8, &sealed, &mut opened) && !client.open(9, &sealed, &mut opened));
        assert!(server.open(9, &sealed, &mut opened));
        assert_eq!(opened, b"frames");
        sealed[0] ^= 1;
        assert!(!server.open(9, &sealed, &mut opened));
    }

    #[test]
    fn keys_are_hexadecimal_digits_and_streams_do_not_repeat() {
        let key = Key::new(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(format!("{}\n", key.to_hex()).parse(), Ok(key));
        for bad in ["", "12", &"g".repeat(64), &"é".repeat(32), &"0".repeat(66)] {
            assert_eq!(bad.parse::<Key>(), Err(KeyError));
        }
        assert_eq!(format!("{key:?}"), "Key");
        let mut entropy = Entropy::new([3; 32]);
        assert_ne!(entropy.draw(), entropy.draw());
        assert_ne!(entropy.draw_u64(), Entropy::new([4; 32]).draw_u64());
    }
}
