//! Our verdicts beside those of the kernel's conntrack, packet by packet, and what both keep of the flow: the scripts of
//! `conntrack_scripts`, ICMP and other protocols, and random TCP conversations (`WEFT_SEED` repeats a run). There are no
//! deviations.

use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use netbricks::conntrack::{Config, Direction, State, Tracker, Verdict};
use packet::flow::{FlowHasher, FlowKey};
use packet::fuzzing::bounded::Random;
use packet::parse::Layers;
use packet::wire::{IpProtocol, icmpv4, icmpv6, tcp, udp};

mod conntrack_judge;
mod conntrack_scripts;
use conntrack_judge::Judge;
use conntrack_scripts::{Ends, SCRIPTS, Segment, ct_state, ip_frame};

/// Random conversations and the segments of each.
const CONVERSATIONS: usize = 120;
const SEGMENTS: usize = 12;

/// Both trackers, shown the same packets at the same time.
struct Trial {
    judge: Judge,
    tracker: Tracker,
    start: Instant,
}

impl Trial {
    fn new(name: &str, config: &Config) -> Self {
        let judge = Judge::new(name, config.loose, config.liberal);
        Self { judge, tracker: Tracker::new(config, FlowHasher::new(7)), start: Instant::now() }
    }

    /// Shows both a frame; returns our verdict and the kernel's, in the same words.
    fn show(&mut self, direction: Direction, frame: &[u8]) -> (Verdict, String, &'static str) {
        let linux = self.judge.verdict(direction, frame);
        let now_ns = self.start.elapsed().as_nanos() as u64;
        let verdict = self.tracker.track(now_ns, &Layers::of(frame).unwrap(), frame);
        let ours = match verdict.state {
            State::New | State::Established | State::Related => {
                format!("{} {}", ct_state(verdict.state), verdict.direction)
            }
            state => ct_state(state).into(),
        };
        (verdict, ours, linux)
    }

    /// What we keep of a flow, in the judge's words, and for how many seconds.
    fn flow(&self, a: SocketAddr, b: SocketAddr) -> Option<(String, i64)> {
        let now_ns = self.start.elapsed().as_nanos() as u64;
        let (id, _) = self.tracker.find(&FlowKey::new(IpProtocol::TCP, a, b)?, now_ns)?;
        let flow = self.tracker.flow(id)?;
        let mut state = flow.tcp_state()?.to_string();
        if !flow.is_replied() {
            state += " unreplied";
        }
        if flow.is_assured() {
            state += " assured";
        }
        Some((state, (self.tracker.deadline_ns(id)?.saturating_sub(now_ns) / 1_000_000_000) as i64))
    }

    /// Both keep the same of a flow, and to the second for as long.
    fn same_flow(&self, ends: Ends, context: &str) {
        let (ours, linux) = (self.flow(ends.client, ends.server), self.judge.flow(ends.client, ends.server));
        let states = [&ours, &linux].map(|flow| flow.as_ref().map(|(state, _)| state.as_str()));
        assert_eq!(states[0], states[1], "ours, then the kernel's flow after {context}");
        if let (Some((_, ours_s)), Some((_, linux_s))) = (&ours, &linux) {
            assert!((ours_s - linux_s).abs() <= 2, "{ours_s} s, the kernel {linux_s} s after {context}");
        }
    }
}

fn ends(six: bool, port: u16) -> Ends {
    let (client, server) = if six { ("fd01::1", "fd02::1") } else { ("10.1.0.1", "10.2.0.1") };
    let end = |address: &str, port| SocketAddr::new(address.parse().unwrap(), port);
    Ends { client: end(client, port), server: end(server, 80) }
}

#[test]
fn the_kernel_agrees_with_every_script() {
    for (name, loose, liberal) in [("s0", true, false), ("s1", false, false), ("s2", true, true)] {
        let scripts = SCRIPTS.iter().filter(|script| (script.loose, script.liberal) == (loose, liberal));
        let mut trial = Trial::new(name, &Config { loose, liberal, ..Config::default() });
        for (number, script) in scripts.enumerate() {
            let ends = ends(number % 2 == 1, 20_000 + number as u16);
            for line in script.lines() {
                let context = format!("{}: {}", script.name, line.text);
                let frame = ends.frame(line.direction, &line.segment);
                let (_, ours, linux) = trial.show(line.direction, &frame);
                assert_eq!(ours, linux, "ours, then the kernel's of {context}");
                trial.same_flow(ends, &context);
            }
        }
    }
}

/// A conversation between two ends that are mostly honest: what each has sent, and the step of a usual connection.
struct Walk {
    next: [u32; 2],
    step: usize,
}

