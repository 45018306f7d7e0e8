//! `GtpuPathMonitoring`. Addresses of IPv4 are numbers, as in all of omec's messages; those of IPv6 are in a field of ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

fn station(arg: &pb::GtpuPathMonitoringCommandAddDeleteArg) -> Result<IpAddr, Failure> {
    match (arg.gnb_ip, &arg.gnb_ip6[..]) {
        (address, []) => Ok(Ipv4Addr::from(address).into()),
        (0, address) => <[u8; 16]>::try_from(address)
            .map(|octets| Ipv6Addr::from(octets).into())
            .map_err(|_| Failure::invalid(format!("'gnb_ip6' has {} bytes, not 16", address.len()))),
        _ => Err(Failure::invalid("a station has one address, 'gnb_ip' or 'gnb_ip6'")),
    }
}

/// The two fields of an address, one of which says nothing.
fn fields(station: IpAddr) -> (u32, Vec<u8>) {
    match station {
        IpAddr::V4(address) => (address.to_bits(), Vec::new()),
        IpAddr::V6(address) => (0, address.octets().to_vec()),
    }
}

fn add(
    module: &mut GtpuPathMonitoring,
    arg: pb::GtpuPathMonitoringCommandAddDeleteArg,
) -> Result<(), Failure> {
    if module.add(station(&arg)?) {
        return Ok(());
    }
    Err(Failure::no_space(format!("no more than {} stations", GtpuPathMonitoring::STATIONS_MAX)))
}

/// To delete what is not there is no error, as in BESS.
fn delete(
    module: &mut GtpuPathMonitoring,
    arg: pb::GtpuPathMonitoringCommandAddDeleteArg,
) -> Result<(), Failure> {
    module.delete(station(&arg)?);
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
    let statistics = said.map(|(station, latency)| {
        let (gnb_ip, gnb_ip6) = fields(station);
        Statistic {
            gnb_ip,
            count: latency.count,
            latency_min: latency.min_ns,
            latency_mean: latency.mean_ns,
            latency_max: latency.max_ns,
            gnb_ip6,
        }
    });
    Ok(pb::GtpuPathMonitoringCommandReadResponse { statistics: statistics.collect() })
}

/// Additions of one station that are told; a client that has added it more often has lost count.
const USERS_MAX: u32 = 65_536;

/// Every station, as often as it was added.
pub(super) fn save(module: &mut GtpuPathMonitoring) -> Vec<Told> {
    let adds = module.stations().flat_map(|(station, users)| {
        let (gnb_ip, gnb_ip6) = fields(station);
        let add = told("add", &pb::GtpuPathMonitoringCommandAddDeleteArg { gnb_ip, gnb_ip6 });
        std::iter::repeat_n(add, users.min(USERS_MAX) as usize)
    });
    adds.collect()
}
