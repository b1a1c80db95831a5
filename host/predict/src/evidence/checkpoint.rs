//! Signed checkpoints of the audit log, so that somebody outside can tell later whether it still says what it said.
//!
//! A task reads the hashes of new rows once a second and adds them to a Merkle tree, of which it keeps the right edge
//! alone. After so many rows, or so much time with any, the tree's size and root are signed, stored, and added to a file
//! that may lie elsewhere. The edge is stored with each checkpoint: a start goes on from the last one.
//!
//! What is signed is never taken back: a checkpoint goes on from the one before, also where rows that were in the tree
//! are gone since. Looking for such rows is not done here; that is what `verify` of the log is for.

mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foretell_store::{
    Checkpoint, Checkpoints, Page, Signer, StoreError, Tree, TreeHead, Verifier, checkpoint,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Clock, PredictError};

/// How often the log is looked at for new rows.
const LOOK: Duration = Duration::from_secs(1);
/// Hashes that are read at a time.
const AT_ONCE: u64 = 10_000;
/// Checkpoints that are read at a time.
const PAGE: u32 = 100;

/// When checkpoints are made, and where they go beside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRules {
    /// New rows after which there is one, 1 and more. Default 10,000.
    pub rows: u64,
    /// After which time there is one, if there is a new row. Default 60 s.
    pub every: Duration,
    /// The file that each is added to; none = none.
    pub file: Option<PathBuf>,
}

impl Default for CheckpointRules {
    fn default() -> Self {
        Self {
            rows: 10_000,
            every: Duration::from_secs(60),
            file: None,
        }
    }
}

/// Makes checkpoints.
pub struct Checkpointer {
    store: Arc<dyn Checkpoints>,
    signer: Signer,
    rules: CheckpointRules,
    clock: Clock,
    /// What was read of the log; none = it is to be read again. One maker at a time.
    progress: tokio::sync::Mutex<Option<Progress>>,
    /// The last head that this server has signed, or found at its start.
    newest: Mutex<Option<TreeHead>>,
    /// Whether there is something to add to the file.
    is_owed: AtomicBool,
    making: Streak,
    filing: Streak,
}

#[derive(Default)]
struct Progress {
    tree: Tree,
    /// The size that was signed last.
    signed: u64,
}

