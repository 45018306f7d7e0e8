//! Groups and meters: `group_id=1,type=select,bucket=weight:2,actions=output:1`, `meter=1 kbps bands=…`.

use std::fmt;

use super::actions::{self, Actions, Dialect};
use super::names::nearest;
use super::piece::{Piece, Result, Wrong};
use super::value::{Hex, port};
use crate::group::{ANY, Bucket, GroupCommand, GroupDescription, GroupKind, GroupMod};
use crate::meter::{self, Band, BandKind, MeterCommand, MeterConfig, MeterMod, flags};
use crate::port::PortNo;

const KINDS: &[(GroupKind, &str)] = &[
    (GroupKind::All, "all"),
    (GroupKind::Select, "select"),
    (GroupKind::Indirect, "indirect"),
    (GroupKind::FastFailover, "ff"),
];

/// Words of commands: as `ovs-ofctl` prints them, as people write them.
const COMMANDS: &[(&str, &str, GroupCommand, MeterCommand)] = &[
    ("ADD", "add", GroupCommand::Add, MeterCommand::Add),
    ("MOD", "modify", GroupCommand::Modify, MeterCommand::Modify),
    ("DEL", "delete", GroupCommand::Delete, MeterCommand::Delete),
];

/// Most buckets of a group and bands of a meter: more do not fit into a message.
const PARTS_MAX: usize = 8192;

const FLAGS: &[(&str, u16)] =
    &[("kbps", flags::KBPS), ("pktps", flags::PKTPS), ("burst", flags::BURST), ("stats", flags::STATS)];

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (KINDS.iter().find(|(kind, _)| kind == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Self::Other(kind)) => write!(f, "{kind}"),
            (None, _) => Err(fmt::Error),
        }
    }
}

fn kind(piece: Piece<'_>) -> Result<GroupKind> {
    let text = piece.text;
    if text == "fast_failover" {
        return Ok(GroupKind::FastFailover);
    }
    if let Some((kind, _)) = KINDS.iter().find(|(_, name)| *name == text) {
        return Ok(*kind);
    }
    match piece.u8("kind of group") {
        Ok(number) => Ok(GroupKind::Other(number)),
        Err(_) => Err(piece.unexpected("kind of group", "write all, select, indirect or ff")),
    }
}

/// The weight of a bucket that tells none.
fn weight_untold(kind: GroupKind) -> u16 {
    u16::from(kind == GroupKind::Select)
}

fn write_bucket(f: &mut fmt::Formatter<'_>, bucket: &Bucket, untold: u16) -> fmt::Result {
    if bucket.weight != untold {
        write!(f, "weight:{},", bucket.weight)?;
    }
    if bucket.watch_port != PortNo::ANY {
        write!(f, "watch_port:{},", bucket.watch_port)?;
    }
    if bucket.watch_group != ANY {
        write!(f, "watch_group:{},", bucket.watch_group)?;
    }
    write!(f, "actions={}", Actions(&bucket.actions))
}

impl fmt::Display for Bucket {
    /// `weight:2,actions=output:1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bucket(f, self, 0)
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, group: u32, kind: GroupKind, buckets: &[Bucket]) -> fmt::Result {
    write!(f, "group_id={group},type={kind}")?;
    buckets.iter().try_for_each(|bucket| {
        f.write_str(",bucket=")?;
        write_bucket(f, bucket, weight_untold(kind))
    })
}

impl fmt::Display for GroupMod {
    /// `ADD group_id=1,type=all,bucket=actions=output:1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (COMMANDS.iter().find(|(_, _, command, _)| *command == self.command), self.command) {
            (Some((name, ..)), _) => write!(f, "{name} ")?,
            (None, GroupCommand::Other(command)) => write!(f, "cmd:{command} ")?,
            (None, _) => return Err(fmt::Error),
        }
        write_group(f, self.group, self.kind, &self.buckets)
    }
}

impl fmt::Display for GroupDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_group(f, self.group, self.kind, &self.buckets)
    }
}

