//! `BPF`.

use crate::bess::class::{Argument, Class, Setup, Told, commands, decode, told};
use crate::bess::{Failure, pb};
use crate::engine::{GATES_MAX, Gate, Module};
use crate::modules::{Bpf, PacketFilter};

/// Filters that are added are all added, or none is.
pub(super) const CLASS: Class = Class {
    name: "BPF",
    help: "sends packets to gates by filters in tcpdump's language",
    template: "bpf",
    arg: "BPFArg",
    build,
    commands: commands![Bpf;
        "add" => add,
        "delete" => delete,
        "clear" => clear,
        "get_initial_arg" => get_initial_arg,
    ],
};

fn build(_: &mut Setup<'_>, argument: &Argument<'_>) -> Result<Box<dyn Module>, Failure> {
    let mut module = Bpf::default();
    add(&mut module, decode(argument)?)?;
    Ok(Box::new(module))
}

fn gate(number: i64) -> Result<Gate, Failure> {
    let gate = Gate::try_from(number).ok().filter(|gate| *gate < GATES_MAX);
    gate.ok_or_else(|| Failure::invalid(format!("Invalid gate: {number}")))
}

fn add(module: &mut Bpf, arg: pb::BpfArg) -> Result<(), Failure> {
    let filters = arg.filters.into_iter().map(|one| {
        let filter = one.filter.parse().map_err(|error| {
            Failure::invalid(format!("BPF compilation error in '{}': {error}", one.filter))
        })?;
        Ok(PacketFilter { priority: one.priority, gate: gate(one.gate)?, filter })
    });
    let filters = filters.collect::<Result<Vec<_>, Failure>>()?;
    module.add(filters).map_err(|error| Failure::no_space(error.to_string()))
}

fn delete(module: &mut Bpf, arg: pb::BpfArg) -> Result<(), Failure> {
    let gates = arg.filters.iter().map(|one| gate(one.gate)).collect::<Result<Vec<_>, _>>()?;
    for (one, gate) in arg.filters.iter().zip(gates) {
        module.delete(one.priority, gate, &one.filter);
    }
    Ok(())
}

fn clear(module: &mut Bpf, _: pb::EmptyArg) -> Result<(), Failure> {
    module.clear();
    Ok(())
}

/// The filters that there are now, as in BESS.
fn get_initial_arg(module: &mut Bpf, _: pb::EmptyArg) -> Result<pb::BpfArg, Failure> {
    Ok(list(module))
}

fn list(module: &Bpf) -> pb::BpfArg {
    let filters = module.filters().iter().map(|filter| pb::bpf_arg::Filter {
        priority: filter.priority,
        filter: filter.filter.text().to_owned(),
        gate: filter.gate.into(),
    });
    pb::BpfArg { filters: filters.collect() }
}

/// All filters, behind none.
pub(super) fn save(module: &mut Bpf) -> Vec<Told> {
    vec![told("clear", &pb::EmptyArg {}), told("add", &list(module))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(filters: &[(i64, &str, i64)]) -> pb::BpfArg {
        let one = |&(priority, filter, gate): &(i64, &str, i64)| pb::bpf_arg::Filter {
            priority,
            filter: filter.to_owned(),
            gate,
        };
        pb::BpfArg { filters: filters.iter().map(one).collect() }
    }

    #[test]
    fn filters_are_added_listed_and_deleted() {
        let mut module = Bpf::default();
        let all =
            [(4, "ip host 22.22.22.22", 4), (3, "ip proto 47 or ip6 proto 47", 3), (1, "len <= 1000", 1)];
        add(&mut module, arg(&[all[2], all[0], all[1]])).unwrap();
        assert_eq!(get_initial_arg(&mut module, pb::EmptyArg {}).unwrap(), arg(&all));
        delete(&mut module, arg(&[all[1], (9, "tcp", 9)])).unwrap();
        let wrong = [(0, "tcp", -1), (0, "tcp", 8192), (0, "tcp and", 0), (0, "host name", 0)];
        for one in wrong {
            assert_eq!(add(&mut module, arg(&[(0, "udp", 1), one])).unwrap_err().code, 22);
        }
        assert_eq!(get_initial_arg(&mut module, pb::EmptyArg {}).unwrap(), arg(&[all[0], all[2]]));
        clear(&mut module, pb::EmptyArg {}).unwrap();
        assert!(module.filters().is_empty());
    }
}
