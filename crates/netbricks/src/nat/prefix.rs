//! IPv4 addresses inside IPv6 ones (RFC 6052).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Where hosts of IPv4 are, seen from IPv6: `64:ff9b::/96`, or a prefix of 32, 40, 48, 56 or 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    prefix: [u8; 16],
    length: u8,
}

/// Text that is no such prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits with zeros behind it, such as 64:ff9b::/96"
)]
pub struct PrefixError(pub String);

/// Bits 64 to 71 are zero in every such address (§2.2).
const RESERVED: usize = 8;

impl Prefix {
    /// 64:ff9b::/96.
    pub const WELL_KNOWN: Self =
        Self { prefix: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], length: 96 };

    /// `None` for another length, for bits behind it, and for bits 64 to 71.
    #[must_use]
    pub fn new(prefix: Ipv6Addr, length: u8) -> Option<Self> {
        let bits = prefix.to_bits();
        let is_known = matches!(length, 32 | 40 | 48 | 56 | 64 | 96);
        let prefix = prefix.octets();
        (is_known && bits << length == 0 && prefix[RESERVED] == 0).then_some(Self { prefix, length })
    }

    /// Where the address' bytes lie: behind the prefix, around the reserved byte.
    fn places(self) -> impl Iterator<Item = usize> {
        (usize::from(self.length) / 8..16).filter(|at| *at != RESERVED).take(4)
    }

    /// The IPv6 address of a host of IPv4.
    #[must_use]
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.prefix;
        self.places().zip(address.octets()).for_each(|(at, octet)| octets[at] = octet);
        octets.into()
    }

    /// The host of IPv4 that an IPv6 address means; `None` where it has another prefix.
    #[must_use]
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        let length = usize::from(self.length) / 8;
        if octets[..length] != self.prefix[..length] || octets[RESERVED] != self.prefix[RESERVED] {
            return None;
        }
        let mut inner = [0; 4];
        self.places().zip(&mut inner).for_each(|(at, octet)| *octet = octets[at]);
        Some(inner.into())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError(text.chars().take(80).collect());
        let (prefix, length) = text.split_once('/').ok_or_else(wrong)?;
        let length = length.parse().ok().filter(|_| length.len() == 2).ok_or_else(wrong)?;
        Self::new(prefix.parse().map_err(|_| wrong())?, length).ok_or_else(wrong)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6Addr::from(self.prefix), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6052_section_2_4() {
        let address = Ipv4Addr::new(192, 0, 2, 33);
        for (prefix, embedded) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let (prefix, embedded): (Prefix, Ipv6Addr) = (prefix.parse().unwrap(), embedded.parse().unwrap());
            assert_eq!((prefix.embed(address), prefix.extract(embedded)), (embedded, Some(address)));
            assert_eq!(prefix.extract("2001:db9::1".parse().unwrap()), None);
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
        assert_eq!("64:ff9b::/96".parse(), Ok(Prefix::WELL_KNOWN));
    }

    #[test]
    fn other_prefixes_are_refused() {
        for wrong in
            ["64:ff9b::", "64:ff9b::/95", "64:ff9b::1/96", "2001:db8::/+3", "2001:db8:0:0:100::/96", "x/96"]
        {
            assert_eq!(wrong.parse::<Prefix>(), Err(PrefixError(wrong.into())));
        }
    }
}
