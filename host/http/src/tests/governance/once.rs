//! Requests that are sent again with the same `Idempotency-Key`.

use foretell_predict::Governance;
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, Reply, age};
use super::{Key, PEOPLE, RECORD, done, house, told};

async fn once(host: &Host, path: &str, key: &str, idempotency_key: &str, body: &str) -> Reply {
    let headers = [("idempotency-key", idempotency_key)];
    host.call("POST", path, key, &headers, body.as_bytes())
        .await
}

async fn spent(host: &Host, key: &str) -> Value {
    done(host.get("/api/limits", key).await)["account"]["spent"].take()
}

#[tokio::test]
async fn a_prediction_that_is_sent_again_is_answered_again_for_free() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let infer = r#"{"inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[49,1]}]}"#;
    for (paid, (path, body)) in [
        (PEOPLE, RECORD),
        ("/v1/models/people:predict", r#"{"instances":[[49,1]]}"#),
        ("/v2/models/people/infer", infer),
    ]
    .into_iter()
    .enumerate()
    {
        for (replayed, credits) in [(None, "1"), (Some("true"), "0"), (Some("true"), "0")] {
            let reply = once(&host, path, &owner, path, body).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert_eq!(reply.header("idempotency-replayed"), replayed, "{path}");
            assert_eq!(reply.header("x-credits-used"), Some(credits), "{path}");
            assert!(reply.text.contains("0.49"), "{}", reply.text);
        }
        assert_eq!(spent(&host, &owner).await, paid + 1, "{path}");
    }
    let body = done(once(&host, PEOPLE, &owner, PEOPLE, RECORD).await);
    assert_eq!(body["credits"], 0);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    done(once(&host, PEOPLE, &owner, "k", RECORD).await);
    let reply = once(&host, PEOPLE, &owner, "k", r#"{"age":50}"#).await;
    let words = "this Idempotency-Key was used for another request; make a new one";
    told(&reply, 409, "conflict", words);
    let long = "x".repeat(256);
    for (path, body) in [(PEOPLE, RECORD), ("/api/keys", r#"{"scopes":["infer"]}"#)] {
        let reply = once(&host, path, &owner, &long, body).await;
        let words = "`Idempotency-Key` stands once and has 1 to 255 visible ASCII characters";
        told(&reply, 400, "invalid_input", words);
    }
    assert_eq!(spent(&host, &owner).await, 1);
}

#[tokio::test]
async fn while_a_request_is_under_way_the_same_one_is_told_to_wait() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let waits = format!(r#"{{"age":{}}}"#, age::WAITS);
    let first = once(&host, PEOPLE, &owner, "k", &waits);
    let second = async {
        host.gate.entered.notified().await;
        let reply = once(&host, PEOPLE, &owner, "k", &waits).await;
        host.gate.open.notify_one();
        reply
    };
    let (first, second) = tokio::join!(first, second);
    told(
        &second,
        409,
        "conflict",
        "is under way; send it again in a moment",
    );
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn what_is_made_twice_with_one_key_is_made_once() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let count = async || {
        let keys = done(host.get("/api/keys", &owner).await);
        keys["keys"].as_array().unwrap().len()
    };
    let before = count().await;
    let wish = r#"{"scopes":["infer"],"label":"app"}"#;
    let first = once(&host, "/api/keys", &owner, "k", wish).await;
    let again = once(&host, "/api/keys", &owner, "k", wish).await;
    assert_eq!((first.status, again.status), (201, 201));
    let made = first.json();
    assert!(made["secret"].as_str().unwrap().starts_with("ftl_live_"));
    assert_eq!(again.json(), made);
    assert_eq!(count().await, before + 1);
    let other = r#"{"scopes":["infer"],"label":"another"}"#;
    let reply = once(&host, "/api/keys", &owner, "k", other).await;
    told(&reply, 409, "conflict", "was used for another request");

    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    let overlap = r#"{"overlap_seconds":60}"#;
    let successor = done(once(&host, &rotate, &owner, "r", overlap).await);
    let again = done(once(&host, &rotate, &owner, "r", overlap).await);
    assert_eq!(again, successor);
    assert_eq!(count().await, before + 2);

    let (tenants, name) = ("/api/tenants", r#"{"name":"initech"}"#);
    let first = done(once(&host, tenants, OPERATOR, "t", name).await);
    let again = done(once(&host, tenants, OPERATOR, "t", name).await);
    assert_eq!(again, first);
    let reply = once(&host, tenants, OPERATOR, "t", r#"{"name":"hooli"}"#).await;
    told(&reply, 409, "conflict", "was used for another request");

    let (credits, gift) = ("/api/tenants/initech/credits", r#"{"credits":5}"#);
    for _ in 0..3 {
        let account = done(once(&host, credits, OPERATOR, "c", gift).await);
        assert_eq!(account, json!({"granted": 5, "spent": 0, "balance": 5}));
    }
    let reply = once(&host, credits, OPERATOR, "c", r#"{"credits":6}"#).await;
    told(&reply, 409, "conflict", "was used for another request");
}

#[tokio::test]
async fn what_may_stand_once_is_refused_where_it_stands_twice() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    for name in ["idempotency-key", "x-subject"] {
        let twice = [(name, "a"), (name, "b")];
        let reply = host
            .call("POST", PEOPLE, &owner, &twice, RECORD.as_bytes())
            .await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text);
        assert_eq!(reply.json()["code"], "invalid_input", "{name}");
    }
    assert_eq!(spent(&host, &owner).await, 0);
}
