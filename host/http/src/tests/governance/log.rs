//! Who reads what of the audit log.

use foretell_predict::Governance;
use serde_json::{Value, json};

use super::super::host::OPERATOR;
use super::{
    Key, NOW, OWNER, PEOPLE, RECORD, columns, done, house, key, log, pages, put, texts, told,
};

#[tokio::test]
async fn an_owner_reads_who_did_what_and_no_other_tenant_sees_it() {
    let (host, Key { id, secret: owner }) = house(Governance::unlimited()).await;
    host.tenant("globex").await;
    let other = key(&host, "globex", OWNER).await.secret;
    done(host.post(PEOPLE, &owner, RECORD).await);
    done(host.call("DELETE", "/api/cache", &owner, &[], b"").await);
    host.get("/api/models/nothing", &owner).await;

    let rows = log(&host, &owner, "").await;
    assert_eq!(
        texts(&rows, "act"),
        [
            "tenant.create",
            "key.create",
            "version.create",
            "version.create",
            "key.create",
            "cache.purge",
            "predict",
            "refuse",
        ]
    );
    assert!(
        texts(&rows, "tenant")
            .iter()
            .all(|tenant| *tenant == "acme")
    );
    assert!(texts(&rows, "at").iter().all(|at| *at == NOW));
    let (id, predicted) = (json!(id), &rows[6]);
    assert_eq!(
        columns(&rows[6..], ["actor", "object", "outcome"]),
        [
            [&id, &json!("people/1"), &json!("ok")],
            [&id, &json!("GET /api/models/{model}"), &json!("not_found")],
        ]
    );
    assert_eq!(predicted["detail"]["predictions"], 1);
    assert_eq!(predicted["detail"]["micro_credits"], 1_000_000);
    assert_eq!(rows[7]["detail"], json!({"count": 1}));
    let origin = rows[5]["origin"].as_str().unwrap();
    assert!(
        !origin.contains("127.0.0.1"),
        "addresses are kept as keyed hashes"
    );
    assert_eq!(predicted["hash"].as_str().unwrap().len(), 64);
    // No secret and no input stands in it.
    let text = json!(rows).to_string();
    assert!(
        !text.contains("ftl_live_") && !text.contains("services"),
        "{text}"
    );

    let others = log(&host, &other, "").await;
    assert_eq!(
        texts(&others, "act"),
        ["tenant.create", "key.create", "key.create"]
    );
    assert!(
        texts(&others, "tenant")
            .iter()
            .all(|tenant| *tenant == "globex")
    );

    // An operator reads everything, and one tenant's by its prefix.
    let all = log(&host, OPERATOR, "").await;
    let numbers: Vec<_> = all.iter().map(|row| row["seq"].as_u64()).collect();
    let counted: Vec<_> = (1..=all.len() as u64).map(Some).collect();
    assert_eq!(numbers, counted);
    assert_eq!(all.len(), 1 + rows.len() + others.len());
    assert_eq!(
        columns(&all[..1], ["tenant", "actor"]),
        [[&Value::Null, &json!("server")]]
    );
    let prefixed = pages(
        &host,
        "/tenants/acme/api/audit?order=asc",
        OPERATOR,
        "records",
        50,
    )
    .await;
    assert_eq!(prefixed, rows);

    let elsewhere = host.get("/tenants/acme/api/audit", &other).await;
    told(&elsewhere, 404, "not_found", "there is no tenant `acme`");
}

