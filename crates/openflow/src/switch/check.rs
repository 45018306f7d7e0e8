//! What an entry, a bucket or a packet-out may do: every action and instruction is checked before it is kept.

use super::Datapath;
use super::key::{ALL, Needs, Words, ethertype, met, needs, ones, put};
use super::nicira::low_ones;
use super::rule::{Rule, field_of};
use super::tables::TABLES;
use crate::action::Action;
use crate::error::{BadAction, BadInstruction, Fault, MeterModFailed};
use crate::field::Field;
use crate::instruction::Instruction;
use crate::nicira::{Action as NiciraAction, Learn, LearnDestination, LearnSource, Subfield};
use crate::oxm::Oxm;
use crate::port::PortNo;
use crate::version::Version;

/// Actions of one list.
pub const ACTIONS_MAX: usize = 8192;

/// Where actions stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    List,
    /// An action set: of an entry, or of a bucket.
    Set,
    PacketOut,
}

/// What is known of a packet where an action stands; `None` in a bucket, which any packet may reach.
type Known = Option<Rule>;

/// Checks lists of actions.
pub(super) struct Checker<'a> {
    pub(super) datapath: &'a Datapath,
    pub(super) version: Version,
    known: Known,
}

impl<'a> Checker<'a> {
    /// For packets of that match.
    pub(super) const fn of_rule(datapath: &'a Datapath, version: Version, rule: &Rule) -> Self {
        Self { datapath, version, known: Some(*rule) }
    }

    /// For one packet.
    pub(super) const fn of_packet(datapath: &'a Datapath, version: Version, key: &Words) -> Self {
        Self { datapath, version, known: Some(Rule { key: *key, mask: ALL }) }
    }

    /// For any packet.
    pub(super) const fn of_bucket(datapath: &'a Datapath, version: Version) -> Self {
        Self { datapath, version, known: None }
    }

    /// The instructions of an entry in a table.
    pub(super) fn instructions(&mut self, table: u8, instructions: &[Instruction]) -> Result<(), Fault> {
        for (at, instruction) in instructions.iter().enumerate() {
            let kind = std::mem::discriminant(instruction);
            let is_experimenter = matches!(instruction, Instruction::Experimenter { .. });
            if !is_experimenter && instructions[..at].iter().any(|old| std::mem::discriminant(old) == kind) {
                return Err(BadInstruction::DupInst.into());
            }
            match instruction {
                Instruction::GotoTable(next) if *next <= table || *next >= TABLES => {
                    return Err(BadInstruction::BadTableId.into());
                }
                Instruction::Meter(number) if self.datapath.meters.get(*number).is_none() => {
                    return Err(MeterModFailed::InvalidMeter.into());
                }
                Instruction::Experimenter { .. } => return Err(BadInstruction::BadExperimenter.into()),
                Instruction::ApplyActions(actions) => self.actions(actions, Place::List)?,
                _ => {}
            }
        }
        // The set is done after the list, whatever their order here.
        for instruction in instructions {
            if let Instruction::WriteActions(actions) = instruction {
                self.actions(actions, Place::Set)?;
            }
        }
        Ok(())
    }

    /// A list of actions, or a set.
    pub(super) fn actions(&mut self, actions: &[Action], place: Place) -> Result<(), Fault> {
        if actions.len() > ACTIONS_MAX {
            return Err(BadAction::TooMany.into());
        }
        if place == Place::Set {
            // Twice the same type counts once; the order is the set's own.
            let mut set = Vec::new();
            actions.iter().for_each(|action| super::pipeline::write(&mut set, action));
            set = super::pipeline::in_order(set);
            // One that is left out is checked all the same.
            let rest = actions.iter().filter(|action| !set.contains(action));
            for action in rest.filter(|action| matches!(action, Action::Output { .. })) {
                self.action(action, place)?;
            }
            return set.iter().try_for_each(|action| self.action(action, place));
        }
        actions.iter().try_for_each(|action| self.action(action, place))
    }

