//! Frames that answer hosts.

use packet::wire::{MacAddr, arp, ethernet};

use crate::PacketIn;

/// The address components speak from where none is given: locally administered, the same every time.
pub(crate) const OWN_MAC: MacAddr = MacAddr([0x02, 0x77, 0x65, 0x66, 0x74, 0x01]);

/// A frame back to whom a packet came from, behind the same VLAN tags, with another payload.
pub(crate) fn answer(event: &PacketIn, source: MacAddr, payload: &[u8]) -> Vec<u8> {
    let head = event.layers().map_or(ethernet::HEADER_LEN, |layers| layers.l3).min(event.data().len());
    let mut frame = [&event.data()[..head], payload].concat();
    if let Ok(mut view) = ethernet::View::new_checked(&mut frame[..]) {
        view.set_destination(event.source());
        view.set_source(source);
    }
    frame
}

/// The answer to an ARP request.
pub(crate) fn arp_reply(event: &PacketIn, request: &arp::Repr, mac: MacAddr) -> Vec<u8> {
    let reply = request.reply(mac);
    let mut payload = vec![0; reply.buffer_len()];
    reply.emit(&mut arp::View::new_unchecked(&mut payload[..]));
    answer(event, mac, &payload)
}

/// The packet of a frame of [`crate::compose`], to be put behind another Ethernet header.
pub(crate) fn packet(frame: &[u8]) -> &[u8] {
    &frame[ethernet::HEADER_LEN..]
}
