//! Models: published, listed, deleted.

use std::collections::HashSet;

use foretell_store::{Act, Entry, ModelRecord, NewVersion, VersionRecord};
use foretell_types::blob::{BlobId, BlobKind};
use foretell_types::{
    Digest, ModelName, ModelVersion, PluginDigest, Scope, TenantId, VersionDigest, compile,
};
use serde_json::json;

use super::acts::Detailed;
use super::upload::{PartLimits, Spooled, UnnamedUpload};
use super::{Manager, Upload, digest, settings};
use crate::stage::admit::Admitted;
use crate::stage::identify::Caller;
use crate::text::shown;
use crate::{Call, ModelRef, PredictError};

pub(super) const READ: &[Scope] = &[Scope::Infer, Scope::Models];
pub(super) const WRITE: &[Scope] = &[Scope::Models];

/// A version that was accepted.
#[derive(Debug)]
pub struct Published {
    /// Whether it is new; `false` = the same version was there already.
    pub created: bool,
    /// What is stored of it.
    pub record: VersionRecord,
    /// Whether calls that name no version go to it.
    pub active: bool,
}

/// What a version refers to.
struct Content {
    plugin: Spooled,
    artifact: Option<Spooled>,
    snapshot: Vec<u8>,
    code: Vec<u8>,
}

impl Manager {
    /// Begins an upload: the caller is identified and the names are read before any byte of the body.
    ///
    /// # Errors
    /// `Invalid` for texts that are no names; those of [`Identity`](crate::Identity).
    pub async fn begin_upload(
        &self,
        call: &Call,
        model: &str,
        version: &str,
    ) -> Result<Upload, PredictError> {
        let upload = self.begin_unnamed_upload(call).await?;
        upload.named(model, version)
    }

