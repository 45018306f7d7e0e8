//! Ports of a switch: numbers, descriptions, statistics.

use packet::wire::MacAddr;

/// A port number in the 32 bits of OpenFlow 1.1 and later. The 16-bit numbers of 1.0 from `0xff00` on are the reserved
/// ones here (`0xffff_ff00` on), so that a number means the same whatever the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortNo(pub u32);

impl PortNo {
    /// The highest number of a physical or logical port.
    pub const MAX: Self = Self(0xffff_ff00);
    /// 1.3 only: unset in a table of group properties and the like (`OFPP_UNSET` of 1.5; what OVS prints for it).
    pub const UNSET: Self = Self(0xffff_fff7);
    /// Back out of the port it came in by.
    pub const IN_PORT: Self = Self(0xffff_fff8);
    /// Through the flow tables, from the first (packet-out only).
    pub const TABLE: Self = Self(0xffff_fff9);
    /// Handled as an ordinary switch would.
    pub const NORMAL: Self = Self(0xffff_fffa);
    /// Every port of the spanning tree but the one it came in by.
    pub const FLOOD: Self = Self(0xffff_fffb);
    /// Every port but the one it came in by.
    pub const ALL: Self = Self(0xffff_fffc);
    /// To the controller, as a packet-in.
    pub const CONTROLLER: Self = Self(0xffff_fffd);
    /// The switch's own network stack.
    pub const LOCAL: Self = Self(0xffff_fffe);
    /// Any port (1.3), none (1.0).
    pub const ANY: Self = Self(0xffff_ffff);

    /// From 1.0's 16 bits.
    #[must_use]
    pub const fn from_v10(number: u16) -> Self {
        if number >= 0xff00 { Self(number as u32 | 0xffff_0000) } else { Self(number as u32) }
    }

    /// In 1.0's 16 bits, where it has a number there.
    #[must_use]
    pub const fn to_v10(self) -> Option<u16> {
        if self.0 < 0xff00 || self.0 >= 0xffff_ff00 { Some(self.0 as u16) } else { None }
    }
}

/// What a switch says of a port (`ofp_phy_port` of 1.0, `ofp_port` of 1.3).
///
/// `features` bits are those of 1.3's `ofp_port_features`; the 1.0 codec shifts its own (no 40G, 100G, 1T, other there).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Port {
    /// Its number.
    pub number: PortNo,
    /// Its hardware address.
    pub address: MacAddr,
    /// Its name, at most 15 bytes; the bytes before the first NUL, lossily from UTF-8.
    pub name: String,
    /// Configuration bits, `config::*`.
    pub config: u32,
    /// State bits, `state::*`; 1.0's spanning tree states are kept in their own bits (8–9).
    pub state: u32,
    /// Features in use.
    pub current: u32,
    /// Features advertised.
    pub advertised: u32,
    /// Features supported.
    pub supported: u32,
    /// Features the peer advertises.
    pub peer: u32,
    /// Bit rate in use, kbit/s (1.3; 0 in 1.0).
    pub speed_current: u32,
    /// Highest bit rate, kbit/s (1.3; 0 in 1.0).
    pub speed_max: u32,
}

/// Bits of [`Port::config`] (`ofp_port_config`; the same numbers in 1.0 and 1.3).
pub mod config {
    /// Administratively down.
    pub const PORT_DOWN: u32 = 1 << 0;
    /// 1.0: no 802.1D spanning tree on this port.
    pub const NO_STP: u32 = 1 << 1;
    /// Drop what is received.
    pub const NO_RECV: u32 = 1 << 2;
    /// 1.0: drop received 802.1D frames.
    pub const NO_RECV_STP: u32 = 1 << 3;
    /// 1.0: leave out when flooding.
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Drop what would be sent.
    pub const NO_FWD: u32 = 1 << 5;
    /// No packet-in for what came in here.
    pub const NO_PACKET_IN: u32 = 1 << 6;
}

/// Bits of [`Port::state`] (`ofp_port_state`).
pub mod state {
    /// No carrier.
    pub const LINK_DOWN: u32 = 1 << 0;
    /// 1.3: blocked by a protocol outside OpenFlow.
    pub const BLOCKED: u32 = 1 << 1;
    /// 1.3: live for fast failover.
    pub const LIVE: u32 = 1 << 2;
}

/// Counters of a port. `u64::MAX` is a counter the switch has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortStats {
    /// The port.
    pub port: PortNo,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Received packets dropped.
    pub rx_dropped: u64,
    /// Packets to send dropped.
    pub tx_dropped: u64,
    /// Errors of receiving.
    pub rx_errors: u64,
    /// Errors of sending.
    pub tx_errors: u64,
    /// Frame alignment errors.
    pub rx_frame_errors: u64,
    /// Overruns.
    pub rx_over_errors: u64,
    /// CRC errors.
    pub rx_crc_errors: u64,
    /// Collisions.
    pub collisions: u64,
    /// How long the port is there: seconds, nanoseconds (1.3; 0 in 1.0).
    pub duration: (u32, u32),
}
