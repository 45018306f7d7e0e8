//! Open vSwitch's userspace datapath in memory, from Debian's `openvswitch-switch-dpdk`: one thread passes packets on between
//! two null ports of DPDK's by two flows, and its CPU time is measured. It needs huge pages, which are given back.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::peer::cpu_ns;

const SWITCH: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const HUGE_PAGES: &str = "/proc/sys/vm/nr_hugepages";
/// Huge pages of 2 MiB that it is given, and the memory it takes of them in MiB.
const PAGES: u64 = 200;
const MEMORY: &str = "300";
/// How long it may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running switch.
pub(crate) struct OpenVSwitch {
    directory: tempfile::TempDir,
    database: Child,
    switch: Option<Child>,
    /// Huge pages that there were before.
    pages: u64,
}

impl OpenVSwitch {
    /// Starts it with packets of `size` bytes, which nobody writes.
    pub(crate) fn start(size: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name).display().to_string();
        let tool = Command::new("ovsdb-tool").args(["create", &file("conf.db"), SCHEMA]).status();
        assert!(
            tool.is_ok_and(|status| status.success()),
            "ovsdb-tool: `tests/install.sh bench` installs it"
        );
        let quiet = |program: &str| {
            let mut command = Command::new(program);
            command.env("OVS_RUNDIR", directory.path()).env("OVS_LOGDIR", directory.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let socket = format!("--remote=punix:{}", file("db.sock"));
        let database = quiet("ovsdb-server").args([&file("conf.db"), &socket]).spawn().expect("ovsdb-server");
        let pages = fs::read_to_string(HUGE_PAGES).expect("huge pages").trim().parse().expect("a number");
        let mut own = Self { directory, database, switch: None, pages };
        let now = |own: &Self, words: &[&str]| own.configure(&[&["--no-wait"], words].concat());
        own.until("the database answers", |own| now(own, &["init"]));
        fs::write(HUGE_PAGES, (pages + PAGES).to_string()).expect("to be root, for huge pages");
        let extra = format!("other_config:dpdk-extra=-m {MEMORY} --no-pci --no-telemetry");
        let second = "other_config:pmd-cpu-mask=0x2";
        assert!(now(&own, &["set", "Open_vSwitch", ".", "other_config:dpdk-init=true", &extra, second]));
        let database = format!("unix:{}", own.file("db.sock"));
        let control = format!("--unixctl={}", own.file("switch.ctl"));
        // In a network of its own, which ends with it: the interfaces of its bridges would outlive it.
        let mut command = Command::new("unshare");
        command.args(["--net", SWITCH]);
        command.env("OVS_RUNDIR", own.directory.path()).env("OVS_LOGDIR", own.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        own.switch = Some(command.args([database, control]).spawn().expect(SWITCH));
        let bridge = ["add-br", "weft", "--", "set", "bridge", "weft", "datapath_type=netdev"];
        assert!(own.configure(&bridge), "a bridge");
        for number in 0..2 {
            let port = format!("p{number}");
            let device = format!("options:dpdk-devargs=net_null{number},size={size}");
            assert!(own.configure(&[
                "add-port",
                "weft",
                &port,
                "--",
                "set",
                "interface",
                &port,
                "type=dpdk",
                &device
            ]));
        }
        let flows = Command::new("ovs-ofctl")
            .env("OVS_RUNDIR", own.directory.path())
            .args(["replace-flows", "weft", "-"])
            .stdin(own.flows())
            .status();
        assert!(flows.is_ok_and(|status| status.success()), "two flows");
        own.until("packets pass", |own| own.passed() > 1_000_000);
        own
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn flows(&self) -> fs::File {
        let path = self.directory.path().join("flows");
        fs::write(&path, "in_port=1,actions=output:2\nin_port=2,actions=output:1\n").expect("two flows");
        fs::File::open(path).expect("two flows")
    }

    /// Changes its configuration; whether that was done.
    fn configure(&self, words: &[&str]) -> bool {
        let database = format!("--db=unix:{}", self.file("db.sock"));
        let mut command = Command::new("ovs-vsctl");
        command.args([&database, "--timeout=20"]).args(words).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn until(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < PATIENCE, "never: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Packets that its thread has taken in so far.
    fn passed(&self) -> u64 {
        let control = self.file("switch.ctl");
        let output = Command::new("ovs-appctl").args(["-t", &control, "dpif-netdev/pmd-stats-show"]).output();
        let text = String::from_utf8(output.expect("ovs-appctl").stdout).expect("text");
        let counts = text.lines().filter_map(|line| line.trim().strip_prefix("packets received: "));
        counts.filter_map(|count| count.parse::<u64>().ok()).sum()
    }

    /// The thread that passes packets on.
    fn worker(&self) -> String {
        let pid = self.switch.as_ref().expect("it runs").id();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
        let is_worker = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("pmd-"))
        };
        let mut workers = tasks.filter(is_worker);
        format!("{pid}/task/{}", workers.next().expect("a thread").file_name().display())
    }

    /// CPU nanoseconds of a packet, for a while.
    pub(crate) fn measure(&self, time: Duration) -> f64 {
        let worker = self.worker();
        // A question takes a while itself: the middle of it is taken as its moment.
        let look = || {
            let before = cpu_ns(&worker);
            let passed = self.passed();
            (passed, (before + cpu_ns(&worker)) as f64 / 2.0)
        };
        let (packets, ns) = look();
        std::thread::sleep(time);
        let (more, later) = look();
        (later - ns) / (more - packets) as f64
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        if let Some(switch) = &mut self.switch {
            let _ = (switch.kill(), switch.wait());
        }
        let _ = (self.database.kill(), self.database.wait());
        let _ = fs::write(HUGE_PAGES, self.pages.to_string());
    }
}
