//! Answers that are given again, and those that are not. Plugins that begin with `same` are deterministic.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foretell_predict::account::MICRO;
use foretell_predict::{CacheLimits, CacheUse, Cached, Call, Limits};
use foretell_types::ErrorKind;
use foretell_types::run::{RunError, Usage};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::house::{COMPUTE, House, OPERATOR, call, on};

/// Whatever takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn house() -> (House, String) {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"same").await.unwrap();
    (house, key)
}

/// A house whose runs take longer than this test, until they are let go one by one.
async fn held_house() -> (Arc<House>, String, Arc<Semaphore>) {
    let house = House::with(Limits {
        // What who comes second waits for the first.
        default_deadline_ms: 60_000,
        ..Limits::default()
    })
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"same").await.unwrap();
    let held = Arc::new(Semaphore::new(0));
    *house.runner.held.lock().unwrap() = Some(Arc::clone(&held));
    (Arc::new(house), key, held)
}

fn with(cache: CacheUse, key: &str) -> Call {
    Call { cache, ..call(key) }
}

/// Waits until `what` holds, by letting others go on.
async fn until(what: impl Fn() -> bool) {
    let waits = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waits).await.expect("it never came to be");
}

async fn cached(house: &House, call: &Call, model: &str, x: f64) -> Cached {
    let answer = house.answer(call, model, None, x).await.unwrap();
    assert_eq!(answer.outputs[0].elements().number(0), Some(2.0 * x));
    answer.lookup.cached
}

#[tokio::test]
async fn an_equal_question_is_answered_without_a_run() {
    let (house, key) = house().await;
    let first = house.answer(&call(&key), "m", None, 4.0).await.unwrap();
    assert_eq!(
        (first.lookup.cached, first.usage.compute),
        (Cached::Miss, COMPUTE)
    );
    let second = house
        .answer(&call(&key), "m", Some("1"), 4.0)
        .await
        .unwrap();
    assert_eq!(
        (second.lookup.cached, second.usage),
        (Cached::Hit, Usage::default())
    );
    assert_eq!(second.outputs[..], first.outputs[..]);
    assert_eq!((second.rows, second.credits), (1, MICRO));
    assert_eq!(cached(&house, &call(&key), "m", 5.0).await, Cached::Miss);
    assert_eq!(house.runs(), 2);
    assert_eq!(house.predictor.under_way(), 0);
}

#[tokio::test]
async fn two_tenants_two_models_and_two_versions_never_share_an_answer() {
    let (house, key) = house().await;
    let other = house.tenant("b", &["infer", "models"]).await;
    // The same version digest for another tenant, and for another model of the same; other versions of the same tenant.
    house.push(&other, "m", "1", b"same").await.unwrap();
    house.push(&key, "m", "2", b"same but newer").await.unwrap();
    house
        .push(&key, "n", "1", b"same but another")
        .await
        .unwrap();
    house.push(&key, "o", "1", b"same").await.unwrap();
    let questions = [
        (&key, "m", "1"),
        (&other, "m", "1"),
        (&key, "m", "2"),
        (&key, "n", "1"),
        (&key, "o", "1"),
    ];
    for (round, expected) in [Cached::Miss, Cached::Hit].into_iter().enumerate() {
        for (key, model, version) in questions {
            let answer = house
                .answer(&call(key), model, Some(version), 4.0)
                .await
                .unwrap();
            assert_eq!(
                answer.lookup.cached, expected,
                "round {round}: {model} {version}"
            );
            assert_eq!(answer.target.model.as_str(), model);
            assert_eq!(answer.target.version.as_str(), version);
        }
    }
    assert_eq!(
        house.runs(),
        questions.len(),
        "each was run once, for itself"
    );
}

