//! The product's main job: the numbers of the library that trained the model, over three protocols, out of the sandbox.

use foretell_tests::models::{infer_request, output};
use foretell_tests::{Client, Model, Tenant, TestHost};
use serde_json::{Value, json};

/// Largest accepted difference of a probability from the training library's.
const TOLERANCE: f64 = 1e-6;

/// Rows of one request in the parity tests.
const BATCH: usize = 250;

fn host_with(names: &[&str]) -> (TestHost, Tenant, Vec<Model>) {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    let models: Vec<_> = names.iter().map(|name| Model::read(name)).collect();
    models.iter().for_each(|model| model.push(&tenant));
    (host, tenant, models)
}

fn infer(client: &Client, model: &str, rows: &[Vec<f64>]) -> Value {
    client
        .post(&format!("/v2/models/{model}/infer"), &infer_request(rows))
        .is(200)
        .json()
}

/// A record as a row of numbers, by the columns of the signature.
fn row_of(record: &Value, signature: &Value) -> Vec<f64> {
    let columns = signature["inputs"][0]["columns"].as_array().unwrap();
    let number = |column: &Value| {
        let name = column["name"].as_str().unwrap();
        match (
            record.get(name),
            column["domain"]["category"]["values"].as_array(),
        ) {
            (None | Some(Value::Null), _) => match &column["absent"] {
                Value::String(text) => text.parse().unwrap(),
                number => number
                    .as_f64()
                    .unwrap_or_else(|| panic!("{name} is required")),
            },
            (Some(Value::String(text)), Some(values)) => {
                values.iter().position(|value| value == text).unwrap() as f64
            }
            (Some(Value::Bool(truth)), None) => f64::from(u8::from(*truth)),
            (Some(value), _) => value.as_f64().unwrap_or_else(|| panic!("{name}: {value}")),
        }
    };
    columns.iter().map(number).collect()
}

#[test]
fn the_lead_score_sample_gives_lightgbms_number_on_every_route() {
    let (_host, tenant, models) = host_with(&["lead-score"]);
    let model = &models[0];
    let expected = model.response["probability"].as_f64().unwrap();

    let by_record = tenant
        .post("/api/predict/lead-score", &model.request)
        .is(200)
        .json();
    let by_v1 = tenant
        .post(
            "/v1/models/lead-score:predict",
            &json!({"instances": [model.request]}),
        )
        .is(200)
        .json();
    let version = tenant
        .get("/api/models/lead-score/versions/1")
        .is(200)
        .json();
    let by_v2 = infer(
        &tenant,
        "lead-score",
        &[row_of(&model.request, &version["signature"])],
    );

    let found = by_record["prediction"]["probability"].as_f64().unwrap();
    assert!(
        (found - expected).abs() <= TOLERANCE,
        "LightGBM says {expected}, the record's route {found}"
    );
    assert_eq!(by_record["prediction"]["label"], model.response["label"]);
    assert_eq!(
        by_v1["predictions"][0]["probability"].as_f64(),
        Some(found),
        "{by_v1}"
    );
    assert_eq!(
        output(&by_v2, "probability")[0].as_f64(),
        Some(found),
        "{by_v2}"
    );
}

fn answers_every_parity_row(name: &str) {
    let (_host, tenant, models) = host_with(&[name]);
    let model = &models[0];
    let parity = model.parity();
    assert!(
        parity.rows.len() >= 200,
        "{name} has {} parity rows",
        parity.rows.len()
    );

    for (batch, rows) in parity.rows.chunks(BATCH).enumerate() {
        let answer = infer(&tenant, name, rows);
        let expected: Vec<_> = parity
            .probabilities
            .iter()
            .skip(batch * BATCH)
            .take(rows.len())
            .flatten()
            .collect();
        let found = output(&answer, model.probabilities_output());
        assert_eq!(found.len(), expected.len(), "{name}, batch {batch}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found.as_f64().unwrap() - expected).abs();
            assert!(
                difference <= TOLERANCE,
                "{name}, batch {batch}, probability {at}: {found}, trained {expected}"
            );
        }
        let labels: Vec<_> = output(&answer, "label")
            .iter()
            .map(|label| label.as_u64().unwrap())
            .collect();
        assert_eq!(
            labels,
            parity.labels[batch * BATCH..][..rows.len()],
            "{name}, batch {batch}"
        );
    }

    let sample = tenant
        .post(&format!("/api/predict/{name}"), &model.request)
        .is(200)
        .json();
    assert_eq!(
        sample["prediction"]["label"], model.response["label"],
        "{name}: the sample"
    );
}

#[test]
fn lead_score_answers_every_parity_row_as_lightgbm_does() {
    answers_every_parity_row("lead-score");
}

#[test]
fn churn_answers_every_parity_row_as_its_logistic_regression_does() {
    answers_every_parity_row("churn");
}

#[test]
fn iris_answers_every_parity_row_as_its_multinomial_regression_does() {
    answers_every_parity_row("iris");
}

#[test]
fn digits_answers_every_parity_row_as_its_neural_net_does() {
    answers_every_parity_row("digits");
}

