//! Connections in virtual time: whatever links and strangers do to datagrams, streams are whole, or say that they are not.

mod kit;

use kit::{Hostile, World};
use proptest::prelude::*;
use rc3::connection::{Code, Config, Reason};
use rc3::{Algorithm, Key, LowConfig, Pacing};
use sim::{LinkSpec, Rate, Time};

const KEY: Key = Key::new([9; 32]);

fn wan() -> LinkSpec {
    LinkSpec::new(Rate::from_mbit(50), Time::from_millis(40)).buffer(500_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn every_byte_comes_once_and_in_order(
        seed: u64,
        (loss, back_loss, reorder) in (0.0..0.1_f64, 0.0..0.1_f64, 0.0..0.2_f64),
        (mbit, delay_us, buffer) in (5_u64..500, 100_u64..20_000, 5_000_u64..300_000),
        sizes in proptest::collection::vec((0_u64..200_000, 0_u64..200_000, 0_u64..3), 1..5),
        (pace, cubic, levels) in (0_u8..4, any::<bool>(), 2_u8..=8),
        (flip, cut, again, noise) in (0.0..0.03_f64, 0.0..0.03_f64, 0.0..0.1_f64, 0.0..0.05_f64),
        datagram in 512_usize..1_500,
    ) {
        let delay = Time::from_micros(delay_us);
        let spec = LinkSpec::new(Rate::from_mbit(mbit), delay).buffer(buffer).reorder(reorder, delay);
        let mut config = Config { datagram, buffer: 65_536, ..Config::default() };
        config.sender.algorithm = if cubic { Algorithm::Cubic } else { Algorithm::NewReno };
        let pacing = match pace {
            0 => Pacing::Nic,
            1 => Pacing::Bottleneck { percent: 90, remembered: None },
            _ => Pacing::Bottleneck { percent: 100, remembered: Some(Rate::from_mbit(100)) },
        };
        config.sender.low = (pace < 3).then(|| LowConfig { levels, pacing, ..LowConfig::default() });
        config.patience = Time::from_secs(60);
        let mut world = World::new(seed, config, KEY);
        world.hostile = Hostile { flip, cut, again, noise };
        for (up, down, slow) in &sizes {
            world.open(*up, *down, slow * 400);
        }
        world.run(spec.loss(loss), spec.loss(back_loss), seed, Time::from_secs(900));
        prop_assert!(world.all_ended(), "{:?}, {:?}, closed: {:?}", world.ends, world.client.stats(), world.closed);
        for ((_, ends), (up, down, _)) in world.ends.iter().zip(&sizes) {
            prop_assert_eq!((ends[0].read, ends[1].read), (*down, *up));
        }
    }
}

/// When the answer of so many bytes is there, after the handshake.
fn answer(bytes: u64, low: Option<LowConfig>, link: LinkSpec) -> f64 {
    let mut config = Config::default();
    config.sender.low = low.map(|low| LowConfig { slack: Time::ZERO, ..low });
    let mut world = World::new(1, config, KEY);
    let stream = world.open(100, bytes, 0).unwrap();
    world.run(link, link, 1, Time::from_secs(60));
    assert!(world.all_ended(), "{:?}", world.ends);
    world.ends[&stream][0].ended.unwrap().secs_f64()
}

#[test]
fn an_answer_takes_a_round_trip_and_its_time_on_the_link() {
    let (tcp, paced, nic) = (None, Some(LowConfig::default()), Some(LowConfig::paper()));
    // A round trip for the handshake, one for the question, and the answer's time on the link: 1,260 bytes for 1,184.
    let form = 0.160 + 300_000.0 * (1_260.0 / 1_184.0) * 8.0 / 50e6;
    let found = answer(300_000, nic, wan());
    assert!((found / form - 1.0).abs() < 0.02, "{found} s, by the form {form} s");
    // Paced, the rate is known a round trip later.
    let (with, without) = (answer(300_000, paced, wan()), answer(300_000, tcp, wan()));
    assert!(with < form + 0.1 && with < without - 0.12, "{with} s paced, {without} s without");
    assert!(answer(2_900_000, paced, wan()) < answer(2_900_000, tcp, wan()));
}

#[test]
fn the_next_stream_knows_the_bottleneck() {
    let mut world = World::new(3, Config::default(), KEY);
    world.open(100, 300_000, 0);
    world.run(wan(), wan(), 3, Time::from_secs(4));
    let found =
        world.id.and_then(|id| world.endpoint.connection(id)?.bottleneck()).unwrap().bits_per_second();
    assert!((45_000_000..55_000_000).contains(&found), "{found} bit/s");
    let began = world.now();
    let second = world.open(100, 300_000, 0).unwrap();
    world.run(wan(), wan(), 3, Time::from_secs(4));
    let took = (world.ends[&second][0].ended.unwrap() - began).secs_f64();
    assert!(took < 0.080 + 0.052 / 0.85 + 0.01, "{took} s: a round trip, and nine tenths of the link");
}

#[test]
fn a_hundred_streams_share_a_connection() {
    let mut world = World::new(4, Config::default(), KEY);
    (0..100).for_each(|number| assert!(world.open(1_000 + number, 20_000 + number, 0).is_some()));
    world.run(wan(), wan(), 4, Time::from_secs(60));
    assert!(world.all_ended());
    assert!(world.sent[0] > 1_000 && world.client.stats().streams == 100);
    // And there is an end of them.
    let mut world = World::new(4, Config { streams: 3, ..Config::default() }, KEY);
    assert_eq!((0..5).filter_map(|_| world.open(1, 1, 0)).count(), 3);
}

#[test]
fn a_slow_reader_holds_up_its_stream_and_no_other() {
    let mut world = World::new(5, Config { buffer: 65_536, ..Config::default() }, KEY);
    world.open(0, 400_000, 100); // 100 bytes each millisecond
    let other = world.open(0, 400_000, 0).unwrap();
    let link = LinkSpec::new(Rate::from_mbit(100), Time::from_millis(5)).buffer(100_000);
    world.run(link, link, 5, Time::from_secs(30));
    assert!(world.all_ended(), "{:?}", world.ends);
    let ended = |stream: u32| world.ends[&stream][0].ended.unwrap().secs_f64();
    assert!(ended(other) < 1.0 && ended(0) > 3.9, "{} and {}", ended(other), ended(0));
}

#[test]
fn what_is_refused_says_why() {
    let mut world = World::new(6, Config::default(), KEY);
    world.refuse = Some("13");
    let (no, yes) = (world.open(13, 1, 0).unwrap(), world.open(14, 1, 0).unwrap());
    let lossy = wan().loss(0.2);
    world.run(lossy, lossy, 6, Time::from_secs(20));
    assert_eq!(world.ends[&no][0].reset, Some((Code::Missing, "no such thing".to_owned())));
    assert!(world.ends[&yes][0].ended.is_some() && world.closed.is_none());
}

#[test]
fn who_has_another_key_hears_nothing() {
    let mut world = World::with_keys(7, Config::default(), KEY, Key::new([8; 32]));
    world.open(1, 1, 0);
    world.run(wan(), wan(), 7, Time::from_secs(60));
    assert_eq!(world.closed, Some(Reason::NoAnswer));
    assert!(
        world.endpoint.is_empty() && world.endpoint.stats().strangers >= 3,
        "{:?}",
        world.endpoint.stats()
    );
}

#[test]
fn a_server_that_was_started_again_says_so() {
    let mut world = World::new(8, Config::default(), KEY);
    world.open(10, 10, 0);
    world.run(wan(), wan(), 8, Time::from_secs(5));
    assert!(world.all_ended() && world.endpoint.len() == 1);
    let again = World::new(9, Config::default(), KEY);
    (world.endpoint, world.id) = (again.endpoint, None);
    world.ends.clear();
    world.open(10, 10, 0);
    world.run(wan(), wan(), 8, Time::from_secs(6));
    assert_eq!(world.closed, Some(Reason::Gone));
}

#[test]
fn silence_ends_a_connection_and_pings_keep_it() {
    let mut world = World::new(10, Config::default(), KEY);
    world.open(10, 10, 0);
    world.run(wan(), wan(), 10, Time::from_secs(200));
    assert!(
        world.all_ended() && world.closed.is_none() && world.endpoint.len() == 1,
        "pings: {:?}",
        world.closed
    );
    let dead = wan().loss(1.0);
    world.run(dead, dead, 10, Time::from_secs(300));
    assert_eq!(world.closed, Some(Reason::Idle));
    assert!(world.endpoint.is_empty());
}

#[test]
fn what_is_closed_is_closed_at_both_ends() {
    let mut world = World::new(11, Config::default(), KEY);
    world.open(10, 1_000_000, 0);
    world.run(wan(), wan(), 11, Time::from_millis(300));
    world.endpoint.close(Code::Done, "good night");
    world.run(wan(), wan(), 11, Time::from_secs(2));
    assert_eq!(world.closed, Some(Reason::Peer(Code::Done, "good night".to_owned())));
    assert!(world.client.is_closed() && world.endpoint.is_empty());
}
