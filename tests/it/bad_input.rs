//! Whatever is wrong with a request is told to its caller by name, and is never the server's fault.

use foretell_tests::models::infer_request;
use foretell_tests::{Client, Model, Tenant, TestHost};
use serde_json::{Value, json};

use crate::refusal::{Expected, JSON, check};

fn lead_score(host: &TestHost) -> (Tenant, Model) {
    let tenant = host.tenant("acme");
    let model = Model::read("lead-score");
    model.push(&tenant);
    (tenant, model)
}

/// The sample with one feature set to something else.
fn with(model: &Model, feature: &str, value: Value) -> Value {
    let mut record = model.request.clone();
    record[feature] = value;
    record
}

/// The sample without a feature.
fn without(model: &Model, feature: &str) -> Value {
    let mut record = model.request.clone();
    record.as_object_mut().unwrap().remove(feature).unwrap();
    record
}

#[test]
fn a_record_that_is_no_input_of_the_model_is_refused_by_the_name_of_its_feature() {
    let host = TestHost::start();
    let (tenant, model) = lead_score(&host);
    let cases: Vec<(&str, Value, Expected<'_>)> = vec![
        (
            "a text for a number",
            with(&model, "age", json!("49")),
            (400, "invalid_input", "feature `age`: is a text"),
        ),
        (
            "a number for a text",
            with(&model, "job", json!(3)),
            (400, "invalid_input", "feature `job`: is a number"),
        ),
        (
            "a list for a number",
            with(&model, "age", json!([49])),
            (400, "invalid_input", "feature `age`: is a list"),
        ),
        (
            "a missing feature",
            without(&model, "contact"),
            (400, "missing_feature", "feature `contact`"),
        ),
        (
            "null for a required one",
            with(&model, "contact", Value::Null),
            (400, "missing_feature", "feature `contact`"),
        ),
        (
            "a misspelt feature",
            with(&model, "agee", json!(49)),
            (400, "unknown_feature", "`agee`; did you mean `age`?"),
        ),
        (
            "a feature of no model",
            with(&model, "zzzzzzzz", json!(1)),
            (400, "unknown_feature", "`zzzzzzzz`"),
        ),
        (
            "a misspelt category",
            with(&model, "job", json!("servicess")),
            (400, "unknown_category", "did you mean `services`?"),
        ),
        (
            "another category",
            with(&model, "job", json!("astronaut")),
            (400, "unknown_category", "`astronaut`"),
        ),
        (
            "a number too large",
            with(&model, "age", json!(121)),
            (
                400,
                "out_of_range",
                "feature `age`: 121 is outside 0 to 120",
            ),
        ),
        (
            "a number too small",
            with(&model, "age", json!(-1)),
            (400, "out_of_range", "-1 is outside 0 to 120"),
        ),
        (
            "a fraction",
            with(&model, "age", json!(49.5)),
            (400, "out_of_range", "49.5 is not a whole number"),
        ),
        (
            "a second bad record",
            json!([model.request, without(&model, "contact")]),
            (400, "missing_feature", "record 1"),
        ),
        ("no record", json!([]), (400, "invalid_input", "empty")),
        ("a number", json!(42), (400, "malformed", "")),
        ("a text", json!("services"), (400, "malformed", "")),
        ("a list of numbers", json!([1, 2]), (400, "malformed", "")),
    ];
    for (what, body, expected) in cases {
        check(
            what,
            &tenant.post("/api/predict/lead-score", &body),
            expected,
        );
    }
    let beyond = model
        .request
        .to_string()
        .replacen('{', r#"{"extra": 1e400, "#, 1);
    check(
        "a number beyond all",
        &tenant.send("POST", "/api/predict/lead-score", JSON, beyond.into()),
        (
            400,
            "invalid_input",
            "1e400 is outside the range of numbers",
        ),
    );
    // The model is as good as before.
    tenant
        .post("/api/predict/lead-score", &model.request)
        .is(200);
}

#[test]
fn a_body_that_is_no_json_is_malformed_on_every_route() {
    let host = TestHost::start();
    let (tenant, _) = lead_score(&host);
    let deep = "[".repeat(100_000);
    let bodies: [(&str, &[u8]); 9] = [
        ("nothing", b""),
        ("an open object", br#"{"age": 49,"#),
        ("a trailing comma", br#"{"age": 49,}"#),
        ("single quotes", b"{'age': 49}"),
        ("bytes after the end", br#"{"age": 49} x"#),
        ("NaN", br#"{"age": NaN}"#),
        ("bytes that are no UTF-8", b"{\"age\": \"\xff\xfe\"}"),
        ("one key twice", br#"{"age": 49, "age": 50}"#),
        ("lists without end", deep.as_bytes()),
    ];
    for path in [
        "/api/predict/lead-score",
        "/v2/models/lead-score/infer",
        "/v1/models/lead-score:predict",
    ] {
        for (what, body) in bodies {
            let response = tenant.send("POST", path, JSON, body.to_vec());
            assert_eq!(response.status, 400, "{path}, {what}: {}", response.text());
            assert_eq!(
                response.code(),
                "malformed",
                "{path}, {what}: {}",
                response.text()
            );
            assert!(!response.message().is_empty(), "{path}, {what}");
        }
    }
}

#[test]
fn tensors_that_do_not_match_the_signature_are_refused_by_the_name_of_the_input() {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    Model::read("iris").push(&tenant);
    let good = infer_request(&[vec![6.1, 2.9, 4.7, 1.4]]);
    let changed = |key: &str, value: Value| {
        let mut request = good.clone();
        request["inputs"][0][key] = value;
        request
    };
    let mut twice = good.clone();
    twice["inputs"] = json!([good["inputs"][0], good["inputs"][0]]);
    let mut unknown_output = good.clone();
    unknown_output["outputs"] = json!([{"name": "nothing"}]);
    let cases: Vec<(&str, Value, Expected<'_>)> = vec![
        (
            "no inputs",
            json!({"inputs": []}),
            (400, "invalid_input", "`features`"),
        ),
        ("no field inputs", json!({}), (400, "malformed", "inputs")),
        (
            "another name",
            changed("name", json!("x")),
            (400, "invalid_input", "unknown input `x`"),
        ),
        (
            "another datatype",
            changed("datatype", json!("FP32")),
            (400, "invalid_input", "has datatype FP32"),
        ),
        (
            "no datatype",
            changed("datatype", json!("FLOAT")),
            (400, "malformed", "FLOAT"),
        ),
        (
            "FP16 in JSON",
            changed("datatype", json!("FP16")),
            (400, "invalid_input", "binary data format"),
        ),
        (
            "another rank",
            changed("shape", json!([4])),
            (400, "invalid_input", "`features`"),
        ),
        (
            "another width",
            changed("shape", json!([2, 2])),
            (400, "invalid_input", "`features`"),
        ),
        (
            "no rows",
            json!({"inputs": [{"name": "features", "datatype": "FP64", "shape": [0, 4], "data": []}]}),
            (400, "invalid_input", ""),
        ),
        (
            "a negative length",
            changed("shape", json!([-1, 4])),
            (400, "invalid_input", "whole number"),
        ),
        (
            "a shape beyond all",
            changed("shape", json!([4_294_967_295_u64, 4_294_967_295_u64])),
            (400, "invalid_input", ""),
        ),
        (
            "too few elements",
            changed("data", json!([6.1, 2.9, 4.7])),
            (400, "invalid_input", "`features`"),
        ),
        (
            "too many elements",
            changed("data", json!([6.1, 2.9, 4.7, 1.4, 0.0])),
            (400, "invalid_input", "`features`"),
        ),
        (
            "a text among numbers",
            changed("data", json!([6.1, 2.9, 4.7, "1.4"])),
            (
                400,
                "invalid_input",
                "a text stands where FP64 wants a number",
            ),
        ),
        (
            "a number out of bounds",
            changed("data", json!([6.1, 2.9, 4.7, -1.0])),
            (400, "out_of_range", "`petal_width`"),
        ),
        (
            "a missing number",
            changed("data", json!([6.1, 2.9, 4.7, null])),
            (400, "missing_feature", "`petal_width`"),
        ),
        (
            "one input twice",
            twice,
            (400, "invalid_input", "`features` stands twice"),
        ),
        (
            "an output of another model",
            unknown_output,
            (400, "invalid_input", "`nothing`"),
        ),
    ];
    for (what, body, expected) in cases {
        check(what, &tenant.post("/v2/models/iris/infer", &body), expected);
    }
    for (what, body, expected) in [
        (
            "both forms",
            json!({"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}),
            (400, "malformed", "instances"),
        ),
        ("neither form", json!({}), (400, "malformed", "instances")),
        (
            "instances that are no list",
            json!({"instances": 1}),
            (400, "malformed", "Expected \"instances\" to be a list"),
        ),
        (
            "a row too short",
            json!({"instances": [[1, 2, 3]]}),
            (400, "invalid_input", ""),
        ),
    ] {
        check(
            what,
            &tenant.post("/v1/models/iris:predict", &body),
            expected,
        );
    }
    tenant.post("/v2/models/iris/infer", &good).is(200);
}

#[test]
fn what_does_not_exist_and_what_is_not_yours_look_the_same() {
    let host = TestHost::start();
    let (owner, model) = lead_score(&host);
    let stranger = host.tenant("stranger");
    let row = infer_request(&[vec![0.0; 19]]);
    let routes: [(&str, &str, Option<&Value>); 10] = [
        ("POST", "/api/predict/NAME", Some(&model.request)),
        ("POST", "/api/predict/NAME?version=1", Some(&model.request)),
        ("POST", "/v2/models/NAME/infer", Some(&row)),
        ("POST", "/v2/models/NAME/versions/1/infer", Some(&row)),
        ("POST", "/v1/models/NAME:predict", Some(&row)),
        ("GET", "/v2/models/NAME", None),
        ("GET", "/v2/models/NAME/ready", None),
        ("GET", "/v1/models/NAME", None),
        ("GET", "/api/models/NAME", None),
        ("GET", "/api/models/NAME/versions/1", None),
    ];
    let ask = |client: &Client, method: &str, path: &str, name: &str, body: Option<&Value>| {
        let headers = [JSON[0], ("x-request-id", "same")];
        let body = body.map(|body| body.to_string().into()).unwrap_or_default();
        let response = client.send(method, &path.replace("NAME", name), &headers, body);
        (response.status, response.text().replace(name, "NAME"))
    };
    for (method, path, body) in routes {
        let foreign = ask(&stranger, method, path, "lead-score", body);
        let absent = ask(&stranger, method, path, "lead-wrong", body);
        assert_eq!(foreign, absent, "{method} {path}");
        assert_eq!(foreign.0, 404, "{method} {path}: {}", foreign.1);
        assert!(
            foreign.1.contains("not_found"),
            "{method} {path}: {}",
            foreign.1
        );
    }
    for (path, fragment) in [
        (
            "/api/predict/none",
            "Request for unknown model: 'none' is not found",
        ),
        (
            "/api/predict/lead-score?version=9",
            "model `lead-score` has no version `9`; its active version is 1",
        ),
        ("/api/predict/%2e%2e%2flead-score", "is not found"),
    ] {
        check(
            path,
            &owner.post(path, &model.request),
            (404, "not_found", fragment),
        );
    }
    check(
        "a route",
        &owner.get("/api/nothing"),
        (404, "not_found", "/api/nothing"),
    );
}

#[test]
fn methods_encodings_and_bodies_that_a_route_does_not_take_are_named() {
    let host = TestHost::configured("predictions:\n  max_body: 64KiB\n");
    let (tenant, model) = lead_score(&host);
    for (method, path, allow) in [
        ("GET", "/api/predict/lead-score", "POST"),
        ("DELETE", "/v2/models/lead-score/infer", "POST"),
        ("PUT", "/v1/models/lead-score:predict", "POST"),
        ("POST", "/api/models", "GET"),
        ("PATCH", "/api/tenants", "POST"),
        ("POST", "/livez", "GET"),
    ] {
        let response = tenant.send(method, path, JSON, b"{}".to_vec());
        check(path, &response, (405, "method_not_allowed", method));
        let allowed = response.header("allow").unwrap_or_default();
        assert!(allowed.contains(allow), "{method} {path}: Allow: {allowed}");
    }
    let encoded = [JSON[0], ("content-encoding", "br")];
    let response = tenant.send(
        "POST",
        "/api/predict/lead-score",
        &encoded,
        b"\x0b\x02\x80{}\x03".to_vec(),
    );
    check(
        "an encoding that is not supported",
        &response,
        (415, "unsupported_encoding", "br"),
    );

    let long = vec![model.request.clone(); 400];
    let response = tenant.post("/api/predict/lead-score", &json!(long));
    check(
        "a body beyond its limit",
        &response,
        (413, "too_large", "65536"),
    );
    let response = tenant.get(&format!("/api/models/{}", "x".repeat(10_000)));
    check(
        "a URL beyond its limit",
        &response,
        (414, "too_large", "URL"),
    );
    tenant
        .post("/api/predict/lead-score", &model.request)
        .is(200);
}

#[test]
fn a_management_request_that_is_wrong_is_refused_by_its_field() {
    let host = TestHost::start();
    let (tenant, _) = lead_score(&host);
    let operator = host.operator();
    for (what, response, expected) in [
        (
            "a tenant with capitals",
            operator.post("/api/tenants", &json!({"name": "Acme"})),
            (400, "invalid_input", "tenant name"),
        ),
        (
            "a tenant that exists",
            operator.post("/api/tenants", &json!({"name": "acme"})),
            (409, "conflict", "`acme` is taken"),
        ),
        (
            "a tenant without name",
            operator.post("/api/tenants", &json!({})),
            (400, "malformed", "name"),
        ),
        (
            "an unknown field",
            operator.post("/api/tenants", &json!({"name": "x", "credits": 1_000_000})),
            (400, "malformed", "credits"),
        ),
        (
            "an unknown tenant",
            operator.get("/api/tenants/nobody"),
            (404, "not_found", "nobody"),
        ),
        (
            "an unknown tenant's prefix",
            operator.get("/tenants/nobody/api/models"),
            (404, "not_found", "nobody"),
        ),
        (
            "no scopes",
            tenant.post("/api/keys", &json!({"scopes": []})),
            (400, "invalid_input", "scopes"),
        ),
        (
            "an unknown scope",
            tenant.post("/api/keys", &json!({"scopes": ["admin"]})),
            (400, "invalid_input", "`admin`"),
        ),
        (
            "a scope that is not one's own",
            tenant.post("/api/keys", &json!({"scopes": ["usage"]})),
            (403, "forbidden", "infer,models,keys"),
        ),
        (
            "the operator's scope",
            tenant.post("/api/keys", &json!({"scopes": ["operator"]})),
            (403, "forbidden", "operator"),
        ),
        (
            "a life without end",
            tenant.post(
                "/api/keys",
                &json!({"scopes": ["infer"], "expires_in_days": 3_651}),
            ),
            (400, "invalid_input", "1 to 3650"),
        ),
        (
            "an unknown key",
            tenant.delete("/api/keys/key_0000000000000000"),
            (404, "not_found", "key"),
        ),
        (
            "a key that is no id",
            tenant.delete("/api/keys/..%2f"),
            (404, "not_found", "key id"),
        ),
        (
            "a version that is not there",
            tenant.put("/api/models/lead-score/traffic", &json!({"active": "9"})),
            (404, "not_found", "no version `9`"),
        ),
        (
            "a model that is not there",
            tenant.put("/api/models/none/traffic", &json!({"active": "1"})),
            (404, "not_found", "none"),
        ),
        (
            "an unknown key of traffic",
            tenant.put("/api/models/lead-score/traffic", &json!({"activ": "1"})),
            (400, "malformed", "activ"),
        ),
        (
            "no JSON",
            tenant.send("PUT", "/api/models/lead-score/traffic", JSON, b"{".to_vec()),
            (400, "malformed", ""),
        ),
    ] {
        check(what, &response, expected);
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{what}"
        );
        assert_eq!(response.json()["status"], response.status, "{what}");
    }
}
