//! What the blob store holds is trusted only under its seal, and made again where that is possible.

use std::time::{Duration, Instant};

use foretell_engine::testkit::{self, LoadMisdeed};
use foretell_types::blob::{BlobKind, Blobs};
use foretell_types::run::RunError;

use crate::support::{Host, Version, tenant, within};

async fn get(host: &Host, version: &Version, kind: BlobKind) -> Vec<u8> {
    host.blobs.get(&version.blob(kind)).await.unwrap().unwrap()
}

async fn flip(host: &Host, version: &Version, kind: BlobKind, at: usize) {
    let mut bytes = get(host, version, kind).await;
    bytes[at] ^= 1;
    host.blobs.put(&version.blob(kind), bytes).await.unwrap();
}

#[tokio::test]
async fn changed_code_is_never_run_but_made_again_from_the_snapshot() {
    let host = Host::new();
    let version = host.push("acme", &testkit::echo()).await;
    let code = get(&host, &version, BlobKind::Code).await;
    for at in [0, 8, 40, 72, 104, code.len() - 1] {
        flip(&host, &version, BlobKind::Code, at).await;
        assert_eq!(
            host.call(&version, &[0.0, 3.0]).await.unwrap(),
            [0.0, 3.0],
            "byte {at}"
        );
        assert_eq!(
            get(&host, &version, BlobKind::Code).await,
            code,
            "the code is stored again, byte {at}"
        );
        host.engine_forget(&version);
    }
}

#[tokio::test]
async fn missing_code_is_made_again_by_another_server_with_the_same_key() {
    let first = Host::new();
    let version = first.push("acme", &testkit::echo()).await;
    first
        .blobs
        .remove(&version.blob(BlobKind::Code))
        .await
        .unwrap();
    let second = Host::over(first.blobs.clone(), |_| ());
    assert_eq!(
        second.call(&version, &[0.0, 3.0]).await.unwrap(),
        [0.0, 3.0]
    );
    assert_eq!(
        first.engine.describe_engine(),
        second.engine.describe_engine()
    );
    assert_eq!(first.engine.describe_engine().len(), 64);
}

#[tokio::test]
async fn code_under_another_key_is_not_accepted_and_neither_is_its_snapshot() {
    let first = Host::new();
    let version = first.push("acme", &testkit::echo()).await;
    let second = Host::over(first.blobs.clone(), |config| config.mac_key = [8; 32]);
    let error = second.call(&version, &[0.0]).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("snapshot is damaged; upload the version again"),
        "{error}"
    );
}

#[tokio::test]
async fn without_code_a_damaged_or_missing_snapshot_is_an_error_that_says_so() {
    let host = Host::new();
    let version = host.push("acme", &testkit::echo()).await;
    host.blobs
        .remove(&version.blob(BlobKind::Code))
        .await
        .unwrap();
    flip(&host, &version, BlobKind::Snapshot, 100).await;
    let error = host.call(&version, &[0.0]).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Unavailable { cause, .. } if cause.contains("damaged")),
        "{error}"
    );
    host.engine_forget(&version);
    host.blobs
        .remove(&version.blob(BlobKind::Snapshot))
        .await
        .unwrap();
    let error = host.call(&version, &[0.0]).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Unavailable { cause, .. } if cause.contains("neither its code nor")),
        "{error}"
    );
}

#[tokio::test]
async fn another_tenants_code_is_not_accepted_under_this_tenants_name() {
    let host = Host::new();
    let acme = host.push("acme", &testkit::echo()).await;
    let bob = Version {
        tenant: tenant("bob"),
        digest: acme.digest,
    };
    for kind in [BlobKind::Code, BlobKind::Snapshot] {
        let bytes = get(&host, &acme, kind).await;
        host.blobs.put(&bob.blob(kind), bytes).await.unwrap();
    }
    assert!(matches!(
        host.call(&bob, &[0.0]).await,
        Err(RunError::Unavailable { .. })
    ));

    // With a snapshot of its own, foreign code is replaced, and that it was not accepted before is forgotten.
    let stolen = get(&host, &acme, BlobKind::Code).await;
    let bob = host.push("bob", &testkit::echo()).await;
    host.blobs
        .put(&bob.blob(BlobKind::Code), stolen.clone())
        .await
        .unwrap();
    assert_eq!(host.call(&bob, &[0.0, 3.0]).await.unwrap(), [0.0, 3.0]);
    assert_ne!(get(&host, &bob, BlobKind::Code).await, stolen);
}

