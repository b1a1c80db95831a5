//! What cannot be opened says why, and what to do.

#![expect(
    clippy::unwrap_used,
    reason = "an error where none belongs fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use foretell_store::{StoreError, TenantRecord, open, suite};

/// The message of the refusal, after a look at its variant.
macro_rules! refusal {
    ($url:expr, $folder:expr, $variant:ident) => {
        match open($url, $folder, 1, suite::audit_key()) {
            Err(StoreError::$variant(message)) => message,
            Err(other) => panic!("expected {}, found {other:?}", stringify!($variant)),
            Ok(_) => panic!("expected {}, and it was opened", stringify!($variant)),
        }
    };
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_url_that_is_not_known_is_refused_with_the_ones_that_are() {
    let folder = folder();
    let cases = [
        ("postgres://u:secret@h/db", "comes in a later release"),
        ("postgresql://u:secret@h/db", "comes in a later release"),
        ("mysql://u:secret@h/db", "`mysql`"),
        ("foretell.db", "`sqlite:///absolute/path`"),
        ("", "no known scheme"),
        ("sqlite:foretell.db", "`sqlite:///absolute/path`"),
        ("sqlite://foretell.db", "`sqlite:///absolute/path`"),
        ("sqlite:///", "`sqlite:///absolute/path`"),
        ("sqlite:///tmp/x.db?mode=ro", "without options"),
        ("memory:secret", "alone"),
    ];
    for (url, expected) in cases {
        let message = refusal!(url, folder.path(), Unsupported);
        assert!(message.contains(expected), "{url}: {message}");
        assert!(
            !message.contains("secret"),
            "a URL may hold a password: {message}"
        );
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a refused URL leaves nothing behind"
    );
}

#[test]
fn a_fresh_folder_gets_files_for_its_owner_alone() {
    let folder = folder();
    let data = folder.path().join("new/data");
    open("sqlite:", &data, 2, suite::audit_key()).unwrap();
    let mode = |path: &str| fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("foretell.db"), 0o600);
    assert_eq!(mode("blobs"), 0o700);
}

#[tokio::test]
async fn a_database_may_lie_elsewhere() {
    let (folder, elsewhere) = (folder(), folder());
    let url = format!("sqlite://{}", elsewhere.path().join("my.db").display());
    open(&url, folder.path(), 1, suite::audit_key())
        .unwrap()
        .probe
        .ping()
        .await
        .unwrap();
    assert!(elsewhere.path().join("my.db").exists());
    assert!(!folder.path().join("foretell.db").exists());
}

#[test]
fn memory_touches_no_disk() {
    let folder = folder();
    open("memory:", folder.path(), 1, suite::audit_key()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_schema_of_a_newer_program_is_refused_with_both_versions() {
    let folder = folder();
    open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
    let db = rusqlite(folder.path());
    db.execute_batch(
        "INSERT INTO refinery_schema_history SELECT 900, 'later', applied_on, checksum FROM refinery_schema_history
         LIMIT 1",
    )
    .unwrap();
    drop(db);
    let message = refusal!("sqlite:", folder.path(), Unsupported);
    assert!(message.contains("schema version 900"), "{message}");
    assert!(message.contains("versions up to "), "{message}");
    assert!(message.contains("foretell.db"), "{message}");
}

#[test]
fn another_history_of_the_schema_is_refused() {
    let folder = folder();
    open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
    rusqlite(folder.path())
        .execute_batch("UPDATE refinery_schema_history SET checksum = '1'")
        .unwrap();
    let message = refusal!("sqlite:", folder.path(), Corrupt);
    assert!(
        message.contains("restore the folder from a backup"),
        "{message}"
    );
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = folder();
    rusqlite(folder.path())
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let message = refusal!("sqlite:", folder.path(), Unsupported);
    assert!(message.contains("another program's"), "{message}");
    let tables: i64 = rusqlite(folder.path())
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn damage_is_found_at_the_start_and_the_way_back_is_shown() {
    let folder = folder();
    let stores = open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
    let one = suite::tenant(1);
    stores
        .tenants
        .create(
            &TenantRecord {
                id: one.clone(),
                created_at: 1,
            },
            &suite::recorded(),
        )
        .await
        .unwrap();
    for n in 1..=100 {
        stores
            .models
            .add_version(&one, &suite::version(1, n, n), &suite::recorded())
            .await
            .unwrap();
    }
    drop(stores);
    let path = folder.path().join("foretell.db");
    let sound = fs::read(&path).unwrap();
    assert!(sound.len() > 40 * 4096, "several levels of pages");
    // The head of the file, then the head of a page at each depth: what holds the tree together.
    for at in [0, 16, 4096, 5 * 4096, sound.len() - 4096] {
        let mut damaged = sound.clone();
        for byte in &mut damaged[at..at + 16] {
            *byte ^= 0xFF;
        }
        fs::write(&path, damaged).unwrap();
        let message = refusal!("sqlite:", folder.path(), Corrupt);
        assert!(
            message.contains("restore the folder from a backup"),
            "byte {at}: {message}"
        );
    }
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let message = refusal!("sqlite:", folder.path(), Corrupt);
    assert!(
        message.contains("restore the folder from a backup"),
        "cut in half: {message}"
    );

    fs::write(&path, sound).unwrap();
    let stores = open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
    assert_eq!(
        stores.models.list(&one).await.unwrap()[0].versions.len(),
        100
    );
}

#[test]
fn what_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let message = refusal!("sqlite:", &file, Unavailable);
    assert!(message.contains("file/blobs"), "{message}");
    let message = refusal!("sqlite:///nowhere/at/all.db", folder.path(), Unavailable);
    assert!(message.contains("/nowhere/at/all.db"), "{message}");
}

fn rusqlite(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("foretell.db")).unwrap()
}
