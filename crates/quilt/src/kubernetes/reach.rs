//! Which pod may reach which on what ports: what the network policies of a cluster let through.
//!
//! The semantics are those of the API reference of `NetworkPolicy`: a pod that no policy selects for a direction is
//! open in it; one that some do is open to what any of their rules allow; a connection needs both ends. A pod always
//! reaches itself. Blocks of addresses are about what is outside of the cluster, not about pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::manifest::{IpBlock, Peer, PolicyPort, PortName};
use super::ports::{PortSet, Transport};
use super::read::{Cluster, Policy, Workload};
use crate::fault::{Fault, Faults, Kind};

/// Most ranges of addresses times workloads that are told apart.
const OUTSIDE_MAX: usize = 4_000_000;

/// Addresses from one to another, both included; of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Range {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl Range {
    fn of(is_ipv6: bool, first: u128, last: u128) -> Range {
        let address = |bits: u128| match is_ipv6 {
            true => IpAddr::V6(Ipv6Addr::from_bits(bits)),
            false => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        };
        Range { first: address(first), last: address(last) }
    }

    /// Whether it is all addresses of its family.
    pub fn is_all(&self) -> bool {
        self.first.is_unspecified()
            && match self.last {
                IpAddr::V4(last) => last == Ipv4Addr::BROADCAST,
                IpAddr::V6(last) => last.to_bits() == u128::MAX,
            }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_all() {
            true if self.first.is_ipv4() => f.write_str("all IPv4"),
            true => f.write_str("all IPv6"),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Who may reach whom.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    count: usize,
    between: Vec<PortSet>,
    /// What comes from outside to each workload, in the order of their addresses.
    pub from_outside: Vec<Vec<(Range, PortSet)>>,
    /// What goes from each workload to what is outside.
    pub to_outside: Vec<Vec<(Range, PortSet)>>,
    /// For each workload the policies that close what comes in, and what goes out.
    pub closed_by: Vec<(Vec<usize>, Vec<usize>)>,
}

impl Reach {
    /// What may pass from one workload's pods to another's, by their places in [`Cluster::workloads`]. Of a workload
    /// with itself: from one of its pods to another.
    pub fn between(&self, from: usize, to: usize) -> &PortSet {
        &self.between[from * self.count + to]
    }
}

/// A rule of a policy, with what its peers are.
struct Rule<'a> {
    /// Whether each workload is among its peers.
    pods: Vec<bool>,
    /// Whether everything outside is.
    everyone: bool,
    blocks: Vec<Block>,
    ports: &'a [PolicyPort],
}

struct Selected<'a> {
    policy: usize,
    rules: Vec<Rule<'a>>,
}

/// Addresses that a rule speaks of, as numbers.
struct Block {
    is_ipv6: bool,
    first: u128,
    last: u128,
    except: Vec<(u128, u128)>,
}

impl Block {
    fn covers(&self, is_ipv6: bool, address: u128) -> bool {
        let within = |(first, last): (u128, u128)| first <= address && address <= last;
        self.is_ipv6 == is_ipv6
            && within((self.first, self.last))
            && !self.except.iter().any(|except| within(*except))
    }
}

