//! A program whose network function runs confined: `isolated guest KIND` is what `tests/isolate.rs` starts.
#![forbid(unsafe_code)]

use netbricks::{Context, Gate, NetworkFunction, Report, isolate};
use packet::Batch;

/// Passes packets on with the first byte changed, and does what a packet tells it to that begins so.
#[derive(Default)]
struct Obedient {
    brief: String,
    packets: u64,
    finished: u64,
}

impl NetworkFunction for Obedient {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        for mut packet in batch.drain(..) {
            self.packets += 1;
            match packet.data() {
                b"panic" => panic!("as the packet says"),
                b"hang" => loop {
                    std::hint::spin_loop();
                },
                b"open" => drop(std::fs::File::open("/etc/passwd")),
                b"drop" => continue,
                _ => {}
            }
            if let Some(first) = packet.data_mut().first_mut() {
                *first = first.wrapping_add(1);
            }
            ctx.send(1 - gate, packet);
        }
    }

    fn finish(&mut self, _: &mut Context) {
        self.finished += 1;
    }

    /// Not all of it is its own to tell.
    fn report(&self, report: &mut Report) {
        report.counter("packets", self.packets);
        report.counter("finished", self.finished);
        report.counter("restarts of the process", 1000);
        report.line(format!("\x1b[1m{}", self.brief));
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let spins = match words.get(1).map(String::as_str) {
        Some("guest") => words.get(2).and_then(|spins| spins.parse().ok()).unwrap_or(1000),
        _ => {
            eprintln!("usage: isolated guest [SPINS], started by netbricks::isolate::Isolated");
            std::process::exit(2);
        }
    };
    let serve = || {
        let joined = isolate::join()?;
        let brief = String::from_utf8_lossy(&joined.brief()).into_owned();
        joined.serve(&mut Obedient { brief, ..Obedient::default() }, spins)
    };
    if let Err(error) = serve() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
