//! Shows every packet that comes to the controller.
//!
//! A line for each: the switch, the port, and the layers, as in `0000000000000001 port 2: [ethernet][ipv4][udp][42 bytes]`. It
//! sees packets before other components do, and leaves them to those.
//!
//! | option | meaning |
//! |---|---|
//! | `--verbose` | every header's fields |
//! | `--max-length=N` | cuts a line at N characters; 110, 0 does not cut |
//! | `--show=LAYER,…` | only packets with one of these layers: `arp`, `ipv4`, `ipv6`, `icmp`, `icmpv6`, `tcp`, `udp`, `vlan`, `mpls`, `lldp`, … |
//! | `--hide=LAYER,…` | all but packets with one of these layers |
//!
//! Launch: `weft pox forwarding.l2_learning info.packet_dump --hide=lldp`, `weft pox info.packet_dump --verbose`

use std::fmt::Write;

use packet::parse::{Layers, Network};
use packet::wire::{EtherType, IpProtocol};

use crate::{Component, Core, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result, info};

/// Before the components that act on packets, and halt them.
const PRIORITY: i32 = 1 << 20;

/// Shows packets.
#[derive(Debug, Default)]
pub struct PacketDump {
    verbose: bool,
    max_length: usize,
    show: Vec<String>,
    hide: Vec<String>,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let lower = |names: Vec<String>| names.iter().map(|name| name.to_lowercase()).collect();
    let dump = PacketDump {
        verbose: options.flag("verbose")?,
        max_length: options.take_or("max-length", 110)?,
        show: lower(options.list("show")?),
        hide: lower(options.list("hide")?),
    };
    if !dump.show.is_empty() && !dump.hide.is_empty() {
        return Err(options.conflict("either --show or --hide"));
    }
    Ok(Box::new(dump))
}

impl Component for PacketDump {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen_with(OPENFLOW, Listen::priority(PRIORITY), Self::packet_in);
        Ok(())
    }
}

impl PacketDump {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) {
        let names = layer_names(event);
        let has = |wanted: &[String]| names.iter().any(|name| wanted.iter().any(|wanted| wanted == name));
        if has(&self.hide) || (!self.show.is_empty() && !has(&self.show)) {
            return;
        }
        let mut text = format!("{} port {}: ", event.datapath, event.in_port.0);
        if self.verbose {
            text.push_str(&headers(event));
        } else {
            text.extend(names.iter().map(|name| format!("[{name}]")));
            let payload = payload_len(event);
            if payload > 0 {
                let _ = write!(text, "[{payload} bytes]"); // writing to a string does not fail
            }
        }
        if self.max_length > 0 && text.chars().count() > self.max_length {
            text = text.chars().take(self.max_length.saturating_sub(3)).collect::<String>() + "...";
        }
        info!(core, "{text}");
    }
}

/// The layers of a packet, by the names POX has for them.
fn layer_names(event: &PacketIn) -> Vec<&'static str> {
    if event.ethernet().is_none() {
        return Vec::new();
    }
    let mut names = vec!["ethernet"];
    let Some(layers) = event.layers() else {
        names.push("unreadable");
        return names;
    };
    names.extend(layers.vlans.iter().map(|_| "vlan"));
    names.extend((0..layers.labels).map(|_| "mpls"));
    match layers.network {
        Network::V4 => names.push("ipv4"),
        Network::V6 => names.push("ipv6"),
        Network::Arp => names.push("arp"),
        Network::Other if layers.ethertype == EtherType::LLDP => names.push("lldp"),
        Network::Other if layers.ethertype.0 < EtherType::TYPE_MIN => names.push("llc"),
        Network::Other => {}
    }
    names.extend(transport_name(layers));
    names
}

fn transport_name(layers: &Layers) -> Option<&'static str> {
    layers.l4?;
    Some(match layers.protocol {
        IpProtocol::TCP => "tcp",
        IpProtocol::UDP => "udp",
        IpProtocol::ICMP => "icmp",
        IpProtocol::ICMPV6 => "icmpv6",
        IpProtocol::IGMP => "igmp",
        IpProtocol::GRE => "gre",
        _ => return None,
    })
}

/// Bytes behind the layers that have a name.
fn payload_len(event: &PacketIn) -> usize {
    match event.layers() {
        Some(layers) => match layers.payload {
            Some(_) => layers.l4_payload(event.data()).len(),
            None if layers.network == Network::Arp => 0,
            None => layers.network_packet(event.data()).len(),
        },
        None => event.ethernet().map_or(0, |frame| frame.payload().len()),
    }
}

/// Every header's fields.
fn headers(event: &PacketIn) -> String {
    let mut text = String::new();
    let mut add = |header: String| {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&header);
    };
    match event.ethernet() {
        Some(frame) => add(frame.to_string()),
        None => add(format!("a runt of {} bytes", event.data().len())),
    }
    if let Some(layers) = event.layers() {
        layers.vlans.iter().for_each(|tag| add(format!("vlan {}, p {}", tag.id, tag.priority)));
    }
    if let Some(arp) = event.arp() {
        add(arp.to_string());
    }
    if let Some(ip) = event.ipv4() {
        add(ip.to_string());
    }
    if let Some(ip) = event.ipv6() {
        add(ip.to_string());
    }
    if let Some(segment) = event.tcp() {
        add(segment.to_string());
    }
    if let Some(datagram) = event.udp() {
        add(datagram.to_string());
    }
    if let Some(message) = event.icmpv4() {
        add(message.to_string());
    }
    if let Some(message) = event.icmpv6() {
        add(message.to_string());
    }
    text
}