impl Walk {
    /// A usual connection: who sends which flags.
    const USUAL: [(Direction, &'static str); 9] = [
        (Direction::Original, "S"),
        (Direction::Reply, "S."),
        (Direction::Original, "."),
        (Direction::Original, "."),
        (Direction::Reply, "."),
        (Direction::Original, "F."),
        (Direction::Reply, "."),
        (Direction::Reply, "F."),
        (Direction::Original, "."),
    ];

    fn segment(&mut self, random: &mut Random) -> (Direction, Segment) {
        let usual = Self::USUAL[self.step.min(Self::USUAL.len() - 1)];
        let (direction, flags) = if random.one_in(4) {
            let direction = random.one_of(&[Direction::Original, Direction::Reply]);
            (direction, random.one_of(&["S", "S.", ".", ".", ".", "F.", "R", "R.", "SF", "P", "FU.", "0"]))
        } else {
            self.step += 1;
            usual
        };
        let bit = |flag| match flag {
            'S' => tcp::Flags::SYN,
            'F' => tcp::Flags::FIN,
            'R' => tcp::Flags::RST,
            'P' => tcp::Flags::PSH,
            'U' => tcp::Flags::URG,
            '.' => tcp::Flags::ACK,
            _ => tcp::Flags::default(),
        };
        let flags = flags.chars().map(bit).fold(tcp::Flags::default(), |all, flag| all | flag);
        let (this, other) = (direction as usize, direction.opposite() as usize);
        let has_syn = flags.contains(tcp::Flags::SYN);
        let len = if has_syn || random.one_in(2) { 0 } else { random.below(1000) };
        let mut repr = tcp::Repr {
            sequence: self.next[this].wrapping_add(noise(random)),
            ack: if flags.contains(tcp::Flags::ACK) || random.one_in(4) {
                self.next[other].wrapping_add(noise(random))
            } else {
                0
            },
            window: random.one_of(&[0, 1, 500, 8000, 65535]),
            sack_permitted: has_syn && random.one_in(2),
            window_scale: (has_syn && random.one_in(2)).then(|| random.below(16) as u8),
            timestamps: random.one_in(4).then_some((1, 2)),
            ..tcp::Repr::default()
        };
        if !has_syn && random.one_in(4) {
            let right = self.next[other].wrapping_add(noise(random));
            repr.sack.push(right.wrapping_sub(100), right);
        }
        let control = u32::from(has_syn) + u32::from(flags.contains(tcp::Flags::FIN));
        self.next[this] = repr.sequence.wrapping_add(len as u32 + control);
        (direction, Segment { flags, len, repr })
    }
}

/// Mostly nothing; else a little, a window, or far beside.
fn noise(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => (random.below(3) as u32).wrapping_sub(1),
        1 => (random.below(2000) as u32).wrapping_sub(1000),
        2 if random.one_in(2) => (random.below(200_000) as u32).wrapping_sub(100_000),
        _ => 0,
    }
}

fn random_walks(name: &str, config: &Config) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("WEFT_SEED").map_or(clock, |text| text.parse().expect("WEFT_SEED is a number"));
    println!("random conversations {name}: WEFT_SEED={seed}");
    let mut trial = Trial::new(name, config);
    let mut segments = 0;
    for conversation in 0..CONVERSATIONS {
        let mut random = Random(seed ^ (conversation as u64) << 32);
        let ends = ends(conversation % 8 == 7, 30_000 + conversation as u16);
        let mut walk = Walk { next: [random.next() as u32, random.next() as u32], step: 0 };
        let mut story = String::new();
        if random.one_in(6) {
            walk.step = 3; // the beginning is missed
        }
        for _ in 0..SEGMENTS {
            let (direction, segment) = walk.segment(&mut random);
            let frame = ends.frame(direction, &segment);
            let (verdict, ours, linux) = trial.show(direction, &frame);
            let sent = Layers::of(&frame).unwrap();
            let sent = tcp::View::new_checked(sent.segment(&frame)).unwrap().to_string();
            story += &format!("\n  {direction} {sent} = {ours} ({:?})", verdict.state);
            let context = format!("WEFT_SEED={seed} conversation {conversation}:{story}");
            segments += 1;
            assert_eq!(ours, linux, "ours, then the kernel's at the end of {context}");
            trial.same_flow(ends, &context);
        }
    }
    println!("{segments} segments: {}", trial.tracker.counters());
}

#[test]
fn the_kernel_agrees_with_random_conversations() {
    random_walks("r0", &Config::default());
}

#[test]
fn the_kernel_agrees_where_nothing_is_picked_up() {
    random_walks("r1", &Config { loose: false, ..Config::default() });
}

#[test]
fn the_kernel_agrees_where_the_window_does_not_matter() {
    random_walks("r2", &Config { liberal: true, ..Config::default() });
}

fn udp_frame(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut bytes = [0; udp::HEADER_LEN];
    let repr = udp::Repr { source_port: source.port(), destination_port: destination.port(), payload_len: 0 };
    let mut view = udp::View::new_unchecked(&mut bytes[..]);
    repr.emit(&mut view);
    view.fill_checksum(source.ip(), destination.ip());
    ip_frame(source, destination, IpProtocol::UDP, &bytes)
}

