//! Module classes as BESS's clients see them: a name, an argument, commands.
//!
//! A room above adds its own by [`extend`], before a daemon starts: what BESS does with plugins, without loading code.
//!
//! A class's face is one constant in [`super::modules`]. Its functions get decoded messages and a typed module, and
//! give a message or a [`Failure`]:
//!
//! ```text
//! pub(super) const CLASS: Class = Class {
//!     name: "VLANPush",
//!     help: "adds an 802.1Q tag",
//!     template: "vlan_push",
//!     arg: "VLANPushArg",
//!     build: |setup, arg| build(setup, decode(arg)?),
//!     commands: commands![VlanPush; "set_tci" => set_tci, "get_initial_arg" => INITIAL],
//! };
//! ```

use std::sync::OnceLock;

use packet::Pool;
use prost::{Message, Name};
use prost_types::Any;

use super::control::Ports;
use super::{Failure, Flavour};
use crate::engine::{Engine, Module};
use crate::modules::{PortIn, PortOut};

/// A module class.
pub struct Class {
    /// Its name, as in `ListMclass`.
    pub name: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// What the names of its modules begin with when the client gives none; empty: made from the class's name.
    pub template: &'static str,
    /// The message that creates it.
    pub arg: &'static str,
    /// Makes a module from an encoded argument.
    pub build: Build,
    /// What its modules can be told.
    pub commands: &'static [Command],
}

/// Makes a module from an encoded argument.
pub type Build = fn(&mut Setup<'_>, &Argument<'_>) -> Result<Box<dyn Module>, Failure>;

/// A command of a class.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// The message that it takes.
    pub arg: &'static str,
    /// Runs it.
    pub run: Run,
}

/// How a command runs.
pub enum Run {
    /// On the module, between two batches.
    Module(fn(&Target<'_>, &Argument<'_>) -> Result<Option<Any>, Failure>),
    /// Gives back the argument that the module was created with.
    InitialArg,
}

/// A command that a module tells of itself, and its argument.
pub(crate) type Told = (&'static str, Any);

/// Has a module tell by which commands one that was just created with the same argument comes to the same state.
pub(crate) type Save = fn(&Target<'_>) -> Result<Vec<Told>, Failure>;

/// A command with its argument, as a module tells it.
pub(crate) fn told(command: &'static str, argument: &impl Name) -> Told {
    (command, encode(argument).unwrap_or_default())
}

/// What a command is run on.
pub struct Target<'a> {
    /// What carries it.
    pub engine: &'a Engine,
    /// Its name.
    pub module: &'a str,
}

/// An argument as it came: encoded, with the name of its type.
pub struct Argument<'a> {
    /// The message.
    pub any: &'a Any,
}

/// What a module is built with.
pub struct Setup<'a> {
    pub(super) pool: &'a Pool,
    pub(super) ports: &'a mut Ports,
    pub(super) flavour: Flavour,
    pub(super) seed: u64,
    pub(super) name: &'a str,
    /// The port whose queues it has, and the first of them.
    pub(super) taken: &'a mut Option<(String, u64)>,
}

impl Setup<'_> {
    /// Where packets come from.
    pub fn pool(&self) -> Pool {
        self.pool.clone()
    }

    /// The largest burst that a client may ask for.
    pub(crate) fn burst_max(&self) -> u64 {
        self.flavour.burst_max()
    }

    /// A number that nobody outside knows, another one for each module.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The name that the module will have.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Takes all receiving queues of a port, or one; they go back to it when the module is destroyed.
    pub(crate) fn receive_from(&mut self, port: &str, queue: Option<u64>) -> Result<PortIn, Failure> {
        let (queues, bursts) = self.ports.take_rx(port, queue)?;
        *self.taken = Some((port.to_owned(), queue.unwrap_or(0)));
        Ok(PortIn::of(queues).burst_max(self.burst_max() as usize).counted(bursts))
    }

    /// Takes all sending queues of a port, or one; they go back to it when the module is destroyed.
    pub(crate) fn send_to(&mut self, port: &str, queue: Option<u64>) -> Result<PortOut, Failure> {
        let (queues, bursts) = self.ports.take_tx(port, queue)?;
        *self.taken = Some((port.to_owned(), queue.unwrap_or(0)));
        Ok(PortOut::of(queues).counted(bursts.into_iter().next()))
    }
}

