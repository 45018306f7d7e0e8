//! Flows and their mappings that go on in another translator.

use std::net::SocketAddr;

use super::mapping::Inside;
use super::{Link, Nat, release};
use crate::Gate;
use crate::conntrack::{MoveError, Moved};

/// A translated flow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedFlow {
    /// The flow.
    pub flow: Moved,
    /// Where it came from, and where it went.
    pub gates: [Gate; 2],
    /// The mappings that it uses, each with its end outside: its opener's, and the other end's.
    pub holds: [Option<(Inside, SocketAddr)>; 2],
}

impl Nat {
    /// All flows, in no order, as another translator has to know them.
    pub fn moved(&self) -> impl Iterator<Item = MovedFlow> {
        self.tracker.moved().filter_map(|(flow, link)| {
            let Link { gates, holds, .. } = (*link)?;
            let mut told = [None; 2];
            for (told, inside) in told.iter_mut().zip(holds) {
                *told = match inside {
                    Some(inside) => Some((inside, self.mappings.external(inside)?)),
                    None => None,
                };
            }
            Some(MovedFlow { flow, gates, holds: told })
        })
    }

    /// Takes in a flow of another translator, with the ends outside that it had there.
    ///
    /// # Errors
    /// [`MoveError`]: its time is over, or it has no place here. Then nothing has changed.
    pub fn take_in(&mut self, moved: &MovedFlow, now_ns: u64) -> Result<(), MoveError> {
        if moved.gates.iter().any(|gate| *gate > super::OUTSIDE) || moved.holds == [None; 2] {
            return Err(MoveError::Odd);
        }
        let mut link = Link::new(moved.gates, [None; 2]);
        for (at, hold) in moved.holds.iter().enumerate() {
            let Some((inside, external)) = *hold else { continue };
            if let Err(error) = self.mappings.acquire_as(inside, external) {
                release(&mut self.mappings, &mut self.lanes, Some(link));
                return Err(error);
            }
            link.holds[at] = Some(inside);
        }
        let taken = self.tracker.take_in(&moved.flow, Some(link), now_ns);
        taken.map(drop).inspect_err(|_| release(&mut self.mappings, &mut self.lanes, Some(link)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;
    use crate::nat::{Config, Limits, Realm, timeouts};
    use packet::flow::FlowHasher;
    use packet::wire::tcp::Flags;
    use packet::wire::{IpProtocol, ipv4, tcp};

    fn nat(key: u128) -> Nat {
        let conntrack = crate::conntrack::Config {
            flows: 100,
            liberal: true,
            timeouts: timeouts(),
            ..Default::default()
        };
        let limits = Limits { ports: 1024..=2047, mappings: 100, per_host: 100 };
        let externals = vec![[192, 0, 2, 1].into()];
        Nat::new(
            &Config { realm: Realm::Same, externals, limits, filters: false, conntrack },
            FlowHasher::new(key),
        )
    }

    /// Ethernet, IPv4, TCP.
    fn segment([from, to]: [&str; 2], flags: Flags, sequence: u32, ack: u32) -> Vec<u8> {
        let [from, to]: [SocketAddrV4; 2] = [from, to].map(|end| end.parse().unwrap());
        let mut frame = vec![0; 14 + ipv4::HEADER_LEN + tcp::HEADER_LEN];
        frame[12] = 8;
        ipv4::Repr::new(*from.ip(), *to.ip(), IpProtocol::TCP, tcp::HEADER_LEN)
            .emit(&mut ipv4::View::new_unchecked(&mut frame[14..]));
        let mut view = tcp::View::new_unchecked(&mut frame[14 + ipv4::HEADER_LEN..]);
        view.set_source_port(from.port());
        view.set_destination_port(to.port());
        view.set_sequence(sequence);
        view.set_ack(ack);
        view.set_header_len_flags(tcp::HEADER_LEN, flags);
        view.set_window(1000);
        frame
    }

    fn pass(nat: &mut Nat, now_ns: u64, gate: Gate, frame: &[u8]) -> Option<(Gate, String)> {
        let arrival = nat.arrival(gate, frame).unwrap();
        match nat.translate(now_ns, gate, &arrival, frame) {
            super::super::Outcome::Pass(gate, tuple) => Some((gate, tuple.to_string())),
            _ => None,
        }
    }

    #[test]
    fn connections_go_on_in_another_translator() {
        let mut old = nat(1);
        let (inside, peer) = ("10.0.0.5:80", "198.51.100.7:443");
        let syn = segment([inside, peer], Flags::SYN, 100, 0);
        let (_, out) = pass(&mut old, 1, 0, &syn).unwrap();
        let external = old.moved().next().unwrap().holds[0].unwrap().1.to_string();
        let answer = segment([peer, &external], Flags::SYN | Flags::ACK, 500, 101);
        let back = pass(&mut old, 2, 1, &answer).unwrap();
        let ack = segment([inside, peer], Flags::ACK, 101, 501);
        assert_eq!(pass(&mut old, 3, 0, &ack).unwrap().1, out);
        let moved: Vec<MovedFlow> = old.moved().collect();
        assert_eq!(moved.len(), 1);

        let mut new = nat(2);
        assert!(pass(&mut new, 4, 1, &answer).is_none(), "nobody knows it");
        moved.iter().for_each(|flow| new.take_in(flow, 4).unwrap());
        assert_eq!(new.take_in(&moved[0], 4), Err(MoveError::Collision));
        assert_eq!((new.mapped(), new.moved().collect::<Vec<_>>()), (1, moved.clone()));
        // Much later in the connection: the windows are not known here.
        let data = segment([peer, &external], Flags::ACK, 900_000, 700_000);
        assert_eq!(pass(&mut new, 5, 1, &data), Some(back));
        let data = segment([inside, peer], Flags::ACK, 700_000, 900_001);
        assert_eq!(pass(&mut new, 6, 0, &data).unwrap().1, out);
        // The mapping ends with the connection.
        new.expire(u64::MAX - 1);
        assert_eq!(new.mapped(), 0);
        let late = nat(3).take_in(&moved[0], u64::MAX - 1);
        assert_eq!(late, Err(MoveError::Over));
        let odd = MovedFlow { gates: [0, 7], ..moved[0] };
        assert_eq!(nat(3).take_in(&odd, 4), Err(MoveError::Odd));
        let elsewhere = SocketAddr::from(([203, 0, 113, 1], 1025));
        let foreign =
            MovedFlow { holds: [Some((moved[0].holds[0].unwrap().0, elsewhere)), None], ..moved[0] };
        assert_eq!(nat(3).take_in(&foreign, 4), Err(MoveError::Collision));
    }
}
