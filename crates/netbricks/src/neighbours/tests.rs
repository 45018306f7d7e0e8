use packet::wire::{EtherType, IpProtocol, arp, icmpv6, ipv6, ndp};
use packet::{Batch, PoolConfig};

use super::*;
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const BUFFERS: usize = 1024;

struct Link {
    neighbours: Neighbours,
    ctx: Context,
    pool: Pool,
}

fn link() -> Link {
    let pool = Pool::new(PoolConfig { buffers: BUFFERS, ..PoolConfig::default() }).unwrap();
    let addresses = vec!["10.0.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()];
    let neighbours = Neighbours::new(vec![Interface::new(OURS, addresses)], &pool, FlowHasher::new(1));
    Link { neighbours, ctx: Context::new(1), pool }
}

impl Link {
    fn at(&mut self, seconds: u64) -> &mut Self {
        self.ctx.set_now_ns(seconds * 1_000_000_000);
        self
    }

    /// Sends a frame that ends in `mark` to an address.
    fn send(&mut self, to: &str, mark: u8) -> Vec<Vec<u8>> {
        let mut packet = self.pool.packet(&[0; 60]).unwrap();
        packet.data_mut()[59] = mark;
        self.neighbours.send(&mut self.ctx, 0, to.parse().unwrap(), packet);
        self.left()
    }

    fn hear(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let packet = self.pool.packet(frame).unwrap();
        let layers = Layers::of(frame).unwrap();
        let back = self.neighbours.input(&mut self.ctx, 0, &layers, packet);
        assert!(back.is_none(), "it is address resolution");
        self.left()
    }

    fn left(&mut self) -> Vec<Vec<u8>> {
        let mut left = Vec::new();
        self.ctx.drain(0, |batch| left.extend(batch.drain(..).map(|packet| packet.data().to_vec())));
        left
    }

    /// Lets time pass; what left, and the marks of what was given up.
    fn expire(&mut self, seconds: u64) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut given_up = Vec::new();
        self.at(seconds);
        self.neighbours.expire(&mut self.ctx, |_, _, packet| given_up.push(packet.data()[59]));
        (self.left(), given_up)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.pool.available() + self.neighbours.held(), BUFFERS);
        }
    }
}

fn ethernet_frame(ethertype: EtherType, destination: MacAddr, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Repr { source: THEIRS, destination, ethertype }
        .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
    frame.extend(body);
    frame
}

fn arp_frame(operation: arp::Operation, sender: &str, target: &str) -> Vec<u8> {
    let mut body = [0; arp::PACKET_LEN];
    let (sender_ip, target_ip) = (sender.parse().unwrap(), target.parse().unwrap());
    let repr = arp::Repr { operation, sender_mac: THEIRS, sender_ip, target_mac: OURS, target_ip };
    repr.emit(&mut arp::View::new_unchecked(&mut body[..]));
    ethernet_frame(EtherType::ARP, OURS, &body)
}

fn ndp_frame(repr: &ndp::Repr, source: &str, destination: &str) -> Vec<u8> {
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let mut body = vec![0; ipv6::HEADER_LEN + repr.buffer_len()];
    let (ip, message) = body.split_at_mut(ipv6::HEADER_LEN);
    let header = ipv6::Repr::new(source, destination, IpProtocol::ICMPV6, repr.buffer_len());
    ipv6::Repr { hop_limit: 255, ..header }.emit(&mut ipv6::View::new_unchecked(ip));
    repr.emit(source, destination, &mut icmpv6::View::new_unchecked(message));
    ethernet_frame(EtherType::IPV6, OURS, &body)
}

fn arp_of(frame: &[u8]) -> String {
    arp::View::new_checked(&frame[14..]).unwrap().to_string()
}

fn ndp_of(frame: &[u8]) -> String {
    let ip = ipv6::View::new_checked(&frame[14..]).unwrap();
    let message = icmpv6::View::new_checked(ip.payload()).unwrap();
    assert!(message.verify_checksum(ip.source(), ip.destination()) && ip.hop_limit() == 255);
    format!("{} > {}: {message}", ip.source(), ip.destination())
}

fn is_addressed(frame: &[u8], destination: MacAddr) -> bool {
    frame[..6] == destination.0 && frame[6..12] == OURS.0
}

