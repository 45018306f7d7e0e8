//! Classes that choose a gate.

use std::collections::BTreeMap;

use packet::wire::{EtherType, tcp};
use softnic::bess::pb;

use crate::bess_kit::bench::Bench;
use crate::bess_kit::frames::{datagram, segment, tagged};
use crate::{EMPTY, ENDS, NO_ARG, attribute, metadata, of, other, pass};

/// A frame of each of so many flows.
fn flows(count: u16, six: bool) -> Vec<Vec<u8>> {
    let from = if six { "[fd00::1]" } else { "10.0.0.1" };
    let [_, to] = ENDS[usize::from(six)];
    (0..count).map(|port| datagram([&format!("{from}:{}", 1000 + port), to], b"x")).collect()
}

/// The gates that frames leave at, in order.
fn gates(bench: &Bench, frames: &[Vec<u8>]) -> Vec<usize> {
    let gate = |frame: &Vec<u8>| {
        bench.send(0, frame);
        let (gate, out) = bench.next();
        assert_eq!(out, *frame);
        gate
    };
    frames.iter().map(gate).collect()
}

/// The gates of frames that come in one batch; how many left at each.
fn batch(bench: &mut Bench, frames: &[Vec<u8>]) -> Vec<usize> {
    bench.daemon.must("PauseAll", &EMPTY);
    frames.iter().for_each(|frame| bench.send(0, frame));
    bench.daemon.must("ResumeAll", &EMPTY);
    let mut counts = vec![0; bench.sockets.len()];
    frames.iter().for_each(|_| counts[bench.next().0] += 1);
    counts
}

#[test]
fn bpf_sends_to_the_gate_of_the_filter() {
    let filter =
        |priority, filter: &str, gate| pb::bpf_arg::Filter { priority, filter: filter.to_owned(), gate };
    let arg = pb::BpfArg { filters: vec![filter(1, "udp dst port 53", 1), filter(2, "ip6", 2)] };
    let [four, six] = ENDS.map(|ends| datagram(ends, b"x"));
    let cases =
        [(0, four.clone(), 1, four.clone()), (0, six.clone(), 2, six.clone()), (0, other(), 0, other())];
    let mut bench = pass(&[of("BPF", &arg)], 4, &cases);
    let more = pb::BpfArg { filters: vec![filter(3, "udp", 3)] };
    bench.ask::<_, pb::EmptyArg>("add", &more);
    assert_eq!(gates(&bench, &[four.clone(), six.clone()]), [3, 3]);
    bench.ask::<_, pb::EmptyArg>("delete", &more);
    assert_eq!(bench.ask::<_, pb::BpfArg>("get_initial_arg", &NO_ARG).filters.len(), 2);
    assert_eq!(gates(&bench, &[four.clone(), six.clone()]), [1, 2]);
    bench.ask::<_, pb::EmptyArg>("clear", &NO_ARG);
    assert_eq!(gates(&bench, &[four, six]), [0, 0]);
}

#[test]
fn hash_lb_keeps_flows_together() {
    for six in [false, true] {
        let mut bench =
            Bench::new("HashLB", &pb::HashLbArg { gates: vec![0, 1, 2, 3], ..Default::default() }, 5);
        let [from, to] = ENDS[usize::from(six)];
        let frames = flows(64, six);
        let by_flow = gates(&bench, &frames);
        assert!((0..4).all(|gate| by_flow.contains(&gate)), "{by_flow:?}");
        assert_eq!(gates(&bench, &frames), by_flow);
        // Both directions of a flow have one gate.
        let there = datagram([from, to], b"x");
        let back = datagram([to, from], b"x");
        assert_eq!(gates(&bench, &[there]), gates(&bench, &[back]));
        let mode = |mode: &str| pb::HashLbCommandSetModeArg { mode: mode.to_owned(), fields: vec![] };
        for name in ["l3", "l2"] {
            bench.ask::<_, pb::EmptyArg>("set_mode", &mode(name));
            let by_host = gates(&bench, &frames);
            assert!(by_host.iter().all(|gate| *gate == by_host[0]), "{name}: {by_host:?}");
        }
        // The source port alone: 14 bytes of Ethernet, 20 or 40 of IP.
        let ports = vec![crate::field(if six { 54 } else { 34 }, 2)];
        bench.ask::<_, pb::EmptyArg>(
            "set_mode",
            &pb::HashLbCommandSetModeArg { mode: String::new(), fields: ports },
        );
        let by_port = gates(&bench, &frames);
        assert!((0..4).all(|gate| by_port.contains(&gate)), "{by_port:?}");
        bench.ask::<_, pb::EmptyArg>("set_gates", &pb::HashLbCommandSetGatesArg { gates: vec![4] });
        assert_eq!(gates(&bench, &frames), [4; 64]);
        assert_eq!(bench.command("set_mode", &mode("l7")).error.unwrap().code, 22);
    }
}

