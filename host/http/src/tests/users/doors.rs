//! Coming in and going out.

use std::time::Duration;

use foretell_predict::Limits;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::host::{Host, OPERATOR};
use super::{COOKIE, GOOD, In, OTHER, WRONG, done, house, login, refusals, told, user};
use crate::HttpConfig;

const PEOPLE: &str = "/api/predict/people";

#[tokio::test]
async fn whoever_logs_in_may_do_with_a_cookie_what_its_roles_may() {
    let (host, key) = house().await;
    let listed = done(host.get("/api/users", &key).await);
    let id = &listed["users"][0]["id"];
    let reply = login(&host, "Alice", GOOD, &[]).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let who = json!({"id": id, "name": "alice"});
    let csrf = reply.json()["csrf"].as_str().unwrap().to_owned();
    assert!(csrf.starts_with("ftl_csrf_"), "{csrf}");
    assert_eq!(
        reply.json(),
        json!({
            "user": who, "roles": ["owner"], "tenant": "acme", "idle_seconds": 1_800,
            "expires_at": "2026-11-25T10:34:56.123Z", "csrf": csrf,
        })
    );
    let alice = In::of(&reply);
    let session = alice.get(&host, "/api/session").await;
    assert_eq!(session.header("cache-control"), Some("no-store"));
    assert_eq!(
        done(session),
        json!({
            "user": who, "roles": ["owner"], "tenant": "acme", "idle_seconds": 1_800,
            "idle_until": "2026-11-24T23:04:56.123Z",
        })
    );
    let keys = alice.get(&host, "/api/keys").await;
    assert_eq!(keys.header("cache-control"), Some("no-store"));
    done(keys);
    let record = json!({"age": 49});
    let predicted = alice.call(&host, "POST", PEOPLE, &record).await;
    assert_eq!(done(predicted)["model"], "people");
    let scopes = json!({"scopes": ["infer"]});
    let made = alice.call(&host, "POST", "/api/keys", &scopes).await;
    assert_eq!(made.status, 201, "{}", made.text);
    // What it did is its own act.
    let acts = done(host.get("/api/audit?act=key.create&limit=1", &key).await);
    assert_eq!(acts["records"][0]["actor"], *id);
}

#[tokio::test]
async fn the_cookie_is_one_that_no_script_reads_and_no_other_host_sets() {
    let (host, _) = house().await;
    let reply = login(&host, "alice", GOOD, &[]).await;
    let cookie = reply.header("set-cookie").unwrap();
    let rest = cookie.strip_prefix("__Host-foretell-session=ftl_session_");
    let (secret, attributes) = rest.unwrap().split_once(';').unwrap();
    assert_eq!(secret.len(), 43);
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(attributes, " Secure; HttpOnly; SameSite=Lax; Path=/");
    assert_eq!(reply.head.matches("set-cookie").count(), 1);
    assert!(!reply.text.contains(secret), "a script would read it");

    let alice = In::of(&reply);
    let out = alice.call(&host, "POST", "/api/logout", &Value::Null).await;
    assert_eq!((out.status, out.text.as_str()), (204, ""));
    assert_eq!(out.header("cache-control"), Some("no-store"));
    assert_eq!(
        out.header("set-cookie"),
        Some("__Host-foretell-session=; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=0")
    );
}

#[tokio::test]
async fn whoever_is_out_is_out_and_other_sessions_go_on() {
    let (host, key) = house().await;
    let (one, two) = (
        In::log_in(&host, "alice").await,
        In::log_in(&host, "alice").await,
    );
    let out = one.call(&host, "POST", "/api/logout", &Value::Null).await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert!(!one.is_in(&host).await);
    assert!(two.is_in(&host).await);
    let again = one.call(&host, "POST", "/api/logout", &Value::Null).await;
    told(&again, 401, "unauthenticated", "log in again");
    told(
        &one.get(&host, "/api/keys").await,
        401,
        "unauthenticated",
        "log in again",
    );
    // Whoever shows a key is not in, and has nothing to end.
    for key in [key.as_str(), OPERATOR, ""] {
        let nobody = host.post("/api/logout", key, "").await;
        told(&nobody, 401, "unauthenticated", "nobody is logged in");
        let nobody = host.get("/api/session", key).await;
        told(&nobody, 401, "unauthenticated", "nobody is logged in");
    }
}

