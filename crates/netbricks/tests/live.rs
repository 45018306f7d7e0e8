//! Runs on capture files and on rings: what needs no privilege.

use std::any::Any;
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use netbricks::functions::{self, Setup};
use netbricks::live::{Ended, Runner, Stop, Summary};
use netbricks::state::mailbox::AskError;
use netbricks::{Cause, Context, Gate, Line, NetworkFunction, Report};
use packet::pcap::{LinkType, Writer};
use packet::{Batch, Packet, Pool, PoolConfig};
use ports::{Port, PortError, RxQueue, TxQueue, ring};

const MS: u64 = 1_000_000;

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 512, ..PoolConfig::default() }).unwrap()
}

fn capture(path: &Path, records: &[(u64, &[u8])]) {
    let mut writer = Writer::new(Vec::new(), LinkType::ETHERNET).unwrap();
    records.iter().for_each(|(time_ns, data)| writer.write(*time_ns, data).unwrap());
    std::fs::write(path, writer.into_inner().unwrap()).unwrap();
}

fn records(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let (mut capture, mut records) = (packet::pcap::open(path).unwrap(), Vec::new());
    while let Some(record) = capture.next().unwrap() {
        records.push((record.timestamp_ns, record.data.to_vec()));
    }
    records
}

/// A directory with captures to read at the gates, where each gate writes `out-GATE.pcap`.
struct Files(tempfile::TempDir);

impl Files {
    fn new(gates: &[&[(u64, &[u8])]]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for (gate, records) in gates.iter().enumerate().filter(|(_, records)| !records.is_empty()) {
            capture(&files.path(&format!("in-{gate}.pcap")), records);
        }
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, function: impl NetworkFunction, stop: &Stop) -> Summary {
        let pool = pool();
        let gates = function.gates();
        let mut runner = Runner::new(Box::new(function), pool.clone()).unwrap();
        for gate in 0..gates {
            let (read, write) = (format!("in-{gate}.pcap"), format!("out-{gate}.pcap"));
            let read = Some(self.path(&read)).filter(|path| path.exists());
            let config = ports::pcap::PcapConfig { read, write: Some(self.path(&write)), repeat: false };
            runner.open(&ports::PortSpec::Pcap(config)).unwrap();
        }
        let summary = runner.run(stop).unwrap();
        assert_eq!(pool.available(), 512, "a buffer is lost");
        summary
    }

    fn out(&self, gate: Gate) -> Vec<(u64, Vec<u8>)> {
        records(&self.path(&format!("out-{gate}.pcap")))
    }
}

fn line(words: &[&str]) -> Line {
    functions::build(words, &Setup { pool: pool(), key: 1, seed: 1 }).unwrap()
}

/// Holds every packet for 20 ms.
#[derive(Default)]
struct Late {
    held: VecDeque<(u64, Gate, Packet)>,
    finished_ns: u64,
}

impl NetworkFunction for Late {
    fn process(&mut self, gate: Gate, batch: &mut Batch, ctx: &mut Context) {
        let due_ns = ctx.now_ns() + 20 * MS;
        self.held.extend(batch.drain(..).map(|packet| (due_ns, gate ^ 1, packet)));
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.held.front().map(|(due_ns, ..)| *due_ns)
    }

