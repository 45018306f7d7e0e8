//! Actions and instructions: `set_field:10.0.0.1->ip_dst,output:2,goto_table:3`.

use std::fmt;
use std::net::Ipv4Addr;

use packet::wire::MacAddr;

use super::names::{self, field_named, nearest, set_name};
use super::nicira_actions;
use super::piece::{Pair, Piece, Result, Wrong};
use super::value::{self, Hex, Value, port, port_named};
use crate::Version;
use crate::action::{Action, NO_BUFFER_LEN};
use crate::field::Field;
use crate::instruction::Instruction;
use crate::nicira;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// A list with commas between.
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Actions, or `drop` where there is none.
pub(super) struct Actions<'a>(pub(super) &'a [Action]);

impl fmt::Display for Actions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("drop") } else { List(self.0).fmt(f) }
    }
}

/// What `set_field` sets.
pub(super) struct SetField<'a>(pub(super) &'a Oxm);

impl fmt::Display for SetField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Oxm::Known { field: Field::VlanVid, value, mask: None, .. } => {
                write!(f, "set_field:{value}->vlan_vid")
            }
            Oxm::Known { field, value, mask, .. } => {
                let value = Value { field: *field, value: *value, mask: *mask };
                write!(f, "set_field:{value}->{}", set_name(*field))
            }
            Oxm::Unknown { header, payload } => {
                write!(f, "set_field:0x{}->{}{header:08x}", Hex(payload), names::UNKNOWN)
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { port: PortNo::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
            Self::Output { port, .. } if port_named(&port.to_string()).is_some() => write!(f, "{port}"),
            Self::Output { port, .. } => write!(f, "output:{port}"),
            Self::SetVlanVid(vid) => write!(f, "mod_vlan_vid:{vid}"),
            Self::SetVlanPcp(priority) => write!(f, "mod_vlan_pcp:{priority}"),
            Self::StripVlan => f.write_str("strip_vlan"),
            Self::SetDlSrc(address) => write!(f, "mod_dl_src:{address}"),
            Self::SetDlDst(address) => write!(f, "mod_dl_dst:{address}"),
            Self::SetNwSrc(address) => write!(f, "mod_nw_src:{address}"),
            Self::SetNwDst(address) => write!(f, "mod_nw_dst:{address}"),
            Self::SetNwTos(tos) => write!(f, "mod_nw_tos:{tos}"),
            Self::SetTpSrc(port) => write!(f, "mod_tp_src:{port}"),
            Self::SetTpDst(port) => write!(f, "mod_tp_dst:{port}"),
            Self::Enqueue { port, queue } => write!(f, "enqueue:{port}:{queue}"),
            Self::CopyTtlOut => f.write_str("copy_ttl_out"),
            Self::CopyTtlIn => f.write_str("copy_ttl_in"),
            Self::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Self::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Self::PushVlan(ethertype) => write!(f, "push_vlan:{ethertype:#06x}"),
            Self::PopVlan => f.write_str("pop_vlan"),
            Self::PushMpls(ethertype) => write!(f, "push_mpls:{ethertype:#06x}"),
            Self::PopMpls(ethertype) => write!(f, "pop_mpls:{ethertype:#06x}"),
            Self::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::SetNwTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Self::DecNwTtl => f.write_str("dec_ttl"),
            Self::SetField(oxm) => SetField(oxm).fmt(f),
            Self::PushPbb(ethertype) => write!(f, "push_pbb:{ethertype:#06x}"),
            Self::PopPbb => f.write_str("pop_pbb"),
            Self::Nicira(action) => action.fmt(f),
            Self::Experimenter { experimenter, data } => {
                write!(f, "experimenter(id={experimenter:#x},data={})", Hex(data))
            }
        }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GotoTable(table) => write!(f, "goto_table:{table}"),
            Self::WriteMetadata { value, mask: u64::MAX } => write!(f, "write_metadata:{value:#x}"),
            Self::WriteMetadata { value, mask } => write!(f, "write_metadata:{value:#x}/{mask:#x}"),
            Self::WriteActions(actions) => write!(f, "write_actions({})", Actions(actions)),
            Self::ApplyActions(actions) => write!(f, "apply_actions({})", Actions(actions)),
            Self::ClearActions => f.write_str("clear_actions"),
            Self::Meter(meter) => write!(f, "meter:{meter}"),
            Self::Experimenter { experimenter, data } => {
                write!(f, "instruction(id={experimenter:#x},data={})", Hex(data))
            }
        }
    }
}

/// What a flow does, behind `actions=`. Applied actions stand for themselves, where they are one list.
pub(super) struct Instructions<'a>(pub(super) &'a [Instruction]);

