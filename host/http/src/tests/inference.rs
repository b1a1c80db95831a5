//! Predictions over the three surfaces.

use serde_json::json;

use super::host::{Host, OPERATOR, age};

const RECORD: &str = r#"{"age":49,"job":"services"}"#;

#[tokio::test]
async fn a_record_is_answered_by_name_and_its_headers_say_how() {
    let (host, key) = Host::with_models().await;
    let reply = host
        .call(
            "POST",
            "/api/predict/people",
            &key,
            &[("x-request-id", "req-1")],
            RECORD.as_bytes(),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(
        reply.text,
        r#"{"model":"people","version":"1","prediction":{"probability":0.49,"label":"no"},"confidence":0.51,"cached":false,"credits":1,"request_id":"req-1"}"#
    );
    let digest = host.get("/api/models/people/versions/1", &key).await.json()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-request-id", "req-1"),
        (
            "server-timing",
            "queue;dur=1.500, cache;dur=0.000, compute;dur=2.250",
        ),
        ("x-credits-used", "1"),
        ("x-model-version", "1"),
        ("x-model-digest", &digest),
        ("x-cache", "bypass"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_list_of_records_is_answered_by_a_list() {
    let (host, key) = Host::with_models().await;
    let reply = host
        .post(
            "/api/predict/people?version=1",
            &key,
            r#"[{"age":10},{"age":90,"job":"admin"}]"#,
        )
        .await;
    let body = reply.json();
    assert_eq!(
        body["predictions"],
        json!([
            {"prediction": {"probability": 0.1, "label": "no"}, "confidence": 0.9},
            {"prediction": {"probability": 0.9, "label": "yes"}, "confidence": 0.9},
        ])
    );
    assert_eq!(body["credits"], 2);
    assert!(body.get("prediction").is_none() && body.get("confidence").is_none());
}

#[tokio::test]
async fn three_surfaces_give_the_same_number() {
    let (host, key) = Host::with_models().await;
    let record = host.post("/api/predict/people", &key, RECORD).await.json();
    let v2 = r#"{"id":"mine","inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[49,1]}]}"#;
    let v2 = host.post("/v2/models/people/infer", &key, v2).await.json();
    let v1 = host
        .post(
            "/v1/models/people:predict",
            &key,
            r#"{"instances":[[49,1]]}"#,
        )
        .await
        .json();
    assert_eq!(record["prediction"]["probability"], 0.49);
    assert_eq!(
        v2,
        json!({"model_name": "people", "model_version": "1", "id": "mine", "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [1], "data": [0.49]},
            {"name": "label", "datatype": "UINT32", "shape": [1], "data": [0]},
        ]})
    );
    assert_eq!(
        v1,
        json!({"predictions": [{"probability": 0.49, "label": 0}]})
    );
    let by_record = host
        .post(
            "/v1/models/people/versions/1:predict",
            &key,
            &format!(r#"{{"instances":[{RECORD}]}}"#),
        )
        .await;
    assert_eq!(
        by_record.json(),
        json!({"predictions": [{"probability": 0.49, "label": "no"}]})
    );
    let columns = host
        .post(
            "/v1/models/people:predict",
            &key,
            r#"{"inputs":[[49,1],[60,0]]}"#,
        )
        .await;
    assert_eq!(
        columns.json(),
        json!({"outputs": {"probability": [0.49, 0.6], "label": [0, 1]}})
    );
    assert_eq!(columns.header("x-credits-used"), Some("2"));
}

#[tokio::test]
async fn a_model_of_one_output_answers_bare_values() {
    let (host, key) = Host::with_models().await;
    let rows = host
        .post(
            "/v1/models/matrix:predict",
            &key,
            r#"{"instances":[[0.1,1],[2,3]]}"#,
        )
        .await;
    assert_eq!(rows.text, r#"{"predictions":[[0.1,1.0],[2.0,3.0]]}"#);
    let columns = host
        .post(
            "/v1/models/matrix:predict",
            &key,
            r#"{"inputs":{"x":[[0.1,1]]}}"#,
        )
        .await;
    assert_eq!(columns.text, r#"{"outputs":[[0.1,1.0]]}"#);
    let record = host
        .post("/api/predict/matrix", &key, r#"{"x":[0.5,1]}"#)
        .await;
    assert_eq!(record.json()["prediction"], json!({"y": [0.5, 1.0]}));
    assert!(record.json().get("confidence").is_none());
}

#[tokio::test]
async fn outputs_are_chosen_in_the_callers_order_and_an_id_is_always_there() {
    let (host, key) = Host::with_models().await;
    let inputs =
        r#""inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[[49,1]]}]"#;
    let body = format!(r#"{{{inputs},"outputs":[{{"name":"label"}}]}}"#);
    let reply = host
        .post("/v2/models/people/versions/1/infer", &key, &body)
        .await;
    let names: Vec<_> = reply.json()["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].clone())
        .collect();
    assert_eq!(names, ["label"]);
    assert_eq!(reply.json()["id"], reply.header("x-request-id").unwrap());
    let unknown = host
        .post(
            "/v2/models/people/infer",
            &key,
            &body.replace("label", "lable"),
        )
        .await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (400, "invalid_input")
    );
}

#[tokio::test]
async fn what_json_lacks_is_null_and_said_so() {
    let (host, key) = Host::with_models().await;
    let body = format!(
        r#"{{"inputs":[{{"name":"features","datatype":"FP64","shape":[2,2],"data":[{},1,50,1]}}],"outputs":[{{"name":"probability"}}]}}"#,
        age::NOT_A_NUMBER
    );
    let outputs = host
        .post("/v2/models/people/infer", &key, &body)
        .await
        .json()["outputs"]
        .clone();
    assert_eq!(
        outputs,
        json!([{"name": "probability", "datatype": "FP64", "shape": [2], "parameters": {"non_finite": true}, "data": [null, 0.5]}])
    );
}

#[tokio::test]
async fn a_tenant_prefix_stands_before_any_route() {
    let (host, key) = Host::with_models().await;
    for (path, body) in [
        ("/tenants/acme/api/predict/people", RECORD),
        (
            "/tenants/acme/v1/models/people:predict",
            r#"{"instances":[[49,1]]}"#,
        ),
        (
            "/tenants/%61cme/v2/models/people/infer",
            r#"{"inputs":[{"name":"features","datatype":"FP64","shape":[1,2],"data":[49,1]}]}"#,
        ),
    ] {
        for key in [&key, OPERATOR] {
            let reply = host.post(path, key, body).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        }
    }
    let without = host.post("/api/predict/people", OPERATOR, RECORD).await;
    assert_eq!(
        (without.status, without.code().as_str()),
        (400, "tenant_required")
    );
    let other = host.tenant("other").await;
    let foreign = host
        .post("/tenants/acme/api/predict/people", &other, RECORD)
        .await;
    let absent = host
        .post("/tenants/nobody/api/predict/people", &other, RECORD)
        .await;
    assert_eq!((foreign.status, absent.status), (404, 404));
    let theirs = host.post("/api/predict/people", &other, RECORD).await;
    let nobodys = host.post("/api/predict/peoples", &other, RECORD).await;
    assert_eq!(
        theirs.json()["error"]
            .as_str()
            .unwrap()
            .replace("people", "peoples"),
        nobodys.json()["error"]
    );
}

#[tokio::test]
async fn metadata_tells_clients_what_they_look_for() {
    let (host, key) = Host::with_models().await;
    assert_eq!(host.get("/v2", "").await.json()["name"], "foretell");
    assert_eq!(
        host.get("/v2/", "").await.json()["extensions"],
        json!([
            "binary_tensor_data",
            "model_configuration",
            "model_repository",
            "statistics"
        ])
    );
    assert_eq!(
        host.get("/v2/health/live", "").await.json(),
        json!({"live": true})
    );
    assert_eq!(
        host.get("/v2/health/ready", "").await.json(),
        json!({"ready": true, "live": true})
    );
    assert_eq!(
        host.get("/v2/models", &key).await.json(),
        json!({"models": ["matrix", "people"]})
    );
    assert_eq!(
        host.get("/v1/models", &key).await.json(),
        json!({"models": ["matrix", "people"]})
    );
    assert_eq!(host.get("/", "").await.json(), json!({"status": "alive"}));
    for path in [
        "/v2/models/people/ready",
        "/v2/models/people/versions/1/ready",
    ] {
        assert_eq!(
            host.get(path, &key).await.json(),
            json!({"name": "people", "ready": true})
        );
    }
    for path in ["/v2/models/people", "/v2/models/people/versions/1"] {
        let metadata = host.get(path, &key).await.json();
        assert_eq!(metadata["name"], "people");
        assert_eq!(metadata["versions"], json!(["1"]));
        assert_eq!(
            metadata["inputs"],
            json!([{"name": "features", "datatype": "FP64", "shape": [-1, 2]}])
        );
        assert_eq!(
            metadata["outputs"][1],
            json!({"name": "label", "datatype": "UINT32", "shape": [-1]})
        );
        let signature: serde_json::Value =
            serde_json::from_str(metadata["properties"]["signature"].as_str().unwrap()).unwrap();
        assert_eq!(signature["inputs"][0]["columns"][1]["name"], "job");
    }
    assert_eq!(
        host.get("/v1/models/people", &key).await.json(),
        json!({"name": "people", "ready": true, "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]})
    );
    for path in [
        "/v1/models/people/metadata",
        "/v1/models/people/versions/1/metadata",
    ] {
        let metadata = host.get(path, &key).await.json();
        assert_eq!(
            metadata["model_spec"],
            json!({"name": "people", "signature_name": "", "version": "1"})
        );
        let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
        assert_eq!(signature["method_name"], "tensorflow/serving/predict");
        assert_eq!(
            signature["inputs"],
            json!({"features": {"dtype": "DT_DOUBLE", "name": "features", "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": false}}})
        );
        assert_eq!(signature["outputs"]["label"]["dtype"], "DT_UINT32");
    }
    let head = host.call("HEAD", "/v2/models/people", &key, &[], b"").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(
        head.header("content-length"),
        host.get("/v2/models/people", &key)
            .await
            .header("content-length")
    );
}