#[test]
fn random_split_drops_and_spreads() {
    let arg = pb::RandomSplitArg { drop_rate: 0.0, gates: vec![0, 1] };
    let mut bench = Bench::new("RandomSplit", &arg, 3);
    let frames = flows(64, false);
    let drawn = gates(&bench, &frames);
    assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2), "{drawn:?}");
    let rate = |drop_rate| pb::RandomSplitCommandSetDroprateArg { drop_rate };
    bench.ask::<_, pb::EmptyArg>("set_droprate", &rate(1.0));
    frames.iter().for_each(|frame| bench.send(0, frame));
    bench.wait_for(128);
    assert_eq!(bench.at_once(), None);
    bench.ask::<_, pb::EmptyArg>("set_droprate", &rate(0.0));
    bench.ask::<_, pb::EmptyArg>("set_gates", &pb::RandomSplitCommandSetGatesArg { gates: vec![2] });
    assert_eq!(gates(&bench, &frames), [2; 64]);
    assert_eq!(bench.command("set_droprate", &rate(1.5)).error.unwrap().code, 22);
}

#[test]
fn replicate_lets_a_copy_out_at_every_gate() {
    let mut bench = Bench::new("Replicate", &pb::ReplicateArg { gates: vec![0, 1] }, 3);
    bench.send(0, &other());
    assert_eq!((bench.receive(0), bench.receive(1)), (other(), other()));
    bench.ask::<_, pb::EmptyArg>("set_gates", &pb::ReplicateCommandSetGatesArg { gates: vec![2] });
    assert_eq!(bench.through(0, &other(), 2), other());
    assert_eq!(bench.at_once(), None);
    let many = pb::ReplicateCommandSetGatesArg { gates: vec![0; 33] };
    assert_eq!(bench.command("set_gates", &many).error.unwrap().code, 22);
}

#[test]
fn round_robin_takes_turns_by_packet_or_batch() {
    let arg = pb::RoundRobinArg { gates: vec![0, 1], mode: "packet".to_owned() };
    let mut bench = Bench::new("RoundRobin", &arg, 3);
    let frames = flows(4, false);
    assert_eq!(gates(&bench, &frames), [0, 1, 0, 1]);
    assert_eq!(batch(&mut bench, &frames), [2, 2, 0]);
    let mode = |mode: &str| pb::RoundRobinCommandSetModeArg { mode: mode.to_owned() };
    bench.ask::<_, pb::EmptyArg>("set_mode", &mode("batch"));
    assert_eq!(batch(&mut bench, &frames), [4, 0, 0]);
    assert_eq!(batch(&mut bench, &frames), [0, 4, 0]);
    bench.ask::<_, pb::EmptyArg>("set_gates", &pb::RoundRobinCommandSetGatesArg { gates: vec![2] });
    assert_eq!(gates(&bench, &frames), [2; 4]);
    assert_eq!(bench.command("set_mode", &mode("flow")).error.unwrap().code, 22);
}

