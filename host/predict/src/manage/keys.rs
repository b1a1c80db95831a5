//! API keys: made, listed, rotated, revoked; and the operator's own key.

use std::sync::Arc;
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_store::port::keys::KeyEnd;
use foretell_store::{Act, EntryOf, KeyRecord, NewKey};
use foretell_types::{KeyId, Scope, Scopes};
use serde_json::json;

use super::Manager;
use super::acts::{self, Detailed};
use crate::key::{self, Secret};
use crate::stage::identify::Caller;
use crate::text::shown;
use crate::{Call, PredictError};

const MS_PER_DAY: i64 = 86_400_000;
/// Days until a key expires, at most: ten years.
const MAX_KEY_DAYS: u32 = 3_650;
/// How long an old key may go on beside its successor, at most.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 86_400);
const MAX_LABEL_BYTES: usize = 128;
/// Label of the operator's key that the configuration sets.
const CONFIGURED: &str = "FORETELL_ADMIN_KEY";
/// Label of the operator's key that the first start makes.
const FIRST_START: &str = "first start";

/// A key to make.
#[derive(Debug, Clone, Default)]
pub struct NewKeyRequest {
    /// A name for people; up to 128 bytes.
    pub label: Option<String>,
    /// What it may do, by name: `infer`, `models`, `keys`, `usage`, `audit`.
    pub scopes: Vec<String>,
    /// Days until it expires, 1 to 3,650; the configured default (one year) where none is given.
    pub expires_in_days: Option<u32>,
}

/// A key that was just made. Its secret is shown this once.
#[derive(Debug)]
pub struct Issued {
    /// What is stored of it.
    pub record: KeyRecord,
    /// The key itself.
    pub secret: Secret,
}

/// How the operator can get in after the start.
#[derive(Debug)]
pub enum OperatorKey {
    /// A new key was made: show it.
    Created(Secret),
    /// The configuration sets it.
    Configured,
    /// One from an earlier start is still good.
    Existing,
}

