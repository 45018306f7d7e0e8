//! The class, as BESS's clients see it.
#![allow(clippy::needless_pass_by_value)] // All handlers of commands have one shape.

use softnic::bess::Failure;
use softnic::bess::class::{Argument, Class, Command, Run, Setup, decode, extend};
use softnic::engine::Module;

use super::module::{Plane, SetError};
use super::{isolated, proto};

/// The class `E2Plane`.
pub const CLASS: &str = "E2Plane";

/// The class `IsolatedFunction`.
pub const ISOLATED: &str = "IsolatedFunction";

static CLASSES: [Class; 2] = [
    Class {
        name: CLASS,
        help: "the data plane of E2: classifies packets, shares them out among instances, carries them between servers",
        template: "plane",
        arg: "Program",
        build,
        commands: &COMMANDS,
    },
    Class {
        name: ISOLATED,
        help: "runs network functions of weft's, each in a confined process: words=['firewall', 'rule=permit out any any']",
        template: "isolated",
        arg: "IsolatedArg",
        build: isolated::build,
        commands: &[Command { name: "get_initial_arg", arg: "EmptyArg", run: Run::InitialArg }],
    },
];

static COMMANDS: [Command; 5] = [
    Command {
        name: "set_program",
        arg: "Program",
        run: Run::Module(|target, argument| target.call::<Plane, _, _>(argument, set_program)),
    },
    Command {
        name: "get_program",
        arg: "EmptyArg",
        run: Run::Module(|target, argument| target.call::<Plane, (), _>(argument, get_program)),
    },
    Command {
        name: "get_report",
        arg: "EmptyArg",
        run: Run::Module(|target, argument| target.call::<Plane, (), _>(argument, get_report)),
    },
    Command {
        name: "get_flows",
        arg: "FlowsOf",
        run: Run::Module(|target, argument| target.call::<Plane, _, _>(argument, get_flows)),
    },
    Command {
        name: "forget",
        arg: "Forget",
        run: Run::Module(|target, argument| target.call::<Plane, _, _>(argument, forget)),
    },
];

/// Adds the classes to the daemons that this process starts from now on. `role` is the word with which its program calls
/// [`serve_isolated`](netbricks::functions::serve_isolated).
///
/// # Errors
/// When another room has added classes.
pub fn register(role: &'static str) -> Result<(), Failure> {
    isolated::set_role(role);
    extend(&CLASSES)
}

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let mut plane = Plane::new(setup.pool());
    set_program(&mut plane, decode(argument)?)?;
    Ok(Box::new(plane))
}

fn set_program(plane: &mut Plane, program: proto::Program) -> Result<(), Failure> {
    plane.set_program(program).map_err(|error| match error {
        SetError::Program(error) => Failure::invalid(error.to_string()),
        SetError::Epoch { .. } => Failure::busy(error.to_string()),
    })
}

fn get_program(plane: &mut Plane, (): ()) -> Result<proto::Program, Failure> {
    Ok(plane.said().clone())
}

fn get_report(plane: &mut Plane, (): ()) -> Result<proto::Report, Failure> {
    Ok(plane.report())
}

fn get_flows(plane: &mut Plane, of: proto::FlowsOf) -> Result<proto::Flows, Failure> {
    Ok(plane.flows(of))
}

fn forget(plane: &mut Plane, forget: proto::Forget) -> Result<(), Failure> {
    plane.forget(&forget);
    Ok(())
}
