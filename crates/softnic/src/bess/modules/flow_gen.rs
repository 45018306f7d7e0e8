//! `FlowGen`.

use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{FlowArrival, FlowDuration, FlowGen, FlowGenConfig, Ranges};

pub(super) const CLASS: Class = Class {
    name: "FlowGen",
    help: "makes packets of flows that begin and end",
    template: "flowgen",
    arg: "FlowGenArg",
    build,
    commands: commands![FlowGen; "update" => update, "set_burst" => set_burst],
};

/// Ports of a flow generator that is told of no range at all.
const PORTS: u16 = 20_000;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::FlowGenArg = decode(argument)?;
    let port = |range: u32| {
        u16::try_from(range)
            .map_err(|_| Failure::invalid(format!("a range of ports must be <= 65535: {range}")))
    };
    let mut ranges = Ranges {
        ip_source: arg.ip_src_range,
        ip_destination: arg.ip_dst_range,
        port_source: port(arg.port_src_range)?,
        port_destination: port(arg.port_dst_range)?,
    };
    if ranges == Ranges::default() {
        (ranges.port_source, ranges.port_destination) = (PORTS, PORTS);
    }
    let usual = FlowGenConfig { ranges, quick_rampup: arg.quick_rampup, ..FlowGenConfig::default() };
    let module = FlowGen::new(setup.pool(), changed(usual, arg)?, setup.seed());
    Ok(Box::new(module.map_err(Failure::refused)?))
}

/// What an argument changes of a configuration: everything that is not 0 or empty, but ranges and the ramp-up.
fn changed(before: FlowGenConfig, arg: pb::FlowGenArg) -> Result<FlowGenConfig, Failure> {
    let number = |new: f64, old: f64| if new == 0.0 { old } else { new };
    Ok(FlowGenConfig {
        template: if arg.template.is_empty() { before.template } else { arg.template },
        pps: number(arg.pps, before.pps),
        flow_rate: number(arg.flow_rate, before.flow_rate),
        flow_duration: number(arg.flow_duration, before.flow_duration),
        arrival: match arg.arrival.as_str() {
            "" => before.arrival,
            "uniform" => FlowArrival::Uniform,
            "exponential" => FlowArrival::Exponential,
            other => {
                return Err(Failure::invalid(format!(
                    "'arrival' must be either 'uniform' or 'exponential', not '{other}'"
                )));
            }
        },
        duration: match arg.duration.as_str() {
            "" => before.duration,
            "uniform" => FlowDuration::Uniform,
            "pareto" => FlowDuration::Pareto,
            other => {
                return Err(Failure::invalid(format!(
                    "'duration' must be either 'uniform' or 'pareto', not '{other}'"
                )));
            }
        },
        quick_rampup: before.quick_rampup,
        ranges: before.ranges,
    })
}

fn update(module: &mut FlowGen, arg: pb::FlowGenArg) -> Result<(), Failure> {
    let config = changed(module.config().clone(), arg)?;
    module.update(config).map_err(Failure::refused)
}

/// A larger burst than one batch is one batch.
fn set_burst(module: &mut FlowGen, arg: pb::FlowGenCommandSetBurstArg) -> Result<(), Failure> {
    let burst = usize::try_from(arg.burst).ok().filter(|burst| *burst <= 2 * packet::BATCH);
    let burst = burst.ok_or_else(|| Failure::invalid(format!("'burst' is too large: {}", arg.burst)))?;
    module.set_burst(burst.min(packet::BATCH)).map_err(Failure::refused)
}

/// Flows begin anew, of the kind that is made now.
pub(super) fn save(module: &mut FlowGen) -> Vec<Told> {
    let FlowGenConfig { template, pps, flow_rate, flow_duration, arrival, duration, .. } =
        module.config().clone();
    let arrival = match arrival {
        FlowArrival::Uniform => "uniform",
        FlowArrival::Exponential => "exponential",
    };
    let duration = match duration {
        FlowDuration::Uniform => "uniform",
        FlowDuration::Pareto => "pareto",
    };
    let update = pb::FlowGenArg {
        template,
        pps,
        flow_rate,
        flow_duration,
        arrival: arrival.to_owned(),
        duration: duration.to_owned(),
        ..Default::default()
    };
    let burst = pb::FlowGenCommandSetBurstArg { burst: module.burst() as u64 };
    vec![told("update", &update), told("set_burst", &burst)]
}
