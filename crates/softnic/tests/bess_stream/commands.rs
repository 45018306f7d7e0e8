//! Every command of every class. There is a deck of them, and of the questions; it is dealt to the end before it is shuffled
//! again, so that each comes up.

use softnic::bess::pb;

use crate::graph::{TOLD, by_worker};
use crate::tables::{RULES_MAX, field};
use crate::{Dice, EMPTY, NO_ARG, Work};

/// What BESS carries out only while all workers are paused (`THREAD_UNSAFE` in NetSys/bess), by class.
pub(crate) const PAUSED_IN_BESS: [(&str, &[&str]); 22] = [
    ("ACL", &["add", "clear"]),
    ("ArpResponder", &["add"]),
    ("BPF", &["add", "delete", "clear"]),
    ("DRR", &["set_quantum_size", "set_max_flow_queue_size"]),
    ("Dump", &["set_interval"]),
    ("ExactMatch", &["set_runtime_config", "add", "delete", "clear"]),
    ("FlowGen", &["update"]),
    ("HashLB", &["set_mode", "set_gates"]),
    ("IPLookup", &["add", "delete", "clear"]),
    ("L2Forward", &["add", "delete", "populate"]),
    ("MPLSPop", &["set"]),
    ("Queue", &["set_size", "set_runtime_config"]),
    ("RandomSplit", &["set_droprate", "set_gates"]),
    ("RandomUpdate", &["add", "clear"]),
    ("Replicate", &["set_gates"]),
    ("Rewrite", &["add", "clear"]),
    ("RoundRobin", &["set_mode", "set_gates"]),
    ("Update", &["add", "clear"]),
    ("UrlFilter", &["set_runtime_config", "add", "clear"]),
    ("VLANPush", &["set_tci"]),
    ("WildcardMatch", &["set_runtime_config", "add", "delete", "clear"]),
    ("WorkerSplit", &["reset"]),
];

/// The requests that are not made: they would take the stream itself away, or are refused while it is there, and BESS's
/// plugins and resume hooks are not to be had.
pub(crate) const NOT_MADE: [&str; 10] = [
    "ConfigureResumeHook",
    "ImportPlugin",
    "KillBess",
    "PauseAll",
    "ResetAll",
    "ResetModules",
    "ResetPorts",
    "ResetTcs",
    "ResetWorkers",
    "UnloadPlugin",
];

/// Numbers below a count, each as often as the others.
#[derive(Default)]
pub(crate) struct Deck {
    left: Vec<usize>,
}

impl Deck {
    pub(crate) fn deal(&mut self, count: usize, dice: &mut Dice) -> usize {
        if self.left.is_empty() {
            self.left = (0..count).collect();
        }
        let at = dice.roll(self.left.len() as u64) as usize;
        self.left.swap_remove(at)
    }
}

/// The questions that change nothing, or nothing that can be seen.
const QUESTIONS: usize = 23;

impl Work {
    /// What the classes can be told, as the daemon says.
    pub(crate) fn read_commands(&mut self) {
        let classes: pb::ListMclassResponse = self.daemon.ask("ListMclass", &EMPTY);
        for name in classes.names {
            let request = pb::GetMclassInfoRequest { name };
            let info: pb::GetMclassInfoResponse = self.daemon.ask("GetMclassInfo", &request);
            if info.cmds.is_empty() {
                continue;
            }
            let told = TOLD.iter().find(|told| told.0 == info.name);
            let (class, _) = told.unwrap_or_else(|| panic!("no module of {} is told anything", info.name));
            self.commands.extend(info.cmds.into_iter().map(|command| (*class, command)));
        }
    }

    /// Whether each command, and each request but those that are not made, was carried out at least once.
    pub(crate) fn missing(&self) -> Vec<String> {
        let told = self.commands.iter().filter(|command| !self.told.contains_key(*command));
        let told = told.map(|(class, command)| format!("{class}.{command}"));
        let methods = self.methods.iter().filter(|method| !NOT_MADE.contains(&method.as_str()));
        let made = methods.filter(|method| !self.kinds.contains_key(method.as_str())).cloned();
        told.chain(made).collect()
    }

    pub(crate) fn edit_module(&mut self) {
        let at = self.deck.deal(self.commands.len(), &mut self.dice);
        let (class, command) = self.commands[at].clone();
        self.tell(class, &command);
    }

    fn tell(&mut self, class: &'static str, command: &str) {
        match (command, self.held(class)) {
            ("add", RULES_MAX..) => self.tell(class, "delete"),
            ("delete" | "lookup", 0) => self.tell(class, "add"),
            _ => {}
        }
        match class {
            "ACL" => self.tell_acl(command),
            "BPF" => self.tell_bpf(command),
            "ExactMatch" => self.tell_exact(command),
            "GtpuPathMonitoring" => self.tell_paths(command),
            "IPLookup" => self.tell_lookup(command),
            "L2Forward" => self.tell_stations(command),
            "Qos" => self.tell_qos(command),
            "UrlFilter" => self.tell_urls(command),
            "WildcardMatch" => self.tell_wild(command),
            "HashLB" | "RandomSplit" | "Replicate" | "RoundRobin" | "WorkerSplit" => {
                self.tell_spreading(class, command);
            }
            "Counter" | "Dump" | "FlowMeasure" | "Measure" => self.tell_measuring(class, command),
            "RandomUpdate" | "Rewrite" | "Update" => self.tell_rewriting(class, command),
            _ if command.starts_with("get_") || class == "NAT" || class == "StaticNAT" => {
                self.command(self.module_of(class), command, &NO_ARG);
            }
            _ => self.tell_number(class, command),
        }
    }

