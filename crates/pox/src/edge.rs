//! Between a channel and the controller: what both worlds, the simulated one and the live one, do alike.

use std::time::Duration;

use openflow::channel::{Answer, Event};
use openflow::codec::PacketInView;
use openflow::flow::{self, NO_BUFFER};
use openflow::matching::Match;
use openflow::message::{Body, Message};

use crate::controller::{Controller, Input};
use crate::nexus::ConnectionId;

/// Hands an event of a channel in. Up and down are the edge's own matters.
pub(crate) fn hand_in(
    controller: &mut Controller,
    now: Duration,
    connection: ConnectionId,
    event: Event<'_>,
) {
    match event {
        Event::PacketIn(view) => packet_in(controller, now, connection, &view),
        Event::Message(message) => controller.handle(now, Input::Message { connection, message }),
        Event::Unreadable { kind, error, .. } => {
            crate::warning!(
                controller.core_mut(),
                "{connection}: a message of type {kind} cannot be read: {error}"
            );
        }
        // The controller pairs requests and answers itself; the channel is never asked to.
        Event::Answer { xid, answer: Answer::Reply(body) } => {
            controller.handle(now, Input::Message { connection, message: Message::new(xid, body) });
        }
        Event::Answer { xid, answer: Answer::Failed(error) } => {
            controller
                .handle(now, Input::Message { connection, message: Message::new(xid, Body::Error(error)) });
        }
        Event::Answer { .. } | Event::Raw(_) | Event::Up(_) | Event::Down(_) => {}
    }
}

fn packet_in(controller: &mut Controller, now: Duration, connection: ConnectionId, view: &PacketInView<'_>) {
    if controller.core().wants_raw(connection) {
        // Somebody wants to see the message as such.
        let message = Message::new(view.xid, Body::PacketIn(whole(view)));
        controller.handle(now, Input::Message { connection, message });
        return;
    }
    let mut packet_in = controller.spare_packet_in();
    packet_in.in_port = view.in_port;
    packet_in.buffer = (view.buffer != NO_BUFFER).then_some(view.buffer);
    packet_in.total_len = view.total_len;
    packet_in.reason = view.reason;
    packet_in.table = view.table;
    packet_in.cookie = view.cookie;
    packet_in.set_data(view.data);
    controller.handle(now, Input::PacketIn { connection, packet_in });
}

/// The message that a view is of; of its metadata the port alone.
fn whole(view: &PacketInView<'_>) -> flow::PacketIn {
    flow::PacketIn {
        format: view.format,
        buffer: view.buffer,
        total_len: view.total_len,
        reason: view.reason,
        table: view.table,
        cookie: view.cookie,
        metadata: Match::new().in_port(view.in_port),
        data: view.data.to_vec(),
    }
}
