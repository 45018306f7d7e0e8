//! What the images of a blueprint are: found below its directory, with their configuration and what names their content.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::config::Config;
use super::error::ImageError;
use super::layout::Layout;
use super::recipe::{self, Pantry};
use crate::fault::{Fault, Kind};
use crate::model::{BuiltImage, Image, OciImage, Recipe, Span};

/// An image that was found, or can be built.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) image: Image,
    pub(crate) config: Config,
    /// What it is built from.
    pub(crate) recipe: Option<Recipe>,
    /// Files that were read for it.
    pub(crate) inputs: Vec<PathBuf>,
    /// What the author should know.
    pub(crate) notes: Vec<(String, Span)>,
}

/// Finds images, each once: many containers may have the same.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    known: HashMap<String, Result<Found, Vec<Fault>>>,
}

impl Resolver {
    /// The image that `oci:REFERENCE` is.
    pub(crate) fn oci(
        &mut self,
        root: Option<&Path>,
        reference: &str,
        span: &Span,
    ) -> Result<Found, Vec<Fault>> {
        let known = self.known.entry(format!("oci:{reference}")).or_insert_with(|| {
            found(root, reference).map_err(|error| {
                let help = "weft reads an OCI image layout, as a directory or tar, and archives of `docker save`, below \
                            the blueprint's directory: 'oci:./app.tar'";
                vec![Fault::new(Kind::Image { what: error.to_string(), help: help.into() }, span.clone())]
            })
        });
        known.clone()
    }

    /// The image that a recipe gives.
    pub(crate) fn build(&mut self, root: Option<&Path>, recipe: &Recipe) -> Result<Found, Vec<Fault>> {
        let key = serde_json::to_string(recipe).unwrap_or_default();
        let known = self.known.entry(key).or_insert_with(|| {
            let plan = recipe::plan(&Pantry { root, recipe })?;
            Ok(Found {
                image: Image::Built(BuiltImage { name: recipe.name.clone(), digest: plan.digest }),
                config: plan.config,
                recipe: Some(recipe.clone()),
                inputs: plan.inputs,
                notes: plan.notes,
            })
        });
        known.clone()
    }
}

fn found(root: Option<&Path>, reference: &str) -> Result<Found, ImageError> {
    let root = root.ok_or_else(|| ImageError::Work("this blueprint has no directory to read from".into()))?;
    let (layout, name, real) = open(root, reference)?;
    let manifest = layout.manifest(name)?;
    let path = real.strip_prefix(root).unwrap_or(&real).to_string_lossy().into_owned();
    let image = OciImage { path, name: name.map(str::to_owned), digest: manifest.digest };
    let (config, inputs) = (manifest.config, vec![real]);
    Ok(Found { image: Image::Oci(image), config, recipe: None, inputs, notes: Vec::new() })
}

/// Opens the layout that `PATH` or `PATH:NAME` is, below `root`. Gives the name too, and where it is.
pub(crate) fn open<'r>(
    root: &Path,
    reference: &'r str,
) -> Result<(Layout, Option<&'r str>, PathBuf), ImageError> {
    // Both may have colons: the shortest path that is there is meant, and the whole of it first.
    let splits = reference.match_indices(':').map(|(at, _)| (&reference[..at], Some(&reference[at + 1..])));
    let there = |(path, _): &(&str, Option<&str>)| !path.is_empty() && below(root, path).is_ok();
    let (path, name) = std::iter::once((reference, None)).chain(splits).find(there).unwrap_or_else(|| {
        reference.split_once(':').map_or((reference, None), |(path, name)| (path, Some(name)))
    });
    let real = below(root, path)?;
    Ok((Layout::open(&real, path)?, name, real))
}

/// What is at a path below `root`, its links followed.
pub(crate) fn below(root: &Path, path: &str) -> Result<PathBuf, ImageError> {
    let outside = || ImageError::Work(format!("'{path}' is outside of the blueprint's directory"));
    let relative =
        path.strip_prefix(crate::eval::VIRTUAL_ROOT).map_or(path, |rest| rest.trim_start_matches('/'));
    let mut plain = PathBuf::new();
    for part in Path::new(relative).components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return Err(outside()),
        }
    }
    let real = root.join(plain).canonicalize().map_err(|error| ImageError::File {
        action: "find",
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    if real.starts_with(root) { Ok(real) } else { Err(outside()) }
}
