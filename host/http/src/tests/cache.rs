//! What the prediction cache shows of itself, and the routes that purge it.

use serde_json::json;

use super::host::{Host, Reply, age};

const RECORD: &str = r#"{"age":49,"job":"services"}"#;
const RECORD_PATH: &str = "/api/predict/steady";

/// A server with the model `steady`, which is deterministic.
async fn steady() -> (Host, String) {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let wasm = [("content-type", "application/wasm")];
    let path = "/api/models/steady/versions/1";
    let reply = host.call("PUT", path, &key, &wasm, b"steady").await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    (host, key)
}

/// Milliseconds of one entry of `Server-Timing`.
fn timing(reply: &Reply, entry: &str) -> f64 {
    let header = reply.header("server-timing").unwrap();
    let mut entries = header
        .split(", ")
        .map(|entry| entry.split_once(";dur=").unwrap());
    let (_, ms) = entries.find(|(name, _)| *name == entry).unwrap();
    ms.parse().unwrap()
}

#[tokio::test]
async fn an_answer_says_that_it_was_given_before() {
    let (host, key) = steady().await;
    for (cache, cached, compute) in [("miss", false, 2.25), ("hit", true, 0.0)] {
        let reply = host.post(RECORD_PATH, &key, RECORD).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.header("x-cache"), Some(cache));
        assert_eq!(reply.json()["cached"], cached);
        assert_eq!(reply.json()["prediction"]["probability"], 0.49);
        assert_eq!(timing(&reply, "compute"), compute, "{cache}");
        assert!(timing(&reply, "cache") >= 0.0);
        assert_eq!(reply.header("x-credits-used"), Some("1"));
    }
}

#[tokio::test]
async fn the_protocols_and_the_choice_of_outputs_share_an_answer() {
    let (host, key) = steady().await;
    host.post(RECORD_PATH, &key, RECORD).await;
    let inputs = r#""inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[49,1]}]"#;
    for (path, body) in [
        ("/v2/models/steady/infer", format!("{{{inputs}}}")),
        (
            "/v2/models/steady/versions/1/infer",
            format!(r#"{{{inputs},"outputs":[{{"name":"label"}}]}}"#),
        ),
        (
            "/v1/models/steady:predict",
            r#"{"instances":[[49,1]]}"#.to_owned(),
        ),
        ("/tenants/acme/api/predict/steady", RECORD.to_owned()),
    ] {
        let reply = host.post(path, &key, &body).await;
        assert_eq!(
            reply.header("x-cache"),
            Some("hit"),
            "{path}: {}",
            reply.text
        );
    }
    // What was asked for by name does not narrow what the next one gets.
    let all = host
        .post("/v2/models/steady/infer", &key, &format!("{{{inputs}}}"))
        .await;
    assert_eq!(all.json()["outputs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn cache_control_has_a_prediction_run_again() {
    let (host, key) = steady().await;
    let ask = async |control: &str| {
        let headers = [("cache-control", control)];
        let reply = host
            .call("POST", RECORD_PATH, &key, &headers, RECORD.as_bytes())
            .await;
        assert_eq!(
            reply.json()["cached"],
            reply.header("x-cache") == Some("hit")
        );
        reply.header("x-cache").unwrap().to_owned()
    };
    for (control, cache) in [
        ("no-store", "bypass"),
        ("", "miss"),
        ("no-cache", "bypass"),
        ("no-store", "bypass"),
        ("max-age=60", "hit"),
    ] {
        assert_eq!(ask(control).await, cache, "{control}");
    }
}

#[tokio::test]
async fn an_error_is_not_given_again() {
    let (host, key) = steady().await;
    let body = format!(r#"{{"age":{}}}"#, age::TRAPS);
    for _ in 0..2 {
        let reply = host.post(RECORD_PATH, &key, &body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (500, "plugin_trapped")
        );
        assert_eq!(reply.header("x-cache"), None);
    }
    let purged = host.call("DELETE", "/api/cache", &key, &[], b"").await;
    assert_eq!(purged.json(), json!({"removed": 0}));
}

#[tokio::test]
async fn a_purge_says_how_many_answers_it_removed() {
    let (host, key) = steady().await;
    for age in [1, 2, 3] {
        host.post(RECORD_PATH, &key, &format!(r#"{{"age":{age}}}"#))
            .await;
    }
    let purge = async |path: &str| host.call("DELETE", path, &key, &[], b"").await;
    let of_model = purge("/api/models/steady/cache").await;
    assert_eq!(of_model.json(), json!({"model": "steady", "removed": 3}));
    let again = host.post(RECORD_PATH, &key, r#"{"age":1}"#).await;
    assert_eq!(again.header("x-cache"), Some("miss"));
    assert_eq!(
        purge("/tenants/acme/api/cache").await.json(),
        json!({"removed": 1})
    );

    let absent = purge("/api/models/nothing/cache").await;
    assert_eq!((absent.status, absent.code().as_str()), (404, "not_found"));
    for path in ["/api/cache", "/api/models/steady/cache"] {
        let wrong = host.get(path, &key).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, Some("DELETE")));
        let nobody = host.call("DELETE", path, "", &[], b"").await;
        assert_eq!(nobody.status, 401, "{path}");
    }
}
