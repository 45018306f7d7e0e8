//! The four that are asked, and where they disagree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use quilt::check::reach::Index;
use quilt::kubernetes::export::{Exported, Manifest};
use quilt::model::{Blueprint, Protocol};
use softnic::fabric::{Opening, Policy};

use crate::judges::Allowed;
use crate::question::{EDGE, Question};

/// An answer; where it is yes, with the line of the blueprint that says so, if the side knows lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes(Option<String>),
    No,
    /// Over one of IPv4 and IPv6 only.
    Partly,
}

impl Answer {
    fn is_yes(&self) -> bool {
        matches!(self, Answer::Yes(_))
    }

    fn is_no(&self) -> bool {
        *self == Answer::No
    }
}

pub(crate) trait Side {
    fn name(&self) -> &'static str;
    /// Nothing where the side does not know the parties.
    fn answer(&self, question: Question<'_>) -> Option<Answer>;
}

/// (a) The links of the blueprint.
pub(crate) struct Graph<'a> {
    blueprint: &'a Blueprint,
    index: Index<'a>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(blueprint: &'a Blueprint) -> Self {
        Self { blueprint, index: Index::new(blueprint) }
    }
}

impl Side for Graph<'_> {
    fn name(&self) -> &'static str {
        "the graph"
    }

    fn answer(&self, Question { from, to, port, protocol }: Question<'_>) -> Option<Answer> {
        if from == EDGE {
            let publish = self.blueprint.publishes.iter().find(|publish| {
                publish.to.name() == to && publish.container_port == port && publish.protocol == protocol
            });
            return Some(publish.map_or(Answer::No, |publish| Answer::Yes(Some(publish.span.to_string()))));
        }
        let link = self.index.allowed(from, to, port, protocol);
        Some(link.map_or(Answer::No, |link| Answer::Yes(Some(link.span.to_string()))))
    }
}

/// (b) What came through the running network.
#[derive(Default)]
pub(crate) struct Packets<'a> {
    pub(crate) asked: HashSet<Question<'a>>,
    /// With the family: true is IPv6.
    pub(crate) reached: HashSet<(Question<'a>, bool)>,
}

/// The families over which each question is asked of packets: IPv4, and IPv6.
pub(crate) const FAMILIES: [bool; 2] = [false, true];

impl Side for Packets<'_> {
    fn name(&self) -> &'static str {
        "packets"
    }

    fn answer(&self, question: Question<'_>) -> Option<Answer> {
        let came = FAMILIES.iter().filter(|v6| self.reached.contains(&(question, **v6))).count();
        self.asked.contains(&question).then_some(match came {
            0 => Answer::No,
            all if all == FAMILIES.len() => Answer::Yes(None),
            _ => Answer::Partly,
        })
    }
}

/// (c) The tables that the dataplane looks packets up in.
pub(crate) struct Tables {
    parties: HashMap<String, Vec<String>>,
    openings: HashMap<(String, String), Vec<Opening>>,
}

impl Tables {
    pub(crate) fn of(policy: Policy) -> Self {
        let mut openings: HashMap<_, Vec<Opening>> = HashMap::new();
        for opening in policy.openings {
            openings.entry((opening.from.clone(), opening.to.clone())).or_default().push(opening);
        }
        let parties = policy.sources.into_iter().map(|source| (source.name, source.parties));
        Self { parties: parties.collect(), openings }
    }
}

impl Side for Tables {
    fn name(&self) -> &'static str {
        "the dataplane's tables"
    }

    fn answer(&self, Question { from, to, port, protocol }: Question<'_>) -> Option<Answer> {
        let parties = self.parties.get(from)?;
        let openings = parties.iter().filter_map(|party| self.openings.get(&(party.clone(), to.to_owned())));
        let covers =
            |opening: &&Opening| opening.protocol == protocol && opening.min <= port && port <= opening.max;
        let first = openings.flatten().find(covers);
        Some(first.map_or(Answer::No, |opening| Answer::Yes(Some(opening.label.clone()))))
    }
}

/// (d) What network-config-analyzer says of the exported manifests.
pub(crate) struct Manifests<'a> {
    pods: HashMap<String, String>,
    pub(crate) found: &'a BTreeMap<(String, String), Allowed>,
}

impl<'a> Manifests<'a> {
    pub(crate) fn of(
        blueprint: &Blueprint,
        exported: &Exported,
        found: &'a BTreeMap<(String, String), Allowed>,
    ) -> Self {
        Self { pods: pods(blueprint, exported), found }
    }

