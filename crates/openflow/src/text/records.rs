//! The forms of statistics and descriptions, each for both ways. As `ovs-ofctl ofp-print` writes them, but that nothing is
//! left out: what it has no words for stands there in numbers.

use packet::wire::MacAddr;

use super::pen::{Bits, Pen, is_word};
use super::piece::Piece;
use crate::Version;
use crate::group::{GroupFeatures, GroupStats};
use crate::message::{
    AsyncConfig, Features, PortMod, PortReason, PortStatus, Role, RoleMessage, SwitchConfig, TableMod,
};
use crate::meter::{MeterFeatures, MeterStats};
use crate::multipart::{AggregateStats, Description};
use crate::port::{Port, PortNo, PortStats};
use crate::queue::{Queue, QueueProperty, QueueStats};
use crate::table::TableStats;

const fn bit(at: u32, name: &'static str) -> (u32, u32, &'static str) {
    (1 << at, 1 << at, name)
}

const CAPABILITIES_10: &Bits = &[
    bit(0, "FLOW_STATS"),
    bit(1, "TABLE_STATS"),
    bit(2, "PORT_STATS"),
    bit(3, "STP"),
    bit(5, "IP_REASM"),
    bit(6, "QUEUE_STATS"),
    bit(7, "ARP_MATCH_IP"),
];
const CAPABILITIES_13: &Bits = &[
    bit(0, "FLOW_STATS"),
    bit(1, "TABLE_STATS"),
    bit(2, "PORT_STATS"),
    bit(3, "GROUP_STATS"),
    bit(5, "IP_REASM"),
    bit(6, "QUEUE_STATS"),
    bit(8, "PORT_BLOCKED"),
];
const ACTIONS_10: &Bits = &[
    bit(0, "output"),
    bit(11, "enqueue"),
    bit(1, "set_vlan_vid"),
    bit(2, "set_vlan_pcp"),
    bit(3, "strip_vlan"),
    bit(4, "mod_dl_src"),
    bit(5, "mod_dl_dst"),
    bit(6, "mod_nw_src"),
    bit(7, "mod_nw_dst"),
    bit(8, "mod_nw_tos"),
    bit(9, "mod_tp_src"),
    bit(10, "mod_tp_dst"),
];
const ACTIONS_13: &Bits = &[
    bit(0, "output"),
    bit(11, "copy_ttl_out"),
    bit(12, "copy_ttl_in"),
    bit(15, "set_mpls_ttl"),
    bit(16, "dec_mpls_ttl"),
    bit(17, "push_vlan"),
    bit(18, "pop_vlan"),
    bit(19, "push_mpls"),
    bit(20, "pop_mpls"),
    bit(21, "set_queue"),
    bit(22, "group"),
    bit(23, "mod_nw_ttl"),
    bit(24, "dec_ttl"),
    bit(25, "set_field"),
    bit(26, "push_pbb"),
    bit(27, "pop_pbb"),
    bit(18, "strip_vlan"), // `ovs-ofctl` has one name for 1.0's and 1.3's
];
const PORT_CONFIG: &Bits = &[
    bit(0, "PORT_DOWN"),
    bit(1, "NO_STP"),
    bit(2, "NO_RECV"),
    bit(3, "NO_RECV_STP"),
    bit(4, "NO_FLOOD"),
    bit(5, "NO_FWD"),
    bit(6, "NO_PACKET_IN"),
];
const PORT_STATE: &Bits = &[
    (0x300, 0x100, "STP_LEARN"),
    (0x300, 0x200, "STP_FORWARD"),
    (0x300, 0x300, "STP_BLOCK"),
    bit(0, "LINK_DOWN"),
    bit(1, "BLOCKED"),
    bit(2, "LIVE"),
];
const FEATURES: &Bits = &[
    bit(0, "10MB-HD"),
    bit(1, "10MB-FD"),
    bit(2, "100MB-HD"),
    bit(3, "100MB-FD"),
    bit(4, "1GB-HD"),
    bit(5, "1GB-FD"),
    bit(6, "10GB-FD"),
    bit(7, "40GB-FD"),
    bit(8, "100GB-FD"),
    bit(9, "1TB-FD"),
    bit(10, "OTHER"),
    bit(11, "COPPER"),
    bit(12, "FIBER"),
    bit(13, "AUTO_NEG"),
    bit(14, "AUTO_PAUSE"),
    bit(15, "AUTO_PAUSE_ASYM"),
];
const PACKET_IN: &Bits = &[bit(0, "no_match"), bit(1, "action"), bit(2, "invalid_ttl")];
const PORT_STATUS: &Bits = &[bit(0, "add"), bit(1, "delete"), bit(2, "modify")];
const FLOW_REMOVED: &Bits = &[bit(0, "idle"), bit(1, "hard"), bit(2, "delete"), bit(3, "group_delete")];
const BANDS: &Bits = &[bit(1, "drop"), bit(2, "dscp_remark")];
const METER_FLAGS: &Bits = &[bit(0, "kbps"), bit(1, "pktps"), bit(2, "burst"), bit(3, "stats")];

