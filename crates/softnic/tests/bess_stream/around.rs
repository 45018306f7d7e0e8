//! Hooks are put on gates of the chain, and ports with modules of their own come and go beside it.

use softnic::bess::pb;

use crate::bess_kit::packed;
use crate::{Hop, NO_ARG, Work};

impl Work {
    pub(crate) fn edit_hooks(&mut self) {
        use pb::gate_hook_info::Gate;
        let at = 1 + self.dice.roll(self.chain.len() as u64 - 1) as usize;
        let Hop { name, gate, .. } = self.chain[at].clone();
        let gate = if self.dice.roll(2) == 0 { Gate::Igate(0) } else { Gate::Ogate(gate.into()) };
        let fifo = "/dev/null".to_owned();
        let (class, arg) = match self.dice.roll(3) {
            0 => ("Track", packed(&pb::TrackArg { bits: true })),
            1 => ("TcpDump", packed(&pb::TcpdumpArg { fifo, ..Default::default() })),
            _ => ("PcapNg", packed(&pb::PcapngArg { fifo, ..Default::default() })),
        };
        let hook = pb::GateHookInfo {
            class_name: class.to_owned(),
            hook_name: "looks".to_owned(),
            module_name: name.clone(),
            arg: Some(arg),
            gate: Some(gate),
        };
        for enable in [true, false] {
            let hook = Some(hook.clone());
            self.request("ConfigureGateHook", &pb::ConfigureGateHookRequest { hook, enable });
            self.request("GetModuleInfo", &pb::GetModuleInfoRequest { name: name.clone() });
        }
    }

    /// A port with two modules and a worker of its own choice comes and goes.
    pub(crate) fn edit_ports(&mut self) {
        let port = self.name("port");
        let path = format!("@weft-stream-{}-{port}", std::process::id());
        let arg = packed(&pb::UnixSocketPortArg { path, ..Default::default() });
        let (name, driver) = (port.clone(), "UnixSocketPort".to_owned());
        let request = pb::CreatePortRequest { name, driver, arg: Some(arg), ..Default::default() };
        self.request("CreatePort", &request);
        self.module("PortInc", "side_in", &pb::PortIncArg { port: port.clone(), prefetch: false });
        self.module("Sink", "side_out", &NO_ARG);
        let side = Hop { name: "side_in".to_owned(), gate: 0, inserted: false };
        self.connect(&side, "side_out");
        let class = pb::TrafficClass { leaf_module_name: side.name.clone(), ..self.any_worker() };
        self.request("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(class) });
        self.destroy("side_out");
        self.destroy("side_in");
        self.request("DestroyPort", &pb::DestroyPortRequest { name: port });
    }
}
