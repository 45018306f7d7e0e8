//! Bounded fuzzing of Dockerfiles and layers on stable Rust, through the bodies that the coverage-guided targets share.
//!
//! `WEFT_FUZZ_SECONDS` (3); `WEFT_FUZZ_SEED` repeats a run: an input depends on the seed and its number alone.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the longest input.
const INPUT_MAX: usize = 64 << 10;
/// One input that takes longer is a hang.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

/// Pieces that mean something to the parser.
const PIECES: &[&str] = &[
    "FROM host\n",
    "FROM scratch AS x\n",
    "FROM x\n",
    "FROM oci:a.tar\n",
    "RUN ",
    "COPY ",
    "COPY --from=x a b\n",
    "ADD ",
    "ENV A=1 B=$A\n",
    "ARG X=${A:-y}\n",
    "ARG X\n",
    "WORKDIR $X/y\n",
    "USER 1:2\n",
    "EXPOSE 80-90/udp\n",
    "CMD [\"a\", \"b\"]\n",
    "ENTRYPOINT a b\n",
    "LABEL a=b\n",
    "SHELL [\"x\"]\n",
    "# escape=`\n",
    "\\\n",
    "<<EOF",
    "\nEOF\n",
    "<<-\"E\"",
    "${",
    "}",
    "$",
    "'",
    "\"",
    "[",
    "]",
    "--chown=",
    "--",
    "=",
    "..",
    "/",
    "\u{0}",
    "é",
    "\r\n",
    "\t",
    "#",
    "\u{feff}",
    "${N:-${N:-",
    "`",
];

/// Names, marks and sizes that mean something to what unpacks.
const MARKS: &[&[u8]] = &[
    b"../../x",
    b"/etc/x",
    b".wh.x",
    b".wh..wh..opq",
    b"a/../b",
    b"ustar\0",
    b"ustar  \0",
    b"0000644\0",
    b"77777777777\0",
    b"\x80\0\0\0\xff\xff\xff\xff",
    b"SCHILY.xattr.user.overlay.opaque=y\n",
    b"path=../x\n",
    b"size=99999999999\n",
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
    b"7",
    b"L",
    b"K",
    b"x",
    b"g",
    b"S",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18\x04\0\0\0",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(60)).min(input.len());
        let piece = pieces[random.below(pieces.len())];
        match random.below(6) {
            0 => _ = input.splice(at..at, piece.iter().copied()),
            1 => _ = input.splice(at..(at + piece.len()).min(input.len()), piece.iter().copied()),
            2 => _ = input.drain(at..end),
            3 if at < input.len() => input[at] ^= 1 << random.below(8),
            4 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece.repeat(1 << random.below(6)));
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + random.below(600)).min(other.len())].to_vec();
                input.splice(at..end, piece);
            }
        }
        input.truncate(INPUT_MAX);
    }
    input
}

fn bounded(what: &str, seeds: &[Vec<u8>], pieces: &[&[u8]], body: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seconds = number("WEFT_FUZZ_SECONDS").unwrap_or(3);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    let seed = number("WEFT_FUZZ_SEED").unwrap_or_else(clock);
    println!("{what}: WEFT_FUZZ_SEED={seed} WEFT_FUZZ_SECONDS={seconds}");
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut random = Random(seed ^ count);
        let input = seeds.get(count as usize).cloned().unwrap_or_else(|| mutate(&mut random, seeds, pieces));
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| body(&input)));
        let shown = || input.escape_ascii().to_string();
        assert!(result.is_ok(), "WEFT_FUZZ_SEED={seed}, input {count}:\n{}", shown());
        assert!(start.elapsed() < INPUT_TIME_MAX, "WEFT_FUZZ_SEED={seed}, input {count} hangs:\n{}", shown());
        count += 1;
    }
    println!("{what}: {count} inputs in {:.1} s", began.elapsed().as_secs_f64());
    assert!(count as usize >= seeds.len());
}

#[test]
fn dockerfiles() {
    let seeds = [
        "FROM host AS base\nARG V=1\nENV A=${V:-x} B=\"$A c\"\nWORKDIR /srv\nRUN echo $A \\\n  && true\nCMD [\"x\"]\n",
        "# escape=`\nFROM scratch\nCOPY <<EOF <<-\"B\" /x/\n$A\nEOF\n\tb\nB\nEXPOSE 80 53/udp\nENTRYPOINT /x\nLABEL a='b c'\n",
        "ARG T=host\nFROM $T\nUSER www:data\nRUN [\"a\", \"b\"]\nRUN <<EOF\nx\nEOF\nSHELL [\"/bin/bash\", \"-c\"]\nMAINTAINER me\n",
        "FROM host AS a\nRUN x\nFROM scratch\nCOPY --from=a --chown=1:2 --chmod=755 /x /y\nHEALTHCHECK NONE\nVOLUME /v\n",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    let pieces: Vec<&[u8]> = PIECES.iter().map(|piece| piece.as_bytes()).collect();
    bounded("dockerfiles", &seeds, &pieces, quilt::fuzzing::dockerfile);
}

/// An archive with an entry of every kind.
fn archive(format: fn() -> tar::Header) -> Vec<u8> {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let mut builder = tar::Builder::new(Vec::new());
    let long = "d/".to_owned() + &"n".repeat(180);
    let entries = [
        (Directory, "d", ""),
        (Regular, "d/file", "content"),
        (Symlink, "d/link", "file"),
        (Link, "d/hard", "d/file"),
        (Char, "dev", ""),
        (Fifo, "pipe", ""),
        (Regular, "d/.wh.gone", ""),
        (Regular, "e/.wh..wh..opq", ""),
        (Regular, long.as_str(), "long"),
    ];
    for (kind, name, text) in entries {
        let mut header = format();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(if kind.is_file() { text.len() as u64 } else { 0 });
        let added = match kind {
            Symlink | Link => builder.append_link(&mut header, name, text),
            _ => builder.append_data(&mut header, name, if kind.is_file() { text.as_bytes() } else { &[] }),
        };
        added.expect("an entry");
    }
    builder
        .append_pax_extensions([("SCHILY.xattr.user.a", &b"b"[..]), ("mtime", b"5.5")])
        .expect("extensions");
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o4755);
    builder.append_data(&mut header, "with", &b"x"[..]).expect("an entry");
    builder.into_inner().expect("an archive")
}

#[test]
fn layers() {
    let plain = [archive(tar::Header::new_gnu), archive(tar::Header::new_gnu)];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain[0]).expect("to pack");
    let [first, second] = plain;
    let seeds = [first, second, packed.finish().expect("to pack")];
    bounded("layers", &seeds, MARKS, quilt::fuzzing::layer);
}
