//! The document against the server: every route is in it, and what is in it is a route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::host::Host;
use crate::openapi::{DOCUMENT, OPERATIONS};

/// The methods of each path.
fn paths() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut paths: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for operation in OPERATIONS.iter() {
        assert!(
            paths
                .entry(operation.path)
                .or_default()
                .insert(operation.method),
            "{} {} stands twice",
            operation.method,
            operation.path
        );
    }
    paths
}

/// A path with names in it that nothing has.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    for piece in path.split_inclusive(['{', '}']) {
        match piece.strip_suffix(['{', '}']) {
            Some(name) if piece.ends_with('}') => filled += &format!("no-{name}"),
            Some(text) => filled += text,
            None => filled += piece,
        }
    }
    filled
}

#[tokio::test]
async fn every_operation_of_the_document_is_a_route_and_no_path_has_other_methods() {
    let (host, key) = Host::with_models().await;
    for (path, methods) in paths() {
        let target = filled(path);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let reply = host.call(method, &target, &key, &[], b"").await;
            let is_there = methods.contains(method);
            assert_eq!(
                reply.status != 405,
                is_there,
                "{method} {target}: {}",
                reply.text
            );
            if is_there {
                assert!(
                    !reply.text.contains("there is no route"),
                    "{method} {target}: {}",
                    reply.text
                );
            } else {
                let mut allowed: BTreeSet<_> = reply.header("allow").unwrap().split(", ").collect();
                allowed.remove("HEAD");
                assert_eq!(allowed, methods, "{target}");
            }
        }
    }
}

#[tokio::test]
async fn what_an_operation_answers_is_documented() {
    let (host, key) = Host::with_models().await;
    let document = host.get("/openapi.json", "").await.json();
    for operation in OPERATIONS.iter() {
        let described = &document["paths"][operation.path][operation.method.to_lowercase()];
        for (name, key) in [
            ("with a key", key.as_str()),
            ("without one", ""),
            ("with a wrong one", "wrong"),
        ] {
            for body in ["", "{}", "[]", "nonsense"] {
                let target = filled(operation.path);
                let reply = host
                    .call(operation.method, &target, key, &[], body.as_bytes())
                    .await;
                let response = &described["responses"][reply.status.to_string()];
                let what = format!(
                    "{} {target} {name}, body `{body}`: {} {}",
                    operation.method, reply.status, reply.text
                );
                assert!(response.is_object(), "{what}");
                if let Some(found) = reply.header("content-type") {
                    let essence = found.split(';').next().unwrap();
                    assert!(
                        response["content"].get(essence).is_some(),
                        "{what}: {found}"
                    );
                }
            }
        }
    }
}

#[test]
fn headers_that_a_call_may_bring_are_documented_where_they_mean_something() {
    const NEW: &[&str] = &["Cache-Control", "X-Subject", "Idempotency-Key"];
    const ONCE: &[&str] = &["Idempotency-Key"];
    for (method, path, expected) in [
        ("post", "/api/predict/{model}", NEW),
        ("post", "/v1/models/{model}:predict", NEW),
        ("post", "/v2/models/{model}/versions/{version}/infer", NEW),
        ("post", "/api/predictions/{request_id}/replay", ONCE),
        ("post", "/api/keys", ONCE),
        ("post", "/api/keys/{id}/rotate", ONCE),
        ("post", "/api/tenants", ONCE),
        ("post", "/api/tenants/{tenant}/credits", ONCE),
        ("put", "/api/recording", &[]),
        ("get", "/api/keys", &[]),
    ] {
        let operation = &DOCUMENT["paths"][path][method];
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let headers: Vec<_> = parameters
            .filter(|parameter| parameter["in"] == "header")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(headers, expected, "{path}");
        let responses = &operation["responses"];
        let is_once = !expected.is_empty();
        assert_eq!(responses.get("409").is_some(), is_once, "{path}");
        let told = &responses["200"]["headers"]["Idempotency-Replayed"];
        let predicts = path.contains("/pred") || path.contains("/models/");
        assert_eq!(told.is_object(), predicts, "{path}");
    }
}

#[tokio::test]
async fn references_lead_somewhere_and_every_schema_is_used() {
    let (host, _) = Host::with_models().await;
    let document = host.get("/openapi.json", "").await.json();
    let text = document.to_string();
    let mut used = BTreeSet::new();
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        used.insert(pointer.rsplit('/').next().unwrap().to_owned());
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<String> = schemas.keys().cloned().collect();
    assert_eq!(used, known);
}

#[tokio::test]
async fn a_model_is_described_by_its_signature() {
    let (host, key) = Host::with_models().await;
    let path = "/api/models/people/openapi.json";
    let document = host.get(path, &key).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let record = &document["components"]["schemas"]["Record"];
    assert_eq!(
        record["properties"],
        json!({
            "age": {"type": "integer", "minimum": 0.0, "maximum": 120.0},
            "job": {"type": ["string", "null"], "enum": ["admin", "services", null]},
        })
    );
    assert_eq!(
        (&record["required"], &record["additionalProperties"]),
        (&json!(["age"]), &json!(false))
    );
    let prediction = &document["components"]["schemas"]["Prediction"]["properties"];
    assert_eq!(prediction["label"], json!({"enum": ["no", "yes"]}));
    let input = &document["components"]["schemas"]["InferRequest"]["properties"]["inputs"]["items"]
        ["oneOf"][0];
    assert_eq!(
        (
            &input["properties"]["name"],
            &input["properties"]["datatype"]
        ),
        (&json!({"const": "features"}), &json!({"const": "FP64"}))
    );
    assert_eq!(
        input["properties"]["shape"]["prefixItems"],
        json!([{"type": "integer", "minimum": 1}, {"const": 2}])
    );
    let paths = |document: &Value| -> Vec<String> {
        document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(
        paths(&document),
        [
            "/api/predict/people",
            "/v2/models/people/infer",
            "/v1/models/people:predict"
        ]
    );
    let named = host.get(&format!("{path}?version=1"), &key).await.json();
    assert_eq!(paths(&named)[1], "/v2/models/people/versions/1/infer");
    for (path, status) in [
        ("/api/models/people/openapi.json?version=9", 404),
        ("/api/models/people/openapi.json?verson=1", 400),
        ("/api/models/nobody/openapi.json", 404),
    ] {
        assert_eq!(host.get(path, &key).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_page_brings_all_that_it_needs_and_runs_nothing() {
    let (host, _) = Host::with_models().await;
    let page = host.get("/docs", "").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let style = host.get("/docs/style.css", "").await;
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
}