#[tokio::test]
async fn the_version_unused_for_longest_makes_room_and_comes_back_when_asked_for() {
    let host = Host::with(|config| config.loaded.max_versions = 2);
    let mut versions = Vec::new();
    for pages in 2..6 {
        versions.push(host.push("acme", &testkit::chameleon_of(pages)).await);
    }
    for _ in 0..2 {
        for version in &versions {
            assert_eq!(host.call(version, &[0.0, 1.0]).await.unwrap(), [0.0, 1.0]);
            assert!(host.engine.stats().loaded_versions <= 2);
        }
    }
    assert_eq!(host.engine.stats().loaded_versions, 2);
}

#[tokio::test]
async fn versions_make_room_for_one_another_where_their_bytes_are_too_many() {
    let first = Host::new();
    let mut versions = Vec::new();
    for pages in 2..6 {
        versions.push(first.push("acme", &testkit::chameleon_of(pages)).await);
    }
    first.call(&versions[0], &[0.0, 1.0]).await.unwrap();
    let of_one = first.engine.stats().loaded_bytes;
    assert!(of_one > 0);

    let bound = 2 * of_one + of_one / 2;
    let second = Host::over(first.blobs.clone(), |config| {
        config.loaded.max_bytes = bound
    });
    for version in &versions {
        second.call(version, &[0.0, 1.0]).await.unwrap();
        assert!(second.engine.stats().loaded_bytes <= bound);
    }
    assert_eq!(second.engine.stats().loaded_versions, 2);
}

#[tokio::test]
async fn a_version_larger_than_the_bound_is_served_alone() {
    let host = Host::with(|config| config.loaded.max_bytes = 1);
    let small = host.push("acme", &testkit::chameleon_of(2)).await;
    let other = host.push("acme", &testkit::chameleon_of(3)).await;
    for version in [&small, &other, &small] {
        assert_eq!(host.call(version, &[0.0, 1.0]).await.unwrap(), [0.0, 1.0]);
        assert_eq!(host.engine.stats().loaded_versions, 1);
    }
}

#[tokio::test]
async fn a_version_that_is_running_does_not_make_room() {
    let host = std::sync::Arc::new(Host::with(|config| config.loaded.max_versions = 1));
    let mut versions = Vec::new();
    for pages in 2..5 {
        versions.push(host.push("acme", &testkit::chameleon_of(pages)).await);
    }
    let running = {
        let (host, version) = (host.clone(), versions[0].clone());
        tokio::spawn(async move {
            let x = [testkit::Misdeed::Loop.input()];
            host.run(&version, &x, within(2_000)).await.result
        })
    };
    while host.engine.stats().live_instances == 0 {
        assert!(!running.is_finished());
        tokio::task::yield_now().await;
    }
    host.call(&versions[1], &[0.0]).await.unwrap();
    assert_eq!(host.engine.stats().loaded_versions, 2);
    assert!(matches!(
        running.await.unwrap(),
        Err(RunError::Deadline { .. })
    ));
    host.call(&versions[2], &[0.0]).await.unwrap();
    assert_eq!(host.engine.stats().loaded_versions, 1);
}

#[test]
fn a_loaded_version_holds_no_more_files_and_mappings_than_it_is_counted_for() {
    // A thread has mappings, too: its stack, and its part of the heap. With one for what blocks, none comes later.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build();
    runtime.unwrap().block_on(count_what_is_held());
}

async fn count_what_is_held() {
    let held = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        (maps.lines().count() as u64, files.count() as u64)
    };
    let host = Host::new();
    let mut versions = Vec::new();
    for pages in 2..18 {
        versions.push(host.push("acme", &testkit::chameleon_of(pages)).await);
    }
    let mut loaded = Vec::new();
    let mut load = async |version: &Version| {
        let probe = testkit::Probe::new(&host.engine, &version.tenant, &version.digest).await;
        loaded.push(probe.unwrap());
    };
    // The first brings its thread with it.
    load(&versions[0]).await;
    let (before, (maps, files)) = (host.engine.stats(), held());
    for version in &versions[1..] {
        load(version).await;
    }
    let (after, (more_maps, more_files)) = (host.engine.stats(), held());
    let counted = (
        after.loaded_maps - before.loaded_maps,
        after.loaded_files - before.loaded_files,
    );
    assert_eq!(after.loaded_versions, 16);
    assert!(
        more_maps - maps <= counted.0,
        "{} of {}",
        more_maps - maps,
        counted.0
    );
    assert!(
        more_files - files <= counted.1,
        "{} of {}",
        more_files - files,
        counted.1
    );
    assert!(more_files > files, "a version's image lies in a file");
}

