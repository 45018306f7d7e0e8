//! Which file `require` and `import` mean, as Node finds it: files, directories, and packages in `node_modules`.
//!
//! <https://nodejs.org/api/modules.html#all-together>, without what asks the environment. Packages are looked for
//! beside the file that asks and in every directory above it, up to the root that the blueprint may read from.

use std::path::Path;

use serde_json::Value;

use super::files::{Files, Found, NO_DIRECTORY, Place, normalise};

/// Endings tried, in order, when a path names no file.
const ENDINGS: [&str; 5] = ["", ".js", ".mjs", ".cjs", ".json"];
/// Where packages are.
const PACKAGES: &str = "node_modules";
/// Modules of Node that a blueprint cannot have, because they reach out of it.
const OUTSIDE: [&str; 16] = [
    "child_process",
    "cluster",
    "dgram",
    "dns",
    "fs/promises",
    "http",
    "http2",
    "https",
    "inspector",
    "net",
    "perf_hooks",
    "readline",
    "repl",
    "tls",
    "vm",
    "worker_threads",
];

/// Who asks: the two are given different files of some packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// `require`.
    Require,
    /// `import`.
    Import,
}

/// Finds the file that a file in directory `base` (relative to the root) means by `name`.
pub(crate) fn find(files: &mut Files, base: &Path, name: &str, asker: Asker) -> Result<Found, String> {
    let relative =
        ["./", "../", "/"].iter().any(|start| name.starts_with(start)) || [".", ".."].contains(&name);
    if !relative {
        return package(files, base, name, asker);
    }
    if files.is_empty() {
        return Err(NO_DIRECTORY.into());
    }
    let path = normalise(base, name)?;
    let found = if name.ends_with('/') || name.ends_with('.') {
        directory(files, &path)?
    } else {
        file_or_directory(files, &path)?
    };
    found.ok_or_else(|| "there is no such file".into())
}

fn file_or_directory(files: &mut Files, path: &Path) -> Result<Option<Found>, String> {
    match file(files, path)? {
        Some(found) => Ok(Some(found)),
        None => directory(files, path),
    }
}

