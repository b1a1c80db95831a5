//! Every misdeed of a guest has an answer of its own, within its deadline, in a fresh instance and in one for reuse.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foretell_engine::testkit::{self, ELEMENTS_OUT_OF_MEMORY, ELEMENTS_THAT_LOOP, Misdeed};
use foretell_types::ErrorKind;
use foretell_types::run::{Isolation, RunError, RunLimits};
use foretell_types::tensor::Elements;

use crate::support::{Host, Version, limits, reuse, within};

/// The deadline of guests that do not end by themselves.
const DEADLINE_MS: u64 = 300;
/// What its end may be late here, where a busy machine is no failure. The figure itself is the bench's affair.
const GRACE: Duration = Duration::from_secs(5);

async fn check(host: &Host, version: &Version, x: &[f64], kind: ErrorKind, text: &str) {
    for isolation in [Isolation::Fresh, Isolation::Reuse] {
        // Only a guest that does not end is measured by its deadline; others have time on any machine.
        let ends = kind != ErrorKind::DeadlineExceeded;
        let limits = RunLimits {
            isolation,
            ..if ends { limits() } else { within(DEADLINE_MS) }
        };
        let began = Instant::now();
        let outcome = host.run(version, x, limits).await;
        let took = began.elapsed() - outcome.usage.queued.min(began.elapsed());
        let error = outcome.result.expect_err("a misdeed has no outputs");
        assert_eq!(error.kind(), kind, "{x:?} {isolation:?}: {error}");
        assert!(
            error.to_string().contains(text),
            "{x:?} {isolation:?}: {error} lacks {text}"
        );
        assert!(
            took < limits.deadline + GRACE,
            "{x:?} {isolation:?}: took {took:?}"
        );
    }
}

async fn check_all(cases: &[(Misdeed, ErrorKind, &str)]) {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    for (misdeed, kind, text) in cases {
        check(&host, &version, &[misdeed.input()], *kind, text).await;
        // Whatever it did, the next call is served.
        assert_eq!(
            host.call(&version, &[0.0, 1.0]).await.unwrap(),
            [0.0, 1.0],
            "after {misdeed:?}"
        );
    }
}

#[tokio::test]
async fn a_guest_that_does_not_end_is_stopped_at_its_deadline() {
    check_all(&[
        (
            Misdeed::Loop,
            ErrorKind::DeadlineExceeded,
            "did not answer within 300 ms",
        ),
        (
            Misdeed::Fill,
            ErrorKind::DeadlineExceeded,
            "did not answer within 300 ms",
        ),
        (
            Misdeed::LoopAfterwards,
            ErrorKind::DeadlineExceeded,
            "did not answer within 300 ms",
        ),
    ])
    .await;
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    check(
        &host,
        &version,
        &[0.0; ELEMENTS_THAT_LOOP],
        ErrorKind::DeadlineExceeded,
        "300 ms",
    )
    .await;
}

#[tokio::test]
async fn a_guest_that_fails_is_told_apart_by_how() {
    check_all(&[
        (
            Misdeed::Trap,
            ErrorKind::PluginTrapped,
            "wasm `unreachable` instruction executed",
        ),
        (Misdeed::Grow, ErrorKind::MemoryLimit, "67108864 bytes"),
        (Misdeed::Recurse, ErrorKind::StackOverflow, "stack"),
        (Misdeed::RecurseLogging, ErrorKind::StackOverflow, "stack"),
        (Misdeed::Refuse, ErrorKind::PluginRefused, "on purpose"),
        (Misdeed::Fail, ErrorKind::PluginTrapped, "on purpose"),
    ])
    .await;
}

#[tokio::test]
async fn a_guest_that_lies_about_its_answer_breaks_the_contract() {
    check_all(&[
        (
            Misdeed::WrongLength,
            ErrorKind::PluginContract,
            "the shape holds 1 elements, the data 0",
        ),
        (
            Misdeed::WildPointer,
            ErrorKind::PluginContract,
            "out of bounds",
        ),
        (Misdeed::HugeLength, ErrorKind::PluginContract, ""),
        (Misdeed::BadUtf8, ErrorKind::PluginContract, "utf-8"),
        (
            Misdeed::BadDiscriminant,
            ErrorKind::PluginContract,
            "discriminant",
        ),
        (Misdeed::Misaligned, ErrorKind::PluginContract, "aligned"),
        (
            Misdeed::WildText,
            ErrorKind::PluginContract,
            "out of bounds",
        ),
        (
            Misdeed::BadResult,
            ErrorKind::PluginContract,
            "discriminant",
        ),
        (
            Misdeed::WildResult,
            ErrorKind::PluginContract,
            "out of bounds",
        ),
    ])
    .await;
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    check(
        &host,
        &version,
        &[0.0; ELEMENTS_OUT_OF_MEMORY],
        ErrorKind::PluginContract,
        "realloc return",
    )
    .await;
}

