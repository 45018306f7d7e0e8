//! [`GtpuPathMonitoring`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netbricks::rewrite;
use packet::flow::FlowKey;
use packet::parse::Layers;
use packet::wire::{IpProtocol, gtpu};
use packet::{Batch, Offload, Packet};

use crate::engine::{Context, Gate, Module};

/// Measures how long packets take to base stations, by GTP-U echo (3GPP TS 29.281 §7.2).
///
/// *Input gates*: one, for echo requests and responses. *Output gates*: one, for requests.
///
/// Each request that comes in, from a generator, is sent to every station of its version of IP, with its address and a
/// sequence number of its own; the pattern itself ends here. A response of a station is half of a round trip; it ends here, too. Everything else
/// is dropped and counted, requests without a field for the sequence number included. A station's last
/// [`GtpuPathMonitoring::WAITING_MAX`] requests are waited for. All checksums are right.
///
/// ```
/// # use softnic::modules::GtpuPathMonitoring;
/// let mut monitoring = GtpuPathMonitoring::default();
/// monitoring.add("192.0.2.1".parse()?);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Default)]
pub struct GtpuPathMonitoring {
    stations: BTreeMap<IpAddr, Station>,
    sequence: u16,
}

/// How long packets took to a station, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathLatency {
    /// Responses.
    pub count: u64,
    /// The least.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: u64,
    /// The greatest.
    pub max_ns: u64,
}

#[derive(Debug)]
struct Station {
    /// How often it was added.
    users: u32,
    /// The requests that are waited for: when each was sent, at its sequence number's place.
    sent: [Option<(u16, u64)>; GtpuPathMonitoring::WAITING_MAX],
    /// Nothing until the first response.
    latency: Option<PathLatency>,
}

impl PathLatency {
    fn add(&mut self, latency_ns: u64) {
        self.count += 1;
        self.min_ns = if self.count == 1 { latency_ns } else { self.min_ns.min(latency_ns) };
        self.max_ns = self.max_ns.max(latency_ns);
        let distance = latency_ns.abs_diff(self.mean_ns) / self.count;
        self.mean_ns =
            if latency_ns > self.mean_ns { self.mean_ns + distance } else { self.mean_ns - distance };
    }
}

impl GtpuPathMonitoring {
    /// The most stations; more are not added.
    pub const STATIONS_MAX: usize = 1024;
    /// The most requests that are waited for of one station.
    pub const WAITING_MAX: usize = 64;

    /// Measures to that station, until it was deleted as often as it was added. `false` where there are too many.
    pub fn add(&mut self, station: IpAddr) -> bool {
        if let Some(known) = self.stations.get_mut(&station) {
            known.users = known.users.saturating_add(1);
            return true;
        }
        let is_room = self.stations.len() < Self::STATIONS_MAX;
        if is_room {
            let new = Station { users: 1, sent: [None; Self::WAITING_MAX], latency: None };
            self.stations.insert(station, new);
        }
        is_room
    }

    /// Takes back one [`add`](Self::add). `false` where nobody knows the station.
    pub fn delete(&mut self, station: IpAddr) -> bool {
        let Some(known) = self.stations.get_mut(&station) else { return false };
        known.users -= 1;
        if known.users == 0 {
            self.stations.remove(&station);
        }
        true
    }

    /// The stations, and how often each was added and not deleted.
    pub fn stations(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.stations.iter().map(|(&station, known)| (station, known.users))
    }

    /// Forgets all stations and begins with sequence number 0.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The stations that have answered. If told so, they begin anew.
    pub fn read(&mut self, clear: bool) -> Vec<(IpAddr, PathLatency)> {
        let known = self.stations.iter_mut();
        let answered = known.filter_map(|(station, known)| {
            let latency = known.latency.as_mut()?;
            let said = *latency;
            if clear {
                *latency = PathLatency::default();
            }
            Some((*station, said))
        });
        answered.collect()
    }

