//! Serves HTTP: JSON-RPC, WebSocket, metrics.
//!
//! | path | what |
//! |---|---|
//! | `GET /` | what there is |
//! | `POST /rpc`, `POST /OF/` | JSON-RPC 2.0, the methods of `web.jsonrpc` |
//! | `GET /ws` | WebSocket: a JSON-RPC request, batch or answer in each message |
//! | `GET /messenger` | WebSocket: a session of `messenger`, where that is launched |
//! | `GET /metrics` | counters, as Prometheus reads them |
//!
//! It listens on the loopback address only, unless it is told otherwise; whoever reaches it controls the network, so give it a
//! password then.
//!
//! | option | meaning |
//! |---|---|
//! | `--address=IP`, `--port=N` | where; 127.0.0.1, 8000 |
//! | `--user=NAME:PASSWORD` | asks for these (HTTP basic authentication); nothing |
//!
//! Launch: `weft pox web.webcore web.jsonrpc openflow.of_service forwarding.l2_learning`

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::serve;
use crate::{Component, Core, Options, OptionsError, Result, info};

/// The server.
#[derive(Debug)]
pub struct WebCore {
    address: SocketAddr,
    user: Option<String>,
    bound: Option<SocketAddr>,
}

pub(crate) fn build(options: &mut Options) -> std::result::Result<Box<dyn Component>, OptionsError> {
    let ip: IpAddr = options.take_or("address", Ipv4Addr::LOCALHOST.into())?;
    let user = options.text("user")?;
    if let Some(user) = user.as_deref().filter(|user| !user.contains(':')) {
        return Err(options.wrong("user", user, "not NAME:PASSWORD"));
    }
    Ok(Box::new(WebCore { address: SocketAddr::new(ip, options.take_or("port", 8000)?), user, bound: None }))
}

impl WebCore {
    /// Where it listens; port 0 has become one by then.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound
    }
}

impl Component for WebCore {
    fn start(&mut self, core: &mut Core) -> Result {
        let listener =
            TcpListener::bind(self.address).map_err(|error| format!("{}: {error}", self.address))?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        serve::start(listener, core.remote(), self.user.as_deref())?;
        self.bound = Some(bound);
        info!(core, "serves http://{bound}/");
        Ok(())
    }
}
