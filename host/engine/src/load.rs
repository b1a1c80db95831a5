//! Loaded versions: from sealed code to something that can be instantiated in microseconds.
//!
//! A version is loaded once, by whoever asks first, off the async threads; the others wait for it. Code that is missing,
//! damaged, or of another engine or CPU is made again from the snapshot, in the worker, and stored. Only so much stays
//! loaded ([`weight`]); the one unused for longest makes room, and is loaded again when it is next asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foretell_types::blob::{BlobId, BlobKind, Blobs};
use foretell_types::compile::CompileError;
use foretell_types::run::RunError;
use foretell_types::{TenantId, VersionDigest};
use tokio::sync::OnceCell;
use wasmtime::component::Component;

use self::weight::{SystemLimits, Weight};
use crate::abi::v0_1::Plugin;
use crate::compile::Compiles;
use crate::config::EngineConfig;
use crate::cost::Cost;
use crate::grants::log::Origin;
use crate::pool::{Idle, Slots};
use crate::seal::{Broken, Owner, Sealer};

mod weight;

/// A version, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) origin: Arc<Origin>,
    pub(crate) plugin: Plugin,
    pub(crate) cost: Cost,
    pub(crate) idle: Idle,
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
    /// When loading failed last, and why: for those who were waiting then.
    failed: Mutex<Option<(Instant, String)>>,
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

    /// The failure of an attempt that was under way when somebody asked at `asked`.
    fn failure_since(&self, asked: Instant) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, cause) = failed.as_ref()?;
        (*when >= asked).then(|| cause.clone())
    }

    fn fail(&self, cause: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = Some((Instant::now(), cause.to_owned()));
    }
}

/// The versions that are loaded or being loaded.
pub(crate) struct Versions {
    entries: DashMap<Key, Arc<Entry>>,
    source: Source,
    bound: Weight,
    patience: Duration,
    start: Instant,
}

/// Where versions come from.
pub(crate) struct Source {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) slots: Arc<Slots>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) compiles: Arc<Compiles>,
}

impl Versions {
    pub(crate) fn new(source: Source, config: &EngineConfig) -> Arc<Self> {
        Arc::new(Self {
            entries: DashMap::new(),
            source,
            bound: Weight::bound(config, &SystemLimits::read()),
            patience: config.loaded.patience,
            start: Instant::now(),
        })
    }

    /// The loaded version; loads it if need be.
    ///
    /// # Errors
    /// [`RunError::Unavailable`]: it is not stored, cannot be made runnable, or is not ready within the patience.
    pub(crate) async fn get(self: &Arc<Self>, key: Key) -> Result<Arc<Loaded>, RunError> {
        let entry = match self.entries.get(&key) {
            Some(entry) => {
                if let Some(loaded) = entry.cell.get() {
                    entry.last_used.store(self.now(), Ordering::Relaxed);
                    return Ok(Arc::clone(loaded));
                }
                Arc::clone(&entry)
            }
            None => Arc::clone(&self.entries.entry(key.clone()).or_default()),
        };
        entry.last_used.store(self.now(), Ordering::Relaxed);
        // A task of its own: a caller who hangs up, or whose patience ends, does not undo the work for the next.
        let (versions, asked) = (Arc::clone(self), Instant::now());
        let loading = tokio::spawn(async move {
            let loaded = entry
                .cell
                .get_or_try_init(async || versions.attempt(&key, &entry, asked).await)
                .await
                .cloned();
            versions.make_room(&key);
            loaded
        });
        match tokio::time::timeout(self.patience, loading).await {
            Ok(Ok(loaded)) => loaded.map_err(RunError::Unavailable),
            Ok(Err(_)) => Err(RunError::Internal("loading the version panicked".into())),
            Err(_) => Err(RunError::Unavailable(
                "it is being compiled; try again in a few seconds".into(),
            )),
        }
    }

