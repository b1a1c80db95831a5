//! The breaker: a version that fails again and again is not run for a while.
//!
//! Each failure costs a lane up to the version's deadline, and its callers an error that they wait for. After so many in a
//! row the version is suspended: callers are told at once, and when to come back. After the pause one call is let
//! through: its success ends the suspension, its failure begins the next pause. Only what the plugin did counts: not an
//! input that it refused, and nothing that the server lacked.
//!
//! The state is part of the [`Target`]: whatever changes the model in the store also gives its versions a
//! new chance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foretell_types::ErrorKind;

use crate::{PredictError, Target};

/// When to come back while another call is on trial.
const SOON: Duration = Duration::from_secs(1);

/// When versions are suspended, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Failures in a row; 0 = never.
    pub(crate) after: u32,
    /// The pause.
    pub(crate) pause: Duration,
}

/// The failures of one version.
#[derive(Debug)]
pub(crate) struct Breaker {
    in_a_row: AtomicU32,
    /// Milliseconds after `born` until which it is suspended, or was.
    until: AtomicU64,
    on_trial: AtomicBool,
    born: Instant,
}

/// How a version is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Free,
    /// Alone, to find out whether it has come to its senses.
    Trial,
}

/// The right to run a version once; dropped without a verdict, it changes nothing.
#[derive(Debug)]
pub(crate) struct Pass {
    target: Arc<Target>,
    /// Which of its breakers.
    breaker: fn(&Target) -> &Breaker,
    rule: Rule,
    way: Way,
}

/// Lets the call through, unless the version is suspended.
///
/// # Errors
/// `Suspended`, with the rest of the pause.
pub(crate) fn pass(target: &Arc<Target>, rule: Rule) -> Result<Pass, PredictError> {
    by(|target| &target.breaker, target, rule)
}

/// The same for a copy of a call: how a version does as a shadow suspends its copies and nobody's call.
///
/// # Errors
/// As [`pass`].
pub(crate) fn pass_of_copy(target: &Arc<Target>, rule: Rule) -> Result<Pass, PredictError> {
    by(|target| &target.breaker_of_copies, target, rule)
}

fn by(
    breaker: fn(&Target) -> &Breaker,
    target: &Arc<Target>,
    rule: Rule,
) -> Result<Pass, PredictError> {
    match breaker(target).way(rule, Instant::now) {
        Ok(way) => Ok(Pass {
            target: Arc::clone(target),
            breaker,
            rule,
            way,
        }),
        Err(rest) => Err(PredictError::Suspended {
            model: target.model.to_string(),
            version: target.version.to_string(),
            retry_after: rest,
        }),
    }
}

impl Pass {
    /// Takes in how the call ended; none = it was answered.
    pub(crate) fn judge(self, error: Option<&PredictError>) {
        let breaker = (self.breaker)(&self.target);
        match error {
            None => breaker.ran(),
            Some(error) if error.is_fault_of_plugin() => {
                if breaker.failed(self.rule, Instant::now()) {
                    tracing::warn!(
                        target = %self.target,
                        failures = self.rule.after,
                        "a version failed too often in a row and is suspended"
                    );
                }
            }
            // What it refuses, it has looked at.
            Some(error) if error.kind() == ErrorKind::PluginRefused => breaker.ran(),
            Some(_) => {}
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.way == Way::Trial {
            (self.breaker)(&self.target).trial_ended();
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            in_a_row: AtomicU32::new(0),
            until: AtomicU64::new(0),
            on_trial: AtomicBool::new(false),
            born: Instant::now(),
        }
    }
}

impl Breaker {
    /// Whether the version may run now; if not, how long it should be left alone.
    /// `now` is asked only where time matters: versions that do their work do not pay for the clock.
    fn way(&self, rule: Rule, now: impl FnOnce() -> Instant) -> Result<Way, Duration> {
        if rule.after == 0 || self.in_a_row.load(Ordering::Acquire) < rule.after {
            return Ok(Way::Free);
        }
        let until = Duration::from_millis(self.until.load(Ordering::Acquire));
        let rest = until.saturating_sub(now().saturating_duration_since(self.born));
        if rest.is_zero() && !self.on_trial.swap(true, Ordering::AcqRel) {
            return Ok(Way::Trial);
        }
        Err(rest.max(SOON))
    }

    fn ran(&self) {
        // Looked at before it is written: versions that do their work share this line among all cores.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Release);
        }
    }

    /// Whether this failure is the one that suspends.
    fn failed(&self, rule: Rule, now: Instant) -> bool {
        let failures = self.in_a_row.load(Ordering::Relaxed).saturating_add(1);
        // The pause is set before the count that makes anybody look at it.
        if failures >= rule.after {
            let until = now.saturating_duration_since(self.born) + rule.pause;
            let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            self.until.store(until, Ordering::Release);
        }
        self.in_a_row.store(failures, Ordering::Release);
        failures == rule.after
    }

    fn trial_ended(&self) {
        self.on_trial.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        after: 3,
        pause: Duration::from_secs(10),
    };

    #[test]
    fn failures_in_a_row_suspend_and_a_success_between_them_does_not() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            assert!(!breaker.failed(RULE, now));
            assert!(!breaker.failed(RULE, now));
            breaker.ran();
        }
        assert_eq!(breaker.way(RULE, || now), Ok(Way::Free));
        let suspends: Vec<_> = (0..4).map(|_| breaker.failed(RULE, now)).collect();
        assert_eq!(suspends, [false, false, true, false]);
        let rest = breaker.way(RULE, || now).unwrap_err();
        assert!(rest > RULE.pause / 2 && rest <= RULE.pause, "{rest:?}");
    }

    #[test]
    fn after_the_pause_one_call_at_a_time_decides() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            breaker.failed(RULE, now);
        }
        let later = now + RULE.pause;
        assert_eq!(breaker.way(RULE, || later), Ok(Way::Trial));
        assert_eq!(breaker.way(RULE, || later), Err(SOON), "one at a time");
        breaker.failed(RULE, later);
        breaker.trial_ended();
        assert!(breaker.way(RULE, || later).is_err(), "the next pause");
        let later = later + RULE.pause;
        assert_eq!(breaker.way(RULE, || later), Ok(Way::Trial));
        breaker.ran();
        breaker.trial_ended();
        assert_eq!(breaker.way(RULE, || later), Ok(Way::Free));
    }

    #[test]
    fn a_trial_whose_caller_hangs_up_leaves_room_for_the_next() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            breaker.failed(RULE, now);
        }
        let later = now + RULE.pause;
        assert_eq!(breaker.way(RULE, || later), Ok(Way::Trial));
        breaker.trial_ended();
        assert_eq!(breaker.way(RULE, || later), Ok(Way::Trial));
    }

    #[test]
    fn a_rule_of_zero_never_suspends() {
        let never = Rule { after: 0, ..RULE };
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..100 {
            breaker.failed(never, now);
        }
        assert_eq!(breaker.way(never, || now), Ok(Way::Free));
    }
}
