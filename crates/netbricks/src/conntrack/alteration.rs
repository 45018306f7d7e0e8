//! Altering the reply of a flow, for NAT.

use lookup::flow_table::{FlowId, Full};
use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use super::flow::Tuple;
use super::tracker::{Owner, Tracker};
use super::verdict::Direction;
use super::way::Way;

/// Why a reply tuple cannot be altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// The flow is no more.
    #[error("the flow is gone")]
    Gone,
    /// The tuple is of another protocol; ICMP and ICMPv6 count as one.
    #[error("{reply} is of another protocol than the flow")]
    Protocol {
        /// The tuple asked for.
        reply: FlowKey,
    },
    /// Packets of that tuple belong to another flow already, or to this one in its original direction.
    #[error("{reply} belongs to another flow")]
    Collision {
        /// The tuple asked for.
        reply: FlowKey,
        /// Whose it is.
        flow: FlowId,
    },
    /// As many flows are altered as [`Config::translations`] allows.
    #[error("no room for another altered reply")]
    Full(#[from] Full),
}

impl<T> Tracker<T> {
    /// Lets the packets that come back be those of `reply`: what a translation makes of the original tuple, reversed. It
    /// may be of the other address family (NAT64). To have it as it was, alter it to the original reversed.
    ///
    /// # Errors
    /// The flow is gone, the tuple is another's or of another protocol, or there are too many translations; then nothing is
    /// changed.
    pub fn alter_reply(&mut self, id: FlowId, reply: FlowKey, now_ns: u64) -> Result<(), AlterError> {
        let flow = self.flows.get(id).ok_or(AlterError::Gone)?;
        let (plain, before) = (flow.original.reversed(), flow.altered());
        let tuple = Tuple { key: reply, ..plain };
        if translated(reply.protocol()) != translated(plain.key.protocol()) {
            return Err(AlterError::Protocol { reply });
        }
        if tuple != plain {
            self.is_free(id, &tuple, now_ns).inspect_err(|_| self.counters.collisions += 1)?;
        }
        if let Some(before) = before {
            self.altered.remove(before); // which makes room for the new one
        }
        let altered = if tuple == plain {
            None
        } else {
            Some(self.altered.insert(Way::of(&tuple).index, id, u64::MAX, now_ns)?)
        };
        if let Some(flow) = self.flows.get_mut(id) {
            flow.alter(tuple, altered);
        }
        Ok(())
    }

    /// Whether the flow `id` may have the reply `tuple`.
    fn is_free(&self, id: FlowId, tuple: &Tuple, now_ns: u64) -> Result<(), AlterError> {
        match self.owner(&Way::of(tuple), now_ns) {
            Owner::Nobody => Ok(()),
            Owner::Flow(owner, Direction::Reply) if owner == id => Ok(()),
            Owner::Flow(flow, _) | Owner::Mirrored(flow) => {
                Err(AlterError::Collision { reply: tuple.key, flow })
            }
        }
    }
}

/// What NAT64 makes of a protocol.
const fn translated(protocol: IpProtocol) -> u8 {
    match protocol {
        IpProtocol::ICMPV6 => IpProtocol::ICMP.0,
        IpProtocol(number) => number,
    }
}
