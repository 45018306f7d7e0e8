//! Capture file ports, whole files and broken ones.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use packet::{Batch, Checksum, Offload, Pool, PoolConfig, SegmentKind, Segmentation};
use ports::pcap::{PcapConfig, PcapPort};
use ports::{LinkState, Port, PortError, RxQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn pool() -> Pool {
    Pool::new(PoolConfig { buffers: 256, room: 4096, ..PoolConfig::default() }).unwrap()
}

fn file(frames: &[&[u8]]) -> Vec<u8> {
    let mut writer = packet::pcap::Writer::new(Vec::new(), packet::pcap::LinkType::ETHERNET).unwrap();
    for (second, frame) in frames.iter().enumerate() {
        writer.write(second as u64 * 1_000_000_000, frame).unwrap();
    }
    writer.into_inner().unwrap()
}

fn open(bytes: &[u8], repeat: bool, pool: &Pool) -> (tempfile::TempDir, Result<PcapPort, PortError>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.pcap");
    std::fs::write(&path, bytes).unwrap();
    let config = PcapConfig { read: Some(path), write: None, repeat };
    let port = PcapPort::open(&config, pool);
    (directory, port)
}

fn readable(rx: &dyn RxQueue) -> bool {
    let fd = rx.poll_fd().unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn a_file_is_read_to_its_end_and_the_link_goes_down() {
    let pool = pool();
    let (_directory, port) = open(&file(&[&[1; 60], &[2; 5000], &[3; 70]]), false, &pool);
    let mut port = port.unwrap();
    let (mut rx, _tx) = port.queue(0).unwrap();
    let mut batch = Batch::new();
    assert!(readable(&*rx));
    assert_eq!((rx.receive(&mut batch).unwrap(), port.counters().rx_dropped), (2, 1));
    assert_eq!((batch[0].data(), batch[1].data()), (&[1; 60][..], &[3; 70][..]));
    assert_eq!(batch[1].timestamp_ns(), 2_000_000_000);
    assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    assert_eq!(port.link(), LinkState::Down);
    assert!(!readable(&*rx), "a worker may sleep");
}

#[test]
fn a_loop_never_ends_unless_there_is_nothing_in_it() {
    let pool = pool();
    let (_directory, port) = open(&file(&[&[1; 60], &[2; 60]]), true, &pool);
    let (mut rx, _tx) = port.unwrap().queue(0).unwrap();
    let mut batch = Batch::new();
    for _ in 0..10 {
        assert_eq!(rx.receive(&mut batch).unwrap(), 32);
        batch.clear();
    }
    for nothing in [file(&[]), file(&[&[0; 5000]])] {
        let (_directory, port) = open(&nothing, true, &pool);
        let (mut rx, _tx) = port.unwrap().queue(0).unwrap();
        assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    }
}

#[test]
fn a_file_that_is_cut_off_gives_what_it_has_and_then_an_error() {
    let pool = pool();
    let whole = file(&[&[1; 60], &[2; 60]]);
    for cut in [1, 59, 70, 76] {
        let (_directory, port) = open(&whole[..whole.len() - cut], false, &pool);
        let (mut rx, _tx) = port.unwrap().queue(0).unwrap();
        let mut batch = Batch::new();
        let result = rx.receive(&mut batch);
        assert_eq!(batch.len(), 1, "cut {cut}");
        assert_eq!(result.is_err(), cut < 76, "cut {cut}");
        assert_eq!(rx.receive(&mut batch).unwrap(), 0);
    }
    let (_directory, port) = open(&whole[..20], false, &pool);
    assert!(port.is_err());
    let (_directory, port) = open(b"no capture at all", false, &pool);
    assert!(matches!(port, Err(PortError::System { .. })));
    let config = PcapConfig { read: Some("/no/such/file".into()), ..PcapConfig::default() };
    assert!(matches!(PcapPort::open(&config, &pool), Err(PortError::Missing { .. })));
}

#[test]
fn what_is_written_is_what_a_wire_would_carry() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.pcap");
    let config = PcapConfig { write: Some(path.clone()), ..PcapConfig::default() };
    let mut port = PcapPort::open(&config, &pool).unwrap();
    let (_rx, mut tx) = port.queue(0).unwrap();
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0x0b, 0xd4, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 7, 0, 7, 0x0b, 0xc0, 0, 0]);
    frame.extend([5; 3000]);
    let mut batch = Batch::new();
    let mut large = pool.packet(&frame).unwrap();
    large.set_offload(Offload {
        checksum: Checksum::Unknown,
        segmentation: Some(Segmentation { kind: SegmentKind::Udp, ecn: false, size: 1400, header_len: 42 }),
    });
    batch.push(large).unwrap();
    let mut hostile = pool.packet(&[1; 60]).unwrap();
    hostile.set_offload(Offload { checksum: Checksum::Partial { start: 60, offset: 0 }, segmentation: None });
    batch.push(hostile).unwrap();
    batch.push(pool.packet(&[9; 60]).unwrap()).unwrap();
    assert_eq!(tx.send(&mut batch).unwrap(), 3);
    assert_eq!((port.counters().tx_packets, port.counters().tx_dropped), (4, 1));
    let mut capture = packet::pcap::open(&path).unwrap();
    let mut lengths = Vec::new();
    while let Some(record) = capture.next().unwrap() {
        lengths.push(record.data.len());
    }
    assert_eq!(lengths, [1442, 1442, 242, 60]);
}

