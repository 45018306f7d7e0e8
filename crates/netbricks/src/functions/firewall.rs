//! Keeps state of connections: rules say who may open one, and what belongs to an open one passes.
//!
//! A packet that opens a connection, or travels on in one that nobody has answered yet, is judged by the rules, in the
//! language of `acl`. Once permitted, its connection passes in both directions, and so do the ICMP errors about it. What
//! belongs to no connection and cannot open one is invalid, and dropped by reason. Connections are tracked as Linux' conntrack
//! does it; one that is not assured makes room for new ones when the table is full.
//!
//! Arguments:
//!   rule=RULE            may be repeated; `rule=@FILE` reads one a line. `permit out any any`, `permit in tcp any
//!                        192.0.2.7 443`: see `acl`. `out` is for connections opened from gate 0, `in` from gate 1
//!   classbench=@FILE     rules in ClassBench's form, behind those of rule=
//!   matched=permit|deny  what ClassBench's rules do (default: permit)
//!   default=deny|permit  for what opens a connection and no rule matches (default: deny)
//!   reject=on|off        whether those who are denied are told, by a TCP reset or an ICMP error "administratively
//!                        prohibited", 1000 a second at most (default: off)
//!   flows=COUNT          connections at most (default: 65536)
//!   loose=on|off         whether a TCP connection whose beginning was not seen may be picked up (default: on, as Linux)
//!   checksums=on|off     whether packets with a wrong checksum are invalid; not for ports that leave checksums to be done
//!                        (default: off)
//!   other=permit|deny    frames that are not IP, neighbour and multicast listener discovery (default: permit)
//!
//! A fragment that is not the first passes if the first has passed within 30 s, 4096 such packets at a time; one that would
//! overwrite a TCP header (RFC 3128) does not. A connection stays at its gates: its packets from the wrong side are dropped.
//!
//! Example:
//!   weft netbricks run firewall "rule=permit out any any" reject=on --in tap:inside --out tap:outside

use std::hash::{Hash, Hasher};

use arrayvec::ArrayVec;
use lookup::flow_table::FlowTable;
use packet::flow::{FlowHasher, FlowKey};
use packet::parse::Layers;
use packet::wire::{IpProtocol, tcp};
use packet::{BATCH, Batch, Packet};

use super::Setup;
use crate::answer::{Notice, Notices};
use crate::conntrack::{Arrival, Config, Direction, FLOWS_MAX, FlowId, State, Tracker};
use crate::rules::{Action, Rules, Subject};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

const DENIED: Cause = Cause::new("denied by rule");
const OTHER: Cause = Cause::new("not IP");
const WRONG_SIDE: Cause = Cause::new("from the wrong side of its connection");
const FRAGMENT: Cause = Cause::new("fragment whose first did not pass");

/// Fragmented packets whose first fragment passed, at a time.
const FRAGMENTS_MAX: usize = 4096;
/// How long their other fragments may take; as long as Linux waits for them.
const FRAGMENTS_NS: u64 = 30_000_000_000;
/// Flows looked at for their end in one call.
const EXPIRE_MOST: usize = 256;

/// The gate at which a connection was opened, once it was permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Opened(Option<Gate>);

/// What all fragments of a packet share.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Datagram {
    hosts: FlowKey,
    ident: u32,
}

impl Hash for Datagram {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hosts.hash(state);
        state.write_u64(self.ident.into());
    }
}

/// A stateful firewall.
pub struct Firewall {
    tracker: Tracker<Opened>,
    rules: Rules,
    /// Packets whose first fragment passed.
    fragments: FlowTable<Datagram, ()>,
    notices: Option<Notices>,
    other: Action,
}

impl std::fmt::Debug for Firewall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Firewall")
            .field("rules", &self.rules)
            .field("flows", &self.tracker.len())
            .finish_non_exhaustive()
    }
}

