//! Nicira's actions: `resubmit(,2)`, `load:0x5->NXM_NX_REG0[0..15]`, `learn(…)`.

use std::fmt;

use super::actions::{Dialect, SetField};
use super::learn;
use super::names;
use super::piece::{Pair, Piece, Result, Wrong};
use super::value::{Hex, port16};
use crate::nicira::{Action, Bundle};
use crate::port::PortNo;

/// Names of Nicira's actions, for corrections.
pub(super) const NAMES: &[&str] = &[
    "resubmit",
    "set_tunnel",
    "set_tunnel64",
    "pop_queue",
    "move",
    "load",
    "note",
    "multipath",
    "bundle",
    "bundle_load",
    "learn",
    "exit",
    "dec_ttl",
    "fin_timeout",
    "set_mpls_label",
    "set_mpls_tc",
    "push",
    "pop",
    "nicira",
];

/// `resubmit`'s port that leaves it (`OFPP_IN_PORT`).
const SAME_PORT: u16 = 0xfff8;
/// `resubmit`'s table that is this one.
const SAME_TABLE: u8 = 0xff;
/// `ofp_packet_in_reason` of an action.
const REASON_ACTION: u8 = 1;

/// Fields to hash, by number (`nx_hash_fields`).
const HASHES: &[&str] =
    &["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"];
/// How a multipath is chosen, by number (`nx_mp_algorithm`).
const MULTIPATHS: &[&str] = &["modulo_n", "hash_threshold", "hrw", "iter_hash"];
/// How a bundle's member is chosen, by number (`nx_bd_algorithm`).
const BUNDLES: &[&str] = &["active_backup", "hrw"];
/// Reasons of packet-ins, by number.
const REASONS: &[&str] = &["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

/// `NXM_OF_IN_PORT`'s header, what a bundle's ports are.
const IN_PORT: u32 = 0x0000_0002;
/// Most ports of a bundle and controllers of `dec_ttl`: more do not fit into an action.
const PORTS_MAX: usize = 32_768;

/// A number by its name in a table, or in digits.
struct Named(&'static [&'static str], u16);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(usize::from(self.1)) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.1),
        }
    }
}

fn named(piece: Piece<'_>, names: &'static [&'static str], what: &'static str) -> Result<u16> {
    let piece = piece.trim();
    if let Some(number) = names.iter().position(|name| *name == piece.text) {
        return Ok(number as u16);
    }
    if piece.text.starts_with(|c: char| c.is_ascii_digit()) {
        return piece.u16(what);
    }
    Err(piece.unexpected(what, format!("write one of {}, or a number", names.join(", "))))
}

fn port_name(port: u16) -> PortNo {
    PortNo::from_v10(port)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resubmit(port) => write!(f, "resubmit:{}", port_name(*port)),
            Self::ResubmitTable { port, table } => {
                f.write_str("resubmit(")?;
                if *port != SAME_PORT {
                    write!(f, "{}", port_name(*port))?;
                }
                f.write_str(",")?;
                if *table != SAME_TABLE {
                    write!(f, "{table}")?;
                }
                f.write_str(")")
            }
            Self::SetTunnel(id) => write!(f, "set_tunnel:{id:#x}"),
            Self::SetTunnel64(id) => write!(f, "set_tunnel64:{id:#x}"),
            Self::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Self::PopQueue => f.write_str("pop_queue"),
            Self::RegMove { source, destination } => write!(f, "move:{source}->{destination}"),
            Self::RegLoad { destination, value } => write!(f, "load:{value:#x}->{destination}"),
            Self::RegLoad2(oxm) => SetField(oxm).fmt(f),
            Self::Note(bytes) => {
                f.write_str("note:")?;
                bytes.iter().enumerate().try_for_each(|(index, byte)| {
                    write!(f, "{}{byte:02x}", if index == 0 { "" } else { "." })
                })
            }
            Self::Multipath { fields, basis, algorithm, max_link, argument, destination } => write!(
                f,
                "multipath({},{basis},{},{},{argument},{destination})",
                Named(HASHES, *fields),
                Named(MULTIPATHS, *algorithm),
                u32::from(*max_link) + 1,
            ),
            Self::Bundle(bundle) => write!(f, "bundle({})", BundleText(bundle)),
            Self::BundleLoad(bundle) => write!(f, "bundle_load({})", BundleText(bundle)),
            Self::OutputReg { source, .. } => write!(f, "output:{source}"),
            Self::Learn(learn) => write!(f, "learn({})", learn::Text(learn)),
            Self::Exit => f.write_str("exit"),
            Self::DecTtl => f.write_str("dec_ttl"),
            Self::DecTtlControllers(controllers) if controllers.is_empty() => f.write_str("dec_ttl(,)"),
            Self::DecTtlControllers(controllers) => {
                write!(f, "dec_ttl({})", super::actions::List(controllers))
            }
            Self::FinTimeout { idle, hard } => {
                write!(f, "fin_timeout(idle_timeout={idle},hard_timeout={hard})")
            }
            Self::Controller { max_len, controller, reason } => {
                f.write_str("controller(")?;
                if *reason != REASON_ACTION {
                    write!(f, "reason={},", Named(REASONS, u16::from(*reason)))?;
                }
                write!(f, "max_len={max_len}")?;
                if *controller != 0 {
                    write!(f, ",id={controller}")?;
                }
                f.write_str(")")
            }
            Self::PushMpls(ethertype) => write!(f, "push_mpls:{ethertype:#06x}"),
            Self::PopMpls(ethertype) => write!(f, "pop_mpls:{ethertype:#06x}"),
            Self::SetMplsLabel(label) => write!(f, "set_mpls_label({label})"),
            Self::SetMplsTc(class) => write!(f, "set_mpls_tc({class})"),
            Self::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Self::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Self::StackPush(range) => write!(f, "push:{range}"),
            Self::StackPop(range) => write!(f, "pop:{range}"),
            Self::Other { subtype, data } => write!(f, "nicira(subtype={subtype},data={})", Hex(data)),
        }
    }
}

