//! `weft check` of Kubernetes manifests and compose files: who may reach whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{IntoDiagnostic, WrapErr};
use quilt::compose;
use quilt::fault::Faults;
use quilt::kubernetes::reach::reach;
use quilt::kubernetes::read::{FILE_BYTES_MAX, read};
use quilt::kubernetes::report::Report;

use super::print_json;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether a path is one of manifests, by its ending.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Prints what some manifests, or a compose file, let through.
pub(super) fn check(first: &Path, more: &[PathBuf], json: bool) -> miette::Result<()> {
    let files: Vec<PathBuf> = std::iter::once(first.to_owned()).chain(more.iter().cloned()).collect();
    let texts = texts(&files)?;
    if let [(name, text)] = texts.as_slice()
        && compose::is_compose(text)
    {
        let compose = compose::read(name, text).map_err(Faults::into_report)?;
        let report = compose::Report::of(&compose);
        return if json { print_json(&report) } else { shown(&report) };
    }
    let cluster = read(&texts).map_err(Faults::into_report)?;
    let report = Report::of(&cluster, &reach(&cluster).map_err(Faults::into_report)?);
    if json {
        return print_json(&report);
    }
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    shown(&report)
}

fn shown(report: &impl std::fmt::Display) -> miette::Result<()> {
    println!("{report}");
    Ok(())
}

/// Name and text of each file, and of those in each folder.
pub(super) fn texts(paths: &[PathBuf]) -> miette::Result<Vec<(String, Arc<str>)>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            std::fs::read_dir(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        inside.retain(|path| path.is_file() && is_manifest(path));
        inside.sort();
        files.extend(inside);
    }
    files.iter().map(|path| Ok((path.display().to_string(), text(path)?))).collect()
}

/// The text of a file.
pub(super) fn text(path: &Path) -> miette::Result<Arc<str>> {
    let named = || path.display().to_string();
    let size = std::fs::metadata(path).into_diagnostic().wrap_err_with(named)?.len();
    if size > FILE_BYTES_MAX as u64 {
        return Err(miette::miette!(
            "{}: the file has {size} bytes, and {FILE_BYTES_MAX} are the most",
            named()
        ));
    }
    Ok(std::fs::read_to_string(path).into_diagnostic().wrap_err_with(named)?.into())
}
