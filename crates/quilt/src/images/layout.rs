//! Reading images where tools leave them: an OCI image layout (a directory, or a tar of one) or an archive of
//! `docker save`.
//!
//! ```text
//!  index.json ──▶ (index ──▶) manifest ──▶ config            OCI image-spec, image-layout.md
//!                                     └──▶ layers
//!  manifest.json ──▶ config                                  docker save
//!               └──▶ layers
//! ```
//!
//! Nothing is trusted: every document is bounded, and the digest of each is compared with what named it. Layers are
//! opened here and checked by whoever reads them ([`super::unpack`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::config::{Config, exposed};
use super::error::{ImageError, On};

/// Largest document of an image, in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Most files in an archive of an image.
pub(crate) const ARCHIVE_ENTRIES_MAX: usize = 100_000;
/// Most images named by one index.
const MANIFESTS_MAX: usize = 1_000;
/// How deep indexes may nest.
const INDEX_DEPTH_MAX: usize = 4;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The annotation that names an image of a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image, before its layers are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// What names its content: the digest of its manifest, or of its configuration where there is no manifest of OCI's.
    pub(crate) digest: String,
    /// How it is run.
    pub(crate) config: Config,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// A layer, before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its file in the layout.
    pub(crate) file: String,
    /// The digest of that file, where the image says it.
    pub(crate) digest: Option<String>,
    /// The digest of its content, uncompressed.
    pub(crate) diff: String,
}

/// An image layout that can be read.
#[derive(Debug)]
pub(crate) struct Layout {
    shown: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Archive { path: PathBuf, entries: BTreeMap<String, Inside> },
}

/// An entry of an archive.
#[derive(Clone, Debug)]
enum Inside {
    File { offset: u64, bytes: u64 },
    Link(String),
}