#[test]
fn a_list_of_records_gives_a_list_of_predictions_in_its_order() {
    let (_host, tenant, models) = host_with(&["iris"]);
    let flowers = [
        json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}),
        models[0].request.clone(),
        json!({"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}),
    ];
    let answer = tenant.post("/api/predict/iris", &json!(flowers)).is(200);
    let body = answer.json();
    let labels: Vec<_> = body["predictions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["prediction"]["label"])
        .collect();
    assert_eq!(labels, ["setosa", "versicolor", "virginica"]);
    assert_eq!(body["model"], "iris");
    assert_eq!(body["version"], "1");
    assert_eq!(body["credits"], 3, "a row is a credit");
    assert_eq!(answer.header("x-credits-used"), Some("3"));

    // Alone, each gets the same numbers as in company.
    for (at, flower) in flowers.iter().enumerate() {
        let alone = tenant.post("/api/predict/iris", flower).is(200).json();
        assert_eq!(
            alone["prediction"], body["predictions"][at]["prediction"],
            "record {at}"
        );
    }
}

#[test]
fn confidence_is_the_largest_class_probability() {
    let (_host, tenant, models) = host_with(&["iris", "churn"]);
    for model in &models {
        let answer = tenant
            .post(&format!("/api/predict/{}", model.name), &model.request)
            .is(200)
            .json();
        let prediction = &answer["prediction"];
        let largest = match prediction["probability"].as_f64() {
            // Of two classes only the second's probability is told.
            Some(second) => second.max(1.0 - second),
            None => prediction["probabilities"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_f64)
                .fold(0.0, f64::max),
        };
        assert_eq!(answer["confidence"].as_f64(), Some(largest), "{answer}");
    }
}

#[test]
fn every_prediction_tells_what_answered_how_long_it_took_and_what_it_cost() {
    let (_host, tenant, models) = host_with(&["iris"]);
    let digest = tenant.get("/api/models/iris/versions/1").is(200).json()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let row = [6.1, 2.9, 4.7, 1.4].to_vec();
    for (path, body) in [
        ("/api/predict/iris", models[0].request.clone()),
        ("/api/predict/iris?version=1", models[0].request.clone()),
        (
            "/v2/models/iris/infer",
            infer_request(std::slice::from_ref(&row)),
        ),
        ("/v2/models/iris/versions/1/infer", infer_request(&[row])),
        (
            "/v1/models/iris:predict",
            json!({"instances": [models[0].request]}),
        ),
    ] {
        let headers = [
            ("content-type", "application/json"),
            ("x-request-id", "my-own.id_1"),
        ];
        let answer = tenant
            .send("POST", path, &headers, body.to_string().into())
            .is(200);
        assert_eq!(answer.header("x-request-id"), Some("my-own.id_1"), "{path}");
        assert_eq!(answer.header("x-credits-used"), Some("1"), "{path}");
        assert_eq!(answer.header("x-model-version"), Some("1"), "{path}");
        assert_eq!(
            answer.header("x-model-digest"),
            Some(digest.as_str()),
            "{path}"
        );
        // As it is without a cache.
        assert_eq!(answer.header("x-cache"), Some("bypass"), "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{path}: KServe's client wants exactly this"
        );
        let (queue, compute) = (answer.timing_ms("queue"), answer.timing_ms("compute"));
        assert!(
            queue.is_some_and(|ms| ms >= 0.0) && compute.is_some_and(|ms| ms > 0.0),
            "{path}: {queue:?} {compute:?}"
        );
    }
    let made = tenant.post("/api/predict/iris", &models[0].request).is(200);
    let (id, body) = (made.header("x-request-id").unwrap(), made.json());
    assert_eq!(
        body["request_id"], id,
        "the body names the request as the header does"
    );
    assert_eq!(body["cached"], false);
}

#[test]
fn models_tell_clients_of_the_protocols_what_they_are() {
    let (_host, tenant, models) = host_with(&["iris"]);
    assert_eq!(
        tenant.get("/v2/models/iris/ready").is(200).json(),
        json!({"name": "iris", "ready": true})
    );
    let metadata = tenant.get("/v2/models/iris").is(200).json();
    assert_eq!(metadata["name"], "iris");
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(
        metadata["inputs"],
        json!([{"name": "features", "datatype": "FP64", "shape": [-1, 4]}])
    );
    let outputs: Vec<_> = metadata["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| &output["name"])
        .collect();
    assert_eq!(outputs, ["probabilities", "label"]);
    let signature: Value =
        serde_json::from_str(metadata["properties"]["signature"].as_str().unwrap()).unwrap();
    assert_eq!(signature["inputs"][0]["columns"][0]["name"], "sepal_length");

    assert_eq!(tenant.get("/v1/models/iris").is(200).json()["ready"], true);
    assert_eq!(
        tenant.get("/v1/models").is(200).json()["models"],
        json!(["iris"])
    );
    assert_eq!(
        tenant.get("/v2/models").is(200).json()["models"],
        json!(["iris"])
    );

    // Rows and records are the same to V1, but that who speaks in names is answered in names.
    let rows = tenant
        .post(
            "/v1/models/iris:predict",
            &json!({"instances": [[6.1, 2.9, 4.7, 1.4]]}),
        )
        .is(200)
        .json();
    let records = tenant
        .post(
            "/v1/models/iris:predict",
            &json!({"instances": [models[0].request]}),
        )
        .is(200)
        .json();
    let (row, record) = (&rows["predictions"][0], &records["predictions"][0]);
    assert_eq!(row["probabilities"], record["probabilities"]);
    assert_eq!(
        (&row["label"], &record["label"]),
        (&json!(1), &json!("versicolor"))
    );

    // V2 answers what is asked for, under the caller's id.
    let mut request = infer_request(&[vec![6.1, 2.9, 4.7, 1.4]]);
    request["id"] = json!("mine");
    request["outputs"] = json!([{"name": "label"}]);
    let answer = tenant
        .post("/v2/models/iris/infer", &request)
        .is(200)
        .json();
    assert_eq!(answer["id"], "mine");
    assert_eq!(answer["model_name"], "iris");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(output(&answer, "label"), [json!(1)]);
}
