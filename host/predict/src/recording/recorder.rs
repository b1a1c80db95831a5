//! Takes recordings, and hands them out again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::take;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foretell_store::port::UnixMs;
use foretell_store::{
    PageSize, Pseudonym, Recording, RecordingPolicy, RecordingRow, Recordings, Retention,
    SubjectKey, WrappedKey,
};
use foretell_types::signature::Checked;
use foretell_types::{ModelName, ModelVersion, RequestId, TenantId, Tensor, VersionDigest};

use super::codec::{self, Content};
use super::sealed::{Changed, Key, Vault, about};
use crate::call::Subject;
use crate::key::Pepper;
use crate::{Call, PredictError, Target, apart};

/// Bytes of recordings that wait to be written, those of predictions under way among them, at most; the one that passes it is
/// the last.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// The same of one tenant: a quarter, so that whose predictions are long does not keep others from theirs.
const MAX_WAITING_BYTES_OF_TENANT: usize = MAX_WAITING_BYTES / 4;
/// Bytes of one recording, at most. A larger prediction is not recorded: no store takes any size, and who cannot be written
/// must not hold up the others.
const MAX_RECORDING_BYTES: usize = 64 << 20;
/// What one transaction takes, at most, but for its last recording.
const MAX_AT_ONCE: usize = 1_000;
const MAX_AT_ONCE_BYTES: usize = 4 << 20;
/// How often it is said that recordings are not kept.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Takes recordings, and hands them out again. One for each server.
pub struct Recorder {
    recordings: Arc<dyn Recordings>,
    retention: Arc<dyn Retention>,
    vault: Vault,
    /// What waits to be written. Who looks for room sees also what is being made and what is being written.
    waiting: Mutex<VecDeque<Waiting>>,
    held: Arc<Mutex<Held>>,
    /// How many were kept and are not written yet.
    unwritten: AtomicUsize,
    dropped: AtomicU64,
    /// What is being written, and could not be yet: one writer at a time.
    writing: tokio::sync::Mutex<Writing>,
}

/// Bytes that wait.
#[derive(Default)]
struct Held {
    all: usize,
    of: HashMap<TenantId, usize>,
}

/// Bytes that wait of one tenant; others have room for them from its drop on.
struct Room {
    held: Arc<Mutex<Held>>,
    tenant: TenantId,
    bytes: usize,
}

impl Room {
    /// None if as many bytes wait as may. What is asked for first is given whatever its size.
    fn of(held: &Arc<Mutex<Held>>, tenant: &TenantId, bytes: usize) -> Option<Self> {
        let of_all = held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = of_all.of.get(tenant).copied().unwrap_or_default();
        if of_all.all >= MAX_WAITING_BYTES || of_tenant >= MAX_WAITING_BYTES_OF_TENANT {
            return None;
        }
        drop(of_all);
        let mut room = Self {
            held: Arc::clone(held),
            tenant: tenant.clone(),
            bytes: 0,
        };
        room.grow(bytes);
        Some(room)
    }

    fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all += bytes;
        *held.of.entry(self.tenant.clone()).or_default() += bytes;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= self.bytes;
        if let Some(of_tenant) = held.of.get_mut(&self.tenant) {
            *of_tenant -= self.bytes;
            if *of_tenant == 0 {
                held.of.remove(&self.tenant);
            }
        }
    }
}

/// As many bytes wait as may.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// A recording of a prediction that is under way: what was asked.
pub(crate) struct Draft {
    target: Arc<Target>,
    subject: Pseudonym,
    request_id: RequestId,
    bytes: Vec<u8>,
    room: Room,
}

/// The same with what was answered.
pub(crate) struct Complete(Draft);

impl Draft {
    /// Adds what was answered, by the version that was asked; none if it is too large.
    pub(crate) fn answered(mut self, outputs: &[Tensor]) -> Option<Complete> {
        if !fits(&self.target, self.bytes.len(), outputs) {
            return None;
        }
        let before = self.bytes.len();
        let names = self.target.signature.outputs.iter();
        let names = names.map(|output| output.name.as_str());
        codec::write(&mut self.bytes, names.zip(outputs));
        self.room.grow(self.bytes.len() - before);
        Some(Complete(self))
    }
}

struct Waiting {
    draft: Draft,
    at: UnixMs,
}

#[derive(Default)]
struct Writing {
    gathered: VecDeque<Waiting>,
    sealed: Option<Sealed>,
    said_at: Option<Instant>,
}

/// What is ready to be written.
struct Sealed {
    recordings: Arc<Vec<Recording>>,
    /// How many were to be sealed.
    count: usize,
    _rooms: Vec<Room>,
}

/// The keys of one batch.
type Keys = HashMap<(TenantId, Pseudonym), (WrappedKey, Key)>;

