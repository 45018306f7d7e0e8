//! [`GenericDecap`].

use packet::Batch;

use super::front;
use crate::engine::{Context, Gate, Module};

/// Takes bytes off each packet's front.
///
/// *Input gates*: one. *Output gates*: one. A packet that has fewer bytes passes as it is.
///
/// ```
/// # use softnic::modules::GenericDecap;
/// let without_ethernet = GenericDecap::new(14)?;
/// # Ok::<(), softnic::modules::GenericDecapError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GenericDecap {
    bytes: usize,
}

/// More bytes than [`GenericDecap`] takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid decap size: {0} bytes, {max} at most", max = GenericDecap::BYTES_MAX)]
pub struct GenericDecapError(pub usize);

impl GenericDecap {
    /// The most bytes.
    pub const BYTES_MAX: usize = 1024;

    /// Takes `bytes` off; 0 does nothing.
    ///
    /// # Errors
    /// More than [`GenericDecap::BYTES_MAX`].
    pub fn new(bytes: usize) -> Result<Self, GenericDecapError> {
        if bytes > Self::BYTES_MAX { Err(GenericDecapError(bytes)) } else { Ok(Self { bytes }) }
    }
}

impl Module for GenericDecap {
    fn class(&self) -> &'static str {
        "GenericDecap"
    }

    fn process(&mut self, ctx: &mut Context<'_>, _gate: Gate, batch: &mut Batch) {
        ctx.forward(0);
        for packet in batch {
            // Too short is in order, see above.
            let _ = front::pull(packet, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{datagram, packet};
    use super::*;
    use crate::engine::Rig;

    #[test]
    fn the_front_goes_where_there_is_enough_of_it() {
        let frame = datagram(["1.2.3.4:10001", "2.3.4.5:10002"], b"helloworld");
        let mut rig = Rig::new(GenericDecap::new(14).unwrap());
        let left = rig.process(0, [packet(&frame), packet(&[7; 14]), packet(&[7; 13])]);
        let rest: Vec<&[u8]> = left.iter().map(|(_, packet)| packet.data()).collect();
        assert_eq!(rest, [&frame[14..], &[], &[7; 13]]);
        let left = Rig::new(GenericDecap::new(0).unwrap()).process(0, [packet(&frame)]);
        assert_eq!(left[0].1.data(), frame);
    }

    #[test]
    fn there_is_a_limit() {
        assert!(GenericDecap::new(1024).is_ok());
        assert_eq!(GenericDecap::new(1025).unwrap_err(), GenericDecapError(1025));
    }
}
