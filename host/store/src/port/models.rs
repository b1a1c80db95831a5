//! Models and their versions.

use async_trait::async_trait;
use foretell_types::blob::BlobKind;
use foretell_types::run::Isolation;
use foretell_types::{
    Digest, ModelName, ModelVersion, PluginDigest, Signature, TenantId, VersionDigest,
};

use super::UnixMs;
use super::audit::{Entry, EntryOf};
use super::traffic::{NewTraffic, Traffic, TrafficChange};
use crate::StoreError;

/// How many changes of its traffic are kept of a model.
pub const KEPT_CHANGES: u32 = 100;

/// What the host does with a version: the `[runtime]` of its upload, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// How its instances live.
    pub isolation: Isolation,
    /// Milliseconds in the sandbox, at most.
    pub deadline_ms: u32,
    /// Mebibytes of linear memory, at most.
    pub memory_mib: u32,
    /// Rows of one request, at most.
    pub max_rows: u32,
    /// Whether answers may be cached.
    pub cache: bool,
}

/// A version as stored. Immutable, but for its deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRecord {
    /// Its model.
    pub model: ModelName,
    /// Its name.
    pub version: ModelVersion,
    /// What it is: plugin, artifact, settings and runtime.
    pub digest: VersionDigest,
    /// Its code.
    pub plugin: PluginDigest,
    /// Its weights; none = it has none.
    pub artifact: Option<Digest>,
    /// Settings for the plugin, canonical JSON.
    pub settings: String,
    /// Settings for the host.
    pub runtime: Runtime,
    /// What it accepts and returns.
    pub signature: Signature,
    /// Stored bytes of plugin and artifact.
    pub bytes: u64,
    /// When it was accepted.
    pub created_at: UnixMs,
}

impl VersionRecord {
    /// Every blob that the version refers to.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobKind, Digest)> {
        let own = [
            (BlobKind::Plugin, self.plugin.0),
            (BlobKind::Snapshot, self.digest.0),
            (BlobKind::Code, self.digest.0),
        ];
        let artifact = self.artifact.map(|artifact| (BlobKind::Artifact, artifact));
        own.into_iter().chain(artifact)
    }
}

/// A version to add.
pub type NewVersion = VersionRecord;

/// A model with its traffic and versions.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    /// Its name.
    pub name: ModelName,
    /// Where its calls go.
    pub traffic: Traffic,
    /// How often that was changed.
    pub revision: u64,
    /// Whether its owner has unloaded it: none of its versions answers then.
    pub unloaded: bool,
    /// Its versions in the order in which they were added, at least one; the deleted ones are not here.
    pub versions: Vec<VersionRecord>,
}

/// The store of models.
#[async_trait]
pub trait Models: Send + Sync {
    /// Adds a version, and its model where that is new. The first version of a model becomes active. One transaction:
    /// afterwards all of it is there and recorded, or nothing.
    ///
    /// # Errors
    /// `Conflict` if the name is taken by a version with another digest or by a deleted one; a version with the same
    /// digest is left as it is and `Ok(false)` is returned. `NotFound` if the tenant does not exist.
    async fn add_version(
        &self,
        tenant: &TenantId,
        version: &NewVersion,
        entry: &Entry,
    ) -> Result<bool, StoreError>;

    /// Reads one model; `None` if the tenant has none of that name (or no version of it is left).
    async fn get(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Option<ModelRecord>, StoreError>;

    /// The tenant's models, sorted by name.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError>;

    /// Sets where calls go, and returns what was before. What is so already is no change, and not recorded. One transaction:
    /// whoever reads sees all of it or nothing.
    ///
    /// # Errors
    /// `NotFound` if the model or a version named by it does not exist; `Conflict` if the model has another revision than
    /// the expected one.
    async fn set_traffic(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        change: &NewTraffic,
        entry: EntryOf<Traffic>,
    ) -> Result<Traffic, StoreError>;

    /// The latest changes of a model's traffic, at most [`KEPT_CHANGES`], newest first; none if there is no such model.
    async fn traffic_changes(
        &self,
        tenant: &TenantId,
        model: &ModelName,
    ) -> Result<Vec<TrafficChange>, StoreError>;

    /// Unloads a model or loads it again, and returns whether it was unloaded before. It is recorded, if it was not so
    /// already.
    ///
    /// # Errors
    /// `NotFound` if the model does not exist.
    async fn set_unloaded(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        unloaded: bool,
        entry: &Entry,
    ) -> Result<bool, StoreError>;

    /// Deletes a version for good. Its name stays taken. The last version of a model may be deleted although it is
    /// active: the model goes with it.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if traffic points at it and other versions exist.
    async fn delete_version(
        &self,
        tenant: &TenantId,
        model: &ModelName,
        version: &ModelVersion,
        now: UnixMs,
        entry: &Entry,
    ) -> Result<VersionRecord, StoreError>;
}