impl fmt::Display for Instructions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = self.0.iter().filter(|one| matches!(one, Instruction::ApplyActions(_))).count();
        let bare = |instruction: &Instruction| match instruction {
            Instruction::ApplyActions(actions) => lists == 1 && (!actions.is_empty() || self.0.len() == 1),
            _ => false,
        };
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (index, instruction) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match instruction {
                Instruction::ApplyActions(actions) if bare(instruction) => Actions(actions).fmt(f)?,
                _ => instruction.fmt(f)?,
            }
        }
        Ok(())
    }
}

/// Names of actions and instructions, for corrections.
const NAMES: &[&str] = &[
    "output",
    "drop",
    "mod_vlan_vid",
    "mod_vlan_pcp",
    "strip_vlan",
    "mod_dl_src",
    "mod_dl_dst",
    "mod_nw_src",
    "mod_nw_dst",
    "mod_nw_tos",
    "mod_tp_src",
    "mod_tp_dst",
    "mod_nw_ttl",
    "enqueue",
    "copy_ttl_out",
    "copy_ttl_in",
    "set_mpls_ttl",
    "dec_mpls_ttl",
    "push_vlan",
    "pop_vlan",
    "push_mpls",
    "pop_mpls",
    "push_pbb",
    "pop_pbb",
    "set_queue",
    "group",
    "dec_ttl",
    "set_field",
    "experimenter",
    "goto_table",
    "write_metadata",
    "write_actions",
    "apply_actions",
    "clear_actions",
    "meter",
    "instruction",
    "controller",
    "normal",
    "flood",
    "all",
    "local",
    "in_port",
];

/// Most actions of a list: more do not fit into a message.
const ACTIONS_MAX: usize = 16_384;

/// What actions are read for: names that both versions and Nicira have mean that of the version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// The version of the message, where it is known; else 1.3's own actions are preferred.
    pub(super) version: Option<Version>,
    /// Whether a match is a person's, to be checked.
    pub(super) strict: bool,
}

impl Dialect {
    /// A person's text, for no version.
    pub(super) const PERSON: Self = Self { version: None, strict: true };

    /// Whether Nicira's actions stand in for 1.3's.
    pub(super) fn nicira(self) -> bool {
        self.version == Some(Version::V10)
    }
}

/// One of a list behind `actions=`.
enum Step {
    Action(Action),
    Instruction(Instruction),
    Drop,
}

/// A field and its value, as `VALUE[/MASK]->FIELD`.
fn set_field(piece: Piece<'_>, strict: bool) -> Result<Oxm> {
    let help = "write a value and the field it goes to, such as set_field:10.0.0.1->ip_dst";
    let (value, name) = piece.rsplit_once("->").ok_or_else(|| piece.unexpected("value for a field", help))?;
    let name = name.trim();
    if name.text.starts_with(names::UNKNOWN) {
        return names::unknown(name, value);
    }
    let field = field_named(name.text).ok_or_else(|| super::matches::unknown_key(name, &[]))?;
    let (set, mask) = value::parse(field, value, strict)?;
    if (field, mask) == (Field::NwTos, None) && strict {
        // Six bits of it, in 1.3's words.
        return Ok(Oxm::exact(Field::IpDscp, set >> 2));
    }
    Ok(super::matches::oxm(field, set, mask))
}

fn address(piece: Piece<'_>) -> Result<MacAddr> {
    let help = "write six pairs of hexadecimal digits, such as 02:00:00:00:00:01";
    piece.parsed("Ethernet address", help)
}

fn ip(piece: Piece<'_>) -> Result<Ipv4Addr> {
    piece.parsed("IPv4 address", "write it as 10.0.0.1")
}

/// The maker and the bytes of an experimenter's: `id=0x1234,data=0a0b`.
pub(super) fn experimenter(piece: Piece<'_>) -> Result<(u32, Vec<u8>)> {
    let (mut id, mut data) = (None, Vec::new());
    for pair in piece.pairs() {
        let pair = pair?;
        match pair.key.text {
            "id" => id = Some(pair.needed("experimenter")?.u32("experimenter")?),
            "data" => data = pair.value.unwrap_or(pair.key.end()).bytes("bytes")?,
            _ => return Err(pair.key.unexpected("part of an experimenter's", "write `id=` and `data=`")),
        }
    }
    let id =
        id.ok_or_else(|| piece.error(Wrong::Missing { wanted: "id" }, "write `id=` and the maker's number"))?;
    Ok((id, data))
}

/// The output that a port's number or name alone is.
fn output_to(port: PortNo, max_len: Option<u16>) -> Action {
    let default = if port == PortNo::CONTROLLER { NO_BUFFER_LEN } else { 0 };
    Action::Output { port, max_len: max_len.unwrap_or(default) }
}

