//! Where predictions run, and what neighbours feel of each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_engine::testkit::{self, Misdeed};
use foretell_types::run::{RunError, RunOutcome};

use crate::support::{Host, limits, reuse, values, within};

/// Waits until a call that never ends has an instance.
async fn until_it_runs(host: &Host, mut looping: impl Future<Output = RunOutcome> + Unpin) {
    while host.engine.stats().live_instances == 0 {
        tokio::select! {
            biased;
            _ = &mut looping => panic!("it loops"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_are_served_while_guests_of_ten_tenants_loop() {
    let host = Arc::new(Host::new());
    let mut loops = Vec::new();
    for name in 0..10 {
        let version = host
            .push(&format!("looper-{name}"), &testkit::chameleon())
            .await;
        let host = Arc::clone(&host);
        loops.push(tokio::spawn(async move {
            let mut ended = Vec::new();
            for _ in 0..3 {
                ended.push(
                    host.run(&version, &[Misdeed::Loop.input()], within(400))
                        .await
                        .result
                        .unwrap_err(),
                );
            }
            ended
        }));
    }
    let neighbour = host.push("neighbour", &testkit::chameleon()).await;
    for _ in 0..2_000 {
        assert_eq!(
            host.call(&neighbour, &[0.0, 1.0]).await.unwrap(),
            [0.0, 1.0]
        );
    }
    // A neighbour whose calls are long enough for a lane finds a place there, too.
    for _ in 0..20 {
        let x = [Misdeed::Spin.input(), 10_000.0];
        assert_eq!(
            host.run(&neighbour, &x, limits())
                .await
                .result
                .map(values)
                .unwrap(),
            x
        );
    }
    for ended in loops {
        for error in ended.await.unwrap() {
            assert!(
                matches!(
                    error,
                    RunError::Deadline { .. } | RunError::Overloaded { .. }
                ),
                "{error}"
            );
        }
    }
    assert_eq!(host.engine.stats().lane_queue, 0);
}

#[tokio::test]
async fn what_nobody_waits_for_is_run_beside_all_else_and_its_deadline_is_processor_time() {
    let host = Arc::new(Host::new());
    let version = host.push("acme", &testkit::chameleon()).await;
    host.call(&version, &[0.0]).await.unwrap();
    let aside = |x: Vec<f64>, deadline_ms| {
        let (host, version) = (Arc::clone(&host), version.clone());
        tokio::spawn(async move { host.run_aside(&version, &x, within(deadline_ms)).await })
    };
    let looping = aside(vec![Misdeed::Loop.input()], 300);
    // Behind the one that loops: there is one thread for all of them.
    let behind = aside(vec![0.0, 1.0], 300);
    for _ in 0..200 {
        assert_eq!(host.call(&version, &[0.0, 1.0]).await.unwrap(), [0.0, 1.0]);
    }
    let ended = looping.await.unwrap();
    assert!(
        matches!(ended.result, Err(RunError::Deadline { .. })),
        "{:?}",
        ended.result
    );
    // In steps of a tick, however long others held the processor.
    let computed = ended.usage.compute;
    assert!(
        computed >= Duration::from_millis(300) && computed < Duration::from_millis(600),
        "{computed:?}"
    );
    let answered = behind.await.unwrap();
    assert_eq!(answered.result.map(values).unwrap(), [0.0, 1.0]);
}

#[tokio::test]
async fn a_call_that_overruns_its_place_is_run_again_on_a_lane_and_answers() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    // Measured, and from here on in place.
    host.call(&version, &[0.0]).await.unwrap();
    let x = [Misdeed::Spin.input(), 50_000.0];
    let outcome = host.run(&version, &x, limits()).await;
    assert_eq!(outcome.result.map(values).unwrap(), x);
    assert!(
        outcome.usage.compute > Duration::from_millis(2),
        "{:?}",
        outcome.usage
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_long_call_leaves_the_async_thread_free() {
    let host = Arc::new(Host::new());
    let version = host.push("acme", &testkit::chameleon()).await;
    let looping = {
        let (host, version) = (Arc::clone(&host), version.clone());
        tokio::spawn(async move {
            host.run(&version, &[Misdeed::Loop.input()], within(2_000))
                .await
        })
    };
    let neighbour = host.push("neighbour", &testkit::echo()).await;
    let mut served = 0;
    while !looping.is_finished() {
        host.call(&neighbour, &[1.0]).await.unwrap();
        served += 1;
        tokio::task::yield_now().await;
    }
    assert!(served > 10, "{served} calls beside a loop of 2 s");
    assert!(matches!(
        looping.await.unwrap().result,
        Err(RunError::Deadline { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_finds_no_lane_in_time_is_refused_unexecuted() {
    let host = Arc::new(Host::with(|config| {
        config.lanes.threads = 1;
        config.lanes.threads_per_tenant = 1;
        config.lanes.queue_deadline = Duration::from_millis(100);
    }));
    let version = host.push("acme", &testkit::chameleon()).await;
    // Known to be costly from here on.
    assert!(
        host.run(&version, &[Misdeed::Loop.input()], within(50))
            .await
            .result
            .is_err()
    );
    let looping = {
        let (host, version) = (Arc::clone(&host), version.clone());
        tokio::spawn(async move {
            host.run(&version, &[Misdeed::Loop.input()], within(3_000))
                .await
        })
    };
    let began = Instant::now();
    loop {
        match host.call(&version, &[0.0]).await {
            Err(RunError::Overloaded { waited }) => {
                assert!(waited >= Duration::from_millis(100), "{waited:?}");
                break;
            }
            other => assert!(
                began.elapsed() < Duration::from_secs(3),
                "never overloaded: {other:?}"
            ),
        }
    }
    assert_eq!(host.engine.stats().lane_queue, 0, "it has left the queue");
    assert!(matches!(
        looping.await.unwrap().result,
        Err(RunError::Deadline { .. })
    ));
    assert_eq!(host.call(&version, &[0.0]).await.unwrap(), [0.0]);
}

#[tokio::test]
async fn a_caller_that_hangs_up_ends_its_guest_long_before_the_deadline() {
    let host = Host::with(|config| {
        config.lanes.threads = 1;
        config.lanes.queue_deadline = Duration::from_secs(30);
    });
    let version = host.push("acme", &testkit::chameleon()).await;
    for _ in 0..3 {
        let x = [Misdeed::Loop.input()];
        let mut looping = Box::pin(host.run(&version, &x, within(3_600_000)));
        until_it_runs(&host, &mut looping).await;
        drop(looping);
        // The only thread of the lane is free again.
        let x = [Misdeed::Spin.input(), 50_000.0];
        let outcome = host.run(&version, &x, within(60_000)).await;
        assert_eq!(outcome.result.map(values).unwrap(), x);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait_their_turn() {
    let host = Arc::new(Host::with(|config| {
        config.lanes.threads = 2;
        config.pool.instances = 6;
        config.lanes.queue_deadline = Duration::from_secs(30);
    }));
    let version = host.push("acme", &testkit::chameleon()).await;
    let calls: Vec<_> = (0..300)
        .map(|call| {
            let (host, version) = (Arc::clone(&host), version.clone());
            let limits = if call % 2 == 0 { limits() } else { reuse() };
            tokio::spawn(async move {
                host.run(&version, &[Misdeed::Spin.input(), 50.0], limits)
                    .await
                    .result
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_deadline_shorter_than_the_budget_in_place_is_kept_in_place() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    host.call(&version, &[0.0]).await.unwrap();
    let error = host
        .run(&version, &[Misdeed::Loop.input()], within(1))
        .await
        .result
        .unwrap_err();
    assert_eq!(
        error,
        RunError::Deadline {
            deadline: Duration::from_millis(1)
        }
    );
}

#[tokio::test]
async fn stats_tell_how_memory_is_reset() {
    let host = Host::new();
    assert!(["pagemap_scan", "madvise"].contains(&host.engine.stats().reset_method));
}

#[tokio::test]
async fn an_engine_that_stops_ends_its_guests_long_before_their_deadline_and_runs_no_more() {
    let host = Arc::new(Host::new());
    let version = host.push("acme", &testkit::chameleon()).await;
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let (host, version) = (host.clone(), version.clone());
            let x = [Misdeed::Loop.input()];
            tokio::spawn(async move { host.run(&version, &x, within(3_600_000)).await.result })
        })
        .collect();
    while host.engine.stats().live_instances == 0 {
        tokio::task::yield_now().await;
    }
    host.engine.stop();
    let stopped = |error: RunError| {
        assert!(
            matches!(&error, RunError::Unavailable { cause, .. } if cause.contains("stopping")),
            "{error}"
        );
    };
    for call in calls {
        stopped(call.await.unwrap().unwrap_err());
    }
    stopped(host.call(&version, &[0.0]).await.unwrap_err());
    assert_eq!(host.engine.stats().live_instances, 0);
}

#[tokio::test]
async fn dropping_an_engine_does_not_wait_for_a_guests_deadline() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    let x = [Misdeed::Loop.input()];
    let mut looping = Box::pin(host.run(&version, &x, within(3_600_000)));
    until_it_runs(&host, &mut looping).await;
    drop(looping);
    let since = Instant::now();
    drop(host);
    assert!(since.elapsed() < Duration::from_secs(60));
}
