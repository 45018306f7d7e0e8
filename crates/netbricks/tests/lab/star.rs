//! Hosts of their own namespace, each on a wire to a function in the middle; where several are at one gate, on a switch.
//!
//! ```text
//!  host 0 [eth0]──veth──[p0]┐            ┌[p1]──veth──[switch]──veth──[eth0] host 1
//!                           └ [function] ┤               └──veth──[eth0] host 2
//!                              middle    └[p2]──veth──[eth0] host 3
//! ```

use netbricks::NetworkFunction;
use netbricks::functions::{self, Setup};
use netbricks::live::{Handle, Summary};

use super::{Netns, Running, function};

/// Hosts on wires to a function. Fields are dropped in order: the function before its namespaces.
pub struct Star {
    running: Option<Running>,
    pub hosts: Vec<Netns>,
    middle: Netns,
    ports: Vec<String>,
}

impl Star {
    /// One host at each gate; each has addresses of its own on `eth0`, and more as `ip` takes it. In the middle is a
    /// function.
    pub fn new(hosts: &[&[&str]], name: &str, words: &[&str]) -> Self {
        let gates: Vec<_> = hosts.iter().map(std::slice::from_ref).collect();
        let mut star = Self::idle(&gates);
        star.run_one(name, words);
        star
    }

    /// Hosts by gate, nobody in the middle yet. The n-th of all has the Ethernet address 02:00:00:00:01:0n.
    pub fn idle(gates: &[&[&[&str]]]) -> Self {
        let middle = Netns::new("mid");
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for (gate, side) in gates.iter().enumerate() {
            let port = format!("p{gate}");
            if side.len() > 1 {
                middle.ip(&format!("link add s{gate} type bridge"));
                middle.ip(&format!("link set s{gate} up"));
                middle.ip(&format!("link add {port} type veth peer name q{gate}"));
                middle.ip(&format!("link set q{gate} master s{gate} up"));
            }
            for commands in *side {
                let at = hosts.len();
                let host = Netns::new(&format!("h{at}"));
                let wire = if side.len() > 1 { format!("w{at}") } else { port.clone() };
                middle.ip(&format!("link add {wire} type veth peer name eth0 netns {}", host.name()));
                if side.len() > 1 {
                    middle.ip(&format!("link set {wire} master s{gate} up"));
                }
                host.ip(&format!("link set eth0 address 02:00:00:00:01:0{at} up"));
                commands.iter().for_each(|command| host.ip(command));
                hosts.push(host);
            }
            middle.ip(&format!("link set {port} up"));
            ports.push(format!("packet:{port}"));
        }
        middle.without_ipv6();
        Self { running: None, hosts, middle, ports }
    }

    /// `ip` in the middle, such as `link set p0 mtu 1300`.
    pub fn middle(&self) -> &Netns {
        &self.middle
    }

    /// Puts a function in the middle.
    pub fn run(&mut self, make: impl FnOnce(&Setup) -> Box<dyn NetworkFunction> + Send + 'static) {
        self.running = Some(Running::start(&self.middle, &self.ports, make));
    }

    /// Puts one function in the middle, not contained: it may have more than two gates.
    pub fn run_one(&mut self, name: &str, words: &[&str]) {
        let name = name.to_owned();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.run(move |setup| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            function(&name, &words, &setup.pool)
        });
    }

    /// Puts functions in a line, each contained, in the middle.
    pub fn run_line(&mut self, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.run(move |setup| Box::new(functions::build(&words, setup).unwrap()));
    }

    pub fn handle(&self) -> &Handle {
        self.running.as_ref().expect("a function runs").handle()
    }

    /// What the function has counted so far.
    pub fn report(&self) -> Summary {
        self.handle().report().unwrap()
    }

    /// Ends the run; another may take its place.
    pub fn end(&mut self) -> Summary {
        self.running.take().expect("a function runs").finish()
    }

    /// Ends the run, and takes the hosts away.
    pub fn finish(mut self) -> Summary {
        self.end()
    }
}
