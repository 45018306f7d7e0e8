//! The stock modules. Each is one file, whose doc comment is its manual.

mod acl;
mod bypass;
mod exact_match;
mod fabric;
mod field;
mod flow_key;
mod function;
mod gates;
mod hash_lb;
mod idle;
mod ip_lookup;
mod l2_forward;
mod merge;
mod noop;
mod port_in;
mod port_out;
mod queue;
mod random_split;
mod replicate;
mod round_robin;
mod sink;
mod source;
mod split;
mod vlan_split;
mod wildcard_match;
mod worker_split;

pub use acl::Acl;
pub use bypass::{BYPASS_NS_MAX, Bypass};
pub use exact_match::{ENTRIES_MAX, ExactMatch, ExactMatchError, ExactMatchRule};
pub use fabric::FabricModule;
pub use field::{
    FIELD_BYTES_MAX, FIELDS_MAX, Field, FieldError, Fields, KEY_WORDS, Key, OFFSET_MAX, Position,
};
pub use function::FunctionModule;
pub use gates::{DROP, GATE_LIST_MAX, GateError, Gates};
pub use hash_lb::{HashLb, HashMode};
pub use idle::Idle;
pub use ip_lookup::{IpLookup, IpLookupError, PREFIXES_DEFAULT};
pub use l2_forward::{L2Forward, L2ForwardError, STATIONS_MAX};
pub use merge::Merge;
pub use noop::NoOp;
pub use port_in::PortIn;
pub use port_out::PortOut;
pub use queue::{QUEUE_MAX, Queue};
pub use random_split::{NoRate, RandomSplit};
pub use replicate::{REPLICAS_MAX, Replicate};
pub use round_robin::RoundRobin;
pub use sink::Sink;
pub use source::Source;
pub use split::Split;
pub use vlan_split::VlanSplit;
pub use wildcard_match::{WildcardMatch, WildcardMatchError, WildcardMatchRule};
pub use worker_split::{SPLIT_WORKERS_MAX, WorkerSplit, WorkerSplitError};