#[tokio::test]
async fn what_may_change_is_run_each_time() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "random", "1", b"another").await.unwrap();
    let mut upload = house.begin(&key, "excepted", "1", b"same").await.unwrap();
    let mut part = upload.part("runtime").await.unwrap();
    part.write(bytes::Bytes::from_static(br#"{"cache": false}"#))
        .await
        .unwrap();
    upload.finish_part(part).await.unwrap();
    house.manager.publish(&call(&key), upload).await.unwrap();
    for model in ["random", "excepted"] {
        for _ in 0..2 {
            assert_eq!(
                cached(&house, &call(&key), model, 1.0).await,
                Cached::Bypass
            );
        }
    }
    assert_eq!(house.runs(), 4);
    assert_eq!(house.cache.as_ref().unwrap().stats().entries, 0);
}

#[tokio::test]
async fn a_caller_may_have_it_run_again() {
    let (house, key) = house().await;
    let (recall, refresh, bypass) = (
        call(&key),
        with(CacheUse::Refresh, &key),
        with(CacheUse::Bypass, &key),
    );
    assert_eq!(cached(&house, &bypass, "m", 1.0).await, Cached::Bypass);
    assert_eq!(
        cached(&house, &recall, "m", 1.0).await,
        Cached::Miss,
        "no-store is not kept"
    );
    assert_eq!(cached(&house, &refresh, "m", 1.0).await, Cached::Bypass);
    assert_eq!(house.runs(), 3);
    // What was renewed lives from then on.
    house.now.fetch_add(3_599_999, Ordering::Relaxed);
    cached(&house, &refresh, "m", 1.0).await;
    house.now.fetch_add(3_599_999, Ordering::Relaxed);
    assert_eq!(cached(&house, &recall, "m", 1.0).await, Cached::Hit);
    house.now.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        cached(&house, &recall, "m", 1.0).await,
        Cached::Miss,
        "an hour is over"
    );
}

#[tokio::test]
async fn a_run_that_gave_no_answer_is_not_kept() {
    let (house, key) = house().await;
    for (plan, kind) in [
        (Err(RunError::Trapped("x".into())), ErrorKind::PluginTrapped),
        (Ok(vec![]), ErrorKind::PluginContract),
    ] {
        *house.runner.plan.lock().unwrap() = Some(plan);
        assert_eq!(house.kind(&call(&key), "m", None, 1.0).await, kind);
    }
    assert_eq!(cached(&house, &call(&key), "m", 1.0).await, Cached::Miss);
    assert_eq!(cached(&house, &call(&key), "m", 1.0).await, Cached::Hit);
}

#[tokio::test]
async fn a_hit_is_only_for_who_may_ask() {
    let (house, key) = house().await;
    cached(&house, &call(&key), "m", 1.0).await;
    let only_models = house.tenant("a", &["models"]).await;
    assert_eq!(
        house.kind(&call(&only_models), "m", None, 1.0).await,
        ErrorKind::Forbidden
    );
    assert_eq!(
        cached(&house, &on(OPERATOR, "a"), "m", 1.0).await,
        Cached::Hit
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_equal_questions_at_once_are_run_once() {
    let (house, key, held) = held_house().await;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let (house, key) = (Arc::clone(&house), key.clone());
        calls.spawn(async move { cached(&house, &call(&key), "m", 1.0).await });
    }
    until(|| house.predictor.under_way() == 64).await;
    held.add_permits(64);
    let ends = timeout(PATIENCE, calls.join_all()).await.unwrap();
    assert_eq!(house.runs(), 1);
    assert_eq!(
        ends.iter()
            .filter(|cached| **cached == Cached::Miss)
            .count(),
        1
    );
    assert_eq!(
        ends.iter().filter(|cached| **cached == Cached::Hit).count(),
        63
    );
}

#[tokio::test]
async fn who_waits_for_a_run_that_fails_is_run_itself() {
    let (house, key, held) = held_house().await;
    *house.runner.plan.lock().unwrap() = Some(Err(RunError::Stack));
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (house, key) = (Arc::clone(&house), key.clone());
        calls.spawn(async move { house.predict(&call(&key), "m", None, 1.0).await });
    }
    until(|| house.predictor.under_way() == 8).await;
    held.add_permits(8);
    let ends = timeout(PATIENCE, calls.join_all()).await.unwrap();
    let failed = ends.iter().filter(|end| end.is_err()).count();
    assert_eq!(failed, 1, "the failure is the first one's alone");
    assert_eq!(house.runs(), 2, "and one run serves all others");
}

#[tokio::test]
async fn who_waits_for_a_caller_that_hangs_up_is_run_itself() {
    let (house, key, held) = held_house().await;
    let ask = || {
        let (house, key) = (Arc::clone(&house), key.clone());
        tokio::spawn(async move { cached(&house, &call(&key), "m", 1.0).await })
    };
    let first = ask();
    until(|| house.runs() == 1).await;
    let second = ask();
    until(|| house.predictor.under_way() == 2).await;
    assert_eq!(house.runs(), 1);
    first.abort();
    until(|| house.runs() == 2).await;
    held.add_permits(1);
    assert_eq!(
        timeout(PATIENCE, second).await.unwrap().unwrap(),
        Cached::Miss
    );
    assert_eq!(house.predictor.under_way(), 0);
}

