//! `weft rc3 key`, `serve` and `get`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use ::rc3::live::{self, ServeConfig, Url};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::options::{Sending, key};
use super::{on_interrupt, report};

/// Make a key, and write it into a file that is not there yet
///
/// Both sides need the same: copy it where the other side runs. Whoever has it may use what it opens.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 key rc3.key")]
pub(crate) struct Key {
    /// The file
    file: PathBuf,
}

impl Key {
    pub(super) fn run(&self) -> miette::Result<()> {
        live::write_key(&self.file).map_err(report)
    }
}

/// Serve the files of a directory over RC3, until Ctrl-C
///
/// Nothing outside of the directory is served, and nothing by a link. Without a key anybody may fetch; what is fetched is sealed all
/// the same, against those who only listen.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 serve examples --listen 127.0.0.1:7701 &\n  \
                        weft rc3 get rc3://127.0.0.1:7701/shop.js shop.js")]
pub(crate) struct Serve {
    /// The directory
    directory: PathBuf,
    /// Where clients come to, over UDP
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:7701")]
    listen: SocketAddr,
    /// A file with the key that clients must have
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    sending: Sending,
}

impl Serve {
    pub(super) fn run(&self) -> miette::Result<()> {
        let config = ServeConfig {
            directory: self.directory.clone(),
            listen: self.listen,
            key: key(self.key.as_ref())?,
            connection: self.sending.config(),
        };
        let mut serve = live::Serve::bind(&config).map_err(report)?;
        on_interrupt(serve.stopper())?;
        eprintln!("serves {} at {}", self.directory.display(), serve.local().map_err(report)?);
        serve.run().map_err(report)
    }
}

/// Fetch a file over RC3
///
/// The file is there once it is whole, not before. Nothing is resumed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft rc3 serve examples --listen 127.0.0.1:7701 &\n  \
                        weft rc3 get rc3://127.0.0.1:7701/shop.js shop.js")]
pub(crate) struct Get {
    /// rc3://HOST:PORT/PATH
    url: Url,
    /// Where it is to be
    file: PathBuf,
    /// A file with the server's key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    sending: Sending,
}

impl Get {
    pub(super) fn run(&self) -> miette::Result<()> {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bytes:>10} of {total_bytes} {wide_bar} {bytes_per_sec}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let key = key(self.key.as_ref())?;
        let begin = |stop| {
            if let Err(error) = on_interrupt(stop) {
                eprintln!("warning: an interruption leaves a part of the file: {error}");
            }
        };
        let progress = |came, all| {
            bar.set_length(all);
            bar.set_position(came);
        };
        let got = live::get(&self.url, &self.file, key, self.sending.config(), begin, progress);
        bar.finish_and_clear();
        let got = got.map_err(report)?;
        let (levels, seconds) = (&got.levels, got.took.as_secs_f64());
        let low: u64 = levels[1..].iter().sum();
        eprintln!(
            "{} bytes in {seconds:.3} s; {low} of {} datagrams at low priority",
            got.bytes,
            low + levels[0]
        );
        Ok(())
    }
}
