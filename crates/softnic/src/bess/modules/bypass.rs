//! `Bypass`.

use crate::bess::class::{Argument, Class, Setup, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Bypass;

/// A cycle is a nanosecond. Differences from BESS: the bytes of all packets of a batch count, where BESS takes those of the
/// last; no batch takes longer than 10 ms.
pub(super) const CLASS: Class = Class {
    name: "Bypass",
    help: "lets packets pass from each input gate to the output gate of the same number, and takes its time",
    template: "bypass",
    arg: "BypassArg",
    build,
    commands: &[],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::BypassArg = decode(argument)?;
    Ok(Box::new(Bypass {
        batch_ns: arg.cycles_per_batch.into(),
        packet_ns: arg.cycles_per_packet.into(),
        byte_ns: arg.cycles_per_byte.into(),
    }))
}
