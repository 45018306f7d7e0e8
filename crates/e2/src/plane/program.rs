//! A program, checked, in the form in which packets ask it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use packet::flow::{FlowHasher, FlowKey};
use softnic::engine::Gate;
use thiserror::Error;

use super::proto;
use super::tag::{NOBODY, Tag};
use crate::filter::{Attribute, Filter, FilterError};
use crate::key::{Fields, HashRange};

/// Gates of a data plane, on either side.
pub const GATES: Gate = 1024;
/// Most rules of a program.
pub const RULES_MAX: usize = 65_536;
/// Most pipelets, ports, groups, instances and trunks of one.
const PARTS_MAX: usize = 65_535;
/// Most flows known of an instance.
pub const FLOWS_MAX: u32 = 1 << 20;
/// Most exceptions of a group, and keys of a return.
const KEYS_MAX: usize = 1 << 20;

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// A filter cannot be read.
    #[error("the filter `{filter}`: {error}")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        error: FilterError,
    },
    /// It names what it does not have.
    #[error("there is no {what} {number}")]
    Missing {
        /// What.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// It says something twice.
    #[error("{what} {number} is said twice")]
    Twice {
        /// What.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// It has more of something than there may be.
    #[error("{count} {what} (at most {most})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Something is left out.
    #[error("{0}")]
    Incomplete(&'static str),
    /// Parts of a group that overlap or leave hashes out.
    #[error("the parts of group {0} do not cover all hashes once")]
    Parts(u32),
}

/// Where a rule leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Group(usize),
    Port(usize),
}

#[derive(Debug)]
pub(super) struct Rule {
    pipelets: Vec<u16>,
    filter: Filter,
    pub(super) sets: Option<u16>,
    pub(super) to: Target,
}

/// How something is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Here(Gate),
    Trunk(usize),
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: u32,
    pub(super) way: Way,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: u32,
    pub(super) fields: Fields,
    inside: Vec<u32>,
    /// By start.
    parts: Vec<(HashRange, usize)>,
    exceptions: HashMap<u64, usize>,
}

#[derive(Debug)]
pub(super) struct Here {
    pub(super) gates: Gate,
    pub(super) legacy: bool,
    rules: Vec<Rule>,
    leaving: Vec<(Gate, u64, Vec<Rule>)>,
    pub(super) detour: Option<(HashRange, usize)>,
    pub(super) back: Option<(std::collections::HashSet<u64>, usize)>,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: u32,
    pub(super) group: usize,
    pub(super) way: Way,
    /// Set where it is here.
    pub(super) here: Option<Here>,
}

/// What comes in at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Port(usize),
    /// From an instance, by its gate.
    Instance(usize, Gate),
    Trunk(usize),
}

#[derive(Debug)]
struct Pipelet {
    traffic: Filter,
    port: u32,
    groups: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) gate: Gate,
    pub(super) local: Ipv4Addr,
    pub(super) remote: Ipv4Addr,
}

/// A program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) hasher: FlowHasher,
    attributes: Vec<Attribute>,
    pipelets: Vec<Pipelet>,
    pub(super) ports: Vec<Port>,
    pub(super) groups: Vec<Group>,
    pub(super) instances: Vec<Instance>,
    pub(super) trunks: Vec<Trunk>,
    /// By gate, as far as they go.
    entries: Vec<Option<Entry>>,
    by_instance: HashMap<u32, usize>,
    by_port: HashMap<u32, usize>,
}

impl Program {
    pub(super) fn entry(&self, gate: Gate) -> Option<Entry> {
        self.entries.get(usize::from(gate)).copied().flatten()
    }

    pub(super) fn instance(&self, id: u32) -> Option<usize> {
        self.by_instance.get(&id).copied()
    }

    pub(super) fn port(&self, id: u32) -> Option<usize> {
        self.by_port.get(&id).copied()
    }

