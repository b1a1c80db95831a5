//! A day of three tenants, told three times: by the report of usage, by its export, and by the audit log.

use std::collections::BTreeMap;

use foretell_tests::{ServerProcess, guests};
use serde_json::{Value, json};

use super::{all, micro, set_limits, standing};

/// Calls, predictions and millionths of credits.
type Totals = (u64, u64, i64);

fn totals<'a>(rows: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Totals> {
    let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
    for row in rows {
        let tenant = row["tenant"].as_str().unwrap().to_owned();
        let (calls, predictions, credits) = totals.entry(tenant).or_default();
        *calls += row["calls"].as_u64().unwrap();
        *predictions += row["predictions"].as_u64().unwrap();
        *credits += micro(&row["credits"]);
    }
    totals
}

#[test]
fn report_export_and_log_of_a_day_have_the_same_totals() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let operator = server.operator();
    let tenants = ["ada", "bank", "clinic"].map(|name| (name, server.tenant(name)));
    for (_, tenant) in &tenants {
        for model in ["m", "n"] {
            tenant.push(model, "1", &guests::honest()).is(201);
        }
        tenant.push("n", "2", &guests::chameleon()).is(201);
    }
    set_limits(
        &server,
        "bank",
        &json!({"price": {"prediction": 0.25, "compute_ms": 0.000123}, "models_price": {"n": {"prediction": 1.5}}}),
    );
    set_limits(
        &server,
        "clinic",
        &json!({"quotas": {"predictions_per_day": 40}, "price": {"prediction": 0.000001}}),
    );
    operator
        .post(
            "/api/tenants/ada/credits",
            &json!({"credits": 12.5, "reason": "trial"}),
        )
        .is(200);

    // Hits and misses, batches, failures, refusals, and calls beyond the quota, over all protocols and two keys.
    for (index, (name, tenant)) in tenants.iter().enumerate() {
        let second = operator.with_key(&foretell_tests::host::key(&operator, name, &["infer"]));
        for n in 0..30_u32 {
            let x = f64::from(n % 7);
            let client = if n % 3 == 0 { &second } else { &**tenant };
            client.post("/api/predict/m", &json!({"x": x}));
            let rows: Vec<_> = (0..=n % 4)
                .map(|row| json!({"x": f64::from(row)}))
                .collect();
            client.post("/api/predict/n", &Value::Array(rows));
            client.post("/v1/models/m:predict", &json!({"instances": [x, 0.5]}));
            client.post("/v2/models/n/infer", &guests::infer_request(&[x, 1.0]));
            client.post("/api/predict/m", &json!({"y": x})).is(400);
            client.post("/api/predict/absent", &json!({"x": x}));
            if n % 10 == u32::try_from(index).unwrap() {
                client.post("/api/predict/n?version=2", &json!({"x": x}));
            }
        }
    }

    let report = totals(&all(&operator, "/api/usage?limit=7", "usage"));
    assert_eq!(report.len(), 3, "{report:?}");

    let lines = operator.get("/api/usage?format=jsonl").is(200).text();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(totals(&lines), report, "JSON Lines");

    let csv = operator.get("/api/usage?format=csv").is(200).text();
    let mut rows = csv
        .lines()
        .map(|line| line.trim_end().split(',').collect::<Vec<_>>());
    let head = rows.next().unwrap();
    let column = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let csv: Vec<Value> = rows
        .map(|row| {
            let number = |name: &str| row[column(name)].parse::<f64>().unwrap();
            json!({
                "tenant": row[column("tenant")], "calls": number("calls") as u64,
                "predictions": number("predictions") as u64, "credits": number("credits"),
            })
        })
        .collect();
    assert_eq!(totals(&csv), report, "CSV");

    let log = all(&operator, "/api/audit?act=predict&limit=100", "records");
    let log: Vec<Value> = log
        .iter()
        .map(|row| {
            let detail = &row["detail"];
            json!({
                "tenant": row["tenant"], "calls": 1, "predictions": detail["predictions"],
                "credits": detail["micro_credits"].as_i64().unwrap() as f64 / 1e6,
            })
        })
        .collect();
    assert_eq!(totals(&log), report, "audit log");

    let log = operator
        .get("/api/audit?act=predict&format=jsonl")
        .is(200)
        .text();
    assert_eq!(
        log.lines().count() as u64,
        report.values().map(|(calls, ..)| calls).sum::<u64>()
    );

    for (name, (_, predictions, credits)) in &report {
        let standing = standing(&server, name);
        assert_eq!(micro(&standing["account"]["spent"]), *credits, "{name}");
        assert_eq!(standing["today"]["predictions"], *predictions, "{name}");
        assert!(*credits > 0, "{name}");
    }
    assert_eq!(report["clinic"].1, 40, "its quota");
    let verdict = operator.get("/api/audit/verify").is(200).json();
    assert_eq!(verdict["ok"], true, "{verdict}");
}
