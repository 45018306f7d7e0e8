//! Answers pings, IPv4 and IPv6, for addresses of its own.
//!
//! An echo request to one of its addresses comes back as a reply at the gate it came in at, with the data it had.
//! So do ARP requests and neighbour solicitations, so that nobody has to be told where the addresses are. Everything else
//! passes to the other gate, or is dropped.
//!
//! Arguments:
//!   address=ADDRESS  an address to answer for; may be repeated. `any`: every address that is asked for
//!   mac=MAC          its Ethernet address (default: 02:00 and the last four bytes of its first address)
//!   pass=on|off      whether what is not answered passes (default: on)
//!
//! With `any`, nobody who probes for a free address is told that it is taken. IPv4 options come back as they were; IPv6
//! extension headers do not. Dropped and counted: requests in fragments (put a reassembler in front), with a source route,
//! with a wrong checksum, and those whose source is a group or the address asked. It keeps no state.
//!
//! Example:
//!   weft netbricks run ping address=192.0.2.7 address=2001:db8::7 --in tap:left --out tap:right

use std::net::IpAddr;

use packet::parse::Layers;
use packet::wire::MacAddr;
use packet::{Batch, Packet};

use super::Setup;
use crate::answer::Question;
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

/// Addresses that one responder takes.
const ADDRESSES_MAX: usize = 1024;

const NOT_ASKED: Cause = Cause::new("not for the responder");

/// A ping responder.
#[derive(Debug)]
pub struct Ping {
    /// Sorted; `None` for every address.
    addresses: Option<Vec<IpAddr>>,
    mac: MacAddr,
    passes: bool,
    /// Echo replies, and answers to ARP requests and neighbour solicitations.
    answered: [u64; 2],
}

impl Ping {
    /// Answers for `addresses`, or for all where there are none, as the station `mac`; lets other packets pass, or drops
    /// them.
    #[must_use]
    pub fn new(mut addresses: Vec<IpAddr>, mac: MacAddr, passes: bool) -> Self {
        addresses.sort_unstable();
        let addresses = (!addresses.is_empty()).then_some(addresses);
        Self { addresses, mac, passes, answered: [0; 2] }
    }

    fn is_mine(&self, question: &Question) -> bool {
        match &self.addresses {
            Some(addresses) => addresses.binary_search(&question.whom()).is_ok(),
            None => {
                !question.is_probe() && !question.whom().is_unspecified() && !question.whom().is_multicast()
            }
        }
    }

    /// Whether the packet has become an answer.
    fn answer(&mut self, packet: &mut Packet) -> Result<bool, Cause> {
        let layers = Layers::of(packet.data())?;
        let Some(question) = Question::of(&layers, packet.data()).filter(|question| self.is_mine(question))
        else {
            return Ok(false);
        };
        question.answer(packet, &layers, self.mac, false)?;
        self.answered[usize::from(!matches!(question, Question::Echo { .. }))] += 1;
        Ok(true)
    }
}

impl NetworkFunction for Ping {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        for mut packet in batch.drain(..) {
            match self.answer(&mut packet) {
                Ok(true) => ctx.send(gate, packet),
                Ok(false) if self.passes => ctx.send(gate ^ 1, packet),
                Ok(false) => ctx.drop(packet, NOT_ASKED),
                Err(cause) => ctx.drop(packet, cause),
            }
        }
    }

    fn report(&self, report: &mut Report) {
        report.counter("echo replies", self.answered[0]);
        report.counter("ARP replies and neighbour advertisements", self.answered[1]);
    }
}

