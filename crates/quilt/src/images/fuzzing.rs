//! What the fuzz targets do with Dockerfiles and layers.

use std::fs;
use std::path::PathBuf;

use super::layout::Layer;
use super::recipe::{Pantry, plan};
use super::unpack::{self, Budget, Options};
use crate::model::Recipe;

/// Plans a build. Every fault has a text and a place in the Dockerfile; a plan is the same every time.
pub(crate) fn dockerfile(text: &str) {
    let recipe = Recipe {
        name: "fuzz".into(),
        dockerfile: text.into(),
        file: "Dockerfile".into(),
        ..Recipe::default()
    };
    let pantry = Pantry { root: None, recipe: &recipe };
    match plan(&pantry) {
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(!fault.to_string().is_empty() && fault.kind.help().is_some());
                assert!(
                    fault.span.offset + fault.span.len <= text.len(),
                    "{:?} in {} bytes",
                    fault.span,
                    text.len()
                );
                assert!(text.is_char_boundary(fault.span.offset) && fault.span.line > 0);
            }
        }
        Ok(first) => {
            assert!(first.target < first.stages.len());
            assert_eq!(plan(&pantry).map(|again| again.digest).ok(), Some(first.digest));
        }
    }
}

/// Unpacks a layer into a root of its own, beside a file that must stay as it is.
pub(crate) fn layer(data: &[u8]) {
    let place = std::env::temp_dir().join(format!(
        "weft-fuzz-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let _cleared = Cleared(place.clone());
    let root = place.join("root");
    fs::create_dir_all(&root).expect("a directory");
    fs::write(place.join("outside"), "untouched").expect("a file");
    let options = Options { what: "layer".into(), whiteouts: true, user_marks: true, ..Options::default() };
    let layer = Layer { file: "blob".into(), digest: None, diff: String::new() };
    let mut budget = Budget { bytes: 1 << 20, entries: 100 };
    let outcome = unpack::layer(data, &layer, &root, &options, &mut budget);
    // No digest is an empty text.
    assert!(!outcome.expect_err("a wrong digest").to_string().is_empty());
    let mut names: Vec<_> =
        fs::read_dir(&place).expect("the place").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["outside", "root"]);
    assert_eq!(fs::read(place.join("outside")).ok().as_deref(), Some(&b"untouched"[..]));
}

struct Cleared(PathBuf);

impl Drop for Cleared {
    fn drop(&mut self) {
        let _ = host::remove_tree(&self.0);
    }
}
