//! What tenants may use where nothing was set for them, what it costs, and what is recorded.

use std::path::PathBuf;
use std::time::Duration;

use foretell_predict::{CheckpointRules, Governance, HitPrice, Records, Storage, WhenFull};
use foretell_store::{Price, Quotas};

use super::amounts::{AtMost, CacheHits, CreditPrice, Usd, WhenQueueIsFull};
use super::layers::{Key, Layers};

/// How many requests each tenant may make.
#[derive(Debug, Clone)]
pub struct RateLimiting {
    /// Whether they are limited.
    pub enabled: bool,
    /// Requests in the window, of tenants for which nothing else was set.
    pub default_limit: u64,
    /// How long the window is, in seconds.
    pub window_seconds: u64,
}

impl RateLimiting {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            enabled: layers.take(
                Key::new(
                    "security.rate_limiting.enabled",
                    "Whether the requests of tenants are limited for which nothing was set.",
                )
                .short(&["RATE_LIMIT_ENABLED"]),
                true,
            ),
            default_limit: layers.take_within(
                Key::new(
                    "security.rate_limiting.default_limit",
                    "Predictions that a tenant may ask for in the window, each request counted once, where nothing was set for it (`foretell tenant limits`).",
                )
                .short(&["MAX_REQUESTS_PER_HOUR"]),
                1_000,
                1..=4_000_000_000,
            ),
            window_seconds: layers.take_within(
                Key::new(
                    "security.rate_limiting.window_seconds",
                    "Seconds of the window, which slides.",
                ),
                3_600,
                1..=86_400,
            ),
        }
    }
}

/// What each tenant may use, where nothing was set for it.
#[derive(Debug, Clone)]
pub struct DefaultQuotas {
    /// Predictions in a day of UTC, one for each row.
    pub predictions_per_day: AtMost,
    /// Predictions in a month of UTC.
    pub predictions_per_month: AtMost,
    /// Milliseconds in the sandbox in a day.
    pub compute_ms_per_day: AtMost,
    /// Milliseconds in the sandbox in a month.
    pub compute_ms_per_month: AtMost,
    /// Bytes of plugins and artifacts.
    pub stored_bytes: AtMost,
    /// Models.
    pub models: AtMost,
    /// Uploads in a day of UTC.
    pub uploads_per_day: AtMost,
}

impl DefaultQuotas {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            predictions_per_day: layers.take(
                Key::new(
                    "quotas.predictions_per_day",
                    "Predictions (rows) of a tenant in a day of UTC.",
                ),
                AtMost::NONE,
            ),
            predictions_per_month: layers.take(
                Key::new(
                    "quotas.predictions_per_month",
                    "Predictions (rows) of a tenant in a month of UTC.",
                ),
                AtMost::NONE,
            ),
            compute_ms_per_day: layers.take(
                Key::new(
                    "quotas.compute_ms_per_day",
                    "Milliseconds in the sandbox of a tenant in a day of UTC.",
                ),
                AtMost::NONE,
            ),
            compute_ms_per_month: layers.take(
                Key::new(
                    "quotas.compute_ms_per_month",
                    "Milliseconds in the sandbox of a tenant in a month of UTC.",
                ),
                AtMost::NONE,
            ),
            stored_bytes: layers.take(
                Key::new(
                    "quotas.stored_bytes",
                    "Bytes of the plugins and artifacts of all versions of a tenant.",
                ),
                AtMost::NONE,
            ),
            models: layers.take(
                Key::new("quotas.models", "Models of a tenant."),
                AtMost::NONE,
            ),
            uploads_per_day: layers.take(
                Key::new(
                    "quotas.uploads_per_day",
                    "Uploads of a tenant in a day of UTC, those that are refused by the compile worker among them.",
                ),
                AtMost::NONE,
            ),
        }
    }
}

/// What predictions cost, where nothing was set for a tenant or a model.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Credits for each prediction (row).
    pub per_prediction: CreditPrice,
    /// Credits for each millisecond in the sandbox.
    pub per_compute_ms: CreditPrice,
    /// What an answer costs that was given before.
    pub cache_hits: CacheHits,
    /// Whether tenants may only spend credits that they were given.
    pub prepaid: bool,
    /// Percent of a month's budget at which a warning is recorded.
    pub budget_warning: u32,
    /// What a credit costs, in US dollars.
    pub usd_per_credit: Usd,
}

