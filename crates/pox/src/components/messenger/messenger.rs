//! Channels of JSON messages between programs outside and components.
//!
//! A client has a session, over TCP (`messenger.tcp_transport`) or WebSocket (`web.webcore`, at `/messenger`). Every message is a
//! JSON object whose `CHANNEL` says where it goes. On the channel `""` the messenger itself answers:
//!
//! | message | answer |
//! |---|---|
//! | on connecting | `{"CHANNEL":"","cmd":"welcome","session_id":"…"}` |
//! | `{"CHANNEL":"","cmd":"join","channel":"x"}` | `{"CHANNEL":"","cmd":"join_ack","channel":"x"}`: what is said on `x` comes from now on |
//! | `{"CHANNEL":"","cmd":"leave","channel":"x"}` | `{"CHANNEL":"","cmd":"leave_ack","channel":"x"}` |
//! | `{"CHANNEL":"","cmd":"test", …}` | the same back, with `"test":"ok"` |
//!
//! Messages to other channels raise `MessageReceived`, for components that listen.
//!
//! Launch: `weft pox messenger messenger.tcp_transport messenger.log_service`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use crate::{Component, Core, Event, Options, OptionsError, debug};

/// Sessions at one time.
pub const SESSIONS_MAX: usize = 1_024;
/// Channels one session may join.
pub const CHANNELS_MAX: usize = 64;
/// Characters of a channel's name.
pub const NAME_MAX: usize = 128;
/// The component's name.
const NAME: &str = "messenger";

/// Which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session-{}", self.0)
    }
}

/// A client said something on a channel. Raised by `messenger`.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageReceived {
    /// Who.
    pub session: SessionId,
    /// Where.
    pub channel: String,
    /// What, `CHANNEL` included.
    pub message: Map<String, Value>,
}

/// A client joined a channel. Raised by `messenger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelJoined {
    /// Who.
    pub session: SessionId,
    /// Which.
    pub channel: String,
}

impl Event for MessageReceived {}
impl Event for ChannelJoined {}

type Send = Box<dyn Fn(&str) -> bool>;

struct Session {
    send: Send,
    channels: BTreeSet<String>,
}

/// The sessions and their channels.
#[derive(Default)]
pub struct Messenger {
    sessions: BTreeMap<SessionId, Session>,
    opened: u64,
}

pub(crate) fn build(_: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Messenger::default()))
}

impl Component for Messenger {}

impl Messenger {
    /// Has the messenger do something, where it is launched.
    pub fn with<R>(core: &mut Core, act: impl FnOnce(&mut Self, &mut Core) -> R) -> Option<R> {
        core.call(NAME, |messenger: &mut Self, core: &mut Core| act(messenger, core)).ok()
    }

    /// A client comes; `send` takes its messages, and says `false` when it can take no more, which ends the session. `None` where
    /// there are [`SESSIONS_MAX`].
    pub fn open(&mut self, send: impl Fn(&str) -> bool + 'static, core: &mut Core) -> Option<SessionId> {
        if self.sessions.len() >= SESSIONS_MAX {
            return None;
        }
        self.opened += 1;
        let id = SessionId(self.opened);
        self.sessions.insert(id, Session { send: Box::new(send), channels: BTreeSet::new() });
        debug!(core, "{id} begins");
        self.send(id, &json!({ "CHANNEL": "", "cmd": "welcome", "session_id": id.to_string() }));
        Some(id)
    }

    /// A client goes.
    pub fn close(&mut self, id: SessionId, core: &mut Core) {
        if self.sessions.remove(&id).is_some() {
            debug!(core, "{id} is over");
        }
    }

    /// Sends a client a message. `false` where it is gone.
    pub fn send(&mut self, id: SessionId, message: &Value) -> bool {
        let sent = self.sessions.get(&id).is_some_and(|session| (session.send)(&message.to_string()));
        if !sent {
            self.sessions.remove(&id);
        }
        sent
    }

    /// Sends all members of a channel a message, which is given its name.
    pub fn say(&mut self, channel: &str, mut message: Map<String, Value>) {
        message.insert("CHANNEL".into(), channel.into());
        let text = Value::Object(message).to_string();
        self.sessions.retain(|_, session| !session.channels.contains(channel) || (session.send)(&text));
    }

    /// Whether anybody is on a channel.
    #[must_use]
    pub fn is_heard(&self, channel: &str) -> bool {
        self.sessions.values().any(|session| session.channels.contains(channel))
    }

    /// A client says something.
    pub fn receive(&mut self, id: SessionId, text: &str, core: &mut Core) {
        if !self.sessions.contains_key(&id) {
            return;
        }
        let Ok(Value::Object(message)) = serde_json::from_str(text) else {
            self.send(id, &json!({ "CHANNEL": "", "cmd": "error", "reason": "a message is a JSON object" }));
            return;
        };
        let channel = message.get("CHANNEL").and_then(Value::as_str).unwrap_or_default().to_owned();
        if channel.is_empty() {
            self.command(id, message, core);
        } else if channel.len() <= NAME_MAX {
            core.raise_from(NAME, MessageReceived { session: id, channel, message });
        }
    }

    fn command(&mut self, id: SessionId, mut message: Map<String, Value>, core: &mut Core) {
        let command = message.get("cmd").and_then(Value::as_str).unwrap_or_default().to_owned();
        let channel = message.get("channel").and_then(Value::as_str).unwrap_or_default().to_owned();
        let refuse = |reason: &str| json!({ "CHANNEL": "", "cmd": "error", "reason": reason });
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let answer = match command.as_str() {
            "join" if channel.is_empty() || channel.len() > NAME_MAX => refuse("no channel has that name"),
            "join" if session.channels.len() >= CHANNELS_MAX => refuse("too many channels"),
            "join" => {
                session.channels.insert(channel.clone());
                core.raise_from(NAME, ChannelJoined { session: id, channel: channel.clone() });
                json!({ "CHANNEL": "", "cmd": "join_ack", "channel": channel })
            }
            "leave" => {
                session.channels.remove(&channel);
                json!({ "CHANNEL": "", "cmd": "leave_ack", "channel": channel })
            }
            "test" => {
                message.insert("test".into(), "ok".into());
                Value::Object(message)
            }
            _ => refuse("commands are join, leave and test"),
        };
        self.send(id, &answer);
    }
}