#[tokio::test]
async fn a_version_that_many_ask_for_at_once_is_loaded_once() {
    let host = std::sync::Arc::new(Host::new());
    let version = host.push("acme", &testkit::echo()).await;
    host.blobs
        .remove(&version.blob(BlobKind::Code))
        .await
        .unwrap();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (host, version) = (host.clone(), version.clone());
            tokio::spawn(async move { host.call(&version, &[0.0, 1.0]).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), [0.0, 1.0]);
    }
    assert_eq!(host.engine.stats().loaded_versions, 1);
    assert_eq!(host.blobs.reads(&version.blob(BlobKind::Snapshot)), 1);
}

#[tokio::test]
async fn those_who_wait_for_a_version_that_cannot_be_loaded_all_hear_of_the_one_attempt() {
    let host = std::sync::Arc::new(Host::new());
    let version = host.push("acme", &testkit::echo()).await;
    host.erase(&version).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (host, version) = (host.clone(), version.clone());
            tokio::spawn(async move { host.call(&version, &[0.0, 1.0]).await })
        })
        .collect();
    for call in calls {
        assert!(matches!(
            call.await.unwrap(),
            Err(RunError::Unavailable { .. })
        ));
    }
    assert_eq!(host.blobs.reads(&version.blob(BlobKind::Snapshot)), 1);
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_is_left_alone_for_a_while_and_then_tried_again() {
    let host = Host::with(|config| config.loaded.retry_after = Duration::from_millis(400));
    let version = host.push("acme", &testkit::echo()).await;
    let stored = get(&host, &version, BlobKind::Code).await;
    host.erase(&version).await;
    let mut told = Vec::new();
    for _ in 0..20 {
        match host.call(&version, &[0.0]).await.unwrap_err() {
            RunError::Unavailable { retry_after, .. } => told.push(retry_after),
            other => panic!("{other}"),
        }
    }
    assert_eq!(told[0], Duration::from_millis(400));
    assert!(told.iter().all(|pause| !pause.is_zero()), "{told:?}");
    let code = version.blob(BlobKind::Code);
    assert!(host.blobs.reads(&code) < 20, "told without an attempt");

    // It is whole again, but nobody has told the engine.
    host.blobs.put(&code, stored).await.unwrap();
    let since = Instant::now();
    while host.call(&version, &[0.0]).await.is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "never tried again"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_version_that_is_made_again_is_not_left_alone() {
    let host = Host::with(|config| config.loaded.retry_after = Duration::from_secs(3_600));
    let version = host.push("acme", &testkit::echo()).await;
    host.erase(&version).await;
    host.call(&version, &[0.0]).await.unwrap_err();
    host.push("acme", &testkit::echo()).await;
    assert_eq!(host.call(&version, &[0.0]).await.unwrap(), [0.0]);
}

#[tokio::test]
async fn a_version_whose_compilation_has_to_wait_is_tried_again_soon() {
    let host = Host::with(|config| {
        config.compile.workers = 1;
        config.compile.queue = 0;
    });
    let version = host.push("acme", &testkit::echo()).await;
    let code = version.blob(BlobKind::Code);
    host.blobs.remove(&code).await.unwrap();
    let (chameleon, artifact) = (testkit::chameleon(), LoadMisdeed::Loop.artifact());
    let looping = host.prepare(&chameleon, &artifact, Vec::new());
    let told = async {
        while host.engine.stats().compile_queue == 0 {
            tokio::task::yield_now().await;
        }
        host.call(&version, &[0.0]).await
    };
    let error = tokio::select! {
        _ = looping => panic!("it loops"),
        told = told => told.unwrap_err(),
    };
    assert!(
        matches!(&error, RunError::Unavailable { cause, .. } if cause.contains("too many uploads")),
        "{error}"
    );
    let since = Instant::now();
    while host.call(&version, &[0.0]).await.is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "never tried again"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_recompile_that_waits_for_its_turn_has_written_nothing_yet() {
    let host = Host::with(|config| config.compile.workers = 1);
    let version = host.push("acme", &testkit::echo()).await;
    let code = version.blob(BlobKind::Code);
    host.blobs.remove(&code).await.unwrap();
    let (chameleon, artifact) = (testkit::chameleon(), LoadMisdeed::Loop.artifact());
    let looping = host.prepare(&chameleon, &artifact, Vec::new());
    let in_line = async |length| {
        while host.engine.stats().compile_queue < length {
            tokio::task::yield_now().await;
        }
    };
    let waiting = async {
        in_line(1).await;
        host.call(&version, &[0.0]).await
    };
    let looked = async {
        in_line(2).await;
        host.scratch_files()
    };
    tokio::select! {
        _ = looping => panic!("it loops"),
        _ = waiting => panic!("the only worker is taken"),
        files = looked => assert_eq!(files, 0),
    }
}