fn mac<P: Pen>(pen: &mut P, address: &mut MacAddr) -> Result<(), P::Error> {
    let of = |c: char| c.is_ascii_hexdigit() || c == ':';
    let help = "write six pairs of hexadecimal digits";
    pen.token(
        address,
        of,
        |address, f| write!(f, "{address}"),
        |piece| piece.parsed("Ethernet address", help),
    )
}

/// Bits in a line that is left out where there are none.
fn bits_line<P: Pen>(
    pen: &mut P,
    words: &'static str,
    bits: &mut u32,
    names: &'static Bits,
) -> Result<(), P::Error> {
    if pen.maybe(words, *bits != 0)? { pen.bits(bits, names, "0") } else { Ok(()) }
}

/// `kbit/s` as Mbit/s, with what is behind the point where there is something.
fn speed<P: Pen>(pen: &mut P, kbit: &mut u32) -> Result<(), P::Error> {
    let read = |piece: Piece<'_>| {
        let (whole, part) = piece.split_once(".").unwrap_or((piece, piece.end()));
        let wrong = || piece.unexpected("speed in Mbit/s", "write at most three digits behind the point");
        let digits = part.text;
        if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(wrong());
        }
        let thousandths: u64 = format!("{digits:0<3}").parse().map_err(|_| wrong())?;
        u32::try_from(u64::from(whole.u32("speed in Mbit/s")?) * 1000 + thousandths).map_err(|_| wrong())
    };
    let write = |kbit: &u32, f: &mut std::fmt::Formatter<'_>| match kbit % 1000 {
        0 => write!(f, "{}", kbit / 1000),
        part => write!(f, "{}.{}", kbit / 1000, format!("{part:03}").trim_end_matches('0')),
    };
    pen.token(kbit, |c| c.is_ascii_digit() || c == '.', write, read)
}

/// `1(eth0): addr:02:00:00:00:00:01` and lines of bits.
pub(super) fn port<P: Pen>(pen: &mut P, port: &mut Port) -> Result<(), P::Error> {
    pen.port(&mut port.number)?;
    pen.text("(")?;
    pen.name(&mut port.name, ')')?;
    pen.text("): addr:")?;
    mac(pen, &mut port.address)?;
    pen.text("\n     config:     ")?;
    pen.bits(&mut port.config, PORT_CONFIG, "0")?;
    pen.text("\n     state:      ")?;
    pen.bits(&mut port.state, PORT_STATE, "0")?;
    bits_line(pen, "\n     current:    ", &mut port.current, FEATURES)?;
    bits_line(pen, "\n     advertised: ", &mut port.advertised, FEATURES)?;
    bits_line(pen, "\n     supported:  ", &mut port.supported, FEATURES)?;
    bits_line(pen, "\n     peer:       ", &mut port.peer, FEATURES)?;
    if pen.maybe("\n     speed: ", (port.speed_current, port.speed_max) != (0, 0))? {
        speed(pen, &mut port.speed_current)?;
        pen.text(" Mbps now, ")?;
        speed(pen, &mut port.speed_max)?;
        pen.text(" Mbps max")?;
    }
    if pen.version() == Some(Version::V10) {
        // It has no speeds; `ovs-ofctl` makes them out of the features.
        (port.speed_current, port.speed_max) = (0, 0);
    }
    Ok(())
}

pub(super) fn ports<P: Pen>(pen: &mut P, ports: &mut Vec<Port>) -> Result<(), P::Error> {
    let more = |pen: &P| pen.ahead("", is_word);
    pen.each_while("\n ", ports, more, |pen, _, one| port(pen, one))
}