impl Cost {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            per_prediction: layers.take(
                Key::new("cost.per_prediction", "Credits for each prediction (row)."),
                CreditPrice::ONE,
            ),
            per_compute_ms: layers.take(
                Key::new(
                    "cost.per_compute_ms",
                    "Credits for each millisecond in the sandbox, counted in microseconds.",
                ),
                CreditPrice::NOTHING,
            ),
            cache_hits: layers.take(
                Key::new(
                    "cost.cache_hits",
                    "What an answer costs that was given before: full is the price of a prediction without its time.",
                ),
                CacheHits::Full,
            ),
            prepaid: layers.take(
                Key::new(
                    "cost.prepaid",
                    "Whether tenants may only spend credits that they were given (`foretell tenant credits`).",
                ),
                false,
            ),
            budget_warning: layers.take_within(
                Key::new(
                    "cost.budget_warning",
                    "Percent of a tenant's credits of a month at which a warning is logged and recorded, where it has such a limit.",
                ),
                80,
                1..=100,
            ),
            usd_per_credit: layers.take(
                Key::new("cost.usd_per_credit", "US dollars of one credit, in reports."),
                Usd::CENT,
            ),
        }
    }
}

/// What is recorded of predictions (acts of management always are), and how the log is sealed.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether there is a record of each.
    pub predictions: bool,
    /// Records that may wait to be written.
    pub queue: usize,
    /// What happens beyond.
    pub when_full: WhenQueueIsFull,
    /// New rows after which there is a checkpoint.
    pub checkpoint_rows: u64,
    /// Seconds after which there is one, if there is a new row.
    pub checkpoint_seconds: u64,
    /// The file that each is added to; none = none.
    pub checkpoint_file: Option<PathBuf>,
}

impl Audit {
    pub(super) fn take(layers: &mut Layers<'_>) -> Self {
        Self {
            predictions: layers.take(
                Key::new(
                    "audit.predictions",
                    "Whether each prediction is recorded; without it usage and credits are not written down.",
                ),
                true,
            ),
            queue: layers.take_within(
                Key::new(
                    "audit.queue",
                    "Records of predictions that may wait to be written.",
                ),
                100_000,
                1_000..=10_000_000,
            ),
            when_full: layers.take(
                Key::new(
                    "audit.when_full",
                    "What happens beyond: strict runs no prediction whose record could not be kept (503), fold makes one record of many, with their sums.",
                ),
                WhenQueueIsFull::Strict,
            ),
            checkpoint_rows: layers.take_within(
                Key::new(
                    "audit.checkpoint_rows",
                    "New rows of the audit log after which their number and what they come to are signed.",
                ),
                10_000,
                1..=10_000_000,
            ),
            checkpoint_seconds: layers.take_within(
                Key::new(
                    "audit.checkpoint_seconds",
                    "Seconds after which they are signed, if there is a new one.",
                ),
                60,
                1..=86_400,
            ),
            checkpoint_file: layers.take_optional(Key::new(
                "audit.checkpoint_file",
                "A file that each of these checkpoints is added to, best on a medium that this server cannot change.",
            )),
        }
    }

    /// What the corridor is to do.
    pub fn records(&self) -> Records {
        Records {
            predictions: self.predictions,
            queue: self.queue,
            when_full: match self.when_full {
                WhenQueueIsFull::Strict => WhenFull::Strict,
                WhenQueueIsFull::Fold => WhenFull::Fold,
            },
        }
    }

    /// When checkpoints are made, and where they go.
    pub fn checkpoints(&self) -> CheckpointRules {
        CheckpointRules {
            rows: self.checkpoint_rows,
            every: Duration::from_secs(self.checkpoint_seconds),
            file: self.checkpoint_file.clone(),
        }
    }
}

/// What holds for tenants for which nothing was set.
pub fn governance(rate: &RateLimiting, quotas: &DefaultQuotas, cost: &Cost) -> Governance {
    Governance {
        window: Duration::from_secs(rate.window_seconds),
        quotas: Quotas {
            requests_per_window: rate.enabled.then_some(rate.default_limit),
            concurrent: None,
            predictions_per_day: quotas.predictions_per_day.0,
            predictions_per_month: quotas.predictions_per_month.0,
            compute_ms_per_day: quotas.compute_ms_per_day.0,
            compute_ms_per_month: quotas.compute_ms_per_month.0,
            credits_per_month: None,
        },
        storage: Storage {
            bytes: quotas.stored_bytes.0,
            models: quotas.models.0,
            uploads_per_day: quotas.uploads_per_day.0,
        },
        budget_warning: cost.budget_warning,
        prepaid: cost.prepaid,
        price: Price {
            prediction: Some(cost.per_prediction.0),
            compute_ms: Some(cost.per_compute_ms.0),
        },
        hits: match cost.cache_hits {
            CacheHits::Full => HitPrice::Full,
            CacheHits::Free => HitPrice::Free,
        },
    }
}
