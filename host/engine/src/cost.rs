//! What a version's predictions cost, measured, and where its next one therefore runs.
//!
//! One row and ten thousand rows of the same model differ by orders of magnitude, so each class of input size has an
//! average of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::LaneConfig;

/// Input sizes up to 1 KiB, 4 KiB, 16 KiB and so on; the last class is open.
const CLASSES: usize = 8;
/// Inputs of a class that was never measured run in place up to this class (16 KiB); the budget bounds the risk.
const TRUSTED: usize = 2;
/// Weight of the newest measurement is 1 in this many.
const SMOOTHING: u64 = 8;
/// Set in a class while it is demoted to the lane.
const DEMOTED: u64 = 1 << 63;

/// Where a prediction runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the thread that asks.
    Inline,
    /// On a lane; long ones share fewer threads.
    Lane {
        /// Known to be long.
        long: bool,
    },
}

/// Moving averages of one version, in nanoseconds; 0 = never measured. Updates may be lost to each other, which an
/// average forgives.
#[derive(Debug, Default)]
pub(crate) struct Cost([AtomicU64; CLASSES]);

impl Cost {
    /// Where a prediction with inputs of `bytes` runs.
    pub(crate) fn place(&self, bytes: usize, lanes: &LaneConfig) -> Place {
        let class = class(bytes);
        let state = self
            .0
            .get(class)
            .map_or(0, |cost| cost.load(Ordering::Relaxed));
        let cost = Duration::from_nanos(state & !DEMOTED);
        if state == 0 && class <= TRUSTED || state != 0 && state & DEMOTED == 0 {
            Place::Inline
        } else {
            Place::Lane {
                long: cost > lanes.long_cost,
            }
        }
    }

    /// Takes a measurement in. Demotes above the threshold, promotes below half of it: between the two nothing changes,
    /// so a version does not swing.
    pub(crate) fn record(&self, bytes: usize, cost: Duration, lanes: &LaneConfig) {
        let Some(slot) = self.0.get(class(bytes)) else {
            return;
        };
        let measured = u64::try_from(cost.as_nanos())
            .unwrap_or(u64::MAX)
            .clamp(1, u64::MAX >> 8);
        let state = slot.load(Ordering::Relaxed);
        let average = match state & !DEMOTED {
            0 => measured,
            old => (old - old / SMOOTHING + measured / SMOOTHING).max(1),
        };
        let threshold = u64::try_from(lanes.inline_cost.as_nanos()).unwrap_or(u64::MAX);
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

    /// A call was abandoned in place after `spent`: demoted at once, whatever the average was.
    pub(crate) fn overran(&self, bytes: usize, spent: Duration) {
        if let Some(slot) = self.0.get(class(bytes)) {
            let spent = u64::try_from(spent.as_nanos())
                .unwrap_or(u64::MAX)
                .clamp(1, u64::MAX >> 8);
            slot.store(spent | DEMOTED, Ordering::Relaxed);
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

    #[test]
    fn a_short_version_stays_in_place_and_a_costly_one_moves_to_the_lane_and_back() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        assert_eq!(cost.place(8, &lanes), Place::Inline);
        cost.record(8, 10 * US, &lanes);
        assert_eq!(cost.place(8, &lanes), Place::Inline);
        for _ in 0..100 {
            cost.record(8, 400 * US, &lanes);
        }
        assert_eq!(cost.place(8, &lanes), Place::Lane { long: false });
        for _ in 0..100 {
            cost.record(8, 10 * US, &lanes);
        }
        assert_eq!(cost.place(8, &lanes), Place::Inline);
    }

    #[test]
    fn one_slow_call_among_fast_ones_does_not_demote() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        for _ in 0..100 {
            cost.record(8, 10 * US, &lanes);
        }
        cost.record(8, 500 * US, &lanes);
        assert_eq!(cost.place(8, &lanes), Place::Inline);
    }

    #[test]
    fn an_overrun_demotes_at_once_and_deadlines_make_it_long() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        cost.record(8, 10 * US, &lanes);
        cost.overran(8, 2_000 * US);
        assert_eq!(cost.place(8, &lanes), Place::Lane { long: false });
        cost.record(8, Duration::from_secs(1), &lanes);
        assert_eq!(cost.place(8, &lanes), Place::Lane { long: true });
    }

    #[test]
    fn large_inputs_never_measured_go_to_the_lane_and_do_not_taint_small_ones() {
        let (cost, lanes) = (Cost::default(), LaneConfig::default());
        assert_eq!(cost.place(1 << 20, &lanes), Place::Lane { long: false });
        cost.record(1 << 20, Duration::from_secs(1), &lanes);
        assert_eq!(cost.place(8, &lanes), Place::Inline);
    }
}
