//! Everything that a caller may ask for besides predictions: tenants, keys, models, traffic.
//!
//! Each use case is one method of [`Manager`], in the file of its noun, and begins with who asks.

pub(crate) mod acts;
mod audit;
mod cache;
mod digest;
mod keys;
mod limits;
mod models;
mod recordings;
mod repository;
mod sessions;
mod settings;
mod statistics;
mod storage;
mod tenants;
mod traffic;
mod upload;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use dashmap::DashMap;
use foretell_store::{Audit, Keys, Ledger, LimitStore, Models, Tenants, Users};
use foretell_types::TenantId;
use foretell_types::blob::Blobs;
use foretell_types::compile::Compiler;
use foretell_types::run::Runner;
use tokio::sync::{Mutex, Semaphore};

// What the use cases answer with, so that a transport needs no store.
pub use audit::{Checked, CheckpointPage, MAX_AUDIT_ROWS, MAX_CHECKPOINTS};
pub use foretell_store::{
    Account, Act, AuditQuery, AuditRecord, Broken, Canary, Checkpoint, Day, Fault, Guard,
    KeyRecord, MicroCredits, ModelRecord, Page, Price, Pseudonym, Quotas, RecordingPolicy,
    TenantLimits, TenantRecord, Traffic, TrafficChange, UsageCursor, UsageQuery, UsageRow, Used,
    UserRecord, Verdict, VersionRecord, day_of,
};
pub use keys::{Issued, NewKeyRequest, OperatorKey};
pub use limits::{MAX_USAGE_ROWS, Standing};
pub use models::Published;
pub use recordings::{MAX_RECORDING_DAYS, MAX_RECORDINGS, Receipt, RetentionPreview};
pub use sessions::LoggedIn;
pub use statistics::VersionCounts;
pub use traffic::{
    CanaryPlan, GuardPlan, TrafficAct, TrafficPlan, TrafficReport, TrafficRequest, VersionReport,
};
pub use upload::{Part, UnnamedUpload, Upload};
pub use users::{NewUserRequest, PasswordRequest, UserRequest};

use crate::login::Logins;
use crate::stage::admit::Gate;
use crate::tenant::Activity;
use crate::{
    AnswerCache, Books, Call, Evidence, Identity, Limits, PredictError, Principal, Registry,
    Sessions,
};

/// Looks at many rows at once, at most: half of the readers that a store has by default.
const MAX_SCANS: usize = 2;

/// Manages tenants, keys and models. Cheap to share; one for each server.
pub struct Manager {
    pub(crate) parts: ManagerParts,
    /// One lock for each tenant around what touches its blobs and rows together, so that a deletion never takes a blob
    /// that an upload is about to refer to.
    locks: DashMap<TenantId, Arc<Mutex<()>>>,
    /// Uploads under way: each may fill a temporary file.
    uploads: Gate,
    /// Looks at many rows under way: a part of the store's readers, so that a cold key or model never waits for them.
    scans: Arc<Semaphore>,
    /// One look at the whole log at a time.
    verifying: Arc<Mutex<()>>,
    /// What logging in takes, beside what is stored.
    logins: Logins,
}

/// What a [`Manager`] is made of.
pub struct ManagerParts {
    /// Who asks; the same one as the predictor's.
    pub identity: Arc<Identity>,
    /// The models that the predictor sees.
    pub registry: Arc<Registry>,
    /// Tenants.
    pub tenants: Arc<dyn Tenants>,
    /// API keys.
    pub keys: Arc<dyn Keys>,
    /// Users.
    pub users: Arc<dyn Users>,
    /// Who is in.
    pub sessions: Arc<Sessions>,
    /// Models and versions.
    pub models: Arc<dyn Models>,
    /// What was done, by whom.
    pub audit: Arc<dyn Audit>,
    /// What was used, and credits.
    pub ledger: Arc<dyn Ledger>,
    /// What tenants and keys may use.
    pub limit_store: Arc<dyn LimitStore>,
    /// The predictor's books.
    pub books: Arc<Books>,
    /// The predictor's records.
    pub evidence: Arc<Evidence>,
    /// Uploads, snapshots and code.
    pub blobs: Arc<dyn Blobs>,
    /// Makes uploads runnable.
    pub compiler: Arc<dyn Compiler>,
    /// The predictor's answers; none = the cache is off.
    pub cache: Option<Arc<AnswerCache>>,
    /// Told to forget what was deleted.
    pub runner: Arc<dyn Runner>,
    /// Ceilings and defaults.
    pub limits: Limits,
    /// Where uploads lie until they are accepted; on the same file system as the blobs.
    pub upload_dir: PathBuf,
}

impl Manager {
    /// Joins the parts.
    pub fn new(parts: ManagerParts) -> Self {
        Self {
            uploads: Gate::new(
                Activity::Upload,
                parts.limits.max_uploads,
                parts.limits.max_uploads_per_tenant,
            ),
            parts,
            locks: DashMap::new(),
            scans: Arc::new(Semaphore::new(MAX_SCANS)),
            verifying: Arc::default(),
            logins: Logins::default(),
        }
    }

    /// Who calls, for routes that show more to those who may see more.
    ///
    /// # Errors
    /// `Unauthenticated`, with the reason.
    pub async fn caller_of(&self, call: &Call) -> Result<Arc<Principal>, PredictError> {
        self.parts.identity.principal(&call.credentials).await
    }

    /// Reads many rows, to the end although the caller may hang up: the database cannot be told to stop, and another one must
    /// not begin beside it.
    async fn scan<T: Send + 'static>(
        &self,
        read: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PredictError> {
        let place = Arc::clone(&self.scans).acquire_owned().await;
        let read = tokio::spawn(async move {
            // The semaphore is never closed.
            let _place = place;
            read.await
        });
        read.await
            .map_err(|error| PredictError::Internal(error.to_string()))
    }

    fn lock_of(&self, tenant: &TenantId) -> Arc<Mutex<()>> {
        Arc::clone(&self.locks.entry(tenant.clone()).or_default())
    }
}
