//! Where calls go that name no version: canary, shadow, promotion and the way back.

use std::sync::Arc;
use std::time::Duration;

use foretell_predict::PredictError;
use foretell_predict::manage::{
    CanaryPlan, GuardPlan, TrafficAct, TrafficPlan, TrafficReport, TrafficRequest,
};
use foretell_types::run::RunError;
use foretell_types::{ErrorKind, VersionDigest};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::house::{House, call, vector};

/// Whatever takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A house with a tenant's model `m` of versions 1 to 3, of which 1 is active, and its key.
async fn released() -> (House, String) {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    for (version, plugin) in [("1", &b"one"[..]), ("2", b"two"), ("3", b"three")] {
        house.push(&key, "m", version, plugin).await.unwrap();
    }
    (house, key)
}

fn canary(version: &str, percent: f64) -> CanaryPlan {
    CanaryPlan {
        version: version.to_owned(),
        percent,
        header: None,
        keys: vec![],
        sticky: None,
        guard: Some(GuardPlan::default()),
    }
}

fn plan(active: &str, canary: Option<CanaryPlan>, shadow: Option<&str>) -> TrafficRequest {
    act(TrafficAct::Set(Box::new(TrafficPlan {
        active: active.to_owned(),
        canary,
        shadow: shadow.map(str::to_owned),
    })))
}

fn act(act: TrafficAct) -> TrafficRequest {
    TrafficRequest {
        act,
        reason: None,
        revision: None,
    }
}

impl House {
    async fn set(&self, key: &str, request: TrafficRequest) -> Result<(), PredictError> {
        self.manager
            .set_traffic(&call(key), "m", request)
            .await
            .map(drop)
    }

    async fn report(&self, key: &str) -> TrafficReport {
        self.manager.traffic(&call(key), "m").await.unwrap()
    }

    async fn digest(&self, key: &str, version: &str) -> VersionDigest {
        let found = self.manager.version(&call(key), "m", version).await;
        found.unwrap().record.digest
    }

    async fn always(&self, key: &str, version: &str, error: RunError) {
        let digest = self.digest(key, version).await;
        let mut plans = self.runner.always.lock().unwrap();
        plans.insert(digest, Err(error));
    }

    async fn answered_by(&self, key: &str) -> String {
        self.version_for(&call(key), "m", None).await.unwrap()
    }