/// Decodes an argument. Clients send `EmptyArg` for classes whose argument they do not know: it stands for an empty
/// message of any type.
///
/// # Errors
/// `EINVAL` for another type, or bytes that are no such message.
pub fn decode<A: Message + Name + Default>(argument: &Argument<'_>) -> Result<A, Failure> {
    let Any { type_url, value } = argument.any;
    let kind = type_url.rsplit(['/', '.']).next().unwrap_or_default();
    match kind {
        kind if kind == A::NAME => A::decode(value.as_slice())
            .map_err(|error| Failure::invalid(format!("not a valid {}: {error}", A::NAME))),
        "" | "EmptyArg" | "Empty" | "EmptyRequest" => Ok(A::default()),
        other => Err(Failure::invalid(format!("the argument is a {other}, not a {}", A::NAME))),
    }
}

/// Puts a message into an answer; an empty tuple, which is `google.protobuf.Empty`, puts nothing there.
pub fn encode<R: Message + Name>(message: &R) -> Option<Any> {
    if R::PACKAGE == "google.protobuf" {
        return None;
    }
    // The client finds the type by the last part of the name.
    let type_url = format!("type.googleapis.com/{}.{}", R::PACKAGE, R::NAME);
    Some(Any { type_url, value: message.encode_to_vec() })
}

static EXTENSIONS: OnceLock<&'static [Class]> = OnceLock::new();

/// Adds classes to those of every daemon of this process, once and before the first one starts. Their messages are no part of the
/// interface's schema, so configuration files do not know them, and a daemon with saved state makes them anew by their commands.
///
/// # Errors
/// When others have been added already.
pub fn extend(classes: &'static [Class]) -> Result<(), Failure> {
    match EXTENSIONS.get_or_init(|| classes) {
        added if std::ptr::eq(*added, classes) => Ok(()),
        _ => Err(Failure::invalid("module classes of another room have been added already")),
    }
}

/// The classes that were added.
pub(crate) fn extensions() -> &'static [Class] {
    EXTENSIONS.get().copied().unwrap_or_default()
}

/// What a command of a class looks like inside.
pub type Handler<M, A, R> = fn(&mut M, A) -> Result<R, Failure>;

impl Target<'_> {
    /// Runs a handler on the module with the decoded argument.
    ///
    /// # Errors
    /// The handler's, and what is wrong with the argument.
    pub fn call<M, A, R>(
        &self,
        argument: &Argument<'_>,
        handler: Handler<M, A, R>,
    ) -> Result<Option<Any>, Failure>
    where
        M: Module,
        A: Message + Name + Default + 'static,
        R: Message + Name + 'static,
    {
        let argument: A = decode(argument)?;
        let answer =
            self.engine.with_module(self.module, move |module: &mut M| handler(module, argument))??;
        Ok(encode(&answer))
    }
}

impl Target<'_> {
    /// Has the module tell its state.
    pub(crate) fn save<M: Module>(&self, save: fn(&mut M) -> Vec<Told>) -> Result<Vec<Told>, Failure> {
        Ok(self.engine.with_module(self.module, save)?)
    }
}

/// The type of a handler's argument, for `GetMclassInfo`.
pub(crate) const fn argument_name<M, A: Name, R>(_: Handler<M, A, R>) -> &'static str {
    A::NAME
}

/// The commands of a class: `commands![Module; "name" => handler, …]`, where the handler `INITIAL` stands for giving
/// back the argument that the module was created with.
macro_rules! commands {
    ($module:ty; $($name:literal => $handler:ident),* $(,)?) => {
        &[$($crate::bess::class::commands!(@ $module, $name, $handler)),*]
    };
    (@ $module:ty, $name:literal, INITIAL) => {
        $crate::bess::class::Command { name: $name, arg: "EmptyArg", run: $crate::bess::class::Run::InitialArg }
    };
    (@ $module:ty, $name:literal, $handler:ident) => {
        $crate::bess::class::Command {
            name: $name,
            arg: $crate::bess::class::argument_name::<$module, _, _>($handler),
            run: $crate::bess::class::Run::Module(|target, argument| {
                target.call::<$module, _, _>(argument, $handler)
            }),
        }
    };
}
pub(crate) use commands;

/// The name that a module or port of a class gets when the client gives none, without its number: `ExactMatch` becomes
/// `exact_match`.
pub(crate) fn template(class: &str) -> String {
    let mut name = String::with_capacity(class.len() + 4);
    let mut last_lower = false;
    for letter in class.chars() {
        if last_lower && letter.is_ascii_uppercase() {
            name.push('_');
        }
        last_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_those_of_bess() {
        let names = ["ExactMatch", "IPChecksum", "L2Forward", "HashLB", "PCAPPort"].map(template);
        assert_eq!(names, ["exact_match", "ipchecksum", "l2forward", "hash_lb", "pcapport"]);
    }
}
