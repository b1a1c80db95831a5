//! A canary under way: which calls it answers, and when it is withdrawn.
//!
//! Its caller does not pay for a version on trial: a call that it does not answer, the active version does, and its own faults
//! count against it. What withdraws it is an act of the server like that of any owner, recorded with its reason.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foretell_store::{Canary, Guard};
use foretell_types::{KeyId, ModelVersion, Signature};

use crate::{PredictError, Target};

/// All of the calls, in the unit of a share.
const WHOLE: u16 = 10_000;

/// A canary, as of one moment.
#[derive(Debug)]
pub(crate) struct Release {
    /// The version.
    pub(crate) target: Arc<Target>,
    /// Which calls it answers.
    pub(crate) rules: Canary,
    /// How it does.
    pub(crate) trial: Arc<Trial>,
}

impl Release {
    /// Whether a call of this key, with these headers, is the canary's. By its share, equal values of the sticky header are
    /// decided equally for as long as the version is the canary, and whoever is of a share is of every larger one.
    pub(crate) fn takes<'a>(
        &self,
        key: Option<&KeyId>,
        header: impl Fn(&str) -> Option<Cow<'a, str>>,
    ) -> bool {
        let Canary {
            share,
            header: rule,
            keys,
            sticky,
            ..
        } = &self.rules;
        if self.trial.is_withdrawn() {
            return false;
        }
        if key.is_some_and(|key| keys.contains(key)) {
            return true;
        }
        let has = |name: &str, value: &str| header(name).is_some_and(|found| found == value);
        if rule
            .as_ref()
            .is_some_and(|rule| has(&rule.name, &rule.value))
        {
            return true;
        }
        match *share {
            0 => false,
            WHOLE.. => true,
            share => {
                let drawn = match header(sticky) {
                    Some(value) => self.drawn_for(&value),
                    None => fastrand::u16(..WHOLE),
                };
                drawn < share
            }
        }
    }

    /// A number below [`WHOLE`] that is always the same for a value, and unlike the one for another canary.
    fn drawn_for(&self, value: &str) -> u16 {
        let mut hash = blake3::Hasher::new();
        for part in [
            self.target.tenant.as_str(),
            self.target.model.as_str(),
            self.target.version.as_str(),
            value,
        ] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let [a, b, c, d, ..] = *hash.finalize().as_bytes();
        // Below WHOLE, which fits.
        (u32::from_le_bytes([a, b, c, d]) % u32::from(WHOLE)) as u16
    }
}

/// Whose trial it is: a version under a guard. What else its owner changes of its rules does not begin it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnGuard {
    pub(crate) version: ModelVersion,
    pub(crate) guard: Option<Guard>,
}

impl OnGuard {
    pub(crate) fn of(canary: &Canary) -> Self {
        Self {
            version: canary.version.clone(),
            guard: canary.guard,
        }
    }
}

/// How a canary does, since it is one. It outlives whatever else changes its model.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) of: OnGuard,
    latest: Mutex<Latest>,
    withdrawn: AtomicBool,
    /// Set once it is over: what its last calls come to is nobody's any more.
    over: AtomicBool,
}

/// How a call of a canary ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Answered,
    /// By the version's own fault; whether it trapped, or said itself that it failed.
    Failed {
        trapped: bool,
    },
    /// Its caller did not wait any longer.
    GivenUp,
    /// By the caller's fault, or the server's: it says nothing about the version.
    Otherwise,
}

impl Ended {
    pub(crate) const fn of(error: Option<&PredictError>) -> Self {
        match error {
            None => Self::Answered,
            Some(PredictError::TimedOut { .. }) => Self::GivenUp,
            Some(error) if error.is_fault_of_version() => Self::Failed {
                trapped: error.is_trap(),
            },
            Some(_) => Self::Otherwise,
        }
    }
}

/// The latest calls, as many as the guard looks at.
#[derive(Debug, Default)]
struct Latest {
    calls: VecDeque<Outcome>,
    failed: u32,
    trapped: u32,
    /// How many were slower than the guard's latency.
    slow: u32,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    failed: bool,
    trapped: bool,
    slow: bool,
}

