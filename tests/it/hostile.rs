//! Guests that loop, trap, grow, recurse and lie: each costs its caller an error and nobody else anything.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foretell_tests::guests::{
    ELEMENTS_OUT_OF_MEMORY, ELEMENTS_THAT_LOOP, LoadMisdeed, Misdeed, infer_request,
};
use foretell_tests::models::output;
use foretell_tests::{Client, Parts, Response, Tenant, TestHost, guests};
use serde_json::{Value, json};

/// What the hostile versions have for one prediction.
const DEADLINE: Duration = Duration::from_millis(200);

/// What may pass between the deadline and the answer.
const GRACE: Duration = Duration::from_millis(50);

/// The same for any single answer, on a machine that is busy with other tests.
const GRACE_WHEN_BUSY: Duration = Duration::from_secs(5);

/// Tries of each misdeed: the quickest shows what the server does, the others what the machine does.
const TRIES: usize = 3;

const ISOLATIONS: [&str; 2] = ["fresh", "reuse"];

fn hostile(isolation: &str) -> Parts {
    guests::chameleon().runtime(json!({
        "deadline_ms": DEADLINE.as_millis() as u64,
        "memory_mib": 64,
        "isolation": isolation,
    }))
}

/// A neighbour that owns `honest`, and an attacker that owns `chameleon` with a version for each isolation.
fn host() -> (TestHost, Tenant, Tenant) {
    let host = TestHost::start();
    let (neighbour, attacker) = (host.tenant("neighbour"), host.tenant("attacker"));
    neighbour.push("honest", "1", &guests::honest()).is(201);
    for isolation in ISOLATIONS {
        attacker
            .push("chameleon", isolation, &hostile(isolation))
            .is(201);
    }
    (host, neighbour, attacker)
}

/// Predicts as an honest tenant does, again and again, while `attack` runs; returns how often it was answered. Every one
/// of its predictions must be right.
fn beside_a_neighbour(neighbour: &Tenant, attack: impl FnOnce()) -> usize {
    /// Ends the neighbour's work also where the attack panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                is_served(neighbour);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&over);
        attack();
    });
    answered.into_inner()
}

fn is_served(neighbour: &Tenant) {
    let answer = neighbour
        .post("/api/predict/honest", &json!({"x": 0.5}))
        .is(200);
    assert_eq!(answer.json()["prediction"]["y"], 0.5);
}

fn ask(attacker: &Client, version: &str, x: &[f64]) -> Response {
    attacker.post(
        &format!("/v2/models/chameleon/versions/{version}/infer"),
        &infer_request(x),
    )
}

/// The answer to what is no misdeed.
fn answer(attacker: &Client, version: &str, x: &[f64]) -> Vec<Value> {
    output(&ask(attacker, version, x).is(200).json(), "y").to_vec()
}

