//! What the fuzz targets and their bounded runs in `cargo test` do with one input.

use std::time::Duration;

use crate::address::AddressPlan;
use crate::daemon::{Deployment, lower};
use crate::eval::{Options, evaluate_text};
use crate::fault::{Faults, Kind};
use crate::plan::{Deployed, Plan};

/// Evaluates `data` as a blueprint and holds whatever comes out to what the documentation says.
pub fn blueprint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let options = Options {
        time_limit: Duration::from_millis(100),
        memory_limit_bytes: 16 << 20,
        ..Options::default()
    };
    let evaluated = evaluate_text("fuzz.js", &text, &options);
    match evaluated.and_then(|evaluation| crate::checked(evaluation, &|name| name.len() % 2 == 1)) {
        Err(faults) => reported(faults, &text),
        Ok(loaded) => {
            let blueprint = loaded.blueprint;
            let json = serde_json::to_string(&blueprint).expect("a blueprint is JSON");
            assert_eq!(
                serde_json::from_str::<crate::model::Blueprint>(&json).ok().as_ref(),
                Some(&blueprint)
            );
            let addresses = AddressPlan::default().next(&blueprint).expect("fewer names than addresses");
            assert_eq!(addresses.iter().count(), blueprint.containers.len() + blueprint.services.len());
            assert!(!Plan::between(None, &blueprint).is_empty());
            assert!(Plan::between(Some(&Deployed::of(&blueprint)), &blueprint).is_empty());
            let _ = crate::graph::graph(&blueprint);
            let _ = crate::machines::vet(&blueprint, &[]);
        }
    }
}

/// Reads `data` as a Dockerfile.
pub fn dockerfile(data: &[u8]) {
    crate::images::fuzzing::dockerfile(&String::from_utf8_lossy(data));
}

/// Unpacks `data` as a layer, packed in whichever way, and sees that it stays where it belongs.
pub fn layer(data: &[u8]) {
    crate::images::fuzzing::layer(data);
}

/// Reads `data` as a deployment of Quilt, and holds whatever comes out to be what goes in again, and to have one meaning.
pub fn deployment(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let deployment = match Deployment::parse(&text) {
        Ok(deployment) => deployment,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let written = deployment.to_string();
    assert_eq!(Deployment::parse(&written).ok().as_ref(), Some(&deployment), "{written}");
    match lower(&deployment) {
        Err(errors) => assert!(errors.iter().all(|error| !error.is_empty()) && !errors.is_empty()),
        Ok(lowered) => {
            assert_eq!(lowered.blueprint.containers.len(), deployment.containers.len());
            let faults = crate::check::check(&lowered.blueprint, &|_| true);
            assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
            assert!(!faults.is_empty() || AddressPlan::default().next(&lowered.blueprint).is_ok());
        }
    }
}

/// Reads `data` as an answer of Amazon's, and as a file of credentials.
pub fn amazon(data: &[u8]) {
    crate::machines::amazon::read_anything(&String::from_utf8_lossy(data));
}

/// Every fault has a text, lies within the source, and can be shown.
fn reported(faults: Faults, text: &str) {
    assert!(!faults.faults.is_empty());
    for fault in &faults.faults {
        assert!(!matches!(fault.kind, Kind::Engine { .. }), "{fault}");
        assert!(!fault.to_string().is_empty());
        assert!(fault.span.offset <= text.len(), "{:?} in {} bytes", fault.span, text.len());
    }
    let report = faults.into_report();
    let mut shown = String::new();
    let handler = miette::NarratableReportHandler::new();
    handler.render_report(&mut shown, report.as_ref()).expect("a report can be shown");
}
