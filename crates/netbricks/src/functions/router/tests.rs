use super::super::sample::{echo, echo6, icmp, tcp, udp, who_has, words};
use super::super::tests::{at, function, left, setup};
use super::*;
use packet::wire::icmpv4;

const ARGUMENTS: [&str; 5] = [
    "interface=0,address=10.0.0.254/24,address=fd00::fe/64,mac=02:00:00:00:00:02,peer=02:00:00:00:00:01",
    "interface=1,address=192.0.2.2/30,address=fd01::2/64,mac=02:00:00:00:00:03,peer=02:00:00:00:00:04,mtu=1400",
    "interface=2,address=10.2.0.1/24",
    "route=default,gate=1,via=192.0.2.1",
    "route=2001:db8::/32,gate=1,via=fd01::1",
];

struct Bench {
    setup: Setup,
    router: Box<dyn NetworkFunction>,
    ctx: Context,
}

impl Bench {
    fn new() -> Self {
        let setup = setup();
        let router = function("router", &ARGUMENTS, &setup);
        Self { setup, ctx: Context::new(router.gates()), router }
    }

    fn send(&mut self, gate: Gate, frame: &[u8]) -> Vec<(Gate, String)> {
        let left = at(&mut *self.router, &mut self.ctx, (gate, 1), &self.setup.pool, &[frame]);
        left.iter().map(|(gate, frame)| (*gate, words(frame))).collect()
    }

    /// What is said back to who sent a frame in at gate 0.
    fn told(&mut self, frame: &[u8]) -> String {
        let mut left = self.send(0, frame);
        let (gate, said) = left.pop().expect("an answer");
        assert!(left.is_empty() && gate == 0, "{said}");
        said.strip_prefix("02:00:00:00:00:02 > 02:00:00:00:00:01: ").expect(&said).into()
    }

    fn dropped(&mut self, frame: &[u8]) -> String {
        assert_eq!(self.send(0, frame), []);
        let mut drops = crate::Drops::default();
        self.ctx.swap_drops(&mut drops);
        drops.iter().map(|(cause, _)| cause.to_string()).collect()
    }
}

fn with_hops(mut frame: Vec<u8>, hops: u8) -> Vec<u8> {
    if frame[14] >> 4 == 4 {
        let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
        ip.set_ttl(hops);
        ip.fill_checksum();
    } else {
        frame[21] = hops;
    }
    frame
}

fn not_to_be_cut(mut frame: Vec<u8>) -> Vec<u8> {
    let mut ip = ipv4::View::new_unchecked(&mut frame[14..]);
    ip.set_fragment(true, false, 0);
    ip.fill_checksum();
    frame
}

#[test]
fn packets_lose_a_hop_and_leave_to_the_next_hop() {
    let mut bench = Bench::new();
    let frame = udp("10.0.0.1:5", "198.51.100.7:53", b"data");
    let left = at(&mut *bench.router, &mut bench.ctx, (0, 1), &bench.setup.pool, &[&frame]);
    let (gate, out) = &left[0];
    assert_eq!(
        (*gate, words(out)),
        (1, "02:00:00:00:00:03 > 02:00:00:00:00:04: ".to_owned() + words(&frame).split_once(": ").unwrap().1)
    );
    assert_eq!((out[22], frame[22]), (63, 64));
    let six = udp("[fd00::1]:5", "[2001:db8::7]:53", b"data");
    let left = at(&mut *bench.router, &mut bench.ctx, (0, 1), &bench.setup.pool, &[&six]);
    assert_eq!((left[0].0, left[0].1[21]), (1, 63));
}

/// NetBricks and its fork left it as it was.
#[test]
fn ttl_edits_leave_no_ip_checksum_stale() {
    let mut bench = Bench::new();
    for hops in 2..=255 {
        let frame = with_hops(udp("10.0.0.1:5", "198.51.100.7:53", &[hops; 9]), hops);
        let left = at(&mut *bench.router, &mut bench.ctx, (0, 1), &bench.setup.pool, &[&frame]);
        let ip = ipv4::View::new_checked(&left[0].1[14..]).unwrap();
        assert!(ip.verify_checksum() && ip.ttl() == hops - 1);
    }
}

