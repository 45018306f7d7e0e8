//! Configuration files of the software NIC: `weft softnic run FILE`.
//!
//! A file is a list of statements, one a line, in the notation that BESS users draw pipelines in. It is data, not a
//! program: it can be checked whole before anything runs, written by other programs, and compared line by line, which
//! the blueprint's JavaScript (for networks of containers) could not promise. Loops and conditions are what the Python
//! client is for.
//!
//! ```text
//! # left ──► acl ──► right, and back as it comes
//! port left  PMDPort(vdev="net_af_packet0,iface=veth0")
//! port right UnixSocketPort(path=@right)
//! worker 0 core=1
//! class bulk rate_limit(bit, 100000000) worker=0
//!
//! in::PortInc(port=left) -> acl::ACL(rules=[{src_ip: 10.0.0.0/8}]) -> PortOut(port=right)
//! PortInc(port=right) -> PortOut(port=left)
//!
//! attach in bulk
//! acl.add(rules=[{dst_ip: 192.0.2.0/24, drop: true}])
//! hook TcpDump(fifo="/tmp/dump.pcap") acl out 0
//! ```
//!
//! | statement | what it does |
//! |---|---|
//! | `port NAME DRIVER(…)` | creates a port |
//! | `worker N [core=C]` | starts a worker |
//! | `class NAME POLICY[(RESOURCE[, LIMIT[, BURST]])] PLACE` | adds a traffic class: `priority`, `weighted_fair`, `round_robin`, `rate_limit` |
//! | `attach MODULE[:TASK] CLASS\|worker=N [share=N\|priority=N]` | gives a task a place |
//! | `NAME::CLASS(…)`, `CLASS(…)` | creates a module, where a chain may name one |
//! | `A -> B`, `A:1 -> 2:B -> C` | connects output gates to input gates; the numbers are gates, 0 if there are none |
//! | `MODULE.COMMAND(…)` | tells a module something |
//! | `hook CLASS(…) MODULE in\|out GATE` | puts a hook on a gate |
//!
//! `PLACE` is `worker=N`, or `under=CLASS` with `share=N` or `priority=N` where the class above wants it. Arguments are
//! `name=value`, by the names of the messages that BESS's clients send (`weft softnic show mclass NAME` lists them). Values
//! are numbers, `true`, `false`, `"text"`, bare words such as `10.0.0.0/8`, lists `[…]`, records `{name: value}` and bytes
//! `hex"0a0b"`; where bytes are wanted, an IP or MAC address stands for its own.

mod apply;
mod arguments;
mod check;
mod lexer;
mod parse;
mod statement;

pub use apply::{ApplyError, Problem, apply};
pub use arguments::{ArgumentError, Field, fields};
pub use check::check;
pub use parse::{SyntaxError, parse};
pub use statement::{Call, Chain, Parsed, Place, Statement, StatementKind, Step, Value};