struct BundleText<'a>(&'a Bundle);

impl fmt::Display for BundleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bundle { algorithm, fields, basis, port_type, destination, ports } = self.0;
        write!(f, "{},{basis},{},", Named(HASHES, *fields), Named(BUNDLES, *algorithm))?;
        match *port_type {
            IN_PORT => f.write_str("ofport")?,
            other => write!(f, "{other:#010x}")?,
        }
        if let Some(destination) = destination {
            write!(f, ",{destination}")?;
        }
        f.write_str(",members:")?;
        for (index, port) in ports.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { "," }, port_name(*port))?;
        }
        Ok(())
    }
}

/// The arguments between commas, which must be `N` of them.
fn arguments<'a, const N: usize>(piece: Piece<'a>, help: &str) -> Result<[Piece<'a>; N]> {
    let all: Vec<Piece<'a>> = piece.split(',').map(Piece::trim).take(N + 1).collect();
    <[Piece<'a>; N]>::try_from(all).map_err(|_| piece.unexpected("list of arguments", help))
}

fn bundle(piece: Piece<'_>, load: bool, strict: bool) -> Result<Bundle> {
    let help = if load {
        "write bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:1,2)"
    } else {
        "write bundle(eth_src,0,hrw,ofport,members:1,2)"
    };
    let wrong = || piece.unexpected("bundle", help);
    let (head, ports) =
        piece.split_once("members:").or_else(|| piece.split_once("slaves:")).ok_or_else(wrong)?;
    let head = head.trim().strip_suffix(",").ok_or_else(wrong)?;
    // What has a destination too many or too few is kept, but not taken from people.
    let has_destination = head.text.split(',').count() == 5;
    if strict && has_destination != load {
        return Err(wrong());
    }
    let [fields, basis, algorithm, port_type, destination] = if has_destination {
        arguments::<5>(head, help)?
    } else {
        let [fields, basis, algorithm, port_type] = arguments::<4>(head, help)?;
        [fields, basis, algorithm, port_type, head.end()]
    };
    let ports = ports.trim();
    let ports = if ports.is_empty() {
        Vec::new()
    } else {
        ports.split(',').take(PORTS_MAX).map(port16).collect::<Result<_>>()?
    };
    Ok(Bundle {
        fields: named(fields, HASHES, "set of fields to hash")?,
        basis: basis.u16("basis of a hash")?,
        algorithm: named(algorithm, BUNDLES, "way to choose a member")?,
        port_type: if port_type.text == "ofport" { IN_PORT } else { port_type.u32("type of ports")? },
        destination: if has_destination { Some(names::range(destination)?) } else { None },
        ports,
    })
}

fn multipath(piece: Piece<'_>) -> Result<Action> {
    let help = "write multipath(eth_src,50,modulo_n,4,0,NXM_NX_REG0[])";
    let [fields, basis, algorithm, links, argument, destination] = arguments::<6>(piece, help)?;
    let count = links.number("number of links", 65_536)?;
    let max_link =
        count.checked_sub(1).ok_or_else(|| links.unexpected("number of links", "write at least 1"))?;
    Ok(Action::Multipath {
        fields: named(fields, HASHES, "set of fields to hash")?,
        basis: basis.u16("basis of a hash")?,
        algorithm: named(algorithm, MULTIPATHS, "way to choose a link")?,
        max_link: max_link as u16,
        argument: argument.u32("argument of a hash")?,
        destination: names::range(destination)?,
    })
}

/// `PORT`, `PORT,TABLE`, `,TABLE`; in parentheses or behind a colon.
fn resubmit(pair: Pair<'_>) -> Result<Action> {
    let value = pair.needed("port or table")?;
    let Some((port, table)) = value.split_once(",") else {
        return port16(value).map(Action::Resubmit);
    };
    let (port, table) = (port.trim(), table.trim());
    Ok(Action::ResubmitTable {
        port: if port.is_empty() { SAME_PORT } else { port16(port)? },
        table: if table.is_empty() { SAME_TABLE } else { table.u8("table")? },
    })
}

/// What is before and behind the arrow.
fn arrow<'a>(pair: Pair<'a>, help: &str) -> Result<(Piece<'a>, Piece<'a>)> {
    let value = pair.needed("source and destination")?;
    value.rsplit_once("->").ok_or_else(|| value.unexpected("source and destination", help))
}

