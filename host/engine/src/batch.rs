//! Several predictions of one version in one call of its guest.
//!
//! Nothing waits for a batch to fill: a thread of a lane that begins with a prediction takes along what else waits of the same
//! version at that moment. So a prediction that finds a free thread is run alone, as if there were no batches. Only versions
//! whose rows do not look at each other are run so, and only what is of one tenant can meet here: a version belongs to one.
//!
//! A guest is pure. So a batch that fails, whatever its guest came to, is no answer to anybody: each of its predictions is
//! run again by itself, and has an error of its own or none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foretell_types::Tensor;
use tokio::sync::oneshot;
use tracing::Span;

use crate::cost::{Expected, Kind};
use crate::job::{Job, Ran};
use crate::lanes::rank;

/// Predictions of one batch, at most.
const MOST_CALLS: u32 = 64;

/// Bytes of their inputs together, at most: beyond it, copying them costs more than is gained.
const MOST_BYTES: usize = 1 << 20;

/// What they may be expected to cost one by one: the first of them waits for all.
const MOST_COST: Duration = Duration::from_millis(50);

/// How large batches are at first.
const FIRST_CALLS: u32 = 4;

/// A batch has to cost less than this many tenths of what its predictions would have cost one by one.
const PAYS_TENTHS: u32 = 9;

/// Where batches do not pay, one in so many is tried all the same.
const TRY_ONE_IN: u32 = 64;

/// A prediction that waits for a thread.
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) expected: Expected,
    pub(crate) answer: oneshot::Sender<Ran>,
    /// Set once its caller has hung up.
    pub(crate) gone: Arc<AtomicBool>,
    pub(crate) since: Instant,
    pub(crate) span: Span,
}

/// The predictions of one version that wait for a thread, and how well batches do for it.
#[derive(Default)]
pub(crate) struct Batches {
    waiting: Mutex<VecDeque<(u64, Waiting)>>,
    numbers: AtomicU64,
    /// Predictions of a batch, at most, at this time; 0 = none was tried.
    calls: AtomicU32,
    /// How many were run alone since batches were found not to pay.
    alone: AtomicU32,
}

impl Batches {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Waiting)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait; the number is the prediction's name here.
    pub(crate) fn enter(&self, waiting: Waiting) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut all = self.lock();
        // Behind all that are as urgent. Nearly always that is the end.
        let own = rank(waiting.job.priority);
        let last = all
            .iter()
            .rposition(|(_, other)| rank(other.job.priority) <= own);
        all.insert(last.map_or(0, |at| at + 1), (number, waiting));
        number
    }

    /// Takes a prediction out; none if a thread has begun with it.
    pub(crate) fn take(&self, number: u64) -> Option<Waiting> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|(other, _)| *other == number)?;
        waiting.remove(at).map(|(_, waiting)| waiting)
    }

    /// Takes a prediction out, and those that may be run along with it; none if a thread has begun with it.
    pub(crate) fn board(&self, number: u64) -> Option<Vec<Waiting>> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|(other, _)| *other == number)?;
        let (_, first) = waiting.remove(at)?;
        let mut batch = Batch::of(first);
        if batch.is_open() && !waiting.is_empty() {
            let most = self.most();
            let mut at = 0;
            while (batch.calls.len() as u32) < most
                && let Some((_, next)) = waiting.get(at)
            {
                if batch.takes(next) {
                    if let Some((_, next)) = waiting.remove(at) {
                        batch.add(next);
                    }
                } else {
                    at += 1;
                }
            }
        }
        Some(batch.calls)
    }

    /// How many predictions the next batch may have.
    fn most(&self) -> u32 {
        match self.calls.load(Ordering::Relaxed) {
            0 => FIRST_CALLS,
            1 => {
                let alone = self.alone.fetch_add(1, Ordering::Relaxed);
                if alone % TRY_ONE_IN == TRY_ONE_IN - 1 {
                    2
                } else {
                    1
                }
            }
            calls => calls,
        }
    }

    /// A batch of so many was run in this processor time: the next may be twice as large, where that was less than they
    /// would have cost one by one, and else half as large.
    pub(crate) fn judge(&self, calls: usize, one_by_one: Duration, took: Duration) {
        let calls = u32::try_from(calls).unwrap_or(MOST_CALLS);
        let next = if took * 10 < one_by_one * PAYS_TENTHS {
            self.calls
                .load(Ordering::Relaxed)
                .max(calls * 2)
                .min(MOST_CALLS)
        } else {
            (calls / 2).max(1)
        };
        self.calls.store(next, Ordering::Relaxed);
    }
}

/// What is being put together.
struct Batch {
    calls: Vec<Waiting>,
    rows: u32,
    bytes: usize,
    cost: Duration,
}

