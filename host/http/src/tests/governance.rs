//! The audit log, usage, limits, credits and recordings, as their readers see them.

use foretell_predict::{Governance, Limits};
use serde_json::{Value, json};

use super::host::{Host, OPERATOR, Reply};
use crate::HttpConfig;

mod checkpoints;
mod files;
mod limits;
mod log;
mod once;
mod recordings;
mod subjects;
mod usage;

/// Every scope of a tenant's key.
const OWNER: &[&str] = &["infer", "models", "keys", "usage", "audit"];
/// When everything happens here.
const NOW: &str = "2026-11-24T22:34:56.123Z";
const TODAY: &str = "2026-11-24";

const PEOPLE: &str = "/api/predict/people";
const RECORD: &str = r#"{"age":49,"job":"services"}"#;

/// A key: what names it, and what opens.
struct Key {
    id: String,
    secret: String,
}

/// A server with the tenant `acme`, its models, and a key of its owner.
async fn house(governance: Governance) -> (Host, Key) {
    let host = Host::governed(HttpConfig::default(), Limits::default(), governance).await;
    host.furnish().await;
    let owner = key(&host, "acme", OWNER).await;
    (host, owner)
}

async fn key(host: &Host, tenant: &str, scopes: &[&str]) -> Key {
    let body = json!({ "scopes": scopes }).to_string();
    let path = format!("/tenants/{tenant}/api/keys");
    let made = done(host.post(&path, OPERATOR, &body).await);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    Key {
        id: text("id"),
        secret: text("secret"),
    }
}

async fn put(host: &Host, path: &str, key: &str, body: &Value) -> Reply {
    let body = body.to_string();
    host.call("PUT", path, key, &[], body.as_bytes()).await
}

/// The body of an answer that is no error.
#[track_caller]
fn done(reply: Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{}", reply.text);
    reply.json()
}

/// All rows of a list, by its pages.
async fn pages(host: &Host, path: &str, key: &str, field: &str, limit: usize) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let asked = format!("{path}{separator}limit={limit}{cursor}");
        let mut page = done(host.get(&asked, key).await);
        let Value::Array(of_page) = page[field].take() else {
            panic!("{asked}: {page}");
        };
        assert!(of_page.len() <= limit, "{asked}");
        rows.extend(of_page);
        match page["next_cursor"].as_str() {
            None => return rows,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

/// All rows of the log that a key may read, oldest first.
async fn log(host: &Host, key: &str, query: &str) -> Vec<Value> {
    pages(
        host,
        &format!("/api/audit?order=asc{query}"),
        key,
        "records",
        1_000,
    )
    .await
}

/// These fields of rows.
fn columns<'a, const N: usize>(rows: &'a [Value], fields: [&str; N]) -> Vec<[&'a Value; N]> {
    rows.iter()
        .map(|row| fields.map(|field| &row[field]))
        .collect()
}

/// Texts of one field of rows.
fn texts<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter()
        .map(|row| row[field].as_str().unwrap())
        .collect()
}

/// Whether a refusal says so. The words are without what JSON escapes.
#[track_caller]
fn told(reply: &Reply, status: u16, code: &str, words: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code));
    assert!(reply.text.contains(words), "{}", reply.text);
}
