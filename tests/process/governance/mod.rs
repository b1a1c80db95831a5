//! Who may do what, how much and at what cost, held against the program itself: under load, across crashes, and against callers
//! who try to get around it.

mod bypass;
mod canary;
mod crashes;
mod day;
mod race;

use foretell_tests::{Client, ServerProcess};
use serde_json::{Value, json};

/// Sets all of a tenant's limits.
#[track_caller]
fn set_limits(server: &ServerProcess, tenant: &str, limits: &Value) {
    let path = format!("/api/tenants/{tenant}/limits");
    server.operator().put(&path, limits).is(200);
}

/// Where a tenant stands, as its operator sees it.
#[track_caller]
fn standing(server: &ServerProcess, tenant: &str) -> Value {
    let path = format!("/api/tenants/{tenant}/limits");
    server.operator().get(&path).is(200).json()
}

/// Every row of a list that comes in pages: `list` names it in the answer.
#[track_caller]
fn all(client: &Client, path: &str, list: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}{cursor}")).is(200).json();
        rows.extend(page[list].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// Credits in millionths, as they stand in JSON with at most six decimals.
fn micro(credits: &Value) -> i64 {
    (credits.as_f64().unwrap() * 1e6).round() as i64
}

/// What `honest` is asked.
fn asked() -> Value {
    json!({"x": 0.5})
}