#[tokio::test]
async fn every_filter_leaves_what_it_says() {
    let (host, Key { id, secret: owner }) = house(Governance::unlimited()).await;
    let headers = [("x-request-id", "find-me")];
    let body = RECORD.as_bytes();
    done(host.call("POST", PEOPLE, &owner, &headers, body).await);
    done(
        host.post(
            "/v1/models/matrix:predict",
            &owner,
            r#"{"instances":[[1,2]]}"#,
        )
        .await,
    );
    host.get("/api/models/nothing", &owner).await;
    let whole = log(&host, &owner, "").await;
    for (query, count) in [
        ("&act=predict".to_owned(), 2),
        ("&act=refuse".to_owned(), 1),
        ("&act=predict&object=people/1".to_owned(), 1),
        ("&object=people%2F1".to_owned(), 2),
        (format!("&actor={id}"), 3),
        ("&actor=server".to_owned(), 0),
        ("&outcome=not_found".to_owned(), 1),
        ("&request_id=find-me".to_owned(), 1),
        ("&since=2026-11-24".to_owned(), whole.len()),
        ("&since=2026-11-24T22:34:56.123Z".to_owned(), whole.len()),
        ("&since=1795559696124".to_owned(), 0),
        ("&until=2026-11-24T22:34:56.123Z".to_owned(), 0),
        ("&since=2026-11-24&until=2026-11-25".to_owned(), whole.len()),
    ] {
        let found = log(&host, &owner, &query).await;
        assert_eq!(found.len(), count, "{query}");
        assert!(found.iter().all(|row| whole.contains(row)), "{query}");
    }
}

#[tokio::test]
async fn pages_join_up_to_the_whole_in_both_orders() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    for _ in 0..6 {
        done(host.post(PEOPLE, &owner, RECORD).await);
    }
    let whole = log(&host, &owner, "").await;
    assert_eq!(whole.len(), 11);
    for limit in 1..=12 {
        let oldest_first = pages(&host, "/api/audit?order=asc", &owner, "records", limit).await;
        assert_eq!(oldest_first, whole, "{limit}");
        for path in ["/api/audit", "/api/audit?order=desc"] {
            let mut newest_first = pages(&host, path, &owner, "records", limit).await;
            newest_first.reverse();
            assert_eq!(newest_first, whole, "{path} {limit}");
        }
    }
}

#[tokio::test]
async fn an_auditor_reads_and_changes_nothing() {
    let (host, _) = house(Governance::unlimited()).await;
    let auditor = key(&host, "acme", &["usage", "audit"]).await;
    let Key {
        id,
        secret: auditor,
    } = auditor;
    for path in [
        "/api/audit",
        "/api/audit/verify",
        "/api/usage",
        "/api/limits",
    ] {
        done(host.get(path, &auditor).await);
        told(
            &host.get(path, "").await,
            401,
            "unauthenticated",
            "no API key",
        );
    }
    let of_key = format!("/api/keys/{id}/limits");
    for (method, path, body) in [
        ("PUT", of_key.as_str(), "{}"),
        ("GET", of_key.as_str(), ""),
        ("GET", "/api/tenants/acme/limits", ""),
        ("PUT", "/api/tenants/acme/limits", "{}"),
        ("POST", "/api/tenants/acme/credits", r#"{"credits":1}"#),
        ("POST", PEOPLE, RECORD),
        ("GET", "/api/models", ""),
    ] {
        let reply = host
            .call(method, path, &auditor, &[], body.as_bytes())
            .await;
        told(&reply, 403, "forbidden", "this key lacks the scope");
    }
    let caller = key(&host, "acme", &["infer", "models", "keys"])
        .await
        .secret;
    for (path, scope) in [
        ("/api/audit", "audit"),
        ("/api/audit?format=csv", "audit"),
        ("/api/audit/verify", "audit"),
        ("/api/usage", "usage"),
        ("/api/usage?format=jsonl", "usage"),
        ("/api/limits", "usage"),
    ] {
        let words = format!("this key lacks the scope `{scope}`");
        told(&host.get(path, &caller).await, 403, "forbidden", &words);
    }
}

#[tokio::test]
async fn a_log_that_is_what_was_written_is_said_to_be() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    done(host.post(PEOPLE, &owner, RECORD).await);
    let rows = log(&host, OPERATOR, "").await.len();
    assert_eq!(
        done(host.get("/api/audit/verify", OPERATOR).await),
        json!({"ok": true, "rows": rows, "checkpoints": 0, "broken": null})
    );
    // How much the host has written is nobody's business but its operator's.
    for (path, key) in [
        ("/api/audit/verify", owner.as_str()),
        ("/tenants/acme/api/audit/verify", OPERATOR),
    ] {
        let verdict = done(host.get(path, key).await);
        assert_eq!(verdict, json!({"ok": true, "broken": null}), "{path}");
    }
}

