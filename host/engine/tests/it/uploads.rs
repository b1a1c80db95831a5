//! From upload to machine code, and every way not to get there.

use std::sync::Mutex;
use std::time::Duration;

use foretell_engine::Compiler;
use foretell_engine::testkit::{self, LoadMisdeed};
use foretell_types::blob::{BlobKind, Blobs};
use foretell_types::compile::{CompileError, Content, Setting, SettingValue, Step, Upload};

use crate::support::{Host, part, sha256, tenant, worker};

/// The refusals of an upload as `code: subject: message`.
fn refusals(outcome: Result<foretell_types::compile::Prepared, CompileError>) -> Vec<String> {
    match outcome {
        Err(CompileError::Refused(refusals)) => refusals.iter().map(ToString::to_string).collect(),
        other => panic!(
            "not refused: {:?}",
            other.map(|prepared| prepared.signature.doc)
        ),
    }
}

async fn refused_at(host: &Host, misdeed: LoadMisdeed) -> Vec<String> {
    refusals(
        host.prepare(&testkit::chameleon(), &misdeed.artifact(), Vec::new())
            .await,
    )
}

fn begins(found: &[String], expected: &str) {
    assert!(
        found.len() == 1 && found[0].starts_with(expected),
        "{found:?} instead of {expected}"
    );
}

#[tokio::test]
async fn an_upload_is_made_runnable_step_by_step() {
    let host = Host::new();
    let steps = Mutex::new(Vec::new());
    let progress = |step| steps.lock().unwrap().push(step);
    let prepared = host
        .prepare_for(
            &tenant("acme"),
            &testkit::chameleon(),
            &[],
            Vec::new(),
            &progress,
        )
        .await
        .unwrap();
    assert_eq!(prepared.signature, testkit::signature());
    assert_eq!(
        *steps.lock().unwrap(),
        [
            Step::Admission,
            Step::Snapshot,
            Step::Compile,
            Step::SelfTest
        ]
    );
    assert_eq!(
        &prepared.snapshot[..8],
        b"\0asm\x0d\0\x01\0",
        "the snapshot is still a component"
    );
}

#[tokio::test]
async fn a_core_module_is_accepted_as_the_build_leaves_it() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon_module()).await;
    assert_eq!(host.call(&version, &[0.0, 4.0]).await.unwrap(), [0.0, 4.0]);
}

#[tokio::test]
async fn what_is_no_wasm_is_refused_without_a_worker() {
    let host = Host::with(|config| config.worker_command = vec!["/nowhere/worker".into()]);
    let found = refusals(host.prepare(b"hello", &[], Vec::new()).await);
    begins(&found, "not_wasm: plugin: it is text");
}

#[tokio::test]
async fn a_truncated_upload_is_refused_as_such() {
    let host = Host::new();
    let whole = testkit::chameleon();
    let found = refusals(
        host.prepare(&whole[..whole.len() - 7], &[], Vec::new())
            .await,
    );
    begins(&found, "not_wasm: plugin: ");
}

#[tokio::test]
async fn a_load_that_loops_ends_at_its_deadline() {
    let host = Host::with(|config| config.compile.load_deadline = Duration::from_millis(200));
    begins(
        &refused_at(&host, LoadMisdeed::Loop).await,
        "limit: load: it did not end within 0.2 s",
    );
}

#[tokio::test]
async fn a_start_function_that_loops_ends_at_the_deadline_of_load() {
    let host = Host::with(|config| config.compile.load_deadline = Duration::from_millis(200));
    let found = refusals(
        host.prepare(&testkit::loops_at_start(), &[], Vec::new())
            .await,
    );
    begins(&found, "limit: load: it did not end within 0.2 s");
}

#[tokio::test]
async fn a_load_that_fails_is_refused_in_the_words_of_the_plugin() {
    let host = Host::new();
    for (misdeed, expected) in [
        (
            LoadMisdeed::BadArtifact,
            "load_failed: artifact: on purpose",
        ),
        (LoadMisdeed::Fail, "load_failed: load: on purpose"),
        (
            LoadMisdeed::Trap,
            "load_failed: load: the plugin trapped: wasm `unreachable` instruction executed",
        ),
        (
            LoadMisdeed::LogAndTrap,
            "load_failed: load: the plugin trapped: wasm `unreachable` instruction executed; it logged: on purpose",
        ),
        (
            LoadMisdeed::Recurse,
            "load_failed: load: the plugin used up its stack",
        ),
        (
            LoadMisdeed::Grow,
            "limit: load: the plugin needs more memory than its limit of 67108864 bytes",
        ),
        (
            LoadMisdeed::DescribeTraps,
            "load_failed: describe: the plugin trapped",
        ),
    ] {
        begins(&refused_at(&host, misdeed).await, expected);
    }
}

