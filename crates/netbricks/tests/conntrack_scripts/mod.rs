//! TCP conversations as tcpdump would print them, and what a tracker must say of each segment. Our tracker is held to
//! them in `conntrack_tcp.rs`, the kernel in `conntrack_linux.rs`.
//!
//! ```text
//! > S seq 1000 win 65535 wscale 7 = new SYN_SENT
//! │ │ └ what is not said is 0, and win 65535   │  └ the flow's state afterwards, `-` where there is no flow
//! │ └ flags as tcpdump has them                └ ct state; of ours also why it is invalid: invalid:AckAbove
//! └ from the client, or < from the server
//! ```
#![allow(dead_code, unreachable_pub, unused_imports)] // each test uses what it needs

use std::net::SocketAddr;

use netbricks::conntrack::{Config, Direction, State};
use packet::wire::{EtherType, IpProtocol, MacAddr, ethernet, ipv4, ipv6, tcp};

mod scripts;
pub use scripts::SCRIPTS;

/// One conversation.
pub struct Script {
    pub name: &'static str,
    pub loose: bool,
    pub liberal: bool,
    pub text: &'static str,
}

impl Script {
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        let lines =
            self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(Line::parse)
    }

    pub fn config(&self) -> Config {
        Config { flows: 1024, loose: self.loose, liberal: self.liberal, ..Config::default() }
    }
}

/// One segment and what is to be said of it.
#[derive(Debug, Clone)]
pub struct Line {
    pub text: String,
    pub direction: Direction,
    pub segment: Segment,
    /// Verdict and TCP state.
    pub expected: (String, String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let (packet, verdict) = line.split_once('=').unwrap_or_else(|| panic!("no '=' in: {line}"));
        let mut words = packet.split_whitespace();
        let direction = match words.next() {
            Some(">") => Direction::Original,
            Some("<") => Direction::Reply,
            other => panic!("{other:?} in: {line}"),
        };
        let mut segment = Segment { flags: flags(words.next().unwrap()), ..Segment::default() };
        while let Some(word) = words.next() {
            if word == "sackOK" {
                segment.repr.sack_permitted = true;
                continue;
            }
            let value = words.next().unwrap_or_else(|| panic!("{word} of what in: {line}"));
            if word == "sack" {
                let (left, right) = value.split_once(':').unwrap();
                segment.repr.sack.push(left.parse().unwrap(), right.parse().unwrap());
                continue;
            }
            let number: u32 = value.parse().unwrap_or_else(|_| panic!("{value} in: {line}"));
            match word {
                "seq" => segment.repr.sequence = number,
                "ack" => segment.repr.ack = number,
                "win" => segment.repr.window = number as u16,
                "wscale" => segment.repr.window_scale = Some(number as u8),
                "len" => segment.len = number as usize,
                _ => panic!("{word} in: {line}"),
            }
        }
        Self { text: line.into(), direction, segment, expected: pair(verdict) }
    }
}

fn pair(text: &str) -> (String, String) {
    let mut words = text.split_whitespace().map(String::from);
    (words.next().unwrap(), words.next().unwrap_or_else(|| panic!("verdict and state in: {text}")))
}

fn flags(text: &str) -> tcp::Flags {
    let bit = |flag| match flag {
        'F' => tcp::Flags::FIN,
        'S' => tcp::Flags::SYN,
        'R' => tcp::Flags::RST,
        'P' => tcp::Flags::PSH,
        '.' => tcp::Flags::ACK,
        'U' => tcp::Flags::URG,
        '0' => tcp::Flags::default(),
        _ => panic!("flag {flag}"),
    };
    text.chars().map(bit).fold(tcp::Flags::default(), |all, flag| all | flag)
}

/// What a segment says, ports aside.
#[derive(Debug, Clone)]
pub struct Segment {
    pub flags: tcp::Flags,
    pub len: usize,
    pub repr: tcp::Repr,
}

impl Default for Segment {
    fn default() -> Self {
        let repr = tcp::Repr { window: 65535, ..tcp::Repr::default() };
        Self { flags: tcp::Flags::default(), len: 0, repr }
    }
}

/// Who talks to whom.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

impl Ends {
    /// Source and destination of what travels in a direction.
    pub const fn towards(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::Original => (self.client, self.server),
            Direction::Reply => (self.server, self.client),
        }
    }

    /// A segment as a frame, its checksum right.
    pub fn frame(&self, direction: Direction, segment: &Segment) -> Vec<u8> {
        let (source, destination) = self.towards(direction);
        let repr = tcp::Repr {
            source_port: source.port(),
            destination_port: destination.port(),
            flags: segment.flags,
            ..segment.repr
        };
        let mut bytes = vec![0; repr.buffer_len() + segment.len];
        let mut view = tcp::View::new_unchecked(&mut bytes[..]);
        repr.emit(&mut view);
        view.fill_checksum(source.ip(), destination.ip());
        ip_frame(source, destination, IpProtocol::TCP, &bytes)
    }
}

/// An IP packet in an Ethernet frame.
pub fn ip_frame(
    source: SocketAddr,
    destination: SocketAddr,
    protocol: IpProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet;
    let ethertype = match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            packet = vec![0; ipv4::HEADER_LEN];
            ipv4::Repr::new(*source.ip(), *destination.ip(), protocol, payload.len())
                .emit(&mut ipv4::View::new_unchecked(&mut packet[..]));
            EtherType::IPV4
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            packet = vec![0; ipv6::HEADER_LEN];
            ipv6::Repr::new(*source.ip(), *destination.ip(), protocol, payload.len())
                .emit(&mut ipv6::View::new_unchecked(&mut packet[..]));
            EtherType::IPV6
        }
        _ => panic!("two families"),
    };
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr {
        source: MacAddr([2, 0, 0, 0, 0, 1]),
        destination: MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype,
    }
    .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame.extend(packet);
    frame.extend(payload);
    frame
}

/// `new`, `established`, … or `invalid`, as nftables calls it.
pub fn ct_state(state: State) -> &'static str {
    match state {
        State::New => "new",
        State::Established => "established",
        State::Related => "related",
        State::Fragment => "fragment",
        State::Untracked => "untracked",
        State::Invalid(_) => "invalid",
    }
}