#[tokio::test]
async fn what_was_set_and_given_is_in_the_log_with_what_was_before() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    let path = "/api/tenants/acme/limits";
    for limit in [5, 6] {
        let body = json!({"quotas": {"predictions_per_day": limit}});
        done(put(&host, path, OPERATOR, &body).await);
    }
    let grant = r#"{"credits":2.5,"reason":"a gift"}"#;
    done(
        host.post("/api/tenants/acme/credits", OPERATOR, grant)
            .await,
    );
    let set = log(&host, &owner, "&act=limits.set").await;
    let quotas = columns(&set, ["detail"]).into_iter().map(|[detail]| {
        let [before, after] = ["before", "after"].map(|when| &detail[when]["quotas"]);
        (before, after)
    });
    assert_eq!(
        quotas.collect::<Vec<_>>(),
        [
            (&json!({}), &json!({"predictions_per_day": 5})),
            (
                &json!({"predictions_per_day": 5}),
                &json!({"predictions_per_day": 6})
            ),
        ]
    );
    let given = log(&host, &owner, "&act=credits.grant").await;
    assert_eq!(given.len(), 1);
    assert_eq!(
        given[0]["detail"],
        json!({"micro_credits": 2_500_000, "reason": "a gift"})
    );
}

#[tokio::test]
async fn who_asks_the_log_wrongly_is_told_how_to_ask() {
    let (host, owner) = house(Governance::unlimited()).await;
    let owner = owner.secret;
    let time = "a time such as 2026-11-24, 2026-11-24T22:30:00Z, or milliseconds since 1970";
    for (query, words) in [
        (
            "limit=0",
            "query parameter `limit`: `0` is not a whole number from 1 to 1000",
        ),
        ("limit=1001", "`1001` is not a whole number from 1 to 1000"),
        ("limit=", "`` is not a whole number from 1 to 1000"),
        ("limit=1.5", "`1.5` is not a whole number"),
        (
            "act=sing",
            "query parameter `act`: `sing` is not an act: tenant.create, tenant.delete",
        ),
        ("since=yesterday", time),
        ("until=2026-02-30", time),
        ("since=2026-11-24T22:30:00%2B01:00", time),
        (
            "cursor=x",
            "query parameter `cursor`: `x` is not the `next_cursor` of a page",
        ),
        ("cursor=-1", "is not the `next_cursor` of a page"),
        (
            "order=up",
            "query parameter `order`: `up` is not `asc` or `desc`",
        ),
        ("request_id=a%20b", "`a b` is not the id of a request"),
        (
            "format=xml",
            "`xml` is not `json` (in pages), `csv` or `jsonl`",
        ),
        (
            "format=csv&limit=5",
            "query parameter `limit`: a file has no pages and holds all rows",
        ),
        (
            "format=jsonl&cursor=5",
            "query parameter `cursor`: a file has no pages",
        ),
        (
            "tenant=globex",
            "unknown query parameter `tenant`; this path has only `act`, `actor`",
        ),
        ("Act=predict", "unknown query parameter `Act`"),
    ] {
        let reply = host.get(&format!("/api/audit?{query}"), &owner).await;
        told(&reply, 400, "invalid_input", words);
    }
    let good = host.get("/api/audit?format=json&limit=1000&act=predict", &owner);
    assert_eq!(done(good.await)["records"], json!([]));
}
