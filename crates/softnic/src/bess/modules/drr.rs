//! `DRR`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::{Drr, DrrConfig};

pub(super) const CLASS: Class = Class {
    name: "DRR",
    help: "gives every flow the same share of bytes",
    template: "DRR",
    arg: "DRRArg",
    build,
    commands: commands![
        Drr; "set_quantum_size" => set_quantum_size, "set_max_flow_queue_size" => set_max_flow_queue_size,
    ],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::DrrArg = decode(argument)?;
    let mut config = DrrConfig::default();
    if arg.num_flows != 0 {
        config.flows = arg.num_flows as usize;
    }
    if arg.quantum != 0 {
        config.quantum = arg.quantum;
    }
    if arg.max_flow_queue_size != 0 {
        config.queue_max = arg.max_flow_queue_size as usize;
    }
    Ok(Box::new(Drr::new(config, u128::from(setup.seed())).map_err(Failure::refused)?))
}

fn set_quantum_size(module: &mut Drr, arg: pb::DrrQuantumArg) -> Result<(), Failure> {
    module.set_quantum(arg.quantum.into()).map_err(Failure::refused)
}

fn set_max_flow_queue_size(module: &mut Drr, arg: pb::DrrMaxFlowQueueSizeArg) -> Result<(), Failure> {
    module.set_queue_max(arg.max_queue_size as usize).map_err(Failure::refused)
}
