//! Files: served, fetched, refused.

use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rc3::Key;
use rc3::connection::{Code, Config, Reason};
use rc3::live::{Got, LiveError, Serve, ServeConfig, Url, get};

use super::stage::{Running, Stage, pattern};

fn serve(stage: &Stage, directory: &Path, key: Key) -> Running {
    let config = ServeConfig {
        directory: directory.to_owned(),
        listen: "10.77.0.2:7701".parse().unwrap(),
        key,
        connection: Config::default(),
    };
    stage.far.within(|| {
        let mut serve = Serve::bind(&config).unwrap();
        Running::new(serve.local().unwrap(), serve.stopper(), move || serve.run().unwrap())
    })
}

fn fetch(stage: &Stage, path: &str, into: &Path, key: Key) -> Result<Got, LiveError> {
    let url: Url = format!("rc3://10.77.0.2:7701/{path}").parse().unwrap();
    stage.near.within(|| get(&url, into, key, Config::default(), |_| {}, |_, _| {}))
}

#[test]
fn files_are_fetched_whole_and_nothing_outside_is() {
    let stage = Stage::new();
    let (served, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = served.path().join("public");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(served.path().join("secret"), "secret").unwrap();
    std::fs::write(root.join("sub/big"), pattern(5_000_000)).unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _serve = serve(&stage, &root, Key::OPEN);
    let file = into.path().join("file");
    let got = fetch(&stage, "sub/big", &file, Key::OPEN).unwrap();
    assert_eq!(got.bytes, 5_000_000);
    assert!(std::fs::read(&file).unwrap() == pattern(5_000_000));
    assert!(got.levels[1..].iter().sum::<u64>() > 0, "some came at low levels: {:?}", got.levels);
    assert_eq!(fetch(&stage, "empty", &file, Key::OPEN).unwrap().bytes, 0);
    assert_eq!(std::fs::read(&file).unwrap(), b"");

    let none = into.path().join("none");
    let refused = |path: &str| match fetch(&stage, path, &none, Key::OPEN) {
        Err(LiveError::Refused(_, code, _)) => code,
        other => panic!("{path}: {other:?}"),
    };
    for path in ["../secret", "sub/../../secret", "link", "up/secret", "//etc/passwd", "sub", "fifo"] {
        assert_eq!(refused(path), Code::Denied, "{path}");
    }
    assert_eq!(refused("missing"), Code::Missing);
    let left: Vec<_> =
        std::fs::read_dir(into.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"], "nothing else is left behind");
}

#[test]
fn a_transfer_that_breaks_off_leaves_no_file() {
    let stage = Stage::new();
    let (served, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let big = served.path().join("big");
    let key = Key::new([5; 32]);
    std::fs::write(&big, pattern(60_000_000)).unwrap();
    let file = into.path().join("file");
    let serve = serve(&stage, served.path(), key);
    let url: Url = "rc3://10.77.0.2:7701/big".parse().unwrap();
    let mut cut = Some(serve);
    let failed = stage.near.within(|| {
        get(
            &url,
            &file,
            key,
            Config::default(),
            |_| {},
            |came, _| {
                if came > 1_000_000 {
                    cut = None; // the server ends
                }
            },
        )
    });
    assert!(matches!(failed, Err(LiveError::Closed(_, Reason::Peer(Code::Done, _)))), "{failed:?}");
    assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0, "no file, and no part of it");

    // Now nobody is there, which the network says; and then somebody who says nothing.
    let began = Instant::now();
    let failed = fetch(&stage, "big", &file, key);
    assert!(matches!(failed, Err(LiveError::Closed(_, Reason::Unreachable))), "{failed:?}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let _silent = stage.far.within(|| UdpSocket::bind("10.77.0.2:7701").unwrap());
    let config = Config { patience: sim::Time::from_secs(2), ..Config::default() };
    let failed = stage.near.within(|| get(&url, &file, key, config, |_| {}, |_, _| {}));
    assert!(matches!(failed, Err(LiveError::Closed(_, Reason::NoAnswer))), "{failed:?}");
    assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
}
