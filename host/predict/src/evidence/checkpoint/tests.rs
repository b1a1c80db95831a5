//! Checkpoints over stores in memory, and files.

use std::fs;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use foretell_store::{Act, Broken, Entry, Fault, Known, Stores, Verdict, memory};
use tokio::sync::oneshot;

use super::*;
use foretell_store::port::audit::RowHash;

const SECRET: [u8; 32] = [3; 32];

/// A store that counts the rows that are read, and does nothing while it is away.
struct Watched {
    store: Arc<dyn Checkpoints>,
    read: AtomicU64,
    is_away: AtomicBool,
}

impl Watched {
    fn is_there(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Checkpoints for Watched {
    async fn hashes(&self, after: u64, limit: u32) -> Result<Vec<RowHash>, StoreError> {
        self.is_there()?;
        let hashes = self.store.hashes(after, limit).await?;
        self.read.fetch_add(hashes.len() as u64, Ordering::Relaxed);
        Ok(hashes)
    }

    async fn add(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.is_there()?;
        self.store.add(checkpoint).await
    }

    async fn page(&self, page: Page, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        self.is_there()?;
        self.store.page(page, limit).await
    }
}

/// A log whose checkpoints are made after ten rows each.
struct Log {
    stores: Stores,
    watched: Arc<Watched>,
    folder: tempfile::TempDir,
}

impl Log {
    async fn of(rows: u64) -> Self {
        let stores = memory::stores();
        let watched = Watched {
            store: Arc::clone(&stores.checkpoints),
            read: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
        };
        let log = Self {
            stores,
            watched: Arc::new(watched),
            folder: tempfile::tempdir().unwrap(),
        };
        log.grow(rows, "").await;
        log
    }

    async fn grow(&self, rows: u64, object: &str) {
        let entry = Entry {
            at: 1,
            tenant: None,
            actor: "server".into(),
            act: Act::CachePurge,
            object: object.to_owned(),
            outcome: "ok".into(),
            request_id: None,
            origin: None,
            detail: "{}".into(),
            once: None,
        };
        let entries = vec![entry; rows as usize];
        self.stores.audit.append(entries).await.unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    /// A server that has just started.
    fn start(&self) -> Arc<Checkpointer> {
        self.start_with(None)
    }

    fn start_with(&self, file: Option<PathBuf>) -> Arc<Checkpointer> {
        let rules = CheckpointRules {
            rows: 10,
            file,
            ..CheckpointRules::default()
        };
        let store: Arc<dyn Checkpoints> = self.watched.clone();
        let clock = Clock::from_fn(|| 7);
        Arc::new(Checkpointer::new(store, &SECRET, rules, clock))
    }

    async fn checkpoints(&self) -> Vec<Checkpoint> {
        let page = self.stores.checkpoints.page(Page::After(0), 1_000);
        page.await.unwrap()
    }

    async fn sizes(&self) -> Vec<u64> {
        let checkpoints = self.checkpoints().await;
        checkpoints.iter().map(|one| one.size).collect()
    }

    /// What the file is to hold.
    async fn text(&self) -> String {
        let checkpoints = self.checkpoints().await;
        checkpoints
            .iter()
            .map(|one| one.note.clone() + "\n")
            .collect()
    }

    fn file(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    async fn look(&self, by: &Checkpointer, heads: Vec<TreeHead>) -> Verdict {
        let known = Known {
            last: None,
            signer: Some(by.verifier().clone()),
            heads,
        };
        self.stores.audit.verify(known).await.unwrap()
    }
}

#[tokio::test]
async fn there_is_one_after_so_many_rows_and_one_that_is_due() {
    let log = Log::of(25).await;
    let server = log.start();
    assert_eq!(server.newest(), None);
    assert!(server.make(false).await);
    assert_eq!(log.sizes().await, [10, 20]);
    assert!(!server.make(false).await);
    assert!(server.make(true).await);
    assert!(!server.make(true).await, "nothing is new");
    log.grow(4, "").await;
    assert!(!server.make(false).await);
    log.grow(1, "").await;
    assert!(!server.make(false).await, "five are new");
    log.grow(5, "").await;
    assert!(server.make(false).await);
    assert_eq!(log.sizes().await, [10, 20, 25, 35]);
    assert_eq!(server.newest().unwrap().size, 35);
    let verdict = log.look(&server, vec![server.newest().unwrap()]).await;
    assert_eq!((verdict.broken, verdict.checkpoints), (None, 4));
}

#[tokio::test]
async fn an_empty_log_has_none() {
    let log = Log::of(0).await;
    assert!(!log.start().make(true).await);
    assert!(log.checkpoints().await.is_empty());
}

#[tokio::test]
async fn a_start_goes_on_from_the_last_one_and_reads_what_came_after() {
    let log = Log::of(25).await;
    log.start().make(true).await;
    log.grow(3, "").await;
    log.watched.read.store(0, Ordering::Relaxed);
    let server = log.start();
    assert!(server.make(true).await);
    // The last one that was signed, to see that it is there, and those after it.
    assert_eq!(log.watched.read.load(Ordering::Relaxed), 1 + 3);
    assert_eq!(log.sizes().await, [10, 20, 25, 28]);
    assert_eq!(log.look(&server, vec![]).await.broken, None);
}

#[tokio::test]
async fn what_a_store_could_not_take_is_made_once_it_is_back() {
    let log = Log::of(25).await;
    let server = log.start();
    log.watched.is_away.store(true, Ordering::Relaxed);
    assert!(!server.make(true).await);
    log.watched.is_away.store(false, Ordering::Relaxed);
    assert!(server.make(true).await);
    log.grow(2, "").await;
    log.watched.is_away.store(true, Ordering::Relaxed);
    assert!(!server.make(true).await);
    log.watched.is_away.store(false, Ordering::Relaxed);
    assert!(server.make(true).await);
    assert_eq!(log.sizes().await, [10, 20, 25, 27]);
    assert_eq!(log.look(&server, vec![]).await.broken, None);
}

#[tokio::test]
async fn damaged_ones_are_passed_over_and_stand_in_nobodys_way() {
    let log = Log::of(25).await;
    log.start().make(false).await;
    let whole = log.checkpoints().await;
    let damaged = [
        Checkpoint {
            size: 24,
            ..whole[1].clone()
        },
        // Where the next one belongs.
        Checkpoint {
            size: 30,
            note: "no note".into(),
            ..whole[1].clone()
        },
        Checkpoint {
            size: 1 << 40,
            ..whole[0].clone()
        },
    ];
    for checkpoint in &damaged {
        log.stores.checkpoints.add(checkpoint).await.unwrap();
    }
    log.grow(17, "").await;
    let server = log.start();
    assert!(server.make(false).await);
    assert_eq!(log.sizes().await, [10, 20, 24, 30, 31, 41, 1 << 40]);
    let found = log.look(&server, vec![]).await;
    let fault = Fault::CheckpointAltered { size: 24 };
    assert_eq!(found.broken, Some(Broken { seq: 21, fault }));
    // The others are right all the same.
    let notes = log.checkpoints().await;
    for at in [4, 5] {
        let heads = server.read(&notes[at].note).unwrap();
        let known = Known {
            heads,
            ..Known::default()
        };
        let verdict = log.stores.audit.verify(known).await.unwrap();
        assert_eq!((verdict.broken, verdict.checkpoints), (None, 1));
    }
}

#[tokio::test]
async fn a_stop_leaves_no_row_without_one() {
    let log = Log::of(3).await;
    let server = log.start_with(Some(log.path()));
    let (stop, stopped) = oneshot::channel::<()>();
    let keeping = tokio::spawn(Arc::clone(&server).keep(async {
        let _stopped = stopped.await;
    }));
    log.grow(4, "").await;
    drop(stop);
    keeping.await.unwrap();
    assert_eq!(log.sizes().await.last(), Some(&7));
    assert_eq!(log.file(), log.text().await);
}

#[tokio::test]
async fn the_file_has_every_checkpoint_again_once_it_can_be_written() {
    let log = Log::of(25).await;
    let folder = log.folder.path().join("elsewhere");
    let path = folder.join("checkpoints");
    let server = log.start_with(Some(path.clone()));
    for _ in 0..2 {
        assert!(
            server.make(true).await,
            "what is stored does not wait for the file"
        );
        log.grow(5, "").await;
    }
    assert!(!path.exists());
    fs::create_dir(&folder).unwrap();
    assert!(!server.make(false).await);
    assert!(!path.exists(), "it is tried again with the next one");
    assert!(server.make(true).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), log.text().await);
    // Somebody takes it away.
    fs::remove_file(&path).unwrap();
    log.grow(5, "").await;
    server.make(true).await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, log.text().await);
    let heads = server.read(&text).unwrap();
    assert_eq!(heads.len(), log.sizes().await.len());
    assert_eq!(log.look(&server, heads).await.broken, None);
}

#[tokio::test]
async fn a_file_that_was_torn_anywhere_is_completed_by_a_start() {
    let log = Log::of(25).await;
    log.start_with(Some(log.path())).make(true).await;
    let whole = log.text().await;
    assert_eq!(log.file(), whole);
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(log.path(), &whole.as_bytes()[..length]).unwrap();
        log.start_with(Some(log.path())).make(false).await;
        assert_eq!(log.file(), whole, "{length}");
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_alone() {
    let log = Log::of(25).await;
    log.start_with(Some(log.path())).make(true).await;
    let mixed = log.file() + "a note of my own";
    for text in ["root:x:0:0\n", "x\n\ny\n\n", &mixed] {
        fs::write(log.path(), text).unwrap();
        log.start_with(Some(log.path())).make(true).await;
        assert_eq!(log.file(), text);
    }
}

#[tokio::test]
async fn a_log_that_is_older_than_its_file_is_found_by_it() {
    let (log, restored) = (Log::of(30).await, Log::of(20).await);
    log.start_with(Some(log.path())).make(true).await;
    let before = log.file();
    // The same key, the file of before, and other rows since.
    restored.grow(12, "other").await;
    let server = restored.start_with(Some(log.path()));
    for _ in 0..2 {
        server.make(true).await;
        assert_eq!(log.file(), before.clone() + &restored.text().await);
        restored.grow(1, "other").await;
    }
    assert_eq!(restored.look(&server, vec![]).await.broken, None);
    let heads = server.read(&log.file()).unwrap();
    let found = restored.look(&server, heads).await;
    let fault = Fault::CheckpointDiffers { size: 30 };
    assert_eq!(found.broken, Some(Broken { seq: 21, fault }));
}

#[tokio::test]
async fn only_checkpoints_of_this_server_are_read() {
    let log = Log::of(25).await;
    let server = log.start();
    server.make(true).await;
    let text = log.text().await;
    assert_eq!(server.read(&text).unwrap().len(), 3);
    let other = Checkpointer::new(
        Arc::clone(&log.watched) as _,
        &[4; 32],
        CheckpointRules::default(),
        Clock::from_fn(|| 7),
    );
    let forged = text.replacen("\n20\n", "\n21\n", 1);
    let vkey = server.verifier().to_string();
    let refusals = [
        (server.read(""), "there is no checkpoint"),
        (server.read("hello"), "line 1: it is no signed note"),
        (other.read(&text), "line 1: it is not signed by this key"),
        (server.read(&forged), "line 7: its signature does not match"),
        (server.read("hello"), vkey.as_str()),
    ];
    for (refused, message) in refusals {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn every_key_has_a_name_of_its_own() {
    let signer = Signer::new(&SECRET, origin);
    // As another implementation makes it; docs/AUDIT.md shows the same.
    assert_eq!(
        signer.verifier().to_string(),
        "foretell/audit/ed4928c628d1c2c6+bb849c26+Ae1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR"
    );
    let other = Signer::new(&[4; 32], origin);
    assert_ne!(signer.verifier().name(), other.verifier().name());
}
