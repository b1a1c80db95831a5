//! Who asks, and on whose behalf: credentials to a [`Principal`], and a principal to the tenant that it may act for.
//!
//! The record of a call (audit) will open here, so that refusals are recorded too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use foretell_store::port::UnixMs;
use foretell_store::port::keys::KeyHash;
use foretell_store::{KeyRecord, Keys, Tenants};
use foretell_types::{KeyId, Scope, Scopes, TenantId};

use crate::key::{self, Pepper};
use crate::registry::Registry;
use crate::tenant::Tenant;
use crate::text::shown;
use crate::{Call, Clock, Credentials, PredictError};

/// Keys kept in memory, at most; beyond that all are dropped and read again.
const MAX_KNOWN: usize = 100_000;

const NO_KEY: &str =
    "no API key: send it as `Authorization: Bearer KEY`, with that word, or as `X-API-Key: KEY`";
const MISTYPED: &str = "the API key is mistyped: its checksum does not match";
const UNKNOWN: &str = "the API key is unknown";
const REVOKED: &str = "the API key is revoked";
const EXPIRED: &str = "the API key is expired";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name in the audit log.
    pub actor: Arc<str>,
    /// Its API key; none = it shows something else.
    pub key: Option<KeyId>,
    /// Its tenant; none = an operator.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub scopes: Scopes,
}

impl Principal {
    /// Whether this is an operator, who may do everything.
    pub const fn is_operator(&self) -> bool {
        self.scopes.contains(Scope::Operator)
    }
}

/// A principal with the tenant that this call acts for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The tenant whose things are read or changed.
    pub tenant: Arc<Tenant>,
    /// Who calls.
    pub principal: Arc<Principal>,
}

/// A key that was shown before, and the tenant whose it is.
struct Known {
    record: KeyRecord,
    principal: Arc<Principal>,
    tenant: Option<Arc<Tenant>>,
}

/// Tells who asks.
pub struct Identity {
    keys: Arc<dyn Keys>,
    tenants: Arc<dyn Tenants>,
    pepper: Pepper,
    clock: Clock,
    registry: Arc<Registry>,
    /// Keys that opened something. Unknown ones are not kept, so that guesses cost no memory.
    known: DashMap<KeyHash, Arc<Known>>,
    /// Counts ended keys, so that a reader who began before one does not keep what it read.
    changes: AtomicU64,
}

impl Identity {
    /// An identity over the stores of keys and tenants.
    pub fn new(
        keys: Arc<dyn Keys>,
        tenants: Arc<dyn Tenants>,
        registry: Arc<Registry>,
        pepper: Pepper,
        clock: Clock,
    ) -> Self {
        Self {
            keys,
            tenants,
            registry,
            pepper,
            clock,
            known: DashMap::new(),
            changes: AtomicU64::new(0),
        }
    }

    /// The caller of a tenant's route, holding any of `needed`.
    ///
    /// # Errors
    /// `Unauthenticated`; `TenantRequired` for an operator without prefix; `NotFound` for another tenant's prefix (it
    /// looks like one that does not exist); `Forbidden`.
    pub(crate) async fn caller(
        &self,
        call: &Call,
        needed: &'static [Scope],
    ) -> Result<Caller, PredictError> {
        let known = self.known(&call.credentials).await?;
        let tenant = match (&known.tenant, &call.prefix) {
            (None, None) => return Err(PredictError::TenantRequired),
            (None, Some(prefix)) => self.existing(prefix).await?,
            (Some(own), None) => Arc::clone(own),
            (Some(own), Some(prefix)) if own.id.as_str() == prefix => Arc::clone(own),
            (Some(_), Some(prefix)) => return Err(no_tenant(prefix)),
        };
        let principal = Arc::clone(&known.principal);
        let allowed =
            principal.is_operator() || needed.iter().any(|scope| principal.scopes.contains(*scope));
        if allowed {
            Ok(Caller { tenant, principal })
        } else {
            Err(PredictError::Forbidden { needed })
        }
    }

    /// Who looks at what tenants have done, holding any of `needed`, and whose that is: a tenant's own; for an operator, that of
    /// the tenant in the prefix, or everybody's.
    ///
    /// # Errors
    /// As for [`Identity::caller`], but `TenantRequired`.
    pub(crate) async fn viewer(
        &self,
        call: &Call,
        needed: &'static [Scope],
    ) -> Result<(Arc<Principal>, Option<Arc<Tenant>>), PredictError> {
        if call.prefix.is_none() {
            let principal = self.principal(&call.credentials).await?;
            if principal.is_operator() {
                return Ok((principal, None));
            }
        }
        let Caller { tenant, principal } = self.caller(call, needed).await?;
        Ok((principal, Some(tenant)))
    }