    fn expire(&mut self, ctx: &mut Context) {
        while let Some((_, gate, packet)) = self.held.pop_front_if(|(due_ns, ..)| *due_ns <= ctx.now_ns()) {
            ctx.send(gate, packet);
        }
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn finish(&mut self, ctx: &mut Context) {
        self.finished_ns = ctx.now_ns();
    }

    fn report(&self, report: &mut Report) {
        report.counter("finished at", self.finished_ns);
    }
}

#[test]
fn from_file_to_file_the_bytes_are_the_same_each_time() {
    let frames: Vec<Vec<u8>> =
        (0..100u8).map(|n| [&[n; 12][..], &[8, 0], &vec![n; usize::from(n) * 12]].concat()).collect();
    let packets: Vec<(u64, &[u8])> =
        (0u64..).zip(&frames).map(|(n, frame)| (5_000_000_123 + n * n * 777, &frame[..])).collect();
    let bytes = || {
        let files = Files::new(&[&packets]);
        let summary = files.run(line(&["macswap"]), &Stop::new());
        assert_eq!((summary.packets_in, summary.packets_out, summary.ended), (100, 100, Some(Ended::Inputs)));
        assert_eq!((&*summary.stages[0].name, summary.elapsed_ns), ("macswap", 99 * 99 * 777));
        std::fs::read(files.path("out-1.pcap")).unwrap()
    };
    let once = bytes();
    assert_eq!(once, bytes());
    // Addresses that are alike change places and the bytes stay: what was read is what is written.
    let files = Files::new(&[&packets]);
    assert_eq!(once, std::fs::read(files.path("in-0.pcap")).unwrap());
}

#[test]
fn packets_of_two_files_come_in_the_order_of_time_and_each_leaves_at_its_time() {
    // The second of the outside is as late as the third of the inside; the clock does not go back to the fourth.
    let inside: &[(u64, &[u8])] =
        &[(100 * MS, b"a"), (105 * MS, b"b"), (110 * MS, b"c"), (50 * MS, b"d"), (900 * MS, b"e")];
    let outside: &[(u64, &[u8])] = &[(90 * MS, b"x"), (110 * MS, b"y")];
    let files = Files::new(&[inside, outside]);
    let summary = files.run(Late::default(), &Stop::new());
    let at = |ms: u64, data: &[u8]| (ms * MS, data.to_vec());
    assert_eq!(files.out(0), [at(110, b"x"), at(130, b"y")]);
    assert_eq!(files.out(1), [at(120, b"a"), at(125, b"b"), at(130, b"c"), at(130, b"d"), at(920, b"e")]);
    assert_eq!((summary.held, summary.stages[0].report.get("finished at")), (0, 920 * MS));
    assert_eq!((&*summary.stages[0].name, summary.elapsed_ns), ("function", 830 * MS));
}

#[test]
fn limits_are_met_to_the_packet_and_to_the_nanosecond() {
    let packets: Vec<(u64, &[u8])> = (0..100).map(|n| (n * 10 * MS, &b"0123456789abcd"[..])).collect();
    let files = Files::new(&[&packets]);
    let summary = files.run(Late::default(), &Stop::new().after_packets(7));
    assert_eq!((summary.ended, summary.packets_in, files.out(1).len()), (Some(Ended::Packets), 7, 7));
    let summary = files.run(Late::default(), &Stop::new().after(Duration::from_millis(95)));
    assert_eq!((summary.ended, summary.packets_in, summary.held), (Some(Ended::Duration), 10, 2));
    assert_eq!((files.out(1).len(), summary.elapsed_ns), (8, 95 * MS));
    let stop = Stop::new();
    stop.stop();
    assert_eq!(files.run(Late::default(), &stop).packets_in, 0);
}

/// Makes a packet every millisecond, `left` in all.
struct Maker {
    pool: Pool,
    next_ns: u64,
    left: u32,
}

impl NetworkFunction for Maker {
    fn process(&mut self, _: Gate, _: &mut Batch, _: &mut Context) {}

    fn deadline_ns(&self) -> Option<u64> {
        (self.left > 0).then_some(self.next_ns)
    }

    fn expire(&mut self, ctx: &mut Context) {
        (self.next_ns, self.left) = (ctx.now_ns() + MS, self.left - 1);
        ctx.send(1, self.pool.packet(&self.left.to_be_bytes()).unwrap());
    }
}

#[test]
fn without_input_time_goes_from_deadline_to_deadline() {
    let maker = |left| Maker { pool: pool(), next_ns: 0, left };
    let files = Files::new(&[]);
    let summary = files.run(maker(1000), &Stop::new());
    assert_eq!(
        (summary.packets_out, summary.elapsed_ns, summary.ended),
        (1000, 999 * MS, Some(Ended::Inputs))
    );
    assert!(files.out(1).iter().zip(0..).all(|((time_ns, _), n)| *time_ns == n * MS + 1));
    let summary = files.run(maker(u32::MAX), &Stop::new().after_packets(50));
    assert_eq!((summary.packets_out, files.out(1).len()), (50, 50));
    let summary = files.run(maker(u32::MAX), &Stop::new().after(Duration::from_secs(1)));
    assert_eq!(
        (summary.packets_out, summary.elapsed_ns, summary.ended),
        (1001, 1000 * MS, Some(Ended::Duration))
    );
}

/// Does not move its deadline, says that it keeps a packet, and leaves what comes in its batch.
struct Stubborn;

impl NetworkFunction for Stubborn {
    fn process(&mut self, _: Gate, _: &mut Batch, _: &mut Context) {}

    fn deadline_ns(&self) -> Option<u64> {
        Some(1)
    }

