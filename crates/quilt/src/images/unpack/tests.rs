use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tar::EntryType;

use super::*;
use crate::images::layout::{Layer, sha256};

/// An archive of entries: kind, name, content or target.
fn tarball(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o4755 });
        header.set_uid(0);
        header.set_gid(0);
        // As no honest tool writes them.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_file = kind.is_file();
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, if is_file { text.as_bytes() } else { &[] }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn options() -> Options {
    Options { what: "layer 1".into(), whiteouts: true, user_marks: true, ..Options::default() }
}

/// A root inside of a directory that must stay as it is.
fn root() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(place.path().join("outside"), "untouched").unwrap();
    (place, root)
}

fn unpack(entries: &[(EntryType, &str, &str)]) -> Result<Unpacked, String> {
    let (place, root) = root();
    let unpacked = archive(tarball(entries).as_slice(), &root, &options(), &mut Budget::default());
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["outside", "root"], "nothing is put beside the root");
    assert_eq!(fs::read_to_string(place.path().join("outside")).unwrap(), "untouched");
    unpacked.map_err(|error| error.to_string())
}

use EntryType::{Directory, Link, Regular, Symlink};

#[test]
fn nothing_leaves_the_root() {
    for (entries, why) in [
        (&[(Regular, "../outside", "x")][..], "'../outside' that leads out of the image by '..'"),
        (&[(Regular, "a/../../outside", "x")], "'a/../../outside' that leads out of the image by '..'"),
        (
            &[(Symlink, "out", "/etc"), (Regular, "out/passwd", "x")],
            "'out/passwd' that goes through a link that leads out of the image",
        ),
        (
            &[(Symlink, "out", ".."), (Regular, "out/outside", "x")],
            "'out/outside' that goes through a link that leads out of the image",
        ),
        (
            &[(Directory, "d", ""), (Symlink, "d/out", "../.."), (Directory, "d/out/new", "")],
            "'d/out/new' that goes through a link that leads out of the image",
        ),
        (
            &[(Link, "mine", "../outside")],
            "'mine' that is a link to '../outside', which leads out of the image",
        ),
        (
            &[(Link, "mine", "/etc/passwd")],
            "'mine' that is a link to '/etc/passwd', which the layer does not have",
        ),
        (
            &[(Symlink, "out", ".."), (Link, "mine", "out/outside")],
            "'mine' that is a link through a link that leads out of the image",
        ),
        (
            &[(Symlink, "a", "b"), (Symlink, "b", "a"), (Regular, "a/x", "x")],
            "'a/x' that goes through links that lead in a circle",
        ),
        (
            &[(Regular, "a", "x"), (Regular, "a/b", "x")],
            "'a/b' that lies below something that is no directory",
        ),
        (&[(Regular, ".wh...", "")], "'.wh...' that takes away a name that is none"),
        (&[(EntryType::GNUSparse, "s", "")], "'s' that is a sparse file"),
    ] {
        let error = unpack(entries).unwrap_err();
        assert!(error.starts_with("layer 1 has an entry ") && error.contains(why), "{error}");
    }
}

#[test]
fn absolute_names_and_links_stay_inside() {
    let (place, root) = root();
    let entries = [
        (Regular, "/etc/x", "x"),
        (Regular, "./y", "y"),
        (Directory, "usr/lib", ""),
        (Symlink, "lib", "usr/lib"),
        (Regular, "lib/z", "z"),
        (Symlink, "abs", "/etc/x"),
        (Link, "w", "/etc/x"),
    ];
    archive(tarball(&entries).as_slice(), &root, &options(), &mut Budget::default()).unwrap();
    for (name, text) in [("etc/x", "x"), ("y", "y"), ("usr/lib/z", "z"), ("w", "x")] {
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), text, "{name}");
    }
    assert_eq!(fs::read_link(root.join("abs")).unwrap(), Path::new("/etc/x"));
    drop(place);
}

