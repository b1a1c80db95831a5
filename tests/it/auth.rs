//! Who may do what, and how keys are kept.

use foretell_tests::host::{Folder, files, key};
use foretell_tests::{Client, OPERATOR_KEY, Tenant, TestHost, guests};
use serde_json::{Value, json};

/// A tenant with the model `m`.
fn host_with_model() -> (TestHost, Tenant) {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    (host, tenant)
}

fn predict(client: &Client) -> foretell_tests::Response {
    client.post("/api/predict/m", &json!({"x": 1.0}))
}

#[test]
fn a_request_without_a_good_key_is_refused_with_the_reason() {
    let (host, tenant) = host_with_model();
    let elsewhere = TestHost::start().tenant("acme");
    let mistyped = {
        let mut key = tenant.key().to_owned();
        let last = if key.pop() == Some('0') { '1' } else { '0' };
        key.push(last);
        key
    };
    let anonymous = host.anonymous();
    for (what, client, reason) in [
        ("no key", anonymous.clone(), "no API key"),
        ("a mistyped key", anonymous.with_key(&mistyped), "mistyped"),
        (
            "a key cut short",
            anonymous.with_key(&tenant.key()[..40]),
            "mistyped",
        ),
        (
            "another server's key",
            anonymous.with_key(elsewhere.key()),
            "unknown",
        ),
        (
            "any text",
            anonymous.with_key("correct-horse-battery-staple"),
            "unknown",
        ),
    ] {
        for (method, path) in [
            ("POST", "/api/predict/m"),
            ("POST", "/api/predict/none"),
            ("POST", "/v2/models/m/infer"),
            ("POST", "/v1/models/m:predict"),
            ("GET", "/v2/models"),
            ("GET", "/api/models"),
            ("GET", "/api/keys"),
            ("GET", "/api/tenants"),
            ("GET", "/tenants/acme/api/models"),
        ] {
            let response = client.send(
                method,
                path,
                &[("content-type", "application/json")],
                b"{}".to_vec(),
            );
            assert_eq!(
                response.status,
                401,
                "{what}, {method} {path}: {}",
                response.text()
            );
            assert_eq!(
                response.code(),
                "unauthenticated",
                "{what}, {method} {path}"
            );
            assert!(
                response.message().contains(reason),
                "{what}, {method} {path}: {}",
                response.message()
            );
            assert_eq!(
                response.header("www-authenticate"),
                Some("Bearer"),
                "{what}, {method} {path}"
            );
        }
    }
    // Either header will do.
    let headers = [
        ("content-type", "application/json"),
        ("x-api-key", tenant.key()),
    ];
    anonymous
        .send("POST", "/api/predict/m", &headers, br#"{"x": 1}"#.to_vec())
        .is(200);
    predict(&tenant).is(200);
}

#[test]
fn what_is_public_asks_for_no_key() {
    let host = TestHost::start();
    for path in [
        "/livez",
        "/readyz",
        "/health",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
    ] {
        host.anonymous().get(path).is(200);
    }
}

#[test]
fn a_revoked_key_opens_nothing_from_that_moment() {
    let (host, tenant) = host_with_model();
    let created = tenant
        .post(
            "/api/keys",
            &json!({"scopes": ["infer"], "label": "for a day", "expires_in_days": 1}),
        )
        .is(201)
        .json();
    let client = host
        .anonymous()
        .with_key(created["secret"].as_str().unwrap());
    // Used, so that the server has it in memory.
    predict(&client).is(200);
    tenant
        .delete(&format!("/api/keys/{}", created["id"].as_str().unwrap()))
        .is(200);
    let response = predict(&client).is(401);
    assert!(
        response.message().contains("revoked"),
        "{}",
        response.message()
    );

    let listed = tenant.get("/api/keys").is(200).json();
    let listed = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["id"] == created["id"])
        .unwrap()
        .clone();
    assert_eq!(listed["label"], "for a day");
    assert!(listed["revoked_at"].is_string(), "{listed}");
    predict(&tenant).is(200);
    // It stays so.
    let host = host.restart();
    assert_eq!(
        predict(&host.anonymous().with_key(client.key())).status,
        401
    );
    predict(&host.anonymous().with_key(tenant.key())).is(200);
}

