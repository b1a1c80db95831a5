//! Calls that are done once however often they are sent.

use std::sync::Arc;

use foretell_predict::account::MICRO;
use foretell_predict::manage::{Act, AuditQuery, NewKeyRequest, Page};
use foretell_predict::{Call, Governance, PredictError};
use foretell_types::ErrorKind;
use tokio::sync::Semaphore;

use crate::house::{House, OPERATOR, call, on};

async fn house() -> (House, String) {
    let house = House::build().await;
    let key = house
        .tenant("a", &["infer", "models", "keys", "usage"])
        .await;
    house.push(&key, "m", "1", b"one").await.unwrap();
    house.push(&key, "n", "1", b"one").await.unwrap();
    (house, key)
}

fn once(call: Call, key: &str) -> Call {
    Call {
        idempotency_key: Some(key.into()),
        ..call
    }
}

async fn spent(house: &House) -> i64 {
    let standing = house.manager.tenant_standing(&call(OPERATOR), "a").await;
    standing.unwrap().account.spent
}

#[tokio::test]
async fn a_prediction_that_is_sent_again_is_answered_again_and_charged_once() {
    let (house, key) = house().await;
    assert_eq!(Governance::unlimited().price.prediction, Some(MICRO));
    let asked = once(call(&key), "7d0f");
    for is_repeated in [false, true, true] {
        let answer = house.answer(&asked, "m", None, 1.0).await.unwrap();
        assert_eq!(answer.is_repeated, is_repeated);
        assert_eq!(answer.credits, if is_repeated { 0 } else { MICRO });
        assert_eq!(answer.outputs[0].elements().number(0), Some(2.0));
    }
    assert_eq!(spent(&house).await, MICRO);
    // Of another key of ours, and of another caller, it is another call.
    house
        .answer(&once(call(&key), "7d10"), "m", None, 1.0)
        .await
        .unwrap();
    let second = house.key(&call(&key), &["infer"]).await;
    house
        .answer(&once(call(&second), "7d0f"), "m", None, 1.0)
        .await
        .unwrap();
    assert_eq!(spent(&house).await, 3 * MICRO);
}

#[tokio::test]
async fn a_key_that_is_used_for_something_else_is_refused() {
    let (house, key) = house().await;
    let asked = once(call(&key), "k");
    house.answer(&asked, "m", None, 1.0).await.unwrap();
    for (model, x) in [("m", 2.0), ("n", 1.0)] {
        let error = house.answer(&asked, model, None, x).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{model} {x}");
        assert!(error.to_string().contains("for another request"), "{error}");
    }
    let long = "x".repeat(256);
    for none in ["", "\u{e9}", "a\nb", &long] {
        let error = house
            .answer(&once(call(&key), none), "m", None, 1.0)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{none:?}");
    }
    assert_eq!(spent(&house).await, MICRO);
}

#[tokio::test]
async fn while_a_call_is_under_way_the_same_one_waits_outside() {
    let (house, key) = house().await;
    let house = Arc::new(house);
    let held = Arc::new(Semaphore::new(0));
    *house.runner.held.lock().unwrap() = Some(Arc::clone(&held));
    let asking = {
        let (house, asked) = (Arc::clone(&house), once(call(&key), "k"));
        tokio::spawn(async move { house.answer(&asked, "m", None, 1.0).await })
    };
    while house.runs() == 0 {
        tokio::task::yield_now().await;
    }
    let error = house
        .answer(&once(call(&key), "k"), "m", None, 1.0)
        .await
        .unwrap_err();
    assert!(matches!(&error, PredictError::Conflict(m) if m.contains("under way")));
    // Its caller hangs up: it is charged, and what it brought is not taken before that is written.
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    *house.runner.held.lock().unwrap() = None;
    let answer = loop {
        match house.answer(&once(call(&key), "k"), "m", None, 1.0).await {
            Err(PredictError::Conflict(_)) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    assert!(answer.is_repeated);
    assert_eq!(spent(&house).await, MICRO);
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_and_is_charged_then() {
    let (house, key) = house().await;
    let asked = once(call(&key), "k");
    let error = house.answer(&asked, "absent", None, 1.0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let answer = house.answer(&asked, "m", None, 1.0).await.unwrap();
    assert!(!answer.is_repeated);
    assert_eq!(spent(&house).await, MICRO);
}

#[tokio::test]
async fn keys_tenants_and_credits_are_made_once() {
    let (house, key) = house().await;
    let manager = &house.manager;
    let wish = |label: &str| NewKeyRequest {
        label: Some(label.to_owned()),
        scopes: vec!["infer".to_owned()],
        ..NewKeyRequest::default()
    };
    let asked = once(call(&key), "k");
    let first = manager.create_key(&asked, wish("x")).await.unwrap();
    let again = manager.create_key(&asked, wish("x")).await.unwrap();
    assert_eq!(first.secret, again.secret);
    assert_eq!(first.record.id, again.record.id);
    assert_eq!(manager.list_keys(&call(&key)).await.unwrap().len(), 2);
    let other = manager.create_key(&asked, wish("y")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    let id = first.record.id.as_str();
    manager.revoke_key(&call(&key), id).await.unwrap();
    let gone = manager.create_key(&asked, wish("x")).await.unwrap_err();
    assert!(gone.to_string().contains("is gone"), "{gone}");

    let operator = once(call(OPERATOR), "t");
    manager.create_tenant(&operator, "b").await.unwrap();
    manager.create_tenant(&operator, "b").await.unwrap();
    let other = manager.create_tenant(&operator, "c").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);

    let operator = once(call(OPERATOR), "g");
    for _ in 0..3 {
        let account = manager
            .grant_credits(&operator, "b", 5 * MICRO, "gift")
            .await;
        assert_eq!(account.unwrap().granted, 5 * MICRO);
    }
    let other = manager
        .grant_credits(&operator, "b", 6 * MICRO, "gift")
        .await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
    let query = AuditQuery {
        act: Some(Act::CreditsGrant),
        ..AuditQuery::default()
    };
    let page = manager
        .audit(&on(OPERATOR, "b"), query, Page::After(0), 10)
        .await;
    assert_eq!(page.unwrap().len(), 1);
}
