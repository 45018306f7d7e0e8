//! Lines from a peer, with a bound on their length.

use std::io::{self, BufRead, Read};

/// Longest line that a peer may send.
pub(super) const LINE_MAX: u64 = 8 << 10;

/// The next line without its end; `None` when the peer has closed.
///
/// # Errors
/// `InvalidData` when the line is longer than [`LINE_MAX`] or not UTF-8.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let count = reader.take(LINE_MAX).read_line(&mut line)?;
    if count == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') && count as u64 == LINE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 8 KiB"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let mut input = &b"one\r\ntwo\nlast"[..];
        let mut next = || read_line(&mut input).unwrap();
        assert_eq!(
            (next(), next(), next(), next()),
            (Some("one".into()), Some("two".into()), Some("last".into()), None)
        );
        let long = vec![b'x'; LINE_MAX as usize + 1];
        assert!(read_line(&mut &long[..]).is_err());
    }
}
