//! The tables of `interop net`.

use super::{Report, Route};
use crate::cpu::{Spent, Split};
use crate::measure::{Cost, Udp};
use crate::peer::Kind;
use crate::table::{figure, markdown, median};

/// Aims of the dataplane's TCP: against the kernel bridge, and against Open vSwitch as it comes.
const AIM_BRIDGE: f64 = 0.5;
const AIM_OVS: f64 = 5.0;
/// Above this share, others disturbed the measurement.
const BACKGROUND_MAX: f64 = 0.05;

/// What weft is compared with.
struct Yardsticks {
    bridge: f64,
    ovs: f64,
    ovs_tso: f64,
}

impl Yardsticks {
    /// The kernel bridge, and the faster of Open vSwitch's kinds of port without and with its offload.
    fn new(report: &Report, value: impl Fn(&Route) -> f64) -> Self {
        let best = |kinds: &[Kind]| {
            let values = report.paths.iter().filter(|path| kinds.contains(&path.kind)).map(&value);
            values.fold(f64::NAN, f64::max)
        };
        Self {
            bridge: best(&[Kind::Bridge]),
            ovs: best(&[Kind::OvsVeth, Kind::OvsTap]),
            ovs_tso: best(&[Kind::OvsVethTso, Kind::OvsTapTso]),
        }
    }

    fn columns(&self, value: f64) -> [String; 3] {
        [self.bridge, self.ovs, self.ovs_tso].map(|yardstick| figure(value / yardstick))
    }
}

/// Prints everything.
pub(super) fn print(report: &Report) {
    let machine = &report.machine;
    println!(
        "\n{} × {}, Linux {}, Open vSwitch {}; {} s each, median of {} (lowest–highest), others used {:.0} %",
        machine.cpus,
        machine.cpu,
        machine.kernel,
        machine.open_vswitch,
        report.seconds,
        report.paths.first().map_or(0, |path| path.tcp.len()),
        machine.background * 100.0
    );
    if machine.background > BACKGROUND_MAX {
        println!("WARNING: the machine was not idle; CPU seconds count the others' work too");
    }
    println!("\nTCP, one iperf3 connection\n\n{}", tcp(report));
    println!("UDP, 64-byte frames, as fast as one sender goes\n\n{}", udp(report));
    let rate = report.paced_packets_per_second;
    println!("UDP, 64-byte frames, {rate} a second\n\n{}", paced(report));
    println!("Where the CPU time goes (CPUs busy; parts of that)\n\n{}", split(report));
    for path in &report.paths {
        println!("{}: {}", path.name, path.interface);
    }
    println!();
    for path in &report.paths {
        path.explained.iter().for_each(|line| println!("{line}"));
    }
    aims(report);
}

fn tcp_median(path: &Route) -> f64 {
    median(path.tcp.iter().map(|round| round.gigabits_per_second)).0
}

fn tcp(report: &Report) -> String {
    let yardsticks = Yardsticks::new(report, tcp_median);
    let rows = report.paths.iter().map(|path| {
        let spread = spread(path.tcp.iter().map(|round| round.gigabits_per_second));
        let cost = median(path.tcp.iter().map(|round| round.cost.machine.busy() / round.gigabytes)).0;
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let again = median(path.tcp.iter().map(|round| round.retransmits as f64)).0;
        let [bridge, ovs, ovs_tso] = yardsticks.columns(tcp_median(path));
        vec![path.name.into(), spread, bridge, ovs, ovs_tso, figure(cost), format!("{again:.0}")]
    });
    let heading = ["path", "Gbit/s", "× bridge", "× OVS", "× OVS+TSO", "CPU s / GB", "retransmits"];
    markdown(&heading, &rows.collect::<Vec<_>>())
}

