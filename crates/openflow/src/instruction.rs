//! Instructions of a flow entry (1.1 and later). A 1.0 flow's actions are one [`Instruction::ApplyActions`].

use crate::action::Action;

/// What is done with a packet that matches (`ofp_instruction`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Go on in that table, a later one.
    GotoTable(u8),
    /// Set the metadata bits under the mask.
    WriteMetadata {
        /// The bits.
        value: u64,
        /// Which of them.
        mask: u64,
    },
    /// Merge into the action set.
    WriteActions(Vec<Action>),
    /// Do at once, in order.
    ApplyActions(Vec<Action>),
    /// Empty the action set.
    ClearActions,
    /// Let the meter decide, before all else.
    Meter(u32),
    /// Another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows, padding included.
        data: Vec<u8>,
    },
}
