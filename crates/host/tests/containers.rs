//! What a container is, seen from inside and outside; each behaviour as root and as an ordinary user.

mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use host::{
    Capabilities, Content, Error, Exit, FileSpec, Limits, LogSpec, MountSpec, Restart, RestartPolicy, State,
    StopOptions,
};
use stage::request::LaunchRequest;
use stage::{Stage, Who};

/// Makes a module with a test for root and one for an ordinary user out of each function.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod as_root { $(#[test] fn $name() { super::$name(super::Who::Root); })* }
        mod as_user { $(#[test] fn $name() { super::$name(super::Who::User); })* }
    };
}

both!(
    a_script_runs_in_its_own_world,
    writes_stay_inside,
    users_and_powers_are_as_asked,
    files_and_mounts_appear,
    a_command_that_fails_is_restarted_with_growing_pauses,
    a_clean_end_is_no_failure,
    errors_name_what_is_wrong_and_leave_nothing,
    a_container_that_nobody_attaches_never_runs_its_command,
    a_name_is_taken_once,
    stop_leaves_nothing,
    a_launcher_killed_in_the_middle_leaves_nothing_after_stop,
    exec_joins_a_running_container,
    orphans_are_buried_and_killed_with_the_command,
    a_flood_of_output_stays_within_its_bounds,
    a_killed_init_is_noticed,
    a_hundred_containers_start_and_stop_fast,
);

fn a_script_runs_in_its_own_world(who: Who) {
    let stage = Stage::new(who);
    let mut spec = stage.shell("world", "hostname; echo pid $$; ps ax | wc -l; echo $COLOUR $HOSTNAME; pwd; cat /etc/hostname; echo oops >&2; ls -A /run /tmp; exit 7");
    spec.hostname = "elsewhere".into();
    spec.env.insert("COLOUR".into(), "blue".into());
    spec.cwd = "/usr/bin".into();
    let (status, output) = stage.run(spec);
    assert_eq!((status.state, status.exit), (State::Exited, Some(Exit::Code(7))));
    let lines: Vec<_> = output.lines().collect();
    // Heading, init, shell, ps and wc.
    assert_eq!(lines[..3], ["elsewhere", "pid 2", "5"], "{output}");
    assert_eq!(lines[3..6], ["blue elsewhere", "/usr/bin", "elsewhere"], "{output}");
    let log = host::log::read(&stage.container("world")).unwrap();
    let errors: Vec<_> = log.iter().filter(|line| line.stream == host::log::Stream::Stderr).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].text, b"oops");
    assert!(errors[0].time.starts_with("20") && errors[0].time.ends_with('Z'));
}

fn writes_stay_inside(who: Who) {
    let stage = Stage::new(who);
    let state = stage.state();
    let script = format!(
        "echo mine > /etc/{0} && echo mine > /var/lib/{0} && echo '10.9.8.7 x' >> /etc/hosts && cat /etc/{0} /var/lib/{0} && tail -n1 /etc/hosts && ls -A {1} | wc -l",
        stage.deployment,
        state.display()
    );
    let hosts = fs::read("/etc/hosts").unwrap();
    let (status, output) = stage.run(stage.shell("writer", &script));
    assert_eq!(status.exit, Some(Exit::Code(0)), "{output}");
    assert_eq!(output, "mine\nmine\n10.9.8.7 x\n0\n", "and the state directory is hidden");
    assert!(!Path::new("/etc").join(&stage.deployment).exists());
    assert!(!Path::new("/var/lib").join(&stage.deployment).exists());
    assert_eq!(fs::read("/etc/hosts").unwrap(), hosts);
}

