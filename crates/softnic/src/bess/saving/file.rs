//! The file: records behind a first line, each with its length and checksum.
//!
//! ```text
//!   weft bess state 1\n                                       what it is, and its version
//!   length  !length  checksum │ kind length  kind  body       a record; numbers are of 32 bits, the lowest byte first
//!   …
//! ```
//!
//! The length stands there twice, the second time with all bits turned round, so that a length that is wrong is told from
//! a record that was not written to its end: only the latter is what a killed process leaves.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// The first bytes, without the version.
const MAGIC: &[u8] = b"weft bess state ";
/// The first line.
const FIRST_LINE: &[u8] = b"weft bess state 1\n";
/// Bytes in front of a record.
const HEAD: usize = 12;
/// Bytes of the longest record: more than the longest request, and than the whole of any table.
const RECORD_MAX: usize = 1 << 30;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bess) struct Record {
    /// What it is: the name of a request's method, or of our own with a dot in it.
    pub(in crate::bess) kind: String,
    /// The encoded message.
    pub(in crate::bess) body: Vec<u8>,
}

/// Why a file is not what was saved.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The kernel's answer.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not begin as such a file does.
    #[error("this is no saved state")]
    Foreign,
    /// It is of another version.
    #[error("it was saved by another version of weft ({0})")]
    Version(String),
    /// What was written is not what is read.
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
    /// It ends in the middle of the state as it was when the file was last written as a whole.
    #[error("it is cut short at byte {0}")]
    Short(u64),
}

/// The checksum of Ethernet and zip (CRC-32, polynomial 0xedb88320).
pub(super) fn checksum(parts: [&[u8]; 2]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let (mut word, mut bit) = (at as u32, 0);
            while bit < 8 {
                word = if word & 1 == 1 { word >> 1 ^ 0xedb8_8320 } else { word >> 1 };
                bit += 1;
            }
            table[at] = word;
            at += 1;
        }
        table
    };
    let step = |sum: u32, byte: &u8| TABLE[(sum as u8 ^ byte) as usize] ^ sum >> 8;
    !parts.into_iter().flatten().fold(!0, step)
}

/// Bytes that a record takes.
pub(super) fn length(kind: &str, body: &[u8]) -> u64 {
    (HEAD + 1 + kind.len() + body.len()) as u64
}

/// Writes a record.
///
/// # Errors
/// The kernel's answer; a record that is too long.
pub(in crate::bess) fn write(to: &mut impl Write, kind: &str, body: &[u8]) -> io::Result<()> {
    let long = || io::Error::new(io::ErrorKind::InvalidInput, format!("{kind}: too long to be saved"));
    let count = u8::try_from(kind.len()).map_err(|_| long())?;
    let len = 1 + kind.len() + body.len();
    if len > RECORD_MAX {
        return Err(long());
    }
    let name = [&[count], kind.as_bytes()].concat();
    let mut front = Vec::with_capacity(HEAD + name.len());
    front.extend((len as u32).to_le_bytes());
    front.extend((!(len as u32)).to_le_bytes());
    front.extend(checksum([&name, body]).to_le_bytes());
    front.extend(name);
    to.write_all(&front)?;
    to.write_all(body)
}

/// Begins a file.
pub(in crate::bess) fn begin(to: &mut impl Write) -> io::Result<()> {
    to.write_all(FIRST_LINE)
}

/// Reads a file's records one after the other.
pub(in crate::bess) struct Reader {
    file: BufReader<File>,
    at: u64,
    end: u64,
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bess) enum Next {
    Record(Record),
    /// The file ends here.
    End,
    /// The file ends in the middle of a record.
    Torn,
}