fn step(pair: Pair<'_>, dialect: Dialect) -> Result<Step> {
    let key = pair.key.text.to_ascii_lowercase();
    let value = |what| pair.needed(what);
    let bare = |action: Action| pair.bare().map(|()| action);
    let either = |standard: Action, nicira: nicira::Action| {
        if dialect.nicira() { Action::Nicira(nicira) } else { standard }
    };
    let action = match key.as_str() {
        "drop" => {
            pair.bare()?;
            return Ok(Step::Drop);
        }
        "output" => {
            let to = value("port")?;
            match to.text.contains('[') || field_named(to.text).is_some() || to.text.contains("XM_") {
                true => Action::Nicira(nicira::Action::OutputReg {
                    source: names::range(to)?,
                    max_len: NO_BUFFER_LEN,
                }),
                false => output_to(port(to)?, None),
            }
        }
        "mod_vlan_vid" | "set_vlan_vid" => Action::SetVlanVid(value("VLAN id")?.u16("VLAN id")?),
        "mod_vlan_pcp" | "set_vlan_pcp" => Action::SetVlanPcp(value("VLAN priority")?.u8("VLAN priority")?),
        "strip_vlan" => bare(Action::StripVlan)?,
        "mod_dl_src" => Action::SetDlSrc(address(value("Ethernet address")?)?),
        "mod_dl_dst" => Action::SetDlDst(address(value("Ethernet address")?)?),
        "mod_nw_src" => Action::SetNwSrc(ip(value("IPv4 address")?)?),
        "mod_nw_dst" => Action::SetNwDst(ip(value("IPv4 address")?)?),
        "mod_nw_tos" => Action::SetNwTos(value("TOS byte")?.u8("TOS byte")?),
        "mod_tp_src" => Action::SetTpSrc(value("port")?.u16("port")?),
        "mod_tp_dst" => Action::SetTpDst(value("port")?.u16("port")?),
        "enqueue" => {
            let to = value("port and queue")?;
            let parts = to.split_once(":").or_else(|| to.split_once(","));
            let (to, queue) =
                parts.ok_or_else(|| to.unexpected("port and queue", "write `enqueue:PORT:QUEUE`"))?;
            Action::Enqueue { port: port(to)?, queue: queue.u32("queue")? }
        }
        "copy_ttl_out" => bare(Action::CopyTtlOut)?,
        "copy_ttl_in" => bare(Action::CopyTtlIn)?,
        "set_mpls_ttl" => {
            let ttl = value("TTL")?.u8("TTL")?;
            either(Action::SetMplsTtl(ttl), nicira::Action::SetMplsTtl(ttl))
        }
        "dec_mpls_ttl" => bare(either(Action::DecMplsTtl, nicira::Action::DecMplsTtl))?,
        "push_vlan" => Action::PushVlan(value("EtherType")?.u16("EtherType")?),
        "pop_vlan" => bare(Action::PopVlan)?,
        "push_mpls" => {
            let ethertype = value("EtherType")?.u16("EtherType")?;
            either(Action::PushMpls(ethertype), nicira::Action::PushMpls(ethertype))
        }
        "pop_mpls" => {
            let ethertype = value("EtherType")?.u16("EtherType")?;
            either(Action::PopMpls(ethertype), nicira::Action::PopMpls(ethertype))
        }
        "push_pbb" => Action::PushPbb(value("EtherType")?.u16("EtherType")?),
        "pop_pbb" => bare(Action::PopPbb)?,
        "set_queue" => {
            let queue = value("queue")?.u32("queue")?;
            either(Action::SetQueue(queue), nicira::Action::SetQueue(queue))
        }
        "group" => Action::Group(value("group")?.u32("group")?),
        "mod_nw_ttl" => Action::SetNwTtl(value("TTL")?.u8("TTL")?),
        "dec_ttl" if pair.value.is_none_or(Piece::is_empty) => {
            either(Action::DecNwTtl, nicira::Action::DecTtl)
        }
        "set_field" => {
            let oxm = set_field(value("value for a field")?, dialect.strict)?;
            let masked = matches!(oxm, Oxm::Known { mask: Some(_), .. });
            match masked || dialect.nicira() {
                true => Action::Nicira(nicira::Action::RegLoad2(oxm)),
                false => Action::SetField(oxm),
            }
        }
        "experimenter" => {
            let (experimenter, data) = experimenter(value("id and data")?)?;
            Action::Experimenter { experimenter, data }
        }
        _ => return other(pair, &key, dialect),
    };
    Ok(Step::Action(action))
}

