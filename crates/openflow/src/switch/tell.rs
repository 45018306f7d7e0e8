//! What controllers are told unasked.

use std::time::Duration;

use super::connections::ConnectionId;
use super::ports::since;
use super::tables::Entry;
use super::{OUTPUTS_MAX, Output, Queued, Switch};
use crate::flow::{FlowRemoved, RemovedReason, flags};
use crate::matching::Match;
use crate::message::{Body, Message, PortReason, PortStatus};
use crate::port::{Port, PortNo};
use crate::version::Version;

impl Switch {
    pub(super) fn push_unasked(&mut self, output: Output) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(Queued::Output(output));
        } else {
            self.outputs_dropped += 1;
        }
    }

    pub(super) fn tell(&mut self, connection: ConnectionId, body: Body) {
        self.push_unasked(Output::Message { connection, message: Message::new(0, body) });
    }

    pub(super) fn tell_port(&mut self, number: PortNo, reason: PortReason) {
        self.generation += 1;
        if let Some(port) = self.datapath.ports.get(number.0).map(|state| state.port.clone()) {
            self.tell_port_status(reason, &port);
        }
    }

    pub(super) fn tell_port_status(&mut self, reason: PortReason, port: &Port) {
        let wanted = self.connections.iter().filter(|(_, connection)| connection.wants_port_status(reason));
        for id in wanted.map(|(id, _)| id).collect::<Vec<_>>() {
            self.tell(id, Body::PortStatus(PortStatus { reason, port: port.clone() }));
        }
    }

    pub(super) fn tell_removed(&mut self, now: Duration, entry: &Entry, reason: RemovedReason) {
        if entry.flags & flags::SEND_FLOW_REM == 0 {
            return;
        }
        let (packets, bytes) = entry.count.get();
        let wanted = self.connections.iter().filter(|(_, connection)| connection.wants_removed(reason));
        let wanted: Vec<_> =
            wanted.map(|(id, c)| (id, c.version == Version::V10 && c.flow_format != 0)).collect();
        for (id, prefers_nxm) in wanted {
            let removed = FlowRemoved {
                nxm: prefers_nxm && matches!(entry.matching, Match::Fields(_)),
                cookie: entry.cookie,
                priority: entry.priority,
                reason,
                table: entry.table,
                duration: since(now, entry.created),
                idle_timeout: entry.idle_timeout.get(),
                hard_timeout: entry.hard_timeout.get(),
                packets,
                bytes,
                matching: entry.matching.clone(),
            };
            self.tell(id, Body::FlowRemoved(removed));
        }
    }
}