    fn port(&self, port: PortNo, place: Place) -> Result<(), Fault> {
        let is_good = match port {
            PortNo::TABLE => place == Place::PacketOut,
            PortNo::IN_PORT
            | PortNo::NORMAL
            | PortNo::FLOOD
            | PortNo::ALL
            | PortNo::CONTROLLER
            | PortNo::LOCAL => true,
            other => self.datapath.ports.get(other.0).is_some(),
        };
        if is_good { Ok(()) } else { Err(BadAction::BadOutPort.into()) }
    }

    /// Whether packets here have what the field needs. Where nothing is known, they may.
    fn has(&self, needs: Needs) -> Result<(), Fault> {
        match &self.known {
            Some(rule) if !met(needs, &rule.key, &rule.mask) => Err(BadAction::MatchInconsistent.into()),
            _ => Ok(()),
        }
    }

    /// A change makes a field known.
    fn learn(&mut self, field: Field, value: u128) {
        if let Some(rule) = &mut self.known {
            put(&mut rule.key, field, value, u128::MAX);
            put(&mut rule.mask, field, u128::MAX, u128::MAX);
        }
    }

    /// A change makes a field unknown.
    fn forget(&mut self, field: Field) {
        if let Some(rule) = &mut self.known {
            put(&mut rule.key, field, 0, u128::MAX);
            put(&mut rule.mask, field, 0, u128::MAX);
        }
    }

    fn argument(is_good: bool) -> Result<(), Fault> {
        if is_good { Ok(()) } else { Err(BadAction::BadArgument.into()) }
    }

    fn action(&mut self, action: &Action, place: Place) -> Result<(), Fault> {
        const IP: Needs = needs(Field::NwTtl);
        const MPLS: Needs = needs(Field::MplsTtl);
        match action {
            Action::Output { port, .. } => self.port(*port, place)?,
            Action::Enqueue { port, queue } => {
                if !matches!(*port, PortNo::IN_PORT | PortNo::LOCAL)
                    && self.datapath.ports.get(port.0).is_none()
                {
                    return Err(BadAction::BadOutPort.into());
                }
                if *port != PortNo::IN_PORT && self.datapath.ports.queue(port.0, *queue).is_none() {
                    return Err(BadAction::BadQueue.into());
                }
            }
            Action::SetVlanVid(id) => {
                Self::argument(*id <= 0x0fff)?;
                self.learn(Field::VlanVid, u128::from(super::key::VID_PRESENT | *id));
            }
            Action::SetVlanPcp(priority) => Self::argument(*priority <= 7)?,
            Action::StripVlan => self.forget(Field::VlanTci),
            Action::SetNwTos(tos) => Self::argument(tos & 3 == 0)?,
            Action::SetDlSrc(_)
            | Action::SetDlDst(_)
            | Action::SetNwSrc(_)
            | Action::SetNwDst(_)
            | Action::SetTpSrc(_)
            | Action::SetTpDst(_)
            | Action::SetQueue(_)
            | Action::CopyTtlOut
            | Action::CopyTtlIn => {}
            Action::SetMplsTtl(_) | Action::DecMplsTtl => self.has(MPLS)?,
            Action::PushVlan(kind) => {
                Self::argument(matches!(*kind, ethertype::VLAN | ethertype::QINQ))?;
                self.push_tag();
            }
            Action::PopVlan => {
                self.has(Needs::Tag)?;
                self.forget(Field::VlanTci);
            }
            Action::PushMpls(kind) => self.push_mpls(*kind)?,
            Action::PopMpls(kind) => self.pop_mpls(*kind)?,
            Action::Group(number) => {
                if self.datapath.groups.get(*number).is_none() {
                    return Err(BadAction::BadOutGroup.into());
                }
            }
            Action::SetNwTtl(_) | Action::DecNwTtl => self.has(IP)?,
            Action::SetField(oxm) => self.set_field(oxm, false)?,
            Action::PushPbb(kind) => {
                Self::argument(*kind == ethertype::PBB)?;
                self.forget(Field::VlanTci);
                self.learn(Field::EthType, u128::from(ethertype::PBB));
            }
            Action::PopPbb => {
                self.has(needs(Field::PbbIsid))?;
                self.forget(Field::EthType);
                self.forget(Field::VlanTci);
            }
            Action::Nicira(_) if place == Place::Set => return Err(BadAction::BadType.into()),
            Action::Nicira(action) => self.nicira(action, place)?,
            Action::Experimenter { .. } => return Err(BadAction::BadExperimenter.into()),
        }
        Ok(())
    }

