//! Where the rooms meet: stores, engine, corridor and transport. The one file that names them all.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretell_engine::config::LaneConfig;
use foretell_engine::{Engine, EngineConfig, EngineError};
use foretell_http::{App, HttpConfig, Listeners};
use foretell_predict::health::{CachedAnswers, Check, Database, Health, StoredModels};
use foretell_predict::key::Pepper;
use foretell_predict::manage::{ManagerParts, OperatorKey};
use foretell_predict::{
    AnswerCache, Books, CacheLimits, Checkpointer, Clock, Evidence, Identity, Limits, Manager,
    PredictError, Predictor, Recorder, Registry, Sessions,
};
use foretell_store::{AuditKey, StoreError, Stores};
use foretell_types::compile::Compiler;
use foretell_types::run::Runner;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::config::governance::{Cost, governance};
use crate::config::issuers::issuers;
use crate::config::units::CacheBackend;
use crate::config::{Cache, Config, Predictions, Sandbox, Server, Uploads};
use crate::folder::DataFolder;
use crate::health::{DiskSpace, MemoryUsage};
use crate::secrets::{Secrets, SecretsError};

/// A server that is ready to serve.
pub struct House {
    app: App,
    engine: Arc<Engine>,
    evidence: Arc<Evidence>,
    checkpointer: Arc<Checkpointer>,
    http: HttpConfig,
    new_operator_key: Option<String>,
    /// Held to the end: the lock on the data folder.
    _folder: DataFolder,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The secrets of the data folder.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error("the engine: {0}")]
    Engine(#[from] EngineError),
    /// The compile worker is this program itself, and the system does not say where that lies.
    #[error("this program's own path, for the compile worker: {0}")]
    Worker(io::Error),
    /// The issuers of tokens: a key of theirs has changed since it was looked at.
    #[error("{0}")]
    Tokens(String),
    /// The operator's key.
    #[error("the operator's key: {0}")]
    OperatorKey(PredictError),
}

impl House {
    /// Opens everything that a server needs.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left half made.
    pub async fn open(config: Config, folder: DataFolder) -> Result<Self, StartError> {
        Self::open_with(config, folder, |engine| engine).await
    }

    /// The same with another runner of predictions in front of the engine, or instead of it; uploads go to the engine all
    /// the same. For benches, which ask what the sandbox costs in an otherwise equal server.
    ///
    /// # Errors
    /// As [`House::open`].
    pub async fn open_with(
        config: Config,
        folder: DataFolder,
        runner: impl FnOnce(Arc<dyn Runner>) -> Arc<dyn Runner>,
    ) -> Result<Self, StartError> {
        let secrets = Secrets::of(folder.path())?;
        let pepper = Pepper::new(&secrets.pepper);
        let audit_key = AuditKey::new(&pepper.derive("audit log"));
        let checkpoint_secret = pepper.derive("audit checkpoints");
        let stores = open_stores(&config, folder.path(), audit_key).await?;
        let recorder = Arc::new(Recorder::new(
            Arc::clone(&stores.recordings),
            Arc::clone(&stores.retention),
            &pepper,
        ));
        let worker = worker_command(&config)?;
        let engine_config = engine_config(
            &config.sandbox,
            &config.uploads,
            worker,
            &secrets,
            folder.uploads(),
        );
        let engine = Engine::new(engine_config, Arc::clone(&stores.blobs))?;
        let limits = limits(&config);
        let cache = cache_of(&config.cache).map(Arc::new);
        let checks = checks(&stores, &config, folder.path(), cache.clone());
        let health = Arc::new(Health::new(checks));

        let registry = Arc::new(Registry::new(Arc::clone(&stores.models)));
        let sessions = Arc::new(Sessions::new(
            Arc::clone(&stores.sessions),
            pepper.clone(),
            Clock::system(),
        ));
        let mut identity = Identity::new(
            Arc::clone(&stores.keys),
            Arc::clone(&stores.tenants),
            Arc::clone(&registry),
            pepper,
            Clock::system(),
        )
        .with_sessions(Arc::clone(&sessions));
        if !config.security.token_issuers.is_empty() {
            let issuers = issuers(&config.security.token_issuers, Clock::system());
            identity = identity.with_issuers(issuers.map_err(StartError::Tokens)?);
        }
        let identity = Arc::new(identity);
        let runner = runner(Arc::clone(&engine) as _);
        let checkpointer = Arc::new(Checkpointer::new(
            Arc::clone(&stores.checkpoints),
            &checkpoint_secret,
            config.audit.checkpoints(),
            Clock::system(),
        ));
        let evidence = Evidence::new(
            Arc::clone(&stores.ledger),
            Arc::clone(&stores.audit),
            recorder,
            config.audit.records(),
            Clock::system(),
        );
        let evidence = Arc::new(evidence.with_checkpoints(Arc::clone(&checkpointer)));
        let books = Arc::new(Books::new(
            Arc::clone(&stores.ledger),
            Arc::clone(&stores.limits),
            Arc::clone(&evidence),
            governance(&config.rate_limiting, &config.quotas, &config.cost),
            Clock::system(),
        ));
        let predictor = Arc::new(Predictor::new(
            Arc::clone(&identity),
            Arc::clone(&registry),
            Arc::clone(&runner),
            cache.clone(),
            Arc::clone(&books),
            &limits,
        ));
        let manager = Arc::new(Manager::new(ManagerParts {
            identity,
            registry,
            tenants: stores.tenants,
            keys: stores.keys,
            users: stores.users,
            sessions: Arc::clone(&sessions),
            models: stores.models,
            audit: stores.audit,
            ledger: stores.ledger,
            limit_store: stores.limits,
            books,
            evidence: Arc::clone(&evidence),
            blobs: stores.blobs,
            cache,
            compiler: Arc::clone(&engine) as Arc<dyn Compiler>,
            runner,
            limits,
            upload_dir: folder.uploads(),
        }));
        let configured = config.security.admin_key.as_ref().map(|key| key.reveal());
        let operator = manager
            .ensure_operator_key(configured)
            .await
            .map_err(StartError::OperatorKey)?;
        Ok(Self {
            app: App {
                predictor,
                manager,
                sessions,
                health,
            },
            engine,
            evidence,
            checkpointer,
            http: http_config(&config.server, &config.cost),
            new_operator_key: match operator {
                OperatorKey::Created(secret) => Some(secret.expose().to_owned()),
                OperatorKey::Configured | OperatorKey::Existing => None,
            },
            _folder: folder,
        })
    }

