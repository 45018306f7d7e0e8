//! `weft pox` and Open vSwitch, with real traffic: what the components are for, and the faults of POX that ours must not have.
//!
//! Root, network namespaces of their own.

mod lab;
mod routers;
mod service;
mod trees;

use std::process::Stdio;
use std::time::Duration;

use lab::{Lab, eventually};

const BOTH: [&str; 2] = ["OpenFlow10", "OpenFlow13"];
const WEB: &str = "web.webcore web.jsonrpc openflow.of_service";

/// Bits per second that TCP moves from one host to another.
fn tcp(lab: &Lab, from: &lab::Host, to: &lab::Host) -> f64 {
    lab.spawn_in(&to.name, &["iperf3", "-s", "-1"]);
    let mut rate = None;
    eventually("iperf3 measures", || {
        let output = lab.attempt(&from.name, &["iperf3", "-c", &to.ip, "-t", "2", "-J"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        rate.is_some()
    });
    rate.unwrap()
}

#[test]
fn a_learning_switch_carries_pings_and_tcp() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let hosts = [lab.host(1, 1), lab.host(2, 1)];
        let _controller = lab.controller(&format!("forwarding.l2_learning {WEB}"), 1);
        lab.reaches(&hosts[0], "10.0.0.2");
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 10), 10);
        let rate = tcp(&lab, &hosts[0], &hosts[1]);
        assert!(rate > 1e6, "{rate} bit/s");
        let flows = lab.ask("get_flow_stats", r#"{"dpid":"1","match":{"dl_type":"IP","nw_proto":6}}"#);
        let packets: u64 =
            flows.as_array().unwrap().iter().map(|flow| flow["packet_count"].as_u64().unwrap()).sum();
        assert!(packets > 100, "TCP went through the switch's flows: {flows}");
        lab.assert_healthy();
    }
}

/// Fault 2: POX leaves a host that has moved unreachable for 25 s.
#[test]
fn a_host_that_moves_is_reached_again_within_a_second() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        (1..=2).for_each(|number| lab.switch(number));
        lab.link(1, 2);
        let (mover, other) = (lab.host(1, 1), lab.host(3, 2));
        let _controller = lab.controller(&format!("forwarding.l2_learning {WEB}"), 2);
        lab.reaches(&other, "10.0.0.1");
        assert_eq!(lab.ping(&other, "10.0.0.1", 5), 5);
        lab.replug(&mover, 2);
        // A host whose carrier comes back announces itself, as network managers have it.
        lab.attempt(&mover.name, &["arping", "-q", "-U", "-c", "1", "-I", "h1-eth0", "10.0.0.1"]);
        let lost = 40 - lab.ping(&other, "10.0.0.1", 40);
        assert!(lost < 20, "{lost} pings lost, one every 50 ms");
        lab.assert_healthy();
    }
}

/// Fault 4: every ICMP error raises in POX's parser, for every listener.
#[test]
fn icmp_errors_are_packets_like_any_others() {
    let lab = Lab::new("OpenFlow10");
    lab.switch(1);
    let hosts = [lab.host(1, 1), lab.host(2, 1)];
    // The hub has every packet come to the controller; the dump parses each of them.
    let _controller =
        lab.controller(&format!("info.packet_dump forwarding.hub host_tracker proto.dns_spy {WEB}"), 1);
    lab.reaches(&hosts[0], "10.0.0.2");
    // An unreachable port, and a hop limit that is used up.
    lab.attempt(&hosts[0].name, &["traceroute", "-n", "-q", "2", "-w", "1", "-m", "2", "10.0.0.2"]);
    let output =
        lab.attempt(&hosts[0].name, &["traceroute", "-n", "-q", "1", "-w", "2", "-m", "1", "10.0.0.2"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("10.0.0.2"),
        "the error came through: {output:?}"
    );
    lab.assert_healthy();
}

/// Fault 5: a ring under POX's l2_learning makes 1,723 frames of one ARP in 5 s.
#[test]
fn on_a_ring_a_broadcast_goes_round_once() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        (1..=3).for_each(|number| lab.switch(number));
        for (one, other) in [(1, 2), (2, 3), (3, 1)] {
            lab.link(one, other);
        }
        let hosts = [lab.host(1, 1), lab.host(2, 2), lab.host(3, 3)];
        let line = format!("openflow.discovery openflow.spanning_tree forwarding.l2_learning {WEB}");
        let _controller = lab.controller(&line, 3);
        lab.reaches(&hosts[0], "10.0.0.2");
        lab.reaches(&hosts[0], "10.0.0.3");
        let before = lab.received(&hosts[2]);
        // Somebody who is not there: one broadcast for each try.
        lab.attempt(&hosts[0].name, &["arping", "-q", "-c", "3", "-w", "3", "-I", "h1-eth0", "10.0.0.77"]);
        std::thread::sleep(Duration::from_secs(2));
        let frames = lab.received(&hosts[2]) - before;
        assert!((3..30).contains(&frames), "{frames} frames of 3 broadcasts, discovery's own among them");
        lab.assert_healthy();
    }
}

