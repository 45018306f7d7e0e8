//! Nicira's actions.

use crate::Version;
use crate::action::Action;
use crate::field::Field;
use crate::nicira::{self, Bundle, Learn, LearnDestination, LearnSource, LearnSpec, Subfield};
use crate::oxm::Oxm;

const fn subfield(header: u32, bits: u16) -> Subfield {
    Subfield { header, offset: 0, bits }
}

const fn is_standard_in_v13(action: &nicira::Action) -> bool {
    use nicira::Action as A;
    matches!(
        action,
        A::SetQueue(_)
            | A::DecTtl
            | A::PushMpls(_)
            | A::PopMpls(_)
            | A::SetMplsLabel(_)
            | A::SetMplsTc(_)
            | A::SetMplsTtl(_)
            | A::DecMplsTtl
    )
}

/// `NXM_NX_REG0`, `NXM_NX_REG1`, `NXM_OF_IN_PORT`, `NXM_OF_ETH_SRC`, `NXM_OF_ETH_DST`, `NXM_OF_VLAN_TCI`.
const REG0: u32 = 0x0001_0004;
const REG1: u32 = 0x0001_0204;
const IN_PORT: u32 = 0x0000_0002;
const ETH_SRC: u32 = 0x0000_0406;
const ETH_DST: u32 = 0x0000_0206;
const VLAN_TCI: u32 = 0x0000_0802;

/// Every action of Nicira's, in an order that TCP packets can take; in 1.3 without those that it has words of its own for.
pub(super) fn nicira_actions(version: Version) -> Vec<Action> {
    use nicira::Action as A;
    let bundle = Bundle {
        algorithm: 1,
        fields: 0,
        basis: 7,
        port_type: IN_PORT,
        destination: None,
        ports: vec![1, 2, 3],
    };
    let learn = Learn {
        idle_timeout: 10,
        hard_timeout: 300,
        priority: 200,
        cookie: 5,
        flags: 1,
        table: 4,
        fin_idle_timeout: 1,
        fin_hard_timeout: 2,
        specs: vec![
            spec(LearnSource::Field(VLAN_TCI, 0), LearnDestination::Match(VLAN_TCI, 0), 12),
            spec(LearnSource::Field(ETH_SRC, 0), LearnDestination::Match(ETH_DST, 0), 48),
            spec(LearnSource::Immediate(vec![0, 5]), LearnDestination::Load(REG0, 16), 16),
            spec(LearnSource::Field(IN_PORT, 0), LearnDestination::Output, 16),
        ],
    };
    let multipath = A::Multipath {
        fields: 1,
        basis: 50,
        algorithm: 0,
        max_link: 3,
        argument: 0,
        destination: subfield(REG0, 4),
    };
    [
        A::Resubmit(2),
        A::ResubmitTable { port: 0xfff8, table: 4 },
        A::SetTunnel(5),
        A::SetTunnel64(0x1_0000_0005),
        A::SetQueue(7),
        A::PopQueue,
        A::RegMove { source: subfield(REG0, 16), destination: Subfield { offset: 16, ..subfield(REG1, 16) } },
        A::RegLoad { destination: subfield(REG0, 32), value: 0xdead_beef },
        A::RegLoad2(Oxm::Known { field: Field::Reg1, spelling: 0, value: 1, mask: Some(0xff) }),
        A::Note(b"a note".to_vec()),
        multipath,
        A::BundleLoad(Bundle { destination: Some(subfield(REG0, 16)), ..bundle.clone() }),
        A::Bundle(bundle),
        A::OutputReg { source: subfield(REG0, 16), max_len: 128 },
        A::Learn(learn),
        A::StackPush(subfield(REG0, 32)),
        A::StackPop(subfield(REG1, 32)),
        A::DecTtl,
        A::DecTtlControllers(vec![1, 2, 3]),
        A::FinTimeout { idle: 5, hard: 10 },
        A::Controller { max_len: 128, controller: 3, reason: 1 },
        A::PushMpls(0x8847),
        A::SetMplsLabel(99),
        A::SetMplsTc(3),
        A::SetMplsTtl(64),
        A::DecMplsTtl,
        A::PopMpls(0x0800),
        A::Exit,
    ]
    .into_iter()
    .filter(|action| version == Version::V10 || !is_standard_in_v13(action))
    .map(Action::Nicira)
    .collect()
}

const fn spec(source: LearnSource, destination: LearnDestination, bits: u16) -> LearnSpec {
    LearnSpec { source, destination, bits }
}
