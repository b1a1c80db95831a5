//! Predictions that are recorded for tenants that want it, and run again.

use foretell_predict::Governance;
use foretell_predict::manage::Quotas;
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, Reply, age};
use super::{Key, NOW, PEOPLE, RECORD, done, house, key, log, put, texts, told};

const RULE: &str = "/api/recording";
const RETENTION: &str = "/api/recording/retention";

/// A server with the tenant `acme`, which records its predictions, and its owner's key.
pub(super) async fn recording(governance: Governance) -> (Host, String) {
    let (host, Key { secret, .. }) = house(governance).await;
    let rule = json!({"enabled": true, "days": 30});
    done(put(&host, RULE, &secret, &rule).await);
    (host, secret)
}

/// A prediction of this request, about this person; the empty text names nobody.
pub(super) async fn predict(host: &Host, key: &str, request: &str, subject: &str) -> Reply {
    let mut headers = vec![("x-request-id", request)];
    if !subject.is_empty() {
        headers.push(("x-subject", subject));
    }
    let body = RECORD.as_bytes();
    host.call("POST", PEOPLE, key, &headers, body).await
}

pub(super) async fn replay(host: &Host, key: &str, request: &str) -> Reply {
    let path = format!("/api/predictions/{request}/replay");
    let headers = [("x-request-id", "again")];
    host.call("POST", &path, key, &headers, b"").await
}

/// What `people` says of the usual record.
pub(super) fn outputs() -> Value {
    json!([
        {"name": "probability", "datatype": "FP64", "shape": [1], "data": [0.49]},
        {"name": "label", "datatype": "UINT32", "shape": [1], "data": [0]},
    ])
}

#[tokio::test]
async fn nothing_is_recorded_before_its_owner_wants_it() {
    let (host, Key { secret: owner, .. }) = house(Governance::unlimited()).await;
    let off = json!({"enabled": false, "days": 30});
    assert_eq!(done(host.get(RULE, &owner).await), off);
    done(predict(&host, &owner, "before", "").await);
    let none = json!({"enabled": false, "days": 30, "recordings": 0, "oldest": null, "due": 0});
    assert_eq!(done(host.get(RETENTION, &owner).await), none);

    let week = json!({"enabled": true, "days": 7});
    assert_eq!(done(put(&host, RULE, &owner, &week).await), week);
    for (path, key) in [
        (RULE, owner.as_str()),
        ("/tenants/acme/api/recording", OPERATOR),
    ] {
        assert_eq!(done(host.get(path, key).await), week, "{path}");
    }
    done(predict(&host, &owner, "after", "").await);
    let one = json!({"enabled": true, "days": 7, "recordings": 1, "oldest": NOW, "due": 0});
    assert_eq!(done(host.get(RETENTION, &owner).await), one);
    let words = "there is no recording of the request `before`";
    told(
        &replay(&host, &owner, "before").await,
        404,
        "not_found",
        words,
    );
    done(replay(&host, &owner, "after").await);

    let set = log(&host, &owner, "&act=recording.set").await;
    assert_eq!(set.len(), 1);
    assert_eq!(set[0]["detail"], json!({"before": off, "after": week}));
}

#[tokio::test]
async fn a_rule_says_all_of_itself_and_nothing_else() {
    let (host, owner) = recording(Governance::unlimited()).await;
    let before = done(host.get(RULE, &owner).await);
    for (body, code, words) in [
        (json!({}), "malformed", "missing field `enabled`"),
        (
            json!({"enabled": false}),
            "malformed",
            "missing field `days`",
        ),
        (
            json!({"enabled": 1, "days": 30}),
            "malformed",
            "expected true or false",
        ),
        (
            json!({"enabled": true, "days": -1}),
            "malformed",
            "expected a whole number, 0 or more",
        ),
        (
            json!({"enabled": true, "days": 30, "subject": "ada"}),
            "malformed",
            "unknown field `subject`",
        ),
        (
            json!({"enabled": true, "days": 0}),
            "invalid_input",
            "`days` is 1 to 3650",
        ),
        (
            json!({"enabled": true, "days": 3_651}),
            "invalid_input",
            "`days` is 1 to 3650",
        ),
    ] {
        let reply = put(&host, RULE, &owner, &body).await;
        told(&reply, 400, code, words);
    }
    assert_eq!(done(host.get(RULE, &owner).await), before);
    let caller = key(&host, "acme", &["infer", "models", "usage", "audit"]).await;
    for (method, path) in [("GET", RULE), ("PUT", RULE), ("GET", RETENTION)] {
        let body = before.to_string();
        let reply = host
            .call(method, path, &caller.secret, &[], body.as_bytes())
            .await;
        told(&reply, 403, "forbidden", "this key lacks the scope `keys`");
    }
}

