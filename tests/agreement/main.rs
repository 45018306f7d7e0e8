//! Four answers to one question, for every blueprint of the corpus (`crates/quilt/tests/corpus`): may this party open a
//! flow to that one, on this port, over TCP or UDP?
//!
//! * The graph: the links, as [`quilt::check::reach`] reads them.
//! * Packets: `weft up`, and a [`prober`] in the network of every container that tries all of it.
//! * The dataplane's tables: `weft why --all --json`.
//! * The exported manifests, as network-config-analyzer reads them ([`manifests`]).
//!
//! All pairs of containers, containers and services, and the edge and all of them; all ports that a link or a published
//! port names, and two that none names ([`question`]). A disagreement is told with the pair, the port and the line.

#![forbid(unsafe_code)]

#[allow(dead_code)] // the main job uses the rest
#[path = "../main_job/harness.rs"]
mod harness;
#[allow(dead_code)] // the schemas are judged beside the export
#[path = "../../crates/quilt/tests/kubernetes/judges.rs"]
mod judges;
mod manifests;
mod mutations;
mod prober;
mod question;
mod running;
mod sides;

use std::path::{Path, PathBuf};
use std::time::Instant;

use quilt::eval::{Options, evaluate};
use quilt::model::Blueprint;

use manifests::{exported, found};
use running::Running;
use sides::{Disagreement, Graph, Manifests, Packets, Side, Tables, Tally, compare};

/// A test for each blueprint of the corpus.
macro_rules! corpus {
    ($($name:ident $file:literal,)*) => {
        const CORPUS: &[&str] = &[$($file),*];
        $(
            #[test]
            fn $name() {
                four_answers_agree($file);
            }
        )*
    };
}

corpus! {
    canary "canary.js",
    chain "chain.js",
    django "django.js",
    dns "dns.js",
    elastic "elastic.js",
    everything "everything.js",
    haproxy "haproxy.js",
    jobs "jobs.js",
    kafka "kafka.js",
    kelda_elastic "kelda-elastic.js",
    kelda_kafka "kelda-kafka.js",
    mesh "mesh.js",
    microservices "microservices.js",
    mongo "mongo.js",
    monitoring "monitoring.js",
    mutual "mutual.js",
    outside "outside.js",
    overlap "overlap.js",
    pair "pair.js",
    peers "peers.js",
    quilt_django "quilt-django.js",
    quilt_spark "quilt-spark.js",
    ranges "ranges.js",
    redis "redis.js",
    shop "shop.js",
    spark "spark.js",
    star "star.js",
    strangers "strangers.js",
    tenants "tenants.js",
    wordpress "wordpress.js",
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../quilt/tests/corpus")
}

fn blueprint(path: &Path) -> Blueprint {
    let evaluation = evaluate(path, &Options::default()).unwrap_or_else(|faults| panic!("{faults}"));
    let loaded = quilt::checked(evaluation, &|_| true);
    loaded.unwrap_or_else(|faults| panic!("{faults}: {:#?}", faults.faults)).blueprint
}

fn four_answers_agree(name: &str) {
    let path = corpus().join(name);
    let blueprint = blueprint(&path);
    let questions = question::all(&blueprint);
    let found = found(&path, &blueprint);
    let manifests = Manifests::of(&blueprint, &exported(&blueprint), &found);
    let graph = Graph::of(&blueprint);

    let mut times = vec![Instant::now()];
    let mut running = Running::up(&path, &blueprint);
    times.push(Instant::now());
    let tables = Tables::of(running.policy());
    let mut packets = running.ask(&questions);
    times.push(Instant::now());
    let (disagreements, tally) = settled(&mut running, &graph, &mut packets, &tables, &manifests, &questions);
    // The same tables, asked one question at a time.
    let open = questions.iter().filter(|question| graph.answer(**question) != Some(sides::Answer::No));
    for question in open.step_by(97).chain(questions.iter().step_by(9973)) {
        let listed = tables.answer(*question).expect("the tables know everybody") != sides::Answer::No;
        assert_eq!(running.explains(*question), listed, "{name}: weft why {question}");
    }
    let silent = running.silent_ports();
    running.stop();
    times.push(Instant::now());

    let spent: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("{name}: {} questions; {tally:?}; up, asked, over: {spent:?}", questions.len());
    assert!(
        disagreements.is_empty(),
        "{name}: {} disagreements:\n{}",
        disagreements.len(),
        told(&disagreements)
    );
    assert_eq!(silent, [""; 0], "{name}: nothing comes back through these published ports");
    // Sides that know nobody would agree on everything.
    for side in [&graph as &dyn Side, &packets, &tables] {
        assert_eq!(tally[side.name()].0, questions.len(), "{name}: {}", side.name());
    }
    // The judge of manifests knows no services, and makes two pods of a workload.
    let judged = questions.iter().filter(|question| is_judged(&blueprint, question)).count();
    let answered = tally[manifests.name()].0;
    assert!(0 < judged && judged <= answered, "{name}: {judged}, {tally:?}");
    let said_yes = |side: &dyn Side| tally[side.name()].1 > 0;
    assert!(blueprint.links.is_empty() || said_yes(&graph) && said_yes(&manifests), "{tally:?}");
}

/// Whether a question is one that the judge of manifests must answer: between two containers, neither of them the third of
/// its replicas or a later one.
fn is_judged(blueprint: &Blueprint, question: &question::Question<'_>) -> bool {
    let early = |name: &str| {
        let service =
            name.rsplit_once('-').and_then(|(group, index)| Some((group, index.parse::<u32>().ok()?)));
        let replica = service.filter(|(group, _)| blueprint.service(group).is_some());
        blueprint.container(name).is_some() && replica.is_none_or(|(_, index)| index <= 2)
    };
    early(question.from) && early(question.to)
}

/// Compares, and has packets that should have come through sent again before it says that they do not.
fn settled<'q>(
    running: &mut Running<'_>,
    graph: &Graph<'_>,
    packets: &mut Packets<'q>,
    tables: &Tables,
    manifests: &Manifests<'_>,
    questions: &[question::Question<'q>],
) -> (Vec<Disagreement<'q>>, Tally) {
    let (first, tally) = compare(questions, &[graph, &*packets, tables, manifests]);
    if first.is_empty() {
        return (first, tally);
    }
    let missing = first.iter().filter(|one| one.is_missing(packets.name())).map(|one| one.question);
    let missing: Vec<_> = missing.collect();
    println!("asked again: {} of {}", missing.len(), questions.len());
    running.ask_again(&missing, packets);
    compare(questions, &[graph, &*packets, tables, manifests])
}

fn told(disagreements: &[Disagreement<'_>]) -> String {
    let lines = disagreements.iter().take(20).map(|one| format!("  {one}\n"));
    lines.collect()
}

#[test]
fn every_blueprint_of_the_corpus_is_asked_about() {
    let files =
        std::fs::read_dir(corpus()).expect("the corpus").map(|entry| entry.expect("a file").file_name());
    let mut files: Vec<String> = files.map(|name| name.into_string().expect("a plain name")).collect();
    files.sort();
    assert_eq!(files, CORPUS, "in their order");
    assert!(CORPUS.len() >= 20);
    let sizes: Vec<usize> =
        CORPUS.iter().map(|name| blueprint(&corpus().join(name)).containers.len()).collect();
    assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&2), Some(&60)));
}
