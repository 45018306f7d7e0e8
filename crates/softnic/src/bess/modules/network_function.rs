//! `NetworkFunction`: those of the room netbricks, by name. BESS has no such class.

use netbricks::functions::{self, Setup as FunctionSetup};

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::FunctionModule;

pub(super) const CLASS: Class = Class {
    name: "NetworkFunction",
    help: "runs network functions of weft's, one behind the other: words=['firewall', 'rule=permit out any any']",
    template: "function",
    arg: "NetworkFunctionArg",
    build,
    commands: commands![FunctionModule; "get_initial_arg" => INITIAL, "get_report" => get_report],
};

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::NetworkFunctionArg = decode(argument)?;
    if arg.words.is_empty() {
        return Err(Failure::invalid("'words' must name a network function and its arguments"));
    }
    let seed = setup.seed();
    let key = u128::from(seed) << 64 | u128::from(seed.rotate_left(29));
    let own = FunctionSetup { pool: setup.pool(), key, seed };
    let line = functions::build(&arg.words, &own).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Box::new(FunctionModule::new(Box::new(line))))
}

fn get_report(module: &mut FunctionModule, _: pb::EmptyArg) -> Result<pb::NetworkFunctionReport, Failure> {
    let report = module.report();
    let counter = |(name, value): &(String, u64)| pb::network_function_report::Counter {
        name: name.clone(),
        value: *value,
    };
    let mut counters: Vec<_> = report.counters().iter().map(counter).collect();
    // A line's functions count their drops themselves; they are in its report.
    let drops = module.drops().iter().map(|(cause, count)| (format!("dropped, {cause}"), count));
    counters.extend(drops.map(|(name, value)| pb::network_function_report::Counter { name, value }));
    Ok(pb::NetworkFunctionReport { counters, lines: report.lines().to_vec() })
}
