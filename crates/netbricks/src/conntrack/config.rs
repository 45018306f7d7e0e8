//! What a tracker is told: how many flows, how strict, and how long each state may be silent.

use std::time::Duration;

use super::tcp::TcpState;

/// The most flows one tracker holds; a larger [`Config::flows`] is lowered to it.
pub const FLOWS_MAX: usize = 1 << 24;

/// How a tracker tracks.
///
/// ```
/// use netbricks::conntrack::{Config, Timeouts};
/// use std::time::Duration;
///
/// let timeouts = Timeouts { udp: Duration::from_secs(10), ..Timeouts::default() };
/// let strict = Config { flows: 100_000, loose: false, timeouts, ..Config::default() };
/// assert!(!strict.liberal);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Flows held at most, 1 to [`FLOWS_MAX`]. All memory is reserved at the start.
    pub flows: usize,
    /// Flows whose reply tuple may be altered at the same time (NAT); 0 where nobody translates.
    pub translations: usize,
    /// Whether TCP, UDP and ICMP checksums are verified. Leave it off for packets whose checksum is still to be done
    /// ([`packet::Offload`]): theirs is only the pseudo header's.
    pub checksums: bool,
    /// Whether a TCP connection whose beginning nobody saw is picked up from an ACK (`nf_conntrack_tcp_loose`).
    pub loose: bool,
    /// Whether segments outside the window pass (`nf_conntrack_tcp_be_liberal`); resets are still held to it.
    pub liberal: bool,
    /// Equal ACKs in a row after which [`Timeouts::retransmitting`] applies (`nf_conntrack_tcp_max_retrans`).
    pub retransmissions_max: u8,
    /// How long a flow may be silent.
    pub timeouts: Timeouts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flows: 65_536,
            translations: 65_536,
            checksums: false,
            loose: true,
            liberal: false,
            retransmissions_max: 3,
            timeouts: Timeouts::default(),
        }
    }
}

/// How long a flow may be silent before it is forgotten. The defaults are Linux' (`nf_conntrack-sysctl.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen: 120 s.
    pub syn_sent: Duration,
    /// SYN/ACK seen: 60 s.
    pub syn_received: Duration,
    /// Open: 5 days.
    pub established: Duration,
    /// The first FIN seen: 120 s.
    pub fin_wait: Duration,
    /// The first FIN acknowledged: 60 s.
    pub close_wait: Duration,
    /// Both FINs seen: 30 s.
    pub last_ack: Duration,
    /// Both FINs acknowledged: 120 s.
    pub time_wait: Duration,
    /// Reset: 10 s.
    pub close: Duration,
    /// No longer than this where the same ACK is seen again and again, or a window is closed: 300 s.
    pub retransmitting: Duration,
    /// No longer than this where data is not acknowledged, or an answer was never seen: 300 s.
    pub unacknowledged: Duration,
    /// UDP that is not answered, or younger than 2 s: 30 s.
    pub udp: Duration,
    /// UDP in both directions: 120 s.
    pub udp_stream: Duration,
    /// ICMP and ICMPv6 queries: 30 s.
    pub icmp: Duration,
    /// Other protocols: 600 s.
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            syn_sent: seconds(120),
            syn_received: seconds(60),
            established: seconds(5 * 24 * 3600),
            fin_wait: seconds(120),
            close_wait: seconds(60),
            last_ack: seconds(30),
            time_wait: seconds(120),
            close: seconds(10),
            retransmitting: seconds(300),
            unacknowledged: seconds(300),
            udp: seconds(30),
            udp_stream: seconds(120),
            icmp: seconds(30),
            other: seconds(600),
        }
    }
}

/// The configuration as the packet path needs it: in nanoseconds, and by state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) checksums: bool,
    pub(super) loose: bool,
    pub(super) liberal: bool,
    pub(super) retransmissions_max: u8,
    tcp_ns: [u64; TcpState::ALL.len()],
    pub(super) retransmitting_ns: u64,
    pub(super) unacknowledged_ns: u64,
    pub(super) udp_ns: u64,
    pub(super) udp_stream_ns: u64,
    pub(super) icmp_ns: u64,
    pub(super) other_ns: u64,
}

impl Rules {
    pub(super) fn of(config: &Config) -> Self {
        let Timeouts { retransmitting, unacknowledged, udp, udp_stream, icmp, other, .. } = config.timeouts;
        Self {
            checksums: config.checksums,
            loose: config.loose,
            liberal: config.liberal,
            retransmissions_max: config.retransmissions_max,
            tcp_ns: TcpState::ALL.map(|state| nanoseconds(config.timeouts.tcp(state))),
            retransmitting_ns: nanoseconds(retransmitting),
            unacknowledged_ns: nanoseconds(unacknowledged),
            udp_ns: nanoseconds(udp),
            udp_stream_ns: nanoseconds(udp_stream),
            icmp_ns: nanoseconds(icmp),
            other_ns: nanoseconds(other),
        }
    }

    /// How long a TCP flow in `state` may be silent.
    #[inline]
    pub(super) const fn tcp_ns(&self, state: TcpState) -> u64 {
        self.tcp_ns[state as usize]
    }
}

impl Timeouts {
    const fn tcp(&self, state: TcpState) -> Duration {
        match state {
            TcpState::SynSent | TcpState::SynSent2 => self.syn_sent,
            TcpState::SynReceived => self.syn_received,
            TcpState::Established => self.established,
            TcpState::FinWait => self.fin_wait,
            TcpState::CloseWait => self.close_wait,
            TcpState::LastAck => self.last_ack,
            TcpState::TimeWait => self.time_wait,
            TcpState::Close => self.close,
        }
    }
}

/// A duration as the clock counts; 584 years and more are for ever.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
