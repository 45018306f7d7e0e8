//! `weft softnic link`, with the real binary: what two namespaces see of the link between them. Needs root and `ip`.
//!
//! Figures are printed (`--nocapture`); what is asserted of time is looser than they are on a quiet machine.

#[path = "../../netbricks/tests/lab/netns.rs"]
#[allow(dead_code, unreachable_pub)] // Other tests need the rest of it.
mod netns;

use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netns::{Netns, must};
use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use serde_json::Value;

/// Headers of a datagram's frame: Ethernet, IPv4, UDP.
const HEADERS: usize = 42;
/// When nothing comes for so long, nothing more comes.
const SILENCE: Duration = Duration::from_millis(700);

/// Two hosts, 10.9.0.1 and 10.9.0.2, and in the middle the link between them.
struct Wan {
    link: Option<Child>,
    hosts: [Netns; 2],
    _middle: Netns,
}

impl Wan {
    /// Namespaces in which no interface says anything by itself.
    fn namespaces() -> ([Netns; 2], Netns) {
        let (hosts, middle) = (["l", "r"].map(Netns::new), Netns::new("m"));
        hosts.iter().chain([&middle]).for_each(Netns::without_ipv6);
        (hosts, middle)
    }

    /// Hosts on veth pairs.
    fn new(arguments: &str) -> Self {
        let (hosts, middle) = Self::namespaces();
        for (at, host) in hosts.iter().enumerate() {
            middle.ip(&format!("link add p{at} type veth peer name eth0 netns {}", host.name()));
            middle.ip(&format!("link set p{at} up"));
            host.ip("link set eth0 up");
        }
        let ports = "--a veth:p0 --b veth:p1";
        let link = start(middle.program(&format!("{WEFT} softnic link {ports} --json {arguments}")));
        let wan = Self { link: Some(link), hosts, _middle: middle };
        wan.number("eth0");
        wan
    }

    /// Hosts on TAP interfaces, which the link makes in their namespaces.
    fn of_taps(arguments: &str) -> Self {
        let (hosts, middle) = Self::namespaces();
        let [a, b] = [hosts[0].name(), hosts[1].name()];
        let ports = format!("--a tap:wan --a-netns {a} --b tap:wan --b-netns /run/netns/{b}");
        let link = start(middle.program(&format!("{WEFT} softnic link {ports} --json {arguments}")));
        let wan = Self { link: Some(link), hosts, _middle: middle };
        wan.number("wan");
        wan
    }

    /// Gives the hosts their addresses, and each the other's, so that nothing but the test's packets is under way.
    fn number(&self, interface: &str) {
        for (at, host) in self.hosts.iter().enumerate() {
            host.ip(&format!("link set {interface} address 02:00:00:00:09:0{} up", at + 1));
            host.ip(&format!("addr add 10.9.0.{}/24 dev {interface}", at + 1));
            let (other, number) = (2 - at, 2 - at);
            host.ip(&format!("neigh replace 10.9.0.{other} lladdr 02:00:00:00:09:0{number} dev {interface}"));
        }
    }

    /// A socket of a host, with what the other host may send at once.
    fn socket(&self, host: usize, port: u16) -> UdpSocket {
        let address = format!("10.9.0.{}:{port}", host + 1);
        let socket = self.hosts[host].enter(move || UdpSocket::bind(address).unwrap()).join().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 32 << 20).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket
    }

    /// Ends the link; what it has counted.
    fn finish(mut self) -> Value {
        let link = self.link.take().unwrap();
        let pid = rustix::process::Pid::from_child(&link);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = link.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        if let Some(link) = &mut self.link {
            let _ = link.kill();
            let _ = link.wait();
        }
    }
}

const WEFT: &str = env!("CARGO_BIN_EXE_weft");

/// Starts a link, and waits until it is up.
fn start(mut command: Command) -> Child {
    let mut link = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(link.stderr.as_mut().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("is up") || line.contains('×'));
    assert!(said.as_deref().is_some_and(|line| line.contains("is up")), "{command:?}: {said:?}");
    link
}

