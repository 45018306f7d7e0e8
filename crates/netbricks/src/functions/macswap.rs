//! Swaps the Ethernet addresses of every frame.
//!
//! What comes in at one gate leaves at the other, its source address now the destination and the other way round. It
//! takes no arguments and keeps no state.
//!
//! Example:
//!   weft netbricks run macswap --in pcap:in.pcap --out pcap:out.pcap

use super::Setup;
use crate::header::Ethernet;
use crate::operator::Operator;
use crate::{Args, ArgsError, Frame, NetworkFunction, chain};

/// The whole function: one operator, which other chains may use as well.
pub fn macswap() -> impl Operator<Frame, Out = Frame> + Send + 'static {
    chain()
        .parse::<Ethernet>()
        .transform(|frame| {
            let mut ethernet = frame.header_mut();
            let (source, destination) = (ethernet.source(), ethernet.destination());
            ethernet.set_source(destination);
            ethernet.set_destination(source);
        })
        .deparse()
}

pub(super) fn build(_: &mut Args, _: &Setup) -> Result<Box<dyn NetworkFunction>, ArgsError> {
    Ok(Box::new(chain().then(macswap()).build()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::through;

    #[test]
    fn addresses_change_places_and_runts_are_counted() {
        let (out, drops) = through("macswap", &[], &[b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0rest", b"runt"]);
        assert_eq!(out, [b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0rest"]);
        assert_eq!(
            drops.iter().map(|(cause, n)| (cause.to_string(), n)).collect::<Vec<_>>(),
            [("truncated: ethernet header".to_owned(), 1)]
        );
    }
}
