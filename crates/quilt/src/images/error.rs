//! What can be wrong with an image.

/// Why an image cannot be used, with the value at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {reason}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// It is no image.
    #[error(
        "{0} is no image: it is neither an OCI image layout (with an index.json) nor an archive of `docker save` (with a \
         manifest.json)"
    )]
    NoLayout(String),
    /// The archive is compressed as a whole.
    #[error(
        "{0} is compressed as a whole: unpack it once (`gunzip`, `zstd -d`), since it is read at many places"
    )]
    Compressed(String),
    /// A document of the image is not what it should be.
    #[error("{file} of the image is not what it should be: {reason}")]
    Document {
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob that the image names is not there.
    #[error("{file}, which the image names, is not in {image}")]
    Missing {
        /// The blob's file.
        file: String,
        /// The image.
        image: String,
    },
    /// A blob's content is not what its name says.
    #[error("{file} of the image is damaged: its content is {found}, and the image says {wanted}")]
    Digest {
        /// The blob's file.
        file: String,
        /// The digest of what is there.
        found: String,
        /// The digest that the image gives.
        wanted: String,
    },
    /// A digest in a form that nobody writes.
    #[error("'{0}' is no digest that weft knows: it knows sha256 and 64 hexadecimal digits")]
    Algorithm(String),
    /// The content of a layer cannot be read.
    #[error("{file} of the image cannot be read to its end: {reason}")]
    Torn {
        /// The blob's file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is for other machines.
    #[error("the image is for {}, and this machine is {wanted}", found.join(", "))]
    Platform {
        /// What it is for.
        found: Vec<String>,
        /// What this machine is.
        wanted: String,
    },
    /// There are several.
    #[error("{image} holds several images, say which by {}", names.iter().map(|name| format!("'oci:{image}:{name}'")).collect::<Vec<_>>().join(" or "))]
    Which {
        /// The layout.
        image: String,
        /// Their names.
        names: Vec<String>,
    },
    /// There is none of that name.
    #[error("{image} holds no image called '{name}'; it holds {}", names.join(", "))]
    Unnamed {
        /// The layout.
        image: String,
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A kind of file that is not known.
    #[error("{file} of the image is of the kind '{media}', which weft does not know")]
    Media {
        /// The blob's file.
        file: String,
        /// Its kind.
        media: String,
    },
    /// It is larger than an image may be.
    #[error("the image is too large: {what}")]
    TooLarge {
        /// Which limit was met.
        what: String,
    },
    /// An entry of a layer that would not stay in the image, or makes no sense.
    #[error("{layer} has an entry '{entry}' that {reason}: the image is refused")]
    Entry {
        /// The layer.
        layer: String,
        /// The entry's name.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something in the middle of the work failed.
    #[error("{0}")]
    Work(String),
}

/// Names the file that an operation failed on.
pub(crate) trait On<T> {
    fn on(self, action: &'static str, path: impl AsRef<std::path::Path>) -> Result<T, ImageError>;
}

impl<T, E: Into<std::io::Error>> On<T> for Result<T, E> {
    fn on(self, action: &'static str, path: impl AsRef<std::path::Path>) -> Result<T, ImageError> {
        self.map_err(|error| ImageError::File {
            action,
            path: path.as_ref().display().to_string(),
            reason: error.into().to_string(),
        })
    }
}