fn users_and_powers_are_as_asked(who: Who) {
    let stage = Stage::new(who);
    let mut nobody =
        stage.shell("nobody", "id -u; id -g; grep CapEff /proc/self/status; echo out > /dev/stdout");
    nobody.user = Some("1234:99".into());
    let (status, output) = stage.run(nobody);
    assert_eq!(status.exit, Some(Exit::Code(0)), "{output}");
    assert_eq!(output, "1234\n99\nCapEff:\t0000000000000000\nout\n");
    let script = "mount -t tmpfs x /mnt 2>/dev/null && echo mounted; ip link add d0 type dummy 2>/dev/null && echo linked; \
        mknod /tmp/vda b 254 0 2>/dev/null && echo node; echo 1 2>/dev/null > /proc/sysrq-trigger && echo sysrq; ls /proc/1/root/ >/dev/null 2>&1 && echo peeked; readlink /proc/1/fd/* 2>/dev/null && echo peeked; id -u";
    let (_, output) = stage.run(stage.shell("server", script));
    assert_eq!(output, "0\n", "a server mounts nothing, makes no device and does not see its init's files");
    let mut network = stage.shell("network", "ip link set lo mtu 1400 && echo changed");
    network.capabilities = Capabilities::Network;
    assert_eq!(stage.run(network).1, "changed\n");
}

fn files_and_mounts_appear(who: Who) {
    let stage = Stage::new(who);
    let shared = stage.shared();
    fs::write(shared.join("word"), "hello\n").unwrap();
    let script = "stat -c %a /opt/tool /etc/deep/er/file; /opt/tool; cat /etc/resolv.conf /etc/hosts; cat /data/word; \
        (touch /data/no) 2>/dev/null || echo read-only; echo back > /rw/back; od -An -tx1 /etc/bytes";
    let mut spec = stage.shell("files", script);
    let file = |content: Content, mode| FileSpec { content, mode };
    spec.files = BTreeMap::from([
        ("/opt/tool".into(), file(Content::Text("#!/bin/sh\necho tool runs\n".into()), 0o755)),
        ("/etc/deep/er/file".into(), file(Content::Text(String::new()), 0o600)),
        ("/etc/bytes".into(), file(Content::Bytes(vec![0xff, 0xfe]), 0o644)),
    ]);
    spec.resolv_conf = Some("nameserver 10.0.0.1\n".into());
    spec.hosts = Some("10.0.0.2 db\n".into());
    spec.mounts = vec![
        MountSpec { source: shared.clone(), target: "/data".into(), writable: false },
        MountSpec { source: shared.clone(), target: "/rw".into(), writable: true },
    ];
    let (status, output) = stage.run(spec);
    assert_eq!(
        output, "755\n600\ntool runs\nnameserver 10.0.0.1\n10.0.0.2 db\nhello\nread-only\n ff fe\n",
        "{status:?}"
    );
    assert_eq!(fs::read_to_string(shared.join("back")).unwrap(), "back\n");
    assert!(!shared.join("no").exists());
}

fn a_command_that_fails_is_restarted_with_growing_pauses(who: Who) {
    let stage = Stage::new(who);
    let mut spec = stage.shell("again", "date +%s%N; exit 3");
    spec.restart = RestartPolicy {
        when: Restart::OnFailure,
        backoff_ms_min: 60,
        backoff_ms_max: 240,
        restarts_max: Some(4),
    };
    let (status, output) = stage.run(spec);
    assert_eq!((status.state, status.restarts, status.exit), (State::Failed, 4, Some(Exit::Code(3))));
    assert_eq!(status.message.as_deref(), Some("gave up after 4 restarts"));
    let times: Vec<u64> = output.lines().map(|line| line.parse().unwrap()).collect();
    let pauses: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    for (pause, least) in pauses.iter().zip([60, 120, 240, 240]) {
        assert!(*pause >= least && *pause < least + 2000, "{pauses:?}");
    }
    assert_eq!(pauses.len(), 4);
}