#[test]
fn senders_are_told_why_their_packets_end() {
    let mut bench = Bench::new();
    let query = || udp("10.0.0.1:5", "198.51.100.7:53", b"data");
    assert_eq!(
        bench.told(&with_hops(query(), 1)),
        "10.0.0.254 > 10.0.0.1: time exceeded in-transit, length 40"
    );
    assert_eq!(
        bench.told(&with_hops(udp("[fd00::1]:5", "[2001:db8::7]:53", b""), 0)),
        "fd00::fe > fd00::1: time exceeded in-transit for 2001:db8::7, length 56"
    );
    assert_eq!(
        bench.told(&udp("[fd00::1]:5", "[2001:db9::7]:53", b"")),
        "fd00::fe > fd00::1: destination unreachable, unreachable route 2001:db9::7, length 56"
    );
    let big = udp("10.0.0.1:5", "198.51.100.7:53", &[0; 1373]);
    assert_eq!(
        bench.told(&not_to_be_cut(big)),
        "10.0.0.254 > 10.0.0.1: 198.51.100.7 unreachable - need to frag (mtu 1400), length 556"
    );
    let fits = not_to_be_cut(udp("10.0.0.1:5", "198.51.100.7:53", &[0; 1372]));
    assert_eq!(bench.send(0, &fits)[0].0, 1);
    let big = udp("[fd00::1]:5", "[2001:db8::7]:53", &[0; 1400]);
    assert_eq!(bench.told(&big), "fd00::fe > fd00::1: packet too big, mtu 1400, length 1240");
    assert_eq!(
        bench.told(&udp("10.0.0.1:5", "192.0.2.2:33434", b"")),
        "192.0.2.2 > 10.0.0.1: 192.0.2.2 port unreachable, length 36"
    );
    let reset = bench.told(&tcp("10.0.0.1:5", "10.0.0.254:80", "S", (9, 0), b""));
    assert!(reset.contains("10.0.0.254 > 10.0.0.1: 80 > 5: Flags [R.], seq 0, ack 10"), "{reset}");
}

#[test]
fn what_is_too_big_and_may_be_cut_leaves_in_fragments() {
    let mut bench = Bench::new();
    let whole = udp("10.0.0.1:5", "198.51.100.7:53", &[7; 1400]);
    let left = at(&mut *bench.router, &mut bench.ctx, (0, 1), &bench.setup.pool, &[&whole]);
    let mut payload = Vec::new();
    for (gate, frame) in &left {
        let (link, ip) = (ethernet::View::new_checked(&frame[..]).unwrap(), &frame[14..]);
        assert_eq!((*gate, link.source().0[5], link.destination().0[5]), (1, 3, 4));
        let ip = ipv4::View::new_checked(ip).unwrap();
        assert!(ip.verify_checksum() && ip.ttl() == 63 && ip.total_len() <= 1400);
        payload.extend_from_slice(ip.payload());
    }
    assert_eq!((left.len(), &payload[..]), (2, &whole[34..]));
    let mut report = Report::default();
    bench.router.report(&mut report);
    assert_eq!(["forwarded", "of these, in fragments", "fragments"].map(|name| report.get(name)), [1, 1, 2]);
    // Each loses a hop: it may be used up as well.
    assert!(bench.told(&with_hops(whole, 1)).contains("time exceeded"));
    assert_eq!(bench.setup.pool.available(), bench.setup.pool.capacity());
}

#[test]
fn segments_that_a_port_is_to_cut_leave_whole_and_only_if_they_fit() {
    use packet::{Offload, SegmentKind, Segmentation};
    let setup = setup();
    for (size, whole) in [(1360, true), (1361, false)] {
        let mut bench = Bench {
            ctx: Context::new(3),
            router: function("router", &ARGUMENTS, &setup),
            setup: setup.clone(),
        };
        let mut packet =
            setup.pool.packet(&tcp("10.0.0.1:5", "198.51.100.7:53", "A", (1, 1), &[7; 1900])).unwrap();
        let segmentation = Segmentation { kind: SegmentKind::TcpV4, ecn: false, size, header_len: 54 };
        packet.set_offload(Offload { segmentation: Some(segmentation), ..Offload::default() });
        let mut batch = Batch::new();
        batch.push(packet).unwrap();
        bench.router.process(0, &mut batch, &mut bench.ctx);
        let left = left(&mut bench.ctx);
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].0, left[0].1.len() == 14 + 40 + 1900),
            if whole { (1, true) } else { (0, false) }
        );
    }
}

