//! The way of a prediction.

use std::sync::Arc;
use std::time::Duration;

use foretell_predict::account::MICRO;
use foretell_predict::{Call, Credentials, Inputs, Limits, ModelRef, Urgency};
use foretell_types::ErrorKind;
use foretell_types::record::Value;
use foretell_types::run::RunError;
use tokio::sync::Semaphore;

use crate::house::{House, OPERATOR, Ready, Untouched, call, on, vector};

#[tokio::test]
async fn a_pushed_model_answers_its_tenant_and_nobody_else() {
    let house = House::build().await;
    let (own, other) = (
        house.tenant("a", &["infer", "models"]).await,
        house.tenant("b", &["infer"]).await,
    );
    assert!(house.push(&own, "m", "1", b"one").await.unwrap());
    assert_eq!(
        house.predict(&call(&own), "m", None, 21.0).await.unwrap(),
        42.0
    );
    assert_eq!(
        house
            .predict(&on(OPERATOR, "a"), "m", Some("1"), 1.0)
            .await
            .unwrap(),
        2.0
    );
    let foreign = house
        .predict(&call(&other), "m", None, 1.0)
        .await
        .unwrap_err();
    let absent = house
        .predict(&call(&other), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    assert_eq!(
        foreign.to_string(),
        absent.to_string(),
        "another tenant's model looks like none"
    );
    assert_eq!(
        house.kind(&on(&other, "a"), "m", None, 1.0).await,
        ErrorKind::NotFound
    );
    assert_eq!(
        house.kind(&call(OPERATOR), "m", None, 1.0).await,
        ErrorKind::TenantRequired
    );
    assert_eq!(
        house.kind(&on(OPERATOR, "nobody"), "m", None, 1.0).await,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_version_that_fails_again_and_again_is_not_run_until_it_has_had_its_pause() {
    let house = House::with(Limits {
        suspend_after: 3,
        suspend_for: Duration::from_hours(1),
        ..Limits::default()
    })
    .await;
    let own = house.tenant("a", &["infer", "models"]).await;
    house.push(&own, "m", "1", b"one").await.unwrap();
    house.push(&own, "m", "2", b"two").await.unwrap();
    let fails = || Err(RunError::Trapped("unreachable".into()));
    let plan = |result| *house.runner.plan.lock().unwrap() = Some(result);
    for failure in [
        fails(),
        fails(),
        Err(RunError::Overloaded {
            waited: Duration::ZERO,
        }),
        fails(),
    ] {
        plan(failure);
        house
            .predict(&call(&own), "m", None, 1.0)
            .await
            .unwrap_err();
    }
    let ran = house.runner.ran.lock().unwrap().len();
    let suspended = house
        .predict(&call(&own), "m", None, 1.0)
        .await
        .unwrap_err();
    assert_eq!(suspended.kind(), ErrorKind::ModelSuspended);
    assert!(suspended.retry_after() > Some(Duration::from_mins(59)));
    assert!(
        suspended.to_string().contains("version `1` of `m`"),
        "{suspended}"
    );
    assert_eq!(house.runner.ran.lock().unwrap().len(), ran, "it is not run");
    assert_eq!(
        house
            .predict(&call(&own), "m", Some("2"), 1.0)
            .await
            .unwrap(),
        2.0,
        "another version is not its fault"
    );
}

#[tokio::test]
async fn a_caller_in_a_hurry_gets_no_more_than_its_time_and_suspends_nobody() {
    let house = House::with(Limits {
        suspend_after: 1,
        suspend_for: Duration::from_hours(1),
        ..Limits::default()
    })
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let own = call(&key);
    let urgent = |micros| Urgency {
        timeout: Some(Duration::from_micros(micros)),
        priority: 3,
    };
    // In the sandbox: it is stopped at the caller's time.
    let stopped = Err(RunError::Deadline {
        deadline: Duration::from_millis(500),
    });
    *house.runner.plan.lock().unwrap() = Some(stopped);
    let error = house
        .urgent(&own, "m", None, 1.0, urgent(500_000))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.to_string().contains("than the 500 ms"), "{error}");
    let (deadline, priority) = house.runner.allowed.lock().unwrap().unwrap();
    assert!(deadline <= Duration::from_millis(500), "{deadline:?}");
    assert_eq!(priority, 3);
    // While it waits for a thread, too.
    *house.runner.held.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    for micros in [1, 20_000] {
        let error = house
            .urgent(&own, "m", None, 1.0, urgent(micros))
            .await
            .unwrap_err();
        let said = format!("than the {} ms", micros as f64 / 1e3);
        assert!(error.to_string().contains(&said), "{error}");
    }
    *house.runner.held.lock().unwrap() = None;
    // Who would wait for an hour gets what the version has.
    let answer = house.urgent(&own, "m", None, 2.0, urgent(3_600_000_000));
    assert_eq!(answer.await.unwrap().outputs[0], vector(&[4.0]));
    let allowed = *house.runner.allowed.lock().unwrap();
    assert!(allowed.is_some_and(|(deadline, _)| deadline < Duration::from_mins(1)));
}

#[tokio::test]
async fn the_body_of_a_refused_caller_is_never_read() {
    let house = House::build().await;
    let only_models = house.tenant("a", &["models"]).await;
    let none = Call {
        credentials: Credentials::default(),
        ..call("")
    };
    for (call, expected) in [
        (none, ErrorKind::Unauthenticated),
        (call("ftl_live_mistyped"), ErrorKind::Unauthenticated),
        (
            call("some-unknown-operator-key"),
            ErrorKind::Unauthenticated,
        ),
        (call(&only_models), ErrorKind::Forbidden),
    ] {
        let error = house.predictor.predict(&call, Untouched).await.unwrap_err();
        assert_eq!(error.kind(), expected);
    }
}

#[tokio::test]
async fn what_the_plugin_returns_is_held_against_its_signature() {
    let house = House::build().await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let plans = [
        (Ok(vec![]), ErrorKind::PluginContract),
        (Ok(vec![vector(&[1.0, 2.0])]), ErrorKind::PluginContract),
        (Err(RunError::Stack), ErrorKind::StackOverflow),
        (
            Err(RunError::Deadline {
                deadline: Duration::from_millis(5),
            }),
            ErrorKind::DeadlineExceeded,
        ),
        (
            Err(RunError::Trapped("a secret of the owner".into())),
            ErrorKind::PluginTrapped,
        ),
    ];
    for (plan, expected) in plans {
        *house.runner.plan.lock().unwrap() = Some(plan);
        let error = house
            .predict(&call(&key), "m", None, 1.0)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), expected);
        assert!(
            !error.to_string().contains("secret"),
            "the caller is not told what the log is told: {error}"
        );
    }
    assert_eq!(
        house.predictor.under_way(),
        0,
        "every permit was given back"
    );
}

#[tokio::test]
async fn more_rows_than_the_version_takes_are_refused() {
    let house = House::with(Limits {
        default_max_rows: 2,
        ..Limits::default()
    })
    .await;
    let key = house.tenant("a", &["infer", "models"]).await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    let rows = |count| Ready {
        model: ModelRef::parse("m", None).unwrap(),
        header: None,
        body: Some(Inputs::Records(vec![vec![("x".into(), Value::Whole(1))]; count]).into()),
    };
    assert_eq!(
        house
            .predictor
            .predict(&call(&key), rows(2))
            .await
            .unwrap()
            .credits,
        2 * MICRO
    );
    let error = house
        .predictor
        .predict(&call(&key), rows(3))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 rows are given, this version takes at most 2 in one request; send fewer"
    );
}