    /// The operator's key, if this start made one: to be shown once, and not kept.
    pub fn take_new_operator_key(&mut self) -> Option<String> {
        self.new_operator_key.take()
    }

    /// A token with which the first operator who logs in is made, once: to be shown, and not kept. None = there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn setup_token(&self) -> Result<Option<String>, PredictError> {
        let token = self.app.manager.setup_token().await?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    /// Serves until `shutdown` completes, and drains. Guests that have not ended by then are ended.
    ///
    /// # Errors
    /// If a listener cannot be used.
    pub async fn serve(
        self,
        listeners: impl Into<Listeners>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let keeping = tokio::spawn(Arc::clone(&self.evidence).keep());
        let (stop, stopped) = oneshot::channel::<()>();
        let checkpointing = tokio::spawn(self.checkpointer.keep(async {
            let _stopped = stopped.await;
        }));
        let manager = Arc::clone(&self.app.manager);
        let keeping_uses = tokio::spawn(async move { manager.keep_uses().await });
        let manager = Arc::clone(&self.app.manager);
        let sweeping = tokio::spawn(async move { manager.keep_retention().await });
        let served = foretell_http::serve(listeners, self.app, self.http, shutdown).await;
        self.engine.stop();
        // Nobody is answered any more: what is written now is all there is.
        keeping.abort();
        keeping_uses.abort();
        sweeping.abort();
        if let Err(error) = self.evidence.flush().await {
            let cause = error.cause();
            tracing::error!(cause, "the last records of predictions are lost");
        }
        // The last row is there: now the last checkpoint.
        drop(stop);
        if let Err(error) = checkpointing.await {
            tracing::error!(%error, "the last rows of the audit log have no checkpoint");
        }
        let summary = served?;
        tracing::info!(
            connections = summary.connections,
            requests = summary.requests,
            cut_off = summary.cut_off,
            drained_in_ms = u64::try_from(summary.drained_in.as_millis()).unwrap_or(u64::MAX),
            "stopped"
        );
        Ok(())
    }
}

async fn open_stores(
    config: &Config,
    data_dir: &Path,
    audit_key: AuditKey,
) -> Result<Stores, StoreError> {
    let (url, data_dir) = (config.database.url.clone(), data_dir.to_owned());
    let pool_size = config.database.pool_size;
    let opened = tokio::task::spawn_blocking(move || {
        foretell_store::open(url.as_str(), &data_dir, pool_size, audit_key)
    });
    let stores = opened
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))??;
    // What uploads, deletions and tenants left behind when the process ended in their midst.
    let swept = stores.sweep_blobs().await?;
    if swept.removed > 0 {
        tracing::info!(
            removed = swept.removed,
            kept = swept.kept,
            "stored content without owner is removed"
        );
    }
    Ok(stores)
}

/// This program, unless one that embeds the server names another.
fn worker_command(config: &Config) -> Result<Vec<OsString>, StartError> {
    if config.worker_command.is_empty() {
        own_worker_command().map_err(StartError::Worker)
    } else {
        Ok(config.worker_command.clone())
    }
}