fn a_clean_end_is_no_failure(who: Who) {
    let stage = Stage::new(who);
    let mut spec =
        stage.shell("clean", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done");
    spec.restart = RestartPolicy { when: Restart::Always, ..RestartPolicy::default() };
    stage.launch_one(spec);
    stage.wait("clean", |_| stage.output("clean").contains("up"));
    let begin = Instant::now();
    let options = StopOptions { grace: Duration::from_secs(10), keep_logs: true };
    assert_eq!(stage.stop(Some(vec!["clean".into()]), options), [Ok(())]);
    assert!(begin.elapsed() < Duration::from_secs(5), "it ended by itself");
    assert_eq!(stage.output("clean"), "up\nbye\n");
    let status = stage.status("clean");
    assert_eq!((status.state, status.exit, status.restarts), (State::Exited, Some(Exit::Code(0)), 0));
}

fn errors_name_what_is_wrong_and_leave_nothing(who: Who) {
    let stage = Stage::new(who);
    let before = stage.traces();
    let missing = stage.spec("missing", &["no-such-program", "x"]);
    let mut elsewhere = stage.spec("elsewhere", &["true"]);
    elsewhere.cwd = "/no/such/directory".into();
    let mut stranger = stage.spec("stranger", &["true"]);
    stranger.user = Some("nobody-by-this-name".into());
    let directory = stage.spec("directory", &["/etc"]);
    let mut source = stage.spec("source", &["true"]);
    source.mounts.push(MountSpec { source: "/no/such".into(), target: "/x".into(), writable: false });
    let mut name = stage.spec("name", &["true"]);
    name.name = "../escape".into();
    let good = stage.spec("good", &["sleep", "60"]);
    let results = stage.launch(vec![missing, elsewhere, stranger, directory, source, name, good]);
    let text = |at: usize| results[at].as_ref().unwrap_err().to_string();
    assert!(
        matches!(&results[0], Err(Error::MissingCommand { command, path }) if command == "no-such-program" && path.contains("/usr/bin"))
    );
    assert_eq!(
        text(1),
        "cannot change to working directory /no/such/directory: No such file or directory (os error 2)"
    );
    assert!(matches!(&results[2], Err(Error::UnknownUser(user)) if user == "nobody-by-this-name"));
    assert_eq!(text(3), "command `/etc` cannot be run: Permission denied (os error 13)");
    assert_eq!(text(4), "cannot bind /no/such: No such file or directory (os error 2)");
    assert!(text(5).contains("`../escape`"));
    assert!(results[6].is_ok(), "{:?}", results[6]);
    assert_eq!(stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false }), [Ok(())]);
    assert_eq!(stage.traces(), before);
}

fn a_container_that_nobody_attaches_never_runs_its_command(who: Who) {
    let stage = Stage::new(who);
    let shared = stage.shared();
    let spec = |name: &str| {
        let mut spec = stage.shell(name, &format!("touch /shared/{name}"));
        spec.mounts = vec![MountSpec { source: shared.clone(), target: "/shared".into(), writable: true }];
        spec
    };
    let results = stage.launch_but(vec![spec("lonely"), spec("joined")], Some("lonely"));
    assert_eq!(results[0], Err(Error::Attach("nobody is there".into())));
    assert!(results[1].is_ok(), "{results:?}");
    stage.wait("joined", |status| !status.is_live());
    assert!(shared.join("joined").exists() && !shared.join("lonely").exists());
    assert_eq!(stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false }), [Ok(())]);
    assert!(stage.traces().is_empty(), "one was never there, the other is gone");
}

fn a_name_is_taken_once(who: Who) {
    let stage = Stage::new(who);
    let first = stage.launch_one(stage.spec("twin", &["sleep", "60"]));
    let second = stage.launch(vec![stage.spec("twin", &["sleep", "60"])]).pop().unwrap();
    assert_eq!(second, Err(Error::AlreadyRunning("twin".into())));
    assert!(first.init.is_alive() && stage.status("twin").state == State::Running);
}

