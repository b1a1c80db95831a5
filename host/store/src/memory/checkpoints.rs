//! Checkpoints in memory.

use std::collections::btree_map::Entry;

use async_trait::async_trait;

use super::MemoryStore;
use crate::port::audit::{Page, RowHash};
use crate::{Checkpoint, Checkpoints, StoreError, refusal};

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn hashes(&self, after: u64, limit: u32) -> Result<Vec<RowHash>, StoreError> {
        let state = self.state();
        // Rows stand at their numbers: none is ever missing here.
        let rows = state
            .audit
            .iter()
            .skip(usize::try_from(after).unwrap_or(usize::MAX));
        Ok(rows.take(limit as usize).map(|row| row.hash).collect())
    }

    async fn add(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        match self.state().checkpoints.entry(checkpoint.size) {
            Entry::Occupied(_) => Err(refusal::checkpoint_taken(checkpoint.size)),
            Entry::Vacant(place) => {
                place.insert(checkpoint.clone());
                Ok(())
            }
        }
    }

    async fn page(&self, page: Page, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        let state = self.state();
        let all = state.checkpoints.values();
        let limit = limit as usize;
        Ok(match page {
            Page::After(after) => all
                .filter(|checkpoint| checkpoint.size > after)
                .take(limit)
                .cloned()
                .collect(),
            Page::Before(before) => all
                .rev()
                .filter(|checkpoint| before.is_none_or(|before| checkpoint.size < before))
                .take(limit)
                .cloned()
                .collect(),
        })
    }
}