#[test]
fn every_misdeed_ends_in_time_with_its_own_code_while_a_neighbour_is_served() {
    const CONTRACT: (u16, &str) = (500, "plugin_contract");
    const DEADLINE_EXCEEDED: (u16, &str) = (504, "deadline_exceeded");
    let of = |misdeed: Misdeed| vec![misdeed.input(), 1.0];
    let misdeeds: Vec<(&str, Vec<f64>, (u16, &str))> = vec![
        ("loops", of(Misdeed::Loop), DEADLINE_EXCEEDED),
        (
            "loops in its clean-up",
            of(Misdeed::LoopAfterwards),
            DEADLINE_EXCEEDED,
        ),
        (
            "loops while it is handed its input",
            vec![0.0; ELEMENTS_THAT_LOOP],
            DEADLINE_EXCEEDED,
        ),
        (
            "fills memory without end",
            of(Misdeed::Fill),
            DEADLINE_EXCEEDED,
        ),
        ("traps", of(Misdeed::Trap), (500, "plugin_trapped")),
        ("fails", of(Misdeed::Fail), (500, "plugin_trapped")),
        (
            "refuses its input",
            of(Misdeed::Refuse),
            (400, "plugin_refused"),
        ),
        (
            "grows without end",
            of(Misdeed::Grow),
            (500, "memory_limit"),
        ),
        (
            "recurses without end",
            of(Misdeed::Recurse),
            (500, "stack_overflow"),
        ),
        (
            "recurses and calls the host at the edge",
            of(Misdeed::RecurseLogging),
            (500, "stack_overflow"),
        ),
        (
            "gives too few outputs",
            of(Misdeed::TooFewOutputs),
            CONTRACT,
        ),
        (
            "gives too many outputs",
            of(Misdeed::TooManyOutputs),
            CONTRACT,
        ),
        ("gives another rank", of(Misdeed::WrongRank), CONTRACT),
        (
            "gives another datatype",
            of(Misdeed::WrongDatatype),
            CONTRACT,
        ),
        (
            "gives a datatype that is none",
            of(Misdeed::BadDiscriminant),
            CONTRACT,
        ),
        (
            "gives fewer elements than its shape says",
            of(Misdeed::WrongLength),
            CONTRACT,
        ),
        (
            "gives a list without end",
            of(Misdeed::HugeLength),
            CONTRACT,
        ),
        (
            "points far outside its memory",
            of(Misdeed::WildPointer),
            CONTRACT,
        ),
        (
            "points far outside with a text",
            of(Misdeed::WildText),
            CONTRACT,
        ),
        (
            "points far outside with all of its result",
            of(Misdeed::WildResult),
            CONTRACT,
        ),
        (
            "points where nothing is aligned",
            of(Misdeed::Misaligned),
            CONTRACT,
        ),
        (
            "takes its input where it has no memory",
            vec![0.0; ELEMENTS_OUT_OF_MEMORY],
            CONTRACT,
        ),
        ("speaks no UTF-8", of(Misdeed::BadUtf8), CONTRACT),
        (
            "gives neither result nor error",
            of(Misdeed::BadResult),
            CONTRACT,
        ),
    ];
    let (_host, neighbour, attacker) = host();
    let answered = beside_a_neighbour(&neighbour, || {
        for (what, x, expected) in &misdeeds {
            for isolation in ISOLATIONS {
                let mut quickest = Duration::MAX;
                for _ in 0..TRIES {
                    let since = Instant::now();
                    let response = ask(&attacker, isolation, x);
                    let took = since.elapsed();
                    let found = (response.status, response.code());
                    assert_eq!(
                        (found.0, found.1.as_str()),
                        *expected,
                        "{what}, {isolation}: {}",
                        response.text()
                    );
                    assert!(
                        took <= DEADLINE + GRACE_WHEN_BUSY,
                        "{what}, {isolation}: {took:?}"
                    );
                    quickest = quickest.min(took);
                }
                assert!(
                    quickest <= DEADLINE + GRACE,
                    "{what}, {isolation}: {quickest:?} at best"
                );
                // Whatever it did, the next call finds nothing of it.
                assert_eq!(
                    answer(&attacker, isolation, &[0.0, 0.25]),
                    [0.0, 0.25],
                    "after it {what}, {isolation}"
                );
            }
        }
    });
    assert!(
        answered >= misdeeds.len(),
        "the neighbour was answered {answered} times only"
    );
}

#[test]
fn what_is_odd_and_no_fault_is_answered() {
    let (_host, _, attacker) = host();
    for isolation in ISOLATIONS {
        for (misdeed, first) in [
            (Misdeed::AskForMemory, json!(Misdeed::AskForMemory.input())),
            (Misdeed::LogFlood, json!(Misdeed::LogFlood.input())),
            // JSON has no NaN.
            (Misdeed::OddNan, Value::Null),
        ] {
            let found = answer(&attacker, isolation, &[misdeed.input(), 0.25]);
            assert_eq!(found, [first, json!(0.25)], "{misdeed:?}, {isolation}");
        }
    }
}

#[test]
fn what_one_prediction_leaves_behind_is_not_there_for_the_next() {
    let (_host, _, attacker) = host();
    for _ in 0..5 {
        let count = answer(&attacker, "fresh", &[Misdeed::Count.input()]);
        assert_eq!(
            count,
            [json!(1.0)],
            "a fresh instance counts its calls from one"
        );
        answer(&attacker, "fresh", &[Misdeed::Remember.input(), 42.0]);
        let recalled = answer(&attacker, "fresh", &[Misdeed::Recall.input()]);
        assert_eq!(recalled, [json!(0.0)], "a fresh instance remembers nothing");
    }
}

