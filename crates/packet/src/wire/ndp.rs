//! Neighbour discovery (RFC 4861): messages inside ICMPv6 and their options.
//!
//! Receivers must also check what lies outside these bytes: the hop limit is 255 and the ICMPv6 code is 0 (§7.1).
//!
//! ```
//! use packet::wire::{MacAddr, icmpv6, ndp};
//! let (gateway, me) = ("fd00::1".parse()?, "fd00::2".parse()?);
//! let ask = ndp::Repr::NeighbourSolicitation { target: gateway, source_mac: Some(MacAddr([2, 0, 0, 0, 0, 2])) };
//! let mut bytes = vec![0; ask.buffer_len()];
//! ask.emit(me, packet::wire::ipv6::solicited_node(gateway), &mut icmpv6::View::new_unchecked(&mut bytes[..]));
//! let view = icmpv6::View::new_checked(&bytes[..])?;
//! assert_eq!(view.to_string(), "neighbor solicitation, who has fd00::1, source link-address 02:00:00:00:00:02, length 32");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::Ipv6Addr;

use super::icmpv6::{self, Type, View};
use super::{MacAddr, WireError, array, be16, be32, need, put16, put32};

/// Options walked in one message.
pub const OPTIONS_MAX: usize = 32;

/// One option (§4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOption<'a> {
    /// The sender's Ethernet address.
    SourceMac(MacAddr),
    /// The target's Ethernet address.
    TargetMac(MacAddr),
    /// An on-link prefix.
    Prefix(Prefix),
    /// The link's MTU.
    Mtu(u32),
    /// Any other; `data` is behind type and length.
    Unknown {
        /// Type byte.
        kind: u8,
        /// Data behind type and length.
        data: &'a [u8],
    },
}

/// Prefix information (§4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// Its length in bits.
    pub prefix_len: u8,
    /// Addresses in it are on this link.
    pub on_link: bool,
    /// Addresses may be made from it (SLAAC).
    pub autonomous: bool,
    /// Seconds it is valid.
    pub valid_s: u32,
    /// Seconds addresses made from it are preferred.
    pub preferred_s: u32,
}

/// Walks a message's options, bounded by [`OPTIONS_MAX`]. Ends at the first error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    data: &'a [u8],
    seen: usize,
}

impl<'a> Options<'a> {
    /// Options from their bytes.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, seen: 0 }
    }

    fn advance(&mut self) -> Result<MessageOption<'a>, WireError> {
        if self.seen == OPTIONS_MAX {
            return Err(WireError::TooMany { what: "ndp options", limit: OPTIONS_MAX });
        }
        need("ndp option", self.data, 8)?;
        let length = usize::from(self.data[1]) * 8;
        if length == 0 {
            return Err(WireError::BadLength { what: "ndp option", value: 0 });
        }
        need("ndp option", self.data, length)?;
        let (option, rest) = self.data.split_at(length);
        self.data = rest;
        self.seen += 1;
        Ok(match (option[0], length) {
            (1, 8) => MessageOption::SourceMac(MacAddr(array(&option[2..]))),
            (2, 8) => MessageOption::TargetMac(MacAddr(array(&option[2..]))),
            (3, 32) => MessageOption::Prefix(Prefix {
                prefix: array::<16>(&option[16..]).into(),
                prefix_len: option[2],
                on_link: option[3] & 0x80 != 0,
                autonomous: option[3] & 0x40 != 0,
                valid_s: be32(&option[4..]),
                preferred_s: be32(&option[8..]),
            }),
            (5, 8) => MessageOption::Mtu(be32(&option[4..])),
            (kind, _) => MessageOption::Unknown { kind, data: &option[2..] },
        })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<MessageOption<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let option = self.advance();
        if option.is_err() {
            self.data = &[];
        }
        Some(option)
    }
}

