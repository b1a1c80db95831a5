//! `generate`, and what is answered by events.

use serde_json::{Value, json};

use super::host::{Host, Reply, age};

/// The data of the one event that an answer consists of.
fn event(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let data = reply.text.strip_prefix("data: ").unwrap();
    let data = data.strip_suffix("\n\n").unwrap();
    assert!(!data.contains('\n'));
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn inputs_by_name_are_answered_by_outputs_by_name() {
    let (host, key) = Host::with_models().await;
    for (body, y) in [
        (r#"{"id":"7","x":[1,2]}"#, json!([1.0, 2.0])),
        (
            r#"{"id":"7","x":[[1,2]],"parameters":{"temperature":1},"stream":false}"#,
            json!([1.0, 2.0]),
        ),
        (
            r#"{"x":[[1,2],[3,4]],"id":"7"}"#,
            json!([[1.0, 2.0], [3.0, 4.0]]),
        ),
    ] {
        let expected = json!({"model_name": "matrix", "model_version": "1", "id": "7", "y": y});
        for path in [
            "/v2/models/matrix/generate",
            "/v2/models/matrix/versions/1/generate",
        ] {
            let reply = host.post(path, &key, body).await;
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.json(), expected);
        }
        for path in [
            "/v2/models/matrix/generate_stream",
            "/v2/models/matrix/versions/1/generate_stream",
        ] {
            assert_eq!(event(&host.post(path, &key, body).await), expected);
        }
    }
}

#[tokio::test]
async fn a_record_is_generated_from_too() {
    let (host, key) = Host::with_models().await;
    let body = r#"{"age":49,"job":"services","parameters":{}}"#;
    let reply = host.post("/v2/models/people/generate", &key, body).await;
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(
        reply.json(),
        json!({"model_name": "people", "model_version": "1", "id": id, "probability": 0.49, "label": "no"})
    );
    let coded = r#"{"features":[49,1]}"#;
    let reply = host.post("/v2/models/people/generate", &key, coded).await;
    assert_eq!(
        reply.json()["label"],
        0,
        "who speaks in codes is answered in codes"
    );
}

#[tokio::test]
async fn an_inference_is_answered_by_an_event() {
    let (host, key) = Host::with_models().await;
    let body = r#"{"id":"7","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}"#;
    for path in [
        "/v2/models/matrix/infer_stream",
        "/v2/models/matrix/versions/1/infer_stream",
    ] {
        let streamed = host.post(path, &key, body).await;
        assert_eq!(streamed.header("x-model-version"), Some("1"));
        let whole = host.post("/v2/models/matrix/infer", &key, body).await;
        assert_eq!(event(&streamed), whole.json());
    }
    for parameters in [
        r#","parameters":{"binary_data_output":true}}"#,
        r#","outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#,
    ] {
        let body = format!("{}{parameters}", &body[..body.len() - 1]);
        let path = "/v2/models/matrix/infer_stream";
        let reply = host.post(path, &key, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
        assert!(reply.text.contains("a stream carries JSON"));
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_and_no_event() {
    let (host, key) = Host::with_models().await;
    let traps = format!(r#"{{"age":{}}}"#, age::TRAPS);
    for (path, body, status, code) in [
        ("matrix/generate", "{}", 400, "invalid_input"),
        ("matrix/generate", r#"{"y":[1,2]}"#, 400, "invalid_input"),
        ("matrix/generate", r#"{"x":[1]}"#, 400, "invalid_input"),
        (
            "matrix/generate_stream",
            r#"{"x":"text"}"#,
            400,
            "invalid_input",
        ),
        ("matrix/generate_stream", "[]", 400, "malformed"),
        ("people/generate", r#"{"agee":1}"#, 400, "unknown_feature"),
        ("people/generate_stream", "{}", 400, "missing_feature"),
        (
            "people/generate_stream",
            traps.as_str(),
            500,
            "plugin_trapped",
        ),
        ("matrix/infer_stream", "{}", 400, "malformed"),
        ("nobody/generate", "{}", 404, "not_found"),
        ("matrix/versions/7/generate_stream", "{}", 404, "not_found"),
    ] {
        let reply = host.post(&format!("/v2/models/{path}"), &key, body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{path} {body}: {}",
            reply.text
        );
    }
    for verb in ["generate", "generate_stream", "infer_stream"] {
        let path = format!("/v2/models/matrix/{verb}");
        let reply = host.get(&path, &key).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (405, "method_not_allowed")
        );
        assert_eq!(host.post(&path, "", "{}").await.status, 401);
    }
}
