//! `Source`.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::Source;

pub(super) const CLASS: Class = Class {
    name: "Source",
    help: "makes packets without end, whatever their buffers held",
    template: "source",
    arg: "SourceArg",
    build,
    commands: commands![Source; "set_pkt_size" => set_pkt_size, "set_burst" => set_burst],
};

/// Bytes of a packet when the client does not say.
const SIZE: u64 = 60;

fn build(setup: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::SourceArg = decode(argument)?;
    let size = if arg.pkt_size == 0 { SIZE } else { arg.pkt_size };
    let mut source = Source::blank(setup.pool(), 0).burst_max(setup.burst_max() as usize);
    set_pkt_size(&mut source, pb::SourceCommandSetPktSizeArg { pkt_size: size })?;
    Ok(Box::new(source))
}

fn set_pkt_size(source: &mut Source, arg: pb::SourceCommandSetPktSizeArg) -> Result<(), Failure> {
    let size = usize::try_from(arg.pkt_size).ok().filter(|&size| size > 0 && source.set_size(size));
    size.map(|_| ()).ok_or_else(|| Failure::invalid(format!("invalid packet size {}", arg.pkt_size)))
}

fn set_burst(source: &mut Source, arg: pb::SourceCommandSetBurstArg) -> Result<(), Failure> {
    let most = source.most();
    let burst = usize::try_from(arg.burst).ok().filter(|&burst| burst <= most);
    source.set_burst(burst.ok_or_else(|| Failure::invalid(format!("burst size must be [0,{most}]")))?);
    Ok(())
}