/// Bytes with points between, made as long as the action must be.
fn note(piece: Piece<'_>, strict: bool) -> Result<Vec<u8>> {
    /// Bytes of a note: the action without its header is 6 bytes and a multiple of 8.
    const FIRST: usize = 6;
    /// An action has at most 65,528 bytes.
    const NOTE_MAX: usize = 65_518;
    let digits: String = piece.text.chars().filter(|c| *c != '.').collect();
    if digits.len() > 2 * NOTE_MAX {
        return Err(piece.unexpected("note that fits into an action", "write fewer bytes"));
    }
    let bytes = Piece { text: &digits, at: 0 }.bytes("note");
    let mut bytes = bytes.map_err(|_| piece.unexpected("note", "write bytes as 00.11.ff"))?;
    if !strict {
        return Ok(bytes);
    }
    let length = FIRST + bytes.len().saturating_sub(FIRST).next_multiple_of(8);
    bytes.resize(length, 0);
    Ok(bytes)
}

fn controller(piece: Piece<'_>) -> Result<Action> {
    let (mut max_len, mut controller, mut reason) = (u16::MAX, 0, REASON_ACTION);
    for pair in piece.pairs() {
        let pair = pair?;
        match pair.key.text {
            "max_len" => max_len = pair.needed("bytes to send")?.u16("bytes to send")?,
            "id" => controller = pair.needed("controller id")?.u16("controller id")?,
            "reason" => {
                let value = pair.needed("reason")?;
                reason = u8::try_from(named(value, REASONS, "reason")?)
                    .map_err(|_| value.unexpected("reason", "write a number up to 255"))?;
            }
            _ => {
                return Err(pair.key.unexpected("part of controller(…)", "write reason=, max_len= or id="));
            }
        }
    }
    Ok(Action::Controller { max_len, controller, reason })
}