fn stop_leaves_nothing(who: Who) {
    let stage = Stage::new(who);
    let before = stage.traces();
    assert!(before.is_empty(), "{before:?}");
    // One ends at SIGTERM, one ignores it, one writes a lot, one hides a daemon, one has limits.
    let mut limited = stage.spec("limited", &["sleep", "60"]);
    limited.limits = Limits { memory_bytes: Some(64 << 20), cpu_millis: Some(500), pids: Some(50) };
    let specs = vec![
        stage.spec("plain", &["sleep", "60"]),
        stage.shell("deaf", "trap '' TERM; while :; do sleep 1; done"),
        stage.shell(
            "writer",
            "mkdir -p /etc/wt/a/b; head -c 100000 /dev/zero > /etc/wt/a/b/c; rm -f /etc/motd; sleep 60",
        ),
        stage.shell("daemon", "(setsid sleep 60 &) ; sleep 60"),
        limited,
    ];
    let launched: Vec<_> = stage.launch(specs).into_iter().map(Result::unwrap).collect();
    let during = stage.traces();
    assert!(during.iter().filter(|trace| trace.starts_with("process")).count() >= 10, "{during:?}");
    let kinds = ["mnt", "pid", "net", "uts", "ipc"];
    let namespaces: Vec<PathBuf> = launched
        .iter()
        .flat_map(|launched| kinds.map(|kind| fs::read_link(launched.init.namespace(kind)).unwrap()))
        .collect();
    let begin = Instant::now();
    let results = stage.stop(None, StopOptions { grace: Duration::from_millis(300), keep_logs: false });
    assert_eq!(results, vec![Ok(()); 5]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(stage.traces(), before);
    // The host's first process buries the inits in its own time.
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(process) = a_process_in(&namespaces) {
        assert!(Instant::now() < deadline, "{} is still in a namespace", process.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(stage.stop(None, StopOptions::default()).is_empty(), "stopping again is a success");
    assert_eq!(stage.stop(Some(vec!["plain".into()]), StopOptions::default()), [Ok(())]);
}

fn a_process_in(namespaces: &[PathBuf]) -> Option<PathBuf> {
    fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).find(|process| {
        let links = fs::read_dir(process.join("ns")).into_iter().flatten().flatten();
        links.filter_map(|link| fs::read_link(link.path()).ok()).any(|link| namespaces.contains(&link))
    })
}

fn a_launcher_killed_in_the_middle_leaves_nothing_after_stop(who: Who) {
    let stage = Stage::new(who);
    // At a different moment each time: before, during and after the first containers are ready.
    for wait_ms in [0, 2, 5, 9, 14, 20, 30, 50, 80] {
        let specs: Vec<_> =
            (0..12).map(|number| stage.spec(&format!("c{number}"), &["sleep", "60"])).collect();
        let request = LaunchRequest { member: None, specs, unattached: None };
        let mut launcher =
            stage.command().arg("launch").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        launcher.stdin.take().unwrap().write_all(&serde_json::to_vec(&request).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        launcher.kill().unwrap();
        launcher.wait().unwrap();
        let results = stage.stop(None, StopOptions { grace: Duration::ZERO, keep_logs: false });
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert!(results.len() <= 12);
        // A skeleton that was being made is not named yet.
        let left: Vec<_> = stage.traces().into_iter().filter(|trace| trace != "skeleton").collect();
        assert!(left.is_empty(), "after {wait_ms} ms: {left:?}");
    }
}

fn exec_joins_a_running_container(who: Who) {
    let stage = Stage::new(who);
    let mut spec = stage.spec("target", &["sleep", "60"]);
    spec.env.insert("COLOUR".into(), "green".into());
    spec.hostname = "inside".into();
    stage.launch_one(spec);
    let exec = |words: &[&str]| {
        let mut command = stage.command();
        command.arg("exec").arg(stage.state()).arg("target").args(words).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = exec(&[
        "sh",
        "-c",
        "hostname; echo $COLOUR; test $$ -lt 50 && echo inside; id -u; ls /run; cat; exit 9",
    ]);
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inside\ngreen\ninside\n0\ntyped\n", "{output:?}");
    assert_eq!(output.status.code(), Some(9));
    let missing = exec(&["no-such-program"]).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("`no-such-program` not found"), "{missing:?}");
    let killed = exec(&["sh", "-c", "kill -9 $$"]).wait_with_output().unwrap();
    assert_eq!(killed.status.code(), Some(137));
    stage.stop(Some(vec!["target".into()]), StopOptions::default());
    let gone = exec(&["true"]).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&gone.stderr).contains("does not run"), "{gone:?}");
}

fn orphans_are_buried_and_killed_with_the_command(who: Who) {
    let stage = Stage::new(who);
    let script = "for i in 1 2 3 4 5 6 7 8; do (true &) ; done; (setsid sleep 61 &); sleep 0.3; ps axo stat,args | grep -c '^Z' ; ps axo comm | grep -c '^sleep$'; exit 1";
    let mut spec = stage.shell("parent", script);
    spec.restart = RestartPolicy {
        when: Restart::OnFailure,
        backoff_ms_min: 1,
        backoff_ms_max: 1,
        restarts_max: Some(2),
    };
    let (_, output) = stage.run(spec);
    assert_eq!(output, "0\n1\n".repeat(3), "no zombies, and never a process of an earlier run");
}

fn a_flood_of_output_stays_within_its_bounds(who: Who) {
    let stage = Stage::new(who);
    let mut spec = stage
        .shell("flood", "head -c 20000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; printf 'no line end'");
    spec.log = LogSpec { bytes_max: 1 << 20, files: 2 };
    let (status, output) = stage.run(spec);
    assert_eq!(status.exit, Some(Exit::Code(0)));
    assert!(output.ends_with("\nno line end\n"));
    let directory = stage.container("flood").log().parent().unwrap().to_path_buf();
    let sizes: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
}

fn a_killed_init_is_noticed(who: Who) {
    let stage = Stage::new(who);
    let init = stage.launch_one(stage.spec("victim", &["sleep", "60"])).init;
    assert!(init.kill(rustix::process::Signal::KILL).unwrap());
    assert!(init.wait(Duration::from_secs(5)));
    assert_eq!(stage.status("victim").state, State::Lost);
    assert_eq!(stage.stop(None, StopOptions::default()), [Ok(())]);
    assert!(stage.traces().is_empty());
}

fn a_hundred_containers_start_and_stop_fast(who: Who) {
    let stage = Stage::new(who);
    let specs = (0..100).map(|number| stage.spec(&format!("c{number}"), &["sleep", "1000"])).collect();
    let begin = Instant::now();
    let results = stage.launch(specs);
    let up = begin.elapsed();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let begin = Instant::now();
    assert!(stage.stop(None, StopOptions::default()).iter().all(Result::is_ok));
    let down = begin.elapsed();
    println!("{who:?}: 100 containers up in {up:?}, down in {down:?}");
    // The machine is shared with other tests; alone it takes a tenth of this.
    assert!(up < Duration::from_secs(10) && down < Duration::from_secs(10), "up in {up:?}, down in {down:?}");
    assert!(stage.traces().is_empty());
}

#[test]
fn limits_hold_or_are_reported() {
    let stage = Stage::new(Who::Root);
    let memory = "head -c 200000000 /dev/zero | tail -c 190000000 | wc -c";
    let mut spec = stage.shell("memory", memory);
    spec.limits = Limits { memory_bytes: Some(50 << 20), cpu_millis: None, pids: None };
    let memory_warnings = stage.launch_one(spec).warnings;
    stage.wait("memory", |status| !status.is_live());
    let survived = stage.output("memory").contains("190000000");
    assert_eq!(survived, !memory_warnings.is_empty(), "{memory_warnings:?} {}", stage.output("memory"));
    let mut spec = stage.shell("pids", "for i in $(seq 40); do sleep 5 & done; wait");
    spec.limits = Limits { memory_bytes: None, cpu_millis: None, pids: Some(16) };
    let pids_warnings = stage.launch_one(spec).warnings;
    let stopped = |stage: &Stage| stage.output("pids").to_lowercase().contains("fork");
    if pids_warnings.is_empty() {
        stage.wait("pids", |status| stopped(&stage) || !status.is_live());
        assert!(stopped(&stage), "{}", stage.output("pids"));
    }
}

#[test]
fn an_ordinary_user_without_cgroups_is_told_so() {
    let stage = Stage::new(Who::User);
    let mut spec = stage.spec("limited", &["sleep", "60"]);
    spec.limits = Limits { memory_bytes: Some(50 << 20), cpu_millis: Some(100), pids: Some(10) };
    let warnings = stage.launch_one(spec).warnings;
    let named = |what: &str| warnings.iter().filter(|warning| warning.starts_with(what)).count();
    assert_eq!(
        (named("memory limit"), named("processor limit"), named("limit of processes")),
        (1, 1, 1),
        "{warnings:?}"
    );
}
