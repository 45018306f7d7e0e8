//! What a decision was made of, in text: what `ofproto/trace` is to Open vSwitch.

use std::fmt;
use std::time::Duration;

use super::forward::admits;
use super::frame::Frame;
use super::op::Effects;
use super::pipeline::Run;
use super::tables::Entry;
use super::{FRAGMENTS_NORMAL, FRAME_MIN, Switch};
use crate::action::Action;
use crate::field::Field;
use crate::port::PortNo;

/// Lines of a trace; more are left out.
pub const TRACE_LINES_MAX: usize = 4096;

/// What would become of a packet, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The packet as it was understood.
    pub flow: String,
    /// Table by table: the entry, and what it does.
    pub steps: Vec<String>,
    /// The packets that would be sent.
    pub outputs: Vec<(PortNo, Vec<u8>)>,
    /// The packets that a controller would get.
    pub packet_ins: Vec<Vec<u8>>,
    /// The packet that went out last, or was dropped, as it was understood then.
    pub final_flow: String,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Flow: {}\n", self.flow)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        writeln!(
            f,
            "\nFinal flow: {}",
            if self.final_flow == self.flow { "unchanged" } else { &self.final_flow }
        )?;
        for (port, bytes) in &self.outputs {
            writeln!(f, "Sent: {} bytes out of port {}", bytes.len(), port)?;
        }
        for bytes in &self.packet_ins {
            writeln!(f, "Sent: {} bytes to the controller", bytes.len())?;
        }
        if self.outputs.is_empty() && self.packet_ins.is_empty() {
            writeln!(f, "Dropped")?;
        }
        Ok(())
    }
}

impl Switch {
    /// What would become of a packet, and why. Nothing is sent, learned or counted.
    #[must_use]
    pub fn explain(&self, now: Duration, port: PortNo, packet: &[u8]) -> Trace {
        if packet.len() < FRAME_MIN {
            let steps = vec![format!("{} bytes are no Ethernet frame", packet.len())];
            return Trace { steps, ..Trace::default() };
        }
        let frame = Frame::new(packet.to_vec(), port.0, self.datapath.fragments == FRAGMENTS_NORMAL);
        let flow = flow_text(&frame);
        let state = self.datapath.ports.get(port.0);
        if state.is_some_and(|state| !admits(&self.datapath, state, &frame.key)) {
            let steps = vec!["the port takes no such packets in".to_owned()];
            return Trace { final_flow: flow.clone(), flow, steps, ..Trace::default() };
        }
        let mut effects = Effects::default();
        let mut run = Run::new(&self.datapath, now, frame, &mut effects);
        run.walk.is_trial = true;
        run.notes = Some(Notes::default());
        run.pipeline(0);
        let final_flow = flow_text(&run.walk.frame);
        let steps = run.notes.take().map(|notes| notes.0).unwrap_or_default();
        Trace {
            flow,
            steps,
            final_flow,
            outputs: effects.outputs.into_iter().map(|sent| (PortNo(sent.port), sent.bytes)).collect(),
            packet_ins: effects.punts.into_iter().map(|punted| punted.frame.bytes).collect(),
        }
    }
}

/// Lines, by depth.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<String>);

impl Notes {
    pub(super) fn add(&mut self, depth: usize, text: &str) {
        if self.0.len() < TRACE_LINES_MAX {
            let is_table = text.get(2..4) == Some(". ");
            let indent = 4 * depth + if is_table { 0 } else { 4 };
            self.0.push(format!("{:indent$}{text}", ""));
        } else if self.0.len() == TRACE_LINES_MAX {
            self.0.push("… and so on".to_owned());
        }
    }
}

/// ` 0. in_port=1 priority 5, cookie 0x7`.
pub(super) fn entry_line(entry: &Entry) -> String {
    let matching = entry.matching.to_string();
    let matching = if matching.is_empty() { "any packet".to_owned() } else { matching };
    let cookie = if entry.cookie == 0 { String::new() } else { format!(", cookie {:#x}", entry.cookie) };
    format!("{:2}. {matching}, priority {}{cookie}", entry.table, entry.priority)
}

/// Actions as `ovs-ofctl` writes them.
pub(super) fn actions_text(actions: &[Action]) -> String {
    actions.iter().map(Action::to_string).collect::<Vec<_>>().join(",")
}

/// The fields that a packet has, by their names.
pub(super) fn flow_text(frame: &Frame) -> String {
    let mut text = String::new();
    for &field in Field::ALL {
        // Other names of the same bits.
        let alias = matches!(
            field,
            Field::InPhyPort
                | Field::NwTos
                | Field::VlanTci
                | Field::Xxreg0
                | Field::Xxreg1
                | Field::Xxreg2
                | Field::Xxreg3
        );
        let value = frame.get(field);
        let shown = !alias && frame.has(field) && super::key::slot(field).is_some();
        let always = super::key::needs(field) != super::key::Needs::Nothing
            || matches!(field, Field::InPort | Field::EthDst | Field::EthSrc | Field::EthType);
        let fragment = field == Field::IpFrag || field == Field::Ipv6ExtHdr;
        if shown && (value != 0 || (always && !fragment)) {
            let comma = if text.is_empty() { "" } else { "," };
            text.push_str(&format!("{comma}{}={}", field.name(), value_text(field, value)));
        }
    }
    text
}

fn value_text(field: Field, value: u128) -> String {
    use crate::field::Format;
    match field.format() {
        Format::Mac => {
            let bytes = value.to_be_bytes();
            bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
        }
        Format::Ipv4 => std::net::Ipv4Addr::from_bits(value as u32).to_string(),
        Format::Ipv6 => std::net::Ipv6Addr::from_bits(value).to_string(),
        Format::Port => PortNo(value as u32).to_string(),
        Format::Decimal => value.to_string(),
        Format::Hex | Format::Fragment | Format::TcpFlags => format!("{value:#x}"),
    }
}