/// Instructions, ports that stand for an output, and Nicira's actions.
fn other(pair: Pair<'_>, key: &str, dialect: Dialect) -> Result<Step> {
    let value = |what| pair.needed(what);
    let instruction = match key {
        "goto_table" => Instruction::GotoTable(value("table")?.u8("table")?),
        "write_metadata" => {
            let text = value("metadata")?;
            let (value, mask) = match text.split_once("/") {
                Some((value, mask)) => (value.u64("metadata")?, mask.u64("mask")?),
                None => (text.u64("metadata")?, u64::MAX),
            };
            Instruction::WriteMetadata { value, mask }
        }
        "write_actions" => Instruction::WriteActions(actions(pair.value.unwrap_or(pair.key.end()), dialect)?),
        "apply_actions" => Instruction::ApplyActions(actions(pair.value.unwrap_or(pair.key.end()), dialect)?),
        "clear_actions" => pair.bare().map(|()| Instruction::ClearActions)?,
        "meter" => Instruction::Meter(value("meter")?.u32("meter")?),
        "instruction" => {
            let (experimenter, data) = experimenter(value("id and data")?)?;
            Instruction::Experimenter { experimenter, data }
        }
        _ => {
            if let Some(action) = nicira_actions::parse(pair, key, dialect)? {
                return Ok(Step::Action(Action::Nicira(action)));
            }
            let number = pair.key.text.starts_with(|c: char| c.is_ascii_digit());
            let reserved = port_named(pair.key.text);
            if number || reserved.is_some() {
                let to = port(pair.key)?;
                let max_len = match pair.value {
                    Some(value) if to == PortNo::CONTROLLER => Some(value.u16("bytes to send")?),
                    _ => pair.bare().map(|()| None)?,
                };
                return Ok(Step::Action(output_to(to, max_len)));
            }
            let names = NAMES.iter().copied().chain(nicira_actions::NAMES.iter().copied());
            let help = match nearest(key, names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write actions such as output:2, set_field:10.0.0.1->ip_dst, goto_table:1 or drop"
                    .to_owned(),
            };
            return Err(pair.key.unexpected("action", help));
        }
    };
    Ok(Step::Instruction(instruction))
}

fn full(pair: Piece<'_>) -> super::ParseError {
    pair.unexpected("action that fits into a message", "leave actions out")
}

/// Actions without instructions among them.
pub(super) fn actions(piece: Piece<'_>, dialect: Dialect) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    let mut dropped = None;
    for pair in piece.pairs() {
        let pair = pair?;
        match step(pair, dialect)? {
            Step::Action(action) if actions.len() < ACTIONS_MAX => actions.push(action),
            Step::Action(_) => return Err(full(pair.whole)),
            Step::Drop => dropped = Some(pair.whole),
            Step::Instruction(_) => {
                let help = "instructions stand in a flow's own list of actions";
                return Err(pair.whole.unexpected("action", help));
            }
        }
    }
    alone(dropped, actions.is_empty())?;
    Ok(actions)
}

/// `drop` has nothing beside it.
fn alone(dropped: Option<Piece<'_>>, alone: bool) -> Result<()> {
    match dropped {
        Some(piece) if !alone => {
            Err(piece.unexpected("action beside others", "write `drop` alone, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// What a flow does: applied actions in one list, instructions as they come.
pub(super) fn instructions(piece: Piece<'_>, dialect: Dialect) -> Result<Vec<Instruction>> {
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut dropped = None;
    let mut applied = None; // where the list of applied actions is
    for pair in piece.pairs() {
        let pair = pair?;
        match step(pair, dialect)? {
            Step::Drop => dropped = Some(pair.whole),
            Step::Action(action) => match applied.and_then(|at: usize| instructions.get_mut(at)) {
                Some(Instruction::ApplyActions(actions)) if actions.len() < ACTIONS_MAX => {
                    actions.push(action);
                }
                Some(_) => return Err(full(pair.whole)),
                None => {
                    applied = Some(instructions.len());
                    instructions.push(Instruction::ApplyActions(vec![action]));
                }
            },
            Step::Instruction(_) if instructions.len() == ACTIONS_MAX => return Err(full(pair.whole)),
            Step::Instruction(instruction) => instructions.push(instruction),
        }
    }
    alone(dropped, instructions.is_empty())?;
    Ok(instructions)
}

/// A list of actions as `ovs-ofctl` writes it: `set_field:10.0.0.1->ip_dst,output:2`. An empty one is `drop`.
///
/// ```
/// let actions = openflow::text::parse_actions("dec_ttl,set_field:02:00:00:00:00:01->eth_dst,output:2")?;
/// assert_eq!(actions.len(), 3);
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is no action, an argument that does not fit; with the place. Instructions are not actions.
pub fn parse_actions(text: &str) -> Result<Vec<Action>> {
    actions(Piece::new(text)?, Dialect::PERSON)
}
