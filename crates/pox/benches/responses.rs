//! What a response costs the controller: packet-ins of a load of switches over loopback, answered by `forwarding.l2_learning`.
//!
//! `cargo bench -p pox --bench responses`; columns: flow-mods per second, per second of the controller thread's own time, and
//! the quantiles of a window of one. The load generator (`openflow::load`) needs a core of its own.

use std::sync::mpsc;
use std::time::Duration;

use openflow::Version;
use openflow::live::{Target, Tls};
use openflow::load::{LoadConfig, Phase, Report, run};
use pox::live::Live;
use pox::{Controller, Launcher, Remote, launch};
use rustix::time::{ClockId, clock_gettime};

/// Time that is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// The time the controller's thread has used.
fn used(remote: &Remote) -> Duration {
    let time = remote.ask(|_| clock_gettime(ClockId::ThreadCPUTime)).expect("the controller runs");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A controller with a launch line; where it listens, and a hand into it.
fn controller(line: &'static str) -> (Target, Remote, std::thread::JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut controller = Controller::new();
        let words = line.split(' ').chain(["openflow.of_01", "--port=0", "--address=127.0.0.1"]);
        let lines = launch::read_words(words).expect("a launch line");
        Launcher::stock().launch(controller.core_mut(), &lines).expect("known components");
        let mut live = Live::new(controller).expect("a free port");
        tell.send((live.listening()[0], live.remote())).expect("somebody waits");
        live.run().expect("a run");
    });
    let (address, remote) = told.recv().expect("a controller");
    (Target::Dial(address, Tls::No), remote, thread)
}

fn load(line: &'static str, shape: impl Fn(&mut LoadConfig)) -> (Report, Duration) {
    let (target, remote, thread) = controller(line);
    let mut config = LoadConfig { duration: MEASURED, ..LoadConfig::new(target) };
    shape(&mut config);
    let (mut from, mut to) = (Duration::ZERO, Duration::ZERO);
    let report = run(&config, |phase| match phase {
        Phase::Measuring => from = used(&remote),
        Phase::Done => to = used(&remote),
        Phase::Connecting | Phase::WarmingUp => {}
    });
    remote.post(pox::Core::quit).expect("the controller runs");
    thread.join().expect("it ends");
    (report.expect("a report"), to - from)
}

fn main() {
    println!("{:<58}{:>12}{:>14}{:>10}{:>10}", "", "flow-mods/s", "per CPU-s", "p50 us", "p99 us");
    for line in ["forwarding.l2_learning", "misc.cbench"] {
        for version in Version::ALL {
            for (switches, buffers, window) in
                [(1, true, None), (1, false, None), (16, true, None), (1, true, Some(1)), (16, true, Some(1))]
            {
                let (report, cpu) = load(line, |config| {
                    (config.version, config.switches) = (version, switches);
                    (config.buffers, config.window) = (buffers, window);
                });
                let rate = report.flow_mods as f64 / report.elapsed.as_secs_f64();
                let per_cpu = report.flow_mods as f64 / cpu.as_secs_f64().max(1e-9);
                let micros = |share| report.latency.quantile(share) as f64 / 1e3;
                let (p50, p99) = window.map_or((f64::NAN, f64::NAN), |_| (micros(0.5), micros(0.99)));
                let kept = if buffers { "kept packets" } else { "whole packets" };
                let window = window.map_or("no window".into(), |window| format!("window {window}"));
                let what = format!("{line} {version} {switches} switches, {kept}, {window}");
                println!("{what:<58}{rate:>12.0}{per_cpu:>14.0}{p50:>10.1}{p99:>10.1}");
            }
        }
    }
}
