//! Random actions, instructions, and messages of Nicira's.

use super::generate::{Generator, MAKER};
use crate::action::Action;
use crate::flow::PacketInFormat;
use crate::instruction::Instruction;
use crate::nicira::{self, Bundle, Learn, LearnDestination, LearnSource, LearnSpec, Subfield};

/// Bytes of an experimenter's header within an action.
const EXPERIMENTER_LEN: usize = 8;
/// Bytes of an action's header of Nicira's.
const NICIRA_LEN: usize = 10;

impl Generator<'_> {
    pub(super) fn action(&mut self) -> Action {
        match self.random.below(4) {
            0 => Action::Nicira(self.nicira_action()),
            _ if self.v10() => self.action_v10(),
            _ => self.action_v13(),
        }
    }

    fn experimenter_action(&mut self) -> Action {
        Action::Experimenter { experimenter: MAKER, data: self.words(EXPERIMENTER_LEN) }
    }

    fn action_v10(&mut self) -> Action {
        match self.random.below(13) {
            0 => Action::Output { port: self.port(), max_len: self.u16() },
            1 => Action::SetVlanVid(self.u16()),
            2 => Action::SetVlanPcp(self.u8()),
            3 => Action::StripVlan,
            4 => Action::SetDlSrc(self.mac()),
            5 => Action::SetDlDst(self.mac()),
            6 => Action::SetNwSrc(self.ipv4()),
            7 => Action::SetNwDst(self.ipv4()),
            8 => Action::SetNwTos(self.u8()),
            9 => Action::SetTpSrc(self.u16()),
            10 => Action::SetTpDst(self.u16()),
            11 => Action::Enqueue { port: self.port(), queue: self.u32() },
            _ => self.experimenter_action(),
        }
    }

    fn action_v13(&mut self) -> Action {
        match self.random.below(17) {
            0 => Action::Output { port: self.port(), max_len: self.u16() },
            1 => Action::CopyTtlOut,
            2 => Action::CopyTtlIn,
            3 => Action::SetMplsTtl(self.u8()),
            4 => Action::DecMplsTtl,
            5 => Action::PushVlan(self.u16()),
            6 => Action::PopVlan,
            7 => Action::PushMpls(self.u16()),
            8 => Action::PopMpls(self.u16()),
            9 => Action::SetQueue(self.u32()),
            10 => Action::Group(self.u32()),
            11 => Action::SetNwTtl(self.u8()),
            12 => Action::DecNwTtl,
            13 => Action::SetField(self.oxm()),
            14 => Action::PushPbb(self.u16()),
            15 => Action::PopPbb,
            _ => self.experimenter_action(),
        }
    }

    /// Any range of bits.
    fn subfield(&mut self) -> Subfield {
        Subfield { header: self.u32(), offset: self.u16() & 0x3ff, bits: 1 + self.u16() % 64 }
    }

    fn nicira_action(&mut self) -> nicira::Action {
        use nicira::Action as A;
        match self.random.below(30) {
            0 => A::Resubmit(self.u16()),
            1 => A::ResubmitTable { port: self.u16(), table: self.u8() },
            2 => A::SetTunnel(self.u32()),
            3 => A::SetTunnel64(self.u64()),
            4 => A::SetQueue(self.u32()),
            5 => A::PopQueue,
            6 => {
                let source = self.subfield();
                let destination = Subfield { bits: source.bits, ..self.subfield() };
                A::RegMove { source, destination }
            }
            7 => A::RegLoad { destination: self.subfield(), value: self.u64() },
            8 => A::RegLoad2(self.oxm()),
            9 => A::Note(self.words(NICIRA_LEN)),
            10 => A::Multipath {
                fields: self.u16(),
                basis: self.u16(),
                algorithm: self.u16(),
                max_link: self.u16(),
                argument: self.u32(),
                destination: self.subfield(),
            },
            11 => A::Bundle(self.bundle()),
            12 => A::BundleLoad(self.bundle()),
            13 => A::OutputReg { source: self.subfield(), max_len: self.u16() },
            14 | 15 => A::Learn(self.learn()),
            16 => A::Exit,
            17 => A::DecTtl,
            18 => A::DecTtlControllers(self.list(Self::u16)),
            19 => A::FinTimeout { idle: self.u16(), hard: self.u16() },
            20 => A::Controller { max_len: self.u16(), controller: self.u16(), reason: self.u8() },
            21 => A::PushMpls(self.u16()),
            22 => A::PopMpls(self.u16()),
            23 => A::SetMplsLabel(self.u32()),
            24 => A::SetMplsTc(self.u8()),
            25 => A::SetMplsTtl(self.u8()),
            26 => A::DecMplsTtl,
            27 => A::StackPush(Subfield { header: self.u32(), offset: self.u16(), bits: self.u16() }),
            28 => A::StackPop(Subfield { header: self.u32(), offset: self.u16(), bits: self.u16() }),
            _ => A::Other { subtype: 100 + self.u16() % 100, data: self.words(NICIRA_LEN) },
        }
    }

    fn bundle(&mut self) -> Bundle {
        // All zeros are no destination.
        let subfield = Subfield { header: self.u32() | 1, ..self.subfield() };
        Bundle {
            algorithm: self.u16(),
            fields: self.u16(),
            basis: self.u16(),
            port_type: self.u32(),
            destination: self.bool().then_some(subfield),
            ports: self.list(Self::u16),
        }
    }

    fn learn(&mut self) -> Learn {
        Learn {
            idle_timeout: self.u16(),
            hard_timeout: self.u16(),
            priority: self.u16(),
            cookie: self.u64(),
            flags: self.u16(),
            table: self.u8(),
            fin_idle_timeout: self.u16(),
            fin_hard_timeout: self.u16(),
            specs: self.list(Self::learn_spec),
        }
    }

    fn learn_spec(&mut self) -> LearnSpec {
        let bits = 1 + self.u16() % 128;
        let length = 2 * usize::from(bits.div_ceil(16));
        LearnSpec {
            source: match self.bool() {
                true => LearnSource::Field(self.u32(), self.u16()),
                false => LearnSource::Immediate(self.random.bytes(length)),
            },
            destination: match self.u8() % 3 {
                0 => LearnDestination::Match(self.u32(), self.u16()),
                1 => LearnDestination::Load(self.u32(), self.u16()),
                _ => LearnDestination::Output,
            },
            bits,
        }
    }

    pub(super) fn instructions(&mut self) -> Vec<Instruction> {
        if !self.v10() {
            return self.list(Self::instruction);
        }
        let actions = self.list(Self::action);
        if actions.is_empty() { Vec::new() } else { vec![Instruction::ApplyActions(actions)] }
    }

    fn instruction(&mut self) -> Instruction {
        match self.u8() % 7 {
            0 => Instruction::GotoTable(self.u8()),
            1 => Instruction::WriteMetadata { value: self.u64(), mask: self.u64() },
            2 => Instruction::WriteActions(self.list(Self::action)),
            3 => Instruction::ApplyActions(self.list(Self::action)),
            4 => Instruction::ClearActions,
            5 => Instruction::Meter(self.u32()),
            _ => Instruction::Experimenter { experimenter: self.u32(), data: self.words(EXPERIMENTER_LEN) },
        }
    }

    pub(super) fn nicira_message(&mut self) -> nicira::Message {
        use nicira::Message as M;
        match self.u8() % 9 {
            0 => M::RoleRequest(self.role(false)),
            1 => M::RoleReply(self.role(false)),
            2 => M::SetFlowFormat(self.u32()),
            3 => M::FlowModTableId(self.bool()),
            4 => M::SetPacketInFormat(match self.bool() {
                true => PacketInFormat::Nxm,
                false => PacketInFormat::Standard,
            }),
            5 => M::SetAsyncConfig(self.async_config()),
            6 => M::SetControllerId(self.u16()),
            7 => M::FlowAge,
            _ => M::Other { subtype: 100 + self.u32() % 100, data: self.bytes(40) },
        }
    }
}
