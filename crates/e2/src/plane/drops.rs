//! What a data plane drops, and why.

use super::proto;

macro_rules! causes {
    ($($name:ident: $text:literal,)*) => {
        /// Why a packet ends in a data plane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Cause { $($name,)* }

        const TEXTS: &[&str] = &[$($text,)*];
    };
}

causes! {
    NoProgram: "nothing is known of the gate",
    NoRule: "no rule takes it",
    NoWay: "nobody knows where that is",
    NotOurs: "on a trunk, but of no tunnel of ours",
    NoRoom: "no room for the tunnel's headers",
    NoBuffer: "no buffer for a segment",
    Unfinished: "work was left undone that makes no sense",
    Circle: "sent on too often",
}

/// Counts of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drops([u64; TEXTS.len()]);

impl Drops {
    pub(super) fn count(&mut self, cause: Cause) {
        self.0[cause as usize] += 1;
    }

    pub(super) fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    pub(super) fn report(&self) -> Vec<proto::report::Drop> {
        let counted = TEXTS.iter().zip(self.0).filter(|(_, packets)| *packets > 0);
        counted.map(|(cause, packets)| proto::report::Drop { cause: (*cause).to_owned(), packets }).collect()
    }
}
