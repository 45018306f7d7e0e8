//! `weft rc3 proxy` and `egress`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ::rc3::live::{self, Allow, EgressConfig, ProxyConfig, read_key};
use ::rc3::socks::Protocol;
use clap::Args;

use super::options::Sending;
use super::{on_interrupt, report};

/// Where local clients connect to, and what they speak there.
#[derive(Debug, Clone)]
struct Local(Protocol, SocketAddr);

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no socks5:ADDR:PORT or http:ADDR:PORT");
        let (protocol, address) = text.split_once(':').ok_or_else(wrong)?;
        let protocol = match protocol {
            "socks5" => Protocol::Socks5,
            "http" => Protocol::Http,
            _ => return Err(wrong()),
        };
        Ok(Self(protocol, address.parse().map_err(|_| wrong())?))
    }
}

/// Take connections of local programs to an egress, over RC3, until Ctrl-C
///
/// Programs use it as a SOCKS5 proxy (or an HTTP one, by CONNECT). All connections travel in one sealed connection over UDP; each is to
/// the network what a TCP connection is, and fills what capacity is idle at low priority.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 key rc3.key\n  \
                        weft rc3 egress --key rc3.key --listen 127.0.0.1:7700 &\n  \
                        weft rc3 proxy --key rc3.key --egress 127.0.0.1:7700 &\n  \
                        curl -x socks5h://127.0.0.1:1080 http://example.org/")]
pub(crate) struct Proxy {
    /// Where programs connect to: socks5:ADDR:PORT or http:ADDR:PORT
    #[arg(long, value_name = "WHERE", default_value = "socks5:127.0.0.1:1080")]
    listen: Local,
    /// The egress
    #[arg(long, value_name = "HOST:PORT")]
    egress: String,
    /// A file with the egress's key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    sending: Sending,
}

impl Proxy {
    pub(super) fn run(&self) -> miette::Result<()> {
        let config = ProxyConfig {
            protocol: self.listen.0,
            listen: self.listen.1,
            egress: self.egress.clone(),
            key: read_key(&self.key).map_err(report)?,
            connection: self.sending.config(),
        };
        let mut proxy = live::Proxy::bind(config).map_err(report)?;
        on_interrupt(proxy.stopper())?;
        eprintln!("takes connections at {} to {}", proxy.local().map_err(report)?, self.egress);
        proxy.run().map_err(report)
    }
}

/// Connect where the clients of proxies want to go, until Ctrl-C
///
/// It connects wherever this machine can reach, its own services among that: whoever has the key is trusted as a user of this
/// machine's network. With --allow only where a rule says so.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 key rc3.key\n  \
                        weft rc3 egress --key rc3.key --allow '*.example.org:443' --allow 10.0.0.0/8")]
pub(crate) struct Egress {
    /// Where proxies come to, over UDP
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:7700")]
    listen: SocketAddr,
    /// A file with the key that proxies must have
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where clients may go: HOST, *.HOST, ADDRESS or ADDRESS/LENGTH, with or without :PORT; may be given several times
    #[arg(long = "allow", value_name = "RULE")]
    allow: Vec<Allow>,
    #[command(flatten)]
    sending: Sending,
}

impl Egress {
    pub(super) fn run(&self) -> miette::Result<()> {
        let config = EgressConfig {
            listen: self.listen,
            key: read_key(&self.key).map_err(report)?,
            connection: self.sending.config(),
            allow: self.allow.clone(),
        };
        let mut egress = live::Egress::bind(config).map_err(report)?;
        on_interrupt(egress.stopper())?;
        eprintln!("connects for who comes to {}", egress.local().map_err(report)?);
        egress.run().map_err(report)
    }
}
