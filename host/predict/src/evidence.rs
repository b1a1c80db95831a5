//! The records of what was asked: one for each prediction, and of what was refused, how often.
//!
//! A prediction leaves its record in a queue and goes; a task writes what has gathered, with the usage and the cost, in
//! one transaction. What a crash takes is what came in the last [`GATHER`] and was not written yet. What is refused is
//! gathered for a second and written as one row with a count, so that whoever knocks on the door a million times does not
//! fill the disk.
//!
//! The queue is bounded. When it is full, either no prediction is run whose record could not be kept (`strict`), or
//! records of one key and one version become one row with their sums (`fold`): what was used and what it costs is always
//! written, to the credit.
//!
//! Recordings, of tenants that want them, are written after the records, in batches of their own. They are bounded by
//! their bytes: beyond, `strict` refuses predictions that are to be recorded, and `fold` goes on without recordings.

mod checkpoint;
mod rows;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foretell_store::port::UnixMs;
use foretell_store::{Audit, AuditRecord, Entry, Ledger, Mark, Spent, Used};
use foretell_types::signature::Checked;
use foretell_types::{ErrorKind, RequestId, TenantId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::{Records, WhenFull};
use crate::recording::{Complete, Draft, NoRoom, Recorder};
use crate::stage::identify::Principal;
use crate::{Cached, Call, Clock, PredictError, Target};

pub use checkpoint::{CheckpointRules, Checkpointer};

/// How long records gather before they are written: what a crash may take.
pub const GATHER: Duration = Duration::from_millis(10);
/// How long refusals gather.
const GATHER_REFUSALS_MS: UnixMs = 1_000;
/// Records of one transaction, at most.
const AT_ONCE: usize = 8_192;
/// Different refusals that are gathered, at most; beyond, they are told by their code alone.
const MAX_REFUSALS: usize = 4_096;
/// The same of nobody who is known: they cost a stranger nothing, and the disk a row each.
const MAX_OF_STRANGERS: usize = 64;
/// How long to wait before a write is tried again, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A prediction that came to its end.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) at: UnixMs,
    pub(crate) by: Arc<Principal>,
    pub(crate) target: Arc<Target>,
    pub(crate) request_id: RequestId,
    /// `ok`, or the code of the error.
    pub(crate) outcome: &'static str,
    pub(crate) cached: Cached,
    pub(crate) used: Used,
    /// From the body to the answer.
    pub(crate) took: Duration,
    /// A keyed hash of its inputs.
    pub(crate) input: [u8; 32],
    /// What it is found by if it is sent again.
    pub(crate) once: Option<Mark>,
    /// The request whose recording was run again.
    pub(crate) replays: Option<RequestId>,
}

/// Something that was refused. Equal ones are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refused {
    /// Whose things were asked for; none = nobody's that is known.
    pub tenant: Option<TenantId>,
    /// Who asked; empty = nobody who is known.
    pub actor: Arc<str>,
    /// What was asked for: a route, or a model.
    pub what: Arc<str>,
    /// The code of the error.
    pub code: &'static str,
    /// Where it came from.
    pub origin: Option<Arc<str>>,
}

impl Refused {
    /// Something that was refused to somebody, or to nobody who is known.
    pub(crate) fn of(by: Option<&Principal>, what: &str, kind: ErrorKind) -> Self {
        Self {
            tenant: by.and_then(|by| by.tenant.clone()),
            actor: by.map_or_else(|| "".into(), |by| Arc::clone(&by.actor)),
            what: what.into(),
            code: kind.code(),
            origin: None,
        }
    }
}

/// Keeps the records.
pub struct Evidence {
    ledger: Arc<dyn Ledger>,
    audit: Arc<dyn Audit>,
    recorder: Arc<Recorder>,
    clock: Clock,
    records: Records,
    queue: Mutex<Queue>,
    /// There is something to write.
    work: Notify,
    /// One writer at a time.
    writing: tokio::sync::Mutex<Writing>,
    /// The last row of the log that was seen.
    last: AtomicU64,
    /// Signs what the log came to; none = nobody does.
    checkpointer: Option<Arc<Checkpointer>>,
}

#[derive(Default)]
struct Queue {
    done: Vec<Done>,
    /// How many were ever put into `done`.
    count: u64,
    folded: HashMap<(Arc<str>, TenantId, String, String), Folded>,
    refused: HashMap<Refused, Count>,
    refused_since: Option<UnixMs>,
    /// At most one for each tenant and month.
    notes: Vec<Entry>,
}

/// What is being written.
#[derive(Default)]
struct Writing {
    /// What could not be written yet, and how many predictions are in it.
    unwritten: Option<(Arc<Vec<Spent>>, u64)>,
    /// Predictions that are written, of all that were ever taken.
    written: u64,
}

/// How far the writing has come.
struct Progress {
    /// Predictions that are written.
    written: u64,
    /// Whether this was taken from the queue, and is not what could not be written before.
    is_fresh: bool,
}

