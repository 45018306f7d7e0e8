//! [`ArpResponder`].

use std::collections::HashMap;
use std::net::IpAddr;

use netbricks::answer::Question;
use packet::parse::Layers;
use packet::wire::{MacAddr, arp, ethernet};
use packet::{Batch, Offload, Packet};

use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Answers for stations: ARP requests for their IPv4 addresses (RFC 826), neighbour solicitations for their IPv6 addresses
/// (RFC 4861 §7.2.4).
///
/// *Input gates*: one. *Output gates*: one, where answers leave, made of the questions. Everything else is dropped.
///
/// ```
/// # use softnic::modules::ArpResponder;
/// let mut responder = ArpResponder::default();
/// responder.add("192.0.2.7".parse()?, "02:00:00:00:00:07".parse()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ArpResponder {
    stations: HashMap<IpAddr, MacAddr>,
}

/// It answers for as many stations as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for {0} beside {max} addresses", max = ArpResponder::STATIONS_MAX)]
pub struct TooManyStations(pub IpAddr);

impl ArpResponder {
    /// The most addresses that one answers for.
    pub const STATIONS_MAX: usize = 65_536;

    /// Answers for this address with that Ethernet address, from now on.
    ///
    /// # Errors
    /// There are [`ArpResponder::STATIONS_MAX`] already.
    pub fn add(&mut self, address: IpAddr, mac: MacAddr) -> Result<(), TooManyStations> {
        if self.stations.len() >= Self::STATIONS_MAX && !self.stations.contains_key(&address) {
            return Err(TooManyStations(address));
        }
        self.stations.insert(address, mac);
        Ok(())
    }

    /// The stations, in no order.
    pub fn stations(&self) -> impl Iterator<Item = (IpAddr, MacAddr)> {
        self.stations.iter().map(|(&address, &mac)| (address, mac))
    }

    fn answer(&self, packet: &mut Packet) -> bool {
        let Ok(layers) = Layers::of(packet.data()) else { return false };
        let Some(question) = Question::of(&layers, packet.data()) else { return false };
        let Some(&mac) = self.stations.get(&question.whom()) else { return false };
        match question {
            Question::Arp { .. } => answer_arp(packet, &layers, mac),
            Question::Neighbour { .. } => question.answer(packet, &layers, mac, false).is_ok(),
            Question::Echo { .. } | Question::EchoFragment { .. } => false,
        }
    }
}

/// Answers whoever sent the frame, also one that has put another station into its request, as BESS does.
fn answer_arp(packet: &mut Packet, layers: &Layers, mac: MacAddr) -> bool {
    packet.set_offload(Offload::default());
    let frame = packet.data_mut();
    let Ok(request) = arp::View::new_checked(layers.network_packet(frame)) else { return false };
    let reply = arp::Repr::parse(&request).reply(mac);
    reply.emit(&mut arp::View::new_unchecked(&mut frame[layers.l3..]));
    let mut link = ethernet::View::new_unchecked(frame);
    let asker = link.source();
    link.set_destination(asker);
    link.set_source(mac);
    true
}

impl Module for ArpResponder {
    fn class(&self) -> &'static str {
        "ArpResponder"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let answered = mark(batch, |packet| self.answer(packet));
        part(ctx, batch, answered, Some(0), None);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use packet::wire::{EtherType, IpProtocol, icmpv6, ipv6, ndp};

    use super::super::frames::{datagram, framed, ip, packet};
    use super::*;
    use crate::engine::rig::{Own, Rig};

    const ASKER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const MAC: MacAddr = MacAddr([0xa0, 0x22, 0x33, 0x44, 0x55, 0x66]);

    fn responder() -> Own<ArpResponder> {
        let mut responder = ArpResponder::default();
        responder.add("1.2.3.4".parse().unwrap(), MAC).unwrap();
        responder.add("fd00::4".parse().unwrap(), MAC).unwrap();
        Rig::new(responder)
    }

    fn arp_frame(link: [MacAddr; 2], repr: arp::Repr) -> Vec<u8> {
        let mut bytes = vec![0; arp::PACKET_LEN];
        repr.emit(&mut arp::View::new_unchecked(&mut bytes[..]));
        let mut frame = framed(EtherType::ARP, &bytes);
        let [source, destination] = link;
        ethernet::Repr { source, destination, ethertype: EtherType::ARP }
            .emit(&mut ethernet::View::new_unchecked(&mut frame[..]));
        frame
    }

    fn request(target: &str, sender_mac: MacAddr) -> arp::Repr {
        arp::Repr {
            operation: arp::Operation::REQUEST,
            sender_mac,
            sender_ip: Ipv4Addr::new(1, 2, 3, 9),
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: target.parse().unwrap(),
        }
    }

    #[test]
    fn a_request_becomes_the_reply() {
        for sender in [ASKER, MacAddr::UNSPECIFIED] {
            let asked = request("1.2.3.4", sender);
            let left = responder().process(0, [packet(&arp_frame([ASKER, MacAddr::BROADCAST], asked))]);
            let expected = arp::Repr {
                operation: arp::Operation::REPLY,
                sender_mac: MAC,
                sender_ip: asked.target_ip,
                target_mac: sender,
                target_ip: asked.sender_ip,
            };
            assert_eq!(left[0].1.data(), arp_frame([MAC, ASKER], expected));
        }
    }

    #[test]
    fn a_solicitation_becomes_the_advertisement() {
        let target: Ipv6Addr = "fd00::4".parse().unwrap();
        let [asker, group] = ["fd00::9".parse().unwrap(), ipv6::solicited_node(target)];
        let says = ndp::Repr::NeighbourSolicitation { target, source_mac: Some(ASKER) };
        let mut bytes = vec![0; says.buffer_len()];
        says.emit(asker, group, &mut icmpv6::View::new_unchecked(&mut bytes[..]));
        let mut frame = ip(asker.into(), group.into(), IpProtocol::ICMPV6, &bytes);
        frame[14 + 7] = 255; // the hop limit of neighbour discovery
        let left = responder().process(0, [packet(&frame)]);
        let answer = left[0].1.data();
        let layers = Layers::of(answer).unwrap();
        assert_eq!(layers.addresses(answer), Some((target.into(), asker.into())));
        let message = icmpv6::View::new_checked(layers.segment(answer)).unwrap();
        let advertisement = ndp::Repr::parse(&message).unwrap();
        assert!(
            matches!(
                advertisement,
                ndp::Repr::NeighbourAdvertisement { target_mac: Some(MAC), router: false, .. }
            ),
            "{advertisement:?}"
        );
    }

    #[test]
    fn everything_else_is_dropped() {
        let mut rig = responder();
        let reply = request("1.2.3.4", ASKER).reply(MAC);
        let others = [
            arp_frame([ASKER, MacAddr::BROADCAST], request("1.2.3.5", ASKER)),
            arp_frame([ASKER, MAC], reply),
            datagram(["1.2.3.9:5", "1.2.3.4:6"], b""),
            b"runt".to_vec(),
        ];
        assert!(rig.process(0, others.iter().map(|frame| packet(frame))).is_empty());
        assert_eq!(rig.dropped, 4);
    }

    #[test]
    fn there_are_not_too_many_stations() {
        let mut responder = ArpResponder::default();
        let address = |number: u32| IpAddr::V4(number.into());
        (0..65_536).for_each(|number| responder.add(address(number), MAC).unwrap());
        assert_eq!(responder.add(address(65_536), MAC), Err(TooManyStations(address(65_536))));
        assert_eq!(responder.add(address(5), ASKER), Ok(()));
    }
}