/// Decides it for all pairs.
///
/// ```
/// use quilt::kubernetes::{ports::Transport::Tcp, reach::reach, read::read};
///
/// let text = "
/// {apiVersion: v1, kind: Pod, metadata: {name: a, labels: {is: a}}, spec: {}}
/// ---
/// {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {}}
/// ---
/// apiVersion: networking.k8s.io/v1
/// kind: NetworkPolicy
/// metadata: {name: only-http}
/// spec: {podSelector: {matchLabels: {is: a}}, ingress: [{ports: [{port: 80}]}]}
/// ";
/// let cluster = read(&[("two.yaml".into(), text.into())])?;
/// let reach = reach(&cluster)?;
/// assert_eq!(reach.between(1, 0).to_string(), "80/tcp");
/// assert!(reach.between(0, 1).is_all());
/// # Ok::<(), quilt::fault::Faults>(())
/// ```
pub fn reach(cluster: &Cluster) -> Result<Reach, Faults> {
    let mut faults = Vec::new();
    let count = cluster.workloads.len();
    let mut ingress: Vec<Vec<&Selected<'_>>> = vec![Vec::new(); count];
    let mut egress: Vec<Vec<&Selected<'_>>> = vec![Vec::new(); count];
    let mut inwards = Vec::new();
    let mut outwards = Vec::new();
    for (at, policy) in cluster.policies.iter().enumerate() {
        let mut read = |peers: &[Peer], ports| rule(cluster, policy, peers, ports, &mut faults);
        let rules = policy.spec.ingress.iter().map(|one| read(&one.from, &one.ports)).collect();
        inwards.push(Selected { policy: at, rules });
        let rules = policy.spec.egress.iter().map(|one| read(&one.to, &one.ports)).collect();
        outwards.push(Selected { policy: at, rules });
        if let Some(operator) = policy.spec.pod_selector.unknown_operator() {
            faults.push(fault(policy, &format!("there is no operator {operator}")));
        }
    }
    if !faults.is_empty() {
        return Err(Faults::finish(faults, &cluster.sources, String::new()));
    }
    for (at, policy) in cluster.policies.iter().enumerate() {
        for (pod, workload) in cluster.workloads.iter().enumerate() {
            if workload.namespace == policy.namespace && policy.spec.pod_selector.matches(&workload.labels) {
                if policy.is_ingress() {
                    ingress[pod].push(&inwards[at]);
                }
                if policy.is_egress() {
                    egress[pod].push(&outwards[at]);
                }
            }
        }
    }
    let mut reach = Reach { count, between: Vec::with_capacity(count * count), ..Reach::default() };
    for (from, egress) in egress.iter().enumerate() {
        for (to, (ingress, target)) in ingress.iter().zip(&cluster.workloads).enumerate() {
            let out = allowed(egress, |rule| rule.pods[to], Some(target));
            let into = allowed(ingress, |rule| rule.pods[from], Some(target));
            reach.between.push(match (out, into) {
                (None, None) => PortSet::all(),
                (Some(one), None) | (None, Some(one)) => one,
                (Some(out), Some(into)) => out.intersection(&into),
            });
        }
    }
    let cuts = cuts(inwards.iter().chain(&outwards));
    if (cuts[0].len() + cuts[1].len()).saturating_mul(count) > OUTSIDE_MAX {
        let message = "policies speak of too many different networks".to_owned();
        let fault = Fault::new(Kind::Manifest { message }, cluster.policies[0].span.clone());
        return Err(Faults::finish(vec![fault], &cluster.sources, String::new()));
    }
    for (pod, workload) in cluster.workloads.iter().enumerate() {
        reach.from_outside.push(outside(&ingress[pod], &cuts, Some(workload)));
        reach.to_outside.push(outside(&egress[pod], &cuts, None));
        let policies = |selected: &[&Selected<'_>]| selected.iter().map(|one| one.policy).collect();
        reach.closed_by.push((policies(&ingress[pod]), policies(&egress[pod])));
    }
    Ok(reach)
}

/// What rules allow whose peers are `is_peer`; `None` where nothing closes the direction.
fn allowed(
    selected: &[&Selected<'_>],
    is_peer: impl Fn(&Rule<'_>) -> bool,
    target: Option<&Workload>,
) -> Option<PortSet> {
    if selected.is_empty() {
        return None;
    }
    let mut all = PortSet::default();
    for rule in selected.iter().flat_map(|one| &one.rules).filter(|rule| is_peer(rule)) {
        all.union(&ports(rule.ports, target));
    }
    Some(all)
}

/// What is open to each range of addresses, in order; ranges to which the same is open are one.
fn outside(
    selected: &[&Selected<'_>],
    cuts: &[Vec<u128>; 2],
    target: Option<&Workload>,
) -> Vec<(Range, PortSet)> {
    let mut ranges: Vec<(bool, u128, u128, PortSet)> = Vec::new();
    for (is_ipv6, cuts) in [(false, &cuts[0]), (true, &cuts[1])] {
        let end = if is_ipv6 { u128::MAX } else { u128::from(u32::MAX) };
        for (at, first) in cuts.iter().enumerate() {
            let last = cuts.get(at + 1).map_or(end, |next| next - 1);
            let is_peer = |rule: &Rule<'_>| {
                rule.everyone || rule.blocks.iter().any(|block| block.covers(is_ipv6, *first))
            };
            let open = allowed(selected, is_peer, target).unwrap_or_else(PortSet::all);
            match ranges.last_mut() {
                Some((of, _, before, same)) if *of == is_ipv6 && *same == open => *before = last,
                _ => ranges.push((is_ipv6, *first, last, open)),
            }
        }
    }
    let open = ranges.into_iter().filter(|(.., open)| !open.is_empty());
    open.map(|(is_ipv6, first, last, open)| (Range::of(is_ipv6, first, last), open)).collect()
}

/// The addresses, of IPv4 and of IPv6, at which what rules say can change.
fn cuts<'s, 'a: 's>(selected: impl Iterator<Item = &'s Selected<'a>>) -> [Vec<u128>; 2] {
    let mut cuts = [vec![0], vec![0]];
    for block in selected.flat_map(|one| &one.rules).flat_map(|rule| &rule.blocks) {
        let own = &mut cuts[usize::from(block.is_ipv6)];
        for (first, last) in block.except.iter().copied().chain([(block.first, block.last)]) {
            own.push(first);
            own.extend(last.checked_add(1));
        }
    }
    cuts[0].retain(|address| *address <= u128::from(u32::MAX));
    for own in &mut cuts {
        own.sort_unstable();
        own.dedup();
    }
    cuts
}

/// Ports of a rule, as they are at the target; names stand for what the target calls so.
fn ports(ports: &[PolicyPort], target: Option<&Workload>) -> PortSet {
    if ports.is_empty() {
        return PortSet::all();
    }
    let mut set = PortSet::default();
    for port in ports {
        let Some(transport) = Transport::named(port.protocol.as_deref()) else { continue };
        match &port.port {
            None => set.add(transport, 1, u16::MAX),
            Some(PortName::Number(min)) => set.add(transport, *min, port.end_port.unwrap_or(*min)),
            Some(PortName::Name(name)) => {
                let containers = target.iter().flat_map(|workload| &workload.pod.containers);
                for own in containers.flat_map(|container| &container.ports) {
                    let same = own.name.as_deref() == Some(name)
                        && Transport::named(own.protocol.as_deref()) == Some(transport);
                    if same {
                        set.add(transport, own.container_port, own.container_port);
                    }
                }
            }
        }
    }
    set
}

fn fault(policy: &Policy, message: &str) -> Fault {
    let message = format!("policy {}/{}: {message}", policy.namespace, policy.name);
    Fault::new(Kind::Manifest { message }, policy.span.clone())
}

fn rule<'a>(
    cluster: &Cluster,
    policy: &Policy,
    peers: &[Peer],
    ports: &'a [PolicyPort],
    faults: &mut Vec<Fault>,
) -> Rule<'a> {
    let mut rule = Rule {
        pods: vec![peers.is_empty(); cluster.workloads.len()],
        everyone: peers.is_empty(),
        blocks: Vec::new(),
        ports,
    };
    let mut wrong = |message: String| faults.push(fault(policy, &message));
    for port in ports {
        if Transport::named(port.protocol.as_deref()).is_none() {
            wrong(format!("there is no protocol {}", port.protocol.as_deref().unwrap_or_default()));
        }
        match (&port.port, port.end_port) {
            (Some(PortName::Number(min)), Some(max)) if *min <= max => {}
            (_, None) => {}
            (_, Some(max)) => wrong(format!("endPort {max} needs a port that is a number and not above it")),
        }
    }
    for peer in peers {
        if let Some(block) = &peer.ip_block {
            if peer.pod_selector.is_some() || peer.namespace_selector.is_some() {
                wrong("a peer has an ipBlock and a selector".into());
            }
            match self::block(block) {
                Ok(block) => rule.blocks.push(block),
                Err(cidr) => wrong(format!("{cidr} is no network")),
            }
            continue;
        }
        if peer.pod_selector.is_none() && peer.namespace_selector.is_none() {
            wrong("a peer has neither a selector nor an ipBlock".into());
        }
        let selectors = [&peer.pod_selector, &peer.namespace_selector];
        if let Some(operator) =
            selectors.into_iter().flatten().find_map(|selector| selector.unknown_operator())
        {
            wrong(format!("there is no operator {operator}"));
        }
        for (at, workload) in cluster.workloads.iter().enumerate() {
            let in_namespace = match &peer.namespace_selector {
                None => workload.namespace == policy.namespace,
                Some(selector) => {
                    cluster.namespaces.get(&workload.namespace).is_some_and(|labels| selector.matches(labels))
                }
            };
            let selected =
                peer.pod_selector.as_ref().is_none_or(|selector| selector.matches(&workload.labels));
            rule.pods[at] |= in_namespace && selected;
        }
    }
    rule
}

