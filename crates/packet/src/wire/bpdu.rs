//! The spanning tree's messages (IEEE 802.1D-2004 §9): who is the root, and how far it is.
//!
//! They follow [`llc::Repr::spanning_tree`](super::llc::Repr::spanning_tree) in 802.3 frames to [`BRIDGES`].
//!
//! ```text
//! 0          2         3      4       5      13          17       25     27            29        31      33              35
//! | protocol | version | type | flags | root | root cost | bridge | port | message age | max age | hello | forward delay |
//! ```
//!
//! ```
//! use packet::wire::MacAddr;
//! use packet::wire::bpdu::{BridgeId, Config, Repr, View};
//! let bridge = BridgeId { priority: 0x8000, address: MacAddr([2, 0, 0, 0, 0, 1]) };
//! let repr = Repr::Config(Config::of(bridge, 0x8001));
//! let mut bytes = vec![0; repr.buffer_len()];
//! repr.emit(&mut View::new_unchecked(&mut bytes[..]));
//! let view = View::new_checked(&bytes[..])?;
//! assert_eq!(Repr::parse(&view), repr);
//! assert_eq!(view.to_string(), "STP 802.1d, Config, Flags [none], bridge-id 8000.02:00:00:00:00:01.8001, length 35");
//! # Ok::<(), packet::wire::WireError>(())
//! ```

use std::fmt;

use super::{MacAddr, WireError, array, be16, be32, need, put16, put32};

/// Bytes of a change's notification.
pub const CHANGE_LEN: usize = 4;
/// Bytes of a configuration message.
pub const CONFIG_LEN: usize = 35;
/// Bytes of a rapid one: with the length of version 1's information, which is 0.
pub const RAPID_LEN: usize = 36;
/// Where bridges talk (§7.12.3).
pub const BRIDGES: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0]);

const CONFIG: u8 = 0;
const RAPID: u8 = 2;
const CHANGE: u8 = 0x80;

/// A bridge: lower ones are rather the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId {
    /// Its priority.
    pub priority: u16,
    /// Its address.
    pub address: MacAddr,
}

impl BridgeId {
    fn parse(data: &[u8]) -> Self {
        Self { priority: be16(data), address: MacAddr(array(&data[2..])) }
    }

    fn emit(self, data: &mut [u8]) {
        put16(data, self.priority);
        data[2..8].copy_from_slice(&self.address.0);
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}.{}", self.priority, self.address)
    }
}

/// A message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> View<T> {
    /// Without validation: for emitting. Accessors panic on a buffer shorter than its kind of message.
    #[inline]
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// # Errors
    /// A buffer shorter than its kind of message, another protocol, a type that there is not.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let data = buffer.as_ref();
        need("bpdu", data, CHANGE_LEN)?;
        let protocol = be16(data);
        if protocol != 0 {
            return Err(WireError::BadValue { what: "bpdu protocol", value: u64::from(protocol) });
        }
        match data[3] {
            CONFIG => need("bpdu configuration", data, CONFIG_LEN)?,
            RAPID => need("bpdu rapid configuration", data, RAPID_LEN)?,
            CHANGE => {}
            kind => return Err(WireError::BadValue { what: "bpdu type", value: u64::from(kind) }),
        }
        Ok(Self { buffer })
    }

    /// The buffer back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }
}

impl<T: AsRef<[u8]>> fmt::Display for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = Repr::parse(self);
        write!(f, "STP 802.1{repr}, length {}", repr.buffer_len())
    }
}

/// What a bridge believes (§9.3.1). Times are in 256ths of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bits: 0x01 the topology changes, 0x80 that is acknowledged; between them a rapid bridge's port state.
    pub flags: u8,
    /// The root.
    pub root: BridgeId,
    /// The way there costs so much.
    pub root_cost: u32,
    /// The sender.
    pub bridge: BridgeId,
    /// The port it sends by.
    pub port: u16,
    /// How long ago the root said so.
    pub message_age: u16,
    /// How long it holds.
    pub max_age: u16,
    /// How often it says so.
    pub hello: u16,
    /// How long ports listen and learn.
    pub forward_delay: u16,
}

