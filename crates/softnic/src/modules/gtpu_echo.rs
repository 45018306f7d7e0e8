//! [`GtpuEcho`].

use netbricks::rewrite;
use packet::flow::FlowKey;
use packet::parse::{Layers, Network};
use packet::wire::{IpProtocol, gtpu, ipv4, ipv6, udp};
use packet::{Batch, Offload, Packet};

use super::part::{mark, part};
use crate::engine::{Context, Gate, Module};

/// Answers GTP-U echo requests (3GPP TS 29.281 §7.2.2).
///
/// *Input gates*: one. *Output gates*: two; 1 is for answers, made of the requests, 0 for everything else, as it is.
///
/// An answer has a recovery element with restart counter 0 at its end, and addresses and ports the other way round; the
/// Ethernet header stays, since what is behind knows the way. All checksums are right.
///
/// ```
/// let echo = softnic::modules::GtpuEcho;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GtpuEcho;

/// The recovery element (§8.2): its type, and the restart counter that receivers ignore.
const RECOVERY: [u8; 2] = [14, 0];

fn answer(packet: &mut Packet) -> bool {
    let Some((layers, key)) = question(packet.data()) else { return false };
    let (Some(l4), Some(message), end) = (layers.l4, layers.payload, layers.end) else { return false };
    // Padding makes way.
    packet.truncate(end);
    let Ok(room) = packet.append(RECOVERY.len()) else { return false };
    room.copy_from_slice(&RECOVERY);
    let frame = packet.data_mut();
    rewrite::tuple(frame, &layers, &Offload::default(), &key.reversed());
    let mut view = gtpu::View::new_unchecked(&mut frame[message..]);
    view.set_message(gtpu::Message::ECHO_RESPONSE);
    view.set_total_len(end + RECOVERY.len() - message);
    udp::View::new_unchecked(&mut frame[l4..]).set_length(end + RECOVERY.len() - l4);
    let ip = &mut frame[layers.l3..];
    let ip_len = end + RECOVERY.len() - layers.l3;
    if layers.network == Network::V4 {
        let mut ip = ipv4::View::new_unchecked(ip);
        ip.set_total_len(ip_len);
        ip.fill_checksum();
    } else {
        ipv6::View::new_unchecked(ip).set_payload_len(ip_len - ipv6::HEADER_LEN);
    }
    let layers = Layers { end: end + RECOVERY.len(), ..layers };
    rewrite::fill(frame, &layers);
    packet.set_offload(Offload::default());
    true
}

/// A whole echo request that fills its datagram, and its ends.
fn question(frame: &[u8]) -> Option<(Layers, FlowKey)> {
    let layers = Layers::of(frame).ok()?;
    if layers.protocol != IpProtocol::UDP || layers.fragment.is_some() {
        return None;
    }
    let datagram = layers.l4_payload(frame);
    let message = gtpu::View::new_checked(datagram).ok()?;
    let is_whole = layers.payload? + message.total_len() == layers.end;
    let is_short = layers.end - layers.l3 <= usize::from(u16::MAX) - RECOVERY.len();
    let is_question = message.message() == gtpu::Message::ECHO_REQUEST && is_whole && is_short;
    is_question.then_some((layers, FlowKey::of(&layers, frame)?))
}

impl Module for GtpuEcho {
    fn class(&self) -> &'static str {
        "GtpuEcho"
    }

    fn outputs(&self) -> Gate {
        2
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        let answered = mark(batch, answer);
        part(ctx, batch, answered, Some(1), Some(0));
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::Rig;

    fn message(kind: gtpu::Message, ends: [&str; 2], elements: &[u8]) -> Vec<u8> {
        let repr = gtpu::Repr {
            message: kind,
            teid: 0,
            sequence: Some(7),
            pdu_session: None,
            payload_len: elements.len(),
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(ends, &[&bytes[..], elements].concat())
    }

    #[test]
    fn a_request_becomes_the_answer() {
        for [asker, asked] in [["10.0.0.1:2000", "10.0.0.2:2152"], ["[fd00::1]:2000", "[fd00::2]:2152"]] {
            let request = message(gtpu::Message::ECHO_REQUEST, [asker, asked], b"");
            let padded = [&request[..], &[9; 10]].concat();
            let answer = message(gtpu::Message::ECHO_RESPONSE, [asked, asker], &RECOVERY);
            for (gate, packet) in Rig::new(GtpuEcho).process(0, [packet(&request), packet(&padded)]) {
                assert_eq!((gate, packet.data()), (1, &answer[..]));
            }
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let ends = ["10.0.0.1:2000", "10.0.0.2:2152"];
        let response = message(gtpu::Message::ECHO_RESPONSE, ends, &RECOVERY);
        let mut lying = message(gtpu::Message::ECHO_REQUEST, ends, b"");
        lying[45] += 1; // the message's length
        for frame in [&response[..], &lying, &datagram(ends, b"hello"), b"runt"] {
            let left = Rig::new(GtpuEcho).process(0, [packet(frame)]);
            assert_eq!((left[0].0, left[0].1.data()), (0, frame));
        }
    }
}
