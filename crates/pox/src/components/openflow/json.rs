//! Matches and actions as POX's JSON has them: `{"dl_type": 2048, "nw_dst": "10.0.0.0/8"}`,
//! `[{"type": "OFPAT_OUTPUT", "port": 2}]`.
//!
//! Fields are named as `ovs-ofctl` names them; those of 1.0 also by POX's names (`dl_vlan`, `tp_src` …).

use std::net::{Ipv4Addr, Ipv6Addr};

use openflow::action::Action;
use openflow::field::{Field, Format};
use openflow::instruction::Instruction;
use openflow::matching::{Match, check};
use openflow::oxm::Oxm;
use openflow::port::PortNo;
use packet::wire::MacAddr;
use serde_json::{Map, Value, json};

/// ARP's EtherType: its addresses and operation have the names of IP's, as in 1.0.
const ARP: u16 = 0x0806;
/// Fields of one match.
const FIELDS_MAX: usize = 64;
/// Actions of one flow.
const ACTIONS_MAX: usize = 256;

const PORTS: [(&str, PortNo); 8] = [
    ("OFPP_IN_PORT", PortNo::IN_PORT),
    ("OFPP_TABLE", PortNo::TABLE),
    ("OFPP_NORMAL", PortNo::NORMAL),
    ("OFPP_FLOOD", PortNo::FLOOD),
    ("OFPP_ALL", PortNo::ALL),
    ("OFPP_CONTROLLER", PortNo::CONTROLLER),
    ("OFPP_LOCAL", PortNo::LOCAL),
    ("OFPP_NONE", PortNo::ANY),
];

/// A port: its number, or the name of a reserved one.
pub(super) fn port_to_json(port: PortNo) -> Value {
    let name = PORTS.iter().find(|(_, reserved)| *reserved == port).map(|(name, _)| *name);
    name.map_or_else(|| json!(port.0), Value::from)
}

pub(super) fn port_from_json(value: &Value) -> Result<PortNo, String> {
    let named = value.as_str().and_then(|text| PORTS.iter().find(|(name, _)| *name == text));
    let number =
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).and_then(|number| u32::try_from(number).ok());
    match (named, number) {
        (Some((_, port)), _) => Ok(*port),
        (None, Some(number)) => {
            Ok(if number <= 0xffff { PortNo::from_v10(number as u16) } else { PortNo(number) })
        }
        (None, None) => Err(format!("{value} is not a port")),
    }
}