impl Config {
    /// Of a bridge that takes itself for the root, with the standard's times (§17.14).
    #[must_use]
    pub const fn of(bridge: BridgeId, port: u16) -> Self {
        Self {
            flags: 0,
            root: bridge,
            root_cost: 0,
            bridge,
            port,
            message_age: 0,
            max_age: 20 << 8,
            hello: 2 << 8,
            forward_delay: 15 << 8,
        }
    }
}

/// What the message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr {
    /// What a bridge believes.
    Config(Config),
    /// The same, of the rapid spanning tree.
    Rapid(Config),
    /// The topology changes.
    Change,
}

impl Repr {
    /// Reads a message.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Self {
        let data = view.buffer.as_ref();
        if data[3] == CHANGE {
            return Self::Change;
        }
        let config = Config {
            flags: data[4],
            root: BridgeId::parse(&data[5..]),
            root_cost: be32(&data[13..]),
            bridge: BridgeId::parse(&data[17..]),
            port: be16(&data[25..]),
            message_age: be16(&data[27..]),
            max_age: be16(&data[29..]),
            hello: be16(&data[31..]),
            forward_delay: be16(&data[33..]),
        };
        if data[3] == RAPID { Self::Rapid(config) } else { Self::Config(config) }
    }

    /// Bytes [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::Config(_) => CONFIG_LEN,
            Self::Rapid(_) => RAPID_LEN,
            Self::Change => CHANGE_LEN,
        }
    }

    /// Writes the message.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, view: &mut View<T>) {
        let data = view.buffer.as_mut();
        let (version, kind, config) = match self {
            Self::Config(config) => (0, CONFIG, config),
            Self::Rapid(config) => (2, RAPID, config),
            Self::Change => return data[..CHANGE_LEN].copy_from_slice(&[0, 0, 0, CHANGE]),
        };
        data[..5].copy_from_slice(&[0, 0, version, kind, config.flags]);
        config.root.emit(&mut data[5..]);
        put32(&mut data[13..], config.root_cost);
        config.bridge.emit(&mut data[17..]);
        put16(&mut data[25..], config.port);
        put16(&mut data[27..], config.message_age);
        put16(&mut data[29..], config.max_age);
        put16(&mut data[31..], config.hello);
        put16(&mut data[33..], config.forward_delay);
        if kind == RAPID {
            data[CONFIG_LEN] = 0;
        }
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, config) = match self {
            Self::Config(config) => ("d, Config", config),
            Self::Rapid(config) => ("w, Rapid STP", config),
            Self::Change => return f.write_str("d, Topology Change"),
        };
        let flags = match config.flags & 0x81 {
            0 => "none",
            0x01 => "Topology change",
            0x80 => "Topology change ACK",
            _ => "Topology change, Topology change ACK",
        };
        write!(f, "{name}, Flags [{flags}], bridge-id {}.{:04x}", config.bridge, config.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let bridge = |last| BridgeId { priority: 0x8000, address: MacAddr([2, 0, 0, 0, 0, last]) };
        Config { flags: 0x81, root: bridge(1), root_cost: 4, ..Config::of(bridge(2), 0x8003) }
    }

    #[test]
    fn every_message_reads_back() {
        for repr in [Repr::Config(config()), Repr::Rapid(config()), Repr::Change] {
            let mut bytes = vec![0xee; repr.buffer_len()];
            repr.emit(&mut View::new_unchecked(&mut bytes[..]));
            let view = View::new_checked(&bytes[..]).unwrap();
            assert_eq!(Repr::parse(&view), repr);
            assert!(View::new_checked(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(config().root < config().bridge);
    }

    #[test]
    fn other_protocols_and_types_are_refused() {
        assert_eq!(
            View::new_checked([0, 1, 0, 0x80]),
            Err(WireError::BadValue { what: "bpdu protocol", value: 1 })
        );
        assert_eq!(View::new_checked([0, 0, 0, 5]), Err(WireError::BadValue { what: "bpdu type", value: 5 }));
    }
}
