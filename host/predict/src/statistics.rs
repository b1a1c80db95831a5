//! What was asked of each version since the server started, and where the time went.
//!
//! Counted beside the predictions, without a lock: a reader sees numbers of nearly the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foretell_types::run::Batched;

pub use self::batches::BatchCounts;
use self::batches::Batches;
use crate::histogram::Histogram;
use crate::shadow::Compared;
use crate::{Answer, Cached, Clock, PredictError, Target};

mod batches;

/// Counts of one version. They outlive whatever changes its model, and end with the version.
#[derive(Debug)]
pub struct Statistics {
    born: Instant,
    /// The same moment, in milliseconds since 1970.
    born_at: u64,
    answered: Tally,
    failed: Tally,
    hits: Tally,
    misses: Tally,
    /// Runs, and predictions that were run and answered; the times below are theirs.
    executions: AtomicU64,
    ran: AtomicU64,
    batches: Batches,
    rows: AtomicU64,
    queued: Nanos,
    read: Nanos,
    computed: Nanos,
    written: Nanos,
    /// Failures that were the plugin's own.
    faults: AtomicU64,
    /// From the arrival of a body to its answer.
    times: Histogram,
    /// Copies of calls that it was given as a shadow.
    pub(crate) shadow: Compared,
    /// Milliseconds from `born` to the last question, and one; 0 = there was none yet.
    last: AtomicU64,
}

/// How often, and how long together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// How often.
    pub count: u64,
    /// Nanoseconds together.
    pub ns: u64,
}

/// The counts of one moment, under the names of the protocol's statistics extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Predictions that were answered, by whatever means, from the arrival of their body to the answer.
    pub success: Timed,
    /// Those that were not, among those whose version was known.
    pub fail: Timed,
    /// Waiting for a thread, of those that were run and answered; as are the next three.
    pub queue: Timed,
    /// Reading and checking inputs.
    pub compute_input: Timed,
    /// In the sandbox, instantiation included.
    pub compute_infer: Timed,
    /// Writing answers, those of the cache included.
    pub compute_output: Timed,
    /// Answers that were given before.
    pub cache_hit: Timed,
    /// Looks into the cache that found none.
    pub cache_miss: Timed,
    /// Rows of the predictions that were run and answered.
    pub inference_count: u64,
    /// How many runs they took.
    pub execution_count: u64,
    /// These runs by how many rows they had, smallest first.
    pub batches: Vec<BatchCounts>,
    /// When the last prediction was asked for, in milliseconds since 1970; 0 = there was none.
    pub last_inference: u64,
    /// Of the failures, those that were the plugin's own: it trapped, was too slow, took too much, or broke its promise.
    pub faults: u64,
    /// The time that half of all answers took at most, to an eighth; none before there is any.
    pub p50: Option<Duration>,
    /// The time that 99 of 100 took at most.
    pub p99: Option<Duration>,
}

/// Times one prediction, and counts it where it belongs. Dropped before its end, it counts nothing: its caller went away.
pub(crate) struct Watch {
    statistics: Arc<Statistics>,
    began: Instant,
    read: Duration,
}

impl Watch {
    /// The version is known, and the body is there.
    pub(crate) fn start(target: &Target) -> Self {
        let (statistics, began) = (Arc::clone(&target.statistics), Instant::now());
        statistics.asked(began);
        Self {
            statistics,
            began,
            read: Duration::ZERO,
        }
    }

    /// When the body was there.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// The inputs were read and checked.
    pub(crate) fn read(&mut self) {
        self.read = self.began.elapsed();
    }

