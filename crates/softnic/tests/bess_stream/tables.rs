//! Rules come and go, and whole tables are set again; none of it concerns the stream.

use softnic::bess::pb;

use crate::{EMPTY, NO_ARG, Work};

/// Rules that are added to a table of the chain.
const RULES_MAX: usize = 64;

/// Where the stream goes: 203.0.113.9.
pub(crate) const TARGET: u32 = 0xcb00_7109;
/// Where it does not: 198.18.0.0/15.
const ELSEWHERE: u32 = 0xc612_0000;

fn bytes(value: &[u8]) -> pb::FieldData {
    pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueBin(value.to_vec())) }
}

pub(crate) fn field(offset: u32, num_bytes: u32) -> pb::Field {
    pb::Field { position: Some(pb::field::Position::Offset(offset)), num_bytes }
}

/// An exact rule for a destination address.
fn exact(address: u32, gate: u64) -> pb::ExactMatchCommandAddArg {
    pb::ExactMatchCommandAddArg { gate, fields: vec![bytes(&address.to_be_bytes())], values: vec![] }
}

/// A wildcard rule for a destination network of as many bits.
fn wildcard(address: u32, bits: u32, gate: u64) -> pb::WildcardMatchCommandAddArg {
    let mask = u32::MAX << (32 - bits);
    pb::WildcardMatchCommandAddArg {
        gate,
        priority: i64::from(bits),
        values: vec![bytes(&(address & mask).to_be_bytes())],
        masks: vec![bytes(&mask.to_be_bytes())],
        valuesv: vec![],
    }
}

/// A prefix of an address, and its gate: 0 if the stream goes there.
pub(crate) fn prefix(address: u32, prefix_len: u64) -> pb::IpLookupCommandAddArg {
    let network = address & (u32::MAX << (32 - prefix_len));
    let prefix = std::net::Ipv4Addr::from_bits(network).to_string();
    pb::IpLookupCommandAddArg { prefix, prefix_len, gate: u64::from(address != TARGET) }
}

impl Work {
    /// The rules of a table, with one more or one less; nothing of it concerns the stream.
    fn change_rules(&mut self, table: &'static str) -> (u32, bool) {
        let at = self.dice.roll(1 << 17) as u32;
        let address = ELSEWHERE + at;
        let rules = self.rules.entry(table).or_default();
        if rules.len() >= RULES_MAX || !rules.is_empty() && at.is_multiple_of(2) || rules.contains(&address) {
            return (rules.swap_remove(at as usize % rules.len()), false);
        }
        rules.push(address);
        (address, true)
    }

    pub(crate) fn exact_config(&self) -> pb::ExactMatchConfig {
        let others = self.rules.get("exact").into_iter().flatten().map(|address| exact(*address, 1));
        pb::ExactMatchConfig { default_gate: 2, rules: others.chain([exact(TARGET, 0)]).collect() }
    }

    pub(crate) fn wild_config(&self) -> pb::WildcardMatchConfig {
        let others = self.rules.get("wild").into_iter().flatten().map(|address| wildcard(*address, 32, 1));
        pb::WildcardMatchConfig { default_gate: 2, rules: others.chain([wildcard(TARGET, 24, 0)]).collect() }
    }

    pub(crate) fn edit_table(&mut self) {
        match self.dice.roll(8) {
            0 => match self.change_rules("exact") {
                (address, true) => self.command("exact", "add", &exact(address, 1)),
                (address, false) => {
                    let fields = exact(address, 1).fields;
                    self.command("exact", "delete", &pb::ExactMatchCommandDeleteArg { fields });
                }
            },
            1 => match self.change_rules("wild") {
                (address, true) => self.command("wild", "add", &wildcard(address, 32, 1)),
                (address, false) => {
                    let pb::WildcardMatchCommandAddArg { values, masks, .. } = wildcard(address, 32, 1);
                    self.command("wild", "delete", &pb::WildcardMatchCommandDeleteArg { values, masks });
                }
            },
            2 => match self.change_rules("lookup") {
                (address, true) => self.command("lookup", "add", &prefix(address, 32)),
                (address, false) => {
                    let pb::IpLookupCommandAddArg { prefix, prefix_len, .. } = prefix(address, 32);
                    self.command("lookup", "delete", &pb::IpLookupCommandDeleteArg { prefix, prefix_len });
                }
            },
            3 => self.command("exact", "set_runtime_config", &self.exact_config()),
            4 => self.command("wild", "set_runtime_config", &self.wild_config()),
            5 => {
                // BESS has no command that takes a rule off, so most of them go to one that may be cleared.
                let acl = if self.dice.roll(20) == 0 { "acl" } else { "side_acl" };
                let other = self.dice.roll(1 << 17) as u32 + ELSEWHERE;
                let src_ip = std::net::Ipv4Addr::from_bits(other).to_string();
                let rule = pb::acl_arg::Rule { src_ip, drop: true, ..Default::default() };
                self.command(acl, "add", &pb::AclArg { rules: vec![rule] });
            }
            6 => {
                let table = if self.dice.roll(2) == 0 { "side_acl" } else { "side_lookup" };
                self.command(table, "clear", &NO_ARG);
            }
            _ => {
                // Behind the number.
                let value = self.dice.roll(1 << 16);
                let fields = vec![pb::update_arg::Field { offset: 52, size: 2, value }];
                self.command("update", "clear", &NO_ARG);
                self.command("update", "add", &pb::UpdateArg { fields });
            }
        }
    }

    pub(crate) fn edit_queue(&mut self) {
        match self.dice.roll(3) {
            0 => {
                let burst = self.dice.roll(32) + 1;
                self.command("queue", "set_burst", &pb::QueueCommandSetBurstArg { burst });
            }
            1 => {
                let size = 256 << self.dice.roll(4);
                self.command("queue", "set_size", &pb::QueueCommandSetSizeArg { size });
            }
            _ => {
                let (prefetch, backpressure) = (self.dice.roll(2) == 0, self.dice.roll(2) == 0);
                let arg = pb::QueueArg { size: 1024, prefetch, backpressure };
                self.command("queue", "set_runtime_config", &arg);
            }
        }
    }

    pub(crate) fn ask(&mut self) {
        match self.dice.roll(6) {
            0 => self.request("ListTcs", &pb::ListTcsRequest { wid: -1 }),
            1 => self.request("ListModules", &EMPTY),
            2 => self.request("GetModuleInfo", &pb::GetModuleInfoRequest { name: "nat".to_owned() }),
            3 => self.request("GetTcStats", &pb::GetTcStatsRequest { name: "!leaf_queue:0".to_owned() }),
            4 => self.command("wild", "get_runtime_config", &NO_ARG),
            _ => self.command("exact", "get_runtime_config", &NO_ARG),
        }
    }
}