/// What the message says; options it has no name for are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr {
    /// Which routers are there? (§4.1)
    RouterSolicitation {
        /// The asker's Ethernet address.
        source_mac: Option<MacAddr>,
    },
    /// I am a router (§4.2).
    RouterAdvertisement {
        /// Hop limit to use; 0 says nothing.
        hop_limit: u8,
        /// Addresses come from DHCPv6.
        managed: bool,
        /// Other configuration comes from DHCPv6.
        other: bool,
        /// Seconds it may serve as default router; 0: not at all.
        lifetime_s: u16,
        /// Milliseconds a neighbour stays reachable after an answer; 0 says nothing.
        reachable_ms: u32,
        /// Milliseconds between solicitations; 0 says nothing.
        retransmit_ms: u32,
        /// The router's Ethernet address.
        source_mac: Option<MacAddr>,
        /// The link's MTU.
        mtu: Option<u32>,
        /// The first prefix.
        prefix: Option<Prefix>,
    },
    /// Who has this address? (§4.3)
    NeighbourSolicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// The asker's Ethernet address; absent in duplicate address detection.
        source_mac: Option<MacAddr>,
    },
    /// I have it (§4.4).
    NeighbourAdvertisement {
        /// The sender is a router.
        router: bool,
        /// The answer to a solicitation.
        solicited: bool,
        /// Replaces what the receiver's cache holds.
        overriding: bool,
        /// The address.
        target: Ipv6Addr,
        /// Its Ethernet address.
        target_mac: Option<MacAddr>,
    },
    /// There is a better first hop (§4.5).
    Redirect {
        /// The better first hop.
        target: Ipv6Addr,
        /// For packets to this address.
        destination: Ipv6Addr,
        /// The better hop's Ethernet address.
        target_mac: Option<MacAddr>,
    },
}

#[derive(Default)]
struct Found {
    source_mac: Option<MacAddr>,
    target_mac: Option<MacAddr>,
    mtu: Option<u32>,
    prefix: Option<Prefix>,
}

fn options(body: &[u8], start: usize) -> Result<Found, WireError> {
    need("ndp message", body, start)?;
    let mut found = Found::default();
    for option in Options::new(&body[start..]) {
        match option? {
            MessageOption::SourceMac(mac) => found.source_mac = Some(mac),
            MessageOption::TargetMac(mac) => found.target_mac = Some(mac),
            MessageOption::Mtu(mtu) => found.mtu = Some(mtu),
            MessageOption::Prefix(prefix) => found.prefix = found.prefix.or(Some(prefix)),
            MessageOption::Unknown { .. } => {}
        }
    }
    Ok(found)
}

