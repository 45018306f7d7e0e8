//! Making images: done by a helper process, which has one thread and, without root, a user namespace of its own, so that
//! files can belong to whom the image says.

use std::path::{Path, PathBuf};
use std::process::Command;

use host::{Sandbox, StopOptions, helper};
use serde::{Deserialize, Serialize};

use super::error::{ImageError, On};
use super::layout::Layout;
use super::recipe::{self, Pantry, key};
use super::store::{ImageStore, KEY_DIGITS, Kept, LayerNote, Lock, is_key, now_ms};
use super::unpack::{self, Budget, Options};
use super::{build, resolve};
use crate::model::{Blueprint, Image, OciImage, Recipe, Span};

/// How often a command looks again whether all is there: another one may remove what was just made.
const LOOKS_MAX: usize = 3;

/// What a helper is to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Make images.
    Make { store: PathBuf, root: PathBuf, images: Vec<Wanted> },
    /// Remove layers that no image has.
    Remove { store: PathBuf, layers: Vec<String> },
}

/// An image that is to be made.
#[derive(Debug, Serialize, Deserialize)]
enum Wanted {
    Oci(OciImage),
    Built { digest: String, recipe: Recipe },
}

/// What a helper says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// What it is doing.
    Step(String),
    /// A line that a command of a Dockerfile wrote.
    Output(String),
    /// Something was done differently than asked for.
    Warning(String),
    /// It could not be done.
    Failed(Failure),
}

/// Why an image could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What the image is called.
    pub(crate) image: String,
    /// Why.
    pub(crate) reason: String,
    /// The line of the Dockerfile, if one is at fault.
    pub(crate) span: Option<Span>,
}

/// What a command hears while images are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    Step(String),
    Output(String),
    Warning(String),
}

/// The images of a blueprint, all there until this is dropped.
#[derive(Debug)]
pub(crate) struct Prepared {
    store: ImageStore,
    kept: std::collections::BTreeMap<String, Kept>,
    _lock: Option<Lock>,
}

impl Prepared {
    /// The root of a container of `image`; the host's without one.
    pub(crate) fn root(&self, image: &Image) -> host::RootSpec {
        match image {
            Image::Host | Image::Alias(_) => host::RootSpec::default(),
            Image::Scratch => self.store.root(None),
            Image::Oci(_) | Image::Built(_) => {
                self.store.root(image.digest().and_then(|digest| self.kept.get(digest)))
            }
        }
    }
}

/// Makes what is missing of the images of `blueprint`, whose directory is `root`, by a process of `command`.
pub(crate) fn prepare(
    store: ImageStore,
    blueprint: &Blueprint,
    root: &Path,
    mut command: Command,
    hear: &mut dyn FnMut(Making),
) -> Result<Prepared, Failure> {
    let own = |image: &&Image| !matches!(image, Image::Host | Image::Alias(_));
    let images: Vec<&Image> =
        blueprint.containers.iter().map(|container| &container.image).filter(own).collect();
    if images.is_empty() {
        return Ok(Prepared { store, kept: Default::default(), _lock: None });
    }
    let unmade =
        |error: ImageError| Failure { image: "images".into(), reason: error.to_string(), span: None };
    for _ in 0..LOOKS_MAX {
        let lock = store.lock(false, &|| {}).map_err(unmade)?;
        let mut kept = std::collections::BTreeMap::new();
        let mut missing = std::collections::BTreeMap::new();
        for image in &images {
            let Some(digest) = image.digest() else { continue };
            match store.kept(digest) {
                Some(own) => _ = kept.insert(digest.to_owned(), own),
                None => _ = missing.insert(digest, *image),
            }
        }
        if missing.is_empty() {
            return Ok(Prepared { store, kept, _lock: Some(lock) });
        }
        drop(lock);
        let wanted =
            missing.into_iter().filter_map(|(digest, image)| wanted(blueprint, digest, image)).collect();
        let order =
            Order::Make { store: store.directory().to_owned(), root: root.to_owned(), images: wanted };
        call(&mut command, &order, hear)?;
    }
    Err(unmade(ImageError::Work("another command removes images while they are made; try again".into())))
}

fn wanted(blueprint: &Blueprint, digest: &str, image: &Image) -> Option<Wanted> {
    match image {
        Image::Oci(oci) => Some(Wanted::Oci(oci.clone())),
        Image::Built(_) => {
            let recipe = blueprint.recipes.get(digest)?.clone();
            Some(Wanted::Built { digest: digest.to_owned(), recipe })
        }
        Image::Host | Image::Alias(_) | Image::Scratch => None,
    }
}

