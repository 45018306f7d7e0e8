//! What is sent: frames that are made, or those of a capture.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use packet::pcap::{self, PcapError};
use packet::wire::{
    EtherType, IpProtocol, MacAddr, ethernet, icmpv4, icmpv6, ipv4, ipv6, tcp, tcp::Flags, udp,
};
use thiserror::Error;

use super::super::Setup;
use super::super::random::Random;
use crate::{Args, ArgsError};

/// Number and time, at the end of each frame.
const STAMP_LEN: usize = 16;
/// Frames kept of a capture, and their bytes.
const CAPTURE_FRAMES_MAX: usize = 65_536;
const CAPTURE_BYTES_MAX: usize = 256 << 20;
/// The longest frame: an IPv4 packet of 64 KiB.
const SIZE_MAX: u64 = 65_549;
/// Seven parts to four to one.
const IMIX: [usize; 12] = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60];

/// Frames that cannot be made.
#[derive(Debug, Error)]
pub enum FramesError {
    /// The headers and the stamp do not fit.
    #[error("a frame of {size} bytes: this kind takes {least} to 65549")]
    Size {
        /// The size asked for.
        size: u64,
        /// The least that it takes.
        least: u64,
    },
    /// Source and destination are of two families.
    #[error("{source_address} and {destination}: one is IPv4, the other IPv6")]
    Families {
        /// The first source.
        source_address: IpAddr,
        /// The first destination.
        destination: IpAddr,
    },
    /// More flows than addresses and ports.
    #[error("{flows} flows: these addresses and ports make {most} flow(s)")]
    Flows {
        /// Flows asked for.
        flows: u64,
        /// As many as there can be.
        most: u128,
    },
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(#[from] PcapError),
    /// The capture holds nothing.
    #[error("there is no frame in it")]
    Empty,
    /// The capture holds more than is kept.
    #[error("more than {CAPTURE_FRAMES_MAX} frames or {CAPTURE_BYTES_MAX} bytes")]
    TooMuch,
}

/// What kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Udp,
    Tcp,
    Syn,
    Icmp,
}

impl Kind {
    const fn header_len(self) -> usize {
        match self {
            Self::Udp => udp::HEADER_LEN,
            Self::Tcp | Self::Syn => tcp::HEADER_LEN,
            Self::Icmp => icmpv4::HEADER_LEN,
        }
    }

    const fn protocol(self, six: bool) -> IpProtocol {
        match self {
            Self::Udp => IpProtocol::UDP,
            Self::Tcp | Self::Syn => IpProtocol::TCP,
            Self::Icmp if six => IpProtocol::ICMPV6,
            Self::Icmp => IpProtocol::ICMP,
        }
    }
}

/// How long frames are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sizes {
    Drawn(RangeInclusive<u64>),
    Imix,
}

/// Addresses one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addresses {
    first: IpAddr,
    count: u128,
}

impl Addresses {
    fn at(self, index: u128) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() + index as u32).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() + index).into()),
        }
    }
}

/// What is sent.
#[derive(Debug)]
pub struct Frames(Source);

#[derive(Debug)]
enum Source {
    Made(Box<Made>),
    Captured { frames: Vec<Box<[u8]>>, longest: usize },
}

/// Frames that are made.
#[derive(Debug)]
struct Made {
    kind: Kind,
    sizes: Sizes,
    flows: u64,
    source: Addresses,
    destination: Addresses,
    source_ports: RangeInclusive<u16>,
    destination_ports: RangeInclusive<u16>,
    ethernet: ethernet::Repr,
    random: Random,
}

impl Frames {
    /// The frames of a capture file.
    ///
    /// # Errors
    /// It cannot be read, is empty, or too large.
    pub fn captured(path: &str) -> Result<Self, FramesError> {
        let mut capture = pcap::open(path)?;
        let (mut frames, mut bytes, mut longest) = (Vec::new(), 0, 0);
        while let Some(record) = capture.next()? {
            bytes += record.data.len();
            longest = longest.max(record.data.len());
            if frames.len() == CAPTURE_FRAMES_MAX || bytes > CAPTURE_BYTES_MAX {
                return Err(FramesError::TooMuch);
            }
            frames.push(record.data.into());
        }
        if frames.is_empty() {
            Err(FramesError::Empty)
        } else {
            Ok(Self(Source::Captured { frames, longest }))
        }
    }

    /// Bytes of the longest.
    #[must_use]
    pub fn longest(&self) -> usize {
        match &self.0 {
            Source::Captured { longest, .. } => *longest,
            Source::Made(made) => match &made.sizes {
                Sizes::Drawn(range) => *range.end() as usize,
                Sizes::Imix => IMIX.iter().copied().max().unwrap_or(0),
            },
        }
    }