/// 02:00 and the last four bytes of an address: the same after a restart, and on one link as different as the addresses.
pub(super) fn mac_of(address: Option<&IpAddr>) -> MacAddr {
    let bits = match address {
        Some(IpAddr::V4(address)) => address.to_bits(),
        Some(IpAddr::V6(address)) => address.to_bits() as u32,
        None => u32::from_be_bytes(*b"ping"),
    };
    let [a, b, c, d] = bits.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

pub(super) fn build(args: &mut Args, _: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let texts = args.lines("address")?;
    let mut addresses = Vec::new();
    for text in &texts {
        match text.parse::<IpAddr>() {
            Ok(address) if !address.is_multicast() && !address.is_unspecified() => addresses.push(address),
            Ok(_) => return Err(args.wrong("address", text, "no host has this address")),
            Err(_) if text == "any" && texts.len() == 1 => {}
            Err(_) => return Err(args.wrong("address", text, "an address is wanted, or `any` alone")),
        }
    }
    match texts.len() {
        0 => return Err(args.conflict("address=… is missing: the address to answer for, or `any`")),
        1..=ADDRESSES_MAX => {}
        _ => return Err(args.conflict(format_args!("more than {ADDRESSES_MAX} addresses"))),
    }
    let mac = args.take_or("mac", mac_of(addresses.first()))?;
    if !mac.is_unicast() {
        return Err(args.wrong("mac", &mac.to_string(), "a station's address is wanted"));
    }
    Ok(Box::new(Ping::new(addresses, mac, args.switch("pass", true)?)))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, echo, echo6, solicitation, who_has, words};
    use super::super::tests::{at, function, setup};
    use super::*;
    use packet::wire::{EtherType, IpProtocol, icmpv4, ipv4};

    const MINE: [&str; 2] = ["address=10.0.0.9", "address=fd00::9"];

    /// What leaves, in words with its gate, and the causes of drops.
    fn run(arguments: &[&str], frame: &[u8]) -> Result<(Gate, String), String> {
        let setup = setup();
        let (mut ping, mut ctx) = (function("ping", arguments, &setup), Context::new(2));
        let mut left = at(&mut *ping, &mut ctx, (0, 1), &setup.pool, &[frame]);
        assert_eq!(setup.pool.available(), setup.pool.capacity());
        match left.pop() {
            Some((gate, frame)) => Ok((gate, words(&frame))),
            None => Err(ctx.drops().iter().map(|(cause, _)| cause.to_string()).collect()),
        }
    }

    fn answer(frame: &[u8]) -> String {
        let (gate, words) = run(&MINE, frame).unwrap();
        assert_eq!(gate, 0, "{words}");
        words
    }

    #[test]
    fn pings_come_back_with_their_data() {
        assert_eq!(
            answer(&echo("10.0.0.1", "10.0.0.9", &[7; 57])),
            "02:00:00:00:00:02 > 02:00:00:00:00:01: 10.0.0.9 > 10.0.0.1: echo reply, id 7, seq 9, length 65"
        );
        assert_eq!(
            answer(&echo6("fd00::1", "fd00::9", b"data")),
            "02:00:00:00:00:02 > 02:00:00:00:00:01: fd00::9 > fd00::1: echo reply, id 7, seq 9, length 12"
        );
    }

    #[test]
    fn its_addresses_can_be_found() {
        assert_eq!(
            answer(&who_has("10.0.0.1", "10.0.0.9")),
            "02:00:0a:00:00:09 > 02:00:00:00:00:01: Reply 10.0.0.9 is-at 02:00:0a:00:00:09, length 28"
        );
        let found = answer(&solicitation("fd00::1", "fd00::9"));
        assert!(found.contains("fd00::9 > fd00::1: neighbor advertisement, tgt is fd00::9"), "{found}");
        let defended = answer(&solicitation("::", "fd00::9"));
        assert!(
            defended.starts_with("02:00:0a:00:00:09 > 33:33:00:00:00:01: fd00::9 > ff02::1:"),
            "{defended}"
        );
        let any = ["address=any"];
        assert_eq!(
            run(&any, &who_has("0.0.0.0", "10.0.0.5")).unwrap().0,
            1,
            "a probe is not answered for all"
        );
        assert_eq!(run(&any, &solicitation("::", "fd00::5")).unwrap().0, 1);
        assert_eq!(run(&any, &who_has("10.0.0.1", "10.0.0.5")).unwrap().0, 0);
    }

    #[test]
    fn everything_else_passes_or_does_not() {
        for frame in [
            echo("10.0.0.1", "10.0.0.8", b""),
            echo6("fd00::1", "fd00::8", b""),
            who_has("10.0.0.1", "10.0.0.8"),
            sample::udp("10.0.0.1:1", "10.0.0.9:2", b"data"),
            sample::icmp(
                "10.0.0.1",
                "10.0.0.9",
                &icmpv4::Repr::EchoReply { ident: 1, sequence: 1, data: b"" },
            ),
        ] {
            let setup = setup();
            let (mut ping, mut ctx) = (function("ping", &MINE, &setup), Context::new(2));
            assert_eq!(at(&mut *ping, &mut ctx, (0, 1), &setup.pool, &[&frame]), [(1, frame.clone())]);
            let closed = [MINE[0], MINE[1], "pass=off"];
            assert_eq!(run(&closed, &frame).unwrap_err(), "not for the responder");
        }
    }

    #[test]
    fn ethernet_padding_does_not_come_back() {
        // 46 bytes is the least that Ethernet carries; this packet has 28.
        let mut padded = echo("10.0.0.1", "10.0.0.9", b"");
        padded.resize(60, 0xaa);
        assert!(answer(&padded).ends_with("length 8"));
    }

    /// An echo request whose IPv4 header has these options.
    fn with_options(options: [u8; 8]) -> Vec<u8> {
        let mut frame = echo("10.0.0.1", "10.0.0.9", b"data");
        frame.splice(34..34, options);
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_header_len(28);
        ip.set_total_len(40);
        ip.fill_checksum();
        frame
    }

    #[test]
    fn options_and_extension_headers_are_passed_over() {
        assert!(
            answer(&with_options([7, 7, 4, 1, 2, 3, 4, 0])).ends_with("echo reply, id 7, seq 9, length 12")
        );
        assert_eq!(run(&MINE, &with_options([131, 7, 4, 1, 2, 3, 4, 0])).unwrap_err(), "source route");
        let mut frame = echo6("fd00::1", "fd00::9", b"data");
        frame.splice(54..54, [58, 0, 1, 4, 0, 0, 0, 0]);
        (frame[20], frame[19]) = (60, 20);
        assert!(answer(&frame).ends_with("fd00::9 > fd00::1: echo reply, id 7, seq 9, length 12"));
        (frame[20], frame[57]) = (43, 1);
        assert_eq!(run(&MINE, &frame).unwrap_err(), "source route");
    }

    #[test]
    fn what_cannot_be_answered_is_counted_by_cause() {
        let dropped = |frame: &[u8]| run(&MINE, frame).unwrap_err();
        let mut fragment = echo("10.0.0.1", "10.0.0.9", &[0; 16]);
        let mut ip = ipv4::View::new_unchecked(&mut fragment[14..]);
        ip.set_fragment(false, true, 0);
        ip.fill_checksum();
        assert_eq!(dropped(&fragment), "fragment of an echo request");
        let mut wrong = echo("10.0.0.1", "10.0.0.9", b"data");
        wrong[44] ^= 1;
        assert_eq!(dropped(&wrong), "wrong checksum");
        assert_eq!(dropped(&echo("224.0.0.1", "10.0.0.9", b"")), "source is no other host");
        assert_eq!(dropped(&echo6("fd00::9", "fd00::9", b"")), "source is no other host");
        let mut far = solicitation("fd00::1", "fd00::9");
        far[21] = 254;
        assert_eq!(dropped(&far), "invalid neighbour discovery");
        assert_eq!(
            dropped(&sample::ip("10.0.0.1", "10.0.0.9", IpProtocol::ICMP, &[8, 0])),
            "truncated: icmp header"
        );
        assert_eq!(dropped(b"runt"), "truncated: ethernet header");
    }

    #[test]
    fn tags_come_back() {
        let mut tagged = echo("10.0.0.1", "10.0.0.9", b"data");
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        let setup = setup();
        let (mut ping, mut ctx) = (function("ping", &MINE, &setup), Context::new(2));
        let left = at(&mut *ping, &mut ctx, (1, 1), &setup.pool, &[&tagged]);
        assert_eq!((left[0].0, &left[0].1[12..18]), (1, &[0x81, 0, 0, 5, 8, 0][..]));
        assert_eq!(EtherType::VLAN.0, 0x8100);
    }

    #[test]
    fn wrong_arguments_say_what_is_wanted() {
        let wrong = |words: &[&str]| {
            let mut args = Args::parse("ping", words).unwrap();
            build(&mut args, &setup()).err().unwrap().to_string()
        };
        assert_eq!(wrong(&[]), "ping: address=… is missing: the address to answer for, or `any`");
        assert_eq!(wrong(&["address=x"]), "ping: address=x: an address is wanted, or `any` alone");
        assert_eq!(wrong(&["address=::"]), "ping: address=::: no host has this address");
        assert!(wrong(&["address=any", "mac=ff:ff:ff:ff:ff:ff"]).contains("a station's address"));
    }
}
