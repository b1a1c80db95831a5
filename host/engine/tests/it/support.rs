//! An engine over blobs in memory, with the crate's own worker.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use foretell_engine::config::LaneConfig;
use foretell_engine::{Compiler, Engine, EngineConfig, Runner, testkit};
use foretell_types::blob::{BlobError, BlobId, BlobKind, Blobs};
use foretell_types::compile::{CompileError, Part, Prepared, Setting, Step, Upload};
use foretell_types::run::{Begun, Isolation, RunCall, RunError, RunLimits, RunOutcome};
use foretell_types::signature::NamedTensor;
use foretell_types::tensor::{Elements, Tensor};
use foretell_types::{Digest, TenantId, VersionDigest};
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempDir};

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct MemoryBlobs(Mutex<HashMap<BlobId, Vec<u8>>>, Mutex<Vec<BlobId>>);

impl MemoryBlobs {
    /// How often a blob was read.
    pub(crate) fn reads(&self, id: &BlobId) -> usize {
        self.1
            .lock()
            .unwrap()
            .iter()
            .filter(|read| *read == id)
            .count()
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, id: &BlobId, bytes: Vec<u8>) -> Result<(), BlobError> {
        self.0.lock().unwrap().insert(id.clone(), bytes);
        Ok(())
    }

    async fn put_file(&self, id: &BlobId, file: &Path) -> Result<(), BlobError> {
        let bytes = std::fs::read(file).map_err(|source| BlobError::Io {
            id: id.clone(),
            source,
        })?;
        self.put(id, bytes).await
    }

    async fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
        self.1.lock().unwrap().push(id.clone());
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn remove(&self, id: &BlobId) -> Result<(), BlobError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<BlobId>, BlobError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .keys()
            .filter(|id| id.tenant == *tenant)
            .cloned()
            .collect())
    }
}

/// An engine, its blobs, its scratch folder.
pub(crate) struct Host {
    pub(crate) engine: Arc<Engine>,
    pub(crate) blobs: Arc<MemoryBlobs>,
    scratch: TempDir,
}

/// A stored version.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) tenant: TenantId,
    pub(crate) digest: VersionDigest,
}

impl Version {
    pub(crate) fn blob(&self, kind: BlobKind) -> BlobId {
        BlobId {
            tenant: self.tenant.clone(),
            kind,
            digest: self.digest.0,
        }
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn worker() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_foretell-compile-worker").into()]
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With a small pool, which is quick to set up, and whatever the test changes.
    pub(crate) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::over(Arc::default(), change)
    }

    pub(crate) fn over(blobs: Arc<MemoryBlobs>, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = EngineConfig::new(worker(), [7; 32], scratch.path().to_owned());
        config.pool.instances = 48;
        config.lanes = LaneConfig::of(4);
        config.pool.max_idle = 8;
        change(&mut config);
        let engine = Engine::new(config, blobs.clone()).unwrap();
        Self {
            engine,
            blobs,
            scratch,
        }
    }

    pub(crate) async fn prepare(
        &self,
        plugin: &[u8],
        artifact: &[u8],
        settings: Vec<Setting>,
    ) -> Result<Prepared, CompileError> {
        self.prepare_for(&tenant("acme"), plugin, artifact, settings, &|_| ())
            .await
    }

