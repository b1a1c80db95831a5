//! Bodies with members that nobody may set: refused where they mean nothing, passed over where a protocol wants that, and
//! without effect in either case.

use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR};
use super::{Names, Operation, Tried, operations, state, told};
use crate::openapi::DOCUMENT;

const TENANTS: [&str; 2] = ["acme", "globex"];
const PASSWORD: &str = "correct horse battery";

/// What somebody might hope to set.
fn extras() -> [(&'static str, Value); 6] {
    [
        ("tenant_id", json!("globex")),
        ("tenant", json!("globex")),
        ("role", json!("operator")),
        ("credits", json!(1_000_000)),
        ("is_admin", json!(true)),
        ("scopes_extra", json!(["operator"])),
    ]
}

/// Two tenants, one of them with two versions of `people`; a key of its, the id of another, and the id of a user.
async fn house() -> (Host, String, [String; 2]) {
    let (host, key) = Host::with_models().await;
    host.tenant("globex").await;
    let path = "/api/models/people/versions/2";
    let pushed = host.call("PUT", path, &key, &[], b"people, second").await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    let made = host
        .post("/api/keys", &key, r#"{"scopes":["infer"]}"#)
        .await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let user = json!({"name": "ada", "password": PASSWORD, "roles": ["caller"]});
    let made = host.post("/api/users", &key, &user.to_string()).await;
    let user = made.json()["id"].as_str().unwrap().to_owned();
    (host, key, [id, user])
}

/// The schema of an operation of ours that takes JSON.
fn schema(operation: &Operation) -> Option<&'static Value> {
    let protocols = ["/v1", "/v2", "/api/predict"];
    if protocols
        .into_iter()
        .any(|protocol| operation.path.starts_with(protocol))
    {
        return None;
    }
    let content = &operation.described["requestBody"]["content"]["application/json"];
    let reference = content["schema"]["$ref"].as_str()?;
    DOCUMENT.pointer(reference.strip_prefix('#')?)
}

/// Right bodies, each with the place of an object in it.
fn bodies(operation: &Operation) -> Vec<(&'static str, Value)> {
    match (operation.method, operation.path) {
        ("POST", "/api/keys") => vec![("", json!({"scopes": ["infer"]}))],
        ("POST", "/api/keys/{id}/rotate") => vec![("", json!({"overlap_seconds": 0}))],
        ("POST", "/api/tenants") => vec![("", json!({"name": "initech"}))],
        ("POST", "/api/tenants/{tenant}/credits") => {
            vec![("", json!({"credits": 2.5, "reason": "a gift"}))]
        }
        ("PUT", "/api/tenants/{tenant}/limits") => {
            let body = json!({
                "quotas": {"predictions_per_day": 1_000},
                "price": {"prediction": 2},
                "models_price": {"people": {"prediction": 3}},
            });
            vec![
                ("", body.clone()),
                ("/quotas", body.clone()),
                ("/price", body.clone()),
                ("/models_price/people", body),
            ]
        }
        ("PUT", "/api/keys/{id}/limits") => vec![("", json!({"predictions_per_day": 10}))],
        ("POST", "/api/login") => vec![("", json!({"name": "ada", "password": PASSWORD}))],
        ("POST", "/api/setup") => {
            let body = json!({"token": "none", "name": "root", "password": PASSWORD});
            vec![("", body)]
        }
        ("POST", "/api/users") => {
            let body = json!({"name": "bob", "password": PASSWORD, "roles": ["caller"]});
            vec![("", body)]
        }
        ("PATCH", "/api/users/{user}") => vec![("", json!({"roles": ["caller"]}))],
        ("PUT", "/api/users/{user}/password") => vec![("", json!({"new": PASSWORD}))],
        ("PUT", "/api/recording") => vec![("", json!({"enabled": true, "days": 7}))],
        ("PUT", "/api/models/{model}/traffic") => {
            let canary = json!({
                "version": "2",
                "header": {"name": "x-group", "value": "beta"},
                "guard": {"window": 50},
            });
            let body = json!({"active": "1", "canary": canary});
            vec![
                ("", json!({"active": "2"})),
                ("/canary", body.clone()),
                ("/canary/header", body.clone()),
                ("/canary/guard", body),
            ]
        }
        (method, path) => panic!("{method} {path} is new: say which body is right"),
    }
}

#[tokio::test]
async fn a_member_that_no_operation_has_is_refused_and_changes_nothing() {
    let (host, key, [id, user]) = house().await;
    let names = Names {
        tenant: "acme",
        model: "people",
        version: "1",
        key: &id,
        user: &user,
    };
    let before = state(&host, &TENANTS).await;
    let (mut tried, mut legitimate) = (Tried::default(), 0);
    let mut right = Vec::new();
    for operation in operations() {
        let Some(schema) = schema(&operation) else {
            continue;
        };
        let path = names.fill(operation.path);
        let key = if operation.is_of_tenant() {
            key.as_str()
        } else {
            OPERATOR
        };
        for (place, body) in bodies(&operation) {
            for (member, value) in extras() {
                if place.is_empty() && schema["properties"].get(member).is_some() {
                    legitimate += 1;
                    continue;
                }
                let mut more = body.clone();
                more.pointer_mut(place).unwrap()[member] = value;
                let more = more.to_string();
                let reply = host
                    .call(operation.method, &path, key, &[], more.as_bytes())
                    .await;
                let words = format!("unknown field `{member}`");
                let is_refused = reply.status == 400 && reply.text.contains(&words);
                tried.note(
                    (!is_refused)
                        .then(|| format!("{} {path} {more}: {}", operation.method, told(&reply))),
                );
            }
            // A token for the first operator is on the console alone, and letting in is no change.
            if operation.needs.is_some() {
                right.push((operation.method, path.clone(), key, body.to_string()));
            }
        }
    }
    // 13 operations, two of which have three objects within each.
    tried.end(19 * extras().len() - legitimate);
    assert_eq!(state(&host, &TENANTS).await, before);
    for (method, path, key, body) in right {
        let reply = host.call(method, &path, key, &[], body.as_bytes()).await;
        assert!(
            (200..300).contains(&reply.status),
            "{method} {path} {body} is right but for what was added: {}",
            reply.text
        );
    }
}

#[tokio::test]
async fn an_upload_has_no_other_parts_and_no_other_ways_to_run() {
    let (host, key, _) = house().await;
    let before = state(&host, &TENANTS).await;
    let mut tried = Tried::default();
    for (member, value) in extras() {
        for (part, content, words) in [
            (
                member,
                value.to_string(),
                format!("unknown part `{member}`"),
            ),
            (
                "runtime",
                json!({ member: value }).to_string(),
                format!("unknown runtime key `{member}`"),
            ),
        ] {
            let form = [("plugin", "people, third"), (part, content.as_str())].map(|(name, content)| {
                format!(
                    "--XX\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n"
                )
            });
            let body = form.concat() + "--XX--\r\n";
            let headers = [("content-type", "multipart/form-data; boundary=XX")];
            let path = "/api/models/people/versions/3";
            let reply = host
                .call("PUT", path, &key, &headers, body.as_bytes())
                .await;
            let is_refused = reply.status == 400 && reply.text.contains(&words);
            tried.note((!is_refused).then(|| format!("{part} {content}: {}", told(&reply))));
        }
    }
    tried.end(2 * extras().len());
    assert_eq!(state(&host, &TENANTS).await, before);
}

#[tokio::test]
async fn what_the_repository_passes_over_has_no_effect() {
    let (host, key, _) = house().await;
    let before = state(&host, &TENANTS).await;
    let mut body = json!({});
    for (member, value) in extras() {
        body[member] = value;
    }
    let more = json!({ "parameters": body.clone() });
    for path in [
        "/v2/repository/index",
        "/v2/repository/models/people/unload",
        "/v2/repository/models/people/load",
    ] {
        for body in [&body, &more] {
            let reply = host.post(path, &key, &body.to_string()).await;
            assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text);
        }
    }
    assert_eq!(state(&host, &TENANTS).await, before);
}
