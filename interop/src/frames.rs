//! `interop frames`: tcpdump at the server's end judges every frame a path delivers.
//!
//! Senders finish their checksums themselves (`ethtool -K eth0 tx off`), so that what arrives must be complete;
//! then tcpdump, which nobody here wrote, reads TCP and UDP headers and checks IP, TCP and UDP checksums.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;

use crate::cleanup::{self, Guard};
use crate::error::{During, Error, Result};
use crate::measure;
use crate::net::weft_beside_us;
use crate::peer::{Kind, Peer, Side};
use crate::process::{quick, require, start};

/// Frames tcpdump looks at; enough for both protocols.
const FRAMES: &str = "4000";

/// Have tcpdump check what a path delivers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cargo run --release -p interop -- frames --peers bridge,weft")]
pub(crate) struct Frames {
    /// Which paths
    #[arg(long, value_enum, value_delimiter = ',', default_value = "weft", value_name = "PATH,…")]
    peers: Vec<Kind>,
    /// The weft to check
    #[arg(long, value_name = "FILE")]
    weft: Option<PathBuf>,
}

/// What tcpdump said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judgement {
    tcp: usize,
    udp: usize,
    bad: Vec<String>,
}

impl Frames {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        cleanup::on_signals()?;
        cleanup::sweep();
        require("tcpdump")?;
        let directory = std::env::temp_dir().join(format!("wb{}-frames", std::process::id()));
        let _directory = Guard::directory(&directory);
        fs::create_dir_all(&directory).during(format!("make {}", directory.display()))?;
        let weft = self.weft.clone().map_or_else(weft_beside_us, Ok)?;
        let mut good = true;
        for &kind in &self.peers {
            let peer = kind.build(&directory, &weft)?;
            let judgement = capture(peer.as_ref())?;
            let Judgement { tcp, udp, bad } = &judgement;
            println!("{}: {tcp} TCP and {udp} UDP frames correct, {} not", kind.name(), bad.len());
            bad.iter().take(5).for_each(|line| println!("    {line}"));
            good &= bad.is_empty() && *tcp > 0 && *udp > 0;
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Sends some TCP and UDP past a tcpdump at the server.
fn capture(peer: &dyn Peer) -> Result<Judgement> {
    for side in [Side::Client, Side::Server] {
        quick(peer.admin(side, "ethtool")?.args(["-K", "eth0", "tx", "off"]))?;
    }
    let mut command = peer.admin(Side::Server, "tcpdump")?;
    command.args(["-i", "eth0", "-nn", "-vv", "-s", "0", "-c", FRAMES, "-l", "--immediate-mode"]);
    command.args(["-Q", "in", "tcp port 5201 or udp port 9000"]);
    let mut dump = start(&mut command)?;
    std::thread::sleep(Duration::from_millis(500));
    measure::udp(peer, 1, 1_000)?;
    quick(peer.command(Side::Client, "iperf3").args(["-4", "-c", peer.server(), "-n", "2M"]))?;
    std::thread::sleep(Duration::from_millis(500));
    let text = if dump.status()?.is_some() { dump.written()? } else { dump.stop(Signal::INT)?.text };
    Ok(judge(&text))
}

/// Each frame is a line of IP (which says so if its checksum is bad) and one below it of TCP or UDP.
fn judge(text: &str) -> Judgement {
    let mut judgement = Judgement::default();
    for line in text.lines() {
        let wrong = ["bad cksum", "incorrect", "bad udp cksum", "truncated", "invalid"];
        if wrong.iter().any(|word| line.contains(word)) {
            judgement.bad.push(line.trim().to_owned());
        } else if line.contains("(correct)") {
            judgement.tcp += 1;
        } else if line.contains("[udp sum ok]") {
            judgement.udp += 1;
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcpdump_is_understood() {
        let text = "12:00 IP (tos 0x0, ttl 64, id 1, proto UDP (17), length 50)\n    \
                    10.0.0.1.5 > 10.0.0.2.9000: [udp sum ok] UDP, length 22\n\
                    12:00 IP (tos 0x0, ttl 64, proto TCP (6), length 60, bad cksum 0 (->ab12)!)\n    \
                    10.0.0.1.5 > 10.0.0.2.5201: Flags [S], cksum 0x1430 (incorrect -> 0x1531), seq 1\n    \
                    10.0.0.1.5 > 10.0.0.2.5201: Flags [.], cksum 0x1430 (correct), ack 1\n";
        let judgement = judge(text);
        assert_eq!((judgement.tcp, judgement.udp, judgement.bad.len()), (1, 1, 2), "{judgement:?}");
    }
}
