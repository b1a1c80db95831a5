//! A secret and an input that are sent wherever something can be sent, and are nowhere afterwards.

use foretell_tests::host::files;
use foretell_tests::{Client, ServerProcess, guests};
use serde_json::{Value, json};

/// Digits that nothing else has.
const INPUT: &str = "918273.6455463728";
/// What is no key, and might be somebody's password.
const SECRET: &str = "zq7canary8secret9xw";

/// Every operation of the document, its parameters filled with the secret.
fn operations(document: &Value) -> Vec<(String, String)> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut filled = String::new();
        for part in path.split_inclusive('}') {
            match part.split_once('{') {
                Some((before, _)) => filled.extend([before, SECRET]),
                None => filled.push_str(part),
            }
        }
        for method in methods.as_object().unwrap().keys() {
            if ["get", "put", "post", "delete", "patch"].contains(&&**method) {
                operations.push((method.to_uppercase(), filled.clone()));
            }
        }
    }
    operations
}

/// Sends the secret in every place of a request to every route, and the input in every form of a body.
fn everywhere(client: &Client) {
    let document = client.get("/openapi.json").is(200).json();
    let operations = operations(&document);
    assert!(operations.len() > 60, "{}", operations.len());
    let number: f64 = INPUT.parse().unwrap();
    let bodies = [
        json!({"x": number, "name": SECRET, "password": SECRET, "token": SECRET}).to_string(),
        json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [number]}]})
            .to_string(),
        json!([{"x": number, SECRET: number}]).to_string(),
        format!("{{\"x\": {INPUT}, {SECRET}"),
    ];
    for (method, path) in &operations {
        for (index, body) in bodies.iter().enumerate() {
            let headers = [
                ("content-type", "application/json"),
                ("x-api-key", SECRET),
                ("cookie", SECRET),
                ("x-subject", SECRET),
                ("idempotency-key", SECRET),
                ("x-csrf-token", SECRET),
            ];
            // With the right key, with the secret in its place, and with none but the secret beside it.
            let (client, headers) = match index {
                0 => (client.clone(), &headers[2..]),
                1 => (client.with_key(SECRET), &headers[..1]),
                _ => (client.clone(), &headers[..1]),
            };
            let path = format!("{path}?key={SECRET}&x={INPUT}");
            let response = client.send(method, &path, headers, body.clone().into());
            assert!(response.status < 600);
        }
    }
}

#[test]
fn a_secret_and_an_input_are_nowhere_after_they_were_sent_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let tenant = server.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    let own_key = tenant.key().to_owned();

    // Predictions that are run and answered, that fail, and that are refused.
    for path in [
        "/api/predict/m",
        "/api/predict/m?version=1",
        "/api/predict/absent",
    ] {
        let body = format!("{{\"x\": {INPUT}}}");
        let headers = [("content-type", "application/json")];
        tenant.send("POST", path, &headers, body.into());
    }
    let body = format!("{{\"instances\": [{INPUT}]}}");
    let headers = [("content-type", "application/json")];
    tenant
        .send("POST", "/v1/models/m:predict", &headers, body.into())
        .is(200);
    everywhere(&tenant);
    everywhere(&server.operator());
    everywhere(&server.operator().under("/tenants/acme"));

    // What anybody can look at afterwards.
    let operator = server.operator();
    let looked: String = [
        "/api/audit?limit=1000",
        "/api/audit?limit=1000&order=asc",
        "/api/usage?limit=10000",
        "/health",
    ]
    .iter()
    .map(|path| operator.get(path).is(200).text())
    .collect();
    let log = server.said();
    server.terminate();
    let said = log + &looked;
    assert!(server.wait().success());

    let needles = [INPUT, SECRET, &own_key, foretell_tests::OPERATOR_KEY];
    for needle in needles {
        assert!(
            !said.contains(needle),
            "`{needle}` is in what the server says"
        );
        assert!(
            !said.contains(&needle[..needle.len() - 2]),
            "`{needle}` is there but for its end"
        );
    }
    let number = INPUT.parse::<f64>().unwrap().to_le_bytes();
    let single = (INPUT.parse::<f64>().unwrap() as f32).to_le_bytes();
    // Whoever looks finds what is there.
    assert!(said.contains("acme") && said.contains("/api/predict/{model}"));
    let mut found = 0;
    for (file, _) in files(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        found += usize::from(has(b"acme"));
        for needle in needles {
            assert!(
                !has(needle.as_bytes()),
                "`{needle}` is in {}",
                file.display()
            );
        }
        assert!(!has(&number), "the input is in {}", file.display());
        // Four bytes may come about by chance in megabytes of code.
        let is_database = file.to_string_lossy().contains("foretell.db");
        assert!(
            !is_database || !has(&single),
            "the input is in {}",
            file.display()
        );
    }
    assert!(found > 0);
}
