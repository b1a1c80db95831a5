//! What a call takes before it is run, and the record of what became of it.
//!
//! Quota and credits are taken in one step before the run and trued up after it. The value that holds them also holds the
//! call's record, so neither is forgotten: if its caller hangs up, its drop settles both, for the time that the run had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foretell_store::{Mark, MicroCredits, Used};
use foretell_types::run::Begun;
use foretell_types::signature::Checked;
use foretell_types::{ErrorKind, RequestId};

use super::admit::Admitted;
use super::once::Once;
use crate::account::{Bill, Books, Reserved, Terms};
use crate::evidence::Done;
use crate::recording::{Complete, Draft};
use crate::{Cached, Call, PredictError, Target};

/// Who asks, under which terms.
pub(crate) struct Account<'a> {
    pub(crate) books: &'a Books,
    pub(crate) terms: Arc<Terms>,
    pub(crate) call: &'a Call,
    pub(crate) admitted: &'a Admitted,
    /// Whether there is a record of the call.
    pub(crate) is_recorded: AtomicBool,
    /// Whether it is to be done once.
    pub(crate) once: Option<Once>,
    /// The request whose recording is run again.
    pub(crate) replays: Option<RequestId>,
}

/// A call that is being answered: what it took, and its record.
pub(crate) struct Open<'a> {
    account: &'a Account<'a>,
    target: Arc<Target>,
    reserved: Option<Reserved>,
    bill: Bill,
    cached: Cached,
    input: [u8; 32],
    once: Option<Mark>,
    recording: Option<Complete>,
    /// When its body was there.
    began: Instant,
    /// When its guest began.
    begun: Begun,
    /// How long it may be run.
    longest: Duration,
}

/// What becomes of what was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is charged, as far as it was used.
    Charged,
    /// It is given back: the host could not do its part.
    GivenBack,
    /// It is given back, and another version is asked: the call goes on, and is counted there.
    Passed,
}

/// What is to be answered.
pub(crate) struct Wanted<'a> {
    pub(crate) target: &'a Arc<Target>,
    pub(crate) rows: u32,
    pub(crate) input: [u8; 32],
    pub(crate) began: Instant,
}

impl<'a> Account<'a> {
    /// A recording of what is asked, where the tenant wants one. What is run again was recorded before.
    ///
    /// # Errors
    /// `Unavailable` if it could not be kept and must be.
    pub(crate) fn draft(
        &self,
        target: &Arc<Target>,
        inputs: &Checked,
    ) -> Result<Option<Draft>, PredictError> {
        let is_again = self.replays.is_some() || self.once.as_ref().is_some_and(Once::is_repeated);
        if !self.terms.records || is_again {
            return Ok(None);
        }
        self.books.evidence().draft(self.call, target, inputs)
    }

    /// Takes what a run may need.
    ///
    /// # Errors
    /// `QuotaExhausted`; `Unavailable` if the record of the run could not be kept.
    pub(crate) fn reserve(&'a self, wanted: &Wanted<'_>) -> Result<Open<'a>, PredictError> {
        let bill = self
            .books
            .bill(&self.terms, &wanted.target.model, wanted.rows);
        let deadline = Duration::from_millis(u64::from(wanted.target.runtime.deadline_ms));
        self.open(wanted, bill, deadline, Cached::Miss)
    }

    /// Takes what an answer costs that was given before, and records it.
    ///
    /// # Errors
    /// As [`Account::reserve`].
    pub(crate) fn recalled(
        &'a self,
        wanted: &Wanted<'_>,
        recording: Option<Complete>,
    ) -> Result<MicroCredits, PredictError> {
        let bill = self
            .books
            .bill_of_hit(&self.terms, &wanted.target.model, wanted.rows);
        let mut open = self.open(wanted, bill, Duration::ZERO, Cached::Hit)?;
        open.record(recording);
        Ok(open.close(None, Duration::ZERO, false))
    }

    fn open(
        &'a self,
        wanted: &Wanted<'_>,
        mut bill: Bill,
        longest: Duration,
        cached: Cached,
    ) -> Result<Open<'a>, PredictError> {
        let mut mark = None;
        if let Some(once) = &self.once {
            mark = once.to_mark(wanted.target, &wanted.input)?;
            if mark.is_none() {
                bill = Bill::NOTHING;
            }
        }
        self.books.evidence().has_room()?;
        let caller = &self.admitted.caller;
        let key = caller.principal.key.as_ref();
        let reserved = self
            .books
            .reserve(&caller.tenant, &self.terms, key, bill, longest)?;
        Ok(Open {
            account: self,
            target: Arc::clone(wanted.target),
            reserved: Some(reserved),
            bill,
            cached,
            input: wanted.input,
            once: mark,
            recording: None,
            began: wanted.began,
            begun: Begun::default(),
            longest,
        })
    }
}