#[tokio::test]
async fn a_recorded_prediction_is_run_again_and_held_against_what_was_answered() {
    let (host, owner) = recording(Governance::unlimited()).await;
    done(predict(&host, &owner, "first", "").await);
    let reply = replay(&host, &owner, "first").await;
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-request-id", "again"),
        ("x-credits-used", "1"),
        ("x-model-version", "1"),
        ("x-cache", "bypass"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert_eq!(
        done(reply),
        json!({
            "request_id": "again", "replay_of": "first", "model": "people", "version": "1",
            "identical": true, "outputs": outputs(), "recorded_outputs": outputs(), "credits": 1,
        })
    );
    let predicted = log(&host, &owner, "&act=predict").await;
    assert_eq!(texts(&predicted, "request_id"), ["first", "again"]);
    assert_eq!(predicted[1]["detail"]["replay_of"], "first");
    // A replay is charged, and is no other recording.
    let standing = done(host.get("/api/limits", &owner).await);
    assert_eq!(standing["account"]["spent"], 2);
    let held = done(host.get(RETENTION, &owner).await);
    assert_eq!(held["recordings"], 1);
}

#[tokio::test]
async fn what_json_lacks_is_told_to_be_the_same_all_the_same() {
    let (host, owner) = recording(Governance::unlimited()).await;
    let body = format!(
        r#"{{"inputs":[{{"name":"features","datatype":"FP64","shape":[1,2],"data":[{},1]}}]}}"#,
        age::NOT_A_NUMBER
    );
    let headers = [("x-request-id", "first")];
    let path = "/v2/models/people/infer";
    done(
        host.call("POST", path, &owner, &headers, body.as_bytes())
            .await,
    );
    let replayed = done(replay(&host, &owner, "first").await);
    assert_eq!(replayed["identical"], true);
    let no_number = json!({
        "name": "probability", "datatype": "FP64", "shape": [1],
        "parameters": {"non_finite": true}, "data": [null],
    });
    for outputs in ["outputs", "recorded_outputs"] {
        assert_eq!(replayed[outputs][0], no_number, "{outputs}");
    }
}

#[tokio::test]
async fn who_may_not_replay_or_names_nothing_is_told_so_and_counted_once() {
    let (host, owner) = recording(Governance::unlimited()).await;
    done(predict(&host, &owner, "first", "").await);
    let reader = key(&host, "acme", &["infer", "models"]).await.secret;
    let words = "this key lacks the scope `keys`";
    let refused = replay(&host, &reader, "first").await;
    told(&refused, 403, "forbidden", words);
    let unknown = replay(&host, &owner, "not%20an%20id").await;
    let words = "there is no recording of the request `not an id`";
    told(&unknown, 404, "not_found", words);

    let refused = log(&host, &owner, "&act=refuse").await;
    let mut outcomes = texts(&refused, "outcome");
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["forbidden", "not_found"]);
    for row in &refused {
        assert_eq!(row["object"], "predict");
        assert_eq!(row["detail"], json!({"count": 1}));
    }
}

#[tokio::test]
async fn a_replay_is_one_of_the_requests_of_a_window() {
    let governance = Governance {
        quotas: Quotas {
            requests_per_window: Some(2),
            ..Quotas::default()
        },
        ..Governance::unlimited()
    };
    let (host, owner) = recording(governance).await;
    done(predict(&host, &owner, "first", "").await);
    let last = replay(&host, &owner, "first").await;
    assert_eq!(last.status, 200, "{}", last.text);
    assert_eq!(last.header("x-ratelimit-remaining"), Some("0"));
    let refused = replay(&host, &owner, "first").await;
    let words = "this tenant has made the 2 requests that it may make";
    told(&refused, 429, "rate_limited", words);
    assert_eq!(refused.header("x-ratelimit-limit"), Some("2"));
    assert!(refused.header("retry-after").is_some());
}
