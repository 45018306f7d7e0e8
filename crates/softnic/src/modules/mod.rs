//! The stock modules. Each is one file, whose doc comment is its manual.

mod fabric;
mod function;
mod idle;
mod merge;
mod noop;
mod port_in;
mod port_out;
mod queue;
mod replicate;
mod round_robin;
mod sink;
mod source;

pub use fabric::FabricModule;
pub use function::FunctionModule;
pub use idle::Idle;
pub use merge::Merge;
pub use noop::NoOp;
pub use port_in::PortIn;
pub use port_out::PortOut;
pub use queue::{QUEUE_MAX, Queue};
pub use replicate::Replicate;
pub use round_robin::RoundRobin;
pub use sink::Sink;
pub use source::Source;