fn udp(report: &Report) -> String {
    let efficiency = |path: &Route| middle(&path.udp, Udp::per_cpu_second);
    let yardsticks = Yardsticks::new(report, efficiency);
    let rows = report.paths.iter().map(|path| {
        let [bridge, ovs, ovs_tso] = yardsticks.columns(efficiency(path));
        vec![
            path.name.into(),
            thousands(middle(&path.udp, Udp::sent_per_second)),
            thousands(middle(&path.udp, Udp::delivered_per_second)),
            percent(middle(&path.udp, Udp::loss)),
            spread(path.udp.iter().map(|round| round.per_cpu_second() / 1e3)),
            bridge,
            ovs,
            ovs_tso,
            thousands(middle(&path.udp, Udp::per_dataplane_second)),
        ]
    });
    let heading = [
        "path",
        "sent k/s",
        "delivered k/s",
        "lost",
        "k / CPU s",
        "× bridge",
        "× OVS",
        "× OVS+TSO",
        "k / dataplane CPU s",
    ];
    markdown(&heading, &rows.collect::<Vec<_>>())
}

fn paced(report: &Report) -> String {
    let rows = report.paths.iter().map(|path| {
        let micros = |value: fn(&Cost) -> f64| {
            #[expect(clippy::cast_precision_loss, reason = "counts")]
            let each = |round: &Udp| value(&round.cost) * 1e6 / round.delivered as f64;
            figure(middle(&path.paced, each))
        };
        vec![
            path.name.into(),
            percent(middle(&path.paced, Udp::loss)),
            micros(|cost| cost.machine.busy()),
            if path.kind == Kind::Bridge { "—".into() } else { micros(|cost| cost.dataplane.total()) },
        ]
    });
    let heading = ["path", "lost", "CPU µs / packet", "dataplane CPU µs / packet"];
    markdown(&heading, &rows.collect::<Vec<_>>())
}

fn split(report: &Report) -> String {
    let seconds = f64::from(report.seconds);
    let mut rows = Vec::new();
    for path in &report.paths {
        let tcp: Vec<Cost> = path.tcp.iter().map(|round| round.cost).collect();
        let udp: Vec<Cost> = path.udp.iter().map(|round| round.cost).collect();
        for (load, costs) in [("TCP", tcp), ("UDP", udp)] {
            rows.push(shares(format!("{}, {load}", path.name), &costs, seconds));
        }
    }
    let heading = [
        "path",
        "CPUs busy",
        "user",
        "system",
        "softirq",
        "stolen",
        "dataplane CPUs",
        "of it user",
        "of it system",
    ];
    markdown(&heading, &rows)
}

#[expect(clippy::cast_precision_loss, reason = "rounds")]
fn shares(name: String, costs: &[Cost], seconds: f64) -> Vec<String> {
    let (mut machine, mut dataplane) = (Split::default(), Spent::default());
    for cost in costs {
        machine += cost.machine;
        dataplane += cost.dataplane;
    }
    let (seen, moving, time) = (machine.seen(), dataplane.total(), seconds * costs.len() as f64);
    let mut row = vec![
        name,
        figure(machine.busy() / time),
        percent(machine.user / seen),
        percent(machine.system / seen),
        percent((machine.softirq + machine.irq) / seen),
        percent(machine.steal / time),
    ];
    if moving > 0.0 {
        row.extend([
            figure(moving / time),
            percent(dataplane.user / moving),
            percent(dataplane.system / moving),
        ]);
    } else {
        row.extend(["—".into(), "—".into(), "—".into()]);
    }
    row
}

fn aims(report: &Report) {
    let Some(weft) = report.paths.iter().find(|path| path.kind == Kind::Weft) else { return };
    let yardsticks = Yardsticks::new(report, tcp_median);
    let ours = tcp_median(weft);
    for (what, yardstick, aim) in [
        ("the kernel bridge", yardsticks.bridge, AIM_BRIDGE),
        ("Open vSwitch's userspace datapath", yardsticks.ovs, AIM_OVS),
    ] {
        let ratio = ours / yardstick;
        if ratio.is_finite() {
            let met = if ratio >= aim { "met" } else { "missed" };
            println!("aim: TCP at least {aim} × {what}: {} ({met})", figure(ratio));
        }
    }
}

fn middle(rounds: &[Udp], value: impl Fn(&Udp) -> f64) -> f64 {
    median(rounds.iter().map(value)).0
}

fn spread(values: impl IntoIterator<Item = f64>) -> String {
    let (middle, low, high) = median(values);
    format!("{} ({}–{})", figure(middle), figure(low), figure(high))
}

fn thousands(value: f64) -> String {
    figure(value / 1e3)
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "—".into() }
}