    /// The first rule that takes a packet.
    pub(super) fn rule<'a>(&self, rules: &'a [Rule], key: Option<&FlowKey>, tag: Tag) -> Option<&'a Rule> {
        let given = |attribute: &Attribute| {
            let place = self.attributes.iter().position(|known| known == attribute);
            place.is_some_and(|place| tag.attributes >> place & 1 == 1)
        };
        rules.iter().find(|rule| {
            (rule.pipelets.is_empty() || rule.pipelets.contains(&tag.pipelet))
                && rule.filter.matches_frame(key, &given)
        })
    }

    /// What a packet without a tag must be that leaves an instance by a gate: its pipelet, by its headers, and where that comes in.
    pub(super) fn retold(&self, instance: usize, gate: Gate, key: Option<&FlowKey>) -> Tag {
        let group = &self.groups[self.instances[instance].group];
        let fits = |pipelet: &Pipelet| {
            pipelet.groups.contains(&group.id)
                && (group.inside.is_empty() || group.side(pipelet.port) != gate)
                && pipelet.traffic.matches_frame(key, &|_| false)
        };
        match self.pipelets.iter().position(fits) {
            Some(place) => {
                let port = u16::try_from(self.pipelets[place].port).unwrap_or(NOBODY);
                Tag { pipelet: place as u16, ..Tag::of_port(port) }
            }
            None => Tag::of_port(NOBODY),
        }
    }
}

impl Group {
    /// Which of a function's gates packets go to that came in by a port.
    pub(super) fn side(&self, port: u32) -> Gate {
        Gate::from(!self.inside.is_empty() && !self.inside.contains(&port))
    }

    /// Whether packets of the two sides go to gates of their own.
    pub(super) fn has_sides(&self) -> bool {
        !self.inside.is_empty()
    }

    /// The instance of a key.
    pub(super) fn instance(&self, digest: u64) -> Option<usize> {
        if let Some(instance) = self.exceptions.get(&digest).filter(|_| !self.exceptions.is_empty()) {
            return Some(*instance);
        }
        let hash = HashRange::hash_of(digest);
        let place = self.parts.partition_point(|(range, _)| range.end <= hash);
        self.parts.get(place).map(|(_, instance)| *instance)
    }
}

impl Here {
    /// What leaves by a gate has these attributes and these rules.
    pub(super) fn leaving(&self, gate: Gate) -> (u64, &[Rule]) {
        match self.leaving.iter().find(|(known, ..)| *known == gate) {
            Some((_, attributes, rules)) => (*attributes, rules),
            None => (0, &self.rules),
        }
    }
}

fn filter(text: &str) -> Result<Filter, ProgramError> {
    let wrong = |error| ProgramError::Filter { filter: text.chars().take(200).collect(), error };
    if text.is_empty() { Ok(Filter::ANY) } else { text.parse().map_err(wrong) }
}

fn index<T>(
    what: &'static str,
    all: &[T],
    id: impl Fn(&T) -> u32,
) -> Result<HashMap<u32, usize>, ProgramError> {
    let mut index = HashMap::with_capacity(all.len());
    for (place, one) in all.iter().enumerate() {
        let number = id(one);
        if index.insert(number, place).is_some() {
            return Err(ProgramError::Twice { what, number: number.into() });
        }
    }
    Ok(index)
}

/// Reads a program.
pub(super) fn read(program: &proto::Program) -> Result<Program, ProgramError> {
    Reader {
        program,
        groups: index("group", &program.groups, |one| one.id)?,
        instances: index("instance", &program.instances, |one| one.id)?,
        ports: index("port", &program.ports, |one| one.id)?,
        entries: Vec::new(),
    }
    .read()
}

struct Reader<'a> {
    program: &'a proto::Program,
    groups: HashMap<u32, usize>,
    instances: HashMap<u32, usize>,
    ports: HashMap<u32, usize>,
    entries: Vec<Option<Entry>>,
}

fn found(what: &'static str, index: &HashMap<u32, usize>, number: u32) -> Result<usize, ProgramError> {
    index.get(&number).copied().ok_or(ProgramError::Missing { what, number: number.into() })
}