#[test]
fn whiteouts_become_those_of_overlays() {
    let (_place, root) = root();
    let entries = [
        (Regular, "a/.wh.gone", ""),
        (Regular, "b/.wh..wh..opq", ""),
        (Regular, "b/kept", "x"),
        (Directory, "c", ""),
        (Regular, ".wh.c", ""),
        (Regular, ".wh.d", ""),
        (Directory, "d", ""),
    ];
    archive(tarball(&entries).as_slice(), &root, &options(), &mut Budget::default()).unwrap();
    let gone = fs::symlink_metadata(root.join("a/gone")).unwrap();
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(&gone.file_type()));
    for opaque in ["b", "c", "d"] {
        let mut value = [0; 1];
        let length = rustix::fs::getxattr(root.join(opaque), "user.overlay.opaque", &mut value[..]);
        assert_eq!((length, &value), (Ok(1), b"y"), "{opaque}");
    }
    assert!(root.join("b/kept").is_file());
}

#[test]
fn devices_are_left_out_and_told() {
    let unpacked = unpack(&[(EntryType::Char, "dev/null", ""), (EntryType::Block, "sda", "")]).unwrap();
    assert_eq!(unpacked.warnings, ["devices are left out of layer 1: dev/null, sda"]);
}

#[test]
fn what_is_implied_is_as_below() {
    let (place, root) = root();
    let lower = place.path().join("outside.d");
    fs::create_dir_all(lower.join("tmp")).unwrap();
    fs::set_permissions(lower.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let options = Options { lowers: vec![lower], ..options() };
    let entries = [(Regular, "tmp/x", "x"), (Regular, "new/x", "x")];
    archive(tarball(&entries).as_slice(), &root, &options, &mut Budget::default()).unwrap();
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("new")), (0o1777, 0o755));
}

#[test]
fn sizes_are_bounded() {
    let entries = [(Regular, "a", "12345"), (Regular, "b", "67890")];
    let unpack = |bytes, count| {
        let (_place, root) = root();
        archive(tarball(&entries).as_slice(), &root, &options(), &mut Budget { bytes, entries: count })
    };
    assert_eq!(unpack(10, 2).unwrap().bytes, 10);
    assert!(unpack(9, 2).unwrap_err().to_string().contains("an entry 'b' that makes it larger"));
    assert!(unpack(10, 1).unwrap_err().to_string().contains("too large"));
    // A layer of nothing but padding.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 4 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 10_000, "a bomb");
    let bomb = Layer { file: "bomb".into(), digest: None, diff: sha256(b"") };
    let (_place, root) = root();
    let budget = &mut Budget { bytes: 1 << 20, entries: 10 };
    let error = layer(packed.as_slice(), &bomb, &root, &options(), budget).unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[test]
fn a_layer_is_what_its_digests_say() {
    let plain = tarball(&[(Regular, "a", "x")]);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let packed = gzip(&plain);
    let good = Layer { file: "blob".into(), digest: Some(sha256(&packed)), diff: sha256(&plain) };
    let read = |bytes: &[u8], layer: &Layer| {
        let (_place, root) = root();
        super::layer(bytes, layer, &root, &options(), &mut Budget::default())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(&packed, &good).unwrap().bytes, 1);
    assert_eq!(read(&plain, &Layer { digest: None, ..good.clone() }).unwrap().bytes, 1);
    let cut = &packed[..packed.len() - 20];
    assert!(read(cut, &good).unwrap_err().starts_with("blob of the image is damaged"));
    let unnamed = Layer { digest: None, ..good.clone() };
    assert!(read(cut, &unnamed).unwrap_err().contains("cannot be read to its end"));
    let other = Layer { diff: sha256(b"other"), ..good.clone() };
    assert!(read(&packed, &other).unwrap_err().contains("the image says"));
    assert!(read(b"", &unnamed).unwrap_err().contains("is damaged"));
    assert!(read(b"BZh91AY", &unnamed).unwrap_err().contains("bzip2"));
}
