//! What tenants may use where nothing was set for them, what it costs, and what is recorded.

use std::time::Duration;

use foretell_predict::{Governance, HitPrice, Records, WhenFull};
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
            usd_per_credit: layers.take(
                Key::new("cost.usd_per_credit", "US dollars of one credit, in reports."),
                Usd::CENT,
            ),
        }
    }
}

/// What is recorded of predictions; acts of management always are.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether there is a record of each.
    pub predictions: bool,
    /// Records that may wait to be written.
    pub queue: usize,
    /// What happens beyond.
    pub when_full: WhenQueueIsFull,
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
