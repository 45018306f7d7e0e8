//! What programs outside ask and change by JSON-RPC, beside what `ovs-ofctl` says of the same switch.

use crate::lab::Lab;
use crate::{BOTH, WEB};

/// A switch's flows, without counters, in order.
fn flows(lab: &Lab) -> Vec<String> {
    let listing = lab.ofctl(1, &["--no-stats", "--no-names", "dump-flows"], &[]);
    let lines = listing.lines().map(str::trim).filter(|line| line.contains("actions="));
    let mut flows: Vec<String> = lines.map(str::to_owned).collect();
    flows.sort_unstable();
    flows
}

/// A counter of a port, as the switch itself has it.
fn counter(lab: &Lab, port: u64, name: &str) -> u64 {
    let listing = lab.ofctl(1, &["dump-ports"], &[&port.to_string()]);
    let after = listing.split(&format!("{name} pkts=")).nth(1).unwrap_or_else(|| panic!("{listing}"));
    after.split(',').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{listing}"))
}

#[test]
fn flows_are_written_and_read_by_programs_outside() {
    for protocols in BOTH {
        let lab = Lab::new(protocols);
        lab.switch(1);
        let hosts = [lab.host(1, 1), lab.host(2, 1)];
        let [one, two] = [0, 1].map(|host: usize| {
            let port = lab.vsctl(&["get", "interface", &hosts[host].switch_end, "ofport"]);
            port.trim().parse::<u64>().unwrap()
        });
        let _controller = lab.controller(WEB, 1);
        let before = flows(&lab);

        // One more, in all that a flow can have.
        let flow = format!(
            r#"{{"match":{{"in_port":{one},"dl_type":"IP","nw_proto":6,"nw_dst":"10.1.0.0/16","tp_dst":80}},"priority":100,
                "idle_timeout":600,"hard_timeout":900,"cookie":5,
                "actions":[{{"type":"OFPAT_SET_DL_DST","dl_addr":"02:00:00:00:00:09"}},{{"type":"OFPAT_OUTPUT","port":{two}}}]}}"#
        );
        let change = |flow: &str| format!(r#"{{"dpid":"1","flow":{flow}}}"#);
        assert_eq!(lab.ask("add_flow", &change(&flow)), 1);
        let set = if protocols == "OpenFlow10" { "mod_dl_dst:" } else { "set_field:" };
        let after = flows(&lab);
        let new: Vec<&String> = after.iter().filter(|flow| !before.contains(flow)).collect();
        let [new] = new[..] else { panic!("{after:?}") };
        let parts = [
            "cookie=0x5",
            "idle_timeout=600, hard_timeout=900",
            "priority=100",
            &format!("tcp,in_port={one},nw_dst=10.1.0.0/16,tp_dst=80"),
            &format!("actions={set}02:00:00:00:00:09"),
            &format!(",output:{two}"),
        ];
        for part in parts.iter().copied() {
            assert!(new.contains(part), "{part}: {new}");
        }
        let told = lab.ask("get_flow_stats", r#"{"dpid":1,"match":{"dl_type":"IP","nw_proto":6}}"#);
        let told = &told.as_array().unwrap()[..];
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["cookie"], &told[0]["priority"]), (&5.into(), &100.into()));
        assert_eq!(told[0]["match"]["nw_dst"], "10.1.0.0/16");

        // What is wrong is refused, and changes nothing.
        let wrong = [
            (r#"{"match":{"nw_dts":"10.0.0.1"}}"#, "there is no field 'nw_dts'"),
            (
                r#"{"match":{"dl_type":"IP","nw_dst":"10.0.0.0/33"}}"#,
                "nw_dst: 10.0.0.0/33 is not a value of it",
            ),
            (
                r#"{"match":{"dl_type":"IPV6","nw_dst":"10.0.0.1"}}"#,
                "dl_type: \"IPV6\" does not go with the other fields",
            ),
            (r#"{"match":5}"#, "a match is an object"),
            (r#"{"priority":65536}"#, "priority is 0 to 65535"),
            (r#"{"actions":[{"type":"OFPAT_FLY"}]}"#, "there is no action 'OFPAT_FLY'"),
            // The switch's own refusal: no port has such a number.
            (
                r#"{"actions":[{"type":"OFPAT_OUTPUT","port":65290}]}"#,
                "the switch refused it: OFPBAC_BAD_OUT_PORT",
            ),
        ];
        for (flow, why) in wrong {
            let said = lab.refused("add_flow", &change(flow));
            assert!(said.contains(why), "{flow}: {said}");
        }
        let said = lab.refused("delete_flow", &change(wrong[0].0));
        assert!(said.contains(wrong[0].1), "{said}");
        let said = lab.refused("set_table", &format!(r#"{{"dpid":1,"flows":[{}]}}"#, wrong[0].0));
        assert!(said.contains(wrong[0].1), "{said}");
        assert!(lab.refused("set_table", r#"{"dpid":1}"#).contains("flows is a list"));
        let said = lab.refused("add_flow", r#"{"dpid":9,"flow":{}}"#);
        assert_eq!(said, "switch 0000000000000009 is not connected");
        // What 1.0 has no words for is said in Nicira's, or not at all.
        let ipv6 = r#"{"match":{"dl_type":"IPV6","ipv6_dst":"fd00::1"},"priority":7}"#;
        assert_eq!(lab.ask("add_flow", &change(ipv6)), 1);
        assert!(flows(&lab).iter().any(|flow| flow.ends_with("ipv6,ipv6_dst=fd00::1 actions=drop")));
        assert_eq!(lab.ask("delete_flow", &change(ipv6)), 1);
        let set = r#"{"match":{"dl_type":"IPV6"},"actions":[{"type":"OFPAT_SET_FIELD","field":"ipv6_dst","value":"fd00::1"}]}"#;
        if protocols == "OpenFlow10" {
            let said = lab.refused("add_flow", &change(set));
            assert_eq!(said, "not sent: OF1.0 cannot say setting ipv6_dst");
        } else {
            assert_eq!(lab.ask("add_flow", &change(set)), 1);
            assert_eq!(lab.ask("delete_flow", &change(set)), 1);
        }
        assert_eq!(flows(&lab), after);

        // One fewer: only of exactly that match and priority.
        lab.ask("delete_flow", &change(&flow.replace(r#""priority":100"#, r#""priority":101"#)));
        assert_eq!(flows(&lab), after);
        lab.ask("delete_flow", &change(&flow));
        assert_eq!(flows(&lab), before);

        // All of them, and they carry packets.
        let through = |from: u64, to: u64| {
            format!(r#"{{"match":{{"in_port":{from}}},"actions":[{{"type":"OFPAT_OUTPUT","port":{to}}}]}}"#)
        };
        let table = format!(r#"{{"dpid":"1","flows":[{},{}]}}"#, through(one, two), through(two, one));
        lab.ask("set_table", &table);
        assert_eq!(
            flows(&lab),
            [format!("in_port={one} actions=output:{two}"), format!("in_port={two} actions=output:{one}")]
        );
        let received = || {
            let ports = lab.ask("get_port_stats", r#"{"dpid":1}"#);
            let ports = ports.as_array().unwrap().clone();
            let port =
                ports.iter().find(|port| port["port_no"] == one).unwrap_or_else(|| panic!("{ports:?}"));
            port["rx_packets"].as_u64().unwrap()
        };
        let start = counter(&lab, one, "rx");
        lab.reaches(&hosts[0], "10.0.0.2");
        assert_eq!(lab.ping(&hosts[0], "10.0.0.2", 10), 10);
        // Hosts may say something of their own in between.
        let (at_first, told, at_last) = (counter(&lab, one, "rx"), received(), counter(&lab, one, "rx"));
        assert!(
            at_first >= start + 10 && (at_first..=at_last).contains(&told),
            "{at_first} {told} {at_last}"
        );

        let told = lab.ask("get_switch_desc", r#"{"dpid":1}"#);
        let theirs = lab.ofctl(1, &["dump-desc"], &[]);
        for name in ["mfr_desc", "hw_desc", "sw_desc", "serial_num", "dp_desc"] {
            let text = told[name].as_str().unwrap_or_else(|| panic!("{told}"));
            assert!(theirs.contains(&format!(": {text}\n")), "{name}: {told} {theirs}");
        }
        assert_eq!(told["hw_desc"], "Open vSwitch");
        lab.assert_healthy();
    }
}