pub(super) fn features<P: Pen>(pen: &mut P, features: &mut Features) -> Result<(), P::Error> {
    let ten = pen.version() == Some(Version::V10);
    pen.text(" dpid:")?;
    let digits = |piece: Piece<'_>| {
        u64::from_str_radix(piece.text, 16)
            .map_err(|_| piece.unexpected("datapath id", "write sixteen hexadecimal digits"))
    };
    pen.token(&mut features.datapath, |c| c.is_ascii_hexdigit(), |id, f| write!(f, "{id:016x}"), digits)?;
    pen.text("\nn_tables:")?;
    pen.decimal(&mut features.tables)?;
    pen.text(", n_buffers:")?;
    pen.decimal(&mut features.buffers)?;
    if pen.maybe(", auxiliary_id:", features.auxiliary != 0)? {
        pen.decimal(&mut features.auxiliary)?;
    }
    pen.text("\ncapabilities: ")?;
    pen.bits(&mut features.capabilities, if ten { CAPABILITIES_10 } else { CAPABILITIES_13 }, "0")?;
    if pen.maybe("\nactions: ", ten || features.actions != 0)? {
        pen.bits(&mut features.actions, ACTIONS_10, "0")?;
    }
    ports(pen, &mut features.ports)
}

const FRAGMENTS: &[(u16, &str)] = &[(0, "normal"), (1, "drop"), (2, "reassemble"), (3, "nx-match")];

pub(super) fn switch_config<P: Pen>(pen: &mut P, config: &mut SwitchConfig) -> Result<(), P::Error> {
    pen.text(" frags=")?;
    pen.named(
        &mut config.flags,
        FRAGMENTS,
        "treatment of fragments",
        (u32::from, |number| u16::try_from(number).ok()),
    )?;
    pen.text(" miss_send_len=")?;
    pen.decimal(&mut config.miss_send_len)
}

const REASONS: &[(PortReason, &str)] =
    &[(PortReason::Add, "ADD"), (PortReason::Delete, "DEL"), (PortReason::Modify, "MOD")];

fn reason_number(reason: PortReason) -> u32 {
    match reason {
        PortReason::Add => 0,
        PortReason::Delete => 1,
        PortReason::Modify => 2,
        PortReason::Other(other) => other.into(),
    }
}

pub(super) fn port_status<P: Pen>(pen: &mut P, status: &mut PortStatus) -> Result<(), P::Error> {
    pen.text(" ")?;
    pen.named(
        &mut status.reason,
        REASONS,
        "reason",
        (reason_number, |number| u8::try_from(number).ok().map(PortReason::Other)),
    )?;
    pen.text(": ")?;
    port(pen, &mut status.port)
}

pub(super) fn port_mod<P: Pen>(pen: &mut P, change: &mut PortMod) -> Result<(), P::Error> {
    pen.text(" port: ")?;
    pen.port(&mut change.port)?;
    pen.text(": addr:")?;
    mac(pen, &mut change.address)?;
    pen.text("\n     config: ")?;
    pen.bits(&mut change.config, PORT_CONFIG, "0")?;
    pen.text("\n     mask:   ")?;
    pen.bits(&mut change.mask, PORT_CONFIG, "0")?;
    pen.text("\n     advertise: ")?;
    pen.bits(&mut change.advertise, FEATURES, "UNCHANGED")
}

pub(super) fn table_mod<P: Pen>(pen: &mut P, change: &mut TableMod) -> Result<(), P::Error> {
    const TABLES: &[(u8, &str)] = &[(0xff, "ALL_TABLES")];
    pen.text(" table_id: ")?;
    pen.named(&mut change.table, TABLES, "table", (u32::from, |number| u8::try_from(number).ok()))?;
    if pen.maybe(" config=", change.config != 0)? { pen.hex(&mut change.config) } else { Ok(()) }
}

const ROLES: &[(Role, &str)] = &[
    (Role::NoChange, "nochange"),
    (Role::Equal, "equal"),
    (Role::Master, "primary"),
    (Role::Slave, "secondary"),
    // Their names before OVS 2.15.
    (Role::Master, "master"),
    (Role::Slave, "slave"),
];

pub(super) fn role<P: Pen>(pen: &mut P, role: &mut Role) -> Result<(), P::Error> {
    let number = |role| match role {
        Role::NoChange => 0,
        Role::Equal => 1,
        Role::Master => 2,
        Role::Slave => 3,
        Role::Other(other) => other,
    };
    pen.text(" role=")?;
    pen.named(role, ROLES, "role", (number, |number| Some(Role::Other(number))))
}

pub(super) fn role_message<P: Pen>(pen: &mut P, message: &mut RoleMessage) -> Result<(), P::Error> {
    role(pen, &mut message.role)?;
    if pen.maybe(" generation_id=", message.generation != u64::MAX)? {
        return pen.decimal(&mut message.generation);
    }
    message.generation = u64::MAX;
    Ok(())
}

