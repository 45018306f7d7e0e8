//! Names in tar archives, read with bounds: what stands before an entry may be as long as its author likes.

use std::io::{self, Read};

use tar::{Entry, EntryType, PaxExtensions};

/// Longest name of an entry, or target of a link: `PATH_MAX` of linux/limits.h.
pub(crate) const NAME_BYTES_MAX: u64 = 4096;
/// Most extended attributes of an entry, in bytes: `XATTR_SIZE_MAX` of linux/limits.h and some.
const EXTENSION_BYTES_MAX: u64 = 128 << 10;

/// Collects what the entries before one say about it: its long name (GNU) and its extensions (POSIX.1-2001, pax).
#[derive(Debug, Default)]
pub(crate) struct Names {
    long: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    extensions: Option<Vec<u8>>,
    /// The name of the entry.
    pub(crate) path: Vec<u8>,
    /// Where it leads, if it is a link.
    pub(crate) link: Vec<u8>,
    /// Its extended attributes.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    /// User, group and time, where the extensions say them.
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<u64>,
}

impl Names {
    /// Reads an entry of a raw archive. Says whether it is one by itself; then its names are here.
    pub(crate) fn read<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<bool> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.long = Some(name(entry)?),
            EntryType::GNULongLink => self.long_link = Some(name(entry)?),
            EntryType::XHeader => self.extensions = Some(bounded(entry, EXTENSION_BYTES_MAX)?),
            EntryType::XGlobalHeader => {}
            _ => {
                self.path = self.long.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let link = || entry.header().link_name_bytes().map(std::borrow::Cow::into_owned);
                self.link = self.long_link.take().or_else(link).unwrap_or_default();
                (self.uid, self.gid, self.mtime) = (None, None, None);
                self.attributes.clear();
                if let Some(extensions) = self.extensions.take() {
                    self.extend(&extensions, entry.size())?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn extend(&mut self, extensions: &[u8], bytes: u64) -> io::Result<()> {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.split('.').next()?.parse::<u64>().ok();
        for extension in PaxExtensions::new(extensions) {
            let extension = extension?;
            let (Ok(key), value) = (extension.key(), extension.value_bytes()) else { continue };
            match key {
                "path" => self.path = value.to_vec(),
                "linkpath" => self.link = value.to_vec(),
                "uid" => self.uid = number(value),
                "gid" => self.gid = number(value),
                "mtime" => self.mtime = number(value),
                // Programs that read one size and programs that read the other see two archives.
                "size" if number(value) != Some(bytes) => {
                    return Err(io::Error::other("an entry says two sizes"));
                }
                _ if key.starts_with("GNU.sparse.") => {
                    return Err(io::Error::other("an entry is a sparse file, which images have no use for"));
                }
                _ => {
                    if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                        self.attributes.push((name.to_owned(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A name in an entry of its own, less its terminating zero.
fn name<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Vec<u8>> {
    let mut name = bounded(entry, NAME_BYTES_MAX)?;
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

fn bounded<R: Read>(entry: &mut Entry<'_, R>, bytes_max: u64) -> io::Result<Vec<u8>> {
    if entry.size() > bytes_max {
        return Err(io::Error::other(format!("a name or an attribute is longer than {bytes_max} bytes")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}
