//! `Measure`.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::timestamp::stamp;
use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::pb::measure_arg::Type;
use crate::bess::pb::measure_command_get_summary_response::Histogram;
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Measure, MeasureConfig, Summary, are_percentiles};

pub(super) const CLASS: Class = Class {
    name: "Measure",
    help: "measures how long packets have been under way since Timestamp",
    template: "measure",
    arg: "MeasureArg",
    build,
    commands: commands![Measure; "get_summary" => get_summary, "clear" => clear],
};

/// Bytes that a packet takes on the wire beside its own: preamble, check sequence and gap.
const OVERHEAD: u64 = 24;
/// The most percentiles of one question.
const PERCENTILES_MAX: usize = 1024;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::MeasureArg = decode(argument)?;
    let usual = MeasureConfig::default();
    let config = MeasureConfig {
        stamp: match arg.r#type {
            Some(Type::Offset(offset)) => stamp(offset, ""),
            Some(Type::AttrName(name)) => stamp(0, &name),
            None => stamp(0, ""),
        },
        jitter_share: if arg.jitter_sample_prob == 0.0 { usual.jitter_share } else { arg.jitter_sample_prob },
        max_ns: if arg.latency_ns_max == 0 { usual.max_ns } else { arg.latency_ns_max },
        resolution_ns: if arg.latency_ns_resolution == 0 {
            usual.resolution_ns
        } else {
            arg.latency_ns_resolution.into()
        },
    };
    let module = Measure::new(config, setup.seed());
    Ok(Box::new(module.map_err(|error| Failure::new(Errno::TOOBIG, error.to_string()))?))
}

/// Percentiles that a module may be asked for.
pub(super) fn check(percentiles: &[f64], what: &str) -> Result<(), Failure> {
    if percentiles.len() <= PERCENTILES_MAX && are_percentiles(percentiles) {
        return Ok(());
    }
    Err(Failure::invalid(format!("invalid '{what}'")))
}

fn histogram(summary: Summary, resolution_ns: u64) -> Histogram {
    Histogram {
        count: summary.count,
        above_range: summary.above_range,
        resolution_ns,
        min_ns: summary.min,
        avg_ns: summary.mean,
        max_ns: summary.max,
        total_ns: summary.total,
        percentile_values_ns: summary.percentiles,
    }
}

fn get_summary(
    module: &mut Measure,
    arg: pb::MeasureCommandGetSummaryArg,
) -> Result<pb::MeasureCommandGetSummaryResponse, Failure> {
    check(&arg.latency_percentiles, "latency_percentiles")?;
    check(&arg.jitter_percentiles, "jitter_percentiles")?;
    let measured = module.measured(&arg.latency_percentiles, &arg.jitter_percentiles);
    let resolution_ns = module.resolution_ns();
    if arg.clear {
        module.clear();
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(pb::MeasureCommandGetSummaryResponse {
        timestamp: since_1970.as_secs_f64(),
        packets: measured.packets,
        bits: (measured.bytes + measured.packets * OVERHEAD) * 8,
        latency: Some(histogram(measured.latency, resolution_ns)),
        jitter: Some(histogram(measured.jitter, resolution_ns)),
    })
}

fn clear(module: &mut Measure, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}