/// A part of a file.
pub(crate) type Blob = std::io::Take<File>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct ImageManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An entry of `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// OCI image-spec, config.md.
#[derive(Deserialize)]
struct ImageConfig {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

impl Layout {
    /// Opens what is at `path`; `shown` is what errors call it.
    pub(crate) fn open(path: &Path, shown: &str) -> Result<Layout, ImageError> {
        let shown = shown.to_owned();
        let meta = std::fs::metadata(path).on("read", &shown)?;
        if meta.is_dir() {
            return Ok(Layout { place: Place::Directory(path.to_owned()), shown });
        }
        if !meta.is_file() {
            return Err(ImageError::NoLayout(shown));
        }
        let mut file = File::open(path).on("read", &shown)?;
        let mut magic = [0; 4];
        let read = file.read(&mut magic).on("read", &shown)?;
        if super::unpack::Packing::of(&magic[..read]) != super::unpack::Packing::Plain {
            return Err(ImageError::Compressed(shown));
        }
        file.seek(SeekFrom::Start(0)).on("read", &shown)?;
        let entries = entries(&file).map_err(|_| ImageError::NoLayout(shown.clone()))?;
        Ok(Layout { place: Place::Archive { path: path.to_owned(), entries }, shown })
    }

    /// A file of the layout, if it is there.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Blob>, ImageError> {
        match &self.place {
            Place::Directory(directory) => {
                // A name out of the image's own documents: it must not lead elsewhere, nor wait for a pipe.
                let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
                if !name.split('/').all(plain) {
                    return Ok(None);
                }
                let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
                let path = directory.join(name);
                let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(&path);
                match opened {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error).on("read", path),
                    Ok(file) => {
                        let meta = file.metadata().on("read", &path)?;
                        Ok(meta.is_file().then(|| file.take(meta.len())))
                    }
                }
            }
            Place::Archive { path, entries } => {
                let mut name = name.to_owned();
                for _ in 0..4 {
                    match entries.get(&name) {
                        None => return Ok(None),
                        Some(Inside::Link(target)) => name.clone_from(target),
                        Some(Inside::File { offset, bytes }) => {
                            let mut file = File::open(path).on("read", path)?;
                            file.seek(SeekFrom::Start(*offset)).on("read", path)?;
                            return Ok(Some(file.take(*bytes)));
                        }
                    }
                }
                Ok(None)
            }
        }
    }

    /// The file that a digest names.
    fn blob(digest: &str) -> Result<String, ImageError> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex));
        hex.map(|hex| format!("blobs/sha256/{hex}")).ok_or_else(|| ImageError::Algorithm(shortened(digest)))
    }

    fn document(&self, file: &str, digest: Option<&str>) -> Result<Vec<u8>, ImageError> {
        let missing = || ImageError::Missing { file: file.to_owned(), image: self.shown.clone() };
        let blob = self.file(file)?.ok_or_else(missing)?;
        if blob.limit() > DOCUMENT_BYTES_MAX {
            let what = format!("{file} has more than {} MiB", DOCUMENT_BYTES_MAX >> 20);
            return Err(ImageError::TooLarge { what });
        }
        let mut bytes = Vec::new();
        blob.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).on("read", &self.shown)?;
        let found = sha256(&bytes);
        match digest {
            Some(wanted) if wanted != found => {
                Err(ImageError::Digest { file: file.to_owned(), found, wanted: wanted.to_owned() })
            }
            _ => Ok(bytes),
        }
    }

    fn json<T: DeserializeOwned>(&self, file: &str, digest: Option<&str>) -> Result<T, ImageError> {
        let bytes = self.document(file, digest)?;
        serde_json::from_slice(&bytes).map_err(|error| document(file, error))
    }

    /// The image called `name`, for this machine; the only one without a name.
    pub(crate) fn manifest(&self, name: Option<&str>) -> Result<Manifest, ImageError> {
        if self.file("index.json")?.is_some() {
            let index: Index = self.json("index.json", None)?;
            let chosen = self.choose(index.manifests, name)?;
            return self.oci(&chosen);
        }
        if self.file("manifest.json")?.is_some() {
            return self.saved(name);
        }
        Err(ImageError::NoLayout(self.shown.clone()))
    }

    /// One of the images of the top index: by its name, or the only one.
    fn choose(&self, manifests: Vec<Descriptor>, name: Option<&str>) -> Result<Descriptor, ImageError> {
        if manifests.len() > MANIFESTS_MAX {
            return Err(ImageError::TooLarge { what: format!("more than {MANIFESTS_MAX} manifests") });
        }
        let known = |one: &Descriptor| {
            [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST, ""].contains(&one.media_type.as_str())
        };
        let called = |one: &Descriptor| one.annotations.get(REF_NAME).cloned();
        let all: Vec<_> = manifests.into_iter().filter(known).collect();
        let mut names: Vec<String> = all.iter().filter_map(called).collect();
        names.sort_unstable();
        names.dedup();
        if let Some(name) = name {
            let here: Vec<_> =
                all.into_iter().filter(|one| called(one).is_some_and(|own| own == name)).collect();
            if here.is_empty() {
                return Err(ImageError::Unnamed { image: self.shown.clone(), name: name.to_owned(), names });
            }
            return self.for_this_machine(here, 0);
        }
        if names.len() > 1 {
            return Err(ImageError::Which { image: self.shown.clone(), names });
        }
        self.for_this_machine(all, 0)
    }

    /// Of one image for several machines, the one for this; an index is looked into.
    fn for_this_machine(&self, all: Vec<Descriptor>, depth: usize) -> Result<Descriptor, ImageError> {
        let fits = |one: &Descriptor| {
            one.platform.as_ref().is_none_or(|platform| {
                (platform.os.is_empty() || platform.os == "linux")
                    && (platform.architecture.is_empty() || platform.architecture == architecture())
            })
        };
        let found: Vec<String> = all
            .iter()
            .filter_map(|one| one.platform.as_ref())
            .filter(|platform| platform.architecture != "unknown")
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        let Some(chosen) = all.into_iter().find(fits) else {
            if found.is_empty() {
                return Err(document("index.json", "it names no image"));
            }
            return Err(ImageError::Platform { found, wanted: platform() });
        };
        if ![OCI_INDEX, DOCKER_INDEX].contains(&chosen.media_type.as_str()) {
            return Ok(chosen);
        }
        if depth == INDEX_DEPTH_MAX {
            return Err(ImageError::TooLarge { what: format!("indexes nest deeper than {INDEX_DEPTH_MAX}") });
        }
        let inner: Index = self.json(&Self::blob(&chosen.digest)?, Some(&chosen.digest))?;
        if inner.manifests.len() > MANIFESTS_MAX {
            return Err(ImageError::TooLarge { what: format!("more than {MANIFESTS_MAX} manifests") });
        }
        self.for_this_machine(inner.manifests, depth + 1)
    }

    fn oci(&self, descriptor: &Descriptor) -> Result<Manifest, ImageError> {
        let file = Self::blob(&descriptor.digest)?;
        let manifest: ImageManifest = self.json(&file, Some(&descriptor.digest))?;
        let config_file = Self::blob(&manifest.config.digest)?;
        let config: ImageConfig = self.json(&config_file, Some(&manifest.config.digest))?;
        let files = manifest.layers.iter().map(|layer| {
            let file = Self::blob(&layer.digest)?;
            let known = layer.media_type.contains(".tar") || layer.media_type.contains("rootfs.diff");
            if !known && !layer.media_type.is_empty() {
                let media = shortened(&layer.media_type);
                return Err(ImageError::Media { file, media });
            }
            Ok((file, Some(layer.digest.clone())))
        });
        let files = files.collect::<Result<Vec<_>, _>>()?;
        finish(descriptor.digest.clone(), config, &config_file, files)
    }

    fn saved(&self, name: Option<&str>) -> Result<Manifest, ImageError> {
        let all: Vec<Saved> = self.json("manifest.json", None)?;
        let tags = |one: &Saved| one.repo_tags.clone().unwrap_or_default();
        let names: Vec<String> = all.iter().flat_map(tags).collect();
        let called = |tag: &String| {
            let name = name.unwrap_or_default();
            tag == name || tag.ends_with(&format!("/{name}")) || tag.ends_with(&format!(":{name}"))
        };
        let chosen = match name {
            Some(name) => all.iter().find(|one| tags(one).iter().any(called)).ok_or_else(|| {
                ImageError::Unnamed { image: self.shown.clone(), name: name.to_owned(), names: names.clone() }
            })?,
            None if all.len() > 1 => return Err(ImageError::Which { image: self.shown.clone(), names }),
            None => all.first().ok_or_else(|| document("manifest.json", "it names no image"))?,
        };
        // `docker save` names the configuration by its digest.
        let stem = chosen.config.rsplit('/').next().unwrap_or("").trim_end_matches(".json");
        let wanted = is_sha256(stem).then(|| format!("sha256:{stem}"));
        let bytes = self.document(&chosen.config, wanted.as_deref())?;
        let config = serde_json::from_slice(&bytes).map_err(|error| document(&chosen.config, error))?;
        let files = chosen.layers.iter().map(|file| (file.clone(), None)).collect();
        finish(sha256(&bytes), config, &chosen.config, files)
    }
}

/// Holds the documents of an image against each other.
fn finish(
    digest: String,
    image: ImageConfig,
    config_file: &str,
    files: Vec<(String, Option<String>)>,
) -> Result<Manifest, ImageError> {
    let (os, machine) = (image.os.as_str(), image.architecture.as_str());
    if !(os.is_empty() || os == "linux") || !(machine.is_empty() || machine == architecture()) {
        let found = vec![format!("{}/{}", shortened(os), shortened(machine))];
        return Err(ImageError::Platform { found, wanted: platform() });
    }
    let diffs = image.rootfs.diff_ids.unwrap_or_default();
    if diffs.len() != files.len() {
        let reason = format!("it has {} layers, and the manifest {}", diffs.len(), files.len());
        return Err(document(config_file, reason));
    }
    if files.len() > host::LAYERS_MAX {
        let what = format!("{} layers; {} are the most", files.len(), host::LAYERS_MAX);
        return Err(ImageError::TooLarge { what });
    }
    let layers = files.into_iter().zip(diffs).map(|((file, digest), diff)| {
        Layout::blob(&diff)?;
        Ok(Layer { file, digest, diff })
    });
    let layers = layers.collect::<Result<_, ImageError>>()?;
    Ok(Manifest { digest, config: run_config(image.config.unwrap_or_default(), config_file)?, layers })
}

fn run_config(own: RunConfig, file: &str) -> Result<Config, ImageError> {
    let mut config = Config {
        entrypoint: own.entrypoint.unwrap_or_default(),
        command: own.cmd.unwrap_or_default(),
        user: own.user.filter(|user| !user.is_empty()),
        labels: own.labels.unwrap_or_default(),
        ..Config::default()
    };
    for entry in own.env.unwrap_or_default() {
        let (key, value) = entry.split_once('=').unwrap_or((&entry, ""));
        config.env.insert(key.to_owned(), value.to_owned());
    }
    if let Some(directory) = own.working_dir.filter(|directory| !directory.is_empty()) {
        let plain = plain_path(&directory).ok_or_else(|| {
            document(file, format!("the working directory '{}' is not absolute", shortened(&directory)))
        })?;
        config.workdir = Some(plain);
    }
    for port in own.exposed_ports.unwrap_or_default().keys() {
        config.exposed.extend(exposed(port));
    }
    Ok(config)
}

/// An absolute path in its shortest form.
pub(crate) fn plain_path(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Files and links of an archive, by name.
fn entries(file: &File) -> std::io::Result<BTreeMap<String, Inside>> {
    let mut entries = BTreeMap::new();
    let mut names = super::tarball::Names::default();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()?.raw(true) {
        let mut entry = entry?;
        if !names.read(&mut entry)? {
            continue;
        }
        if entries.len() == ARCHIVE_ENTRIES_MAX {
            return Err(std::io::Error::other(format!("more than {ARCHIVE_ENTRIES_MAX} entries")));
        }
        let name = String::from_utf8_lossy(&names.path).trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let (offset, bytes) = (entry.raw_file_position(), entry.size());
            entries.insert(name, Inside::File { offset, bytes });
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = String::from_utf8_lossy(&names.link).into_owned();
            let base =
                if kind.is_symlink() { name.rsplit_once('/').map_or("", |(base, _)| base) } else { "" };
            if let Some(target) = plain_path(&format!("/{base}/{target}")) {
                entries.insert(name, Inside::Link(target[1..].to_owned()));
            }
        }
    }
    Ok(entries)
}

fn document(file: &str, reason: impl std::fmt::Display) -> ImageError {
    ImageError::Document { file: file.to_owned(), reason: reason.to_string() }
}

/// What Go, and so the whole field, calls this machine's kind.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn platform() -> String {
    format!("linux/{}", architecture())
}

/// Whether it is 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The digest of bytes, as images write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

/// A text out of an image, for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