impl Manager {
    /// Makes a key for the caller's tenant.
    ///
    /// # Errors
    /// `Invalid` for scopes, label or days out of range; `Forbidden` if the caller lacks `keys`, or asks for a scope
    /// that it does not hold itself.
    pub async fn create_key(
        &self,
        call: &Call,
        request: NewKeyRequest,
    ) -> Result<Issued, PredictError> {
        let caller = self.parts.identity.caller(call, &[Scope::Keys]).await?;
        let scopes = parse_scopes(&request.scopes)?;
        grantable(&caller, scopes)?;
        let label = request.label.unwrap_or_default();
        if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
            return Err(invalid(
                "`label` is at most 128 bytes without control characters",
            ));
        }
        let days = request
            .expires_in_days
            .unwrap_or(self.parts.limits.default_key_days);
        if !(1..=MAX_KEY_DAYS).contains(&days) {
            return Err(invalid("`expires_in_days` is 1 to 3650"));
        }
        let now = self.parts.identity.now();
        let issued = self
            .issue(
                call,
                &caller,
                label,
                scopes,
                now + i64::from(days) * MS_PER_DAY,
            )
            .await?;
        tracing::info!(tenant = %caller.tenant.id, key = %issued.record.id, %scopes, request_id = %call.request_id, "key created");
        Ok(issued)
    }

    /// The keys of the caller's tenant, oldest first.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn list_keys(&self, call: &Call) -> Result<Vec<KeyRecord>, PredictError> {
        let caller = self.parts.identity.caller(call, &[Scope::Keys]).await?;
        Ok(self.parts.keys.list(Some(&caller.tenant.id)).await?)
    }

    /// Revokes a key at once.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such key.
    pub async fn revoke_key(&self, call: &Call, id: &str) -> Result<KeyRecord, PredictError> {
        let caller = self.parts.identity.caller(call, &[Scope::Keys]).await?;
        let act = Act::KeyRevoke;
        let record = self
            .end_key(call, &caller, id, act, KeyEnd::Revoked)
            .await?;
        tracing::info!(tenant = %caller.tenant.id, key = %record.id, request_id = %call.request_id, "key revoked");
        Ok(record)
    }

    /// Makes a successor with the same label, scopes and life time; the old key goes on for `overlap`.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such key; `Conflict` if it opens nothing any more; `Invalid` for an overlap of
    /// more than 30 days; `Forbidden` as for [`Manager::create_key`].
    pub async fn rotate_key(
        &self,
        call: &Call,
        id: &str,
        overlap: Duration,
    ) -> Result<Issued, PredictError> {
        let caller = self.parts.identity.caller(call, &[Scope::Keys]).await?;
        if overlap > MAX_OVERLAP {
            return Err(invalid("the overlap is at most 30 days"));
        }
        let now = self.parts.identity.now();
        let id = parse_id(id)?;
        let keys = self.parts.keys.list(Some(&caller.tenant.id)).await?;
        let old = keys
            .into_iter()
            .find(|record| record.id == id)
            .ok_or_else(|| unknown(&id))?;
        let ended = old.revoked_at.is_some() || old.expires_at.is_some_and(|at| at <= now);
        if ended {
            return Err(PredictError::Conflict(format!(
                "key `{id}` is revoked or expired; create a new one"
            )));
        }
        grantable(&caller, old.scopes)?;
        let life = old.expires_at.map_or(
            i64::from(self.parts.limits.default_key_days) * MS_PER_DAY,
            |at| at - old.created_at,
        );
        // The successor first: should the second step fail, there are two good keys and not none.
        let issued = self
            .issue(call, &caller, old.label, old.scopes, now + life)
            .await?;
        let overlap_ms = UnixMs::try_from(overlap.as_millis()).unwrap_or(UnixMs::MAX);
        self.end_key(call, &caller, id.as_str(), Act::KeyExpire, |now| {
            KeyEnd::Expires(now.saturating_add(overlap_ms))
        })
        .await?;
        tracing::info!(tenant = %caller.tenant.id, key = %id, successor = %issued.record.id, request_id = %call.request_id, "key rotated");
        Ok(issued)
    }

    /// Sees to it that the operator can get in, at every start: by the configured key, by one from an earlier start,
    /// or by a new one. A configured key revokes every other operator's key.
    ///
    /// # Errors
    /// `Invalid` for a configured key that is not 16 or more visible ASCII characters; those of the store.
    pub async fn ensure_operator_key(
        &self,
        configured: Option<&str>,
    ) -> Result<OperatorKey, PredictError> {
        let now = self.parts.identity.now();
        let existing = self.parts.keys.list(None).await?;
        let good = |record: &KeyRecord| {
            record.revoked_at.is_none() && record.expires_at.is_none_or(|at| at > now)
        };
        let Some(text) = configured else {
            if existing.iter().any(good) {
                return Ok(OperatorKey::Existing);
            }
            let secret = key::generate()?;
            self.store_operator_key(FIRST_START, secret.expose(), now)
                .await?;
            return Ok(OperatorKey::Created(secret));
        };
        if text.len() < 16 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid(
                "FORETELL_ADMIN_KEY is 16 or more visible ASCII characters without spaces",
            ));
        }
        let current = self
            .parts
            .keys
            .find(&self.parts.identity.hash(text))
            .await?;
        let keep = match &current {
            Some(record) if good(record) && record.tenant.is_none() => Some(record.id.clone()),
            Some(_) => {
                return Err(invalid(
                    "FORETELL_ADMIN_KEY was used before and is revoked, or is a tenant's key; choose another",
                ));
            }
            None => None,
        };
        for other in existing
            .iter()
            .filter(|record| good(record) && keep.as_ref() != Some(&record.id))
        {
            let id = other.id.as_str().to_owned();
            let entry = acts::by_server(now, None, Act::KeyRevoke, id);
            let entry: EntryOf<_> = Arc::new(move |_| entry.clone());
            self.parts
                .keys
                .end(None, &other.id, KeyEnd::Revoked(now), entry)
                .await?;
            self.parts.identity.key_changed(&other.id);
        }
        if keep.is_none() {
            self.store_operator_key(CONFIGURED, text, now).await?;
        }
        Ok(OperatorKey::Configured)
    }

    async fn store_operator_key(
        &self,
        label: &str,
        text: &str,
        now: UnixMs,
    ) -> Result<(), PredictError> {
        let record = KeyRecord {
            id: key::generate_id()?,
            tenant: None,
            label: label.to_owned(),
            scopes: Scopes::OPERATOR,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        let id = record.id.as_str().to_owned();
        let detail = json!({"after": acts::key(&record)});
        let entry = acts::by_server(now, None, Act::KeyCreate, id).with(&detail);
        let hash = self.parts.identity.hash(text);
        Ok(self
            .parts
            .keys
            .create(&NewKey { record, hash }, &entry)
            .await?)
    }

    async fn issue(
        &self,
        call: &Call,
        caller: &Caller,
        label: String,
        scopes: Scopes,
        expires_at: UnixMs,
    ) -> Result<Issued, PredictError> {
        let secret = key::generate()?;
        let record = KeyRecord {
            id: key::generate_id()?,
            tenant: Some(caller.tenant.id.clone()),
            label,
            scopes,
            created_at: self.parts.identity.now(),
            expires_at: Some(expires_at),
            revoked_at: None,
        };
        let new = NewKey {
            record: record.clone(),
            hash: self.parts.identity.hash(secret.expose()),
        };
        let entry = self
            .act(call, caller, Act::KeyCreate, record.id.as_str())
            .with(&json!({"after": acts::key(&record)}));
        self.parts.keys.create(&new, &entry).await?;
        Ok(Issued { record, secret })
    }

    async fn end_key(
        &self,
        call: &Call,
        caller: &Caller,
        id: &str,
        act: Act,
        end: impl FnOnce(UnixMs) -> KeyEnd,
    ) -> Result<KeyRecord, PredictError> {
        let id = parse_id(id)?;
        let end = end(self.parts.identity.now());
        let entry = self.act(call, caller, act, id.as_str());
        let entry: EntryOf<KeyRecord> = Arc::new(move |before| {
            let mut after = before.clone();
            end.apply(&mut after);
            let detail = json!({"before": acts::key(before), "after": acts::key(&after)});
            entry.clone().with(&detail)
        });
        let record = self
            .parts
            .keys
            .end(Some(&caller.tenant.id), &id, end, entry)
            .await?;
        self.parts.identity.key_changed(&id);
        Ok(record)
    }
}