fn bytes_of(mac: u128) -> MacAddr {
    let bytes = (mac as u64).to_be_bytes();
    MacAddr([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn number(mac: MacAddr) -> u128 {
    mac.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// A value, as text where a number would not be read.
fn shown(format: Format, value: u128) -> String {
    match format {
        Format::Mac => bytes_of(value).to_string(),
        Format::Ipv4 => Ipv4Addr::from_bits(value as u32).to_string(),
        Format::Ipv6 => Ipv6Addr::from_bits(value).to_string(),
        Format::Hex => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

/// A match.
pub(super) fn match_to_json(matching: &Match) -> Value {
    let mut map = Map::new();
    for oxm in matching.as_fields().iter() {
        let Oxm::Known { field, value, mask, .. } = oxm else { continue };
        let text = match (field.format(), mask) {
            (Format::Port, _) => {
                map.insert(field.name().into(), port_to_json(PortNo(*value as u32)));
                continue;
            }
            (Format::Decimal | Format::Hex, None) if *value <= u128::from(u32::MAX) => {
                map.insert(field.name().into(), json!(*value as u64));
                continue;
            }
            (format, None) => shown(format, *value),
            (Format::Ipv4, Some(mask)) if prefix(*mask, 32).is_some() => {
                format!("{}/{}", shown(Format::Ipv4, *value), prefix(*mask, 32).unwrap_or(0))
            }
            (Format::Ipv6, Some(mask)) if prefix(*mask, 128).is_some() => {
                format!("{}/{}", shown(Format::Ipv6, *value), prefix(*mask, 128).unwrap_or(0))
            }
            (format, Some(mask)) => format!("{}/{}", shown(format, *value), shown(format, *mask)),
        };
        map.insert(field.name().into(), text.into());
    }
    Value::Object(map)
}

/// The length of a prefix that a mask is.
fn prefix(mask: u128, bits: u32) -> Option<u32> {
    let ones = mask.count_ones();
    let all = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
    let wanted = if ones == 0 { 0 } else { all & !((1_u128 << (bits - ones)).wrapping_sub(1)) };
    (mask == wanted).then_some(ones)
}

/// A value of a field, from a number or a text.
fn value_of(field: Field, text: &str) -> Option<u128> {
    let numeric = |text: &str| {
        text.strip_prefix("0x")
            .map_or_else(|| text.parse().ok(), |digits| u128::from_str_radix(digits, 16).ok())
    };
    let value = match field.format() {
        Format::Mac => number(text.parse().ok()?),
        Format::Ipv4 => text.parse::<Ipv4Addr>().ok()?.to_bits().into(),
        Format::Ipv6 => text.parse::<Ipv6Addr>().ok()?.to_bits(),
        _ => numeric(text)?,
    };
    (field.bits() == 128 || value >> field.bits() == 0).then_some(value)
}

/// An EtherType: its number, or its name where POX has one.
fn ethertype(text: &str) -> Option<u16> {
    match text {
        "IP" => Some(0x0800),
        "ARP" => Some(ARP),
        "IPV6" => Some(0x86dd),
        "LLDP" => Some(0x88cc),
        _ => value_of(Field::EthType, text).map(|kind| kind as u16),
    }
}

/// A match, from its JSON.
pub(super) fn match_from_json(value: &Value) -> Result<Match, String> {
    let Value::Object(map) = value else {
        return if value.is_null() { Ok(Match::new()) } else { Err("a match is an object".into()) };
    };
    if map.len() > FIELDS_MAX {
        return Err("too many fields".into());
    }
    let text_of = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    // The ports of which protocol, and the addresses of which, is told by another field.
    let kind = map.get("dl_type").and_then(text_of).and_then(|text| ethertype(&text));
    let protocol = map.get("nw_proto").and_then(text_of).and_then(|text| value_of(Field::IpProto, &text));
    let mut matching = Match::new();
    for (name, value) in map {
        let text = text_of(value).ok_or_else(|| format!("{name}: {value} is neither number nor text"))?;
        let field = match (name.as_str(), protocol) {
            ("in_port", _) => {
                matching = matching.in_port(port_from_json(value)?);
                continue;
            }
            ("dl_vlan", _) => {
                let id: u16 = text.parse().map_err(|_| format!("dl_vlan: {text} is not a VLAN"))?;
                matching = if id == 0xffff { matching.untagged() } else { matching.vlan_vid(id) };
                continue;
            }
            ("dl_vlan_pcp", _) => Field::VlanPcp,
            ("dl_type", _) => {
                let kind = kind.ok_or_else(|| format!("dl_type: {text} is not an EtherType"))?;
                matching = matching.eth_type(kind);
                continue;
            }
            ("nw_src", _) if kind == Some(ARP) => Field::ArpSpa,
            ("nw_dst", _) if kind == Some(ARP) => Field::ArpTpa,
            ("nw_proto", _) if kind == Some(ARP) => Field::ArpOp,
            ("tp_src", Some(6)) => Field::TcpSrc,
            ("tp_dst", Some(6)) => Field::TcpDst,
            ("tp_src", Some(17)) => Field::UdpSrc,
            ("tp_dst", Some(17)) => Field::UdpDst,
            ("tp_src", Some(1)) => Field::Icmpv4Type,
            ("tp_dst", Some(1)) => Field::Icmpv4Code,
            (name, _) => Field::from_name(name).ok_or_else(|| format!("there is no field '{name}'"))?,
        };
        let wrong = || format!("{name}: {text} is not a value of it");
        let oxm = match text.split_once('/') {
            None => Oxm::exact(field, value_of(field, &text).ok_or_else(wrong)?),
            Some((value, mask)) if field.maskable() => {
                let bits = field.bits();
                let length = mask.parse::<u32>().ok().filter(|length| *length <= bits);
                let mask = match (field.format(), length) {
                    (Format::Ipv4 | Format::Ipv6, Some(0)) => 0,
                    (Format::Ipv4 | Format::Ipv6, Some(length)) => {
                        field.all_bits() & !field.all_bits().checked_shr(length).unwrap_or(0)
                    }
                    _ => value_of(field, mask).ok_or_else(wrong)?,
                };
                Oxm::masked(field, value_of(field, value).ok_or_else(wrong)?, mask)
            }
            Some(_) => return Err(format!("{name} takes no mask")),
        };
        matching = matching.with(oxm);
    }
    // What a field needs before it is added where it is not said; said otherwise, both cannot be.
    let protocol =
        protocol.filter(|_| kind != Some(ARP)).map(|protocol| ("nw_proto", Field::IpProto, protocol));
    let said = [kind.map(|kind| ("dl_type", Field::EthType, u128::from(kind))), protocol];
    for (name, field, value) in said.into_iter().flatten() {
        if matching.exact(field) != Some(value) {
            return Err(format!("{name}: {} does not go with the other fields", map[name]));
        }
    }
    check(&matching).map_err(|fault| format!("the match cannot be: {fault}"))?;
    Ok(matching)
}

/// What a flow does.
pub(super) fn actions_to_json(instructions: &[Instruction]) -> Value {
    let mut list = Vec::new();
    for instruction in instructions {
        match instruction {
            Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                list.extend(actions.iter().map(action_to_json));
            }
            Instruction::GotoTable(table) => {
                list.push(json!({ "type": "OFPIT_GOTO_TABLE", "table_id": table }));
            }
            other => list.push(json!({ "type": format!("{other:?}") })),
        }
    }
    Value::Array(list)
}

fn action_to_json(action: &Action) -> Value {
    match action {
        Action::Output { port, max_len } if *port == PortNo::CONTROLLER => {
            json!({ "type": "OFPAT_OUTPUT", "port": port_to_json(*port), "max_len": max_len })
        }
        Action::Output { port, .. } => json!({ "type": "OFPAT_OUTPUT", "port": port_to_json(*port) }),
        Action::SetVlanVid(id) => json!({ "type": "OFPAT_SET_VLAN_VID", "vlan_vid": id }),
        Action::SetVlanPcp(pcp) => json!({ "type": "OFPAT_SET_VLAN_PCP", "vlan_pcp": pcp }),
        Action::StripVlan => json!({ "type": "OFPAT_STRIP_VLAN" }),
        Action::SetDlSrc(mac) => json!({ "type": "OFPAT_SET_DL_SRC", "dl_addr": mac.to_string() }),
        Action::SetDlDst(mac) => json!({ "type": "OFPAT_SET_DL_DST", "dl_addr": mac.to_string() }),
        Action::SetNwSrc(ip) => json!({ "type": "OFPAT_SET_NW_SRC", "nw_addr": ip.to_string() }),
        Action::SetNwDst(ip) => json!({ "type": "OFPAT_SET_NW_DST", "nw_addr": ip.to_string() }),
        Action::SetNwTos(tos) => json!({ "type": "OFPAT_SET_NW_TOS", "nw_tos": tos }),
        Action::SetTpSrc(port) => json!({ "type": "OFPAT_SET_TP_SRC", "tp_port": port }),
        Action::SetTpDst(port) => json!({ "type": "OFPAT_SET_TP_DST", "tp_port": port }),
        Action::Enqueue { port, queue } => {
            json!({ "type": "OFPAT_ENQUEUE", "port": port_to_json(*port), "queue_id": queue })
        }
        Action::SetField(Oxm::Known { field, value, .. }) => {
            json!({ "type": "OFPAT_SET_FIELD", "field": field.name(), "value": shown(field.format(), *value) })
        }
        other => json!({ "type": format!("{other:?}") }),
    }
}

/// Actions, from their JSON.
pub(super) fn actions_from_json(value: &Value) -> Result<Vec<Action>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) if list.len() > ACTIONS_MAX => Err("too many actions".into()),
        Value::Array(list) => list.iter().map(action_from_json).collect(),
        _ => Err("actions are a list".into()),
    }
}

fn action_from_json(value: &Value) -> Result<Action, String> {
    let kind = value["type"].as_str().ok_or_else(|| format!("{value} has no type"))?;
    let small = |name: &str, most: u64| {
        value[name]
            .as_u64()
            .filter(|number| *number <= most)
            .ok_or_else(|| format!("{kind} takes {name}, at most {most}"))
    };
    let mac = || {
        value["dl_addr"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{kind} takes dl_addr"))
    };
    let ip = || {
        value["nw_addr"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{kind} takes nw_addr"))
    };
    Ok(match kind {
        "OFPAT_OUTPUT" => {
            let max_len = value["max_len"].as_u64().map_or(0xffff, |length| length.min(0xffff) as u16);
            Action::Output { port: port_from_json(&value["port"])?, max_len }
        }
        "OFPAT_SET_VLAN_VID" => Action::SetVlanVid(small("vlan_vid", 0xfff)? as u16),
        "OFPAT_SET_VLAN_PCP" => Action::SetVlanPcp(small("vlan_pcp", 7)? as u8),
        "OFPAT_STRIP_VLAN" => Action::StripVlan,
        "OFPAT_SET_DL_SRC" => Action::SetDlSrc(mac()?),
        "OFPAT_SET_DL_DST" => Action::SetDlDst(mac()?),
        "OFPAT_SET_NW_SRC" => Action::SetNwSrc(ip()?),
        "OFPAT_SET_NW_DST" => Action::SetNwDst(ip()?),
        "OFPAT_SET_NW_TOS" => Action::SetNwTos(small("nw_tos", 255)? as u8),
        "OFPAT_SET_TP_SRC" => Action::SetTpSrc(small("tp_port", 0xffff)? as u16),
        "OFPAT_SET_TP_DST" => Action::SetTpDst(small("tp_port", 0xffff)? as u16),
        "OFPAT_ENQUEUE" => Action::Enqueue {
            port: port_from_json(&value["port"])?,
            queue: small("queue_id", u64::from(u32::MAX))? as u32,
        },
        "OFPAT_SET_FIELD" => {
            let name = value["field"].as_str().unwrap_or_default();
            let field = Field::from_name(name).ok_or_else(|| format!("there is no field '{name}'"))?;
            let text = value["value"].as_str().map_or_else(|| value["value"].to_string(), str::to_owned);
            let number =
                value_of(field, &text).ok_or_else(|| format!("{name}: {text} is not a value of it"))?;
            Action::SetField(Oxm::exact(field, number))
        }
        other => return Err(format!("there is no action '{}'", other.chars().take(40).collect::<String>())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_read_as_they_were_written() {
        let matches = [
            Match::new(),
            Match::new().in_port(PortNo(3)).eth_dst(MacAddr([2, 0, 0, 0, 0, 1])).vlan_vid(7).vlan_pcp(3),
            Match::new().ipv4_src_masked([10, 0, 0, 0].into(), [255, 0, 0, 0].into()).tcp_dst(80),
            Match::new().ipv4_dst_masked([10, 0, 0, 1].into(), [255, 0, 0, 255].into()),
            Match::new().ipv6_dst("fd00::1".parse().unwrap()).udp_src(53),
            Match::new().arp_op(1).arp_tpa([10, 0, 0, 1].into()),
            Match::new().metadata_masked(0xff00, 0xffff_0000_0000_ff00),
            Match::new().untagged(),
        ];
        for matching in matches {
            let json = match_to_json(&matching);
            let read = match_from_json(&json).unwrap_or_else(|problem| panic!("{json}: {problem}"));
            assert!(read.is_same(&matching), "{json}: {read:?} {matching:?}");
        }
    }

    #[test]
    fn the_names_of_pox_are_understood() {
        let json = json!({ "in_port": "OFPP_LOCAL", "dl_type": "IP", "nw_proto": 6, "tp_dst": 80, "dl_vlan": 65535 });
        let wanted = Match::new().in_port(PortNo::LOCAL).tcp_dst(80).untagged();
        assert!(match_from_json(&json).unwrap().is_same(&wanted));
        let json = json!({ "dl_type": 0x0806, "nw_proto": 1, "nw_dst": "10.0.0.0/8" });
        let wanted = Match::new().arp_op(1).with(Oxm::masked(Field::ArpTpa, 0x0a00_0000, 0xff00_0000));
        assert!(match_from_json(&json).unwrap().is_same(&wanted));
        // What goes without saying.
        let wanted = Match::new().ipv4_dst([10, 0, 0, 1].into());
        assert!(match_from_json(&json!({ "nw_dst": "10.0.0.1" })).unwrap().is_same(&wanted));
        for wrong in [
            json!(5),
            json!({ "nw_dst": "10.0.0.0/33" }),
            json!({ "nw_dst": "x" }),
            json!({ "colour": 1 }),
            json!({ "dl_src": [] }),
            json!({ "dl_type": "IPV6", "nw_dst": "10.0.0.1" }),
            json!({ "nw_proto": 17, "tcp_dst": 80 }),
            json!({ "dl_type": "ARP", "nw_proto": 6, "tp_dst": 80 }),
            json!({ "dl_type": "cheese" }),
            json!({ "nw_proto": 256 }),
            json!({ "nw_proto": "6/7" }),
            json!({ "in_port": -1 }),
        ] {
            assert!(match_from_json(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn actions_are_read_as_they_were_written() {
        let actions = vec![
            Action::SetVlanVid(7),
            Action::StripVlan,
            Action::SetDlDst(MacAddr([2, 0, 0, 0, 0, 1])),
            Action::SetNwSrc([10, 0, 0, 1].into()),
            Action::SetTpDst(80),
            Action::SetField(Oxm::exact(Field::Ipv4Dst, 0x0a00_0001)),
            Action::Enqueue { port: PortNo(1), queue: 2 },
            Action::Output { port: PortNo::CONTROLLER, max_len: 128 },
        ];
        let json = actions_to_json(&[Instruction::ApplyActions(actions.clone())]);
        assert_eq!(actions_from_json(&json).unwrap(), actions);
        for wrong in
            [json!(5), json!([5]), json!([{ "type": "OFPAT_MAGIC" }]), json!([{ "type": "OFPAT_OUTPUT" }])]
        {
            assert!(actions_from_json(&wrong).is_err(), "{wrong}");
        }
    }
}
