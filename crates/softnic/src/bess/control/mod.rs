//! What each request does: the state of a BESS daemon over an engine.

mod classes;
mod gates;
mod hooks;
mod modules;
mod ports;
mod trace;
mod workers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use packet::{Pool, PoolConfig, PoolError, ROOM};
use tokio::sync::Notify;

pub(in crate::bess) use self::classes::traffic_class;
pub(crate) use self::ports::Ports;
use super::saving::Journal;
use super::{Failure, Flavour, pb};
use crate::engine::Engine;

/// How a daemon is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which line of clients is served.
    pub flavour: Flavour,
    /// Packet buffers.
    pub buffers: usize,
    /// Bytes of each: [`packet::ROOM`], or [`packet::ROOM_GSO`] for ports that hand over large segments whole.
    pub room: usize,
    /// The core of the worker that is started when the client starts none.
    pub core: usize,
    /// What hashes are keyed with and random modules draw from.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { flavour: Flavour::default(), buffers: 1 << 15, room: ROOM, core: 0, seed: 1 }
    }
}

/// A BESS daemon without its server: every request is a method.
///
/// All may be called from any thread; they take turns.
pub struct Bess {
    engine: Engine,
    pool: Pool,
    config: Config,
    state: Mutex<State>,
    minder: Minder,
    /// Rung by `KillBess`.
    over: Notify,
    /// Where requests are written down that change something. Who has it locked makes the only change.
    journal: Mutex<Option<Journal>>,
}

#[derive(Default)]
pub(in crate::bess) struct State {
    pub(in crate::bess) modules: BTreeMap<String, modules::Built>,
    pub(in crate::bess) ports: Ports,
    pub(in crate::bess) workers: workers::Workers,
    pub(in crate::bess) hooks: hooks::Hooks,
    /// How many modules have been built, for their seeds.
    pub(in crate::bess) built: u64,
}

impl Bess {
    /// Starts without modules, ports and workers.
    ///
    /// # Errors
    /// When memory for packets, or a thread, is not to be had.
    pub fn start(config: Config) -> Result<Arc<Self>, Failure> {
        let pool =
            Pool::new(PoolConfig { buffers: config.buffers, room: config.room, ..PoolConfig::default() })
                .map_err(|error: PoolError| Failure::no_memory(error.to_string()))?;
        let bess = Arc::new(Self {
            engine: Engine::new(),
            pool,
            config,
            state: Mutex::new(State::default()),
            minder: Minder::default(),
            over: Notify::new(),
            journal: Mutex::default(),
        });
        bess.start_nursery()?;
        Minder::start(&bess).map_err(|error| Failure::no_memory(format!("a thread: {error}")))?;
        Ok(bess)
    }

    /// The engine that carries it all.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns once a client has asked for the end.
    pub async fn over(&self) {
        self.over.notified().await;
    }

    /// How it was set up.
    pub(in crate::bess) fn config(&self) -> &Config {
        &self.config
    }

    pub(in crate::bess) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a request is an answer of its own; what it left half done, ResetAll clears.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::bess) fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        // A panic while it is written leaves a file whose end is seen to be wrong.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_version(&self, _: &pb::EmptyRequest) -> Result<pb::VersionResponse, Failure> {
        let version = format!("weft {}", env!("CARGO_PKG_VERSION"));
        Ok(pb::VersionResponse { error: None, version })
    }

    pub(crate) fn reset_all(&self, empty: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        self.reset_modules(empty)?;
        self.reset_ports(empty)?;
        self.reset_tcs(empty)?;
        self.reset_workers(empty)
    }

    pub(crate) fn kill_bess(&self, _: &pb::EmptyRequest) -> Result<pb::EmptyResponse, Failure> {
        tracing::info!("a client asks for the end");
        self.over.notify_one();
        Ok(pb::EmptyResponse::default())
    }

    pub(crate) fn import_plugin(
        &self,
        request: &pb::ImportPluginRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        Err(Failure::unsupported(format!(
            "{}: shared libraries are not loaded; a module of your own is a Rust file (see the room's README)",
            request.path
        )))
    }

    pub(crate) fn unload_plugin(
        &self,
        request: &pb::UnloadPluginRequest,
    ) -> Result<pb::EmptyResponse, Failure> {
        Err(Failure::not_found(format!("no plugin '{}' is loaded", request.path)))
    }

    pub(crate) fn list_plugins(&self, _: &pb::EmptyRequest) -> Result<pb::ListPluginsResponse, Failure> {
        Ok(pb::ListPluginsResponse::default())
    }

    pub(crate) fn dump_mempool(
        &self,
        request: &pb::DumpMempoolRequest,
    ) -> Result<pb::DumpMempoolResponse, Failure> {
        // There is one pool, on socket 0.
        if request.socket > 0 {
            return Ok(pb::DumpMempoolResponse::default());
        }
        let pool = self.pool.clone();
        let kept: usize = self.engine.ask_threads(move || pool.kept_here()).into_iter().sum();
        // What moves between two counts must not make more of it than there is.
        let (all, home) = (self.pool.capacity() as u32, (self.pool.available() + kept) as u32);
        let free = home.min(all);
        let element = (self.pool.room() + packet::METADATA) as u32;
        let dump = pb::MempoolDump {
            socket: 0,
            initialized: true,
            mp_size: all,
            mp_cache_size: 0,
            mp_element_size: element,
            mp_populated_size: all,
            mp_available_count: free,
            mp_in_use_count: all.saturating_sub(free),
            ring_count: free,
            ring_free_count: all.saturating_sub(free),
            ring_bytes: u64::from(all) * u64::from(element),
        };
        Ok(pb::DumpMempoolResponse { error: None, dumps: vec![dump] })
    }
}

/// Seconds since 1970, as the clients' timestamps have it.
fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Sees to sockets from which nobody receives yet, so that a client can connect before there is a module.
#[derive(Default)]
struct Minder {
    thread: Mutex<Option<std::thread::Thread>>,
}

impl Minder {
    /// How often sockets are looked at.
    const EVERY: Duration = Duration::from_millis(1);

    fn start(bess: &Arc<Bess>) -> std::io::Result<()> {
        let weak: Weak<Bess> = Arc::downgrade(bess);
        let thread = std::thread::Builder::new().name("minder".into()).spawn(move || {
            while let Some(bess) = weak.upgrade() {
                let idle = {
                    let mut state = bess.lock();
                    state.ports.tend();
                    state.ports.is_empty()
                };
                drop(bess);
                if idle {
                    std::thread::park_timeout(Duration::from_secs(1));
                } else {
                    std::thread::sleep(Self::EVERY);
                }
            }
        })?;
        *bess.minder.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
        Ok(())
    }

    /// There may be something to see to.
    fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}
