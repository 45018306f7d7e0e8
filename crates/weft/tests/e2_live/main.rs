//! `weft e2 up`, with the real binary: real packets between two namespaces pass instances on servers of their own.

mod bed;
mod death;
mod legacy;
mod scale;
mod traffic;
mod watch;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bed::{Bed, LEFT, PATIENCE, RIGHT, must, pair};
use serde_json::Value;

#[test]
fn packets_pass_the_instances_that_the_plan_says_and_each_flow_one_of_them() {
    let bed = Bed::new();
    bed.up(include_str!("../../../e2/examples/live.yaml"), &[]);
    bed.left.run("ping", &["-c", "3", "-i", "0.2", "-W", "20", RIGHT]);
    bed.echo(80);
    let streams: Vec<TcpStream> = (0..60).map(|_| bed.talk(80)).collect();

    let flows = bed.flows();
    let of = |function: &str| -> Vec<&(String, String, u64)> {
        flows.iter().filter(|(instance, ..)| instance.split('.').next() == Some(function)).collect()
    };
    let firewall = of("firewall");
    for stream in &streams {
        let ends = format!("{} {}", stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let seen: Vec<_> =
            firewall.iter().filter(|(_, flow, _)| flow.contains(&ends.replace(' ', " -> "))).collect();
        assert_eq!(seen.len(), 1, "{ends} is at one firewall: {seen:?}");
        // SYN, SYN/ACK, ACK, and bytes both ways, at least.
        assert!(seen[0].2 >= 5, "both directions reach it: {seen:?}");
    }
    let mut pairs: Vec<String> = firewall.iter().map(|(_, flow, _)| pair(flow)).collect();
    pairs.sort_unstable();
    assert!(pairs.windows(2).all(|two| two[0] != two[1]), "no flow is at two of them: {flows:#?}");
    for instance in ["firewall.1", "firewall.2"] {
        let own = firewall.iter().filter(|(name, ..)| name == instance).count();
        assert!(own >= 10, "{instance} has {own} of {} flows", firewall.len());
    }
    let monitored = of("monitor");
    assert_eq!(monitored.iter().filter(|(_, flow, _)| flow.starts_with("tcp")).count(), streams.len());
    assert!(monitored.iter().all(|(_, flow, _)| flow.starts_with("tcp")), "the rest goes past it");

    let status = bed.json(&["ps"]);
    let sites: Vec<&str> =
        status["instances"].as_array().unwrap().iter().map(|one| one["site"].as_str().unwrap()).collect();
    assert!(sites.contains(&"s1") && sites.contains(&"s2"), "on two servers: {sites:?}");
    assert!(status["sites"].as_array().unwrap().iter().all(|site| site["error"].is_null()), "{status:#}");

    // Nobody is let in from the outside: the firewall drops it, whichever has the flow.
    let address: SocketAddr = format!("{LEFT}:81").parse().unwrap();
    let _listener = bed.left.within(|| TcpListener::bind(address).unwrap());
    let refused = bed.right.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    assert!(refused.is_err(), "the firewall lets it in");

    // Large segments, as the kernel leaves them to network cards.
    let mut server = bed.right.command("iperf3", &["-s", "-1"]).stdout(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    let sent = loop {
        let run = bed.left.command("iperf3", &["-c", RIGHT, "-n", "20M", "-P", "2", "-J"]).output().unwrap();
        let told: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
        if let Some(sent) = told["end"]["sum_received"]["bytes"].as_u64() {
            println!(
                "iperf3: {:.0} Mbit/s",
                told["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() / 1e6
            );
            break sent;
        }
        assert!(Instant::now() < end, "iperf3: {told:#}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(sent >= 10_000_000, "{sent} bytes");
    let _ = server.kill();
    let _ = server.wait();

    let top = must(&mut bed.weft(&["top", "--once"]));
    println!("{top}{}", must(&mut bed.weft(&["ps"])));
    assert!(top.starts_with("test: 3 sites, 3 instances, epoch 1; nothing moves"), "{top}");
    assert!(top.contains("firewall.2") && top.contains("veth:right"), "{top}");
    assert_eq!(bed.json(&["top"])["instances"].as_array().unwrap().len(), 3);
    assert!(must(&mut bed.weft(&["stop"])).starts_with("stopped test (3 sites, 3 instances)"));
    assert_eq!(bed.wires(), [] as [String; 0]);
    assert!(
        bed.state.path().join("e2").read_dir().unwrap().next().is_none(),
        "nothing is written of it any more"
    );
}

/// `nft` as a firewall, in a bridge between its two interfaces.
pub(crate) const LEGACY: &str = r#"
nfs:
  - name: nft
    kind: legacy
    affinity: flow
    inside: [left]
    run:
      - sh
      - -ec
      - |
        ip link add br0 type bridge
        for name in inside outside; do ip link set $name master br0; ip link set $name up; done
        ip link set br0 up
        nft -f - <<EOF
        table bridge own {
          counter refused { }
          counter passed { }
          chain forward {
            type filter hook forward priority 0
            tcp dport 81 counter name refused drop
            counter name passed
          }
        }
        EOF
  - name: monitor
    affinity: flow
    inside: [left]
    run: [monitor]
pipelets:
  - name: back
    traffic: src host 10.9.0.2
    rate: 1 Gbit/s
    edges:
      - {from: right, to: monitor}
      - {from: monitor, to: nft}
      - {from: nft, to: left}
  - name: out
    traffic: dst host 10.9.0.2
    rate: 1 Gbit/s
    edges:
      - {from: left, to: nft}
      - {from: nft, to: monitor}
      - {from: monitor, to: right}
hardware:
  switch: {name: tor, entries: 100}
  servers: [{name: s1, cores: 1}, {name: s2, cores: 1}]
  links: [{between: [s1, tor], rate: 10 Gbit/s}, {between: [s2, tor], rate: 10 Gbit/s}]
  ports:
    - {name: left, rate: 10 Gbit/s, at: "veth:left"}
    - {name: right, rate: 10 Gbit/s, at: "veth:right"}
"#;

#[test]
fn a_program_that_knows_nothing_of_us_is_a_function_too() {
    let bed = Bed::new();
    // Frames that are not IP are of no pipelet here.
    for (namespace, other, address) in [(&bed.left, &bed.right, RIGHT), (&bed.right, &bed.left, LEFT)] {
        let mac = other.run("cat", &["/sys/class/net/eth0/address"]);
        namespace.run("ip", &["neigh", "add", address, "lladdr", mac.trim(), "dev", "eth0"]);
    }
    bed.up(LEGACY, &[]);
    bed.echo(80);
    bed.echo(81);
    let streams: Vec<TcpStream> = (0..10).map(|_| bed.talk(80)).collect();
    let address: SocketAddr = format!("{RIGHT}:81").parse().unwrap();
    let refused = bed.left.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(2)));
    assert!(refused.is_err(), "nft lets it through");

    let flows = bed.flows();
    let at = |instance: &str, port: &str| {
        flows.iter().filter(|(name, flow, _)| name == instance && flow.ends_with(port)).count()
    };
    assert_eq!((at("nft.1", ":80"), at("monitor.1", ":80")), (streams.len(), streams.len()), "{flows:#?}");
    assert_eq!((at("nft.1", ":81"), at("monitor.1", ":81")), (1, 0), "what nft drops goes nowhere else");
    // nft itself has seen them.
    let record: Value =
        serde_json::from_slice(&std::fs::read(bed.state.path().join("e2/test/record.json")).unwrap())
            .unwrap();
    let pid = record["held"][0]["process"]["pid"].to_string();
    let counters = must(Command::new("nsenter").args(["-t", &pid, "-n", "nft", "list", "counters"]));
    println!("{counters}");
    let packets = |name: &str| -> u64 {
        let behind = counters.split(name).nth(1).unwrap().split("packets ").nth(1).unwrap();
        behind.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(packets("refused") >= 1 && packets("passed") >= 50);
    must(&mut bed.weft(&["stop"]));
    let holder: host::ProcessId = serde_json::from_value(record["held"][0]["process"].clone()).unwrap();
    assert!(!holder.is_alive(), "what held it has ended");
}

#[test]
fn what_cannot_run_is_told_and_leaves_nothing_behind() {
    let bed = Bed::new();
    let live = include_str!("../../../e2/examples/live.yaml");
    let file = bed.state.path().join("wrong.yaml");
    for (good, bad, told) in [
        ("    run: [monitor]\n", "", "`monitor` has no `run`"),
        ("run: [monitor]", "run: [monitors]", "no network function `monitors`"),
        ("permit out any any", "permit out anything", "firewall"),
        (", at: \"veth:left\"", "", "the port `left` has no `at`"),
        ("veth:left", "veth:elsewhere", "elsewhere"),
        ("veth:left", "wire:left", "wire:left"),
        ("inside: [left]", "inside: [lefd]", "there is no port `lefd`"),
    ] {
        assert!(live.contains(good), "{good}");
        std::fs::write(&file, live.replace(good, bad)).unwrap();
        let run = bed.weft(&["up", file.to_str().unwrap()]).output().unwrap();
        let error = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{bad}: {error}");
        // Lines of an error are broken where they are long.
        let joined = error.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(joined.contains(told), "{bad}: {joined}");
        assert_eq!(bed.wires(), [] as [String; 0], "{bad}");
        assert_eq!(bed.weft(&["ps"]).output().unwrap().status.code(), Some(1));
    }
}
