//! Linux as the judge of routes: a namespace that has them, and what it says of addresses.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Output, Stdio};

use lookup::lpm::sample::{self, Random};
use lookup::lpm::{Address, Prefix};

/// Next hop `n` of IPv4 routes is this and `n`, of IPv6 routes the other.
pub const VIA_V4: &str = "192.168.7.";
pub const VIA_V6: &str = "fd00:ffff::7:";

/// A network namespace with one interface, removed when dropped.
pub struct Netns(String);

impl Netns {
    pub fn new(family: &str) -> Self {
        let ns = Self(format!("wt-lpm-{}-{family}", std::process::id()));
        done("netns add", &ip(&["netns", "add", &ns.0], ""));
        let links = "link set lo up\nlink add d0 type veth peer name d1\nlink set d0 up\nlink set d1 up\naddr add 192.168.0.1/32 dev d0\n\
                     addr add fd00:ffff::1/128 dev d0 nodad\n";
        ns.batch("links", links);
        ns
    }

    /// Commands of `ip -batch` that must all do well.
    pub fn batch(&self, what: &str, lines: &str) {
        done(what, &self.tries(&[], lines));
    }

    fn tries(&self, options: &[&str], lines: &str) -> Output {
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

/// A line for [`Netns::batch`]: `verb` is `add` or `del`, and `hop` the last number of the next hop in decimal digits.
pub fn route<A: Address>(verb: &str, prefix: Prefix<A>, via: &str, hop: u32) -> String {
    format!("route {verb} {prefix} via {via}{hop} dev d0 onlink\n")
}

/// The number of the next hop the kernel takes, for each address it has a route to.
pub fn kernel<A: Address>(ns: &Netns, addresses: &[A]) -> HashMap<String, u32> {
    let lines = addresses.iter().fold(String::new(), |mut lines, address| {
        writeln!(lines, "route get {address}").expect("memory");
        lines
    });
    // Unreachable addresses are errors, on which only -force goes on.
    let output = ns.tries(&["-force", "-o"], &lines);
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

/// At least so many different addresses: first and last ones of routes, and some within them and around them.
pub fn addresses<A: Address>(
    routes: &[(Prefix<A>, u32)],
    count: usize,
    special: impl Fn(A) -> bool,
    random: &mut Random,
) -> Vec<A> {
    let mut addresses = BTreeSet::new();
    while addresses.len() < count {
        let route = routes[random.below(routes.len() as u64) as usize].0;
        let near = Prefix::containing(route.address(), route.len().saturating_sub(4)).expect("shorter");
        let inside = [route.address(), route.last(), sample::address_in(route, random)];
        addresses
            .extend(inside.into_iter().chain([sample::address_in(near, random)]).filter(|&a| !special(a)));
    }
    addresses.into_iter().collect()
}

/// Whether the kernel has its own ways with an address, whatever the routes.
pub fn is_special_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 0 || first == 127 || first >= 224 || (first, second) == (192, 168)
}

/// The same of IPv6.
pub fn is_special_v6(address: Ipv6Addr) -> bool {
    address.segments()[0] >> 13 != 1
}
