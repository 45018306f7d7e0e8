//! Actions of one version in the words of the other, where that is exact.
//!
//! 1.0 sets a field by an action of its own, adds a VLAN tag by setting its id, and enqueues; 1.3 sets any field, pushes
//! tags, and chooses a queue before the output. What depends on the packet (whether it has a tag, whether its ports are
//! TCP's) is told by the match or by the packet itself; where neither tells, it cannot be said. Nicira's actions, which
//! 1.0 switches may have, stand in for 1.3's that do exactly the same; a switch without them answers with an error.

use packet::parse::Layers;

use super::action::About;
use super::write::unsayable;
use super::{EncodeError, oxm};
use crate::Version;
use crate::action::Action;
use crate::field::Field;
use crate::nicira::{self, Subfield};
use crate::oxm::Oxm;

/// EtherTypes of VLAN tags (IEEE 802.1Q, 802.1ad).
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
/// `OFPVID_PRESENT`.
const VID_PRESENT: u128 = 0x1000;

/// Translates a list, keeping track of what its actions do to the packet.
pub(super) struct Translator<'a> {
    about: About<'a>,
    /// Whether there is a tag, where an action so far has decided that.
    tagged: Option<Option<bool>>,
}

impl<'a> Translator<'a> {
    pub(super) const fn new(about: About<'a>) -> Self {
        Self { about, tagged: None }
    }

    /// Takes note of an action.
    #[inline]
    pub(super) const fn follow(&mut self, action: &Action) {
        match action {
            Action::PushVlan(_) | Action::SetVlanVid(_) | Action::SetVlanPcp(_) => {
                self.tagged = Some(Some(true));
            }
            // There may be another behind it.
            Action::PopVlan | Action::StripVlan => self.tagged = Some(None),
            _ => {}
        }
    }

    fn tagged(&self) -> Option<bool> {
        self.tagged.unwrap_or_else(|| match self.about {
            About::Nothing => None,
            About::Match(matching) => matching.tagged(),
            About::Packet(packet) => {
                let ethertype = packet.get(12..14)?;
                Some([VLAN, SERVICE_VLAN].iter().any(|tag| ethertype == tag.to_be_bytes()))
            }
        })
    }

    fn transport(&self) -> Option<u8> {
        match self.about {
            About::Nothing => None,
            About::Match(matching) => matching.transport(),
            About::Packet(packet) => Layers::of(packet).ok().map(|layers| layers.protocol.0),
        }
    }

    /// What the first of these actions, and maybe those after it, are in the other version's words: how many were taken,
    /// and the actions.
    pub(super) fn translate(
        &self,
        version: Version,
        actions: &[Action],
    ) -> Result<(usize, Vec<Action>), EncodeError> {
        match version {
            Version::V10 => self.to_v10(actions),
            Version::V13 => self.to_v13(actions).map(|instead| (1, instead)),
        }
    }

    fn to_v10(&self, actions: &[Action]) -> Result<(usize, Vec<Action>), EncodeError> {
        use nicira::Action as Nicira;
        let cannot = |what: &str| Err(unsayable(Version::V10, what));
        let instead = match &actions[0] {
            Action::PopVlan => Action::StripVlan,
            Action::PushVlan(VLAN) => {
                let Some(Action::SetField(Oxm::Known { field: Field::VlanVid, value, mask: None, .. })) =
                    actions.get(1)
                else {
                    return cannot("a VLAN tag pushed without an id set next");
                };
                if self.tagged() != Some(false) {
                    return cannot("a VLAN tag pushed where there may be one already");
                }
                return Ok((2, vec![Action::SetVlanVid((value & 0xfff) as u16)]));
            }
            Action::SetField(field) => self.set_v10(field)?,
            Action::SetQueue(queue) => Action::Nicira(Nicira::SetQueue(*queue)),
            Action::DecNwTtl => Action::Nicira(Nicira::DecTtl),
            Action::SetNwTtl(ttl) => load(Field::NwTtl, (*ttl).into())?,
            Action::PushMpls(ethertype) => Action::Nicira(Nicira::PushMpls(*ethertype)),
            Action::PopMpls(ethertype) => Action::Nicira(Nicira::PopMpls(*ethertype)),
            Action::SetMplsTtl(ttl) => Action::Nicira(Nicira::SetMplsTtl(*ttl)),
            Action::DecMplsTtl => Action::Nicira(Nicira::DecMplsTtl),
            Action::Group(_) => return cannot("a group"),
            Action::CopyTtlOut | Action::CopyTtlIn => return cannot("copying the TTL"),
            Action::PushPbb(_) | Action::PopPbb => return cannot("PBB headers"),
            Action::PushVlan(_) => return cannot("a VLAN tag of another EtherType than 0x8100"),
            other => return cannot(&format!("{other:?}")),
        };
        Ok((1, vec![instead]))
    }

