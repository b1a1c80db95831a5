//! Counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::{Latency, Outcome};

/// Latencies beyond it are counted as it.
const LONGEST: Duration = Duration::from_secs(600);

/// Digits that a latency is kept to.
const DIGITS: u8 = 3;

/// What happened within a span of time.
#[derive(Debug)]
pub(super) struct Tally {
    span: std::ops::Range<Instant>,
    latencies: Histogram<u64>,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    unanswered: u64,
    reopened: u64,
    bytes: u64,
    last: Instant,
}

/// Time of the processor that was spent from the begin of the span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) by_server: Duration,
    pub(super) by_generator: Duration,
    /// Up to then: the end of the span, or of a run that ended before.
    pub(super) until: Instant,
}

impl Tally {
    /// Counts what lies in the span.
    pub(super) fn new(span: std::ops::Range<Instant>) -> Result<Self> {
        Ok(Self {
            last: span.start,
            span,
            latencies: Histogram::new_with_max(nanoseconds(LONGEST), DIGITS)
                .context("a histogram of latencies")?,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            unanswered: 0,
            reopened: 0,
            bytes: 0,
        })
    }

    /// An answer. In which span it lies is decided by `belongs`: its end, or the time at which its request was due.
    pub(super) fn answer(
        &mut self,
        belongs: Instant,
        latency: Duration,
        status: u16,
        bytes: usize,
        now: Instant,
    ) {
        if self.span.contains(&belongs) {
            self.latencies.saturating_record(nanoseconds(latency));
            *self.statuses.entry(status).or_default() += 1;
            self.bytes += bytes as u64;
            self.last = self.last.max(now);
        }
    }

    /// A connection that failed.
    pub(super) fn error(&mut self, now: Instant, cause: String) {
        if self.span.contains(&now) {
            *self.errors.entry(cause).or_default() += 1;
        }
    }

    /// A request that was due and had waited so long when the run ended.
    pub(super) fn unanswered(&mut self, due: Instant, waited: Duration) {
        if self.span.contains(&due) {
            self.unanswered += 1;
            self.latencies.saturating_record(nanoseconds(waited));
        }
    }

    /// A connection that the server closed in order.
    pub(super) fn reopened(&mut self, now: Instant) {
        if self.span.contains(&now) {
            self.reopened += 1;
        }
    }

    /// The outcome.
    pub(super) fn outcome(&self, spent: Spent) -> Outcome {
        let answered: u64 = self.statuses.values().sum();
        // An open loop that fell behind answers the last of its requests after the span.
        let seconds = self
            .last
            .max(spent.until)
            .saturating_duration_since(self.span.start);
        let seconds = seconds.as_secs_f64().max(f64::EPSILON);
        let span = spent.until.saturating_duration_since(self.span.start);
        let span = span.as_secs_f64().max(f64::EPSILON);
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Outcome {
            answered,
            per_second: answered as f64 / seconds,
            statuses: self.statuses.clone(),
            errors: self.errors.clone(),
            unanswered: self.unanswered,
            reopened: self.reopened,
            bytes_per_second: self.bytes as f64 / seconds,
            latency: Latency {
                mean: self.latencies.mean() / 1e3,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: self.latencies.max() as f64 / 1e3,
            },
            server_cpu_us: spent.by_server.as_secs_f64() * 1e6 / answered.max(1) as f64,
            own_load: spent.by_generator.as_secs_f64() / span,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(until: Instant) -> Spent {
        Spent {
            by_server: Duration::from_millis(50),
            by_generator: Duration::from_secs(5),
            until,
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let start = Instant::now();
        let mut tally = Tally::new(start..start + Duration::from_secs(10)).unwrap();
        for micros in 1..=1_000 {
            tally.answer(start, Duration::from_micros(micros), 200, 10, start);
        }
        let outcome = tally.outcome(spent(start + Duration::from_secs(10)));
        for (found, expected) in [
            (outcome.latency.p50, 500.0),
            (outcome.latency.p99, 990.0),
            (outcome.latency.max, 1_000.0),
            (outcome.latency.mean, 500.5),
            (outcome.per_second, 100.0),
            (outcome.bytes_per_second, 1_000.0),
            (outcome.server_cpu_us, 50.0),
            (outcome.own_load, 0.5),
        ] {
            assert!((found / expected - 1.0).abs() < 2e-3, "{found} {expected}");
        }
        assert!(outcome.all_succeeded());
    }

    #[test]
    fn what_lies_outside_the_span_is_not_counted() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut tally = Tally::new(start + second..start + 2 * second).unwrap();
        for at in [start, start + 2 * second] {
            tally.answer(at, second, 200, 1, at);
            tally.error(at, "reset".to_owned());
            tally.unanswered(at, second);
            tally.reopened(at);
        }
        let outcome = tally.outcome(spent(start + 2 * second));
        assert_eq!((outcome.answered, outcome.unanswered), (0, 0));
        assert!(outcome.errors.is_empty());
        assert_eq!(outcome.reopened, 0);
    }

    #[test]
    fn what_was_never_answered_shows_in_the_latencies() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut tally = Tally::new(start..start + second).unwrap();
        tally.answer(start, Duration::from_millis(1), 200, 1, start);
        tally.unanswered(start, 5 * second);
        let outcome = tally.outcome(spent(start + 2 * second));
        assert!(outcome.latency.p99 > 4.9e6, "{outcome:?}");
        assert!(!outcome.all_succeeded());
    }
}