impl Firewall {
    /// Judges new connections by `rules`; `rejects` says whether those who are denied are told, `other` what happens to
    /// what is not tracked.
    #[must_use]
    pub fn new(config: &Config, rules: Rules, rejects: bool, other: Action, hasher: FlowHasher) -> Self {
        Self {
            tracker: Tracker::new(config, hasher),
            rules,
            fragments: FlowTable::with_hasher(FRAGMENTS_MAX, hasher),
            notices: rejects.then(Notices::default),
            other,
        }
    }

    /// The gate at which the packet leaves: as it is, or as the answer to it.
    fn judge(
        &mut self,
        gate: Gate,
        packet: &mut Packet,
        arrival: &Arrival,
        now_ns: u64,
    ) -> Result<Gate, Cause> {
        let layers = arrival.layers();
        let verdict = self.tracker.track_arrival(now_ns, arrival, packet.data(), &mut |_, _| ());
        match (verdict.state, verdict.flow) {
            (State::New, Some(flow)) => {
                if self.opens(gate, flow, layers, packet.data())? == Action::Deny {
                    self.tracker.remove(flow);
                    return self.reject(gate, packet, layers, now_ns);
                }
            }
            (State::Established | State::Related, Some(flow)) => {
                self.stays(gate, flow, verdict.direction)?;
            }
            (State::Fragment, _) => self.follows_its_first(layers, packet.data(), now_ns)?,
            (State::Invalid(reason), _) => return Err(Cause { kind: "invalid", what: reason.name() }),
            _ if self.other == Action::Permit => {}
            _ => return Err(OTHER),
        }
        if layers.fragment.is_some_and(|fragment| fragment.offset == 0) {
            self.note_first(layers, packet.data(), now_ns);
        }
        Ok(gate ^ 1)
    }

    /// What the rules say of a packet that opens a connection, or of one that travels on in it before any answer.
    fn opens(&mut self, gate: Gate, flow: FlowId, layers: &Layers, frame: &[u8]) -> Result<Action, Cause> {
        let opened = self.tracker.flow(flow).and_then(|flow| flow.data.0);
        if opened.is_some_and(|opened| opened != gate) {
            return Err(WRONG_SIDE);
        }
        let Subject::Flow(key) = Subject::of(layers, frame) else { return Ok(self.other) };
        let action = self.rules.decide(gate, &key);
        if let Some(flow) = self.tracker.flow_mut(flow) {
            flow.data = Opened(Some(gate));
        }
        Ok(action)
    }

    fn stays(&self, gate: Gate, flow: FlowId, direction: Direction) -> Result<(), Cause> {
        let opened = self.tracker.flow(flow).and_then(|flow| flow.data.0).ok_or(WRONG_SIDE)?;
        let expected = if direction == Direction::Original { opened } else { opened ^ 1 };
        if expected == gate { Ok(()) } else { Err(WRONG_SIDE) }
    }

    /// Makes the answer of a packet that was denied, if it may have one.
    fn reject(
        &mut self,
        gate: Gate,
        packet: &mut Packet,
        layers: &Layers,
        now_ns: u64,
    ) -> Result<Gate, Cause> {
        let (Some(notices), Some((_, to))) = (&mut self.notices, layers.addresses(packet.data())) else {
            return Err(DENIED);
        };
        let told = match layers.protocol {
            IpProtocol::TCP => notices.reset(packet, layers, now_ns),
            // From the address that is not reached: the firewall has none, as a bridge.
            _ => notices.error(packet, layers, Notice::Prohibited, to, now_ns),
        };
        if told { Ok(gate) } else { Err(DENIED) }
    }

    #[cold]
    fn note_first(&mut self, layers: &Layers, frame: &[u8], now_ns: u64) {
        if let Some(datagram) = datagram(layers, frame) {
            let deadline_ns = now_ns.saturating_add(FRAGMENTS_NS);
            // Where there is no room, the others do not pass, and are counted.
            let _ = self.fragments.insert(datagram, (), deadline_ns, now_ns);
        }
    }