    /// Sends a pattern to all stations. `false` where it is none.
    fn request(&mut self, ctx: &mut Context<'_>, pattern: &Packet, layers: &Layers) -> bool {
        let Some(key) = FlowKey::of(layers, pattern.data()) else { return false };
        let (sequence, now_ns) = (self.sequence, ctx.now_ns());
        for (station, known) in &mut self.stations {
            let source = SocketAddr::new(key.source(), key.source_port());
            let destination = SocketAddr::new(*station, key.destination_port());
            // None where the station speaks the other version.
            let Some(key) = FlowKey::new(key.protocol(), source, destination) else { continue };
            // Without a buffer the station is asked next time.
            let Some(mut request) = pattern.try_clone() else { continue };
            request.set_offload(Offload::default());
            let frame = request.data_mut();
            rewrite::tuple(frame, layers, &Offload::default(), &key);
            let at = layers.payload.unwrap_or(layers.end);
            gtpu::View::new_unchecked(&mut frame[at..]).set_sequence(sequence);
            rewrite::fill(frame, layers);
            known.sent[usize::from(sequence) % Self::WAITING_MAX] = Some((sequence, now_ns));
            ctx.emit(0, request);
        }
        self.sequence = sequence.wrapping_add(1);
        true
    }

    /// Notes a response. `false` where nobody has asked.
    fn response(&mut self, now_ns: u64, source: IpAddr, sequence: u16) -> bool {
        let Some(known) = self.stations.get_mut(&source) else { return false };
        let waiting = &mut known.sent[usize::from(sequence) % Self::WAITING_MAX];
        let Some((_, sent_ns)) = waiting.take_if(|(sent, _)| *sent == sequence) else { return false };
        known.latency.get_or_insert_default().add(now_ns.saturating_sub(sent_ns) / 2);
        true
    }

    /// Whether a packet has ended as it should.
    fn take(&mut self, ctx: &mut Context<'_>, packet: &Packet) -> bool {
        let Ok(layers) = Layers::of(packet.data()) else { return false };
        if self.stations.is_empty() || layers.protocol != IpProtocol::UDP || layers.fragment.is_some() {
            return false;
        }
        let Ok(message) = gtpu::View::new_checked(layers.l4_payload(packet.data())) else { return false };
        match (message.message(), message.sequence(), layers.addresses(packet.data())) {
            (gtpu::Message::ECHO_REQUEST, Some(_), _) => self.request(ctx, packet, &layers),
            (gtpu::Message::ECHO_RESPONSE, Some(sequence), Some((source, _))) => {
                self.response(ctx.now_ns(), source, sequence)
            }
            _ => false,
        }
    }
}