/// This program's own `compile-worker`.
///
/// # Errors
/// If the system does not say where this program lies.
pub fn own_worker_command() -> io::Result<Vec<OsString>> {
    Ok(vec![
        std::env::current_exe()?.into(),
        "compile-worker".into(),
    ])
}

fn engine_config(
    sandbox: &Sandbox,
    uploads: &Uploads,
    worker: Vec<OsString>,
    secrets: &Secrets,
    scratch: std::path::PathBuf,
) -> EngineConfig {
    let mut config = EngineConfig::new(worker, secrets.code_mac, scratch);
    config.pool.instances = sandbox.instances;
    config.pool.max_idle = sandbox.instances / 2;
    config.pool.max_memory_bytes = u64::from(sandbox.memory_ceiling_mib) << 20;
    config.pool.total_memory_bytes = sandbox.total_memory.0;
    config.pool.tenant_memory_percent = sandbox.tenant_memory_percent;
    config.loaded.max_versions = sandbox.loaded_versions;
    config.loaded.max_bytes = sandbox.loaded_memory.0;
    let threads = match sandbox.lanes {
        // The engine's own choice, but for pools so small that the two lanes alone would take every instance.
        0 => config
            .lanes
            .threads
            .min(LaneConfig::most_threads(sandbox.instances)),
        threads => threads,
    };
    config.lanes = LaneConfig::of(threads);
    config.structure = config.structure.times(uploads.complexity);
    config.compile.cpu_seconds = uploads.compile_cpu.as_secs();
    config.compile.wall = uploads.compile_wall;
    config.compile.data_bytes = uploads.compile_memory.0;
    if uploads.compile_concurrency > 0 {
        config.compile.workers = uploads.compile_concurrency;
    }
    config.compile.queue = uploads.compile_queue;
    config.compile.per_tenant = uploads.compile_queue.div_ceil(2);
    config
}

fn limits(config: &Config) -> Limits {
    let Config {
        predictions,
        sandbox,
        uploads,
        security,
        ..
    } = config;
    let Predictions {
        max_body,
        max_concurrent,
        max_concurrent_per_tenant,
        max_rows,
        max_rows_ceiling,
    } = predictions;
    Limits {
        max_body_bytes: max_body.0,
        max_concurrent: *max_concurrent,
        max_concurrent_per_tenant: *max_concurrent_per_tenant,
        max_uploads: uploads.max_concurrent,
        max_uploads_per_tenant: uploads.max_concurrent_per_tenant,
        max_plugin_bytes: uploads.max_plugin.0,
        max_artifact_bytes: uploads.max_artifact.0,
        default_max_rows: *max_rows,
        max_rows_ceiling: *max_rows_ceiling,
        default_deadline_ms: sandbox.deadline_ms,
        deadline_ceiling_ms: sandbox.deadline_ceiling_ms,
        default_memory_mib: sandbox.memory_mib,
        memory_ceiling_mib: sandbox.memory_ceiling_mib,
        suspend_after: sandbox.suspend_after,
        suspend_for: sandbox.suspend_for,
        default_key_days: security.key_days,
    }
}

/// The prediction cache, if there is to be one.
fn cache_of(config: &Cache) -> Option<AnswerCache> {
    let Cache {
        enabled,
        backend: CacheBackend::Memory,
        default_ttl,
        max_memory,
    } = *config;
    let limits = CacheLimits {
        max_bytes: max_memory.0,
        ttl: Duration::from_secs(default_ttl),
    };
    enabled.then(|| AnswerCache::new(&limits, Clock::system()))
}

fn http_config(server: &Server, cost: &Cost) -> HttpConfig {
    HttpConfig {
        // Millionths of a dollar, of which a double holds more than anybody asks for a credit.
        usd_per_credit: cost.usd_per_credit.0 as f64 / 1e6,
        max_connections: server.max_connections,
        max_connections_per_address: server.max_connections_per_ip,
        trusted_proxies: server.trusted_proxies.0.clone(),
        header_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        drain_delay: server.drain_delay,
        drain_grace: server.drain_grace,
        ..HttpConfig::default()
    }
}

fn checks(
    stores: &Stores,
    config: &Config,
    data_dir: &Path,
    cache: Option<Arc<AnswerCache>>,
) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(Database(Arc::clone(&stores.probe))),
        Box::new(CachedAnswers(cache)),
        Box::new(StoredModels {
            tenants: Arc::clone(&stores.tenants),
            models: Arc::clone(&stores.models),
            blobs: Arc::clone(&stores.blobs),
        }),
        Box::new(DiskSpace {
            folder: data_dir.to_owned(),
            min_free_bytes: config.health.min_free_disk.0,
        }),
        Box::new(MemoryUsage {
            max_bytes: config.health.max_memory.0,
        }),
    ]
}
