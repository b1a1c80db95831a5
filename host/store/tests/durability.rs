//! What was acknowledged is there after `kill -9`.
//!
//! The test runs itself again as a child that writes and says on its standard output what was acknowledged. The parent
//! kills it after a line of its choice, while the child goes on: the kill falls anywhere in what follows. Then the
//! parent opens the folder, as a start of the server would, and looks for everything it was told.

#![expect(
    clippy::unwrap_used,
    reason = "an error where none belongs fails the test"
)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use foretell_store::{KeyEnd, KeyRecord, NewKey, Stores, TenantRecord, Traffic, open, suite};
use foretell_types::blob::{BlobId, BlobKind};
use foretell_types::{KeyId, ModelVersion, Scope};

/// Set in the child: the folder to write to.
const FOLDER: &str = "FORETELL_TEST_WRITE_TO";

const ROUNDS: usize = 20;

#[test]
fn acknowledged_writes_survive_a_kill() {
    if let Some(folder) = env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let stores = open("sqlite:", folder.path(), 1, suite::audit_key()).unwrap();
        stores
            .tenants
            .create(
                &TenantRecord {
                    id: suite::tenant(1),
                    created_at: 0,
                },
                &suite::recorded(),
            )
            .await
            .unwrap();
    });
    // Where to kill: a walk over 1 to 40 lines that is the same in every run; the instants within are the scheduler's.
    let mut lines = 7;
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        lines = (lines * 17 + 5) % 40 + 1;
        acknowledged.extend(kill_after(lines, folder.path()));
        let counted = runtime().block_on(check(folder.path(), &acknowledged));
        assert!(counted > round, "each round adds");
    }
}

/// Writes version after version until someone ends it.
fn write_until_killed(folder: &Path) {
    let mut out = std::io::stdout().lock();
    // The test harness may have begun a line.
    writeln!(out).unwrap();
    let mut say = |step: &str, n: u32| {
        writeln!(out, "ack {step} {n}")
            .and_then(|()| out.flush())
            .unwrap()
    };
    runtime().block_on(async {
        let stores = open("sqlite:", folder, 1, suite::audit_key()).unwrap();
        stores.sweep_blobs().await.unwrap();
        let tenant = suite::tenant(1);
        let model = stores.models.get(&tenant, &suite::model(1)).await.unwrap();
        let keys = stores.keys.list(Some(&tenant)).await.unwrap().len();
        // Beyond whatever the last child left: a version for sure, a blob or a key perhaps.
        let first = model.map_or(0, |model| model.versions.len()).max(keys);
        for n in u32::try_from(first).unwrap().. {
            let version = version(n);
            stores.blobs.put(&blob(n), content(n)).await.unwrap();
            say("blob", n);
            stores
                .models
                .add_version(&tenant, &version, &suite::recorded())
                .await
                .unwrap();
            say("version", n);
            let traffic = suite::change_to(Traffic {
                active: Some(version.version),
                ..Traffic::default()
            });
            stores
                .models
                .set_traffic(&tenant, &version.model, &traffic, suite::recorded_of())
                .await
                .unwrap();
            say("traffic", n);
            stores
                .keys
                .create(&key(n), &suite::recorded())
                .await
                .unwrap();
            say("key", n);
            stores
                .keys
                .end(
                    Some(&tenant),
                    &key(n).record.id,
                    KeyEnd::Revoked(9),
                    suite::recorded_of(),
                )
                .await
                .unwrap();
            say("ended", n);
        }
    });
}

/// Runs a child, kills it when it has said `lines` lines, and returns all that it had said by then.
fn kill_after(lines: usize, folder: &Path) -> Vec<(String, u32)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "acknowledged_writes_survive_a_kill",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .filter_map(|line| {
            let (step, n) = line.strip_prefix("ack ")?.split_once(' ')?;
            Some((step.to_owned(), n.parse().unwrap()))
        });
    let mut acknowledged: Vec<_> = said.by_ref().take(lines).collect();
    assert_eq!(acknowledged.len(), lines, "the child ended by itself");
    child.kill().unwrap();
    // What it said before the kill reached it counts as well.
    acknowledged.extend(said);
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    acknowledged
}

/// Opens the folder and finds everything; how many versions there are.
async fn check(folder: &Path, acknowledged: &[(String, u32)]) -> usize {
    // Opening reads the whole database for damage.
    let stores = open("sqlite:", folder, 1, suite::audit_key()).unwrap();
    let tenant = suite::tenant(1);
    let model = stores
        .models
        .get(&tenant, &suite::model(1))
        .await
        .unwrap()
        .unwrap();
    for (step, n) in acknowledged {
        let n = *n;
        match step.as_str() {
            "blob" => whole_blob(&stores, n).await,
            "version" => assert_eq!(model.versions[n as usize], version(n)),
            "traffic" => {
                let active = model.traffic.active.as_ref().unwrap();
                assert!(number(active) >= n, "{active} was active before {n}");
            }
            "key" | "ended" => {
                let found = stores
                    .keys
                    .find(&key(n).hash)
                    .await
                    .unwrap()
                    .expect("an acknowledged key");
                assert_eq!(found.id, key(n).record.id);
                assert!(
                    step == "key" || found.revoked_at == Some(9),
                    "an acknowledged revocation"
                );
            }
            other => panic!("no step is called {other}"),
        }
    }
    // What was not acknowledged is whole or absent: a version that is there has its blob.
    for (n, found) in (0..).zip(&model.versions) {
        assert_eq!(*found, version(n));
        whole_blob(&stores, n).await;
    }
    let left = fs::read_dir(folder.join("blobs/.incoming"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "opening removes what was never named");
    model.versions.len()
}

async fn whole_blob(stores: &Stores, n: u32) {
    let found = stores
        .blobs
        .get(&blob(n))
        .await
        .unwrap()
        .expect("an acknowledged blob");
    assert!(found == content(n), "blob {n} is whole");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn version(n: u32) -> foretell_store::NewVersion {
    let mut version = suite::version(1, 1, 1);
    version.version = ModelVersion::parse(&n.to_string()).unwrap();
    version.plugin = foretell_types::PluginDigest(blob(n).digest);
    version
}

fn number(version: &ModelVersion) -> u32 {
    version.as_str().parse().unwrap()
}

fn blob(n: u32) -> BlobId {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_le_bytes());
    BlobId {
        tenant: suite::tenant(1),
        kind: BlobKind::Plugin,
        digest: foretell_types::Digest::from_bytes(digest),
    }
}

fn content(n: u32) -> Vec<u8> {
    n.to_le_bytes().repeat(20_000)
}

fn key(n: u32) -> NewKey {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&n.to_le_bytes());
    let record = KeyRecord {
        id: KeyId::parse(&format!("key_{n:016}")).unwrap(),
        tenant: Some(suite::tenant(1)),
        label: String::new(),
        scopes: [Scope::Infer].into_iter().collect(),
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        models: None,
        last_used_at: None,
    };
    NewKey { record, hash }
}