fn call(command: &mut Command, order: &Order, hear: &mut dyn FnMut(Making)) -> Result<(), Failure> {
    let mut failure = None;
    let ended = helper::call(command, order, |answer: Answer| match answer {
        Answer::Step(text) => hear(Making::Step(text)),
        Answer::Output(text) => hear(Making::Output(text)),
        Answer::Warning(text) => hear(Making::Warning(text)),
        Answer::Failed(why) => failure = Some(why),
    });
    match (failure, ended) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(Failure { image: "images".into(), reason: error.to_string(), span: None }),
    }
}

/// Removes layers that no image has, by a process of `command`: some files may belong to users of its namespace.
pub(super) fn remove(
    store: &ImageStore,
    layers: Vec<String>,
    mut command: Command,
) -> Result<(), ImageError> {
    let order = Order::Remove { store: store.directory().to_owned(), layers };
    call(&mut command, &order, &mut |_| {}).map_err(|failure| ImageError::Work(failure.reason))
}

/// What the hidden subcommand does. Must be called while the process has one thread.
///
/// # Errors
/// When open files that it inherited cannot be closed.
pub fn serve() -> Result<(), crate::runtime::RuntimeError> {
    host::close_inherited()?;
    helper::serve(|order: Order, answer: &dyn Fn(Answer)| -> Result<(), String> {
        Sandbox::detect().create_here().map_err(|error| error.to_string())?;
        match order {
            Order::Make { store, root, images } => {
                let store = ImageStore::at(store);
                let kitchen = Kitchen::new(store, root, answer).map_err(|error| error.to_string())?;
                kitchen.make_all(images);
                kitchen.clean();
                Ok(())
            }
            Order::Remove { store, layers } => {
                let store = ImageStore::at(store);
                for stale in store.stale_drafts() {
                    clear(&stale).map_err(|error| error.to_string())?;
                }
                for key in layers.iter().filter(|key| is_key(key)) {
                    let path = store.layer(key);
                    host::remove_tree(&path).map_err(|error| error.to_string())?;
                    let _ = std::fs::remove_file(path.with_extension("json"));
                }
                Ok(())
            }
        }
    });
    Ok(())
}

/// Where images are made.
pub(super) struct Kitchen<'a> {
    pub(super) store: ImageStore,
    /// What is being made lies here, and only here.
    pub(super) draft: PathBuf,
    /// The blueprint's directory.
    pub(super) root: PathBuf,
    /// Whether marks of overlays are those of a user namespace.
    pub(super) rootless: bool,
    pub(super) answer: &'a dyn Fn(Answer),
    _lock: Lock,
}

impl<'a> Kitchen<'a> {
    fn new(store: ImageStore, root: PathBuf, answer: &'a dyn Fn(Answer)) -> Result<Self, ImageError> {
        let wait = || answer(Answer::Step("waiting for another command that uses images".into()));
        let lock = store.lock(true, &wait)?;
        let rootless = !host::in_first_user_namespace();
        let draft = store.draft();
        let kitchen = Self { store, draft, root, rootless, answer, _lock: lock };
        for stale in kitchen.store.stale_drafts() {
            clear(&stale)?;
        }
        std::fs::create_dir(&kitchen.draft).on("make", &kitchen.draft)?;
        Ok(kitchen)
    }

    fn make_all(&self, images: Vec<Wanted>) {
        for wanted in images {
            let made = match wanted {
                Wanted::Oci(image) => self.oci(&image),
                Wanted::Built { digest, recipe } => self.built(&digest, &recipe),
            };
            if let Err(failure) = made {
                return (self.answer)(Answer::Failed(failure));
            }
        }
    }

    fn clean(&self) {
        let _ = clear(&self.draft);
    }

    pub(super) fn step(&self, text: String) {
        (self.answer)(Answer::Step(text));
    }

    fn oci(&self, image: &OciImage) -> Result<(), Failure> {
        let shown = Image::Oci(image.clone()).to_string();
        if self.store.kept(&image.digest).is_some() {
            return Ok(());
        }
        let made = || {
            let real = resolve::below(&self.root, &image.path)?;
            let layout = Layout::open(&real, &image.path)?;
            let layers = self.layers(&layout, image.name.as_deref(), &image.digest, &shown)?;
            let digest = image.digest.clone();
            self.store.keep(&Kept { digest, name: shown.clone(), layers, host: false, made_ms: now_ms() })
        };
        made().map_err(|error| Failure { image: shown.clone(), reason: error.to_string(), span: None })
    }

