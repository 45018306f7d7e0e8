//! Where a network of routers keeps what it must know: `STATE/ddc/NAME`.
//!
//! ```text
//! network.ddc     the network file
//! record.json     routers and hosts: namespaces, processes
//! R1.sock R1.log  a router's control socket, and what it had to say
//! ```

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::quilt::runtime::Store;
use ddc::live::{FILE_BYTES_MAX, NodeReport, Site};
use host::ProcessId;
use miette::{IntoDiagnostic, LabeledSpan, MietteDiagnostic, NamedSource, Report, WrapErr, miette};
use serde::{Deserialize, Serialize};

use crate::commands::report;

/// How long a router may take to say what it knows.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A network by name.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) directory: PathBuf,
}

/// What runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) routers: Vec<Running>,
    /// Namespaces of hosts.
    pub(super) hosts: Vec<Host>,
}

/// A router.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) process: Option<ProcessId>,
}

/// A host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) router: String,
    pub(super) namespace: String,
    pub(super) addresses: Vec<String>,
}

impl Place {
    pub(super) fn of(name: &str) -> miette::Result<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > 24 || !name.bytes().all(fits) {
            return Err(miette!("`{name}`: the name of a network has 1 to 24 letters, digits or `-`"));
        }
        let state = Store::from_env().map_err(report)?.state().join("ddc");
        Ok(Self { name: name.to_owned(), directory: state.join(name) })
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("network.ddc")
    }

    pub(super) fn socket(&self, router: &str) -> PathBuf {
        self.directory.join(format!("{router}.sock"))
    }

    pub(super) fn log(&self, router: &str) -> PathBuf {
        self.directory.join(format!("{router}.log"))
    }

    /// What runs; `None`: nothing does.
    pub(super) fn read(&self) -> miette::Result<Option<Record>> {
        let path = self.directory.join("record.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).into_diagnostic().map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).into_diagnostic(),
        }
        .wrap_err_with(|| path.display().to_string())
    }

    /// What runs, or what to do where nothing does.
    pub(super) fn expect(&self) -> miette::Result<Record> {
        self.read()?.ok_or_else(|| miette!("no network `{}` runs; `weft ddc run FILE` starts one", self.name))
    }

    pub(super) fn write(&self, record: &Record) -> miette::Result<()> {
        let text = serde_json::to_vec_pretty(record).into_diagnostic()?;
        std::fs::write(self.directory.join("record.json"), text).into_diagnostic()
    }

    /// Asks a router what it knows; `None` where it does not run.
    pub(super) fn ask(&self, router: &str) -> miette::Result<Option<NodeReport>> {
        let Ok(stream) = UnixStream::connect(self.socket(router)) else { return Ok(None) };
        stream.set_read_timeout(Some(ANSWER_LIMIT)).into_diagnostic()?;
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        let answer = read.into_diagnostic().and_then(|_| serde_json::from_slice(&bytes).into_diagnostic());
        answer.map(Some).wrap_err_with(|| format!("{router} answers"))
    }
}

/// Reads a network file; what is wrong is shown at its line.
pub(super) fn read_site(path: &Path) -> miette::Result<(String, Site)> {
    let failed = |error: std::io::Error| miette!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    match Site::parse(&text) {
        Ok(site) => Ok((text, site)),
        Err(error) => {
            let before: usize =
                text.split_inclusive('\n').take(error.line.saturating_sub(1)).map(str::len).sum();
            let line = text[before..].lines().next().unwrap_or_default();
            let label = LabeledSpan::new(Some("here".to_owned()), before, line.len());
            let diagnostic = MietteDiagnostic::new(error.problem.to_string());
            let diagnostic = if error.line > 0 { diagnostic.with_label(label) } else { diagnostic };
            Err(Report::new(diagnostic).with_source_code(NamedSource::new(path.display().to_string(), text)))
        }
    }
}