    /// Bytes of the next, which is the `number`-th.
    pub(super) fn next_len(&mut self, number: u64) -> usize {
        match &mut self.0 {
            Source::Captured { frames, .. } => frames[(number % frames.len() as u64) as usize].len(),
            Source::Made(made) => match &made.sizes {
                Sizes::Drawn(range) => made.random.among(range) as usize,
                Sizes::Imix => IMIX[(number % IMIX.len() as u64) as usize],
            },
        }
    }

    /// Writes the `number`-th into `frame`, which has its length.
    pub(super) fn write(&self, number: u64, now_ns: u64, frame: &mut [u8]) {
        match &self.0 {
            Source::Captured { frames, .. } => {
                frame.copy_from_slice(&frames[(number % frames.len() as u64) as usize]);
            }
            Source::Made(made) => made.write(number, now_ns, frame),
        }
    }
}

impl Made {
    fn write(&self, number: u64, now_ns: u64, frame: &mut [u8]) {
        let mut digits = Digits(u128::from(number % self.flows));
        let source_port = self.source_ports.start() + digits.next(ports(&self.source_ports)) as u16;
        let source = self.source.at(digits.next(self.source.count));
        let destination = self.destination.at(digits.next(self.destination.count));
        let destination_port =
            self.destination_ports.start() + digits.next(ports(&self.destination_ports)) as u16;
        self.ethernet.emit(&mut ethernet::View::new_unchecked(&mut *frame));
        let (_, packet) = frame.split_at_mut(ethernet::HEADER_LEN);
        let (packet, padding) = match self.kind {
            // A SYN carries nothing.
            Kind::Syn => packet.split_at_mut(self.least() - ethernet::HEADER_LEN),
            _ => packet.split_at_mut(packet.len()),
        };
        padding.fill(0);
        let protocol = self.kind.protocol(source.is_ipv6());
        let header = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let payload_len = packet.len() - ipv4::HEADER_LEN;
                let mut repr = ipv4::Repr::new(source, destination, protocol, payload_len);
                repr.ident = number as u16;
                repr.emit(&mut ipv4::View::new_unchecked(&mut *packet));
                ipv4::HEADER_LEN
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let payload_len = packet.len() - ipv6::HEADER_LEN;
                let repr = ipv6::Repr::new(source, destination, protocol, payload_len);
                repr.emit(&mut ipv6::View::new_unchecked(&mut *packet));
                ipv6::HEADER_LEN
            }
            _ => return, // refused when it was made
        };
        let segment = &mut packet[header..];
        segment.fill(0);
        if self.kind != Kind::Syn {
            let at = segment.len() - STAMP_LEN;
            segment[at..at + 8].copy_from_slice(&number.to_be_bytes());
            segment[at + 8..].copy_from_slice(&now_ns.to_be_bytes());
        }
        self.transport(segment, number, [(source, source_port), (destination, destination_port)]);
    }

    fn transport(&self, segment: &mut [u8], number: u64, ends: [(IpAddr, u16); 2]) {
        let [(source, source_port), (destination, destination_port)] = ends;
        let round = number / self.flows;
        let payload_len = segment.len() - self.kind.header_len();
        match self.kind {
            Kind::Udp => {
                let mut view = udp::View::new_unchecked(segment);
                udp::Repr { source_port, destination_port, payload_len }.emit(&mut view);
                view.fill_checksum(source, destination);
            }
            Kind::Tcp | Kind::Syn => {
                let flags = if self.kind == Kind::Syn { Flags::SYN } else { Flags::ACK | Flags::PSH };
                let mut view = tcp::View::new_unchecked(segment);
                view.set_source_port(source_port);
                view.set_destination_port(destination_port);
                view.set_header_len_flags(tcp::HEADER_LEN, flags);
                // In one direction of equal segments this is what a sender would number them.
                view.set_sequence((round * payload_len as u64) as u32);
                view.set_ack(u32::from(self.kind == Kind::Tcp));
                view.set_window(u16::MAX);
                view.fill_checksum(source, destination);
            }
            Kind::Icmp => match (source, destination) {
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let mut view = icmpv6::View::new_unchecked(segment);
                    view.set_kind(icmpv6::Type::ECHO_REQUEST, 0);
                    view.set_rest(u32::from(source_port) << 16 | u32::from(round as u16));
                    view.fill_checksum(source, destination);
                }
                _ => {
                    segment[0] = icmpv4::Type::ECHO_REQUEST.0;
                    segment[6..8].copy_from_slice(&(round as u16).to_be_bytes());
                    let mut view = icmpv4::View::new_unchecked(segment);
                    view.set_ident(source_port);
                    view.fill_checksum();
                }
            },
        }
    }

    /// Bytes of the shortest frame.
    fn least(&self) -> usize {
        let ip = if self.source.first.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let stamp = if self.kind == Kind::Syn { 0 } else { STAMP_LEN };
        ethernet::HEADER_LEN + ip + self.kind.header_len() + stamp
    }

    fn check(&self) -> Result<(), FramesError> {
        let (source, destination) = (self.source.first, self.destination.first);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(FramesError::Families { source_address: source, destination });
        }
        let least = self.least() as u64;
        let shortest = match &self.sizes {
            Sizes::Drawn(range) => *range.start(),
            Sizes::Imix => 60,
        };
        if shortest < least {
            return Err(FramesError::Size { size: shortest, least });
        }
        let ports = ports(&self.source_ports) * ports(&self.destination_ports);
        let most = ports.saturating_mul(self.source.count).saturating_mul(self.destination.count);
        if u128::from(self.flows) > most {
            Err(FramesError::Flows { flows: self.flows, most })
        } else {
            Ok(())
        }
    }
}

