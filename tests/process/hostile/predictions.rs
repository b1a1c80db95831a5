//! Group A: guests that loop, grow, recurse, trap and lie while they predict, and callers that hang up on them.

use std::io::Write;
use std::thread;
use std::time::Duration;

use foretell_tests::guests::{ELEMENTS_OUT_OF_MEMORY, ELEMENTS_THAT_LOOP, Misdeed, infer_request};
use foretell_tests::load::Load;
use foretell_tests::wait::until;
use foretell_tests::wire::{Connection, Target};
use foretell_tests::{Parts, Tenant};
use serde_json::json;

use super::guests::{FILL, RECURSE_WIDE, WORK};
use super::rows::Row;
use super::siege::label;
use super::{Attack, Siege, guests, long};

/// What the hostile versions have for one prediction.
const DEADLINE_MS: u64 = 50;

/// Never suspended: an attack is to go on.
const NO_BREAKER: (&str, &str) = ("FORETELL_SANDBOX__SUSPEND_AFTER", "0");

/// What is answered where all threads of the tenant are held by its own guests.
const BUSY: &str = "503 overloaded";

/// A request to each isolation of a model.
fn both(target: &Target, model: &str, x: &[f64]) -> [Vec<u8>; 2] {
    ["1", "2"].map(|version| {
        let path = format!("/v2/models/{model}/versions/{version}/infer");
        target.post(&path, &infer_request(x).to_string())
    })
}

/// Asks a model of the attacker's, in turn in a fresh instance and in one for reuse.
pub(super) fn ask(
    siege: &Siege,
    model: &str,
    x: &[f64],
) -> impl Fn(&mut Connection, u64) -> String + use<> {
    let requests = both(&siege.target(&siege.attacker), model, x);
    move |connection, number| label(connection.exchange(&requests[number as usize % 2]))
}

/// Asks for several misdeeds in turn, each of a model.
fn ask_each(
    siege: &Siege,
    misdeeds: &[(&str, &[f64])],
) -> impl Fn(&mut Connection, u64) -> String + use<> {
    let asks: Vec<_> = misdeeds
        .iter()
        .map(|(model, x)| ask(siege, model, x))
        .collect();
    move |connection, number| {
        // Two in a row of each, one for each isolation.
        let at = number as usize / 2 % asks.len();
        asks[at](connection, number)
    }
}

#[test]
fn a1_guests_that_never_end_are_stopped_at_their_deadline() {
    let mut siege = Siege::lay("a1", &[NO_BREAKER]);
    siege.arm(DEADLINE_MS, 64);
    let shot = ask_each(
        &siege,
        &[
            ("chameleon", &[Misdeed::Loop.input()]),
            ("chameleon", &[Misdeed::LoopAfterwards.input()]),
            ("chameleon", &[0.0; ELEMENTS_THAT_LOOP]),
        ],
    );
    siege.attack(
        &Attack {
            id: "A1",
            what: "loops in predict, in its clean-up (post-return) and while it is handed its input (realloc); its deadline is 50 ms",
            times: [60, 10_000],
            must: &["504 deadline_exceeded"],
            may: &[BUSY],
            ..Attack::default()
        },
        shot,
    );
}