    /// The caller of an operator's route.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`.
    pub(crate) async fn operator(&self, call: &Call) -> Result<Arc<Principal>, PredictError> {
        let principal = self.principal(&call.credentials).await?;
        if principal.is_operator() {
            Ok(principal)
        } else {
            Err(PredictError::Forbidden {
                needed: &[Scope::Operator],
            })
        }
    }

    /// Who shows these credentials.
    ///
    /// # Errors
    /// `Unauthenticated`, with the reason.
    pub async fn principal(
        &self,
        credentials: &Credentials,
    ) -> Result<Arc<Principal>, PredictError> {
        Ok(Arc::clone(&self.known(credentials).await?.principal))
    }

    /// Who shows these credentials, if that is known without a look at the store.
    pub(crate) fn recognised(&self, credentials: &Credentials) -> Option<Arc<Principal>> {
        let hash = self.pepper.hash(credentials.key()?);
        let known = self.known.get(&hash)?;
        Some(Arc::clone(&known.principal))
    }

    async fn known(&self, credentials: &Credentials) -> Result<Arc<Known>, PredictError> {
        let text = credentials
            .key()
            .ok_or(PredictError::Unauthenticated(NO_KEY))?;
        if key::checksum_holds(text) == Some(false) {
            return Err(PredictError::Unauthenticated(MISTYPED));
        }
        let hash = self.pepper.hash(text);
        let known = self.known.get(&hash).map(|known| Arc::clone(&known));
        let known = match known {
            Some(known) => known,
            None => self.remember(hash).await?,
        };
        let (record, now) = (&known.record, self.clock.now());
        if record.revoked_at.is_some_and(|at| at <= now) {
            return Err(PredictError::Unauthenticated(REVOKED));
        }
        if record.expires_at.is_some_and(|at| at <= now) {
            return Err(PredictError::Unauthenticated(EXPIRED));
        }
        Ok(known)
    }

    async fn remember(&self, hash: KeyHash) -> Result<Arc<Known>, PredictError> {
        let before = self.changes.load(Ordering::Acquire);
        let found = self.keys.find(&hash).await?;
        let record = found.ok_or(PredictError::Unauthenticated(UNKNOWN))?;
        let tenant = record.tenant.as_ref().map(|id| self.registry.tenant(id));
        let principal = Arc::new(Principal {
            actor: record.id.shared(),
            key: Some(record.id.clone()),
            tenant: record.tenant.clone(),
            scopes: record.scopes,
        });
        let known = Arc::new(Known {
            record,
            principal,
            tenant,
        });
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        // A change counts itself before it removes, and both happen under the entry's lock: what was read before the
        // change is either not kept here, or removed right after.
        let entry = self.known.entry(hash);
        if self.changes.load(Ordering::Acquire) == before {
            entry.insert(Arc::clone(&known));
        }
        Ok(known)
    }

    async fn existing(&self, prefix: &str) -> Result<Arc<Tenant>, PredictError> {
        let tenant = TenantId::parse(prefix).map_err(|_| no_tenant(prefix))?;
        self.tenants
            .get(&tenant)
            .await?
            .ok_or_else(|| no_tenant(prefix))?;
        Ok(self.registry.tenant(&tenant))
    }

    /// Forgets a key after its end was set.
    pub(crate) fn key_changed(&self, id: &KeyId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known.retain(|_, known| known.record.id != *id);
    }

    /// Forgets the keys of a deleted tenant.
    pub(crate) fn tenant_gone(&self, tenant: &TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known
            .retain(|_, known| known.record.tenant.as_ref() != Some(tenant));
    }

    pub(crate) fn hash(&self, text: &str) -> KeyHash {
        self.pepper.hash(text)
    }

    pub(crate) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// What hashes of inputs are keyed with.
    pub(crate) fn secret_of_inputs(&self) -> [u8; 32] {
        self.pepper.derive("hashes of inputs")
    }

    /// Where a call comes from, as records show it: a keyed hash of its address, so that equal ones can be told, and
    /// the address itself cannot.
    pub(crate) fn origin(&self, call: &Call) -> Option<Arc<str>> {
        let address = call.address?.to_canonical();
        let hash = self.pepper.hash(&format!("address {address}"));
        let short = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
        Some(short.collect::<String>().into())
    }
}

fn no_tenant(name: &str) -> PredictError {
    PredictError::NotFound(format!("there is no tenant `{}`", shown(name)))
}
