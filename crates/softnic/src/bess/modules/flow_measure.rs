//! `FlowMeasure`. BESS waits 10 ms after it has changed sides, until the last packets of the old one have passed; here a
//! client that has queues in between waits itself.

use super::measure::check;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::flow_measure_read_response::Statistic;
use crate::bess::pb::flow_measure_read_response::statistic::Histogram;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{FlowMeasure, FlowMeasureConfig, FlowMeasured, MeasureSide, Summary};

pub(super) const CLASS: Class = Class {
    name: "FlowMeasure",
    help: "measures packets, bytes, latency and jitter of sessions",
    template: "qos_measure",
    arg: "FlowMeasureArg",
    build,
    commands: commands![FlowMeasure; "read" => read, "flip" => flip],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::FlowMeasureArg = decode(argument)?;
    if arg.flag_attr_name.is_empty() {
        return Err(Failure::invalid("invalid flag attribute name"));
    }
    let usual = FlowMeasureConfig::leader(arg.flag_attr_name);
    let entries = match arg.entries {
        0 => usual.entries,
        entries => usize::try_from(entries)
            .ok()
            .filter(|entries| *entries <= FlowMeasure::ENTRIES_MAX)
            .ok_or_else(|| Failure::no_memory(format!("no room for {entries} sessions")))?,
    };
    let config = FlowMeasureConfig { leads: arg.leader, entries, ..usual };
    Ok(Box::new(FlowMeasure::new(&config, u128::from(setup.seed()))))
}

/// Clients read percentiles and totals.
fn histogram(summary: Summary) -> Histogram {
    Histogram { percentile_values_ns: summary.percentiles, ..Histogram::default() }
}

fn statistic(measured: FlowMeasured) -> Statistic {
    Statistic {
        fseid: measured.fseid,
        pdr: measured.pdr,
        latency: Some(histogram(measured.latency)),
        jitter: Some(histogram(measured.jitter)),
        total_bytes: measured.bytes,
        total_packets: measured.packets,
    }
}

fn read(
    module: &mut FlowMeasure,
    arg: pb::FlowMeasureCommandReadArg,
) -> Result<pb::FlowMeasureReadResponse, Failure> {
    let side = MeasureSide::of(arg.flag_to_read)
        .ok_or_else(|| Failure::invalid(format!("invalid flag value: {}", arg.flag_to_read)))?;
    check(&arg.latency_percentiles, "latency_percentiles")?;
    check(&arg.jitter_percentiles, "jitter_percentiles")?;
    let measured = module.read(side, &arg.latency_percentiles, &arg.jitter_percentiles);
    if arg.clear {
        module.clear(side);
    }
    Ok(pb::FlowMeasureReadResponse { statistics: measured.into_iter().map(statistic).collect() })
}

fn flip(
    module: &mut FlowMeasure,
    _: pb::FlowMeasureCommandFlipArg,
) -> Result<pb::FlowMeasureFlipResponse, Failure> {
    let old = module.flip().ok_or_else(|| Failure::invalid("only leaders can flip the flag"))?;
    Ok(pb::FlowMeasureFlipResponse { old_flag: old as u64 })
}