#[tokio::test]
async fn who_has_waited_for_the_time_of_a_run_is_run_itself() {
    let house = House::with(Limits {
        default_deadline_ms: 1,
        ..Limits::default()
    })
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"same").await.unwrap();
    let held = Arc::new(Semaphore::new(0));
    *house.runner.held.lock().unwrap() = Some(Arc::clone(&held));
    let house = Arc::new(house);
    let first = {
        let (house, key) = (Arc::clone(&house), key.clone());
        tokio::spawn(async move { cached(&house, &call(&key), "m", 1.0).await })
    };
    until(|| house.runs() == 1).await;
    let second = {
        let (house, key) = (Arc::clone(&house), key.clone());
        tokio::spawn(async move { cached(&house, &call(&key), "m", 1.0).await })
    };
    // The first one never ends, and the second is run all the same.
    until(|| house.runs() == 2).await;
    held.add_permits(2);
    let ends = (
        timeout(PATIENCE, first).await,
        timeout(PATIENCE, second).await,
    );
    assert!(matches!(ends, (Ok(Ok(Cached::Miss)), Ok(Ok(Cached::Miss)))));
}

#[tokio::test]
async fn an_owner_purges_a_model_or_everything_and_nothing_of_others() {
    let (house, key) = house().await;
    let other = house.tenant("b", &["infer", "models"]).await;
    house.push(&other, "m", "1", b"same").await.unwrap();
    house
        .push(&key, "n", "1", b"same but another")
        .await
        .unwrap();
    house.push(&key, "o", "1", b"same").await.unwrap();
    for (key, model) in [(&key, "m"), (&key, "n"), (&other, "m")] {
        for x in [1.0, 2.0] {
            cached(&house, &call(key), model, x).await;
        }
    }
    let operator = on(OPERATOR, "a");
    let purge = |model: &'static str| house.manager.purge_cache_of(&operator, model);
    assert_eq!(purge("m").await.unwrap(), 2);
    assert_eq!(purge("m").await.unwrap(), 0);
    assert_eq!(
        purge("nothing").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(cached(&house, &call(&key), "m", 1.0).await, Cached::Miss);
    assert_eq!(cached(&house, &call(&key), "n", 1.0).await, Cached::Hit);
    assert_eq!(house.manager.purge_cache(&call(&key)).await.unwrap(), 3);
    assert_eq!(cached(&house, &call(&other), "m", 1.0).await, Cached::Hit);

    let only_infer = house.tenant("a", &["infer"]).await;
    let refused = [
        house.manager.purge_cache(&call(&only_infer)).await,
        house.manager.purge_cache_of(&call(&only_infer), "m").await,
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::Forbidden);
    }
}

#[tokio::test]
async fn what_is_deleted_leaves_no_answers() {
    let (house, key) = house().await;
    house.push(&key, "m", "2", b"same but newer").await.unwrap();
    let other = house.tenant("b", &["infer", "models"]).await;
    house.push(&other, "m", "1", b"same").await.unwrap();
    for (key, version) in [(&key, "1"), (&key, "2"), (&other, "1")] {
        house
            .answer(&call(key), "m", Some(version), 1.0)
            .await
            .unwrap();
    }
    let entries = || house.cache.as_ref().unwrap().stats().entries;
    assert_eq!(entries(), 3);
    house
        .manager
        .delete_version(&call(&key), "m", "2")
        .await
        .unwrap();
    assert_eq!(entries(), 2);
    house
        .manager
        .delete_tenant(&call(OPERATOR), "a")
        .await
        .unwrap();
    assert_eq!(entries(), 1);
}

#[tokio::test]
async fn many_answers_stay_within_their_bytes() {
    const LIMIT: u64 = 1 << 20;
    let house = House::with_cache(
        Limits::default(),
        CacheLimits {
            max_bytes: LIMIT,
            ttl: Duration::from_secs(60),
        },
    )
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"same").await.unwrap();
    for at in 0..6_000 {
        cached(&house, &call(&key), "m", f64::from(at) / 100.0).await;
    }
    let stats = house.cache.as_ref().unwrap().stats();
    assert!(stats.bytes <= LIMIT && stats.entries < 6_000, "{stats:?}");
}
