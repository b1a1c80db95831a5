//! More load than the server can carry: it carries what it can, and tells the others at once when to come back.
//!
//! What it can carry is what the same generator got in a closed loop just before. Server and generator have a processor
//! each, where the machine has two: a flood that takes the server's own time away shows nothing of the server.
//! Figures go into the table. Asserted is what holds on any machine: what is answered, and that nobody pays for another.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use foretell_bench::processor::{LOAD, SERVER, are_two, keep_to};
use foretell_tests::guests::infer_request;
use foretell_tests::load::{Load, Seen};
use foretell_tests::wire::{Connection, Target};
use foretell_tests::{Client, Parts, models};
use serde_json::{Value, json};

use crate::hostile::guests::{COUNT, WORK, guest};
use crate::hostile::rows::{Neighbour, ms};
use crate::hostile::{Row, Siege, long};

/// What one prediction of these guests costs, in processor time.
const COST_MS: f64 = 1.0;

/// The answers of a server that has no room.
const REFUSALS: [&str; 2] = ["429 rate_limited", "503 overloaded"];

/// How much more than the server can carry.
const TIMES: f64 = 10.0;

/// Of what the server can carry, what it must carry under any load, on any machine: far below what is meant, which the
/// table shows. A server that was built without optimisation shares the cores with whatever else runs there.
const FLOOR: f64 = 0.1;

/// The overload itself; everything else is shorter.
fn length() -> Duration {
    Duration::from_secs(if long() { 60 } else { 3 })
}

/// A server on one processor, besieged from another.
pub(crate) fn lay(test: &str, environment: &[(&str, &str)]) -> Siege {
    let apart = are_two();
    let go_to = |processor| apart.then(|| keep_to(processor).expect("it may"));
    go_to(SERVER);
    let siege = Siege::lay(test, environment);
    go_to(LOAD);
    siege
}

/// Pushes the guest, and returns how many thousand rounds of its work take so many milliseconds.
fn calibrated(client: &Client, cost_ms: f64, runtime: Value) -> f64 {
    let parts = Parts::plugin(guest()).runtime(runtime);
    client.push("guest", "1", &parts).is(201);
    let probe = 200.0;
    let quickest = (0..20)
        .map(|_| {
            let answer = client
                .post("/v2/models/guest/infer", &infer_request(&[WORK, probe]))
                .is(200);
            answer.timing_ms("compute").unwrap()
        })
        .fold(f64::MAX, f64::min);
    (probe * cost_ms / quickest).max(1.0)
}

fn work(target: &Target, thousands: f64) -> Vec<u8> {
    let body = infer_request(&[WORK, thousands.round()]).to_string();
    target.post("/v2/models/guest/infer", &body)
}

/// Every refusal says when to come back, and nothing else comes than answers and refusals.
fn is_orderly(what: &str, seen: &Seen) {
    for label in seen.counts.keys() {
        let fine = label == "200" || REFUSALS.contains(&label.as_str());
        assert!(fine, "{what}: {:?}", seen.counts);
    }
    assert_eq!(
        (seen.without_retry_after, seen.lost),
        (0, 0),
        "{what}: {:?}",
        seen.counts
    );
}

