//! `Queue`. Clients may ask for prefetching, and read back that they have; a queue here does not need it.

use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Queue;

pub(super) const CLASS: Class = Class {
    name: "Queue",
    help: "holds packets until its own task takes them on",
    template: "queue",
    arg: "QueueArg",
    build,
    commands: commands![
        Queue;
        "set_burst" => set_burst,
        "set_size" => set_size,
        "get_status" => get_status,
        "get_initial_arg" => INITIAL,
        "get_runtime_config" => get_runtime_config,
        "set_runtime_config" => set_runtime_config,
    ],
};

/// Packets that one holds when the client does not say.
const SIZE: u64 = 1024;
/// The largest burst of any line of clients.
const BURST_MAX: u64 = 64;

/// A size that BESS's ring can have.
fn size(size: u64) -> Result<usize, Failure> {
    if !(4..=16_384).contains(&size) {
        return Err(Failure::invalid(format!("must be in [4, 16384], not {size}")));
    }
    if !size.is_power_of_two() {
        return Err(Failure::invalid(format!("must be a power of 2, not {size}")));
    }
    Ok(size as usize)
}

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::QueueArg = decode(argument)?;
    let size = size(if arg.size == 0 { SIZE } else { arg.size })?;
    let mut queue = Queue::new(size).with_backpressure(arg.backpressure);
    queue.set_prefetch(arg.prefetch);
    Ok(Box::new(queue))
}

fn set_burst(module: &mut Queue, arg: pb::QueueCommandSetBurstArg) -> Result<(), Failure> {
    if arg.burst > BURST_MAX {
        return Err(Failure::invalid(format!("burst size must be [0,{BURST_MAX}], not {}", arg.burst)));
    }
    module.set_burst(arg.burst as usize);
    Ok(())
}

fn set_size(module: &mut Queue, arg: pb::QueueCommandSetSizeArg) -> Result<(), Failure> {
    module.resize(size(arg.size)?);
    Ok(())
}

fn get_status(
    module: &mut Queue,
    _: pb::QueueCommandGetStatusArg,
) -> Result<pb::QueueCommandGetStatusResponse, Failure> {
    let status = module.queued();
    Ok(pb::QueueCommandGetStatusResponse {
        count: status.count as u64,
        size: status.size as u64,
        enqueued: status.enqueued,
        dequeued: status.dequeued,
        dropped: status.dropped,
    })
}

fn get_runtime_config(module: &mut Queue, _: pb::EmptyArg) -> Result<pb::QueueArg, Failure> {
    Ok(config(module))
}

fn config(module: &Queue) -> pb::QueueArg {
    let size = module.queued().size as u64;
    pb::QueueArg { size, prefetch: module.prefetch(), backpressure: module.backpressure() }
}

fn set_runtime_config(module: &mut Queue, arg: pb::QueueArg) -> Result<(), Failure> {
    if arg.size != 0 && arg.size != module.queued().size as u64 {
        module.resize(size(arg.size)?);
    }
    module.set_prefetch(arg.prefetch);
    module.set_backpressure(arg.backpressure);
    Ok(())
}

pub(super) fn save(module: &mut Queue) -> Vec<Told> {
    let burst = pb::QueueCommandSetBurstArg { burst: module.burst() as u64 };
    vec![told("set_runtime_config", &config(module)), told("set_burst", &burst)]
}
