//! Calls that are done once however often they are sent (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header-07).
//!
//! A call's mark is a keyed hash of who asks and of the key that it brought; it stands in the call's row of the audit log,
//! which is written in the same transaction as what the call costs. So there is no moment at which a crash leaves a
//! charge without its mark: what is sent again after one is charged if, and only if, it was not before. Nothing of the
//! answer is kept: a prediction that is sent again is run again, free of charge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use foretell_store::{Act, AuditRecord, Mark};
use foretell_types::{Digest, TenantId};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::identify::{Caller, Identity, Principal};
use crate::{Call, Evidence, PredictError, Target};

/// How long to wait before a row is looked for again that could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a key, at most.
const MAX_KEY_BYTES: usize = 255;

/// The marks of predictions that are under way, or whose rows are not written yet.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(DashMap<Mark, ()>);

/// A prediction that is to be done once.
pub(crate) struct Once {
    mark: Mark,
    /// Its row, if it was done before.
    before: Option<AuditRecord>,
    under_way: Arc<UnderWay>,
    evidence: Arc<Evidence>,
    /// Whether a row with the mark waits to be written.
    is_queued: AtomicBool,
}

/// The mark of a call that brings a key. `what` tells apart what the same key may be brought for.
///
/// # Errors
/// `Invalid` for a key that is none.
pub(crate) fn mark(
    identity: &Identity,
    call: &Call,
    by: &Principal,
    tenant: Option<&TenantId>,
    what: &str,
) -> Result<Option<Mark>, PredictError> {
    let Some(key) = call.idempotency_key.as_deref() else {
        return Ok(None);
    };
    let is_key =
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key {
        return Err(PredictError::Invalid(format!(
            "`Idempotency-Key` stands once and has 1 to {MAX_KEY_BYTES} visible ASCII characters without blanks, such as a UUID"
        )));
    }
    let tenant = tenant.map_or("", TenantId::as_str);
    // None of the parts before the key holds a line break.
    let text = format!("once\n{what}\n{tenant}\n{}\n{key}", by.actor);
    Ok(Some(identity.hash(&text)))
}

/// What who uses a key again for something else is told.
pub(crate) fn is_another() -> PredictError {
    PredictError::Conflict(
        "this Idempotency-Key was used for another request; make a new one for each request and keep it for its repetitions"
            .to_owned(),
    )
}

impl Once {
    /// Begins a prediction that brings a key; none = it brings none.
    ///
    /// # Errors
    /// `Conflict` while one with the same key is under way; those of [`mark`] and of the store.
    pub(crate) async fn begin(
        identity: &Identity,
        under_way: &Arc<UnderWay>,
        evidence: &Arc<Evidence>,
        call: &Call,
        caller: &Caller,
    ) -> Result<Option<Self>, PredictError> {
        let tenant = Some(&caller.tenant.id);
        let Some(mark) = mark(identity, call, &caller.principal, tenant, "predict")? else {
            return Ok(None);
        };
        if !evidence.records_predictions() {
            return Err(PredictError::Invalid(
                "`Idempotency-Key` needs records of predictions, and this server keeps none (`audit.predictions`); leave it out"
                    .to_owned(),
            ));
        }
        if under_way.0.insert(mark, ()).is_some() {
            return Err(PredictError::Conflict(
                "a call with this Idempotency-Key is under way; send it again in a moment"
                    .to_owned(),
            ));
        }
        let mut once = Self {
            mark,
            before: None,
            under_way: Arc::clone(under_way),
            evidence: Arc::clone(evidence),
            is_queued: AtomicBool::new(false),
        };
        once.before = evidence.marked(&mark).await?;
        Ok(Some(once))
    }

    /// What to mark the row with; none = it was done before, and this one is free.
    ///
    /// # Errors
    /// `Conflict` if what was done before was something else.
    pub(crate) fn to_mark(
        &self,
        target: &Target,
        input: &[u8; 32],
    ) -> Result<Option<Mark>, PredictError> {
        let Some(before) = &self.before else {
            return Ok(Some(self.mark));
        };
        let entry = &before.entry;
        let of_model = entry.object.rsplit_once('/').map(|(model, _)| model);
        let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
        // What stands for inputs is another for each version, so that of another one says nothing.
        let is_version = detail["digest"].as_str() == Some(&*target.digest.to_string());
        let is_input = !is_version
            || detail["input"].as_str() == Some(&*Digest::from_bytes(*input).to_string());
        if entry.act == Act::Predict && of_model == Some(target.model.as_str()) && is_input {
            Ok(None)
        } else {
            Err(is_another())
        }
    }

    /// Whether it was done before.
    pub(crate) const fn is_repeated(&self) -> bool {
        self.before.is_some()
    }

    /// A row with the mark waits to be written.
    pub(crate) fn queued(&self) {
        self.is_queued.store(true, Ordering::Release);
    }

    /// Waits until its row is written.
    ///
    /// # Errors
    /// Those of the store; the key is taken again once it is written.
    pub(crate) async fn written(self) -> Result<(), PredictError> {
        if self.is_queued.load(Ordering::Acquire) {
            self.evidence.flush().await?;
            self.is_queued.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if !self.is_queued.load(Ordering::Acquire) {
            self.under_way.0.remove(&self.mark);
            return;
        }
        // Its caller went away, or its row could not be written: nobody may begin it again before that is there.
        let (evidence, under_way, mark) = (
            Arc::clone(&self.evidence),
            Arc::clone(&self.under_way),
            self.mark,
        );
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while evidence.flush().await.is_err() {
                    sleep_until(Instant::now() + PAUSE).await;
                }
                under_way.0.remove(&mark);
            });
        }
    }
}