fn fin_timeout(piece: Piece<'_>) -> Result<Action> {
    let (mut idle, mut hard) = (0, 0);
    for pair in piece.pairs() {
        let pair = pair?;
        match pair.key.text {
            "idle_timeout" => idle = pair.needed("seconds")?.u16("seconds")?,
            "hard_timeout" => hard = pair.needed("seconds")?.u16("seconds")?,
            _ => {
                let help = "write idle_timeout= or hard_timeout=";
                return Err(pair.key.unexpected("part of fin_timeout(…)", help));
            }
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

fn opaque(piece: Piece<'_>) -> Result<Action> {
    let (mut subtype, mut data) = (None, Vec::new());
    for pair in piece.pairs() {
        let pair = pair?;
        match pair.key.text {
            "subtype" => subtype = Some(pair.needed("subtype")?.u16("subtype")?),
            "data" => data = pair.value.unwrap_or(pair.key.end()).bytes("bytes")?,
            _ => return Err(pair.key.unexpected("part of nicira(…)", "write subtype= and data=")),
        }
    }
    match subtype {
        Some(subtype) => Ok(Action::Other { subtype, data }),
        None => Err(piece.error(Wrong::Missing { wanted: "subtype" }, "write `subtype=` and its number")),
    }
}

/// The action of that name; `None` if Nicira has none.
pub(super) fn parse(pair: Pair<'_>, key: &str, dialect: Dialect) -> Result<Option<Action>> {
    let value = |what| pair.needed(what);
    let bare = |action| pair.bare().map(|()| action);
    Ok(Some(match key {
        "resubmit" => resubmit(pair)?,
        "set_tunnel" => {
            let text = value("tunnel id")?;
            let id = text.u64("tunnel id")?;
            u32::try_from(id).map_or(Action::SetTunnel64(id), Action::SetTunnel)
        }
        "set_tunnel64" => Action::SetTunnel64(value("tunnel id")?.u64("tunnel id")?),
        "pop_queue" => bare(Action::PopQueue)?,
        "move" => {
            let (source, destination) = arrow(pair, "write move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]")?;
            let (from, to) = (names::range(source)?, names::range(destination)?);
            if dialect.strict && from.bits != to.bits {
                let help = format!("write {} bits, as many as are moved", from.bits);
                return Err(destination.unexpected("range as long as the one moved", help));
            }
            Action::RegMove { source: from, destination: to }
        }
        "load" => {
            let (text, destination) = arrow(pair, "write load:0x5->NXM_NX_REG0[0..15]")?;
            let destination = names::range(destination)?;
            let value = text.u64("value")?;
            if dialect.strict && destination.bits < 64 && value >> destination.bits != 0 {
                let help = format!("write a value of {} bits at most", destination.bits);
                return Err(text.unexpected("value that fits there", help));
            }
            Action::RegLoad { destination, value }
        }
        "note" => Action::Note(note(pair.value.unwrap_or(pair.key.end()), dialect.strict)?),
        "multipath" => multipath(value("list of arguments")?)?,
        "bundle" => Action::Bundle(bundle(value("list of arguments")?, false, dialect.strict)?),
        "bundle_load" => Action::BundleLoad(bundle(value("list of arguments")?, true, dialect.strict)?),
        "learn" => Action::Learn(learn::parse(pair.value.unwrap_or(pair.key.end()))?),
        "exit" => bare(Action::Exit)?,
        "dec_ttl" => {
            let ids = value("controller ids")?;
            if ids.text == "," {
                return Ok(Some(Action::DecTtlControllers(Vec::new())));
            }
            let ids = ids.split(',').take(PORTS_MAX).map(|id| id.u16("controller id"));
            Action::DecTtlControllers(ids.collect::<Result<_>>()?)
        }
        "fin_timeout" => fin_timeout(pair.value.unwrap_or(pair.key.end()))?,
        "controller" if pair.whole.text.ends_with(')') => controller(pair.value.unwrap_or(pair.key.end()))?,
        "set_mpls_label" => {
            let limit = if dialect.strict { 0xf_ffff } else { u32::MAX.into() };
            Action::SetMplsLabel(value("MPLS label")?.number("MPLS label", limit)? as u32)
        }
        "set_mpls_tc" => {
            let limit = if dialect.strict { 7 } else { u8::MAX.into() };
            Action::SetMplsTc(value("traffic class")?.number("traffic class", limit)? as u8)
        }
        "push" => Action::StackPush(names::range(value("field")?)?),
        "pop" => Action::StackPop(names::range(value("field")?)?),
        "nicira" => opaque(value("subtype and data")?)?,
        _ => return Ok(None),
    }))
}