#[tokio::test]
async fn a_session_that_was_shown_before_the_login_is_not_the_one_after() {
    let (host, _) = house().await;
    let planted = format!("{COOKIE}=ftl_session_{}", "x".repeat(43));
    let first = In::log_in(&host, "alice").await;
    for before in [planted.as_str(), first.cookie.as_str(), COOKIE] {
        let after = In::of(&login(&host, "alice", GOOD, &[("cookie", before)]).await);
        assert_ne!(after.cookie, before);
        assert!(after.is_in(&host).await);
    }
    let nobody = host
        .call("GET", "/api/session", "", &[("cookie", &planted)], b"")
        .await;
    told(&nobody, 401, "unauthenticated", "log in again");
    assert!(first.is_in(&host).await, "it was not taken over");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_the_same_to_the_last_byte() {
    let (host, key) = house().await;
    let gone = user(&host, &key, "gone", &["caller"]).await;
    let path = format!("/api/users/{gone}");
    let closed = host.call("PATCH", &path, &key, &[], br#"{"disabled":true}"#);
    done(closed.await);
    let long = "x".repeat(1_025);
    let mut answers = Vec::new();
    for (name, password) in [
        ("alice", WRONG),
        ("alice", ""),
        ("alice", long.as_str()),
        ("nobody", GOOD),
        ("no name at all", GOOD),
        ("gone", WRONG),
        ("gone", GOOD),
    ] {
        let headers = [("x-request-id", "the-same")];
        let reply = login(&host, name, password, &headers).await;
        told(
            &reply,
            401,
            "unauthenticated",
            "the name or the password is wrong",
        );
        assert_eq!(reply.header("set-cookie"), None);
        let is_date = |line: &&str| line.starts_with("date:");
        let head: Vec<_> = reply.head.lines().filter(|line| !is_date(line)).collect();
        answers.push(format!("{}\n\n{}", head.join("\n"), reply.text));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Five of them were users' names, two nobody's; each is there once.
    let refused = refusals(&host).await;
    let expected = ["login", "login as alice", "login as gone"];
    let expected = expected.map(|object| [object, "", "unauthenticated"].map(str::to_owned));
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn whoever_failed_too_often_is_told_when_to_come_back() {
    let (host, _) = house().await;
    for _ in 0..5 {
        let refused = login(&host, "alice", WRONG, &[]).await;
        assert_eq!(refused.status, 401);
    }
    let waits = login(&host, "alice", GOOD, &[]).await;
    told(&waits, 429, "rate_limited", "try again in 1 s");
    assert_eq!(waits.header("retry-after"), Some("1"));
    let refused = refusals(&host).await;
    let expected = [
        ["POST /api/login", "", "rate_limited"],
        ["login as alice", "", "unauthenticated"],
    ];
    assert_eq!(refused, expected.map(|row| row.map(str::to_owned)));
}

#[tokio::test]
async fn a_password_of_a_mebibyte_is_refused_before_it_is_hashed() {
    let long = "x".repeat(1 << 20);
    let body = json!({"name": "alice", "password": long}).to_string();
    let quickly = Duration::from_secs(5);
    let (host, key) = house().await;
    let refused = timeout(quickly, login(&host, "alice", &long, &[])).await;
    told(
        &refused.unwrap(),
        413,
        "too_large",
        "larger than its limit of 8192 bytes",
    );
    let refused = timeout(quickly, host.post("/api/users", &key, &body)).await;
    assert_eq!(refused.unwrap().status, 413);

    // Where bodies may be longer.
    let config = HttpConfig {
        max_json_bytes: 4 << 20,
        ..HttpConfig::default()
    };
    let host = Host::with(config, Limits::default()).await;
    let key = host.furnish().await;
    let refused = timeout(quickly, login(&host, "alice", &long, &[])).await;
    assert_eq!(refused.unwrap().status, 413);
    let body = json!({"name": "bob", "password": long, "roles": ["caller"]}).to_string();
    let refused = timeout(quickly, host.post("/api/users", &key, &body)).await;
    told(
        &refused.unwrap(),
        400,
        "invalid_input",
        "at most 1024 bytes",
    );
}

#[tokio::test]
async fn the_longest_name_and_password_fit_even_all_in_escapes() {
    let (host, key) = house().await;
    let (name, password) = ("n".repeat(254), "\u{1}".repeat(1_024));
    let body = json!({"name": name, "password": password, "roles": ["caller"]}).to_string();
    done(host.post("/api/users", &key, &body).await);
    let escaped: String = name.chars().map(|_| "\\u006e").collect();
    let password = "\\u0001".repeat(1_024);
    let body = format!(r#"{{"name":"{escaped}","password":"{password}"}}"#);
    done(host.post("/api/login", "", &body).await);
}

#[tokio::test]
async fn the_first_operator_is_set_up_once() {
    let (host, _) = house().await;
    let token = host.manager.setup_token().await.unwrap().unwrap();
    let set_up = async |token: &str, password: &str| {
        let body = json!({"token": token, "name": "root", "password": password});
        host.post("/api/setup", "", &body.to_string()).await
    };
    let words = "the setup token is wrong, or there is an operator already";
    told(
        &set_up("ftl_setup_x", GOOD).await,
        401,
        "unauthenticated",
        words,
    );
    told(
        &set_up(token.expose(), "short").await,
        400,
        "invalid_input",
        "12 characters",
    );
    let made = set_up(token.expose(), GOOD).await;
    assert_eq!(
        (made.status, made.header("set-cookie")),
        (201, None),
        "{}",
        made.text
    );
    let made = done(made);
    assert_eq!(
        made,
        json!({
            "id": made["id"], "name": "root", "tenant": null, "roles": ["operator"], "disabled_at": null,
            "created_at": "2026-11-24T22:34:56.123Z", "password_at": "2026-11-24T22:34:56.123Z",
        })
    );
    told(
        &set_up(token.expose(), OTHER).await,
        401,
        "unauthenticated",
        words,
    );
    let root = In::log_in(&host, "root").await;
    done(root.get(&host, "/api/tenants").await);
    done(root.get(&host, "/tenants/acme/api/keys").await);
}

#[tokio::test]
async fn a_key_beside_a_session_wins_and_two_sessions_are_none() {
    let (host, key) = house().await;
    user(&host, &key, "carol", &["caller"]).await;
    let carol = In::log_in(&host, "carol").await;
    let scopes = br#"{"scopes":["infer"]}"#;
    for cookie in [carol.cookie.as_str(), "__Host-foretell-session=nonsense"] {
        let headers = [("cookie", cookie), ("sec-fetch-site", "cross-site")];
        let made = host.call("POST", "/api/keys", &key, &headers, scopes).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let wrong = host.call("GET", "/v2/models", "wrong", &headers, b"").await;
        assert_eq!(wrong.status, 401, "{}", wrong.text);
    }
    let once = carol.cookie.as_str();
    let twice = format!("{once}; a=b; {once}");
    for headers in [
        &[("cookie", twice.as_str())][..],
        &[("cookie", once), ("cookie", once)],
    ] {
        for path in ["/v2/models", "/api/session", "/livez"] {
            let refused = host.call("GET", path, "", headers, b"").await;
            told(&refused, 400, "malformed", "stands twice");
        }
    }
    assert!(carol.is_in(&host).await);
}
