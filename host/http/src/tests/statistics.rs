//! The statistics routes: what was asked is what is counted.

use serde_json::{Value, json};

use super::host::{Host, age};

const RECORD: &str = r#"{"age":49}"#;

async fn stats(host: &Host, path: &str, key: &str) -> Vec<Value> {
    let reply = host.get(path, key).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["model_stats"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_prediction_is_counted_where_it_belongs() {
    let (host, key) = Host::with_models().await;
    let [before] =
        <[Value; 1]>::try_from(stats(&host, "/v2/models/people/stats", &key).await).unwrap();
    assert_eq!(before["last_inference"], 0);
    assert_eq!(
        before["inference_stats"]["success"],
        json!({"count": 0, "ns": 0})
    );

    host.post("/api/predict/people", &key, RECORD).await;
    let two = format!("[{RECORD},{RECORD}]");
    host.post("/api/predict/people", &key, &two).await;
    let traps = format!(r#"{{"age":{}}}"#, age::TRAPS);
    for bad in [traps.as_str(), "{}", "not JSON"] {
        let reply = host.post("/api/predict/people", &key, bad).await;
        assert!(reply.status >= 400);
    }
    for path in [
        "/v2/models/people/stats",
        "/v2/models/people/versions/1/stats",
    ] {
        let found = stats(&host, path, &key).await;
        let found = &found[0];
        assert_eq!(
            (&found["name"], &found["version"]),
            (&json!("people"), &json!("1"))
        );
        assert_eq!(found["inference_count"], 3, "rows");
        assert_eq!(found["execution_count"], 2);
        assert!(found["last_inference"].as_u64().unwrap() > 1_700_000_000_000);
        let sizes: Vec<_> = found["batch_stats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|batch| (&batch["batch_size"], &batch["compute_infer"]))
            .collect();
        let once = json!({"count": 1, "ns": 2_250_000});
        assert_eq!(sizes, [(&json!(1), &once), (&json!(2), &once)]);
        for name in ["compute_input", "compute_output"] {
            assert!(found["batch_stats"][0][name]["ns"].as_u64().unwrap() > 0);
        }
        let counted = |name: &str| found["inference_stats"][name].clone();
        for (name, count) in [
            ("success", 2),
            ("fail", 3),
            ("queue", 2),
            ("compute_input", 2),
            ("compute_infer", 2),
            ("compute_output", 2),
            ("cache_hit", 0),
            ("cache_miss", 0),
        ] {
            assert_eq!(counted(name)["count"], count, "{name}");
        }
        // What the tests' runner says that it took.
        assert_eq!(counted("queue")["ns"], 2 * 1_500_000);
        assert_eq!(counted("compute_infer")["ns"], 2 * 2_250_000);
        for name in ["success", "fail", "compute_input", "compute_output"] {
            assert!(counted(name)["ns"].as_u64().unwrap() > 0, "{name}");
        }
    }
}

#[tokio::test]
async fn all_models_of_the_tenant_are_listed_and_nobody_else_s() {
    let (host, key) = Host::with_models().await;
    host.post("/api/predict/people", &key, RECORD).await;
    let counts = |found: Vec<Value>| -> Vec<(Value, Value)> {
        let pair = |model: &Value| (model["name"].clone(), model["inference_count"].clone());
        found.iter().map(pair).collect()
    };
    assert_eq!(
        counts(stats(&host, "/v2/models/stats", &key).await),
        [(json!("matrix"), json!(0)), (json!("people"), json!(1))]
    );
    let other = host.tenant("other").await;
    assert!(stats(&host, "/v2/models/stats", &other).await.is_empty());
    for path in [
        "/v2/models/people/stats",
        "/v2/models/people/versions/1/stats",
    ] {
        assert_eq!(host.get(path, &other).await.code(), "not_found");
    }
    assert_eq!(
        host.get("/v2/models/people/versions/7/stats", &key)
            .await
            .status,
        404
    );
    assert_eq!(host.get("/v2/models/stats", "").await.status, 401);
    assert_eq!(host.post("/v2/models/stats", &key, "").await.status, 405);
}

#[tokio::test]
async fn what_the_cache_answers_is_no_run_and_counts_outlive_other_versions() {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let wasm = [("content-type", "application/wasm")];
    let push = |version: u8, plugin: &'static [u8]| {
        let path = format!("/api/models/steady/versions/{version}");
        let (host, key) = (&host, &key);
        async move { host.call("PUT", &path, key, &wasm, plugin).await.status }
    };
    assert_eq!(push(1, b"steady").await, 201);
    for _ in 0..3 {
        host.post("/api/predict/steady", &key, RECORD).await;
    }
    assert_eq!(push(2, b"steady too").await, 201, "which changes the model");
    let found = stats(&host, "/v2/models/steady/stats", &key).await;
    assert_eq!(found.len(), 2);
    let counted = |name: &str| &found[0]["inference_stats"][name]["count"];
    assert_eq!(
        [
            counted("success"),
            counted("cache_hit"),
            counted("cache_miss")
        ],
        [&json!(3), &json!(2), &json!(1)]
    );
    assert_eq!(found[0]["execution_count"], 1);
    assert_eq!(found[1]["inference_count"], 0);
    host.call(
        "PUT",
        "/api/models/steady/traffic",
        &key,
        &[],
        br#"{"active":"2"}"#,
    )
    .await;
    let path = "/api/models/steady/versions/1";
    assert_eq!(host.call("DELETE", path, &key, &[], b"").await.status, 200);
    assert_eq!(stats(&host, "/v2/models/steady/stats", &key).await.len(), 1);
}