    pub(crate) async fn prepare_for(
        &self,
        tenant: &TenantId,
        plugin: &[u8],
        artifact: &[u8],
        settings: Vec<Setting>,
        progress: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<Prepared, CompileError> {
        let file = |bytes: &[u8]| {
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            file
        };
        let (plugin_file, artifact_file) = (file(plugin), file(artifact));
        let upload = Upload {
            tenant: tenant.clone(),
            version: version_digest(plugin, artifact),
            plugin: part(plugin, &plugin_file),
            artifact: (!artifact.is_empty()).then(|| part(artifact, &artifact_file)),
            settings,
            memory_bytes: 64 << 20,
        };
        self.engine.prepare(&upload, progress).await
    }

    /// Prepares and stores a version.
    pub(crate) async fn push(&self, name: &str, plugin: &[u8]) -> Version {
        let prepared = self
            .prepare_for(&tenant(name), plugin, &[], Vec::new(), &|_| ())
            .await
            .unwrap();
        self.keep(name, plugin, prepared).await
    }

    /// Stores a version that was prepared from this plugin alone.
    pub(crate) async fn keep(&self, name: &str, plugin: &[u8], prepared: Prepared) -> Version {
        let version = Version {
            tenant: tenant(name),
            digest: version_digest(plugin, &[]),
        };
        self.blobs
            .put(&version.blob(BlobKind::Snapshot), prepared.snapshot)
            .await
            .unwrap();
        self.blobs
            .put(&version.blob(BlobKind::Code), prepared.code)
            .await
            .unwrap();
        version
    }

    /// How many files lie in the scratch folder, by name.
    pub(crate) fn scratch_files(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }

    /// Unloads a version, as its deletion does.
    pub(crate) fn engine_forget(&self, version: &Version) {
        self.engine.forget(&version.tenant, &version.digest);
    }

    /// Removes what is stored of a version.
    pub(crate) async fn erase(&self, version: &Version) {
        for kind in [BlobKind::Code, BlobKind::Snapshot] {
            self.blobs.remove(&version.blob(kind)).await.unwrap();
        }
    }

    /// One prediction with limits that no honest guest notices.
    pub(crate) async fn call(&self, version: &Version, x: &[f64]) -> Result<Vec<f64>, RunError> {
        self.run(version, x, limits()).await.result.map(values)
    }

    pub(crate) async fn run(&self, version: &Version, x: &[f64], limits: RunLimits) -> RunOutcome {
        self.run_as(version, x, limits, |_| ()).await
    }

    /// A prediction that nobody waits for.
    pub(crate) async fn run_aside(
        &self,
        version: &Version,
        x: &[f64],
        limits: RunLimits,
    ) -> RunOutcome {
        self.run_as(version, x, limits, |call| call.is_aside = true)
            .await
    }

    /// A prediction of independent rows, of which so many may be run together.
    pub(crate) async fn run_joined(&self, version: &Version, x: &[f64], most: u32) -> RunOutcome {
        self.run_as(version, x, limits(), |call| call.joins = Some(most))
            .await
    }

    async fn run_as(
        &self,
        version: &Version,
        x: &[f64],
        limits: RunLimits,
        change: impl FnOnce(&mut RunCall),
    ) -> RunOutcome {
        let inputs = testkit::signature()
            .check(vec![NamedTensor {
                name: "x".into(),
                tensor: testkit::numbers(x),
            }])
            .unwrap();
        let mut call = RunCall {
            tenant: version.tenant.clone(),
            version: version.digest,
            inputs,
            limits,
            is_hurried: false,
            priority: 0,
            joins: None,
            is_aside: false,
            begun: Begun::default(),
        };
        change(&mut call);
        self.engine.run(call).await
    }
}

/// 10 s, so that a busy machine is no failure.
pub(crate) fn limits() -> RunLimits {
    RunLimits {
        deadline: Duration::from_secs(10),
        memory_bytes: 64 << 20,
        isolation: Isolation::Fresh,
    }
}

pub(crate) fn reuse() -> RunLimits {
    RunLimits {
        isolation: Isolation::Reuse,
        ..limits()
    }
}

pub(crate) fn within(deadline_ms: u64) -> RunLimits {
    RunLimits {
        deadline: Duration::from_millis(deadline_ms),
        ..limits()
    }
}

/// The one output, as numbers.
pub(crate) fn values(outputs: Vec<Tensor>) -> Vec<f64> {
    let [output] = <[Tensor; 1]>::try_from(outputs).unwrap();
    let Elements::Fp64(values) = output.into_parts().1 else {
        panic!("not FP64")
    };
    values
}

/// A part of an upload that lies in this file.
pub(crate) fn part(bytes: &[u8], file: &NamedTempFile) -> Part {
    Part {
        file: file.path().to_owned(),
        digest: sha256(bytes),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn version_digest(plugin: &[u8], artifact: &[u8]) -> VersionDigest {
    let parts = [sha256(plugin), sha256(artifact)];
    let bytes: Vec<u8> = parts.iter().flat_map(|part| *part.as_bytes()).collect();
    VersionDigest(sha256(&bytes))
}
