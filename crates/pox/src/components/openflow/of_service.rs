//! Lets programs outside read and change switches, by JSON-RPC.
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `openflow.get_switches` | | every switch: `dpid`, version, tables, ports |
//! | `openflow.get_switch_desc` | `dpid` | what its maker says of it |
//! | `openflow.get_flow_stats` | `dpid`; `match`, `table_id`, `out_port` | its flows, with counters |
//! | `openflow.get_port_stats` | `dpid` | its ports' counters |
//! | `openflow.set_table` | `dpid`, `flows` | replaces all flows |
//! | `openflow.add_flow`, `openflow.delete_flow` | `dpid`, `flow` | one flow more, or fewer |
//!
//! Changes are answered once the switch has made them, by how many messages that took, or with why it has refused one.
//! A flow is `{"match": {"dl_type": "IP", "nw_dst": "10.0.0.0/8"}, "actions": [{"type": "OFPAT_OUTPUT", "port": 2}],
//! "priority": 100, "idle_timeout": 10}`, as POX's `of_service` has it. Names may go without `openflow.`.
//!
//! Launch: `weft pox openflow.of_service web.webcore web.jsonrpc forwarding.l2_learning`; then
//! `curl -d '{"id":1,"method":"get_switches"}' http://127.0.0.1:8000/OF/`

use std::cell::RefCell;
use std::rc::Rc;

use openflow::Version;
use openflow::flow::ALL_TABLES;
use openflow::matching::Match;
use openflow::multipart::{FlowRequest, FlowStats, Reply as Statistics, Request};
use openflow::port::PortNo;
use serde_json::{Value, json};

use super::json::{
    actions_from_json, actions_to_json, match_from_json, match_to_json, port_from_json, port_to_json,
};
use crate::rpc::{Methods, Reply, RpcError};
use crate::{Component, Connection, Core, Dpid, Flow, Options, OptionsError, RequestError, Result};

/// Flows of one `set_table`.
pub const FLOWS_MAX: usize = 1 << 14;

/// The service.
#[derive(Debug)]
pub struct OfService;

pub(crate) fn build(_: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(OfService))
}

impl Component for OfService {
    fn start(&mut self, core: &mut Core) -> Result {
        core.call_when_ready(["web.jsonrpc"], |_: &mut Self, core: &mut Core| {
            core.call("web.jsonrpc", |methods: &mut Methods, _: &mut Core| offer(methods))
        });
        Ok(())
    }
}

fn offer(methods: &mut Methods) {
    methods.offer("openflow.get_switches", "every switch that is connected", |core, _, reply| {
        reply.send(Ok(core.connections().map(switch).collect()));
    });
    methods.offer(
        "openflow.get_switch_desc",
        "what a switch's maker says of it",
        |core, parameters, reply| {
            statistics(
                core,
                parameters,
                reply,
                |_| Ok(Request::Description),
                |answer| match answer {
                    Statistics::Description(is) => Some(json!({
                        "mfr_desc": is.manufacturer, "hw_desc": is.hardware, "sw_desc": is.software,
                        "serial_num": is.serial, "dp_desc": is.datapath,
                    })),
                    _ => None,
                },
            );
        },
    );
    methods.offer(
        "openflow.get_flow_stats",
        "a switch's flows and their counters",
        |core, parameters, reply| {
            statistics(core, parameters, reply, flow_request, |answer| match answer {
                Statistics::Flow(flows) => Some(flows.iter().map(flow_to_json).collect()),
                _ => None,
            });
        },
    );
    methods.offer(
        "openflow.get_port_stats",
        "the counters of a switch's ports",
        |core, parameters, reply| {
            statistics(
                core,
                parameters,
                reply,
                |_| Ok(Request::Port(PortNo::ANY)),
                |answer| match answer {
                    Statistics::Port(ports) => Some(
                        ports
                            .iter()
                            .map(|port| {
                                json!({
                                    "port_no": port_to_json(port.port),
                                    "rx_packets": port.rx_packets, "tx_packets": port.tx_packets,
                                    "rx_bytes": port.rx_bytes, "tx_bytes": port.tx_bytes,
                                    "rx_dropped": port.rx_dropped, "tx_dropped": port.tx_dropped,
                                    "rx_errors": port.rx_errors, "tx_errors": port.tx_errors,
                                })
                            })
                            .collect(),
                    ),
                    _ => None,
                },
            );
        },
    );
    methods.offer("openflow.set_table", "replaces a switch's flows", |core, parameters, reply| {
        let flows = match parameters["flows"].as_array() {
            Some(flows) if flows.len() <= FLOWS_MAX => {
                flows.iter().map(|flow| flow_from_json(flow, Flow::add)).collect()
            }
            _ => Err(format!("flows is a list of at most {FLOWS_MAX}")),
        };
        change(
            core,
            parameters,
            reply,
            flows.map(|flows: Vec<Flow>| {
                let mut all = vec![Flow::delete(Match::new())];
                all.extend(flows);
                all
            }),
        );
    });
    methods.offer("openflow.add_flow", "adds a flow to a switch", |core, parameters, reply| {
        let flow = flow_from_json(&parameters["flow"], Flow::add);
        change(core, parameters, reply, flow.map(|flow| vec![flow]));
    });
    methods.offer(
        "openflow.delete_flow",
        "removes a flow of exactly that match and priority",
        |core, parameters, reply| {
            let flow = flow_from_json(&parameters["flow"], Flow::delete_strict);
            change(core, parameters, reply, flow.map(|flow| vec![flow]));
        },
    );
}

