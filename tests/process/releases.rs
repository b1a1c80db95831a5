//! Releases under load: versions are swapped, tried, promoted and rolled back, and no call is lost.
//!
//! Figures go into the table; asserted is that every call is answered, by a version that is named.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use foretell_tests::guests::infer_request;
use foretell_tests::load::{Latencies, Load, Seen};
use foretell_tests::wire::{Connection, Target};
use foretell_tests::{Client, Parts};
use serde_json::{Value, json};

use crate::hostile::guests::{first, guest};
use crate::hostile::rows::ms;
use crate::hostile::{Row, Siege, long};
use crate::overload::lay;

/// Requests per second.
const RATE: f64 = 250.0;

/// Between two changes of traffic.
const PAUSE: Duration = Duration::from_millis(200);

/// A new version must have calls within this time.
const SOON: Duration = Duration::from_secs(1);

/// What is sent: a number more than the example of the guest has.
const HONEST: [f64; 3] = [0.0, 1.0, 2.0];

const MODEL: &str = "/v2/models/guest/infer";
const TRAFFIC: &str = "/api/models/guest/traffic";

fn length() -> Duration {
    Duration::from_secs(if long() { 60 } else { 4 })
}

/// A load of honest calls that name no version.
fn load(target: &Target, length: Duration) -> Load {
    Load {
        request: target.post(MODEL, &infer_request(&HONEST).to_string()),
        target: target.clone(),
        connections: 16,
        length,
    }
}

/// Version 1 is honest; version 2 does this first of all, whatever it is sent.
fn push(client: &Client, deed: &str, deadline_ms: u64) {
    for (version, plugin) in [("1", guest()), ("2", first(deed))] {
        let parts = Parts::plugin(plugin).runtime(json!({"deadline_ms": deadline_ms}));
        client.push("guest", version, &parts).is(201);
    }
}

/// Every call was answered, and said by which version.
fn is_whole(what: &str, seen: &Seen) {
    let labels: Vec<_> = seen.counts.keys().map(String::as_str).collect();
    assert_eq!(
        (labels, seen.lost),
        (vec!["200"], 0),
        "{what}: {:?}",
        seen.counts
    );
    let named = |version: &String| version == "1" || version == "2";
    assert!(
        seen.by_version.keys().all(named),
        "{what}: {:?}",
        seen.by_version
    );
}

fn row(siege: &Siege, id: &str, what: &str, seen: &Seen, figures: &[(&str, String)]) -> Row {
    let now = siege.server.resident();
    Row {
        id: id.to_owned(),
        what: what.to_owned(),
        thrown: seen.counts.values().sum::<u64>() + seen.lost,
        came: seen.counts.clone(),
        answered_p99_ms: Some(ms(seen.served.at(0.99))),
        neighbour: None,
        resident_mib: [now.now >> 20, now.peak >> 20, now.now >> 20],
        figures: figures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    }
}

/// Asks until a version answers, and returns how long that took since `since`.
fn until_it_answers(
    connection: &mut Connection,
    request: &[u8],
    version: &str,
    since: Instant,
) -> Duration {
    loop {
        let reply = connection.exchange(request).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.label());
        if reply.version == version {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < SOON * 20,
            "version {version} never answers"
        );
    }
}

#[test]
fn g4_versions_are_swapped_tried_promoted_and_rolled_back_without_a_lost_call() {
    let mut siege = lay("g4", &[]);
    let client = &siege.neighbour;
    push(client, "(nop)", 1_000);
    let target = siege.target(client);
    let request = target.post(MODEL, &infer_request(&HONEST).to_string());
    let set = |body: &Value| client.put(TRAFFIC, body).is(200);
    let half = json!({"active": "1", "canary": {"version": "2", "percent": 50}});
    // Each leads to the first answer of the version behind it.
    let changes: [(Value, &str); 7] = [
        (json!({"active": "2"}), "2"),
        (json!({"active": "1"}), "1"),
        (half.clone(), "2"),
        (json!({"promote": true}), "2"),
        (json!({"rollback": true}), "1"),
        (half, "2"),
        (json!({"rollback": true}), "1"),
    ];
    let began = Instant::now();
    let (seen, (made, slowest)) = thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut connection = Connection::new(target.clone());
            let (mut made, mut slowest) = (0, Duration::ZERO);
            while began.elapsed() + SOON < length() {
                for (body, version) in &changes {
                    let since = Instant::now();
                    set(body);
                    slowest =
                        slowest.max(until_it_answers(&mut connection, &request, version, since));
                    made += 1;
                    thread::park_timeout(PAUSE);
                }
            }
            (made, slowest)
        });
        let seen = load(&target, length()).at_rate(RATE);
        (seen, changer.join().unwrap())
    });
    is_whole("G4", &seen);
    let versions = |version: &str| seen.by_version.get(version).copied().unwrap_or_default();
    assert!(
        versions("1") > 0 && versions("2") > 0,
        "{:?}",
        seen.by_version
    );
    let offered = seen.offered();
    let figures = [
        ("calls per second", format!("{offered:.0}")),
        ("changes of traffic", format!("{made}")),
        (
            "from a change to its first answer, at most, ms",
            format!("{}", ms(slowest)),
        ),
        (
            "answered by version 1 and 2",
            format!("{} and {}", versions("1"), versions("2")),
        ),
    ];
    let what = "swap, canary of half, promotion and rollback in turn, under load";
    let row = row(&siege, "G4", what, &seen, &figures);
    siege.rows.add(&row);
}

