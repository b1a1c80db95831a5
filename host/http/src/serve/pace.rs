//! What a connection is doing, and until when it may do nothing.
//!
//! hyper's own header timeout also runs while a connection is idle between two requests, so it cannot give 5 seconds to
//! a header and 60 to a pause. This clock can: it costs two atomic stores for each request and no timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::HttpConfig;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A head is on its way, or the first one is awaited.
    Head = 0,
    /// A request is being answered: the body reader and the corridor have clocks of their own.
    Busy = 1,
    /// No request; what is left of the last answer goes out.
    Idle = 2,
}

/// The clock of one connection.
pub(super) struct Pace {
    origin: Instant,
    /// Milliseconds since `origin`, times four, plus the phase.
    state: AtomicU64,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Pace {
    /// A connection that was just made.
    pub(super) fn new(config: &HttpConfig, now: Instant) -> Self {
        Self {
            origin: now,
            state: AtomicU64::new(Phase::Head as u64),
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
        }
    }

    /// Bytes came in. The clock is read only where it matters, which costs as much as all else here.
    pub(super) fn read(&self, now: impl FnOnce() -> Instant) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head, now());
        }
    }

    /// Bytes went out: who takes an answer slowly is not idle.
    pub(super) fn wrote(&self, now: impl FnOnce() -> Instant) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Idle, now());
        }
    }

    /// A request's head is complete.
    pub(super) fn request(&self) {
        self.state.store(Phase::Busy as u64, Ordering::Relaxed);
    }

    /// The answer is in hyper's hands.
    pub(super) fn answered(&self, now: Instant) {
        self.enter(Phase::Idle, now);
    }

    /// When the connection will have been silent for too long; `None` while it is our turn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state.load(Ordering::Relaxed);
        let since = self.origin + Duration::from_millis(state >> 2);
        match state & 3 {
            state if state == Phase::Head as u64 => Some(since + self.header_timeout),
            state if state == Phase::Idle as u64 => Some(since + self.idle_timeout),
            _ => None,
        }
    }

    /// When to look again although nothing happens.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        self.deadline().unwrap_or_else(|| now + self.idle_timeout)
    }

    fn phase(&self) -> Phase {
        match self.state.load(Ordering::Relaxed) & 3 {
            0 => Phase::Head,
            1 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    fn enter(&self, phase: Phase, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX >> 2);
        self.state
            .store(since << 2 | phase as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_its_time_from_its_first_byte_and_an_idle_connection_more() {
        let config = HttpConfig::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pace = Pace::new(&config, start);
        assert_eq!(pace.deadline(), Some(at(5)), "a new connection owes a head");
        pace.request();
        assert_eq!(pace.deadline(), None, "it is our turn");
        assert_eq!(pace.next_look(at(1)), at(61));
        pace.read(|| at(2));
        assert_eq!(pace.deadline(), None, "a body is no head");
        pace.answered(at(100));
        assert_eq!(pace.deadline(), Some(at(160)));
        pace.wrote(|| at(110));
        assert_eq!(
            pace.deadline(),
            Some(at(170)),
            "who reads slowly is not idle"
        );
        pace.read(|| at(120));
        pace.read(|| at(124));
        assert_eq!(pace.deadline(), Some(at(125)), "more bytes buy no time");
        pace.wrote(|| at(124));
        assert_eq!(pace.deadline(), Some(at(125)));
    }
}
