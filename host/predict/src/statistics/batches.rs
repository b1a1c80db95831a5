//! Runs by how many rows they had.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Nanos, Timed};

/// Sizes up to this have a place of their own, which is found without a lock: most runs have one row.
const SMALL: usize = 8;

/// Larger sizes that are told apart, at most. Whoever sends a size of its own with each call must not fill the memory: what is
/// beyond is in the other counts, and not in these.
const MOST_LARGE: usize = 128;

/// The runs of one size.
#[derive(Debug, Default)]
pub(super) struct Runs {
    count: AtomicU64,
    pub(super) read: Nanos,
    pub(super) computed: Nanos,
    pub(super) written: Nanos,
}

/// The counts of one size, under the names of the protocol's statistics extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCounts {
    /// Rows of each run.
    pub rows: u32,
    /// Reading and checking inputs, of all predictions in them; as are the next two.
    pub compute_input: Timed,
    /// In the sandbox, instantiation included.
    pub compute_infer: Timed,
    /// Writing answers.
    pub compute_output: Timed,
}

#[derive(Debug, Default)]
pub(super) struct Batches {
    small: [Runs; SMALL],
    large: Mutex<BTreeMap<u32, Arc<Runs>>>,
}

impl Runs {
    /// One more.
    pub(super) fn ran(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self, rows: u32) -> Option<BatchCounts> {
        let count = self.count.load(Ordering::Relaxed);
        let timed = |nanos: &Nanos| Timed {
            count,
            ns: nanos.sum(),
        };
        (count > 0).then(|| BatchCounts {
            rows,
            compute_input: timed(&self.read),
            compute_infer: timed(&self.computed),
            compute_output: timed(&self.written),
        })
    }
}

impl Batches {
    /// Adds to the runs of so many rows.
    pub(super) fn of(&self, rows: u32, add: impl FnOnce(&Runs)) {
        let small = (rows as usize)
            .checked_sub(1)
            .and_then(|at| self.small.get(at));
        if let Some(runs) = small {
            return add(runs);
        }
        let runs = {
            let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
            if large.len() >= MOST_LARGE && !large.contains_key(&rows) {
                return;
            }
            Arc::clone(large.entry(rows).or_default())
        };
        add(&runs);
    }

    /// The counts of every size that there was, smallest first.
    pub(super) fn counts(&self) -> Vec<BatchCounts> {
        let small = (1..).zip(&self.small);
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let large = large.iter().map(|(rows, runs)| (*rows, &**runs));
        small
            .chain(large)
            .filter_map(|(rows, runs)| runs.counts(rows))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_are_counted_each_by_itself_and_only_so_many() {
        let batches = Batches::default();
        for rows in [1, 1, 8, 9] {
            batches.of(rows, |runs| {
                runs.ran();
                runs.computed.add(Duration::from_nanos(10));
            });
        }
        let counts: Vec<_> = batches
            .counts()
            .iter()
            .map(|counts| {
                (
                    counts.rows,
                    counts.compute_infer.count,
                    counts.compute_infer.ns,
                )
            })
            .collect();
        assert_eq!(counts, [(1, 2, 20), (8, 1, 10), (9, 1, 10)]);
        for rows in 0..1_000 {
            batches.of(rows, Runs::ran);
        }
        assert_eq!(batches.counts().len(), SMALL + MOST_LARGE);
        batches.of(9, Runs::ran);
        let nine = batches.counts()[SMALL + 1];
        assert_eq!(
            (nine.rows, nine.compute_infer.count),
            (9, 3),
            "known sizes go on"
        );
    }
}
