//! ns-3 3.44, as it comes from PyPI, judges the TCP that RC3 is measured against: without loss and load every flow takes what it takes there,
//! to 0.1 %.

mod judge;

use judge::Judge;
use rc3::simulate::{Fabric, Flow, Limits, PAPER_SIZES, internet2, run};
use rc3::{LowConfig, SenderConfig};
use sim::{NodeId, Time};
use topology::{Topology, load};

/// The most that a time may be off ns-3's.
const OFF_MOST: f64 = 0.001;
const SEGMENT: u64 = 1_460;

/// A flow of every size of the table from one host to another, each alone.
fn table(from: NodeId, to: NodeId) -> Vec<Flow> {
    let flow = |(start, (segments, _)): (u64, (u64, f64))| Flow {
        start: Time::from_secs(start),
        from,
        to,
        bytes: segments * SEGMENT,
        config: 0,
    };
    (0..).step_by(100).zip(PAPER_SIZES).map(flow).collect()
}

/// By how much times are off ns-3's, as a share.
fn off(judge: &Judge, topology: &Topology, flows: &[Flow], config: SenderConfig) -> Vec<f64> {
    let net = Fabric::new(topology).unwrap().network(1, |link| link).unwrap();
    let outcome = run(net, flows, &[config], Limits::default());
    let found = judge.run(topology, flows, &config, false);
    let times = outcome.finished.iter().zip(&found.finished);
    times.map(|(own, ns3)| own.unwrap().secs_f64() / ns3.unwrap().secs_f64() - 1.0).collect()
}

#[test]
fn every_size_of_the_table_takes_what_it_takes_in_ns3() {
    let judge = Judge::build();
    let tcp = SenderConfig::default();
    for (mbit, ms) in [(1_000, 40), (10_000, 40), (1_000, 100), (100, 100)] {
        let topology = load::edge_list(&format!("a b {mbit} {ms}")).unwrap();
        let fabric = Fabric::new(&topology).unwrap();
        let flows = table(fabric.host("a").unwrap(), fabric.host("b").unwrap());
        for window in [4, 10] {
            let off = off(&judge, &topology, &flows, SenderConfig { initial_window: window, ..tcp });
            println!("{mbit} Mbit/s, {ms} ms each way, window {window}: {off:.6?} off");
            assert!(off.iter().all(|off| off.abs() <= OFF_MOST), "{mbit} Mbit/s, {ms} ms: {off:?}");
        }
        // The judge can say no.
        let rc3 = off(&judge, &topology, &flows, tcp.with_low(LowConfig::paper()));
        assert!(rc3[4..].iter().all(|off| *off < -10.0 * OFF_MOST), "{rc3:?}");
    }
}

#[test]
fn so_it_does_across_the_baseline() {
    let judge = Judge::build();
    let topology = internet2();
    let fabric = Fabric::new(&topology).unwrap();
    for name in ["21", "14", "19"] {
        let flows = table(fabric.host("10").unwrap(), fabric.host(name).unwrap());
        let off = off(&judge, &topology, &flows, SenderConfig::default());
        println!("10 to {name}: {off:.6?} off");
        assert!(off.iter().all(|off| off.abs() <= OFF_MOST), "10 to {name}: {off:?}");
    }
}
