//! Permits or denies packets by rules on addresses, protocol and ports, without state.
//!
//! Each packet is judged for itself: the first rule that matches it decides. What is permitted leaves at the other gate.
//!
//! Arguments:
//!   rule=RULE            may be repeated; `rule=@FILE` reads one a line. `permit tcp 10.0.0.0/8 any 80`,
//!                        `deny in udp any any 1000-2000`, `permit fd00::/8 any`, `deny any any`:
//!                        permit|deny [out|in] [PROTOCOL] SOURCE [PORTS] DESTINATION [PORTS]; `out` is from gate 0 to 1
//!   classbench=@FILE     rules in ClassBench's form, behind those of rule=
//!   matched=permit|deny  what ClassBench's rules do (default: permit)
//!   default=deny|permit  what happens to packets that no rule matches (default: deny)
//!   other=permit|deny    what happens to frames that are not IP, and to neighbour and multicast listener discovery,
//!                        without which there is no IPv6 (default: permit)
//!
//! At most 131,072 rules. A fragment that is not the first has no ports and is judged as if they were 0; without its first
//! fragment nobody can put it together. Malformed packets are dropped and counted by what is wrong with them.
//!
//! Example:
//!   weft netbricks run acl "rule=permit tcp any any 80" "rule=permit tcp any 80 any" --in tap:left --out tap:right

use lookup::acl::AclError;
use packet::flow::{FlowKey, Tuple};
use packet::parse::Layers;
use packet::wire::IpProtocol;
use packet::{BATCH, Batch};
use std::net::Ipv4Addr;

use super::Setup;
use crate::rules::{Action, Line, Rules, Subject};
use crate::{Args, ArgsError, Cause, Context, Gate, NetworkFunction, Report};

const DENIED: Cause = Cause::new("denied by rule");
const NO_KEY: FlowKey = FlowKey::V4(Tuple {
    source: Ipv4Addr::UNSPECIFIED,
    destination: Ipv4Addr::UNSPECIFIED,
    source_port: 0,
    destination_port: 0,
    protocol: IpProtocol::NONE,
});

/// A stateless firewall.
#[derive(Debug)]
pub struct Acl {
    rules: Rules,
    other: Action,
}

impl Acl {
    /// Judges IP packets by `lines`, those that none matches by `default`, and other frames by `other`.
    ///
    /// # Errors
    /// Too many rules.
    pub fn new(lines: Vec<Line>, default: Action, other: Action) -> Result<Self, AclError> {
        Ok(Self { rules: Rules::new(lines, default)?, other })
    }
}

/// What is to be done with a packet, before the rules are asked.
#[derive(Clone, Copy)]
enum Fate {
    Judged,
    Link,
    Malformed(Cause),
}

impl NetworkFunction for Acl {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let (mut fates, mut keys, mut asked) = ([Fate::Judged; BATCH], [NO_KEY; BATCH], 0);
        for (fate, packet) in fates.iter_mut().zip(batch.iter()) {
            match Layers::of(packet.data()).map(|layers| Subject::of(&layers, packet.data())) {
                Ok(Subject::Flow(key)) => {
                    keys[asked] = key;
                    asked += 1;
                }
                Ok(Subject::Link) => *fate = Fate::Link,
                Err(wrong) => *fate = Fate::Malformed(wrong.into()),
            }
        }
        let mut actions = [Action::Deny; BATCH];
        self.rules.decide_batch(gate, &keys[..asked], &mut actions);
        let mut actions = actions.into_iter();
        for (packet, fate) in batch.drain(..).zip(fates) {
            let action = match fate {
                Fate::Judged => actions.next().unwrap_or_default(),
                Fate::Link => self.other,
                Fate::Malformed(cause) => {
                    ctx.drop(packet, cause);
                    continue;
                }
            };
            match action {
                Action::Permit => ctx.send(gate ^ 1, packet),
                Action::Deny => ctx.drop(packet, DENIED),
            }
        }
    }

    fn report(&self, report: &mut Report) {
        self.rules.report(report);
    }
}

