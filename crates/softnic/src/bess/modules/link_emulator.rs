//! `LinkEmulator`, which is weft's own: clients of BESS find it in the list of classes and need its message.

use sim::quantity::Buffer;
use sim::{LevelStats, LinkSpec, QuantityError, Rate, Time};

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{LevelMap, LinkEmulator, LinkEmulatorConfig};

pub(super) const CLASS: Class = Class {
    name: "LinkEmulator",
    help: "one direction of a link: rate, delay, faults, and a buffer with eight levels of priority",
    template: "link_emulator",
    arg: "LinkEmulatorArg",
    build,
    commands: commands![
        LinkEmulator;
        "get_counters" => get_counters,
        "get_initial_arg" => INITIAL,
    ],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::LinkEmulatorArg = decode(argument)?;
    let link = spec(&arg).map_err(Failure::refused)?;
    let levels = match arg.levels.as_str() {
        "" => LevelMap::DSCP,
        text => text.parse::<LevelMap>().map_err(Failure::refused)?,
    };
    let pool = setup.pool();
    let fit = LinkEmulatorConfig::packets_for(&link).min(pool.capacity() / 2).max(1);
    let packets = if arg.packets == 0 { fit } else { usize::try_from(arg.packets).unwrap_or(usize::MAX) };
    let config =
        LinkEmulatorConfig { link, levels, overhead_bytes: arg.overhead, packets, seed: setup.seed() };
    let module = LinkEmulator::new(config, pool).map_err(Failure::refused)?;
    Ok(Box::new(module))
}

fn spec(arg: &pb::LinkEmulatorArg) -> Result<LinkSpec, QuantityError> {
    let time = |text: &str| if text.is_empty() { Ok(Time::ZERO) } else { text.parse() };
    let (rate, delay): (Rate, Time) = (arg.rate.parse()?, time(&arg.delay)?);
    let round_trip = delay.times(2);
    let buffer = match arg.buffer.as_str() {
        "" => Buffer::usual(rate, round_trip),
        text => text.parse::<Buffer>()?.bytes(rate, round_trip),
    };
    let link = LinkSpec::new(rate, delay).buffer(buffer).loss(arg.loss).jitter(time(&arg.jitter)?);
    Ok(link.reorder(arg.reorder, time(&arg.reorder_by)?))
}

fn get_counters(
    module: &mut LinkEmulator,
    _: pb::LinkEmulatorCommandGetCountersArg,
) -> Result<pb::LinkEmulatorCommandGetCountersResponse, Failure> {
    let counters = module.counters();
    let level = |stats: &LevelStats| pb::link_emulator_command_get_counters_response::Level {
        arrived: stats.arrived,
        carried: stats.carried,
        carried_bytes: stats.carried_bytes,
        dropped: stats.dropped,
        evicted: stats.evicted,
        lost: stats.lost,
        held_up: stats.held_up,
        over_limit: stats.over_limit,
    };
    Ok(pb::LinkEmulatorCommandGetCountersResponse {
        levels: counters.link.levels.iter().map(level).collect(),
        held: counters.link.held as u64,
        queued_bytes: counters.link.queued_bytes,
        queued_most: counters.link.queued_most,
        no_buffer: counters.no_buffer,
        too_long: counters.too_long,
        unfinished: counters.unfinished,
    })
}
