//! Nothing that one call leaves behind is there for the next, unless it is meant to be; and never for another tenant.

use std::time::Duration;

use foretell_engine::testkit::{self, Misdeed};
use foretell_types::run::RunError;

use crate::support::{Host, limits, reuse, values};

const COUNT: [f64; 1] = [Misdeed::Count.input()];

#[tokio::test]
async fn ten_thousand_calls_each_find_a_fresh_instance() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    for call in 0..10_000 {
        assert_eq!(
            host.call(&version, &COUNT).await.unwrap(),
            [1.0],
            "call {call}"
        );
    }
    assert_eq!(host.engine.stats().live_instances, 0);
}

#[tokio::test]
async fn a_reused_instance_serves_its_share_and_is_replaced() {
    let host = Host::with(|config| config.pool.reuse_calls = 3);
    let version = host.push("acme", &testkit::chameleon()).await;
    let mut counts = Vec::new();
    for _ in 0..7 {
        counts.extend(
            host.run(&version, &COUNT, reuse())
                .await
                .result
                .map(values)
                .unwrap(),
        );
    }
    assert_eq!(counts, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    assert_eq!(host.engine.stats().live_instances, 1);
}

#[tokio::test]
async fn a_reused_instance_is_thrown_away_after_a_fault_and_kept_after_a_refusal() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    for (misdeed, counted) in [
        (Misdeed::Refuse, 3.0),
        (Misdeed::Fail, 3.0),
        (Misdeed::Trap, 1.0),
        (Misdeed::WrongLength, 1.0),
        (Misdeed::Recurse, 1.0),
        (Misdeed::Grow, 1.0),
    ] {
        host.engine_forget(&version);
        assert_eq!(
            host.run(&version, &COUNT, reuse())
                .await
                .result
                .map(values)
                .unwrap(),
            [1.0]
        );
        assert!(
            host.run(&version, &[misdeed.input()], reuse())
                .await
                .result
                .is_err()
        );
        let after = host
            .run(&version, &COUNT, reuse())
            .await
            .result
            .map(values)
            .unwrap();
        assert_eq!(after, [counted], "after {misdeed:?}");
    }
}

#[tokio::test]
async fn what_a_call_remembers_is_gone_for_the_next_fresh_one_and_for_every_other_tenant() {
    let host = Host::new();
    let acme = host.push("acme", &testkit::chameleon()).await;
    let bob = host.push("bob", &testkit::chameleon()).await;
    assert_eq!(acme.digest, bob.digest, "the very same version, twice");
    let (remember, recall) = ([Misdeed::Remember.input(), 42.0], [Misdeed::Recall.input()]);

    host.run(&acme, &remember, limits()).await.result.unwrap();
    assert_eq!(
        host.run(&acme, &recall, limits())
            .await
            .result
            .map(values)
            .unwrap(),
        [0.0]
    );

    host.run(&acme, &remember, reuse()).await.result.unwrap();
    assert_eq!(
        host.run(&acme, &recall, reuse())
            .await
            .result
            .map(values)
            .unwrap(),
        [42.0],
        "the positive control"
    );
    for _ in 0..1_000 {
        assert_eq!(
            host.run(&bob, &recall, reuse())
                .await
                .result
                .map(values)
                .unwrap(),
            [0.0]
        );
        assert_eq!(
            host.run(&bob, &recall, limits())
                .await
                .result
                .map(values)
                .unwrap(),
            [0.0]
        );
    }
    assert_eq!(
        host.run(&acme, &recall, reuse())
            .await
            .result
            .map(values)
            .unwrap(),
        [42.0]
    );
}

#[tokio::test]
async fn idle_instances_never_take_every_place_and_stale_ones_make_room() {
    for (stale_after, count) in [(Duration::from_secs(60), 1.0), (Duration::ZERO, 2.0)] {
        let host = Host::with(|config| {
            config.pool.max_idle = 2;
            config.pool.stale_after = stale_after;
        });
        let mut versions = Vec::new();
        for pages in 2..5 {
            versions.push(host.push("acme", &testkit::chameleon_of(pages)).await);
        }
        for version in &versions {
            host.run(version, &COUNT, reuse()).await.result.unwrap();
        }
        // The first two took the places; the third was kept only if they made room.
        assert!(host.engine.stats().live_instances <= 2);
        let third = &versions[2];
        assert_eq!(
            host.run(third, &COUNT, reuse())
                .await
                .result
                .map(values)
                .unwrap(),
            [count]
        );
    }
}

#[tokio::test]
async fn a_forgotten_version_ends_its_instances_and_is_gone_with_its_blobs() {
    let host = Host::new();
    let version = host.push("acme", &testkit::chameleon()).await;
    host.run(&version, &COUNT, reuse()).await.result.unwrap();
    assert_eq!(host.engine.stats().live_instances, 1);
    host.engine_forget(&version);
    assert_eq!(
        (
            host.engine.stats().live_instances,
            host.engine.stats().loaded_versions
        ),
        (0, 0)
    );
    host.erase(&version).await;
    assert!(matches!(
        host.call(&version, &[0.0]).await,
        Err(RunError::Unavailable { .. })
    ));
}