    fn held(&self) -> usize {
        1
    }
}

#[test]
fn a_function_that_keeps_no_rule_ends_all_the_same() {
    let summary =
        Files::new(&[&[(0, b"x"), (u64::from(u32::MAX) * 1000 * MS, b"y")]]).run(Stubborn, &Stop::new());
    assert_eq!((summary.packets_in, summary.drops.of(Cause::LEFT_BEHIND)), (2, 2));
    assert_eq!(Files::new(&[]).run(Stubborn, &Stop::new()).ended, Some(Ended::Inputs));
}

#[test]
fn what_a_gate_cannot_send_is_counted_and_there_are_no_gates_beyond_the_functions() {
    let files = Files::new(&[&[(1, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest")]]);
    let spec = format!("pcap:{}", files.path("in-0.pcap").display()).parse().unwrap();
    let mut runner = Runner::new(Box::new(line(&["macswap"])), pool()).unwrap();
    runner.open(&spec).unwrap();
    runner.leave_open();
    let error = runner.open(&spec).unwrap_err().to_string();
    assert!(error.ends_with("gate 2: the function has no such gate"), "{error}");
    let summary = runner.run(&Stop::new()).unwrap();
    let causes: Vec<_> = summary.drops.iter().map(|(cause, count)| (cause.to_string(), count)).collect();
    assert_eq!(causes, [("no port at this gate".to_owned(), 1)]);
}

#[test]
fn a_file_that_is_cut_off_ends_with_its_error_and_the_rest_is_done() {
    let frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest";
    let files = Files::new(&[&[(1, frame), (2, frame)], &[(3, frame)]]);
    let whole = std::fs::read(files.path("in-0.pcap")).unwrap();
    std::fs::write(files.path("in-0.pcap"), &whole[..whole.len() - 1]).unwrap();
    let summary = files.run(line(&["macswap"]), &Stop::new());
    let error = summary.ports[0].error.as_ref().unwrap().to_string();
    assert!(error.contains("the file ends inside a record"), "{error}");
    assert!(summary.ports[1].error.is_none());
    assert_eq!(
        (files.out(1).len(), files.out(0).len()),
        (1, 0),
        "what it would have sent at gate 0 has no port"
    );
}

/// Plays a capture of 100 frames into a ring; how many came out at its far end, and how the run went.
fn play(stop: &Stop) -> (usize, Summary) {
    let frames: Vec<(u64, &[u8])> = (0..100).map(|n| (n * MS, &b"0123456789abcd"[..])).collect();
    let (files, pool) = (Files::new(&[&frames]), pool());
    let mut runner = Runner::new(Box::new(Late::default()), pool).unwrap();
    runner.open(&format!("pcap:{}", files.path("in-0.pcap").display()).parse().unwrap()).unwrap();
    let (near, mut far) = ring::pair(["outside", "far"], 256).unwrap();
    runner.add(Box::new(near)).unwrap();
    let summary = runner.run(stop).unwrap();
    let (mut batch, mut came) = (Batch::new(), 0);
    let (mut rx, _tx) = far.queue(0).unwrap();
    while rx.receive(&mut batch).is_ok_and(|count| count > 0) {
        came += batch.len();
        batch.clear();
    }
    (came, summary)
}

#[test]
fn a_capture_that_is_played_into_a_live_port_ends_when_all_of_it_has_left() {
    let (came, summary) = play(&Stop::new());
    assert_eq!((came, summary.packets_out, summary.held), (100, 100, 0));
    assert_eq!(summary.ended, Some(Ended::Played));
    // Each was kept for 20 ms.
    assert!(summary.elapsed_ns >= 20 * MS, "{}", summary.elapsed_ns);
    // A limit of time is how long to wait for answers.
    let (came, summary) = play(&Stop::new().after(Duration::from_millis(300)));
    assert_eq!((came, summary.ended), (100, Some(Ended::Duration)));
}

/// A port's far end, with the port itself.
type Far = (Box<dyn Port>, Box<dyn RxQueue>, Box<dyn TxQueue>);

/// A run between two rings on a thread of its own; ours are the far ends.
struct Rings {
    far: Vec<Far>,
    pool: Pool,
}

impl Rings {
    fn with<R>(
        function: impl NetworkFunction,
        test: impl FnOnce(Self, netbricks::live::Handle, Stop) -> R,
    ) -> (R, Summary) {
        let pool = pool();
        let mut runner = Runner::new(Box::new(function), pool.clone()).unwrap();
        let mut far = Vec::new();
        for gate in ["inside", "outside"] {
            let (near, mut other) = ring::pair([gate, "far"], 64).unwrap();
            runner.add(Box::new(near)).unwrap();
            let (rx, tx) = other.queue(0).unwrap();
            far.push((Box::new(other) as Box<dyn Port>, rx, tx));
        }
        let (handle, stop) = (runner.handle(), Stop::new());
        let running = stop.clone();
        std::thread::scope(|scope| {
            let run = scope.spawn(move || runner.run(&running).unwrap());
            let result = test(Self { far, pool }, handle, stop);
            (result, run.join().unwrap())
        })
    }

    fn send(&mut self, gate: usize, frame: &[u8]) {
        let mut batch = Batch::new();
        batch.push(self.pool.packet(frame).unwrap()).unwrap();
        self.far[gate].2.send(&mut batch).unwrap();
    }

    fn receive(&mut self, gate: usize) -> Vec<u8> {
        let (mut batch, start) = (Batch::new(), Instant::now());
        while batch.is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10), "nothing came");
            self.far[gate].1.receive(&mut batch).unwrap();
            std::thread::yield_now();
        }
        assert_eq!(batch.len(), 1);
        batch[0].data().to_vec()
    }
}

#[test]
fn a_handle_reads_and_changes_while_packets_flow() {
    let ((), summary) = Rings::with(line(&["macswap"]), |mut rings, handle, stop| {
        for n in 0..1000u64 {
            rings.send(0, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest");
            assert_eq!(rings.receive(1), b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0rest");
            if n % 10 == 9 {
                let report = handle.report().unwrap();
                assert_eq!((report.packets_in, report.packets_out, report.ended), (n + 1, n + 1, None));
                assert_eq!(report.stages[0].report.get("packets in at gate 0"), n + 1);
            }
        }
        // Put a second one behind the first: what was swapped is swapped back.
        let second = |function: &mut dyn NetworkFunction| {
            let line = (function as &mut dyn Any).downcast_mut::<Line>().unwrap();
            line.push(
                "again",
                Box::new(
                    functions::Kind::find("macswap")
                        .unwrap()
                        .build(&mut netbricks::Args::default(), &Setup { pool: pool(), key: 1, seed: 1 })
                        .unwrap(),
                ),
            )
        };
        assert_eq!(handle.with(second), Ok(true));
        rings.send(1, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest");
        assert_eq!(rings.receive(0), b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest");
        assert_eq!(handle.with(|_| panic!("as the test wants")), Err::<(), _>(AskError::Panicked));
        stop.stop();
    });
    assert_eq!((summary.packets_in, summary.ended), (1001, Some(Ended::Stopped)));
}

#[test]
fn a_run_sleeps_until_a_deadline_and_until_it_is_stopped() {
    let (handle, summary) = Rings::with(Late::default(), |mut rings, handle, stop| {
        let start = Instant::now();
        rings.send(0, b"late");
        assert_eq!(rings.receive(1), b"late");
        assert!(start.elapsed() >= Duration::from_millis(20));
        stop.stop();
        handle
    });
    assert_eq!((summary.packets_out, summary.ended), (1, Some(Ended::Stopped)));
    assert_eq!(handle.report().unwrap_err(), AskError::Gone);
    // Without a packet nothing but the limit ends the sleep.
    let mut runner = Runner::new(Box::new(Late::default()), pool()).unwrap();
    runner.add(Box::new(ring::loopback("quiet", 4).unwrap())).unwrap();
    let summary = runner.run(&Stop::new().after(Duration::from_millis(30))).unwrap();
    assert_eq!(summary.ended, Some(Ended::Duration));
    assert!((30 * MS..5_000 * MS).contains(&summary.elapsed_ns), "{}", summary.elapsed_ns);
}

#[test]
fn a_port_that_goes_ends_alone_and_the_last_one_ends_the_run() {
    let ((), summary) = Rings::with(line(&[]), |mut rings, handle, _| {
        rings.send(0, b"before");
        assert_eq!(rings.receive(1), b"before");
        drop(rings.far.remove(1));
        rings.send(0, b"into the void");
        while handle.report().unwrap().drops.total() == 0 {}
        // What waits when its sender goes is still read.
        rings.send(0, b"last");
        drop(rings);
    });
    assert_eq!((summary.packets_in, summary.packets_out, summary.ended), (3, 1, Some(Ended::Inputs)));
    let closed = |port: usize| matches!(summary.ports[port].error.as_deref(), Some(PortError::Closed { .. }));
    assert!(closed(0) && closed(1));
    assert_eq!(summary.drops.of(Cause::new("port gone")), 2);
}

#[test]
fn a_port_that_takes_nothing_is_tried_and_then_the_rest_is_dropped() {
    let ((), summary) = Rings::with(line(&[]), |mut rings, handle, stop| {
        for n in 1..=100u64 {
            rings.send(0, b"nobody reads");
            while handle.report().unwrap().packets_in < n {}
        }
        stop.stop();
    });
    assert_eq!((summary.packets_out, summary.drops.of(Cause::new("port full"))), (64, 36));
}