    fn module_of(&self, class: &str) -> &'static str {
        TOLD.iter().find(|told| told.0 == class).unwrap().1
    }

    fn tell_spreading(&mut self, class: &str, command: &str) {
        let choice = self.dice.roll(4) as usize;
        let gates = [&[0][..], &[0, 0], &[0, 0, 0], &[0]][choice].to_vec();
        match (class, command) {
            ("HashLB", "set_mode") => {
                let fields = if choice == 3 { vec![field(26, 4)] } else { vec![] };
                let mode = ["l2", "l3", "l4", ""][choice].to_owned();
                self.command("hash", command, &pb::HashLbCommandSetModeArg { mode, fields });
            }
            ("HashLB", _) => self.command("hash", command, &pb::HashLbCommandSetGatesArg { gates }),
            ("RandomSplit", "set_droprate") => {
                // Nobody will live to see one of them drop a packet.
                let drop_rate = [0.0, f64::MIN_POSITIVE, 1e-300, 1e-200][choice];
                self.command("split", command, &pb::RandomSplitCommandSetDroprateArg { drop_rate });
            }
            ("RandomSplit", _) => {
                self.command("split", command, &pb::RandomSplitCommandSetGatesArg { gates });
            }
            ("Replicate", _) => {
                // One of the copies is the stream.
                let gates = [&[0][..], &[0, 1], &[2, 0], &[1, 0, 2]][choice].to_vec();
                self.command("copies", command, &pb::ReplicateCommandSetGatesArg { gates });
            }
            ("RoundRobin", "set_mode") => {
                let mode = ["packet", "batch"][choice % 2].to_owned();
                self.command("turns", command, &pb::RoundRobinCommandSetModeArg { mode });
            }
            ("RoundRobin", _) => self.command("turns", command, &pb::RoundRobinCommandSetGatesArg { gates }),
            _ => self.command("workers", command, &by_worker(choice as u32)),
        }
    }

    fn tell_measuring(&mut self, class: &str, command: &str) {
        let (number, clear) = (self.dice.roll(16) as u32, self.dice.roll(2) == 0);
        let percentiles = vec![50.0, 99.0];
        match (class, command) {
            ("Counter", "add") => self.command("counter", command, &pb::CounterAddArg { ctr_id: number }),
            ("Counter", "remove") => {
                self.command("counter", command, &pb::CounterRemoveArg { ctr_id: number });
            }
            ("Dump", _) => {
                self.command("dump", command, &pb::DumpArg { interval: f64::from(number) + 1000.0 });
            }
            ("FlowMeasure", "read") => {
                let arg = pb::FlowMeasureCommandReadArg {
                    clear,
                    latency_percentiles: percentiles.clone(),
                    jitter_percentiles: percentiles,
                    flag_to_read: u64::from(number % 2) + 1,
                };
                self.command("sessions", command, &arg);
            }
            ("Measure", "get_summary") => {
                let arg = pb::MeasureCommandGetSummaryArg {
                    clear,
                    latency_percentiles: percentiles.clone(),
                    jitter_percentiles: percentiles,
                };
                self.command("measure", command, &arg);
            }
            _ => self.command(self.module_of(class), command, &NO_ARG),
        }
    }

    fn tell_rewriting(&mut self, class: &str, command: &str) {
        let module = self.module_of(class);
        self.command(module, "clear", &NO_ARG);
        if command == "clear" {
            return;
        }
        // Behind the number.
        match class {
            "Update" => {
                let value = self.dice.roll(1 << 16);
                let fields = vec![pb::update_arg::Field { offset: 52, size: 2, value }];
                self.command(module, command, &pb::UpdateArg { fields });
            }
            "RandomUpdate" => {
                let max = self.dice.roll(1 << 16);
                let fields = vec![pb::random_update_arg::Field { offset: 54, size: 4, min: 0, max }];
                self.command(module, command, &pb::RandomUpdateArg { fields });
            }
            _ => {
                let templates =
                    vec![vec![0; 60 + self.dice.roll(100) as usize]; 1 + self.dice.roll(8) as usize];
                self.command(module, command, &pb::RewriteArg { templates });
            }
        }
    }

    /// Commands whose argument is little more than a number.
    fn tell_number(&mut self, class: &str, command: &str) {
        let module = self.module_of(class);
        let number = self.dice.roll(32) + 1;
        match (class, command) {
            ("ArpResponder", _) => {
                let (ip, mac_addr) = (format!("198.18.0.{number}"), format!("06:00:00:00:00:{number:02x}"));
                self.command(module, command, &pb::ArpResponderArg { ip, mac_addr });
            }
            ("DRR", "set_quantum_size") => {
                self.command(module, command, &pb::DrrQuantumArg { quantum: 100 * number as u32 });
            }
            // More than may be on their way.
            ("DRR", _) => {
                let max_queue_size = 256 * number as u32;
                self.command(module, command, &pb::DrrMaxFlowQueueSizeArg { max_queue_size });
            }
            ("FlowGen", "update") => {
                let pps = 100.0 + number as f64;
                self.command(module, command, &pb::FlowGenArg { pps, ..Default::default() });
            }
            ("FlowGen", _) => {
                self.command(module, command, &pb::FlowGenCommandSetBurstArg { burst: number });
            }
            ("MPLSPop", _) => {
                let (remove_eth_header, next_eth_type) = (number.is_multiple_of(2), 0x0800 + number as u32);
                self.command(module, command, &pb::MplsPopArg { remove_eth_header, next_eth_type });
            }
            ("PortInc", _) => {
                self.command(module, command, &pb::PortIncCommandSetBurstArg { burst: number });
            }
            ("Queue", "set_burst") => {
                self.command(module, command, &pb::QueueCommandSetBurstArg { burst: number });
            }
            ("Queue", "set_size") => {
                let size = 256 << (number % 4);
                self.command(module, command, &pb::QueueCommandSetSizeArg { size });
            }
            ("Queue", _) => {
                let (prefetch, backpressure) = (number.is_multiple_of(2), number.is_multiple_of(3));
                self.command(module, command, &pb::QueueArg { size: 1024, prefetch, backpressure });
            }
            ("QueueInc", _) => {
                self.command(module, command, &pb::QueueIncCommandSetBurstArg { burst: number });
            }
            ("Source", "set_burst") => {
                self.command(module, command, &pb::SourceCommandSetBurstArg { burst: number });
            }
            ("Source", _) => {
                let pkt_size = 60 + 10 * number;
                self.command(module, command, &pb::SourceCommandSetPktSizeArg { pkt_size });
            }
            ("VLANPush", _) => self.command(module, command, &pb::VlanPushArg { tci: number }),
            _ => panic!("nobody knows an argument for {class}.{command}"),
        }
    }

    pub(crate) fn ask(&mut self) {
        let ring = || "ring".to_owned();
        match self.questions.deal(QUESTIONS, &mut self.dice) {
            0 => self.request("GetVersion", &EMPTY),
            1 => self.request("ListPlugins", &EMPTY),
            2 => self.request("ListWorkers", &EMPTY),
            3 => self.request("ListTcs", &pb::ListTcsRequest { wid: -1 }),
            4 => self.request("CheckSchedulingConstraints", &EMPTY),
            5 => self.request("GetTcStats", &pb::GetTcStatsRequest { name: "!leaf_queue:0".to_owned() }),
            6 => self.request("ListDrivers", &EMPTY),
            7 => {
                let driver_name = "PMDPort".to_owned();
                self.request("GetDriverInfo", &pb::GetDriverInfoRequest { driver_name });
            }
            8 => self.request("ListPorts", &EMPTY),
            9 => self.request("GetPortConf", &pb::GetPortConfRequest { name: ring() }),
            10 => self.request("GetPortStats", &pb::GetPortStatsRequest { name: ring() }),
            11 => self.request("GetLinkStatus", &pb::GetLinkStatusRequest { name: ring() }),
            12 => {
                // As it is: memory has no interface that could be another.
                let request = pb::GetPortConfRequest { name: ring() };
                let conf = self.daemon.ask::<pb::GetPortConfResponse>("GetPortConf", &request).conf;
                self.request("SetPortConf", &pb::SetPortConfRequest { name: ring(), conf });
            }
            13 => self.request("ListMclass", &EMPTY),
            14 => self.request("GetMclassInfo", &pb::GetMclassInfoRequest { name: "NAT".to_owned() }),
            15 => self.request("ListModules", &EMPTY),
            16 => self.request("GetModuleInfo", &pb::GetModuleInfoRequest { name: "nat".to_owned() }),
            17 => self.request("DumpMempool", &pb::DumpMempoolRequest { socket: -1 }),
            18 => self.request("ListGateHookClass", &EMPTY),
            19 => {
                let name = "Track".to_owned();
                self.request("GetGateHookClassInfo", &pb::GetGateHookClassInfoRequest { name });
            }
            20 => self.request("ListGateHooks", &EMPTY),
            21 => {
                let hook = pb::GateHookInfo {
                    hook_name: "track0".to_owned(),
                    module_name: "flows".to_owned(),
                    gate: Some(pb::gate_hook_info::Gate::Ogate(0)),
                    ..Default::default()
                };
                let cmd = "reset".to_owned();
                self.request("GateHookCommand", &pb::GateHookCommandRequest { hook: Some(hook), cmd });
            }
            _ => self.request("ResumeAll", &EMPTY),
        }
    }
}
