//! A tenant as the hot path sees it: one thing, which a request finds once, by its key.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use dashmap::DashMap;
use foretell_types::{ModelName, TenantId};

use crate::registry::ModelState;

/// What is kept of a tenant until it is deleted. There is one for each, and it is never replaced, for names of deleted
/// tenants stay taken: whoever holds it sees every change.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    predictions: AtomicUsize,
    uploads: AtomicUsize,
    pub(crate) models: DashMap<ModelName, Arc<ModelState>>,
}

/// What a tenant may have only so many of under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Prediction,
    Upload,
}

impl Act {
    /// What several of them are called.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Prediction => "predictions",
            Self::Upload => "uploads",
        }
    }
}

impl Tenant {
    pub(crate) fn new(id: TenantId) -> Self {
        Self {
            id,
            predictions: AtomicUsize::new(0),
            uploads: AtomicUsize::new(0),
            models: DashMap::new(),
        }
    }

    /// How many it has under way.
    pub(crate) const fn under_way(&self, act: Act) -> &AtomicUsize {
        match act {
            Act::Prediction => &self.predictions,
            Act::Upload => &self.uploads,
        }
    }
}
