//! Flows, written once for both versions.

use openflow::action::Action;
use openflow::flow::{FlowCommand, FlowMod, PacketOut, flags};
use openflow::instruction::Instruction;
use openflow::matching::Match;
use openflow::message::{Body, PortMod, RoleMessage, SwitchConfig, TableMod};
use openflow::port::PortNo;

/// Sends out of a port.
#[must_use]
pub const fn output(port: PortNo) -> Action {
    Action::output(port)
}

/// A change of the flow table, of either version. What it does not say is as in [`FlowMod::default`].
///
/// ```
/// use pox::{Flow, PortNo};
/// use openflow::matching::Match;
///
/// let flow = Flow::add(Match::default()).priority(10).idle_timeout(60).output(PortNo(2));
/// assert_eq!(flow.applied().len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Flow(FlowMod);

impl Flow {
    fn of(command: FlowCommand, matching: Match) -> Self {
        Self(FlowMod { command, matching, ..FlowMod::default() })
    }

    /// A new entry; without further ado it drops.
    pub fn add(matching: impl Into<Match>) -> Self {
        Self::of(FlowCommand::Add, matching.into())
    }

    /// Other actions for all that the match covers.
    pub fn modify(matching: impl Into<Match>) -> Self {
        Self::of(FlowCommand::Modify, matching.into())
    }

    /// Removes all that the match covers, in every table.
    pub fn delete(matching: impl Into<Match>) -> Self {
        Self::of(FlowCommand::Delete, matching.into()).table(openflow::flow::ALL_TABLES)
    }

    /// Removes the entry of exactly that match and priority.
    pub fn delete_strict(matching: impl Into<Match>) -> Self {
        Self::of(FlowCommand::DeleteStrict, matching.into())
    }

    /// Higher comes first; `0x8000` where none is given.
    pub fn priority(mut self, priority: u16) -> Self {
        self.0.priority = priority;
        self
    }

    /// Removed after so many seconds without a packet; 0 never.
    pub fn idle_timeout(mut self, seconds: u16) -> Self {
        self.0.idle_timeout = seconds;
        self
    }

    /// Removed after so many seconds; 0 never.
    pub fn hard_timeout(mut self, seconds: u16) -> Self {
        self.0.hard_timeout = seconds;
        self
    }

    /// A number to know it by.
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.0.cookie = cookie;
        self
    }

    /// The table: 0 is the first.
    pub fn table(mut self, table: u8) -> Self {
        self.0.table = table;
        self
    }

    /// Applies to a packet the switch has kept.
    pub fn buffer(mut self, buffer: u32) -> Self {
        self.0.buffer = buffer;
        self
    }

    /// Removals: only what outputs there.
    pub fn out_port(mut self, port: PortNo) -> Self {
        self.0.out_port = port;
        self
    }

    /// Raises [`FlowRemoved`](super::FlowRemoved) when it goes.
    pub fn tell_removal(mut self) -> Self {
        self.0.flags |= flags::SEND_FLOW_REM;
        self
    }

    /// One more action, done at once.
    pub fn action(mut self, action: Action) -> Self {
        match self.0.instructions.iter_mut().find_map(|instruction| match instruction {
            Instruction::ApplyActions(actions) => Some(actions),
            _ => None,
        }) {
            Some(actions) => actions.push(action),
            None => self.0.instructions.push(Instruction::ApplyActions(vec![action])),
        }
        self
    }

    /// More actions, done at once.
    pub fn actions(self, actions: impl IntoIterator<Item = Action>) -> Self {
        actions.into_iter().fold(self, Self::action)
    }

    /// Sends out of a port.
    pub fn output(self, port: PortNo) -> Self {
        self.action(output(port))
    }

    /// Sends whole packets to the controller.
    pub fn to_controller(self) -> Self {
        self.action(Action::controller())
    }

    /// 1.3: any other instruction.
    pub fn instruction(mut self, instruction: Instruction) -> Self {
        self.0.instructions.push(instruction);
        self
    }

    /// The actions done at once.
    #[must_use]
    pub fn applied(&self) -> &[Action] {
        let found = self.0.instructions.iter().find_map(|instruction| match instruction {
            Instruction::ApplyActions(actions) => Some(&**actions),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// As a message has it.
    #[must_use]
    pub fn into_flow_mod(self) -> FlowMod {
        self.0
    }
}

/// What can be sent.
pub trait IntoBody {
    /// As a message's body.
    fn into_body(self) -> Body;
}

impl IntoBody for Body {
    fn into_body(self) -> Body {
        self
    }
}

impl IntoBody for Flow {
    fn into_body(self) -> Body {
        Body::FlowMod(self.0)
    }
}

macro_rules! bodies {
    ($($kind:ty => $variant:ident),+ $(,)?) => {
        $(impl IntoBody for $kind {
            fn into_body(self) -> Body {
                Body::$variant(self)
            }
        })+
    };
}

bodies! {
    FlowMod => FlowMod,
    PacketOut => PacketOut,
    PortMod => PortMod,
    TableMod => TableMod,
    SwitchConfig => SetConfig,
    RoleMessage => RoleRequest,
    openflow::group::GroupMod => GroupMod,
    openflow::meter::MeterMod => MeterMod,
    openflow::nicira::Message => Nicira,
}
