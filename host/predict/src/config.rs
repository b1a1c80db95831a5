//! What requests and versions may use, with units.

use std::time::Duration;

use foretell_store::{Price, Quotas};

use crate::account::MICRO;

/// Ceilings and defaults. Every field is checked by the configuration before the server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a prediction's body, at most. Default 8 MiB.
    pub max_body_bytes: u64,
    /// Predictions under way on this host, at most. Default 1,024.
    pub max_concurrent: usize,
    /// Predictions under way for one tenant, at most. Default 256.
    pub max_concurrent_per_tenant: usize,
    /// Uploads under way on this host, at most: each may fill a temporary file. Default 32.
    pub max_uploads: usize,
    /// Uploads under way for one tenant, at most. Default 4.
    pub max_uploads_per_tenant: usize,
    /// Bytes of an uploaded plugin, before and after inflation, at most. Default 64 MiB.
    pub max_plugin_bytes: u64,
    /// Bytes of an uploaded artifact, at most. Default 256 MiB.
    pub max_artifact_bytes: u64,
    /// Rows of one request where a version does not say. Default 10,240 (a batch of rows is one call of the plugin).
    pub default_max_rows: u32,
    /// Rows that a version may ask for, at most. Default 1,000,000.
    pub max_rows_ceiling: u32,
    /// Milliseconds in the sandbox where a version does not say. Default 1,000.
    pub default_deadline_ms: u32,
    /// Milliseconds that a version may ask for, at most. Default 60,000.
    pub deadline_ceiling_ms: u32,
    /// Mebibytes of guest memory where a version does not say. Default 128.
    pub default_memory_mib: u32,
    /// Mebibytes that a version may ask for, at most. Default 512.
    pub memory_ceiling_mib: u32,
    /// Failures in a row after which a version is suspended; 0 = never. Default 20.
    pub suspend_after: u32,
    /// How long it is suspended before one call may try it again. Default 10 s.
    pub suspend_for: Duration,
    /// Days until a key expires where its creator does not say. Default 365.
    pub default_key_days: u32,
}

/// What requests may use and what they cost, where nothing else was set for a tenant, a key or a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Governance {
    /// How long the window of requests is. Default 1 h.
    pub window: Duration,
    /// What each tenant may use. Default: 1,000 requests in a window, and nothing else is limited.
    pub quotas: Quotas,
    /// What each tenant may keep, and bring in a day. Default: no limit.
    pub storage: Storage,
    /// Percent of a month's budget of credits at which a warning is recorded. Default 80.
    pub budget_warning: u32,
    /// Whether tenants may only spend credits that they were given. Default: no.
    pub prepaid: bool,
    /// What predictions cost. Default: one credit each, and nothing for time.
    pub price: Price,
    /// What an answer costs that was given before.
    pub hits: HitPrice,
}

/// What a tenant may keep, and bring in a day. What is absent is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storage {
    /// Bytes of the plugins and artifacts of all versions.
    pub bytes: Option<u64>,
    /// Models.
    pub models: Option<u64>,
    /// Uploads in a day of UTC, those that are refused among them.
    pub uploads_per_day: Option<u64>,
}

/// What an answer costs that was given before. It takes no time in the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HitPrice {
    /// As much as a prediction that is run.
    #[default]
    Full,
    /// Nothing.
    Free,
}

impl Default for Governance {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(3_600),
            quotas: Quotas {
                requests_per_window: Some(1_000),
                ..Quotas::default()
            },
            storage: Storage::default(),
            budget_warning: 80,
            prepaid: false,
            price: Price {
                prediction: Some(MICRO),
                compute_ms: None,
            },
            hits: HitPrice::Full,
        }
    }
}

impl Governance {
    /// Nothing is limited, and everything costs as much as by default.
    pub fn unlimited() -> Self {
        Self {
            quotas: Quotas::default(),
            ..Self::default()
        }
    }
}

/// How records of predictions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Whether there are any; without them nothing that is used is written down. Default: yes.
    pub predictions: bool,
    /// How many may wait to be written. Default 100,000.
    pub queue: usize,
    /// What happens beyond.
    pub when_full: WhenFull,
}

/// What happens when as many records wait to be written as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// No prediction is run whose record could not be kept: 503.
    #[default]
    Strict,
    /// Records of one key and version become one, with their sums.
    Fold,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            predictions: true,
            queue: 100_000,
            when_full: WhenFull::Strict,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            max_concurrent: 1_024,
            max_concurrent_per_tenant: 256,
            max_uploads: 32,
            max_uploads_per_tenant: 4,
            max_plugin_bytes: 64 << 20,
            max_artifact_bytes: 256 << 20,
            default_max_rows: 10_240,
            max_rows_ceiling: 1_000_000,
            default_deadline_ms: 1_000,
            deadline_ceiling_ms: 60_000,
            default_memory_mib: 128,
            memory_ceiling_mib: 512,
            suspend_after: 20,
            suspend_for: Duration::from_secs(10),
            default_key_days: 365,
        }
    }
}