    #[cold]
    fn follows_its_first(&mut self, layers: &Layers, frame: &[u8], now_ns: u64) -> Result<(), Cause> {
        let offset = layers.fragment.map_or(0, |fragment| usize::from(fragment.offset));
        let overwrites = layers.protocol == IpProtocol::TCP && offset < tcp::HEADER_LEN;
        let known = datagram(layers, frame).and_then(|datagram| self.fragments.find(&datagram, now_ns));
        if known.is_some() && !overwrites { Ok(()) } else { Err(FRAGMENT) }
    }
}

fn datagram(layers: &Layers, frame: &[u8]) -> Option<Datagram> {
    Some(Datagram { hosts: FlowKey::hosts(layers, frame)?, ident: layers.fragment?.ident })
}

impl NetworkFunction for Firewall {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let arrivals: ArrayVec<_, BATCH> =
            batch.iter().map(|packet| self.tracker.arrival(packet.data())).collect();
        self.tracker.fetch(arrivals.iter().flatten());
        for (mut packet, arrival) in batch.drain(..).zip(&arrivals) {
            let judged = match arrival {
                Ok(arrival) => self.judge(gate, &mut packet, arrival, ctx.now_ns()),
                Err(wrong) => Err((*wrong).into()),
            };
            match judged {
                Ok(gate) => ctx.send(gate, packet),
                Err(cause) => ctx.drop(packet, cause),
            }
        }
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.tracker.next_deadline_ns()
    }

    fn expire(&mut self, ctx: &mut Context) {
        self.tracker.expire(ctx.now_ns(), EXPIRE_MOST, |_| ());
    }

    fn report(&self, report: &mut Report) {
        self.rules.report(report);
        let counters = self.tracker.counters();
        report.counter("connections", self.tracker.len() as u64);
        report.counter("connections opened", counters.new);
        report.counter("packets of connections", counters.found);
        report.counter("ICMP errors about connections", counters.related);
        report.counter("connections expired", counters.expired);
        report.counter("connections evicted", counters.evicted);
        if let Some(notices) = &self.notices {
            report.counter("rejected", notices.sent());
            report.counter("rejections withheld", notices.withheld());
        }
    }
}

