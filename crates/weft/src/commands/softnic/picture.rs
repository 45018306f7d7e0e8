//! What a daemon looks like at one moment, for `show` and `monitor`.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use softnic::bess::{Client, ClientError, pb};

use pb::get_module_info_response as info;
use pb::traffic_class::Arg;

/// A daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Picture {
    pub(super) modules: Vec<Module>,
    pub(super) ports: Vec<Port>,
    pub(super) classes: Vec<Class>,
    pub(super) workers: Vec<Worker>,
}

impl Picture {
    pub(super) fn take(client: &mut Client) -> Result<Self, ClientError> {
        Ok(Self {
            modules: modules(client)?,
            ports: ports(client)?,
            classes: classes(client)?,
            workers: workers(client)?,
        })
    }
}

/// A module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) description: String,
    /// Packets that have come in and not gone out.
    pub(super) dead_ends: u64,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) attributes: Vec<Attribute>,
}

/// An input gate that something leads to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Input {
    pub(super) gate: u64,
    /// `MODULE:GATE` that lead here.
    pub(super) from: Vec<String>,
    pub(super) hooks: Vec<String>,
}

/// An output gate that leads somewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Output {
    pub(super) gate: u64,
    pub(super) to: String,
    pub(super) to_gate: u64,
    pub(super) batches: u64,
    pub(super) packets: u64,
    /// With the wire's overhead; 0 unless the gate's Track counts them.
    pub(super) bytes: u64,
    pub(super) hooks: Vec<String>,
}

/// A metadata attribute of a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) mode: String,
    pub(super) offset: i64,
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) mac: String,
    pub(super) queues: [u64; 2],
    pub(super) up: bool,
    pub(super) received: Counted,
    pub(super) sent: Counted,
}

/// What one direction of a port has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Counted {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
}

/// A traffic class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) parent: Option<String>,
    pub(super) worker: i64,
    pub(super) policy: String,
    /// `share 3`, `priority 1`.
    pub(super) rank: Option<String>,
    /// Resource and amount per second.
    pub(super) limit: BTreeMap<String, i64>,
    pub(super) blocked: bool,
    pub(super) turns: u64,
    pub(super) cycles: u64,
    pub(super) packets: u64,
    pub(super) bits: u64,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Worker {
    pub(super) number: i64,
    pub(super) core: i64,
    pub(super) running: bool,
    pub(super) classes: i64,
    /// Packets that went in circles.
    pub(super) silent_drops: i64,
}

/// What is gone between two questions is left out.
fn there<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn modules(client: &mut Client) -> Result<Vec<Module>, ClientError> {
    let mut modules = Vec::new();
    for listed in client.list_modules(pb::EmptyRequest::default())?.modules {
        modules.extend(there(module(client, &listed.name))?);
    }
    Ok(modules)
}

pub(super) fn module(client: &mut Client, name: &str) -> Result<Module, ClientError> {
    let told = client.get_module_info(pb::GetModuleInfoRequest { name: name.to_owned() })?;
    let hooks = |hooks: Vec<info::GateHook>| {
        hooks.into_iter().map(|hook| format!("{} {}", hook.class_name, hook.hook_name)).collect()
    };
    let input = |gate: info::IGate| Input {
        gate: gate.igate,
        from: gate.ogates.into_iter().map(|from| format!("{}:{}", from.name, from.ogate)).collect(),
        hooks: hooks(gate.gatehooks),
    };
    let output = |gate: info::OGate| Output {
        gate: gate.ogate,
        to: gate.name,
        to_gate: gate.igate,
        batches: gate.cnt,
        packets: gate.pkts,
        bytes: gate.bytes,
        hooks: hooks(gate.gatehooks),
    };
    let attribute =
        |of: info::Attribute| Attribute { name: of.name, bytes: of.size, mode: of.mode, offset: of.offset };
    Ok(Module {
        name: told.name,
        class: told.mclass,
        description: told.desc,
        dead_ends: told.deadends,
        inputs: told.igates.into_iter().map(input).collect(),
        outputs: told.ogates.into_iter().map(output).collect(),
        attributes: told.metadata.into_iter().map(attribute).collect(),
    })
}

