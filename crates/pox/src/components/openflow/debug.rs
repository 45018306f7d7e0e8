//! Writes what passes between the controller and its switches into a capture file, for Wireshark and tcpdump.
//!
//! Each switch is a TCP connection from 127.0.0.1:6653 to an address of its own, with sequence numbers, so that dissectors follow
//! it. Messages are written as they are encoded for the switch; a file that cannot be written ends the capture with a
//! warning, and nothing else.
//!
//! | option | meaning |
//! |---|---|
//! | `--file=PATH` | the file; `openflow.pcap` |
//! | `--limit=BYTES` | ends the capture at so many bytes; 1073741824 |
//!
//! Launch: `weft pox openflow.debug --file=control.pcap forwarding.l2_learning`; then `tshark -r control.pcap`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::net::Ipv4Addr;
use std::time::Duration;

use packet::pcap::{LinkType, Writer};
use packet::wire::{IpProtocol, MacAddr, tcp};

use crate::compose::{self, Ends};
use crate::{
    Component, ConnectionDown, ConnectionId, Core, Direction, OPENFLOW, Options, OptionsError, Raw, Result,
    info, warning,
};

/// The port OpenFlow has from IANA; dissectors know it.
const PORT: u16 = 6653;
/// The controller's end.
const CONTROLLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Bytes of a message in one segment.
const SEGMENT: usize = 32 * 1024;

/// The capture.
#[derive(Debug)]
pub struct Capture {
    path: String,
    limit: u64,
    written: u64,
    file: Option<Writer<BufWriter<File>>>,
    /// Sequence numbers of both ends: the switch's, the controller's.
    streams: BTreeMap<ConnectionId, (u32, u32)>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    Ok(Box::new(Capture {
        path: options.text("file")?.unwrap_or_else(|| "openflow.pcap".into()),
        limit: options.take_or("limit", 1 << 30)?,
        written: 0,
        file: None,
        streams: BTreeMap::new(),
    }))
}

impl Component for Capture {
    fn start(&mut self, core: &mut Core) -> Result {
        let file = File::create(&self.path).map_err(|error| format!("{}: {error}", self.path))?;
        self.file = Some(Writer::new(BufWriter::new(file), LinkType::ETHERNET)?);
        core.listen(OPENFLOW, Self::message);
        core.listen(OPENFLOW, |this: &mut Self, event: &ConnectionDown, _: &mut Core| {
            this.streams.remove(&event.connection);
        });
        core.every(Duration::from_secs(1), Self::flush);
        core.listen(crate::CORE, |this: &mut Self, _: &crate::GoingDown, core: &mut Core| this.flush(core));
        Ok(())
    }
}

impl Capture {
    fn flush(&mut self, core: &mut Core) {
        if let Some(Err(error)) = self.file.as_mut().map(Writer::flush) {
            self.give_up(&error.to_string(), core);
        }
    }

    fn give_up(&mut self, why: &str, core: &mut Core) {
        warning!(core, "{}: the capture ends: {why}", self.path);
        self.file = None;
    }

    fn message(&mut self, event: &Raw, core: &mut Core) {
        if self.file.is_none() {
            return;
        }
        let Some(version) = core.connection(event.connection).map(crate::Connection::version) else { return };
        let mut bytes = Vec::new();
        if openflow::codec::encode(version, &event.message, &mut bytes).is_err() {
            return; // it was not sent either
        }
        for part in bytes.chunks(SEGMENT) {
            let frame = self.segment(event, part);
            self.written += frame.len() as u64 + 16;
            if self.written > self.limit {
                info!(core, "{}: {} bytes are enough", self.path, self.limit);
                self.flush(core);
                self.file = None;
                return;
            }
            let now = u64::try_from(core.now().as_nanos()).unwrap_or(u64::MAX);
            if let Some(Err(error)) = self.file.as_mut().map(|file| file.write(now, &frame)) {
                return self.give_up(&error.to_string(), core);
            }
        }
    }

    fn segment(&mut self, event: &Raw, part: &[u8]) -> Vec<u8> {
        let (theirs, ours) = self.streams.entry(event.connection).or_insert((1, 1));
        // 127.1.0.1 and port 10001 for connection 1, and so on.
        let number = event.connection.0;
        let switch = Ipv4Addr::from_bits(0x7f01_0000 | (number & 0xffff) as u32);
        let port = 10_000 + (number % 50_000) as u16;
        let (ends, ports, numbers) = match event.direction {
            Direction::Received => ((switch, CONTROLLER), (port, PORT), (*theirs, *ours)),
            Direction::Sent => ((CONTROLLER, switch), (PORT, port), (*ours, *theirs)),
        };
        match event.direction {
            Direction::Received => *theirs = theirs.wrapping_add(part.len() as u32),
            Direction::Sent => *ours = ours.wrapping_add(part.len() as u32),
        }
        let repr = tcp::Repr {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: numbers.0,
            ack: numbers.1,
            flags: tcp::Flags::ACK | tcp::Flags::PSH,
            window: u16::MAX,
            ..tcp::Repr::default()
        };
        let mut segment = vec![0; tcp::HEADER_LEN + part.len()];
        let mut view = tcp::View::new_unchecked(&mut segment[..]);
        repr.emit(&mut view);
        view.payload_mut().copy_from_slice(part);
        view.fill_checksum(ends.0.into(), ends.1.into());
        let macs = (MacAddr::UNSPECIFIED, MacAddr::UNSPECIFIED);
        compose::ipv4(Ends { macs, ips: ends }, IpProtocol::TCP, &segment)
    }
}
