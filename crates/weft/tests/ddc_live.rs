//! `weft ddc run`: twelve routers in namespaces, real traffic, links that are cut and routers that are killed. Needs root.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use host::netns;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);
/// 10 Mbit/s of frames with 1250 bytes of UDP payload.
const PACKET_BYTES: usize = 1250;
const PAUSE: Duration = Duration::from_millis(1);
const DOWNLOAD_BYTES: usize = 30_000_000;
/// The example's network, with time for a loaded machine: a link is given up after a second of silence.
const FILE: &str = include_str!("../../../examples/ddc/twelve.ddc");

struct Net {
    name: String,
    home: tempfile::TempDir,
}

impl Net {
    fn start(role: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = FILE.replace("dead 200ms", "dead 1000ms");
        std::fs::write(home.path().join("net.ddc"), file).unwrap();
        let net = Self { name: format!("wd{}{role}", std::process::id()), home };
        net.run();
        net
    }

    fn weft(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        command.arg("ddc").args(args).args(["--network", &self.name]).current_dir(self.home.path());
        command.env("WEFT_STATE", self.home.path().join("state")).env("NO_COLOR", "1").stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn run(&self) {
        let (code, out, err) = self.weft(&["run", "net.ddc"]);
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.contains("12 routers know 20 links and all ways"), "{out}");
    }

    fn namespace(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    fn ip(&self, router: &str, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.namespace(router)]).args(arguments.split_whitespace());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A program at a host, which must do well.
    fn at(&self, host: &str, line: &str) -> String {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).args(line.split_whitespace());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Does something in the namespace of a host, on a thread of its own.
    fn within<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(netns::named(&self.namespace(host)).unwrap()).unwrap();
        netns::within(namespace, work).unwrap()
    }

    fn show(&self) -> Vec<Value> {
        let (code, out, err) = self.weft(&["show", "--json"]);
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// A number of a router, by the path in what it says of itself.
    fn sum(&self, router: &str, to: &str, what: &str) -> u64 {
        let shown = self.show();
        let state = shown.iter().find(|shown| shown["router"] == router).unwrap()["state"].clone();
        let destinations = state["destinations"].as_array().unwrap().clone();
        destinations.iter().find(|one| one["router"] == to).unwrap()[what].as_u64().unwrap()
    }

    fn link_is_up(&self, router: &str, to: &str) -> bool {
        let shown = self.show();
        let state = &shown.iter().find(|shown| shown["router"] == router).unwrap()["state"];
        let links = state["links"].as_array().cloned().unwrap_or_default();
        links.iter().any(|link| link["to"] == to && link["up"] == true)
    }

    /// Hops between two hosts, by the time to live that a ping's answer has left: 64 less the routers on the way.
    fn routers_between(&self, from: &str, to: &str) -> u32 {
        let said = self.at(from, &format!("ping -n -c 1 -W 5 {to}"));
        let ttl = said.split("ttl=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        64 - ttl.parse::<u32>().unwrap()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.weft(&["stop"]);
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Numbered packets from R1's host to R12's.
struct Stream {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<Vec<u64>>,
}

impl Stream {
    fn start(net: &Net, to: &str) -> Self {
        let to = format!("{to}:7000");
        let from = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let receiving = net.within("R12-host", || UdpSocket::bind(&to).unwrap());
        let sending = net.within("R1-host", || UdpSocket::bind(from).unwrap());
        receiving.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), received.clone());
        let receiver = std::thread::spawn(move || {
            let (mut numbers, mut quiet, mut buffer) = (Vec::new(), 0, [0; 2048]);
            while !stopped.load(Ordering::Relaxed) || quiet < 10 {
                match receiving.recv(&mut buffer) {
                    Ok(PACKET_BYTES) => {
                        numbers.push(u64::from_be_bytes(buffer[..8].try_into().unwrap()));
                        counted.fetch_add(1, Ordering::Relaxed);
                        quiet = 0;
                    }
                    Ok(other) => panic!("a packet of {other} bytes"),
                    Err(_) => quiet += 1,
                }
            }
            numbers
        });
        let stopped = stop.clone();
        let sender = std::thread::spawn(move || {
            let (mut number, begin, mut packet) = (0_u64, Instant::now(), [7; PACKET_BYTES]);
            while !stopped.load(Ordering::Relaxed) {
                packet[..8].copy_from_slice(&number.to_be_bytes());
                if sending.send_to(&packet, &to).is_ok() {
                    number += 1;
                }
                let due = PAUSE * u32::try_from(number).unwrap();
                std::thread::sleep(due.saturating_sub(begin.elapsed()).max(Duration::from_micros(100)));
            }
            number
        });
        Self { stop, received, sender, receiver }
    }

    /// Lets so many more arrive.
    fn flow(&self, packets: u64) {
        let wanted = self.received.load(Ordering::Relaxed) + packets;
        until("the stream flows", || self.received.load(Ordering::Relaxed) >= wanted);
    }

    /// How many were sent, and the lengths of the gaps in what came. None came twice.
    fn end(self) -> (u64, Vec<u64>) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let mut numbers = self.receiver.join().unwrap();
        numbers.sort_unstable();
        let distinct = numbers.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(distinct, "a packet came twice");
        let ends = std::iter::once(0).chain(numbers.iter().map(|number| number + 1));
        let gaps = ends.zip(numbers.iter().copied().chain([sent])).map(|(from, to)| to - from);
        (sent, gaps.filter(|gap| *gap > 0).collect())
    }
}

