//! Classes that count, measure and show.

use packet::wire::EtherType;
use softnic::bess::pb;

use crate::bess_kit::bench::Bench;
use crate::bess_kit::frames::{datagram, framed};
use crate::{ENDS, NO_ARG, bytes, description, field, log, metadata, of, other, pass};

#[test]
fn counter_counts_by_number() {
    log::keep();
    const SESSION: u32 = 4711;
    let arg = pb::CounterArg { name_id: "ctr".to_owned(), check_exist: true, total: 5000 };
    let modules = [metadata(&[("ctr", &SESSION.to_ne_bytes())]), of("Counter", &arg)];
    let frame = other();
    let mut bench =
        pass(&modules, 1, &[(0, frame.clone(), 0, frame.clone()), (0, frame.clone(), 0, frame.clone())]);
    let tell = |bench: &mut Bench, command: &str, arg: Option<pb::CounterRemoveArg>| {
        let answer = match arg {
            Some(arg) => bench.daemon.command("m1", command, &arg),
            None => bench.daemon.command("m1", command, &NO_ARG),
        };
        assert_eq!(answer.error, None, "{command}");
        description(bench, "m1")
    };
    for wanted in ["1 sessions", "2 sessions"] {
        let answer = bench.daemon.command("m1", "add", &pb::CounterAddArg { ctr_id: SESSION });
        assert_eq!((answer.error, description(&mut bench, "m1").as_str()), (None, wanted));
    }
    let remove = Some(pb::CounterRemoveArg { ctr_id: SESSION });
    assert_eq!(tell(&mut bench, "remove", remove), "1 sessions");
    let said = log::wait_for("counter 4711: ", 1);
    assert_eq!(said, [format!("counter 4711: 2 packets, {} bytes", 2 * frame.len())]);
    // It has begun anew.
    assert_eq!(bench.through(0, &frame, 0), frame);
    assert_eq!(tell(&mut bench, "removeAll", None), "0 sessions");
    tell(&mut bench, "remove", remove);
    assert_eq!(log::wait_for("counter 4711: ", 2)[1], "counter 4711: 0 packets, 0 bytes");
    let none = pb::CreateModuleRequest {
        mclass: "Counter".to_owned(),
        arg: Some(crate::packed(&pb::CounterArg { total: 0, ..arg })),
        ..Default::default()
    };
    assert_eq!(bench.daemon.tell("CreateModule", &none).0, 22);
}

#[test]
fn flow_measure_reads_one_side_while_the_other_counts() {
    let modules = [
        metadata(&[("fseid", &7u64.to_ne_bytes()), ("pdr_id", &9u32.to_ne_bytes())]),
        of(
            "Timestamp",
            &pb::TimestampArg { r#type: Some(pb::timestamp_arg::Type::AttrName("timestamp".to_owned())) },
        ),
        of(
            "FlowMeasure",
            &pb::FlowMeasureArg { flag_attr_name: "side".to_owned(), entries: 16, leader: true },
        ),
        of(
            "FlowMeasure",
            &pb::FlowMeasureArg { flag_attr_name: "side".to_owned(), entries: 16, leader: false },
        ),
    ];
    let frame = other();
    let way = (0, frame.clone(), 0, frame.clone());
    let mut bench = pass(&modules, 1, &[way.clone(), way.clone(), way]);
    let read = |bench: &mut Bench, module: &str, flag_to_read, clear| {
        let ask = pb::FlowMeasureCommandReadArg {
            clear,
            latency_percentiles: vec![50.0, 99.0],
            jitter_percentiles: vec![50.0],
            flag_to_read,
        };
        let answer = bench.daemon.command(module, "read", &ask);
        assert_eq!(answer.error, None);
        let data = answer.data.unwrap_or_default().value;
        <pb::FlowMeasureReadResponse as prost::Message>::decode(&*data).unwrap().statistics
    };
    for module in ["m2", "m3"] {
        let counted = read(&mut bench, module, 1, false);
        let [session] = &counted[..] else { panic!("{module}: {counted:?}") };
        assert_eq!((session.fseid, session.pdr), (7, 9));
        assert_eq!((session.total_packets, session.total_bytes), (3, 3 * frame.len() as u64));
        let latency = session.latency.as_ref().unwrap();
        assert!(latency.percentile_values_ns.len() == 2 && latency.percentile_values_ns.is_sorted());
        assert_eq!(session.jitter.as_ref().unwrap().percentile_values_ns.len(), 1);
        assert_eq!(read(&mut bench, module, 2, false), []);
    }
    let flip = |bench: &mut Bench, module: &str| {
        bench.daemon.command(module, "flip", &pb::FlowMeasureCommandFlipArg {})
    };
    let old = flip(&mut bench, "m2").data.unwrap_or_default().value;
    assert_eq!(<pb::FlowMeasureFlipResponse as prost::Message>::decode(&*old).unwrap().old_flag, 1);
    assert_eq!(flip(&mut bench, "m3").error.unwrap().code, 22, "it does not lead");
    assert_eq!(bench.through(0, &frame, 0), frame);
    for module in ["m2", "m3"] {
        let packets = |of: &[pb::flow_measure_read_response::Statistic]| {
            of.iter().map(|one| one.total_packets).sum::<u64>()
        };
        assert_eq!(packets(&read(&mut bench, module, 2, true)), 1, "{module}");
        assert_eq!(packets(&read(&mut bench, module, 2, false)), 0, "{module}: cleared");
        assert_eq!(packets(&read(&mut bench, module, 1, false)), 3, "{module}");
    }
    let wrong = pb::FlowMeasureCommandReadArg { flag_to_read: 3, ..Default::default() };
    assert_eq!(bench.daemon.command("m2", "read", &wrong).error.unwrap().code, 22);
}

#[test]
fn dump_shows_a_packet_now_and_then() {
    log::keep();
    // So long that no second one comes unasked for, whatever the machine does.
    let mut bench = Bench::new("Dump", &pb::DumpArg { interval: 1e6 }, 1);
    let frame = other();
    for _ in 0..3 {
        assert_eq!(bench.through(0, &frame, 0), frame);
    }
    let shown = log::wait_for("m0: packet of ", 1);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with(&format!("m0: packet of {} bytes", frame.len())), "{shown:?}");
    assert!(shown[0].contains("02 00 00 00 00 02 02 00 00 00 00 01 88 cc"), "{shown:?}");
    for interval in [0.0, -1.0, f64::NAN] {
        assert_eq!(bench.command("set_interval", &pb::DumpArg { interval }).error.unwrap().code, 22);
    }
    // One begins with a short interval and is given a long one: it takes effect from the next packet that is shown.
    let mut other_bench = Bench::new("Dump", &pb::DumpArg { interval: 1e-9 }, 1);
    for _ in 0..3 {
        assert_eq!(other_bench.through(0, &frame[..40], 0), frame[..40]);
    }
    assert_eq!(log::wait_for("m0: packet of 40 ", 3).len(), 3);
    other_bench.ask::<_, pb::EmptyArg>("set_interval", &pb::DumpArg { interval: 1e6 });
    for _ in 0..3 {
        assert_eq!(other_bench.through(0, &frame[..41], 0), frame[..41]);
    }
    assert_eq!(log::wait_for("m0: packet of 41 ", 1).len(), 1);
}