#[test]
fn packets_wait_for_the_answer_and_leave_in_order() {
    let mut link = link();
    let asked = link.at(1).send("10.0.0.2", 1);
    assert!(is_addressed(&asked[0], MacAddr::BROADCAST));
    assert_eq!(arp_of(&asked[0]), "Request who-has 10.0.0.2 tell 10.0.0.1, length 28");
    assert!(link.send("10.0.0.2", 2).is_empty(), "asked once");
    let left = link.hear(&arp_frame(arp::Operation::REPLY, "10.0.0.2", "10.0.0.1"));
    assert_eq!(left.iter().map(|frame| frame[59]).collect::<Vec<_>>(), [1, 2]);
    assert!(left.iter().all(|frame| is_addressed(frame, THEIRS)));
    assert!(is_addressed(&link.send("10.0.0.2", 3)[0], THEIRS));
    assert_eq!((link.neighbours.held(), link.neighbours.deadline_ns()), (0, None));
}

#[test]
fn the_same_over_ipv6() {
    let mut link = link();
    let asked = link.at(1).send("fd00::2", 1);
    assert!(is_addressed(&asked[0], MacAddr([0x33, 0x33, 0xff, 0, 0, 2])));
    assert!(ndp_of(&asked[0]).starts_with(
        "fd00::1 > ff02::1:ff00:2: neighbor solicitation, who has fd00::2, source link-address 02:00:00:00:00:01"
    ));
    let answer = ndp::Repr::NeighbourAdvertisement {
        router: false,
        solicited: true,
        overriding: true,
        target: "fd00::2".parse().unwrap(),
        target_mac: Some(THEIRS),
    };
    let frame = ndp_frame(&answer, "fd00::2", "fd00::1");
    let mut forwarded = frame.clone();
    forwarded[14 + 7] = 254; // it came through a router
    let mut wrong = frame.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for frame in [forwarded, wrong] {
        assert!(link.hear(&frame).is_empty());
    }
    assert_eq!(link.ctx.drops().of(DISBELIEVED), 2);
    assert!(is_addressed(&link.hear(&frame)[0], THEIRS));
}

#[test]
fn who_asks_for_us_is_answered_and_learnt() {
    let mut link = link();
    link.at(1);
    let answers = link.hear(&arp_frame(arp::Operation::REQUEST, "10.0.0.2", "10.0.0.1"));
    assert!(is_addressed(&answers[0], THEIRS));
    assert_eq!(arp_of(&answers[0]), "Reply 10.0.0.1 is-at 02:00:00:00:00:01, length 28");
    assert!(is_addressed(&link.send("10.0.0.2", 1)[0], THEIRS), "nobody had to be asked");
    // A probe (RFC 5227) is answered and teaches nothing.
    let answers = link.hear(&arp_frame(arp::Operation::REQUEST, "0.0.0.0", "10.0.0.1"));
    assert_eq!(answers.len(), 1);

    let ask =
        |source_mac| ndp::Repr::NeighbourSolicitation { target: "fd00::1".parse().unwrap(), source_mac };
    let answers = link.hear(&ndp_frame(&ask(Some(THEIRS)), "fd00::2", "ff02::1:ff00:1"));
    assert!(ndp_of(&answers[0]).starts_with(
        "fd00::1 > fd00::2: neighbor advertisement, tgt is fd00::1, Flags [router, solicited, override]"
    ));
    assert!(is_addressed(&link.send("fd00::2", 1)[0], THEIRS));
    let answers = link.hear(&ndp_frame(&ask(None), "::", "ff02::1:ff00:1"));
    assert!(
        ndp_of(&answers[0]).starts_with(
            "fd00::1 > ff02::1: neighbor advertisement, tgt is fd00::1, Flags [router, override]"
        )
    );
    assert!(is_addressed(&answers[0], MacAddr([0x33, 0x33, 0, 0, 0, 1])));
}

