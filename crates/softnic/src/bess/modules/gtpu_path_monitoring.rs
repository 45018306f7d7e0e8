//! `GtpuPathMonitoring`. Addresses are numbers, as in all of omec's messages.

use crate::bess::class::{Class, Told, commands, decode, told};
use crate::bess::pb::gtpu_path_monitoring_command_read_response::Statistic;
use crate::bess::{Failure, pb};
use crate::modules::GtpuPathMonitoring;

pub(super) const CLASS: Class = Class {
    name: "GtpuPathMonitoring",
    help: "measures how long packets take to base stations",
    template: "gtpu_path_monitoring",
    arg: "EmptyArg",
    build: |_, argument| {
        decode::<pb::EmptyArg>(argument)?;
        Ok(Box::new(GtpuPathMonitoring::default()))
    },
    commands: commands![
        GtpuPathMonitoring; "add" => add, "delete" => delete, "clear" => clear, "read" => read,
    ],
};

fn add(
    module: &mut GtpuPathMonitoring,
    arg: pb::GtpuPathMonitoringCommandAddDeleteArg,
) -> Result<(), Failure> {
    if module.add(arg.gnb_ip.into()) {
        return Ok(());
    }
    Err(Failure::no_space(format!("no more than {} stations", GtpuPathMonitoring::STATIONS_MAX)))
}

/// To delete what is not there is no error, as in BESS.
fn delete(
    module: &mut GtpuPathMonitoring,
    arg: pb::GtpuPathMonitoringCommandAddDeleteArg,
) -> Result<(), Failure> {
    module.delete(arg.gnb_ip.into());
    Ok(())
}

fn clear(module: &mut GtpuPathMonitoring, _: pb::GtpuPathMonitoringCommandClearArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

fn read(
    module: &mut GtpuPathMonitoring,
    arg: pb::GtpuPathMonitoringCommandReadArg,
) -> Result<pb::GtpuPathMonitoringCommandReadResponse, Failure> {
    let said = module.read(arg.clear).into_iter();
    let statistics = said.map(|(station, latency)| Statistic {
        gnb_ip: station.to_bits(),
        count: latency.count,
        latency_min: latency.min_ns,
        latency_mean: latency.mean_ns,
        latency_max: latency.max_ns,
    });
    Ok(pb::GtpuPathMonitoringCommandReadResponse { statistics: statistics.collect() })
}

/// Additions of one station that are told; a client that has added it more often has lost count.
const USERS_MAX: u32 = 65_536;

/// Every station, as often as it was added.
pub(super) fn save(module: &mut GtpuPathMonitoring) -> Vec<Told> {
    let adds = module.stations().flat_map(|(station, users)| {
        let add = told("add", &pb::GtpuPathMonitoringCommandAddDeleteArg { gnb_ip: station.to_bits() });
        std::iter::repeat_n(add, users.min(USERS_MAX) as usize)
    });
    adds.collect()
}