#[test]
fn qos_meters_and_marks() {
    // Of IPv4 the source address, of IPv6 all 16 bytes of it.
    for ((ends, at, length), name) in [
        ((ENDS[0], 26, 4), &[10, 0, 0, 1][..]),
        ((ENDS[1], 22, 16), &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..]),
    ] {
        let frame = datagram(ends, &[7; 58]);
        let marked = [&[9][..], &frame[1..]].concat();
        let arg = pb::QosArg { fields: vec![field(at, length)], values: vec![field(0, 1)], entries: 16 };
        let mut bench = Bench::new("Qos", &arg, 6);
        let rule = |gate| pb::QosCommandAddArg {
            gate,
            cir: 1,
            pir: 2,
            cbs: 100,
            pbs: 200,
            fields: vec![bytes(name)],
            values: vec![bytes(&[9])],
            // What is left is 100 bytes: one committed burst.
            optional_deduct_len: Some(pb::qos_command_add_arg::OptionalDeductLen::DeductLen(
                frame.len() as i64 - 100,
            )),
            ..Default::default()
        };
        bench.ask::<_, pb::EmptyArg>("set_default_gate", &pb::QosCommandSetDefaultGateArg { gate: 5 });
        assert_eq!(bench.through(0, &frame, 5), frame, "there is no rule");
        bench.ask::<_, pb::EmptyArg>("add", &rule(4));
        assert_eq!(bench.through(0, &frame, 4), marked);
        bench.ask::<_, pb::EmptyArg>("add", &rule(0));
        // Bytes a second: nothing comes back within the test. One burst is committed, two are the peak.
        for colour in [1, 2, 3, 3] {
            assert_eq!(bench.through(0, &frame, colour), marked);
        }
        let key = pb::QosCommandDeleteArg { fields: vec![bytes(name)] };
        bench.ask::<_, pb::EmptyArg>("delete", &key);
        assert_eq!(bench.through(0, &frame, 5), frame);
        bench.ask::<_, pb::EmptyArg>("add", &rule(4));
        assert_eq!(bench.through(0, &frame, 4), marked);
        bench.ask::<_, pb::EmptyArg>("clear", &NO_ARG);
        assert_eq!(bench.through(0, &frame, 5), frame);
        for wrong in [rule(2), pb::QosCommandAddArg { cir: 0, ..rule(0) }] {
            assert_eq!(bench.command("add", &wrong).error.unwrap().code, 22);
        }
        let short = framed(EtherType::LLDP, b"");
        assert_eq!(bench.through(0, &short, 5), short);
    }
}
