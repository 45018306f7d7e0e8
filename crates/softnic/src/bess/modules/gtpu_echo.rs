//! `GtpuEcho`. The address that clients must give is not used, as in BESS: whoever is asked answers.

use crate::bess::class::{Argument, Class, Setup, commands, decode};
use crate::bess::{Failure, pb};
use crate::engine::Module;
use crate::modules::GtpuEcho;

pub(super) const CLASS: Class = Class {
    name: "GtpuEcho",
    help: "answers GTP-U echo requests",
    template: "gtpu_echo",
    arg: "GtpuEchoArg",
    build,
    commands: commands![GtpuEcho;],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let arg: pb::GtpuEchoArg = decode(argument)?;
    if arg.s1u_sgw_ip == 0 {
        return Err(Failure::invalid("Invalid S1U SGW IP address!"));
    }
    Ok(Box::new(GtpuEcho))
}
