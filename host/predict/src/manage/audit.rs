//! The audit log, read and checked.

use foretell_store::{AuditQuery, AuditRecord, Page, Verdict, Whose};
use foretell_types::{ErrorKind, Scope};

use super::Manager;
use crate::evidence::Refused;
use crate::{Call, PredictError};

/// Rows of one page, at most.
pub const MAX_AUDIT_ROWS: u32 = 1_000;

const READ: &[Scope] = &[Scope::Audit];

/// What a look at the whole log came to, as far as whoever asks may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The first row that is not what was written; none = all are.
    pub verdict: Verdict,
    /// Whether to say how many rows there are: it is the whole host's number, and an operator's to know.
    pub is_operators: bool,
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
        Ok(self.parts.audit.page(&query, page, limit).await?)
    }

    /// Reads the whole log and finds the first row that is not what was written.
    ///
    /// # Errors
    /// Those of [`Identity`](crate::Identity) and the store.
    pub async fn verify_audit(&self, call: &Call) -> Result<Checked, PredictError> {
        let (principal, tenant) = self.parts.identity.viewer(call, READ).await?;
        let expected_last = self.parts.evidence.last_known();
        let verdict = self.parts.audit.verify(expected_last).await?;
        if let Some(broken) = &verdict.broken {
            tracing::error!(
                row = broken.seq,
                fault = broken.fault.as_str(),
                "the audit log is not what was written"
            );
        }
        Ok(Checked {
            verdict,
            is_operators: principal.is_operator() && tenant.is_none(),
        })
    }
}
