//! Errors: each route group answers in its own envelope, names what is wrong, and gives nothing away.

use foretell_predict::Limits;

use super::host::{Host, OPERATOR, age};
use crate::HttpConfig;

const INFER: &str =
    r#"{"inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[49,1]}]}"#;

#[tokio::test]
async fn a_path_that_no_route_has_is_404_in_the_language_of_its_group() {
    let (host, key) = Host::with_models().await;
    for (path, content_type) in [
        ("/v1", "application/json"),
        ("/v1/models/people/metadata/x", "application/json"),
        ("/v1/models/people:classify", "application/json"),
        ("/v2/models/people/infer/x", "application/json"),
        ("/v2/nothing", "application/json"),
        ("/api/predict", "application/json"),
        ("/api/predict/a/b", "application/json"),
        ("/api/nothing", "application/problem+json"),
        ("/api/models/people/versions", "application/problem+json"),
        ("/tenants/acme/api/nothing", "application/problem+json"),
        ("/tenants/acme/v2/nothing", "application/json"),
        ("/nothing", "application/problem+json"),
        ("/livez/", "application/json"),
    ] {
        let reply = host.get(path, &key).await;
        if path == "/livez/" {
            assert_eq!(reply.status, 200, "a slash at the end changes nothing");
            continue;
        }
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
        assert_eq!(reply.header("content-type"), Some(content_type), "{path}");
    }
    assert_eq!(
        host.post("/v1/models/people:explain", &key, "{}")
            .await
            .status,
        501
    );
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_405_and_says_which_it_has() {
    let (host, key) = Host::with_models().await;
    for (path, method, allow) in [
        ("/", "POST", "GET, HEAD"),
        ("/livez", "POST", "GET, HEAD"),
        ("/readyz", "DELETE", "GET, HEAD"),
        ("/health", "PUT", "GET, HEAD"),
        ("/v2", "POST", "GET, HEAD"),
        ("/v2/health/live", "POST", "GET, HEAD"),
        ("/v2/health/ready", "POST", "GET, HEAD"),
        ("/v2/models", "POST", "GET, HEAD"),
        ("/v2/models/people", "POST", "GET, HEAD"),
        ("/v2/models/people/ready", "POST", "GET, HEAD"),
        ("/v2/models/people/infer", "GET", "POST"),
        ("/v2/models/people/versions/1/infer", "HEAD", "POST"),
        ("/v1/models", "POST", "GET, HEAD"),
        ("/v1/models/people", "DELETE", "GET, HEAD"),
        ("/v1/models/people:predict", "GET", "POST"),
        ("/v1/models/people/versions/1:predict", "PATCH", "POST"),
        ("/api/predict/people", "GET", "POST"),
        ("/api/models", "POST", "GET, HEAD"),
        ("/api/models/people", "DELETE", "GET, HEAD"),
        (
            "/api/models/people/versions/1",
            "POST",
            "GET, HEAD, PUT, DELETE",
        ),
        ("/api/models/people/traffic", "POST", "GET, HEAD, PUT"),
        ("/api/keys", "DELETE", "GET, HEAD, POST"),
        ("/api/keys/key_0123456789abcdef", "GET", "DELETE"),
        ("/api/keys/key_0123456789abcdef/rotate", "OPTIONS", "POST"),
        ("/api/users", "PUT", "GET, HEAD, POST"),
        ("/api/users/usr_0", "POST", "GET, HEAD, PATCH, DELETE"),
        ("/api/users/usr_0/password", "GET", "PUT"),
        ("/api/users/usr_0/sessions", "GET", "DELETE"),
        ("/api/login", "GET", "POST"),
        ("/api/logout", "HEAD", "POST"),
        ("/api/session", "DELETE", "GET, HEAD"),
        ("/api/setup", "PUT", "POST"),
        ("/api/tenants", "PUT", "GET, HEAD, POST"),
        ("/api/tenants/acme", "POST", "GET, HEAD, DELETE"),
        ("/api/tenants/acme/limits", "POST", "GET, HEAD, PUT"),
        ("/api/tenants/acme/credits", "GET", "POST"),
        (
            "/api/keys/key_0123456789abcdef/limits",
            "DELETE",
            "GET, HEAD, PUT",
        ),
        ("/api/limits", "PUT", "GET, HEAD"),
        ("/api/audit", "DELETE", "GET, HEAD"),
        ("/api/audit/verify", "PUT", "GET, HEAD, POST"),
        ("/api/audit/checkpoints", "POST", "GET, HEAD"),
        ("/api/recording", "POST", "GET, HEAD, PUT"),
        ("/api/recording/retention", "PUT", "GET, HEAD"),
        ("/api/predictions/one/replay", "GET", "POST"),
        ("/api/subjects/ada", "PUT", "GET, HEAD, DELETE"),
        ("/api/usage", "POST", "GET, HEAD"),
    ] {
        let reply = host.call(method, path, &key, &[], b"").await;
        assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text);
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.code(), "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_413_on_every_route_that_reads_one() {
    let config = HttpConfig {
        max_json_bytes: 1_024,
        ..HttpConfig::default()
    };
    let limits = Limits {
        max_body_bytes: 2_048,
        max_plugin_bytes: 2_048,
        ..Limits::default()
    };
    let host = Host::with(config, limits).await;
    let key = host.furnish().await;
    let long = vec![b' '; 4_096];
    for (method, path) in [
        ("POST", "/api/predict/people"),
        ("POST", "/v2/models/people/infer"),
        ("POST", "/v1/models/people:predict"),
        ("PUT", "/api/models/people/versions/2"),
        ("PUT", "/api/models/people/traffic"),
        ("POST", "/api/keys"),
        ("POST", "/api/tenants"),
        ("PUT", "/api/recording"),
        ("POST", "/api/login"),
        ("POST", "/api/setup"),
        ("POST", "/api/users"),
        ("PATCH", "/api/users/usr_0"),
        ("PUT", "/api/users/usr_0/password"),
    ] {
        let reply = host.call(method, path, &key, &[], &long).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (413, "too_large"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_encoding_that_nobody_inflates_is_415() {
    let (host, key) = Host::with_models().await;
    for (method, path, encoding) in [
        ("POST", "/api/predict/people", "br"),
        ("POST", "/v2/models/people/infer", "zstd"),
        ("POST", "/v1/models/people:predict", "gzip, gzip"),
        ("PUT", "/api/models/people/versions/2", "gzip"),
        ("PUT", "/api/models/people/traffic", "gzip"),
        ("POST", "/api/keys", "deflate"),
        ("POST", "/api/tenants", "br"),
    ] {
        let reply = host
            .call(method, path, &key, &[("content-encoding", encoding)], b"x")
            .await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (415, "unsupported_encoding"),
            "{path}"
        );
    }
    let identity = host.call(
        "POST",
        "/v2/models/people/infer",
        &key,
        &[("content-encoding", "identity")],
        INFER.as_bytes(),
    );
    assert_eq!(identity.await.status, 200);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let (host, key) = Host::with_models().await;
    for (body, code, words) in [
        (r#"{"age":49"#, "malformed", "the end of the body"),
        (r#"{"job":"services"}"#, "missing_feature", "feature `age`"),
        (
            r#"{"age":49,"jobb":"services"}"#,
            "unknown_feature",
            "did you mean `job`?",
        ),
        (
            r#"{"age":49,"job":"service"}"#,
            "unknown_category",
            "did you mean `services`?",
        ),
        (r#"{"age":490}"#, "out_of_range", "490 is outside 0 to 120"),
        (
            r#"{"age":"49"}"#,
            "invalid_input",
            "is a text, use a whole number",
        ),
        (r#"[{"age":1},{"age":-1}]"#, "out_of_range", "in record 1"),
        ("[]", "invalid_input", "the list of records is empty"),
        (r#"{"age":NaN}"#, "malformed", "at /age"),
        (r#"{"age":107}"#, "plugin_refused", "nobody is so old"),
    ] {
        let reply = host.post("/api/predict/people", &key, body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{body}: {}",
            reply.text
        );
        assert!(reply.text.contains(words), "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_model_that_fails_costs_its_caller_an_error_without_the_cause() {
    let (host, key) = Host::with_models().await;
    for (age, status, code) in [
        (age::TRAPS, 500, "plugin_trapped"),
        (age::TOO_LONG, 504, "deadline_exceeded"),
        (age::OVERLOADED, 503, "overloaded"),
        (age::LIES, 500, "plugin_contract"),
        (age::PANICS, 500, "internal"),
    ] {
        for path in [
            "/api/predict/people",
            "/v2/models/people/infer",
            "/v1/models/people:predict",
        ] {
            let body = match path {
                "/api/predict/people" => format!(r#"{{"age":{age}}}"#),
                "/v2/models/people/infer" => INFER.replace("49", &age.to_string()),
                _ => format!(r#"{{"instances":[[{age},1]]}}"#),
            };
            let reply = host.post(path, &key, &body).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (status, code),
                "{path}: {}",
                reply.text
            );
            assert!(
                !reply.text.contains("secret words") && !reply.text.contains("a defect"),
                "{}",
                reply.text
            );
            assert_eq!(
                reply.header("retry-after").is_some(),
                status == 503,
                "{}",
                reply.head
            );
        }
    }
    assert_eq!(
        host.post("/api/predict/people", &key, r#"{"age":1}"#)
            .await
            .status,
        200,
        "and the next caller none"
    );
}

#[tokio::test]
async fn who_may_not_is_told_before_the_body_is_read() {
    let (host, key) = Host::with_models().await;
    let reply = host.post("/api/predict/people", "", "not even JSON").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "unauthenticated")
    );
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    for bad in ["ftl_live_x", "nonsense", &format!("{key}x")] {
        assert_eq!(host.get("/v2/models", bad).await.status, 401, "{bad}");
    }
    let created = host
        .post("/api/keys", &key, r#"{"scopes":["infer"],"label":"app"}"#)
        .await
        .json();
    let narrow = created["secret"].as_str().unwrap();
    assert_eq!(
        host.post("/api/predict/people", narrow, r#"{"age":1}"#)
            .await
            .status,
        200
    );
    let forbidden = host
        .call("PUT", "/api/models/people/versions/2", narrow, &[], b"x")
        .await;
    assert_eq!(
        (forbidden.status, forbidden.code().as_str()),
        (403, "forbidden")
    );
    assert_eq!(host.get("/api/tenants", &key).await.status, 403);
    let by_header = host
        .call("GET", "/v2/models", "", &[("x-api-key", &key)], b"")
        .await;
    assert_eq!(by_header.status, 200);
}

#[tokio::test]
async fn names_are_decoded_once_and_nothing_else_is_a_name() {
    let (host, key) = Host::with_models().await;
    assert_eq!(
        host.post("/api/predict/p%65ople", &key, r#"{"age":1}"#)
            .await
            .status,
        200
    );
    assert_eq!(
        host.post(
            "/v1/models/people%3Apredict",
            &key,
            r#"{"instances":[[1,1]]}"#
        )
        .await
        .status,
        200
    );
    let long = "x".repeat(200);
    let names = [
        "..",
        "%2e%2e%2fetc",
        "%00",
        "a%0d%0aX-Evil:1",
        "PEOPLE",
        "p%2565ople",
        "%e2%80%aepeople",
        "-x",
        "stats",
        "%ff",
        &long,
    ];
    for name in names {
        for path in [
            format!("/v2/models/{name}"),
            format!("/v1/models/{name}"),
            format!("/api/models/{name}"),
        ] {
            if path == "/v2/models/stats" {
                // The reason why no model may be called so.
                continue;
            }
            let reply = host.get(&path, &key).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (404, "not_found"),
                "{path}"
            );
            assert!(reply.header("x-evil").is_none());
        }
        if name != "PEOPLE" {
            let path = format!("/api/models/{name}/versions/1");
            let put = host
                .call(
                    "PUT",
                    &path,
                    &key,
                    &[("content-type", "application/wasm")],
                    b"x",
                )
                .await;
            assert_eq!(
                (put.status, put.code().as_str()),
                (400, "invalid_input"),
                "{path}"
            );
        }
        let path = format!("/tenants/{name}/api/models");
        assert_eq!(host.get(&path, OPERATOR).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn no_text_of_a_caller_becomes_a_header() {
    let (host, _) = Host::with_models().await;
    for id in [
        "a b",
        "x\u{1}y",
        "evil;x",
        "%0d%0aX-Evil: 1",
        &"y".repeat(129),
        "",
    ] {
        let reply = host
            .call("GET", "/livez", "", &[("x-request-id", id)], b"")
            .await;
        // A control character is no header at all, so such a request does not reach the routes.
        if reply.status == 400 {
            continue;
        }
        let answered = reply.header("x-request-id").unwrap();
        assert_eq!(answered.len(), 32, "{id:?} became {answered}");
        assert!(answered.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(reply.header("x-evil").is_none());
    }
    let taken = host
        .call(
            "GET",
            "/v2/nothing",
            "",
            &[("x-request-id", "Mine.1_2-3")],
            b"",
        )
        .await;
    assert_eq!(taken.json()["request_id"], "Mine.1_2-3");
}

#[tokio::test]
async fn a_version_in_the_query_is_refused_where_it_stands_in_the_path() {
    let (host, key) = Host::with_models().await;
    let v2 = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}"#;
    let v1 = r#"{"instances":[[1,2]]}"#;
    for (method, path, body, right) in [
        ("POST", "/v2/models/matrix/infer", v2, "/v2/models/{model}"),
        ("GET", "/v2/models/matrix", "", "/v2/models/{model}"),
        ("GET", "/v2/models/matrix/ready", "", "/v2/models/{model}"),
        (
            "POST",
            "/v1/models/matrix:predict",
            v1,
            "/v1/models/{model}",
        ),
        ("GET", "/v1/models/matrix", "", "/v1/models/{model}"),
    ] {
        // Clients add parameters of their own; only the one that they would miss is refused.
        for (query, status) in [("", 200), ("?trace=1", 200), ("?version=1", 400)] {
            let path = format!("{path}{query}");
            let reply = host.call(method, &path, &key, &[], body.as_bytes()).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
            if status == 400 {
                assert_eq!(reply.code(), "invalid_input");
                let right = format!("{right}/versions/{{version}}");
                assert!(reply.text.contains(&right), "{path}: {}", reply.text);
            }
        }
    }
}