pub(super) fn async_config<P: Pen>(pen: &mut P, config: &mut AsyncConfig) -> Result<(), P::Error> {
    for (side, name) in ["\n primary:", "\n\n secondary:"].into_iter().enumerate() {
        pen.text(name)?;
        pen.text("\n       PACKET_IN: ")?;
        pen.bits(&mut config.packet_in[side], PACKET_IN, "(off)")?;
        pen.text("\n     PORT_STATUS: ")?;
        pen.bits(&mut config.port_status[side], PORT_STATUS, "(off)")?;
        pen.text("\n    FLOW_REMOVED: ")?;
        pen.bits(&mut config.flow_removed[side], FLOW_REMOVED, "(off)")?;
        // 1.4 has more; `ovs-ofctl` writes them all.
        for word in ["ROLE_STATUS: (off)", "TABLE_STATUS: (off)", "REQUESTFORWARD: (off)"] {
            pen.maybe(word, false)?;
        }
    }
    Ok(())
}

pub(super) fn description<P: Pen>(pen: &mut P, description: &mut Description) -> Result<(), P::Error> {
    pen.text("\nManufacturer:")?;
    line(pen, &mut description.manufacturer)?;
    pen.text("\nHardware:")?;
    line(pen, &mut description.hardware)?;
    pen.text("\nSoftware:")?;
    line(pen, &mut description.software)?;
    pen.text("\nSerial Num:")?;
    line(pen, &mut description.serial)?;
    pen.text("\nDP Description:")?;
    line(pen, &mut description.datapath)
}

/// A blank and text up to the end of the line.
fn line<P: Pen>(pen: &mut P, text: &mut String) -> Result<(), P::Error> {
    pen.text(" ")?;
    pen.name(text, '\n')
}

pub(super) fn aggregate<P: Pen>(pen: &mut P, stats: &mut AggregateStats) -> Result<(), P::Error> {
    pen.text(" packet_count=")?;
    pen.decimal(&mut stats.packets)?;
    pen.text(" byte_count=")?;
    pen.decimal(&mut stats.bytes)?;
    pen.text(" flow_count=")?;
    pen.decimal(&mut stats.flows)
}

pub(super) fn tables<P: Pen>(pen: &mut P, tables: &mut Vec<TableStats>) -> Result<(), P::Error> {
    pen.each("\n  table ", tables, |pen, _, table| {
        pen.decimal(&mut table.table)?;
        if pen.maybe(" (\"", !table.name.is_empty())? {
            pen.name(&mut table.name, '"')?;
            pen.text("\")")?;
        }
        pen.text(":\n    active=")?;
        pen.decimal(&mut table.active)?;
        pen.text(", lookup=")?;
        pen.decimal(&mut table.lookups)?;
        pen.text(", matched=")?;
        pen.decimal(&mut table.matched)?;
        if pen.maybe("\n    max_entries=", (table.max_entries, table.wildcards) != (0, 0))? {
            pen.decimal(&mut table.max_entries)?;
            // `ovs-ofctl` has a list of fields in place of the bits, which is not read.
            if pen.maybe("matching: exact match or wildcard:", false)? {
                return pen.name(&mut String::new(), '\n');
            }
            pen.text("\n    wildcards=")?;
            pen.hex(&mut table.wildcards)?;
        }
        Ok(())
    })
}

/// How many there are, for people.
fn count<P: Pen, T>(pen: &mut P, items: &[T], words: &'static str) -> Result<(), P::Error> {
    pen.text(" ")?;
    pen.decimal(&mut u64::try_from(items.len()).unwrap_or(u64::MAX))?;
    pen.text(words)
}

