//! A function of ours that runs between the interfaces of a namespace.

use std::sync::mpsc;
use std::thread::JoinHandle;

use netbricks::functions::{Kind, Setup};
use netbricks::live::{Handle, Runner, Stop, Summary, pool};
use netbricks::{Args, NetworkFunction};
use packet::Pool;
use ports::PortSpec;

use super::Netns;

/// Of the hash tables of all functions.
pub const KEY: u128 = 0x5eed;

pub fn setup(pool: &Pool) -> Setup {
    Setup { pool: pool.clone(), key: KEY, seed: 1 }
}

/// A function alone.
pub fn function(name: &str, words: &[&str], pool: &Pool) -> Box<dyn NetworkFunction> {
    let mut args = Args::parse(name, words).unwrap();
    Kind::find(name).unwrap().build(&mut args, &setup(pool)).unwrap()
}

/// A function in a thread, ended when dropped.
pub struct Running {
    stop: Stop,
    handle: Handle,
    thread: Option<JoinHandle<Summary>>,
}

impl Running {
    /// Runs what `make` makes on `ports` of a namespace, by gate.
    pub fn start(
        ns: &Netns,
        ports: &[String],
        make: impl FnOnce(&Setup) -> Box<dyn NetworkFunction> + Send + 'static,
    ) -> Self {
        let specs: Vec<PortSpec> = ports.iter().map(|port| port.parse().unwrap()).collect();
        let (stop, (ready, is_ready)) = (Stop::new(), mpsc::channel());
        let until = stop.clone();
        let thread = ns.enter(move || {
            let pool = pool(&specs).unwrap();
            let mut runner = Runner::new(make(&setup(&pool)), pool).unwrap();
            specs.iter().for_each(|spec| runner.open(spec).unwrap());
            ready.send(runner.handle()).unwrap();
            runner.run(&until).unwrap()
        });
        let handle = is_ready.recv().expect("the function runs");
        Self { stop, handle, thread: Some(thread) }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends it; what it has counted.
    pub fn finish(mut self) -> Summary {
        self.stop.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A counter of the first function.
pub fn counter(summary: &Summary, name: &str) -> u64 {
    summary.stages[0].report.get(name)
}

/// How many packets the first function dropped for that cause.
pub fn dropped(summary: &Summary, cause: &str) -> u64 {
    let drops = &summary.stages[0].drops;
    drops.iter().filter(|(known, _)| known.to_string() == cause).map(|(_, count)| count).sum()
}
