//! Memory of all guests together: who waits for it, and who leaves some to others.

use std::sync::Arc;
use std::time::Duration;

use foretell_engine::config::LaneConfig;
use foretell_engine::testkit::{self, Misdeed};
use foretell_types::run::{RunError, RunLimits};

use crate::support::{Host, limits, reuse, values, within};

const MIB: u64 = 1 << 20;
/// Pages of 64 KiB: instances of 6 MiB.
const PAGES: u32 = 96;
const OF_ONE: u64 = 6 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_that_finds_no_memory_waits_for_it() {
    let host = Arc::new(Host::with(|config| {
        config.pool.total_memory_bytes = 8 * MIB
    }));
    let version = host.push("acme", &testkit::chameleon_of(PAGES)).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let (host, version) = (host.clone(), version.clone());
            let x = [Misdeed::Spin.input(), 20_000.0];
            tokio::spawn(async move { host.run(&version, &x, limits()).await.result })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(host.engine.stats().guest_bytes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_that_finds_no_memory_within_the_patience_is_told_to_come_again() {
    let host = Arc::new(Host::with(|config| {
        config.pool.total_memory_bytes = 8 * MIB;
        config.lanes.queue_deadline = Duration::from_millis(100);
    }));
    let version = host.push("acme", &testkit::chameleon_of(PAGES)).await;
    let looping = {
        let (host, version) = (host.clone(), version.clone());
        let x = [Misdeed::Loop.input()];
        tokio::spawn(async move { host.run(&version, &x, within(2_000)).await.result })
    };
    while host.engine.stats().guest_bytes == 0 {
        tokio::task::yield_now().await;
    }
    let refused = host.call(&version, &[0.0]).await.unwrap_err();
    assert!(matches!(refused, RunError::Overloaded { .. }), "{refused}");
    assert!(matches!(
        looping.await.unwrap(),
        Err(RunError::Deadline { .. })
    ));
    host.call(&version, &[0.0]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_tenant_holds_memory_one_tenant_keeps_to_its_part() {
    let host = Arc::new(Host::with(|config| {
        config.pool.total_memory_bytes = 60 * MIB;
        config.lanes = LaneConfig::of(16);
    }));
    let looping = |version: &crate::support::Version, deadline_ms| {
        let (host, version) = (host.clone(), version.clone());
        let limits = RunLimits {
            memory_bytes: OF_ONE,
            ..within(deadline_ms)
        };
        tokio::spawn(async move {
            let x = [Misdeed::Loop.input()];
            host.run(&version, &x, limits).await.result
        })
    };
    let bob = host.push("bob", &testkit::chameleon_of(PAGES)).await;
    let acme = host.push("acme", &testkit::chameleon_of(PAGES)).await;
    let held = looping(&bob, 5_000);
    while host.engine.stats().guest_bytes == 0 {
        tokio::task::yield_now().await;
    }
    let calls: Vec<_> = (0..8).map(|_| looping(&acme, 300)).collect();
    let mut most = 0;
    while calls.iter().any(|call| !call.is_finished()) {
        most = most.max(host.engine.stats().guest_bytes);
        tokio::task::yield_now().await;
    }
    assert!(!held.is_finished(), "the other one was there all the time");
    assert!(most > 2 * OF_ONE, "some ran side by side");
    assert!(most <= OF_ONE + 30 * MIB, "half, and what the other holds");
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::Deadline { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_beyond_its_part_leaves_the_warm_instances_of_others_alone() {
    let host = Arc::new(Host::with(|config| {
        config.pool.total_memory_bytes = 25 * MIB;
        config.lanes = LaneConfig::of(16);
    }));
    let count = [Misdeed::Count.input()];
    let bob = host.push("bob", &testkit::chameleon_of(PAGES)).await;
    let acme = host.push("acme", &testkit::chameleon_of(PAGES)).await;
    let counted = host.run(&bob, &count, reuse()).await.result.map(values);
    assert_eq!(counted.unwrap(), [1.0]);
    let of_one = |deadline_ms| RunLimits {
        memory_bytes: OF_ONE,
        ..within(deadline_ms)
    };
    let looping = [(); 2].map(|()| {
        let (host, acme) = (host.clone(), acme.clone());
        tokio::spawn(async move {
            let x = [Misdeed::Loop.input()];
            host.run(&acme, &x, of_one(500)).await.result
        })
    });
    while host.engine.stats().guest_bytes < 3 * OF_ONE {
        tokio::task::yield_now().await;
    }
    let third = host.run(&acme, &[0.0], of_one(500)).await.result;
    assert_eq!(third.map(values).unwrap(), [0.0]);
    for call in looping {
        assert!(matches!(
            call.await.unwrap(),
            Err(RunError::Deadline { .. })
        ));
    }
    let counted = host.run(&bob, &count, reuse()).await.result.map(values);
    assert_eq!(counted.unwrap(), [2.0], "the same instance");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_memory_while_the_server_stops_hears_that_it_stops() {
    let host = Arc::new(Host::with(|config| {
        config.pool.total_memory_bytes = 8 * MIB;
        config.lanes.queue_deadline = Duration::from_secs(60);
    }));
    let version = host.push("acme", &testkit::chameleon_of(PAGES)).await;
    let looping = {
        let (host, version) = (host.clone(), version.clone());
        let x = [Misdeed::Loop.input()];
        tokio::spawn(async move { host.run(&version, &x, within(60_000)).await.result })
    };
    while host.engine.stats().guest_bytes == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = std::pin::pin!(host.call(&version, &[0.0]));
    let waits = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(waits.is_err(), "{waits:?}");
    host.engine.stop();
    let stopped = [waiting.await.map(drop), looping.await.unwrap().map(drop)];
    for result in stopped {
        assert!(
            matches!(result, Err(RunError::Unavailable { .. })),
            "{result:?}"
        );
    }
}
