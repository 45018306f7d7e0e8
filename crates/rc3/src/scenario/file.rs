//! The file: its shape, and every check of it.

use serde::Deserialize;
use serde_saphyr::Spanned;
use sim::{LEVELS_MAX, Rate, Time};
use topology::{Capacity, Delay, LinkSpec, Topology, generate, load};

use super::quantity::{self, Word, bytes, number, rate, time};
use super::{FLOWS_MAX, Parameter, Protocol, RUNS_MAX, SCENARIO_BYTES_MAX, Scenario, ScenarioError, named};
use crate::config::{LowConfig, Pacing, SenderConfig};
use crate::congestion::Algorithm;
use crate::simulate::{Fabric, Sizes, internet2};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: Option<String>,
    topology: Spanned<Shape>,
    #[serde(default)]
    links: Links,
    workload: Load,
    protocols: Spanned<Vec<Spanned<ProtocolWord>>>,
    #[serde(default)]
    sweep: Option<Spanned<Sweep>>,
    seeds: Spanned<Seeds>,
    #[serde(default)]
    until: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Shape {
    Name(String),
    Made(Made),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    dumbbell: Option<Dumbbell>,
    #[serde(default)]
    links: Option<Vec<[String; 3]>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dumbbell {
    hosts: u32,
    edge: String,
    core: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Links {
    #[serde(default)]
    buffer: Option<Spanned<Word>>,
    #[serde(default)]
    loss: Option<Spanned<Word>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    flows: Spanned<Word>,
    load: Spanned<Word>,
    #[serde(default)]
    capacity: Option<Spanned<String>>,
    sizes: Spanned<SizesWord>,
    #[serde(default)]
    between: Option<Spanned<Vec<Pair>>>,
}

/// Two hosts.
type Pair = Spanned<(String, String)>;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SizesWord {
    One(Word),
    Table(Vec<(Word, f64)>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ProtocolWord {
    Name(String),
    Made(Box<MadeProtocol>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MadeProtocol {
    name: String,
    like: String,
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    initial_window: Option<u32>,
    #[serde(default)]
    levels: Option<u8>,
    #[serde(default)]
    pacing: Option<Word>,
    #[serde(default)]
    flush: Option<bool>,
    #[serde(default)]
    deployed: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    #[serde(default)]
    load: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    rate_scale: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    delay_scale: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    buffer: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    loss: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    initial_window: Option<Vec<Spanned<Word>>>,
    #[serde(default)]
    deployed: Option<Vec<Spanned<Word>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Seeds {
    Count(u32),
    These(Vec<u64>),
}

/// Puts the place of a value to what is wrong with it.
fn at<T, V>(value: &Spanned<V>, result: Result<T, String>) -> Result<T, ScenarioError> {
    result.map_err(|message| {
        let (line, column) = (value.referenced.line() as u32, value.referenced.column() as u32);
        ScenarioError { line, column, message }
    })
}

pub(super) fn parse(
    text: &str,
    file: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Scenario, ScenarioError> {
    if text.len() > SCENARIO_BYTES_MAX {
        let message = format!("{} bytes: a scenario has at most {SCENARIO_BYTES_MAX}", text.len());
        return Err(ScenarioError { line: 0, column: 0, message });
    }
    let read: File = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) =
            error.location().map_or((0, 0), |place| (place.line() as u32, place.column() as u32));
        ScenarioError { line, column, message: error.without_snippet().to_string() }
    })?;

    let topology = at(&read.topology, shape(&read.topology.value, file))?;
    let fabric = at(&read.topology, Fabric::new(&topology).map_err(|error| error.to_string()))?;
    let pairs = match &read.workload.between {
        None => Vec::new(),
        Some(pairs) if pairs.value.is_empty() => return at(pairs, Err("no pair of hosts".into())),
        Some(pairs) => {
            pairs.value.iter().map(|pair| at(pair, ends(&fabric, &pair.value))).collect::<Result<_, _>>()?
        }
    };
    let capacity = match &read.workload.capacity {
        None => fabric.access(),
        Some(capacity) => at(capacity, rate(&capacity.value))?,
    };
    let Load { flows, load, sizes, .. } = &read.workload;
    let flow_count = at(flows, number(&flows.value, "a number of flows", 1.0, f64::from(FLOWS_MAX)))?;
    let load = at(load, number(&load.value, "a load", 1e-6, 10.0))?;
    let sizes = at(sizes, sizes_of(&sizes.value))?;
    let buffer = match &read.links.buffer {
        None => 5_000_000,
        Some(buffer) => at(buffer, bytes(&buffer.value))?,
    };
    let loss = match &read.links.loss {
        None => 0.0,
        Some(loss) => at(loss, number(&loss.value, "a loss", 0.0, 1.0))?,
    };
    let of = |word: &Spanned<ProtocolWord>| at(word, protocol(&word.value));
    let protocols: Vec<Protocol> = read.protocols.value.iter().map(of).collect::<Result<_, _>>()?;
    if protocols.is_empty() {
        return at(&read.protocols, Err("no protocol: want such as [tcp, rc3]".into()));
    }
    let sweep = read.sweep.as_ref().map(points).transpose()?;
    let seeds = at(&read.seeds, seeds(&read.seeds.value))?;
    let until = match &read.until {
        None => Time::from_secs(3_600),
        Some(until) => at(until, time(&until.value))?,
    };
    let name = read.name.unwrap_or_else(|| "scenario".into());
    let scenario = Scenario {
        name,
        fabric,
        pairs,
        capacity,
        flows: flow_count as u32,
        load,
        sizes,
        buffer,
        loss,
        protocols,
        sweep,
        seeds,
        until,
    };
    if scenario.runs() > RUNS_MAX {
        return at(&read.seeds, Err(format!("{} runs: want at most {RUNS_MAX}", scenario.runs())));
    }
    Ok(scenario)
}

fn ends(fabric: &Fabric, (from, to): &(String, String)) -> Result<(sim::NodeId, sim::NodeId), String> {
    let host = |name: &String| fabric.host(name).ok_or_else(|| format!("there is no host {name}"));
    let (a, b) = (host(from)?, host(to)?);
    if a == b { Err(format!("{from} is both ends")) } else { Ok((a, b)) }
}

fn shape(shape: &Shape, file: &dyn Fn(&str) -> Result<String, String>) -> Result<Topology, String> {
    let made = match shape {
        Shape::Name(name) if name == "internet2" => return Ok(internet2()),
        Shape::Name(name) => {
            return Err(format!(
                "there is no topology {name}: want internet2, or {{ file: … }}, {{ dumbbell: … }}, {{ links: … }}"
            ));
        }
        Shape::Made(made) => made,
    };
    match made {
        Made { file: Some(path), dumbbell: None, links: None } => from_file(path, &file(path)?),
        Made { file: None, dumbbell: Some(Dumbbell { hosts, edge, core }), links: None } => {
            generate::dumbbell(*hosts, &link(edge)?, &link(core)?).map_err(|error| error.to_string())
        }
        Made { file: None, dumbbell: None, links: Some(links) } => {
            let mut lines = String::new();
            for [a, b, quantities] in links {
                let spec = link(quantities)?;
                let bits = spec.capacity.map_or(0, Capacity::bits_per_second);
                let (mbit, ms) = (bits as f64 / 1e6, spec.delay.nanos() as f64 / 1e6);
                if [a, b]
                    .iter()
                    .any(|name| name.is_empty() || name.contains([' ', '\t', '\n', '\r', ',', '#']))
                {
                    return Err(format!("`{a}` and `{b}` are to be names without blanks, commas and #"));
                }
                lines.push_str(&format!("{a} {b} {mbit} {ms}\n"));
            }
            load::edge_list(&lines).map_err(|error| error.to_string())
        }
        _ => Err("want one of file, dumbbell and links".into()),
    }
}

/// `1gbit 10ms`.
fn link(text: &str) -> Result<LinkSpec, String> {
    let wrong = || format!("`{text}` is no link: want a rate and a delay, such as 1gbit 10ms");
    let (speed, delay) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let (speed, delay) = (quantity::rate(speed)?, quantity::time(delay.trim())?);
    let capacity = Capacity::from_bits_per_second(speed.bits_per_second());
    Ok(LinkSpec::default().capacity(capacity).delay(Delay::from_nanos(delay.nanos())))
}

fn from_file(path: &str, text: &str) -> Result<Topology, String> {
    let loader = match path.rsplit('.').next() {
        Some("graphml") => load::graphml,
        Some("gml") => load::gml,
        Some("json") => load::json,
        _ => load::edge_list,
    };
    loader(text).map_err(|error| format!("{path}: {error}"))
}

fn sizes_of(word: &SizesWord) -> Result<Sizes, String> {
    match word {
        SizesWord::One(Word::Text(name)) if name == "paper" => Ok(Sizes::paper(1_460)),
        SizesWord::One(word) => match bytes(word)? {
            0 => Err("flows of 0 bytes".into()),
            bytes => Ok(Sizes::fixed(bytes)),
        },
        SizesWord::Table(table) => {
            let lines = table.iter().map(|(size, share)| Ok((bytes(size)?, *share)));
            Sizes::new(lines.collect::<Result<_, String>>()?).map_err(|error| error.to_string())
        }
    }
}

fn protocol(word: &ProtocolWord) -> Result<Protocol, String> {
    let known = |name: &str| {
        named(name).ok_or_else(|| {
            format!("there is no protocol {name}: want tcp, cubic, rc3, rc3-paced or rc3-cubic")
        })
    };
    let made = match word {
        ProtocolWord::Name(name) => {
            let config = known(name)?;
            return Ok(Protocol { name: name.clone(), config, deployed: 1.0 });
        }
        ProtocolWord::Made(made) => made,
    };
    let mut config = known(&made.like)?;
    match made.algorithm.as_deref() {
        None => {}
        Some("newreno") => config.algorithm = Algorithm::NewReno,
        Some("cubic") => config.algorithm = Algorithm::Cubic,
        Some(other) => return Err(format!("there is no algorithm {other}: want newreno or cubic")),
    }
    if let Some(window) = made.initial_window {
        config.initial_window = window_of(f64::from(window))?;
    }
    set_low(&mut config, made)?;
    let deployed = made.deployed.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&deployed) {
        return Err(format!("deployed on {deployed} of flows: want 0 to 1"));
    }
    Ok(Protocol { name: made.name.clone(), config, deployed })
}

fn set_low(config: &mut SenderConfig, made: &MadeProtocol) -> Result<(), String> {
    if let (None, true) = (config.low, made.levels.is_some() || made.pacing.is_some() || made.flush.is_some())
    {
        return Err(format!("{} has no low levels: want it like rc3", made.name));
    }
    let Some(LowConfig { levels, pacing, flush, .. }) = &mut config.low else { return Ok(()) };
    *flush = made.flush.unwrap_or(*flush);
    *levels = made.levels.unwrap_or(*levels);
    if !(2..=LEVELS_MAX as u8).contains(levels) {
        return Err(format!("{levels} levels: want 2 to {LEVELS_MAX}"));
    }
    match &made.pacing {
        None => {}
        Some(Word::Text(word)) if word == "nic" => *pacing = Pacing::Nic,
        Some(Word::Text(word)) if word == "bottleneck" => {
            *pacing = Pacing::Bottleneck { percent: 90, remembered: None };
        }
        Some(Word::Text(word)) => {
            let remembered: Rate =
                rate(word).map_err(|error| format!("pacing: want nic, bottleneck or a rate: {error}"))?;
            *pacing = Pacing::Bottleneck { percent: 100, remembered: Some(remembered) };
        }
        Some(Word::Number(number)) => {
            return Err(format!("pacing of {number}: want nic, bottleneck or a rate"));
        }
    }
    Ok(())
}

fn window_of(segments: f64) -> Result<u32, String> {
    const MOST: f64 = 65_536.0;
    let whole = (1.0..=MOST).contains(&segments) && segments.fract() == 0.0;
    if whole {
        Ok(segments as u32)
    } else {
        Err(format!("an initial window of {segments}: want 1 to {MOST} segments"))
    }
}

fn points(sweep: &Spanned<Sweep>) -> Result<(Parameter, Vec<f64>), ScenarioError> {
    let Sweep { load, rate_scale, delay_scale, buffer, loss, initial_window, deployed } = &sweep.value;
    let all = [
        (Parameter::Load, load),
        (Parameter::RateScale, rate_scale),
        (Parameter::DelayScale, delay_scale),
        (Parameter::Buffer, buffer),
        (Parameter::Loss, loss),
        (Parameter::InitialWindow, initial_window),
        (Parameter::Deployed, deployed),
    ];
    let mut given = all.into_iter().filter_map(|(parameter, values)| Some((parameter, values.as_ref()?)));
    let (Some((parameter, values)), None) = (given.next(), given.next()) else {
        return at(sweep, Err("a sweep is over one parameter: load, rate_scale, delay_scale, buffer, loss, initial_window or deployed".into()));
    };
    if values.is_empty() {
        return at(sweep, Err("an empty sweep: want at least one value".into()));
    }
    let value = |word: &Spanned<Word>| {
        let value = &word.value;
        let found = match parameter {
            Parameter::Load => number(value, "a load", 1e-6, 10.0),
            Parameter::RateScale | Parameter::DelayScale => number(value, "a scale", 1e-6, 1e6),
            Parameter::Buffer => bytes(value).map(|bytes| bytes as f64),
            Parameter::Loss => number(value, "a loss", 0.0, 1.0),
            Parameter::InitialWindow => number(value, "an initial window", 1.0, 65_536.0)
                .and_then(|segments| window_of(segments).map(f64::from)),
            Parameter::Deployed => number(value, "a share of flows", 0.0, 1.0),
        };
        at(word, found)
    };
    Ok((parameter, values.iter().map(value).collect::<Result<_, _>>()?))
}

fn seeds(seeds: &Seeds) -> Result<Vec<u64>, String> {
    match seeds {
        Seeds::Count(count) if (1..=RUNS_MAX as u32).contains(count) => Ok((1..=u64::from(*count)).collect()),
        Seeds::These(seeds) if (1..=RUNS_MAX).contains(&seeds.len()) => Ok(seeds.clone()),
        _ => Err(format!("want 1 to {RUNS_MAX} seeds")),
    }
}