/// What a sender that was held up makes good at once. Much more would not fit the kernel's queue of received packets.
const BURST: Duration = Duration::from_millis(15);

/// Sends datagrams whose frames have so many bytes, at a pace in bit/s, numbered in their first bytes.
fn send(socket: &UdpSocket, to: &str, count: u32, frame: usize, pace: f64) {
    let mut payload = vec![0; frame - HEADERS];
    let mut start = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs_f64(f64::from(number) * frame as f64 * 8.0 / pace);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        start += start.elapsed().saturating_sub(due + BURST);
        payload[..4].copy_from_slice(&number.to_be_bytes());
        socket.send_to(&payload, to).unwrap();
    }
}

/// What comes until nothing more does: when, and its number.
fn receive(socket: UdpSocket) -> std::thread::JoinHandle<Vec<(Instant, u32)>> {
    std::thread::spawn(move || {
        let (mut buffer, mut came) = ([0; 2_000], Vec::new());
        let begin = Instant::now();
        // The first may take as long as a busy machine does.
        while came.is_empty() && begin.elapsed() < netns::PATIENCE || !came.is_empty() {
            match socket.recv(&mut buffer) {
                Ok(_) => came.push((Instant::now(), u32::from_be_bytes(buffer[..4].try_into().unwrap()))),
                Err(_) if came.is_empty() => {}
                Err(_) => break,
            }
        }
        came
    })
}

/// The sum of a counter over the levels of a direction.
fn sum(summary: &Value, way: usize, counter: &str) -> u64 {
    let levels = summary["directions"][way]["levels"].as_array().unwrap();
    levels.iter().map(|level| level[counter].as_u64().unwrap()).sum()
}

/// A counter of one level, 0 where nothing of it came.
fn level(summary: &Value, level: u64, counter: &str) -> u64 {
    let levels = summary["directions"][0]["levels"].as_array().unwrap();
    levels.iter().find(|one| one["level"] == level).map_or(0, |one| one[counter].as_u64().unwrap())
}

/// Nothing was lost but what the link says, or its port, when a busy machine did not let it read in time: how many these were.
fn all_is_counted(summary: &Value, sent: u64, came: usize) -> u64 {
    let direction = &summary["directions"][0];
    let unread = summary["ports"][0]["rx_dropped"].as_u64().unwrap();
    assert!(unread < sent / 2, "{summary:#}");
    let sent = sent - unread;
    assert_eq!(sum(summary, 0, "arrived"), sent, "{summary:#}");
    assert_eq!(sum(summary, 0, "carried"), came as u64, "{summary:#}");
    let gone = ["dropped", "evicted", "lost", "over_limit"].map(|counter| sum(summary, 0, counter));
    assert_eq!(sent, came as u64 + gone.iter().sum::<u64>(), "{summary:#}");
    for counter in ["held", "no_buffer", "too_long", "unfinished", "not_sent"] {
        assert_eq!(direction[counter], 0, "{counter}: {summary:#}");
    }
    unread
}

#[test]
fn the_rate_is_kept_and_what_is_too_much_is_counted() {
    const FRAME: usize = 1_500;
    const COUNT: u32 = 15_000;
    let wan = Wan::new("--rate 50mbit --delay 40ms --buffer 1bdp");
    let (sender, receiver) = (wan.socket(0, 1_000), wan.socket(1, 2_000));
    let came = receive(receiver);
    send(&sender, "10.9.0.2:2000", COUNT, FRAME, 60e6);
    let came = came.join().unwrap();
    let summary = wan.finish();
    all_is_counted(&summary, u64::from(COUNT), came.len());
    let (first, last) = (came[0].0, came[came.len() - 1].0);
    let mbit = ((came.len() - 1) * FRAME * 8) as f64 / (last - first).as_secs_f64() / 1e6;
    let dropped = sum(&summary, 0, "dropped");
    println!("rate: 50 Mbit/s asked, {mbit:.3} measured over {} packets; {dropped} dropped", came.len());
    assert!((49.0..=51.0).contains(&mbit), "{mbit}");
    assert!(dropped > 1_000, "{summary:#}");
    // One bandwidth-delay product of 80 ms, less than a frame free.
    let most = summary["directions"][0]["queued_bytes_most"].as_u64().unwrap();
    assert!((498_500..=500_000).contains(&most), "{most}");
    assert!(came.windows(2).all(|pair| pair[0].1 < pair[1].1), "the order stays");
}

