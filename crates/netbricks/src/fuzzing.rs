//! Bodies of the fuzz targets, shared by the bounded runs in `tests` and the coverage-guided targets in `fuzz/`. Not for
//! other uses.

pub use crate::conntrack::fuzz::conntrack;
pub use crate::functions::fuzz::functions;
pub use crate::nat::fuzz::nat;
pub use crate::operator::fuzz::operators;
pub use crate::reassembly::fuzz::reassembly;
