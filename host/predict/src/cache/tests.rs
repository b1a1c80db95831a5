use std::sync::atomic::AtomicI64;

use foretell_types::Elements;

use super::*;
use crate::registry::testing;

const PATIENCE: Duration = Duration::from_secs(20);
const TTL_MS: i64 = 1_000;

fn cache(max_bytes: u64) -> (AnswerCache, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = {
        let now = Arc::clone(&now);
        Clock::from_fn(move || now.load(Ordering::Relaxed))
    };
    let limits = CacheLimits {
        max_bytes,
        ttl: Duration::from_millis(TTL_MS as u64),
    };
    (AnswerCache::new(&limits, clock), now)
}

fn target(tenant: &str, digest: u8) -> Target {
    testing::target(tenant, digest, vec![])
}

fn answer(value: f64, elements: usize) -> Vec<Tensor> {
    vec![Tensor::new(vec![elements as u32], Elements::Fp64(vec![value; elements])).unwrap()]
}

/// A different key for each number, spread over all parts.
fn key(number: u32) -> Key {
    blake3::hash(&number.to_le_bytes()).into()
}

async fn place<'a>(cache: &'a AnswerCache, key: &Key) -> Place<'a> {
    match cache.find(key, PATIENCE).await {
        Found::Place(place) => place,
        Found::Answer(outputs) => panic!("an answer: {outputs:?}"),
        Found::Busy => panic!("busy"),
    }
}

async fn found(cache: &AnswerCache, key: &Key) -> Option<f64> {
    match cache.find(key, PATIENCE).await {
        Found::Answer(outputs) => outputs[0].elements().number(0),
        Found::Place(_) | Found::Busy => None,
    }
}

#[tokio::test]
async fn an_answer_is_given_again_until_it_expires() {
    let (cache, now) = cache(1 << 20);
    place(&cache, &key(1))
        .await
        .keep(&target("a", 1), answer(7.0, 1));
    now.fetch_add(TTL_MS - 1, Ordering::Relaxed);
    assert_eq!(found(&cache, &key(1)).await, Some(7.0));
    now.fetch_add(1, Ordering::Relaxed);
    let place = place(&cache, &key(1)).await;
    assert_eq!(cache.stats().entries, 0, "an expired answer makes room");
    place.keep(&target("a", 1), answer(8.0, 1));
    assert_eq!(found(&cache, &key(1)).await, Some(8.0));
    now.fetch_sub(1, Ordering::Relaxed);
    assert_eq!(found(&cache, &key(1)).await, None, "the clock was set back");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (2, 3));
}

#[tokio::test]
async fn a_renewed_answer_takes_the_place_of_the_old_one() {
    let (cache, _) = cache(1 << 20);
    place(&cache, &key(1))
        .await
        .keep(&target("a", 1), answer(1.0, 1));
    cache.renew(key(1)).keep(&target("a", 1), answer(2.0, 1));
    assert_eq!(found(&cache, &key(1)).await, Some(2.0));
    assert_eq!(cache.stats().entries, 1);
}

#[tokio::test]
async fn answers_together_stay_within_the_limit_and_a_huge_one_is_not_kept() {
    const LIMIT: u64 = 1 << 20;
    let (cache, _) = cache(LIMIT);
    for number in 0..2_000 {
        let place = place(&cache, &key(number)).await;
        place.keep(&target("a", 1), answer(1.0, 256));
        assert!(cache.stats().bytes <= LIMIT, "{:?}", cache.stats());
    }
    let full = cache.stats();
    assert!(full.bytes > LIMIT / 2, "it is used: {full:?}");
    // 256 elements of 8 bytes and what surrounds them: no entry weighs less.
    assert!(
        full.entries as u64 <= LIMIT / (256 * 8 + OVERHEAD_BYTES),
        "{full:?}"
    );

    let elements = LIMIT as usize / SHARDS / 8;
    let kept = place(&cache, &key(9_999))
        .await
        .keep(&target("a", 1), answer(5.0, elements));
    assert_eq!(kept[0].elements().number(0), Some(5.0), "its caller has it");
    assert_eq!(found(&cache, &key(9_999)).await, None);
}

#[tokio::test]
async fn a_purge_takes_what_is_kept_and_what_is_on_its_way() {
    let (cache, _) = cache(1 << 20);
    let owners = [("a", 1), ("a", 2), ("b", 1)];
    for (number, (tenant, digest)) in (0..).zip(owners) {
        place(&cache, &key(number))
            .await
            .keep(&target(tenant, digest), answer(1.0, 1));
    }
    let under_way = place(&cache, &key(9)).await;
    let renewed = cache.renew(key(8));
    let (a, b) = (&target("a", 1).tenant, &target("b", 1).tenant);
    assert_eq!(cache.purge_versions(a, &[target("a", 1).digest]), 1);
    under_way.keep(&target("a", 1), answer(1.0, 1));
    renewed.keep(&target("a", 1), answer(1.0, 1));
    let left = [
        found(&cache, &key(0)).await,
        found(&cache, &key(1)).await,
        found(&cache, &key(2)).await,
    ];
    assert_eq!(left, [None, Some(1.0), Some(1.0)]);
    assert_eq!(
        found(&cache, &key(9)).await,
        None,
        "it was computed before the purge"
    );
    assert_eq!(found(&cache, &key(8)).await, None, "so was this");
    assert_eq!(
        (
            cache.purge_tenant(b),
            cache.purge_tenant(b),
            cache.purge_tenant(a)
        ),
        (1, 0, 1)
    );
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[tokio::test]
async fn who_has_waited_long_enough_goes_on_without_a_place() {
    let (cache, _) = cache(1 << 20);
    let first = place(&cache, &key(1)).await;
    let second = cache.find(&key(1), Duration::from_millis(1)).await;
    assert!(matches!(second, Found::Busy));
    first.keep(&target("a", 1), answer(1.0, 1));
    assert_eq!(found(&cache, &key(1)).await, Some(1.0));
}

#[tokio::test]
async fn a_place_that_is_given_up_goes_to_one_of_those_who_wait() {
    let (cache, _) = cache(1 << 20);
    let first = place(&cache, &key(1)).await;
    let waits = async || match cache.find(&key(1), PATIENCE).await {
        Found::Place(place) => {
            place.keep(&target("a", 1), answer(3.0, 1));
            "ran"
        }
        Found::Answer(_) => "was given it",
        Found::Busy => "gave up",
    };
    let gives_up = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    let (one, other, ()) = tokio::join!(waits(), waits(), gives_up);
    let mut ends = [one, other];
    ends.sort_unstable();
    assert_eq!(ends, ["ran", "was given it"]);
}
