//! How many requests in a window: a sliding window of two buckets.
//!
//! Requests are counted in buckets as long as the window. A moment's window covers all of the bucket that it lies in so
//! far, and of the one before the part that still reaches into it: `before * (1 - f) + now`, where `f` is how much of the
//! current bucket is over. So there is no edge at which twice as many pass, and a limit costs two words of memory however
//! large it is. (The estimate supposes that the earlier bucket's requests came evenly.)
//!
//! One compare-and-set decides: of any number of threads exactly as many pass as the limit has left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A bucket's number in the upper half, what was counted in it in the lower.
type Bucket = AtomicU64;

const COUNT: u64 = 0xFFFF_FFFF;

/// Counts requests. Even buckets have one place, odd ones the other, so that the one before is there for as long as it
/// matters.
#[derive(Debug, Default)]
pub struct Window {
    places: [Bucket; 2],
}

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests in the window, at most.
    pub limit: u64,
    /// How many are left at this moment.
    pub remaining: u64,
    /// When there is more again, if nothing else is asked: at the end of the current bucket, or, where nothing is left, when one
    /// more passes.
    pub reset: Duration,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// How it stands: nothing is left.
    pub rate: Rate,
    /// When one more passes, if nothing else is asked meanwhile.
    pub retry_after: Duration,
}

impl Window {
    /// Counts one request, unless the limit is reached. `now` is the time since any fixed moment, by a clock that never
    /// goes back; `window` is not zero, and always the same.
    ///
    /// # Errors
    /// `Reached`; the request is not counted.
    pub fn take(&self, limit: u64, window: Duration, now: Duration) -> Result<Rate, Reached> {
        let window_us = window.as_micros().max(1);
        let now_us = now.as_micros();
        // Numbers begin at 1: a place of zero is of no bucket. A bucket of a second makes 136 years.
        let number = u64::try_from(now_us / window_us + 1).unwrap_or(u64::MAX) & COUNT;
        let passed = now_us % window_us;
        let reset = micros(window_us - passed);
        let place = &self.places[usize::from(number % 2 == 1)];
        let before = &self.places[usize::from(number.is_multiple_of(2))];
        let before = counted(before.load(Ordering::Acquire), number - 1);
        // Of the bucket before, what still reaches into this moment's window, rounded up.
        let carried = (u128::from(before) * (window_us - passed)).div_ceil(window_us);
        let carried = u64::try_from(carried).unwrap_or(u64::MAX);
        let mut found = place.load(Ordering::Acquire);
        loop {
            // A thread that was held up for two windows finds a later bucket there, and counts in that one.
            let number = number.max(found >> 32);
            let count = counted(found, number);
            let used = carried.saturating_add(count);
            if used >= limit || count == COUNT {
                let retry_after = wait(limit, before, count, window_us, passed);
                let rate = Rate {
                    limit,
                    remaining: 0,
                    reset: retry_after,
                };
                return Err(Reached { rate, retry_after });
            }
            let next = number << 32 | (count + 1);
            match place.compare_exchange_weak(found, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    return Ok(Rate {
                        limit,
                        remaining: limit - used - 1,
                        reset,
                    });
                }
                Err(other) => found = other,
            }
        }
    }
}

/// What is counted in a place for this bucket: nothing, if another one is there.
const fn counted(place: u64, number: u64) -> u64 {
    if place >> 32 == number & COUNT {
        place & COUNT
    } else {
        0
    }
}

/// How long until one more passes: when enough of the bucket before has left the window, or, if this bucket alone is
/// full, of this one.
fn wait(limit: u64, before: u64, count: u64, window_us: u128, passed: u128) -> Duration {
    if limit == 0 {
        return micros(window_us);
    }
    let left = window_us - passed;
    // `carried <= limit - 1 - count` holds once `before * left' <= (limit - 1 - count) * window`.
    let rest = |counted: u64, room: u64| {
        (u128::from(room) * window_us)
            .checked_div(u128::from(counted))
            .map_or(window_us, |rest| rest.min(window_us))
    };
    let us = match (limit - 1).checked_sub(count) {
        Some(room) => left.saturating_sub(rest(before, room)),
        // Nothing before the next bucket, in which this one is the one before.
        None => left + (window_us - rest(count, limit - 1)),
    };
    micros(us.max(1))
}

