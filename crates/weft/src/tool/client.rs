//! A client that fetches a page again and again.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;

use super::PATIENCE;

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// Page to fetch
    #[arg(long, value_parser = Url::parse)]
    url: Url,
    /// Pause between two requests: 500ms, 1s, 2m
    #[arg(long, value_name = "PAUSE", default_value = "1s", value_parser = pause)]
    every: Duration,
    /// How many requests to make; without end when absent
    #[arg(long)]
    count: Option<u64>,
}

impl Client {
    pub(super) fn run(self) -> io::Result<()> {
        let mut failed = false;
        for turn in 0.. {
            if self.count.is_some_and(|count| turn >= count) {
                break;
            }
            if turn > 0 {
                std::thread::sleep(self.every);
            }
            match self.url.fetch() {
                Ok(answer) => println!("{answer}"),
                Err(error) => {
                    failed = true;
                    println!("{}: {error}", self.url.host);
                }
            }
        }
        if failed { Err(io::Error::other("some requests failed")) } else { Ok(()) }
    }
}

/// An address of a page, of the form `http://host[:port]/path`.
#[derive(Clone, Debug, PartialEq)]
struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or("only http:// addresses are fetched")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("`{port}` is no port"))?),
            None => (authority, 80),
        };
        if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("an address looks like http://host:port/path".into());
        }
        Ok(Self { host: host.into(), port, path: format!("/{path}") })
    }

    /// The first line of the page's body, or its status if it is not 200.
    fn fetch(&self) -> io::Result<String> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return self.ask(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn ask(&self, mut stream: TcpStream) -> io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let Self { host, path, .. } = self;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        BufReader::new(stream).take(ANSWER_MAX).read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        let line = body.lines().next().unwrap_or_default();
        Ok(if status.contains(" 200 ") { line.to_owned() } else { format!("{status}: {line}") })
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().map_err(|_| format!("`{text}` is no time: write 500ms, 1s or 2m"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" | "" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        unit => Err(format!("`{unit}` is no unit: write ms, s or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = |host: &str, port, path: &str| Url { host: host.into(), port, path: path.into() };
        assert_eq!(Url::parse("http://web/"), Ok(url("web", 80, "/")));
        assert_eq!(Url::parse("http://web:8080/a/b"), Ok(url("web", 8080, "/a/b")));
        for bad in ["web", "https://web/", "http:///", "http://web:x/", "http://web/a b"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pauses_have_units() {
        assert_eq!(pause("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(pause("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(pause("2m"), Ok(Duration::from_secs(120)));
        assert!(pause("1h").is_err() && pause("s").is_err());
    }
}