impl Trial {
    pub(crate) fn new(of: OnGuard) -> Self {
        Self {
            of,
            latest: Mutex::default(),
            withdrawn: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// The canary was taken back, or another one took its place.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Takes in how a call of the canary ended, and how long it took. If that is enough to withdraw it, says why: once.
    pub(crate) fn judge(&self, ended: Ended, took: Duration) -> Option<String> {
        let guard = self.of.guard.filter(|_| !self.is_over())?;
        let slow = guard
            .latency_ms
            .is_some_and(|limit| took > Duration::from_millis(u64::from(limit)));
        let (failed, trapped) = match ended {
            Ended::Answered => (false, false),
            Ended::Failed { trapped } => (true, trapped),
            // A caller in a hurry says nothing, unless what it did not wait for was slow by the guard's own measure.
            Ended::GivenUp if slow => (false, false),
            Ended::GivenUp | Ended::Otherwise => return None,
        };
        let outcome = Outcome {
            failed,
            trapped,
            slow,
        };
        let verdict = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.take_in(outcome, guard.window);
            latest.verdict(&guard)
        };
        verdict.filter(|_| !self.withdrawn.swap(true, Ordering::AcqRel))
    }
}

impl Latest {
    fn take_in(&mut self, outcome: Outcome, window: u32) {
        self.calls.push_back(outcome);
        self.counts_of(outcome).for_each(|count| *count += 1);
        if self.calls.len() > window as usize
            && let Some(oldest) = self.calls.pop_front()
        {
            self.counts_of(oldest).for_each(|count| *count -= 1);
        }
    }

    /// The counts in which a call stands.
    fn counts_of(&mut self, outcome: Outcome) -> impl Iterator<Item = &mut u32> {
        [
            (&mut self.failed, outcome.failed),
            (&mut self.trapped, outcome.trapped),
            (&mut self.slow, outcome.slow),
        ]
        .into_iter()
        .filter_map(|(count, counts)| counts.then_some(count))
    }

    /// Why the canary is to be withdrawn; none = it is not.
    fn verdict(&self, guard: &Guard) -> Option<String> {
        let calls = self.calls.len() as u64;
        if let Some(most) = guard.traps
            && self.trapped >= most
        {
            return Some(format!(
                "{} of its latest {calls} calls trapped; its guard allows fewer than {most}",
                self.trapped
            ));
        }
        if calls < u64::from(guard.min_calls) {
            return None;
        }
        let is_more =
            |count: u32, share: u16| u64::from(count) * u64::from(WHOLE) > calls * u64::from(share);
        if let Some(share) = guard.errors
            && is_more(self.failed, share)
        {
            return Some(format!(
                "{} of its latest {calls} calls failed; its guard allows {} %",
                self.failed,
                f64::from(share) / 100.0
            ));
        }
        if let Some(limit) = guard.latency_ms
            && is_more(self.slow, WHOLE / 20)
        {
            return Some(format!(
                "{} of its latest {calls} calls took longer than {limit} ms; its guard allows one in twenty",
                self.slow
            ));
        }
        None
    }
}

/// How two versions differ in what they are sent; none = names, datatypes, shapes and columns are the same. What they take
/// of it may still differ, by ranges, vocabularies and what may be absent.
pub(crate) fn other_inputs(one: &Signature, other: &Signature) -> Option<String> {
    if one.inputs.len() != other.inputs.len() {
        return Some(format!(
            "{} instead of {}",
            other.inputs.len(),
            one.inputs.len()
        ));
    }
    one.inputs
        .iter()
        .zip(&other.inputs)
        .find_map(|(one, other)| {
            let is_same = one.name == other.name
                && one.datatype == other.datatype
                && one.shape == other.shape;
            if !is_same {
                return Some(format!(
                    "`{}` {} {:?} instead of `{}` {} {:?}",
                    other.name, other.datatype, other.shape, one.name, one.datatype, one.shape
                ));
            }
            if one.columns.len() != other.columns.len() {
                return Some(format!(
                    "{} columns of `{}` instead of {}",
                    other.columns.len(),
                    one.name,
                    one.columns.len()
                ));
            }
            let mut columns = one.columns.iter().zip(&other.columns);
            let renamed = columns.find(|(one, other)| one.name != other.name);
            renamed.map(|(one, other)| format!("column `{}` instead of `{}`", other.name, one.name))
        })
}

#[cfg(test)]
mod tests {
    use foretell_store::HeaderRule;
    use foretell_types::run::RunError;

