//! Which requests a browser's session counts for: our page's, and no other page's.

use serde_json::{Value, json};

use super::super::host::Host;
use super::{GOOD, In, done, house, login, refusals, told, user};

/// What changes something, of several kinds.
fn acts(user: &str) -> [(&'static str, String, String); 6] {
    [
        ("POST", "/api/keys", json!({"scopes": ["infer"]})),
        ("DELETE", "/api/cache", Value::Null),
        ("POST", "/api/predict/people", json!({"age": 49})),
        ("PUT", "/api/models/people/traffic", json!({"active": "1"})),
        ("PATCH", user, json!({"disabled": true})),
        ("POST", "/api/logout", Value::Null),
    ]
    .map(|(method, path, body)| {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        (method, path.to_owned(), body)
    })
}

/// All that these acts would change.
async fn state(host: &Host, key: &str) -> String {
    let mut state = Vec::new();
    for path in ["/api/keys", "/api/users", "/api/models", "/api/limits"] {
        let shown = host.get(path, key).await;
        // When the key was shown last is no act.
        let mut shown = done(shown);
        for key in shown["keys"].as_array_mut().into_iter().flatten() {
            key["last_used_at"] = Value::Null;
        }
        state.push(shown.to_string());
    }
    state.join("\n")
}

#[tokio::test]
async fn what_another_page_makes_a_browser_send_changes_nothing() {
    let (host, key) = house().await;
    let carol = user(&host, &key, "carol", &["caller"]).await;
    let path = format!("/api/users/{carol}");
    let (alice, other) = (
        In::log_in(&host, "alice").await,
        In::log_in(&host, "alice").await,
    );
    let secret = alice.cookie.split_once('=').unwrap().1;
    let token = ("x-csrf-token", alice.csrf.as_str());
    let others = ("x-csrf-token", other.csrf.as_str());
    let form = ("content-type", "text/plain");
    let cases: [(&[(&str, &str)], &str); 18] = [
        // Without the token, however plausible the rest is.
        (&[], "send the `csrf`"),
        (&[("sec-fetch-site", "same-origin")], "send the `csrf`"),
        (&[("origin", "http://test")], "send the `csrf`"),
        (&[form], "send the `csrf`"),
        (&[("x-csrf-token", "")], "is not this session's"),
        (&[("x-csrf-token", "ftl_csrf_x")], "is not this session's"),
        (&[others], "is not this session's"),
        (&[("x-csrf-token", secret)], "is not this session's"),
        (&[token, token], "is not this session's"),
        // With the token, and from elsewhere.
        (&[token, ("sec-fetch-site", "cross-site")], "another site"),
        (&[token, ("sec-fetch-site", "same-site")], "another site"),
        (&[token, ("sec-fetch-site", "nonsense")], "another site"),
        (&[token, ("origin", "http://evil.example")], "another site"),
        (
            &[token, ("origin", "http://test.evil.example")],
            "another site",
        ),
        (&[token, ("origin", "http://test:81")], "another site"),
        (&[token, ("origin", "null")], "another site"),
        (&[form, ("origin", "http://evil.example")], "another site"),
        (
            &[
                token,
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://test"),
            ],
            "another site",
        ),
    ];
    let before = state(&host, &key).await;
    for (headers, words) in cases {
        for (method, path, body) in acts(&path) {
            let mut headers = headers.to_vec();
            headers.push(("cookie", &alice.cookie));
            let reply = host
                .call(method, &path, "", &headers, body.as_bytes())
                .await;
            let what = format!("{method} {path} {headers:?}: {}", reply.text);
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "forbidden"),
                "{what}"
            );
            assert!(reply.text.contains(words), "{what}");
            assert_eq!(reply.header("set-cookie"), None, "{what}");
        }
    }
    assert_eq!(state(&host, &key).await, before);
    assert!(alice.is_in(&host).await);
    // All of it is on record, as asked for by whose browser it was.
    let listed = done(host.get("/api/users", &key).await);
    let alice = listed["users"][0]["id"].as_str().unwrap();
    let expected = [
        "DELETE /api/cache",
        "PATCH /api/users/{user}",
        "POST /api/keys",
        "POST /api/logout",
        "POST /api/predict/{model}",
        "PUT /api/models/{model}/traffic",
    ];
    let expected = expected.map(|object| [object, alice, "forbidden"].map(str::to_owned));
    assert_eq!(refusals(&host).await, expected);
}

#[tokio::test]
async fn what_our_page_makes_a_browser_send_is_done() {
    let (host, key) = house().await;
    let carol = user(&host, &key, "carol", &["caller"]).await;
    let path = format!("/api/users/{carol}");
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://test")],
        // A proxy with TLS before us.
        &[("origin", "https://TEST")],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://elsewhere.example"),
        ],
    ] {
        let alice = In::log_in(&host, "alice").await;
        for (method, path, body) in acts(&path) {
            let mut headers = headers.to_vec();
            headers.push(("cookie", &alice.cookie));
            headers.push(("x-csrf-token", &alice.csrf));
            let reply = host
                .call(method, &path, "", &headers, body.as_bytes())
                .await;
            let is_done = (200..300).contains(&reply.status);
            assert!(is_done, "{method} {path} {headers:?}: {}", reply.text);
        }
        assert!(!alice.is_in(&host).await, "it logged out");
    }
}

#[tokio::test]
async fn what_only_reads_takes_no_token() {
    let (host, _) = house().await;
    let alice = In::log_in(&host, "alice").await;
    let headers = [
        ("cookie", alice.cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    for method in ["GET", "HEAD"] {
        let reply = host.call(method, "/api/keys", "", &headers, b"").await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    // Any other method may change something, whatever the path.
    for method in ["OPTIONS", "PROPFIND"] {
        let reply = host.call(method, "/api/keys", "", &headers, b"").await;
        told(&reply, 403, "forbidden", "another site");
    }
}

#[tokio::test]
async fn another_page_lets_nobody_in() {
    let (host, _) = house().await;
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null"), ("content-type", "text/plain")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://test")],
    ] {
        let refused = login(&host, "alice", GOOD, headers).await;
        told(&refused, 403, "forbidden", "another site");
        assert_eq!(refused.header("set-cookie"), None);
        let body = json!({"token": "x", "name": "root", "password": GOOD}).to_string();
        let refused = host.call("POST", "/api/setup", "", headers, body.as_bytes());
        told(&refused.await, 403, "forbidden", "another site");
    }
    for headers in [
        &[("origin", "http://test")][..],
        &[("sec-fetch-site", "same-origin")],
    ] {
        In::of(&login(&host, "alice", GOOD, headers).await);
    }
}

#[tokio::test]
async fn a_session_that_is_over_is_told_so_before_its_token_is_asked_for() {
    let (host, _) = house().await;
    let alice = In::log_in(&host, "alice").await;
    let out = alice.call(&host, "POST", "/api/logout", &Value::Null).await;
    assert_eq!(out.status, 204, "{}", out.text);
    let cookie = [("cookie", alice.cookie.as_str())];
    for path in ["/api/keys", "/api/predict/people"] {
        let over = host.call("POST", path, "", &cookie, b"{}").await;
        told(&over, 401, "unauthenticated", "log in again");
    }
    // At the door it is in nobody's way.
    In::of(&login(&host, "alice", GOOD, &cookie).await);
}