#[tokio::test]
async fn outputs_of_another_count_rank_or_datatype_differ_from_the_signature() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    for (misdeed, text) in [
        (Misdeed::TooFewOutputs, "0 outputs are given"),
        (Misdeed::TooManyOutputs, "2 outputs are given"),
        (
            Misdeed::WrongRank,
            "output `y` has shape [1, 1], declared is [-1]",
        ),
        (
            Misdeed::WrongDatatype,
            "output `y` has datatype FP32, declared is FP64",
        ),
    ] {
        let outputs = host
            .run(&version, &[misdeed.input()], limits())
            .await
            .result
            .unwrap();
        let difference = testkit::signature().check_outputs(&outputs, 1).unwrap_err();
        assert!(difference.contains(text), "{misdeed:?}: {difference}");
    }
}

#[tokio::test]
async fn a_refusal_says_where_the_input_is_at_fault() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    assert_eq!(
        host.call(&version, &[Misdeed::Refuse.input()]).await,
        Err(RunError::Refused {
            message: "on purpose".into(),
            input: 0,
            row: Some(0),
            column: None
        })
    );
}

#[tokio::test]
async fn every_nan_leaves_the_host_as_the_same_one() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    let outputs = host
        .run(&version, &[Misdeed::OddNan.input()], limits())
        .await
        .result
        .unwrap();
    let Elements::Fp64(values) = outputs[0].elements() else {
        panic!("not FP64")
    };
    assert_eq!(values[0].to_bits(), 0x7ff8_0000_0000_0000);
}

#[tokio::test]
async fn a_guest_that_does_without_refused_memory_is_served_and_not_kept() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    let x = [Misdeed::AskForMemory.input()];
    assert_eq!(
        host.run(&version, &x, reuse())
            .await
            .result
            .map(crate::support::values)
            .unwrap(),
        x
    );
    assert_eq!(
        host.engine.stats().live_instances,
        0,
        "it was refused memory, so it is not kept"
    );
}

#[tokio::test]
async fn an_instance_that_needs_more_than_the_versions_limit_is_refused_memory() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon_of(32)).await;
    let limits = RunLimits {
        memory_bytes: 1 << 20,
        ..limits()
    };
    let error = host.run(&version, &[0.0], limits).await.result.unwrap_err();
    assert_eq!(
        error,
        RunError::Memory {
            limit_bytes: 1 << 20
        }
    );
}

#[tokio::test]
async fn results_beyond_what_a_guest_may_hand_over_are_refused() {
    let host = Host::with(|config| config.guest.result_bytes = 4_096);
    let version = host.push("acme", &testkit::echo()).await;
    assert_eq!(host.call(&version, &[1.0; 100]).await.unwrap().len(), 100);
    let error = host.call(&version, &[1.0; 1_000]).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Contract(text) if text.contains("too much data")),
        "{error}"
    );
}

/// Counts what plugins log, and how long the longest line is.
mod log {
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the lines; panics at the first if it has none to keep them in.
    #[derive(Clone, Default)]
    pub(super) struct Lines(pub(super) Option<Arc<Mutex<Vec<String>>>>);

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                let lines = self.0.as_ref().expect("a panic on purpose");
                lines.lock().unwrap().push(format!("{value:?}"));
            }
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "foretell::plugin"
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
}

/// Every call stays on the thread of the test, where its subscriber listens.
fn in_place() -> Host {
    Host::with(|config| {
        config.lanes.inline_cost = Duration::from_secs(10);
        config.lanes.inline_budget = Duration::from_secs(10);
    })
}

#[tokio::test]
async fn a_flood_of_log_lines_is_capped_cleaned_and_counted() {
    let host = in_place();
    let version = host.push("acme", &testkit::chameleon()).await;
    // Measured, and from here on in place: on this thread, whose log is read.
    host.call(&version, &[0.0]).await.unwrap();
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let listening = tracing::subscriber::set_default(log::Lines(Some(lines.clone())));
    host.call(&version, &[Misdeed::LogFlood.input()])
        .await
        .unwrap();
    drop(listening);
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100], "the plugin wrote more log than a call may");
    let expected = "on purpose\u{fffd}[31m\u{fffd}forged line";
    assert!(
        lines[..100].iter().all(|line| line == expected),
        "{}",
        lines[0]
    );
}

#[tokio::test]
async fn a_panic_within_an_import_ends_that_call_and_nothing_else() {
    let host = in_place();
    let version = host.push("acme", &testkit::chameleon()).await;
    host.call(&version, &[0.0]).await.unwrap();
    for isolation in [Isolation::Fresh, Isolation::Reuse] {
        let limits = RunLimits {
            isolation,
            ..limits()
        };
        let panicking = tracing::subscriber::set_default(log::Lines(None));
        let outcome = host
            .run(&version, &[Misdeed::LogFlood.input()], limits)
            .await;
        drop(panicking);
        let error = outcome.result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("a panic on purpose"), "{error}");
        assert_eq!(host.call(&version, &[0.0, 1.0]).await.unwrap(), [0.0, 1.0]);
    }
    assert_eq!(host.engine.stats().live_instances, 0);
}
