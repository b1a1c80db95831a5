//! The real sandbox without a server: the same admission, worker, engine and limits, with everything in memory.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use foretell_engine::{Engine, EngineConfig, Walls};
use foretell_store::memory::MemoryBlobs;
use foretell_types::blob::{BlobId, BlobKind, Blobs};
use foretell_types::compile::{CompileError, Compiler, Part, Prepared, Setting, Step, Upload};
use foretell_types::run::{Begun, RunCall, RunLimits, RunOutcome, Runner};
use foretell_types::signature::Checked;
use foretell_types::{Digest, Signature, TenantId, VersionDigest};
use sha2::{Digest as _, Sha256};

use crate::manifest::digest_of;
use crate::wire;

/// An engine of one's own.
pub struct Sandbox {
    engine: Arc<Engine>,
    blobs: Arc<dyn Blobs>,
    tenant: TenantId,
    scratch: tempfile::TempDir,
}

/// What to prepare.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The component or core module.
    pub plugin: &'a Path,
    /// The weights.
    pub artifact: Option<&'a Path>,
    /// Settings for the plugin, sorted by name.
    pub settings: &'a [Setting],
    /// Memory of the guest, at most, in bytes.
    pub memory_bytes: u64,
}

/// A plugin that was accepted, ready to run.
pub struct Accepted {
    /// What it says of itself.
    pub signature: Signature,
    /// Bytes of the plugin as it was given.
    pub plugin_bytes: u64,
    /// Bytes of the component after `load`.
    pub snapshot_bytes: usize,
    /// Bytes of machine code.
    pub code_bytes: usize,
    version: VersionDigest,
}

impl Sandbox {
    /// Sets up an engine with the server's defaults.
    ///
    /// # Errors
    /// If the machine does not grant what the engine reserves.
    pub fn new() -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("a temporary folder")?;
        let mut mac_key = [0; 32];
        getrandom::fill(&mut mac_key).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let worker = wire::own_worker_command().context("this program's own path")?;
        let config = EngineConfig::new(worker, mac_key, scratch.path().to_owned());
        let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
        let engine = Engine::new(config, Arc::clone(&blobs)).context("the engine")?;
        let tenant = TenantId::parse("local").context("a name of our own")?;
        Ok(Self {
            engine,
            blobs,
            tenant,
            scratch,
        })
    }

    /// How memory is reset between predictions.
    pub fn reset_method(&self) -> &'static str {
        self.engine.stats().reset_method
    }

    /// The walls around a compile worker on this machine: one is started, and tells.
    ///
    /// # Errors
    /// If no worker can be started.
    pub async fn walls(&self) -> Result<Walls, CompileError> {
        self.engine.meet_worker(&self.tenant).await
    }

    /// Prepares a plugin as the server would at its upload.
    ///
    /// # Errors
    /// [`CompileError`], in the outer result whatever is wrong with this machine.
    pub async fn prepare(
        &self,
        candidate: Candidate<'_>,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> anyhow::Result<Result<Accepted, CompileError>> {
        // The engine may move or map what it is given: it gets copies.
        let copy = |from: &Path, name: &str| {
            let to = self.scratch.path().join(name);
            std::fs::copy(from, &to)
                .with_context(|| from.display().to_string())
                .map(|_| to)
        };
        let part = |from: &Path, name: &str| {
            let file = copy(from, name)?;
            let (digest, bytes) = digest_of(&file)?;
            anyhow::Ok((Part { file, digest }, bytes))
        };
        let (plugin, plugin_bytes) = part(candidate.plugin, "candidate.wasm")?;
        let artifact = candidate
            .artifact
            .map(|file| part(file, "candidate.artifact"))
            .transpose()?
            .map(|(part, _)| part);
        let upload = Upload {
            tenant: self.tenant.clone(),
            version: name_of(
                plugin.digest,
                artifact.as_ref().map(|part| part.digest),
                candidate.settings,
            ),
            plugin,
            artifact,
            settings: candidate.settings.to_vec(),
            memory_bytes: candidate.memory_bytes,
        };
        let Prepared {
            signature,
            snapshot,
            code,
        } = match self.engine.prepare(&upload, progress).await {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let accepted = Accepted {
            signature,
            plugin_bytes,
            snapshot_bytes: snapshot.len(),
            code_bytes: code.len(),
            version: upload.version,
        };
        for (kind, bytes) in [(BlobKind::Snapshot, snapshot), (BlobKind::Code, code)] {
            let id = BlobId {
                tenant: self.tenant.clone(),
                kind,
                digest: upload.version.0,
            };
            self.blobs.put(&id, bytes).await?;
        }
        Ok(Ok(accepted))
    }

    /// Runs one prediction.
    pub async fn run(&self, accepted: &Accepted, inputs: Checked, limits: RunLimits) -> RunOutcome {
        let call = RunCall {
            tenant: self.tenant.clone(),
            version: accepted.version,
            inputs,
            limits,
            is_hurried: false,
            priority: 0,
            joins: None,
            is_aside: false,
            begun: Begun::default(),
        };
        self.engine.run(call).await
    }
}

/// A name for the version, different for whatever could make its snapshot different.
fn name_of(plugin: Digest, artifact: Option<Digest>, settings: &[Setting]) -> VersionDigest {
    let mut hash = Sha256::new();
    hash.update(plugin.as_bytes());
    hash.update(
        artifact
            .as_ref()
            .map_or(&[][..], |digest| &digest.as_bytes()[..]),
    );
    hash.update(format!("{settings:?}"));
    VersionDigest(Digest::from_bytes(hash.finalize().into()))
}
