//! Where root file systems come from.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a container's root file system comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// A copy-on-write view of the host's own root.
    #[default]
    Host,
    /// The host's root too, in place of the registry image the blueprint names: weft has no registry, and
    /// runs the program of that name which the host has installed.
    Alias(String),
    /// An empty root: the container's files and mounts are all there is.
    Scratch,
    /// An image that lies below the blueprint's directory.
    Oci(OciImage),
    /// One that weft builds.
    Built(BuiltImage),
}

/// An image of an OCI layout or of `docker save`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciImage {
    /// The layout, relative to the blueprint's directory.
    pub path: String,
    /// Its name there, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What names its content, `sha256:…`.
    pub digest: String,
}

/// An image that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// What it is called.
    pub name: String,
    /// What names everything it is built from, `sha256:…`: its recipe in [`super::Blueprint::recipes`].
    pub digest: String,
}

/// What an image is built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// What the image is called.
    pub name: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// What places in it call it.
    pub file: String,
    /// The Dockerfile's own file, relative to the blueprint's directory, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The directory that COPY takes from, relative to the blueprint's.
    pub context: String,
    /// Build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The stage that is wanted; the last one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Image::Host => f.write_str("host"),
            Image::Alias(name) => write!(f, "host (for {name})"),
            Image::Scratch => f.write_str("scratch"),
            Image::Oci(OciImage { path, name: Some(name), .. }) => write!(f, "oci:{path}:{name}"),
            Image::Oci(OciImage { path, name: None, .. }) => write!(f, "oci:{path}"),
            Image::Built(BuiltImage { name, .. }) => f.write_str(name),
        }
    }
}

impl Image {
    /// What names the content of an image that weft keeps.
    pub fn digest(&self) -> Option<&str> {
        match self {
            Image::Oci(OciImage { digest, .. }) | Image::Built(BuiltImage { digest, .. }) => Some(digest),
            Image::Host | Image::Alias(_) | Image::Scratch => None,
        }
    }
}
