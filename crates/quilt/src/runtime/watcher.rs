//! Lets the dataplane know whose health checks succeed.
//!
//! The init of a container with health checks keeps a file in the deployment's directory of ready marks while they
//! succeed ([`host::Deployment::ready`]). A thread of the dataplane process watches that directory and passes on what
//! changes. So nothing has to run but what carries packets anyhow, and whatever dies, the files say how things stand: a
//! dataplane that was started again reads them all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::ProcessId;
use rustix::fs::inotify;
use softnic::daemon::{Client, DaemonError, Readiness};

use super::store::{Deployment, Role};

/// Pause before anything that failed is tried again, and between looks where changes cannot be waited for.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of changes read at once.
const CHANGES_BYTES: usize = 16 << 10;

/// Starts watching, for as long as the process lives. The dataplane's socket must be there.
pub(super) fn start(deployment: &Deployment) -> io::Result<()> {
    let watcher = Watcher {
        directory: deployment.containers().ready(),
        containers: deployment.containers(),
        socket: deployment.socket(Role::Dataplane),
        told: BTreeMap::new(),
    };
    std::thread::Builder::new().name("health".into()).spawn(move || watcher.run())?;
    Ok(())
}

struct Watcher {
    directory: PathBuf,
    containers: host::Deployment,
    socket: PathBuf,
    /// Who is ready, as far as the dataplane knows.
    told: BTreeMap<String, ProcessId>,
}

impl Watcher {
    fn run(mut self) {
        loop {
            if let Err(error) = self.watch() {
                tracing::debug!("health is watched anew: {error}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Watches until something fails.
    fn watch(&mut self) -> Result<(), WatchError> {
        let mut dataplane = Client::connect(&self.socket)?;
        std::fs::create_dir_all(&self.directory)?;
        // Watched before it is read, so that nothing comes in between.
        let changes = match Changes::of(&self.directory) {
            Ok(changes) => Some(changes),
            Err(error) => {
                // A user may have so many of these (fs.inotify.max_user_instances).
                tracing::warn!("health is looked at now and then, since it cannot be waited for: {error}");
                None
            }
        };
        // What was told before may not have been heard.
        self.tell(&mut dataplane, self.all()?, false)?;
        loop {
            let changed = match &changes {
                Some(changes) => changes.wait()?,
                None => {
                    std::thread::sleep(PAUSE);
                    None
                }
            };
            let names = changed.map_or_else(|| self.all(), Ok)?;
            self.tell(&mut dataplane, names, true)?;
        }
    }

    /// Tells how things stand with these; where what was told was `heard`, only what is different now.
    fn tell(
        &mut self,
        dataplane: &mut Client,
        names: BTreeSet<String>,
        heard: bool,
    ) -> Result<(), WatchError> {
        let mut news = Vec::new();
        for name in names {
            let ready = self.containers.is_ready(&name);
            if heard && ready == self.told.get(&name).copied() {
                continue;
            }
            let ProcessId { pid, start_time } = ready.unwrap_or(ProcessId { pid: 0, start_time: 0 });
            news.push(Readiness { name: name.clone(), pid, start_time, ready: ready.is_some() });
            match ready {
                Some(process) => self.told.insert(name, process),
                None => self.told.remove(&name),
            };
        }
        if news.is_empty() { Ok(()) } else { Ok(dataplane.ready(news)?) }
    }

    /// Everybody who is ready, or was.
    fn all(&self) -> io::Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> = self.told.keys().cloned().collect();
        for entry in std::fs::read_dir(&self.directory)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| is_name(name)));
        }
        Ok(names)
    }
}

/// Drafts of marks begin with a dot.
fn is_name(file: &str) -> bool {
    !file.starts_with('.')
}

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Dataplane(#[from] DaemonError),
}

/// Changes of a directory's entries (inotify(7)).
struct Changes(std::os::fd::OwnedFd);

impl Changes {
    fn of(directory: &Path) -> io::Result<Self> {
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        let what = inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::MOVED_FROM
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(&changes, directory, what)?;
        Ok(Self(changes))
    }

    /// Names that changed; `None` when there were so many that some are not known. An error when the directory is gone.
    fn wait(&self) -> io::Result<Option<BTreeSet<String>>> {
        let mut space = [MaybeUninit::uninit(); CHANGES_BYTES];
        let mut reader = inotify::Reader::new(&self.0, &mut space);
        let mut names = BTreeSet::new();
        loop {
            let event = reader.next()?;
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                return Ok(None);
            }
            if event.events().intersects(inotify::ReadFlags::IGNORED | inotify::ReadFlags::DELETE_SELF) {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
            let name = event.file_name().and_then(|name| name.to_str().ok());
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
            if reader.is_buffer_empty() {
                return Ok(Some(names));
            }
        }
    }
}