fn figures<const N: usize>(figures: [(&str, String); N]) -> BTreeMap<String, String> {
    figures
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn row(
    id: &str,
    what: &str,
    seen: &Seen,
    resident_mib: [u64; 3],
    figures: BTreeMap<String, String>,
) -> Row {
    Row {
        id: id.to_owned(),
        what: what.to_owned(),
        thrown: seen.counts.values().sum::<u64>() + seen.lost,
        came: seen.counts.clone(),
        answered_p99_ms: Some(ms(seen.served.at(0.99))),
        neighbour: None,
        resident_mib,
        figures,
    }
}

#[test]
fn f1_f2_f5_ten_times_the_load_is_carried_as_far_as_it_goes_and_forgotten_when_it_ends() {
    let mut siege = lay("f1", &[]);
    let thousands = calibrated(&siege.attacker, COST_MS, json!({"deadline_ms": 1_000}));
    let target = siege.target(&siege.attacker);
    let load = |connections, length| Load {
        request: work(&target, thousands),
        target: target.clone(),
        connections,
        length,
    };
    let short = length() / 2;

    let capacity = load(8, short).closed().goodput();
    let calm = load(64, short).at_rate(capacity * 0.8);
    is_orderly("80 %", &calm);
    siege.server.forget_peak();
    let before = siege.server.resident();
    let flood = load(512, length()).at_rate(capacity * TIMES);
    let after = siege.server.resident();
    let resident = [before.now >> 20, after.peak >> 20, after.now >> 20];
    let share = flood.goodput() / capacity;
    siege.rows.add(&row(
        "F1",
        "ten times what the server can carry, open loop, predictions of 1 ms",
        &flood,
        resident,
        figures([
            ("capacity", format!("{capacity:.0}/s")),
            (
                "offered",
                format!("{:.0}/s, {} late", flood.offered(), flood.late),
            ),
            (
                "goodput",
                format!("{:.0}/s ({:.0} %)", flood.goodput(), share * 100.0),
            ),
            (
                "admitted p99 at 80 %",
                format!("{} ms", ms(calm.served.at(0.99))),
            ),
            ("admitted p99", format!("{} ms", ms(flood.served.at(0.99)))),
            (
                "admitted p99, since it was sent",
                format!("{} ms", ms(flood.served_since_sent.at(0.99))),
            ),
            ("refused p50", format!("{} ms", ms(flood.refused.at(0.5)))),
            ("refused p99", format!("{} ms", ms(flood.refused.at(0.99)))),
        ]),
    ));
    is_orderly("F1", &flood);
    let offered = flood.offered() / capacity;
    assert!(
        offered > 1.5,
        "F1: the generator sent no more than {offered} times the capacity"
    );
    assert!(
        flood.refused.count() > 0,
        "F1: nothing was too much: {:?}",
        flood.counts
    );
    assert!(share > FLOOR, "F1: goodput {share} of the capacity");

    // As on a quiet day, and every place is free again: as many at once as the tenant may have.
    let calm_again = load(64, short).at_rate(capacity * 0.8);
    let together = load(200, Duration::from_secs(1)).closed();
    siege.rows.add(&row(
        "F2",
        "80 % of it again, right after; then 200 at once",
        &calm_again,
        resident,
        figures([
            (
                "admitted p99 at 80 %, before",
                format!("{} ms", ms(calm.served.at(0.99))),
            ),
            ("after", format!("{} ms", ms(calm_again.served.at(0.99)))),
            ("200 at once", format!("{:?}", together.counts)),
        ]),
    ));
    is_orderly("F2", &calm_again);
    is_orderly("F2, together", &together);
    assert!(
        !together.counts.contains_key(REFUSALS[0]),
        "a place was not given back: {:?}",
        together.counts
    );

    let storm = load(400, length()).closed();
    let share = storm.goodput() / capacity;
    siege.rows.add(&row(
        "F5",
        "400 callers of one tenant that each ask again at once, answered or refused",
        &storm,
        resident,
        figures([
            ("capacity", format!("{capacity:.0}/s")),
            ("asked", format!("{:.0}/s", storm.offered())),
            (
                "goodput",
                format!("{:.0}/s ({:.0} %)", storm.goodput(), share * 100.0),
            ),
            ("refused p99", format!("{} ms", ms(storm.refused.at(0.99)))),
        ]),
    ));
    is_orderly("F5", &storm);
    assert!(share > FLOOR, "F5: goodput {share} of the capacity");
    siege.is_unharmed(0, "F1 to F5");
}

#[test]
fn f4_a_noisy_tenant_with_slow_models_leaves_its_neighbour_alone() {
    let mut siege = lay("f4", &[]);
    let slow = calibrated(&siege.attacker, 50.0, json!({"deadline_ms": 2_000}));
    let quick = calibrated(&siege.neighbour, COST_MS, json!({"deadline_ms": 1_000}));
    let noisy = siege.target(&siege.attacker);
    let calm = siege.target(&siege.neighbour);
    let noise = Load {
        request: work(&noisy, slow),
        target: noisy,
        connections: 256,
        length: length() + Duration::from_secs(1),
    };
    let neighbour = |request: Vec<u8>| Load {
        request,
        target: calm.clone(),
        connections: 16,
        length: length(),
    };
    for (what, request) in [
        ("calls of 1 ms, on a lane", work(&calm, quick)),
        (
            "calls of microseconds, in place",
            calm.post("/api/predict/honest", r#"{"x":0.5}"#),
        ),
    ] {
        let before = siege.server.resident();
        siege.server.forget_peak();
        let rate = 100.0;
        let solo = neighbour(request.clone()).at_rate(rate);
        let (beside, flood) = thread::scope(|scope| {
            // A processor carries some twenty of its calls a second.
            let flood = scope.spawn(|| noise.at_rate(2_000.0));
            (neighbour(request).at_rate(rate), flood.join().unwrap())
        });
        let after = siege.server.resident();
        let failures = beside.refused.count() as u64 + beside.lost;
        let ratio = beside.served.at(0.99).as_secs_f64() / solo.served.at(0.99).as_secs_f64();
        siege.rows.add(&Row {
            neighbour: Some(Neighbour::of(&solo.served, &beside.served, failures)),
            ..row(
                "F4",
                &format!("a tenant sends 2,000 calls of 50 ms a second; its neighbour 100 {what}"),
                &flood,
                [before.now >> 20, after.peak >> 20, after.now >> 20],
                figures([("neighbour's p99, beside to solo", format!("{ratio:.1}"))]),
            )
        });
        is_orderly("F4", &flood);
        assert_eq!(
            (solo.refused.count(), failures),
            (0, 0),
            "{what}: {:?}",
            beside.counts
        );
    }
    siege.is_unharmed(0, "F4");
}

#[test]
fn f6_what_nobody_waits_for_any_more_is_not_executed() {
    // One thread of each lane for each tenant, so that one kept instance runs all of it and knows how often it was called.
    let mut siege = lay("f6", &[("FORETELL_SANDBOX__LANES", "2")]);
    let runtime = json!({"deadline_ms": 10_000, "isolation": "reuse"});
    let per_ms = calibrated(&siege.attacker, 1.0, runtime);
    let target = siege.target(&siege.attacker);
    let before = siege.server.resident();
    let executed = || -> u64 {
        let body = infer_request(&[COUNT]).to_string();
        let reply = Connection::new(target.clone())
            .exchange(&target.post("/v2/models/guest/infer", &body))
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.label());
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        models::output(&answer, "y")[0].as_f64().unwrap() as u64
    };

    // Callers that are gone: the first is under way, the others wait behind it.
    let (rounds, callers) = (if long() { 50 } else { 5 }, 8);
    let request = work(&target, per_ms * 100.0);
    // From here on it is known to be long, and not tried in place first.
    Connection::new(target.clone()).exchange(&request).unwrap();
    let (mut executed_for_gone, mut ended) = (0, 0);
    for round in 0..rounds {
        let counted = executed();
        let gone: Vec<_> = (0..callers)
            .map(|_| {
                let mut stream = target.connect().unwrap();
                stream.write_all(&request).unwrap();
                stream
            })
            .collect();
        if round % 2 == 1 {
            // Time to be taken in.
            thread::park_timeout(Duration::from_millis(20));
        }
        drop(gone);
        // It waits behind whatever the server still holds for them.
        let now = executed();
        if now > counted {
            executed_for_gone += now - counted - 1;
        } else {
            // What had begun was ended, and its instance with it: the next one counts anew.
            executed_for_gone += now - 1;
            ended += 1;
        }
    }

    // Callers that wait too long: what is refused was not executed, what was executed is answered.
    let counted = executed();
    let request = work(&target, per_ms * 400.0);
    let since = Instant::now();
    let answers: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..24)
            .map(|_| {
                let (target, request) = (target.clone(), &request);
                scope.spawn(move || Connection::new(target).exchange(request).unwrap())
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    let took = since.elapsed();
    let executed_late = executed() - counted - 1;
    let mut seen = Seen::default();
    for answer in &answers {
        *seen.counts.entry(answer.label()).or_default() += 1;
    }
    let served = seen.counts.get("200").copied().unwrap_or_default();
    let after = siege.server.resident();
    siege.rows.add(&Row {
        answered_p99_ms: None,
        ..row(
            "F6",
            "callers that hang up while they wait, and 24 calls of 0.4 s at once on one thread",
            &seen,
            [before.now >> 20, after.peak >> 20, after.now >> 20],
            figures([
                (
                    "executed to the end for callers that were gone",
                    format!(
                        "{executed_for_gone} of {}; {ended} had begun and were ended",
                        rounds * callers
                    ),
                ),
                ("executed of the 24", executed_late.to_string()),
                ("answered within", format!("{} ms", ms(took))),
            ]),
        )
    });
    is_orderly("F6", &seen);
    assert!(served < 24, "all were answered: {:?}", seen.counts);
    assert_eq!(executed_late, served, "what was refused was executed");
    assert!(
        executed_for_gone <= rounds,
        "{executed_for_gone} executed for nobody"
    );
    siege.is_unharmed(0, "F6");
}
