//! Every check of `/health`, broken on purpose. The database's stands with the tests of the process: to break it takes
//! another program.

use std::fs;

use foretell_tests::host::files;
use foretell_tests::{Client, TestHost, guests};
use serde_json::{Value, json};

const CHECKS: [&str; 5] = ["database", "cache", "models", "disk_space", "memory_usage"];

/// The state of a check as the operator sees it, with what it saw.
fn check(operator: &Client, name: &str) -> (String, String) {
    let report = operator.get("/health").is(200).json();
    let check = &report["checks"][name];
    // The whole is well if every check is.
    let well = report["checks"]
        .as_object()
        .unwrap()
        .values()
        .all(|check| check["status"] == "healthy");
    assert_eq!(
        status(&report),
        if well { "healthy" } else { "degraded" },
        "{report}"
    );
    let text = |field: &str| {
        check[field]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no {field}: {report}"))
            .to_owned()
    };
    (text("status"), text("detail"))
}

fn status(report: &Value) -> &str {
    report["status"].as_str().unwrap()
}

#[test]
fn a_sound_server_is_healthy_live_and_ready() {
    let host = TestHost::start();
    let report = host.operator().get("/health").is(200).json();
    assert_eq!(status(&report), "healthy", "{report}");
    for name in CHECKS {
        assert_eq!(check(&host.operator(), name).0, "healthy", "{name}");
    }
    host.anonymous().get("/livez").is(200);
    host.anonymous().get("/readyz").is(200);
    assert_eq!(
        host.anonymous().get("/v2/health/live").is(200).json()["live"],
        true
    );
    assert_eq!(
        host.anonymous().get("/v2/health/ready").is(200).json()["ready"],
        true
    );
}

#[test]
fn details_of_the_machine_are_for_the_operator() {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    assert_eq!(
        host.anonymous().get("/health").is(200).json(),
        json!({"status": "healthy"})
    );
    // One customer learns which checks are well, and nothing of the machine or of other customers.
    let report = tenant.get("/health").is(200).json();
    assert_eq!(report["checks"]["models"], json!({"status": "healthy"}));
    assert!(!report.to_string().contains("MiB"), "{report}");
    assert!(
        host.operator()
            .get("/health")
            .is(200)
            .text()
            .contains("MiB")
    );
    // Who shows a key wants to see more, and is told if it is not good.
    host.anonymous()
        .with_key("correct-horse-battery-staple")
        .get("/health")
        .is(401);
}

#[test]
fn a_model_whose_snapshot_is_lost_degrades_the_health_by_its_name() {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    tenant.push("m", "1", &guests::honest()).is(201);
    assert_eq!(check(&host.operator(), "models").0, "healthy");
    let snapshots: Vec<_> = files(&host.data().join("blobs"))
        .into_iter()
        .filter(|(file, _)| {
            file.parent()
                .is_some_and(|folder| folder.ends_with("snapshot"))
        })
        .collect();
    assert_eq!(snapshots.len(), 1);
    fs::remove_file(&snapshots[0].0).unwrap();

    let (state, detail) = check(&host.operator(), "models");
    assert_eq!(state, "unhealthy", "{detail}");
    assert!(detail.contains("acme/m version 1"), "{detail}");
    assert_eq!(
        status(&host.anonymous().get("/health").is(200).json()),
        "degraded"
    );
    // Degraded is not down: what is loaded answers.
    tenant.post("/api/predict/m", &json!({"x": 1.0})).is(200);
    host.anonymous().get("/readyz").is(200);
}

#[test]
fn a_disk_with_too_little_room_degrades_the_health() {
    let host = TestHost::configured("health:\n  min_free_disk: 1048576GiB\n");
    let (state, detail) = check(&host.operator(), "disk_space");
    assert_eq!(state, "unhealthy", "{detail}");
    assert!(detail.contains("health.min_free_disk"), "{detail}");
    assert_eq!(
        check(&host.operator(), "database").0,
        "healthy",
        "one check does not spoil the others"
    );
}

#[test]
fn a_server_that_takes_too_much_memory_degrades_its_health() {
    let host = TestHost::configured("health:\n  max_memory: 1MiB\n");
    let (state, detail) = check(&host.operator(), "memory_usage");
    assert_eq!(state, "unhealthy", "{detail}");
    assert!(detail.contains("of at most 1 MiB"), "{detail}");
    host.anonymous().get("/readyz").is(200);
}
