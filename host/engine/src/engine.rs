//! The engine as the rest of the house sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use foretell_types::blob::Blobs;
use foretell_types::compile::{CompileError, Compiler, Prepared, Step, Upload};
use foretell_types::run::{RunCall, RunError, RunOutcome, Runner, Usage};
use foretell_types::{TenantId, VersionDigest};
use tokio::sync::{Semaphore, oneshot};

use crate::batch::Waiting;
use crate::budget::{Budget, Kept};
use crate::call::{self, Host, Unanswered};
use crate::compile::Compiles;
use crate::config::LaneConfig;
use crate::cost::{Expected, Kind, Place};
use crate::error::Fault;
use crate::job::{ASIDE_PATIENCE, Caller, Entry, Job, Ran, failed, outcome, overloaded};
use crate::lanes::Lanes;
use crate::load::{Key, Source, Versions};
use crate::pool::Slots;
use crate::seal::{Owner, Sealer};
use crate::ticker::Ticker;
use crate::worker::Walls;
use crate::{EngineConfig, EngineError, setup};

/// Stack of a lane thread beyond what the guest may use: our own frames around it.
const HOST_STACK: usize = 1 << 20;

/// Runs predictions and prepares uploads. One per process.
pub struct Engine {
    host: Arc<Host>,
    versions: Arc<Versions>,
    slots: Arc<Slots>,
    budget: Arc<Budget>,
    lanes: Lanes,
    lane_config: LaneConfig,
    compiles: Arc<Compiles>,
    sealer: Arc<Sealer>,
    reset_method: &'static str,
    fingerprint: String,
}

/// What the engine is doing now, for `/health` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStats {
    /// Versions that are loaded.
    pub loaded_versions: u64,
    /// Bytes of their code and of the images that their instances begin with, as they are counted against the bound.
    pub loaded_bytes: u64,
    /// Open files that they are counted for.
    pub loaded_files: u64,
    /// Memory mappings that they are counted for.
    pub loaded_maps: u64,
    /// Instances in memory, idle ones included.
    pub live_instances: u64,
    /// Bytes that these instances may touch, as they are counted against the budget.
    pub guest_bytes: u64,
    /// Predictions that wait for a lane.
    pub lane_queue: usize,
    /// Uploads that are compiled or wait for it.
    pub compile_queue: usize,
    /// How memory is reset between instances: `pagemap_scan`, or `madvise` on kernels before 6.7 (two to three times
    /// slower).
    pub reset_method: &'static str,
    /// The walls around the compile workers; none before the first worker has told.
    pub walls: Option<Walls>,
}

impl Engine {
    /// Sets the engine up and starts its threads.
    ///
    /// # Errors
    /// [`EngineError`] if a value is out of range or the machine does not grant what the pool reserves.
    pub fn new(config: EngineConfig, blobs: Arc<dyn Blobs>) -> Result<Arc<Self>, EngineError> {
        let (engine, reset_method) = setup::server(&config)?;
        let fingerprint = setup::fingerprint(&engine);
        let sealer = Arc::new(Sealer::new(config.mac_key, fingerprint));
        let fingerprint = setup::shown(&fingerprint);
        let slots = Arc::new(Slots::new(&config.pool, config.lanes.all_threads()));
        let compiles = Arc::new(Compiles::new(&config, fingerprint.clone())?);
        let budget = budget(&config, &engine);
        let source = Source {
            engine: engine.clone(),
            slots: Arc::clone(&slots),
            budget: Arc::clone(&budget),
            sealer: Arc::clone(&sealer),
            blobs,
            compiles: Arc::clone(&compiles),
            places: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
        };
        Ok(Arc::new(Self {
            versions: Versions::new(source, &config),
            lanes: Lanes::start(&config.lanes, config.guest.stack_bytes + HOST_STACK)?,
            host: Arc::new(Host {
                ticker: Ticker::start(&engine)?,
                engine,
                guest: config.guest,
                reuse_calls: config.pool.reuse_calls,
            }),
            lane_config: config.lanes,
            slots,
            budget,
            compiles,
            sealer,
            reset_method,
            fingerprint,
        }))
    }

    /// What the engine is doing now.
    pub fn stats(&self) -> EngineStats {
        let loaded = self.versions.loaded();
        EngineStats {
            loaded_versions: loaded.versions,
            loaded_bytes: loaded.bytes,
            loaded_files: loaded.files,
            loaded_maps: loaded.maps,
            live_instances: self
                .host
                .engine
                .pooling_allocator_metrics()
                .map_or(0, |metrics| metrics.component_instances()),
            guest_bytes: self.budget.used(),
            lane_queue: self.lanes.waiting(),
            compile_queue: self.compiles.in_hand(),
            reset_method: self.reset_method,
            walls: self.compiles.walls(),
        }
    }