/// An ICMP or ICMPv6 message of any type.
fn icmp_frame(source: SocketAddr, destination: SocketAddr, kind: u8, ident: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(ident.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(body);
    match (source.ip(), destination.ip()) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            icmpv6::View::new_unchecked(&mut bytes[..]).fill_checksum(from, to);
            ip_frame(source, destination, IpProtocol::ICMPV6, &bytes)
        }
        _ => {
            icmpv4::View::new_unchecked(&mut bytes[..]).fill_checksum();
            ip_frame(source, destination, IpProtocol::ICMP, &bytes)
        }
    }
}

/// The IP packet in a frame, as an error quotes it.
fn quote(frame: &[u8], len: usize) -> Vec<u8> {
    frame[14..].iter().copied().take(len).collect()
}

/// What is shown, which way it travels, the frame, and what both must say.
type Shown = (&'static str, Direction, Vec<u8>, &'static str);

fn datagrams(six: bool) -> Vec<Shown> {
    use Direction::{Original, Reply};
    let Ends { client, server } = ends(six, 5000);
    let elsewhere = ends(six, 5001).client;
    let (echo, reply) = if six { (128, 129) } else { (8, 0) };
    let (unreachable, too_long) = if six { (1, 3) } else { (3, 11) };
    let request = udp_frame(client, server);
    let header = if six { 48 } else { 28 };
    let third: SocketAddr = if six { "[fd01::2]:5000" } else { "10.1.0.2:5000" }.parse().unwrap();
    let ping = icmp_frame(client, server, echo, 77, b"ping");
    let pong = icmp_frame(server, client, reply, 77, b"ping");
    vec![
        ("a datagram", Original, request.clone(), "new original"),
        ("another", Original, request.clone(), "new original"),
        ("its answer", Reply, udp_frame(server, client), "established reply"),
        ("one more", Original, request.clone(), "established original"),
        ("another flow", Original, udp_frame(elsewhere, server), "new original"),
        (
            "an error about a datagram",
            Reply,
            icmp_frame(server, client, unreachable, 0, &quote(&request, 200)),
            "related reply",
        ),
        (
            "an error that quotes 8 bytes",
            Reply,
            icmp_frame(server, client, too_long, 0, &quote(&request, header)),
            "related reply",
        ),
        (
            "an error that quotes less",
            Reply,
            icmp_frame(server, client, too_long, 0, &quote(&request, header - 5)),
            "invalid",
        ),
        ("an error without a quote", Reply, icmp_frame(server, client, too_long, 0, &[]), "invalid"),
        (
            "an error about an answer",
            Original,
            icmp_frame(client, server, unreachable, 0, &quote(&udp_frame(server, client), 200)),
            "related original",
        ),
        (
            "an error to another than the sender",
            Reply,
            icmp_frame(server, third, unreachable, 0, &quote(&request, 200)),
            "invalid",
        ),
        (
            "an error about no flow",
            Reply,
            icmp_frame(server, client, unreachable, 0, &quote(&udp_frame(client, elsewhere), 200)),
            "invalid",
        ),
        ("an answer to no ping", Reply, pong.clone(), "invalid"),
        ("a ping", Original, ping.clone(), "new original"),
        (
            "a ping the other way with the same identifier",
            Reply,
            icmp_frame(server, client, echo, 77, b"ping"),
            "new original",
        ),
        ("the answer to the first", Reply, pong, "established reply"),
        (
            "an error about a ping",
            Reply,
            icmp_frame(server, client, too_long, 0, &quote(&ping, 200)),
            "related reply",
        ),
        ("an ICMP type nobody knows", Original, icmp_frame(client, server, 250, 0, b""), "invalid"),
        (
            "another protocol",
            Original,
            ip_frame(client, server, IpProtocol(200), b"12345678"),
            "new original",
        ),
        ("its answer", Reply, ip_frame(server, client, IpProtocol(200), b""), "established reply"),
    ]
}

#[test]
fn the_kernel_agrees_on_udp_icmp_and_other_protocols() {
    let mut trial = Trial::new("d", &Config::default());
    let Ends { client, server } = ends(false, 5000);
    let stamps = vec![
        (
            "a timestamp request",
            Direction::Original,
            icmp_frame(client, server, 13, 5, &[0; 12]),
            "new original",
        ),
        ("its answer", Direction::Reply, icmp_frame(server, client, 14, 5, &[0; 12]), "established reply"),
    ];
    for (what, direction, frame, expected) in [false, true].into_iter().flat_map(datagrams).chain(stamps) {
        let (verdict, ours, linux) = trial.show(direction, &frame);
        assert_eq!(
            (ours.as_str(), linux),
            (expected, expected),
            "{what}: ours ({verdict:?}), then the kernel's"
        );
    }
}