impl Module for GtpuPathMonitoring {
    fn class(&self) -> &'static str {
        "GtpuPathMonitoring"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        // What stays in the batch is counted as dropped.
        batch.retain(|packet| !self.take(ctx, packet));
    }

    fn status(&self) -> String {
        format!("{} stations", self.stations.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::rig::{Own, Rig};

    const OWN: &str = "10.0.0.9:2152";

    fn message(kind: gtpu::Message, ends: [&str; 2], sequence: Option<u16>) -> Vec<u8> {
        let repr = gtpu::Repr { message: kind, teid: 0, sequence, pdu_session: None, payload_len: 0 };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut gtpu::View::new_unchecked(&mut bytes[..]));
        datagram(ends, &bytes)
    }

    fn request(to: &str, sequence: u16) -> Vec<u8> {
        message(gtpu::Message::ECHO_REQUEST, [OWN, to], Some(sequence))
    }

    fn response(from: &str, sequence: u16) -> Packet {
        packet(&message(gtpu::Message::ECHO_RESPONSE, [from, OWN], Some(sequence)))
    }

    fn stations(count: u8) -> Own<GtpuPathMonitoring> {
        let mut monitoring = GtpuPathMonitoring::default();
        (1..=count).for_each(|host| assert!(monitoring.add([10, 0, 0, host].into())));
        Rig::new(monitoring)
    }

    #[test]
    fn a_pattern_goes_to_every_station_with_its_number() {
        let mut rig = stations(2);
        for sequence in 0..3 {
            let left = rig.process(0, [packet(&request("0.0.0.0:2152", 99))]);
            let frames: Vec<&[u8]> = left.iter().map(|(_, packet)| packet.data()).collect();
            assert_eq!(frames, [request("10.0.0.1:2152", sequence), request("10.0.0.2:2152", sequence)]);
        }
        assert_eq!(rig.dropped, 0);
    }

    #[test]
    fn responses_are_half_a_round_trip() {
        let mut rig = stations(2);
        for (sequence, took_ns) in [(0, 200), (1, 400), (2, 100)] {
            rig.at(1000).process(0, [packet(&request("0.0.0.0:2152", 0))]);
            let answers = [response("10.0.0.1:2152", sequence), response("10.0.0.1:2152", sequence)];
            assert!(rig.at(1000 + took_ns).process(0, answers).is_empty());
        }
        // The second answer of the same number was dropped each time.
        assert_eq!(rig.dropped, 3);
        let expected = PathLatency { count: 3, min_ns: 50, mean_ns: 117, max_ns: 200 };
        let station = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(rig.module.read(true), [(station, expected)]);
        assert_eq!(rig.module.read(false), [(station, PathLatency::default())]);
    }

    #[test]
    fn what_nobody_asked_for_is_dropped() {
        let mut rig = stations(1);
        let unknown = response("10.0.0.7:2152", 0);
        let early = response("10.0.0.1:2152", 0);
        let unnumbered = packet(&message(gtpu::Message::ECHO_REQUEST, [OWN, "0.0.0.0:2152"], None));
        let other = packet(&datagram([OWN, "10.0.0.1:2152"], b"hello"));
        assert!(rig.process(0, [unknown, early, unnumbered, other]).is_empty());
        assert_eq!(rig.dropped, 4);
        // The oldest is given up.
        (0..=64).for_each(|_| drop(rig.process(0, [packet(&request("0.0.0.0:2152", 0))])));
        rig.process(0, [response("10.0.0.1:2152", 0), response("10.0.0.1:2152", 1)]);
        assert_eq!((rig.dropped, rig.module.read(false)[0].1.count), (5, 1));
    }

    #[test]
    fn stations_are_added_and_deleted_as_often() {
        let mut monitoring = GtpuPathMonitoring::default();
        let station = IpAddr::from([10, 0, 0, 1]);
        assert!(monitoring.add(station) && monitoring.add(station));
        assert!(monitoring.delete(station) && monitoring.delete(station) && !monitoring.delete(station));
        let numbered = |number: u32| IpAddr::from(number.to_be_bytes());
        (0..1024).for_each(|number| assert!(monitoring.add(numbered(number))));
        assert!(!monitoring.add(station) && monitoring.add(numbered(7)));
        monitoring.clear();
        let mut rig = Rig::new(monitoring);
        assert!(rig.process(0, [packet(&request("0.0.0.0:2152", 0))]).is_empty());
        assert_eq!(rig.dropped, 1);
    }

    #[test]
    fn stations_of_each_version_are_asked_in_their_own() {
        let mut rig = stations(1);
        let six: IpAddr = "fd00::1".parse().unwrap();
        assert!(rig.module.add(six));
        let own = "[fd00::9]:2152";
        let request_of = |ends, sequence| message(gtpu::Message::ECHO_REQUEST, ends, Some(sequence));
        let patterns = [request_of([own, "[::]:2152"], 5), request("0.0.0.0:2152", 5)];
        let left = rig.at(1000).process(0, patterns.iter().map(|frame| packet(frame)));
        let frames: Vec<&[u8]> = left.iter().map(|(_, packet)| packet.data()).collect();
        assert_eq!(frames, [request_of([own, "[fd00::1]:2152"], 0), request("10.0.0.1:2152", 1)]);
        let answer = message(gtpu::Message::ECHO_RESPONSE, ["[fd00::1]:2152", own], Some(0));
        assert!(rig.at(1600).process(0, [packet(&answer), packet(&answer)]).is_empty());
        assert_eq!(rig.dropped, 1, "the second is not waited for");
        let expected = PathLatency { count: 1, min_ns: 300, mean_ns: 300, max_ns: 300 };
        assert_eq!(rig.module.read(false), [(six, expected)]);
        assert!(rig.module.delete(six) && !rig.module.delete(six));
    }
}
