//! Layers and other tar archives, put into a directory that they cannot leave.
//!
//! Every name is looked up by openat2(2) with `RESOLVE_BENEATH`: the kernel itself refuses what would lead out by `..`,
//! an absolute path or a link. Whiteouts become those of overlays. What is left out of an archive, and told: devices;
//! set-uid bits of files whose owner could not be set; attributes that would steer an overlay.

mod entries;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::error::ImageError;
use super::layout::hex;
use super::tarball::Names;
use entries::Unpacker;

/// Most bytes of an image, unpacked; of its archives, too.
pub const BYTES_MAX: u64 = 16 << 30;
/// Most files, directories and links of an image.
pub const ENTRIES_MAX: u64 = 1_000_000;

/// How an archive is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
    /// bzip2 or xz, which images do not use.
    Unknown,
}

impl Packing {
    pub(crate) fn of(bytes: &[u8]) -> Packing {
        match bytes {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            // A zstd frame, or a frame to skip (RFC 8878, section 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', ..] => Packing::Unknown,
            _ => Packing::Plain,
        }
    }
}

/// What is left of what an image may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { bytes: BYTES_MAX, entries: ENTRIES_MAX }
    }
}

/// How an archive is unpacked.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// What errors call the archive.
    pub(crate) what: String,
    /// The directory in the root that everything goes below.
    pub(crate) below: PathBuf,
    /// The name that the only file of the archive gets.
    pub(crate) rename: Option<Vec<u8>>,
    /// Whether names that begin with `.wh.` take away what lies below (OCI image-spec, layer.md).
    pub(crate) whiteouts: bool,
    /// Whose everything is, whatever the archive says.
    pub(crate) owner: Option<(u32, u32)>,
    /// Whether links of the root are followed, absolute ones too: the root is the process's own.
    pub(crate) own_root: bool,
    /// Layers below, the topmost first: directories that the archive only implies are as they are there.
    pub(crate) lowers: Vec<PathBuf>,
    /// Whether marks go into `user.` attributes, as overlays in user namespaces have them.
    pub(crate) user_marks: bool,
}

/// What unpacking gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) warnings: Vec<String>,
}

/// Unpacks a layer and compares it with its digests. What it says of a layer that is wrong is what is wrong first: one
/// that was cut short is damaged, not merely no gzip.
pub(crate) fn layer(
    blob: impl Read,
    layer: &super::layout::Layer,
    root: &Path,
    options: &Options,
    budget: &mut Budget,
) -> Result<Unpacked, ImageError> {
    let torn = |reason: io::Error| ImageError::Torn { file: layer.file.clone(), reason: reason.to_string() };
    let mut packed = Hashing::new(blob, BYTES_MAX);
    let (outcome, content) = {
        let mut plain = Hashing::new(decoder(BufReader::new(&mut packed)).map_err(torn)?, budget.bytes);
        let outcome = archive(&mut plain, root, options, budget);
        let rest = io::copy(&mut plain, &mut io::sink());
        (outcome.and_then(|unpacked| rest.map(|_| unpacked).map_err(torn)), plain.digest())
    };
    let read = io::copy(&mut packed, &mut io::sink());
    let digest = |found: String, wanted: &str| match found == wanted {
        true => Ok(()),
        false => Err(ImageError::Digest { file: layer.file.clone(), found, wanted: wanted.to_owned() }),
    };
    if let (Ok(_), Some(wanted)) = (&read, &layer.digest) {
        digest(packed.digest(), wanted)?;
    }
    let unpacked = outcome?;
    digest(content, &layer.diff)?;
    Ok(unpacked)
}

/// What reads the content of a layer, whatever its kind says: tools disagree.
pub(crate) fn decoder<'a>(mut packed: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let packing = Packing::of(packed.fill_buf()?);
    Ok(match packing {
        Packing::Plain => Box::new(packed),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Packing::Zstd => Box::new(super::zstd::Frames::new(packed)),
        Packing::Unknown => {
            return Err(io::Error::other("it is packed by bzip2 or xz, which images do not use"));
        }
    })
}

/// Unpacks a tar archive below `root`, to its last entry.
pub(crate) fn archive(
    reader: impl Read,
    root: &Path,
    options: &Options,
    budget: &mut Budget,
) -> Result<Unpacked, ImageError> {
    let broken = |error: &dyn std::fmt::Display| ImageError::Torn {
        file: options.what.clone(),
        reason: error.to_string(),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| broken(&error))?;
    let mut unpacker = Unpacker::new(root, options, budget);
    let mut archive = tar::Archive::new(reader);
    let mut names = Names::default();
    for entry in archive.entries().map_err(|error| broken(&error))?.raw(true) {
        let mut entry = entry.map_err(|error| broken(&error))?;
        if names.read(&mut entry).map_err(|error| broken(&error))? {
            unpacker.entry(&mut entry, &names)?;
        }
    }
    Ok(unpacker.finish())
}

/// Reads through, adding up what comes by, to a limit.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    left: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R, bytes_max: u64) -> Self {
        Self { inner, hash: Sha256::new(), left: bytes_max }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.hash.clone().finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        // Headers and padding count too: archives of nothing else are as long.
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it is larger than {} GiB unpacked", BYTES_MAX >> 30)))?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