impl Open<'_> {
    /// It was not looked for in the cache, or was.
    pub(crate) fn looked_up(&mut self, cached: Cached) {
        self.cached = cached;
    }

    /// What tells when its guest begins.
    pub(crate) fn begun(&self) -> Begun {
        self.begun.clone()
    }

    /// It is answered; what was asked and answered is to be kept, where there is a recording.
    pub(crate) fn record(&mut self, recording: Option<Complete>) {
        self.recording = recording;
    }

    /// The call has ended: what it costs. What the host could not do costs nothing; nor does what another version is
    /// asked for next.
    pub(crate) fn close(
        mut self,
        error: Option<&PredictError>,
        compute: Duration,
        is_asked_again: bool,
    ) -> MicroCredits {
        // Its caller gave up before anything was done for it.
        let never_ran = self.begun.elapsed().is_none();
        let is_ours = error.is_some_and(|error| {
            is_of_the_host(error.kind()) || error.kind() == ErrorKind::DeadlineExceeded && never_ran
        });
        let outcome = error.map_or("ok", |error| error.kind().code());
        let fate = match (is_asked_again, is_ours) {
            (true, _) => Fate::Passed,
            (false, true) => Fate::GivenBack,
            (false, false) => Fate::Charged,
        };
        self.end(outcome, compute, fate)
    }

    fn end(&mut self, outcome: &'static str, compute: Duration, fate: Fate) -> MicroCredits {
        let Some(reserved) = self.reserved.take() else {
            return 0;
        };
        let (predictions, credits) = if fate == Fate::Charged {
            (self.bill.predictions, reserved.settle(compute))
        } else {
            reserved.give_back(compute);
            (0, 0)
        };
        let account = self.account;
        account.is_recorded.store(true, Ordering::Relaxed);
        let used = Used {
            calls: u64::from(fate != Fate::Passed),
            predictions: u64::from(predictions),
            cached: u64::from(self.cached == Cached::Hit),
            failed: u64::from(outcome != "ok"),
            compute_us: u64::try_from(compute.as_micros()).unwrap_or(u64::MAX),
            credits,
        };
        let done = Done {
            at: account.books.now(),
            by: Arc::clone(&account.admitted.caller.principal),
            target: Arc::clone(&self.target),
            request_id: account.call.request_id.clone(),
            outcome,
            cached: self.cached,
            used,
            took: self.began.elapsed(),
            input: self.input,
            // What costs nothing may be asked for again, and is then charged.
            once: self.once.filter(|_| fate == Fate::Charged),
            replays: account.replays.clone(),
        };
        if done.once.is_some()
            && let Some(once) = &account.once
        {
            once.queued();
        }
        account.books.evidence().done(done, self.recording.take());
        credits
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A defect of ours.
            self.end(ErrorKind::Internal.code(), Duration::ZERO, Fate::GivenBack);
            return;
        }
        // Its caller went away: what ran, ran, and what had not begun will not.
        match self.begun.elapsed() {
            Some(ran) => self.end("abandoned", ran.min(self.longest), Fate::Charged),
            None => self.end("abandoned", Duration::ZERO, Fate::GivenBack),
        };
    }
}

/// Whether the host, and neither its caller nor the plugin, is why there is no answer.
const fn is_of_the_host(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Overloaded | ErrorKind::Draining | ErrorKind::Unavailable | ErrorKind::Internal
    )
}
