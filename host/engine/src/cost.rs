//! What a version's predictions cost, measured, and where its next one therefore runs.
//!
//! One row and ten thousand rows of the same model differ by orders of magnitude, so each class of input size has an
//! average of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::LaneConfig;

/// Input sizes up to 1 KiB, 4 KiB, 16 KiB and so on; the last class is open.
const CLASSES: usize = 8;
/// What a call is taken to cost before the first of its class was measured.
const GUESS: Duration = Duration::from_micros(500);
/// How long a version counts as long after its last call that was: a guest that loops now and then, among many quick
/// calls, would otherwise pass for a short one each time.
const LONG_FOR: Duration = Duration::from_secs(30);
/// Weight of the newest measurement is 1 in this many.
const SMOOTHING: u64 = 8;
/// What a call in place weighs at most, in thresholds. The system may take the core away in the middle of a call, for
/// milliseconds: one such call says nothing of the version, several in a row do.
const OUTLIER: u64 = 4;
/// Set in a class while it is demoted to the lane.
const DEMOTED: u64 = 1 << 63;

/// Where a prediction runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the thread that asks.
    Inline,
    /// On a lane.
    Lane(Expected),
}

/// What is known of a prediction before it runs on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Whether it may keep its thread for long.
    pub(crate) kind: Kind,
    /// What it will cost, as far as anybody can tell.
    pub(crate) cost: Duration,
}

/// How long predictions are, as far as is known: which lane they go to, and how many of its threads they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Measured, and short.
    Short,
    /// Not measured yet, or abandoned in place a moment ago: it may well run until its deadline.
    Unproven,
    /// Known to be long.
    Long,
    /// Nobody waits for it, however long it is.
    Aside,
}

/// Moving averages of one version, in nanoseconds; 0 = never measured. Updates may be lost to each other, which an
/// average forgives.
#[derive(Debug)]
pub(crate) struct Cost {
    classes: [AtomicU64; CLASSES],
    born: Instant,
    /// Milliseconds after `born` until which it counts as long.
    long_until: AtomicU64,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            classes: Default::default(),
            born: Instant::now(),
            long_until: AtomicU64::new(0),
        }
    }
}

impl Cost {
    /// Where a prediction with inputs of `bytes` runs. What was never measured runs on a lane: in place it could hold the
    /// thread that asks for longer than any budget says, with one operation on all of its memory.
    pub(crate) fn place(&self, bytes: usize) -> Place {
        let class = self.classes.get(class(bytes));
        let state = class.map_or(0, |cost| cost.load(Ordering::Relaxed));
        if state == 0 {
            return Place::Lane(Expected {
                kind: Kind::Unproven,
                cost: GUESS,
            });
        }
        if state & DEMOTED == 0 {
            return Place::Inline;
        }
        let long = self.long_until.load(Ordering::Relaxed) > self.age();
        Place::Lane(Expected {
            kind: if long { Kind::Long } else { Kind::Short },
            cost: Duration::from_nanos(state & !DEMOTED),
        })
    }