    /// The report, once it is so.
    async fn until(&self, key: &str, is_so: impl Fn(&TrafficReport) -> bool) -> TrafficReport {
        let waited = timeout(PATIENCE, async {
            loop {
                let report = self.report(key).await;
                if is_so(&report) {
                    return report;
                }
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("it never comes to that")
    }
}

fn trap() -> RunError {
    RunError::Trapped("unreachable".into())
}

#[tokio::test]
async fn a_canary_answers_its_share_and_the_calls_of_its_header_and_keys() {
    let (house, key) = released().await;
    let other = house.key(&call_with_keys(&house).await, &["infer"]).await;
    let own_id = house
        .manager
        .caller_of(&call(&other))
        .await
        .unwrap()
        .key
        .clone();
    let ruled = CanaryPlan {
        header: Some(("X-Group".into(), "beta".into())),
        keys: vec![own_id.unwrap().to_string()],
        ..canary("2", 0.0)
    };
    house.set(&key, plan("1", Some(ruled), None)).await.unwrap();
    assert_eq!(house.answered_by(&key).await, "1");
    assert_eq!(house.answered_by(&other).await, "2", "by its key");
    for (value, version) in [("beta", "2"), ("alpha", "1")] {
        let found = house
            .version_for(&call(&key), "m", Some(("x-group", value)))
            .await;
        assert_eq!(found.unwrap(), version);
    }
    let named = house
        .answer(&call(&other), "m", Some("1"), 1.0)
        .await
        .unwrap();
    assert_eq!(
        named.target.version.as_str(),
        "1",
        "a version that is named answers"
    );

    house
        .set(&key, plan("1", Some(canary("3", 100.0)), None))
        .await
        .unwrap();
    assert_eq!(house.answered_by(&key).await, "3");
    house
        .set(&key, plan("1", Some(canary("3", 50.0)), None))
        .await
        .unwrap();
    let mut seen = [0, 0];
    for user in 0..200 {
        let user = user.to_string();
        let header = Some(("x-request-key", user.as_str()));
        let first = house.version_for(&call(&key), "m", header).await.unwrap();
        assert_eq!(
            house.version_for(&call(&key), "m", header).await.unwrap(),
            first,
            "sticky"
        );
        seen[usize::from(first == "3")] += 1;
    }
    assert!(seen[1] > 60 && seen[0] > 60, "{seen:?}");
}

/// A call of a key that may make keys.
async fn call_with_keys(house: &House) -> foretell_predict::Call {
    call(&house.tenant("a", &["infer", "keys"]).await)
}

#[tokio::test]
async fn a_failing_canary_costs_no_caller_its_answer_and_is_withdrawn_with_the_reason() {
    let (house, key) = released().await;
    house
        .set(&key, plan("1", Some(canary("2", 100.0)), Some("3")))
        .await
        .unwrap();
    house.always(&key, "2", trap()).await;
    for _ in 0..5 {
        assert_eq!(
            house.answered_by(&key).await,
            "1",
            "the active version answers"
        );
    }
    let report = house
        .until(&key, |report| report.record.traffic.canary.is_none())
        .await;
    let (traffic, change) = (&report.record.traffic, &report.changes[0]);
    assert_eq!(traffic.active.as_ref().unwrap().as_str(), "1");
    assert_eq!(
        traffic.shadow.as_ref().unwrap().as_str(),
        "3",
        "the rest stays"
    );
    assert_eq!(
        (change.by.as_ref(), change.reason.as_str()),
        (
            None,
            "3 of its latest 3 calls trapped; its guard allows fewer than 3"
        )
    );
    assert_eq!(
        (
            report.versions[1].counts.faults,
            report.versions[1].counts.fail.count
        ),
        (3, 3)
    );
    assert_eq!(report.versions[0].counts.success.count, 5);
    assert_eq!(report.changes.len(), 2);
}

#[tokio::test]
async fn what_a_canary_refuses_the_active_version_answers_and_it_counts_as_no_fault() {
    let (house, key) = released().await;
    house
        .set(&key, plan("1", Some(canary("2", 100.0)), None))
        .await
        .unwrap();
    let refused = || RunError::Refused {
        message: "no such passenger".into(),
        input: 0,
        row: None,
        column: None,
    };
    house.always(&key, "2", refused()).await;
    for _ in 0..30 {
        assert_eq!(house.answered_by(&key).await, "1");
    }
    assert!(house.report(&key).await.record.traffic.canary.is_some());
    house.always(&key, "1", refused()).await;
    let error = house.version_for(&call(&key), "m", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PluginRefused, "by both");
}

#[tokio::test]
async fn callers_that_do_not_wait_for_a_slow_canary_count_against_it() {
    let (house, key) = released().await;
    let guard = GuardPlan {
        min_calls: 2,
        latency_ms: Some(1),
        ..GuardPlan::default()
    };
    let slow = CanaryPlan {
        guard: Some(guard),
        ..canary("2", 100.0)
    };
    house.set(&key, plan("1", Some(slow), None)).await.unwrap();
    // Nothing ends before it is let go; nobody waits for that.
    *house.runner.held.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    let own = call(&key);
    for _ in 0..2 {
        let hung_up = timeout(
            Duration::from_millis(20),
            house.answer(&own, "m", None, 1.0),
        );
        assert!(hung_up.await.is_err());
    }
    *house.runner.held.lock().unwrap() = None;
    let report = house
        .until(&key, |report| report.record.traffic.canary.is_none())
        .await;
    assert_eq!(
        report.changes[0].reason,
        "2 of its latest 2 calls took longer than 1 ms; its guard allows one in twenty"
    );
}

#[tokio::test]
async fn a_canary_is_judged_on_across_changes_of_its_share_and_anew_once_it_was_taken_back() {
    let (house, key) = released().await;
    let faults = async |count: usize| {
        for _ in 0..count {
            assert_eq!(house.answered_by(&key).await, "1");
        }
    };
    let at = |percent| plan("1", Some(canary("2", percent)), None);
    house.set(&key, at(100.0)).await.unwrap();
    house.always(&key, "2", trap()).await;
    faults(2).await;
    house.set(&key, at(99.99)).await.unwrap();
    house.set(&key, at(100.0)).await.unwrap();
    faults(1).await;
    let gone = |report: &TrafficReport| report.record.traffic.canary.is_none();
    house.until(&key, gone).await;
    // Another chance is a new one.
    house.set(&key, at(100.0)).await.unwrap();
    faults(2).await;
    assert!(!gone(&house.report(&key).await));
    faults(1).await;
    house.until(&key, gone).await;
}

#[tokio::test]
async fn without_a_guard_a_canary_stays_and_once_it_is_suspended_the_active_version_answers_at_once()
 {
    let (house, key) = released().await;
    let unguarded = CanaryPlan {
        guard: None,
        ..canary("2", 100.0)
    };
    house
        .set(&key, plan("1", Some(unguarded), None))
        .await
        .unwrap();
    house.always(&key, "2", trap()).await;
    for _ in 0..40 {
        assert_eq!(house.answered_by(&key).await, "1");
    }
    let report = house.report(&key).await;
    assert!(report.record.traffic.canary.is_some());
    assert_eq!(report.versions[1].counts.faults, 20, "then it is suspended");
}

#[tokio::test]
async fn a_shadow_is_given_copies_and_its_answers_are_compared() {
    let (house, key) = released().await;
    house.set(&key, plan("1", None, Some("2"))).await.unwrap();
    let shadow = house.digest(&key, "2").await;
    assert_eq!(
        house.predict(&call(&key), "m", None, 1.0).await.unwrap(),
        2.0
    );
    let report = house
        .until(&key, |report| {
            report.versions[1]
                .shadow
                .as_ref()
                .is_some_and(|s| s.ran == 1)
        })
        .await;
    assert_eq!(report.versions[1].shadow.as_ref().unwrap().differing, 0);
    assert_eq!(*house.runner.aside.lock().unwrap(), [shadow]);

    let other = Ok(vec![vector(&[2.5])]);
    house.runner.always.lock().unwrap().insert(shadow, other);
    assert_eq!(
        house.predict(&call(&key), "m", None, 1.0).await.unwrap(),
        2.0
    );
    let report = house
        .until(&key, |report| {
            report.versions[1]
                .shadow
                .as_ref()
                .is_some_and(|s| s.ran == 2)
        })
        .await;
    let compared = report.versions[1].shadow.clone().unwrap();
    assert_eq!((compared.differing, compared.largest), (1, 0.5));
    assert_eq!(
        compared.last.unwrap(),
        "output `y`, element 0: 2.5 instead of 2"
    );

    house.always(&key, "2", trap()).await;
    house.predict(&call(&key), "m", None, 1.0).await.unwrap();
    let report = house
        .until(&key, |report| {
            report.versions[1]
                .shadow
                .as_ref()
                .is_some_and(|s| s.failed == 1)
        })
        .await;
    let counts = &report.versions[1].counts;
    assert_eq!(
        (counts.success.count, counts.fail.count),
        (0, 0),
        "it answered nobody"
    );
    house
        .predict(&call(&key), "m", Some("1"), 1.0)
        .await
        .unwrap();
    assert_eq!(
        house.runner.aside.lock().unwrap().len(),
        3,
        "a version that is named is not traffic"
    );
}

#[tokio::test]
async fn promotion_and_rollback_are_one_act_each() {
    let (house, key) = released().await;
    let conflict =
        |result: Result<(), PredictError>| result.unwrap_err().kind() == ErrorKind::Conflict;
    assert!(conflict(house.set(&key, act(TrafficAct::Promote)).await));
    assert!(conflict(house.set(&key, act(TrafficAct::RollBack)).await));

    house
        .set(&key, plan("1", Some(canary("2", 10.0)), Some("2")))
        .await
        .unwrap();
    house.set(&key, act(TrafficAct::Promote)).await.unwrap();
    let report = house.report(&key).await;
    assert_eq!(report.record.traffic.active.as_ref().unwrap().as_str(), "2");
    assert_eq!(
        (&report.record.traffic.canary, &report.record.traffic.shadow),
        (&None, &None)
    );
    assert_eq!(report.changes[0].reason, "promoted");
    assert_eq!(house.answered_by(&key).await, "2");

    // A release under way is taken back first.
    house
        .set(&key, plan("2", Some(canary("3", 100.0)), None))
        .await
        .unwrap();
    assert_eq!(house.answered_by(&key).await, "3");
    let mistaken = TrafficRequest {
        reason: Some("complaints".into()),
        ..act(TrafficAct::RollBack)
    };
    house.set(&key, mistaken).await.unwrap();
    assert_eq!(house.answered_by(&key).await, "2");
    assert_eq!(house.report(&key).await.changes[0].reason, "complaints");
    house.set(&key, act(TrafficAct::RollBack)).await.unwrap();
    assert_eq!(house.answered_by(&key).await, "1", "the version before");
}

#[tokio::test]
async fn a_second_way_back_leads_further_back_and_not_forth() {
    let (house, key) = released().await;
    for version in ["2", "3"] {
        house.set(&key, plan(version, None, None)).await.unwrap();
    }
    for version in ["2", "1"] {
        house.set(&key, act(TrafficAct::RollBack)).await.unwrap();
        assert_eq!(house.answered_by(&key).await, version);
    }
    let end = house.set(&key, act(TrafficAct::RollBack)).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Conflict);
    // What was active in between is where the way leads.
    for version in ["3", "2"] {
        house.set(&key, plan(version, None, None)).await.unwrap();
    }
    house.set(&key, act(TrafficAct::RollBack)).await.unwrap();
    assert_eq!(house.answered_by(&key).await, "3");
    // What was deleted is passed over.
    house.set(&key, plan("2", None, None)).await.unwrap();
    house.set(&key, plan("3", None, None)).await.unwrap();
    let own = call(&key);
    house.manager.delete_version(&own, "m", "2").await.unwrap();
    house.set(&key, act(TrafficAct::RollBack)).await.unwrap();
    assert_eq!(house.answered_by(&key).await, "1");
}

#[tokio::test]
async fn a_change_is_meant_for_a_revision_and_made_by_somebody() {
    let (house, key) = released().await;
    let late = TrafficRequest {
        revision: Some(7),
        ..plan("2", None, None)
    };
    let error = house.set(&key, late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("revision 0"), "{error}");
    let first = TrafficRequest {
        revision: Some(0),
        ..plan("2", None, None)
    };
    house.set(&key, first).await.unwrap();
    let report = house.report(&key).await;
    let who = house
        .manager
        .caller_of(&call(&key))
        .await
        .unwrap()
        .key
        .clone();
    assert_eq!(
        (report.record.revision, report.changes[0].by.as_ref()),
        (1, who.as_ref())
    );
    // The same again is no change.
    house.set(&key, plan("2", None, None)).await.unwrap();
    assert_eq!(house.report(&key).await.record.revision, 1);
}

#[tokio::test]
async fn what_calls_are_to_go_to_is_made_ready_first() {
    let (house, key) = released().await;
    house
        .set(&key, plan("1", Some(canary("2", 1.0)), Some("3")))
        .await
        .unwrap();
    assert_eq!(house.runner.loaded.lock().unwrap().len(), 2, "the new ones");
    // A way back needs nobody to be loaded.
    house.set(&key, plan("1", None, None)).await.unwrap();
    assert_eq!(house.runner.loaded.lock().unwrap().len(), 2);
    let full = RunError::Unavailable {
        cause: "it is being compiled".into(),
        retry_after: Duration::from_secs(7),
    };
    *house.runner.plan.lock().unwrap() = Some(Err(full));
    let error = house.set(&key, plan("3", None, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let traffic = house.report(&key).await.record.traffic;
    assert_eq!(traffic.active.unwrap().as_str(), "1", "nothing is changed");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_says_what_would_be_right() {
    let (house, key) = released().await;
    let with = |change: fn(&mut CanaryPlan)| {
        let mut plan = canary("2", 5.0);
        change(&mut plan);
        plan
    };
    let guarded = |change: fn(&mut GuardPlan)| {
        let mut guard = GuardPlan::default();
        change(&mut guard);
        CanaryPlan {
            guard: Some(guard),
            ..canary("2", 5.0)
        }
    };
    let canaries = [
        (canary("1", 5.0), "is the active one already"),
        (canary("2", 0.0), "would get no calls"),
        (canary("2", -1.0), "0 to 100"),
        (canary("2", 100.01), "0 to 100"),
        (canary("2", 0.001), "steps of 0.01"),
        (canary("2", f64::NAN), "0 to 100"),
        (
            with(|plan| plan.header = Some(("a b".into(), "x".into()))),
            "name of a header",
        ),
        (
            with(|plan| plan.header = Some(("x".into(), String::new()))),
            "1 to 256 bytes",
        ),
        (
            with(|plan| plan.header = Some(("Authorization".into(), "x".into()))),
            "holds secrets",
        ),
        (
            with(|plan| plan.sticky = Some("Cookie".into())),
            "holds secrets",
        ),
        (
            with(|plan| plan.keys = vec!["nonsense".into()]),
            "no id of a key",
        ),
        (
            with(|plan| plan.keys = vec!["key_0000000000000000".into()]),
            "has no key",
        ),
        (
            with(|plan| plan.keys = vec!["x".into(); 101]),
            "100 at most",
        ),
        (guarded(|guard| guard.window = 0), "window"),
        (guarded(|guard| guard.min_calls = 101), "min_calls"),
        (
            guarded(|guard| guard.traps = Some(0)),
            "null leaves them out",
        ),
        (
            guarded(|guard| guard.error_percent = Some(101.0)),
            "error_percent",
        ),
    ];
    for (canary, told) in canaries {
        let error = house
            .set(&key, plan("1", Some(canary), None))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(told), "{error}");
    }
    let same = house
        .set(&key, plan("1", None, Some("1")))
        .await
        .unwrap_err();
    assert!(
        same.to_string().contains("`shadow` is version `1`"),
        "{same}"
    );
    for (active, canary_of, shadow) in [
        ("9", None, None),
        ("1", Some("9"), None),
        ("1", None, Some("9")),
    ] {
        let canary = canary_of.map(|version| canary(version, 5.0));
        let error = house
            .set(&key, plan(active, canary, shadow))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "model `m` has no version `9`; its active version is 1"
        );
    }
    let long = TrafficRequest {
        reason: Some("x".repeat(501)),
        ..plan("1", None, None)
    };
    assert_eq!(
        house.set(&key, long).await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        house.report(&key).await.record.revision,
        0,
        "nothing was changed"
    );
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_version_with_which_it_began() {
    let (house, key) = released().await;
    let gate = Arc::new(Semaphore::new(0));
    *house.runner.held.lock().unwrap() = Some(Arc::clone(&gate));
    let own = call(&key);
    let began = house.answer(&own, "m", None, 1.0);
    let meanwhile = async {
        while house.runs() == 0 {
            tokio::task::yield_now().await;
        }
        house.set(&key, plan("2", None, None)).await.unwrap();
        let gone = house.manager.delete_version(&own, "m", "1").await;
        gone.unwrap();
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(began, meanwhile);
    assert_eq!(answer.unwrap().target.version.as_str(), "1");
    *house.runner.held.lock().unwrap() = None;
    assert_eq!(house.answered_by(&key).await, "2");
}