fn bucket(piece: Piece<'_>, weight: u16, dialect: Dialect) -> Result<Bucket> {
    let mut bucket = Bucket { weight, watch_port: PortNo::ANY, watch_group: ANY, actions: Vec::new() };
    let mut pairs = piece.pairs();
    loop {
        let rest = pairs.rest();
        let rest = rest.from(rest.text.len() - rest.text.trim_start_matches([',', ' ', '\n', '\t']).len());
        if let Some(list) = rest.strip_prefix("actions=") {
            bucket.actions = actions::actions(list, dialect)?;
            return Ok(bucket);
        }
        let Some(pair) = pairs.next().transpose()? else { return Ok(bucket) };
        let value = |what| pair.needed(what);
        match pair.key.text {
            "weight" => bucket.weight = value("weight")?.u16("weight")?,
            "watch_port" => bucket.watch_port = port(value("port")?)?,
            "watch_group" => bucket.watch_group = value("group")?.u32("group")?,
            // 1.5's numbers of buckets; 1.3 counts them.
            "bucket_id" => {
                value("bucket")?.u32("bucket")?;
            }
            _ => {
                bucket.actions = actions::actions(rest, dialect)?;
                return Ok(bucket);
            }
        }
    }
}

/// What stands before the first `bucket=`, and each behind one.
fn buckets(piece: Piece<'_>) -> (Piece<'_>, Vec<Piece<'_>>) {
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(at) = piece.text[from..].find("bucket=") {
        let at = from + at;
        let alone = piece.text[..at].chars().next_back().is_none_or(|c| matches!(c, ',' | ' ' | '\t' | '\n'));
        if alone {
            starts.push(at);
        }
        from = at + "bucket=".len();
    }
    let head = piece.part(0..starts.first().copied().unwrap_or(piece.text.len()));
    let ends = starts.iter().skip(1).copied().chain([piece.text.len()]);
    let bodies =
        starts.iter().zip(ends).map(|(start, end)| piece.part(start + "bucket=".len()..end)).collect();
    (head, bodies)
}

/// A group-mod as a person writes it, or as a message's text has it.
pub(super) fn group_mod(piece: Piece<'_>, dialect: Dialect) -> Result<GroupMod> {
    let (head, bodies) = buckets(piece);
    if bodies.len() > PARTS_MAX {
        return Err(head.end().unexpected("group that fits into a message", "leave buckets out"));
    }
    let mut command = GroupCommand::Add;
    let (mut group, mut of) = (None, None);
    for pair in head.pairs() {
        let pair = pair?;
        let value = |what| pair.needed(what);
        match pair.key.text {
            "group_id" => {
                let text = value("group")?;
                group = Some(if text.text == "all" { crate::group::ALL } else { text.u32("group")? });
            }
            "type" => of = Some(kind(value("kind of group")?)?),
            "cmd" => command = GroupCommand::Other(value("command")?.u16("command")?),
            key => match COMMANDS.iter().find(|(printed, written, ..)| [*printed, *written].contains(&key)) {
                Some((_, _, known, _)) => {
                    pair.bare()?;
                    command = *known;
                }
                None => {
                    let known = ["group_id", "type", "bucket", "add", "modify", "delete"];
                    let help = match nearest(key, known.into_iter()) {
                        Some(name) => format!("did you mean `{name}`?"),
                        None => "write group_id=1,type=all,bucket=output:1".to_owned(),
                    };
                    return Err(pair.key.unexpected("part of a group", help));
                }
            },
        }
    }
    let missing = |wanted, help: &str| head.trim().end().error(Wrong::Missing { wanted }, help);
    let removes = command == GroupCommand::Delete;
    let group = match group {
        Some(group) => group,
        None if removes => crate::group::ALL,
        None => return Err(missing("group_id", "write `group_id=` and a number")),
    };
    let kind = match of {
        Some(kind) => kind,
        None if removes || !dialect.strict => GroupKind::All,
        None => return Err(missing("type", "write `type=` and all, select, indirect or ff")),
    };
    let buckets =
        bodies.into_iter().map(|body| bucket(body, weight_untold(kind), dialect)).collect::<Result<_>>()?;
    Ok(GroupMod { command, kind, group, buckets })
}

/// A group as it is described.
pub(super) fn description(piece: Piece<'_>, dialect: Dialect) -> Result<GroupDescription> {
    let GroupMod { kind, group, buckets, .. } = group_mod(piece, dialect)?;
    Ok(GroupDescription { kind, group, buckets })
}