/// The addresses of a block; the text that is no network, if one is not.
fn block(block: &IpBlock) -> Result<Block, String> {
    let (is_ipv6, first, last) = network(&block.cidr).ok_or_else(|| block.cidr.clone())?;
    let mut except = Vec::new();
    for cidr in &block.except {
        let (of, first, last) = network(cidr).ok_or_else(|| cidr.clone())?;
        if of == is_ipv6 {
            except.push((first, last));
        }
    }
    Ok(Block { is_ipv6, first, last, except })
}

/// First and last address of a network as numbers, and whether it is one of IPv6.
fn network(cidr: &str) -> Option<(bool, u128, u128)> {
    let (address, length) = cidr.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let (is_ipv6, bits, width) = match address.parse().ok()? {
        IpAddr::V4(address) => (false, u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (true, address.to_bits(), 128),
    };
    let host_bits = width - Some(length).filter(|length| *length <= width)?;
    let mask = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |bit| bit - 1);
    Some((is_ipv6, bits & !mask, bits | mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        assert_eq!(network("10.1.2.3/8"), Some((false, 10 << 24, (11 << 24) - 1)));
        assert_eq!(network("0.0.0.0/0"), Some((false, 0, u128::from(u32::MAX))));
        assert_eq!(network("::/0"), Some((true, 0, u128::MAX)));
        assert_eq!(network("1.2.3.4/32"), Some((false, 0x0102_0304, 0x0102_0304)));
        for bad in ["1.2.3.4", "1.2.3.4/33", "::/129", "a/8", "1.2.3.4/-1", "/"] {
            assert_eq!(network(bad), None, "{bad}");
        }
    }
}