    /// Starts a compile worker that does nothing, and says which walls stand around it: what an upload would find.
    ///
    /// # Errors
    /// [`CompileError::Worker`] if no worker can be started, or it is not one of this engine.
    pub async fn meet_worker(&self, tenant: &TenantId) -> Result<Walls, CompileError> {
        self.compiles.meet(tenant).await
    }

    /// Ends every guest within a few milliseconds, and runs none from now on: their callers hear that the server stops.
    /// For the end of a drain, when whoever wanted an answer has had time to get it. Dropping the engine does the same.
    pub fn stop(&self) {
        self.budget.close();
    }

    /// The compatibility hash of engine, settings and CPU, in hexadecimal: code of another one is compiled again.
    pub fn describe_engine(&self) -> String {
        self.fingerprint.clone()
    }

    /// What a [`crate::testkit::Probe`] is made of.
    #[cfg(feature = "testkit")]
    pub(crate) async fn parts(
        &self,
        key: Key,
    ) -> Result<(Arc<Host>, Arc<crate::load::Loaded>), RunError> {
        Ok((Arc::clone(&self.host), self.versions.get(key).await?))
    }

    /// In place, within the inline budget, from `began` on.
    // Reading the clock takes 40 ns, a warm call less than a microsecond: it is read where something was waited for, and
    // at the end.
    async fn run_inline(&self, job: Job, began: Instant) -> Ran {
        let (slot, started) = match self.slots.try_acquire() {
            Some(slot) => (slot, began),
            None => match Box::pin(self.slots.wait(self.lane_config.queue_deadline)).await {
                Some(slot) => (slot, Instant::now()),
                None => return Ran::Done(overloaded(began.elapsed())),
            },
        };
        let queued = started.saturating_duration_since(began);
        let budget = self.lane_config.inline_budget.min(job.limits.deadline);
        let result = job.predict(&self.host, &(started + budget).into(), Some(slot));
        let compute = started.elapsed();
        match result {
            Err(Unanswered::Starved { bytes, .. }) => return Ran::Starved(job, bytes),
            // Guests are pure, so it can be run again.
            Err(Unanswered::Fault(Fault::Interrupted)) if budget < job.limits.deadline => {
                let expected = job.loaded.cost.overran(job.bytes, compute);
                return Ran::Overran(job, expected);
            }
            // What was cut short by its caller says nothing about what it costs.
            Err(Unanswered::Fault(Fault::Interrupted)) if job.is_hurried => {}
            _ => job
                .loaded
                .cost
                .record(job.bytes, compute, &self.lane_config),
        }
        Ran::Done(outcome(result, &job.limits, Usage::alone(queued, compute)))
    }

    /// On a lane, alone or with others. Leaves the queue when the patience ends, or when the caller hangs up; what has begun alone
    /// then ends at the next tick.
    async fn run_on_lane(&self, job: Job, expected: Expected) -> Ran {
        let began = Instant::now();
        let (answer, mut answered) = oneshot::channel();
        let (host, config) = (Arc::clone(&self.host), self.lane_config.clone());
        let (loaded, priority, caller) = (Arc::clone(&job.loaded), job.priority, Caller::default());
        let (is_aside, is_back) = (expected.kind == Kind::Aside, job.is_back);
        let waiting = Waiting {
            job,
            expected,
            answer,
            gone: Arc::clone(&caller.gone),
            since: began,
            span: tracing::Span::current(),
        };
        let entry = Entry::of(Arc::clone(&loaded), waiting);
        let number = entry.number();
        let work = Box::new(move |_: Duration| entry.run(&host, &config));
        let submitted = if is_back {
            self.lanes.readmit(&loaded.origin, expected, priority, work)
        } else {
            self.lanes.submit(&loaded.origin, expected, priority, work)
        };
        let Ok(_ticket) = submitted else {
            return Ran::Done(overloaded(began.elapsed()));
        };
        let lost = || {
            let error = RunError::Internal("the lane dropped the prediction".into());
            Ran::Done(failed(error, began.elapsed()))
        };
        let patience = self.lane_config.queue_deadline;
        let patience = if is_aside { ASIDE_PATIENCE } else { patience };
        let ran = match tokio::time::timeout(patience, &mut answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| lost()),
            Err(_) if loaded.batches.take(number).is_some() => {
                Ran::Done(overloaded(began.elapsed()))
            }
            Err(_) => answered.await.unwrap_or_else(|_| lost()),
        };
        drop(caller);
        ran
    }
}

