//! A channel that repeats to all members what one of them says: the smallest service of `messenger`, to copy.
//!
//! A message `{"CHANNEL":"chat","msg":"hello"}` comes to every member as `{"CHANNEL":"chat","msg":"hello","from":"session-1"}`.
//!
//! | option | meaning |
//! |---|---|
//! | `--channel=NAME` | the channel; `chat` |
//!
//! Launch: `weft pox messenger.chat messenger messenger.tcp_transport`

use serde_json::Map;

use super::messenger::{MessageReceived, Messenger};
use crate::{Component, Core, Options, OptionsError, Result};

/// The channel.
#[derive(Debug)]
pub struct Chat {
    channel: String,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Chat { channel: options.text("channel")?.unwrap_or_else(|| "chat".into()) }))
}

impl Component for Chat {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen("messenger", |this: &mut Self, event: &MessageReceived, core: &mut Core| {
            let text = event.message.get("msg").filter(|_| event.channel == this.channel);
            if let Some(text) = text {
                let said = Map::from_iter([
                    ("msg".into(), text.clone()),
                    ("from".into(), event.session.to_string().into()),
                ]);
                Messenger::with(core, |messenger, _| messenger.say(&this.channel, said));
            }
        });
        Ok(())
    }
}
