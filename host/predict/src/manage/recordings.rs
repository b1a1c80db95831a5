//! Whether predictions are recorded and how long; what was recorded of a person, handed out and erased.

use std::sync::Arc;
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_store::{Act, EntryOf, PageSize, Pseudonym, RecordingPolicy};
use foretell_types::{RequestId, Scope, TenantId};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::Manager;
use super::acts::{self, Detailed};
use crate::call::Subject;
use crate::recording::{Recorded, Recorder};
use crate::stage::identify::Caller;
use crate::{Call, PredictError};

/// Recordings of one page, at most.
pub const MAX_RECORDINGS: u32 = 1_000;
/// Days that recordings are kept, at most: ten years.
pub const MAX_RECORDING_DAYS: u32 = 3_650;

const KEYS: &[Scope] = &[Scope::Keys];
const MS_PER_DAY: UnixMs = 86_400_000;
/// Sealed bytes of one page: it is all in memory at once.
const MAX_PAGE_BYTES: u64 = 8 << 20;
/// Recordings that one transaction of a sweep takes: predictions wait behind it.
const SWEPT_AT_ONCE: u32 = 1_000;
/// How often recordings are swept that are too old.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// What a sweep would take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPreview {
    /// What holds.
    pub policy: RecordingPolicy,
    /// How many recordings there are.
    pub recordings: u64,
    /// When the oldest was made; none = there is none.
    pub oldest: Option<UnixMs>,
    /// How many are older than they may be.
    pub due: u64,
}

/// That a person was erased: signed, so that it can be shown afterwards to whoever erased it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose person.
    pub tenant: TenantId,
    /// What stood for the person.
    pub subject: Pseudonym,
    /// How many recordings are gone.
    pub recordings: u64,
    /// When.
    pub at: UnixMs,
    /// The request that asked for it: there is a row of the audit log about it.
    pub request_id: RequestId,
    /// A keyed hash over all of this.
    pub signature: [u8; 32],
}

impl Receipt {
    fn signed(self, recorder: &Recorder) -> Self {
        // No part has a space.
        let text = format!(
            "erased {} {} {} {} {}",
            self.tenant, self.subject, self.recordings, self.at, self.request_id
        );
        Self {
            signature: recorder.signature(&text),
            ..self
        }
    }
}