/// Records that became one.
#[derive(Debug, Clone, Default)]
struct Folded {
    at: UnixMs,
    used: Used,
}

#[derive(Debug, Clone)]
struct Count {
    first: RequestId,
    at: UnixMs,
    count: u64,
}

impl Evidence {
    /// Over the store.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        audit: Arc<dyn Audit>,
        recorder: Arc<Recorder>,
        records: Records,
        clock: Clock,
    ) -> Self {
        Self {
            ledger,
            audit,
            recorder,
            clock,
            records,
            queue: Mutex::default(),
            work: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            last: AtomicU64::new(0),
            checkpointer: None,
        }
    }

    /// With checkpoints of the log, which others look at as well. Who makes them keeps them.
    pub fn with_checkpoints(mut self, checkpointer: Arc<Checkpointer>) -> Self {
        self.checkpointer = Some(checkpointer);
        self
    }

    /// Who signs what the log came to.
    pub(crate) fn checkpointer(&self) -> Option<&Checkpointer> {
        self.checkpointer.as_deref()
    }

    /// Who keeps recordings.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// A recording of what is asked of a version; none if it is not kept: it is too large, or too much waits to be written.
    ///
    /// # Errors
    /// `Unavailable`, if it could not be kept and must be.
    pub(crate) fn draft(
        &self,
        call: &Call,
        target: &Arc<Target>,
        inputs: &Checked,
    ) -> Result<Option<Draft>, PredictError> {
        match (self.recorder.draft(call, target, inputs), self.records.when_full) {
            (Ok(draft), _) => Ok(draft),
            (Err(NoRoom), WhenFull::Fold) => {
                self.recorder.dropped();
                Ok(None)
            }
            (Err(NoRoom), WhenFull::Strict) => Err(PredictError::Unavailable(
                "recordings cannot be written, and no prediction of this tenant is run without its recording".into(),
            )),
        }
    }

    /// Whether there are records of predictions.
    pub(crate) const fn records_predictions(&self) -> bool {
        self.records.predictions
    }

    /// Whether a prediction may be run, as far as its record goes.
    ///
    /// # Errors
    /// `Unavailable`, if its record could not be kept and must be.
    pub(crate) fn has_room(&self) -> Result<(), PredictError> {
        if !self.records.predictions {
            return Ok(());
        }
        if self.records.when_full == WhenFull::Fold || self.queue().done.len() < self.records.queue
        {
            return Ok(());
        }
        Err(PredictError::Unavailable(
            "the audit log cannot be written, and no prediction is run without its record".into(),
        ))
    }

    /// Takes the record of a prediction, and its recording, where there is one.
    pub(crate) fn done(&self, done: Done, recording: Option<Complete>) {
        let at = done.at;
        if self.records.predictions {
            self.take(done);
        }
        // After the record: what is gathered for a write has its record in the queue, or written.
        if let Some(recording) = recording {
            self.recorder.keep(recording, at);
            self.work.notify_one();
        }
    }

    fn take(&self, done: Done) {
        let mut queue = self.queue();
        let was_idle = queue.is_empty();
        // With `strict`, those that were let in meanwhile are kept all the same.
        let is_full = queue.done.len() >= self.records.queue;
        // Of one that is to be done once its caller waits for the record, so there are never many.
        let is_foldable = self.records.when_full == WhenFull::Fold && done.once.is_none();
        if is_full && is_foldable {
            queue.fold(done);
        } else {
            queue.done.push(done);
            queue.count += 1;
        }
        drop(queue);
        if was_idle {
            self.work.notify_one();
        }
    }

    /// Takes what the server itself has to say.
    pub(crate) fn note(&self, entry: Entry) {
        let mut queue = self.queue();
        let was_idle = queue.is_empty();
        queue.notes.push(entry);
        drop(queue);
        if was_idle {
            self.work.notify_one();
        }
    }

    /// Counts something that was refused.
    pub fn refused(&self, mut refused: Refused, request_id: &RequestId) {
        let at = self.clock.now();
        let mut queue = self.queue();
        let was_idle = queue.is_empty();
        let most = if refused.actor.is_empty() {
            MAX_OF_STRANGERS
        } else {
            MAX_REFUSALS
        };
        if queue.refused.len() >= most && !queue.refused.contains_key(&refused) {
            refused = Refused {
                tenant: None,
                actor: "".into(),
                what: "".into(),
                code: refused.code,
                origin: None,
            };
        }
        queue.refused_since.get_or_insert(at);
        let count = queue.refused.entry(refused).or_insert_with(|| Count {
            first: request_id.clone(),
            at,
            count: 0,
        });
        count.count += 1;
        drop(queue);
        if was_idle {
            self.work.notify_one();
        }
    }

    /// Writes what has gathered by now; what comes meanwhile is not waited for.
    ///
    /// # Errors
    /// Those of the store; what could not be written is kept.
    pub async fn flush(self: &Arc<Self>) -> Result<(), PredictError> {
        let wanted = self.queue().count;
        // What is not a prediction is taken with the first batch.
        let mut all = true;
        loop {
            let progress = self.write_apart(all).await?;
            if progress.is_fresh {
                all = false;
            }
            if !all && progress.written >= wanted {
                return Ok(());
            }
        }
    }

    /// The row of a call that marked itself, if it was done and is written.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn marked(&self, mark: &Mark) -> Result<Option<AuditRecord>, PredictError> {
        Ok(self.audit.marked(mark).await?)
    }

    /// The last row of the log that this server has seen; none = it has seen none yet.
    pub(crate) fn last_known(&self) -> Option<u64> {
        match self.last.load(Ordering::Acquire) {
            0 => None,
            last => Some(last),
        }
    }

    /// Writes, as long as it is polled.
    pub async fn keep(self: Arc<Self>) {
        match self.audit.last().await {
            Ok(last) => {
                self.last.fetch_max(last, Ordering::AcqRel);
            }
            Err(error) => tracing::warn!(%error, "the audit log could not be read"),
        }
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.work.notified().await;
            loop {
                sleep_until(Instant::now() + GATHER).await;
                match self.write_apart(false).await {
                    Ok(_) => pause = SHORTEST_PAUSE,
                    Err(error) => {
                        let cause = error.cause();
                        tracing::error!(
                            cause,
                            "records could not be written; they are kept and tried again"
                        );
                        sleep_until(Instant::now() + pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
                if self.queue().is_empty() && self.recorder.is_idle() {
                    break;
                }
            }
        }
    }

    /// Writes one batch, to its end whoever goes away: what was settled and is not known to be would be settled twice.
    async fn write_apart(self: &Arc<Self>, all: bool) -> Result<Progress, PredictError> {
        let evidence = Arc::clone(self);
        let written = tokio::spawn(async move { evidence.write(all).await }).await;
        written.map_err(|error| PredictError::Internal(error.to_string()))?
    }

    async fn write(&self, all: bool) -> Result<Progress, PredictError> {
        let mut writing = self.writing.lock().await;
        // Before what is gathered here is taken out of the queue: their records are written first.
        self.recorder.gather().await;
        let is_fresh = writing.unwritten.is_none();
        let (batch, count) = match writing.unwritten.take() {
            Some(unwritten) => unwritten,
            None => {
                let taken = self.queue().take(all, self.clock.now());
                let count = taken.done.len() as u64;
                (Arc::new(taken.rows()), count)
            }
        };
        if !batch.is_empty() {
            // Kept until it is written, whatever happens.
            writing.unwritten = Some((Arc::clone(&batch), count));
            let settled = self.ledger.settle(batch).await;
            let last = settled.inspect_err(|_| self.work.notify_one())?;
            writing.unwritten = None;
            writing.written += count;
            self.last.fetch_max(last, Ordering::AcqRel);
        }
        // Recordings have a store of their own, and one that cannot be written holds up nobody's records.
        if let Err(error) = self.recorder.write().await {
            let cause = error.cause();
            tracing::error!(
                cause,
                "recordings could not be written; they are kept and tried again"
            );
            self.work.notify_one();
        }
        Ok(Progress {
            written: writing.written,
            is_fresh,
        })
    }

    /// A panic elsewhere leaves a queue behind that can be used.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was taken out of the queue.
struct Taken {
    done: Vec<Done>,
    folded: HashMap<(Arc<str>, TenantId, String, String), Folded>,
    refused: HashMap<Refused, Count>,
    notes: Vec<Entry>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.done.is_empty()
            && self.folded.is_empty()
            && self.refused.is_empty()
            && self.notes.is_empty()
    }

    fn fold(&mut self, done: Done) {
        let target = &done.target;
        let name = (
            Arc::clone(&done.by.actor),
            target.tenant.clone(),
            target.model.as_str().to_owned(),
            target.version.as_str().to_owned(),
        );
        let folded = self.folded.entry(name).or_default();
        folded.at = done.at;
        folded.used.add(&done.used);
    }

    /// The oldest records, as many as fit one transaction; refusals once they are old enough, or with all.
    fn take(&mut self, all: bool, now: UnixMs) -> Taken {
        let done = if self.done.len() <= AT_ONCE {
            std::mem::take(&mut self.done)
        } else {
            self.done.drain(..AT_ONCE).collect()
        };
        let is_due = |since| all || now - since >= GATHER_REFUSALS_MS || now < since;
        let refused = if self.refused_since.is_some_and(is_due) {
            self.refused_since = None;
            std::mem::take(&mut self.refused)
        } else {
            HashMap::new()
        };
        Taken {
            done,
            folded: std::mem::take(&mut self.folded),
            refused,
            notes: std::mem::take(&mut self.notes),
        }
    }
}