impl Drop for Engine {
    /// The lanes are joined next, and would otherwise wait for every guest's deadline.
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl Runner for Engine {
    async fn run(&self, call: RunCall) -> RunOutcome {
        let RunCall {
            tenant,
            version,
            inputs,
            limits,
            is_hurried,
            priority,
            joins,
            is_aside,
            begun,
        } = call;
        if self.budget.is_closed() {
            return failed(call::stopped(), Duration::ZERO);
        }
        let (key, asked) = (Key { tenant, version }, Instant::now());
        let (loaded, mut began) = match self.versions.find(&key, asked) {
            Some(loaded) => (loaded, asked),
            // What waits is boxed: what does not, which is nearly everything, would carry the room for it.
            None => match Box::pin(self.versions.get(key)).await {
                Ok(loaded) => (loaded, Instant::now()),
                Err(error) => return failed(error, asked.elapsed()),
            },
        };
        let bytes = inputs
            .inputs()
            .iter()
            .map(|tensor| tensor.elements().byte_len())
            .sum();
        let patience = began + self.lane_config.queue_deadline;
        let mut place = if is_aside {
            Place::Lane(loaded.cost.aside(bytes))
        } else {
            loaded.cost.place(bytes)
        };
        let mut job = Job {
            loaded,
            inputs,
            limits,
            is_hurried,
            priority,
            joins,
            begun,
            is_back: false,
            bytes,
        };
        loop {
            let ran = match place {
                Place::Inline => self.run_inline(job, began).await,
                Place::Lane(expected) => Box::pin(self.run_on_lane(job, expected)).await,
            };
            match ran {
                Ran::Done(outcome) => return outcome,
                Ran::Overran(back, expected) | Ran::Alone(back, expected) => {
                    (job, place) = (back, Place::Lane(expected));
                }
                Ran::Starved(back, needs) => {
                    let share = &back.loaded.share;
                    let patience = patience.into();
                    let room = share.wait(needs, back.limits.memory_bytes, patience);
                    if !Box::pin(room).await {
                        return if share.is_closed() {
                            failed(call::stopped(), asked.elapsed())
                        } else {
                            overloaded(asked.elapsed())
                        };
                    }
                    (job, began) = (back, Instant::now());
                }
            }
        }
    }

    fn refused(&self, tenant: &TenantId) {
        self.lanes.strain(tenant);
    }

    async fn load(&self, tenant: &TenantId, version: &VersionDigest) -> Result<(), RunError> {
        let key = Key {
            tenant: tenant.clone(),
            version: *version,
        };
        self.versions.get(key).await.map(drop)
    }

    fn forget(&self, tenant: &TenantId, version: &VersionDigest) {
        self.versions.forget(&Key {
            tenant: tenant.clone(),
            version: *version,
        });
    }
}

#[async_trait]
impl Compiler for Engine {
    async fn prepare(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError> {
        let made = self.compiles.prepare(upload, progress).await?;
        let (sealer, tenant, version) = (
            Arc::clone(&self.sealer),
            upload.tenant.clone(),
            upload.version,
        );
        self.versions.forgive(&Key {
            tenant: upload.tenant.clone(),
            version: upload.version,
        });
        // Hashing hundreds of megabytes is no work for an async thread.
        tokio::task::spawn_blocking(move || {
            let owner = Owner {
                tenant: &tenant,
                version: &version,
            };
            let code = sealer.seal_code(owner, &made.snapshot, &made.code);
            Prepared {
                signature: made.signature,
                snapshot: sealer.seal_snapshot(owner, made.snapshot),
                code,
            }
        })
        .await
        .map_err(|_| CompileError::Worker("sealing the version panicked".into()))
    }
}

/// Memory of all guests. Tables that places keep are not counted: they are a few pages each.
fn budget(config: &EngineConfig, engine: &wasmtime::Engine) -> Arc<Budget> {
    let (pool, engine) = (&config.pool, engine.clone());
    let kept = Kept {
        at_most: pool.kept_bytes() * u64::from(pool.instances),
        now: Box::new(move || {
            let metrics = engine.pooling_allocator_metrics();
            metrics.map_or(0, |metrics| metrics.unused_memory_bytes_resident() as u64)
        }),
    };
    Budget::new(pool.total_memory_bytes, pool.tenant_memory_percent, kept)
}
