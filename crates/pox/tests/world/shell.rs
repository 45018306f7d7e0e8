//! The shell (`py`), line by line, with switches of either version.

use std::cell::RefCell;
use std::rc::Rc;

use super::{SECOND, configs, launched, line};
use pox::components::py::{self, COMMANDS};
use pox::world::World;

/// What a line is answered with, once the switches had a second.
fn say(world: &mut World, line: &str) -> String {
    let answer = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&answer);
    py::run(world.core_mut(), line, move |text| *kept.borrow_mut() = Some(text));
    world.run_for(SECOND).unwrap();
    let text = answer.borrow_mut().take();
    text.unwrap_or_else(|| panic!("no answer to {line}"))
}

fn shell(config: &pox::world::WorldConfig) -> World {
    launched(&line(2), config.clone(), "openflow.discovery host_tracker")
}

#[test]
fn flows_are_written_read_and_removed_in_ovs_ofctls_words() {
    for config in configs() {
        let mut world = shell(&config);
        assert_eq!(say(&mut world, "del-flows 1"), "done", "those of the components");
        assert_eq!(say(&mut world, "flow-mod 1 priority=10,in_port=1 actions=output:2"), "done");
        assert_eq!(say(&mut world, "add-flow 1 priority=10,in_port=2 actions=output:1"), "done");
        let flows = say(&mut world, "flows 1");
        let lines: Vec<&str> = flows.lines().collect();
        let first = lines.iter().any(|line| line.ends_with("priority=10,in_port=1 actions=output:2"));
        assert!(lines.len() == 2 && first, "{flows}");
        assert_eq!(say(&mut world, "flows 1 in_port=2").lines().count(), 1);
        assert!(say(&mut world, "tables 1").starts_with("table 0: 2 flows"), "{flows}");
        // They carry packets, and count them.
        say(&mut world, "flow-mod 2 actions=flood");
        assert!(world.ping_within("h1", "h2", SECOND).unwrap().is_some());
        assert!(!say(&mut world, "flows 1").contains("n_packets=0,"));
        assert_eq!(say(&mut world, "flow-mod 1 modify,in_port=1 actions=drop"), "done");
        assert!(say(&mut world, "flows 1 in_port=1").ends_with("actions=drop"));
        assert_eq!(say(&mut world, "del-flows 1 in_port=1"), "done");
        assert_eq!(say(&mut world, "flows 1").lines().count(), 1);
        assert_eq!(say(&mut world, "del-flows 1"), "done");
        assert_eq!(say(&mut world, "flows 1"), "none");
        assert_eq!(say(&mut world, "tables 2").lines().count(), 1);
    }
}

#[test]
fn what_a_switch_refuses_is_named_and_what_is_misspelt_is_pointed_at() {
    for config in configs() {
        let mut world = shell(&config);
        assert_eq!(
            say(&mut world, "flow-mod 1 actions=output:77"),
            "error: the switch refused it: OFPBAC_BAD_OUT_PORT"
        );
        // The next one is another's.
        assert_eq!(say(&mut world, "flow-mod 1 in_port=1 actions=output:2"), "done");
        let wrong = say(&mut world, "flow-mod 1 ip,nw_dts=10.0.0.1 actions=output:2");
        let lines: Vec<&str> = wrong.lines().collect();
        assert_eq!(lines[0], "error: `nw_dts` is no field");
        assert_eq!(lines[1].find("nw_dts"), lines[2].find('^'), "{wrong}");
        assert!(lines[3].contains("nw_dst"), "{wrong}");
        for (line, wanted) in [
            ("flows", "which switch?"),
            ("flows 9", "switch 0000000000000009 is not connected"),
            ("flows x", "not a datapath id"),
            ("flow-mod 1", "actions"),
            ("packet-out 1 actions=flood", "write it as"),
            ("packet-out 1 packet=0 actions=flood", "no pairs of hexadecimal digits"),
            ("packet-out 1 packet=00 actions=fly", "fly"),
            ("start nobody", "there is no component 'nobody'"),
            ("start openflow.discovery", "may be launched once"),
            ("start forwarding.hub --reactiv", "it takes no --reactiv"),
            ("stop nobody", "no component 'nobody' runs"),
            ("log silent", "levels are"),
            ("help nobody", "there is no command or component 'nobody'"),
            ("describe 1 more", "`more` is more than it takes"),
            ("nonsense", "there is no command 'nonsense'"),
            ("methods", "start web.jsonrpc"),
        ] {
            let said = say(&mut world, line);
            assert!(said.starts_with("error: ") && said.contains(wanted), "{line}: {said}");
        }
    }
}

