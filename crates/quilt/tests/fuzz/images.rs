//! Mutated Dockerfiles and layers.

use std::io::Write;

use crate::fuzz;

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
    fuzz("dockerfiles", &seeds, &pieces, quilt::fuzzing::dockerfile);
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
    fuzz("layers", &seeds, MARKS, quilt::fuzzing::layer);
}
