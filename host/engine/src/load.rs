//! Loaded versions: from sealed code to something that can be instantiated in microseconds.
//!
//! A version is loaded once, by whoever asks first, off the async threads; the others wait for it. Code that is missing,
//! damaged, or of another engine or CPU is made again from the snapshot, in the worker, and stored. Only so much stays
//! loaded ([`weight`]); the one unused for longest makes room, and is loaded again when it is next asked for. What cannot
//! be loaded is left alone for a while ([`failures`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foretell_types::blob::{BlobId, BlobKind, Blobs};
use foretell_types::compile::CompileError;
use foretell_types::run::RunError;
use foretell_types::{TenantId, VersionDigest};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::Component;

use self::failures::{Failures, LoadError};
use self::weight::{SystemLimits, Weight};
use crate::abi::v0_1::Plugin;
use crate::batch::Batches;
use crate::budget::{Budget, Share};
use crate::compile::Compiles;
use crate::config::{EngineConfig, LoadedConfig};
use crate::cost::Cost;
use crate::grants::log::Origin;
use crate::pieces::Pieces;
use crate::pool::{Idle, Slots};
use crate::seal::{Broken, Owner, Sealer};
use crate::wear::Wear;

mod failures;
mod sealed;
mod weight;

/// When to ask again for a version that is being loaded.
const SOON: Duration = Duration::from_secs(2);

/// A version, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) origin: Arc<Origin>,
    pub(crate) plugin: Plugin,
    pub(crate) cost: Cost,
    /// What waits for a thread.
    pub(crate) batches: Batches,
    pub(crate) idle: Idle,
    pub(crate) wear: Wear,
    /// The part of its tenant of what guests may have together.
    pub(crate) share: Arc<Share>,
    weight: Weight,
}

/// A version's digest says what it is, the tenant whose it is: two tenants never share an instance, nor code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: TenantId,
    pub(crate) version: VersionDigest,
}

#[derive(Default)]
struct Entry {
    cell: OnceCell<Arc<Loaded>>,
    /// Milliseconds since the engine's start.
    last_used: AtomicU64,
    failures: Failures,
}

impl Entry {
    fn weight(&self) -> Weight {
        match self.cell.get() {
            Some(loaded) => loaded.weight,
            None => Weight::of_a_name(),
        }
    }

    /// Whether nobody loads or runs the version. Dropping what is in use would free nothing.
    fn is_idle(self: &Arc<Self>) -> bool {
        let loaded = self.cell.get();
        Arc::strong_count(self) == 1 && loaded.is_none_or(|loaded| Arc::strong_count(loaded) == 1)
    }
}

/// The versions that are loaded or being loaded.
pub(crate) struct Versions {
    entries: DashMap<Key, Arc<Entry>>,
    source: Source,
    bound: Weight,
    config: LoadedConfig,
    start: Instant,
}

/// Where versions come from.
pub(crate) struct Source {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) slots: Arc<Slots>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) compiles: Arc<Compiles>,
    /// Versions that are read and mapped at once: each is held in memory meanwhile, and takes a processor.
    pub(crate) places: Semaphore,
}

impl Versions {
    pub(crate) fn new(source: Source, config: &EngineConfig) -> Arc<Self> {
        Arc::new(Self {
            entries: DashMap::new(),
            source,
            bound: Weight::bound(config, &SystemLimits::read()),
            config: config.loaded.clone(),
            start: Instant::now(),
        })
    }

    /// The version, if it is loaded: nearly always, so nothing is waited for and nothing is copied.
    pub(crate) fn find(&self, key: &Key, now: Instant) -> Option<Arc<Loaded>> {
        let entry = self.entries.get(key)?;
        let loaded = entry.cell.get()?;
        let now = self.age(now);
        // Written once in a millisecond: all cores read this line at every call.
        if entry.last_used.load(Ordering::Relaxed) != now {
            entry.last_used.store(now, Ordering::Relaxed);
        }
        Some(Arc::clone(loaded))
    }

