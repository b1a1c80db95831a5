//! The audit log in memory.

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::chain::{AuditKey, Head};
use crate::port::audit::{
    Audit, AuditQuery, AuditRecord, Entry, Known, Mark, Page, Verdict, Whose,
};
use crate::walk::{Stored, Walk};
use crate::{StoreError, refusal};

#[async_trait]
impl Audit for MemoryStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<u64, StoreError> {
        let mut state = self.state();
        for entry in &entries {
            state.must_be_new(entry)?;
        }
        for entry in entries {
            state.record(&self.audit_key, entry);
        }
        Ok(state.head().seq)
    }

    async fn marked(&self, mark: &Mark) -> Result<Option<AuditRecord>, StoreError> {
        let state = self.state();
        let mut records = state.audit.iter();
        let found = records.find(|record| record.entry.once.as_ref() == Some(mark));
        Ok(found.cloned())
    }

    async fn page(
        &self,
        query: &AuditQuery,
        page: Page,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let state = self.state();
        let wanted = state.audit.iter().filter(|record| matches(query, record));
        let limit = limit as usize;
        Ok(match page {
            Page::After(after) => wanted
                .filter(|record| record.seq > after)
                .take(limit)
                .cloned()
                .collect(),
            Page::Before(before) => wanted
                .rev()
                .filter(|record| before.is_none_or(|before| record.seq < before))
                .take(limit)
                .cloned()
                .collect(),
        })
    }

    async fn last(&self) -> Result<u64, StoreError> {
        Ok(self.state().head().seq)
    }

    async fn verify(&self, known: Known) -> Result<Verdict, StoreError> {
        let state = self.state();
        let mut walk = Walk::new(&self.audit_key, known);
        if walk.wants_stored() {
            walk.expect(state.checkpoints.values().map(|checkpoint| Stored {
                size: checkpoint.size,
                note: checkpoint.note.clone(),
            }));
        }
        for record in &state.audit {
            if let Err(broken) = walk.pass(Some(record)) {
                return Ok(walk.verdict(Some(broken)));
            }
        }
        Ok(walk.end())
    }
}

impl State {
    pub(super) fn head(&self) -> Head {
        self.audit.last().map_or(Head::EMPTY, |last| Head {
            seq: last.seq,
            at: last.entry.at,
            hash: last.hash,
        })
    }

    /// Whether there is a row already for what is to be done once.
    pub(super) fn is_done(&self, entry: &Entry) -> bool {
        let mark = entry.once.as_ref();
        mark.is_some() && self.audit.iter().any(|row| row.entry.once.as_ref() == mark)
    }

    /// # Errors
    /// `Conflict` for what was done already, and is to be done once.
    pub(super) fn must_be_new(&self, entry: &Entry) -> Result<(), StoreError> {
        if self.is_done(entry) {
            return Err(refusal::done_already());
        }
        Ok(())
    }

    /// Adds a row to the chain.
    pub(super) fn record(&mut self, key: &AuditKey, entry: Entry) {
        let record = self.head().link(key, entry);
        self.audit.push(record);
    }
}

fn matches(query: &AuditQuery, record: &AuditRecord) -> bool {
    let entry = &record.entry;
    let is_whose = match &query.whose {
        Whose::All => true,
        Whose::Tenant(tenant) => entry.tenant.as_ref() == Some(tenant),
    };
    let equal = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
    is_whose
        && query.act.is_none_or(|act| act == entry.act)
        && equal(&query.actor, &entry.actor)
        && equal(&query.outcome, &entry.outcome)
        && equal(&query.object, &entry.object)
        && (query.request_id.is_none() || query.request_id == entry.request_id)
        && query.since.is_none_or(|since| entry.at >= since)
        && query.until.is_none_or(|until| entry.at < until)
}
