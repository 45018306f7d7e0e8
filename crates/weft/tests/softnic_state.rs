//! `weft softnic daemon --state`, with the real binary: killed, and started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use prost::{Message, Name};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, sockopt};
use softnic::bess::{Client, ClientError, pack, pb};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that is killed with the test.
struct Daemon {
    process: Child,
    address: SocketAddr,
    /// What it had said before it served.
    said: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGKILL: it has no time to save anything.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(directory: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(["softnic", "daemon", "--foreground", "--listen", "127.0.0.1:0", "--buffers", "4096"]);
    command
        .arg("--pid-file")
        .arg(directory.join("pid"))
        .arg("--state")
        .arg(directory.join("state"))
        .args(more);
    command.env("NO_COLOR", "1").env_remove("WEFT_LOG").stdin(Stdio::null());
    command
}

/// What a process says, line by line.
fn lines(process: &mut Child) -> Receiver<String> {
    let (tell, told) = channel();
    let output = BufReader::new(process.stderr.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

fn start(mut command: Command) -> Daemon {
    let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = lines(&mut process);
    // It is ended whatever comes.
    let mut daemon = Daemon { process, address: ([0; 4], 0).into(), said: String::new() };
    loop {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it does not serve: {}", daemon.said));
        if let Some(address) = line.strip_prefix("serving BESS's clients on ") {
            daemon.address = address.parse().unwrap();
            return daemon;
        }
        daemon.said += &line;
        daemon.said.push('\n');
    }
}

/// Why it does not start.
fn refuses(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Lines are folded where people read them.
    said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

impl Daemon {
    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

const EMPTY: pb::EmptyRequest = pb::EmptyRequest {};

fn module<A: Message + Name>(client: &mut Client, class: &str, name: &str, arg: &A) {
    let (mclass, name) = (class.to_owned(), name.to_owned());
    client.create_module(pb::CreateModuleRequest { name, mclass, arg: Some(pack(arg)) }).unwrap();
}

fn link(client: &mut Client, m1: &str, m2: &str) {
    let (m1, m2) = (m1.to_owned(), m2.to_owned());
    client.connect_modules(pb::ConnectModulesRequest { m1, m2, ..Default::default() }).unwrap();
}

fn socket_port(client: &mut Client, name: &str, path: &Path) {
    let path = path.to_str().unwrap().to_owned();
    let arg = Some(pack(&pb::UnixSocketPortArg { path, confirm_connect: true, ..Default::default() }));
    let (name, driver) = (name.to_owned(), "UnixSocketPort".to_owned());
    client.create_port(pb::CreatePortRequest { name, driver, arg, ..Default::default() }).unwrap();
}

/// near ─► in ─► acl (port 53 only) ─► out ─► far, on sockets with names in the file system, which a killed process leaves.
fn build(client: &mut Client, directory: &Path) {
    client.pause_all(EMPTY).unwrap();
    for name in ["near", "far"] {
        socket_port(client, name, &directory.join(name));
    }
    module(client, "PortInc", "in", &pb::PortIncArg { port: "near".into(), prefetch: false });
    module(client, "ACL", "acl", &pb::AclArg::default());
    module(client, "PortOut", "out", &pb::PortOutArg { port: "far".into() });
    link(client, "in", "acl");
    link(client, "acl", "out");
    client.resume_all(EMPTY).unwrap();
    let rule = pb::acl_arg::Rule { dst_ip: "10.0.0.2".into(), dst_port: 53, ..Default::default() };
    let arg = Some(pack(&pb::AclArg { rules: vec![rule] }));
    client.module_command(pb::CommandRequest { name: "acl".into(), cmd: "add".into(), arg }).unwrap();
}

fn peer(path: &Path) -> OwnedFd {
    let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
    net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    assert_eq!(received(&socket), b"yes\0");
    socket
}

fn received(socket: &OwnedFd) -> Vec<u8> {
    let mut bytes = [0; 2048];
    let (len, _) = net::recv(socket, &mut bytes[..], RecvFlags::empty()).unwrap();
    bytes[..len].to_vec()
}

/// Ethernet, IPv4, UDP 10.0.0.1:12345 -> 10.0.0.2:`port`, `hi`.
fn frame(port: u8) -> [u8; 44] {
    [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0x30, 0x39, 0, port, 0, 10, 0, 0, b'h', b'i', // UDP
    ]
}

/// Only packets to port 53 pass.
fn passes(directory: &Path) {
    let [near, far] = ["near", "far"].map(|name| peer(&directory.join(name)));
    for port in [54, 53] {
        net::send(&near, &frame(port), SendFlags::empty()).unwrap();
    }
    assert_eq!(received(&far), frame(53));
}

fn list(client: &mut Client) -> String {
    let ports = client.list_ports(EMPTY).unwrap();
    let modules = client.list_modules(EMPTY).unwrap();
    let workers = client.list_workers(EMPTY).unwrap();
    let hooks = client.list_gate_hooks(EMPTY).unwrap();
    format!("{ports:?}\n{modules:?}\n{workers:?}\n{hooks:?}")
}

#[test]
fn a_killed_daemon_goes_on_with_what_it_ran() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(command(directory.path(), &[]));
    assert!(daemon.said.contains("nothing was saved"), "{}", daemon.said);
    build(&mut daemon.client(), directory.path());
    passes(directory.path());
    let before = list(&mut daemon.client());
    assert!(refuses(command(directory.path(), &[])).contains("a daemon runs already"));
    drop(daemon);
    for _ in 0..2 {
        let daemon = start(command(directory.path(), &[]));
        assert!(daemon.said.contains(": 2 ports, 3 modules, 1 worker\n"), "{}", daemon.said);
        assert_eq!(list(&mut daemon.client()), before);
        passes(directory.path());
    }
}

/// A client is busy while the daemon is killed: what was answered is there, and at most one request more.
#[test]
fn every_request_that_was_answered_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = clock_seed();
    let mut answered = 0u32;
    for round in 0..10 {
        let daemon = start(command(directory.path(), &[]));
        let mut client = daemon.client();
        if round == 0 {
            let arg = pb::IpLookupArg { max_rules: 1 << 20, max_tbl8s: 0 };
            module(&mut client, "IPLookup", "routes", &arg);
        }
        let modules = client.list_modules(EMPTY).unwrap().modules;
        let [routes] = &modules[..] else { panic!("{modules:?}") };
        let there: u32 = routes.desc.split(' ').next().unwrap().parse().unwrap();
        assert!((answered..=answered + 1).contains(&there), "{answered} answered, {}", routes.desc);
        answered = there;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let end = Duration::from_micros((random >> 33) % 150_000);
        let (tell, told) = channel();
        let busy = std::thread::spawn(move || {
            for number in there.. {
                let prefix = std::net::Ipv4Addr::from(number << 8).to_string();
                let add = pb::IpLookupCommandAddArg { prefix, prefix_len: 24, gate: 1 };
                let arg = Some(pack(&add));
                let request = pb::CommandRequest { name: "routes".into(), cmd: "add".into(), arg };
                match client.module_command(request) {
                    Ok(_) => tell.send(number + 1).unwrap(),
                    Err(ClientError::Refused(failure)) => panic!("{failure}"),
                    Err(_) => return,
                }
            }
        });
        std::thread::sleep(end);
        drop(daemon);
        busy.join().unwrap();
        answered = told.try_iter().last().unwrap_or(answered);
    }
    println!("{answered} requests were answered");
    assert!(answered > 20);
}

/// A number that is another one each time.
fn clock_seed() -> u64 {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    seed
}

#[test]
fn a_damaged_file_is_an_error_and_may_be_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(command(directory.path(), &[]));
    build(&mut daemon.client(), directory.path());
    drop(daemon);
    let file = directory.path().join("state/bess.state");
    let whole = std::fs::read(&file).unwrap();
    let mut wrong = whole.clone();
    wrong[whole.len() / 2] ^= 4;
    std::fs::write(&file, &wrong).unwrap();
    let said = refuses(command(directory.path(), &[]));
    assert!(said.contains("damaged at byte") && said.contains("--forget starts empty"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), wrong, "it is left as it is");
    std::fs::write(&file, &whole[..60]).unwrap();
    assert!(refuses(command(directory.path(), &[])).contains("cut short at byte"));
    std::fs::write(&file, "{}").unwrap();
    assert!(refuses(command(directory.path(), &[])).contains("this is no saved state"));
    // The last request was not written to its end: everything before it is there, and it says so.
    std::fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let daemon = start(command(directory.path(), &[]));
    assert!(daemon.said.contains("3 modules, 1 worker; the last request was not written"), "{}", daemon.said);
    assert!(list(&mut daemon.client()).contains("\"0 rules\""));
    drop(daemon);
    let daemon = start(command(directory.path(), &["--forget"]));
    assert_eq!(daemon.client().list_modules(EMPTY).unwrap().modules, []);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_requests_before_they_are_carried_out() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("state");
    std::fs::create_dir(&disk).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=1024k", "tmpfs"];
    assert!(Command::new("mount").args(mount).arg(&disk).status().unwrap().success());
    let unmount = Unmount(&disk);
    let daemon = start(command(directory.path(), &[]));
    let mut client = daemon.client();
    let template = vec![7; 1000];
    let mut create = |number: u32| {
        let arg = Some(pack(&pb::RewriteArg { templates: vec![template.clone(); 30] }));
        let (mclass, name) = ("Rewrite".to_owned(), format!("m{number}"));
        client.create_module(pb::CreateModuleRequest { name, mclass, arg })
    };
    let full = (0..1000).find_map(|number| match create(number) {
        Ok(_) => None,
        Err(ClientError::Refused(failure)) => Some((number, failure)),
        Err(error) => panic!("{error}"),
    });
    let (count, failure) = full.expect("the disk is full at some time");
    assert_eq!(failure.code, rustix::io::Errno::NOSPC.raw_os_error());
    assert!(failure.message.contains("so it is not done"), "{failure}");
    let before = list(&mut client);
    assert_eq!(client.list_modules(EMPTY).unwrap().modules.len(), count as usize);
    // Small requests still fit, for a while; then nothing does, and nothing is lost.
    let begin = Instant::now();
    drop(daemon);
    let daemon = start(command(directory.path(), &[]));
    let mut client = daemon.client();
    assert_eq!(list(&mut client), before, "{:?}", begin.elapsed());
    drop((daemon, unmount));
}

#[test]
fn bessd_starts_empty_unless_its_environment_says_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("bessd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weft"), &link).unwrap();
    let bessd = |saves: bool| {
        let mut command = Command::new(&link);
        command.args(["-f", "-m", "0", "-p", "0", "-i"]).arg(directory.path().join("pid"));
        command.env_remove("WEFT_LOG").env_remove("WEFT_BESS_STATE").stdin(Stdio::null());
        if saves {
            command.env("WEFT_BESS_STATE", directory.path().join("state"));
        }
        start(command)
    };
    for (saves, found) in [(false, 0), (true, 0), (true, 1), (false, 0)] {
        let daemon = bessd(saves);
        let mut client = daemon.client();
        assert_eq!(client.list_modules(EMPTY).unwrap().modules.len(), found);
        module(&mut client, "Sink", &format!("sink{found}"), &pb::EmptyArg {});
    }
}