/// What datagrams of 92 bytes take too long, in milliseconds, in order.
struct Excess {
    /// One way, from before the call that sends to when the receiver's kernel has it: what the link adds, and sending.
    one_way: Vec<f64>,
    /// Half of what they take there and back, with the waking of those that wait for them.
    round_trip: Vec<f64>,
}

/// When the kernel had the next datagram.
fn arrival(socket: &UdpSocket) -> Duration {
    let (mut payload, mut space) = ([0; 100], cmsg_space!(TimeSpec));
    let mut parts = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::empty();
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let stamp = got.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    stamp.expect("the socket was told to tell")
}

fn excess(arguments: &str, delay: Duration) -> Excess {
    const ROUNDS: usize = 200;
    /// The echo leaves a little later, so that it finds the processors asleep as the first did.
    const PAUSE: Duration = Duration::from_millis(5);
    let wan = Wan::new(arguments);
    let (client, server) = (wan.socket(0, 1_000), wan.socket(1, 2_000));
    for socket in [&client, &server] {
        setsockopt(socket, ReceiveTimestampns, &true).unwrap();
    }
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // At 50 Mbit/s a byte takes 160 ns.
    let ideal = (delay + Duration::from_nanos(92 * 160)).as_secs_f64();
    let over = |took: Duration| (took.as_secs_f64() - ideal) * 1e3;
    let mut excess = Excess { one_way: Vec::new(), round_trip: Vec::new() };
    for pause in (0..ROUNDS).map(|round| PAUSE * (round % 2) as u32) {
        let (begin, start) = (Instant::now(), clock());
        client.send_to(&[7; 50], "10.9.0.2:2000").unwrap();
        let there = arrival(&server);
        let turn = Instant::now();
        std::thread::sleep(pause);
        let (paused, back) = (turn.elapsed(), clock());
        server.send_to(&[7; 50], "10.9.0.1:1000").unwrap();
        let returned = arrival(&client);
        let both = begin.elapsed() - paused;
        excess.one_way.extend([there.saturating_sub(start), returned.saturating_sub(back)].map(over));
        excess.round_trip.push(over(both / 2));
    }
    wan.finish();
    excess.one_way.sort_by(f64::total_cmp);
    excess.round_trip.sort_by(f64::total_cmp);
    excess
}

#[test]
fn the_delay_is_added_and_no_more() {
    let at = |times: &[f64], percent: usize| times[times.len() * percent / 100];
    let with = excess("--rate 50mbit --delay 40ms", Duration::from_millis(40));
    let without = excess("--rate 50mbit", Duration::ZERO);
    for (what, excess) in [("40 ms", &with), ("no delay", &without)] {
        for (way, times) in [("one way", &excess.one_way), ("round trip, half", &excess.round_trip)] {
            let [least, median, most] = [0, 50, 90].map(|percent| at(times, percent));
            println!(
                "{what}, {way}: too long by {least:.3} ms at least, {median:.3} median, {most:.3} nine of ten"
            );
        }
    }
    let added = at(&with.round_trip, 50) - at(&without.round_trip, 50);
    println!("delay: 40 ms asked, {:.3} ms more than without it (medians of round trips)", 40.0 + added);
    let [least, median] = [0, 50].map(|percent| at(&with.one_way, percent));
    // The clock of the day may be set a little in between.
    assert!(least >= -0.05, "sooner than it may be: {least}");
    assert!(median < 3.0 && added.abs() < 3.0, "{median} {added}");
}

