//! Puts weft beside its peers and measures them in one run.
//!
//! ```text
//!            rounds ──▶ bridge ▸ ovs-veth ▸ ovs-tap ▸ … ▸ weft ──▶ medians, ratios
//!                        │
//!   client ns ══ eth0 ══ the path under test ══ eth0 ══ server ns
//!   iperf3 -c            (kernel bridge, ovs-vswitchd,   iperf3 -s
//!   udp-send              weft's dataplane)              udp-receive
//! ```
//!
//! `interop net` measures TCP and 64-byte UDP, `interop veth` what small frames cost over veth pairs, `interop scale`
//! times many containers, `interop ddc` cuts links under a stream, `interop e2` scales a function under many flows, `interop frames` has tcpdump judge what the dataplane forwards. README.md says what is compared and how.

#![forbid(unsafe_code)]

mod cleanup;
mod cpu;
mod ddc;
mod e2;
mod error;
mod frames;
mod machine;
mod measure;
mod namespace;
mod net;
mod peer;
mod process;
mod scale;
mod table;
mod udp;
mod veth;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// weft beside its peers, measured in one run
#[derive(Debug, Parser)]
#[command(
    name = "interop",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  cargo run --release -p interop -- net --peers bridge,ovs-veth"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// TCP and 64-byte UDP through a kernel bridge, Open vSwitch's userspace datapath and weft
    Net(net::Net),
    /// How long many containers take to start and stop, and what they cost and leave
    Scale(scale::Scale),
    /// tcpdump reads what the dataplane forwards and checks every checksum
    Frames(frames::Frames),
    /// Small frames over veth pairs: packet sockets, AF_XDP, a kernel bridge, Open vSwitch and weft
    Veth(veth::Veth),
    /// Links cut under a stream: weft's ddc routers, static routes, BIRD's OSPF
    Ddc(ddc::Ddc),
    /// A load that doubles and halves through a firewall that weft e2 watch grows and shrinks
    E2(e2::E2),
    /// Send small UDP packets; runs inside a namespace
    #[command(hide = true)]
    UdpSend(udp::Send),
    /// Count small UDP packets; runs inside a namespace
    #[command(hide = true)]
    UdpReceive(udp::Receive),
    /// Send frames and have them back; runs inside a namespace
    #[command(hide = true)]
    VethTraffic(veth::Traffic),
    /// Forward frames between two ports; runs inside a namespace
    #[command(hide = true)]
    VethForward(veth::Forward),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Net(command) => command.run(),
        Command::Scale(command) => command.run(),
        Command::Frames(command) => command.run(),
        Command::Veth(command) => command.run(),
        Command::Ddc(command) => command.run(),
        Command::E2(command) => command.run(),
        Command::UdpSend(command) => command.run(),
        Command::UdpReceive(command) => command.run(),
        Command::VethTraffic(command) => command.run(),
        Command::VethForward(command) => command.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}