    use super::*;
    use crate::registry::testing::target;

    fn key(n: u8) -> KeyId {
        KeyId::parse(&format!("key_{n:016}")).unwrap()
    }

    fn release(share: u16, version: &str) -> Release {
        let version = ModelVersion::parse(version).unwrap();
        Release {
            target: Arc::new(Target {
                version: version.clone(),
                ..target("t", 1, vec![])
            }),
            rules: Canary {
                version,
                share,
                header: Some(HeaderRule {
                    name: "x-group".into(),
                    value: "beta".into(),
                }),
                keys: vec![key(1)],
                sticky: "x-user".into(),
                guard: None,
            },
            trial: Arc::new(on_trial(None)),
        }
    }

    fn on_trial(guard: Option<Guard>) -> Trial {
        Trial::new(OnGuard {
            version: ModelVersion::parse("2").unwrap(),
            guard,
        })
    }

    fn nothing<'a>(_: &str) -> Option<Cow<'a, str>> {
        None
    }

    /// Of users 0 to 10,000, those whose calls are the canary's.
    fn users(release: &Release) -> Vec<u32> {
        (0..10_000)
            .filter(|user| {
                let value = user.to_string();
                release.takes(Some(&key(2)), |name| {
                    (name == "x-user").then(|| Cow::Owned(value.clone()))
                })
            })
            .collect()
    }

    #[test]
    fn a_key_or_a_header_that_is_named_goes_to_the_canary_whatever_its_share() {
        let release = release(0, "2");
        assert!(release.takes(Some(&key(1)), nothing));
        assert!(!release.takes(Some(&key(2)), nothing));
        for (value, takes) in [("beta", true), ("Beta", false), ("", false)] {
            let found = release.takes(Some(&key(2)), |name| {
                (name == "x-group").then_some(value.into())
            });
            assert_eq!(found, takes, "{value}");
        }
    }

    #[test]
    fn a_share_is_about_as_many_calls() {
        for (share, few, many) in [
            (0, 0, 0),
            (500, 350, 650),
            (5_000, 4_600, 5_400),
            (WHOLE, 10_000, 10_000),
        ] {
            let release = release(share, "2");
            let drawn = (0..10_000)
                .filter(|_| release.takes(Some(&key(2)), nothing))
                .count();
            assert!((few..=many).contains(&drawn), "{share}: {drawn} drawn");
            let sticky = users(&release).len();
            assert!((few..=many).contains(&sticky), "{share}: {sticky} users");
        }
    }

    #[test]
    fn a_user_stays_with_the_canary_while_it_grows_and_the_next_canary_draws_others() {
        let (small, large, other) = (release(500, "2"), release(2_000, "2"), release(500, "3"));
        let (few, many) = (users(&small), users(&large));
        assert_eq!(users(&small), few, "the same again");
        assert!(few.iter().all(|user| many.contains(user)));
        let both = users(&other)
            .iter()
            .filter(|user| few.contains(user))
            .count();
        assert!(both < 100, "{both} of {} are in both", few.len());
    }

    #[test]
    fn a_withdrawn_canary_takes_nothing() {
        let release = release(WHOLE, "2");
        release.trial.withdrawn.store(true, Ordering::Release);
        assert!(!release.takes(Some(&key(1)), nothing));
    }

