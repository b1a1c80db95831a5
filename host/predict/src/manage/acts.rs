//! What is recorded of an act: who did it, with what, what was before and after.

use foretell_store::{Act, Entry, KeyRecord, Mark, Traffic};
use foretell_types::{ModelName, TenantId};
use serde_json::{Value, json};

use super::Manager;
use crate::stage::identify::{Caller, Principal};
use crate::stage::once;
use crate::{Call, PredictError};

/// Who acts where nobody asked for it.
pub(crate) const SERVER: &str = "server";

impl Manager {
    /// What is recorded of a caller's act on its tenant's things.
    pub(super) fn act(
        &self,
        call: &Call,
        caller: &Caller,
        act: Act,
        object: impl Into<String>,
    ) -> Entry {
        let tenant = Some(caller.tenant.id.clone());
        self.act_on(call, &caller.principal, tenant, act, object)
    }

    /// The same of any principal's, on a tenant's things or on the host's.
    pub(super) fn act_on(
        &self,
        call: &Call,
        by: &Principal,
        tenant: Option<TenantId>,
        act: Act,
        object: impl Into<String>,
    ) -> Entry {
        Entry {
            at: self.parts.identity.now(),
            tenant,
            actor: by.actor.clone(),
            act,
            object: object.into(),
            outcome: "ok".into(),
            request_id: Some(call.request_id.clone()),
            origin: self.parts.identity.origin(call),
            detail: "{}".to_owned(),
            once: None,
        }
    }

    /// What an act is found by that is to be done once; none = its call does not say so.
    ///
    /// # Errors
    /// `Invalid` for an `Idempotency-Key` that is none.
    pub(super) fn mark(
        &self,
        call: &Call,
        by: &Principal,
        tenant: Option<&TenantId>,
    ) -> Result<Option<Mark>, PredictError> {
        once::mark(&self.parts.identity, call, by, tenant, "manage")
    }

    /// Records an act that no transaction of the store is part of, before it is done: what cannot be recorded does not
    /// happen.
    ///
    /// # Errors
    /// `Unavailable` if the log cannot be written.
    pub(super) async fn record(&self, entry: Entry) -> Result<(), PredictError> {
        self.parts.audit.append(vec![entry]).await?;
        Ok(())
    }
}

/// An act of the server itself.
pub(crate) fn by_server(
    at: foretell_store::port::UnixMs,
    tenant: Option<TenantId>,
    act: Act,
    object: String,
) -> Entry {
    Entry {
        at,
        tenant,
        actor: SERVER.into(),
        act,
        object,
        outcome: "ok".into(),
        request_id: None,
        origin: None,
        detail: "{}".to_owned(),
        once: None,
    }
}

/// An entry that says more.
pub(crate) trait Detailed {
    /// With this, which is a JSON object.
    fn with(self, detail: &Value) -> Self;
}

impl Detailed for Entry {
    fn with(mut self, detail: &Value) -> Self {
        self.detail = detail.to_string();
        self
    }
}

/// A key as the log shows it.
pub(crate) fn key(record: &KeyRecord) -> Value {
    json!({
        "label": record.label,
        "scopes": record.scopes.to_string(),
        "models": record.models.as_ref().map(|models| models.iter().map(ModelName::as_str).collect::<Vec<_>>()),
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
    })
}

/// Traffic as the log shows it.
pub(crate) fn traffic(traffic: &Traffic) -> Value {
    let canary = traffic.canary.as_ref().map(|canary| {
        json!({
            "version": canary.version.as_str(),
            "percent": f64::from(canary.share) / 100.0,
            "header": canary.header.as_ref().map(|header| format!("{}: {}", header.name, header.value)),
            "keys": canary.keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
            "sticky": canary.sticky,
            "guard": canary.guard.as_ref().map(|guard| json!({
                "window": guard.window,
                "min_calls": guard.min_calls,
                "errors_percent": guard.errors.map(|errors| f64::from(errors) / 100.0),
                "traps": guard.traps,
                "latency_ms": guard.latency_ms,
            })),
        })
    });
    json!({
        "active": traffic.active.as_ref().map(|version| version.as_str()),
        "canary": canary,
        "shadow": traffic.shadow.as_ref().map(|version| version.as_str()),
    })
}