#[test]
fn a_rotated_key_goes_on_beside_its_successor_for_as_long_as_it_was_given() {
    let (host, tenant) = host_with_model();
    let of = |issued: &Value| {
        host.anonymous()
            .with_key(issued["secret"].as_str().unwrap())
    };
    let first = tenant
        .post("/api/keys", &json!({"scopes": ["infer"]}))
        .is(201)
        .json();
    let rotate = |key: &Value, overlap: u64| {
        let path = format!("/api/keys/{}/rotate", key["id"].as_str().unwrap());
        tenant.post(&path, &json!({"overlap_seconds": overlap}))
    };
    let second = rotate(&first, 3_600).is(201).json();
    assert_eq!(
        second["scopes"],
        json!(["infer"]),
        "a successor may do the same"
    );
    predict(&of(&first)).is(200);
    predict(&of(&second)).is(200);

    let third = rotate(&second, 0).is(201).json();
    let response = predict(&of(&second)).is(401);
    assert!(
        response.message().contains("expired"),
        "{}",
        response.message()
    );
    predict(&of(&third)).is(200);
    assert_eq!(rotate(&second, 0).is(409).code(), "conflict");
    assert_eq!(rotate(&third, 31 * 86_400).is(400).code(), "invalid_input");
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let (host, tenant) = host_with_model();
    let created = tenant
        .post("/api/keys", &json!({"scopes": ["infer"]}))
        .is(201)
        .json();
    let secret = created["secret"].as_str().unwrap().to_owned();
    assert!(
        secret.starts_with("ftl_live_") && secret.len() == 47,
        "{} characters",
        secret.len()
    );
    predict(&host.anonymous().with_key(&secret)).is(200);

    let listed = tenant.get("/api/keys").is(200).text();
    assert!(listed.contains(created["id"].as_str().unwrap()));
    for secret in [secret.as_str(), tenant.key()] {
        assert!(
            !listed.contains(secret) && !listed.contains("secret"),
            "a list shows secrets"
        );
    }
    let folder = host.stop();
    let kept = files(&folder.data());
    assert!(kept.len() > 5, "{kept:?}");
    for (file, _) in kept {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [secret.as_str(), tenant.key(), OPERATOR_KEY] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", file.display());
        }
    }
}

#[test]
fn another_operators_key_revokes_the_one_before() {
    const OTHER: &str = "another-operator-key";
    let host = TestHost::start();
    host.operator().get("/api/tenants").is(200);
    let host = host.stop().start_with_key("", OTHER);
    assert_eq!(
        host.operator().get("/api/tenants").is(401).code(),
        "unauthenticated"
    );
    host.anonymous().with_key(OTHER).get("/api/tenants").is(200);
    // A tenant's key, and one that was revoked, are never an operator's.
    let tenant = foretell_tests::host::tenant(&host.anonymous().with_key(OTHER), "acme");
    assert_eq!(tenant.get("/api/tenants").is(403).code(), "forbidden");
}

/// A request with the scopes of which any will do, and the status of those who may.
struct Route {
    method: &'static str,
    path: &'static str,
    body: Value,
    scopes: &'static [&'static str],
    status: u16,
}

const fn route(
    method: &'static str,
    path: &'static str,
    scopes: &'static [&'static str],
    status: u16,
) -> Route {
    Route {
        method,
        path,
        body: Value::Null,
        scopes,
        status,
    }
}

fn with_body(route: Route, body: Value) -> Route {
    Route { body, ..route }
}

/// Every route of a tenant. Who may, gets as far as a model or key that is not there, so that nothing changes.
fn tenant_routes() -> Vec<Route> {
    const INFER: &[&str] = &["infer"];
    const READ: &[&str] = &["infer", "models"];
    const WRITE: &[&str] = &["models"];
    const KEYS: &[&str] = &["keys"];
    let tensors =
        json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]});
    vec![
        with_body(
            route("POST", "/api/predict/m", INFER, 200),
            json!({"x": 1.0}),
        ),
        with_body(
            route("POST", "/api/predict/none", INFER, 404),
            json!({"x": 1.0}),
        ),
        with_body(
            route("POST", "/v2/models/m/infer", INFER, 200),
            tensors.clone(),
        ),
        with_body(
            route("POST", "/v2/models/m/versions/1/infer", INFER, 200),
            tensors,
        ),
        with_body(
            route("POST", "/v1/models/m:predict", INFER, 200),
            json!({"instances": [1.0]}),
        ),
        route("GET", "/v2/models", READ, 200),
        route("GET", "/v2/models/m", READ, 200),
        route("GET", "/v2/models/m/ready", READ, 200),
        route("GET", "/v2/models/m/versions/1", READ, 200),
        route("GET", "/v1/models", READ, 200),
        route("GET", "/v1/models/m", READ, 200),
        route("GET", "/api/models", READ, 200),
        route("GET", "/api/models/m", READ, 200),
        route("GET", "/api/models/m/versions/1", READ, 200),
        with_body(
            route("PUT", "/api/models/m/versions/2", WRITE, 422),
            json!("no plugin"),
        ),
        with_body(
            route("PUT", "/api/models/none/traffic", WRITE, 404),
            json!({"active": "1"}),
        ),
        route("DELETE", "/api/models/none/versions/1", WRITE, 404),
        route("GET", "/api/keys", KEYS, 200),
        with_body(
            route("POST", "/api/keys", KEYS, 201),
            json!({"scopes": ["keys"]}),
        ),
        with_body(
            route("POST", "/api/keys/key_0000000000000000/rotate", KEYS, 404),
            json!({"overlap_seconds": 0}),
        ),
        route("DELETE", "/api/keys/key_0000000000000000", KEYS, 404),
    ]
}

