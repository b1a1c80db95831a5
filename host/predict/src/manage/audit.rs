//! The audit log, read and checked.

use std::sync::Arc;

use foretell_store::{AuditQuery, AuditRecord, Checkpoint, Known, Page, TreeHead, Verdict, Whose};
use foretell_types::{ErrorKind, Scope};

use super::Manager;
use crate::evidence::{Checkpointer, Refused};
use crate::{Call, PredictError, apart};

/// Rows of one page, at most.
pub const MAX_AUDIT_ROWS: u32 = 1_000;
/// Checkpoints of one page, at most.
pub const MAX_CHECKPOINTS: u32 = 1_000;

const READ: &[Scope] = &[Scope::Audit];

/// What a look at the whole log came to, as far as whoever asks may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The first row that is not what was written; none = all are.
    pub verdict: Verdict,
    /// Whether to say how many rows there are: it is the whole host's number, and an operator's to know.
    pub is_operators: bool,
}

/// Checkpoints as those outside read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointPage {
    /// The public key, as tools for signed notes take it.
    pub key: String,
    /// The checkpoints, ordered by their size.
    pub checkpoints: Vec<Checkpoint>,
}

impl Manager {
    /// Counts a request that was refused, other than a prediction: `what` is its method and route.
    pub fn refused(&self, call: &Call, what: &str, kind: ErrorKind) {
        let identity = &self.parts.identity;
        let by = identity.recognised(&call.credentials);
        let refused = Refused {
            origin: identity.origin(call),
            ..Refused::of(by.as_deref(), what, kind)
        };
        self.parts.evidence.refused(refused, &call.request_id);
    }

    /// Rows of the log: a tenant's own, or, for an operator without prefix, everybody's. `query.whose` is decided here.
    ///
    /// # Errors
    /// `Invalid` for a limit that is not 1 to [`MAX_AUDIT_ROWS`]; those of [`Identity`](crate::Identity) and the store.
    pub async fn audit(
        &self,
        call: &Call,
        mut query: AuditQuery,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, PredictError> {
        let (_, tenant) = self.parts.identity.viewer(call, READ).await?;
        if !(1..=MAX_AUDIT_ROWS).contains(&limit) {
            return Err(PredictError::Invalid(format!(
                "`limit` is 1 to {MAX_AUDIT_ROWS}"
            )));
        }
        query.whose = tenant.map_or(Whose::All, |tenant| Whose::Tenant(tenant.id.clone()));
        // What was asked for before this is to be seen in it.
        self.parts.evidence.flush().await?;
        let audit = Arc::clone(&self.parts.audit);
        let read = async move { audit.page(&query, page, limit).await };
        Ok(self.scan(read).await??)
    }

    /// Reads the whole log and finds the first row that is not what was written. Stored checkpoints are compared on the way.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn verify_audit(&self, call: &Call) -> Result<Checked, PredictError> {
        let (principal, tenant) = self.parts.identity.viewer(call, READ).await?;
        let is_operators = principal.is_operator() && tenant.is_none();
        self.look_at_audit(Vec::new(), is_operators).await
    }

    /// The same, and compares the checkpoints in a text as well, such as the content of a file of checkpoints that was kept
    /// elsewhere: what was cut off, or written anew by somebody who has the server's secrets, is found by them alone. For
    /// operators.
    ///
    /// # Errors
    /// `Invalid` for a text without checkpoints, and for one that this server has not signed; those of
    /// [`Identity`](crate::Identity) and the store.
    pub async fn verify_audit_against(
        &self,
        call: &Call,
        text: &str,
    ) -> Result<Checked, PredictError> {
        self.parts.identity.operator(call).await?;
        let checkpointer = self.checkpointer()?;
        let heads = apart(text.len(), || checkpointer.read(text)).await?;
        self.look_at_audit(heads, true).await
    }

    /// Checkpoints over more rows than `after`, and the key that they are signed with. For operators, since they tell how
    /// many rows there are.
    ///
    /// # Errors
    /// `Invalid` for a limit that is not 1 to [`MAX_CHECKPOINTS`]; those of [`Identity`](crate::Identity) and the store.
    pub async fn checkpoints(
        &self,
        call: &Call,
        after: u64,
        limit: u32,
    ) -> Result<CheckpointPage, PredictError> {
        self.parts.identity.operator(call).await?;
        if !(1..=MAX_CHECKPOINTS).contains(&limit) {
            return Err(PredictError::Invalid(format!(
                "`limit` is 1 to {MAX_CHECKPOINTS}"
            )));
        }
        let checkpointer = self.checkpointer()?;
        Ok(CheckpointPage {
            key: checkpointer.verifier().to_string(),
            checkpoints: checkpointer.page(after, limit).await?,
        })
    }

    async fn look_at_audit(
        &self,
        mut heads: Vec<TreeHead>,
        is_operators: bool,
    ) -> Result<Checked, PredictError> {
        let evidence = &self.parts.evidence;
        let checkpointer = evidence.checkpointer();
        // What this server remembers is no less from elsewhere than a file.
        heads.extend(checkpointer.and_then(Checkpointer::newest));
        let known = Known {
            last: evidence.last_known(),
            signer: checkpointer.map(|checkpointer| checkpointer.verifier().clone()),
            heads,
        };
        let Ok(alone) = Arc::clone(&self.verifying).try_lock_owned() else {
            return Err(PredictError::Conflict(
                "the log is being checked for somebody else; ask again when that has ended".into(),
            ));
        };
        let audit = Arc::clone(&self.parts.audit);
        let verdict = self.scan(async move {
            let verdict = audit.verify(known).await;
            drop(alone);
            verdict
        });
        let verdict = verdict.await??;
        if let Some(broken) = &verdict.broken {
            tracing::error!(
                row = broken.seq,
                fault = broken.fault.as_str(),
                checkpoint = broken.fault.checkpoint(),
                "the audit log is not what was written"
            );
        }
        Ok(Checked {
            verdict,
            is_operators,
        })
    }

    fn checkpointer(&self) -> Result<&Checkpointer, PredictError> {
        let checkpointer = self.parts.evidence.checkpointer();
        checkpointer.ok_or_else(|| {
            PredictError::NotFound("this server makes no checkpoints of its audit log".into())
        })
    }
}
