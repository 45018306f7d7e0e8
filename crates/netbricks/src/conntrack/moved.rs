//! Flows that go on in another tracker, such as that of the process that takes over from this one.

use lookup::flow_table::FlowId;
use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use super::flow::{Flow, Standing, Traffic, Transport, Tuple};
use super::tcp::{Tcp, TcpState};
use super::tracker::{Owner, Tracker};
use super::way::Way;

/// A flow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The tuple of the packet that opened it.
    pub original: FlowKey,
    /// The type of an ICMP query, 0 for what is none.
    pub query: u8,
    /// The tuple of its answers.
    pub reply: FlowKey,
    /// The state of a TCP flow. Windows are not told: they are learnt anew, as of a connection that is picked up.
    pub tcp: Option<TcpState>,
    /// Whether a packet came back.
    pub replied: bool,
    /// Whether it is kept when the table is full.
    pub assured: bool,
    /// What travelled in each direction.
    pub traffic: [Traffic; 2],
    /// When its first packet came, and when it ends if nothing comes, on the clock of both trackers.
    pub since_ns: u64,
    /// See `since_ns`.
    pub deadline_ns: u64,
}

/// Why a flow cannot go on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// Its time is over.
    #[error("its time is over")]
    Over,
    /// Its protocol has no such state.
    #[error("what is told of it makes no sense")]
    Odd,
    /// One of its tuples is another flow's.
    #[error("a tuple of it is another flow's")]
    Collision,
    /// There are as many flows, or translations, as there may be.
    #[error("there are as many as there may be")]
    Full,
}

impl<T> Tracker<T> {
    /// All flows, in no order, as another tracker has to know them.
    pub fn moved(&self) -> impl Iterator<Item = (Moved, &T)> {
        self.iter().filter_map(|(id, flow)| {
            let moved = Moved {
                original: flow.original.key,
                query: flow.original.query,
                reply: *flow.reply(),
                tcp: flow.tcp_state(),
                replied: flow.standing.replied,
                assured: flow.standing.assured,
                traffic: flow.traffic,
                since_ns: flow.since_ns,
                deadline_ns: self.deadline_ns(id)?,
            };
            Some((moved, &flow.data))
        })
    }

    /// Takes in a flow of another tracker.
    ///
    /// # Errors
    /// [`MoveError`]; then it is not there.
    pub fn take_in(&mut self, moved: &Moved, data: T, now_ns: u64) -> Result<FlowId, MoveError> {
        if moved.deadline_ns <= now_ns {
            return Err(MoveError::Over);
        }
        let original = Tuple { key: moved.original, query: moved.query, answers: false };
        let way = Way::of(&original);
        let transport = match (original.key.protocol(), moved.tcp, moved.query) {
            (IpProtocol::TCP, Some(state), 0) => Transport::Tcp(Tcp::resumed(state)),
            (IpProtocol::UDP | IpProtocol::UDP_LITE, None, 0) => Transport::Udp,
            (IpProtocol::ICMP | IpProtocol::ICMPV6, None, 1..) => Transport::Icmp,
            (IpProtocol::TCP | IpProtocol::ICMP | IpProtocol::ICMPV6, ..) | (_, Some(_), _) => {
                return Err(MoveError::Odd);
            }
            _ => Transport::Other,
        };
        if !matches!(self.owner(&way, now_ns), Owner::Nobody) {
            return Err(MoveError::Collision);
        }
        let mut flow = Flow::new(&way, transport, moved.since_ns, data);
        flow.standing = Standing { replied: moved.replied, assured: moved.assured };
        flow.traffic = moved.traffic;
        let evictable = flow.is_evictable();
        let id =
            self.flows.insert(way.index, flow, moved.deadline_ns, now_ns).map_err(|_| MoveError::Full)?;
        if let Err(error) = self.alter_reply(id, moved.reply, now_ns) {
            self.remove(id);
            return Err(match error {
                super::AlterError::Full(_) => MoveError::Full,
                super::AlterError::Protocol { .. } => MoveError::Odd,
                _ => MoveError::Collision,
            });
        }
        if evictable {
            self.candidate(id);
        }
        Ok(id)
    }
}
