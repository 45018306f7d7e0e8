//! Random and malformed requests in random order never end the daemon, nor make it fail inside.
//!
//! Most go to the daemon as the server hands them on; one in [`SERVED`] through the server as well. `WEFT_FUZZ_CALLS` says
//! how many (100,000), `WEFT_FUZZ_SEED` repeats a run.

mod bess_kit;

use bess_kit::Daemon;
use bess_kit::fuzzer::Fuzzer;
use packet::fuzzing::bounded;
use prost::Message;
use softnic::bess::{CallError, Config, pb};
use tonic::Code;

/// What the daemon says of a panic.
const OWN_ERROR: &str = "an error of the daemon's own";
/// Requests that are made in the process for each that goes through the server.
const SERVED: u64 = 100;

/// What became of a request: an answer, or none since it was no message.
fn answer(daemon: &mut Daemon, served: bool, method: &str, request: &[u8]) -> Option<Vec<u8>> {
    if served {
        return match daemon.call(method, request.to_vec()) {
            Ok(answer) => Some(answer),
            Err(status) if matches!(status.code(), Code::Internal | Code::InvalidArgument) => None,
            Err(status) => panic!("{method}: {status}"),
        };
    }
    match daemon.bess.call(method, request) {
        Ok(answer) => Some(answer),
        Err(CallError::Garbled { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn no_sequence_of_requests_ends_the_daemon() {
    let seed = bounded::seed(None);
    let calls = std::env::var("WEFT_FUZZ_CALLS").ok();
    let calls = calls.map_or(100_000, |calls| calls.parse::<u64>().expect("WEFT_FUZZ_CALLS is a number"));
    println!("WEFT_FUZZ_SEED={seed} WEFT_FUZZ_CALLS={calls}");
    let mut daemon = Daemon::start(Config { buffers: 4096, seed, ..Config::default() });
    let mut fuzzer = Fuzzer::new(&daemon.bess, seed, format!("weft-fuzz-{}", std::process::id()));
    let (mut done, mut refused, mut garbled) = (0u64, 0u64, 0u64);
    for call in 0..calls {
        let (method, request) = fuzzer.request();
        let Some(answer) = answer(&mut daemon, call % SERVED == 0, &method, &request) else {
            garbled += 1;
            continue;
        };
        // Every answer has its error in the first field.
        let error = pb::EmptyResponse::decode(&*answer).ok().and_then(|answer| answer.error);
        let message = error.as_ref().map(|error| error.errmsg.as_str()).unwrap_or_default();
        assert!(!message.contains(OWN_ERROR), "call {call}: {method} {request:x?}");
        if error.is_some_and(|error| error.code != 0) { refused += 1 } else { done += 1 }
    }
    println!("{done} done, {refused} refused, {garbled} no messages");
    assert!(done > calls / 10 && refused > calls / 10, "the requests are not mixed");
    let broken = daemon.bess.engine().snapshot().modules.into_iter().filter_map(|module| module.failed);
    assert_eq!(broken.collect::<Vec<_>>(), Vec::<String>::new(), "modules have panicked");
    daemon.call("ResetAll", Vec::new()).unwrap();
    assert!(daemon.bess.engine().snapshot().modules.is_empty());
}