pub(super) fn port_stats<P: Pen>(pen: &mut P, ports: &mut Vec<PortStats>) -> Result<(), P::Error> {
    count(pen, ports, " ports")?;
    pen.each("\n  port ", ports, |pen, _, stats| {
        pen.port(&mut stats.port)?;
        pen.text(": rx pkts=")?;
        pen.counter(&mut stats.rx_packets)?;
        pen.text(", bytes=")?;
        pen.counter(&mut stats.rx_bytes)?;
        pen.text(", drop=")?;
        pen.counter(&mut stats.rx_dropped)?;
        pen.text(", errs=")?;
        pen.counter(&mut stats.rx_errors)?;
        pen.text(", frame=")?;
        pen.counter(&mut stats.rx_frame_errors)?;
        pen.text(", over=")?;
        pen.counter(&mut stats.rx_over_errors)?;
        pen.text(", crc=")?;
        pen.counter(&mut stats.rx_crc_errors)?;
        pen.text("\n           tx pkts=")?;
        pen.counter(&mut stats.tx_packets)?;
        pen.text(", bytes=")?;
        pen.counter(&mut stats.tx_bytes)?;
        pen.text(", drop=")?;
        pen.counter(&mut stats.tx_dropped)?;
        pen.text(", errs=")?;
        pen.counter(&mut stats.tx_errors)?;
        pen.text(", coll=")?;
        pen.counter(&mut stats.collisions)?;
        age(pen, "\n           duration=", &mut stats.duration)
    })
}

/// A duration that 1.0 has not.
fn age<P: Pen>(pen: &mut P, words: &'static str, duration: &mut (u32, u32)) -> Result<(), P::Error> {
    let told = pen.maybe(words, *duration != (0, 0))? && !pen.maybe("?", false)?;
    if told { pen.duration(duration) } else { Ok(()) }
}

const QUEUES: &[(u32, &str)] = &[(crate::queue::ALL, "ALL")];

/// A queue's number, or all.
pub(super) fn queue_number<P: Pen>(pen: &mut P, queue: &mut u32) -> Result<(), P::Error> {
    pen.named(queue, QUEUES, "queue", (|number| number, Some))
}

pub(super) fn queue_stats<P: Pen>(pen: &mut P, queues: &mut Vec<QueueStats>) -> Result<(), P::Error> {
    count(pen, queues, " queues")?;
    pen.each("\n  port ", queues, |pen, _, stats| {
        pen.port(&mut stats.port)?;
        pen.text(" queue ")?;
        queue_number(pen, &mut stats.queue)?;
        pen.text(": bytes=")?;
        pen.counter(&mut stats.tx_bytes)?;
        pen.text(", pkts=")?;
        pen.counter(&mut stats.tx_packets)?;
        pen.text(", errors=")?;
        pen.counter(&mut stats.tx_errors)?;
        age(pen, ", duration=", &mut stats.duration)
    })
}

/// Rates in tenths of a percent, `(disabled)` above all.
fn rate<P: Pen>(pen: &mut P, rate: &mut u16) -> Result<(), P::Error> {
    let read = |piece: Piece<'_>| {
        if piece.text == "(disabled)" {
            return Ok(u16::MAX);
        }
        let text = piece.strip_suffix("%").unwrap_or(piece);
        let (whole, tenths) = text.split_once(".").unwrap_or((text, text.end()));
        let tenths = if tenths.is_empty() { 0 } else { tenths.number("tenth of a percent", 9)? };
        let rate = whole.number("percentage", 6553)? * 10 + tenths;
        u16::try_from(rate).map_err(|_| piece.unexpected("rate", "write at most 6553.5%"))
    };
    let write = |rate: &u16, f: &mut std::fmt::Formatter<'_>| match *rate {
        u16::MAX => f.write_str("(disabled)"),
        rate => write!(f, "{}.{}%", rate / 10, rate % 10),
    };
    pen.token(rate, |c| is_word(c) || matches!(c, '.' | '%' | '(' | ')'), write, read)
}

/// The queues of that port.
pub(super) fn queues<P: Pen>(pen: &mut P, of: PortNo, queues: &mut Vec<Queue>) -> Result<(), P::Error> {
    pen.each("\nqueue ", queues, |pen, _, queue| {
        pen.decimal(&mut queue.queue)?;
        if pen.maybe(" port ", queue.port != of)? {
            pen.port(&mut queue.port)?;
        } else {
            queue.port = of;
        }
        pen.text(":")?;
        let more = |pen: &P| {
            ["min_rate:", "max_rate:", "experimenter:", "property:"]
                .iter()
                .any(|word| pen.ahead(word, |_| true))
        };
        pen.each_while(" ", &mut queue.properties, more, |pen, _, property| queue_property(pen, property))
    })
}

