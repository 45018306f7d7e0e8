//! Packets for the controllers, and packets from them.

use std::time::Duration;

use super::buffers::Kept;
use super::check::{Checker, Place};
use super::connections::ConnectionId;
use super::frame::Frame;
use super::op::{Limit, Punted};
use super::pipeline::Run;
use super::{FRAGMENTS_NORMAL, FRAME_MIN, Switch};
use crate::action::{Action, NO_BUFFER_LEN};
use crate::error::{BadRequest, Fault};
use crate::field::Field;
use crate::flow::{NO_BUFFER, PacketIn, PacketInFormat, PacketOut};
use crate::matching::Match;
use crate::message::Body;
use crate::oxm::Oxm;
use crate::port::PortNo;
use crate::version::Version;

/// What goes with a packet: where it came in, and what the pipeline wrote.
fn metadata(frame: &Frame, is_v10: bool, is_nxm: bool) -> Match {
    let mut fields = Vec::new();
    let in_port = frame.key.in_port();
    if in_port != 0 {
        fields.push(Oxm::exact(Field::InPort, u128::from(in_port)));
    }
    if !is_v10 || is_nxm {
        let own = Field::ALL.iter().copied().filter(|field| {
            let is_register = *field >= Field::Reg0 && *field <= Field::Reg15;
            let is_tunnel = matches!(field, Field::TunnelId | Field::TunSrc | Field::TunDst);
            // 1.3's Metadata has no NXM name, but an OXM one that Open vSwitch sends as well.
            is_register || is_tunnel || matches!(field, Field::Metadata | Field::PktMark)
        });
        for field in own {
            let value = frame.get(field);
            if value != 0 {
                fields.push(Oxm::exact(field, value));
            }
        }
    }
    Match::Fields(fields)
}

impl Switch {
    /// Sends a packet to the controllers that want it.
    pub(super) fn punt(&mut self, now: Duration, punted: Punted) {
        let Punted { punt, frame } = punted;
        let mut told = Vec::new();
        for (id, connection) in self.connections.iter_mut() {
            let is_v10 = connection.version == Version::V10;
            let is_for = match punt.max_len {
                Limit::Miss => is_v10,
                Limit::Bytes(_) => true,
            };
            // Who is named by an action gets it without its asking, as 1.0's invalid TTLs.
            if !is_for
                || punt.controller != connection.controller_id
                || !connection.wants_packet_in(punt.reason)
            {
                continue;
            }
            let max_len = match punt.max_len {
                Limit::Miss => connection.miss_send_len,
                Limit::Bytes(bytes) => bytes,
            };
            let in_port = PortNo(frame.key.in_port());
            let kept = || Kept { bytes: frame.bytes.clone(), in_port };
            let buffer =
                if max_len == NO_BUFFER_LEN { NO_BUFFER } else { connection.buffers.keep(now, kept) };
            let whole = frame.bytes.len();
            let length = if buffer == NO_BUFFER { whole } else { whole.min(usize::from(max_len)) };
            let is_nxm = connection.packet_in_format == PacketInFormat::Nxm;
            let packet_in = PacketIn {
                format: if is_nxm { PacketInFormat::Nxm } else { PacketInFormat::Standard },
                buffer,
                total_len: u16::try_from(whole).unwrap_or(u16::MAX),
                reason: punt.reason,
                table: punt.table,
                cookie: punt.cookie,
                metadata: metadata(&frame, is_v10, is_nxm),
                data: frame.bytes[..length].to_vec(),
            };
            told.push((id, packet_in));
        }
        for (id, packet_in) in told {
            self.tell(id, Body::PacketIn(packet_in));
        }
    }

    /// `OFPT_PACKET_OUT`.
    pub(super) fn packet_out(
        &mut self,
        now: Duration,
        id: ConnectionId,
        request: &PacketOut,
    ) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let version = connection.version;
        let bytes = if request.buffer == NO_BUFFER {
            request.data.clone()
        } else {
            connection.buffers.take(now, request.buffer)?.bytes
        };
        let in_port = request.in_port;
        let is_known = self.datapath.ports.get(in_port.0).is_some();
        let is_none = matches!(in_port, PortNo::CONTROLLER | PortNo::LOCAL)
            || (version == Version::V10 && matches!(in_port, PortNo::ANY | PortNo(0)));
        // 1.3.5, section 7.3.7: a real port, or the controller.
        if !is_known && !is_none && version == Version::V13 {
            return Err(BadRequest::BadPort.into());
        }
        if bytes.len() < FRAME_MIN {
            return if version == Version::V13 { Err(BadRequest::BadPacket.into()) } else { Ok(()) };
        }
        let frame = Frame::new(bytes, in_port.0, self.datapath.fragments == FRAGMENTS_NORMAL);
        Checker::of_packet(&self.datapath, version, &frame.key.0)
            .actions(&request.actions, Place::PacketOut)?;
        let mut run = Run::new(&self.datapath, now, frame, &mut self.effects);
        run.record = None;
        for action in &request.actions {
            match action {
                // Its own way through the tables, after which the list goes on with the packet as it is here.
                Action::Output { port: PortNo::TABLE, .. } => run.through_tables(),
                action => run.actions(std::slice::from_ref(action)),
            }
        }
        self.settle(now);
        Ok(())
    }
}
