//! Clients of the protocols as their makers publish them, unmodified, against a server: `tests/clients` holds what each is
//! asked to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use foretell_tests::host::Tenant;
use foretell_tests::{Model, ServerProcess, built};

const CLIENTS: &str = "tests/clients/requirements-clients.txt";
/// The one that the benches measure has the command, too.
const MLSERVER: &str = "tests/bench/peers/requirements-mlserver.txt";

/// A server with the model `iris`, and a tenant who may call it.
struct House {
    server: ServerProcess,
    tenant: Tenant,
    iris: Model,
    folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(&folder.path().join("data"));
        let tenant = server.tenant("acme");
        let iris = Model::read("iris");
        iris.push(&tenant);
        Self {
            server,
            tenant,
            iris,
            folder,
        }
    }

    /// A script of `tests/clients`, which ends with 0 if all that it looked at is as it should be.
    #[track_caller]
    fn runs(&self, script: &str) {
        let mut python = Command::new(built::python(CLIENTS).join("python"));
        python
            .arg(built::root().join("tests/clients").join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("FORETELL_URL", self.server.url())
            .env("FORETELL_GRPC", self.server.grpc())
            .env("FORETELL_KEY", self.tenant.key())
            .env("FORETELL_PLUGIN", built::plugin_file(&self.iris.plugin))
            .env("FORETELL_ARTIFACT", self.iris.folder.join("model.ftl"));
        said(&python.output().unwrap());
    }
}

/// What a program printed, which must have succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{}\n{text}", output.status);
    text
}

#[test]
fn tritonclient_over_http_finds_all_that_it_asks_for() {
    House::open().runs("triton_http.py");
}

#[test]
fn tritonclient_over_asynchronous_http_finds_all_that_it_asks_for() {
    House::open().runs("triton_http_aio.py");
}

#[test]
fn the_rest_client_of_kserve_speaks_both_versions_with_us() {
    House::open().runs("kserve_rest.py");
}

#[test]
fn tritonclient_over_grpc_finds_all_that_it_asks_for() {
    House::open().runs("triton_grpc.py");
}

#[test]
fn tritonclient_over_asynchronous_grpc_finds_all_that_it_asks_for() {
    House::open().runs("triton_grpc_aio.py");
}

#[test]
fn the_grpc_client_of_kserve_is_answered_in_the_way_that_it_reads() {
    House::open().runs("kserve_grpc.py");
}

#[test]
fn the_client_made_from_the_protocol_s_openapi_document_reads_our_answers() {
    House::open().runs("openapi_client.py");
}

#[test]
fn the_batch_command_of_mlserver_is_answered_line_by_line() {
    let house = House::open();
    let folder = house.folder.path();
    let requests: Vec<_> = [[6.1, 2.9, 4.7, 1.4], [5.1, 3.5, 1.4, 0.2]]
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let row = serde_json::json!({"id": number.to_string(), "inputs": [
                {"name": "features", "datatype": "FP64", "shape": [1, 4], "data": row}]});
            row.to_string()
        })
        .collect();
    fs::write(folder.join("requests"), requests.join("\n")).unwrap();
    for options in [&[][..], &["--binary-data"], &["--batch-size", "2"]] {
        let mut mlserver = Command::new(built::python(MLSERVER).join("mlserver"));
        mlserver
            .current_dir(folder)
            .arg("infer")
            .args(["--url", house.server.url().trim_start_matches("http://")])
            .args(["--model-name", "iris", "--input-data-path", "requests"])
            .args(["--output-data-path", "answers", "--request-headers"])
            .arg(format!("X-API-Key:{}", house.tenant.key()))
            .args(options);
        said(&mlserver.output().unwrap());
        assert_eq!(labels(&folder.join("answers")), [1, 0], "{options:?}");
    }
}

/// The labels in a file of answers, by the ids of their requests.
fn labels(answers: &Path) -> Vec<u64> {
    let text = fs::read_to_string(answers).unwrap();
    let mut labels: Vec<(String, u64)> = text
        .lines()
        .map(|line| {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(answer["model_name"], "iris");
            let id = answer["id"].as_str().unwrap().to_owned();
            (id, answer["outputs"][1]["data"][0].as_u64().unwrap())
        })
        .collect();
    labels.sort();
    labels.into_iter().map(|(_, label)| label).collect()
}
