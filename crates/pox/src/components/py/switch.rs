//! What is asked of a switch, and what it is told.

use std::cell::RefCell;
use std::rc::Rc;

use openflow::Version;
use openflow::flow::{ALL_TABLES, FlowMod, NO_BUFFER, PacketOut};
use openflow::group;
use openflow::message::{Body, Message};
use openflow::meter;
use openflow::multipart::{FlowRequest, MultipartReply, Reply as Statistics, Request};
use openflow::port::PortNo;
use openflow::text::{parse_actions, parse_flow, parse_match};

use super::commands::{Answer, Respond};
use super::words::{first, switch, wrong};
use crate::{Core, Dpid, RequestError};

/// Asks, and answers with what the switch says, in `ovs-ofctl`'s words.
fn ask(
    core: &mut Core,
    dpid: Dpid,
    request: Request,
    respond: Respond,
    shown: fn(Statistics, Version) -> String,
) {
    let version = core.connection(dpid).map_or(Version::V10, crate::Connection::version);
    let respond = Rc::new(RefCell::new(Some(respond)));
    let later = Rc::clone(&respond);
    let then = move |(): &mut (), answer: Result<Statistics, RequestError>, _: &mut Core| {
        if let Some(respond) = later.borrow_mut().take() {
            respond(match answer {
                Ok(answer) => Ok(shown(answer, version)),
                Err(error) => Err(error.text(version)),
            });
        }
    };
    if let Err(error) = core.statistics(dpid, request, then)
        && let Some(respond) = respond.borrow_mut().take()
    {
        respond(Err(error.to_string()));
    }
}

/// The text of a reply without what it is called.
fn text(reply: Statistics, version: Version) -> String {
    let reply = MultipartReply { flags: 0, body: reply };
    let message = Message::new(0, Body::MultipartReply(reply)).text(version).to_string();
    let body = message.split_once("):").map_or("", |(_, body)| body);
    let lines: Vec<&str> = body.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "none".into() } else { lines.join("\n").trim_start().to_owned() }
}

fn flow_request(rest: &str) -> Result<FlowRequest, String> {
    let matching = parse_match(rest).map_err(|error| wrong(rest, &error))?;
    let (table, out_port, out_group) = (ALL_TABLES, PortNo::ANY, group::ANY);
    Ok(FlowRequest { table, out_port, out_group, cookie: 0, cookie_mask: 0, matching })
}

pub(super) fn flows(core: &mut Core, rest: &str, respond: Respond) {
    let asked = switch(core, rest).and_then(|(dpid, rest)| Ok((dpid, flow_request(rest)?)));
    match asked {
        Ok((dpid, request)) => ask(core, dpid, Request::Flow(request), respond, |reply, version| {
            let Statistics::Flow(flows) = reply else { return text(reply, version) };
            let lines: Vec<String> = flows.iter().map(ToString::to_string).collect();
            if lines.is_empty() { "none".into() } else { lines.join("\n") }
        }),
        Err(problem) => respond(Err(problem)),
    }
}

fn plain(core: &mut Core, rest: &str, respond: Respond, request: Request) {
    match switch(core, rest) {
        Ok((dpid, "")) => ask(core, dpid, request, respond, text),
        Ok((_, rest)) => respond(Err(format!("`{rest}` is more than it takes"))),
        Err(problem) => respond(Err(problem)),
    }
}

pub(super) fn describe(core: &mut Core, rest: &str, respond: Respond) {
    plain(core, rest, respond, Request::Description);
}

pub(super) fn port_stats(core: &mut Core, rest: &str, respond: Respond) {
    plain(core, rest, respond, Request::Port(PortNo::ANY));
}

pub(super) fn groups(core: &mut Core, rest: &str, respond: Respond) {
    plain(core, rest, respond, Request::GroupDescription);
}

pub(super) fn meters(core: &mut Core, rest: &str, respond: Respond) {
    plain(core, rest, respond, Request::MeterConfig(meter::ALL));
}

