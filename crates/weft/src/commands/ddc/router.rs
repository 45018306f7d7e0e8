//! `weft ddc router`.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ddc::live::Site;
use miette::{IntoDiagnostic, WrapErr, miette};
use ports::PortSpec;
use softnic::routing::LiveRouter;
use tokio::signal::unix::{SignalKind, signal};

use super::place::read_site;

/// How long somebody who asks may take to read the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Run one router of a network until Ctrl-C: IPv4 and IPv6 over Data-Driven Connectivity.
///
/// The file names the routers, their addresses and their links. A router's links are interfaces named after its neighbours, its
/// hosts are behind the interface `host`; --port and --local name others. Frames between routers are up to 36 bytes larger
/// than the network's MTU.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weft ddc router examples/ddc/twelve.ddc --name R1 --check\n  \
                        ip netns exec r1 weft ddc router examples/ddc/twelve.ddc --name R1 --port R2=veth:eth3")]
pub(crate) struct Router {
    /// The network file
    file: PathBuf,
    /// Which of its routers
    #[arg(long, value_name = "ROUTER")]
    name: String,
    /// The port of the link to a neighbour, instead of veth:NEIGHBOUR; may be repeated
    #[arg(long, value_name = "NEIGHBOUR=PORT", value_parser = port)]
    port: Vec<(String, PortSpec)>,
    /// The port to its hosts, instead of veth:host
    #[arg(long, value_name = "PORT")]
    local: Option<PortSpec>,
    /// Run in this named network namespace
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Answer whoever connects to this socket with counters, as JSON
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Only look for mistakes
    #[arg(long)]
    check: bool,
}

fn port(text: &str) -> Result<(String, PortSpec), String> {
    let (name, spec) = text.split_once('=').ok_or("NEIGHBOUR=PORT is wanted, such as R2=veth:eth3")?;
    Ok((name.to_owned(), spec.parse().map_err(|error| format!("{error}"))?))
}

impl Router {
    pub(crate) fn run(&self) -> miette::Result<ExitCode> {
        let (_, site) = read_site(&self.file)?;
        let me = site.find(&self.name);
        let me = me.ok_or_else(|| miette!("{}: there is no router `{}`", self.file.display(), self.name))?;
        let links = self.links(&site, me)?;
        let local = self.local(&site, me);
        let shown: Vec<String> = links.iter().chain(&local).map(ToString::to_string).collect();
        if self.check {
            println!("{}: {}", self.name, shown.join(", "));
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(name) = &self.netns {
            let path = host::netns::named(name).into_diagnostic()?;
            let namespace = host::netns::open(&path).into_diagnostic()?;
            host::netns::enter_here(namespace).into_diagnostic()?;
        }
        let router = Arc::new(
            LiveRouter::start(&site, me, &links, local.as_ref()).map_err(|error| miette!("{error}"))?,
        );
        let control = self.control.as_deref().map(listen).transpose()?;
        let watched = router.clone();
        std::thread::spawn(move || {
            let Err(error) = watched.watch();
            eprintln!("interfaces are not watched any more: {error}");
            std::process::exit(1);
        });
        if let Some(listener) = control {
            let answering = router.clone();
            std::thread::spawn(move || answer(&listener, &answering));
        }
        eprintln!("{} forwards; {}", self.name, shown.join(", "));
        wait_for_signal()?;
        if let Some(path) = &self.control {
            // Gone already, or never to be used again.
            let _ = std::fs::remove_file(path);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn links(&self, site: &Site, me: usize) -> miette::Result<Vec<PortSpec>> {
        let neighbours: Vec<&str> =
            site.map.ports(me).iter().map(|port| site.map.name(port.node as usize)).collect();
        if let Some((name, _)) = self.port.iter().find(|(name, _)| !neighbours.contains(&name.as_str())) {
            return Err(miette!("--port {name}: `{}` has no link to a router `{name}`", self.name));
        }
        let spec = |name: &&str| match self.port.iter().find(|(given, _)| given == name) {
            Some((_, spec)) => Ok(spec.clone()),
            None => format!("veth:{name}").parse().map_err(|error| miette!("{error}")),
        };
        neighbours.iter().map(spec).collect()
    }

    /// Where there is room for hosts in one of its prefixes, they are somewhere.
    fn local(&self, site: &Site, me: usize) -> Option<PortSpec> {
        let has_hosts = super::run::has_hosts(&site.routers[me]);
        self.local.clone().or_else(|| has_hosts.then(|| "veth:host".parse().ok()).flatten())
    }
}

fn listen(path: &Path) -> miette::Result<UnixListener> {
    // What a router that was killed has left.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).into_diagnostic().wrap_err_with(|| path.display().to_string())
}

fn answer(listener: &UnixListener, router: &LiveRouter) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Ok(report) = router.report() else { return };
        // Who does not read gets no answer.
        let _ = stream.set_write_timeout(Some(ANSWER_LIMIT));
        let text = serde_json::to_vec(&report).unwrap_or_default();
        let _ = File::from(std::os::fd::OwnedFd::from(stream)).write_all(&text);
    }
}

fn wait_for_signal() -> miette::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
        let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
