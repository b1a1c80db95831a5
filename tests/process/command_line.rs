//! The command line as people and scripts use it.

use std::fs;
use std::path::{Path, PathBuf};

use foretell_tests::process::{Finished, foretell};
use foretell_tests::{Model, OPERATOR_KEY, ServerProcess, built};
use serde_json::Value;

/// Calls commands of one server with one key.
struct Caller<'a> {
    url: &'a str,
    key: &'a str,
}

impl Caller<'_> {
    fn call(&self, arguments: &[&str]) -> Finished {
        foretell(
            arguments,
            &[("FORETELL_URL", self.url), ("FORETELL_KEY", self.key)],
        )
    }
}

/// A copy of a first-party model that names its plugin as a file, so that nothing is built.
fn with_built_plugin(model: &Model, into: &Path) -> PathBuf {
    let folder = into.join(&model.name).join("1");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(&model.folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let manifest = fs::read_to_string(folder.join("model.toml")).unwrap();
    let mut manifest: toml::Table = manifest.parse().unwrap();
    let wasm = built::plugin_file(&model.plugin)
        .to_string_lossy()
        .into_owned();
    manifest["plugin"] =
        toml::Table::from_iter([("wasm".to_owned(), toml::Value::String(wasm))]).into();
    fs::write(folder.join("model.toml"), manifest.to_string()).unwrap();
    folder
}

#[test]
fn from_a_tenant_to_a_prediction_every_command_does_its_part() {
    let (data, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data.path());
    let operator = Caller {
        url: server.url(),
        key: OPERATOR_KEY,
    };
    assert_eq!(
        operator
            .call(&["tenant", "create", "acme", "--output", "json"])
            .ends(0)
            .json()["name"],
        "acme"
    );
    let scopes = "infer,models,keys";
    let key = operator
        .call(&[
            "key", "create", "--tenant", "acme", "--scopes", scopes, "--output", "json",
        ])
        .ends(0)
        .json();
    assert!(key["id"].as_str().unwrap().starts_with("key_"), "{key}");
    let tenant = Caller {
        url: server.url(),
        key: key["secret"].as_str().unwrap(),
    };

    let model = Model::read("iris");
    let folder = with_built_plugin(&model, models.path());
    let folder = folder.to_str().unwrap();
    let pushed = tenant
        .call(&["model", "push", folder, "--output", "json"])
        .ends(0);
    assert_eq!(
        (&pushed.json()["model"], &pushed.json()["version"]),
        (&"iris".into(), &"1".into())
    );
    assert!(
        pushed
            .stderr
            .contains("the sample's answer is the expected one"),
        "{}",
        pushed.stderr
    );
    let again = tenant.call(&["model", "push", folder]).ends(0);
    assert!(again.stdout.contains("unchanged"), "{}", again.stdout);

    let sample = format!("@{folder}/sample.request.json");
    let answer = tenant
        .call(&["predict", "iris", &sample, "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(answer["prediction"]["label"], model.response["label"]);
    let table = tenant
        .call(&["predict", "iris", &model.request.to_string()])
        .ends(0);
    assert!(table.stdout.contains("versicolor"), "{}", table.stdout);

    let listed = tenant
        .call(&["model", "list", "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(listed["models"][0]["name"], "iris");
    let shown = tenant.call(&["model", "show", "iris"]).ends(0);
    assert!(
        shown.stdout.starts_with("VERSION\tACTIVE"),
        "{}",
        shown.stdout
    );
    // An operator does the same for any tenant that it names.
    let listed = operator
        .call(&["model", "list", "--tenant", "acme", "--output", "json"])
        .ends(0)
        .json();
    assert_eq!(listed["models"][0]["name"], "iris");

    let id = key["id"].as_str().unwrap();
    let rotated = tenant
        .call(&["key", "rotate", id, "--overlap", "1h", "--output", "json"])
        .ends(0)
        .json();
    let successor = Caller {
        url: server.url(),
        key: rotated["secret"].as_str().unwrap(),
    };
    successor.call(&["key", "revoke", id]).ends(0);
    let refused = tenant.call(&["model", "list"]).ends(77);
    assert!(refused.stderr.contains("revoked"), "{}", refused.stderr);
    successor.call(&["key", "list"]).ends(0);
    operator.call(&["tenant", "delete", "acme"]).ends(0);
    successor.call(&["model", "list"]).ends(77);
}

#[test]
fn a_push_whose_sample_is_answered_otherwise_fails_and_says_where() {
    let (data, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = ServerProcess::start(data.path());
    let tenant = server.tenant("acme");
    let caller = Caller {
        url: server.url(),
        key: tenant.key(),
    };
    let model = Model::read("iris");
    let folder = with_built_plugin(&model, models.path());
    let mut wrong = model.response.clone();
    wrong["label"] = Value::from("setosa");
    fs::write(folder.join("sample.response.json"), wrong.to_string()).unwrap();
    let ended = caller
        .call(&["model", "push", folder.to_str().unwrap()])
        .ends(65);
    assert!(
        ended
            .stderr
            .contains("label: expected \"setosa\", found \"versicolor\""),
        "{}",
        ended.stderr
    );

    // A file that is not the one that was declared is not even sent.
    fs::write(folder.join("model.ftl"), "weights of another day").unwrap();
    let ended = caller
        .call(&["model", "push", folder.to_str().unwrap()])
        .ends(65);
    assert!(
        ended.stderr.contains("model.ftl") && ended.stderr.contains("SHA-256"),
        "{}",
        ended.stderr
    );
}

/// Arguments, environment, exit code, and what stderr holds.
type Case<'a> = (&'a [&'a str], Vec<(&'a str, &'a str)>, i32, &'a str);

#[test]
fn a_command_that_fails_says_why_on_stderr_and_ends_with_a_code_of_sysexits() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path());
    let tenant = server.tenant("acme");
    let (url, key) = (
        ("FORETELL_URL", server.url()),
        ("FORETELL_KEY", tenant.key()),
    );
    let operator = ("FORETELL_KEY", OPERATOR_KEY);
    // A port that somebody had a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{free}");
    let cases: Vec<Case<'_>> = vec![
        (&[], vec![], 64, "Usage"),
        (&["nonsense"], vec![], 64, "nonsense"),
        (&["predict", "m"], vec![], 64, "JSON"),
        (&["predict", "not/a/name", "{}"], vec![], 64, "model name"),
        (
            &["model", "list", "--url", "ftp://host"],
            vec![key],
            64,
            "http://",
        ),
        (
            &["key", "create", "--scopes", "admin"],
            vec![url, key],
            64,
            "infer, models, keys",
        ),
        (
            &["predict", "m", "{age: 1}"],
            vec![url, key],
            65,
            "not JSON",
        ),
        (
            &["tenant", "create", "acme"],
            vec![url, operator],
            65,
            "`acme` is taken",
        ),
        (
            &["model", "push", "/no/such/folder"],
            vec![url, key],
            66,
            "/no/such/folder/model.toml",
        ),
        (
            &["predict", "m", "@/no/such/file"],
            vec![url, key],
            66,
            "/no/such/file",
        ),
        (
            &["predict", "none", "{}"],
            vec![url, key],
            66,
            "'none' is not found",
        ),
        (
            &["model", "list", "--tenant", "nobody"],
            vec![url, operator],
            66,
            "nobody",
        ),
        (
            &["model", "list"],
            vec![("FORETELL_URL", &nobody), key],
            69,
            "foretell serve",
        ),
        (
            &["model", "list"],
            vec![url],
            77,
            "give a key with --key or FORETELL_KEY",
        ),
        (
            &["model", "list"],
            vec![url, ("FORETELL_KEY", "correct-horse-battery-staple")],
            77,
            "unknown",
        ),
        (&["tenant", "list"], vec![url, key], 77, "`operator`"),
        (&["model", "list"], vec![url, operator], 65, "--tenant"),
    ];
    for (arguments, environment, code, part) in cases {
        let ended = foretell(arguments, &environment);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: `{part}` is not in: {}",
            ended.stderr
        );
        assert!(
            !ended.stderr.contains("panicked") && !ended.stderr.contains("\u{1b}["),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(
            ended.stdout, "",
            "{arguments:?}: answers alone go to stdout"
        );
    }
}
