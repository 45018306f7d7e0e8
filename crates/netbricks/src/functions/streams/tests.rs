use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use packet::wire::tcp::Flags;

use super::super::random::Random;
use super::super::test_frames::segment;
use super::super::tests::{at, setup};
use super::*;

/// A disk of so many bytes, in memory.
#[derive(Clone, Default)]
struct Disk {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    room: usize,
}

impl Store for Disk {
    type File = String;

    fn create(&mut self, name: &str) -> io::Result<String> {
        if self.files.lock().unwrap().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files.lock().unwrap().insert(name.into(), Vec::new());
        Ok(name.into())
    }

    fn open(&mut self, name: &str) -> io::Result<String> {
        assert!(self.files.lock().unwrap().contains_key(name));
        Ok(name.into())
    }

    fn write(&mut self, file: &mut String, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let taken: usize = files.values().map(Vec::len).sum();
        if taken + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = files.get_mut(file).unwrap();
        let end = offset as usize + bytes.len();
        content.resize(end.max(content.len()), 0);
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
}

const LIMITS: Limits = Limits { open: 2, files: 100, file_bytes: 1 << 20 };

fn write(room: usize, limits: Limits, frames: &[Vec<u8>]) -> (BTreeMap<String, Vec<u8>>, Report) {
    let (disk, setup, mut ctx) = (Disk { room, ..Disk::default() }, setup(), Context::new(2));
    let config = Config { connections: 100, ..Config::default() };
    let mut streams = TcpStreams::new(disk.clone(), config, limits, FlowHasher::new(1));
    let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
    for frames in frames.chunks(100) {
        assert_eq!(at(&mut streams, &mut ctx, (0, 1), &setup.pool, frames).len(), frames.len());
    }
    let mut report = Report::default();
    streams.report(&mut report);
    assert!(report.get("files open") <= limits.open as u64);
    streams.finish(&mut ctx);
    let mut report = Report::default();
    streams.report(&mut report);
    assert_eq!(report.get("files open"), 0);
    (disk.files.lock().unwrap().clone(), report)
}

/// A whole connection: `there` one way, `back` the other, and its end.
fn connection(port: u16, start: u32, there: &[u8], back: &[u8]) -> Vec<Vec<u8>> {
    let ends = [&*format!("10.0.0.1:{port}"), "10.0.0.2:80"];
    let reversed = [ends[1], ends[0]];
    vec![
        segment(ends, start, Flags::SYN, b""),
        segment(reversed, 0, Flags::SYN | Flags::ACK, b""),
        segment(ends, start + 1, Flags::ACK, there),
        segment(reversed, 1, Flags::ACK | Flags::FIN, back),
        segment(ends, start + 1 + there.len() as u32, Flags::ACK | Flags::FIN, b""),
    ]
}

/// The names are those that tcpflow 1.6.1 gave to the same packets.
#[test]
fn files_are_named_as_tcpflow_names_them() {
    let six = ["[2001:db8::1]:40000", "[2001:db8::2]:80"];
    let mut frames = connection(40_000, 9, b"hello", b"back");
    frames.extend(connection(40_000, 5000, b"again", b""));
    frames.push(segment(six, 9, Flags::SYN, b""));
    frames.push(segment(six, 10, Flags::ACK, b"six"));
    let (files, report) = write(1000, LIMITS, &frames);
    let wanted = [
        ("010.000.000.001.40000-010.000.000.002.00080", &b"hello"[..]),
        ("010.000.000.001.40000-010.000.000.002.00080c1", b"again"),
        ("010.000.000.002.00080-010.000.000.001.40000", b"back"),
        ("2001:db8::1.40000-2001:db8::2.00080", b"six"),
    ];
    assert_eq!(files, wanted.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into());
    assert_eq!((report.get("files made"), report.get("bytes written")), (4, 17));
}

#[test]
fn what_was_not_seen_is_a_hole() {
    let ends = ["10.0.0.1:5", "10.0.0.2:6"];
    let frames = [segment(ends, 9, Flags::SYN, b""), segment(ends, 20, Flags::ACK, b"gap")];
    let (files, _) = write(1000, LIMITS, &frames);
    assert_eq!(files.into_values().collect::<Vec<_>>(), [b"\0\0\0\0\0\0\0\0\0\0gap"]);
}

#[test]
fn few_files_are_open_however_many_are_written() {
    let mut random = Random::new(11);
    let (mut texts, mut frames) = (vec![Vec::new(); 20], Vec::new());
    let ends = |n: usize| format!("10.0.0.1:{}", 1000 + n);
    (0..20).for_each(|n| frames.push(segment([&ends(n), "10.0.0.2:80"], 0, Flags::SYN, b"")));
    for _ in 0..500 {
        let n = random.draw() as usize % 20;
        let bytes = random.draw().to_be_bytes();
        frames.push(segment([&ends(n), "10.0.0.2:80"], 1 + texts[n].len() as u32, Flags::ACK, &bytes));
        texts[n].extend_from_slice(&bytes);
    }
    let (files, report) = write(1 << 20, LIMITS, &frames);
    assert_eq!(files.into_values().collect::<Vec<_>>(), texts);
    assert!(report.get("files opened again") > 300);
}

#[test]
fn a_full_disk_and_limits_are_counted() {
    let mut frames = connection(1, 0, b"1234567890", b"");
    frames.extend(connection(2, 0, b"12345", b""));
    let (files, report) = write(10, LIMITS, &frames);
    assert_eq!(files.into_values().map(|file| file.len()).collect::<Vec<_>>(), [10, 0]);
    assert_eq!((report.get("errors"), report.get("bytes lost, errors and files refused")), (1, 5));
    assert_eq!(report.lines(), ["the last error: no storage space"]);
    let (files, report) = write(100, Limits { files: 1, file_bytes: 7, ..LIMITS }, &frames);
    assert_eq!(files.into_values().collect::<Vec<_>>(), [b"1234567"]);
    assert_eq!((report.get("bytes beyond the size of a file"), report.get("files refused")), (3, 1));
    assert_eq!((report.get("errors"), report.get("bytes lost, errors and files refused")), (0, 5));
}

#[test]
fn a_directory_is_written_and_nothing_in_it_written_over() {
    let path = std::env::temp_dir().join(format!("netbricks-streams-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let old = path.join("010.000.000.001.00007-010.000.000.002.00080");
    std::fs::write(&old, b"old").unwrap();
    let (setup, mut ctx, word) = (setup(), Context::new(2), format!("dir={}", path.display()));
    let mut streams = build(&mut Args::parse("streams", [&word]).unwrap(), &setup).unwrap();
    let frames = connection(7, 0, b"new", b"");
    let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
    at(&mut *streams, &mut ctx, (1, 1), &setup.pool, &frames);
    let (first, second) = (std::fs::read(&old), std::fs::read(format!("{}c1", old.display())));
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!((&*first.unwrap(), &*second.unwrap()), (&b"old"[..], &b"new"[..]));
    assert!(build(&mut Args::parse("streams", [&word]).unwrap(), &setup).is_err(), "it is gone");
}
