//! Asks switches to send whole packets, or so many bytes of them, where no flow matches.
//!
//! Whole packets are what the controller asks for anyway; `--bytes` is for switches that keep packets, and components that
//! need no more than the headers.
//!
//! | option | meaning |
//! |---|---|
//! | `--bytes=N` | so many bytes; 65535, which is all |
//!
//! Launch: `weft pox misc.full_payload --bytes=128 forwarding.l2_learning`

use crate::{Component, Core, Options, OptionsError, Result};

/// Sets the length.
#[derive(Debug)]
pub struct FullPayload {
    bytes: u16,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(FullPayload { bytes: options.take_or("bytes", 0xffff)? }))
}

impl Component for FullPayload {
    fn start(&mut self, core: &mut Core) -> Result {
        core.nexus_config_mut().miss_send_len = self.bytes;
        Ok(())
    }
}
