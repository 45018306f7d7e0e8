//! Waits for switches, as the controller they call.
//!
//! Launched by itself where the launch line does not name it. The name is POX's; OpenFlow 1.0 and 1.3 are spoken alike.
//!
//! Without a port it waits on 6653, OpenFlow's own (IANA) and what Open vSwitch calls by default, and on 6633, which came
//! before, POX's default and still what many set-ups say; 6633 is left out where somebody else has it. May be launched several
//! times, for several addresses.
//!
//! | option | meaning |
//! |---|---|
//! | `--port=PORT` | only that port |
//! | `--address=ADDRESS` | only that address; 0.0.0.0, every IPv4 address |
//! | `--private-key=FILE`, `--certificate=FILE`, `--ca-cert=FILE` | under TLS, all three: our key and certificate, whose certificates switches must have |
//! | `--miss-send-len=BYTES` | what a switch with buffers sends of a packet without a flow; all of it |
//! | `--keep-flows` | a switch that connects keeps the flows it has |
//!
//! Launch: `weft pox openflow.of_01 --port=6633 --address=127.0.0.1 forwarding.l2_learning`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::endpoint::{Endpoint, TlsFiles};
use crate::{Component, Core, Options, OptionsError, Result};

/// OpenFlow's port (IANA).
pub const PORT: u16 = 6653;
/// What was used before there was one.
pub const PORT_BEFORE: u16 = 6633;

/// Waits for switches.
#[derive(Debug)]
pub struct Of01 {
    endpoints: Vec<Endpoint>,
    miss_send_len: Option<u16>,
    keep_flows: bool,
}

pub(crate) fn build(options: &mut Options) -> Result<Box<dyn Component>, OptionsError> {
    let ip: IpAddr = options.take_or("address", Ipv4Addr::UNSPECIFIED.into())?;
    let file = |text: Option<String>| text.map(PathBuf::from);
    let key = file(options.text("private-key")?);
    let certificate = file(options.text("certificate")?);
    let ca = file(options.text("ca-cert")?);
    let tls = match (key, certificate, ca) {
        (None, None, None) => None,
        (Some(private_key), Some(certificate), Some(ca_certificate)) => {
            Some(TlsFiles { private_key, certificate, ca_certificate })
        }
        _ => return Err(options.conflict("TLS takes --private-key, --certificate and --ca-cert, all three")),
    };
    let endpoint =
        |port, optional| Endpoint { address: SocketAddr::new(ip, port), tls: tls.clone(), optional };
    let endpoints = match options.take("port")? {
        Some(port) => vec![endpoint(port, false)],
        None => vec![endpoint(PORT, false), endpoint(PORT_BEFORE, true)],
    };
    Ok(Box::new(Of01 {
        endpoints,
        miss_send_len: options.take("miss-send-len")?,
        keep_flows: options.flag("keep-flows")?,
    }))
}

impl Component for Of01 {
    fn start(&mut self, core: &mut Core) -> Result {
        let config = core.nexus_config_mut();
        config.miss_send_len = self.miss_send_len.unwrap_or(config.miss_send_len);
        config.clear_flows &= !self.keep_flows;
        for endpoint in &self.endpoints {
            core.listen_for_switches(endpoint.clone());
        }
        Ok(())
    }
}