    /// The loaded version; loads it if need be.
    ///
    /// # Errors
    /// [`RunError::Unavailable`]: it is not stored, cannot be made runnable, or is not ready within the patience. After a
    /// failure so answered at once, until the pause is over.
    pub(crate) async fn get(self: &Arc<Self>, key: Key) -> Result<Arc<Loaded>, RunError> {
        let now = Instant::now();
        if let Some(loaded) = self.find(&key, now) {
            return Ok(loaded);
        }
        let entry = Arc::clone(&self.entries.entry(key.clone()).or_default());
        entry.last_used.store(self.age(now), Ordering::Relaxed);
        if let Some(pause) = entry.failures.pause(now) {
            return Err(pause);
        }
        // A task of its own: a caller who hangs up, or whose patience ends, does not undo the work for the next.
        let versions = Arc::clone(self);
        let loading = tokio::spawn(async move {
            let loaded = entry
                .cell
                .get_or_try_init(async || versions.attempt(&key, &entry).await)
                .await
                .cloned();
            versions.make_room(&key);
            loaded
        });
        match tokio::time::timeout(self.config.patience, loading).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(RunError::Internal("loading the version panicked".into())),
            Err(_) => Err(RunError::Unavailable {
                cause: "it is being compiled".into(),
                retry_after: SOON,
            }),
        }
    }

    /// Loads the version, unless an attempt that was waited for has just failed: that answer is for all who waited.
    async fn attempt(&self, key: &Key, entry: &Entry) -> Result<Arc<Loaded>, RunError> {
        if let Some(pause) = entry.failures.pause(Instant::now()) {
            return Err(pause);
        }
        self.source.load(key).await.map_err(|error| {
            match &error {
                LoadError::Busy(cause) => {
                    tracing::warn!(tenant = %key.tenant, version = %key.version, cause, "a version cannot be loaded now");
                }
                LoadError::Failed(cause) => {
                    tracing::error!(tenant = %key.tenant, version = %key.version, cause, "a version cannot be loaded");
                }
            }
            entry.failures.note(error, &self.config, Instant::now())
        })
    }

    /// Forgets that a version could not be loaded: it has just been made again.
    pub(crate) fn forgive(&self, key: &Key) {
        self.entries
            .remove_if(key, |_, entry| !entry.cell.initialized());
    }

    /// Forgets a version; calls that are running end in peace.
    pub(crate) fn forget(&self, key: &Key) {
        self.entries.remove(key);
    }

    /// What all that are loaded hold.
    pub(crate) fn loaded(&self) -> Weight {
        let mut total = Weight::default();
        for entry in self.entries.iter() {
            if let Some(loaded) = entry.cell.get() {
                total += loaded.weight;
            }
        }
        total
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.start);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// Drops the versions unused for longest until the bound holds; never the one that has just come, and none in use.
    fn make_room(&self, newest: &Key) {
        let (mut total, mut idle) = (Weight::default(), Vec::new());
        for entry in self.entries.iter() {
            total += entry.weight();
            if entry.key() != newest && entry.is_idle() {
                let last_used = entry.last_used.load(Ordering::Relaxed);
                idle.push((last_used, entry.key().clone()));
            }
        }
        if total.fits(&self.bound) {
            return;
        }
        idle.sort_unstable_by_key(|(last_used, _)| *last_used);
        let mut dropped = Vec::new();
        for (_, key) in idle {
            if total.fits(&self.bound) {
                break;
            }
            if let Some((_, entry)) = self.entries.remove_if(&key, |_, entry| entry.is_idle()) {
                total -= entry.weight();
                dropped.push(entry);
            }
        }
        // Unmapping gigabytes is no work for an async thread.
        tokio::task::spawn_blocking(move || drop(dropped));
    }
}

impl Source {
    async fn load(&self, key: &Key) -> Result<Arc<Loaded>, LoadError> {
        match self.stored(key).await? {
            Some(Ok(loaded)) => return Ok(loaded),
            Some(Err(Broken::OtherEngine)) => {
                tracing::info!(tenant = %key.tenant, version = %key.version, "code of another engine or CPU; compiling again");
            }
            Some(Err(Broken::Seal)) => {
                tracing::warn!(tenant = %key.tenant, version = %key.version, "code without a valid seal; compiling again");
            }
            None => {}
        }
        let sealed = self.compile_again(key).await?;
        let stored = self
            .blobs
            .put(&blob(key, BlobKind::Code), sealed.clone())
            .await;
        if let Err(error) = stored {
            // Serving goes on: the code is good, only the next start will be slower.
            tracing::error!(tenant = %key.tenant, version = %key.version, %error, "recompiled code cannot be stored");
        }
        let loaded = self.deserialize(key, sealed).await?;
        loaded.map_err(|_| failed("code that was sealed a moment ago is not accepted"))
    }

    /// The version from its stored code, if there is any.
    async fn stored(&self, key: &Key) -> Result<Option<Result<Arc<Loaded>, Broken>>, LoadError> {
        // It is never closed. Whoever compiles holds no place: that takes seconds, and has a queue of its own.
        let _place = self.places.acquire().await;
        match self.read(key, BlobKind::Code).await? {
            Some(sealed) => self.deserialize(key, sealed).await.map(Some),
            None => Ok(None),
        }
    }