    /// What a prediction for nobody is expected to cost.
    pub(crate) fn aside(&self, bytes: usize) -> Expected {
        let cost = match self.place(bytes) {
            Place::Lane(expected) => expected.cost,
            Place::Inline => GUESS,
        };
        Expected {
            kind: Kind::Aside,
            cost,
        }
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a measurement in. Demotes above the threshold, promotes below half of it: between the two nothing changes,
    /// so a version does not swing.
    pub(crate) fn record(&self, bytes: usize, cost: Duration, lanes: &LaneConfig) {
        let Some(slot) = self.classes.get(class(bytes)) else {
            return;
        };
        if cost > lanes.long_cost {
            let hold = u64::try_from(LONG_FOR.as_millis()).unwrap_or(u64::MAX);
            self.long_until
                .store(self.age().saturating_add(hold), Ordering::Relaxed);
        }
        let measured = u64::try_from(cost.as_nanos())
            .unwrap_or(u64::MAX)
            .clamp(1, u64::MAX >> 8);
        let threshold = u64::try_from(lanes.inline_cost.as_nanos()).unwrap_or(u64::MAX);
        let state = slot.load(Ordering::Relaxed);
        let average = match state & !DEMOTED {
            0 => measured,
            old => {
                let weighed = if state & DEMOTED == 0 {
                    measured.min(threshold.saturating_mul(OUTLIER))
                } else {
                    measured
                };
                (old - old / SMOOTHING + weighed / SMOOTHING).max(1)
            }
        };
        let demoted = average
            > if state & DEMOTED == 0 {
                threshold
            } else {
                threshold / 2
            };
        slot.store(
            average | if demoted { DEMOTED } else { 0 },
            Ordering::Relaxed,
        );
    }

    /// A call was abandoned in place after `spent`: demoted at once, whatever the average was. Says what to expect of it
    /// on a lane.
    pub(crate) fn overran(&self, bytes: usize, spent: Duration) -> Expected {
        if let Some(slot) = self.classes.get(class(bytes)) {
            let spent = u64::try_from(spent.as_nanos())
                .unwrap_or(u64::MAX)
                .clamp(1, u64::MAX >> 8);
            slot.store(spent | DEMOTED, Ordering::Relaxed);
        }
        Expected {
            kind: Kind::Unproven,
            cost: spent,
        }
    }
}

fn class(bytes: usize) -> usize {
    let doublings = (bytes.max(1024) - 1).ilog2().saturating_sub(9) as usize;
    doublings.div_ceil(2).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn sizes_fall_into_classes_by_factors_of_four() {
        let classes: Vec<_> = [
            0,
            1_024,
            1_025,
            4_096,
            4_097,
            16_384,
            16_385,
            1 << 20,
            usize::MAX,
        ]
        .map(class)
        .to_vec();
        assert_eq!(classes, [0, 0, 1, 1, 2, 2, 3, 5, 7]);
    }

    fn kind(place: Place) -> Option<Kind> {
        match place {
            Place::Inline => None,
            Place::Lane(expected) => Some(expected.kind),
        }
    }

    #[test]
    fn one_call_that_was_held_up_moves_no_version_and_several_do() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        let held_up = 100 * lanes.inline_cost;
        cost.record(8, 10 * US, &lanes);
        cost.record(8, held_up, &lanes);
        assert_eq!(cost.place(8), Place::Inline);
        for _ in 0..30 {
            cost.record(8, 10 * US, &lanes);
        }
        for _ in 0..3 {
            cost.record(8, held_up, &lanes);
        }
        assert_eq!(kind(cost.place(8)), Some(Kind::Short));
    }

    #[test]
    fn a_short_version_moves_in_place_and_a_costly_one_to_the_lane_and_back() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        assert_eq!(kind(cost.place(8)), Some(Kind::Unproven));
        cost.record(8, 10 * US, &lanes);
        assert_eq!(cost.place(8), Place::Inline);
        for _ in 0..100 {
            cost.record(8, 400 * US, &lanes);
        }
        assert_eq!(kind(cost.place(8)), Some(Kind::Short));
        for _ in 0..100 {
            cost.record(8, 10 * US, &lanes);
        }
        assert_eq!(cost.place(8), Place::Inline);
    }

    #[test]
    fn one_slow_call_among_fast_ones_does_not_demote() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        for _ in 0..100 {
            cost.record(8, 10 * US, &lanes);
        }
        cost.record(8, 500 * US, &lanes);
        assert_eq!(cost.place(8), Place::Inline);
    }

    #[test]
    fn an_overrun_demotes_at_once_and_a_deadline_makes_it_long_for_a_while() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        cost.record(8, 10 * US, &lanes);
        assert_eq!(cost.overran(8, 2_000 * US).kind, Kind::Unproven);
        assert_eq!(kind(cost.place(8)), Some(Kind::Short));
        cost.record(8, Duration::from_secs(1), &lanes);
        for _ in 0..20 {
            assert_eq!(kind(cost.place(8)), Some(Kind::Long));
            cost.record(8, 1_000 * US, &lanes);
        }
    }

    #[test]
    fn large_inputs_never_measured_do_not_taint_small_ones() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        cost.record(8, 10 * US, &lanes);
        assert_eq!(kind(cost.place(1 << 20)), Some(Kind::Unproven));
        cost.record(1 << 20, Duration::from_secs(1), &lanes);
        assert_eq!(cost.place(8), Place::Inline);
    }
}