    /// The layers of an image of a layout, unpacked; the topmost first.
    pub(super) fn layers(
        &self,
        layout: &Layout,
        name: Option<&str>,
        digest: &str,
        shown: &str,
    ) -> Result<Vec<String>, ImageError> {
        let manifest = layout.manifest(name)?;
        if manifest.digest != digest {
            let what = format!("{shown} has changed since the blueprint was read: run the command again");
            return Err(ImageError::Work(what));
        }
        let (mut budget, mut chain) = (Budget::default(), String::new());
        let mut layers: Vec<String> = Vec::new();
        let count = manifest.layers.len();
        for (number, layer) in manifest.layers.iter().enumerate() {
            // A layer is only what it is on those below it (OCI image-spec, config.md, ChainID).
            chain = key([chain.as_bytes(), layer.diff.as_bytes()]);
            let own = chain[..KEY_DIGITS].to_owned();
            if !self.store.layer(&own).is_dir() {
                self.step(format!("unpacking layer {} of {count} of {shown}", number + 1));
                let options = Options {
                    what: format!("layer {} of {shown}", number + 1),
                    whiteouts: true,
                    lowers: layers.iter().map(|key| self.store.layer(key)).collect(),
                    user_marks: self.rootless,
                    ..Options::default()
                };
                self.unpack(layout, layer, &own, &options, &mut budget)?;
            }
            layers.insert(0, own);
        }
        Ok(layers)
    }

    fn unpack(
        &self,
        layout: &Layout,
        layer: &super::layout::Layer,
        own: &str,
        options: &Options,
        budget: &mut Budget,
    ) -> Result<(), ImageError> {
        let missing = || ImageError::Missing { file: layer.file.clone(), image: options.what.clone() };
        let blob = layout.file(&layer.file)?.ok_or_else(missing)?;
        let place = self.fresh("layer")?;
        let unpacked = unpack::layer(blob, layer, &place, options, budget)?;
        for warning in unpacked.warnings {
            (self.answer)(Answer::Warning(warning));
        }
        self.store.place(own, &place, &LayerNote { what: layer.diff.clone(), bytes: unpacked.bytes })
    }

    /// An empty directory of the draft, in place of whatever had the name.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, ImageError> {
        use std::os::unix::fs::PermissionsExt;
        let place = self.draft.join(name);
        host::remove_tree(&place).map_err(|error| ImageError::Work(error.to_string()))?;
        std::fs::create_dir(&place).on("make", &place)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).on("open", &place)?;
        Ok(place)
    }

    fn built(&self, digest: &str, recipe: &Recipe) -> Result<(), Failure> {
        if self.store.kept(digest).is_some() {
            return Ok(());
        }
        let failure =
            |reason: String, span: Option<Span>| Failure { image: recipe.name.clone(), reason, span };
        let plan = recipe::plan(&Pantry { root: Some(&self.root), recipe }).map_err(|faults| {
            let fault = faults.first();
            failure(fault.map(ToString::to_string).unwrap_or_default(), fault.map(|fault| fault.span.clone()))
        })?;
        if plan.digest != digest {
            let what =
                "what it is built from has changed since the blueprint was read: run the command again";
            return Err(failure(what.into(), None));
        }
        let (layers, host) = build::Build::new(self, recipe, &plan)
            .layers()
            .map_err(|build::Unbuilt { reason, span }| failure(reason, span))?;
        let kept =
            Kept { digest: digest.to_owned(), name: recipe.name.clone(), layers, host, made_ms: now_ms() };
        self.store.keep(&kept).map_err(|error| failure(error.to_string(), None))
    }
}

/// Takes a draft away, with containers that may still run there.
fn clear(draft: &Path) -> Result<(), ImageError> {
    let work = |error: host::Error| ImageError::Work(error.to_string());
    let containers = host::Deployment::new(draft).containers().map_err(work)?;
    let options = StopOptions { grace: std::time::Duration::ZERO, keep_logs: false };
    host::stop_many(&containers, options).into_iter().collect::<Result<Vec<()>, _>>().map_err(work)?;
    // Groups that will not go are empty and in nobody's way.
    let _ = host::cgroup::remove_all(build::DEPLOYMENT, draft);
    host::remove_tree(draft).map_err(work)
}