    fn set_v10(&self, set: &Oxm) -> Result<Action, EncodeError> {
        let Oxm::Known { field, value, mask: None, .. } = set else {
            return Err(unsayable(Version::V10, format!("setting {set:?}")));
        };
        let bytes = value.to_be_bytes();
        let mac =
            || packet::wire::MacAddr([bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]]);
        let address = || (*value as u32).into();
        Ok(match field {
            Field::EthSrc => Action::SetDlSrc(mac()),
            Field::EthDst => Action::SetDlDst(mac()),
            Field::VlanVid | Field::VlanPcp if self.tagged() == Some(false) => {
                return Err(unsayable(Version::V10, "a VLAN tag's fields set where there is none"));
            }
            Field::VlanVid => Action::SetVlanVid((value & 0xfff) as u16),
            Field::VlanPcp => Action::SetVlanPcp(*value as u8),
            Field::Ipv4Src => Action::SetNwSrc(address()),
            Field::Ipv4Dst => Action::SetNwDst(address()),
            Field::IpDscp => Action::SetNwTos((value << 2) as u8),
            Field::NwTos => Action::SetNwTos(*value as u8),
            Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => Action::SetTpSrc(*value as u16),
            Field::TcpDst | Field::UdpDst | Field::SctpDst => Action::SetTpDst(*value as u16),
            Field::TunnelId => Action::Nicira(nicira::Action::SetTunnel64(*value as u64)),
            Field::MplsLabel => Action::Nicira(nicira::Action::SetMplsLabel(*value as u32)),
            Field::MplsTc => Action::Nicira(nicira::Action::SetMplsTc(*value as u8)),
            field => load(*field, *value)?,
        })
    }

    fn to_v13(&self, actions: &[Action]) -> Result<Vec<Action>, EncodeError> {
        let set = |field, value: u128| Action::SetField(Oxm::exact(field, value));
        let vid = |vid: u16| set(Field::VlanVid, VID_PRESENT | u128::from(vid & 0xfff));
        let unknown_tag = || unsayable(Version::V13, "a VLAN tag set where there may be none");
        Ok(match &actions[0] {
            Action::SetVlanVid(id) => match self.tagged().ok_or_else(unknown_tag)? {
                true => vec![vid(*id)],
                false => vec![Action::PushVlan(VLAN), vid(*id)],
            },
            Action::SetVlanPcp(pcp) => {
                let pcp = set(Field::VlanPcp, (pcp & 7).into());
                match self.tagged().ok_or_else(unknown_tag)? {
                    true => vec![pcp],
                    false => vec![Action::PushVlan(VLAN), vid(0), pcp],
                }
            }
            // Without a tag 1.0 does nothing, 1.3 refuses.
            Action::StripVlan if self.tagged() == Some(false) => vec![],
            Action::StripVlan => vec![Action::PopVlan],
            Action::SetDlSrc(address) => vec![set(Field::EthSrc, of_mac(address.0))],
            Action::SetDlDst(address) => vec![set(Field::EthDst, of_mac(address.0))],
            Action::SetNwSrc(address) => vec![set(Field::Ipv4Src, address.to_bits().into())],
            Action::SetNwDst(address) => vec![set(Field::Ipv4Dst, address.to_bits().into())],
            Action::SetNwTos(tos) => vec![set(Field::IpDscp, (tos >> 2).into())],
            Action::SetTpSrc(port) => {
                vec![set(self.ports([Field::TcpSrc, Field::UdpSrc, Field::SctpSrc])?, (*port).into())]
            }
            Action::SetTpDst(port) => {
                vec![set(self.ports([Field::TcpDst, Field::UdpDst, Field::SctpDst])?, (*port).into())]
            }
            Action::Enqueue { port, queue } => {
                let mut instead = vec![Action::SetQueue(*queue), Action::output(*port)];
                if sends(&actions[1..]) {
                    instead.push(Action::Nicira(nicira::Action::PopQueue));
                }
                instead
            }
            other => return Err(unsayable(Version::V13, format!("{other:?}"))),
        })
    }

    fn ports(&self, of: [Field; 3]) -> Result<Field, EncodeError> {
        match self.transport() {
            Some(6) => Ok(of[0]),
            Some(17) => Ok(of[1]),
            Some(132) => Ok(of[2]),
            _ => Err(unsayable(Version::V13, "a port set where the protocol is not known")),
        }
    }
}

/// Whether a later action sends: the queue chosen before would be its queue too.
fn sends(actions: &[Action]) -> bool {
    actions.iter().any(|action| !matches!(action, Action::Enqueue { .. } | Action::SetField(_)))
}

fn of_mac(address: [u8; 6]) -> u128 {
    address.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Nicira's `reg_load` of a whole field.
fn load(field: Field, value: u128) -> Result<Action, EncodeError> {
    let spelling = field.nicira_spelling();
    let (class, ..) = field.headers()[usize::from(spelling)];
    let value = u64::try_from(value).ok().filter(|_| class <= 1 && field.bits() <= 64);
    let value = value.ok_or_else(|| unsayable(Version::V10, format!("setting {field}")))?;
    let (header, _) = oxm::header(field, spelling, false);
    let destination =
        Subfield { header, offset: 0, bits: field.bits().min(8 * field.width(class) as u32) as u16 };
    Ok(Action::Nicira(nicira::Action::RegLoad { destination, value }))
}