/// A group as `ovs-ofctl add-group` takes it, or as a printed group-mod has it. The first word may be a command: `add`
/// (without one), `modify`, `delete`.
///
/// ```
/// let group = openflow::text::parse_group("group_id=1,type=select,bucket=weight:2,output:1,bucket=output:2")?;
/// assert_eq!(
///     group.to_string(),
///     "ADD group_id=1,type=select,bucket=weight:2,actions=output:1,bucket=actions=output:2"
/// );
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is no part of a group, a value that does not fit, a missing number or kind; with the place.
pub fn parse_group(text: &str) -> Result<GroupMod> {
    group_mod(Piece::new(text)?, Dialect::PERSON)
}

/// A meter by its name or number.
pub(super) struct MeterId(pub(super) u32);

const METERS: &[(u32, &str)] =
    &[(meter::ALL, "all"), (meter::CONTROLLER, "controller"), (meter::SLOWPATH, "slowpath")];

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match METERS.iter().find(|(meter, _)| *meter == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

pub(super) fn meter_id(piece: Piece<'_>) -> Result<u32> {
    match METERS.iter().find(|(_, name)| *name == piece.text) {
        Some((meter, _)) => Ok(*meter),
        None => piece.u32("meter"),
    }
}

fn write_meter(f: &mut fmt::Formatter<'_>, meter: u32, flags: u16, bands: &[Band]) -> fmt::Result {
    write!(f, "meter={} ", MeterId(meter))?;
    let mut rest = flags;
    for (name, bit) in FLAGS {
        if rest & bit != 0 {
            write!(f, "{name} ")?;
            rest &= !bit;
        }
    }
    if rest != 0 {
        write!(f, "flags:{rest:#x} ")?;
    }
    f.write_str("bands=")?;
    for band in bands {
        match &band.kind {
            BandKind::Drop => write!(f, "\ntype=drop rate={}", band.rate)?,
            BandKind::DscpRemark { .. } => write!(f, "\ntype=dscp_remark rate={}", band.rate)?,
            BandKind::Experimenter { experimenter, data } => {
                write!(f, "\ntype=experimenter rate={} id={experimenter:#x} data={}", band.rate, Hex(data))?;
            }
            BandKind::Other { kind, data } => {
                write!(f, "\ntype={kind} rate={} data={}", band.rate, Hex(data))?;
            }
        }
        if flags & flags::BURST != 0 || band.burst != 0 {
            write!(f, " burst_size={}", band.burst)?;
        }
        if let BandKind::DscpRemark { precedence } = band.kind {
            write!(f, " prec_level={precedence}")?;
        }
    }
    Ok(())
}

impl fmt::Display for MeterMod {
    /// `ADD meter=1 kbps burst bands=`, and a line for each band.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (COMMANDS.iter().find(|(.., command)| *command == self.command), self.command) {
            (Some((name, ..)), _) => write!(f, "{name} ")?,
            (None, MeterCommand::Other(command)) => write!(f, "cmd:{command} ")?,
            (None, _) => return Err(fmt::Error),
        }
        write_meter(f, self.meter, self.flags, &self.bands)
    }
}

impl fmt::Display for MeterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_meter(f, self.meter, self.flags, &self.bands)
    }
}

/// A band's parts until it is known what it is.
#[derive(Default)]
struct BandParts {
    rate: u32,
    burst: u32,
    precedence: u8,
    experimenter: u32,
    data: Vec<u8>,
}

