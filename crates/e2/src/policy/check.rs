//! Whether a file means something: every name, number and way in it.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::fault::{Fault, FaultKind, Faults, LIMITS, Place, nearest};
use super::instances;
use super::paths::{circle, functions, reached};
use super::read::{File, Names, RawEdge, RawFunction, RawHardware, RawPipelet, place};
use super::{
    CORES_MAX, Delivery, ENTRIES_MAX, Edge, End, Function, Hardware, Kind, NAME_BYTES_MAX, Pipelet, Policy,
    Port, Server, Switch,
};
use crate::filter::{Attribute, Filter};
use crate::key::Fields;
use crate::rate::{Rate, Share};

/// Names that are taken, and by what.
type Taken = BTreeMap<String, (&'static str, u32)>;

pub(super) struct Checker<'a> {
    file: &'a File,
    faults: Vec<Fault>,
    /// Where edges may start and end.
    ends: BTreeMap<&'a str, End>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, faults: Vec::new(), ends: BTreeMap::new() }
    }

    pub(super) fn policy(mut self) -> Result<Policy, Faults> {
        let (file, mut taken) = (self.file, Taken::new());
        if !self.counts() {
            return Err(Faults(self.faults));
        }
        let hardware = self.hardware(&file.hardware.value, &mut taken);
        let functions: Vec<Function> =
            file.nfs.iter().map(|raw| self.function(raw, &hardware, &mut taken)).collect();
        for (at, port) in file.hardware.value.ports.iter().enumerate() {
            self.ends.entry(&port.value.name.value).or_insert(End::Port(at));
        }
        for (at, function) in file.nfs.iter().enumerate() {
            self.ends.entry(&function.value.name.value).or_insert(End::Function(at));
        }
        let mut of_pipelets = Taken::new();
        let pipelets = file
            .pipelets
            .iter()
            .map(|raw| self.pipelet(raw, &functions, &hardware, &mut of_pipelets))
            .collect();
        if self.faults.is_empty() {
            return Ok(Policy { functions, pipelets, hardware });
        }
        self.faults.sort_by_key(|fault| fault.place);
        Err(Faults(self.faults))
    }

    fn fault(&mut self, place: Place, kind: impl Into<FaultKind>) {
        self.faults.push(Fault { place, kind: kind.into() });
    }

    /// A value, or its default and a fault.
    fn or_fault<T: Default, E: Into<FaultKind>>(&mut self, place: Place, value: Result<T, E>) -> T {
        value.unwrap_or_else(|error| {
            self.fault(place, error);
            T::default()
        })
    }

    fn counts(&mut self) -> bool {
        let hardware = &self.file.hardware;
        let attributes = self.file.nfs.iter().map(|function| function.value.attributes.len()).max();
        let edges = self.file.pipelets.iter().map(|pipelet| pipelet.value.edges.len()).sum();
        let counts = [
            self.file.nfs.len(),
            attributes.unwrap_or(0),
            self.file.pipelets.len(),
            edges,
            hardware.value.servers.len(),
            hardware.value.ports.len(),
        ];
        let at = place(hardware);
        for (count, (what, most)) in counts.into_iter().zip(LIMITS) {
            if count > most {
                self.fault(at, FaultKind::TooMany { what, count, most });
            }
        }
        let none = [
            (self.file.pipelets.is_empty(), "pipelet"),
            (hardware.value.servers.is_empty(), "server"),
            (hardware.value.ports.is_empty(), "port"),
        ];
        for (_, what) in none.into_iter().filter(|(missing, _)| *missing) {
            self.fault(at, FaultKind::Missing(what));
        }
        self.faults.is_empty()
    }

    /// A name that is well formed and not taken yet.
    fn name(&mut self, name: &Spanned<String>, what: &'static str, taken: &mut Taken) -> String {
        let at = place(name);
        let text = &name.value;
        if text.len() > NAME_BYTES_MAX || !crate::filter::is_name(text) {
            self.fault(at, FaultKind::Name(crate::rate::shown(text)));
        } else if let Some(&(what, line)) = taken.get(text) {
            self.fault(at, FaultKind::Duplicate { name: text.clone(), what, line });
        } else {
            taken.insert(text.clone(), (what, at.line));
        }
        text.clone()
    }

    /// A rate above 0.
    fn rate(&mut self, text: &Spanned<String>, what: &'static str) -> Rate {
        let (at, rate) = (place(text), text.value.parse::<Rate>());
        if rate == Ok(Rate(0)) {
            self.fault(at, FaultKind::ZeroRate(what));
        }
        self.or_fault(at, rate)
    }

    fn fields(&mut self, names: Option<&Spanned<Names>>) -> Fields {
        let Some(names) = names else { return Fields::NONE };
        let listed = match &names.value {
            Names::One(name) => std::slice::from_ref(name),
            Names::Several(names) => names,
        };
        let mut fields = Fields::NONE;
        for name in listed {
            fields = fields.with(self.or_fault(place(names), name.parse::<Fields>()));
        }
        fields
    }

    fn entries(&mut self, entries: &Spanned<u64>) -> u32 {
        let fits = u32::try_from(entries.value).ok().filter(|entries| *entries <= ENTRIES_MAX);
        self.or_fault(place(entries), fits.ok_or(FaultKind::Entries(entries.value)))
    }

    fn hardware(&mut self, raw: &RawHardware, taken: &mut Taken) -> Hardware {
        let switch = &raw.switch.value;
        let switch = Switch {
            name: self.name(&switch.name, "switch", taken),
            entries: self.entries(&switch.entries),
            place: place(&switch.name),
        };
        let mut servers = Vec::new();
        for server in &raw.servers {
            let (name, at) = (self.name(&server.value.name, "server", taken), place(&server.value.cores));
            let cores = match server.value.cores.value {
                ..=0 => Err(FaultKind::NoCores(name.clone())),
                cores if cores > i64::from(CORES_MAX) => {
                    Err(FaultKind::Cores { server: name.clone(), cores: cores.unsigned_abs() })
                }
                cores => Ok(cores as u32),
            };
            let cores = self.or_fault(at, cores);
            servers.push(Server { name, cores, rate: Rate(0), place: place(&server.value.name) });
        }
        for link in &raw.links {
            let (one, other) = &link.value.between;
            let rate = self.rate(&link.value.rate, "a link");
            let known: Vec<&str> =
                servers.iter().map(|server| server.name.as_str()).chain([switch.name.as_str()]).collect();
            let unknown = [one, other].into_iter().find(|name| !known.contains(&name.value.as_str()));
            if let Some(name) = unknown {
                let like = nearest(&name.value, known.into_iter());
                self.fault(
                    place(name),
                    FaultKind::Unknown { what: "server or switch", name: name.value.clone(), like },
                );
                continue;
            }
            let of_switch = [one, other].map(|name| name.value == switch.name);
            let name = match of_switch {
                [true, false] => &other.value,
                [false, true] => &one.value,
                _ => {
                    self.fault(place(one), FaultKind::Link(one.value.clone(), other.value.clone()));
                    continue;
                }
            };
            let server = servers.iter_mut().find(|server| server.name == *name);
            if let Some(server) = server {
                server.rate = server.rate.plus(rate);
            }
        }
        for server in servers.iter().filter(|server| server.rate == Rate(0)) {
            self.fault(server.place, FaultKind::Unlinked(server.name.clone()));
        }
        let mut ports = Vec::new();
        for port in &raw.ports {
            let name = self.name(&port.value.name, "port", taken);
            ports.push(Port {
                name,
                rate: self.rate(&port.value.rate, "a port"),
                at: port.value.at.as_ref().map(|at| self.at(at)),
                place: place(&port.value.name),
            });
        }
        Hardware { switch, servers, ports }
    }

    fn function(&mut self, raw: &Spanned<RawFunction>, hardware: &Hardware, taken: &mut Taken) -> Function {
        let raw = &raw.value;
        let name = self.name(&raw.name, "network function", taken);
        let (mut attributes, mut own) = (Vec::new(), Taken::new());
        for attribute in &raw.attributes {
            let called = self.name(&attribute.value.name, "attribute", &mut own);
            if raw.kind == Kind::Legacy && attribute.value.by == Delivery::Metadata {
                let kind = FaultKind::LegacyMetadata { function: name.clone(), attribute: called.clone() };
                self.fault(place(attribute), kind);
            }
            attributes.push((called, attribute.value.by));
        }
        let isolated = raw.isolated.as_ref().filter(|isolated| isolated.value);
        if let Some(isolated) = isolated.filter(|_| raw.kind == Kind::Legacy) {
            self.fault(place(isolated), FaultKind::LegacyIsolated(name.clone()));
        }
        let instances = instances::read(raw.instances.as_ref(), raw.scalable);
        Function {
            kind: raw.kind,
            attributes,
            affinity: self.fields(raw.affinity.as_ref()),
            capacity: raw.capacity.as_ref().map(|capacity| self.rate(capacity, "a capacity")),
            scalable: raw.scalable,
            isolated: isolated.is_some(),
            instances: self.or_fault(raw.instances.as_ref().map_or(place(&raw.name), place), instances),
            rewrites: self.fields(raw.rewrites.as_ref()),
            switch_entries: raw.switch_entries.as_ref().map(|entries| self.entries(entries)),
            run: raw.run.clone(),
            inside: raw.inside.iter().filter_map(|port| self.inside(port, hardware)).collect(),
            place: place(&raw.name),
            name,
        }
    }

    /// A port on a function's inside.
    fn inside(&mut self, port: &Spanned<String>, hardware: &Hardware) -> Option<usize> {
        let found = hardware.ports.iter().position(|known| known.name == port.value);
        if found.is_none() {
            let like = nearest(&port.value, hardware.ports.iter().map(|known| known.name.as_str()));
            let kind = FaultKind::Unknown { what: "port", name: crate::rate::shown(&port.value), like };
            self.fault(place(port), kind);
        }
        found
    }

    /// What a port really is.
    fn at(&mut self, at: &Spanned<String>) -> String {
        if let Err(error) = at.value.parse::<ports::PortSpec>() {
            self.fault(place(at), FaultKind::PortSpec(error.to_string()));
        }
        at.value.clone()
    }

    fn pipelet(
        &mut self,
        raw: &Spanned<RawPipelet>,
        known: &[Function],
        hardware: &Hardware,
        taken: &mut Taken,
    ) -> Pipelet {
        let raw = &raw.value;
        let name = self.name(&raw.name, "pipelet", taken);
        let mut traffic = Filter::ANY;
        if let Some(text) = &raw.traffic {
            traffic = self.filter(text);
            if let Some(attribute) = traffic.attributes().first() {
                self.fault(place(text), FaultKind::AttributeOfTraffic(attribute.to_string()));
            }
        }
        let mut pipelet = Pipelet {
            rate: self.rate(&raw.rate, "a pipelet's traffic"),
            traffic,
            edges: Vec::new(),
            place: place(&raw.name),
            name,
        };
        let faults_before = self.faults.len();
        let mut shares = Vec::new();
        for edge in &raw.edges {
            if let Some((edge, share)) = self.edge(&pipelet, edge, hardware, known) {
                pipelet.edges.push(edge);
                shares.push(share);
            }
        }
        if self.faults.len() == faults_before {
            self.ways(&pipelet, known);
            self.shares(&mut pipelet, &shares, hardware, known);
            self.attributes(&mut pipelet, raw, known, hardware);
        }
        pipelet
    }

    fn filter(&mut self, text: &Spanned<String>) -> Filter {
        text.value.parse().unwrap_or_else(|error: crate::filter::FilterError| {
            self.fault(place(text), error);
            Filter::ANY
        })
    }

    fn end(&mut self, name: &Spanned<String>) -> Option<End> {
        let end = self.ends.get(name.value.as_str()).copied();
        if end.is_none() {
            let like = nearest(&name.value, self.ends.keys().copied());
            let kind = FaultKind::Unknown {
                what: "network function or port",
                name: crate::rate::shown(&name.value),
                like,
            };
            self.fault(place(name), kind);
        }
        end
    }

    fn edge(
        &mut self,
        pipelet: &Pipelet,
        raw: &Spanned<RawEdge>,
        hardware: &Hardware,
        known: &[Function],
    ) -> Option<(Edge, Option<Share>)> {
        let at = place(&raw.value.from);
        let (from, to) = (self.end(&raw.value.from), self.end(&raw.value.to));
        let when = raw.value.when.as_ref().map_or(Filter::ANY, |text| self.filter(text));
        let share = raw.value.share.as_ref().map(|text| {
            let share = text.value.parse::<Share>();
            self.or_fault(place(text), share)
        });
        let (from, to, when) = (from?, to?, when.simplified());
        let [from_name, to_name] = [from, to].map(|end| end_name(end, hardware, known).to_owned());
        let name = pipelet.name.clone();
        if let (End::Port(_), End::Port(_)) = (from, to) {
            self.fault(at, FaultKind::NoFunction { pipelet: name, from: from_name, to: to_name });
            return None;
        }
        if let Some(other) = pipelet.edges.iter().find(|other| (other.from, other.to) == (from, to)) {
            let line = other.place.line;
            self.fault(at, FaultKind::ParallelEdge { pipelet: name, from: from_name, to: to_name, line });
            return None;
        }
        let takes_all = |other: &&Edge| other.from == from && (other.when.is_any() || other.when == when);
        if let Some(line) = pipelet.edges.iter().find(takes_all).map(|other| other.place.line) {
            self.fault(at, FaultKind::Shadowed { pipelet: name, from: from_name, to: to_name, line });
            return None;
        }
        Some((Edge { from, to, when, share: Share::ALL, place: at }, share))
    }

    /// Circles, and what nothing leads to.
    fn ways(&mut self, pipelet: &Pipelet, known: &[Function]) {
        if let Some(circle) = circle(&pipelet.edges) {
            let text: Vec<&str> = circle.iter().map(|place| known[*place].name.as_str()).collect();
            let closing = pipelet
                .edges
                .iter()
                .find(|edge| (edge.from, edge.to) == (End::Function(circle[0]), End::Function(circle[1])));
            let at = closing.map_or(pipelet.place, |edge| edge.place);
            self.fault(at, FaultKind::Cycle { pipelet: pipelet.name.clone(), circle: text.join(" → ") });
        }
        let entered = |edge: &Edge| match (edge.from, edge.to) {
            (End::Port(_), End::Function(place)) => Some(place),
            _ => None,
        };
        let entrances: Vec<usize> = pipelet.edges.iter().filter_map(entered).collect();
        if entrances.is_empty() {
            self.fault(pipelet.place, FaultKind::NoEntrance(pipelet.name.clone()));
            return;
        }
        let reached = reached(&pipelet.edges, entrances.into_iter(), false);
        let all: std::collections::BTreeSet<usize> = functions(&pipelet.edges).collect();
        for place in all.difference(&reached) {
            let edge =
                pipelet.edges.iter().find(|edge| [edge.from, edge.to].contains(&End::Function(*place)));
            let at = edge.map_or(pipelet.place, |edge| edge.place);
            let (pipelet, function) = (pipelet.name.clone(), known[*place].name.clone());
            self.fault(at, FaultKind::Unreachable { pipelet, function });
        }
    }

    /// Edges that say no share divide what the others leave.
    fn shares(
        &mut self,
        pipelet: &mut Pipelet,
        said: &[Option<Share>],
        hardware: &Hardware,
        known: &[Function],
    ) {
        let mut groups: BTreeMap<Option<End>, Vec<usize>> = BTreeMap::new();
        for (at, edge) in pipelet.edges.iter().enumerate() {
            // All that comes in by ports is one group.
            let from = Some(edge.from).filter(|end| matches!(end, End::Function(_)));
            groups.entry(from).or_default().push(at);
        }
        for edges in groups.into_values() {
            let sum: u64 = edges.iter().filter_map(|at| said[*at]).map(|share| u64::from(share.0)).sum();
            let open: Vec<usize> = edges.iter().copied().filter(|at| said[*at].is_none()).collect();
            let Some(left) = u64::from(Share::ALL.0).checked_sub(sum) else {
                let first = &pipelet.edges[edges[0]];
                let from = end_name(first.from, hardware, known).to_owned();
                let sum = Share(u32::try_from(sum).unwrap_or(u32::MAX));
                self.fault(first.place, FaultKind::ShareSum { pipelet: pipelet.name.clone(), from, sum });
                continue;
            };
            for (number, at) in open.iter().enumerate() {
                // The first ones get what does not divide.
                let (count, number) = (open.len() as u64, number as u64);
                pipelet.edges[*at].share = Share((left / count + u64::from(number < left % count)) as u32);
            }
            for at in edges {
                pipelet.edges[at].share = said[at].unwrap_or(pipelet.edges[at].share);
            }
        }
    }

    /// Every attribute gets the name of the function that gives it, if it can be known where it is asked for.
    fn attributes(
        &mut self,
        pipelet: &mut Pipelet,
        raw: &RawPipelet,
        known: &[Function],
        hardware: &Hardware,
    ) {
        for at in 0..pipelet.edges.len() {
            let edge = &pipelet.edges[at];
            let place = raw.edges[at].value.when.as_ref().map_or(edge.place, place);
            let from = edge.from;
            let faults: Vec<FaultKind> = edge
                .when
                .attributes()
                .into_iter()
                .filter_map(|attribute| unknown(pipelet, from, attribute, known, hardware))
                .collect();
            let name = end_name(from, hardware, known).to_owned();
            pipelet.edges[at].when = pipelet.edges[at].when.with_attributes(&|attribute| {
                let function = attribute.function.clone().or_else(|| Some(name.clone()));
                Filter::Attribute(Attribute { function, name: attribute.name.clone() })
            });
            for kind in faults {
                self.fault(place, kind);
            }
        }
    }
}

