//! A namespace with a function in it that knows nothing of us: nft in a bridge between two interfaces.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host::netns;
use packet::Pool;
use softnic::engine::Engine;
use softnic::modules::{PortIn, PortOut};

/// Names of our ends: packets go in by the first and come back by the second.
const ENDS: [&str; 2] = ["e2in", "e2out"];

const BRIDGE: &str = "
ip link add br0 type bridge
for name in inside outside; do ip link set $name master br0; ip link set $name up; done
ip link set br0 up
nft -f - <<END
table bridge own {
  counter passed { }
  chain forward {
    type filter hook forward priority 0
    tcp dport 81 drop
    counter name passed
  }
}
END
";

/// It goes with whoever holds it, and with the process.
pub(crate) struct Bridge {
    holder: Child,
}

fn must(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

impl Bridge {
    /// Makes it, and a namespace of its own for the calling thread, in which our ends are.
    pub(crate) fn new() -> Self {
        netns::unshare_here().expect("a namespace");
        // Without input `cat` ends, and with it its namespace.
        let holder = std::thread::scope(|scope| {
            let start = || {
                netns::unshare_here().expect("a namespace");
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat")
            };
            scope.spawn(start).join().expect("cat")
        });
        let bridge = Self { holder };
        let pid = bridge.holder.id().to_string();
        for (own, far) in ENDS.into_iter().zip(["inside", "outside"]) {
            must(
                Command::new("ip")
                    .args(["link", "add", own, "type", "veth", "peer", "name", far, "netns", &pid]),
            );
            must(Command::new("ip").args(["link", "set", own, "up"]));
        }
        must(Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-ec", BRIDGE]));
        bridge.wait_for_carriers();
        bridge
    }

    /// Waits until the kernel has seen on both sides that the interfaces are up: what is sent before is dropped without a word.
    fn wait_for_carriers(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        let far = self.holder.id().to_string();
        // This thread's namespace, and the holder's.
        for words in [&["ip"][..], &["nsenter", "-t", &far, "-n", "ip"]] {
            let mut ask = Command::new(words[0]);
            ask.args(&words[1..]).args(["-brief", "link", "show"]);
            let is_up = |line: &str| {
                let mut words = line.split_whitespace();
                words.next() == Some("lo") || words.next() == Some("UP")
            };
            while !String::from_utf8_lossy(&ask.output().expect("ip").stdout).lines().all(is_up) {
                assert!(Instant::now() < end, "{ask:?}: not all interfaces are up after 10 s");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// What leads there, and what leads back.
    pub(crate) fn ports(&self, engine: &Engine, pool: &Pool) -> (PortOut, PortIn) {
        let [there, back] = ENDS.map(|name| {
            let spec = format!("veth:{name}").parse().expect("a port");
            engine.add_port(name, ports::open(&spec, pool).expect("a port")).expect("a port");
            engine.queue(name, 0).expect("a queue")
        });
        (PortOut::new(there.1), PortIn::new(back.0))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
