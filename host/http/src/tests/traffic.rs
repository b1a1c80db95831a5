//! Where calls go: the same through every door, and shown to whoever owns the model.

use prost::Message;
use serde_json::{Value, json};

use super::grpc::{call, frame, matrix, raw_call};
use super::host::{Host, Reply};

const TRAFFIC: &str = "/api/models/matrix/traffic";

async fn set(host: &Host, key: &str, body: Value) -> Reply {
    host.call("PUT", TRAFFIC, key, &[], body.to_string().as_bytes())
        .await
}

/// A host whose model `matrix` has versions 1 and 2, and version 3 with other inputs.
async fn with_versions() -> (Host, String) {
    let (host, key) = Host::with_models().await;
    for (version, plugin) in [("2", "matrix, second"), ("3", "people")] {
        let path = format!("/api/models/matrix/versions/{version}");
        let pushed = host.call("PUT", &path, &key, &[], plugin.as_bytes()).await;
        assert_eq!(pushed.status, 201, "{}", pushed.text);
    }
    (host, key)
}

#[tokio::test]
async fn a_header_sends_a_call_to_the_canary_through_every_door() {
    let (host, key) = with_versions().await;
    let canary = json!({"version": "2", "header": {"name": "X-Group", "value": "beta"}});
    let reply = set(&host, &key, json!({"active": "1", "canary": canary})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    for (path, body) in [
        (
            "/v2/models/matrix/infer",
            r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#,
        ),
        ("/v1/models/matrix:predict", r#"{"instances":[[1,2]]}"#),
        ("/v2/models/matrix/generate", r#"{"x":[[1,2]]}"#),
    ] {
        for (group, version) in [("beta", "2"), ("alpha", "1")] {
            let headers = [("x-group", group)];
            let reply = host
                .call("POST", path, &key, &headers, body.as_bytes())
                .await;
            assert_eq!(
                (reply.status, reply.header("x-model-version")),
                (200, Some(version)),
                "{path}: {}",
                reply.text
            );
        }
        let reply = host.post(path, &key, body).await;
        assert_eq!(reply.header("x-model-version"), Some("1"), "{path}");
    }
    let message = matrix(&[1.0, 2.0]);
    for (group, version) in [("beta", "2"), ("alpha", "1")] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("x-group", group)];
        let framed = frame(&message.encode_to_vec());
        let called = raw_call(&host, "ModelInfer", &headers, framed).await;
        assert_eq!(called.metadata["x-model-version"], version);
    }
    let called = call(&host, "ModelInfer", &key, &message).await;
    assert_eq!(called.metadata["x-model-version"], "1");
    // What a model is, it is as its active version, also to whom another answers.
    let others = json!({"version": "3", "header": {"name": "x-group", "value": "beta"}});
    let reply = set(&host, &key, json!({"active": "1", "canary": others})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let metadata = host
        .call(
            "GET",
            "/v2/models/matrix",
            &key,
            &[("x-group", "beta")],
            b"",
        )
        .await;
    assert_eq!(metadata.json()["inputs"][0]["name"], "x");
}

#[tokio::test]
async fn traffic_is_shown_with_how_each_version_does_and_who_changed_what() {
    let (host, key) = with_versions().await;
    let id = host.get("/api/keys", &key).await.json()["keys"][0]["id"].clone();
    let canary = json!({"version": "2", "percent": 100, "guard": {"traps": 1}});
    let sent = json!({"active": "1", "canary": canary, "shadow": null, "reason": "2 is better"});
    assert_eq!(set(&host, &key, sent).await.status, 200);
    host.post(
        "/v1/models/matrix:predict",
        &key,
        r#"{"instances":[[1,2]]}"#,
    )
    .await;
    let report = host.get(TRAFFIC, &key).await.json();
    let shown = json!({
        "active": "1",
        "canary": {
            "version": "2", "percent": 100.0, "header": null, "keys": [], "sticky": "x-request-key",
            "guard": {"window": 100, "min_calls": 20, "error_percent": 5.0, "traps": 1, "latency_ms": null},
        },
        "shadow": null,
        "revision": 1,
    });
    assert_eq!(
        (&report["model"], &report["traffic"]),
        (&json!("matrix"), &shown)
    );
    let change = &report["changes"][0];
    assert_eq!(
        (
            &change["revision"],
            &change["by"],
            &change["reason"],
            &change["at"]
        ),
        (
            &json!(1),
            &id,
            &json!("2 is better"),
            &json!("2026-11-24T22:34:56.123Z")
        )
    );
    assert_eq!(
        change["before"],
        json!({"active": "1", "canary": null, "shadow": null})
    );
    assert_eq!(change["after"]["canary"], shown["canary"]);
    let versions = report["versions"].as_array().unwrap();
    let outline: Vec<_> = versions
        .iter()
        .map(|version| (&version["version"], &version["role"], &version["answered"]))
        .collect();
    let (none, zero) = (json!(null), json!(0));
    assert_eq!(
        outline,
        [
            (&json!("1"), &json!("active"), &zero),
            (&json!("2"), &json!("canary"), &json!(1)),
            (&json!("3"), &none, &zero)
        ]
    );
    assert!(versions[1]["p99_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&versions[0]["p99_ms"], &versions[0]["shadow"]),
        (&none, &none)
    );

    // What is shown can be sent back, and then changes nothing.
    assert_eq!(set(&host, &key, shown).await.status, 200);
    let promoted = set(&host, &key, json!({"promote": true})).await.json();
    assert_eq!(
        promoted["traffic"],
        json!({"active": "2", "canary": null, "shadow": null, "revision": 2})
    );
    let back = set(&host, &key, json!({"rollback": true, "revision": 2}))
        .await
        .json();
    assert_eq!(back["traffic"]["active"], "1");
}

#[tokio::test]
async fn calls_made_for_other_inputs_are_not_sent_to_a_version_and_its_deletion_waits() {
    let (host, key) = with_versions().await;
    for body in [
        json!({"active": "1", "canary": {"version": "3", "percent": 1}}),
        json!({"active": "1", "shadow": "3"}),
    ] {
        let refused = set(&host, &key, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "invalid_input")
        );
        assert!(
            refused
                .text
                .contains("`features` FP64 [-1, 2] instead of `x` FP32 [-1, 2]"),
            "{}",
            refused.text
        );
    }
    // Whoever names it in a header knows it.
    let header = json!({"name": "x-api", "value": "2"});
    let canary = json!({"version": "3", "header": header});
    let set_to = set(
        &host,
        &key,
        json!({"active": "1", "canary": canary, "shadow": "2"}),
    )
    .await;
    assert_eq!(set_to.status, 200, "{}", set_to.text);
    for version in ["1", "2", "3"] {
        let path = format!("/api/models/matrix/versions/{version}");
        let refused = host.call("DELETE", &path, &key, &[], b"").await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"));
    }
    let elsewhere = host.tenant("globex").await;
    let hidden = host.get(TRAFFIC, &elsewhere).await;
    let nothing = host.get("/api/models/nothing/traffic", &elsewhere).await;
    assert_eq!((hidden.status, nothing.status), (404, 404));
}
