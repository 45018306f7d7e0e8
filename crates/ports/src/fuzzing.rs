//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`. Not for other
//! uses.

use crate::memif;

/// Any control messages to either side of a memif connection.
pub fn memif_control(data: &[u8]) {
    memif::fuzzing::control(data);
}

/// Inputs of [`memif_control`] that honest peers make.
#[must_use]
pub fn memif_control_seeds() -> Vec<Vec<u8>> {
    memif::fuzzing::control_seeds().into()
}

/// Any bytes in the memory of memif rings, from the other side, while packets pass.
pub fn memif_rings(data: &[u8]) {
    memif::fuzzing::rings(data);
}
