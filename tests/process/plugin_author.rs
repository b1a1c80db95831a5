//! A model of one's own, from nothing: what `docs/PLUGINS.md` tells.

use std::fs;
use std::time::Duration;

use foretell_tests::process::{Finished, foretell, foretell_in};
use foretell_tests::wait::PATIENCE;
use foretell_tests::{ServerProcess, built};

/// The standard library for the sandbox may have to be built first, on a machine that is busy with other things.
const BUILD: Duration = Duration::from_secs(600);

#[test]
fn a_new_plugin_is_tested_built_checked_pushed_and_answers_as_it_is() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    foretell_in(folder.path(), &["plugin", "new", "my-model"], &[], PATIENCE).ends(0);
    let model = folder.path().join("my-model");
    let call = |arguments: &[&str], environment: &[(&str, &str)]| -> Finished {
        foretell_in(&model, arguments, environment, BUILD)
    };
    let tested = call(&["plugin", "test", "."], &[]).ends(0);
    assert!(
        tested.stdout.contains("matches") && !tested.stdout.contains("FAILED"),
        "{}",
        tested.stdout
    );

    let built = call(&["plugin", "build", "."], &[]).ends(0);
    assert_eq!(built.stdout.lines().count(), 1, "{}", built.stdout);
    let component = built.stdout.trim();
    let bytes = fs::metadata(component).unwrap().len();
    assert!(bytes < 256 << 10, "{bytes} bytes");
    let check = [
        "plugin",
        "check",
        component,
        "--artifact",
        "weights.txt",
        "--output",
        "json",
    ];
    let checked = call(&check, &[]).ends(0).json();
    assert_eq!(checked["accepted"], true);
    assert_eq!(checked["plugin_bytes"], bytes);

    let server = ServerProcess::start(data.path());
    let tenant = server.tenant("me");
    let environment = [
        ("FORETELL_URL", server.url()),
        ("FORETELL_KEY", tenant.key()),
    ];
    let pushed = call(&["model", "push", ".", "--output", "json"], &environment).ends(0);
    assert!(
        pushed
            .stderr
            .contains("the sample's answer is the expected one"),
        "{}",
        pushed.stderr
    );
    assert_eq!(pushed.json()["active"], true);
    let predict = [
        "predict",
        "my-model",
        "@sample.request.json",
        "--output",
        "json",
    ];
    let answer = call(&predict, &environment).ends(0).json();
    assert_eq!(
        (&answer["model"], &answer["version"]),
        (&"my-model".into(), &"1".into())
    );

    // An author's mistake is told in the compiler's words, at the author's line.
    let source = model.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(
        &source,
        format!("{text}\nfn broken() -> u32 {{ \"no number\" }}\n"),
    )
    .unwrap();
    let failed = call(&["plugin", "build", "."], &[]).ends(65);
    assert!(
        failed.stderr.contains("src/lib.rs") && failed.stderr.contains("mismatched types"),
        "{}",
        failed.stderr
    );
}

#[test]
fn what_is_no_plugin_is_refused_without_a_server_for_the_reasons_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let linear = fs::read(built::plugin_file("linear")).unwrap();
    for (path, part) in [
        (file("text.wasm", b"hello"), "not_wasm"),
        (file("half.wasm", &linear[..linear.len() / 2]), "not_wasm"),
        (
            file("other.wasm", &wat::parse_str("(component)").unwrap()),
            "wrong_world",
        ),
        (file("no-weights.wasm", &linear), "load_failed"),
    ] {
        let ended = foretell(&["plugin", "check", &path], &[]).ends(65);
        assert!(ended.stderr.contains(part), "{path}: {}", ended.stderr);
        let reasons = foretell(&["plugin", "check", &path, "--output", "json"], &[])
            .ends(65)
            .json();
        assert_eq!(reasons["accepted"], false, "{path}");
        assert_eq!(reasons["errors"][0]["code"], part, "{path}: {reasons}");
    }
    for (arguments, code, part) in [
        (
            &["plugin", "check", "/no/such/file.wasm"][..],
            66,
            "/no/such/file.wasm",
        ),
        (
            &["plugin", "build", "/no/such/folder"],
            66,
            "/no/such/folder",
        ),
        (
            &["plugin", "test", folder.path().to_str().unwrap()],
            66,
            "model.toml",
        ),
        (
            &[
                "plugin",
                "new",
                folder.path().to_str().unwrap(),
                "--name",
                "x",
            ],
            73,
            folder.path().to_str().unwrap(),
        ),
        (&["plugin", "new", "9 lives"], 64, "`9 lives`"),
    ] {
        let ended = foretell(arguments, &[]).ends(code);
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}