impl Repr {
    /// Reads a message.
    ///
    /// # Errors
    /// A type that is not neighbour discovery, a body too short for its type, an option whose length lies.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, WireError> {
        let body = view.body();
        let address = |at: usize| Ipv6Addr::from(array::<16>(&body[at..]));
        Ok(match view.kind() {
            Type::ROUTER_SOLICITATION => {
                Self::RouterSolicitation { source_mac: options(body, 4)?.source_mac }
            }
            Type::ROUTER_ADVERTISEMENT => {
                let Found { source_mac, mtu, prefix, .. } = options(body, 12)?;
                Self::RouterAdvertisement {
                    hop_limit: body[0],
                    managed: body[1] & 0x80 != 0,
                    other: body[1] & 0x40 != 0,
                    lifetime_s: be16(&body[2..]),
                    reachable_ms: be32(&body[4..]),
                    retransmit_ms: be32(&body[8..]),
                    source_mac,
                    mtu,
                    prefix,
                }
            }
            Type::NEIGHBOUR_SOLICITATION => {
                let source_mac = options(body, 20)?.source_mac;
                Self::NeighbourSolicitation { target: address(4), source_mac }
            }
            Type::NEIGHBOUR_ADVERTISEMENT => {
                let target_mac = options(body, 20)?.target_mac;
                Self::NeighbourAdvertisement {
                    router: body[0] & 0x80 != 0,
                    solicited: body[0] & 0x40 != 0,
                    overriding: body[0] & 0x20 != 0,
                    target: address(4),
                    target_mac,
                }
            }
            Type::REDIRECT => {
                let target_mac = options(body, 36)?.target_mac;
                Self::Redirect { target: address(4), destination: address(20), target_mac }
            }
            Type(other) => return Err(WireError::BadValue { what: "ndp type", value: u64::from(other) }),
        })
    }

    /// Bytes [`Repr::emit`] writes, options included.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        const fn mac(option: Option<MacAddr>) -> usize {
            if option.is_some() { 8 } else { 0 }
        }
        icmpv6::HEADER_LEN
            + match self {
                Self::RouterSolicitation { source_mac } => 4 + mac(*source_mac),
                Self::RouterAdvertisement { source_mac, mtu, prefix, .. } => {
                    let mtu = if mtu.is_some() { 8 } else { 0 };
                    let prefix = if prefix.is_some() { 32 } else { 0 };
                    12 + mac(*source_mac) + mtu + prefix
                }
                Self::NeighbourSolicitation { source_mac, .. } => 20 + mac(*source_mac),
                Self::NeighbourAdvertisement { target_mac, .. } => 20 + mac(*target_mac),
                Self::Redirect { target_mac, .. } => 36 + mac(*target_mac),
            }
    }

    /// Writes the message, checksum included. The buffer must be exactly [`Repr::buffer_len`] long: the checksum covers
    /// all of it.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        view: &mut View<T>,
    ) {
        view.body_mut().fill(0);
        view.set_kind(self.kind(), 0);
        let mut writer = OptionWriter { body: view.body_mut(), at: 0 };
        match *self {
            Self::RouterSolicitation { source_mac } => {
                writer.at = 4;
                writer.mac(1, source_mac);
            }
            Self::RouterAdvertisement {
                hop_limit,
                managed,
                other,
                lifetime_s,
                reachable_ms,
                retransmit_ms,
                source_mac,
                mtu,
                prefix,
            } => {
                writer.body[0] = hop_limit;
                writer.body[1] = u8::from(managed) << 7 | u8::from(other) << 6;
                put16(&mut writer.body[2..], lifetime_s);
                put32(&mut writer.body[4..], reachable_ms);
                put32(&mut writer.body[8..], retransmit_ms);
                writer.at = 12;
                writer.mac(1, source_mac);
                writer.mtu(mtu);
                writer.prefix(prefix);
            }
            Self::NeighbourSolicitation { target, source_mac } => {
                writer.body[4..20].copy_from_slice(&target.octets());
                writer.at = 20;
                writer.mac(1, source_mac);
            }
            Self::NeighbourAdvertisement { router, solicited, overriding, target, target_mac } => {
                writer.body[0] = u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(overriding) << 5;
                writer.body[4..20].copy_from_slice(&target.octets());
                writer.at = 20;
                writer.mac(2, target_mac);
            }
            Self::Redirect { target, destination, target_mac } => {
                writer.body[4..20].copy_from_slice(&target.octets());
                writer.body[20..36].copy_from_slice(&destination.octets());
                writer.at = 36;
                writer.mac(2, target_mac);
            }
        }
        view.fill_checksum(source, destination);
    }

    const fn kind(&self) -> Type {
        match self {
            Self::RouterSolicitation { .. } => Type::ROUTER_SOLICITATION,
            Self::RouterAdvertisement { .. } => Type::ROUTER_ADVERTISEMENT,
            Self::NeighbourSolicitation { .. } => Type::NEIGHBOUR_SOLICITATION,
            Self::NeighbourAdvertisement { .. } => Type::NEIGHBOUR_ADVERTISEMENT,
            Self::Redirect { .. } => Type::REDIRECT,
        }
    }
}

struct OptionWriter<'a> {
    body: &'a mut [u8],
    at: usize,
}