#[tokio::test]
async fn a_setting_that_the_plugin_refuses_is_named() {
    let host = Host::new();
    let settings = vec![Setting {
        name: "balance".into(),
        value: SettingValue::Real(f64::NAN),
    }];
    let found = refusals(host.prepare(&testkit::chameleon(), &[], settings).await);
    begins(&found, "load_failed: setting `balance`: on purpose");
}

#[tokio::test]
async fn each_fault_of_a_signature_is_a_refusal() {
    let found = refused_at(&Host::new(), LoadMisdeed::InvalidSignature).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("load_failed: outputs: 0 are declared"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("load_failed: example `nothing`: 1 outputs are given"),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_example_that_does_not_hold_is_named_with_both_values() {
    begins(
        &refused_at(&Host::new(), LoadMisdeed::UntrueExample).await,
        "self_test_failed: example `untrue`: output `y`, element 1: expected 0.75, found 0.5",
    );
}

#[tokio::test]
async fn four_gib_of_initial_memory_are_refused() {
    let found = refusals(
        Host::new()
            .prepare(&testkit::four_gib(), &[], Vec::new())
            .await,
    );
    begins(&found, "limit: memory: it begins with 4096 MiB");
}

#[tokio::test]
async fn a_compile_bomb_is_refused_before_the_compiler_sees_it() {
    let found = refusals(
        Host::new()
            .prepare(&testkit::many_loops(40_000), &[], Vec::new())
            .await,
    );
    begins(
        &found,
        "too_complex: loops of one function: 40000 found in function",
    );
}

#[tokio::test]
async fn a_worker_that_uses_up_its_cpu_time_is_ended_by_the_kernel() {
    // The worker steps back behind everything else: on a busy machine, a second of CPU takes a while to use up.
    let host = Host::with(|config| {
        config.compile.cpu_seconds = 1;
        config.compile.load_deadline = Duration::from_secs(200);
        config.compile.wall = Duration::from_secs(240);
    });
    begins(
        &refused_at(&host, LoadMisdeed::Loop).await,
        "limit: snapshot: it needs more than the 1 s of CPU time",
    );
}

#[tokio::test]
async fn a_compiler_that_uses_up_its_memory_refuses_the_upload() {
    let host = Host::with(|config| {
        config.structure.loops = u64::MAX;
        config.compile.data_bytes = 48 << 20;
    });
    let found = refusals(
        host.prepare(&testkit::many_loops(5_000), &[], Vec::new())
            .await,
    );
    assert!(
        found.len() == 1 && found[0].starts_with("limit: ") && found[0].contains("48 MiB"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_worker_is_killed_at_its_wall_clock() {
    let host = Host::with(|config| config.compile.wall = Duration::from_millis(1_500));
    begins(
        &refused_at(&host, LoadMisdeed::Loop).await,
        "limit: snapshot: it took more than the 1.5 s",
    );
    assert_eq!(host.engine.stats().compile_queue, 0);
}

/// A worker that is no worker: `sh` with the given script.
fn impostor(script: &str) -> Host {
    Host::with(|config| config.worker_command = ["/bin/sh", "-c", script].map(Into::into).to_vec())
}

#[tokio::test]
async fn a_killed_worker_refuses_the_upload_and_the_next_one_is_served() {
    let ready = format!(
        r#"{{"engine":"{}","walls":{{"calls":"whole","files":"whole"}}}}"#,
        Host::new().engine.describe_engine()
    );
    let host = impostor(&format!(
        r"printf '\007\{:o}\0\0\0\0\0\0\0{ready}\001\011\0\0\0\0\0\0\0admission'; kill -9 $$",
        ready.len()
    ));
    let found = refusals(host.prepare(&testkit::echo(), &[], Vec::new()).await);
    begins(
        &found,
        "limit: admission: it needs more than the 2048 MiB of memory",
    );
    assert_eq!(host.engine.stats().compile_queue, 0);
}

#[tokio::test]
async fn a_worker_that_does_not_work_is_our_trouble_not_the_uploads() {
    for (host, expected) in [
        (impostor("kill -9 $$"), "it ended before it began"),
        (
            impostor(r"printf '\001\011\0\0\0\0\0\0\0admission'"),
            "saying that it is ready",
        ),
        (impostor(r"printf 'h\001\0\0\0\0\0\0\0x'"), "unknown frame"),
        (
            impostor(r"printf '\006\377\377\377\377\377\377\377\377'"),
            "more than it may",
        ),
        (impostor("exit 0"), "without the whole answer"),
        (
            Host::with(|config| config.worker_command = vec!["/nowhere/worker".into()]),
            "cannot be started",
        ),
        (
            Host::with(|config| config.worker_command = Vec::new()),
            "no worker command",
        ),
    ] {
        let error = host
            .prepare(&testkit::echo(), &[], Vec::new())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, CompileError::Worker(text) if text.contains(expected)),
            "{error} for {expected}"
        );
    }
}

#[tokio::test]
async fn uploads_beyond_the_queue_are_told_to_come_again() {
    let host = Host::with(|config| {
        config.compile.workers = 1;
        config.compile.queue = 0;
    });
    let chameleon = testkit::chameleon();
    let artifact = LoadMisdeed::Loop.artifact();
    let mut first = Box::pin(host.prepare(&chameleon, &artifact, Vec::new()));
    while host.engine.stats().compile_queue == 0 {
        assert!(futures_step(&mut first).await.is_none(), "it loops");
    }
    let (echo, none) = (testkit::echo(), |_| ());
    let second = host
        .prepare_for(&tenant("globex"), &echo, &[], Vec::new(), &none)
        .await;
    assert!(
        matches!(second, Err(CompileError::Busy)),
        "{:?}",
        second.err()
    );
    drop(first);
    // Given up: its worker is killed, and the place is free again.
    while host.engine.stats().compile_queue > 0 {
        tokio::task::yield_now().await;
    }
    assert!(
        host.prepare(&testkit::echo(), &[], Vec::new())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_tenant_cannot_keep_others_from_uploading() {
    let host = Host::with(|config| {
        config.compile.workers = 1;
        config.compile.queue = 2;
        config.compile.per_tenant = 2;
    });
    let chameleon = testkit::chameleon();
    let artifact = LoadMisdeed::Loop.artifact();
    let mut looping: Vec<_> = (1..=2)
        .map(|_| Box::pin(host.prepare(&chameleon, &artifact, Vec::new())))
        .collect();
    for (number, upload) in looping.iter_mut().enumerate() {
        while host.engine.stats().compile_queue <= number {
            assert!(futures_step(upload).await.is_none(), "it loops");
        }
    }
    let third = host.prepare(&testkit::echo(), &[], Vec::new()).await;
    assert!(
        matches!(third, Err(CompileError::TenantBusy { limit: 2 })),
        "{:?}",
        third.err()
    );
    let (echo, none, globex) = (testkit::echo(), |_| (), tenant("globex"));
    let mut other = Box::pin(host.prepare_for(&globex, &echo, &[], Vec::new(), &none));
    while host.engine.stats().compile_queue < 3 {
        assert!(futures_step(&mut other).await.is_none(), "it waits");
    }
    drop(looping);
    assert!(other.await.is_ok());
}

/// Polls once, and lets others run.
async fn futures_step<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await;
    tokio::task::yield_now().await;
    polled
}

#[tokio::test]
async fn the_worker_sees_nothing_of_the_servers_environment() {
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "the test has an environment to hide"
    );
    let host = impostor(r#"echo "inherited: $CARGO_MANIFEST_DIR." >&2; exit 3"#);
    let error = host
        .prepare(&testkit::echo(), &[], Vec::new())
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("inherited: ."), "{error}");
}

#[tokio::test]
async fn a_large_memory_of_zeros_costs_no_place_in_the_snapshot() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon_of(256)).await;
    let snapshot = host
        .blobs
        .get(&version.blob(BlobKind::Snapshot))
        .await
        .unwrap()
        .unwrap();
    assert!(
        snapshot.len() < 64 << 10,
        "16 MiB of zeros are not stored: {} bytes",
        snapshot.len()
    );
    assert_eq!(
        host.call(&version, &[29.0, 4_000.0]).await.unwrap(),
        [29.0, 4_000.0]
    );
}

#[tokio::test]
async fn a_part_that_is_not_the_one_uploaded_is_not_looked_at() {
    let host = Host::new();
    let file = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        file
    };
    let (echo, weights) = (testkit::echo(), [0]);
    let (plugin, artifact) = (file(&echo), file(&weights));
    let steps = Mutex::new(Vec::new());
    let progress = |step| steps.lock().unwrap().push(step);
    for (uploaded, weighed, changed) in [
        (&b"another"[..], &weights[..], Content::Plugin),
        (&echo, &[1], Content::Artifact),
    ] {
        let upload = Upload {
            tenant: tenant("acme"),
            version: foretell_types::VersionDigest(sha256(b"v")),
            plugin: part(uploaded, &plugin),
            artifact: Some(part(weighed, &artifact)),
            settings: Vec::new(),
            memory_bytes: 64 << 20,
        };
        let error = host.engine.prepare(&upload, &progress).await.unwrap_err();
        assert!(
            matches!(error, CompileError::Changed(part) if part == changed),
            "{error} instead of {changed:?}"
        );
    }
    assert!(steps.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_worker_itself_refuses_a_call_that_is_no_request() {
    let output = std::process::Command::new(&worker()[0])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.stdout[0], 3, "a frame of trouble");
    assert!(String::from_utf8_lossy(&output.stdout).contains("for the server's own use"));
}
