//! Who asks, and on whose behalf: credentials to a [`Principal`], and a principal to the tenant that it may act for.
//!
//! Credentials are an API key of ours, or a token of a configured issuer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use foretell_store::port::UnixMs;
use foretell_store::port::keys::KeyHash;
use foretell_store::{KeyRecord, Keys, Mark, Tenants};
use foretell_types::{KeyId, ModelName, Scope, Scopes, TenantId};

use crate::jwt::Tokens;
use crate::key::{self, Pepper};
use crate::login::network;
use crate::registry::Registry;
use crate::session::Sessions;
use crate::stage::bearer::{Bearer, Issuers};
use crate::tenant::Tenant;
use crate::text::shown;
use crate::{Call, Clock, Credentials, PredictError};

/// Keys kept in memory, at most; beyond that all are dropped and read again.
const MAX_KNOWN: usize = 100_000;
/// How long a token is not looked at again: its issuer may take back the key that signed it.
const TOKEN_IS_KNOWN_MS: UnixMs = 60_000;
/// How exactly it is known when a key was last shown.
const SHOWN_MS: UnixMs = 1_000;

const NO_KEY: &str =
    "no API key: send it as `Authorization: Bearer KEY`, with that word, or as `X-API-Key: KEY`";
const MISTYPED: &str = "the API key is mistyped: its checksum does not match";
const UNKNOWN: &str = "the API key is unknown";
const REVOKED: &str = "the API key is revoked";
const EXPIRED: &str = "the API key is expired";
const NO_TOKENS: &str = "this server takes no tokens; use an API key";
const TENANT_GONE: &str = "the token names a tenant that this server does not have";

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
    /// Models that it is for; none = all.
    pub models: Option<BTreeSet<ModelName>>,
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

impl Caller {
    /// Whether the caller is for a model.
    pub(crate) fn is_for(&self, model: &ModelName) -> bool {
        let mut models = self.principal.models.iter();
        models.all(|models| models.contains(model))
    }

    /// The same, for who is to be refused. Decided by the name alone: it says nothing of what there is.
    ///
    /// # Errors
    /// `NotItsModel`.
    pub(crate) fn must_be_for(&self, model: &ModelName) -> Result<(), PredictError> {
        if self.is_for(model) {
            return Ok(());
        }
        Err(PredictError::NotItsModel {
            model: model.to_string(),
        })
    }

    /// The same for what is about all models.
    ///
    /// # Errors
    /// `NotItsModels`.
    pub(crate) fn must_be_for_all(&self) -> Result<(), PredictError> {
        match self.principal.models {
            None => Ok(()),
            Some(_) => Err(PredictError::NotItsModels),
        }
    }
}

/// Who showed something before, and the tenant whose it is.
struct Known {
    principal: Arc<Principal>,
    tenant: Option<Arc<Tenant>>,
    until: Until,
    /// When it was last shown; 0 = that was kept.
    shown_at: AtomicI64,
}

/// How long what was shown opens something.
enum Until {
    /// A key, until these.
    Key {
        revoked_at: Option<UnixMs>,
        expires_at: Option<UnixMs>,
    },
    /// A token, until it is looked at again.
    Token { again_at: UnixMs },
}

impl Until {
    fn is_to_be_asked_again(&self, now: UnixMs) -> bool {
        matches!(self, Self::Token { again_at } if *again_at <= now)
    }

    fn holds(&self, now: UnixMs) -> Result<(), PredictError> {
        let Self::Key {
            revoked_at,
            expires_at,
        } = self
        else {
            return Ok(());
        };
        if revoked_at.is_some_and(|at| at <= now) {
            return Err(PredictError::Unauthenticated(REVOKED));
        }
        if expires_at.is_some_and(|at| at <= now) {
            return Err(PredictError::Unauthenticated(EXPIRED));
        }
        Ok(())
    }
}

