//! Answers from memory, told apart from runs by a guest that counts: in a warm instance, `Count` answers how often that
//! instance was called.

use foretell_tests::guests::{self, Misdeed};
use foretell_tests::{Client, Parts, Response, TestHost};
use serde_json::json;

const ON: &str = "cache:\n  enabled: true\n";

/// A guest that counts its calls. It promises to be deterministic, and does not keep it: so a run shows.
fn counter() -> Parts {
    guests::chameleon().runtime(json!({"isolation": "reuse"}))
}

/// Asks for the count; gives it with `X-Cache`.
#[track_caller]
fn count(client: &Client, model: &str, headers: &[(&str, &str)]) -> (f64, String) {
    let path = format!("/v2/models/{model}/infer");
    let body = guests::infer_request(&[Misdeed::Count.input()]);
    let response = client
        .send("POST", &path, headers, body.to_string().into())
        .is(200);
    let count = response.json()["outputs"][0]["data"][0].as_f64().unwrap();
    let cache = response.header("x-cache").unwrap().to_owned();
    let compute = response.timing_ms("compute").unwrap();
    assert_eq!(
        compute == 0.0,
        cache == "hit",
        "{cache}: {compute} ms in the sandbox"
    );
    assert!(response.timing_ms("cache").is_some());
    (count, cache)
}

#[track_caller]
fn removed(response: Response) -> u64 {
    response.is(200).json()["removed"].as_u64().unwrap()
}

#[test]
fn an_equal_question_is_run_once_until_its_caller_wants_more() {
    let host = TestHost::configured(ON);
    let tenant = host.tenant("acme");
    tenant.push("m", "1", &counter()).is(201);
    let (first, cache) = count(&tenant, "m", &[]);
    assert_eq!(cache, "miss");
    let hit = |count| (count, "hit".to_owned());
    let bypass = |count| (count, "bypass".to_owned());
    assert_eq!(count(&tenant, "m", &[]), hit(first));
    let no_store = [("cache-control", "no-store")];
    assert_eq!(count(&tenant, "m", &no_store), bypass(first + 1.0));
    assert_eq!(count(&tenant, "m", &[]), hit(first), "it was not kept");
    let no_cache = [("cache-control", "no-cache")];
    assert_eq!(count(&tenant, "m", &no_cache), bypass(first + 2.0));
    assert_eq!(
        count(&tenant, "m", &[]),
        hit(first + 2.0),
        "it took the place of the first"
    );
}

#[test]
fn tenants_models_and_versions_never_share_an_answer() {
    let host = TestHost::configured(ON);
    let (one, other) = (host.tenant("one"), host.tenant("other"));
    // The same plugin everywhere. The artifact tells versions and models apart; the two tenants have the very same version.
    let weighted = |weights: &[u8]| Parts {
        artifact: Some(weights.to_vec()),
        ..counter()
    };
    one.push("m", "1", &counter()).is(201);
    one.push("m", "2", &weighted(&[0, 1])).is(201);
    one.push("n", "1", &weighted(&[0, 2])).is(201);
    other.push("m", "1", &counter()).is(201);
    let digest =
        |client: &Client| client.get("/api/models/m/versions/1").is(200).json()["digest"].clone();
    assert_eq!(digest(&one), digest(&other));

    // The first question counts as one; the answer that is kept afterwards is another.
    let (first, _) = count(&one, "m", &[]);
    let (kept, _) = count(&one, "m", &[("cache-control", "no-cache")]);
    assert_eq!(kept, first + 1.0);
    let missed = (first, "miss".to_owned());
    assert_eq!(count(&other, "m", &[]), missed, "another tenant");
    assert_eq!(count(&one, "n", &[]), missed, "another model");
    assert_eq!(count(&one, "m/versions/2", &[]), missed, "another version");
    assert_eq!(count(&one, "m", &[]), (kept, "hit".to_owned()));
}

#[test]
fn a_purge_is_for_ones_own_answers() {
    let host = TestHost::configured(ON);
    let (one, other) = (host.tenant("one"), host.tenant("other"));
    for tenant in [&one, &other] {
        tenant.push("m", "1", &counter()).is(201);
        count(tenant, "m", &[]);
    }
    assert_eq!(removed(one.delete("/api/models/m/cache")), 1);
    assert_eq!(count(&one, "m", &[]).1, "miss");
    assert_eq!(removed(one.delete("/api/cache")), 1);
    assert_eq!(count(&other, "m", &[]).1, "hit");
    other.delete("/tenants/one/api/cache").is(404);
    let operator = host.operator();
    operator.delete("/api/cache").is(400);
    assert_eq!(removed(operator.delete("/tenants/other/api/cache")), 1);
}

#[test]
fn failures_and_excepted_versions_are_run_each_time() {
    let host = TestHost::configured(ON);
    let tenant = host.tenant("acme");
    tenant.push("m", "1", &counter()).is(201);
    for _ in 0..2 {
        let body = guests::infer_request(&[Misdeed::Fail.input()]);
        tenant.post("/v2/models/m/infer", &body).is(500);
    }
    let excepted = counter().runtime(json!({"isolation": "reuse", "cache": false}));
    tenant.push("excepted", "1", &excepted).is(201);
    let (first, _) = count(&tenant, "excepted", &[]);
    assert_eq!(
        count(&tenant, "excepted", &[]),
        (first + 1.0, "bypass".to_owned())
    );
    assert_eq!(removed(tenant.delete("/api/cache")), 0);
}

#[test]
fn the_health_report_tells_what_the_cache_holds() {
    let host = TestHost::configured(ON);
    let tenant = host.tenant("acme");
    tenant.push("m", "1", &counter()).is(201);
    count(&tenant, "m", &[]);
    count(&tenant, "m", &[]);
    let check =
        |host: &TestHost| host.operator().get("/health").is(200).json()["checks"]["cache"].clone();
    let seen = check(&host);
    assert_eq!(seen["status"], "healthy");
    let detail = seen["detail"].as_str().unwrap();
    assert!(detail.starts_with("1 answers, "), "{detail}");
    assert!(
        detail.ends_with("of at most 67108864 bytes; 1 hits, 1 misses"),
        "{detail}"
    );

    let without = TestHost::start();
    assert_eq!(
        check(&without),
        json!({"status": "healthy", "detail": "disabled"})
    );
}