/// Every route of the host.
fn operator_routes() -> Vec<Route> {
    const OPERATOR: &[&str] = &["operator"];
    vec![
        route("GET", "/api/tenants", OPERATOR, 200),
        with_body(
            route("POST", "/api/tenants", OPERATOR, 409),
            json!({"name": "acme"}),
        ),
        route("GET", "/api/tenants/acme", OPERATOR, 200),
        route("DELETE", "/api/tenants/nobody", OPERATOR, 404),
    ]
}

#[track_caller]
fn expect(who: &str, client: &Client, route: &Route, status: u16, code: Option<&str>) {
    let content_type = if route.path.contains("/versions/2") {
        "application/wasm"
    } else {
        "application/json"
    };
    let body = if route.body.is_null() {
        Vec::new()
    } else {
        route.body.to_string().into()
    };
    let response = client.send(
        route.method,
        route.path,
        &[("content-type", content_type)],
        body,
    );
    assert_eq!(
        response.status,
        status,
        "{who}, {} {}: {}",
        route.method,
        route.path,
        response.text()
    );
    if let Some(code) = code {
        assert_eq!(
            response.code(),
            code,
            "{who}, {} {}",
            route.method,
            route.path
        );
    }
}

#[test]
fn a_key_opens_the_routes_of_its_scopes_in_its_own_tenant_and_no_others() {
    let (host, _) = host_with_model();
    host.tenant("other");
    let operator = host.operator();
    let holders = ["infer", "models", "keys", "usage", "audit"].map(|scope| {
        (
            scope,
            host.anonymous().with_key(&key(&operator, "acme", &[scope])),
        )
    });
    for route in &tenant_routes() {
        for (scope, client) in &holders {
            let (status, code) = if route.scopes.contains(scope) {
                (route.status, None)
            } else {
                (403, Some("forbidden"))
            };
            expect(scope, client, route, status, code);
            expect(
                &format!("{scope} at its own prefix"),
                &client.under("/tenants/acme"),
                route,
                status,
                code,
            );
            expect(
                &format!("{scope} at another's prefix"),
                &client.under("/tenants/other"),
                route,
                404,
                Some("not_found"),
            );
            expect(
                &format!("{scope} at nobody's prefix"),
                &client.under("/tenants/nobody"),
                route,
                404,
                Some("not_found"),
            );
        }
        expect(
            "an operator without prefix",
            &operator,
            route,
            400,
            Some("tenant_required"),
        );
        expect(
            "an operator with prefix",
            &operator.under("/tenants/acme"),
            route,
            route.status,
            None,
        );
        expect(
            "an operator at nobody's prefix",
            &operator.under("/tenants/nobody"),
            route,
            404,
            Some("not_found"),
        );
    }
    for route in &operator_routes() {
        for (scope, client) in &holders {
            expect(scope, client, route, 403, Some("forbidden"));
        }
        expect("an operator", &operator, route, route.status, None);
    }
}

#[test]
fn the_keys_of_a_deleted_tenant_open_nothing() {
    let (host, tenant) = host_with_model();
    predict(&tenant).is(200);
    host.operator().delete("/api/tenants/acme").is(200);
    predict(&tenant).is(401);
    assert_eq!(
        host.operator()
            .get("/tenants/acme/api/models")
            .is(404)
            .code(),
        "not_found"
    );
    assert_eq!(
        host.operator()
            .post("/api/tenants", &json!({"name": "acme"}))
            .is(409)
            .code(),
        "conflict"
    );
    assert!(
        files(&host.data().join("blobs")).is_empty(),
        "its content is gone"
    );
}

#[test]
fn a_first_start_without_a_key_in_the_configuration_serves_all_the_same() {
    // The key that it makes is printed by the command, not by the library: see the tests of the process.
    let host = Folder::new().start_with_key("", "");
    host.anonymous().get("/livez").is(200);
    host.operator().get("/api/tenants").is(401);
}
