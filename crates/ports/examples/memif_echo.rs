//! Sends every frame back that comes in through a port: `memif_echo memif:@lab,role=server`.
//!
//! Against itself, in two terminals, there is nothing to see until someone sends; against DPDK:
//!
//! ```text
//! cargo run -p ports --example memif_echo -- memif:@lab,role=server
//! dpdk-testpmd --no-huge --no-pci -l 0,1 --vdev=net_memif0,role=client,socket=lab -- -i --total-num-mbufs=2048
//! testpmd> set fwd io
//! testpmd> start tx_first
//! testpmd> show port stats 0
//! ```

use std::time::{Duration, Instant};

use packet::{Batch, Pool, PoolConfig};
use ports::PortSpec;
use rustix::event::{PollFd, PollFlags, poll};

/// How long a full ring is tried before what is left is dropped.
const FULL_MAX: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec: PortSpec =
        std::env::args().nth(1).ok_or("which port? such as memif:@lab,role=server")?.parse()?;
    let pool = Pool::new(PoolConfig { room: 9216, ..PoolConfig::default() })?;
    let mut port = ports::open(&spec, &pool)?;
    let (mut rx, mut tx) = port.queue(0).ok_or("a port without queues")?;
    let mut batch = Batch::new();
    loop {
        if rx.receive(&mut batch)? == 0 {
            let Some(ready) = rx.poll_fd() else { continue };
            poll(&mut [PollFd::new(&ready, PollFlags::IN)], None)?;
        }
        let start = Instant::now();
        while !batch.is_empty() && start.elapsed() < FULL_MAX {
            tx.send(&mut batch)?;
        }
        batch.clear();
    }
}
