//! Who makes and changes users, and what their roles bound.

use foretell_types::{Role, Scope};
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, Reply};
use super::{GOOD, In, OTHER, WRONG, done, house, login, told, user};

const NOW: &str = "2026-11-24T22:34:56.123Z";

async fn patch(host: &Host, path: &str, key: &str, body: &Value) -> Reply {
    let body = body.to_string();
    host.call("PATCH", path, key, &[], body.as_bytes()).await
}

async fn put(host: &Host, path: &str, key: &str, body: &Value) -> Reply {
    let body = body.to_string();
    host.call("PUT", path, key, &[], body.as_bytes()).await
}

async fn delete(host: &Host, path: &str, key: &str) -> Reply {
    host.call("DELETE", path, key, &[], b"").await
}

#[tokio::test]
async fn a_user_is_made_shown_changed_and_deleted() {
    let (host, key) = house().await;
    let body =
        json!({"name": "carol@acme.example", "password": GOOD, "roles": ["auditor", "caller"]});
    let made = host.post("/api/users", &key, &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let carol = done(made);
    let id = carol["id"].as_str().unwrap();
    assert_eq!(
        carol,
        json!({
            "id": id, "name": "carol@acme.example", "tenant": "acme", "roles": ["caller", "auditor"],
            "created_at": NOW, "password_at": NOW, "disabled_at": null,
        })
    );
    let path = format!("/api/users/{id}");
    assert_eq!(done(host.get(&path, &key).await), carol);
    let listed = done(host.get("/api/users", &key).await);
    let users = listed["users"].as_array().unwrap().iter();
    let names: Vec<_> = users.map(|user| &user["name"]).collect();
    assert_eq!(names, ["alice", "carol@acme.example"]);

    let before = In::log_in(&host, "carol@acme.example").await;
    let set = patch(
        &host,
        &path,
        &key,
        &json!({"roles": ["uploader"], "disabled": null}),
    )
    .await;
    assert_eq!(done(set)["roles"], json!(["uploader"]));
    assert!(!before.is_in(&host).await);
    let set = patch(&host, &path, &key, &json!({"disabled": true})).await;
    assert_eq!(done(set)["disabled_at"], NOW);
    assert_eq!(
        login(&host, "carol@acme.example", GOOD, &[]).await.status,
        401
    );
    let set = patch(&host, &path, &key, &json!({"disabled": false})).await;
    assert_eq!(done(set)["disabled_at"], Value::Null);

    let sessions = format!("{path}/sessions");
    let (one, two) = (
        In::log_in(&host, "carol@acme.example").await,
        In::log_in(&host, "carol@acme.example").await,
    );
    let ended = done(delete(&host, &sessions, &key).await);
    assert_eq!(ended, json!({"user": id, "ended": 2}));
    assert!(!one.is_in(&host).await && !two.is_in(&host).await);

    let gone = done(delete(&host, &path, &key).await);
    assert_eq!(gone, json!({"user": id, "deleted": true}));
    told(
        &host.get(&path, &key).await,
        404,
        "not_found",
        "there is no user",
    );
    told(
        &delete(&host, &path, &key).await,
        404,
        "not_found",
        "there is no user",
    );
}

#[tokio::test]
async fn what_cannot_be_a_user_is_told() {
    let (host, key) = house().await;
    for (body, status, code, words) in [
        (
            json!({"name": "alice", "password": GOOD, "roles": ["caller"]}),
            409,
            "conflict",
            "alice",
        ),
        (
            json!({"name": "Bob", "password": GOOD, "roles": ["caller"]}),
            400,
            "invalid_input",
            "user name",
        ),
        (
            json!({"name": "bob", "password": "short", "roles": ["caller"]}),
            400,
            "invalid_input",
            "12 characters",
        ),
        (
            json!({"name": "horse", "password": GOOD, "roles": ["caller"]}),
            400,
            "invalid_input",
            "holds the name",
        ),
        (
            json!({"name": "bob", "password": GOOD, "roles": []}),
            400,
            "invalid_input",
            "is empty",
        ),
        (
            json!({"name": "bob", "password": GOOD, "roles": ["boss"]}),
            400,
            "invalid_input",
            "unknown role",
        ),
        (
            json!({"name": "bob", "password": GOOD, "roles": ["operator"]}),
            403,
            "forbidden",
            "operator",
        ),
        (
            json!({"name": "bob", "password": GOOD}),
            400,
            "malformed",
            "roles",
        ),
        (
            json!({"name": "bob", "password": 1, "roles": ["caller"]}),
            400,
            "malformed",
            "a string",
        ),
    ] {
        let refused = host.post("/api/users", &key, &body.to_string()).await;
        told(&refused, status, code, words);
    }
    let path = "/api/users/usr_0000000000000000";
    told(
        &patch(&host, path, &key, &json!({})).await,
        400,
        "invalid_input",
        "nothing to change",
    );
    let body = json!({"disabled": true});
    told(
        &patch(&host, path, &key, &body).await,
        404,
        "not_found",
        "there is no user",
    );
    told(
        &host.get("/api/users/bob", &key).await,
        404,
        "not_found",
        "user id",
    );
}

#[tokio::test]
async fn operators_manage_operators_and_with_a_prefix_a_tenants_users() {
    let (host, key) = house().await;
    let body = json!({"name": "root", "password": GOOD, "roles": ["operator"]}).to_string();
    let root = done(host.post("/api/users", OPERATOR, &body).await);
    assert_eq!(
        (&root["tenant"], &root["roles"]),
        (&Value::Null, &json!(["operator"]))
    );
    let listed = done(host.get("/api/users", OPERATOR).await);
    assert_eq!(listed, json!({"users": [root]}));
    let theirs = done(host.get("/tenants/acme/api/users", OPERATOR).await);
    assert_eq!(theirs, done(host.get("/api/users", &key).await));

    let id = theirs["users"][0]["id"].as_str().unwrap();
    let (path, prefixed) = (
        format!("/api/users/{id}"),
        format!("/tenants/acme/api/users/{id}"),
    );
    assert_eq!(host.get(&path, OPERATOR).await.status, 404);
    done(host.get(&prefixed, OPERATOR).await);
    done(patch(&host, &prefixed, OPERATOR, &json!({"roles": ["caller"]})).await);
    let body = json!({"name": "bob", "password": GOOD, "roles": ["caller"]}).to_string();
    let nowhere = host.post("/api/users", OPERATOR, &body).await;
    told(&nowhere, 400, "invalid_input", "/tenants/{tenant}");

    // The same in a session.
    let root = In::log_in(&host, "root").await;
    done(root.get(&host, &prefixed).await);
    let globex = json!({"name": "globex"});
    let created = root.call(&host, "POST", "/api/tenants", &globex).await;
    assert_eq!(created.status, 201, "{}", created.text);
}

#[tokio::test]
async fn whoever_sets_its_own_password_shows_the_old_one_and_logs_in_again() {
    let (host, key) = house().await;
    let id = user(&host, &key, "carol", &["caller"]).await;
    let path = format!("/api/users/{id}/password");
    let carol = In::log_in(&host, "carol").await;
    for (body, words) in [
        (json!({"new": OTHER}), "`old` is missing"),
        (
            json!({"old": WRONG, "new": OTHER}),
            "the old password is wrong",
        ),
        (
            json!({"old": GOOD, "new": "carol carol carol"}),
            "holds the name",
        ),
    ] {
        let refused = carol.call(&host, "PUT", &path, &body).await;
        told(&refused, 400, "invalid_input", words);
    }
    assert!(carol.is_in(&host).await);
    let body = json!({"old": GOOD, "new": OTHER});
    done(carol.call(&host, "PUT", &path, &body).await);
    assert!(!carol.is_in(&host).await);
    assert_eq!(login(&host, "carol", GOOD, &[]).await.status, 401);
    let carol = In::of(&login(&host, "carol", OTHER, &[]).await);
    // Nobody else's.
    let alice = done(host.get("/api/users", &key).await)["users"][0]["id"].clone();
    let theirs = format!("/api/users/{}/password", alice.as_str().unwrap());
    let refused = carol.call(&host, "PUT", &theirs, &body).await;
    told(&refused, 403, "forbidden", "`keys`");
    // Whoever manages it need not know it.
    done(put(&host, &path, &key, &json!({"new": GOOD})).await);
    assert!(!carol.is_in(&host).await);

    let carol = In::log_in(&host, "carol").await;
    let own = format!("/api/users/{id}/sessions");
    let ended = carol.call(&host, "DELETE", &own, &Value::Null).await;
    assert_eq!(done(ended), json!({"user": id, "ended": 1}));
    assert!(!carol.is_in(&host).await);
}

#[tokio::test]
async fn a_session_may_what_the_roles_of_its_user_may_and_no_more() {
    let (host, key) = house().await;
    let acts = [
        (
            "GET",
            "/v2/models",
            Value::Null,
            &[Scope::Infer, Scope::Models][..],
        ),
        (
            "POST",
            "/api/predict/people",
            json!({"age": 49}),
            &[Scope::Infer],
        ),
        ("DELETE", "/api/cache", Value::Null, &[Scope::Models]),
        ("GET", "/api/keys", Value::Null, &[Scope::Keys]),
        (
            "POST",
            "/api/keys",
            json!({"scopes": ["infer"]}),
            &[Scope::Keys],
        ),
        ("GET", "/api/users", Value::Null, &[Scope::Keys]),
        ("GET", "/api/limits", Value::Null, &[Scope::Usage]),
        ("GET", "/api/audit", Value::Null, &[Scope::Audit]),
        ("GET", "/api/tenants", Value::Null, &[]),
        ("POST", "/api/tenants", json!({"name": "globex"}), &[]),
        ("GET", "/api/session", Value::Null, &Scope::ALL),
    ];
    let roles = Role::ALL.into_iter().filter(|role| *role != Role::Operator);
    for role in roles {
        let name = format!("a-{}", role.as_str());
        user(&host, &key, &name, &[role.as_str()]).await;
        let somebody = In::log_in(&host, &name).await;
        for (method, path, body, needed) in &acts {
            let reply = somebody.call(&host, method, path, body).await;
            let may = needed.iter().any(|scope| role.scopes().contains(*scope));
            let what = format!("{name}: {method} {path}: {} {}", reply.status, reply.text);
            match may {
                true => assert!((200..300).contains(&reply.status), "{what}"),
                false => assert_eq!(reply.status, 403, "{what}"),
            }
        }
        // Another tenant's things are not there.
        let elsewhere = somebody.get(&host, "/tenants/globex/v2/models").await;
        told(&elsewhere, 404, "not_found", "there is no tenant");
    }
    // Whoever makes users gives no more than it has.
    let body = json!({"scopes": ["keys", "infer"]}).to_string();
    let small = done(host.post("/api/keys", &key, &body).await);
    let small = small["secret"].as_str().unwrap();
    let body = json!({"name": "bob", "password": GOOD, "roles": ["owner"]}).to_string();
    told(
        &host.post("/api/users", small, &body).await,
        403,
        "forbidden",
        "at most",
    );
}
