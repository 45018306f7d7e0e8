//! Flow monitors.

use super::flows::{apply, nxm, tcp};
use super::statistics::{reply, request};
use super::{Named, name};
use crate::Version;
use crate::action::Action;
use crate::flow::{ALL_TABLES, RemovedReason};
use crate::matching::Match;
use crate::message::Body;
use crate::monitor::{FlowUpdate, MonitorEvent, MonitorMessage, MonitorRequest, MonitorUpdate, flags};
use crate::multipart::{Reply, Request};
use crate::port::PortNo;

pub(super) fn monitors(version: Version) -> Vec<Named> {
    let matching = if version == Version::V10 { nxm() } else { tcp(version) };
    let wanted = flags::INITIAL | flags::ADD | flags::DELETE | flags::MODIFY | flags::ACTIONS;
    let monitor = |id, out_port, table, matching: &Match| MonitorRequest {
        id,
        flags: wanted,
        out_port,
        table,
        matching: matching.clone(),
    };
    let all = MonitorRequest {
        flags: wanted | flags::OWN,
        ..monitor(7, PortNo::ANY, ALL_TABLES, &Match::Fields(Vec::new()))
    };
    let update = |event, actions| {
        MonitorUpdate::Flow(FlowUpdate {
            event,
            table: 3,
            priority: 100,
            idle_timeout: 60,
            hard_timeout: 300,
            cookie: 0x1122_3344_5566_7788,
            matching: matching.clone(),
            instructions: actions,
        })
    };
    let to_two = || apply(vec![Action::output(PortNo(2))]);
    let requests = vec![monitor(1, PortNo(2), 3, &matching), all];
    let updates = vec![
        update(MonitorEvent::Added, to_two()),
        update(MonitorEvent::Modified, to_two()),
        update(MonitorEvent::Removed(RemovedReason::HardTimeout), Vec::new()),
        MonitorUpdate::Own { xid: 0x1234 },
    ];
    vec![
        (name("request_flow_monitor"), request(Request::FlowMonitor(requests))),
        (name("reply_flow_monitor"), reply(Reply::FlowMonitor(updates))),
        (name("flow_monitor_cancel"), Body::Monitor(MonitorMessage::Cancel(7))),
        (name("flow_monitor_paused"), Body::Monitor(MonitorMessage::Paused)),
        (name("flow_monitor_resumed"), Body::Monitor(MonitorMessage::Resumed)),
    ]
}
