//! The balancer in front of real servers: curl reaches nginx in three namespaces through it, and back ends come and go.

mod lab;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};

use lab::{KEY, Netns, Star, Web, until};
use lookup::maglev;
use netbricks::functions::{Backend, BackendsError, Maglev};
use packet::flow::{FlowHasher, FlowKey};
use packet::wire::IpProtocol;

/// The service, at an address that nobody has: the client knows the station of a router that is not there.
const VIP: &str = "192.0.2.10";
const CLIENT: [&str; 3] = [
    "addr add 10.0.0.100/24 dev eth0",
    "route add 192.0.2.10 dev eth0",
    "neigh add 192.0.2.10 lladdr 02:00:00:00:00:fe dev eth0 nud permanent",
];
/// Bytes of a transfer that takes six seconds.
const LONG: usize = 3_000_000;

/// Three servers at gate 0, a client at gate 1.
struct Site {
    webs: Vec<Option<Web>>,
    star: Star,
}

/// How the service's packets get to a server, which listens at this port.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Nat = 8080,
    DirectReturn = 80,
}

fn backend(number: usize, weight: u32, way: Way) -> String {
    format!("10.0.0.{number}:{},weight={weight},mac=02:00:00:00:01:0{}", way as u16, number - 1)
}

/// Each answer closes its connection and says whose it is; /long takes its time.
fn directives(server: &str) -> String {
    format!(
        "keepalive_timeout 0; default_type text/plain; add_header X-Server {server};
         location /long {{ limit_rate 500k; }}
         location / {{ return 200 \"{server} $remote_addr $remote_port\\n\"; }}"
    )
}

impl Site {
    fn new(weights: [u32; 3], way: Way) -> Self {
        // With direct return each server has the service's address, and answers from it.
        let server = |n| [format!("addr add 10.0.0.{n}/24 dev eth0"), format!("addr add {VIP}/32 dev lo")];
        let commands = [1, 2, 3].map(server);
        let count = if way == Way::DirectReturn { 2 } else { 1 };
        let servers: Vec<Vec<&str>> =
            commands.iter().map(|host| host[..count].iter().map(String::as_str).collect()).collect();
        let servers: Vec<&[&str]> = servers.iter().map(Vec::as_slice).collect();
        let mut star = Star::idle(&[&servers, &[&CLIENT]]);
        let mut words: Vec<String> = ["maglev", "vip=192.0.2.10:80/tcp"].map(str::to_owned).into();
        words.push(if way == Way::DirectReturn { "mode=dsr" } else { "mode=nat" }.to_owned());
        words.extend((1..).zip(weights).map(|(n, weight)| format!("backend={}", backend(n, weight, way))));
        star.run_line(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let web = |(n, host): (usize, &Netns)| {
            // Under NAT the server has never heard of the service's address: what it says is where the packet came.
            let itself = if way == Way::Nat { "$server_addr".to_owned() } else { format!("10.0.0.{n}") };
            let web = Web::with(host, &(way as u16).to_string(), &directives(&itself));
            std::fs::write(web.directory().join("long"), vec![b'x'; LONG]).unwrap();
            Some(web)
        };
        let webs = (1..).zip(&star.hosts[..3]).map(web).collect();
        Self { webs, star }
    }

    fn client(&self) -> &Netns {
        self.star.hosts.last().unwrap()
    }

    /// So many connections, one after the other: server, client, and port of each that was answered.
    fn connect(&self, count: usize) -> Vec<(Ipv4Addr, Ipv4Addr, u16)> {
        let said =
            self.client().tries(&format!("curl -sS --connect-timeout 5 -m 30 http://{VIP}/[1-{count}]"));
        let words = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let read = |words: Vec<&str>| match words[..] {
            [server, client, port] => Some((server.parse().ok()?, client.parse().ok()?, port.parse().ok()?)),
            _ => None,
        };
        words.filter_map(read).collect()
    }

    /// Begins transfers that take a while.
    fn begin_long(&self, count: usize) -> Vec<Child> {
        let curl = format!("curl -sS -m 20 -D - -o /dev/null -w size=%{{size_download}} http://{VIP}/long");
        (0..count)
            .map(|_| {
                self.client().program(&curl).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect()
    }

    /// How many connections each back end was given, as the function says.
    fn given(&self) -> BTreeMap<Ipv4Addr, u64> {
        let summary = self.star.report();
        let read = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some((words.first()?.parse().ok()?, words.get(words.len() - 2)?.parse().ok()?))
        };
        summary.stages[0].report.lines().iter().filter_map(read).collect()
    }

    fn set_backends(&self, numbers: &[usize]) {
        let backends: Vec<Backend> =
            numbers.iter().map(|n| backend(*n, 1, Way::Nat).parse().unwrap()).collect();
        let change = move |maglev: &mut Maglev| maglev.set_backends(backends.clone());
        self.star.handle().change::<Maglev, (), BackendsError>(change).unwrap().unwrap();
    }
}

fn count(servers: impl IntoIterator<Item = Ipv4Addr>) -> BTreeMap<Ipv4Addr, u64> {
    let mut counts = BTreeMap::new();
    servers.into_iter().for_each(|server| *counts.entry(server).or_default() += 1);
    counts
}

#[test]
fn every_connection_is_answered_and_shares_follow_weights_and_ring() {
    const COUNT: usize = 400;
    let weights = [1, 1, 2];
    let site = Site::new(weights, Way::Nat);
    let answered = site.connect(COUNT);
    assert_eq!(answered.len(), COUNT);
    let counts = count(answered.iter().map(|(server, ..)| *server));
    assert_eq!(counts, site.given(), "whom the function says it gave them to, and who answered");
    for (n, weight) in (1..).zip(weights) {
        // A connection's port is as good as drawn: within five standard deviations.
        let share = f64::from(weight) / 4.0;
        let (expected, deviation) = (COUNT as f64 * share, (COUNT as f64 * share * (1.0 - share)).sqrt());
        let got = counts[&Ipv4Addr::new(10, 0, 0, n)] as f64;
        assert!((got - expected).abs() < 5.0 * deviation, "{counts:?}: {expected:.0} ± {deviation:.1}");
    }
    // Another balancer under the same key, which knows nothing of this one, would have sent each to the same server.
    let names = [1, 2, 3].map(|n| format!("10.0.0.{n}:8080"));
    let backends: Vec<_> = names
        .iter()
        .zip(weights)
        .map(|(name, weight)| maglev::Backend { name: name.as_bytes(), weight })
        .collect();
    let hasher = FlowHasher::new(KEY);
    let ring = maglev::Maglev::new(maglev::SIZE_SMALL, &backends, hasher).unwrap();
    let service: (Ipv4Addr, u16) = (VIP.parse().unwrap(), 80);
    for (server, client, port) in answered {
        let key = FlowKey::new(IpProtocol::TCP, (client, port).into(), service.into()).unwrap();
        let chosen = ring.lookup(hasher.hash(&key));
        assert_eq!(names[chosen], format!("{server}:8080"), "{key}");
    }
}

#[test]
fn connections_outlive_their_back_ends_removal_and_new_ones_go_elsewhere() {
    let mut site = Site::new([1, 1, 1], Way::Nat);
    let transfers = site.begin_long(15);
    until("all are connected", || site.given().values().sum::<u64>() == 15);
    // The one with most of them is taken out, the one with fewest dies, and then all new ones go to the third.
    let mut order: Vec<(u64, usize)> =
        site.given().iter().map(|(server, n)| (*n, server.octets()[3].into())).collect();
    order.sort_unstable();
    let [(_, dying), (_, staying), (_, leaving)] = order[..] else { panic!("{order:?}") };
    let address = |number: usize| Ipv4Addr::new(10, 0, 0, number as u8);
    site.set_backends(&[dying, staying]);
    let answered = site.connect(60);
    let counts = count(answered.iter().map(|(server, ..)| *server));
    assert_eq!(answered.len(), 60, "{counts:?}");
    assert!(counts.len() == 2 && !counts.contains_key(&address(leaving)), "{counts:?}, without {leaving}");

    site.webs[dying - 1] = None;
    let answered = count(site.connect(60).iter().map(|(server, ..)| *server));
    assert!(answered.len() == 1 && answered[&address(staying)] < 60, "some are refused: {answered:?}");
    site.set_backends(&[staying]);
    assert_eq!(count(site.connect(60).iter().map(|(server, ..)| *server)), [(address(staying), 60)].into());

    let mut whole = BTreeMap::new();
    for transfer in transfers {
        let said = String::from_utf8(transfer.wait_with_output().unwrap().stdout).unwrap();
        let server = said.lines().find_map(|line| line.strip_prefix("X-Server: ")).expect(&said);
        let is_whole = said.ends_with(&format!("size={LONG}"));
        let number = usize::from(server.trim().parse::<Ipv4Addr>().unwrap().octets()[3]);
        assert_eq!(is_whole, number != dying, "at {number}, {dying} died: {said}");
        *whole.entry(number).or_insert(0) += u64::from(is_whole);
    }
    let (most, second) = (order[2].0, order[1].0);
    assert!(whole[&leaving] == most && whole[&staying] == second, "{whole:?} {order:?}");
}

#[test]
fn servers_with_the_services_address_answer_themselves() {
    let site = Site::new([1, 1, 1], Way::DirectReturn);
    let answered = site.connect(90);
    assert_eq!(answered.len(), 90);
    let counts = count(answered.iter().map(|(server, ..)| *server));
    assert!(counts == site.given() && counts.values().all(|count| *count > 5), "{counts:?}");
}