pub(super) fn ports(client: &mut Client) -> Result<Vec<Port>, ClientError> {
    let counted = |of: Option<pb::get_port_stats_response::Stat>| {
        let of = of.unwrap_or_default();
        Counted { packets: of.packets, bytes: of.bytes, dropped: of.dropped }
    };
    let mut ports = Vec::new();
    for listed in client.list_ports(pb::EmptyRequest::default())?.ports {
        let name = listed.name.clone();
        let Some(stats) = there(client.get_port_stats(pb::GetPortStatsRequest { name: name.clone() }))?
        else {
            continue;
        };
        let link = there(client.get_link_status(pb::GetLinkStatusRequest { name: name.clone() }))?;
        ports.push(Port {
            name,
            driver: listed.driver,
            mac: listed.mac_addr,
            queues: [listed.num_inc_q, listed.num_out_q],
            up: link.is_some_and(|link| link.link_up),
            received: counted(stats.inc),
            sent: counted(stats.out),
        });
    }
    Ok(ports)
}

pub(super) fn classes(client: &mut Client) -> Result<Vec<Class>, ClientError> {
    let mut classes = Vec::new();
    for listed in client.list_tcs(pb::ListTcsRequest { wid: -1 })?.classes_status {
        let class = listed.class.unwrap_or_default();
        let request = pb::GetTcStatsRequest { name: class.name.clone() };
        let Some(stats) = there(client.get_tc_stats(request))? else { continue };
        let rank = class.arg.map(|arg| match arg {
            Arg::Priority(priority) => format!("priority {priority}"),
            Arg::Share(share) => format!("share {share}"),
        });
        classes.push(Class {
            name: class.name,
            parent: Some(listed.parent).filter(|parent| !parent.is_empty()),
            worker: class.wid,
            policy: class.policy,
            rank,
            limit: class.limit.into_iter().collect(),
            blocked: class.blocked,
            turns: stats.count,
            cycles: stats.cycles,
            packets: stats.packets,
            bits: stats.bits,
        });
    }
    Ok(classes)
}

pub(super) fn workers(client: &mut Client) -> Result<Vec<Worker>, ClientError> {
    let status = client.list_workers(pb::EmptyRequest::default())?.workers_status;
    let worker = |of: pb::list_workers_response::WorkerStatus| Worker {
        number: of.wid,
        core: of.core,
        running: of.running,
        classes: of.num_tcs,
        silent_drops: of.silent_drops,
    };
    Ok(status.into_iter().map(worker).collect())
}

/// Traffic classes as a tree, depth first: each with its depth.
pub(super) fn tree(classes: &[Class]) -> Vec<(usize, &Class)> {
    let mut children: HashMap<Option<&str>, Vec<&Class>> = HashMap::new();
    for class in classes.iter().rev() {
        children.entry(class.parent.as_deref()).or_default().push(class);
    }
    let mut stack: Vec<(usize, &Class)> =
        children.remove(&None).into_iter().flatten().map(|root| (0, root)).collect();
    let mut tree = Vec::new();
    while let Some((depth, class)) = stack.pop() {
        tree.push((depth, class));
        let below = children.remove(&Some(class.name.as_str())).into_iter().flatten();
        stack.extend(below.map(|child| (depth + 1, child)));
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stand_under_their_parents() {
        let class = |name: &str, parent: Option<&str>| Class {
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
            ..Class::default()
        };
        let classes = [
            class("a", None),
            class("b", Some("a")),
            class("c", None),
            class("d", Some("b")),
            class("e", Some("a")),
        ];
        let tree: Vec<_> = tree(&classes).into_iter().map(|(depth, class)| (depth, &*class.name)).collect();
        assert_eq!(tree, [(0, "a"), (1, "b"), (2, "d"), (1, "e"), (0, "c")]);
    }
}