#[test]
fn who_does_not_answer_is_given_up_after_three_questions() {
    let mut link = link();
    link.at(1).send("10.0.0.2", 7);
    assert_eq!(link.neighbours.deadline_ns(), Some(2_000_000_000));
    for second in 2..4 {
        let (asked, given_up) = link.expire(second);
        assert_eq!((asked.len(), given_up.len()), (1, 0));
    }
    let (asked, given_up) = link.expire(4);
    assert_eq!((asked.len(), given_up), (0, vec![7]));
    assert_eq!(link.neighbours.deadline_ns(), None);
    assert_eq!(link.send("10.0.0.2", 8).len(), 1, "asked anew");
}

#[test]
fn the_old_are_asked_again_meanwhile_and_then_forgotten() {
    let mut link = link();
    link.at(1).hear(&arp_frame(arp::Operation::REQUEST, "10.0.0.2", "10.0.0.1"));
    assert_eq!(link.at(30).send("10.0.0.2", 1).len(), 1);
    for second in 31..34 {
        let left = link.at(second).send("10.0.0.2", 1);
        assert!(is_addressed(&left[0], THEIRS) && left[0][13] == 6, "asked, not everybody but the one");
        assert!(left[1][59] == 1, "and the packet goes on");
        assert_eq!(link.send("10.0.0.2", 2).len(), 1, "once a second");
    }
    assert!(is_addressed(&link.at(34).send("10.0.0.2", 1)[0], MacAddr::BROADCAST));
    link.hear(&arp_frame(arp::Operation::REPLY, "10.0.0.2", "10.0.0.1"));
    assert!(is_addressed(&link.at(93).send("10.0.0.2", 1)[1], THEIRS), "kept for 60 s");
    assert!(is_addressed(&link.at(154).send("10.0.0.2", 1)[0], MacAddr::BROADCAST), "and no longer");
}

#[test]
fn what_nobody_asked_for_is_not_believed() {
    let mut link = link();
    link.at(1);
    // An unasked answer; a claim to an address of ours; addresses that are no hosts of the link.
    for (operation, sender, target) in [
        (arp::Operation::REPLY, "10.0.0.2", "10.0.0.1"),
        (arp::Operation::REQUEST, "10.0.0.1", "10.0.0.1"),
        (arp::Operation::REQUEST, "10.0.1.2", "10.0.0.1"),
        (arp::Operation::REQUEST, "10.0.0.255", "10.0.0.1"),
        (arp::Operation::REQUEST, "10.0.0.3", "10.0.0.4"),
    ] {
        link.hear(&arp_frame(operation, sender, target));
    }
    assert!(link.neighbours.known.is_empty());
    assert!(link.send("10.0.1.2", 1).is_empty(), "not on the link");
    assert!(link.send("10.0.0.255", 1).is_empty());
    assert_eq!(link.ctx.drops().of(UNREACHABLE), 2);
}

#[test]
fn a_flood_fills_neither_queue_nor_table() {
    let mut link = link();
    link.at(1);
    for mark in 0..=WAITING_EACH_MAX {
        link.send("10.0.0.2", mark as u8);
    }
    assert_eq!(link.ctx.drops().of(QUEUE_FULL), 1);
    (0..2 * ASKING_MAX).for_each(|host| drop(link.send(&format!("fd00::{:x}", host + 2), 0)));
    assert_eq!((link.neighbours.asking.len(), link.neighbours.held()), (ASKING_MAX, WAITING_MAX));
    for host in 0..2 * KNOWN_MAX {
        let target = "fd00::1".parse().unwrap();
        let ask = ndp::Repr::NeighbourSolicitation { target, source_mac: Some(THEIRS) };
        link.hear(&ndp_frame(&ask, &format!("fd00::1:{host:x}"), "fd00::1"));
    }
    assert_eq!(link.neighbours.known.len(), UNASKED_MAX);
    let left = link.hear(&arp_frame(arp::Operation::REPLY, "10.0.0.2", "10.0.0.1"));
    assert_eq!(left.len(), WAITING_EACH_MAX, "who was asked for still finds room");
    let (mut batch, mut ctx) = (Batch::new(), Context::new(1));
    batch.push(link.pool.packet(b"nobody's").unwrap()).unwrap();
    batch.drain(..).for_each(|packet| link.neighbours.send(&mut ctx, 5, [10, 0, 0, 2].into(), packet));
    assert_eq!(ctx.drops().of(UNREACHABLE), 1, "a gate that is not there");
}
