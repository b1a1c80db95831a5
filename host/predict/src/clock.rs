//! Time comes in as a value, so that tests own it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use foretell_store::port::UnixMs;

/// Tells the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMs + Send + Sync>);

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self::from_fn(|| {
            // A clock before 1970 is treated as 1970: keys then count as not yet expired, and nothing panics.
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            UnixMs::try_from(since.as_millis()).unwrap_or(UnixMs::MAX)
        })
    }

    /// A clock that asks `now`, in milliseconds since 1970.
    pub fn from_fn(now: impl Fn() -> UnixMs + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn now(&self) -> UnixMs {
        (self.0)()
    }
}