fn ports(range: &RangeInclusive<u16>) -> u128 {
    u128::from(range.end() - range.start()) + 1
}

/// A number whose digits have bases of their own, the lowest first.
struct Digits(u128);

impl Digits {
    fn next(&mut self, base: u128) -> u128 {
        let digit = self.0 % base;
        self.0 /= base;
        digit
    }
}

pub(super) fn from_args(args: &mut Args, setup: &Setup) -> Result<Frames, ArgsError> {
    let captured =
        args.take_with("pcap", |path| Frames::captured(path).map_err(|error| error.to_string()))?;
    if let Some(frames) = captured {
        return Ok(frames);
    }
    let kind = args.take_with("frame", |text| match text {
        "udp" => Ok(Kind::Udp),
        "tcp" => Ok(Kind::Tcp),
        "syn" => Ok(Kind::Syn),
        "icmp" => Ok(Kind::Icmp),
        _ => Err("udp, tcp, syn or icmp is wanted".into()),
    })?;
    let address = |first: [u8; 4]| Addresses { first: first.into(), count: 1 };
    let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
    let given = args.take_with("size", sizes)?;
    let mut made = Made {
        kind: kind.unwrap_or(Kind::Udp),
        sizes: Sizes::Imix,
        flows: args.number("flows", 1, 1..=1 << 32)?,
        source: args.take_with("source", addresses)?.unwrap_or(address([10, 0, 0, 1])),
        destination: args.take_with("destination", addresses)?.unwrap_or(address([10, 0, 0, 2])),
        source_ports: args.take_with("sport", range)?.unwrap_or(1024..=65_535),
        destination_ports: args.take_with("dport", range)?.unwrap_or(9..=9),
        ethernet: ethernet::Repr {
            source: args.take_or("smac", mac(1))?,
            destination: args.take_or("dmac", mac(2))?,
            ethertype: EtherType::IPV4,
        },
        random: Random::new(args.take_or("seed", setup.seed)?),
    };
    let least = made.least().max(60) as u64;
    made.sizes = given.unwrap_or(Sizes::Drawn(least..=least));
    if made.source.first.is_ipv6() {
        made.ethernet.ethertype = EtherType::IPV6;
    }
    made.check().map_err(|error| args.conflict(error))?;
    Ok(Frames(Source::Made(Box::new(made))))
}

fn sizes(text: &str) -> Result<Sizes, String> {
    if text == "imix" {
        return Ok(Sizes::Imix);
    }
    let sizes = range(text)?;
    if *sizes.end() > SIZE_MAX { Err(format!("more than {SIZE_MAX} bytes")) } else { Ok(Sizes::Drawn(sizes)) }
}

/// `5` or `5-9`.
fn range<T: std::str::FromStr<Err: ToString> + PartialOrd + Copy>(
    text: &str,
) -> Result<RangeInclusive<T>, String> {
    let number = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last { Err("the range ends before it begins".into()) } else { Ok(first..=last) }
}

/// `10.0.0.1`, `10.0.0.1-10.0.0.9` or `10.0.0.0/24`.
fn addresses(text: &str) -> Result<Addresses, String> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(|error| error.to_string());
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32u32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    if let Some((first, prefix)) = text.split_once('/') {
        let (first, prefix) = (address(first)?, prefix.parse::<u32>().map_err(|error| error.to_string())?);
        let (value, width) = bits(first);
        let host_bits = width.checked_sub(prefix).ok_or("the prefix is longer than the address")?;
        let count = 1u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        if !value.is_multiple_of(count) {
            return Err("there are host bits behind the prefix".into());
        }
        return Ok(Addresses { first, count });
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (address(first)?, address(last)?);
    let ((low, width), (high, last_width)) = (bits(first), bits(last));
    if width != last_width || low > high {
        return Err("the range ends before it begins".into());
    }
    Ok(Addresses { first, count: (high - low).saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses_are_read_or_refused() {
        let count = |text| addresses(text).map(|addresses| addresses.count);
        assert_eq!((count("10.0.0.7"), count("10.0.0.0/24"), count("::/0")), (Ok(1), Ok(256), Ok(u128::MAX)));
        assert_eq!(count("10.0.0.250-10.0.1.5"), Ok(12));
        assert_eq!(addresses("10.0.0.250-10.0.1.5").unwrap().at(11), IpAddr::from([10, 0, 1, 5]));
        for wrong in ["", "10.0.0.1/24", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/33", "a-b"] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
    }
}
