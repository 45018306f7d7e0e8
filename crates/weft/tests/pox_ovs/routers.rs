//! An Open vSwitch bridge as a router, beside BIRD, a router of another's.

use crate::lab::{Lab, eventually};
use crate::{BOTH, WEB};

const BIRD: &str = r#"
router id 10.0.2.9;
protocol device { scan time 1; }
protocol direct { ipv4; }
protocol kernel { ipv4 { import none; export where source = RTS_RIP; }; }
protocol rip {
    ipv4 { import all; export all; };
    interface "h9-eth0" { mode multicast; update time 2; timeout time 6; garbage time 4; };
}
"#;

/// Host 1 is behind the bridge, host 8 behind BIRD; each router tells the other of its own.
#[test]
fn routes_are_exchanged_with_bird() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let host = lab.host_with(1, 1, "10.0.1.2/24");
        let router = lab.host_with(9, 1, "10.0.2.9/24");
        let far = lab.host_behind(&router, 8, "10.77.0.2/24", "10.77.0.1/24");
        lab.inside(&host.name, &["ip", "route", "add", "default", "via", "10.0.1.1"]);
        lab.inside(&far.name, &["ip", "route", "add", "default", "via", "10.77.0.1"]);
        let config = lab.file("bird.conf", BIRD);
        let socket = config.replace("bird.conf", "bird.ctl");
        let line = format!(
            "proto.rip --switch=1 --interfaces={}=10.0.1.1/24,{}=10.0.2.1/24 --passive={} --update=2 {WEB}",
            host.switch_end, router.switch_end, host.switch_end
        );
        let _controller = lab.controller(&line, 1);
        lab.spawn_in(&router.name, &["bird", "-f", "-c", &config, "-s", &socket]);
        lab.reaches(&host, &far.ip);
        assert_eq!(lab.ping(&host, &far.ip, 10), 10);
        assert_eq!(lab.ping(&far, "10.0.1.1", 3), 3, "the router itself");
        let hops = lab.attempt(&host.name, &["ping", "-n", "-c", "1", &far.ip]);
        let hops = String::from_utf8_lossy(&hops.stdout).into_owned();
        assert!(hops.contains("ttl=62"), "two routers: {hops}");
        let origin = || {
            let answer = lab.ask("proto.rip.routes", "{}");
            let routes = answer["routes"].as_array().unwrap().clone();
            let found = routes.into_iter().find(|route| route["prefix"] == "10.77.0.0/24");
            found.map_or(String::new(), |route| {
                format!("{} {}", route["origin"].as_str().unwrap(), route["metric"])
            })
        };
        assert_eq!(origin(), "learned 2");
        let theirs = lab.inside(&router.name, &["birdc", "-s", &socket, "show", "route", "10.0.1.0/24"]);
        assert!(theirs.contains("via 10.0.2.1 on h9-eth0"), "{theirs}");
        // BIRD's network is gone: it says so at once.
        lab.inside(&router.name, &["ip", "link", "set", &far.switch_end, "down"]);
        eventually("the route is out of reach", || origin() == "gone 16" || origin().is_empty());
        assert_eq!(lab.ping(&host, &far.ip, 1), 0);
        lab.inside(&router.name, &["ip", "link", "set", &far.switch_end, "up"]);
        lab.reaches(&host, &far.ip);
        let answer = lab.ask("proto.rip.routes", "{}");
        assert_eq!(
            (answer["malformed"].as_u64(), answer["refused"].as_u64()),
            (Some(0), Some(0)),
            "{answer}"
        );
        assert!(answer["heard"].as_u64().unwrap() > 0);
        lab.assert_healthy();
    }
}
