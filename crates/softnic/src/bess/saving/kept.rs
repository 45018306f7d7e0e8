//! What is kept of the commands that a module has carried out, so that another one of its class can be brought to the same
//! state.
//!
//! Modules with tables tell what is in them ([`saved`]). Of all others the commands are few, and it follows from a
//! command's name which of them are still of use.

use prost_types::Any;

use crate::bess::class::Class;
use crate::bess::modules::saved;

/// What a command does to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It asks, or begins a measurement anew: nothing that is kept.
    Nothing,
    /// The module tells by itself what it has led to.
    Told,
    /// It comes on top of the others.
    Each,
    /// It takes the place of the last one of its name.
    Last,
    /// It takes back every one that came on top of others.
    Clear,
}

impl Keep {
    /// That of a command of a class.
    pub(crate) fn of(class: &Class, command: &str) -> Self {
        match (class.name, command) {
            _ if asks(command) => Self::Nothing,
            // What was counted and measured ends with the process.
            ("Counter" | "FlowMeasure" | "Measure", _) => Self::Nothing,
            (name, _) if saved(name).is_some() => Self::Told,
            (_, "add") => Self::Each,
            (_, "clear") => Self::Clear,
            _ => Self::Last,
        }
    }
}

/// Whether a command only asks: those of all classes have names of their own.
pub(super) fn asks(command: &str) -> bool {
    command.starts_with("get_") || matches!(command, "read" | "lookup")
}

/// The commands that a module has carried out, as far as they are of use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Vec<(&'static str, Keep, Any)>);

impl Kept {
    /// The module has carried out a command.
    pub(crate) fn note(&mut self, command: &'static str, keep: Keep, arg: &Any) {
        match keep {
            Keep::Nothing | Keep::Told => return,
            Keep::Each => {}
            Keep::Last => self.0.retain(|(known, ..)| *known != command),
            Keep::Clear => self.0.retain(|(_, kept, _)| matches!(kept, Keep::Last)),
        }
        self.0.push((command, keep, arg.clone()));
    }

    /// In the order in which they are to be carried out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Any)> {
        self.0.iter().map(|(command, _, arg)| (*command, arg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bess::modules::{CLASSES, find};

    fn arg(number: u8) -> Any {
        Any { type_url: String::new(), value: vec![number] }
    }

    #[test]
    fn only_what_is_of_use_is_kept() {
        let mut kept = Kept::default();
        let update = find("Update").unwrap();
        let mut note = |command, number| kept.note(command, Keep::of(update, command), &arg(number));
        ["add", "add"].into_iter().zip(1..).for_each(|(command, number)| note(command, number));
        let list = |kept: &Kept| kept.iter().map(|(name, arg)| (name, arg.value[0])).collect::<Vec<_>>();
        assert_eq!(list(&kept), [("add", 1), ("add", 2)]);
        let mut note = |command, number| kept.note(command, Keep::of(update, command), &arg(number));
        note("clear", 3);
        note("add", 4);
        note("clear", 5);
        assert_eq!(list(&kept), [("clear", 5)]);
        let mut kept = Kept::default();
        let robin = find("RoundRobin").unwrap();
        for (command, number) in [("set_gates", 1), ("set_mode", 2), ("set_gates", 3)] {
            kept.note(command, Keep::of(robin, command), &arg(number));
        }
        assert_eq!(list(&kept), [("set_mode", 2), ("set_gates", 3)]);
    }

    /// Where commands come on top of each other or take others back, they do no more than that; a class of which that is
    /// not true has to tell its state itself.
    #[test]
    fn every_command_is_known() {
        let of = |keep| {
            let each =
                CLASSES.iter().flat_map(|class| class.commands.iter().map(move |one| (class, one.name)));
            let these = each.filter(|(class, name)| Keep::of(class, name) == keep);
            let mut these: Vec<_> = these.map(|(class, name)| format!("{}.{name}", class.name)).collect();
            these.sort();
            these.join(" ")
        };
        assert_eq!(of(Keep::Each), "RandomUpdate.add Rewrite.add Update.add");
        assert_eq!(of(Keep::Clear), "RandomUpdate.clear Rewrite.clear Update.clear");
        assert_eq!(
            of(Keep::Last),
            "DRR.set_max_flow_queue_size DRR.set_quantum_size Dump.set_interval HashLB.set_gates HashLB.set_mode \
             MPLSPop.set NAT.set_runtime_config PortInc.set_burst QueueInc.set_burst RandomSplit.set_droprate \
             RandomSplit.set_gates Replicate.set_gates RoundRobin.set_gates RoundRobin.set_mode Source.set_burst \
             Source.set_pkt_size StaticNAT.set_runtime_config VLANPush.set_tci WorkerSplit.reset"
        );
        assert_eq!(
            of(Keep::Nothing),
            "BPF.get_initial_arg Counter.add Counter.remove Counter.removeAll ExactMatch.get_initial_arg \
             ExactMatch.get_runtime_config FlowMeasure.flip FlowMeasure.read GtpuPathMonitoring.read \
             IPFrag.get_eth_mtu L2Forward.lookup LinkEmulator.get_counters LinkEmulator.get_initial_arg Measure.clear \
             Measure.get_summary NAT.get_initial_arg NAT.get_runtime_config NetworkFunction.get_initial_arg \
             NetworkFunction.get_report PortInc.get_initial_arg PortOut.get_initial_arg Queue.get_initial_arg \
             Queue.get_runtime_config Queue.get_status QueueOut.get_initial_arg SetMetadata.get_initial_arg \
             StaticNAT.get_initial_arg StaticNAT.get_runtime_config UrlFilter.get_initial_arg \
             UrlFilter.get_runtime_config WildcardMatch.get_initial_arg WildcardMatch.get_runtime_config"
        );
    }
}