/// A recording as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its place among all; later ones have larger numbers.
    pub seq: u64,
    /// The request that asked for it.
    pub request_id: RequestId,
    /// When it was answered.
    pub at: UnixMs,
    /// The model that answered.
    pub model: ModelName,
    /// The version that answered.
    pub version: ModelVersion,
    /// What that version is.
    pub digest: VersionDigest,
    /// What was asked and answered, if it is still what was written.
    pub content: Result<Content, Changed>,
}

impl Recorder {
    /// Over the stores. Everything is sealed under what is derived from `pepper`: always the same for the same data.
    pub fn new(
        recordings: Arc<dyn Recordings>,
        retention: Arc<dyn Retention>,
        pepper: &Pepper,
    ) -> Self {
        Self {
            recordings,
            retention,
            vault: Vault::new(pepper),
            waiting: Mutex::default(),
            held: Arc::default(),
            unwritten: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &dyn Recordings {
        &*self.recordings
    }

    pub(crate) fn retention(&self) -> &dyn Retention {
        &*self.retention
    }

    /// Whether a tenant's predictions are recorded, and how long.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn policy(&self, tenant: &TenantId) -> Result<RecordingPolicy, PredictError> {
        Ok(self.retention.policy(tenant).await?)
    }

    /// What stands for a person; the empty text is nobody who was named.
    pub(crate) fn pseudonym(&self, tenant: &TenantId, subject: &str) -> Pseudonym {
        self.vault.pseudonym(tenant, subject)
    }

    /// A keyed hash of a receipt's text, which has a space in it.
    pub(crate) fn signature(&self, text: &str) -> [u8; 32] {
        self.vault.signature(text)
    }

    /// A recording of what is asked of a version; none if it is too large.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn draft(
        &self,
        call: &Call,
        target: &Arc<Target>,
        inputs: &Checked,
    ) -> Result<Option<Draft>, NoRoom> {
        if !fits(target, 0, inputs.inputs()) {
            return Ok(None);
        }
        let sizes = inputs
            .inputs()
            .iter()
            .map(|input| input.elements().byte_len());
        let size = sizes.sum();
        let mut room = Room::of(&self.held, &target.tenant, size).ok_or(NoRoom)?;
        let mut bytes = codec::begin(size);
        let names = target.signature.inputs.iter();
        let names = names.map(|input| input.name.as_str());
        codec::write(&mut bytes, names.zip(inputs.inputs()));
        room.grow(bytes.len().saturating_sub(size));
        let subject = call.subject.as_ref().map_or("", Subject::as_str);
        Ok(Some(Draft {
            target: Arc::clone(target),
            subject: self.pseudonym(&target.tenant, subject),
            request_id: call.request_id.clone(),
            bytes,
            room,
        }))
    }