/// Serves one file, again and again, at R12's host.
fn serve(net: &Net) -> Vec<u8> {
    let content: Vec<u8> = (0..DOWNLOAD_BYTES).map(|at| (at / 7 % 251) as u8).collect();
    let listener = net.within("R12-host", || TcpListener::bind("0.0.0.0:80").unwrap());
    let body = content.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    content
}

#[test]
fn links_are_cut_under_load_and_only_what_was_on_them_is_lost() {
    let net = Net::start("cut");
    assert_eq!(net.routers_between("R1-host", "10.12.0.2"), 4, "R1, R6, R7, R12");
    assert_eq!(net.routers_between("R1-host", "fd00:12::2"), 4);
    let content = serve(&net);
    let mut download = Command::new("ip");
    let file = net.home.path().join("download");
    download.args(["netns", "exec", &net.namespace("R1-host"), "curl", "-sS", "--limit-rate", "4M", "-o"]);
    let mut download = download.arg(&file).arg("http://10.12.0.2/").stdin(Stdio::null()).spawn().unwrap();
    let stream = Stream::start(&net, "10.12.0.2");
    stream.flow(500);
    // At one side; the other loses its carrier.
    let cuts = [("R6", "R7"), ("R7", "R12"), ("R1", "R6"), ("R11", "R12")];
    for (router, link) in cuts {
        net.ip(router, &format!("link set {link} down"));
        stream.flow(500);
    }
    assert!(net.routers_between("R1-host", "10.12.0.2") > 4);
    for (router, link) in cuts {
        net.ip(router, &format!("link set {link} up"));
        until("the link is back", || net.link_is_up(router, link) && net.link_is_up(link, router));
        stream.flow(200);
    }
    until("the way is the shortest again", || net.routers_between("R1-host", "10.12.0.2") == 4);
    stream.flow(500);
    let (sent, gaps) = stream.end();
    let lost: u64 = gaps.iter().sum();
    println!("{sent} sent, {lost} lost in {} gaps: {gaps:?}", gaps.len());
    // Between `ip` and the ends that notice there are milliseconds, on a machine that may be busy.
    assert!(lost < 100 * cuts.len() as u64, "{lost} of {sent}: {gaps:?}");
    assert!(download.wait().unwrap().success());
    assert!(std::fs::read(&file).unwrap() == content, "the download is not what was served");
    assert!(net.sum("R6", "R12", "reversals") + net.sum("R7", "R12", "reversals") > 0);
}

/// A bridge in the midst of a link: both ends have a carrier, whatever it lets pass.
fn put_bridge(net: &Net, a: &str, b: &str) -> impl Fn(bool) {
    let middle = net.namespace("middle");
    netns::create_named(&middle, false).unwrap();
    let run = |arguments: &str| {
        let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&format!("-n {middle} link add name bridge type bridge mcast_snooping 0"));
    run(&format!("-n {middle} link set bridge up"));
    for (router, neighbour) in [(a, b), (b, a)] {
        let namespace = net.namespace(router);
        if router == a {
            run(&format!("-n {namespace} link del {neighbour}"));
        }
        run(&format!(
            "-n {middle} link add {router} mtu 1600 type veth peer name {neighbour} mtu 1536 netns {namespace}"
        ));
        run(&format!("-n {middle} link set {router} master bridge up"));
        run(&format!("-n {namespace} link set {neighbour} up"));
    }
    let a = a.to_owned();
    move |passes: bool| {
        let how = if passes { "master bridge" } else { "nomaster" };
        let arguments = format!("-n {middle} link set {a} {how}");
        assert!(Command::new("ip").args(arguments.split_whitespace()).status().unwrap().success());
    }
}