#[test]
fn a_full_disk_drops_and_counts_and_leaves_whole_records() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let disk = directory.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        assert!(std::process::Command::new(arguments[0]).args(&arguments[1..]).status().unwrap().success());
    };
    let disk_name = disk.to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk_name]);
    struct Unmount<'a>(&'a str);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").args(["-l", self.0]).status();
        }
    }
    let _unmount = Unmount(disk_name);
    let path = disk.join("out.pcap");
    let config = PcapConfig { write: Some(path.clone()), ..PcapConfig::default() };
    let mut port = PcapPort::open(&config, &pool).unwrap();
    let (_rx, mut tx) = port.queue(0).unwrap();
    let mut sent = 0;
    for _ in 0..10 {
        let mut batch = Batch::new();
        for _ in 0..10 {
            batch.push(pool.packet(&[7; 1000]).unwrap()).unwrap();
        }
        sent += tx.send(&mut batch).unwrap();
    }
    let counters = port.counters();
    assert_eq!((sent, counters.tx_packets + counters.tx_dropped), (100, 100));
    assert!(counters.tx_packets >= 30 && counters.tx_dropped >= 30, "{counters}");
    let mut capture = packet::pcap::open(&path).unwrap();
    let mut records = 0;
    while capture.next().unwrap().is_some() {
        records += 1;
    }
    assert_eq!(records, counters.tx_packets);
}

#[test]
fn pcapng_is_read_too() {
    let pool = pool();
    let section = [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    let mut bytes = [&section[..], &[0xff; 8], &28u32.to_le_bytes()].concat();
    bytes.extend([1u32, 20, 1, 0, 20].iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend([6u32, 32 + 60, 0, 0, 1, 60, 60].iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend([7; 60]);
    bytes.extend(92u32.to_le_bytes());
    let (_directory, port) = open(&bytes, false, &pool);
    let (mut rx, _tx) = port.unwrap().queue(0).unwrap();
    let mut batch = Batch::new();
    assert_eq!(rx.receive(&mut batch).unwrap(), 1);
    assert_eq!(batch[0].data(), [7; 60]);
}

#[test]
fn a_packet_is_written_with_its_timestamp_or_with_the_present() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.pcap");
    let config = PcapConfig { write: Some(path.clone()), ..PcapConfig::default() };
    let (_rx, mut tx) = PcapPort::open(&config, &pool).unwrap().queue(0).unwrap();
    let mut batch = Batch::new();
    for noted in [1_000_000_007, 0, 5] {
        let mut packet = pool.packet(&[7; 60]).unwrap();
        packet.set_timestamp_ns(noted);
        batch.push(packet).unwrap();
    }
    let now_ns = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let before = now_ns();
    tx.send(&mut batch).unwrap();
    drop(tx);
    let mut capture = packet::pcap::open(&path).unwrap();
    let mut next = || capture.next().unwrap().unwrap().timestamp_ns;
    let (first, second, third) = (next(), next(), next());
    assert_eq!((first, third), (1_000_000_007, 5));
    assert!((before..=now_ns()).contains(&second), "{second}");
}

#[test]
fn what_was_taken_is_in_the_file_in_order_once_the_queue_is_dropped() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.pcap");
    let config = PcapConfig { write: Some(path.clone()), ..PcapConfig::default() };
    let mut port = PcapPort::open(&config, &pool).unwrap();
    let (_rx, mut tx) = port.queue(0).unwrap();
    let mut sent = Vec::new();
    for call in 0..2_000u32 {
        let mut batch = Batch::new();
        for number in 0..=call % 32 {
            let frame = [&[call.to_be_bytes(), number.to_be_bytes()].concat()[..], &[7; 600]].concat();
            batch.push(pool.packet(&frame).unwrap()).unwrap();
            sent.push(frame);
        }
        assert_eq!(tx.send(&mut batch).unwrap(), call as usize % 32 + 1);
        if call == 1_000 {
            assert_eq!(port.counters().tx_packets, sent.len() as u64, "counters say what is in the file");
        }
    }
    drop(tx);
    assert_eq!((port.counters().tx_packets, port.counters().tx_dropped), (sent.len() as u64, 0));
    let mut capture = packet::pcap::open(&path).unwrap();
    for (at, frame) in sent.iter().enumerate() {
        assert_eq!(capture.next().unwrap().unwrap().data, frame, "packet {at}");
    }
    assert!(capture.next().unwrap().is_none());
}

#[test]
fn tcpdump_at_the_other_end_of_a_pipe_sees_a_lone_packet() {
    let (pool, directory) = (pool(), tempfile::tempdir().unwrap());
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut tcpdump = Command::new("tcpdump")
        .args(["-nn", "-l", "-e", "-r"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tcpdump.stdout.take().unwrap()).lines();
    let config = PcapConfig { write: Some(path), ..PcapConfig::default() };
    // Opens once tcpdump has.
    let mut port = PcapPort::open(&config, &pool).unwrap();
    let (_rx, mut tx) = port.queue(0).unwrap();
    for last in 1..=3 {
        let mut batch = Batch::new();
        batch.push(pool.packet(&[&[2, 0, 0, 0, 0, last], &[9; 54][..]].concat()).unwrap()).unwrap();
        tx.send(&mut batch).unwrap();
        // Nothing more is sent before it has come out.
        // Lines that begin with a tab are bytes of the packet before.
        let line = lines.by_ref().map(Result::unwrap).find(|line| !line.starts_with('\t')).unwrap();
        assert!(line.contains(&format!("02:00:00:00:00:0{last}")), "{line}");
    }
    drop(tx);
    assert!(lines.all(|line| line.unwrap().starts_with('\t')), "the end of the pipe ends the capture");
    assert!(tcpdump.wait().unwrap().success());
}