pub(super) fn build(args: &mut Args, _: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    let rules = Rules::take(args)?;
    Ok(Box::new(Acl { rules, other: args.take_or("other", Action::Permit)? }))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{echo, ip, solicitation, tcp, udp, who_has};
    use super::super::tests::{at, function, setup, through};
    use super::*;
    use packet::wire::ipv4;

    const RULES: [&str; 3] = [
        "rule=permit tcp 10.0.0.0/8 any 80",
        "rule=permit out udp fd00::/8 any 53",
        "rule=permit icmp any any",
    ];

    #[test]
    fn the_first_rule_that_matches_decides() {
        let passes = |frame: &[u8]| {
            let (out, drops) = through("acl", &RULES, &[frame]);
            assert_eq!(drops.of(DENIED), u64::from(out.is_empty()));
            !out.is_empty()
        };
        assert!(passes(&tcp("10.0.0.1:4000", "192.0.2.1:80", "S", (1, 0), b"")));
        assert!(!passes(&tcp("11.0.0.1:4000", "192.0.2.1:80", "S", (1, 0), b"")));
        assert!(!passes(&tcp("192.0.2.1:80", "10.0.0.1:4000", "SA", (1, 2), b"")));
        assert!(passes(&udp("[fd00::1]:4000", "[2001:db8::1]:53", b"query")));
        assert!(!passes(&udp("10.0.0.1:4000", "192.0.2.1:53", b"query")));
        assert!(passes(&echo("10.0.0.1", "192.0.2.1", b"")));
        assert!(passes(&who_has("10.0.0.1", "10.0.0.2")) && passes(&solicitation("fd00::1", "fd00::2")));
    }

    #[test]
    fn a_batch_keeps_its_order_and_each_packet_its_own_verdict() {
        let frames: Vec<Vec<u8>> = (0..BATCH as u8)
            .map(|n| match n % 4 {
                0 => tcp(&format!("10.0.0.{n}:1"), "1.1.1.1:80", "S", (0, 0), b""),
                1 => tcp(&format!("10.0.0.{n}:1"), "1.1.1.1:81", "S", (0, 0), b""),
                2 => who_has(&format!("10.0.0.{n}"), "10.0.0.99"),
                _ => vec![n; 5],
            })
            .collect();
        let setup = setup();
        let (mut acl, mut ctx, mut batch) = (function("acl", &RULES, &setup), Context::new(2), Batch::new());
        frames.iter().for_each(|frame| batch.push(setup.pool.packet(frame).unwrap()).unwrap());
        acl.process(0, &mut batch, &mut ctx);
        let left: Vec<_> = super::super::tests::left(&mut ctx);
        let kept = frames.iter().enumerate().filter(|(n, _)| n % 2 == 0);
        assert_eq!(left, kept.map(|(_, frame)| (1, frame.clone())).collect::<Vec<_>>());
        assert_eq!(ctx.drops().total(), 16);
    }

    #[test]
    fn rules_have_a_direction_and_are_counted() {
        let setup = setup();
        let (mut acl, mut ctx) = (function("acl", &RULES, &setup), Context::new(2));
        let query = udp("[fd00::1]:4000", "[2001:db8::1]:53", b"query");
        let left = at(&mut *acl, &mut ctx, (0, 1), &setup.pool, &[&query, &query]);
        assert_eq!(left.iter().map(|(gate, _)| *gate).collect::<Vec<_>>(), [1, 1]);
        assert!(at(&mut *acl, &mut ctx, (1, 1), &setup.pool, &[&query]).is_empty());
        let mut report = Report::default();
        acl.report(&mut report);
        assert_eq!(report.lines()[0].trim(), "2 permit out udp fd00::/8 any 53");
        assert_eq!(report.lines()[1].trim(), "1 deny by default");
    }

    /// NetBricks read ports where the 5-tuple says the other one.
    #[test]
    fn the_ipv4_flow_does_not_swap_its_ports() {
        let rules = ["rule=permit tcp any 1111 any 2222"];
        let there = tcp("10.0.0.1:1111", "10.0.0.2:2222", "S", (1, 0), b"");
        let back = tcp("10.0.0.2:2222", "10.0.0.1:1111", "SA", (1, 2), b"");
        assert_eq!(through("acl", &rules, &[&there, &back]).0, [there]);
    }

    /// NetBricks' `parse` asserted.
    #[test]
    fn one_runt_frame_does_not_kill_the_process() {
        let whole = tcp("10.0.0.1:4000", "192.0.2.1:80", "S", (1, 0), b"");
        let cut: Vec<&[u8]> = (0..whole.len()).map(|length| &whole[..length]).collect();
        let (out, drops) = through("acl", &RULES, &cut);
        assert_eq!((out.len(), drops.total()), (0, whole.len() as u64));
    }

    #[test]
    fn later_fragments_are_judged_without_ports() {
        let mut fragment = ip("10.0.0.1", "192.0.2.1", IpProtocol::TCP, &[0; 64]);
        let mut view = ipv4::View::new_unchecked(&mut fragment[14..]);
        view.set_fragment(false, false, 1480);
        view.fill_checksum();
        assert!(through("acl", &RULES, &[&fragment]).0.is_empty());
        assert_eq!(through("acl", &["rule=permit tcp 10.0.0.0/8 any"], &[&fragment]).0.len(), 1);
    }

    #[test]
    fn classbench_rules_are_read_from_a_file() {
        let file = std::env::temp_dir().join(format!("netbricks-acl-{}", std::process::id()));
        std::fs::write(&file, "@10.0.0.0/8\t0.0.0.0/0\t0 : 65535\t80 : 80\t0x06/0xFF\n").unwrap();
        let from = format!("classbench=@{}", file.display());
        let frames = [
            tcp("10.0.0.1:4000", "192.0.2.1:80", "S", (1, 0), b""),
            tcp("10.0.0.1:4000", "192.0.2.1:81", "S", (1, 0), b""),
        ];
        let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
        assert_eq!(through("acl", &[&from], &frames).0, [frames[0]]);
        assert_eq!(through("acl", &[&from, "matched=deny", "default=permit"], &frames).0, [frames[1]]);
        std::fs::remove_file(&file).unwrap();
        let error = build(&mut Args::parse("acl", ["rule=permit tpc any any"]).unwrap(), &setup());
        assert_eq!(
            error.err().unwrap().to_string(),
            "acl: rule=permit tpc any any: 'tpc': a protocol, an address, a prefix or any is wanted"
        );
    }
}