/// Tells who asks.
pub struct Identity {
    keys: Arc<dyn Keys>,
    tenants: Arc<dyn Tenants>,
    pepper: Pepper,
    clock: Clock,
    registry: Arc<Registry>,
    /// Whose tokens open something as well.
    issuers: Option<Issuers>,
    /// Who is in by name and password.
    sessions: Option<Arc<Sessions>>,
    /// What opened something. Unknown keys and tokens are not kept, so that guesses cost no memory.
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
            issuers: None,
            sessions: None,
            known: DashMap::new(),
            changes: AtomicU64::new(0),
        }
    }

    /// Takes the tokens of these issuers as well.
    #[must_use]
    pub fn with_issuers(mut self, issuers: Issuers) -> Self {
        self.issuers = Some(issuers);
        self
    }

    /// Takes sessions as well.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Arc<Sessions>) -> Self {
        self.sessions = Some(sessions);
        self
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
        if let (Some(sessions), Some(secret)) = (&self.sessions, credentials.session()) {
            return sessions.recognised(secret);
        }
        let hash = self.pepper.hash(credentials.key()?);
        let known = self.known.get(&hash)?;
        Some(Arc::clone(&known.principal))
    }

    async fn known(&self, credentials: &Credentials) -> Result<Arc<Known>, PredictError> {
        if let (Some(sessions), Some(secret)) = (&self.sessions, credentials.session()) {
            let (principal, _) = sessions.principal(secret).await?;
            let tenant = principal.tenant.as_ref();
            return Ok(Arc::new(Known {
                tenant: tenant.map(|id| self.registry.tenant(id)),
                principal,
                // What is known of a session is kept with the sessions.
                until: Until::Token { again_at: 0 },
                shown_at: AtomicI64::new(0),
            }));
        }
        let text = credentials
            .key()
            .ok_or(PredictError::Unauthenticated(NO_KEY))?;
        let is_token = Tokens::looks_like(text);
        if !is_token && key::checksum_holds(text) == Some(false) {
            return Err(PredictError::Unauthenticated(MISTYPED));
        }
        let hash = self.pepper.hash(text);
        let known = self.known.get(&hash).map(|known| Arc::clone(&known));
        let now = self.clock.now();
        let known = match known {
            Some(known) if !known.until.is_to_be_asked_again(now) => known,
            _ if is_token => self.remember_token(hash, text).await?,
            _ => self.remember_key(hash).await?,
        };
        known.until.holds(now)?;
        // Written once in a while only: the place in memory is everybody's who shows this key.
        if now - known.shown_at.load(Ordering::Relaxed) >= SHOWN_MS {
            known.shown_at.store(now, Ordering::Relaxed);
        }
        Ok(known)
    }

    /// Adds to what is stored of keys when they were shown since.
    pub(crate) fn add_uses(&self, keys: &mut [KeyRecord]) {
        for known in &self.known {
            let shown_at = known.shown_at.load(Ordering::Relaxed);
            let key = known.principal.key.as_ref();
            if let Some(key) = keys.iter_mut().find(|record| Some(&record.id) == key)
                && shown_at > 0
            {
                key.last_used_at = key.last_used_at.max(Some(to_the_minute(shown_at)));
            }
        }
    }

    /// Keeps when keys were last shown.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn keep_uses(&self) -> Result<(), PredictError> {
        let uses = self.known.iter().filter_map(|known| {
            let key = known.principal.key.clone()?;
            let at = known.shown_at.swap(0, Ordering::Relaxed);
            (at > 0).then(|| (key, to_the_minute(at)))
        });
        let uses: Vec<_> = uses.collect();
        if uses.is_empty() {
            return Ok(());
        }
        Ok(self.keys.used(uses).await?)
    }

    async fn remember_key(&self, hash: KeyHash) -> Result<Arc<Known>, PredictError> {
        let before = self.changes.load(Ordering::Acquire);
        let found = self.keys.find(&hash).await?;
        let record = found.ok_or(PredictError::Unauthenticated(UNKNOWN))?;
        let tenant = record.tenant.as_ref().map(|id| self.registry.tenant(id));
        let principal = Principal {
            actor: record.id.shared(),
            key: Some(record.id),
            tenant: record.tenant,
            scopes: record.scopes,
            models: record.models,
        };
        let until = Until::Key {
            revoked_at: record.revoked_at,
            expires_at: record.expires_at,
        };
        Ok(self.keep(hash, before, principal, tenant, until))
    }

    async fn remember_token(&self, hash: KeyHash, token: &str) -> Result<Arc<Known>, PredictError> {
        let before = self.changes.load(Ordering::Acquire);
        let issuers = self.issuers.as_ref();
        let issuers = issuers.ok_or(PredictError::Unauthenticated(NO_TOKENS))?;
        let shown = issuers.bearer(token).await;
        // What opened something a minute ago may do so no longer.
        let bearer = shown.inspect_err(|_| drop(self.known.remove(&hash)))?;
        let Bearer {
            actor,
            tenant: id,
            scopes,
            expires_at,
        } = bearer;
        let tenant = match &id {
            None => None,
            Some(id) => {
                let record = self.tenants.get(id).await?;
                record.ok_or(PredictError::Unauthenticated(TENANT_GONE))?;
                Some(self.registry.tenant(id))
            }
        };
        let principal = Principal {
            actor,
            key: None,
            tenant: id,
            scopes,
            models: None,
        };
        let again_at = expires_at.min(self.clock.now() + TOKEN_IS_KNOWN_MS);
        Ok(self.keep(hash, before, principal, tenant, Until::Token { again_at }))
    }

    /// Keeps what was read, unless something has changed since `before`.
    fn keep(
        &self,
        hash: KeyHash,
        before: u64,
        principal: Principal,
        tenant: Option<Arc<Tenant>>,
        until: Until,
    ) -> Arc<Known> {
        let known = Arc::new(Known {
            principal: Arc::new(principal),
            tenant,
            until,
            shown_at: AtomicI64::new(0),
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
        known
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
        self.known
            .retain(|_, known| known.principal.key.as_ref() != Some(id));
    }

    /// Forgets the keys of a deleted tenant.
    pub(crate) fn tenant_gone(&self, tenant: &TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known
            .retain(|_, known| known.principal.tenant.as_ref() != Some(tenant));
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

    /// What the key of a mark is made of.
    pub(crate) fn source_of(&self, mark: &Mark) -> key::Source {
        key::Source::of_mark(&self.pepper.derive("keys made once"), mark)
    }

    /// Where a call comes from, as records show it: a keyed hash of its address, so that equal ones can be told, and
    /// the address itself cannot. Of IPv6 it is the first half, which is what one customer of a provider has.
    pub(crate) fn origin(&self, call: &Call) -> Option<Arc<str>> {
        let (family, network) = network(call.address?);
        let hash = self.pepper.hash(&format!("address {family} {network:x}"));
        let short = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
        Some(short.collect::<String>().into())
    }
}

/// The begin of a moment's minute.
const fn to_the_minute(at: UnixMs) -> UnixMs {
    at - at.rem_euclid(60_000)
}

fn no_tenant(name: &str) -> PredictError {
    PredictError::NotFound(format!("there is no tenant `{}`", shown(name)))
}
