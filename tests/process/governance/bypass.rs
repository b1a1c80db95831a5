//! Ways around a limit of requests.

use foretell_tests::host::key;
use foretell_tests::{Client, ServerProcess, guests};
use serde_json::{Value, json};

use super::{asked, set_limits, standing};

const LIMITED: &[(&str, &str)] = &[
    ("RATE_LIMIT_ENABLED", "true"),
    ("MAX_REQUESTS_PER_HOUR", "5"),
    ("FORETELL_CACHE__ENABLED", "false"),
];

fn post(client: &Client, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, String) {
    let json = ("content-type", "application/json");
    let headers = [&[json], headers].concat();
    let response = client.send("POST", path, &headers, body.to_string().into());
    let code = if response.status < 400 {
        String::new()
    } else {
        response.code()
    };
    (response.status, code)
}

#[test]
fn whoever_has_used_up_the_window_gets_nothing_by_any_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with(folder.path(), LIMITED);
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    for left in ["4", "3", "2", "1", "0"] {
        let answer = tenant.post("/api/predict/m", &asked()).is(200);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("5"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left));
        assert!(answer.header("x-ratelimit-reset").is_some());
    }
    let refused = tenant.post("/api/predict/m", &asked()).is(429);
    assert_eq!(refused.code(), "rate_limited");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_600..=7_200).contains(&wait), "{wait}");

    let is_refused = |what: &str, (status, code): (u16, String)| {
        assert_eq!((status, &*code), (429, "rate_limited"), "{what}");
    };
    // As somebody else, it says.
    for headers in [
        [("x-forwarded-for", "203.0.113.7")],
        [("x-real-ip", "203.0.113.8")],
        [("forwarded", "for=203.0.113.9")],
        [("x-request-id", "another")],
        [("x-tenant", "other")],
        [("cache-control", "no-cache")],
        [("x-subject", "another")],
        [("idempotency-key", "another")],
    ] {
        let got = post(&tenant, "/api/predict/m", &headers, &asked());
        is_refused(headers[0].0, got);
    }
    // With another key of the same tenant, and by the operator for it.
    let operator = server.operator();
    let second = operator.with_key(&key(&operator, "acme", &["infer"]));
    is_refused("second key", post(&second, "/api/predict/m", &[], &asked()));
    let for_it = operator.under("/tenants/acme");
    is_refused("operator", post(&for_it, "/api/predict/m", &[], &asked()));
    // By every protocol, and by what streams.
    let infer = guests::infer_request(&[0.5]);
    for (path, body) in [
        ("/tenants/acme/api/predict/m", &asked()),
        ("/api/predict/m?version=1", &asked()),
        ("/v1/models/m:predict", &json!({"instances": [0.5]})),
        (
            "/v1/models/m/versions/1:predict",
            &json!({"instances": [0.5]}),
        ),
        ("/v2/models/m/infer", &infer),
        ("/v2/models/m/versions/1/infer", &infer),
        ("/v2/models/m/infer_stream", &infer),
        ("/v2/models/m/generate", &asked()),
        ("/v2/models/m/generate_stream", &asked()),
    ] {
        is_refused(path, post(&tenant, path, &[], body));
    }
    // By paths that look alike, which are none.
    for path in [
        "/API/predict/m",
        "/api/Predict/m",
        "//api/predict/m",
        "/api/predict/m/",
        "/api//predict/m",
        "/api/./predict/m",
        "/%61pi/predict/m",
        "/api/predict/%6d",
    ] {
        let (status, _) = post(&tenant, path, &[], &asked());
        assert!([404, 429].contains(&status), "{path}: {status}");
    }
    // Another tenant has its own.
    let other = server.tenant("other");
    other.push("m", "1", &guests::honest()).is(201);
    other.post("/api/predict/m", &asked()).is(200);
    assert_eq!(standing(&server, "acme")["today"]["predictions"], 5);
}

#[test]
fn a_batch_is_one_request_and_as_many_predictions_as_it_has_rows() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with(folder.path(), LIMITED);
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    set_limits(
        &server,
        "acme",
        &json!({"quotas": {"predictions_per_day": 10}}),
    );
    let rows = |count: usize| Value::Array(vec![asked(); count]);
    tenant.post("/api/predict/m", &rows(7)).is(200);
    let refused = tenant.post("/api/predict/m", &rows(4)).is(429);
    assert_eq!(refused.code(), "quota_exhausted");
    tenant.post("/api/predict/m", &rows(3)).is(200);
    let refused = tenant.post("/api/predict/m", &asked()).is(429);
    assert_eq!(refused.code(), "quota_exhausted");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(standing(&server, "acme")["today"]["predictions"], 10);
}
