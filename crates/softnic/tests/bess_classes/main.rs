//! Every module class by its name, over a real connection: which there are and what they can be told, and for those that no
//! other test makes by name an argument, a frame in, the gate and the bytes out, and what each command changes.

#[path = "../bess_kit/mod.rs"]
mod bess_kit;

mod log;
mod making;
mod measuring;
mod queueing;
mod rewriting;
mod roster;
mod six;
mod spreading;

use bess_kit::bench::Bench;
use bess_kit::packed;
use packet::wire::EtherType;
use prost::Name;
use prost_types::Any;
use softnic::bess::pb;

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};
const NO_ARG: pb::EmptyArg = pb::EmptyArg {};

/// Ends of both versions, for what must not care which.
const ENDS: [[&str; 2]; 2] = [["10.0.0.1:1000", "192.0.2.7:53"], ["[fd00::1]:1000", "[2001:db8::7]:53"]];

/// A class with its argument.
fn of<A: prost::Message + Name>(class: &'static str, arg: &A) -> (&'static str, Any) {
    (class, packed(arg))
}

/// A frame that goes in at a gate, and the gate and the frame that come out.
type Case = (usize, Vec<u8>, usize, Vec<u8>);

/// Sends frames through modules one behind the other.
fn pass(modules: &[(&str, Any)], gates: usize, cases: &[Case]) -> Bench {
    let bench = Bench::of(modules, gates);
    for (from, frame, to, out) in cases {
        bench.send(*from, frame);
        assert_eq!(bench.next(), (*to, out.clone()), "{modules:?}");
    }
    bench
}

/// Gives packets an attribute: bytes, or a number in the machine's order.
fn attribute(name: &str, value: &[u8]) -> pb::set_metadata_arg::Attribute {
    pb::set_metadata_arg::Attribute {
        name: name.to_owned(),
        size: value.len() as u64,
        value: Some(pb::set_metadata_arg::attribute::Value::ValueBin(value.to_vec())),
        ..Default::default()
    }
}

/// Gives packets these attributes.
fn metadata(values: &[(&str, &[u8])]) -> (&'static str, Any) {
    let attrs = values.iter().map(|(name, value)| attribute(name, value)).collect();
    of("SetMetadata", &pb::SetMetadataArg { attrs })
}

/// A field of the frame.
fn field(offset: u32, num_bytes: u32) -> pb::Field {
    pb::Field { position: Some(pb::field::Position::Offset(offset)), num_bytes }
}

/// A value for one.
fn bytes(value: &[u8]) -> pb::FieldData {
    pb::FieldData { encoding: Some(pb::field_data::Encoding::ValueBin(value.to_vec())) }
}

/// A frame with an ethertype of its own.
fn other() -> Vec<u8> {
    bess_kit::frames::framed(EtherType::LLDP, &[7; 46])
}

/// What a module says of itself in a line.
fn description(bench: &mut Bench, module: &str) -> String {
    let request = pb::GetModuleInfoRequest { name: module.to_owned() };
    bench.daemon.ask::<pb::GetModuleInfoResponse>("GetModuleInfo", &request).desc
}
