//! The repository routes: what there is, out of service and back, and uploads as clients of Triton send them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::host::{Host, OPERATOR};

const INDEX: &str = "/v2/repository/index";
const RECORD: &str = r#"{"age":49}"#;

fn act(model: &str, verb: &str) -> String {
    format!("/v2/repository/models/{model}/{verb}")
}

#[tokio::test]
async fn a_model_is_taken_out_of_service_and_put_back() {
    let (host, key) = Host::with_models().await;
    let reply = host.post(&act("people", "unload"), &key, "{}").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    let entry = |name: &str, state: &str, reason: &str| json!({"name": name, "version": "1", "state": state, "reason": reason});
    let all = [
        entry("matrix", "READY", ""),
        entry("people", "UNAVAILABLE", "unloaded"),
    ];
    for body in ["", "{}", r#"{"ready":false}"#] {
        assert_eq!(host.post(INDEX, &key, body).await.json(), json!(all));
    }
    let ready = host.post(INDEX, &key, r#"{"ready":true}"#).await;
    assert_eq!(ready.json(), json!([all[0]]));

    for (method, path, body) in [
        ("POST", "/api/predict/people", RECORD),
        ("POST", "/v2/models/people/infer", "{}"),
        ("POST", "/v2/models/people/versions/1/infer", "{}"),
        ("POST", "/v1/models/people:predict", "{}"),
        ("GET", "/v2/models/people/ready", ""),
        ("GET", "/v2/models/people/versions/1/ready", ""),
        ("GET", "/v1/models/people", ""),
    ] {
        let reply = host.call(method, path, &key, &[], body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "model_unloaded"),
            "{path}"
        );
        assert!(reply.header("retry-after").is_some());
        assert!(
            reply
                .text
                .contains("POST /v2/repository/models/people/load"),
            "{}",
            reply.text
        );
    }
    for path in ["/v2/models/people", "/v2/models/people/config"] {
        assert_eq!(host.get(path, &key).await.status, 200, "{path}");
    }

    let reply = host.post(&act("people", "load"), &key, "").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    let reply = host.post("/api/predict/people", &key, RECORD).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_client_of_triton_uploads_a_version_by_load() {
    let (host, key) = Host::with_models().await;
    let load = |version: &str, plugin: &[u8]| {
        json!({"parameters": {
            "config": r#"{"parameters": {"k": {"string_value": "v"}}}"#,
            format!("file:{version}/model.wasm"): STANDARD.encode(plugin),
            format!("file:{version}/runtime.json"): STANDARD.encode(r#"{"max_rows": 3}"#),
        }})
        .to_string()
    };
    for body in [load("1", b"people"), load("1", b"people")] {
        let reply = host.post(&act("fresh", "load"), &key, &body).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, ""), "twice");
    }
    let reply = host.post("/api/predict/fresh", &key, RECORD).await;
    assert_eq!(reply.header("x-model-version"), Some("1"));
    let version = host.get("/api/models/fresh/versions/1", &key).await.json();
    assert_eq!(version["settings"], json!({"k": "v"}));
    assert_eq!(version["runtime"]["max_rows"], 3);

    host.post(&act("fresh", "unload"), &key, "").await;
    let reply = host
        .post(&act("fresh", "load"), &key, &load("2", b"people, again"))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = host.post("/api/predict/fresh", &key, RECORD).await;
    assert_eq!(reply.header("x-model-version"), Some("2"), "in service");

    let reply = host
        .post(&act("fresh", "load"), &key, &load("2", b"people, changed"))
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (409, "conflict"));
    assert!(reply.text.contains("failed to load 'fresh': version `2`"));
    let reply = host
        .post(&act("fresh", "load"), &key, &load("3", b"not wasm"))
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (422, "upload_refused")
    );
    assert!(reply.text.contains("failed to load 'fresh': the upload"));
}

#[tokio::test]
async fn who_may_not_and_what_is_not_there_are_told_so() {
    let (host, key) = Host::with_models().await;
    let body = br#"{"scopes":["infer"]}"#;
    let reply = host.call("POST", "/api/keys", &key, &[], body).await;
    let caller = reply.json()["secret"].as_str().unwrap().to_owned();
    let other = host.tenant("other").await;
    let (load, unload) = (act("people", "load"), act("people", "unload"));
    for (method, path, key, body, status, code) in [
        ("POST", &load, "", "", 401, "unauthenticated"),
        ("POST", &unload, "", "", 401, "unauthenticated"),
        ("POST", &INDEX.to_owned(), "", "", 401, "unauthenticated"),
        ("POST", &load, &caller, "", 403, "forbidden"),
        ("POST", &unload, &caller, "", 403, "forbidden"),
        ("POST", &load, &other, "", 404, "not_found"),
        ("POST", &unload, &other, "", 404, "not_found"),
        ("POST", &act("no one", "unload"), &key, "", 404, "not_found"),
        ("POST", &act("nobody", "load"), &key, "", 404, "not_found"),
        ("POST", &act("a%2fb", "load"), &key, "", 404, "not_found"),
        ("POST", &load, OPERATOR, "", 400, "tenant_required"),
        ("GET", &load, &key, "", 405, "method_not_allowed"),
        ("GET", &unload, &key, "", 405, "method_not_allowed"),
        (
            "GET",
            &INDEX.to_owned(),
            &key,
            "",
            405,
            "method_not_allowed",
        ),
        ("POST", &load, &key, "[]", 400, "malformed"),
        ("POST", &unload, &key, "x", 400, "malformed"),
        ("POST", &INDEX.to_owned(), &key, "[]", 400, "malformed"),
        ("POST", &act("people", "reload"), &key, "", 404, "not_found"),
    ] {
        let path = path.replace(' ', "%20");
        let reply = host.call(method, &path, key, &[], body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{method} {path}: {}",
            reply.text
        );
    }
    let reply = host.post(INDEX, &caller, "").await;
    assert_eq!(reply.status, 200, "a caller may look");
    assert_eq!(host.post(INDEX, &other, "").await.json(), json!([]));
}

#[tokio::test]
async fn the_configuration_is_told_in_triton_s_words() {
    let (host, key) = Host::with_models().await;
    for path in [
        "/v2/models/people/config",
        "/v2/models/people/versions/1/config",
    ] {
        let config: Value = host.get(path, &key).await.json();
        assert_eq!(config["name"], "people");
        assert_eq!(config["platform"], "foretell_wasm");
        assert_eq!(config["max_batch_size"], 10_240);
        assert_eq!(
            config["input"],
            json!([{"name": "features", "data_type": "TYPE_FP64", "dims": [2]}])
        );
        assert_eq!(
            config["output"][1],
            json!({"name": "label", "data_type": "TYPE_UINT32", "dims": []})
        );
        assert_eq!(config["response_cache"], json!({"enable": false}));
    }
    let reply = host.get("/v2/models/nobody/config", &key).await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
}