    /// What the judge calls a container.
    pub(crate) fn pods(&self) -> &HashMap<String, String> {
        &self.pods
    }

    pub(crate) fn between(&self, from: &str, to: &str) -> Option<&Allowed> {
        const NOTHING: &Allowed = &Allowed { everything: false, ports: BTreeMap::new() };
        let pair = (self.pods.get(from)?.clone(), self.pods.get(to)?.clone());
        Some(self.found.get(&pair).unwrap_or(NOTHING))
    }
}

impl Side for Manifests<'_> {
    fn name(&self) -> &'static str {
        "network-config-analyzer"
    }

    fn answer(&self, Question { from, to, port, protocol }: Question<'_>) -> Option<Answer> {
        let word = if protocol == Protocol::Tcp { "TCP" } else { "UDP" };
        let allowed = self.between(from, to)?.allows(word, port);
        Some(if allowed { Answer::Yes(None) } else { Answer::No })
    }
}

/// Which pod of the judge's a container is. It makes two pods of a deployment at most, and knows neither services nor the
/// edge.
fn pods(blueprint: &Blueprint, exported: &Exported) -> HashMap<String, String> {
    let replicas: BTreeMap<&str, u32> = exported
        .manifests
        .iter()
        .filter_map(|manifest| match manifest {
            Manifest::Workload(workload) => {
                let count = workload.spec.replicas.or(workload.spec.parallelism);
                Some((workload.metadata.name.as_str(), count.unwrap_or(1)))
            }
            _ => None,
        })
        .collect();
    let mut pods = HashMap::new();
    let mut count = 0;
    for container in &blueprint.containers {
        let alone = replicas.get(container.name.as_str()).filter(|count| **count == 1);
        let (workload, index) = match container.name.rsplit_once('-') {
            _ if alone.is_some() => (container.name.as_str(), 1),
            Some((group, index)) => (group, index.parse().expect("a replica's number")),
            None => panic!("no workload of {}", container.name),
        };
        assert!(replicas[workload] >= index, "{workload} has too few pods");
        count += 1;
        if index <= 2 {
            pods.insert(container.name.clone(), format!("{}/{workload}-{index}", blueprint.name));
        }
    }
    assert_eq!(count, replicas.values().sum::<u32>(), "every container is a pod");
    pods
}

/// A question to which two sides have different answers.
#[derive(Debug)]
pub(crate) struct Disagreement<'a> {
    pub(crate) question: Question<'a>,
    pub(crate) answers: Vec<(&'static str, Answer)>,
}

impl Disagreement<'_> {
    /// Whether a side did not say yes, or not wholly.
    pub(crate) fn is_missing(&self, side: &str) -> bool {
        self.answers.iter().any(|(name, answer)| *name == side && !answer.is_yes())
    }
}

impl fmt::Display for Disagreement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.question)?;
        for (at, (side, answer)) in self.answers.iter().enumerate() {
            let between = if at == 0 { ": " } else { ", " };
            match answer {
                Answer::Yes(Some(line)) => write!(f, "{between}{side} yes by {line}")?,
                Answer::Yes(None) => write!(f, "{between}{side} yes")?,
                Answer::No => write!(f, "{between}{side} no")?,
                Answer::Partly => write!(f, "{between}{side} over one of IPv4 and IPv6 only")?,
            }
        }
        Ok(())
    }
}

/// How many answers there were of each side, and how many of them yes.
pub(crate) type Tally = BTreeMap<&'static str, (usize, usize)>;

/// Asks every side every question.
pub(crate) fn compare<'a>(questions: &[Question<'a>], sides: &[&dyn Side]) -> (Vec<Disagreement<'a>>, Tally) {
    let (mut disagreements, mut tally) = (Vec::new(), Tally::new());
    for question in questions {
        let answers: Vec<_> =
            sides.iter().filter_map(|side| Some((side.name(), side.answer(*question)?))).collect();
        for (side, answer) in &answers {
            let (asked, yes) = tally.entry(*side).or_default();
            *asked += 1;
            *yes += usize::from(answer.is_yes());
        }
        let agreed = |is: fn(&Answer) -> bool| answers.iter().all(|(_, answer)| is(answer));
        if !agreed(Answer::is_yes) && !agreed(Answer::is_no) {
            disagreements.push(Disagreement { question: *question, answers });
        }
    }
    (disagreements, tally)
}
