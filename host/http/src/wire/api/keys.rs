//! API keys as JSON.

use std::time::Duration;

use foretell_predict::manage::{Issued, KeyRecord, NewKeyRequest};
use serde::{Deserialize, Serialize};

use crate::text::rfc3339;

/// The body of `POST /api/keys`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    label: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    role: Option<String>,
    models: Option<Vec<String>>,
    expires_in_days: Option<u32>,
}

impl From<NewKey> for NewKeyRequest {
    fn from(body: NewKey) -> Self {
        Self {
            label: body.label,
            scopes: body.scopes,
            role: body.role,
            models: body.models,
            expires_in_days: body.expires_in_days,
        }
    }
}

/// The body of `POST /api/keys/{id}/rotate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    overlap_seconds: u64,
}

impl Rotation {
    /// How long the old key goes on.
    pub(crate) const fn overlap(&self) -> Duration {
        Duration::from_secs(self.overlap_seconds)
    }
}

/// A key, without its secret.
#[derive(Debug, Serialize)]
pub(crate) struct Key {
    id: String,
    /// None = an operator's.
    tenant: Option<String>,
    label: String,
    scopes: Vec<&'static str>,
    /// None = all of its tenant's.
    models: Option<Vec<String>>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// To the minute; none = never.
    last_used_at: Option<String>,
}

impl From<&KeyRecord> for Key {
    fn from(record: &KeyRecord) -> Self {
        let models = record.models.as_ref();
        Self {
            id: record.id.to_string(),
            tenant: record.tenant.as_ref().map(ToString::to_string),
            label: record.label.clone(),
            scopes: record.scopes.iter().map(|scope| scope.as_str()).collect(),
            models: models.map(|models| models.iter().map(ToString::to_string).collect()),
            created_at: rfc3339(record.created_at),
            expires_at: record.expires_at.map(rfc3339),
            revoked_at: record.revoked_at.map(rfc3339),
            last_used_at: record.last_used_at.map(rfc3339),
        }
    }
}

/// A key that was just made, with its secret, which is shown this once.
#[derive(Serialize)]
pub(crate) struct IssuedKey<'a> {
    #[serde(flatten)]
    key: Key,
    secret: &'a str,
}

impl<'a> From<&'a Issued> for IssuedKey<'a> {
    fn from(issued: &'a Issued) -> Self {
        Self {
            key: Key::from(&issued.record),
            secret: issued.secret.expose(),
        }
    }
}

/// The body of `GET /api/keys`.
#[derive(Debug, Serialize)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<Key>,
}
