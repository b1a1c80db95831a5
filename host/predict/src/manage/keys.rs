//! API keys: made, listed, rotated, revoked; and the operator's own key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_store::port::keys::KeyEnd;
use foretell_store::{Act, EntryOf, KeyRecord, Mark, NewKey, Quotas};
use foretell_types::{KeyId, ModelName, Role, Scope, Scopes};
use serde_json::json;

use super::Manager;
use super::acts::{self, Detailed};
use crate::key::{self, Secret, Source};
use crate::stage::identify::Caller;
use crate::stage::once;
use crate::text::shown;
use crate::{Call, PredictError};

const MS_PER_DAY: i64 = 86_400_000;
/// How often it is written down when keys were last shown.
const USES_ARE_KEPT: Duration = Duration::from_secs(60);
/// Days until a key expires, at most: ten years.
const MAX_KEY_DAYS: u32 = 3_650;
/// How long an old key may go on beside its successor, at most.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 86_400);
const MAX_LABEL_BYTES: usize = 128;
/// Keys of one tenant that open something, at most.
const MAX_KEYS: usize = 1_000;
/// Models that a key is for, at most, where it is not for all.
const MAX_MODELS: usize = 100;
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
    /// A name for several scopes, instead of them: `owner`, `uploader`, `caller`, `auditor`.
    pub role: Option<String>,
    /// Models that it is for; none = all of the tenant's. Such a key has no scopes but `infer` and `models`.
    pub models: Option<Vec<String>>,
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

/// What a key of a tenant is to be.
struct Plan {
    label: String,
    scopes: Scopes,
    models: Option<BTreeSet<ModelName>>,
    expires_at: UnixMs,
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
        let scopes = match &request.role {
            None => parse_scopes(&request.scopes)?,
            Some(_) if !request.scopes.is_empty() => {
                return Err(invalid("give `role` or `scopes`, not both"));
            }
            Some(role) => parse_role(role)?,
        };
        grantable(&caller, scopes)?;
        let models = parse_models(request.models.as_deref(), scopes)?;
        caller.must_be_for_all()?;
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
        let plan = Plan {
            label,
            scopes,
            models,
            expires_at: now + i64::from(days) * MS_PER_DAY,
        };
        let mark = self.mark(call, &caller.principal, Some(&caller.tenant.id))?;
        if let Some(issued) = self.issued_before(&caller, mark, &plan).await? {
            return Ok(issued);
        }
        let keys = self.parts.keys.list(Some(&caller.tenant.id)).await?;
        if keys.iter().filter(|key| is_good(key, now)).count() >= MAX_KEYS {
            return Err(PredictError::StorageFull {
                limit: MAX_KEYS as u64,
                what: "keys that open something",
            });
        }
        let issued = self.issue(call, &caller, plan, mark).await?;
        tracing::info!(tenant = %caller.tenant.id, key = %issued.record.id, %scopes, request_id = %call.request_id, "key created");
        Ok(issued)
    }

    /// The keys of the caller's tenant, oldest first.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn list_keys(&self, call: &Call) -> Result<Vec<KeyRecord>, PredictError> {
        let caller = self.parts.identity.caller(call, &[Scope::Keys]).await?;
        let mut keys = self.parts.keys.list(Some(&caller.tenant.id)).await?;
        self.parts.identity.add_uses(&mut keys);
        Ok(keys)
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
        let has_ended = !is_good(&old, now);
        grantable(&caller, old.scopes)?;
        let life = old.expires_at.map_or(
            i64::from(self.parts.limits.default_key_days) * MS_PER_DAY,
            |at| at - old.created_at,
        );
        let plan = Plan {
            label: old.label,
            scopes: old.scopes,
            models: old.models,
            expires_at: now + life,
        };
        let mark = self.mark(call, &caller.principal, Some(&caller.tenant.id))?;
        // The successor first: should the second step fail, there are two good keys and not none.
        let issued = match self.issued_before(&caller, mark, &plan).await? {
            Some(issued) => issued,
            None if has_ended => {
                return Err(PredictError::Conflict(format!(
                    "key `{id}` is revoked or expired; create a new one"
                )));
            }
            None => self.issue(call, &caller, plan, mark).await?,
        };
        self.copy_quotas(call, &caller, &id, &issued.record.id)
            .await?;
        let overlap_ms = UnixMs::try_from(overlap.as_millis()).unwrap_or(UnixMs::MAX);
        self.end_key(call, &caller, id.as_str(), Act::KeyExpire, |now| {
            KeyEnd::Expires(now.saturating_add(overlap_ms))
        })
        .await?;
        tracing::info!(tenant = %caller.tenant.id, key = %id, successor = %issued.record.id, request_id = %call.request_id, "key rotated");
        Ok(issued)
    }

    /// Keeps when keys were last shown, as long as it is polled.
    pub async fn keep_uses(&self) {
        let mut minutes = tokio::time::interval(USES_ARE_KEPT);
        loop {
            minutes.tick().await;
            if let Err(error) = self.parts.identity.keep_uses().await {
                tracing::warn!(%error, "when keys were last used could not be kept");
            }
        }
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
            let secret = key::generate(&mut Source::Random)?;
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
            models: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
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
        plan: Plan,
        mark: Option<Mark>,
    ) -> Result<Issued, PredictError> {
        let Plan {
            label,
            scopes,
            models,
            expires_at,
        } = plan;
        let mut source = mark.map_or(Source::Random, |mark| self.parts.identity.source_of(&mark));
        let secret = key::generate(&mut source)?;
        let record = KeyRecord {
            id: key::generate_id()?,
            tenant: Some(caller.tenant.id.clone()),
            label,
            scopes,
            models,
            created_at: self.parts.identity.now(),
            expires_at: Some(expires_at),
            revoked_at: None,
            last_used_at: None,
        };
        let new = NewKey {
            record: record.clone(),
            hash: self.parts.identity.hash(secret.expose()),
        };
        let mut entry = self
            .act(call, caller, Act::KeyCreate, record.id.as_str())
            .with(&json!({"after": acts::key(&record)}));
        entry.once = mark;
        self.parts.keys.create(&new, &entry).await?;
        Ok(Issued { record, secret })
    }

    /// Gives a successor the quotas of the key before.
    async fn copy_quotas(
        &self,
        call: &Call,
        caller: &Caller,
        from: &KeyId,
        to: &KeyId,
    ) -> Result<(), PredictError> {
        let (store, tenant) = (&self.parts.limit_store, &caller.tenant.id);
        let set = store.of_keys(tenant).await?;
        let Some((_, quotas)) = set.into_iter().find(|(key, _)| key == from) else {
            return Ok(());
        };
        let entry = self.act(call, caller, Act::LimitsSet, to.as_str());
        let entry: EntryOf<Quotas> = Arc::new(move |before| {
            let detail = json!({"before": before, "after": quotas});
            entry.clone().with(&detail)
        });
        store.set_key(tenant, to, &quotas, entry).await?;
        caller.tenant.account.changed();
        Ok(())
    }

    /// The key that was made for this mark; none = none was.
    async fn issued_before(
        &self,
        caller: &Caller,
        mark: Option<Mark>,
        plan: &Plan,
    ) -> Result<Option<Issued>, PredictError> {
        let Some(mark) = mark else {
            return Ok(None);
        };
        let Some(before) = self.parts.audit.marked(&mark).await? else {
            return Ok(None);
        };
        if before.entry.act != Act::KeyCreate {
            return Err(once::is_another());
        }
        let keys = self.parts.keys.list(Some(&caller.tenant.id)).await?;
        let record = keys
            .into_iter()
            .find(|key| key.id.as_str() == before.entry.object);
        let now = self.parts.identity.now();
        let Some(record) = record.filter(|record| is_good(record, now)) else {
            return Err(PredictError::Conflict(
                "the key that was made with this Idempotency-Key is gone; make one with a new Idempotency-Key"
                    .to_owned(),
            ));
        };
        let is_same = (&record.label, record.scopes, &record.models)
            == (&plan.label, plan.scopes, &plan.models);
        if !is_same {
            return Err(once::is_another());
        }
        let secret = key::generate(&mut self.parts.identity.source_of(&mark))?;
        Ok(Some(Issued { record, secret }))
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

/// Whether a key opens something.
fn is_good(key: &KeyRecord, now: UnixMs) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now)
}

