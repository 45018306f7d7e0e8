//! Linux is the judge: the same routes in a network namespace and in a table must send every address the same way.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Output, Stdio};

use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Lpm, Prefix};

const ROUTES: usize = 4000;
const ADDRESSES: usize = 6000;

/// A network namespace with one interface, removed when dropped.
struct Netns(String);

impl Netns {
    fn new(family: &str) -> Self {
        let ns = Self(format!("wt-lpm-{}-{family}", std::process::id()));
        done("netns add", &ip(&["netns", "add", &ns.0], ""));
        let links = "link set lo up\nlink add d0 type veth peer name d1\nlink set d0 up\nlink set d1 up\naddr add 192.168.0.1/32 dev d0\n\
                     addr add fd00:ffff::1/128 dev d0 nodad\n";
        done("links", &ns.batch(&[], links));
        ns
    }

    fn batch(&self, options: &[&str], lines: &str) -> Output {
        ip(&[&["-n", &self.0], options, &["-batch", "-"]].concat(), lines)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip(8)");
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).expect("ip reads"));
        child.wait_with_output().expect("ip ends")
    })
}

fn done(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The number of the next hop the kernel takes, for each address it has a route to.
fn kernel<A: Address>(ns: &Netns, addresses: &[A]) -> HashMap<String, u32> {
    let lines = addresses.iter().fold(String::new(), |mut lines, address| {
        writeln!(lines, "route get {address}").expect("memory");
        lines
    });
    // Unreachable addresses are errors, on which only -force goes on.
    let output = ns.batch(&["-force", "-o"], &lines);
    let errors = String::from_utf8_lossy(&output.stderr);
    let unreachable = errors.lines().filter(|line| line.contains("unreachable")).count();
    let routes: HashMap<_, _> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let via = words.iter().position(|&word| word == "via").expect(line) + 1;
            let hop = words[via].rsplit(['.', ':']).next().expect("a number");
            (words[0].to_owned(), hop.parse().expect("a number"))
        })
        .collect();
    assert_eq!(routes.len() + unreachable, addresses.len(), "{errors}");
    routes
}

fn compare<A: Address>(ns: &Netns, table: &Lpm<A, u32>, addresses: &[A]) -> usize {
    let judge = kernel(ns, addresses);
    for address in addresses {
        assert_eq!(table.lookup(*address), judge.get(&address.to_string()).copied(), "{address}");
    }
    judge.len()
}

/// `via` names next hop `n` by its last number, in decimal digits.
fn agree<A: Address>(
    family: &str,
    via: &str,
    routes: &[(Prefix<A>, u32)],
    special: impl Fn(A) -> bool,
    seed: u64,
) {
    println!("seed {seed:#x}");
    let (ns, mut table, mut random) = (Netns::new(family), Lpm::new(), Random(seed));
    let line = |verb: &str, prefix: Prefix<A>, hop: u32| {
        format!("route {verb} {prefix} via {via}{hop} dev d0 onlink\n")
    };
    let mut lines = String::new();
    for &(prefix, hop) in routes {
        table.insert(prefix, hop + 1).expect("room");
        lines += &line("add", prefix, hop + 1);
    }
    done("routes", &ns.batch(&[], &lines));

    let mut addresses = BTreeSet::new();
    while addresses.len() < ADDRESSES {
        let route = routes[random.below(routes.len() as u64) as usize].0;
        let near = Prefix::containing(route.address(), route.len().saturating_sub(4)).expect("shorter");
        let inside = [route.address(), route.last(), sample::address_in(route, &mut random)];
        addresses.extend(
            inside.into_iter().chain([sample::address_in(near, &mut random)]).filter(|&a| !special(a)),
        );
    }
    let addresses: Vec<_> = addresses.into_iter().collect();
    let reached = compare(&ns, &table, &addresses);
    assert!(
        reached > ADDRESSES / 2 && reached < addresses.len(),
        "{reached} of {} have a route",
        addresses.len()
    );

    let mut lines = line("add", Prefix::ALL, 99);
    table.insert(Prefix::ALL, 99).expect("room");
    for &(prefix, hop) in routes {
        if random.below(2) == 0 {
            table.remove(prefix).expect("there");
            lines += &line("del", prefix, hop + 1);
        }
    }
    done("changes", &ns.batch(&[], &lines));
    assert_eq!(compare(&ns, &table, &addresses), addresses.len(), "all have the default route");
}

#[test]
fn linux_routes_ipv4_alike() {
    let special = |address: Ipv4Addr| {
        let [first, second, ..] = address.octets();
        first == 0 || first == 127 || first >= 224 || (first, second) == (192, 168)
    };
    agree("v4", "192.168.7.", &sample::ipv4(ROUTES, 0x41), special, 0x42);
}

#[test]
fn linux_routes_ipv6_alike() {
    let special = |address: Ipv6Addr| address.segments()[0] >> 13 != 1;
    agree("v6", "fd00:ffff::7:", &sample::ipv6(ROUTES, 0x61), special, 0x62);
}