fn queue_property<P: Pen>(pen: &mut P, property: &mut QueueProperty) -> Result<(), P::Error> {
    if pen.maybe("min_rate:", matches!(property, QueueProperty::MinRate(_)))? {
        let mut value = if let QueueProperty::MinRate(rate) = property { *rate } else { 0 };
        rate(pen, &mut value)?;
        *property = QueueProperty::MinRate(value);
    } else if pen.maybe("max_rate:", matches!(property, QueueProperty::MaxRate(_)))? {
        let mut value = if let QueueProperty::MaxRate(rate) = property { *rate } else { 0 };
        rate(pen, &mut value)?;
        *property = QueueProperty::MaxRate(value);
    } else if pen.maybe("experimenter:", matches!(property, QueueProperty::Experimenter { .. }))? {
        let (mut id, mut bytes) = match property {
            QueueProperty::Experimenter { experimenter, data } => (*experimenter, std::mem::take(data)),
            _ => (0, Vec::new()),
        };
        pen.hex(&mut id)?;
        pen.text("/")?;
        pen.bytes(&mut bytes)?;
        *property = QueueProperty::Experimenter { experimenter: id, data: bytes };
    } else {
        let (mut kind, mut bytes) = match property {
            QueueProperty::Other(kind, data) => (*kind, std::mem::take(data)),
            _ => (0, Vec::new()),
        };
        pen.text("property:")?;
        pen.decimal(&mut kind)?;
        pen.text("/")?;
        pen.bytes(&mut bytes)?;
        *property = QueueProperty::Other(kind, bytes);
    }
    Ok(())
}

impl Default for QueueProperty {
    /// Nothing known, of no bytes.
    fn default() -> Self {
        Self::Other(0, Vec::new())
    }
}

pub(super) fn group_stats<P: Pen>(pen: &mut P, groups: &mut Vec<GroupStats>) -> Result<(), P::Error> {
    pen.each("\n group_id=", groups, |pen, _, group| {
        pen.decimal(&mut group.group)?;
        pen.text(",duration=")?;
        pen.duration(&mut group.duration)?;
        pen.text(",ref_count=")?;
        pen.decimal(&mut group.references)?;
        pen.text(",packet_count=")?;
        pen.decimal(&mut group.packets)?;
        pen.text(",byte_count=")?;
        pen.decimal(&mut group.bytes)?;
        pen.indexed(",bucket", &mut group.buckets, |pen, (packets, bytes)| {
            pen.text(":packet_count=")?;
            pen.decimal(packets)?;
            pen.text(",byte_count=")?;
            pen.decimal(bytes)
        })
    })
}

pub(super) fn group_features<P: Pen>(pen: &mut P, features: &mut GroupFeatures) -> Result<(), P::Error> {
    pen.text("\n Group table:\n    Types:  ")?;
    pen.hex(&mut features.types)?;
    pen.text("\n    Capabilities:  ")?;
    pen.hex(&mut features.capabilities)?;
    for (kind, words) in
        ["\n    all", "\n    select", "\n    indirect", "\n    fast failover"].into_iter().enumerate()
    {
        pen.text(words)?;
        pen.text(" group:\n       max_groups=")?;
        pen.hex(&mut features.max_groups[kind])?;
        pen.text("\n       actions: ")?;
        pen.bits(&mut features.actions[kind], ACTIONS_13, "<none>")?;
    }
    Ok(())
}

pub(super) fn meter_stats<P: Pen>(pen: &mut P, meters: &mut Vec<MeterStats>) -> Result<(), P::Error> {
    pen.each("\nmeter:", meters, |pen, _, meter| {
        pen.decimal(&mut meter.meter)?;
        pen.text(" flow_count:")?;
        pen.decimal(&mut meter.flows)?;
        pen.text(" packet_in_count:")?;
        pen.decimal(&mut meter.packets)?;
        pen.text(" byte_in_count:")?;
        pen.decimal(&mut meter.bytes)?;
        pen.text(" duration:")?;
        pen.duration(&mut meter.duration)?;
        pen.text(" bands:")?;
        pen.indexed("\n", &mut meter.bands, |pen, (packets, bytes)| {
            pen.text(": packet_count:")?;
            pen.decimal(packets)?;
            pen.text(" byte_count:")?;
            pen.decimal(bytes)
        })
    })
}

pub(super) fn meter_features<P: Pen>(pen: &mut P, features: &mut MeterFeatures) -> Result<(), P::Error> {
    pen.text("\nmax_meter:")?;
    pen.decimal(&mut features.max_meters)?;
    pen.text(" max_bands:")?;
    pen.decimal(&mut features.max_bands)?;
    pen.text(" max_color:")?;
    pen.decimal(&mut features.max_color)?;
    pen.text("\nband_types: ")?;
    pen.bits(&mut features.band_types, BANDS, "0")?;
    pen.text("\ncapabilities: ")?;
    pen.bits(&mut features.capabilities, METER_FLAGS, "0")
}
