//! Small programs for examples and tests, so that a first blueprint needs nothing installed: a web server, the
//! database behind it, and a client.

mod client;
mod db;
mod lines;
mod web;

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Subcommand;

/// Connections that a server serves at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 256;
/// How long a peer may keep a server or client waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The programs.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// A web server that says which replica answered and counts its visits in a database
    #[command(after_help = "Example:\n  weft tool web --listen 8080\n  curl http://localhost:8080/")]
    Web(web::Web),
    /// A key-value database with a line protocol (GET, SET, INCR)
    #[command(
        after_help = "Example:\n  weft tool db --listen 5432\n  printf 'INCR visits\\n' | nc localhost 5432"
    )]
    Db(db::Db),
    /// A client that fetches a page again and again and prints what came
    #[command(after_help = "Example:\n  weft tool client --url http://localhost:8080/ --every 1s --count 3")]
    Client(client::Client),
}

impl Tool {
    /// Runs the program until it ends or is stopped.
    ///
    /// # Errors
    /// What the program ran into.
    pub(crate) fn run(self) -> std::io::Result<()> {
        match self {
            Self::Web(web) => web.run(),
            Self::Db(db) => db.run(),
            Self::Client(client) => client.run(),
        }
    }
}

/// Accepts connections on a port of every address, IPv4 and IPv6, and serves each in a thread of its own.
fn serve(
    port: u16,
    handle: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_| TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))))?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (handle, open) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, or the peer was gone before we looked: neither ends the server.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        open.fetch_add(1, Ordering::Relaxed);
        let (handle, open) = (handle.clone(), open.clone());
        std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
            if let Err(error) = handle(stream) {
                eprintln!("connection: {error}");
            }
            open.fetch_sub(1, Ordering::Relaxed);
        })?;
    }
    Ok(())
}
