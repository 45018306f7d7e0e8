//! What the module classes look like to BESS's clients. The modules themselves are in [`crate::modules`].

mod noop;
mod port_inc;
mod port_out;
mod queue_inc;
mod queue_out;
mod sink;
mod source;

use super::class::Class;

/// Every class, by name.
pub(crate) const CLASSES: &[Class] = &[
    noop::CLASS,
    port_inc::CLASS,
    port_out::CLASS,
    queue_inc::CLASS,
    queue_out::CLASS,
    sink::CLASS,
    source::CLASS,
];

/// The class of that name.
pub(crate) fn find(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}