    async fn compile_again(&self, key: &Key) -> Result<Vec<u8>, LoadError> {
        let Some(sealed) = self.read(key, BlobKind::Snapshot).await? else {
            return Err(failed(
                "neither its code nor its snapshot is stored; upload the version again",
            ));
        };
        // Hashing hundreds of megabytes is no work for an async thread.
        let (sealer, of) = (Arc::clone(&self.sealer), key.clone());
        let opened = apart(move || {
            let mut snapshot = sealed;
            let len = sealer.open_snapshot(owner(&of), &snapshot)?.len();
            snapshot.truncate(len);
            Some(snapshot)
        });
        let Some(snapshot) = opened.await? else {
            return Err(failed("its snapshot is damaged; upload the version again"));
        };
        let code =
            self.compiles
                .again(&key.tenant, &snapshot)
                .await
                .map_err(|error| match error {
                    CompileError::Busy | CompileError::TenantBusy { .. } => {
                        LoadError::Busy(error.to_string())
                    }
                    CompileError::Refused(_)
                    | CompileError::Changed(_)
                    | CompileError::Worker(_) => LoadError::Failed(error.to_string()),
                })?;
        let (sealer, of) = (Arc::clone(&self.sealer), key.clone());
        apart(move || sealer.seal_code(owner(&of), &snapshot, &code)).await
    }

    async fn read(&self, key: &Key, kind: BlobKind) -> Result<Option<Vec<u8>>, LoadError> {
        let blob = self.blobs.get(&blob(key, kind)).await;
        blob.map_err(|error| LoadError::Failed(error.to_string()))
    }

    /// Checks the seal and maps the code, on a thread that may block.
    async fn deserialize(
        &self,
        key: &Key,
        sealed: Vec<u8>,
    ) -> Result<Result<Arc<Loaded>, Broken>, LoadError> {
        let (engine, sealer, slots, share, key) = (
            self.engine.clone(),
            Arc::clone(&self.sealer),
            Arc::clone(&self.slots),
            self.budget.share(&key.tenant),
            key.clone(),
        );
        let work = move || match sealer.open_code(owner(&key), &sealed) {
            Ok(code) => link(&engine, slots, share, &key, &code)
                .map(Ok)
                .map_err(|error| LoadError::Failed(format!("{error:#}"))),
            Err(broken) => Ok(Err(broken)),
        };
        apart(work).await?
    }
}

/// Work on a thread that may block.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| failed("loading the version panicked"))
}

fn failed(cause: &str) -> LoadError {
    LoadError::Failed(cause.to_owned())
}

fn link(
    engine: &wasmtime::Engine,
    slots: Arc<Slots>,
    share: Arc<Share>,
    key: &Key,
    code: &Pieces<'_>,
) -> wasmtime::Result<Arc<Loaded>> {
    // SAFETY: the bytes are the output of our own compile worker for this very engine: `open_code` has just checked a
    // keyed MAC over them, and they lie in memory that nobody else can change.
    let mapped = unsafe { sealed::component(engine, code) };
    let is_mapped = mapped.is_ok();
    let component = mapped.or_else(|error| {
        tracing::debug!(%error, "code is copied, because it cannot be mapped");
        // SAFETY: as above.
        unsafe { Component::deserialize(engine, code.whole()) }
    })?;
    // Made now, so that the first prediction does not pay for it.
    component.initialize_copy_on_write_image()?;
    let memories = component
        .resources_required()
        .map_or(0, |required| required.num_memories);
    let origin = Arc::new(Origin {
        tenant: key.tenant.clone(),
        version: key.version,
    });
    Ok(Arc::new(Loaded {
        plugin: Plugin::new(&component)?,
        cost: Cost::default(),
        batches: Batches::default(),
        idle: Idle::new(slots, Arc::clone(&origin)),
        origin,
        wear: Wear::default(),
        share,
        // Its holes too: a page of one takes memory from when a guest first reads it.
        weight: Weight::of(code.len(), memories, is_mapped),
    }))
}

const fn owner(key: &Key) -> Owner<'_> {
    Owner {
        tenant: &key.tenant,
        version: &key.version,
    }
}

fn blob(key: &Key, kind: BlobKind) -> BlobId {
    BlobId {
        tenant: key.tenant.clone(),
        kind,
        digest: key.version.0,
    }
}