/// A meter-mod as a person writes it, or as a message's text has it.
pub(super) fn meter_mod(piece: Piece<'_>, strict: bool) -> Result<MeterMod> {
    let mut command = MeterCommand::Add;
    let (mut number, mut set) = (None, 0);
    let mut bands: Vec<(Piece<'_>, BandParts)> = Vec::new();
    for pair in piece.pairs() {
        let mut pair = pair?;
        // `band=type=drop`: the key of what follows.
        while let ("band" | "bands", Some(value)) = (pair.key.text, pair.value) {
            let Some(inner) = value.pairs().next().transpose()? else { break };
            pair = inner;
        }
        let value = |what| pair.needed(what);
        match pair.key.text {
            "band" | "bands" => {}
            "meter" => number = Some(meter_id(value("meter")?)?),
            "cmd" => command = MeterCommand::Other(value("command")?.u16("command")?),
            "flags" => set |= value("flags")?.u16("flags")?,
            "type" => {
                if bands.len() == PARTS_MAX {
                    return Err(pair.whole.unexpected("band that fits into a message", "leave bands out"));
                }
                bands.push((value("kind of band")?, BandParts::default()));
            }
            key => {
                if let Some((_, bit)) = FLAGS.iter().find(|(name, _)| *name == key) {
                    pair.bare()?;
                    set |= bit;
                } else if let Some((.., known)) =
                    COMMANDS.iter().find(|(printed, written, ..)| [*printed, *written].contains(&key))
                {
                    pair.bare()?;
                    command = *known;
                } else {
                    band_part(pair, bands.last_mut().map(|(_, parts)| parts))?;
                }
            }
        }
    }
    let removes = command == MeterCommand::Delete;
    let meter = match number {
        Some(meter) => meter,
        None if removes => meter::ALL,
        None => {
            return Err(piece.end().error(Wrong::Missing { wanted: "meter" }, "write `meter=` and a number"));
        }
    };
    let bands: Vec<Band> = bands.into_iter().map(|(kind, parts)| band(kind, parts)).collect::<Result<_>>()?;
    if strict && set & (flags::KBPS | flags::PKTPS) == 0 && !removes {
        return Err(piece.end().error(Wrong::Missing { wanted: "unit of rates" }, "write `kbps` or `pktps`"));
    }
    if strict && bands.iter().any(|band| band.burst != 0) {
        set |= flags::BURST;
    }
    Ok(MeterMod { command, flags: set, meter, bands })
}

fn band_part(pair: super::piece::Pair<'_>, parts: Option<&mut BandParts>) -> Result<()> {
    let wrong = |help: &str| pair.key.unexpected("part of a meter", help);
    let parts = parts.ok_or_else(|| wrong("write meter=1 kbps band=type=drop,rate=1000"))?;
    let value = |what| pair.needed(what);
    match pair.key.text {
        "rate" => parts.rate = value("rate")?.u32("rate")?,
        "burst_size" => parts.burst = value("burst size")?.u32("burst size")?,
        "prec_level" => parts.precedence = value("precedence")?.u8("precedence")?,
        "id" => parts.experimenter = value("experimenter")?.u32("experimenter")?,
        "data" => parts.data = pair.value.unwrap_or(pair.key.end()).bytes("bytes")?,
        _ => return Err(wrong("write rate=, burst_size= or prec_level=")),
    }
    Ok(())
}

fn band(kind: Piece<'_>, parts: BandParts) -> Result<Band> {
    let BandParts { rate, burst, precedence, experimenter, data } = parts;
    let kind = match kind.text {
        "drop" => BandKind::Drop,
        "dscp_remark" => BandKind::DscpRemark { precedence },
        "experimenter" => BandKind::Experimenter { experimenter, data },
        text if text.starts_with(|c: char| c.is_ascii_digit()) => {
            BandKind::Other { kind: kind.u16("kind of band")?, data }
        }
        _ => return Err(kind.unexpected("kind of band", "write drop or dscp_remark")),
    };
    Ok(Band { rate, burst, kind })
}

/// A meter as it is configured.
pub(super) fn meter_config(piece: Piece<'_>) -> Result<MeterConfig> {
    let MeterMod { flags, meter, bands, .. } = meter_mod(piece, false)?;
    Ok(MeterConfig { flags, meter, bands })
}

/// A meter as `ovs-ofctl add-meter` takes it, or as a printed meter-mod has it. The first word may be a command: `add`
/// (without one), `modify`, `delete`.
///
/// ```
/// let meter = openflow::text::parse_meter("meter=1,kbps,band=type=drop,rate=1000,burst_size=100")?;
/// assert_eq!(meter.to_string(), "ADD meter=1 kbps burst bands=\ntype=drop rate=1000 burst_size=100");
/// # Ok::<(), openflow::text::ParseError>(())
/// ```
///
/// # Errors
/// What is no part of a meter, a value that does not fit, a missing number or unit; with the place.
pub fn parse_meter(text: &str) -> Result<MeterMod> {
    meter_mod(Piece::new(text)?, true)
}
