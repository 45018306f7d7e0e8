//! Links that are slow, long or lossy on purpose.

use std::fmt;

use serde::{Deserialize, Serialize};
/// What a link is like: as the dataplane has it.
pub use softnic::fabric::program::LinkShape;

use super::{Party, Span};

/// A link between two parties: all packets between them share it, in each direction one of this shape. It allows nothing by
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedLink {
    /// One end: a container, or all members of a service.
    pub a: Party,
    /// The other end.
    pub b: Party,
    /// What it is like, one way.
    pub shape: LinkShape,
    /// Where the script made it.
    pub span: Span,
}

impl fmt::Display for EmulatedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {} ({})", self.a, self.b, self.shape)
    }
}
