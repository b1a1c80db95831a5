//! Who logs in, what a session is good for, and which page may use it.

use serde_json::{Value, json};

use super::host::{Host, OPERATOR, Reply};

mod csrf;
mod doors;
mod management;

const GOOD: &str = "correct horse battery";
const OTHER: &str = "staple correct horse";
const WRONG: &str = "wrong horse battery";
const COOKIE: &str = "__Host-foretell-session";

/// A server with the tenant `acme`, its models, and its owner `alice`; and a key of every scope that users may have.
async fn house() -> (Host, String) {
    let host = Host::start().await;
    host.furnish().await;
    let scopes = json!({"scopes": ["infer", "models", "keys", "usage", "audit"]}).to_string();
    let key = done(host.post("/tenants/acme/api/keys", OPERATOR, &scopes).await);
    let key = key["secret"].as_str().unwrap().to_owned();
    user(&host, &key, "alice", &["owner"]).await;
    (host, key)
}

/// Makes a user, and returns its id.
async fn user(host: &Host, key: &str, name: &str, roles: &[&str]) -> String {
    let body = json!({"name": name, "password": GOOD, "roles": roles}).to_string();
    let made = done(host.post("/api/users", key, &body).await);
    made["id"].as_str().unwrap().to_owned()
}

/// Knocks on the door.
async fn login(host: &Host, name: &str, password: &str, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"name": name, "password": password}).to_string();
    host.call("POST", "/api/login", "", headers, body.as_bytes())
        .await
}

/// Somebody who is in: what a browser shows by itself, and what our page knows.
struct In {
    cookie: String,
    csrf: String,
}

impl In {
    async fn log_in(host: &Host, name: &str) -> Self {
        Self::of(&login(host, name, GOOD, &[]).await)
    }

    #[track_caller]
    fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text);
        let cookie = reply.header("set-cookie").unwrap();
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: reply.json()["csrf"].as_str().unwrap().to_owned(),
        }
    }

    /// What a browser shows by itself.
    async fn get(&self, host: &Host, path: &str) -> Reply {
        let shown = [("cookie", self.cookie.as_str())];
        host.call("GET", path, "", &shown, b"").await
    }

    /// What our page makes it send.
    async fn call(&self, host: &Host, method: &str, path: &str, body: &Value) -> Reply {
        let shown = [
            ("cookie", self.cookie.as_str()),
            ("x-csrf-token", self.csrf.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        host.call(method, path, "", &shown, body.as_bytes()).await
    }

    async fn is_in(&self, host: &Host) -> bool {
        match self.get(host, "/api/session").await.status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

/// The body of an answer that is no error.
#[track_caller]
fn done(reply: Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{}", reply.text);
    reply.json()
}

/// Whether a refusal says so. The words are without what JSON escapes.
#[track_caller]
fn told(reply: &Reply, status: u16, code: &str, words: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code));
    assert!(reply.text.contains(words), "{}", reply.text);
}

/// What was refused, by whom and with which code, in order.
async fn refusals(host: &Host) -> Vec<[String; 3]> {
    let log = host.get("/api/audit?act=refuse&limit=1000", OPERATOR).await;
    let rows = done(log);
    let rows = rows["records"].as_array().unwrap().iter();
    let mut all: Vec<_> = rows
        .map(|row| {
            ["object", "actor", "outcome"].map(|field| row[field].as_str().unwrap().to_owned())
        })
        .collect();
    all.sort_unstable();
    all
}