#[test]
fn loss_and_jitter_are_those_asked_for() {
    const COUNT: u32 = 10_000;
    let wan = Wan::new("--rate 1gbit --delay 5ms --jitter 10ms --loss 2%/0 --buffer 10MB --seed 3");
    let (sender, receiver) = (wan.socket(0, 1_000), wan.socket(1, 2_000));
    let came = receive(receiver);
    send(&sender, "10.9.0.2:2000", COUNT, 200, 16e6);
    let came = came.join().unwrap();
    let summary = wan.finish();
    all_is_counted(&summary, u64::from(COUNT), came.len());
    let lost = sum(&summary, 0, "lost");
    println!("loss: 2 % of {COUNT} asked, {lost} lost");
    // 200, and five standard deviations of 14.
    assert!((130..=270).contains(&lost), "{lost}");
    assert!(came.windows(2).all(|pair| pair[0].1 < pair[1].1), "jitter keeps the order");
}

#[test]
fn some_are_overtaken() {
    const COUNT: u32 = 2_000;
    let wan = Wan::new("--rate 1gbit --delay 1ms --reorder 5% --reorder-by 20ms --seed 3");
    let (sender, receiver) = (wan.socket(0, 1_000), wan.socket(1, 2_000));
    let came = receive(receiver);
    send(&sender, "10.9.0.2:2000", COUNT, 200, 3.2e6);
    let came = came.join().unwrap();
    let summary = wan.finish();
    all_is_counted(&summary, u64::from(COUNT), came.len());
    let held_up = sum(&summary, 0, "held_up");
    assert!((50..=150).contains(&held_up), "{held_up}");
    let mut greatest = 0;
    let overtaken = came.iter().filter(|(_, number)| {
        greatest = greatest.max(*number);
        *number < greatest
    });
    let overtaken = overtaken.count() as u64;
    println!("reordering: 5 % of {COUNT} asked, {held_up} held up, {overtaken} came behind a later one");
    assert!(overtaken > held_up / 2 && overtaken <= held_up, "{overtaken} of {held_up}");
}

#[test]
fn the_higher_level_goes_first() {
    const COUNT: u32 = 3_000;
    const FRAME: usize = 1_000;
    // 10 Mbit/s for 8 of level 0, 8 of level 1 and 8 of level 5.
    let wan = Wan::new("--rate 10mbit --delay 2ms --buffer 500KB");
    let receivers: Vec<_> = (0..3).map(|at| receive(wan.socket(1, 2_000 + at))).collect();
    let senders = [0_u8, 1, 5].map(|dscp| {
        let socket = wan.socket(0, 1_000 + u16::from(dscp));
        rustix::net::sockopt::set_ip_tos(&socket, dscp << 2).unwrap();
        socket
    });
    std::thread::scope(|scope| {
        for (socket, port) in senders.iter().zip(2_000..) {
            scope.spawn(move || send(socket, &format!("10.9.0.2:{port}"), COUNT, FRAME, 8e6));
        }
    });
    let came: Vec<_> = receivers.into_iter().map(|thread| thread.join().unwrap().len()).collect();
    let summary = wan.finish();
    let unread = all_is_counted(&summary, 3 * u64::from(COUNT), came.iter().sum());
    println!("levels 0, 1, 5 at 8 Mbit/s each over 10 Mbit/s: {came:?} of {COUNT} carried");
    for (at, number) in [0, 1, 5].into_iter().enumerate() {
        assert_eq!(level(&summary, number, "carried"), came[at] as u64);
    }
    assert!(came[0] as u64 >= u64::from(COUNT) * 95 / 100 - unread, "{came:?}");
    assert_eq!(level(&summary, 0, "evicted"), 0, "nobody takes the room of the first level");
    assert!(came[1] > 2 * came[2] && came[1] < COUNT as usize, "{came:?}");
    assert!(level(&summary, 5, "evicted") > 0, "{summary:#}");
}

