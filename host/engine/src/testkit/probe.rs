//! The inner call path, without queues and async around it: for benches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_types::run::{Isolation, RunError, RunLimits};
use foretell_types::tensor::Tensor;
use foretell_types::{TenantId, VersionDigest};

use crate::Engine;
use crate::call::{self, Host};
use crate::load::{Key, Loaded};
use crate::state::{self, StoreLimits};

/// A loaded version, to be called directly on this thread.
pub struct Probe {
    host: Arc<Host>,
    loaded: Arc<Loaded>,
    limits: RunLimits,
}

impl Probe {
    /// Loads the version.
    ///
    /// # Errors
    /// As for a prediction.
    pub async fn new(
        engine: &Engine,
        tenant: &TenantId,
        version: &VersionDigest,
    ) -> Result<Self, RunError> {
        let (host, loaded) = engine
            .parts(Key {
                tenant: tenant.clone(),
                version: *version,
            })
            .await?;
        let limits = RunLimits {
            deadline: Duration::from_secs(10),
            memory_bytes: 128 << 20,
            isolation: Isolation::Fresh,
        };
        Ok(Self {
            host,
            loaded,
            limits,
        })
    }

    /// A store, and nothing in it.
    pub fn store(&self) {
        let limits = StoreLimits {
            memory_bytes: self.limits.memory_bytes,
            guest: &self.host.guest,
            origin: Arc::clone(&self.loaded.origin),
            budget: Some(Arc::clone(&self.loaded.share)),
        };
        drop(state::store(
            &self.host.engine,
            limits,
            Instant::now().into(),
        ));
    }

    /// A prediction in a fresh instance, or in a warm one.
    ///
    /// # Errors
    /// As for a prediction.
    pub fn predict(
        &self,
        inputs: &[Tensor],
        isolation: Isolation,
    ) -> Result<Vec<Tensor>, RunError> {
        let limits = RunLimits {
            isolation,
            ..self.limits
        };
        call::predict(
            &self.host,
            &self.loaded,
            inputs,
            &limits,
            &(Instant::now() + limits.deadline).into(),
            None,
        )
        .map_err(|unanswered| unanswered.run_error(&limits))
    }
}