#[test]
fn silent_links_and_killed_routers_are_gone_round() {
    let net = Net::start("kill");
    let pid = |router: &str| {
        let shown = net.show();
        shown.iter().find(|shown| shown["router"] == router).unwrap()["pid"]
            .as_u64()
            .map(|pid| pid.to_string())
    };
    let kill = |router: &str| {
        let pid = pid(router).unwrap();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    };
    // The ends of a link that is made anew are new interfaces: their routers start again.
    let set_passing = put_bridge(&net, "R6", "R7");
    kill("R6");
    kill("R7");
    until("both are gone", || pid("R6").is_none() && pid("R7").is_none());
    net.run();
    until("the way is the shortest again", || net.routers_between("R1-host", "10.12.0.2") == 4);
    let stream = Stream::start(&net, "[fd00:12::2]");
    stream.flow(300);
    set_passing(false);
    stream.flow(500);
    assert!(!net.link_is_up("R6", "R7") && net.routers_between("R1-host", "10.12.0.2") > 4);
    set_passing(true);
    until("the link is back", || net.link_is_up("R6", "R7") && net.link_is_up("R7", "R6"));
    until("the way is the shortest again", || net.routers_between("R1-host", "10.12.0.2") == 4);
    stream.flow(300);
    kill("R6");
    stream.flow(500);
    let (_, text, _) = net.weft(&["show", "--router", "R6"]);
    assert!(text.contains("R6 does not run"), "{text}");
    net.run();
    until("it carries again", || net.routers_between("R1-host", "10.12.0.2") == 4);
    stream.flow(300);
    let (sent, gaps) = stream.end();
    println!("{sent} sent, gaps: {gaps:?}");
    // The link is given up after a second of silence, and so is each of the router's links.
    assert!(gaps.iter().sum::<u64>() < 6000, "{sent} sent, gaps: {gaps:?}");
    netns::remove_named(&net.namespace("middle")).unwrap();
}

#[test]
fn what_cannot_be_forwarded_is_told() {
    let net = Net::start("told");
    let traced = net.at("R1-host", "traceroute -n -w 2 -q 1 10.12.0.2");
    let hops: Vec<&str> = traced.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(hops, ["10.1.0.1", "10.6.0.1", "10.7.0.1", "10.12.0.1", "10.12.0.2"], "{traced}");
    let ping = |line: &str| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.namespace("R1-host")]).args(line.split_whitespace());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    let said = ping("ping -n -c 1 -W 3 10.99.0.1");
    assert!(said.contains("From 10.1.0.1 icmp_seq=1 Destination Net Unreachable"), "{said}");
    let said = ping("ping -n -c 1 -W 3 -M do -s 1473 10.12.0.2");
    assert!(said.contains("100% packet loss") || said.is_empty(), "{said}");
    assert!(ping("ping -n -c 1 -W 3 -M do -s 1472 10.12.0.2").contains(" 0% packet loss"));
    // Both links of R12's last neighbours are cut: nobody reaches it.
    for (router, link) in [("R7", "R12"), ("R8", "R12"), ("R11", "R12")] {
        net.ip(router, &format!("link set {link} down"));
    }
    until("R1 knows that no way leads there", || ping("ping -n -c 1 -W 1 10.12.0.2").contains("Unreachable"));
}

#[test]
fn files_that_are_wrong_are_refused_with_the_line() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("bad.ddc"), "router A\nrouter B\nlink A C\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command
        .args(["ddc", "run", "bad.ddc"])
        .current_dir(home.path())
        .env("WEFT_STATE", home.path().join("state"));
    let output = command.env("NO_COLOR", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("no router `C`") && said.contains("bad.ddc:3"),
        "{said}"
    );
}