fn dpid(parameters: &Value) -> Result<Dpid, RpcError> {
    let value = &parameters["dpid"];
    let number = value.as_u64().map(Dpid);
    number.or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| RpcError::parameters("dpid names a switch"))
}

fn switch(connection: &Connection) -> Value {
    let ports = connection.ports().values().map(|port| {
        json!({
            "port_no": port_to_json(port.number), "name": port.name, "hw_addr": port.address.to_string(),
            "config": port.config, "state": port.state, "curr": port.current, "advertised": port.advertised,
            "supported": port.supported, "peer": port.peer, "up": crate::is_live(port),
        })
    });
    json!({
        "dpid": connection.datapath().to_string(),
        "version": connection.version().to_string(),
        "address": connection.peer(),
        "n_buffers": connection.features().buffers,
        "n_tables": connection.features().tables,
        "capabilities": connection.features().capabilities,
        "ports": ports.collect::<Vec<_>>(),
    })
}

fn flow_request(parameters: &Value) -> Result<Request, String> {
    let table = match &parameters["table_id"] {
        Value::Null => ALL_TABLES,
        value => value.as_u64().and_then(|table| u8::try_from(table).ok()).ok_or("table_id is 0 to 255")?,
    };
    let out_port = match &parameters["out_port"] {
        Value::Null => PortNo::ANY,
        value => port_from_json(value)?,
    };
    let matching = match_from_json(&parameters["match"])?;
    let out_group = openflow::group::ANY;
    Ok(Request::Flow(FlowRequest { table, out_port, out_group, cookie: 0, cookie_mask: 0, matching }))
}

fn flow_to_json(flow: &FlowStats) -> Value {
    json!({
        "table_id": flow.table, "priority": flow.priority, "cookie": flow.cookie,
        "idle_timeout": flow.idle_timeout, "hard_timeout": flow.hard_timeout,
        "duration_sec": flow.duration.0, "duration_nsec": flow.duration.1,
        "packet_count": flow.packets, "byte_count": flow.bytes,
        "match": match_to_json(&flow.matching), "actions": actions_to_json(&flow.instructions),
    })
}

fn flow_from_json(value: &Value, command: fn(Match) -> Flow) -> Result<Flow, String> {
    let number = |name: &str, or: u64, most: u64| match &value[name] {
        Value::Null => Ok(or),
        number => {
            number.as_u64().filter(|number| *number <= most).ok_or_else(|| format!("{name} is 0 to {most}"))
        }
    };
    Ok(command(match_from_json(&value["match"])?)
        .priority(number("priority", u64::from(openflow::flow::DEFAULT_PRIORITY), 0xffff)? as u16)
        .idle_timeout(number("idle_timeout", 0, 0xffff)? as u16)
        .hard_timeout(number("hard_timeout", 0, 0xffff)? as u16)
        .cookie(number("cookie", 0, u64::MAX)?)
        .table(number("table_id", 0, 0xfe)? as u8)
        .actions(actions_from_json(&value["actions"])?))
}

/// Asks a switch, and answers with what it says.
fn statistics(
    core: &mut Core,
    parameters: &Value,
    reply: Reply,
    request: impl Fn(&Value) -> Result<Request, String>,
    read: impl Fn(&Statistics) -> Option<Value> + 'static,
) {
    let asked =
        dpid(parameters).and_then(|dpid| Ok((dpid, request(parameters).map_err(RpcError::parameters)?)));
    let (dpid, request) = match asked {
        Ok(asked) => asked,
        Err(error) => return reply.send(Err(error)),
    };
    if let Err(error) = core.resolve(dpid) {
        return reply.send(Err(RpcError::failed(error.to_string())));
    }
    let then = move |(): &mut (), answer: Result<Statistics, RequestError>, _: &mut Core| {
        reply.send(match answer {
            Ok(answer) => read(&answer).ok_or_else(|| RpcError::failed("the switch answered something else")),
            Err(error) => Err(RpcError::failed(error.to_string())),
        });
    };
    // A reply that was not taken answers that nobody did.
    let _ = core.statistics(dpid, request, then);
}

/// Tells a switch, and answers once it has done it or refused it.
fn change(core: &mut Core, parameters: &Value, reply: Reply, flows: Result<Vec<Flow>, String>) {
    let told = dpid(parameters).and_then(|dpid| Ok((dpid, flows.map_err(RpcError::parameters)?)));
    let (dpid, flows) = match told {
        Ok(told) => told,
        Err(error) => return reply.send(Err(error)),
    };
    let count = flows.len();
    let version = core.connection(dpid).map_or(Version::V10, Connection::version);
    let reply = Rc::new(RefCell::new(Some(reply)));
    let later = Rc::clone(&reply);
    let then = move |(): &mut (), done: Result<(), RequestError>, _: &mut Core| {
        if let Some(reply) = later.borrow_mut().take() {
            reply.send(done.map(|()| json!(count)).map_err(|error| RpcError::failed(error.text(version))));
        }
    };
    if let Err(error) = core.apply(dpid, flows, then)
        && let Some(reply) = reply.borrow_mut().take()
    {
        reply.send(Err(RpcError::failed(error.to_string())));
    }
}