#[test]
fn the_network_is_shown_as_it_is_known() {
    for config in configs() {
        let mut world = shell(&config);
        world.announce("h1").unwrap();
        world.run_for(30 * SECOND).unwrap();
        let switches = say(&mut world, "switches");
        assert_eq!(switches.lines().count(), 2, "{switches}");
        assert!(switches.starts_with("0000000000000001  OF1."), "{switches}");
        let ports = say(&mut world, "ports 2");
        assert!(ports.starts_with("0000000000000002\n  1  s2-eth1  "), "{ports}");
        assert!(ports.lines().skip(1).all(|line| line.ends_with("up")), "{ports}");
        assert_eq!(say(&mut world, "ports").lines().filter(|line| !line.starts_with(' ')).count(), 2);
        let links = say(&mut world, "links");
        assert!(links.contains("0000000000000001 port ") && links.contains(" -> 0000000000000002 port "));
        assert_eq!(links.lines().count(), 2, "each way: {links}");
        let hosts = say(&mut world, "hosts");
        assert!(hosts.contains("02:00:00:00:00:01  0000000000000001 port "), "{hosts}");
        let stats = say(&mut world, "port-stats 1");
        assert!(stats.contains("port") && stats.contains("rx pkts="), "{stats}");
        assert!(say(&mut world, "describe 1").contains("Software: "));
        assert!(say(&mut world, "stats").starts_with("2 switches, up "));
        assert!(say(&mut world, "stats 1").contains(" packet-ins, "));
        assert_eq!(say(&mut world, "stop host_tracker"), "stopped host_tracker");
        assert!(say(&mut world, "hosts").contains("`start host_tracker` does"));
        assert_eq!(say(&mut world, "start host_tracker"), "started host_tracker");
        assert_eq!(say(&mut world, "hosts"), "none");
    }
}

#[test]
fn packets_are_sent_where_they_are_told_to() {
    for config in configs() {
        let mut world = shell(&config);
        say(&mut world, "flow-mod 2 actions=flood");
        let before = world.counters().frames;
        let frame = "ffffffffffff0200000000aa88b5".to_owned() + &"00".repeat(46);
        assert_eq!(
            say(&mut world, &format!("packet-out 1 packet={frame} actions=output:1,output:2")),
            "done"
        );
        assert!(world.counters().frames > before);
        assert_eq!(
            say(&mut world, &format!("packet-out 1 in_port=1,packet=0x{frame},actions=output:99")),
            "error: the switch refused it: OFPBAC_BAD_OUT_PORT"
        );
    }
}

#[test]
fn every_command_explains_itself_by_an_example_that_runs() {
    let mut world = shell(&configs()[0]);
    let listed = say(&mut world, "help");
    for command in COMMANDS {
        assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(command.name)));
        let said = say(&mut world, &format!("help {}", command.name));
        let example = said.lines().last().unwrap().trim().strip_prefix("such as: ").unwrap();
        assert_eq!(example, command.example);
        assert!(said.starts_with(format!("{} {}", command.name, command.arguments).trim_end()), "{said}");
    }
    assert!(say(&mut world, "help openflow.discovery").contains("--link-timeout"));
    say(&mut world, "stop openflow.discovery");
    say(&mut world, "start forwarding.l2_learning");
    say(&mut world, "start web.jsonrpc");
    say(&mut world, "start openflow.of_service");
    for command in COMMANDS.iter().filter(|command| command.name != "quit") {
        let said = say(&mut world, command.example);
        let version_10 = matches!(command.name, "groups" | "meters") && said.contains("not sent");
        let known = said.starts_with("error: the switch refused it: ");
        assert!(!said.starts_with("error: ") || version_10 || known, "{}: {said}", command.example);
    }
    assert_eq!(say(&mut world, "quit"), "bye");
}
