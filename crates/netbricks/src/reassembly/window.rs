//! A window that slides over a stream: NetBricks' operator of that name.

/// The window cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The size is 0 or larger than the room.
    #[error("a window of {size} bytes: 1 to {most} fit")]
    Size {
        /// Bytes asked for.
        size: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// A window that does not move.
    #[error("a stride of 0 bytes")]
    Stride,
}

/// Shows every `size` bytes of a stream, `stride` apart (Panda et al., "NetBricks", OSDI 2016, section 3.1). Two strides may
/// overlap or leave bytes out between them.
///
/// A window that lies within one run of bytes is shown where it lies. Of every run at most `size − 1` bytes are copied, for
/// those windows that began in an earlier one. A window never spans a gap: behind one it starts afresh. `SIZE_MAX` bounds
/// the size; twice as many bytes are part of the value, so that a window can be part of a connection's state.
///
/// ```
/// use netbricks::reassembly::Window;
///
/// let mut window = Window::<16>::new(4, 2)?;
/// let mut seen = Vec::new();
/// window.push(0, b"abcdef", |offset, bytes| seen.push((offset, bytes.to_vec())));
/// window.push(6, b"gh", |offset, bytes| seen.push((offset, bytes.to_vec())));
/// assert_eq!(seen, [(0, b"abcd".to_vec()), (2, b"cdef".to_vec()), (4, b"efgh".to_vec())]);
/// assert_eq!(window.rest(), b"gh");
/// # Ok::<(), netbricks::reassembly::WindowError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Window<const SIZE_MAX: usize> {
    size: usize,
    stride: usize,
    /// Where the next window begins; bytes in front of it are passed over.
    start: u64,
    /// Where the stream has come to.
    end: u64,
    /// The bytes from `start` to `end`, fewer than `size` of them.
    held: usize,
    room: [[u8; SIZE_MAX]; 2],
}

impl<const SIZE_MAX: usize> Window<SIZE_MAX> {
    /// A window at the beginning of a stream.
    ///
    /// # Errors
    /// A size that is 0 or more than `SIZE_MAX`, a stride of 0.
    pub const fn new(size: usize, stride: usize) -> Result<Self, WindowError> {
        if size == 0 || size > SIZE_MAX {
            return Err(WindowError::Size { size, most: SIZE_MAX });
        }
        if stride == 0 {
            return Err(WindowError::Stride);
        }
        Ok(Self { size, stride, start: 0, end: 0, held: 0, room: [[0; SIZE_MAX]; 2] })
    }

    /// Takes the bytes that begin at `offset` and shows each window that has become complete, with its offset. An offset
    /// other than the end of what came before is a gap.
    pub fn push(&mut self, offset: u64, bytes: &[u8], mut show: impl FnMut(u64, &[u8])) {
        if offset != self.end {
            (self.start, self.end, self.held) = (offset, offset, 0);
        }
        self.end += bytes.len() as u64;
        if self.held > 0 {
            self.across(offset, bytes, &mut show);
        }
        if self.held == 0 {
            self.within(offset, bytes, &mut show);
        }
    }

    /// Shows the windows that begin in front of `offset`. Afterwards either nothing is held, or all of `bytes` is.
    fn across(&mut self, offset: u64, bytes: &[u8], show: &mut impl FnMut(u64, &[u8])) {
        let room = self.room.as_flattened_mut();
        let taken = bytes.len().min(self.size - 1);
        room[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
        let (first, have) = (self.start, self.held + taken);
        while self.start < offset {
            let at = (self.start - first) as usize;
            if at + self.size > have {
                // All of `bytes` is there: `size - 1` more would have completed any window that begins in front of it.
                room.copy_within(at..have, 0);
                self.held = have - at;
                return;
            }
            show(self.start, &room[at..at + self.size]);
            self.start += self.stride as u64;
        }
        self.held = 0;
    }

    /// Shows the windows that begin in `bytes`, and keeps the start of the first that is not complete.
    fn within(&mut self, offset: u64, bytes: &[u8], show: &mut impl FnMut(u64, &[u8])) {
        let mut rest = bytes.get((self.start - offset) as usize..).unwrap_or_default();
        while rest.len() >= self.size {
            show(self.start, &rest[..self.size]);
            self.start += self.stride as u64;
            rest = rest.get(self.stride..).unwrap_or_default();
        }
        self.room.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    /// The bytes that have not come to fill a window: what is left to look at when the stream ends.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.room.as_flattened()[..self.held]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Shown = Vec<(u64, Vec<u8>)>;

    /// The obvious twin: all windows of the whole.
    fn twin(base: u64, bytes: &[u8], size: usize, stride: usize) -> Shown {
        (0..bytes.len())
            .step_by(stride)
            .filter_map(|at| Some((base + at as u64, bytes.get(at..at + size)?.to_vec())))
            .collect()
    }

    proptest! {
        #[test]
        fn shows_what_the_whole_shows(
            runs in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)), 0..20),
            size in 1usize..9, stride in 1usize..14,
        ) {
            let mut window = Window::<8>::new(size, stride).unwrap();
            let (mut shown, mut expected) = (Shown::new(), Shown::new());
            let (mut whole, mut base, mut offset) = (Vec::new(), 0u64, 0u64);
            for (gap, run) in runs {
                if gap {
                    expected.extend(twin(base, &whole, size, stride));
                    offset += 3;
                    (base, whole) = (offset, Vec::new());
                }
                window.push(offset, &run, |at, bytes| shown.push((at, bytes.to_vec())));
                offset += run.len() as u64;
                whole.extend(run);
                prop_assert!(whole.ends_with(window.rest()) && window.rest().len() < size);
            }
            expected.extend(twin(base, &whole, size, stride));
            prop_assert_eq!(shown, expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Window::<8>::new(9, 1).unwrap_err(), WindowError::Size { size: 9, most: 8 });
        assert_eq!(Window::<8>::new(0, 1).unwrap_err(), WindowError::Size { size: 0, most: 8 });
        assert_eq!(Window::<8>::new(8, 0).unwrap_err(), WindowError::Stride);
    }
}
