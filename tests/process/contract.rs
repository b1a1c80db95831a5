//! The OpenAPI documents, taken at their word by programs that know nothing else: a validator, and schemathesis, which makes
//! requests of them and holds every answer against them.

use std::fs;
use std::process::Command;

use foretell_tests::{Client, Model, ServerProcess, built};
use serde_json::Value;

use crate::hostile::long;

const PROGRAMS: &str = "tests/clients/requirements-openapi.txt";

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Requests that are made up for each operation, at most.
fn examples() -> &'static str {
    if long() { "200" } else { "25" }
}

struct House {
    server: ServerProcess,
    folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(&folder.path().join("data"));
        Self { server, folder }
    }

    /// Keeps a document in a file.
    fn keep(&self, document: &Value) -> String {
        let file = self.folder.path().join("openapi.json");
        fs::write(&file, document.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Tries a document out as the holder of a key, with further options.
    #[track_caller]
    fn tries(&self, document: &Value, key: &str, options: &[&str]) {
        let file = self.keep(document);
        let mut schemathesis = Command::new(built::python(PROGRAMS).join("schemathesis"));
        schemathesis
            .current_dir(self.folder.path())
            .args(["run", &file, "--url", self.server.url()])
            // Of the two headers it wins, whatever is made up for the other.
            .args(["--header", &format!("Authorization: Bearer {key}")])
            .args(["--phases", "examples,coverage,fuzzing", "--no-color"])
            .args([
                "--max-examples",
                examples(),
                "--seed",
                "1",
                "--continue-on-failure",
            ])
            .args(options);
        let output = schemathesis.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}\n{said}", output.status);
        show(&said);
    }

    fn document(&self) -> Value {
        self.server.operator().get("/openapi.json").is(200).json()
    }
}

/// The end of what was said: how much was tried.
#[expect(
    clippy::print_stdout,
    reason = "the test runner captures it, and shows it where it is asked for"
)]
fn show(said: &str) {
    let summary = said.split("SUMMARY").last().unwrap_or_default();
    println!("{summary}");
}

fn of_model(client: &Client, name: &str) -> Value {
    client
        .get(&format!("/api/models/{name}/openapi.json"))
        .is(200)
        .json()
}

#[test]
fn the_documents_are_valid_openapi() {
    let house = House::open();
    let tenant = house.server.tenant("acme");
    Model::read("iris").push(&tenant);
    for document in [house.document(), of_model(&tenant, "iris")] {
        let file = house.keep(&document);
        let validator = built::python(PROGRAMS).join("openapi-spec-validator");
        let output = Command::new(validator).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("OK"), "{said}");
    }
}

/// What takes away what other operations are about: the model, or the very key. The program remembers names from answers.
const TAKES_AWAY: &str = "^delete_|_unload$|_rotate$|^put_.*_limits$";

#[test]
fn every_operation_answers_as_the_document_says_whatever_it_is_sent() {
    for which in [
        "--exclude-operation-id-regex",
        "--include-operation-id-regex",
    ] {
        let house = House::open();
        let tenant = house.server.tenant("acme");
        Model::read("iris").push(&tenant);
        let options = ["--checks", CHECKS, which, TAKES_AWAY];
        house.tries(&house.document(), tenant.key(), &options);
    }
}

#[test]
fn the_operations_of_operators_answer_as_the_document_says() {
    let house = House::open();
    let options = ["--checks", CHECKS, "--include-tag", "tenants"];
    house.tries(&house.document(), house.server.operator().key(), &options);
}

#[test]
fn what_the_document_of_a_model_allows_is_predicted_and_answered_as_it_says() {
    let house = House::open();
    let tenant = house.server.tenant("acme");
    // What is valid by the document must be accepted.
    let checks = format!("{CHECKS},positive_data_acceptance");
    for name in ["iris", "churn"] {
        Model::read(name).push(&tenant);
        let document = of_model(&tenant, name);
        let options = [
            "--checks",
            &checks,
            "--mode",
            "positive",
            "--include-operation-id",
            "predict",
        ];
        house.tries(&document, tenant.key(), &options);
    }
}
