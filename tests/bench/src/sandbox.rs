//! The engine in this process: one version, called without HTTP.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use foretell_engine::testkit::{Probe, Stored};
use foretell_engine::{Compiler, Engine, EngineConfig, Runner};
use foretell_types::compile::{Part, Upload};
use foretell_types::run::{Begun, Isolation, RunCall, RunLimits};
use foretell_types::signature::{Checked, NamedTensor, Signature};
use foretell_types::{Digest, Elements, TenantId, Tensor, VersionDigest};
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Builder, Runtime};

use crate::bench::Bench;

/// A version that was compiled, and the engine that runs it.
pub(crate) struct Sandbox {
    pub(crate) engine: Arc<Engine>,
    pub(crate) signature: Signature,
    runtime: Runtime,
    stored: Arc<Stored>,
    tenant: TenantId,
    version: VersionDigest,
    folder: tempfile::TempDir,
    worker: Vec<std::ffi::OsString>,
}

impl Sandbox {
    /// Compiles a version as an upload does, in the server's compile worker.
    pub(crate) fn compile(bench: &Bench, plugin: &[u8], artifact: &[u8]) -> Result<Self> {
        let folder = bench.scratch()?;
        let digest = |bytes: &[u8]| Digest::from_bytes(Sha256::digest(bytes).into());
        let part = |name: &str, bytes: &[u8]| -> Result<_> {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes)?;
            Ok(Part {
                file,
                digest: digest(bytes),
            })
        };
        let tenant = TenantId::parse("bench").context("a tenant's name")?;
        let version = VersionDigest(digest(artifact));
        let upload = Upload {
            tenant: tenant.clone(),
            version,
            plugin: part("plugin", plugin)?,
            artifact: Some(part("artifact", artifact)?),
            settings: Vec::new(),
            memory_bytes: 512 << 20,
        };
        let worker = vec![bench.foretell.clone().into(), "compile-worker".into()];
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let compiler = engine(&worker, folder.path(), Arc::default())?;
        let prepared = runtime
            .block_on(compiler.prepare(&upload, &|_| ()))
            .map_err(|error| anyhow!("compiling: {error}"))?;
        let stored = Arc::new(Stored {
            snapshot: prepared.snapshot,
            code: prepared.code,
        });
        Ok(Self {
            engine: engine(&worker, folder.path(), Arc::clone(&stored))?,
            signature: prepared.signature,
            runtime,
            stored,
            tenant,
            version,
            folder,
            worker,
        })
    }

    /// Another engine over the same stored version, which it has not loaded.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.engine = engine(&self.worker, self.folder.path(), Arc::clone(&self.stored))?;
        Ok(())
    }

    /// The call path without queues and async around it.
    pub(crate) fn probe(&self) -> Result<Probe> {
        let probe = Probe::new(&self.engine, &self.tenant, &self.version);
        self.runtime
            .block_on(probe)
            .map_err(|error| anyhow!("{error}"))
    }

    /// One prediction as the corridor asks for it.
    pub(crate) fn run(&self, inputs: &Checked, isolation: Isolation) -> Result<Vec<Tensor>> {
        let call = RunCall {
            tenant: self.tenant.clone(),
            version: self.version,
            inputs: inputs.clone(),
            limits: RunLimits {
                deadline: std::time::Duration::from_secs(10),
                memory_bytes: 512 << 20,
                isolation,
            },
            is_hurried: false,
            priority: 0,
            joins: None,
            is_aside: false,
            begun: Begun::default(),
        };
        let outcome = self.runtime.block_on(self.engine.run(call));
        outcome.result.map_err(|error| anyhow!("{error}"))
    }

    /// Inputs that hold against the signature.
    pub(crate) fn checked(&self, inputs: &[Tensor]) -> Result<Checked> {
        let named = self.signature.inputs.iter().zip(inputs);
        let named = named.map(|(input, tensor)| NamedTensor {
            name: input.name.clone(),
            tensor: tensor.clone(),
        });
        let checked = self.signature.check(named.collect());
        checked.map_err(|error| anyhow!("{error:?}"))
    }

    /// Bytes of its compiled code.
    pub(crate) fn code_bytes(&self) -> usize {
        self.stored.code.len()
    }
}

/// Rows as a table of FP64.
pub(crate) fn table(rows: &[Vec<f64>]) -> Result<Tensor> {
    let width = rows.first().map_or(0, Vec::len);
    let shape = vec![u32::try_from(rows.len())?, u32::try_from(width)?];
    Ok(Tensor::new(shape, Elements::Fp64(rows.concat()))?)
}

fn engine(
    worker: &[std::ffi::OsString],
    scratch: &Path,
    stored: Arc<Stored>,
) -> Result<Arc<Engine>> {
    let config = EngineConfig::new(worker.to_vec(), [7; 32], scratch.to_owned());
    Ok(Engine::new(config, stored)?)
}