/// Fault 1: POX's l2_multi floods nothing on switches that keep no packets, as Open vSwitch does not; so ARP is never answered.
#[test]
fn paths_over_a_triangle_carry_traffic_and_survive_a_link() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        (1..=3).for_each(|number| lab.switch(number));
        let (end, _) = lab.link(1, 2);
        for (one, other) in [(2, 3), (3, 1)] {
            lab.link(one, other);
        }
        let hosts = [lab.host(1, 1), lab.host(2, 2), lab.host(3, 3)];
        let line =
            format!("openflow.discovery --link-timeout=3 openflow.spanning_tree forwarding.l2_multi {WEB}");
        let _controller = lab.controller(&line, 3);
        lab.reaches(&hosts[0], "10.0.0.2");
        lab.reaches(&hosts[0], "10.0.0.3");
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 10), 10);
        lab.inside("sw", &["ip", "link", "set", &end, "down"]);
        lab.reaches(&hosts[0], "10.0.0.2");
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 10), 10, "by the other two");
        lab.assert_healthy();
    }
}

#[test]
fn discovery_finds_the_links_and_sees_them_fail() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        (1..=3).for_each(|number| lab.switch(number));
        lab.link(1, 2);
        let (end, _) = lab.link(2, 3);
        let line = format!("openflow.discovery --link-timeout=3 openflow.topology host_tracker {WEB}");
        let _controller = lab.controller(&line, 3);
        let links = || lab.ask("topology.get", "{}")["links"].as_array().unwrap().len();
        eventually("both links are found", || links() == 2);
        lab.inside("sw", &["ip", "link", "set", &end, "down"]);
        eventually("the link is gone", || links() == 1);
        lab.inside("sw", &["ip", "link", "set", &end, "up"]);
        eventually("the link is back", || links() == 2);
        lab.assert_healthy();
    }
}

/// Fault 3: POX's balancer raises on every packet after a server dies with an answer due; the client hangs.
#[test]
fn a_service_outlives_its_servers() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let client = lab.host(9, 1);
        let weft = env!("CARGO_BIN_EXE_weft");
        let servers = [lab.host(1, 1), lab.host(2, 1)];
        for server in &servers {
            lab.spawn_in(&server.name, &[weft, "tool", "web", "--listen", "80"]);
        }
        let line = format!(
            "misc.ip_loadbalancer --ip=10.0.1.1 --servers=10.0.0.1,10.0.0.2 forwarding.l2_learning {WEB}"
        );
        let controller = lab.controller(&line, 1);
        controller.says("server 10.0.0.");
        controller.says("server 10.0.0.");
        let curl = |seconds| {
            let output = lab.attempt(&client.name, &["curl", "-sS", "-m", seconds, "http://10.0.1.1/"]);
            output.status.success()
        };
        eventually("the service answers", || curl("5"));
        assert!((0..6).all(|_| curl("10")));
        // One dies, and connections are made to it before anybody has noticed: an answer is due that never comes.
        lab.inside("sw", &["ip", "link", "set", &servers[0].switch_end, "down"]);
        let curl_timed =
            ["curl", "-sS", "-m", "12", "-o", "/dev/null", "-w", "%{time_total}", "http://10.0.1.1/"];
        let due: Vec<_> = (0..4)
            .map(|_| {
                let mut curl = lab.command_in(&client.name, &curl_timed);
                curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let times: Vec<f64> = due
            .into_iter()
            .map(|curl| {
                let output = curl.wait_with_output().unwrap();
                assert!(output.status.success(), "the client hangs: {output:?}");
                String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
            })
            .collect();
        assert!(times.iter().any(|seconds| *seconds > 0.9), "one of them had to ask again: {times:?}");
        controller.says("answers no more");
        assert!((0..6).all(|_| curl("10")), "the other server answers for both");
        lab.inside("sw", &["ip", "link", "set", &servers[0].switch_end, "up"]);
        controller.says("server 10.0.0.1 is at port");
        assert!((0..4).all(|_| curl("10")));
        lab.assert_healthy();
    }
}