pub(super) fn build(args: &mut Args, setup: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let rules = Rules::take(args)?;
    let config = Config {
        flows: args.number("flows", 65_536, 1..=FLOWS_MAX as u64)? as usize,
        translations: 0,
        loose: args.switch("loose", true)?,
        checksums: args.switch("checksums", false)?,
        ..Config::default()
    };
    let (rejects, other) = (args.switch("reject", false)?, args.take_or("other", Action::Permit)?);
    Ok(Box::new(Firewall::new(&config, rules, rejects, other, FlowHasher::new(setup.key))))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{echo, icmp, ip, solicitation, tcp, udp, who_has, words};
    use super::super::tests::{at, function, setup};
    use super::*;
    use packet::wire::{icmpv4, ipv4};

    const OUTWARD: &str = "rule=permit out any any";

    struct Bench {
        setup: Setup,
        firewall: Box<dyn NetworkFunction>,
        ctx: Context,
        now_ns: u64,
    }

    impl Bench {
        fn new(arguments: &[&str]) -> Self {
            let setup = setup();
            let firewall = function("firewall", arguments, &setup);
            Self { setup, firewall, ctx: Context::new(2), now_ns: 1 }
        }

        /// What a frame that comes in at `gate` leaves, in words with its gate.
        fn send(&mut self, gate: Gate, frame: &[u8]) -> Option<(Gate, String)> {
            self.now_ns += 1000;
            let at_gate = (gate, self.now_ns);
            let mut left = at(&mut *self.firewall, &mut self.ctx, at_gate, &self.setup.pool, &[frame]);
            assert_eq!(self.setup.pool.available(), self.setup.pool.capacity());
            left.pop().map(|(gate, frame)| (gate, words(&frame)))
        }

        fn passes(&mut self, gate: Gate, frame: &[u8]) -> bool {
            self.send(gate, frame).is_some_and(|(out, said)| out == gate ^ 1 && said == words(frame))
        }

        fn dropped(&self, cause: &str) -> u64 {
            self.ctx
                .drops()
                .iter()
                .filter(|(known, _)| known.to_string() == cause)
                .map(|(_, count)| count)
                .sum()
        }
    }

    const CLIENT: &str = "10.0.0.1:4000";
    const SERVER: &str = "192.0.2.1:80";

    #[test]
    fn answers_pass_and_strangers_do_not() {
        let mut bench = Bench::new(&[OUTWARD]);
        assert!(!bench.passes(1, &tcp(SERVER, CLIENT, "SA", (100, 2), b"")), "an answer without a question");
        assert!(bench.passes(0, &tcp(CLIENT, SERVER, "S", (1, 0), b"")));
        assert!(bench.passes(1, &tcp(SERVER, CLIENT, "SA", (100, 2), b"")));
        assert!(bench.passes(0, &tcp(CLIENT, SERVER, "A", (2, 101), b"get")));
        assert!(bench.passes(1, &tcp(SERVER, CLIENT, "A", (101, 5), b"got")));
        assert!(!bench.passes(1, &tcp(SERVER, CLIENT, "A", (999_101, 5), b"got")), "beyond the window");
        assert!(!bench.passes(1, &tcp("192.0.2.1:4444", "10.0.0.1:22", "S", (1, 0), b"")));
        assert_eq!(bench.dropped("denied by rule"), 1);
        assert_eq!(bench.dropped("invalid: sequence beyond the window"), 1);
        assert_eq!(bench.dropped("invalid: opens no connection"), 1);
        assert!(bench.passes(0, &udp("[fd00::1]:5", "[fd00::2]:53", b"?")));
        assert!(bench.passes(1, &udp("[fd00::2]:53", "[fd00::1]:5", b"!")));
        assert!(
            bench.passes(1, &who_has("192.0.2.1", "10.0.0.1"))
                && bench.passes(1, &solicitation("fd00::1", "fd00::2"))
        );
    }

    #[test]
    fn a_denied_connection_leaves_no_state() {
        let mut bench = Bench::new(&[OUTWARD]);
        assert!(!bench.passes(1, &udp("192.0.2.1:9", "10.0.0.1:9", b"in")));
        assert!(!bench.passes(1, &udp("192.0.2.1:9", "10.0.0.1:9", b"again")));
        let mut report = Report::default();
        bench.firewall.report(&mut report);
        assert_eq!((report.get("connections"), bench.dropped("denied by rule")), (0, 2));
    }

    #[test]
    fn errors_about_a_connection_pass_and_others_do_not() {
        let mut bench = Bench::new(&[OUTWARD]);
        let query = udp("10.0.0.1:5", "192.0.2.1:53", b"query");
        let error = |about: &[u8]| {
            icmp(
                "192.0.2.254",
                "10.0.0.1",
                &icmpv4::Repr::unreachable(icmpv4::unreachable::PORT, &about[14..]),
            )
        };
        assert!(!bench.passes(1, &error(&query)));
        assert!(bench.passes(0, &query));
        assert!(bench.passes(1, &error(&query)));
        assert!(!bench.passes(1, &error(&udp("10.0.0.1:6", "192.0.2.1:53", b"other"))));
        assert_eq!(bench.dropped("invalid: error about no known flow"), 2);
    }

    #[test]
    fn those_who_are_denied_are_told() {
        let mut bench = Bench::new(&["rule=deny any any", "reject=on"]);
        assert_eq!(
            bench.send(1, &tcp("192.0.2.1:4000", "10.0.0.1:22", "S", (77, 0), b"")).unwrap(),
            (1, "02:00:00:00:00:02 > 02:00:00:00:00:01: 10.0.0.1 > 192.0.2.1: 22 > 4000: Flags [R.], seq 0, ack 78, win 0, length 0"
                .into())
        );
        let (gate, said) = bench.send(0, &udp("10.0.0.1:5", "192.0.2.1:53", b"query")).unwrap();
        assert!(
            gate == 0 && said.contains("192.0.2.1 > 10.0.0.1: host 192.0.2.1 unreachable - admin prohibited"),
            "{said}"
        );
        let (_, said) = bench.send(1, &udp("[fd00::2]:5", "[fd00::1]:53", &[0; 1400])).unwrap();
        assert!(
            said.contains("fd00::1 > fd00::2: destination unreachable, unreachable prohibited"),
            "{said}"
        );
        let told = (0..500).filter(|_| bench.send(0, &echo("10.0.0.1", "192.0.2.1", b"")).is_some()).count();
        assert!((90..=100).contains(&told), "{told} told in half a millisecond");
        assert_eq!(
            bench.send(0, &udp("10.0.0.1:5", "224.0.0.1:53", b"query")),
            None,
            "a group has no answer"
        );
    }

    #[test]
    fn a_connection_stays_at_its_gates() {
        let mut bench = Bench::new(&["rule=permit any any"]);
        let (there, back) =
            (udp("10.0.0.1:5", "192.0.2.1:53", b"?"), udp("192.0.2.1:53", "10.0.0.1:5", b"!"));
        assert!(bench.passes(0, &there));
        assert!(!bench.passes(1, &there), "forged from outside");
        assert!(bench.passes(1, &back));
        assert!(!bench.passes(0, &back) && !bench.passes(1, &there));
        assert_eq!(bench.dropped("from the wrong side of its connection"), 3);
    }

    fn fragment(offset: u16, more: bool, ident: u16, protocol: IpProtocol) -> Vec<u8> {
        let mut frame = match protocol {
            IpProtocol::UDP if offset == 0 => udp("10.0.0.1:5", "192.0.2.1:53", &[0; 32]),
            _ => ip("10.0.0.1", "192.0.2.1", protocol, &[0; 40]),
        };
        let mut view = ipv4::View::new_unchecked(&mut frame[14..]);
        view.set_fragment(false, more, offset);
        view.set_ident(ident);
        view.fill_checksum();
        frame
    }

    #[test]
    fn later_fragments_follow_their_first() {
        let mut bench = Bench::new(&[OUTWARD]);
        let mut sends = |gate, frame: &[u8]| {
            let before = bench.ctx.sent();
            at(&mut *bench.firewall, &mut bench.ctx, (gate, 1), &bench.setup.pool, &[frame]);
            bench.ctx.sent() > before
        };
        assert!(!sends(0, &fragment(40, false, 1, IpProtocol::UDP)), "no first");
        assert!(sends(0, &fragment(0, true, 1, IpProtocol::UDP)));
        assert!(sends(0, &fragment(40, false, 1, IpProtocol::UDP)));
        assert!(!sends(0, &fragment(40, false, 2, IpProtocol::UDP)), "of another packet");
        assert!(!sends(0, &fragment(40, false, 1, IpProtocol::TCP)), "of another protocol");
        assert_eq!(bench.dropped("fragment whose first did not pass"), 3);
    }

    #[test]
    fn connections_end_and_are_bounded() {
        let mut bench = Bench::new(&[OUTWARD, "flows=64"]);
        for port in 1..=1000 {
            assert!(bench.passes(0, &udp(&format!("10.0.0.1:{port}"), "192.0.2.1:53", b"?")));
        }
        let mut report = Report::default();
        bench.firewall.report(&mut report);
        assert_eq!((report.get("connections"), report.get("connections evicted")), (64, 936));
        let mut turns = 0;
        while let Some(deadline_ns) = bench.firewall.deadline_ns() {
            bench.ctx.set_now_ns(deadline_ns);
            bench.firewall.expire(&mut bench.ctx);
            turns += 1;
            assert!(turns < 1000, "expiry does not come to an end");
        }
        assert!(!bench.passes(1, &udp("192.0.2.1:53", "10.0.0.1:1000", b"!")), "too late");
    }
}
