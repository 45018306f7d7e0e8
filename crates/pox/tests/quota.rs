//! Cuts off stations that send too many new flows.
//!
//! What such a station sends is dropped for a minute, but for the flows that it has. Others may listen to `CutOff`.
//!
//! | option | meaning |
//! |---|---|
//! | `--flows=N` | so many new flows in a minute are too many; 100 |
//!
//! Launch: `weft pox quota --flows=1000 forwarding.l2_learning`

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use openflow::Version;
use openflow::matching::Match;
use packet::wire::MacAddr;
use pox::components::py;
use pox::world::{World, WorldConfig};
use pox::{
    Component, Core, Event, Flow, Launcher, Listen, OPENFLOW, Options, OptionsError, PacketIn, Result,
    Verdict, info, kind, launch,
};

/// Counts new flows.
struct Quota {
    flows: u32,
    sent: HashMap<MacAddr, u32>,
}

/// A station is cut off.
struct CutOff(MacAddr);
impl Event for CutOff {}

fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Quota { flows: options.take_or("flows", 100)?, sent: HashMap::new() }))
}

impl Component for Quota {
    fn start(&mut self, core: &mut Core) -> Result {
        core.listen_with(OPENFLOW, Listen::priority(10), Self::packet_in); // before forwarding components
        core.every(Duration::from_secs(60), |this: &mut Self, _: &mut Core| this.sent.clear());
        Ok(())
    }
}

impl Quota {
    fn packet_in(&mut self, event: &PacketIn, core: &mut Core) -> Result<Verdict> {
        let sent = self.sent.entry(event.source()).or_default();
        *sent += 1;
        if *sent < self.flows {
            return Ok(Verdict::Continue);
        }
        info!(core, "{} is cut off", event.source());
        let all = Match::new().eth_src(event.source());
        core.send(event.connection, Flow::add(all).priority(0x9000).hard_timeout(60))?; // no action: drops
        core.raise(CutOff(event.source()));
        Ok(Verdict::Halt)
    }
}

// A component like the stock ones, but in a crate of its own: the same file is what is compiled and what the manual is read from.
fn launcher() -> Launcher {
    Launcher::stock().with(kind!("quota", "quota.rs", build))
}

fn start(world: &mut World, line: &str) -> std::result::Result<(), pox::LaunchError> {
    let lines = launch::read_words(line.split_whitespace())?;
    launcher().launch(world.core_mut(), &lines)
}

fn world(version: Version) -> World {
    let network = topology::generate::star(3, &topology::LinkSpec::default()).unwrap();
    World::new(&network, WorldConfig { versions: vec![version], ..WorldConfig::default() }).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_station_that_sends_a_hundred_new_flows_is_cut_off_for_a_minute() {
    for version in Version::ALL {
        let mut world = world(version);
        start(&mut world, "forwarding.l2_learning quota").unwrap();
        let cut: Rc<RefCell<Vec<MacAddr>>> = Rc::default();
        let kept = Rc::clone(&cut);
        world.core_mut().listen("quota", move |(): &mut (), event: &CutOff, _: &mut Core| {
            kept.borrow_mut().push(event.0);
        });
        world.run_for(SECOND).unwrap();
        assert_eq!(world.ping_all(SECOND).unwrap(), (6, 6));
        // Each is a flow of its own, and known to be one only once its packet has come to the controller.
        let bad = world.host("h1").unwrap().mac;
        let target = world.host("h2").unwrap().ip;
        let send = |world: &mut World, ports: std::ops::Range<u16>| {
            for port in ports {
                world.send_udp("h1", port, (target, 9), b"new").unwrap();
                world.run_for(SECOND / 100).unwrap();
            }
            world.host("h2").unwrap().datagrams().count()
        };
        assert_eq!(send(&mut world, 1000..1080), 80);
        assert!(cut.borrow().is_empty());
        let came = send(&mut world, 1080..1180);
        assert!((80..100).contains(&came), "{came}");
        assert_eq!(*cut.borrow(), [bad], "{version}: once, for it sends no packet-in any more");

        let flows = Rc::new(RefCell::new(String::new()));
        let kept = Rc::clone(&flows);
        py::run(world.core_mut(), "flows 1", move |text| *kept.borrow_mut() = text);
        world.run_for(SECOND).unwrap();
        let flows = flows.borrow();
        let drops: Vec<&str> = flows.lines().filter(|flow| flow.ends_with("actions=drop")).collect();
        let [drop] = drops[..] else { panic!("{flows}") };
        assert!(drop.contains("hard_timeout=60") && drop.contains(&format!("dl_src={bad} ")), "{drop}");
        assert!(world.ping_within("h3", "h2", SECOND).unwrap().is_some(), "others are not");
        // Its old flows are over too, then.
        world.run_for(35 * SECOND).unwrap();
        assert_eq!(world.ping_within("h1", "h2", SECOND).unwrap(), None);
        world.run_for(30 * SECOND).unwrap();
        assert!(world.ping_within("h1", "h2", SECOND).unwrap().is_some());
        assert!(world.core().health().iter().all(|health| health.failures == 0));
    }
}

#[test]
fn it_has_a_manual_and_options_as_the_stock_components_have() {
    let launcher = launcher();
    let kind = launcher.find("quota").unwrap();
    assert_eq!(kind.summary(), "Cuts off stations that send too many new flows.");
    let manual = kind.manual();
    assert!(
        manual.starts_with("Cuts off stations") && manual.ends_with("forwarding.l2_learning`"),
        "{manual}"
    );
    assert_eq!(launcher.kinds().len(), Launcher::stock().kinds().len() + 1);

    let mut world = world(Version::V13);
    let wrong = |world: &mut World, line| start(world, line).unwrap_err().to_string();
    assert_eq!(wrong(&mut world, "quota --flow=3"), "quota: it takes no --flow; it takes --flows");
    assert_eq!(wrong(&mut world, "quota quota"), "'quota' may be launched once");
    start(&mut world, "quota --flows=3").unwrap();
    assert_eq!(world.core().get::<Quota>("quota").unwrap().flows, 3);
}
