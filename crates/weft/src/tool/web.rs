//! A web server that says which replica answered.

use std::io::{self, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};

use clap::Args;

use super::lines::read_line;
use super::{PATIENCE, serve};

/// Header lines that a request may have.
const HEADERS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct Web {
    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    listen: u16,
    /// Database to count visits in
    #[arg(long, value_name = "HOST:PORT")]
    db: Option<String>,
}

impl Web {
    pub(super) fn run(self) -> io::Result<()> {
        let name = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".into());
        serve(self.listen, move |stream| session(stream, &name, self.db.as_deref()))
    }
}

/// Answers the one request of a connection.
fn session(mut stream: TcpStream, name: &str, db: Option<&str>) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let Some(request) = read_line(&mut input)? else { return Ok(()) };
    for _ in 0..HEADERS_MAX {
        if read_line(&mut input)?.is_none_or(|line| line.is_empty()) {
            break;
        }
    }
    let (status, body) = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET" | "HEAD", path, "HTTP/1.0" | "HTTP/1.1"] => page(path, name, db),
        _ => ("400 Bad Request", "this server answers GET and HEAD\n".into()),
    };
    let shown = if request.starts_with("HEAD ") { "" } else { &body };
    println!("{request} {}", &status[..3]);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all((head + shown).as_bytes())
}

fn page(path: &str, name: &str, db: Option<&str>) -> (&'static str, String) {
    match (path, db) {
        ("/health", _) => ("200 OK", "ok\n".into()),
        ("/", None) => ("200 OK", format!("hello from {name}\n")),
        ("/", Some(db)) => match visits(db) {
            Ok(count) => ("200 OK", format!("hello from {name}, visit {count}\n")),
            Err(error) => ("502 Bad Gateway", format!("{name} cannot reach its database {db}: {error}\n")),
        },
        _ => ("404 Not Found", format!("{name} has no {path}\n")),
    }
}

/// Counts one more visit in the database.
fn visits(db: &str) -> io::Result<String> {
    let address = db.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"INCR visits\n")?;
    read_line(&mut BufReader::new(stream))?.ok_or_else(|| io::Error::other("it hung up"))
}
