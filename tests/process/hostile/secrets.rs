//! Group A: what guests may not learn, keep or forge: logs, time, and what others left behind.

use std::sync::Mutex;

use foretell_tests::guests::infer_request;
use foretell_tests::wire::{Connection, Target};
use foretell_tests::{Model, Parts, ServerProcess, models};
use serde_json::{Value, json};

use super::guests::{HIDE, LOG_LONG, LOG_STORM, SEEK};
use super::predictions::ask;
use super::rows::Row;
use super::siege::label;
use super::{Attack, Rows, Siege, Turn, guests, long};

/// What one call may leave in the server's log: a hundred lines and their frame, and the request's own line.
const LOG_BYTES_OF_A_CALL: usize = 64 << 10;

#[test]
fn a8_logs_of_guests_are_capped_and_cannot_forge_lines() {
    let mut siege = Siege::lay("a8", &[]);
    // Little memory: a kept instance grows with each call, and is thrown away when it gets no more.
    siege.arm(20_000, 16);
    let thousands = if long() { 1_000.0 } else { 100.0 };
    for (what, times, x) in [
        (
            "a log line of 1 MiB, all line breaks",
            [50, 1_000],
            [LOG_LONG, 0.0],
        ),
        (
            if long() {
                "a million log lines in one call, each forging another"
            } else {
                "100,000 log lines in one call, each forging another"
            },
            [10, 100],
            [LOG_STORM, thousands],
        ),
    ] {
        let shot = ask(&siege, "guest", &x);
        let before = siege.server.said().len();
        siege.attack(
            &Attack {
                id: "A8",
                what,
                times,
                must: &["200"],
                may: &["503 overloaded", "500 memory_limit"],
                ..Attack::default()
            },
            shot,
        );
        let said = siege.server.said();
        let said = &said[before..];
        assert!(
            !said.contains('\u{1b}'),
            "{what}: an escape sequence got out"
        );
        // In the log, a line is a JSON object; a forged one would be of another form.
        let forged = said.lines().find(|line| line.starts_with("{\"level\""));
        assert_eq!(forged, None, "{what}");
        for line in said.lines() {
            assert!(
                line.len() < LOG_BYTES_OF_A_CALL,
                "{what}: a line of {} bytes",
                line.len()
            );
            assert!(
                serde_json::from_str::<Value>(line).is_ok(),
                "{what}: {line}"
            );
        }
    }
}

#[test]
fn a10_what_one_tenant_leaves_in_an_instance_no_other_finds() {
    let mut siege = Siege::lay("a10", &[]);
    siege.arm(1_000, 16);
    let seeker = siege.server.tenant("seeker");
    for (version, isolation) in [("1", "fresh"), ("2", "reuse")] {
        let runtime = json!({"deadline_ms": 1_000, "memory_mib": 16, "isolation": isolation});
        let parts = Parts::plugin(guests::guest()).runtime(runtime);
        seeker.push("guest", version, &parts).is(201);
    }
    let requests = |target: &Target, x: f64| {
        ["1", "2"].map(|version| {
            let path = format!("/v2/models/guest/versions/{version}/infer");
            target.post(&path, &infer_request(&[x]).to_string())
        })
    };
    let (attacker, seeker) = (siege.target(&siege.attacker), siege.target(&seeker));
    let (hide, seek) = (requests(&attacker, HIDE), requests(&seeker, SEEK));
    let own = requests(&attacker, SEEK);
    let found = |connection: &mut Connection, request: &[u8]| {
        let reply = connection.exchange(request).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.label());
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        models::output(&answer, "y")[0].as_f64().unwrap()
    };

    // The positive control: an instance that is kept finds what it has left itself.
    let mut connection = Connection::new(attacker);
    assert_eq!(label(connection.exchange(&hide[1])), "200");
    assert!(
        found(&mut connection, &own[1]) > 100_000.0,
        "it finds its own mebibyte"
    );
    assert_eq!(
        found(&mut connection, &own[0]),
        0.0,
        "a fresh one finds nothing"
    );

    let seeking = Mutex::new(Connection::new(seeker));
    siege.attack(
        &Attack {
            id: "A10",
            what: "leaves a secret in memory and globals, fresh and kept in turn; another tenant of the same component looks for it in both",
            times: [500, 100_000],
            connections: 1,
            must: &["found nothing"],
            may: &["500 memory_limit"],
            ..Attack::default()
        },
        |connection, number| {
            let at = number as usize % 2;
            let hidden = label(connection.exchange(&hide[at]));
            if hidden != "200" {
                return hidden;
            }
            let mut seeking = seeking.lock().unwrap();
            // In an instance of the same kind, and in one of the other.
            let words: f64 = [number as usize / 2 % 2, 0]
                .into_iter()
                .map(|version| found(&mut seeking, &seek[version]))
                .sum();
            if words == 0.0 { "found nothing".to_owned() } else { format!("found {words} words") }
        },
    );
}

#[test]
fn a9_the_same_input_gives_the_same_bits_cold_and_warm_and_after_a_restart() {
    let _turn = Turn::take();
    let folder = tempfile::tempdir().unwrap();
    let environment = [("FORETELL_CACHE__ENABLED", "false")];
    let mut server = ServerProcess::start_with(folder.path(), &environment);
    let tenant = server.tenant("acme");
    let model = Model::read("lead-score");
    model.push(&tenant);
    let reused = model.parts().runtime(json!({"isolation": "reuse"}));
    tenant.push(&model.name, "2", &reused).is(201);
    let before = server.resident();

    let known = model.parity().rows;
    let wanted = if long() { 10_000 } else { 300 };
    let rows: Vec<_> = known.iter().cycle().take(wanted).enumerate().collect();
    let answers = |server: &ServerProcess, version: &str| -> Vec<String> {
        let target = Target::new(server.url(), tenant.key());
        let mut connection = Connection::new(target.clone());
        let path = format!("/v2/models/{}/versions/{version}/infer", model.name);
        rows.iter()
            .map(|(_, row)| {
                let body = models::infer_request(&[(*row).clone()]).to_string();
                let reply = connection.exchange(&target.post(&path, &body)).unwrap();
                assert_eq!(reply.status, 200, "{}", reply.label());
                let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                // Numbers are written so that they can be read back to the same bits.
                answer["outputs"].to_string()
            })
            .collect()
    };
    let first = answers(&server, "1");
    let mut pairs = 0;
    let mut same = |what: &str, other: Vec<String>| {
        assert_eq!(first, other, "{what}");
        pairs += other.len() as u64;
    };
    same("again", answers(&server, "1"));
    same("in a kept instance", answers(&server, "2"));
    let after = server.resident();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    server = ServerProcess::start_with(folder.path(), &environment);
    same("after a restart, cold", answers(&server, "1"));
    same("after a restart, kept", answers(&server, "2"));

    Rows::of("a9").add(&Row {
        id: "A9".into(),
        what: "the same input to `lead-score` again: fresh and kept instance, before and after a restart; pairs of answers with the same bits".into(),
        thrown: pairs,
        came: [("same bits".to_owned(), pairs)].into(),
        answered_p99_ms: None,
        neighbour: None,
        resident_mib: [before.now >> 20, after.peak >> 20, after.now >> 20],
        figures: std::collections::BTreeMap::new(),
    });
}