impl Batch {
    fn of(first: Waiting) -> Self {
        Self {
            rows: first.job.inputs.rows(),
            bytes: first.job.bytes,
            cost: first.expected.cost,
            calls: vec![first],
        }
    }

    /// Whether anything may be run along with the first.
    fn is_open(&self) -> bool {
        self.calls.first().is_some_and(Waiting::joins)
    }

    fn takes(&self, next: &Waiting) -> bool {
        let Some(first) = self.calls.first() else {
            return false;
        };
        let rows = self.rows.saturating_add(next.job.inputs.rows());
        next.joins()
            && !next.gone.load(Ordering::Relaxed)
            && next.job.joins == first.job.joins
            && next.job.limits == first.job.limits
            && first.job.joins.is_some_and(|most| rows <= most)
            && self.bytes + next.job.bytes <= MOST_BYTES
            && self.cost + next.expected.cost <= MOST_COST.min(first.job.limits.deadline / 2)
            && same_rows(&first.job, &next.job)
    }

    fn add(&mut self, next: Waiting) {
        self.rows += next.job.inputs.rows();
        self.bytes += next.job.bytes;
        self.cost += next.expected.cost;
        self.calls.push(next);
    }
}

impl Waiting {
    /// Whether it may be run with others: its rows are independent, it is short as far as is known, and its caller gives it all
    /// the time that the version has.
    const fn joins(&self) -> bool {
        self.job.joins.is_some()
            && !self.job.is_hurried
            && matches!(self.expected.kind, Kind::Short)
    }
}

/// Whether two predictions have rows of the same shape.
fn same_rows(one: &Job, other: &Job) -> bool {
    let pairs = one.inputs.inputs().iter().zip(other.inputs.inputs());
    pairs
        .into_iter()
        .all(|(a, b)| a.shape().get(1..) == b.shape().get(1..))
}

/// The inputs of several predictions as those of one, and how many rows each has.
pub(crate) fn join(calls: &[Waiting]) -> Option<(Vec<Tensor>, Vec<u32>)> {
    let count = calls.first()?.job.inputs.inputs().len();
    let inputs = (0..count).map(|at| {
        let parts: Option<Vec<_>> = calls
            .iter()
            .map(|call| call.job.inputs.inputs().get(at))
            .collect();
        Tensor::join_rows(&parts?)
    });
    let rows = calls.iter().map(|call| call.job.inputs.rows()).collect();
    Some((inputs.collect::<Option<_>>()?, rows))
}

/// The outputs of one call as those of the predictions in it, one list for each; none if they do not have their rows.
pub(crate) fn split(outputs: &[Tensor], rows: &[u32]) -> Option<Vec<Vec<Tensor>>> {
    let mut each: Vec<Vec<Tensor>> = rows
        .iter()
        .map(|_| Vec::with_capacity(outputs.len()))
        .collect();
    for output in outputs {
        for (own, part) in each.iter_mut().zip(output.split_rows(rows)?) {
            own.push(part);
        }
    }
    Some(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn batches_grow_while_they_pay_and_shrink_where_they_do_not() {
        let batches = Batches::default();
        assert_eq!(batches.most(), FIRST_CALLS);
        for expected in [8, 16, 32, 64, 64] {
            let calls = batches.most();
            batches.judge(calls as usize, 100 * US * calls, 50 * US * calls);
            assert_eq!(batches.most(), expected);
        }
        // A small one says nothing against large ones.
        batches.judge(2, 200 * US, 100 * US);
        assert_eq!(batches.most(), 64);
        for expected in [32, 16, 8, 4, 2] {
            let calls = batches.most();
            batches.judge(calls as usize, 100 * US * calls, 100 * US * calls);
            assert_eq!(batches.most(), expected);
        }
        batches.judge(2, 200 * US, 200 * US);
        let tried: Vec<_> = (0..2 * TRY_ONE_IN).map(|_| batches.most()).collect();
        assert_eq!(tried.iter().filter(|most| **most == 2).count(), 2);
        assert!(tried.iter().all(|most| *most <= 2));
    }

    #[test]
    fn outputs_that_lack_rows_are_nobodys() {
        let numbers = |count: u32| {
            let values = (0..count).map(f64::from).collect();
            Tensor::new(vec![count], foretell_types::Elements::Fp64(values)).unwrap()
        };
        assert_eq!(
            split(&[numbers(3), numbers(3)], &[1, 2]).unwrap(),
            numbers(3)
                .split_rows(&[1, 2])
                .unwrap()
                .into_iter()
                .map(|part| vec![part.clone(), part])
                .collect::<Vec<_>>()
        );
        assert_eq!(split(&[numbers(3), numbers(2)], &[1, 2]), None);
    }
}
