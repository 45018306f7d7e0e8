//! Packet filters in the language of tcpdump (pcap-filter(7)), for Ethernet frames.
//!
//! ```text
//!  text ─► lexer ─► parser ─► tests, and, or, not ─► Program: tests, each of which says which one is next
//! ```
//!
//! A filter says what libpcap's would of the same frame: the same tests in the same order. So it keeps its habits: `and`
//! and `or` bind alike and from left to right; every `vlan` moves what is asked behind it by one tag; a filter that asks
//! for bytes behind the end of a frame fails, even under `not`.
//!
//! What there is: `host`, `net`, `port`, `portrange`, `proto` with `src`, `dst`, `src or dst`, `src and dst` and `ether`, `ip`,
//! `ip6`, `arp`, `rarp`, `tcp`, `udp`, `sctp`; `icmp`, `icmp6`, `igmp`, `igrp`, `pim`, `vrrp`, `carp`, `ah`, `esp`; `broadcast` and
//! `multicast`; `vlan`; `less` and `greater`; arithmetic on `len` and `PROTO[EXPR:SIZE]`, with the names of ICMP types and TCP
//! flags. What there is not: names of hosts and networks (nothing is resolved here), `protochain`, `gateway`, `mpls`, `pppoe`,
//! `geneve`, and what is not Ethernet. Names of ports are those of some well-known services.
//!
//! ```
//! use softnic::filter::Filter;
//!
//! let filter: Filter = "tcp dst port 80 and net 10.0.0.0/8".parse()?;
//! let mut frame = [0; 60];
//! frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]); // IPv4, 20 bytes of header
//! frame[23] = 6; // TCP
//! frame[26..30].copy_from_slice(&[10, 1, 2, 3]);
//! frame[36..38].copy_from_slice(&80u16.to_be_bytes());
//! assert!(filter.matches(&frame));
//! frame[37] = 81;
//! assert!(!filter.matches(&frame));
//! # Ok::<(), softnic::filter::FilterError>(())
//! ```

mod arithmetic;
mod lexer;
mod named;
mod names;
mod parser;
mod primitive;
mod program;

use std::fmt;
use std::str::FromStr;

use program::Program;
use thiserror::Error;

/// The longest filter, in bytes.
pub const TEXT_MAX: usize = 4096;
/// The most tests of a filter.
pub const TESTS_MAX: usize = 1 << 14;
/// The most terms of a filter: hosts, ports, comparisons.
pub const TERMS_MAX: usize = 512;
/// How deep brackets may be nested.
pub const DEPTH_MAX: usize = 32;

/// A filter that was compiled.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    program: Program,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}, at byte {at} of the filter")]
pub struct FilterError {
    /// Where.
    pub at: usize,
    /// What.
    pub message: String,
}

impl FilterError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl Filter {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a frame matches.
    #[inline]
    pub fn matches(&self, frame: &[u8]) -> bool {
        self.program.passes(frame, frame.len() as u32)
    }

    /// Whether a frame matches of which only the beginning was captured; `length` is how long it was.
    pub fn matches_captured(&self, frame: &[u8], length: u32) -> bool {
        self.program.passes(frame, length)
    }

    /// Tests that it has: how many it makes at most.
    pub fn tests(&self) -> usize {
        self.program.steps()
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > TEXT_MAX {
            return Err(FilterError::new(TEXT_MAX, format!("a filter has at most {TEXT_MAX} bytes")));
        }
        Ok(Self { text: text.to_owned(), program: Program::new(parser::parse(text)?) })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