impl OptionWriter<'_> {
    fn start(&mut self, kind: u8, length: usize) -> &mut [u8] {
        let option = &mut self.body[self.at..self.at + length];
        option[0] = kind;
        option[1] = (length / 8) as u8;
        self.at += length;
        option
    }

    fn mac(&mut self, kind: u8, mac: Option<MacAddr>) {
        if let Some(mac) = mac {
            self.start(kind, 8)[2..].copy_from_slice(&mac.0);
        }
    }

    fn mtu(&mut self, mtu: Option<u32>) {
        if let Some(mtu) = mtu {
            put32(&mut self.start(5, 8)[4..], mtu);
        }
    }

    fn prefix(&mut self, prefix: Option<Prefix>) {
        let Some(prefix) = prefix else { return };
        let option = self.start(3, 32);
        option[2] = prefix.prefix_len;
        option[3] = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
        put32(&mut option[4..], prefix.valid_s);
        put32(&mut option[8..], prefix.preferred_s);
        option[16..].copy_from_slice(&prefix.prefix.octets());
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = match self {
            Self::RouterSolicitation { source_mac } => {
                f.write_str("router solicitation")?;
                source_mac.map(|mac| ("source", mac))
            }
            Self::RouterAdvertisement { lifetime_s, source_mac, prefix, .. } => {
                write!(f, "router advertisement, router lifetime {lifetime_s}s")?;
                if let Some(prefix) = prefix {
                    write!(f, ", prefix {}/{}", prefix.prefix, prefix.prefix_len)?;
                }
                source_mac.map(|mac| ("source", mac))
            }
            Self::NeighbourSolicitation { target, source_mac } => {
                write!(f, "neighbor solicitation, who has {target}")?;
                source_mac.map(|mac| ("source", mac))
            }
            Self::NeighbourAdvertisement { router, solicited, overriding, target, target_mac } => {
                write!(f, "neighbor advertisement, tgt is {target}")?;
                let flags = [(*router, "router"), (*solicited, "solicited"), (*overriding, "override")];
                let named = flags.iter().filter(|(set, _)| *set).enumerate();
                named.into_iter().try_for_each(|(index, (_, name))| {
                    write!(f, "{}{name}", if index == 0 { ", Flags [" } else { ", " })
                })?;
                if flags.iter().any(|(set, _)| *set) {
                    f.write_str("]")?;
                }
                target_mac.map(|mac| ("destination", mac))
            }
            Self::Redirect { target, destination, target_mac } => {
                write!(f, "redirect, {destination} to {target}")?;
                target_mac.map(|mac| ("destination", mac))
            }
        };
        mac.map_or(Ok(()), |(which, mac)| write!(f, ", {which} link-address {mac}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const MAC: Option<MacAddr> = Some(MacAddr([2, 0, 0, 0, 0, 9]));

    #[test]
    fn every_message_reads_back() {
        let prefix = Prefix {
            prefix: A,
            prefix_len: 64,
            on_link: true,
            autonomous: false,
            valid_s: 1,
            preferred_s: u32::MAX,
        };
        let messages = [
            Repr::RouterSolicitation { source_mac: MAC },
            Repr::RouterAdvertisement {
                hop_limit: 64,
                managed: true,
                other: false,
                lifetime_s: 1800,
                reachable_ms: 1,
                retransmit_ms: 2,
                source_mac: MAC,
                mtu: Some(1400),
                prefix: Some(prefix),
            },
            Repr::NeighbourSolicitation { target: A, source_mac: None },
            Repr::NeighbourAdvertisement {
                router: true,
                solicited: true,
                overriding: true,
                target: A,
                target_mac: MAC,
            },
            Repr::Redirect { target: A, destination: A, target_mac: MAC },
        ];
        for repr in messages {
            let mut bytes = vec![0xee; repr.buffer_len()];
            repr.emit(A, A, &mut View::new_unchecked(&mut bytes[..]));
            let view = View::new_checked(&bytes[..]).unwrap();
            assert!(view.verify_checksum(A, A));
            assert_eq!(Repr::parse(&view).unwrap(), repr);
            assert!(!view.to_string().contains("needs"), "{view}");
        }
    }

    #[test]
    fn options_that_lie_are_refused() {
        let body = |option: &[u8]| {
            let mut bytes = vec![135, 0, 0, 0];
            bytes.extend([0; 20]);
            bytes.extend(option);
            Repr::parse(&View::new_checked(&bytes[..]).unwrap())
        };
        assert_eq!(
            body(&[1, 0, 0, 0, 0, 0, 0, 0]),
            Err(WireError::BadLength { what: "ndp option", value: 0 })
        );
        assert!(matches!(
            body(&[1, 2, 0, 0, 0, 0, 0, 0]),
            Err(WireError::Truncated { need: 16, have: 8, .. })
        ));
        assert!(matches!(body(&[1, 1, 0]), Err(WireError::Truncated { .. })));
        let many = [200, 1, 0, 0, 0, 0, 0, 0].repeat(OPTIONS_MAX + 1);
        assert_eq!(body(&many), Err(WireError::TooMany { what: "ndp options", limit: OPTIONS_MAX }));
    }

    #[test]
    fn short_body_is_refused() {
        let bytes = [136u8, 0, 0, 0, 0, 0, 0, 0, 1, 2];
        let wrong = Repr::parse(&View::new_checked(&bytes[..]).unwrap()).unwrap_err();
        assert_eq!(wrong, WireError::Truncated { what: "ndp message", need: 20, have: 6 });
    }
}