#[test]
fn a_long_fat_link_has_buffers_enough() {
    const COUNT: u32 = 4_000;
    let wan = Wan::new("--rate 50mbit --delay 100ms --buffer 5bdp");
    let (sender, receiver) = (wan.socket(0, 1_000), wan.socket(1, 2_000));
    let came = receive(receiver);
    send(&sender, "10.9.0.2:2000", COUNT, 1_500, 200e6);
    let came = came.join().unwrap();
    let summary = wan.finish();
    let unread = all_is_counted(&summary, u64::from(COUNT), came.len());
    assert_eq!(came.len() as u64, u64::from(COUNT) - unread);
    // 6 MB, of which a quarter left while they came.
    assert!(summary["directions"][0]["queued_bytes_most"].as_u64().unwrap() > 3_000_000, "{summary:#}");
}

#[test]
fn large_segments_of_a_tap_are_counted_one_by_one() {
    const BYTES: usize = 3_000_000;
    let wan = Wan::of_taps("--rate 50mbit --delay 10ms --buffer 2bdp");
    let listener = wan.hosts[1].enter(|| TcpListener::bind("10.9.0.2:80").unwrap()).join().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        (all.len(), Instant::now())
    });
    let mut stream = wan.hosts[0].enter(|| TcpStream::connect("10.9.0.2:80").unwrap()).join().unwrap();
    let start = Instant::now();
    stream.write_all(&vec![7; BYTES]).unwrap();
    drop(stream);
    let (length, end) = server.join().unwrap();
    assert_eq!(length, BYTES);
    let summary = wan.finish();
    let took = (end - start).as_secs_f64();
    let (packets, bytes) = (sum(&summary, 0, "carried"), sum(&summary, 0, "carried_bytes"));
    println!("TCP: {BYTES} bytes in {took:.3} s, {packets} packets of {bytes} bytes in all over the link");
    // 1,448 bytes of it in a frame of 1,514.
    let wire = BYTES as f64 * 1_514.0 / 1_448.0;
    assert!(bytes as f64 >= wire * 0.99 && packets as usize >= BYTES / 1_448, "{summary:#}");
    let ideal = wire * 8.0 / 50e6;
    assert!(took >= ideal * 0.98, "faster than the link: {took} s, {ideal}");
    assert!(took < ideal * 3.0 + 2.0, "{took} s, {ideal}");
    for counter in ["no_buffer", "too_long", "unfinished"] {
        assert_eq!(summary["directions"][0][counter], 0, "{summary:#}");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let fails = |arguments: &str| {
        let mut command = Command::new(WEFT);
        command.args(["softnic", "link"]).args(arguments.split_whitespace()).env("NO_COLOR", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let ports = "--a ring:a --b ring:b";
    for (arguments, said) in [
        (format!("{ports} --rate 50"), "`50` is no rate"),
        (format!("{ports} --rate 1mbit --loss 2"), "`2` is no share"),
        (format!("{ports} --rate 1mbit --buffer lots"), "`lots` is no buffer"),
        (format!("{ports} --rate 1mbit --levels 64=1"), "`64=1` is no map of levels"),
        ("--a pcap:x --b ring:b --rate 1mbit".into(), "a capture file is not"),
    ] {
        let (code, error) = fails(&arguments);
        assert!(code == 2 && error.contains(said), "{arguments}: {code}: {error}");
    }
    for (arguments, said) in [
        (format!("{ports} --rate 1mbit --packets 0"), "1 to"),
        (format!("{ports} --rate 1mbit --a-netns no-such-one"), "no-such-one"),
        ("--a veth:no-such-one --b ring:b --rate 1mbit".into(), "no-such-one"),
    ] {
        let (code, error) = fails(&arguments);
        assert!(code == 1 && error.contains(said), "{arguments}: {code}: {error}");
    }
}

#[test]
fn it_ends_when_a_port_is_gone() {
    let (host, middle) = (Netns::new("g"), Netns::new("m"));
    let line = format!("{WEFT} softnic link --a tap:x --a-netns {} --b ring:b --rate 1mbit", host.name());
    let link = start(middle.program(&line));
    must(Command::new("ip").args(["-n", host.name(), "link", "set", "x", "up"]));
    must(Command::new("ip").args(["-n", host.name(), "link", "del", "x"]));
    let output = link.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("warning: x: the interface is not there"), "{said}");
}