#[test]
fn many_endless_loops_at_once_leave_a_neighbour_its_answers() {
    const ATTACKERS: usize = 8;
    let (_host, neighbour, attacker) = host();
    let answered = beside_a_neighbour(&neighbour, || {
        thread::scope(|scope| {
            for at in 0..ATTACKERS {
                let attacker = &attacker;
                scope.spawn(move || {
                    for _ in 0..TRIES {
                        let response = ask(attacker, ISOLATIONS[at % 2], &[Misdeed::Loop.input()]);
                        let found = (response.status, response.code());
                        // Stopped, or not begun for want of a thread.
                        let fair = [(504, "deadline_exceeded"), (503, "overloaded")];
                        assert!(fair.contains(&(found.0, found.1.as_str())), "{found:?}");
                    }
                });
            }
        });
    });
    assert!(
        answered >= 10,
        "the neighbour was answered {answered} times only"
    );
    for isolation in ISOLATIONS {
        assert_eq!(answer(&attacker, isolation, &[0.0]), [json!(0.0)]);
    }
}

#[test]
fn a_caller_that_hangs_up_in_mid_call_costs_nobody_anything() {
    let (host, neighbour, attacker) = host();
    let address = host.url().strip_prefix("http://").unwrap();
    let body = infer_request(&[Misdeed::Loop.input()]).to_string();
    for isolation in ISOLATIONS.repeat(5) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /v2/models/chameleon/versions/{isolation}/infer HTTP/1.1\r\nhost: {address}\r\nx-api-key: {}\r\n\
             content-length: {}\r\n\r\n{body}",
            attacker.key(),
            body.len()
        )
        .unwrap();
        drop(stream);
        is_served(&neighbour);
    }
    for isolation in ISOLATIONS {
        assert_eq!(answer(&attacker, isolation, &[0.0]), [json!(0.0)]);
    }
}

#[test]
fn a_plugin_that_is_hostile_at_its_upload_is_refused_while_a_neighbour_is_served() {
    let host = TestHost::configured("uploads:\n  compile_cpu: 3s\n  compile_wall: 30s\n");
    let (neighbour, attacker) = (host.tenant("neighbour"), host.tenant("attacker"));
    neighbour.push("honest", "1", &guests::honest()).is(201);
    let load = guests::hostile_at_load;
    let uploads = [
        ("loops in load", load(LoadMisdeed::Loop), "limit"),
        (
            "loops at its start",
            Parts::plugin(guests::loops_at_start()),
            "limit",
        ),
        ("grows in load", load(LoadMisdeed::Grow), "limit"),
        (
            "begins with 4 GiB",
            Parts::plugin(guests::four_gib()),
            "limit",
        ),
        ("traps in load", load(LoadMisdeed::Trap), "load_failed"),
        (
            "recurses in load",
            load(LoadMisdeed::Recurse),
            "load_failed",
        ),
        (
            "refuses its artifact",
            load(LoadMisdeed::BadArtifact),
            "load_failed",
        ),
        ("fails in load", load(LoadMisdeed::Fail), "load_failed"),
        (
            "traps in describe",
            load(LoadMisdeed::DescribeTraps),
            "load_failed",
        ),
        (
            "describes nonsense",
            load(LoadMisdeed::InvalidSignature),
            "load_failed",
        ),
        (
            "gives an untrue example",
            load(LoadMisdeed::UntrueExample),
            "self_test_failed",
        ),
        (
            "is a compile bomb",
            Parts::plugin(guests::many_loops(20_000)),
            "too_complex",
        ),
    ];
    let answered = beside_a_neighbour(&neighbour, || {
        for (what, parts, reason) in &uploads {
            let refused = attacker.push("bad", "1", parts);
            let found = (refused.status, refused.code());
            assert_eq!(
                (found.0, found.1.as_str()),
                (422, "upload_refused"),
                "{what}: {}",
                refused.text()
            );
            assert_eq!(
                refused.json()["errors"][0]["code"],
                *reason,
                "{what}: {}",
                refused.text()
            );
        }
    });
    assert!(
        answered >= uploads.len(),
        "the neighbour was answered {answered} times only"
    );
    assert_eq!(
        attacker.get("/api/models").is(200).json()["models"],
        json!([])
    );
}
