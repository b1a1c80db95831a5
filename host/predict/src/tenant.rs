//! A tenant as the hot path sees it: one thing, which a request finds once, by its key.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use dashmap::DashMap;
use foretell_types::{ModelName, ModelVersion, TenantId};

use crate::account::Account;
use crate::registry::ModelState;
use crate::release::{OnGuard, Trial};
use crate::statistics::{Counts, Statistics};

/// What is kept of a tenant until it is deleted. There is one for each, and it is never replaced, for names of deleted
/// tenants stay taken: whoever holds it sees every change.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    predictions: AtomicUsize,
    uploads: AtomicUsize,
    copies: AtomicUsize,
    /// What it may use, and has used.
    pub(crate) account: Account,
    pub(crate) models: DashMap<ModelName, Arc<ModelState>>,
    /// Of each version that was asked for since the server started.
    statistics: DashMap<(ModelName, ModelVersion), Arc<Statistics>>,
    /// Of each model that has a canary.
    trials: DashMap<ModelName, Arc<Trial>>,
}

/// What a tenant may have only so many of under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Prediction,
    Upload,
    /// A prediction that is run for nobody, to see what a version would say.
    Copy,
}

impl Activity {
    /// What several of them are called.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Prediction => "predictions",
            Self::Upload => "uploads",
            Self::Copy => "copies of predictions",
        }
    }
}

impl Tenant {
    pub(crate) fn new(id: TenantId) -> Self {
        Self {
            id,
            predictions: AtomicUsize::new(0),
            uploads: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            account: Account::default(),
            models: DashMap::new(),
            statistics: DashMap::new(),
            trials: DashMap::new(),
        }
    }

    /// The counts of a version, begun where there are none yet.
    pub(crate) fn statistics(&self, model: &ModelName, version: &ModelVersion) -> Arc<Statistics> {
        let key = (model.clone(), version.clone());
        Arc::clone(&self.statistics.entry(key).or_default())
    }

    /// What a version was asked so far.
    pub(crate) fn counts(&self, model: &ModelName, version: &ModelVersion) -> Counts {
        let key = (model.clone(), version.clone());
        let known = self.statistics.get(&key);
        known.map_or_else(Counts::default, |known| known.counts())
    }

    /// How the canary of a model does; begun anew for another one, or another guard.
    pub(crate) fn trial(&self, model: &ModelName, of: OnGuard) -> Arc<Trial> {
        let entry = self.trials.entry(model.clone());
        let mut trial = entry.or_insert_with(|| Arc::new(Trial::new(of.clone())));
        if trial.of != of {
            trial.end();
            *trial = Arc::new(Trial::new(of));
        }
        Arc::clone(&trial)
    }

    /// The same, for whoever may have read of a canary that is none any more: it changes nothing.
    pub(crate) fn trial_as_read(&self, model: &ModelName, of: OnGuard) -> Arc<Trial> {
        let known = self.trials.get(model).map(|trial| Arc::clone(&trial));
        let known = known.filter(|trial| trial.of == of);
        known.unwrap_or_else(|| Arc::new(Trial::new(of)))
    }

    /// The model has no canary any more, or the same one is given another chance.
    pub(crate) fn end_trial(&self, model: &ModelName) {
        if let Some((_, trial)) = self.trials.remove(model) {
            trial.end();
        }
    }

    /// The version is deleted.
    pub(crate) fn forget_statistics(&self, model: &ModelName, version: &ModelVersion) {
        self.statistics.remove(&(model.clone(), version.clone()));
    }

    /// How many it has under way.
    pub(crate) const fn under_way(&self, act: Activity) -> &AtomicUsize {
        match act {
            Activity::Prediction => &self.predictions,
            Activity::Upload => &self.uploads,
            Activity::Copy => &self.copies,
        }
    }
}
