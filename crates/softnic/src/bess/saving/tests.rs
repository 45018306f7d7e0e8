//! Files that hold what no daemon has written, with checksums that are right.

use std::path::Path;
use std::sync::Arc;

use packet::fuzzing::bounded::{Random, seed};
use prost::Message;

use super::file::{Next, Reader, Record, begin, write};
use super::picture::{Head, Tail};
use super::{STATE, Saved};
use crate::bess::{Bess, Config, pb};

fn config() -> Config {
    Config { buffers: 256, ..Config::default() }
}

fn put(directory: &Path, records: &[Record]) {
    let mut bytes = Vec::new();
    begin(&mut bytes).unwrap();
    records.iter().for_each(|Record { kind, body }| write(&mut bytes, kind, body).unwrap());
    std::fs::write(directory.join(STATE), bytes).unwrap();
}

fn restore(directory: &Path) -> Result<Arc<Bess>, String> {
    let saved = Saved::open(directory, false).map_err(|error| error.to_string())?;
    let bess = Bess::start(saved.config(config()).map_err(|error| error.to_string())?).unwrap();
    saved.restore(&bess).map_err(|error| error.to_string())?;
    Ok(bess)
}

fn record(kind: &str, body: &impl Message) -> Record {
    Record { kind: kind.to_owned(), body: body.encode_to_vec() }
}

/// A daemon's own file, record by record.
fn good(directory: &Path) -> Vec<Record> {
    let saved = Saved::open(directory, true).unwrap();
    let bess = Bess::start(config()).unwrap();
    saved.restore(&bess).unwrap();
    let create = |class: &str, name: &str| {
        let request = pb::CreateModuleRequest { mclass: class.into(), name: name.into(), arg: None };
        bess.call("CreateModule", &request.encode_to_vec()).unwrap();
    };
    [("Source", "a"), ("Sink", "b"), ("L2Forward", "c")].iter().for_each(|(class, name)| create(class, name));
    let connect = pb::ConnectModulesRequest { m1: "a".into(), m2: "b".into(), ..Default::default() };
    bess.call("ConnectModules", &connect.encode_to_vec()).unwrap();
    bess.call("ResumeAll", &[]).unwrap();
    let mut reader = Reader::open(&directory.join(STATE)).unwrap().unwrap();
    let mut records = Vec::new();
    while let Next::Record(record) = reader.next().unwrap() {
        records.push(record);
    }
    records
}

#[test]
fn hostile_records_are_refused_and_never_panic() {
    let number = seed(None);
    println!("WEFT_FUZZ_SEED={number}");
    let mut random = Random(number);
    let directory = tempfile::tempdir().unwrap();
    let good = good(directory.path());
    let kinds =
        ["CreateModule", "AddTc", "UpdateTcParent", "ConfigureGateHook", "ModuleCommand", "ResumeAll"];
    let own = ["state.head", "state.tail", "state.placed", "state.built", "state.unknown", ".", ""];
    let (mut restored, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut records = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(records.len());
            match random.below(5) {
                0 => drop(records.remove(at.max(1).min(records.len() - 1))),
                1 => {
                    let other = random.below(records.len());
                    records.swap(at, other);
                }
                2 => {
                    let kind = *if random.one_in(2) { &own[..] } else { &kinds[..] }
                        .get(random.below(6))
                        .unwrap_or(&"");
                    let length = random.below(40);
                    records.insert(at, Record { kind: kind.to_owned(), body: random.bytes(length) });
                }
                3 if !records[at].body.is_empty() => {
                    let byte = random.below(records[at].body.len());
                    records[at].body[byte] = random.next() as u8;
                }
                _ => records[at].kind = kinds[random.below(kinds.len())].to_owned(),
            }
        }
        put(directory.path(), &records);
        match restore(directory.path()) {
            Ok(_) => restored += 1,
            Err(error) => {
                assert!(!error.contains("an error of the daemon's own"), "{error}");
                refused += 1;
            }
        }
    }
    println!("{restored} restored, {refused} refused");
    assert!(restored > 5 && refused > 100);
}

#[test]
fn numbers_that_lie_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let head = record("state.head", &Head::default());
    let tail = |records, next, running| record("state.tail", &Tail { records, built: 0, next, running });
    let wrong = |records: &[Record]| {
        put(directory.path(), records);
        restore(directory.path()).err().unwrap()
    };
    assert!(wrong(&[]).contains("cut short"));
    assert!(wrong(std::slice::from_ref(&head)).contains("cut short"));
    assert!(wrong(&[tail(0, 0, vec![])]).contains("damaged at byte 0"));
    assert!(wrong(&[head.clone(), tail(2, 0, vec![])]).contains("damaged"));
    assert!(wrong(&[head.clone(), tail(1, 0, vec![7])]).contains("there is no worker 7"));
    assert!(wrong(&[head.clone(), tail(1, 0, vec![]), tail(2, 0, vec![])]).contains("damaged"));
    put(directory.path(), &[head, tail(1, u32::MAX, vec![])]);
    let bess = restore(directory.path()).unwrap();
    // Whoever's turn it was is not there: the first one's is next.
    bess.call("AddWorker", &[]).unwrap();
    let class =
        pb::TrafficClass { name: "c".into(), policy: "round_robin".into(), wid: -1, ..Default::default() };
    bess.call("AddTc", &pb::AddTcRequest { class: Some(class) }.encode_to_vec()).unwrap();
    assert_eq!(bess.engine().classes()[0].worker, 0);
}
