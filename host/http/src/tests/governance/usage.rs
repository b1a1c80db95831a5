//! Usage: the sums of what the log tells one by one.

use foretell_predict::Governance;
use serde_json::{Value, json};

use super::super::host::{Host, OPERATOR, age};
use super::{Key, OWNER, PEOPLE, RECORD, TODAY, done, house, key, log, pages, told};

/// Answers, a list, a trap, a refused input, by two keys and for two models; ids of the keys.
async fn used(host: &Host, first: &Key) -> [String; 2] {
    let Key { id, secret: second } = key(host, "acme", &["infer"]).await;
    let owner = first.secret.as_str();
    done(host.post(PEOPLE, owner, RECORD).await);
    let list = format!("[{RECORD},{RECORD},{RECORD}]");
    done(host.post(PEOPLE, owner, &list).await);
    let traps = format!(r#"{{"age":{}}}"#, age::TRAPS);
    assert_eq!(host.post(PEOPLE, owner, &traps).await.status, 500);
    assert_eq!(host.post(PEOPLE, owner, r#"{"age":-1}"#).await.status, 400);
    done(host.post(PEOPLE, &second, RECORD).await);
    let matrix = r#"{"instances":[[1,2],[3,4]]}"#;
    done(
        host.post("/v1/models/matrix:predict", &second, matrix)
            .await,
    );
    [first.id.clone(), id]
}

fn row(key: &str, model: &str, [calls, predictions, failed]: [u32; 3]) -> Value {
    let (credits, compute_ms) = (predictions, f64::from(calls) * 2.25);
    json!({
        "tenant": "acme", "day": TODAY, "key": key, "model": model, "version": "1",
        "calls": calls, "predictions": predictions, "cached": 0, "failed": failed,
        "compute_ms": compute_ms, "credits": credits, "cost_usd": f64::from(credits) / 100.0,
    })
}

/// Numbers without regard to whether they are written as whole ones.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, field: &str) -> f64 {
    rows.into_iter().map(|row| number(&row[field])).sum()
}

#[tokio::test]
async fn usage_is_told_by_key_and_version_and_is_the_sum_of_the_log() {
    let (host, owner) = house(Governance::unlimited()).await;
    let [first, second] = used(&host, &owner).await;
    let owner = owner.secret;
    let mut expected = vec![
        row(&first, "people", [3, 5, 1]),
        row(&second, "matrix", [1, 2, 0]),
        row(&second, "people", [1, 1, 0]),
    ];
    expected.sort_by_key(|row| (row["key"].to_string(), row["model"].to_string()));
    let whole = pages(&host, "/api/usage", &owner, "usage", 1_000).await;
    assert_eq!(whole, expected);
    for limit in 1..=4 {
        let joined = pages(&host, "/api/usage", &owner, "usage", limit).await;
        assert_eq!(joined, whole, "{limit}");
    }

    let rows = log(&host, &owner, "&act=predict").await;
    assert_eq!(rows.len() as f64, sum(&whole, "calls"));
    let details: Vec<_> = rows.iter().map(|row| &row["detail"]).collect();
    let of_log = |field: &str| sum(details.iter().copied(), field);
    assert_eq!(of_log("predictions"), sum(&whole, "predictions"));
    assert_eq!(of_log("micro_credits") / 1e6, sum(&whole, "credits"));
    assert_eq!(of_log("compute_us") / 1e3, sum(&whole, "compute_ms"));
    // Also in where the tenant stands.
    let standing = done(host.get("/api/limits", &owner).await);
    for stretch in ["today", "month"] {
        for field in ["calls", "predictions", "failed", "compute_ms", "credits"] {
            let shown = number(&standing[stretch][field]);
            assert_eq!(shown, sum(&whole, field), "{field}");
        }
        assert_eq!(standing[stretch]["cost_usd"], 0.08);
    }
    assert_eq!(
        number(&standing["account"]["spent"]),
        sum(&whole, "credits")
    );
}

#[tokio::test]
async fn usage_is_filtered_by_day_key_and_model() {
    let (host, owner) = house(Governance::unlimited()).await;
    let [first, second] = used(&host, &owner).await;
    let owner = owner.secret;
    for (query, count) in [
        (format!("key={first}"), 1),
        (format!("key={second}"), 2),
        (format!("key={second}&model=matrix"), 1),
        ("model=people".to_owned(), 2),
        ("model=nothing".to_owned(), 0),
        ("since=2026-11-24".to_owned(), 3),
        ("since=2026-11-25".to_owned(), 0),
        ("until=2026-11-24".to_owned(), 0),
        ("since=2026-11-01&until=2026-12-01".to_owned(), 3),
    ] {
        let path = format!("/api/usage?{query}");
        let found = pages(&host, &path, &owner, "usage", 100).await;
        assert_eq!(found.len(), count, "{query}");
    }
}

#[tokio::test]
async fn days_are_sums_and_an_operator_sees_those_of_all_tenants() {
    let (host, owner) = house(Governance::unlimited()).await;
    used(&host, &owner).await;
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    let path = "/api/models/people/versions/1";
    done(host.call("PUT", path, &other, &[], b"people").await);
    done(host.post(PEOPLE, &other, RECORD).await);
    let day = |tenant: &str, [calls, predictions, failed]: [u32; 3]| {
        let mut day = row("", "", [calls, predictions, failed]);
        day["tenant"] = json!(tenant);
        for field in ["key", "model", "version"] {
            day[field] = Value::Null;
        }
        day
    };
    let (acme, globex) = (day("acme", [5, 8, 1]), day("globex", [1, 1, 0]));
    for limit in [1, 2, 5] {
        let path = "/api/usage?group=day";
        let all = pages(&host, path, OPERATOR, "usage", limit).await;
        assert_eq!(all, [acme.clone(), globex.clone()], "{limit}");
        let own = pages(&host, path, &other, "usage", limit).await;
        assert_eq!(own, std::slice::from_ref(&globex), "{limit}");
        let prefixed = format!("/tenants/acme{path}");
        let prefixed = pages(&host, &prefixed, OPERATOR, "usage", limit).await;
        assert_eq!(prefixed, std::slice::from_ref(&acme), "{limit}");
    }
    let others = pages(&host, "/api/usage", &other, "usage", 10).await;
    assert_eq!(others.len(), 1);
    let elsewhere = host.get("/tenants/acme/api/usage", &other).await;
    told(&elsewhere, 404, "not_found", "there is no tenant `acme`");
}

#[tokio::test]
async fn who_asks_for_usage_wrongly_is_told_how_to_ask() {
    let (host, owner) = house(Governance::unlimited()).await;
    let day = "is not a day such as 2026-11-24";
    for (query, words) in [
        ("since=2026-02-30", day),
        ("until=2026-11-24T00:00:00Z", day),
        ("since=1795559696123", day),
        (
            "group=week",
            "`week` is not `day`, the only group that there is",
        ),
        (
            "limit=10001",
            "`10001` is not a whole number from 1 to 10000",
        ),
        ("limit=0", "`0` is not a whole number from 1 to 10000"),
        ("cursor=W10", "`W10` is not the `next_cursor` of a page"),
        (
            "format=xlsx",
            "`xlsx` is not `json` (in pages), `csv` or `jsonl`",
        ),
        (
            "format=csv&cursor=W10",
            "is not the `next_cursor` of a page",
        ),
        (
            "format=csv&limit=10",
            "a file has no pages and holds all rows",
        ),
        (
            "actor=key_1",
            "unknown query parameter `actor`; this path has only `since`, `until`, `key`",
        ),
    ] {
        let path = format!("/api/usage?{query}");
        let reply = host.get(&path, &owner.secret).await;
        told(&reply, 400, "invalid_input", words);
    }
}