fn parse_role(name: &str) -> Result<Scopes, PredictError> {
    let of_tenants = || Role::ALL.into_iter().filter(|role| *role != Role::Operator);
    let role = of_tenants().find(|role| role.as_str() == name);
    role.map(Role::scopes).ok_or_else(|| {
        let all: Vec<_> = of_tenants().map(Role::as_str).collect();
        PredictError::Invalid(format!(
            "unknown role `{}`; use one of {}",
            shown(name),
            all.join(", ")
        ))
    })
}

/// The models that a key is to be for. What is about all of a tenant is not for such a key.
fn parse_models(
    names: Option<&[String]>,
    scopes: Scopes,
) -> Result<Option<BTreeSet<ModelName>>, PredictError> {
    let Some(names) = names else {
        return Ok(None);
    };
    if !(1..=MAX_MODELS).contains(&names.len()) {
        return Err(PredictError::Invalid(format!(
            "`models` holds 1 to {MAX_MODELS} names; leave it out for all models"
        )));
    }
    if !Role::Uploader.scopes().covers(scopes) {
        return Err(invalid(
            "a key for single models has the scopes infer and models alone",
        ));
    }
    let models = names.iter().map(|name| {
        ModelName::parse(name).map_err(|error| PredictError::Invalid(format!("`models`: {error}")))
    });
    models.collect::<Result<_, _>>().map(Some)
}

fn parse_scopes(names: &[String]) -> Result<Scopes, PredictError> {
    let of_tenants = Scope::ALL
        .into_iter()
        .filter(|scope| *scope != Scope::Operator);
    let all = of_tenants.map(Scope::as_str).collect::<Vec<_>>().join(", ");
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
            "`scopes` is empty; use some of {all}, or give a `role`"
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