    /// The same, for a version whose name stands in the body.
    ///
    /// # Errors
    /// As for [`Manager::begin_upload`].
    pub async fn begin_unnamed_upload(&self, call: &Call) -> Result<UnnamedUpload, PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let Admitted { caller, permit } = self.uploads.admit(caller, None)?;
        Ok(UnnamedUpload {
            caller,
            permit,
            limits: PartLimits {
                dir: self.parts.upload_dir.clone(),
                plugin_bytes: self.parts.limits.max_plugin_bytes,
                artifact_bytes: self.parts.limits.max_artifact_bytes,
            },
        })
    }

    /// Makes an upload a version: compiled and tested in the worker, stored, and visible with one transaction at the
    /// end. The first version of a model becomes active.
    ///
    /// # Errors
    /// `UploadRefused` with every reason; `Conflict` if the name is or was taken by another version; `Malformed` if
    /// the part `plugin` is missing.
    pub async fn publish(&self, call: &Call, upload: Upload) -> Result<Published, PredictError> {
        let Upload {
            caller,
            model,
            version,
            plugin,
            artifact,
            settings,
            runtime,
            permit: _permit,
            ..
        } = upload;
        // A body may take long: the key is looked at again when it is whole.
        self.parts.identity.caller(call, WRITE).await?;
        let tenant = caller.tenant.id.clone();
        let plugin =
            plugin.ok_or_else(|| PredictError::Malformed("the part `plugin` is missing".into()))?;
        let settings = settings::settings(settings.as_deref())?;
        let (runtime, runtime_given) = settings::runtime(runtime.as_deref(), &self.parts.limits)?;
        let plugin_digest = PluginDigest(plugin.digest);
        let artifact_digest = artifact.as_ref().map(|artifact| artifact.digest);
        let digest = digest::version(
            plugin_digest,
            artifact_digest,
            &settings.canonical,
            &runtime_given,
        );

        let reference = ModelRef {
            model: model.clone(),
            version: Some(version.clone()),
        };
        if let Some(published) = self.already(&tenant, &reference, digest).await?
            && self.is_whole(&tenant, &published.record).await?
        {
            return Ok(published);
        }
        let of_tenant = &*caller.tenant;
        self.count_upload(of_tenant).await?;
        let request = compile::Upload {
            tenant: tenant.clone(),
            version: digest,
            plugin: plugin.part(),
            artifact: artifact.as_ref().map(Spooled::part),
            settings: settings.list,
            memory_bytes: u64::from(runtime.memory_mib) << 20,
        };
        let progress = |step: compile::Step| {
            tracing::debug!(%tenant, %model, %version, step = step.as_str(), request_id = %call.request_id, "upload");
        };
        let prepared = self.parts.compiler.prepare(&request, &progress).await?;
        let record = NewVersion {
            model: model.clone(),
            version,
            digest,
            plugin: plugin_digest,
            artifact: artifact_digest,
            settings: settings.canonical,
            runtime,
            signature: prepared.signature,
            bytes: plugin.bytes + artifact.as_ref().map_or(0, |artifact| artifact.bytes),
            created_at: self.parts.identity.now(),
        };

        let object = format!("{}/{}", record.model, record.version);
        let detail = json!({
            "digest": record.digest.to_string(),
            "plugin": record.plugin.to_string(),
            "bytes": record.bytes,
        });
        let entry = self
            .act(call, &caller, Act::VersionCreate, object)
            .with(&detail);
        let lock = self.lock_of(&tenant);
        let _held = lock.lock().await;
        self.has_room(of_tenant, &record).await?;
        let stored = self
            .store(
                &tenant,
                &record,
                Content {
                    plugin,
                    artifact,
                    snapshot: prepared.snapshot,
                    code: prepared.code,
                },
                &entry,
            )
            .await;
        if stored.is_err() {
            // The disk was full, the name went to another version, the tenant is gone: whatever of this upload no row
            // refers to must not stay.
            self.clear_up(&tenant).await;
        }
        let created = stored?;
        self.parts.registry.changed(&tenant, &model);
        tracing::info!(%tenant, %model, version = %record.version, %digest, created, request_id = %call.request_id, "version accepted");
        match self.already(&tenant, &reference, digest).await? {
            Some(published) => Ok(Published {
                created,
                ..published
            }),
            None => Err(PredictError::Conflict(format!(
                "version `{}` was deleted meanwhile",
                record.version
            ))),
        }
    }

    /// The version of this name, if it is there and is this one.
    async fn already(
        &self,
        tenant: &TenantId,
        wanted: &ModelRef,
        digest: VersionDigest,
    ) -> Result<Option<Published>, PredictError> {
        let Some(model) = self.parts.models.get(tenant, &wanted.model).await? else {
            return Ok(None);
        };
        let active = model.traffic.active == wanted.version;
        match model
            .versions
            .into_iter()
            .find(|record| Some(&record.version) == wanted.version.as_ref())
        {
            None => Ok(None),
            Some(record) if record.digest == digest => Ok(Some(Published {
                created: false,
                record,
                active,
            })),
            Some(record) => Err(PredictError::Conflict(format!(
                "version `{}` of model `{}` exists and is another one (digest {}); versions are immutable: push this one under another version (`version` in model.toml)",
                record.version, record.model, record.digest
            ))),
        }
    }

    /// Stores content and row; the row is last, so that a version is there whole or not at all. `false`: the same
    /// version was there already.
    async fn store(
        &self,
        tenant: &TenantId,
        record: &NewVersion,
        content: Content,
        entry: &Entry,
    ) -> Result<bool, PredictError> {
        let Content {
            plugin,
            artifact,
            snapshot,
            code,
        } = content;
        let blobs = &self.parts.blobs;
        let id = |kind, digest| BlobId {
            tenant: tenant.clone(),
            kind,
            digest,
        };
        blobs
            .put_file(&id(BlobKind::Plugin, plugin.digest), &plugin.path)
            .await?;
        if let Some(artifact) = artifact {
            blobs
                .put_file(&id(BlobKind::Artifact, artifact.digest), &artifact.path)
                .await?;
        }
        blobs
            .put(&id(BlobKind::Snapshot, record.digest.0), snapshot)
            .await?;
        blobs
            .put(&id(BlobKind::Code, record.digest.0), code)
            .await?;
        // What was loaded from content that was lost or damaged must not outlive its replacement.
        self.parts.runner.forget(tenant, &record.digest);
        Ok(self.parts.models.add_version(tenant, record, entry).await?)
    }

    /// Whether everything that a version refers to is there.
    async fn is_whole(
        &self,
        tenant: &TenantId,
        record: &VersionRecord,
    ) -> Result<bool, PredictError> {
        let held = self.parts.blobs.list(tenant).await?;
        Ok(record
            .blobs()
            .all(|(kind, digest)| held.iter().any(|id| id.kind == kind && id.digest == digest)))
    }

    /// Removes what no version refers to. A failure is not the caller's: what is left is taken by the sweep at the next
    /// start. To be called with the tenant's lock held.
    pub(super) async fn clear_up(&self, tenant: &TenantId) {
        if let Err(error) = self.remove_orphans(tenant).await {
            let cause = error.cause().unwrap_or_else(|| error.to_string());
            tracing::warn!(%tenant, cause, "content that nothing refers to is left until the next start");
        }
    }

    /// The tenant's models, by name.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn list_models(&self, call: &Call) -> Result<Vec<ModelRecord>, PredictError> {
        let caller = self.parts.identity.caller(call, READ).await?;
        let mut models = self.parts.models.list(&caller.tenant.id).await?;
        models.retain(|model| caller.is_for(&model.name));
        Ok(models)
    }

    /// One model with its versions.
    ///
    /// # Errors
    /// `NotFound` if the tenant has none of that name.
    pub async fn model(&self, call: &Call, model: &str) -> Result<ModelRecord, PredictError> {
        let caller = self.parts.identity.caller(call, READ).await?;
        self.model_of(&caller, model).await
    }

    /// A model of a caller who is known already.
    pub(super) async fn model_of(
        &self,
        caller: &Caller,
        model: &str,
    ) -> Result<ModelRecord, PredictError> {
        let name = ModelRef::parse(model, None)?.model;
        caller.must_be_for(&name)?;
        let found = self.parts.models.get(&caller.tenant.id, &name).await?;
        found.ok_or_else(|| unknown_model(&name))
    }

    /// One version, and whether it is active.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such model or version.
    pub async fn version(
        &self,
        call: &Call,
        model: &str,
        version: &str,
    ) -> Result<Published, PredictError> {
        let record = self.model(call, model).await?;
        let (active, name) = (record.traffic.active, record.name);
        let found = record
            .versions
            .into_iter()
            .find(|record| record.version.as_str() == version);
        let record = found.ok_or_else(|| unknown_version(&name, version, active.as_ref()))?;
        Ok(Published {
            created: false,
            active: active.as_ref() == Some(&record.version),
            record,
        })
    }

    /// Deletes a version for good, with what no other version of the tenant refers to. Its name stays taken.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if traffic points at it and other versions exist.
    pub async fn delete_version(
        &self,
        call: &Call,
        model: &str,
        version: &str,
    ) -> Result<(), PredictError> {
        let caller = self.parts.identity.caller(call, WRITE).await?;
        let tenant = caller.tenant.id.clone();
        let wanted = ModelRef::parse(model, Some(version))?;
        let Some(name) = wanted.version else {
            return Err(PredictError::Internal(
                "a version was parsed and is not there".into(),
            ));
        };
        caller.must_be_for(&wanted.model)?;
        let lock = self.lock_of(&tenant);
        let _held = lock.lock().await;
        let object = format!("{}/{name}", wanted.model);
        let entry = self.act(call, &caller, Act::VersionDelete, object);
        let deleted = self
            .parts
            .models
            .delete_version(&tenant, &wanted.model, &name, entry.at, &entry)
            .await?;
        self.parts
            .registry
            .version_gone(&tenant, &wanted.model, &name);
        self.forget_answers(&tenant, &[deleted.digest]);
        // The version is gone from here on.
        self.clear_up(&tenant).await;
        tracing::info!(%tenant, model = %wanted.model, version = %name, request_id = %call.request_id, "version deleted");
        Ok(())
    }

    /// Lets go of loaded code.
    fn forget_code(&self, blob: &BlobId) {
        if blob.kind == BlobKind::Code {
            self.parts
                .runner
                .forget(&blob.tenant, &VersionDigest(blob.digest));
        }
    }

    /// Removes stored content of the tenant that none of its versions refers to. To be called with the tenant's lock
    /// held. The store does the same for all tenants at the start.
    async fn remove_orphans(&self, tenant: &TenantId) -> Result<(), PredictError> {
        let models = self.parts.models.list(tenant).await?;
        let referenced: HashSet<(BlobKind, Digest)> = models
            .iter()
            .flat_map(|model| &model.versions)
            .flat_map(VersionRecord::blobs)
            .collect();
        for blob in self.parts.blobs.list(tenant).await? {
            if !referenced.contains(&(blob.kind, blob.digest)) {
                self.forget_code(&blob);
                self.parts.blobs.remove(&blob).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn unknown_model(model: &ModelName) -> PredictError {
    PredictError::NotFound(format!("Request for unknown model: '{model}' is not found"))
}

pub(super) fn unknown_version(
    model: &ModelName,
    version: &str,
    active: Option<&ModelVersion>,
) -> PredictError {
    let active = active.map_or("none", ModelVersion::as_str);
    PredictError::NotFound(format!(
        "model `{model}` has no version `{}`; its active version is {active}",
        shown(version)
    ))
}
