//! Waiting for what has no event of its own.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const BETWEEN: Duration = Duration::from_millis(5);

/// Waits until `look` returns something.
///
/// # Panics
/// If that takes longer than [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain for {what}",
            PATIENCE.as_secs()
        );
        thread::park_timeout(BETWEEN);
    }
}
