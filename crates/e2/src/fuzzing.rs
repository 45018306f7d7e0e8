//! Bodies of the fuzz targets, shared by `tests/fuzz_bounded.rs` and the coverage-guided targets in `fuzz/`.
//!
//! Not for other uses.

use packet::flow::FlowKey;
use packet::wire::IpProtocol;

use crate::compile::plan;
use crate::filter::Filter;
use crate::policy::Policy;

/// Any text as a filter. What is read can be written and reads back the same, and is the same packets when it is said shorter.
pub fn filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let filter: Filter = match text.parse() {
        Ok(filter) => filter,
        Err(error) => {
            let error: crate::filter::FilterError = error;
            assert!(error.at <= text.len() && error.to_string().len() < 512, "{error}");
            return;
        }
    };
    let written = filter.to_string();
    let again: Filter =
        written.parse().unwrap_or_else(|error| panic!("{text:?} is written {written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    let short = filter.simplified();
    assert_eq!(short.simplified(), short, "{written}");
    for (number, window) in data.windows(8).step_by(3).take(32).enumerate() {
        let address =
            |at: usize| std::net::IpAddr::from([window[at], window[at + 1], window[at + 2], window[at]]);
        let port = |at: usize| u16::from_be_bytes([window[at], window[at + 1]]) % 100;
        let protocol = IpProtocol([6, 17, 1, window[0]][number % 4]);
        let (source, destination) = ((address(0), port(4)).into(), (address(3), port(6)).into());
        let key = FlowKey::new(protocol, source, destination).expect("one family");
        let given = |attribute: &crate::filter::Attribute| attribute.name.len() % 2 == number % 2;
        let matches = filter.matches(&key, &given);
        assert_eq!(again.matches(&key, &given), matches, "{key} by {written}");
        assert_eq!(short.matches(&key, &given), matches, "{key} by {written}, said shorter {short}");
    }
}

/// Any text as a policy: it is read and planned, or told what is wrong in which line.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']; // as YAML counts lines
    let lines = text.matches(breaks).count() as u32 + 1;
    let faults = match Policy::read(&text) {
        Ok(policy) => match plan(&policy) {
            Ok(plan) => {
                assert!(plan.bound <= plan.cut);
                return;
            }
            Err(faults) => faults,
        },
        Err(faults) => faults,
    };
    assert!(!faults.0.is_empty());
    assert!(faults.0.iter().all(|fault| fault.place.line <= lines), "{faults}");
}