fn micros(us: u128) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn as_many_pass_as_the_limit_says_and_the_rest_is_told_when_to_come_back() {
        let window = Window::default();
        for left in (0..10).rev() {
            let rate = window.take(10, HOUR, at(7)).unwrap();
            assert_eq!((rate.limit, rate.remaining), (10, left));
            assert_eq!(rate.reset, at(3_593));
        }
        let reached = window.take(10, HOUR, at(8)).unwrap_err();
        assert_eq!(reached.rate.remaining, 0);
        // Nothing leaves this bucket before the next one: then a tenth of an hour until one of ten has left.
        assert_eq!(reached.retry_after, at(3_592 + 360));
        let later = at(8) + reached.retry_after;
        assert!(
            window
                .take(10, HOUR, later - Duration::from_secs(1))
                .is_err()
        );
        assert!(window.take(10, HOUR, later).is_ok());
        assert!(window.take(10, HOUR, later).is_err());
    }

    #[test]
    fn there_is_no_edge_at_which_twice_as_many_pass() {
        let window = Window::default();
        for _ in 0..100 {
            window.take(100, HOUR, at(3_599)).unwrap();
        }
        assert!(window.take(100, HOUR, at(3_600)).is_err());
        let passed = (0..200).filter(|_| window.take(100, HOUR, at(3_600 + 1_800)).is_ok());
        assert_eq!(passed.count(), 50, "half of the window is new");
        // Two windows later all is forgotten.
        let passed = (0..200).filter(|_| window.take(100, HOUR, at(4 * 3_600)).is_ok());
        assert_eq!(passed.count(), 100);
    }

    #[test]
    fn a_limit_of_none_lets_nothing_pass() {
        let window = Window::default();
        let reached = window.take(0, HOUR, at(0)).unwrap_err();
        assert_eq!(reached.retry_after, HOUR);
    }

    #[test]
    fn of_many_threads_exactly_as_many_pass() {
        let window = Arc::new(Window::default());
        let threads = (0..8).map(|_| {
            let window = Arc::clone(&window);
            std::thread::spawn(move || {
                let passed = (0..5_000).filter(|_| window.take(10_000, HOUR, at(1)).is_ok());
                passed.count()
            })
        });
        let threads: Vec<_> = threads.collect();
        let passed: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(passed, 10_000);
    }

    proptest! {
        /// In any window there are at most as many as the limit, by the estimate that a bucket's requests came evenly;
        /// and who waits as long as told passes, if nobody else asks.
        #[test]
        fn any_sequence_keeps_to_the_limit(
            limit in 1_u64..20,
            steps in prop::collection::vec(0_u64..1_500, 1..200),
        ) {
            let (window, length) = (Window::default(), Duration::from_secs(1));
            let (mut now, mut passed): (u64, Vec<u64>) = (0, Vec::new());
            for step in steps {
                now += step;
                match window.take(limit, length, Duration::from_millis(now)) {
                    Ok(rate) => {
                        passed.push(now);
                        prop_assert!(rate.remaining < limit);
                    }
                    Err(reached) => {
                        let bucket = now / 1_000;
                        let here = passed.iter().filter(|at| **at / 1_000 == bucket).count() as u64;
                        let before = passed.iter().filter(|at| **at / 1_000 + 1 == bucket).count() as u64;
                        let carried = (before * (1_000 - now % 1_000)).div_ceil(1_000);
                        prop_assert!(here + carried >= limit, "refused too early");
                        let again = Duration::from_millis(now) + reached.retry_after;
                        now = u64::try_from(again.as_micros().div_ceil(1_000)).unwrap();
                        prop_assert!(window.take(limit, length, Duration::from_millis(now)).is_ok());
                        passed.push(now);
                    }
                }
                let bucket = now / 1_000;
                let here = passed.iter().filter(|at| **at / 1_000 == bucket).count() as u64;
                prop_assert!(here <= limit);
            }
        }
    }
}