impl Checkpointer {
    /// Over the store. `secret` is what the key is made of.
    pub fn new(
        store: Arc<dyn Checkpoints>,
        secret: &[u8; 32],
        rules: CheckpointRules,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            signer: Signer::new(secret, origin),
            is_owed: AtomicBool::new(rules.file.is_some()),
            rules,
            clock,
            progress: tokio::sync::Mutex::default(),
            newest: Mutex::default(),
            making: Streak::default(),
            filing: Streak::default(),
        }
    }

    /// What checkpoints are verified with; its text is for those outside.
    pub const fn verifier(&self) -> &Verifier {
        self.signer.verifier()
    }

    /// Makes them, until `stopped` completes, and then a last one.
    pub async fn keep(self: Arc<Self>, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What an earlier server has not signed is due.
        let mut due_at = Instant::now();
        loop {
            tokio::select! {
                () = &mut stopped => break,
                _ = look.tick() => {}
            }
            if self.make(Instant::now() >= due_at).await {
                due_at = Instant::now() + self.rules.every;
            }
        }
        // Once more, also for what the file could not take before.
        self.owe();
        self.make(true).await;
    }

    /// Reads new rows, and makes the checkpoints that there are to be: those of many rows, and if it `is_due` one of
    /// the others. Returns whether it made any.
    pub(crate) async fn make(&self, is_due: bool) -> bool {
        let made = match self.advance(is_due).await {
            Ok(made) => {
                if self.making.end() {
                    tracing::info!("checkpoints of the audit log are made again");
                }
                made
            }
            Err(error) => {
                if self.making.begin() {
                    tracing::error!(
                        %error,
                        "no checkpoint of the audit log can be made; it is tried again each second"
                    );
                }
                false
            }
        };
        if let Some(path) = &self.rules.file
            && self.is_owed.swap(false, Ordering::AcqRel)
        {
            self.file(path).await;
        }
        made
    }

    async fn file(&self, path: &Path) {
        match self.add_to_file(path).await {
            Ok(()) => {
                if self.filing.end() {
                    tracing::info!(file = %path.display(), "the file has every checkpoint again");
                }
            }
            Err(error) => {
                if self.filing.begin() {
                    tracing::error!(
                        file = %path.display(),
                        %error,
                        "checkpoints cannot be added to their file; it is tried again with each new one"
                    );
                }
            }
        }
    }

    async fn advance(&self, is_due: bool) -> Result<bool, StoreError> {
        let mut slot = self.progress.lock().await;
        // Put back at the end alone: whoever is stopped or fails in between leaves it to be read again.
        let mut progress = match slot.take() {
            Some(progress) => progress,
            None => self.resume().await?,
        };
        let mut made = false;
        loop {
            let unsigned = progress.tree.size() - progress.signed;
            let wanted = self.rules.rows.saturating_sub(unsigned).clamp(1, AT_ONCE);
            let limit = u32::try_from(wanted).unwrap_or(u32::MAX);
            let hashes = self.store.hashes(progress.tree.size(), limit).await?;
            hashes.iter().for_each(|hash| progress.tree.push(hash));
            let is_end = hashes.len() < limit as usize;
            let unsigned = progress.tree.size() - progress.signed;
            if unsigned >= self.rules.rows || is_end && is_due && unsigned > 0 {
                made |= self.sign(&mut progress).await?;
            }
            if is_end {
                break;
            }
        }
        *slot = Some(progress);
        Ok(made)
    }

    /// Whether there is a checkpoint of the tree as it is now. There is none where a damaged one has its place: then the
    /// next size has one.
    async fn sign(&self, progress: &mut Progress) -> Result<bool, StoreError> {
        let head = TreeHead::of(&progress.tree);
        let checkpoint = Checkpoint {
            size: head.size,
            at: self.clock.now(),
            edge: progress.tree.edge(),
            note: head.sign(&self.signer),
        };
        match self.store.add(&checkpoint).await {
            Ok(()) => {}
            Err(StoreError::Conflict(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
        progress.signed = head.size;
        self.set_newest(head);
        self.owe();
        Ok(true)
    }

    /// From where an earlier server has left it: the last stored checkpoint that is what was signed.
    async fn resume(&self) -> Result<Progress, StoreError> {
        let (mut before, mut damaged) = (None, 0_u64);
        let progress = loop {
            let page = self.store.page(Page::Before(before), PAGE).await?;
            let whole = page.iter().find_map(|checkpoint| {
                let whole = self.tree_of(checkpoint);
                damaged += u64::from(whole.is_none());
                whole
            });
            if let Some(tree) = whole {
                self.set_newest(TreeHead::of(&tree));
                break Progress {
                    signed: tree.size(),
                    tree,
                };
            }
            match page.last() {
                Some(last) => before = Some(last.size),
                None => break Progress::default(),
            }
        };
        if damaged > 0 {
            tracing::error!(
                checkpoints = damaged,
                "stored checkpoints of the audit log are not what was signed; they are passed over"
            );
        }
        if let Some(before) = progress.signed.checked_sub(1)
            && matches!(self.store.hashes(before, 1).await, Ok(row) if row.is_empty())
        {
            tracing::error!(
                rows = progress.signed,
                "the audit log has fewer rows than its last checkpoint: they were removed"
            );
        }
        Ok(progress)
    }

    /// The tree of a checkpoint, if all of it is what was signed.
    fn tree_of(&self, checkpoint: &Checkpoint) -> Option<Tree> {
        let head = self.head_of(checkpoint)?;
        Tree::of(head.size, &checkpoint.edge).filter(|tree| tree.root() == head.root)
    }

    /// What a stored checkpoint says, if it is what was signed.
    fn head_of(&self, checkpoint: &Checkpoint) -> Option<TreeHead> {
        TreeHead::open(&checkpoint.note, self.verifier())
            .ok()
            .filter(|head| head.size == checkpoint.size)
    }

    /// Stored checkpoints of more rows than `after`.
    pub(crate) async fn page(&self, after: u64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        self.store.page(Page::After(after), limit).await
    }

    /// What the checkpoints in a text say, from whoever has kept them.
    ///
    /// # Errors
    /// `Invalid`, if there is none, or one that this server has not signed.
    pub(crate) fn read(&self, text: &str) -> Result<Vec<TreeHead>, PredictError> {
        let verifier = self.verifier();
        let heads = checkpoint::split(text).into_iter().map(|(line, note)| {
            TreeHead::open(&note, verifier).map_err(|error| {
                PredictError::Invalid(format!(
                    "the checkpoint at line {line}: {error} (`{verifier}`); take it out to compare the others"
                ))
            })
        });
        let heads: Vec<_> = heads.collect::<Result<_, _>>()?;
        if heads.is_empty() {
            return Err(PredictError::Invalid(
                "there is no checkpoint in it: give the content of a file of checkpoints".into(),
            ));
        }
        Ok(heads)
    }

    /// The last head that this server has signed, or found at its start.
    pub(crate) fn newest(&self) -> Option<TreeHead> {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_newest(&self, head: TreeHead) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }

    /// There is something to add to the file, if there is one.
    fn owe(&self) {
        self.is_owed.store(true, Ordering::Release);
    }
}

/// The log's name, and its key's: of its own for every key.
fn origin(public: &[u8; 32]) -> String {
    let digits = public.iter().take(8).map(|byte| format!("{byte:02x}"));
    format!("foretell/audit/{}", digits.collect::<String>())
}

/// Failures in a row, of which the first is told, and their end.
#[derive(Debug, Default)]
struct Streak(AtomicBool);

impl Streak {
    /// A failure; whether it is the first.
    fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// A success; whether it ends a streak.
    fn end(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests;