fn parse_scopes(names: &[String]) -> Result<Scopes, PredictError> {
    let all = Scope::ALL.map(Scope::as_str).join(", ");
    let scopes = names
        .iter()
        .map(|name| {
            Scope::parse(name).ok_or_else(|| {
                PredictError::Invalid(format!(
                    "unknown scope `{}`; use some of {all}",
                    shown(name)
                ))
            })
        })
        .collect::<Result<Scopes, _>>()?;
    if scopes.is_empty() {
        return Err(PredictError::Invalid(format!(
            "`scopes` is empty; use some of {all}"
        )));
    }
    Ok(scopes)
}

/// A key gives at most what its creator holds, and a tenant's key never gives `operator`.
fn grantable(caller: &Caller, scopes: Scopes) -> Result<(), PredictError> {
    if scopes.contains(Scope::Operator) {
        return Err(PredictError::NotGrantable(
            "a tenant's key cannot have the scope `operator`".into(),
        ));
    }
    if !caller.principal.is_operator() && !caller.principal.scopes.covers(scopes) {
        return Err(PredictError::NotGrantable(format!(
            "a key gives at most the scopes of its creator, which are {}",
            caller.principal.scopes
        )));
    }
    Ok(())
}

pub(super) fn parse_id(id: &str) -> Result<KeyId, PredictError> {
    KeyId::parse(id).map_err(|error| PredictError::NotFound(error.to_string()))
}

pub(super) fn unknown(id: &KeyId) -> PredictError {
    PredictError::NotFound(format!("there is no key `{id}`"))
}

fn invalid(message: &str) -> PredictError {
    PredictError::Invalid(message.to_owned())
}
