//! Actions, of both versions in one type.
//!
//! A message decodes to exactly the action that was on the wire, so that it encodes to the same bytes. Encoding for the
//! other version translates where there is a counterpart: [`Action::SetField`] of the destination address becomes 1.0's
//! `SET_DL_DST`, and the reverse.

use std::net::Ipv4Addr;

use packet::wire::MacAddr;

use crate::nicira;
use crate::oxm::Oxm;
use crate::port::PortNo;

/// `max_len` of an output to the controller that wants the whole packet and no buffer (`OFPCML_NO_BUFFER`).
pub const NO_BUFFER_LEN: u16 = 0xffff;

/// One action (`ofp_action_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send out of a port.
    Output {
        /// Where.
        port: PortNo,
        /// To the controller: at most so many bytes.
        max_len: u16,
    },
    /// 1.0: set the VLAN id, adding a tag where there is none.
    SetVlanVid(u16),
    /// 1.0: set the VLAN priority, adding a tag where there is none.
    SetVlanPcp(u8),
    /// 1.0: take the tag off.
    StripVlan,
    /// 1.0: set the Ethernet source.
    SetDlSrc(MacAddr),
    /// 1.0: set the Ethernet destination.
    SetDlDst(MacAddr),
    /// 1.0: set the IPv4 source.
    SetNwSrc(Ipv4Addr),
    /// 1.0: set the IPv4 destination.
    SetNwDst(Ipv4Addr),
    /// 1.0: set the six upper bits of the TOS byte; the value is the whole byte.
    SetNwTos(u8),
    /// 1.0: set the TCP or UDP source port.
    SetTpSrc(u16),
    /// 1.0: set the TCP or UDP destination port.
    SetTpDst(u16),
    /// 1.0: send out of a port by one of its queues.
    Enqueue {
        /// The port.
        port: PortNo,
        /// The queue.
        queue: u32,
    },
    /// 1.3: copy the TTL from the next-to-outermost header to the outermost.
    CopyTtlOut,
    /// 1.3: copy the TTL from the outermost header inwards.
    CopyTtlIn,
    /// 1.3: set the MPLS TTL.
    SetMplsTtl(u8),
    /// 1.3: decrement the MPLS TTL.
    DecMplsTtl,
    /// 1.3: push a VLAN tag of that EtherType.
    PushVlan(u16),
    /// 1.3: pop the outermost VLAN tag.
    PopVlan,
    /// 1.3: push an MPLS label under that EtherType.
    PushMpls(u16),
    /// 1.3: pop the outermost MPLS label, leaving that EtherType.
    PopMpls(u16),
    /// 1.3: choose the queue of a later output.
    SetQueue(u32),
    /// 1.3: through a group.
    Group(u32),
    /// 1.3: set the IP TTL.
    SetNwTtl(u8),
    /// 1.3: decrement the IP TTL.
    DecNwTtl,
    /// 1.3: set a field; no mask.
    SetField(Oxm),
    /// 1.3: push a PBB I-TAG of that EtherType.
    PushPbb(u16),
    /// 1.3: pop the PBB header.
    PopPbb,
    /// One of Nicira's (vendor `0x2320`).
    Nicira(nicira::Action),
    /// Another maker's.
    Experimenter {
        /// Who.
        experimenter: u32,
        /// All that follows the maker's number, padding included.
        data: Vec<u8>,
    },
}

impl Action {
    /// Sends out of a port.
    #[must_use]
    pub const fn output(port: PortNo) -> Self {
        Self::Output { port, max_len: 0 }
    }

    /// Sends the whole packet to the controller, unbuffered.
    #[must_use]
    pub const fn controller() -> Self {
        Self::Output { port: PortNo::CONTROLLER, max_len: NO_BUFFER_LEN }
    }
}