    fn push_tag(&mut self) {
        if let Some(rule) = &mut self.known {
            let present = u128::from(super::key::VID_PRESENT);
            put(&mut rule.key, Field::VlanVid, present, present);
            put(&mut rule.mask, Field::VlanVid, present, present);
        }
    }

    fn push_mpls(&mut self, kind: u16) -> Result<(), Fault> {
        Self::argument(matches!(kind, ethertype::MPLS | ethertype::MPLS_MULTICAST))?;
        self.learn(Field::EthType, u128::from(kind));
        self.forget(Field::VlanTci);
        Ok(())
    }

    fn pop_mpls(&mut self, kind: u16) -> Result<(), Fault> {
        self.has(needs(Field::MplsTtl))?;
        self.learn(Field::EthType, u128::from(kind));
        self.forget(Field::IpProto);
        Ok(())
    }

    /// 1.3.5, section 7.2.5 ("set field"); Nicira's `reg_load2` may have a mask, and write metadata.
    fn set_field(&mut self, oxm: &Oxm, may_mask: bool) -> Result<(), Fault> {
        let &Oxm::Known { field, value, mask, .. } = oxm else { return Err(BadAction::BadSetType.into()) };
        self.writable(field)?;
        let own = matches!(field, Field::Metadata | Field::InPort);
        if own && !may_mask && self.version == Version::V13 {
            return Err(BadAction::BadSetType.into());
        }
        if mask.is_some() && !may_mask {
            return Err(BadAction::BadSetMask.into());
        }
        let width = if field.bits() >= 128 { u128::MAX } else { (1 << field.bits()) - 1 };
        let is_good = match field {
            Field::VlanVid => value & u128::from(super::key::VID_PRESENT) != 0,
            Field::NwTos => value & 3 == 0,
            _ => true,
        };
        if value & !width != 0 || !is_good {
            return Err(BadAction::BadSetArgument.into());
        }
        self.has(if field == Field::VlanVid { Needs::Tag } else { needs(field) })?;
        if matches!(field, Field::EthType | Field::IpProto | Field::Icmpv6Type) && mask.is_none() {
            self.learn(field, value);
        }
        Ok(())
    }

    fn writable(&self, field: Field) -> Result<(), Fault> {
        let is_read_only =
            matches!(field, Field::InPhyPort | Field::IpFrag | Field::Ipv6ExtHdr | Field::ActsetOutput);
        if super::key::slot(field).is_none() || is_read_only {
            return Err(BadAction::BadSetType.into());
        }
        Ok(())
    }

    fn part(part: &Subfield) -> Result<Field, Fault> {
        let field = field_of(part.header).ok_or(BadAction::BadSetType)?;
        let end = u32::from(part.offset) + u32::from(part.bits);
        if part.bits == 0 || end > field.bits() {
            return Err(BadAction::BadSetLen.into());
        }
        Ok(field)
    }

    fn readable(&self, part: &Subfield) -> Result<(), Fault> {
        let field = Self::part(part)?;
        self.has(needs(field))
    }

    fn destination(&self, part: &Subfield) -> Result<(), Fault> {
        let field = Self::part(part)?;
        self.writable(field)?;
        let is_tag = matches!(field, Field::VlanVid);
        self.has(if is_tag { Needs::Tag } else { needs(field) })
    }