    /// Loads the version, unless an attempt that was waited for has just failed: that answer is for all who waited.
    async fn attempt(
        &self,
        key: &Key,
        entry: &Entry,
        asked: Instant,
    ) -> Result<Arc<Loaded>, String> {
        if let Some(cause) = entry.failure_since(asked) {
            return Err(cause);
        }
        let loaded = self.source.load(key).await;
        if let Err(cause) = &loaded {
            tracing::error!(tenant = %key.tenant, version = %key.version, cause, "a version cannot be loaded");
            entry.fail(cause);
        }
        loaded
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

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
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
    async fn load(&self, key: &Key) -> Result<Arc<Loaded>, String> {
        let code = self.read(key, BlobKind::Code).await?;
        if let Some(sealed) = code {
            match self.deserialize(key, sealed).await? {
                Ok(loaded) => return Ok(loaded),
                Err(Broken::OtherEngine) => {
                    tracing::info!(tenant = %key.tenant, version = %key.version, "code of another engine or CPU; compiling again");
                }
                Err(Broken::Seal) => {
                    tracing::warn!(tenant = %key.tenant, version = %key.version, "code without a valid seal; compiling again");
                }
            }
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
        loaded.map_err(|_| "code that was sealed a moment ago is not accepted".to_owned())
    }

    async fn compile_again(&self, key: &Key) -> Result<Vec<u8>, String> {
        let Some(sealed) = self.read(key, BlobKind::Snapshot).await? else {
            return Err(
                "neither its code nor its snapshot is stored; upload the version again".to_owned(),
            );
        };
        let Some(snapshot) = self.sealer.open_snapshot(owner(key), &sealed) else {
            return Err("its snapshot is damaged; upload the version again".to_owned());
        };
        let code =
            self.compiles
                .again(&key.tenant, snapshot)
                .await
                .map_err(|error| match error {
                    CompileError::Busy | CompileError::TenantBusy { .. } => {
                        format!("{error}; try again in a few seconds")
                    }
                    error => error.to_string(),
                })?;
        Ok(self.sealer.seal_code(owner(key), snapshot, &code))
    }

    async fn read(&self, key: &Key, kind: BlobKind) -> Result<Option<Vec<u8>>, String> {
        self.blobs
            .get(&blob(key, kind))
            .await
            .map_err(|error| error.to_string())
    }

    /// Checks the seal and maps the code, on a thread that may block.
    async fn deserialize(
        &self,
        key: &Key,
        sealed: Vec<u8>,
    ) -> Result<Result<Arc<Loaded>, Broken>, String> {
        let (engine, sealer, slots, key) = (
            self.engine.clone(),
            Arc::clone(&self.sealer),
            Arc::clone(&self.slots),
            key.clone(),
        );
        let work = move || match sealer.open_code(owner(&key), &sealed) {
            Ok(code) => link(&engine, slots, &key, code)
                .map(Ok)
                .map_err(|error| format!("{error:#}")),
            Err(broken) => Ok(Err(broken)),
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| "deserializing the version panicked".to_owned())?
    }
}

fn link(
    engine: &wasmtime::Engine,
    slots: Arc<Slots>,
    key: &Key,
    code: &[u8],
) -> wasmtime::Result<Arc<Loaded>> {
    // SAFETY: the bytes are the output of our own compile worker for this very engine: `open_code` has just checked a
    // keyed MAC over them, and they lie in memory that nobody else can change.
    let component = unsafe { Component::deserialize(engine, code) }?;
    // Made now, so that the first prediction does not pay for the memory file.
    component.initialize_copy_on_write_image()?;
    let memories = component
        .resources_required()
        .map_or(0, |required| required.num_memories);
    Ok(Arc::new(Loaded {
        origin: Arc::new(Origin {
            tenant: key.tenant.clone(),
            version: key.version,
        }),
        plugin: Plugin::new(&component)?,
        cost: Cost::default(),
        idle: Idle::new(slots),
        weight: Weight::of(code.len(), memories),
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
