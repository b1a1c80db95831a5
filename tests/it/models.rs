//! The life of a model: pushed, activated, deleted, kept over restarts, repaired.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use foretell_tests::client::version_path;
use foretell_tests::host::files;
use foretell_tests::{Client, Model, Parts, Tenant, TestHost, guests};
use serde_json::{Value, json};

fn host_with_tenant() -> (TestHost, Tenant) {
    let host = TestHost::start();
    let tenant = host.tenant("acme");
    (host, tenant)
}

/// The same plugin as another version: what the host is told belongs to a version.
fn with_deadline(ms: u32) -> Parts {
    guests::honest().runtime(json!({"deadline_ms": ms}))
}

fn answers(client: &Client, version: &str) {
    let answer = client
        .post(
            &format!("/api/predict/m?version={version}"),
            &json!({"x": 0.25}),
        )
        .is(200)
        .json();
    assert_eq!(answer["prediction"]["y"], 0.25, "version {version}");
    assert_eq!(answer["version"], version);
}

fn active(client: &Client) -> String {
    client
        .post("/api/predict/m", &json!({"x": 1.0}))
        .is(200)
        .json()["version"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn what_load_has_read_and_freed_is_not_in_the_snapshot() {
    let (host, tenant) = host_with_tenant();
    let model = Model::read("lead-score");
    model.push(&tenant);
    let artifact = model.parts().artifact.unwrap();
    // More than the leaves of a tree, which the loaded model may well hold as they are.
    let pieces: Vec<_> = artifact.chunks_exact(256).step_by(16).collect();
    let holders: HashSet<_> = files(&host.data().join("blobs"))
        .into_iter()
        .filter(|(file, _)| {
            let bytes = fs::read(file).unwrap();
            let holds = |piece: &&[u8]| bytes.windows(piece.len()).any(|bytes| bytes == *piece);
            pieces.iter().any(holds)
        })
        .filter_map(|(file, _)| Some(file.parent()?.file_name()?.to_owned()))
        .collect();
    assert_eq!(holders, HashSet::from(["artifact".into()]));
}

#[test]
fn a_push_is_idempotent_and_a_version_never_changes() {
    let (_host, tenant) = host_with_tenant();
    let first = tenant.push("m", "1", &with_deadline(500)).is(201).json();
    assert_eq!(
        (&first["model"], &first["version"], &first["active"]),
        (&json!("m"), &json!("1"), &json!(true))
    );
    assert_eq!(first["runtime"]["deadline_ms"], 500);
    let again = tenant.push("m", "1", &with_deadline(500)).is(200).json();
    assert_eq!(again, first);

    let refused = tenant.push("m", "1", &with_deadline(501)).is(409);
    assert_eq!(refused.code(), "conflict");
    assert!(
        refused
            .message()
            .contains(first["digest"].as_str().unwrap()),
        "{}",
        refused.message()
    );
    assert_eq!(tenant.get(&version_path("m", "1")).is(200).json(), first);
    answers(&tenant, "1");
}

#[test]
fn the_first_version_answers_until_another_is_activated() {
    let (_host, tenant) = host_with_tenant();
    tenant.push("m", "1", &with_deadline(500)).is(201);
    let second = tenant.push("m", "2", &with_deadline(501)).is(201).json();
    assert_eq!(second["active"], false);
    assert_eq!(active(&tenant), "1");
    answers(&tenant, "2");

    let model = tenant
        .put(
            "/api/models/m/traffic",
            &json!({"active": "2", "canary": null, "shadow": null}),
        )
        .is(200)
        .json();
    assert_eq!(model["traffic"]["active"], "2");
    assert_eq!(active(&tenant), "2");
    tenant
        .put("/api/models/m/traffic", &json!({"active": "1"}))
        .is(200);
    assert_eq!(active(&tenant), "1", "back again");
    let shown = tenant.get("/api/models/m").is(200).json();
    let versions: Vec<_> = shown["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (&v["version"], &v["active"]))
        .collect();
    assert_eq!(
        versions,
        [(&json!("1"), &json!(true)), (&json!("2"), &json!(false))]
    );
}

#[test]
fn a_version_that_traffic_points_at_stays_and_a_deleted_ones_name_is_not_used_again() {
    let (host, tenant) = host_with_tenant();
    tenant.push("m", "1", &with_deadline(500)).is(201);
    tenant.push("m", "2", &with_deadline(501)).is(201);
    let refused = tenant.delete(&version_path("m", "1")).is(409);
    assert!(
        refused.message().contains("active"),
        "{}",
        refused.message()
    );
    answers(&tenant, "1");

    tenant
        .put("/api/models/m/traffic", &json!({"active": "2"}))
        .is(200);
    tenant.delete(&version_path("m", "1")).is(200);
    assert_eq!(
        tenant.delete(&version_path("m", "1")).is(404).code(),
        "not_found"
    );
    assert_eq!(
        tenant
            .post("/api/predict/m?version=1", &json!({"x": 1.0}))
            .is(404)
            .code(),
        "not_found"
    );
    assert_eq!(
        tenant.push("m", "1", &with_deadline(500)).is(409).code(),
        "conflict"
    );
    answers(&tenant, "2");
    assert_eq!(
        blobs(&host.data(), "code").len(),
        1,
        "what only the deleted version needed is gone"
    );
    assert_eq!(
        blobs(&host.data(), "plugin").len(),
        1,
        "what both needed is there"
    );

    // The last version takes its model with it.
    tenant.delete(&version_path("m", "2")).is(200);
    assert_eq!(
        tenant.get("/api/models").is(200).json()["models"],
        json!([])
    );
    assert_eq!(files(&host.data().join("blobs")), []);
    assert_eq!(
        tenant.push("m", "2", &with_deadline(501)).is(409).code(),
        "conflict"
    );
    tenant.push("m", "3", &with_deadline(501)).is(201);
    answers(&tenant, "3");
}

#[test]
fn of_uploads_that_race_for_one_name_exactly_one_becomes_the_version() {
    const RACERS: u32 = 3;
    let (host, tenant) = host_with_tenant();
    for round in 0..3 {
        let version = round.to_string();
        let start = Barrier::new(RACERS as usize);
        let outcomes: Vec<(u16, Value)> = thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    let (tenant, start, version) = (&tenant, &start, &version);
                    scope.spawn(move || {
                        let parts = with_deadline(100 * (round + 1) + racer);
                        start.wait();
                        let response = tenant.push("m", version, &parts);
                        (response.status, response.json())
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let won: Vec<_> = outcomes
            .iter()
            .filter(|(status, _)| *status == 201)
            .collect();
        let lost = outcomes
            .iter()
            .filter(|(status, body)| *status == 409 && body["code"] == "conflict")
            .count();
        assert_eq!((won.len(), lost), (1, RACERS as usize - 1), "{outcomes:?}");
        let stored = tenant.get(&version_path("m", &version)).is(200).json();
        assert_eq!(stored["digest"], won[0].1["digest"], "round {round}");
        answers(&tenant, &version);
    }
    // The losers left nothing.
    assert_eq!(blobs(&host.data(), "code").len(), 3);
    assert_eq!(blobs(&host.data(), "snapshot").len(), 3);
}

#[test]
fn the_same_upload_twice_at_once_is_one_version() {
    let (_host, tenant) = host_with_tenant();
    let start = Barrier::new(2);
    let statuses: HashSet<u16> = thread::scope(|scope| {
        let pushes = [(); 2].map(|()| {
            scope.spawn(|| {
                start.wait();
                tenant.push("m", "1", &with_deadline(500)).status
            })
        });
        pushes
            .into_iter()
            .map(|push| push.join().unwrap())
            .collect()
    });
    assert_eq!(statuses, HashSet::from([200, 201]));
    answers(&tenant, "1");
}

#[test]
fn a_compressed_plugin_is_the_same_plugin() {
    let (_host, tenant) = host_with_tenant();
    let plain = guests::honest();
    let first = tenant.push("m", "1", &plain).is(201).json();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, &plain.plugin).unwrap();
    let packed = Parts {
        plugin: encoder.finish().unwrap(),
        ..plain.clone()
    };
    assert_eq!(
        tenant.push("m", "1", &packed).is(200).json()["digest"],
        first["digest"]
    );
    // So is one that is sent alone, as what it is.
    let path = version_path("m", "1");
    let raw = tenant
        .send(
            "PUT",
            &path,
            &[("content-type", "application/wasm")],
            plain.plugin,
        )
        .is(200);
    assert_eq!(raw.json()["digest"], first["digest"]);
}

#[test]
fn settings_reach_the_plugin_and_are_part_of_the_version() {
    let (_host, tenant) = host_with_tenant();
    let model = Model::read("churn");
    let probability = model.response["probability"].as_f64().unwrap();
    let label = |version: &str, threshold: f64| {
        let settings = json!({"threshold": threshold});
        let parts = Parts {
            settings: Some(settings.clone()),
            ..model.parts()
        };
        let pushed = tenant.push("churn", version, &parts).is(201).json();
        assert_eq!(pushed["settings"], settings);
        let path = format!("/api/predict/churn?version={version}");
        let answer = tenant.post(&path, &model.request).is(200).json();
        answer["prediction"]["label"].as_str().unwrap().to_owned()
    };
    assert_eq!(label("eager", probability / 2.0), "Yes");
    assert_eq!(label("cautious", probability.midpoint(1.0)), "No");
}

#[test]
fn everything_acknowledged_is_there_after_a_restart() {
    let (host, tenant) = host_with_tenant();
    let iris = Model::read("iris");
    iris.push(&tenant);
    tenant.push("m", "1", &with_deadline(500)).is(201);
    tenant.push("m", "2", &with_deadline(501)).is(201);
    tenant
        .put("/api/models/m/traffic", &json!({"active": "2"}))
        .is(200);
    let before = tenant.get("/api/models").is(200).json();
    let answer = tenant
        .post("/api/predict/iris", &iris.request)
        .is(200)
        .json();

    let host = host.restart();
    let tenant = host.anonymous().with_key(tenant.key());
    assert_eq!(tenant.get("/api/models").is(200).json(), before);
    assert_eq!(active(&tenant), "2");
    answers(&tenant, "1");
    let again = tenant
        .post("/api/predict/iris", &iris.request)
        .is(200)
        .json();
    assert_eq!(again["prediction"], answer["prediction"]);
    assert_eq!(
        tenant.push("m", "1", &with_deadline(500)).is(200).json()["version"],
        "1"
    );
}

/// The blobs of a kind.
fn blobs(data: &Path, kind: &str) -> Vec<PathBuf> {
    let of_kind = |file: &PathBuf| file.parent().is_some_and(|folder| folder.ends_with(kind));
    files(&data.join("blobs"))
        .into_iter()
        .map(|(file, _)| file)
        .filter(of_kind)
        .collect()
}

/// Changes what is stored, as a bad disk or a bad guest of the machine would.
fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    // Stored content is read-only.
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
}

/// What happens to stored bytes.
type Fault = Box<dyn Fn(&mut Vec<u8>)>;

#[test]
fn machine_code_that_was_changed_is_never_run_but_compiled_again() {
    let (mut host, tenant) = host_with_tenant();
    tenant.push("m", "1", &with_deadline(500)).is(201);
    answers(&tenant, "1");
    let flip = |at: fn(usize) -> usize| {
        move |bytes: &mut Vec<u8>| {
            let at = at(bytes.len());
            bytes[at] ^= 1
        }
    };
    let faults: [(&str, Fault); 6] = [
        ("its first byte", Box::new(flip(|_| 0))),
        ("a byte in the middle", Box::new(flip(|length| length / 2))),
        ("its last byte", Box::new(flip(|length| length - 1))),
        (
            "its second half",
            Box::new(|bytes| bytes.truncate(bytes.len() / 2)),
        ),
        ("all of it", Box::new(Vec::clear)),
        ("more behind it", Box::new(|bytes| bytes.push(0))),
    ];
    for (what, fault) in faults {
        let folder = host.stop();
        let code = blobs(&folder.data(), "code");
        assert_eq!(code.len(), 1, "{what}");
        let good = fs::read(&code[0]).unwrap();
        change(&code[0], fault);
        assert_ne!(fs::read(&code[0]).unwrap(), good, "{what}");
        host = folder.start("");
        answers(&host.anonymous().with_key(tenant.key()), "1");
        let healed = fs::read(&code[0]).unwrap();
        assert_eq!(
            healed.len(),
            good.len(),
            "{what}: the good code is stored again"
        );
    }
    // Without any code it is compiled from its snapshot just so.
    let folder = host.stop();
    fs::remove_file(&blobs(&folder.data(), "code")[0]).unwrap();
    let host = folder.start("");
    answers(&host.anonymous().with_key(tenant.key()), "1");
}

#[test]
fn a_version_whose_content_is_lost_or_spoilt_says_so_and_the_others_go_on() {
    let (host, tenant) = host_with_tenant();
    tenant.push("m", "1", &with_deadline(500)).is(201);
    tenant.push("lost", "1", &with_deadline(501)).is(201);
    tenant.push("spoilt", "1", &with_deadline(502)).is(201);
    let digest = |model: &str| {
        let version = tenant.get(&version_path(model, "1")).is(200).json();
        version["digest"].as_str().unwrap().to_owned()
    };
    let (lost, spoilt) = (digest("lost"), digest("spoilt"));
    let folder = host.stop();
    let blob = |kind: &str, digest: &str| {
        let of_kind = blobs(&folder.data(), kind);
        of_kind
            .into_iter()
            .find(|file| file.ends_with(digest))
            .unwrap()
    };
    for digest in [&lost, &spoilt] {
        fs::remove_file(blob("code", digest)).unwrap();
    }
    fs::remove_file(blob("snapshot", &lost)).unwrap();
    change(&blob("snapshot", &spoilt), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });

    let host = folder.start("");
    let tenant = host.anonymous().with_key(tenant.key());
    for model in ["lost", "spoilt"] {
        let response = tenant.post(&format!("/api/predict/{model}"), &json!({"x": 1.0}));
        assert_eq!(
            (response.status, response.code().as_str()),
            (503, "unavailable"),
            "{model}"
        );
        assert!(response.header("retry-after").is_some(), "{model}");
    }
    answers(&tenant, "1");
}