#[test]
fn it_answers_for_its_addresses() {
    let mut bench = Bench::new();
    assert!(bench.told(&echo("10.0.0.1", "192.0.2.2", b"")).contains("192.0.2.2 > 10.0.0.1: echo reply"));
    assert!(bench.told(&echo6("fd00::1", "fd00::fe", b"")).contains("echo reply"));
    let found = bench.told(&who_has("10.0.0.1", "10.0.0.254"));
    assert!(found.contains("Reply 10.0.0.254 is-at 02:00:00:00:00:02"), "{found}");
}

#[test]
fn nobody_is_told_of_errors_groups_and_later_fragments() {
    let mut bench = Bench::new();
    let quote = udp("10.0.0.1:5", "198.51.100.7:53", b"data");
    let error = icmp("10.0.0.1", "198.51.100.7", &icmpv4::Repr::time_exceeded(&quote[14..]));
    assert_eq!(bench.dropped(&with_hops(error, 1)), "hops used up");
    let mut fragment = quote.clone();
    ipv4::View::new_unchecked(&mut fragment[14..]).set_fragment(false, false, 800);
    assert_eq!(bench.dropped(&with_hops(fragment, 1)), "hops used up");
    assert_eq!(bench.dropped(&udp("10.0.0.1:5", "224.0.0.1:53", b"")), "addressed to a group");
    assert_eq!(bench.dropped(&udp("10.0.0.1:5", "192.0.2.3:53", b"")), "addressed to a group");
    assert_eq!(bench.dropped(&udp("127.0.0.1:5", "198.51.100.7:53", b"")), "address that is not routed");
    assert_eq!(bench.dropped(&udp("[fe80::5]:5", "[2001:db8::7]:53", b"")), "address that is not routed");
    let mut stale = quote.clone();
    stale[24] ^= 1;
    assert_eq!(bench.dropped(&stale), "wrong IP checksum");
    let mut other = quote;
    other[5] = 9;
    assert_eq!(bench.dropped(&other), "addressed to another station");
    let many =
        (0..300).filter(|_| !bench.send(0, &with_hops(echo("10.0.0.1", "1.1.1.1", b""), 1)).is_empty());
    assert!((80..=100).contains(&many.count()), "a hundred at once");
}

#[test]
fn a_next_hop_that_is_silent_is_reported_to_the_sender() {
    let mut bench = Bench::new();
    let asked = bench.send(0, &udp("10.0.0.1:5", "10.2.0.9:53", b"data"));
    assert_eq!(asked.len(), 1);
    assert!(asked[0].0 == 2 && asked[0].1.contains("who-has 10.2.0.9 tell 10.2.0.1"), "{asked:?}");
    assert_eq!(bench.router.held(), 1);
    let mut said = Vec::new();
    while let Some(deadline_ns) = bench.router.deadline_ns() {
        bench.ctx.set_now_ns(deadline_ns);
        bench.router.expire(&mut bench.ctx);
        said.extend(left(&mut bench.ctx));
    }
    let (gate, last) = said.last().unwrap();
    let last = words(last);
    assert!(
        *gate == 0 && last.ends_with("10.0.0.254 > 10.0.0.1: host 10.2.0.9 unreachable, length 40"),
        "{last}"
    );
    assert_eq!((bench.router.held(), bench.setup.pool.available()), (0, bench.setup.pool.capacity()));
}

#[test]
fn wrong_arguments_say_what_is_wanted() {
    let wrong = |words: &[&str]| {
        let mut args = Args::parse("router", words).unwrap();
        build(&mut args, &setup()).err().unwrap().to_string()
    };
    let one = "interface=0,address=10.0.0.1/24";
    assert!(wrong(&[]).contains("interface=… is missing"));
    assert!(wrong(&["interface=1,address=10.0.0.1/24"]).ends_with("gate 0 comes next, and 64 are the most"));
    assert!(wrong(&["interface=0"]).ends_with("an interface has at least one address=ADDRESS/LENGTH"));
    assert!(wrong(&[one, "route=10.0.0.0/8,gate=1"]).ends_with("gate=0 to gate=0 is wanted"));
    assert!(wrong(&[one, "route=10.0.0.1/8,gate=0"]).contains("has bits set behind its length"));
    assert!(wrong(&[one, "route=10.0.0.0/8,gate=0,via=fd00::1"]).ends_with("is of the other address family"));
}
