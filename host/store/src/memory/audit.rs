//! The audit log in memory.

use async_trait::async_trait;

use super::{MemoryStore, State};
use crate::StoreError;
use crate::chain::{AuditKey, Head};
use crate::port::audit::{Audit, AuditQuery, AuditRecord, Entry, Page, Verdict, Whose};

#[async_trait]
impl Audit for MemoryStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<u64, StoreError> {
        let mut state = self.state();
        for entry in entries {
            state.record(&self.audit_key, entry);
        }
        Ok(state.head().seq)
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

    async fn verify(&self, expected_last: Option<u64>) -> Result<Verdict, StoreError> {
        let mut at = Head::EMPTY;
        let broken = at.follow(&self.audit_key, &self.state().audit);
        Ok(at.verdict(broken, expected_last))
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
