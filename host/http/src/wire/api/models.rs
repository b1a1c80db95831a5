//! Models and their versions as JSON.

use foretell_predict::PredictError;
use foretell_predict::manage::{ModelRecord, Published, VersionRecord};
use foretell_types::Signature;
use serde::Serialize;

use super::traffic;
use crate::text::rfc3339;

/// The body of `GET /api/models`.
#[derive(Debug, Serialize)]
pub(crate) struct Models<'a> {
    pub(crate) models: Vec<Model<'a>>,
}

/// A model with an outline of its versions.
#[derive(Debug, Serialize)]
pub(crate) struct Model<'a> {
    name: &'a str,
    traffic: traffic::Outline<'a>,
    versions: Vec<Outline<'a>>,
}

#[derive(Debug, Serialize)]
struct Outline<'a> {
    version: &'a str,
    digest: String,
    active: bool,
    bytes: u64,
    created_at: String,
}

impl<'a> From<&'a ModelRecord> for Model<'a> {
    fn from(record: &'a ModelRecord) -> Self {
        let active = record.traffic.active.as_ref();
        let outline = |version: &'a VersionRecord| Outline {
            version: version.version.as_str(),
            digest: version.digest.to_string(),
            active: active == Some(&version.version),
            bytes: version.bytes,
            created_at: rfc3339(version.created_at),
        };
        Self {
            name: record.name.as_str(),
            traffic: traffic::Outline::from(record),
            versions: record.versions.iter().map(outline).collect(),
        }
    }
}

/// A version with everything that is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct Version<'a> {
    model: &'a str,
    version: &'a str,
    active: bool,
    digest: String,
    /// Digest of the plugin.
    plugin: String,
    /// Digest of the artifact; null = it has none.
    artifact: Option<String>,
    bytes: u64,
    created_at: String,
    settings: serde_json::Value,
    runtime: Runtime,
    signature: &'a Signature,
}

#[derive(Debug, Serialize)]
struct Runtime {
    isolation: &'static str,
    deadline_ms: u32,
    memory_mib: u32,
    max_rows: u32,
    cache: bool,
}

/// The JSON of a version.
///
/// # Errors
/// `Internal` if stored settings are no JSON.
pub(crate) fn version(published: &Published) -> Result<Version<'_>, PredictError> {
    let record = &published.record;
    let settings = serde_json::from_str(&record.settings).map_err(|error| {
        PredictError::Internal(format!("stored settings of {}: {error}", record.digest))
    })?;
    let runtime = record.runtime;
    Ok(Version {
        model: record.model.as_str(),
        version: record.version.as_str(),
        active: published.active,
        digest: record.digest.to_string(),
        plugin: record.plugin.to_string(),
        artifact: record.artifact.map(|digest| digest.to_string()),
        bytes: record.bytes,
        created_at: rfc3339(record.created_at),
        settings,
        runtime: Runtime {
            isolation: runtime.isolation.as_str(),
            deadline_ms: runtime.deadline_ms,
            memory_mib: runtime.memory_mib,
            max_rows: runtime.max_rows,
            cache: runtime.cache,
        },
        signature: &record.signature,
    })
}

/// What is left to say of what was deleted.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    deleted: bool,
}

impl<'a> Deleted<'a> {
    /// A version is gone.
    pub(crate) const fn version(model: &'a str, version: &'a str) -> Self {
        Self {
            tenant: None,
            model: Some(model),
            version: Some(version),
            deleted: true,
        }
    }

    /// A tenant is gone.
    pub(crate) const fn tenant(tenant: &'a str) -> Self {
        Self {
            tenant: Some(tenant),
            model: None,
            version: None,
            deleted: true,
        }
    }
}
