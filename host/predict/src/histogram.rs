//! How long things took, kept as counts of ranges: cheap to add to, small, and good to an eighth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each doubling of the time is cut into so many ranges.
const PARTS: u64 = 8;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Times of this many bits of microseconds and more, a minute, are one range.
const BITS: u32 = 26;
const RANGES: usize = ((BITS - PART_BITS + 1) as u64 * PARTS) as usize;

/// Counts by range of time. Added to and read without a lock: a reader sees numbers of nearly the same moment.
#[derive(Debug)]
pub(crate) struct Histogram([AtomicU64; RANGES]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; RANGES])
    }
}

impl Histogram {
    pub(crate) fn add(&self, time: Duration) {
        // The last range is the largest that there is.
        if let Some(count) = self.0.get(range(time).min(RANGES - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The time that a part of all, in thousandths, did not exceed: the end of the range in which it lies. None before there
    /// is any.
    pub(crate) fn quantile(&self, thousandths: u64) -> Option<Duration> {
        let counts: Vec<u64> = self.0.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let wanted = (all * thousandths).div_ceil(1_000).max(1);
        let mut seen = 0;
        let at = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(end_of(at))
    }
}

/// Microseconds below [`PARTS`] have a range each; above, the leading bit says which doubling, and the bits behind it which
/// part of it.
fn range(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if micros < PARTS {
        return micros as usize;
    }
    let shift = micros.ilog2() - PART_BITS;
    let part = (micros >> shift) & (PARTS - 1);
    (u64::from(shift + 1) * PARTS + part) as usize
}

/// The end of a range: no time in it is longer.
fn end_of(range: usize) -> Duration {
    let (doubling, part) = (range as u64 / PARTS, range as u64 % PARTS);
    Duration::from_micros(match doubling {
        0 => part + 1,
        doubling => (PARTS + part + 1) << (doubling - 1),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quantile_is_the_end_of_the_range_in_which_it_lies() {
        let times = Histogram::default();
        assert_eq!(times.quantile(500), None);
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        for (thousandths, millis) in [(0, 1.0), (500, 50.0), (990, 99.0), (1_000, 100.0)] {
            let found = times.quantile(thousandths).unwrap().as_secs_f64() * 1e3;
            assert!(
                (millis..=millis * 1.125).contains(&found),
                "{thousandths}: {found}"
            );
        }
    }

    #[test]
    fn times_beyond_the_last_range_are_counted_in_it() {
        let times = Histogram::default();
        times.add(Duration::MAX);
        assert!(times.quantile(500).unwrap() >= Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn every_time_lies_in_its_range(micros in 0..1_u64 << BITS) {
            let range = range(Duration::from_micros(micros));
            prop_assert!(range < RANGES);
            let end = end_of(range).as_micros() as u64;
            let begin = range.checked_sub(1).map_or(0, |before| end_of(before).as_micros() as u64);
            prop_assert!((begin..end).contains(&micros), "{} in {}..{}", micros, begin, end);
            prop_assert!(end - begin <= 1 || (end - begin) * PARTS <= end);
        }
    }
}