#[test]
fn split_reads_the_gate_from_the_packet_or_an_attribute() {
    // The last byte of the destination address.
    let arg = pb::SplitArg { size: 1, r#type: Some(pb::split_arg::Type::Offset(5)) };
    let to = |gate: u8| {
        let mut frame = other();
        frame[5] = gate;
        frame
    };
    pass(&[of("Split", &arg)], 3, &[(0, to(2), 2, to(2)), (0, to(0), 0, to(0)), (1, to(1), 1, to(1))]);
    let named = pb::SplitArg { size: 2, r#type: Some(pb::split_arg::Type::Attribute("gate".to_owned())) };
    pass(&[metadata(&[("gate", &[0, 1])]), of("Split", &named)], 2, &[(0, other(), 1, other())]);
}

#[test]
fn vlan_split_takes_the_tag_off() {
    for ends in ENDS {
        let frame = datagram(ends, b"x");
        let cases = [
            (0, tagged(&frame, EtherType::VLAN, 2), 2, frame.clone()),
            (0, tagged(&frame, EtherType::QINQ, 1), 1, frame.clone()),
            (0, frame.clone(), 0, frame),
        ];
        pass(&[of("VLANSplit", &pb::VlanSplitArg {})], 3, &cases);
    }
}

#[test]
fn worker_split_knows_who_brought_a_packet() {
    let mut bench = Bench::new("WorkerSplit", &pb::WorkerSplitArg::default(), 3);
    let frames = [other()];
    assert_eq!(gates(&bench, &frames), [0], "of worker 0");
    let reset = |pairs: &[(u32, u32)]| pb::WorkerSplitArg { worker_gates: pairs.iter().copied().collect() };
    bench.ask::<_, pb::EmptyArg>("reset", &reset(&[(0, 2), (1, 1)]));
    assert_eq!(gates(&bench, &frames), [2]);
    // Of a worker that it does not name.
    bench.ask::<_, pb::EmptyArg>("reset", &reset(&[(1, 1)]));
    bench.send(0, &other());
    bench.wait_for(3);
    assert_eq!(bench.at_once(), None);
    // The second socket is brought in by another worker.
    let socket1 = pb::TrafficClass { leaf_module_name: "in1".to_owned(), wid: 1, ..Default::default() };
    bench.daemon.must("AddWorker", &pb::AddWorkerRequest { wid: 1, core: 0, ..Default::default() });
    bench.daemon.must("UpdateTcParent", &pb::UpdateTcParentRequest { class: Some(socket1) });
    bench.daemon.must("ResumeAll", &EMPTY);
    assert_eq!(bench.through(1, &other(), 1), other());
    bench.ask::<_, pb::EmptyArg>("reset", &pb::WorkerSplitArg::default());
    assert_eq!(gates(&bench, &frames), [0]);
    assert_eq!(bench.command("reset", &reset(&[(64, 0)])).error.unwrap().code, 22);
}

#[test]
fn metadata_test_joins_gates_and_declares_attributes() {
    let sizes =
        |pairs: &[(&str, i64)]| pairs.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    let arg = pb::MetadataTestArg {
        read: sizes(&[("r", 2)]),
        write: sizes(&[("w", 4)]),
        update: sizes(&[("u", 8)]),
    };
    let cases = [(0, other(), 0, other()), (1, other(), 1, other())];
    let given = pb::SetMetadataArg { attrs: vec![attribute("r", &[1, 2]), attribute("u", &[0; 8])] };
    let mut bench = pass(&[of("MetadataTest", &arg)], 2, &cases);
    let declared = |bench: &mut Bench, name: &str| {
        let request = pb::GetModuleInfoRequest { name: name.to_owned() };
        let info: pb::GetModuleInfoResponse = bench.daemon.ask("GetModuleInfo", &request);
        let entry =
            |one: pb::get_module_info_response::Attribute| (one.name, (one.size, one.mode, one.offset));
        info.metadata.into_iter().map(entry).collect::<BTreeMap<_, _>>()
    };
    let alone = declared(&mut bench, "m0");
    assert_eq!((alone["r"].0, alone["r"].1.as_str(), alone["w"].0, alone["u"].0), (2, "read", 4, 8));
    assert!(alone["r"].2 < 0 && alone["w"].2 < 0, "nobody writes one and nobody reads the other: {alone:?}");
    let mut pair =
        pass(&[of("SetMetadata", &given), of("MetadataTest", &arg)], 1, &[(0, other(), 0, other())]);
    let [writer, reader] = ["m0", "m1"].map(|name| declared(&mut pair, name));
    assert_eq!((writer["r"].2, writer["u"].2), (reader["r"].2, reader["u"].2));
    assert!(reader["r"].2 >= 0 && reader["u"].2 >= 0, "{reader:?}");
}

#[test]
fn url_filter_answers_for_what_is_on_the_list() {
    let url = |host: &str| pb::url_filter_arg::Url { host: host.to_owned(), path: "/".to_owned() };
    let ask = |ends: [&str; 2], host: &str| {
        let call = segment(ends, tcp::Flags::SYN, b"");
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut request = segment(ends, tcp::Flags::ACK, text.as_bytes());
        let l4 = if ends[0].starts_with('[') { 54 } else { 34 };
        // The first byte behind the SYN.
        let mut view = tcp::View::new_unchecked(&mut request[l4..]);
        view.set_sequence(1);
        let [from, to] = ends.map(|end| end.parse::<std::net::SocketAddr>().unwrap().ip());
        view.fill_checksum(from, to);
        [call, request]
    };
    let forbidden = b"HTTP/1.1 403 Bad Forbidden";
    for [from, to] in ENDS {
        let mut bench = Bench::new("UrlFilter", &pb::UrlFilterArg { blacklist: vec![url("bad.example")] }, 2);
        for frame in ask([from, to], "good.example") {
            assert_eq!(bench.through(0, &frame, 0), frame);
        }
        let refused = |bench: &Bench, from: &str, host: &str| {
            let [call, request] = ask([from, to], host);
            assert_eq!(bench.through(0, &call, 0), call);
            bench.send(0, &request);
            let (reset, answer, end) = (bench.receive(0), bench.receive(1), bench.receive(1));
            assert!(reset.len() < request.len() && end.len() < answer.len());
            assert!(answer.windows(forbidden.len()).any(|part| part == forbidden));
        };
        let second = from.replace("1000", "1001");
        refused(&bench, &second, "bad.example");
        // From outside everything passes.
        let back = segment([to, from], tcp::Flags::ACK, b"hello");
        assert_eq!(bench.through(1, &back, 1), back);
        bench.ask::<_, pb::EmptyArg>("add", &pb::UrlFilterArg { blacklist: vec![url("worse.example")] });
        refused(&bench, &from.replace("1000", "1002"), "worse.example");
        let config: pb::UrlFilterConfig = bench.ask("get_runtime_config", &NO_ARG);
        assert_eq!(config.blacklist, [url("bad.example"), url("worse.example")]);
        bench.ask::<_, pb::EmptyArg>("clear", &NO_ARG);
        for frame in ask([&from.replace("1000", "1003"), to], "bad.example") {
            assert_eq!(bench.through(0, &frame, 0), frame);
        }
        bench.ask::<_, pb::EmptyArg>("set_runtime_config", &config);
        refused(&bench, &from.replace("1000", "1004"), "bad.example");
    }
}