#[test]
fn g5_a_canary_that_traps_costs_no_call_and_is_withdrawn_with_the_reason() {
    let mut siege = lay("g5", &[]);
    let client = &siege.neighbour;
    push(client, "(unreachable)", 1_000);
    let target = siege.target(client);
    let (seen, withdrawn) = thread::scope(|scope| {
        let owner = scope.spawn(|| {
            thread::park_timeout(PAUSE);
            let began = Instant::now();
            let canary = json!({"active": "1", "canary": {"version": "2", "percent": 50}});
            client.put(TRAFFIC, &canary).is(200);
            foretell_tests::wait::until("the canary is withdrawn", || {
                let report = client.get(TRAFFIC).is(200).json();
                report["traffic"]["canary"].is_null().then_some(())
            });
            began.elapsed()
        });
        let seen = load(&target, length() / 2).at_rate(RATE);
        (seen, owner.join().unwrap())
    });
    is_whole("G5", &seen);
    let report = client.get(TRAFFIC).is(200).json();
    let change = &report["changes"][0];
    let reason = change["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("trapped"), "{reason}");
    assert_eq!(
        (&change["by"], &change["after"]["active"]),
        (&Value::Null, &json!("1"))
    );
    assert!(
        report["versions"][1]["faults"].as_u64() >= Some(3),
        "{report}"
    );
    let figures = [
        ("until it was withdrawn, ms", format!("{}", ms(withdrawn))),
        ("reason", reason),
    ];
    let row = row(
        &siege,
        "G5",
        "a canary of half that traps, under load",
        &seen,
        &figures,
    );
    siege.rows.add(&row);
}

#[test]
fn g6_a_shadow_that_never_ends_is_felt_by_nobody() {
    // Never suspended: it is to go on.
    let mut siege = lay("g6", &[("FORETELL_SANDBOX__SUSPEND_AFTER", "0")]);
    let client = &siege.neighbour;
    push(client, "(loop $forever (br $forever))", 1_000);
    let target = siege.target(client);
    let turn = length() / 4;
    load(&target, turn).at_rate(RATE);
    // In turns, so that what the machine does besides is in both.
    let mut times: BTreeMap<bool, Latencies> = BTreeMap::new();
    let mut all = Seen::default();
    for shadowed in [false, true, false, true] {
        let shadow = shadowed.then_some("2");
        client
            .put(TRAFFIC, &json!({"active": "1", "shadow": shadow}))
            .is(200);
        let seen = load(&target, turn).at_rate(RATE);
        is_whole("G6", &seen);
        assert_eq!(seen.by_version.keys().collect::<Vec<_>>(), ["1"]);
        times
            .entry(shadowed)
            .or_default()
            .join(seen.served_since_sent);
        all.served.join(seen.served);
        for (label, count) in seen.counts {
            *all.counts.entry(label).or_default() += count;
        }
    }
    let shadow = client.get(TRAFFIC).is(200).json()["versions"][1]["shadow"].clone();
    let failed = shadow["failed"].as_u64().unwrap();
    assert!(failed > 0, "{shadow}");
    assert!(
        shadow["last"]
            .as_str()
            .unwrap()
            .contains("did not answer within 1000 ms"),
        "{shadow}"
    );
    let [quiet, beside] = [false, true].map(|shadowed| times.remove(&shadowed).unwrap());
    // Whoever had to wait for it would wait for its deadline, a second.
    assert!(beside.at(0.99) < quiet.at(0.99) + Duration::from_millis(500));
    let figures = [
        (
            "p50 without and beside it, ms",
            format!("{} and {}", ms(quiet.at(0.5)), ms(beside.at(0.5))),
        ),
        (
            "p99 without and beside it, ms",
            format!("{} and {}", ms(quiet.at(0.99)), ms(beside.at(0.99))),
        ),
        (
            "copies ended at their deadline, and not run",
            format!("{failed} and {}", shadow["skipped"]),
        ),
    ];
    let row = row(
        &siege,
        "G6",
        "a shadow that loops for ever, under load, in turns",
        &all,
        &figures,
    );
    siege.rows.add(&row);
}
