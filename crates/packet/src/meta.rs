//! The typed metadata area that travels with a packet.

use std::fmt;
use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of metadata that a packet carries.
pub const METADATA: usize = 128;

/// A place in the metadata area that holds a `T`.
///
/// Slots are handed out by a [`MetaLayout`]; two slots of one layout never overlap. A slot that nobody has
/// written reads as whatever the buffer's last owner left there.
pub struct MetaSlot<T> {
    offset: u8,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for MetaSlot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MetaSlot<T> {}

impl<T> fmt::Debug for MetaSlot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetaSlot<{}>({})", std::any::type_name::<T>(), self.offset)
    }
}

impl<T> MetaSlot<T> {
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let start = usize::from(self.offset);
        start..start + size_of::<T>()
    }
}

/// Deals out the metadata area.
///
/// ```
/// use packet::{MetaLayout, MetaSlot, Pool, PoolConfig};
/// let mut layout = MetaLayout::default();
/// let tenant: MetaSlot<u32> = layout.slot()?;
/// let colour: MetaSlot<u8> = layout.slot()?;
/// let pool = Pool::new(PoolConfig { buffers: 1, ..PoolConfig::default() }).unwrap();
/// let mut packet = pool.alloc().unwrap();
/// packet.set(tenant, 7);
/// packet.set(colour, 2);
/// assert_eq!((packet.get(tenant), packet.get(colour)), (7, 2));
/// # Ok::<(), packet::MetadataFull>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaLayout {
    used: u8,
}

/// The metadata area has no place left for a value of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} more bytes of metadata do not fit beside the {used} of {METADATA} in use")]
pub struct MetadataFull {
    /// Bytes asked for.
    pub size: usize,
    /// Bytes already dealt out.
    pub used: usize,
}

impl MetaLayout {
    /// The next free slot that holds a `T`.
    ///
    /// # Errors
    /// [`MetadataFull`] when the area's [`METADATA`] bytes are dealt out.
    pub fn slot<T: FromBytes + IntoBytes + Immutable>(&mut self) -> Result<MetaSlot<T>, MetadataFull> {
        let (size, used) = (size_of::<T>(), usize::from(self.used));
        if used + size > METADATA {
            return Err(MetadataFull { size, used });
        }
        let slot = MetaSlot { offset: self.used, kind: PhantomData };
        self.used += size as u8;
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_fills_to_the_last_byte() {
        let mut layout = MetaLayout::default();
        assert_eq!(layout.slot::<[u8; 100]>().unwrap().range(), 0..100);
        assert_eq!(layout.slot::<u32>().unwrap().range(), 100..104);
        assert_eq!(layout.slot::<[u8; 24]>().unwrap().range(), 104..128);
        assert_eq!(layout.slot::<u8>().unwrap_err(), MetadataFull { size: 1, used: 128 });
    }
}