/// The file at a path, with an ending if need be.
fn file(files: &mut Files, path: &Path) -> Result<Option<Found>, String> {
    for ending in ENDINGS {
        let mut candidate = path.as_os_str().to_owned();
        candidate.push(ending);
        if let Some(Place::File(found)) = files.place(Path::new(&candidate))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The file that stands for a directory: what its `package.json` calls `main`, or its index.
fn directory(files: &mut Files, path: &Path) -> Result<Option<Found>, String> {
    let Some(Place::Directory { below, .. }) = files.place(path)? else { return Ok(None) };
    if let Some(Value::String(main)) = description(files, &below)?.as_ref().and_then(|json| json.get("main"))
    {
        let main = normalise(&below, main)?;
        if let Some(found) = file(files, &main)? {
            return Ok(Some(found));
        }
        if let Some(found) = file(files, &main.join("index"))? {
            return Ok(Some(found));
        }
    }
    file(files, &below.join("index"))
}

/// The `package.json` of a directory.
fn description(files: &mut Files, directory: &Path) -> Result<Option<Value>, String> {
    let Some(Place::File(found)) = files.place(&directory.join("package.json"))? else { return Ok(None) };
    let text = files.read(&found)?;
    serde_json::from_str(&text).map(Some).map_err(|error| format!("{}: {error}", found.name))
}

fn package(files: &mut Files, base: &Path, name: &str, asker: Asker) -> Result<Found, String> {
    let bare = name.strip_prefix("node:").unwrap_or(name);
    if OUTSIDE.contains(&bare) {
        return Err(
            "it reaches out of the blueprint, which has no network, no processes and no terminal".into()
        );
    }
    let slashes = if name.starts_with('@') { 2 } else { 1 };
    let end = name.match_indices('/').nth(slashes - 1).map_or(name.len(), |(at, _)| at);
    let (package, inside) = (&name[..end], name[end..].trim_start_matches('/'));
    let above = if files.is_empty() { None } else { Some(base) };
    for above in above.into_iter().flat_map(Path::ancestors) {
        // What is in a package's own folder is not in a folder of that name within it.
        if above.file_name().is_some_and(|own| own == PACKAGES) {
            continue;
        }
        let path = normalise(&above.join(PACKAGES), package)?;
        match files.place(&path)? {
            Some(Place::Directory { below, .. }) => {
                let found = within(files, &below, package, inside, asker)?;
                return found.ok_or_else(|| {
                    let what = if inside.is_empty() {
                        "no file to start from".into()
                    } else {
                        format!("no file '{inside}'")
                    };
                    format!("package '{package}' has {what}")
                });
            }
            Some(Place::File(_)) | None if inside.is_empty() => {
                if let Some(found) = file(files, &path)? {
                    return Ok(found);
                }
            }
            Some(Place::File(_)) | None => {}
        }
    }
    Err(format!("there is no package '{package}' in a {PACKAGES} folder here"))
}

/// The file of a package that `inside` means.
fn within(
    files: &mut Files,
    root: &Path,
    package: &str,
    inside: &str,
    asker: Asker,
) -> Result<Option<Found>, String> {
    let json = description(files, root)?;
    let Some(exports) =
        json.as_ref().and_then(|json| json.get("exports")).filter(|exports| !exports.is_null())
    else {
        let path = normalise(root, inside)?;
        return if inside.is_empty() { directory(files, root) } else { file_or_directory(files, &path) };
    };
    let wanted = if inside.is_empty() { ".".to_owned() } else { format!("./{inside}") };
    let target = exported(exports, &wanted, asker)
        .ok_or_else(|| format!("package '{package}' does not export '{wanted}'"))?;
    let path = normalise(root, &target)?;
    if !target.starts_with("./") || !path.starts_with(root) {
        return Err(format!("package '{package}' exports '{target}', which is outside of it"));
    }
    match files.place(&path)? {
        Some(Place::File(found)) => Ok(Some(found)),
        _ => Ok(None),
    }
}

/// What `exports` has for a path, which is `.` or starts with `./`.
fn exported(exports: &Value, wanted: &str, asker: Asker) -> Option<String> {
    let paths = exports.as_object().filter(|paths| paths.keys().all(|key| key.starts_with('.')));
    let Some(paths) = paths else {
        return if wanted == "." { conditional(exports, asker) } else { None };
    };
    if let Some(target) = paths.get(wanted) {
        return conditional(target, asker);
    }
    // The pattern with the longest beginning decides.
    let matching = paths.iter().filter_map(|(pattern, target)| {
        let (start, end) = pattern.split_once('*')?;
        let middle = wanted.strip_prefix(start)?.strip_suffix(end)?;
        Some((start.len(), middle, target))
    });
    let (_, middle, target) = matching.max_by_key(|(length, ..)| *length)?;
    Some(conditional(target, asker)?.replace('*', middle))
}

/// The target for whoever asks. Where several conditions hold, the most specific decides, not the first.
fn conditional(target: &Value, asker: Asker) -> Option<String> {
    let asker_name = if asker == Asker::Require { "require" } else { "import" };
    match target {
        Value::String(path) => Some(path.clone()),
        Value::Array(targets) => targets.iter().find_map(|target| conditional(target, asker)),
        Value::Object(conditions) => [asker_name, "node", "default"]
            .iter()
            .filter_map(|condition| conditions.get(*condition))
            .find_map(|target| conditional(target, asker)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_chosen_by_path_pattern_and_asker() {
        let json = serde_json::json!({
            ".": { "import": "./m.mjs", "require": "./c.cjs" },
            "./sub": { "browser": "./b.js", "default": ["./s.js"] },
            "./lib/*": "./src/*.js",
            "./lib/deep/*.js": "./deep/*.js",
            "./none": null,
        });
        let get = |wanted: &str, asker| exported(&json, wanted, asker);
        assert_eq!(get(".", Asker::Require).as_deref(), Some("./c.cjs"));
        assert_eq!(get(".", Asker::Import).as_deref(), Some("./m.mjs"));
        assert_eq!(get("./sub", Asker::Require).as_deref(), Some("./s.js"));
        assert_eq!(get("./lib/a/b", Asker::Require).as_deref(), Some("./src/a/b.js"));
        assert_eq!(get("./lib/deep/x.js", Asker::Require).as_deref(), Some("./deep/x.js"));
        assert_eq!(get("./none", Asker::Require), None);
        assert_eq!(get("./other", Asker::Require), None);
        assert_eq!(exported(&"./only.js".into(), ".", Asker::Import).as_deref(), Some("./only.js"));
        assert_eq!(exported(&"./only.js".into(), "./x", Asker::Import), None);
        let nested = serde_json::json!({ "node": { "import": "./i.js", "default": "./d.js" } });
        assert_eq!(exported(&nested, ".", Asker::Require).as_deref(), Some("./d.js"));
    }
}
