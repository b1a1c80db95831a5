//! Versions that cannot be loaded are left alone for a while.
//!
//! Each attempt reads the version from the disk, checks its seal and may start a worker: requests that keep coming would
//! keep the machine busy with what cannot succeed. So a failure is remembered with the version, for a time that doubles
//! from failure to failure, and whoever asks meanwhile is told at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foretell_types::run::RunError;

use crate::config::LoadedConfig;

/// Why a version is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LoadError {
    /// The server is busy, which says nothing about the version.
    Busy(String),
    /// What is stored of the version is of no use, or could not be had.
    Failed(String),
}

/// What became of the attempts to load one version.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    cause: String,
    until: Instant,
    /// How long the pause was after the last failure; none where the server was only busy.
    pause: Option<Duration>,
}

impl Failures {
    /// What a caller is told instead of an attempt, during a pause.
    pub(crate) fn pause(&self, now: Instant) -> Option<RunError> {
        let last = self.lock();
        let Last { cause, until, .. } = last.as_ref()?;
        let retry_after = until.checked_duration_since(now)?;
        (!retry_after.is_zero()).then(|| RunError::Unavailable {
            cause: cause.clone(),
            retry_after,
        })
    }

    /// Begins the pause after an attempt that ended at `now`; gives what its callers are told.
    pub(crate) fn note(&self, error: LoadError, config: &LoadedConfig, now: Instant) -> RunError {
        let mut last = self.lock();
        let before = last.as_ref().and_then(|last| last.pause);
        let (cause, retry_after, pause) = match error {
            LoadError::Busy(cause) => (cause, config.retry_after, before),
            LoadError::Failed(cause) => {
                let pause = before.map_or(config.retry_after, |before| {
                    (2 * before).min(config.retry_after_at_most)
                });
                (cause, pause, Some(pause))
            }
        };
        *last = Some(Last {
            cause: cause.clone(),
            until: now + retry_after,
            pause,
        });
        RunError::Unavailable { cause, retry_after }
    }

    /// Nothing is ever half done under the lock.
    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed() -> LoadError {
        LoadError::Failed("it is damaged".into())
    }

    fn told(error: &RunError) -> Duration {
        let RunError::Unavailable { retry_after, .. } = error else {
            panic!("{error}")
        };
        *retry_after
    }

    #[test]
    fn pauses_double_from_failure_to_failure_up_to_a_minute() {
        let (failures, config) = (Failures::default(), LoadedConfig::default());
        let mut now = Instant::now();
        assert_eq!(failures.pause(now), None);
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                let pause = told(&failures.note(failed(), &config, now));
                let meanwhile = failures.pause(now + pause / 2).unwrap();
                assert_eq!(told(&meanwhile), pause / 2);
                assert!(meanwhile.to_string().contains("damaged"), "{meanwhile}");
                now += pause;
                assert_eq!(failures.pause(now), None, "the next one may try");
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_busy_server_is_no_failure_of_the_version() {
        let (failures, config) = (Failures::default(), LoadedConfig::default());
        let now = Instant::now();
        let busy = || LoadError::Busy("too many uploads".into());
        for _ in 0..5 {
            assert_eq!(told(&failures.note(busy(), &config, now)), SECOND);
        }
        assert_eq!(told(&failures.note(failed(), &config, now)), SECOND);
        failures.note(busy(), &config, now);
        assert_eq!(
            told(&failures.note(failed(), &config, now)),
            2 * SECOND,
            "nor is it a success"
        );
    }
}
