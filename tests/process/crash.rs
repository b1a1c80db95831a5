//! `kill -9` at any instant: what was acknowledged is there, and nothing is half there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use foretell_tests::host::files;
use foretell_tests::{Client, Parts, ServerProcess, guests};
use serde_json::json;

/// Within how long a kill comes, at most, however busy the machine.
const LONGEST_SPAN: Duration = Duration::from_secs(8);

/// Kills, each at an instant of its own.
const ROUNDS: usize = 50;

/// Where the instants come from; the same at every run.
const SEED: u64 = 0x5eed_f02e_7e11;

/// Numbers that look random, by the generator SplitMix64.
struct Random(u64);

impl Random {
    /// A number from 0 up to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What the client knows.
#[derive(Default)]
struct Ledger {
    /// Versions whose upload was answered.
    acknowledged: BTreeSet<u32>,
    /// The version whose activation was answered last.
    active: Option<u32>,
    /// The version that was under way when the server was killed: it may be there whole, or not at all.
    under_way: Option<u32>,
}

/// A small plugin as a version of its own: its runtime settings differ.
fn parts(version: u32) -> Parts {
    guests::honest().runtime(json!({"deadline_ms": 1_000 + version}))
}

/// Pushes and activates versions until the server is gone.
fn push_until_killed(client: &Client, ledger: &mut Ledger, begun: &mpsc::Sender<()>) {
    loop {
        let again = ledger.under_way.take();
        let version =
            again.unwrap_or_else(|| ledger.acknowledged.last().map_or(0, |last| last + 1));
        ledger.under_way = Some(version);
        let _ = begun.send(());
        let Ok(response) = client.try_push("m", &version.to_string(), &parts(version)) else {
            return;
        };
        // Of one that was under way before nobody knows whether it is new.
        assert!(
            response.status == 201 || again.is_some() && response.status == 200,
            "{}",
            response.text()
        );
        ledger.acknowledged.insert(version);

        let traffic = json!({"active": version.to_string()}).to_string();
        let headers = [("content-type", "application/json")];
        let Ok(response) =
            client.try_send("PUT", "/api/models/m/traffic", &headers, traffic.into())
        else {
            return;
        };
        assert_eq!(response.status, 200, "{}", response.text());
        ledger.active = Some(version);
        ledger.under_way = None;
    }
}

/// Holds what the server has against what the client knows.
fn check(round: usize, data: &Path, client: &Client, ledger: &Ledger) {
    let model = client.get("/api/models/m");
    let mut there = BTreeSet::new();
    if model.status != 404 {
        let model = model.is(200).json();
        for version in model["versions"].as_array().unwrap() {
            there.insert(version["version"].as_str().unwrap().parse::<u32>().unwrap());
        }
        let active = model["traffic"]["active"]
            .as_str()
            .unwrap()
            .parse::<u32>()
            .unwrap();
        // The first version is active without being told; the one under way may have become so.
        let expected = [ledger.active, ledger.under_way, Some(0)];
        let expected = if ledger.active.is_some() {
            &expected[..2]
        } else {
            &expected[..]
        };
        assert!(
            expected.contains(&Some(active)),
            "round {round}: {active} is active, not one of {expected:?}"
        );
    }
    let lost: Vec<_> = ledger.acknowledged.difference(&there).collect();
    assert!(
        lost.is_empty(),
        "round {round}: acknowledged and not there: {lost:?}"
    );
    let more: Vec<_> = there.difference(&ledger.acknowledged).copied().collect();
    assert!(
        more.iter()
            .all(|version| ledger.under_way == Some(*version)),
        "round {round}: never pushed: {more:?}"
    );
    for version in &there {
        let path = format!("/api/predict/m?version={version}");
        let answer = client.post(&path, &json!({"x": 0.5})).is(200).json();
        assert_eq!(
            answer["prediction"]["y"], 0.5,
            "round {round}, version {version}"
        );
    }
    // Nothing lies around that belongs to no version.
    for kind in ["code", "snapshot"] {
        let blobs = files(&data.join("blobs"))
            .into_iter()
            .filter(|(file, _)| file.parent().unwrap().ends_with(kind));
        assert_eq!(
            blobs.count(),
            there.len(),
            "round {round}: blobs of kind {kind}"
        );
    }
    assert_eq!(files(&data.join("tmp")), [], "round {round}");
}

#[test]
fn every_acknowledged_version_survives_kill_9_at_any_instant_and_none_is_half_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut random = Random(SEED);
    let mut ledger = Ledger::default();

    let server = ServerProcess::start(data);
    let tenant = server.tenant("acme");
    // How long a push takes here and now: the instants are spread over twice that.
    let since = Instant::now();
    tenant.push("measured", "1", &guests::honest()).is(201);
    let mut span = since.elapsed() * 2;
    tenant.delete("/api/models/measured/versions/1").is(200);
    let key = tenant.key().to_owned();
    server.kill();

    for round in 0..ROUNDS {
        let server = ServerProcess::start(data);
        let client = Client::new(server.url()).with_key(&key);
        check(round, data, &client, &ledger);
        let instant = span.min(LONGEST_SPAN).mul_f64(random.next());
        let acknowledged = ledger.acknowledged.len();
        thread::scope(|scope| {
            let (begun, begins) = mpsc::channel();
            let (client, ledger) = (&client, &mut ledger);
            let pusher = scope.spawn(move || push_until_killed(client, ledger, &begun));
            begins.recv().unwrap();
            // The instant is the input of this test, so it is waited for; a pusher that fails ends the wait.
            let due = Instant::now() + instant;
            while let Ok(()) = begins.recv_timeout(due.saturating_duration_since(Instant::now())) {}
            server.kill();
            pusher.join().unwrap();
        });
        // A machine that has become busy since: without acknowledged pushes there would be nothing to survive.
        if ledger.acknowledged.len() == acknowledged {
            span = span.mul_f64(1.25);
        }
    }
    let server = ServerProcess::start(data);
    check(
        ROUNDS,
        data,
        &Client::new(server.url()).with_key(&key),
        &ledger,
    );
    assert!(
        ledger.acknowledged.len() >= 10,
        "only {} pushes were acknowledged",
        ledger.acknowledged.len()
    );
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}
