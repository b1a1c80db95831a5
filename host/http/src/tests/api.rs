//! Management: tenants, keys, models, health.

use serde_json::json;

use super::host::{Host, OPERATOR};

#[tokio::test]
async fn tenants_are_made_listed_and_deleted_by_operators() {
    let host = Host::start().await;
    let created = host
        .post("/api/tenants", OPERATOR, r#"{"name":"acme"}"#)
        .await;
    assert_eq!(created.status, 201);
    let acme = json!({"name": "acme", "created_at": "2026-11-24T22:34:56.123Z"});
    assert_eq!(created.json(), acme);
    assert_eq!(
        host.get("/api/tenants", OPERATOR).await.json(),
        json!({"tenants": [acme]})
    );
    assert_eq!(host.get("/api/tenants/acme", OPERATOR).await.json(), acme);
    let again = host
        .post("/api/tenants", OPERATOR, r#"{"name":"acme"}"#)
        .await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));
    for (body, code) in [
        (r#"{"name":"Acme"}"#, "invalid_input"),
        (r#"{"name":"a","role":"operator"}"#, "malformed"),
        (r#"{"name":"a","name":"b"}"#, "malformed"),
        (r#"{}"#, "malformed"),
        ("", "malformed"),
    ] {
        let refused = host.post("/api/tenants", OPERATOR, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, code),
            "{body}"
        );
    }
    let deleted = host
        .call("DELETE", "/api/tenants/acme", OPERATOR, &[], b"")
        .await;
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"tenant": "acme", "deleted": true}))
    );
    assert_eq!(host.get("/api/tenants/acme", OPERATOR).await.status, 404);
}

#[tokio::test]
async fn a_key_is_shown_once_rotated_with_overlap_and_revoked_at_once() {
    let (host, key) = Host::with_models().await;
    let created = host
        .post(
            "/api/keys",
            &key,
            r#"{"scopes":["infer","models"],"label":"app","expires_in_days":1}"#,
        )
        .await;
    assert_eq!(created.status, 201);
    let body = created.json();
    let (id, secret) = (
        body["id"].as_str().unwrap(),
        body["secret"].as_str().unwrap(),
    );
    assert!(secret.starts_with("ftl_live_"));
    assert_eq!(
        body,
        json!({"id": id, "tenant": "acme", "label": "app", "scopes": ["infer", "models"], "models": null, "secret": secret,
            "created_at": "2026-11-24T22:34:56.123Z", "expires_at": "2026-11-25T22:34:56.123Z", "revoked_at": null, "last_used_at": null})
    );
    let listed = host.get("/api/keys", &key).await;
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 2);
    assert!(!listed.text.contains("secret") && !listed.text.contains("ftl_live_"));

    let rotated = host
        .post(
            &format!("/api/keys/{id}/rotate"),
            &key,
            r#"{"overlap_seconds":3600}"#,
        )
        .await;
    assert_eq!(rotated.status, 201);
    let successor = rotated.json()["secret"].as_str().unwrap().to_owned();
    for good in [secret, &successor] {
        assert_eq!(host.get("/v2/models", good).await.status, 200);
    }
    let revoked = host
        .call("DELETE", &format!("/api/keys/{id}"), &key, &[], b"")
        .await;
    assert_eq!(
        (revoked.status, &revoked.json()["revoked_at"]),
        (200, &json!("2026-11-24T22:34:56.123Z"))
    );
    assert_eq!(host.get("/v2/models", secret).await.status, 401);
    assert_eq!(host.get("/v2/models", &successor).await.status, 200);

    let unknown = host
        .call("DELETE", "/api/keys/key_0000000000000000", &key, &[], b"")
        .await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "not_found")
    );
    let beyond = host
        .post("/api/keys", &key, r#"{"scopes":["operator"]}"#)
        .await;
    assert_eq!((beyond.status, beyond.code().as_str()), (403, "forbidden"));
}

