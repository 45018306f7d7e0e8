//! A sender and a receiver of 64-byte frames, run inside the namespaces.
//!
//! The sender hands the kernel 32 packets a system call (sendmmsg(2)), so that it costs little itself; at a
//! given rate it sends such bursts evenly. The receiver counts what arrives with our mark.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};

/// Port the receiver listens on.
pub(crate) const PORT: u16 = 9000;
/// 64 bytes of frame less Ethernet (14), IPv4 (20) and UDP (8).
pub(crate) const PAYLOAD_BYTES: usize = 22;
/// What the receiver says once it listens.
pub(crate) const READY: &str = "ready\n";
/// Packets a system call.
const BURST: usize = 32;
/// What our packets begin with.
const MARK: &[u8; 8] = b"weft\0bch";
/// Socket buffer asked for; the kernel gives at most net.core.rmem_max, everywhere the same.
const BUFFER_BYTES: usize = 1 << 20;
/// The receiver is done when nothing came for this long after the first packet.
const SILENCE: Duration = Duration::from_millis(400);
/// The receiver gives up when no first packet came.
const PATIENCE: Duration = Duration::from_secs(30);

/// Send marked UDP packets for a while
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Host and port
    to: String,
    /// How long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Packets per second; 0 is as fast as it goes
    #[arg(long, default_value_t = 0)]
    rate: u32,
}

/// What the sender did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    /// Packets the kernel would not take: its queues were full.
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
}

impl Send {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let socket = UdpSocket::bind("0.0.0.0:0").during("open a UDP socket")?;
        socket.connect(self.address()?).during(format!("connect to {}", self.to))?;
        report(&self.blast(&socket)?)
    }

    fn address(&self) -> Result<SocketAddr> {
        let found = self.to.to_socket_addrs().during(format!("look up {}", self.to))?;
        let malformed = || Error::Malformed { place: "the receiver's address".into(), text: self.to.clone() };
        found.into_iter().find(SocketAddr::is_ipv4).ok_or_else(malformed)
    }

    fn blast(&self, socket: &UdpSocket) -> Result<Sent> {
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..MARK.len()].copy_from_slice(MARK);
        let slices = [IoSlice::new(&payload)];
        let mut controls: Vec<_> = (0..BURST).map(|_| SendAncillaryBuffer::default()).collect();
        let mut burst: Vec<_> = controls.iter_mut().map(|control| MMsgHdr::new(&slices, control)).collect();
        let started = Instant::now();
        let (mut packets, mut refused) = (0u64, 0u64);
        while started.elapsed().as_secs_f64() < self.seconds {
            match sendmmsg(socket, &mut burst, SendFlags::empty()) {
                Ok(count) => packets += count as u64,
                // ECONNREFUSED is an ICMP message for an earlier packet: the receiver is not there yet.
                Err(Errno::NOBUFS | Errno::AGAIN | Errno::INTR | Errno::CONNREFUSED) => refused += 1,
                Err(error) => return Err(error).during("send a UDP packet"),
            }
            self.pace(started, packets);
        }
        Ok(Sent { packets, refused, seconds: started.elapsed().as_secs_f64() })
    }

    /// Sleeps until `packets` are due.
    fn pace(&self, started: Instant, packets: u64) {
        if self.rate > 0 {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
            let due = Duration::from_secs_f64(packets as f64 / f64::from(self.rate));
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
}

/// Count marked UDP packets until they stop coming
#[derive(Debug, Args)]
pub(crate) struct Receive {
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

/// What the receiver saw.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) packets: u64,
    /// Packets that were not what was sent.
    pub(crate) foreign: u64,
}

impl Receive {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let socket = UdpSocket::bind(("0.0.0.0", self.port)).during("open a UDP socket")?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES)
            .during("size a socket buffer")?;
        print!("{READY}");
        std::io::stdout().flush().during("write")?;
        report(&count(&socket)?)
    }
}

fn count(socket: &UdpSocket) -> Result<Received> {
    let mut seen = Received { packets: 0, foreign: 0 };
    let mut buffer = [0; 2048];
    socket.set_read_timeout(Some(PATIENCE)).during("set a timeout")?;
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if seen.packets + seen.foreign == 0 {
                    socket.set_read_timeout(Some(SILENCE)).during("set a timeout")?;
                }
                let ours = length == PAYLOAD_BYTES && buffer.starts_with(MARK);
                *(if ours { &mut seen.packets } else { &mut seen.foreign }) += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(seen);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).during("receive a UDP packet"),
        }
    }
}

fn report(value: &impl Serialize) -> Result<ExitCode> {
    println!("{}", serde_json::to_string(value).during("write JSON")?);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        sender.connect(address).unwrap();
        sender.send(b"something else").unwrap();
        let counting = thread::spawn(move || count(&receiver).unwrap());
        let send = Send { to: address.to_string(), seconds: 0.2, rate: 5_000 };
        let sent = send.blast(&sender).unwrap();
        let seen = counting.join().unwrap();
        assert_eq!((seen.packets, seen.foreign), (sent.packets, 1));
        assert!((800..=1_200).contains(&sent.packets), "{sent:?}");
    }
}
