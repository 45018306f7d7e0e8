//! Rings of Open vSwitch bridges under the components that keep loops out.

use crate::lab::Lab;
use crate::{BOTH, WEB};

/// Hosts on a ring reach one another, broadcasts go round once, and a link that is cut is not missed.
fn a_ring_carries_traffic_and_no_storm(line: &str) {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        (1..=3).for_each(|number| lab.switch(number));
        let (end, _) = lab.link(1, 2);
        lab.link(2, 3);
        lab.link(3, 1);
        let hosts = [lab.host(1, 1), lab.host(2, 2), lab.host(3, 3)];
        let _controller = lab.controller(&format!("openflow.discovery {line} {WEB}"), 3);
        // From the first packet on, while nobody knows the links yet.
        let stranger = || {
            let words = ["arping", "-q", "-c", "1", "-w", "1", "-I", "h1-eth0", "10.0.0.77"];
            let before = lab.received(&hosts[2]);
            lab.attempt(&hosts[0].name, &words);
            lab.received(&hosts[2]) - before
        };
        let frames = stranger();
        assert!(frames < 20, "{frames} frames of a broadcast at first");
        let everybody = || {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                lab.reaches(&hosts[from], &hosts[to].ip);
                assert_eq!(lab.ping(&hosts[from], &hosts[to].ip, 5), 5);
            }
        };
        everybody();
        lab.inside("sw", &["ip", "link", "set", &end, "down"]);
        everybody();
        lab.inside("sw", &["ip", "link", "set", &end, "up"]);
        let frames = stranger();
        assert!((1..20).contains(&frames), "{frames} frames of a broadcast when the link is back");
        everybody();
        lab.assert_healthy();
    }
}

#[test]
fn a_spanning_tree_keeps_loops_out_of_a_ring() {
    a_ring_carries_traffic_and_no_storm("openflow.spanning_tree forwarding.l2_learning");
}

#[test]
fn a_forest_keeps_loops_out_of_a_ring() {
    a_ring_carries_traffic_and_no_storm("openflow.spanning_forest forwarding.l2_learning");
}

#[test]
fn a_slice_needs_no_say_over_the_ports_of_a_ring() {
    a_ring_carries_traffic_and_no_storm("forwarding.l2_flowvisor");
}