    const GUARD: Guard = Guard {
        window: 10,
        min_calls: 5,
        errors: Some(2_000),
        traps: Some(2),
        latency_ms: Some(100),
    };

    fn of(error: &PredictError) -> Ended {
        Ended::of(Some(error))
    }

    fn failed(error: RunError) -> PredictError {
        PredictError::Run {
            target: String::new(),
            error,
        }
    }

    fn trap() -> PredictError {
        failed(RunError::Trapped("unreachable".into()))
    }

    fn late() -> PredictError {
        failed(RunError::Deadline {
            deadline: Duration::from_millis(1),
        })
    }

    const QUICK: Duration = Duration::from_millis(100);

    #[test]
    fn so_many_traps_withdraw_it_at_once_and_say_so_once() {
        let trial = on_trial(Some(GUARD));
        assert_eq!(trial.judge(of(&trap()), QUICK), None);
        let reason = trial.judge(of(&trap()), QUICK).unwrap();
        assert_eq!(
            reason,
            "2 of its latest 2 calls trapped; its guard allows fewer than 2"
        );
        assert!(trial.is_withdrawn());
        assert_eq!(trial.judge(of(&trap()), QUICK), None);
    }

    #[test]
    fn once_it_is_over_its_last_calls_count_no_more() {
        let trial = on_trial(Some(GUARD));
        assert_eq!(trial.judge(of(&trap()), QUICK), None);
        trial.end();
        assert_eq!(trial.judge(of(&trap()), QUICK), None);
        assert!(!trial.is_withdrawn());
    }

    #[test]
    fn an_error_rate_counts_from_the_fewest_calls_on_and_among_the_latest_only() {
        let trial = on_trial(Some(GUARD));
        for _ in 0..4 {
            assert_eq!(trial.judge(of(&late()), QUICK), None);
        }
        assert!(trial.judge(of(&late()), QUICK).is_some(), "the fifth call");

        let trial = on_trial(Some(GUARD));
        for _ in 0..10 {
            assert_eq!(trial.judge(Ended::Answered, QUICK), None);
        }
        // Two of ten are allowed, whenever: those before are out of the window by then.
        for _ in 0..5 {
            for error in [
                Some(late()),
                Some(late()),
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
            ] {
                assert_eq!(trial.judge(Ended::of(error.as_ref()), QUICK), None);
            }
        }
        for error in [Some(late()), Some(late())] {
            assert_eq!(trial.judge(Ended::of(error.as_ref()), QUICK), None);
        }
        let reason = trial.judge(of(&late()), QUICK).unwrap();
        assert_eq!(
            reason,
            "3 of its latest 10 calls failed; its guard allows 20 %"
        );
    }

    #[test]
    fn more_than_one_slow_call_in_twenty_withdraws_it() {
        let guard = Guard {
            window: 20,
            ..GUARD
        };
        let trial = on_trial(Some(guard));
        for _ in 0..19 {
            assert_eq!(trial.judge(Ended::Answered, QUICK), None);
        }
        let slow = QUICK + Duration::from_millis(1);
        assert_eq!(trial.judge(Ended::Answered, slow), None, "one in twenty");
        let reason = trial.judge(Ended::Answered, slow).unwrap();
        assert!(
            reason.starts_with("2 of its latest 20 calls took longer than 100 ms"),
            "{reason}"
        );
    }

    #[test]
    fn what_is_not_the_versions_fault_does_not_count() {
        let trial = on_trial(Some(GUARD));
        let refused = || {
            failed(RunError::Refused {
                message: String::new(),
                input: 0,
                row: None,
                column: None,
            })
        };
        let in_a_hurry = || PredictError::TimedOut { timeout: QUICK };
        let overloaded = || failed(RunError::Overloaded { waited: QUICK });
        for error in [refused, in_a_hurry, overloaded] {
            for _ in 0..20 {
                assert_eq!(trial.judge(of(&error()), QUICK), None);
            }
        }
        assert!(
            on_trial(None).judge(of(&trap()), QUICK).is_none(),
            "no guard"
        );
    }
}
