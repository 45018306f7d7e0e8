//! Whether a match can be, and with which error it is refused (OpenFlow 1.3.5, section 7.2.3.6).

use super::Match;
use crate::error::{BadAction, BadMatch, Fault};
use crate::field::Field;
use crate::oxm::Oxm;

const IP: &[u16] = &[0x0800, 0x86dd];
const IPV4: &[u16] = &[0x0800];
const IPV6: &[u16] = &[0x86dd];
const ARP: &[u16] = &[0x0806];
const MPLS: &[u16] = &[0x8847, 0x8848];
const PBB: &[u16] = &[0x88e7];

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// `OFPVID_PRESENT`.
const VID_PRESENT: u128 = 0x1000;

/// What other fields a field needs before it (OpenFlow 1.3.5, table 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// None.
    Nothing,
    /// The ingress port.
    InPort,
    /// A VLAN tag.
    Tag,
    /// One of these EtherTypes.
    EtherType(&'static [u16]),
    /// One of these EtherTypes, and that IP protocol.
    Protocol(&'static [u16], u8),
    /// One of these types of ICMPv6.
    Icmpv6(&'static [u8]),
}

pub(super) const fn needs(field: Field) -> Needs {
    match field {
        Field::InPhyPort => Needs::InPort,
        Field::VlanPcp => Needs::Tag,
        Field::IpDscp | Field::NwTos | Field::IpEcn | Field::IpProto | Field::IpFrag | Field::NwTtl => {
            Needs::EtherType(IP)
        }
        Field::Ipv4Src | Field::Ipv4Dst => Needs::EtherType(IPV4),
        Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label | Field::Ipv6ExtHdr => Needs::EtherType(IPV6),
        Field::TcpSrc | Field::TcpDst | Field::TcpFlags => Needs::Protocol(IP, TCP),
        Field::UdpSrc | Field::UdpDst => Needs::Protocol(IP, UDP),
        Field::SctpSrc | Field::SctpDst => Needs::Protocol(IP, SCTP),
        Field::Icmpv4Type | Field::Icmpv4Code => Needs::Protocol(IPV4, ICMP),
        Field::Icmpv6Type | Field::Icmpv6Code => Needs::Protocol(IPV6, ICMPV6),
        Field::NdTarget => Needs::Icmpv6(&[NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT]),
        Field::NdSll => Needs::Icmpv6(&[NEIGHBOUR_SOLICITATION]),
        Field::NdTll => Needs::Icmpv6(&[NEIGHBOUR_ADVERTISEMENT]),
        Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => Needs::EtherType(ARP),
        Field::MplsLabel | Field::MplsTc | Field::MplsBos | Field::MplsTtl => Needs::EtherType(MPLS),
        Field::PbbIsid | Field::PbbUca => Needs::EtherType(PBB),
        _ => Needs::Nothing,
    }
}

impl Needs {
    /// Whether those fields have it.
    pub(super) fn met(self, fields: &[Oxm]) -> bool {
        let exact = |of: Field| {
            fields.iter().find_map(|oxm| match oxm {
                Oxm::Known { field, value, .. } if *field == of && oxm.effective_mask() == of.all_bits() => {
                    Some(*value)
                }
                _ => None,
            })
        };
        let one_of = |of: Field, values: &[u16]| {
            exact(of).is_some_and(|value| values.iter().any(|one| u128::from(*one) == value))
        };
        match self {
            Self::Nothing => true,
            Self::InPort => exact(Field::InPort).is_some(),
            Self::Tag => fields.iter().any(|oxm| match oxm {
                Oxm::Known { field: Field::VlanVid | Field::VlanTci, value, .. } => {
                    oxm.effective_mask() & value & VID_PRESENT != 0
                }
                _ => false,
            }),
            Self::EtherType(types) => one_of(Field::EthType, types),
            Self::Protocol(types, protocol) => {
                one_of(Field::EthType, types) && exact(Field::IpProto) == Some(protocol.into())
            }
            Self::Icmpv6(kinds) => {
                Self::Protocol(IPV6, ICMPV6).met(fields)
                    && exact(Field::Icmpv6Type)
                        .is_some_and(|kind| kinds.iter().any(|one| u128::from(*one) == kind))
            }
        }
    }
}

/// Whether a match that has those fields says enough for that one: that it is of TCP, for a TCP port.
#[must_use]
pub fn prerequisites_met(fields: &[Oxm], field: Field) -> bool {
    needs(field).met(fields)
}

/// Checks a match: fields known, values and masks possible, no field twice, prerequisites before what needs them. 1.0's
/// structure can always be: fields that do not count are ignored.
///
/// # Errors
/// What a switch answers.
pub fn check(matching: &Match) -> Result<(), Fault> {
    let Match::Fields(fields) = matching else { return Ok(()) };
    for (at, oxm) in fields.iter().enumerate() {
        let before = &fields[..at];
        let Oxm::Known { field, value, mask, .. } = oxm else { return Err(unknown(oxm).into()) };
        check_value(*field, *value, *mask)?;
        if before.iter().any(|other| other.field().is_some_and(|other| same(other, *field))) {
            return Err(BadMatch::DupField.into());
        }
        if !needs(*field).met(before) {
            return Err(BadMatch::BadPrereq.into());
        }
    }
    Ok(())
}

/// A field that is not known here is one of another length, or none.
fn unknown(oxm: &Oxm) -> BadMatch {
    let Oxm::Unknown { header, payload } = oxm else { return BadMatch::BadField };
    let class = (header >> 16) as u16;
    let maker = payload.first_chunk().filter(|_| class == 0xffff).map(|bytes| u32::from_be_bytes(*bytes));
    match Field::from_number(class, (header >> 9 & 0x7f) as u8, maker) {
        Some(_) => BadMatch::BadLen,
        None => BadMatch::BadField,
    }
}

fn check_value(field: Field, value: u128, mask: Option<u128>) -> Result<(), Fault> {
    if let Some(mask) = mask {
        if mask & !field.all_bits() != 0 || !field.maskable() && mask != field.all_bits() {
            return Err(BadMatch::BadMask.into());
        }
        if value & !mask != 0 {
            return Err(BadMatch::BadWildcards.into());
        }
    }
    let no_tag = field == Field::VlanVid && value & VID_PRESENT == 0 && value != 0 && mask.is_none();
    if value & !field.all_bits() != 0 || no_tag {
        return Err(BadMatch::BadValue.into());
    }
    Ok(())
}

/// Whether two fields are the same bits of a packet.
fn same(one: Field, other: Field) -> bool {
    let of_tag = |field| matches!(field, Field::VlanVid | Field::VlanPcp);
    one == other
        || matches!((one, other), (Field::IpDscp, Field::NwTos) | (Field::NwTos, Field::IpDscp))
        || one == Field::VlanTci && of_tag(other)
        || other == Field::VlanTci && of_tag(one)
}

/// Checks a field to set: known, not of those that only the switch sets, its value possible, no mask.
///
/// # Errors
/// What a switch answers.
pub fn check_field_to_set(oxm: &Oxm) -> Result<(), Fault> {
    let Oxm::Known { field, value, mask, .. } = oxm else {
        return Err(match unknown(oxm) {
            BadMatch::BadLen => BadAction::BadSetLen.into(),
            _ => BadAction::BadSetType.into(),
        });
    };
    if mask.is_some() {
        return Err(BadAction::BadSetMask.into());
    }
    if matches!(
        field,
        Field::InPort
            | Field::InPhyPort
            | Field::EthType
            | Field::IpProto
            | Field::IpFrag
            | Field::Ipv6ExtHdr
            | Field::ActsetOutput
            | Field::MplsBos
            | Field::TcpFlags
            | Field::ConjId
            | Field::CtState
            | Field::CtZone
            | Field::Cookie
    ) {
        return Err(BadAction::BadSetType.into());
    }
    let untag = *field == Field::VlanVid && value & VID_PRESENT == 0;
    if value & !field.all_bits() != 0 || untag {
        return Err(BadAction::BadSetArgument.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(fields: Vec<Oxm>) -> Option<Fault> {
        check(&Match::Fields(fields)).err()
    }

    fn exact(field: Field, value: u128) -> Oxm {
        Oxm::exact(field, value)
    }

    #[test]
    fn the_exact_error_of_each_malformed_match() {
        let tcp = [exact(Field::EthType, 0x0800), exact(Field::IpProto, 6), exact(Field::TcpDst, 80)];
        assert_eq!(fault(tcp.to_vec()), None);
        for (at, _) in tcp.iter().enumerate().take(2) {
            let mut without = tcp.to_vec();
            without.remove(at);
            assert_eq!(fault(without), Some(BadMatch::BadPrereq.into()));
        }
        // Prerequisites come first.
        let mut reversed = tcp.to_vec();
        reversed.reverse();
        assert_eq!(fault(reversed), Some(BadMatch::BadPrereq.into()));
        let twice = vec![exact(Field::InPort, 1), exact(Field::InPort, 1)];
        assert_eq!(fault(twice), Some(BadMatch::DupField.into()));
        let masked = |field, value, mask| vec![Oxm::Known { field, spelling: 0, value, mask: Some(mask) }];
        assert_eq!(fault(masked(Field::InPort, 1, 1)), Some(BadMatch::BadMask.into()));
        assert_eq!(fault(masked(Field::EthDst, 2, 1)), Some(BadMatch::BadWildcards.into()));
        assert_eq!(fault(masked(Field::EthDst, 1, 1)), None);
        assert_eq!(fault(masked(Field::VlanVid, 0x1000, 0x1000)), None);
        assert_eq!(fault(vec![exact(Field::VlanVid, 5)]), Some(BadMatch::BadValue.into()));
        assert_eq!(fault(vec![exact(Field::VlanVid, 0x2005)]), Some(BadMatch::BadValue.into()));
        let pcp = exact(Field::VlanPcp, 5);
        assert_eq!(fault(vec![exact(Field::VlanVid, 0), pcp.clone()]), Some(BadMatch::BadPrereq.into()));
        assert_eq!(fault(vec![exact(Field::VlanVid, 0x1005), pcp]), None);
        let unknown = |header: u32, payload: &[u8]| vec![Oxm::Unknown { header, payload: payload.to_vec() }];
        assert_eq!(fault(unknown(0x8000_0003, &[0, 0, 1])), Some(BadMatch::BadLen.into()));
        assert_eq!(fault(unknown(0x8000_fe01, &[0])), Some(BadMatch::BadField.into()));
    }

    #[test]
    fn what_cannot_be_set() {
        let fault = |oxm: Oxm| check_field_to_set(&oxm).err();
        assert_eq!(fault(exact(Field::EthDst, 1)), None);
        assert_eq!(fault(Oxm::masked(Field::EthDst, 1, 1)), Some(BadAction::BadSetMask.into()));
        assert_eq!(fault(exact(Field::InPort, 1)), Some(BadAction::BadSetType.into()));
        assert_eq!(fault(exact(Field::IpDscp, 64)), Some(BadAction::BadSetArgument.into()));
        assert_eq!(fault(exact(Field::VlanVid, 5)), Some(BadAction::BadSetArgument.into()));
        let header = 0x8000_0601;
        let short = Oxm::Unknown { header, payload: vec![1] };
        assert_eq!(fault(short), Some(BadAction::BadSetLen.into()));
    }
}