    fn nicira(&mut self, action: &NiciraAction, place: Place) -> Result<(), Fault> {
        match action {
            NiciraAction::ResubmitTable { table, .. } => Self::argument(*table < TABLES || *table == 0xff),
            NiciraAction::RegMove { source, destination } => {
                self.readable(source)?;
                self.destination(destination)?;
                if source.bits == destination.bits { Ok(()) } else { Err(BadAction::BadSetLen.into()) }
            }
            NiciraAction::RegLoad { destination, value } => {
                self.destination(destination)?;
                let fits = u128::from(*value) & !low_ones(destination.bits) == 0;
                if fits { Ok(()) } else { Err(BadAction::BadSetArgument.into()) }
            }
            NiciraAction::RegLoad2(oxm) => self.set_field(oxm, true),
            NiciraAction::Multipath { destination, max_link, algorithm, .. } => {
                self.destination(destination)?;
                let fits = u128::from(*max_link) <= low_ones(destination.bits);
                Self::argument(fits && *algorithm <= 3)
            }
            NiciraAction::Bundle(bundle) | NiciraAction::BundleLoad(bundle) => {
                if let Some(destination) = &bundle.destination {
                    self.destination(destination)?;
                    Self::argument(destination.bits >= 16)?;
                }
                Self::argument(bundle.algorithm <= 1 && bundle.fields <= 5)?;
                let ports = bundle.ports.iter().filter(|port| **port != 0xffff);
                ports.map(|port| PortNo::from_v10(*port)).try_for_each(|port| match port {
                    PortNo::LOCAL | PortNo::IN_PORT => Ok(()),
                    PortNo(number) if number >= PortNo::MAX.0 => Err(BadAction::BadOutPort.into()),
                    _ => Ok(()),
                })
            }
            NiciraAction::OutputReg { source, .. } => self.readable(source),
            NiciraAction::StackPush(part) => self.readable(part),
            NiciraAction::StackPop(part) => self.destination(part),
            NiciraAction::Learn(learn) => self.learned(learn),
            NiciraAction::DecTtl | NiciraAction::DecTtlControllers(_) => self.has(needs(Field::NwTtl)),
            NiciraAction::FinTimeout { .. } => self.has(needs(Field::TcpFlags)),
            NiciraAction::PushMpls(kind) => self.push_mpls(*kind),
            NiciraAction::PopMpls(kind) => self.pop_mpls(*kind),
            NiciraAction::SetMplsLabel(label) => {
                Self::argument(*label <= 0xf_ffff)?;
                self.has(needs(Field::MplsLabel))
            }
            NiciraAction::SetMplsTc(class) => {
                Self::argument(*class <= 7)?;
                self.has(needs(Field::MplsTc))
            }
            NiciraAction::SetMplsTtl(_) | NiciraAction::DecMplsTtl => self.has(needs(Field::MplsTtl)),
            NiciraAction::Other { .. } => Err(BadAction::BadExpType.into()),
            NiciraAction::Resubmit(_)
            | NiciraAction::SetTunnel(_)
            | NiciraAction::SetTunnel64(_)
            | NiciraAction::SetQueue(_)
            | NiciraAction::PopQueue
            | NiciraAction::Note(_)
            | NiciraAction::Exit
            | NiciraAction::Controller { .. } => {
                let _ = place;
                Ok(())
            }
        }
    }

    /// What a learned entry will say must make sense, whatever packet it is learned from.
    fn learned(&self, learn: &Learn) -> Result<(), Fault> {
        Self::argument(learn.table < TABLES)?;
        let mut will_match = Rule::ANY;
        for spec in &learn.specs {
            if let LearnSource::Field(header, offset) = spec.source {
                self.readable(&Subfield { header, offset, bits: spec.bits })?;
            }
            let part = |header, offset| Self::part(&Subfield { header, offset, bits: spec.bits });
            match spec.destination {
                LearnDestination::Match(header, offset) => {
                    let field = part(header, offset)?;
                    let value = match &spec.source {
                        LearnSource::Immediate(bytes) => bytes.iter().fold(0, |v, &b| v << 8 | u128::from(b)),
                        LearnSource::Field(..) => 0,
                    };
                    put(&mut will_match.key, field, value, ones(field));
                    put(&mut will_match.mask, field, u128::MAX, u128::MAX);
                }
                LearnDestination::Load(header, offset) => self.writable(part(header, offset)?)?,
                LearnDestination::Output => Self::argument(spec.bits <= 32)?,
            }
        }
        for spec in &learn.specs {
            if let LearnDestination::Match(header, _) = spec.destination
                && let Some(field) = field_of(header)
                && !met(needs(field), &will_match.key, &will_match.mask)
            {
                return Err(BadAction::MatchInconsistent.into());
            }
        }
        Ok(())
    }
}