fn end_name<'a>(end: End, hardware: &'a Hardware, known: &'a [Function]) -> &'a str {
    match end {
        End::Port(place) => &hardware.ports[place].name,
        End::Function(place) => &known[place].name,
    }
}

/// Why an attribute cannot be known on an edge that starts there.
fn unknown(
    pipelet: &Pipelet,
    from: End,
    attribute: &Attribute,
    known: &[Function],
    hardware: &Hardware,
) -> Option<FaultKind> {
    let giver = match (&attribute.function, from) {
        (None, End::Function(place)) => place,
        (None, End::Port(place)) => {
            let (port, attribute) = (hardware.ports[place].name.clone(), attribute.to_string());
            return Some(FaultKind::AttributeOfPort { port, attribute });
        }
        (Some(name), _) => match known.iter().position(|function| function.name == *name) {
            Some(place) => place,
            None => {
                let like = nearest(name, known.iter().map(|function| function.name.as_str()));
                return Some(FaultKind::Unknown { what: "network function", name: name.clone(), like });
            }
        },
    };
    let function = &known[giver];
    let Some((_, delivery)) = function.attributes.iter().find(|(name, _)| *name == attribute.name) else {
        let names: Vec<&str> = function.attributes.iter().map(|(name, _)| name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let (function, attribute) = (function.name.clone(), attribute.name.clone());
        return Some(FaultKind::UnknownAttribute { function, attribute, known: names });
    };
    if from == End::Function(giver) {
        return None;
    }
    let lost = |why: String| FaultKind::AttributeLost {
        function: function.name.clone(),
        attribute: attribute.name.clone(),
        at: end_name(from, hardware, known).to_owned(),
        why,
    };
    if *delivery == Delivery::Port {
        return Some(lost("a port says it only of packets that leave by it just then".into()));
    }
    let End::Function(here) = from else { return Some(lost("no traffic has been there yet".into())) };
    let behind = reached(&pipelet.edges, std::iter::once(giver), false);
    if !behind.contains(&here) {
        return Some(lost(format!("`{}` leads there by no way", pipelet.name)));
    }
    let before = reached(&pipelet.edges, std::iter::once(here), true);
    let legacy =
        behind.intersection(&before).find(|place| **place != giver && known[**place].kind == Kind::Legacy);
    legacy.map(|place| lost(format!("`{}` on the way is legacy, where tags end", known[*place].name)))
}