#[tokio::test]
async fn calls_go_where_traffic_is_sent() {
    let (host, key) = Host::with_models().await;
    let second = host
        .call(
            "PUT",
            "/api/models/people/versions/2",
            &key,
            &[],
            b"people, second",
        )
        .await;
    assert_eq!(
        (second.status, &second.json()["active"]),
        (201, &json!(false))
    );
    let model = host.get("/api/models/people", &key).await.json();
    assert_eq!(
        model["traffic"],
        json!({"active": "1", "canary": null, "shadow": null, "revision": 0})
    );
    let versions: Vec<_> = model["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].clone())
        .collect();
    assert_eq!(versions, ["1", "2"]);
    assert_eq!(
        host.get("/api/models", &key).await.json()["models"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let switched = host
        .call(
            "PUT",
            "/api/models/people/traffic",
            &key,
            &[],
            br#"{"active":"2","canary":null,"shadow":null}"#,
        )
        .await;
    assert_eq!(
        (switched.status, &switched.json()["traffic"]),
        (
            200,
            &json!({"active": "2", "canary": null, "shadow": null, "revision": 1})
        )
    );
    let answer = host.post("/api/predict/people", &key, r#"{"age":1}"#).await;
    assert_eq!(answer.header("x-model-version"), Some("2"));
    assert_eq!(
        host.post("/api/predict/people?version=1", &key, r#"{"age":1}"#)
            .await
            .json()["version"],
        "1"
    );
    let mistyped = host
        .post("/api/predict/people?verson=1", &key, r#"{"age":1}"#)
        .await;
    assert_eq!(
        (mistyped.status, &mistyped.json()["code"]),
        (400, &json!("invalid_input"))
    );
    for (body, status, code) in [
        (r#"{"active":"3"}"#, 404, "not_found"),
        (
            r#"{"active":"2","canary":{"version":"2","percent":5}}"#,
            400,
            "invalid_input",
        ),
        (
            r#"{"active":"2","canary":{"version":"1","percnt":5}}"#,
            400,
            "malformed",
        ),
        (
            r#"{"active":"2","canary":{"version":"1","percent":5,"guard":{"trap":1}}}"#,
            400,
            "malformed",
        ),
        (r#"{"active":"1","weight":1}"#, 400, "malformed"),
        (r#"{"active":"1","promote":true}"#, 400, "malformed"),
        (r#"{"promote":true,"rollback":true}"#, 400, "malformed"),
        (r#"{"canary":{"version":"1"}}"#, 400, "malformed"),
        ("{}", 400, "malformed"),
        (
            r#"["1", null, null, false, false, null, null]"#,
            400,
            "malformed",
        ),
        (
            r#"{"active":"2","canary":["1", 5, null, [], null, null]}"#,
            400,
            "malformed",
        ),
        (
            r#"{"active":"2","canary":{"version":"1","percent":5,"percent":6}}"#,
            400,
            "malformed",
        ),
        (r#"{"promote":true}"#, 409, "conflict"),
        (r#"{"active":"1","revision":7}"#, 409, "conflict"),
        (r#"{"active":1}"#, 400, "malformed"),
    ] {
        let refused = host
            .call(
                "PUT",
                "/api/models/people/traffic",
                &key,
                &[],
                body.as_bytes(),
            )
            .await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let active = host
        .call("DELETE", "/api/models/people/versions/2", &key, &[], b"")
        .await;
    assert_eq!((active.status, active.code().as_str()), (409, "conflict"));
    let deleted = host
        .call("DELETE", "/api/models/people/versions/1", &key, &[], b"")
        .await;
    assert_eq!(
        deleted.json(),
        json!({"model": "people", "version": "1", "deleted": true})
    );
    assert_eq!(
        host.get("/api/models/people/versions/1", &key).await.status,
        404
    );
}

#[tokio::test]
async fn health_shows_the_public_a_word_and_operators_the_reasons() {
    let (mut host, key) = Host::with_models().await;
    assert_eq!(
        host.get("/livez", "").await.json(),
        json!({"status": "alive"})
    );
    assert_eq!(
        host.get("/readyz", "").await.json(),
        json!({"status": "ready"})
    );
    assert_eq!(
        host.get("/health", "").await.json(),
        json!({"status": "healthy"})
    );
    let tenant = host.get("/health", &key).await.json();
    assert_eq!(
        tenant,
        json!({"status": "healthy", "checks": {"database": {"status": "healthy"}}})
    );
    let operator = host.get("/health", OPERATOR).await.json();
    assert_eq!(
        operator["checks"]["database"],
        json!({"status": "healthy", "detail": "written and read"})
    );
    assert_eq!(host.get("/health", "wrong").await.status, 401);
    host.stop();
}
