//! Commands of the classes with tables: rules come and go, and whole tables are cleared and set again; none of it concerns the
//! stream.

use std::net::Ipv4Addr;

use softnic::bess::pb;

use crate::{NO_ARG, Work};

/// Rules that are added to a table.
pub(crate) const RULES_MAX: usize = 64;

/// Where the stream goes: 203.0.113.9.
pub(crate) const TARGET: u32 = 0xcb00_7109;
/// Where it does not: 198.18.0.0/15.
const ELSEWHERE: u32 = 0xc612_0000;
/// The gate of the stream in `Qos`, whose first ones are the meters'.
const UNMETERED: u64 = 4;

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
fn prefix(address: u32, prefix_len: u64) -> pb::IpLookupCommandAddArg {
    let network = address & (u32::MAX << (32 - prefix_len));
    let prefix = Ipv4Addr::from_bits(network).to_string();
    pb::IpLookupCommandAddArg { prefix, prefix_len, gate: u64::from(address != TARGET) }
}

fn filter(address: u32) -> pb::BpfArg {
    let filter = format!("host {}", Ipv4Addr::from_bits(address));
    pb::BpfArg { filters: vec![pb::bpf_arg::Filter { priority: i64::from(address & 7), filter, gate: 1 }] }
}

/// A station that sends nothing here.
fn station(address: u32) -> String {
    let [a, b, c, d] = address.to_be_bytes();
    format!("06:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn entry(addr: &str, gate: i64) -> pb::L2ForwardCommandAddArg {
    let addr = addr.to_owned();
    pb::L2ForwardCommandAddArg { entries: vec![pb::l2_forward_command_add_arg::Entry { addr, gate }] }
}

fn unmetered(address: u32, gate: u64) -> pb::QosCommandAddArg {
    pb::QosCommandAddArg { gate, fields: vec![bytes(&address.to_be_bytes())], ..Default::default() }
}

impl Work {
    /// An address that has no rule in that class's table yet, and gets one.
    fn more(&mut self, class: &'static str) -> u32 {
        let at = self.dice.roll(1 << 17) as u32;
        let rules = self.rules.entry(class).or_default();
        let free = (0..).map(|step| ELSEWHERE + (at + step) % (1 << 17)).find(|one| !rules.contains(one));
        rules.extend(free);
        free.unwrap()
    }

    /// An address that has a rule there.
    fn one(&mut self, class: &'static str) -> u32 {
        let at = self.dice.roll(self.rules[class].len() as u64) as usize;
        self.rules[class][at]
    }

    /// One that loses it.
    fn less(&mut self, class: &'static str) -> u32 {
        let address = self.one(class);
        self.rules.get_mut(class).unwrap().retain(|one| *one != address);
        address
    }

    /// How many rules a class's table has beside the stream's own.
    pub(crate) fn held(&self, class: &str) -> usize {
        self.rules.get(class).map_or(0, Vec::len)
    }

    /// Puts the rules in place that lead the stream to the judge.
    pub(crate) fn lead(&mut self) {
        self.command("exact", "set_runtime_config", &self.exact_config());
        self.command("wild", "set_runtime_config", &self.wild_config());
        self.command("lookup", "add", &prefix(TARGET, 24));
        // `MACSwap` may be on the way.
        for own in ["02:00:00:00:00:01", "02:00:00:00:00:02"] {
            self.command("stations", "add", &entry(own, 0));
        }
        self.command("qos", "add", &unmetered(TARGET, UNMETERED));
    }

    fn exact_config(&self) -> pb::ExactMatchConfig {
        let others = self.rules.get("ExactMatch").into_iter().flatten().map(|address| exact(*address, 1));
        pb::ExactMatchConfig { default_gate: 2, rules: others.chain([exact(TARGET, 0)]).collect() }
    }

    fn wild_config(&self) -> pb::WildcardMatchConfig {
        let others = self.rules.get("WildcardMatch").into_iter().flatten();
        let others = others.map(|address| wildcard(*address, 32, 1));
        pb::WildcardMatchConfig { default_gate: 2, rules: others.chain([wildcard(TARGET, 24, 0)]).collect() }
    }

    pub(crate) fn tell_exact(&mut self, command: &str) {
        let gate = |gate| pb::ExactMatchCommandSetDefaultGateArg { gate };
        match command {
            "add" => {
                let rule = exact(self.more("ExactMatch"), 1);
                self.command("exact", "add", &rule);
            }
            "delete" => {
                let fields = exact(self.less("ExactMatch"), 1).fields;
                self.command("exact", "delete", &pb::ExactMatchCommandDeleteArg { fields });
            }
            "set_runtime_config" => self.command("exact", command, &self.exact_config()),
            "set_default_gate" => {
                let other = 2 + self.dice.roll(5);
                self.command("exact", command, &gate(other));
            }
            "clear" => {
                // Until its rule is back, the stream is led by the default gate.
                self.command("exact", "set_default_gate", &gate(0));
                self.command("exact", "clear", &NO_ARG);
                self.command("exact", "set_runtime_config", &self.exact_config());
            }
            _ => self.command("exact", command, &NO_ARG),
        }
    }

    pub(crate) fn tell_wild(&mut self, command: &str) {
        let gate = |gate| pb::WildcardMatchCommandSetDefaultGateArg { gate };
        match command {
            "add" => {
                let rule = wildcard(self.more("WildcardMatch"), 32, 1);
                self.command("wild", "add", &rule);
            }
            "delete" => {
                let rule = wildcard(self.less("WildcardMatch"), 32, 1);
                let pb::WildcardMatchCommandAddArg { values, masks, .. } = rule;
                self.command("wild", "delete", &pb::WildcardMatchCommandDeleteArg { values, masks });
            }
            "set_runtime_config" => self.command("wild", command, &self.wild_config()),
            "set_default_gate" => {
                let other = 2 + self.dice.roll(5);
                self.command("wild", command, &gate(other));
            }
            "clear" => {
                self.command("wild", "set_default_gate", &gate(0));
                self.command("wild", "clear", &NO_ARG);
                self.command("wild", "set_runtime_config", &self.wild_config());
            }
            _ => self.command("wild", command, &NO_ARG),
        }
    }

    pub(crate) fn tell_qos(&mut self, command: &str) {
        let gate = |gate| pb::QosCommandSetDefaultGateArg { gate };
        match command {
            "add" => {
                let address = self.more("Qos");
                let metered = pb::QosCommandAddArg {
                    cir: 1000,
                    pir: 2000,
                    cbs: 3000,
                    pbs: 3000,
                    ..unmetered(address, 0)
                };
                let rule = if address.is_multiple_of(2) { metered } else { unmetered(address, 6) };
                self.command("qos", "add", &rule);
            }
            "delete" => {
                let fields = unmetered(self.less("Qos"), 0).fields;
                self.command("qos", "delete", &pb::QosCommandDeleteArg { fields });
            }
            "clear" => {
                self.command("qos", "set_default_gate", &gate(UNMETERED));
                self.command("qos", "clear", &NO_ARG);
                self.rules.remove("Qos");
                self.command("qos", "add", &unmetered(TARGET, UNMETERED));
            }
            _ => {
                let other = 5 + self.dice.roll(4);
                self.command("qos", command, &gate(other));
            }
        }
    }

    pub(crate) fn tell_lookup(&mut self, command: &str) {
        match command {
            "add" => {
                let add = prefix(self.more("IPLookup"), 32);
                self.command("lookup", "add", &add);
            }
            "delete" => {
                let pb::IpLookupCommandAddArg { prefix, prefix_len, .. } = prefix(self.less("IPLookup"), 32);
                self.command("lookup", "delete", &pb::IpLookupCommandDeleteArg { prefix, prefix_len });
            }
            _ => {
                let at = self.dice.roll(1 << 17) as u32 + ELSEWHERE;
                self.command("side_lookup", "add", &prefix(at, 32));
                self.command("side_lookup", command, &NO_ARG);
            }
        }
    }

    pub(crate) fn tell_stations(&mut self, command: &str) {
        match command {
            "add" => {
                let addr = station(self.more("L2Forward"));
                self.command("stations", "add", &entry(&addr, 1));
            }
            "delete" => {
                let addrs = vec![station(self.less("L2Forward"))];
                self.command("stations", "delete", &pb::L2ForwardCommandDeleteArg { addrs });
            }
            "lookup" => {
                let addrs = vec![station(self.one("L2Forward"))];
                self.command("stations", "lookup", &pb::L2ForwardCommandLookupArg { addrs });
            }
            "populate" => {
                let base = "0a:00:00:00:00:00".to_owned();
                let count = 1 + self.dice.roll(64) as i64;
                let arg = pb::L2ForwardCommandPopulateArg { base, count, gate_count: 4 };
                self.command("stations", "populate", &arg);
            }
            _ => {
                let gate = 1 + self.dice.roll(4) as i64;
                self.command("stations", command, &pb::L2ForwardCommandSetDefaultGateArg { gate });
            }
        }
    }

    pub(crate) fn tell_bpf(&mut self, command: &str) {
        match command {
            "add" => {
                let one = filter(self.more("BPF"));
                self.command("bpf", "add", &one);
            }
            "delete" => {
                let one = filter(self.less("BPF"));
                self.command("bpf", "delete", &one);
            }
            "clear" => {
                self.command("bpf", "clear", &NO_ARG);
                self.rules.remove("BPF");
            }
            _ => self.command("bpf", command, &NO_ARG),
        }
    }

    pub(crate) fn tell_paths(&mut self, command: &str) {
        let of = |gnb_ip| pb::GtpuPathMonitoringCommandAddDeleteArg { gnb_ip, ..Default::default() };
        match command {
            "add" => {
                let station = of(self.more("GtpuPathMonitoring"));
                self.command("paths", "add", &station);
            }
            "delete" => {
                let station = of(self.less("GtpuPathMonitoring"));
                self.command("paths", "delete", &station);
            }
            "clear" => {
                self.command("paths", "clear", &NO_ARG);
                self.rules.remove("GtpuPathMonitoring");
            }
            _ => self.command("paths", command, &pb::GtpuPathMonitoringCommandReadArg { clear: true }),
        }
    }

    /// BESS has no command that takes a rule off an `ACL`, so most of them go to one that may be cleared.
    pub(crate) fn tell_acl(&mut self, command: &str) {
        if command == "clear" {
            return self.command("side_acl", "clear", &NO_ARG);
        }
        let acl = if self.dice.roll(20) == 0 { "acl" } else { "side_acl" };
        let other = self.dice.roll(1 << 17) as u32 + ELSEWHERE;
        let src_ip = Ipv4Addr::from_bits(other).to_string();
        let rule = pb::acl_arg::Rule { src_ip, drop: true, ..Default::default() };
        self.command(acl, command, &pb::AclArg { rules: vec![rule] });
    }

    pub(crate) fn tell_urls(&mut self, command: &str) {
        let host = format!("{}.example", self.dice.roll(1000));
        let blacklist = vec![pb::url_filter_arg::Url { host, path: "/".to_owned() }];
        match command {
            "add" => self.command("urls", "add", &pb::UrlFilterArg { blacklist }),
            "set_runtime_config" => self.command("urls", command, &pb::UrlFilterConfig { blacklist }),
            _ => self.command("urls", command, &NO_ARG),
        }
    }
}