    /// Counts a recording that is not kept.
    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a recording.
    pub(crate) fn keep(&self, recording: Complete, at: UnixMs) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let Complete(draft) = recording;
        self.waiting().push_back(Waiting { draft, at });
    }

    /// Whether everything that was kept is written.
    pub(crate) fn is_idle(&self) -> bool {
        self.unwritten.load(Ordering::Acquire) == 0
    }

    /// A panic elsewhere leaves whole recordings behind.
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers what waits now, for the next write.
    pub(crate) async fn gather(&self) {
        let mut writing = self.writing.lock().await;
        let gathered = take(&mut *self.waiting());
        writing.gathered.extend(gathered);
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// Those of the store; what could not be written is kept.
    pub(crate) async fn write(&self) -> Result<(), PredictError> {
        let mut writing = self.writing.lock().await;
        self.say_what_was_dropped(&mut writing);
        loop {
            if writing.sealed.is_none() {
                let (count, bytes) = batch(&writing.gathered);
                if count == 0 {
                    return Ok(());
                }
                let wanted = Arc::new(self.wanted(writing.gathered.iter().take(count))?);
                let keys = self.recordings.keys(Arc::clone(&wanted)).await?;
                let keys = self.opened(&wanted, keys);
                let gathered = &mut writing.gathered;
                // Taken out only where it is sealed: it is kept here, whatever happens.
                let sealed = apart(bytes, || seal(gathered.drain(..count), &keys)).await;
                writing.sealed = Some(sealed);
            }
            let Some(sealed) = &writing.sealed else {
                continue;
            };
            let recordings = Arc::clone(&sealed.recordings);
            let count = sealed.count;
            let written = self.recordings.insert(recordings).await?;
            writing.sealed = None;
            self.unwritten.fetch_sub(count, Ordering::AcqRel);
            if written < count as u64 {
                // Of persons or tenants that are not there any more.
                tracing::info!(count, written, "some recordings have lost their owner");
            }
        }
    }

    fn say_what_was_dropped(&self, writing: &mut Writing) {
        let may_be_said = writing
            .said_at
            .is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if !may_be_said || self.dropped.load(Ordering::Relaxed) == 0 {
            return;
        }
        writing.said_at = Some(Instant::now());
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        tracing::warn!(
            dropped,
            "predictions are not recorded: their recordings cannot be written as fast as they come"
        );
    }

    /// A key for each person, to be used where there is none yet.
    fn wanted<'a>(
        &self,
        batch: impl Iterator<Item = &'a Waiting>,
    ) -> Result<Vec<SubjectKey>, PredictError> {
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for Waiting { draft, at } in batch {
            let (tenant, subject) = (&draft.target.tenant, draft.subject);
            if seen.insert((tenant, subject)) {
                wanted.push(SubjectKey {
                    tenant: tenant.clone(),
                    subject,
                    wrapped: self.vault.new_key(tenant, &subject)?,
                    created_at: *at,
                });
            }
        }
        Ok(wanted)
    }

    fn opened(&self, wanted: &[SubjectKey], keys: Vec<Option<WrappedKey>>) -> Keys {
        let mut opened = Keys::new();
        for (wanted, wrapped) in wanted.iter().zip(keys) {
            let SubjectKey {
                tenant, subject, ..
            } = wanted;
            // Without one, the tenant is gone.
            let Some(wrapped) = wrapped else { continue };
            match self.vault.open_key(tenant, subject, &wrapped) {
                Ok(key) => {
                    opened.insert((tenant.clone(), *subject), (wrapped, key));
                }
                Err(Changed) => tracing::error!(
                    %tenant,
                    %subject,
                    "the key of a person was changed in the store: its predictions are not recorded"
                ),
            }
        }
        opened
    }

    /// The newest recording of a request.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        request_id: &RequestId,
    ) -> Result<Option<Recorded>, PredictError> {
        match self.recordings.find(tenant, request_id).await? {
            Some(row) => Ok(Some(self.read(row).await)),
            None => Ok(None),
        }
    }

    /// A page of a person's recordings, the oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn page(
        &self,
        tenant: &TenantId,
        subject: &Pseudonym,
        after: u64,
        most: PageSize,
    ) -> Result<Vec<Recorded>, PredictError> {
        let mut page = Vec::new();
        for row in self.recordings.page(tenant, subject, after, most).await? {
            page.push(self.read(row).await);
        }
        Ok(page)
    }

    async fn read(&self, row: RecordingRow) -> Recorded {
        let RecordingRow { seq, mut recording } = row;
        let sealed = take(&mut recording.sealed);
        let content = apart(sealed.len(), || {
            let Recording {
                tenant,
                subject,
                key,
                ..
            } = &recording;
            let key = self.vault.open_key(tenant, subject, key)?;
            let bytes = key.open(&about(&recording), sealed)?;
            codec::read(&bytes).ok_or(Changed)
        });
        let content = content.await;
        let Recording {
            request_id,
            at,
            model,
            version,
            digest,
            ..
        } = recording;
        Recorded {
            seq,
            request_id,
            at,
            model,
            version,
            digest,
            content,
        }
    }
}

/// Whether a recording of so many bytes takes these as well.
fn fits(target: &Target, bytes: usize, tensors: &[Tensor]) -> bool {
    let sizes = tensors.iter().map(|tensor| tensor.elements().byte_len());
    let bytes = sizes.fold(bytes, usize::saturating_add);
    if bytes > MAX_RECORDING_BYTES {
        tracing::warn!(target = %target, bytes, "a prediction is too large to be recorded");
    }
    bytes <= MAX_RECORDING_BYTES
}

/// How many of the first belong into one transaction, and how many bytes they have.
fn batch(gathered: &VecDeque<Waiting>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for one in gathered.iter().take(MAX_AT_ONCE) {
        if bytes >= MAX_AT_ONCE_BYTES {
            break;
        }
        bytes += one.draft.bytes.len();
        count += 1;
    }
    (count, bytes)
}

fn seal(batch: impl Iterator<Item = Waiting>, keys: &Keys) -> Sealed {
    let (mut recordings, mut rooms) = (Vec::new(), Vec::new());
    let mut count = 0;
    for Waiting { draft, at } in batch {
        count += 1;
        let Draft {
            target,
            subject,
            request_id,
            bytes,
            room,
        } = draft;
        let whose = (target.tenant.clone(), subject);
        let Some((wrapped, key)) = keys.get(&whose) else {
            continue;
        };
        let mut recording = Recording {
            tenant: target.tenant.clone(),
            subject,
            request_id,
            at,
            model: target.model.clone(),
            version: target.version.clone(),
            digest: target.digest,
            key: Arc::clone(wrapped),
            sealed: Vec::new(),
        };
        match key.seal(&about(&recording), bytes) {
            Ok(sealed) => {
                recording.sealed = sealed;
                recordings.push(recording);
                rooms.push(room);
            }
            Err(error) => {
                let cause = error.cause();
                tracing::error!(cause, "a prediction is not recorded");
            }
        }
    }
    Sealed {
        recordings: Arc::new(recordings),
        count,
        _rooms: rooms,
    }
}

#[cfg(test)]
mod tests;
