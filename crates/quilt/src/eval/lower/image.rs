//! The image of a container, from whatever the script says it is.

use std::collections::BTreeMap;
use std::path::Path;

use super::{At, Lower};
use crate::eval::files::{Files, Place, normalise};
use crate::eval::raw::{Raw, number};
use crate::fault::{Fault, Kind};
use crate::images::resolve::{Found, Resolver};
use crate::images::{self, Config};
use crate::model::{Image, Recipe, Span};

/// Options of an image that is built.
const IMAGE_OPTIONS: [&str; 6] = ["args", "context", "dockerfile", "file", "name", "target"];

/// What images are found with.
pub(super) struct Images<'a> {
    pub(super) files: &'a mut Files,
    pub(super) resolver: Resolver,
}

impl Lower<'_> {
    /// The image of a container, and what it says of how it is run.
    pub(super) fn image(&mut self, container: &str, raw: &Raw, span: &Span) -> (Image, Config) {
        match raw {
            Raw::Undefined | Raw::Null => (Image::Host, Config::default()),
            Raw::Text(text) => self.image_called(text, span),
            Raw::Map(_) => self.image_of(container, raw, span),
            other => {
                let what = format!("image of container '{container}'");
                self.shape(&At { span, what: &what }, "a string or an Image", other);
                (Image::Host, Config::default())
            }
        }
    }

    fn image_called(&mut self, name: &str, span: &Span) -> (Image, Config) {
        match name {
            "host" => return (Image::Host, Config::default()),
            "scratch" => return (Image::Scratch, Config::default()),
            _ => {}
        }
        if let Some(reference) = name.strip_prefix("oci:") {
            let found = self.find(|images| {
                let root = images.files.root().map(Path::to_owned);
                images.resolver.oci(root.as_deref(), reference, span)
            });
            return self.found(found);
        }
        self.note(
            format!("image '{name}' is not pulled: its containers run on this host's own files"),
            span.clone(),
        );
        let config = Config {
            user: images::alias(name).and_then(|alias| alias.user).map(str::to_owned),
            ..Config::default()
        };
        (Image::Alias(name.to_owned()), config)
    }

    /// An `Image`: a name, or a Dockerfile.
    fn image_of(&mut self, container: &str, raw: &Raw, span: &Span) -> (Image, Config) {
        let of = format!("image of container '{container}'");
        self.unknown_options(&of, raw, &IMAGE_OPTIONS, span);
        let named = |what: &str| format!("{what} of the {of}");
        let name = self.text(&At { span, what: &named("name") }, raw.get("name"));
        let text = self.text(&At { span, what: &named("dockerfile") }, raw.get("dockerfile"));
        let file = self.text(&At { span, what: &named("file") }, raw.get("file"));
        let context = self.text(&At { span, what: &named("context") }, raw.get("context"));
        let target = self.text(&At { span, what: &named("target") }, raw.get("target"));
        let args = self.image_args(&At { span, what: &named("args") }, raw.get("args"));
        let mut recipe = Recipe { args, target, ..Recipe::default() };
        match (text, file) {
            (None, None) => match name {
                Some(name) => return self.image_called(&name, span),
                None => self.image_fault(
                    span,
                    "an Image is a dockerfile (text) or a file",
                    "give it one of the two",
                ),
            },
            (Some(_), Some(_)) => {
                self.image_fault(
                    span,
                    "an Image has a dockerfile (text) or a file, not both",
                    "leave one out",
                );
            }
            (Some(text), None) => {
                recipe.name = name.unwrap_or_else(|| container.to_owned());
                recipe.file = self.keep_source(&format!("Dockerfile of '{}'", recipe.name), &text);
                recipe.dockerfile = text;
                return self.build(recipe, context.as_deref(), span);
            }
            (None, Some(file)) => {
                recipe.name = name.unwrap_or_else(|| container.to_owned());
                if self.read_dockerfile(&mut recipe, &file, span) {
                    return self.build(recipe, context.as_deref(), span);
                }
            }
        }
        (Image::Host, Config::default())
    }

    fn image_fault(&mut self, span: &Span, what: &str, help: &str) {
        self.fault(Kind::Image { what: what.to_owned(), help: help.to_owned() }, span);
    }

    fn image_args(&mut self, at: &At<'_>, raw: &Raw) -> BTreeMap<String, String> {
        let mut args = BTreeMap::new();
        match raw {
            Raw::Undefined | Raw::Null => {}
            Raw::Map(members) => {
                for (key, value) in members {
                    match value {
                        Raw::Text(text) => _ = args.insert(key.clone(), text.clone()),
                        Raw::Number(value) => _ = args.insert(key.clone(), number(*value)),
                        Raw::Bool(value) => _ = args.insert(key.clone(), value.to_string()),
                        other => self.shape(at, "an object of strings", other),
                    }
                }
            }
            other => self.shape(at, "an object of strings", other),
        }
        args
    }

    /// Keeps the text of a Dockerfile that is no file, so that faults can show its lines; gives it a name.
    fn keep_source(&mut self, name: &str, text: &str) -> String {
        let Some(images) = &mut self.images else { return name.to_owned() };
        let sources = &mut images.files.sources;
        let mut own = name.to_owned();
        let mut number = 2;
        while sources.get(&own).is_some_and(|known| **known != *text) {
            own = format!("{name} ({number})");
            number += 1;
        }
        sources.insert(own.clone(), text.into());
        own
    }

    fn read_dockerfile(&mut self, recipe: &mut Recipe, file: &str, span: &Span) -> bool {
        let Some(images) = &mut self.images else { return false };
        let files = &mut *images.files;
        let base = files.directory("");
        let read = files.look(&base, file).and_then(|place| match place {
            Some(Place::File(found)) => {
                let relative = files.root().and_then(|root| found.real.strip_prefix(root).ok());
                recipe.path = relative.map(|path| path.to_string_lossy().into_owned());
                recipe.file.clone_from(&found.name);
                files.read(&found).map(|text| text.to_string())
            }
            Some(Place::Directory { .. }) => Err("it is a directory".into()),
            None => Err("there is no such file".into()),
        });
        match read {
            Ok(text) => {
                recipe.dockerfile = text;
                true
            }
            Err(reason) => {
                self.fault(Kind::Read { path: file.to_owned(), reason }, span);
                false
            }
        }
    }

    fn build(&mut self, mut recipe: Recipe, context: Option<&str>, span: &Span) -> (Image, Config) {
        let own = recipe.path.as_deref().and_then(|path| Path::new(path).parent()).map(Path::to_owned);
        let context = match (context, &self.images) {
            (Some(context), Some(images)) => normalise(&images.files.directory(""), context),
            (None, Some(images)) => Ok(own.unwrap_or_else(|| images.files.directory(""))),
            (_, None) => Ok(Path::new("").to_owned()),
        };
        match context {
            Ok(context) => recipe.context = context.to_string_lossy().into_owned(),
            Err(reason) => {
                self.image_fault(
                    span,
                    &format!("the context of an Image: {reason}"),
                    "name a directory below it",
                );
                return (Image::Host, Config::default());
            }
        }
        let found = self.find(|images| {
            let root = images.files.root().map(Path::to_owned);
            images.resolver.build(root.as_deref(), &recipe)
        });
        self.found(found)
    }

    fn find(
        &mut self,
        find: impl FnOnce(&mut Images<'_>) -> Result<Found, Vec<Fault>>,
    ) -> Result<Found, Vec<Fault>> {
        self.images.as_mut().map_or_else(|| Err(Vec::new()), find)
    }

    /// Takes over what was found: faults once, whoever else has the same image.
    fn found(&mut self, found: Result<Found, Vec<Fault>>) -> (Image, Config) {
        match found {
            Ok(found) => {
                if let Some(images) = &mut self.images {
                    images.files.inputs.extend(found.inputs);
                }
                for (note, span) in found.notes {
                    self.note(note, span);
                }
                if let (Image::Built(built), Some(recipe)) = (&found.image, found.recipe) {
                    self.blueprint.recipes.insert(built.digest.clone(), recipe);
                }
                (found.image, found.config)
            }
            Err(faults) => {
                for fault in faults {
                    let known = |known: &Fault| known.kind == fault.kind && known.span == fault.span;
                    if !self.faults.iter().any(known) {
                        self.faults.push(fault);
                    }
                }
                // What it runs is not known: that is no fault of its own.
                (Image::Host, Config { command: vec!["unknown".into()], ..Config::default() })
            }
        }
    }
}
