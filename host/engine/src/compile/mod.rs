//! The server's side of the compile worker: a bounded queue, so many workers at once, and what becomes of each.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use foretell_types::compile::{CompileError, Part, Refusal, Step, Upload};
use foretell_types::{Digest, Signature, TenantId};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use self::queue::{Place, Queue};
use self::supervise::{Answer, Supervised};
use crate::admission;
use crate::config::{CompileLimits, EngineConfig, GuestLimits, StructureLimits};
use crate::worker::Walls;
use crate::worker::protocol::{Request, Source, WireSetting, Work};

mod death;
mod queue;
mod supervise;

/// Runs uploads through workers.
pub(crate) struct Compiles {
    command: Vec<OsString>,
    scratch: PathBuf,
    limits: CompileLimits,
    guest: GuestLimits,
    structure: StructureLimits,
    dense_image_bytes: u64,
    /// The server's: workers of another engine are of no use.
    fingerprint: String,
    /// What the first worker has said; the kernel does not change.
    walls: Arc<OnceLock<Walls>>,
    queue: Arc<Queue>,
}

/// What a worker has made of an upload, not yet sealed.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) signature: Signature,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) code: Vec<u8>,
}

/// Tells the supervisor that nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Compiles {
    /// # Errors
    /// The scratch folder cannot be made.
    pub(crate) fn new(config: &EngineConfig, fingerprint: String) -> io::Result<Self> {
        std::fs::create_dir_all(&config.scratch_dir)?;
        Ok(Self {
            command: config.worker_command.clone(),
            scratch: config.scratch_dir.clone(),
            queue: Queue::new(&config.compile),
            limits: config.compile.clone(),
            guest: config.guest.clone(),
            structure: config.structure.clone(),
            dense_image_bytes: config.pool.dense_image_bytes,
            fingerprint,
            walls: Arc::default(),
        })
    }

    /// How many uploads are compiled or wait for it.
    pub(crate) fn in_hand(&self) -> usize {
        self.queue.in_hand()
    }

    /// The walls around the workers, once one has told.
    pub(crate) fn walls(&self) -> Option<Walls> {
        self.walls.get().copied()
    }

    /// Has a worker do nothing but tell its walls.
    pub(crate) async fn meet(&self, tenant: &TenantId) -> Result<Walls, CompileError> {
        self.work(tenant, Work::Greet, &|_| ()).await?;
        self.walls()
            .ok_or_else(|| CompileError::Worker("it ended without a word".into()))
    }

    /// All steps on one upload.
    pub(crate) async fn prepare(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Made, CompileError> {
        // What is no WebAssembly at all does not wait in line to be told so.
        sniff(upload.plugin.file.clone()).await?;
        let work = Work::Prepare {
            plugin: Source::from(&upload.plugin),
            artifact: upload.artifact.as_ref().map(Source::from),
            settings: upload.settings.iter().map(WireSetting::from).collect(),
            memory_bytes: upload.memory_bytes,
        };
        let answer = self.work(&upload.tenant, work, progress).await?;
        let Answer {
            signature: Some(signature),
            snapshot: Some(snapshot),
            code: Some(code),
        } = answer
        else {
            return Err(CompileError::Worker(
                "it ended without the whole answer".into(),
            ));
        };
        Ok(Made {
            signature: *signature,
            snapshot,
            code,
        })
    }

    /// Machine code for a snapshot.
    pub(crate) async fn again(
        &self,
        tenant: &TenantId,
        snapshot: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        // Its turn first: those that wait in line hold neither a copy in memory nor one on the disk.
        let place = self.queue.enter(tenant).await?;
        let (scratch, bytes) = (self.scratch.clone(), snapshot.to_vec());
        let (file, digest) = blocking(move || {
            let mut file = tempfile::NamedTempFile::new_in(scratch)?;
            io::Write::write_all(&mut file, &bytes)?;
            Ok((file, Digest::from_bytes(Sha256::digest(&bytes).into())))
        })
        .await?;
        let part = Part {
            file: file.path().to_owned(),
            digest,
        };
        let work = Work::Recompile {
            snapshot: Source::from(&part),
        };
        let answer = self.work_at(place, tenant, work, &|_| ()).await?;
        answer
            .code
            .ok_or_else(|| CompileError::Worker("it ended without an answer".into()))
    }

    async fn work(
        &self,
        tenant: &TenantId,
        work: Work,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Answer, CompileError> {
        let place = self.queue.enter(tenant).await?;
        self.work_at(place, tenant, work, progress).await
    }

    /// What is done once it is its turn.
    async fn work_at(
        &self,
        place: Place,
        tenant: &TenantId,
        work: Work,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Answer, CompileError> {
        let request = Request {
            work,
            compile: self.limits.clone(),
            guest: self.guest.clone(),
            structure: self.structure.clone(),
            dense_image_bytes: self.dense_image_bytes,
            parent: std::process::id(),
        };
        let cancelled = CancelOnDrop(Arc::default());
        let (steps, mut begun) = mpsc::unbounded_channel();
        let (answer, answered) = oneshot::channel();
        let supervised = Supervised {
            command: self.command.clone(),
            scratch: self.scratch.clone(),
            request,
            tenant: tenant.clone(),
            fingerprint: self.fingerprint.clone(),
            walls: Arc::clone(&self.walls),
            cancelled: Arc::clone(&cancelled.0),
            steps,
        };
        // A thread of its own, for as long as the child lives: the child is told to die with the thread that started it.
        let spawned = std::thread::Builder::new()
            .name("compile-supervisor".into())
            .spawn(move || {
                let outcome = supervised.run();
                drop(place);
                // Nobody listens where the upload was given up.
                let _ = answer.send(outcome);
            });
        spawned.map_err(|error| CompileError::Worker(format!("no thread to watch it: {error}")))?;
        while let Some(step) = begun.recv().await {
            progress(step);
        }
        let outcome = answered
            .await
            .map_err(|_| CompileError::Worker("its supervisor died".into()))?;
        drop(cancelled);
        outcome
    }
}

async fn sniff(plugin: PathBuf) -> Result<(), CompileError> {
    let head = blocking(move || {
        let mut head = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(std::fs::File::open(plugin)?, 64),
            &mut head,
        )?;
        Ok(head)
    })
    .await?;
    admission::sniff(&head).map_err(|refusal: Refusal| CompileError::Refused(vec![refusal]))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CompileError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| CompileError::Worker("a thread died".into()))?
        .map_err(|error| {
            CompileError::Worker(format!(
                "a part of the upload cannot be read or written: {error}"
            ))
        })
}