impl Reader<'_> {
    fn read(mut self) -> Result<Program, ProgramError> {
        let program = self.program;
        self.counts()?;
        let trunks = program.trunks.iter().enumerate().map(|(place, trunk)| {
            let gate = self.gate(trunk.gate, Entry::Trunk(place))?;
            Ok(Trunk { gate, local: trunk.local.into(), remote: trunk.remote.into() })
        });
        let trunks = trunks.collect::<Result<Vec<_>, ProgramError>>()?;
        let ports = program.ports.iter().enumerate().map(|(place, port)| self.port(place, port));
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        let instances =
            program.instances.iter().enumerate().map(|(place, instance)| self.instance(place, instance));
        let instances = instances.collect::<Result<Vec<_>, _>>()?;
        let groups = program.groups.iter().map(|group| self.group(group)).collect::<Result<Vec<_>, _>>()?;
        let pipelets = program.pipelets.iter().map(|pipelet| {
            let (traffic, port, groups) = (filter(&pipelet.traffic)?, pipelet.port, pipelet.groups.clone());
            Ok(Pipelet { traffic, port, groups })
        });
        let pipelets = pipelets.collect::<Result<Vec<_>, ProgramError>>()?;
        let attribute = |text: &String| match text.split_once('.') {
            Some((function, name)) => {
                Attribute { function: Some(function.to_owned()), name: name.to_owned() }
            }
            None => Attribute { function: None, name: text.clone() },
        };
        Ok(Program {
            hasher: FlowHasher::new(program.seed.into()),
            attributes: program.attributes.iter().map(attribute).collect(),
            pipelets,
            ports,
            groups,
            instances,
            trunks,
            entries: self.entries,
            by_instance: self.instances,
            by_port: self.ports,
        })
    }

    fn counts(&self) -> Result<(), ProgramError> {
        let program = self.program;
        let own = |rules: &[proto::Rule]| rules.len();
        let of_instance = |instance: &proto::Instance| match &instance.at {
            Some(proto::instance::At::Here(here)) => {
                own(&here.rules) + here.leaving.iter().map(|leaving| own(&leaving.rules)).sum::<usize>()
            }
            _ => 0,
        };
        let rules = program.ports.iter().map(|port| own(&port.rules)).sum::<usize>()
            + program.instances.iter().map(of_instance).sum::<usize>();
        let exceptions = program.groups.iter().map(|group| group.exceptions.len()).max();
        for (what, count, most) in [
            ("rules", rules, RULES_MAX),
            ("attributes", program.attributes.len(), 64),
            ("pipelets", program.pipelets.len(), PARTS_MAX),
            ("ports", program.ports.len(), PARTS_MAX),
            ("groups", program.groups.len(), PARTS_MAX),
            ("instances", program.instances.len(), PARTS_MAX),
            ("trunks", program.trunks.len(), usize::from(GATES)),
            ("exceptions", exceptions.unwrap_or(0), KEYS_MAX),
            ("flows of an instance", program.flows as usize, FLOWS_MAX as usize),
        ] {
            if count > most {
                return Err(ProgramError::TooMany { what, count, most });
            }
        }
        Ok(())
    }

    /// A gate that nothing else has.
    fn gate(&mut self, number: u32, entry: Entry) -> Result<Gate, ProgramError> {
        let gate = Gate::try_from(number).ok().filter(|gate| *gate < GATES);
        let gate = gate.ok_or(ProgramError::Missing { what: "gate", number: number.into() })?;
        let place = usize::from(gate);
        self.entries.resize(self.entries.len().max(place + 1), None);
        match self.entries[place].replace(entry) {
            None => Ok(gate),
            Some(_) => Err(ProgramError::Twice { what: "gate", number: number.into() }),
        }
    }

    fn trunk(&self, place: u32) -> Result<Way, ProgramError> {
        match self.program.trunks.get(place as usize) {
            Some(_) => Ok(Way::Trunk(place as usize)),
            None => Err(ProgramError::Missing { what: "trunk", number: place.into() }),
        }
    }

    fn port(&mut self, place: usize, port: &proto::Port) -> Result<Port, ProgramError> {
        let way = match port.at {
            Some(proto::port::At::Gate(gate)) => Way::Here(self.gate(gate, Entry::Port(place))?),
            Some(proto::port::At::Trunk(trunk)) => self.trunk(trunk)?,
            None => return Err(ProgramError::Incomplete("a port is nowhere")),
        };
        Ok(Port { id: port.id, way, rules: self.rules(&port.rules)? })
    }

    fn rules(&self, rules: &[proto::Rule]) -> Result<Vec<Rule>, ProgramError> {
        let pipelet = |number: u32| match self.program.pipelets.get(number as usize) {
            Some(_) => Ok(number as u16),
            None => Err(ProgramError::Missing { what: "pipelet", number: number.into() }),
        };
        let rule = |rule: &proto::Rule| {
            let to = match rule.to {
                Some(proto::rule::To::Group(group)) => Target::Group(found("group", &self.groups, group)?),
                Some(proto::rule::To::Port(port)) => Target::Port(found("port", &self.ports, port)?),
                None => return Err(ProgramError::Incomplete("a rule leads nowhere")),
            };
            let pipelets = rule.pipelets.iter().map(|number| pipelet(*number)).collect::<Result<_, _>>()?;
            Ok(Rule {
                pipelets,
                filter: filter(&rule.filter)?,
                sets: rule.sets.map(pipelet).transpose()?,
                to,
            })
        };
        rules.iter().map(rule).collect()
    }

    fn instance(&mut self, place: usize, instance: &proto::Instance) -> Result<Instance, ProgramError> {
        let group = found("group", &self.groups, instance.group)?;
        let (way, here) = match &instance.at {
            Some(proto::instance::At::Trunk(trunk)) => (self.trunk(*trunk)?, None),
            Some(proto::instance::At::Here(local)) => {
                if local.gates == 0 || local.gates > u32::from(GATES) {
                    return Err(ProgramError::Missing {
                        what: "gates of an instance",
                        number: local.gates.into(),
                    });
                }
                let mut first = 0;
                for gate in 0..local.gates {
                    let entry = Entry::Instance(place, gate as Gate);
                    let taken = self.gate(local.gate.saturating_add(gate), entry)?;
                    first = if gate == 0 { taken } else { first };
                }
                (Way::Here(first), Some(self.here(local)?))
            }
            None => return Err(ProgramError::Incomplete("an instance is nowhere")),
        };
        Ok(Instance { id: instance.id, group, way, here })
    }

    fn here(&self, local: &proto::Local) -> Result<Here, ProgramError> {
        let leaving = local.leaving.iter().map(|leaving| {
            let gate = leaving.gate as Gate;
            Ok((gate, leaving.attributes, self.rules(&leaving.rules)?))
        });
        let detour = local.detour.as_ref().map(|detour| {
            let to = found("instance", &self.instances, detour.to)?;
            Ok((HashRange { start: detour.start, end: detour.end }, to))
        });
        let back = local.back.as_ref().map(|back| {
            if back.keys.len() > KEYS_MAX {
                let count = back.keys.len();
                return Err(ProgramError::TooMany { what: "keys of a return", count, most: KEYS_MAX });
            }
            Ok((back.keys.iter().copied().collect(), found("instance", &self.instances, back.to)?))
        });
        Ok(Here {
            gates: local.gates as Gate,
            legacy: local.legacy,
            rules: self.rules(&local.rules)?,
            leaving: leaving.collect::<Result<_, ProgramError>>()?,
            detour: detour.transpose()?,
            back: back.transpose()?,
        })
    }

    fn group(&self, group: &proto::Group) -> Result<Group, ProgramError> {
        let part = |part: &proto::Part| {
            let range = HashRange { start: part.start, end: part.end };
            Ok((range, found("instance", &self.instances, part.instance)?))
        };
        let mut parts = group.parts.iter().map(part).collect::<Result<Vec<_>, ProgramError>>()?;
        parts.sort_by_key(|(range, _)| range.start);
        let mut covered = 0;
        for (range, _) in &parts {
            if range.start != covered || range.is_empty() {
                return Err(ProgramError::Parts(group.id));
            }
            covered = range.end;
        }
        if covered != HashRange::SPACE {
            return Err(ProgramError::Parts(group.id));
        }
        let exception = |exception: &proto::Exception| {
            Ok((exception.key, found("instance", &self.instances, exception.instance)?))
        };
        Ok(Group {
            id: group.id,
            fields: Fields::of_bits(group.fields as u8),
            inside: group.inside.clone(),
            parts,
            exceptions: group.exceptions.iter().map(exception).collect::<Result<_, ProgramError>>()?,
        })
    }
}
