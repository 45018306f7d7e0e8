//! Sends what components log to the members of the messenger's channel `log`.
//!
//! Each record is `{"CHANNEL":"log","level":"INFO","component":"forwarding.hub","message":"…","at":12.5}`, `at` in seconds of the
//! controller's time.
//!
//! | option | meaning |
//! |---|---|
//! | `--channel=NAME` | another channel |
//!
//! Launch: `weft pox messenger.log_service messenger messenger.tcp_transport`

use serde_json::Map;

use super::messenger::Messenger;
use crate::{CORE, Component, Core, Options, OptionsError, Record, Result};

/// The service.
#[derive(Debug)]
pub struct LogService {
    channel: String,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(LogService { channel: options.text("channel")?.unwrap_or_else(|| "log".into()) }))
}

impl Component for LogService {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen(CORE, |this: &mut Self, record: &Record, core: &mut Core| {
            Messenger::with(core, |messenger, _| {
                if !messenger.is_heard(&this.channel) {
                    return;
                }
                let said = Map::from_iter([
                    ("level".into(), record.level.to_string().into()),
                    ("component".into(), (*record.component).into()),
                    ("message".into(), record.text.clone().into()),
                    ("at".into(), record.at.as_secs_f64().into()),
                ]);
                messenger.say(&this.channel, said);
            });
        });
        Ok(())
    }
}