impl Reader {
    /// Opens a file; `None` where there is none.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Self::over(file).map(Some)
    }

    /// Reads a file that is open, from its beginning.
    ///
    /// # Errors
    /// It is something else.
    pub(in crate::bess) fn over(file: File) -> Result<Self, FileError> {
        let end = file.metadata()?.len();
        let mut reader = Self { file: BufReader::with_capacity(1 << 16, file), at: 0, end };
        let mut line = Vec::new();
        (&mut reader.file).take(FIRST_LINE.len() as u64).read_to_end(&mut line)?;
        if line != FIRST_LINE {
            return Err(match line.strip_prefix(MAGIC) {
                Some([]) => FileError::Short(line.len() as u64),
                Some(version) => FileError::Version(String::from_utf8_lossy(version).trim().to_owned()),
                None => FileError::Foreign,
            });
        }
        reader.at = line.len() as u64;
        Ok(reader)
    }

    /// Bytes that have been read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next record.
    ///
    /// # Errors
    /// What is there is not what was written.
    pub(in crate::bess) fn next(&mut self) -> Result<Next, FileError> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(Next::End);
        }
        let mut head = [0; HEAD];
        if left < HEAD as u64 {
            return Ok(Next::Torn);
        }
        self.file.read_exact(&mut head)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, sum) = (word(0), word(8));
        if head == [0; HEAD] && self.is_blank()? {
            // The file had grown when the power went, but what it grew by was not written.
            return Ok(Next::Torn);
        }
        if word(4) != !len || len as usize > RECORD_MAX {
            return Err(FileError::Damaged(self.at));
        }
        if u64::from(len) > left - HEAD as u64 {
            return Ok(Next::Torn);
        }
        // No more than the file has.
        let mut bytes = vec![0; len as usize];
        self.file.read_exact(&mut bytes)?;
        let record = parse(&bytes).filter(|_| checksum([&bytes, &[]]) == sum);
        let record = record.ok_or(FileError::Damaged(self.at))?;
        self.at += HEAD as u64 + u64::from(len);
        Ok(Next::Record(record))
    }

    /// Whether nothing but zeros follows.
    fn is_blank(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            match self.file.read(&mut chunk)? {
                0 => return Ok(true),
                read if chunk[..read].iter().any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let (&count, rest) = bytes.split_first()?;
    let (kind, body) = rest.split_at_checked(count.into())?;
    Some(Record { kind: String::from_utf8(kind.to_vec()).ok()?, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use packet::fuzzing::bounded::Random;

    use super::*;

    fn written(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(&mut bytes).unwrap();
        records.iter().for_each(|(kind, body)| write(&mut bytes, kind, body).unwrap());
        bytes
    }

    /// What is in a file of these bytes, and how it ends.
    fn read(bytes: &[u8]) -> Result<(Vec<Record>, Next), FileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = Reader::open(&path)?.unwrap();
        let mut records = Vec::new();
        loop {
            match reader.next()? {
                Next::Record(record) => records.push(record),
                end => return Ok((records, end)),
            }
        }
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(checksum([b"12345", b"6789"]), 0xcbf4_3926);
    }

    #[test]
    fn records_come_back_and_an_unfinished_one_is_told_from_a_wrong_one() {
        let bytes = written(&[("a", b""), ("bc", &[7; 300])]);
        let two =
            [("a", vec![]), ("bc", vec![7; 300])].map(|(kind, body)| Record { kind: kind.into(), body });
        assert_eq!(length("bc", &[7; 300]) + length("a", b"") + FIRST_LINE.len() as u64, bytes.len() as u64);
        assert_eq!(read(&bytes).unwrap(), (two.to_vec(), Next::End));
        let first = FIRST_LINE.len() + HEAD + 2;
        for end in first + 1..bytes.len() {
            assert_eq!(read(&bytes[..end]).unwrap(), (two[..1].to_vec(), Next::Torn), "{end}");
        }
        let blank = [&bytes[..first], &[0; 5000]].concat();
        assert_eq!(read(&blank).unwrap(), (two[..1].to_vec(), Next::Torn));
        let behind = [&blank[..], &[1]].concat();
        assert!(matches!(read(&behind), Err(FileError::Damaged(at)) if at == first as u64));
        assert!(matches!(read(b"something else"), Err(FileError::Foreign)));
        assert!(matches!(read(b""), Err(FileError::Foreign)));
        assert!(matches!(read(b"weft bess state "), Err(FileError::Short(16))));
        assert!(matches!(read(b"weft bess state 2\n"), Err(FileError::Version(version)) if version == "2"));
    }

    #[test]
    fn no_bit_changes_unseen() {
        let bytes = written(&[("one", b"the first"), ("two", b"the second"), ("three", b"the third")]);
        let whole = read(&bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&wrong).is_err(), "bit {bit}");
        }
        assert_eq!(whole.0.len(), 3);
    }

    #[test]
    fn no_bytes_are_too_much() {
        let mut random = Random(packet::fuzzing::bounded::seed(None));
        let seed = random.0;
        let good = written(&[("one", b"the first"), ("two", &[9; 100])]);
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(6) {
                let (at, end) = (random.below(bytes.len()), random.below(bytes.len()));
                match random.below(3) {
                    0 => bytes.truncate(at),
                    1 => bytes.extend_from_within(at.min(end)..at.max(end)),
                    _ if !bytes.is_empty() => bytes[at] = random.next() as u8,
                    _ => {}
                }
            }
            if let Ok((records, _)) = read(&bytes) {
                let same = |record: &Record| ["one", "two"].contains(&record.kind.as_str());
                assert!(records.iter().all(same), "WEFT_FUZZ_SEED={seed}");
            }
        }
    }
}