#[test]
fn a2_ten_tenants_that_loop_leave_an_eleventh_its_throughput() {
    let mut siege = Siege::lay("a2", &[NO_BREAKER]);
    let loopers: Vec<Tenant> = (0..10)
        .map(|number| {
            let tenant = siege.server.tenant(&format!("looper-{number}"));
            let parts = foretell_tests::guests::chameleon()
                .runtime(json!({"deadline_ms": 1_000, "memory_mib": 64}));
            tenant.push("chameleon", "1", &parts).is(201);
            tenant
        })
        .collect();
    let length = Duration::from_secs(if long() { 20 } else { 3 });
    let load = |target: Target, request, connections, length| {
        Load {
            request,
            target,
            connections,
            length,
        }
        .closed()
    };
    let target = siege.target(&siege.neighbour);
    let honest = target.post("/api/predict/honest", r#"{"x":0.5}"#);
    let neighbour = || load(target.clone(), honest.clone(), 1, length);

    let before = siege.server.resident();
    siege.server.forget_peak();
    let solo = neighbour();
    let (beside, came) = thread::scope(|scope| {
        let attacks: Vec<_> = loopers
            .iter()
            .map(|looper| {
                let target = siege.target(looper);
                let path = "/v2/models/chameleon/infer";
                let request =
                    target.post(path, &infer_request(&[Misdeed::Loop.input()]).to_string());
                scope.spawn(move || load(target, request, 1, length + Duration::from_secs(1)))
            })
            .collect();
        let beside = neighbour();
        let came: Vec<_> = attacks.into_iter().map(|one| one.join().unwrap()).collect();
        (beside, came)
    });
    let after = siege.server.resident();
    let mut counts = std::collections::BTreeMap::new();
    for (label, count) in came.iter().flat_map(|seen| &seen.counts) {
        *counts.entry(label.clone()).or_default() += *count;
    }
    let share = beside.goodput() / solo.goodput();
    siege.rows.add(&Row {
        id: "A2".into(),
        what: "guests of ten tenants loop at once; throughput of an eleventh on one connection"
            .into(),
        thrown: counts.values().sum(),
        came: counts.clone(),
        answered_p99_ms: None,
        neighbour: Some(super::rows::Neighbour::of(
            &solo.served,
            &beside.served,
            beside.refused.count() as u64 + beside.lost,
        )),
        resident_mib: [before.now >> 20, after.peak >> 20, after.now >> 20],
        figures: [
            ("solo".to_owned(), format!("{:.0}/s", solo.goodput())),
            (
                "beside them".to_owned(),
                format!("{:.0}/s ({:.0} %)", beside.goodput(), share * 100.0),
            ),
        ]
        .into(),
    });
    siege.is_unharmed(0, "A2");
    assert_eq!(
        (beside.refused.count(), beside.lost),
        (0, 0),
        "{:?}",
        beside.counts
    );
    assert!(counts.contains_key("504 deadline_exceeded"), "{counts:?}");
    for label in counts.keys() {
        assert!(
            ["504 deadline_exceeded", BUSY].contains(&label.as_str()),
            "{counts:?}"
        );
    }
    // Far below what it should be, and above what a server would leave that let the loops take turns with it.
    assert!(share > 0.2, "{share}");
}

#[test]
fn a3_a12_guests_that_take_memory_get_what_they_may_have_and_no_more() {
    let mut siege = Siege::lay("a3", &[NO_BREAKER]);
    siege.arm(100, 128);
    let grow = ask(&siege, "chameleon", &[Misdeed::Grow.input()]);
    siege.attack(
        &Attack {
            id: "A3",
            what: "grows its memory until it gets no more",
            times: [100, 10_000],
            must: &["500 memory_limit"],
            may: &[BUSY, "504 deadline_exceeded"],
            ..Attack::default()
        },
        grow,
    );
    let fill = ask(&siege, "guest", &[FILL]);
    siege.attack(
        &Attack {
            id: "A3",
            what: "fills all of its 128 MiB, from eight connections at once",
            times: [60, 2_000],
            connections: 8,
            must: &["504 deadline_exceeded"],
            may: &[BUSY],
            // Its tenant has half of the threads; a slot keeps some of it until it is used again.
            peak_mib: 4 * 128,
        },
        fill,
    );
    let fill = ask(&siege, "guest", &[FILL]);
    siege.attack(
        &Attack {
            id: "A12",
            what: "fills 128 MiB in one operation, again and again, beyond its deadline",
            times: [30, 2_000],
            must: &["504 deadline_exceeded"],
            may: &[BUSY],
            peak_mib: 4 * 128,
            ..Attack::default()
        },
        fill,
    );
}

#[test]
fn a5_guests_that_use_up_their_stack_end_alone() {
    let mut siege = Siege::lay("a5", &[NO_BREAKER]);
    siege.arm(1_000, 64);
    let shot = ask_each(
        &siege,
        &[
            ("chameleon", &[Misdeed::Recurse.input()]),
            ("chameleon", &[Misdeed::RecurseLogging.input()]),
            ("guest", &[RECURSE_WIDE]),
        ],
    );
    siege.attack(
        &Attack {
            id: "A5",
            what: "recurses without end: in small frames, in frames of a kilobyte, and calling the host at the stack's edge",
            times: [600, 30_000],
            must: &["500 stack_overflow"],
            may: &[BUSY],
            ..Attack::default()
        },
        shot,
    );
}

#[test]
fn a6_guests_that_lie_about_their_answer_break_their_contract_and_nothing_else() {
    let mut siege = Siege::lay("a6", &[NO_BREAKER]);
    siege.arm(1_000, 64);
    let lies = [
        Misdeed::HugeLength,
        Misdeed::WildPointer,
        Misdeed::WildText,
        Misdeed::WildResult,
        Misdeed::Misaligned,
        Misdeed::BadUtf8,
        Misdeed::BadDiscriminant,
        Misdeed::BadResult,
        Misdeed::TooFewOutputs,
        Misdeed::TooManyOutputs,
        Misdeed::WrongRank,
        Misdeed::WrongDatatype,
        Misdeed::WrongLength,
    ]
    .map(|misdeed| [misdeed.input(), 1.0]);
    let mut lies: Vec<(&str, &[f64])> = lies.iter().map(|x| ("chameleon", &x[..])).collect();
    lies.push(("chameleon", &[0.0; ELEMENTS_OUT_OF_MEMORY]));
    let shot = ask_each(&siege, &lies);
    siege.attack(
        &Attack {
            id: "A6",
            what: "lies in 14 ways about its answer: a list of 2^32 - 1, pointers out of its memory, no UTF-8, another shape",
            times: [280, 10_000],
            must: &["500 plugin_contract"],
            may: &[BUSY],
            ..Attack::default()
        },
        shot,
    );
    let nan = ask(&siege, "chameleon", &[Misdeed::OddNan.input()]);
    siege.attack(
        &Attack {
            id: "A6",
            what: "answers with a NaN that is not the canonical one",
            times: [100, 1_000],
            must: &["200"],
            ..Attack::default()
        },
        nan,
    );
}

#[test]
fn a7_a_version_that_always_traps_is_suspended_and_gets_another_chance() {
    let mut siege = Siege::lay("a7", &[("FORETELL_SANDBOX__SUSPEND_FOR", "1s")]);
    siege.arm(1_000, 64);
    let target = siege.target(&siege.attacker);
    let [trap, trap_reused] = both(&target, "chameleon", &[Misdeed::Trap.input()]);
    let [good, good_reused] = both(&target, "chameleon", &[0.0]);

    // One by one, so that the count is exact.
    let mut connection = Connection::new(target);
    for number in 1..=20 {
        let reply = connection.exchange(&trap).unwrap();
        assert_eq!(reply.label(), "500 plugin_trapped", "trap {number}");
    }
    let suspended = connection.exchange(&good).unwrap();
    assert_eq!(suspended.label(), "503 model_suspended");
    assert!(suspended.has_retry_after);
    until("the pause to end", || {
        let reply = connection.exchange(&good).unwrap();
        assert!(
            ["200", "503 model_suspended"].contains(&reply.label().as_str()),
            "{reply:?}"
        );
        (reply.status == 200).then_some(())
    });

    siege.attack(
        &Attack {
            id: "A7",
            what: "traps on every call; suspended after 20 in a row (here for 1 s), then one call in each pause",
            times: [500, 20_000],
            must: &["500 plugin_trapped", "503 model_suspended"],
            may: &[BUSY],
            ..Attack::default()
        },
        |connection, _| label(connection.exchange(&trap)),
    );
    siege.attack(
        &Attack {
            id: "A7",
            what: "traps on every third call; never suspended",
            times: [300, 10_000],
            // Side by side, the order in which calls end is nobody's.
            connections: 1,
            must: &["500 plugin_trapped", "200"],
            may: &[BUSY],
            ..Attack::default()
        },
        |connection, number| {
            let request = if number % 3 == 0 {
                &trap_reused
            } else {
                &good_reused
            };
            label(connection.exchange(request))
        },
    );
    // A trap in `start` never gets as far as a prediction.
    let start = guests::with("(func $start (unreachable)) (start $start)", 2);
    let client = siege.attacker.clone();
    siege.attack(
        &Attack {
            id: "A7",
            what: "traps in its start function, at the upload",
            times: [5, 100],
            connections: 1,
            must: &["422 load_failed"],
            ..Attack::default()
        },
        |_, _| {
            super::siege::upload_label(&client.push("start", "1", &Parts::plugin(start.clone())))
        },
    );
}

#[test]
fn a11_callers_that_hang_up_in_mid_call_cost_nobody_anything() {
    let mut siege = Siege::lay("a11", &[NO_BREAKER]);
    siege.arm(DEADLINE_MS, 64);
    let target = siege.target(&siege.attacker);
    let cut: Vec<_> = [
        ("chameleon", &[Misdeed::Loop.input(), 0.0]),
        ("guest", &[WORK, 2_000.0]),
        ("guest", &[0.0, 0.0]),
    ]
    .into_iter()
    .flat_map(|(model, x)| both(&target, model, x))
    .collect();
    let sound = both(&target, "guest", &[0.0]);
    siege.attack(
        &Attack {
            id: "A11",
            what: "hangs up in the middle of a call, after 0 to 9 ms; each tenth call is waited for",
            times: [300, 10_000],
            connections: 4,
            must: &["hung up", "200"],
            may: &[BUSY, "429 rate_limited"],
            ..Attack::default()
        },
        |connection, number| {
            if number % 10 == 0 {
                return label(connection.exchange(&sound[number as usize / 10 % 2]));
            }
            let mut stream = target.connect().unwrap();
            stream.write_all(&cut[number as usize % cut.len()]).unwrap();
            thread::park_timeout(Duration::from_millis(number % 10));
            "hung up".to_owned()
        },
    );
    // Whatever the calls held is given back: as many as the tenant may have are answered at once.
    let mut connection = Connection::new(target);
    until("everything to be given back", || {
        let replies: Vec<_> = sound
            .iter()
            .map(|request| connection.exchange(request).unwrap().status)
            .collect();
        (replies == [200, 200]).then_some(())
    });
}
