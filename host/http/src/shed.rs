//! What is refused because there is too much of it.
//!
//! A line in the log for each refusal costs as much as an answer, and comes when there is least to spare: under ten times
//! the load that a server can bear, nine of ten lines would be such. They are counted instead, and told once a second.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Marks the response to a call that came when there was too much to do: an extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shed;

/// Counts them.
#[derive(Debug)]
pub(crate) struct Shedding {
    born: Instant,
    /// The second in which it was last told, counted from 1.
    told: AtomicU64,
    untold: AtomicU64,
}

impl Shedding {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            told: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    /// Counts one. Says, once a second, how many there were since it last said so.
    pub(crate) fn note(&self, now: Instant) -> Option<u64> {
        self.untold.fetch_add(1, Ordering::Relaxed);
        let second = 1 + now.saturating_duration_since(self.born).as_secs();
        let told = self.told.load(Ordering::Relaxed);
        let mine = told < second
            && self
                .told
                .compare_exchange(told, second, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        mine.then(|| self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_once_a_second() {
        let shedding = Shedding::new();
        let at = |millis| shedding.born + Duration::from_millis(millis);
        assert_eq!(shedding.note(at(1)), Some(1));
        for _ in 0..100 {
            assert_eq!(shedding.note(at(900)), None);
        }
        assert_eq!(shedding.note(at(1_100)), Some(101));
        assert_eq!(shedding.note(at(1_200)), None);
        assert_eq!(shedding.note(at(9_000)), Some(2));
    }
}