impl Manager {
    /// Whether the caller's predictions are recorded, and how long recordings are kept.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn recording(&self, call: &Call) -> Result<RecordingPolicy, PredictError> {
        let caller = self.owner(call).await?;
        self.recorder().policy(&caller.tenant.id).await
    }

    /// Sets whether the caller's predictions are recorded from now on, and how long all recordings are kept.
    ///
    /// # Errors
    /// `Invalid` for days that are not 1 to [`MAX_RECORDING_DAYS`].
    pub async fn set_recording(
        &self,
        call: &Call,
        policy: RecordingPolicy,
    ) -> Result<RecordingPolicy, PredictError> {
        let caller = self.owner(call).await?;
        if !(1..=MAX_RECORDING_DAYS).contains(&policy.days) {
            return Err(PredictError::Invalid(format!(
                "`days` is 1 to {MAX_RECORDING_DAYS}"
            )));
        }
        let tenant = &caller.tenant.id;
        let entry = self.act(call, &caller, Act::RecordingSet, tenant.as_str());
        let entry: EntryOf<RecordingPolicy> = Arc::new(move |before| {
            let detail = json!({"before": before, "after": policy});
            entry.clone().with(&detail)
        });
        let retention = self.recorder().retention();
        retention.set_policy(tenant, policy, entry).await?;
        caller.tenant.account.changed();
        let RecordingPolicy { enabled, days } = policy;
        tracing::info!(%tenant, enabled, days, request_id = %call.request_id, "recording set");
        Ok(policy)
    }

    /// What of the caller's recordings a sweep would take now, without taking it.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn retention_preview(&self, call: &Call) -> Result<RetentionPreview, PredictError> {
        let caller = self.owner(call).await?;
        self.parts.evidence.flush().await?;
        let (tenant, recorder) = (&caller.tenant.id, self.recorder());
        let policy = recorder.policy(tenant).await?;
        let before = self.kept_since(policy);
        let held = recorder.retention().held(tenant, before).await?;
        Ok(RetentionPreview {
            policy,
            recordings: held.recordings,
            oldest: held.oldest,
            due: held.older,
        })
    }

    /// Deletes every tenant's recordings that are older than it wants; returns how many.
    ///
    /// # Errors
    /// Those of the store; what was deleted until then is gone.
    pub async fn sweep_recordings(&self) -> Result<u64, PredictError> {
        let mut swept = 0;
        for (tenant, policy) in self.recorder().retention().policies().await? {
            swept += self.sweep_recordings_of(&tenant, policy).await?;
        }
        Ok(swept)
    }

    async fn sweep_recordings_of(
        &self,
        tenant: &TenantId,
        policy: RecordingPolicy,
    ) -> Result<u64, PredictError> {
        let retention = self.recorder().retention();
        let before = self.kept_since(policy);
        let mut swept = 0;
        loop {
            let count = retention.sweep(tenant, before, SWEPT_AT_ONCE).await?;
            swept += count;
            if count < u64::from(SWEPT_AT_ONCE) {
                break;
            }
        }
        if swept > 0 {
            let (now, whose) = (self.parts.identity.now(), Some(tenant.clone()));
            let object = tenant.as_str().to_owned();
            let entry = acts::by_server(now, whose, Act::RecordingSweep, object);
            let detail = json!({"recordings": swept, "older_than": before, "days": policy.days});
            self.record(entry.with(&detail)).await?;
            tracing::info!(%tenant, recordings = swept, "recordings that were too old are deleted");
        }
        Ok(swept)
    }

    /// Sweeps every hour, as long as it is polled.
    pub async fn keep_retention(&self) {
        let mut hours = interval(SWEEP_EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            hours.tick().await;
            if let Err(error) = self.sweep_recordings().await {
                let cause = error.cause();
                tracing::warn!(%error, cause, "recordings could not be swept; it is tried again in an hour");
            }
        }
    }

    /// A page of what was recorded of a person, the oldest first: what lies after `after`, 0 for the first page. The
    /// empty text is whoever was not named. It is recorded that it was handed out.
    ///
    /// # Errors
    /// `Invalid` for a text that names nobody, and for a limit that is not 1 to [`MAX_RECORDINGS`].
    pub async fn export_subject(
        &self,
        call: &Call,
        subject: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Recorded>, PredictError> {
        let caller = self.owner(call).await?;
        let subject = self.subject(&caller, subject)?;
        if !(1..=MAX_RECORDINGS).contains(&limit) {
            return Err(PredictError::Invalid(format!(
                "`limit` is 1 to {MAX_RECORDINGS}"
            )));
        }
        self.parts.evidence.flush().await?;
        let entry = self.act(call, &caller, Act::SubjectExport, subject.to_string());
        let detail = json!({"after": after, "limit": limit});
        self.record(entry.with(&detail)).await?;
        let most = PageSize {
            rows: limit,
            bytes: MAX_PAGE_BYTES,
        };
        let tenant = &caller.tenant.id;
        self.recorder().page(tenant, &subject, after, most).await
    }

    /// Erases what was recorded of a person up to now: the key, and with it all recordings. The empty text is whoever
    /// was not named. What is predicted about the person afterwards is recorded anew.
    ///
    /// # Errors
    /// `Invalid` for a text that names nobody.
    pub async fn erase_subject(&self, call: &Call, subject: &str) -> Result<Receipt, PredictError> {
        let caller = self.owner(call).await?;
        let subject = self.subject(&caller, subject)?;
        // What still waits to be written is erased as well.
        self.parts.evidence.flush().await?;
        let entry = self.act(call, &caller, Act::SubjectErase, subject.to_string());
        let at = entry.at;
        let entry: EntryOf<u64> = Arc::new(move |recordings| {
            let detail = json!({"recordings": recordings});
            entry.clone().with(&detail)
        });
        let (tenant, recorder) = (caller.tenant.id.clone(), self.recorder());
        let recordings = recorder.store().erase(&tenant, &subject, entry).await?;
        // An answer that is kept does not say whom it is about.
        self.forget_answers_of(&tenant);
        tracing::info!(%tenant, %subject, recordings, request_id = %call.request_id, "a person is erased");
        let receipt = Receipt {
            tenant,
            subject,
            recordings,
            at,
            request_id: call.request_id.clone(),
            signature: [0; 32],
        };
        Ok(receipt.signed(recorder))
    }

    /// Whether a receipt was given by this host, as it stands, to the caller's tenant.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity).
    pub async fn receipt_holds(
        &self,
        call: &Call,
        receipt: &Receipt,
    ) -> Result<bool, PredictError> {
        let caller = self.owner(call).await?;
        let signed = receipt.clone().signed(self.recorder());
        // Its comparison takes as long for every wrong one.
        let [given, right] = [receipt.signature, signed.signature].map(blake3::Hash::from_bytes);
        Ok(given == right && receipt.tenant == caller.tenant.id)
    }

    async fn owner(&self, call: &Call) -> Result<Caller, PredictError> {
        let caller = self.parts.identity.caller(call, KEYS).await?;
        caller.must_be_for_all()?;
        Ok(caller)
    }

    fn recorder(&self) -> &Recorder {
        self.parts.evidence.recorder()
    }

    fn subject(&self, caller: &Caller, subject: &str) -> Result<Pseudonym, PredictError> {
        if !subject.is_empty() {
            Subject::parse(subject)?;
        }
        Ok(self.recorder().pseudonym(&caller.tenant.id, subject))
    }

    /// What was made before this moment is older than it may be.
    fn kept_since(&self, policy: RecordingPolicy) -> UnixMs {
        let now = self.parts.identity.now();
        now.saturating_sub(UnixMs::from(policy.days) * MS_PER_DAY)
    }
}