    /// The prediction is over.
    pub(crate) fn stop(self, answer: &Result<Answer, PredictError>) {
        let statistics = &self.statistics;
        match answer {
            Err(error) => {
                statistics.failed.add(self.began.elapsed());
                if error.is_fault_of_plugin() {
                    statistics.faults.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(answer) => {
                let lookup = answer.lookup;
                match lookup.cached {
                    Cached::Hit => statistics.hits.add(lookup.took),
                    Cached::Miss => {
                        statistics.misses.add(lookup.took);
                        statistics.ran(answer, self.read);
                    }
                    Cached::Bypass => statistics.ran(answer, self.read),
                }
                let took = answer.at.saturating_duration_since(self.began);
                statistics.answered.add(took);
                statistics.times.add(took);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Nanos(AtomicU64);

impl Nanos {
    fn add(&self, time: Duration) {
        // 64 bits of nanoseconds are more than five centuries.
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    time: Nanos,
}

impl Tally {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.time.add(time);
    }

    fn timed(&self) -> Timed {
        Timed {
            count: self.count.load(Ordering::Relaxed),
            ns: self.time.sum(),
        }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            born_at: Clock::system().now().try_into().unwrap_or(0),
            answered: Tally::default(),
            failed: Tally::default(),
            hits: Tally::default(),
            misses: Tally::default(),
            executions: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            batches: Batches::default(),
            rows: AtomicU64::new(0),
            queued: Nanos::default(),
            read: Nanos::default(),
            computed: Nanos::default(),
            written: Nanos::default(),
            faults: AtomicU64::new(0),
            times: Histogram::default(),
            shadow: Compared::default(),
            last: AtomicU64::new(0),
        }
    }
}

impl Statistics {
    fn asked(&self, now: Instant) {
        let since = now.saturating_duration_since(self.born).as_millis() as u64;
        self.last.store(since + 1, Ordering::Relaxed);
    }

    fn ran(&self, answer: &Answer, read: Duration) {
        let usage = &answer.usage;
        self.ran.fetch_add(1, Ordering::Relaxed);
        self.rows
            .fetch_add(u64::from(answer.rows), Ordering::Relaxed);
        self.read.add(read);
        self.queued.add(usage.queued);
        self.computed.add(usage.compute);
        // What was run in one call is counted once.
        let (rows, whole) = match usage.batched {
            Batched::Alone => (answer.rows, Some(usage.compute)),
            Batched::First { rows, compute } => (rows, Some(compute)),
            Batched::Along { rows } => (rows, None),
        };
        self.batches.of(rows, |runs| {
            runs.read.add(read);
            if let Some(compute) = whole {
                runs.ran();
                runs.computed.add(compute);
            }
        });
        if whole.is_some() {
            self.executions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An answer that was there for so long is written.
    pub(crate) fn wrote(&self, answer: &Answer) {
        let took = answer.at.elapsed();
        self.written.add(took);
        let rows = match (answer.lookup.cached, answer.usage.batched) {
            (Cached::Hit, _) => return,
            (_, Batched::Alone) => answer.rows,
            (_, Batched::First { rows, .. } | Batched::Along { rows }) => rows,
        };
        self.batches.of(rows, |runs| runs.written.add(took));
    }

    /// The counts of this moment.
    pub fn counts(&self) -> Counts {
        let ran = self.ran.load(Ordering::Relaxed);
        let success = self.answered.timed();
        let of_runs = |nanos: &Nanos| Timed {
            count: ran,
            ns: nanos.sum(),
        };
        Counts {
            success,
            fail: self.failed.timed(),
            queue: of_runs(&self.queued),
            compute_input: of_runs(&self.read),
            compute_infer: of_runs(&self.computed),
            compute_output: Timed {
                count: success.count,
                ns: self.written.sum(),
            },
            cache_hit: self.hits.timed(),
            cache_miss: self.misses.timed(),
            inference_count: self.rows.load(Ordering::Relaxed),
            execution_count: self.executions.load(Ordering::Relaxed),
            batches: self.batches.counts(),
            last_inference: match self.last.load(Ordering::Relaxed) {
                0 => 0,
                since => self.born_at + since - 1,
            },
            faults: self.faults.load(Ordering::Relaxed),
            p50: self.times.quantile(500),
            p99: self.times.quantile(990),
        }
    }
}