/// Tables in which something is, or was looked for.
pub(super) fn tables(core: &mut Core, rest: &str, respond: Respond) {
    match switch(core, rest) {
        Ok((dpid, _)) => ask(core, dpid, Request::Table, respond, |reply, version| {
            let Statistics::Table(tables) = reply else { return text(reply, version) };
            let used = tables.iter().filter(|table| table.active > 0 || table.lookups > 0);
            let line = |table: &openflow::table::TableStats| {
                let (number, active, lookups, matched) =
                    (table.table, table.active, table.lookups, table.matched);
                format!("table {number}: {active} flows, {lookups} lookups, {matched} matched")
            };
            let lines: Vec<String> = used.map(line).collect();
            if lines.is_empty() { "none is in use".into() } else { lines.join("\n") }
        }),
        Err(problem) => respond(Err(problem)),
    }
}

/// Sends, and answers once the switch has done it or refused it.
fn tell(core: &mut Core, dpid: Dpid, body: Body, respond: Respond) {
    let version = core.connection(dpid).map_or(Version::V10, crate::Connection::version);
    let respond = Rc::new(RefCell::new(Some(respond)));
    let later = Rc::clone(&respond);
    let then = move |(): &mut (), done: Result<(), RequestError>, _: &mut Core| {
        if let Some(respond) = later.borrow_mut().take() {
            respond(done.map(|()| "done".into()).map_err(|error| error.text(version)));
        }
    };
    if let Err(error) = core.apply(dpid, [body], then)
        && let Some(respond) = respond.borrow_mut().take()
    {
        respond(Err(error.to_string()));
    }
}

fn change(core: &mut Core, dpid: Dpid, flow: Result<FlowMod, String>, respond: Respond) {
    match flow {
        Ok(flow) => tell(core, dpid, Body::FlowMod(flow), respond),
        Err(problem) => respond(Err(problem)),
    }
}

pub(super) fn flow_mod(core: &mut Core, rest: &str, respond: Respond) {
    match switch(core, rest) {
        Ok((dpid, flow)) => {
            change(core, dpid, parse_flow(flow).map_err(|error| wrong(flow, &error)), respond);
        }
        Err(problem) => respond(Err(problem)),
    }
}

pub(super) fn del_flows(core: &mut Core, rest: &str, respond: Respond) {
    match switch(core, rest) {
        Ok((dpid, matching)) => {
            let whole = if matching.is_empty() { "delete".into() } else { format!("delete,{matching}") };
            change(core, dpid, parse_flow(&whole).map_err(|error| wrong(&whole, &error)), respond);
        }
        Err(problem) => respond(Err(problem)),
    }
}

/// `[in_port=PORT] packet=HEX actions=ACTIONS`.
fn packet(text: &str) -> Result<PacketOut, String> {
    const FORM: &str =
        "write it as `packet=HEX actions=ACTIONS`, with `in_port=PORT` before if it came in somewhere";
    let (before, actions) = text.split_once("actions=").ok_or(FORM)?;
    let actions = parse_actions(actions).map_err(|error| wrong(actions, &error))?;
    let (mut in_port, mut data) = (PortNo::CONTROLLER, None);
    for part in before.split([',', ' ']).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("in_port", port)) => {
                let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
                in_port = PortNo(port);
            }
            Some(("packet" | "data", hex)) => data = Some(bytes(hex)?),
            _ => return Err(FORM.into()),
        }
    }
    let data = data.ok_or(FORM)?;
    Ok(PacketOut { buffer: NO_BUFFER, in_port, actions, data })
}

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits = hex.trim_start_matches("0x").as_bytes();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    });
    pairs.collect::<Option<_>>().ok_or_else(|| format!("`{hex}` are no pairs of hexadecimal digits"))
}

pub(super) fn packet_out(core: &mut Core, rest: &str, respond: Respond) {
    match switch(core, rest).and_then(|(dpid, rest)| Ok((dpid, packet(rest)?))) {
        Ok((dpid, packet)) => tell(core, dpid, Body::PacketOut(packet), respond),
        Err(problem) => respond(Err(problem)),
    }
}

/// A switch's counters here.
pub(super) fn connection(core: &Core, rest: &str) -> Answer {
    let (dpid, _) = switch(core, first(rest).0)?;
    let connection = core.connection(dpid).ok_or("it is gone")?;
    let counters = connection.counters();
    Ok(format!(
        "{} packet-ins, {} other messages received, {} sent, {} errors, {} requests wait",
        counters.packet_ins,
        counters.received,
        counters.sent,
        counters.errors,
        connection.waiting()
    ))
}