/// Fault 6: POX's of_01 collapses under 16 switches that flood packet-ins.
#[test]
fn a_flood_of_packet_ins_leaves_other_switches_served() {
    for (protocols, version) in [("OpenFlow10", "1.0"), ("OpenFlow13", "1.3")] {
        let lab = Lab::new(protocols);
        // Out of the way of those that flood, which have the datapaths from 1 on.
        lab.switch(200);
        let hosts = [lab.host(1, 200), lab.host(2, 200)];
        let controller = lab.controller(&format!("forwarding.l2_learning {WEB}"), 1);
        lab.reaches(&hosts[0], "10.0.0.2");
        let weft = env!("CARGO_BIN_EXE_weft");
        let mut flood = lab.command_in("sw", &[weft, "openflow", "bench", "tcp:127.0.0.1:6653", "--json"]);
        flood.args(["--switches", "16", "--hosts", "100", "--no-buffers", "--duration", "5s"]);
        flood.args(["--version", version]);
        let flood = std::thread::spawn(move || flood.output().unwrap());
        controller.says("switch 0000000000000010 ");
        let mut answered = 0;
        while !flood.is_finished() {
            // The next ping is a packet-in again, of either direction.
            lab.ofctl(200, &["del-flows"], &["icmp"]);
            answered += lab.ping(&hosts[0], "10.0.0.2", 1);
        }
        let output = flood.join().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(report["disconnected"], 0, "{report}");
        let fewest = report["responses_per_s_per_switch"][0].as_f64().unwrap();
        assert!(fewest > 10.0, "every switch that floods is answered too: {report}");
        assert!(answered > 3, "{answered} pings answered beside the flood");
        // What they have sent is read before it is seen that they are gone.
        eventually("those that flooded are gone, the other is not", || {
            lab.ask("get_switches", "{}").as_array().map(Vec::len) == Some(1)
        });
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 10), 10);
        lab.assert_healthy();
    }
}

#[test]
fn hosts_behind_one_address_reach_the_outside() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let inside = [lab.host_with(1, 1, "192.168.0.1/24"), lab.host_with(2, 1, "192.168.0.2/24")];
        let outside = lab.host_with(9, 1, "192.0.2.1/24");
        for host in &inside {
            lab.inside(&host.name, &["ip", "route", "add", "default", "via", "192.168.0.254"]);
        }
        let port = lab.vsctl(&["get", "interface", &outside.switch_end, "ofport"]);
        let weft = env!("CARGO_BIN_EXE_weft");
        lab.spawn_in(&outside.name, &[weft, "tool", "web", "--listen", "80"]);
        let line = format!(
            "misc.nat --switch=1 --outside-port={} --outside-ip=192.0.2.2/24 --gateway=192.0.2.1 forwarding.l2_learning {WEB}",
            port.trim()
        );
        let _controller = lab.controller(&line, 1);
        for host in &inside {
            eventually("the outside answers", || {
                lab.attempt(&host.name, &["curl", "-sS", "-m", "5", "http://192.0.2.1/"]).status.success()
            });
            assert_eq!(lab.ping(host, "192.0.2.1", 5), 5);
        }
        lab.reaches(&inside[0], "192.168.0.2");
        assert_eq!(lab.ping(&outside, "192.0.2.2", 3), 3, "the address itself answers");
        lab.assert_healthy();
    }
}

#[test]
fn hosts_get_addresses() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let hosts = [lab.host_with(1, 1, ""), lab.host_with(2, 1, "")];
        let line = format!(
            "proto.dhcpd --network=10.9.0.0/24 --ip=10.9.0.254 --first=10 forwarding.l2_learning {WEB}"
        );
        let _controller = lab.controller(&line, 1);
        let addresses: Vec<String> = hosts
            .iter()
            .map(|host| {
                let interface = format!("{}-eth0", host.name);
                let client = [
                    "busybox",
                    "udhcpc",
                    "-f",
                    "-q",
                    "-n",
                    "-t",
                    "10",
                    "-T",
                    "2",
                    "-s",
                    "/bin/true",
                    "-i",
                    &interface,
                ];
                let output = lab.attempt(&host.name, &client);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{said}");
                let address = said
                    .split("lease of ")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').next())
                    .unwrap_or_else(|| panic!("{said}"));
                lab.inside(&host.name, &["ip", "addr", "add", &format!("{address}/24"), "dev", &interface]);
                address.to_owned()
            })
            .collect();
        assert_eq!(addresses, ["10.9.0.10", "10.9.0.11"]);
        lab.reaches(&hosts[0], "10.9.0.11");
        lab.assert_healthy();
    }
}
