//! Several predictions in one call of their guest: what each is answered, and what is never put together.

use std::sync::Arc;
use std::time::Duration;

use foretell_engine::testkit::{self, Misdeed};
use foretell_types::run::{Batched, RunError, RunOutcome};
use tokio::task::JoinHandle;

use crate::support::{Host, Version, values, within};

/// Rows of a batch, at most.
const MOST: u32 = 1_000;

/// An engine whose one thread of each lane serves one call at a time, and a version of `acme` that is measured, and short,
/// and not short enough to run in place.
async fn measured() -> (Arc<Host>, Version) {
    let host = Arc::new(Host::with(|config| {
        config.lanes.threads = 1;
        config.lanes.threads_per_tenant = 1;
        config.lanes.threads_for_unproven = 1;
        config.lanes.queue_deadline = Duration::from_secs(30);
        config.lanes.inline_cost = Duration::from_micros(1);
    }));
    let version = host.push("acme", &testkit::rows()).await;
    for _ in 0..3 {
        let alone = host.run_joined(&version, &[1.0, 2.0], MOST).await;
        assert_eq!(alone.usage.batched, Batched::Alone, "nothing else waits");
        assert_eq!(alone.result.map(values).unwrap(), [1.0, 2.0]);
    }
    (host, version)
}

/// Holds the thread of the lane until it is dropped and its deadline, a second, is over.
async fn hold(host: &Arc<Host>) -> JoinHandle<()> {
    let blocker = host.push("blocker", &testkit::chameleon()).await;
    let running = {
        let host = Arc::clone(host);
        tokio::spawn(async move {
            let ended = host
                .run(&blocker, &[Misdeed::Loop.input()], within(1_000))
                .await;
            assert!(ended.result.is_err());
        })
    };
    while host.engine.stats().live_instances == 0 {
        tokio::task::yield_now().await;
    }
    running
}

/// Asks for all of these at once, while the thread is held; what became of them.
async fn at_once(host: &Arc<Host>, calls: Vec<(Version, Vec<f64>, u32)>) -> Vec<RunOutcome> {
    let holding = hold(host).await;
    let waiting = calls.len();
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|(version, x, most)| {
            let host = Arc::clone(host);
            tokio::spawn(async move { host.run_joined(&version, &x, most).await })
        })
        .collect();
    while host.engine.stats().lane_queue < waiting {
        assert!(!holding.is_finished(), "they did not wait together");
        tokio::task::yield_now().await;
    }
    holding.await.unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// How many runs these were, and how many rows they had at most.
fn runs(outcomes: &[RunOutcome]) -> (usize, u32) {
    let sizes = outcomes
        .iter()
        .filter_map(|outcome| match outcome.usage.batched {
            Batched::First { rows, .. } => Some(rows),
            Batched::Alone => Some(1),
            Batched::Along { .. } => None,
        });
    (sizes.clone().count(), sizes.max().unwrap_or_default())
}

#[tokio::test]
async fn predictions_that_wait_are_run_together_and_each_gets_its_own_rows() {
    let (host, version) = measured().await;
    let own = |call: u32| -> Vec<f64> {
        (0..=call % 3)
            .map(|row| f64::from(10 * call + row))
            .collect()
    };
    let calls = (0..24)
        .map(|call| (version.clone(), own(call), MOST))
        .collect();
    let outcomes = at_once(&host, calls).await;
    let (count, largest) = runs(&outcomes);
    assert!(
        count < 12 && largest > 4,
        "{count} runs, {largest} rows at most"
    );
    let rows: u32 = (0..24).map(|call| call % 3 + 1).sum();
    let mut seen = 0;
    for (call, outcome) in (0..).zip(outcomes) {
        seen += match outcome.usage.batched {
            Batched::First { rows, compute } => {
                assert!(compute >= outcome.usage.compute);
                rows
            }
            Batched::Alone => call % 3 + 1,
            Batched::Along { .. } => 0,
        };
        assert_eq!(outcome.result.map(values).unwrap(), own(call));
    }
    assert_eq!(seen, rows, "every row is of one run");
}

#[tokio::test]
async fn a_prediction_that_fails_fails_alone() {
    let (host, version) = measured().await;
    let calls = (0..8)
        .map(|call| {
            let x = if call == 2 { -1.0 } else { f64::from(call) };
            (version.clone(), vec![x], MOST)
        })
        .collect();
    let outcomes = at_once(&host, calls).await;
    // Those of the batch that failed are run by themselves; the others go on together.
    let along = |outcome: &RunOutcome| matches!(outcome.usage.batched, Batched::Along { .. });
    assert!(!outcomes[..4].iter().any(along) && outcomes[4..].iter().any(along));
    for (call, outcome) in (0..).zip(outcomes) {
        match outcome.result {
            Err(RunError::Trapped(_)) => assert_eq!(call, 2),
            result => assert_eq!(result.map(values).unwrap(), [f64::from(call)]),
        }
    }
}

#[tokio::test]
async fn what_is_not_to_be_run_together_is_not() {
    let (host, version) = measured().await;
    // Equal plugins of two tenants.
    let other = host.push("globex", &testkit::rows()).await;
    host.run_joined(&other, &[1.0], MOST).await.result.unwrap();
    let calls = [&version, &other]
        .map(|version| (version.clone(), vec![1.0, 2.0, 3.0], 4))
        .into_iter()
        .chain([(version.clone(), vec![1.0, 2.0], 4)]);
    let outcomes = at_once(&host, calls.collect()).await;
    for outcome in outcomes {
        assert_eq!(
            outcome.usage.batched,
            Batched::Alone,
            "five rows, and another tenant"
        );
        outcome.result.unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_not_taken_along() {
    let (host, version) = measured().await;
    let holding = hold(&host).await;
    let tasks: Vec<_> = (0..4)
        .map(|call| {
            let (host, version) = (Arc::clone(&host), version.clone());
            tokio::spawn(async move { host.run_joined(&version, &[f64::from(call)], MOST).await })
        })
        .collect();
    while host.engine.stats().lane_queue < 4 {
        tokio::task::yield_now().await;
    }
    tasks[1].abort();
    while host.engine.stats().lane_queue > 3 {
        tokio::task::yield_now().await;
    }
    holding.await.unwrap();
    let mut rows = 0;
    for (call, task) in (0..).zip(tasks) {
        let Ok(outcome) = task.await else {
            assert_eq!(call, 1);
            continue;
        };
        rows += match outcome.usage.batched {
            Batched::First { rows, .. } => rows,
            Batched::Alone => 1,
            Batched::Along { .. } => 0,
        };
        assert_eq!(outcome.result.map(values).unwrap(), [f64::from(call)]);
    }
    assert_eq!(rows, 3);
}
