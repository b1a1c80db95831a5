//! Names of the enterprise guide whose features are not there yet.
//!
//! A key in our own file or under our own prefix was written for us: it is refused, because a limit that someone
//! believes in and that does not hold is worse than a server that does not start. An environment name of the guide may
//! be meant for another program: it is accepted and listed by `config show`.

/// Environment names without effect in this version.
pub(super) const VARIABLES: &[&str] = &[
    "SESSION_SECRET",
    "REDIS_URL",
    "SECURITY_LOGGING",
    "ASYNC_PROCESSING",
    "PROMETHEUS_ENABLED",
    "METRICS_PORT",
    "HEALTH_CHECK_INTERVAL",
    "BATCH_PROCESSING_ENABLED",
    "ENTERPRISE_FEATURES_ENABLED",
    "CUSTOM_MODELS_ENABLED",
    "API_KEY_ENCRYPTION_KEY",
];

/// Keys of the guide's file, sections with a dot at the end.
const KEYS: &[&str] = &[
    "database.pool_timeout",
    "database.pool_recycle",
    "cache.url",
    "monitoring.",
    "features.",
    "maintenance.",
];

/// Whether a key belongs to a feature that is yet to come.
pub(super) fn is_planned(key: &str) -> bool {
    KEYS.iter().any(|planned| match planned.strip_suffix('.') {
        Some(section) => key == section || key.starts_with(planned),
        None => key == *planned,
    })
}
