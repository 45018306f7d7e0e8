//! TCP connections, segment by segment: the scripts of `conntrack_scripts`.

use netbricks::conntrack::{Direction, State, Tracker};
use packet::flow::FlowHasher;
use packet::parse::Layers;

mod conntrack_scripts;
use conntrack_scripts::{Ends, SCRIPTS, Script};

const V4: Ends = Ends {
    client: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 40_000),
    server: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 80),
};

fn play(script: &Script, ends: Ends) {
    let mut tracker = Tracker::<()>::new(&script.config(), FlowHasher::new(1));
    let mut opener = Direction::Original;
    for (second, line) in script.lines().enumerate() {
        let now_ns = second as u64;
        let frame = ends.frame(line.direction, &line.segment);
        let verdict = tracker.track(now_ns, &Layers::of(&frame).unwrap(), &frame);
        let state = match verdict.state {
            State::Invalid(reason) => format!("invalid:{reason:?}"),
            state => state.to_string(),
        };
        let key = packet::flow::FlowKey::of(&Layers::of(&frame).unwrap(), &frame).unwrap();
        let found = tracker.find(&key, now_ns);
        let tcp = found.and_then(|(id, _)| tracker.flow(id)?.tcp_state());
        let tcp = tcp.map_or("-".into(), |state| state.to_string());
        assert_eq!((state, tcp), line.expected, "{}: {}", script.name, line.text);
        if verdict.state == State::New {
            opener = line.direction;
        }
        if let Some((_, direction)) = found {
            assert_eq!(direction == Direction::Original, line.direction == opener, "{}", line.text);
        }
    }
}

#[test]
fn every_script_plays_as_written() {
    SCRIPTS.iter().for_each(|script| play(script, V4));
}

#[test]
fn addresses_of_the_other_family_change_nothing() {
    let ends = Ends { client: "[fd00::1]:40000".parse().unwrap(), server: "[fd00::2]:80".parse().unwrap() };
    SCRIPTS.iter().for_each(|script| play(script, ends));
}
