//! An upload that cannot be a version: refused with every reason, and nothing is kept of it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use foretell_tests::host::files;
use foretell_tests::wait::until;
use foretell_tests::{Model, Parts, TestHost, built};
use serde_json::{Value, json};

use crate::refusal::{Expected, JSON, check};

const WASM: &[(&str, &str)] = &[("content-type", "application/wasm")];
const FORM: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=x")];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A component that imports an interface with one function.
fn importing(interface: &str) -> Vec<u8> {
    let text = format!(
        "(component (import \"{interface}\" (instance (export \"get\" (func (result string))))))"
    );
    wat::parse_str(text).unwrap()
}

/// A module with one function of so many loops: tiny to send, minutes to compile.
fn loops(count: usize) -> Vec<u8> {
    let text = format!("(module (func {}))", "(loop)".repeat(count));
    wat::parse_str(text).unwrap()
}

#[test]
fn an_upload_that_cannot_be_a_version_is_refused_with_every_reason_and_nothing_is_kept_of_it() {
    let host = TestHost::configured("uploads:\n  max_plugin: 2MiB\n");
    let tenant = host.tenant("acme");
    let model = Model::read("lead-score");
    model.push(&tenant);
    let good = model.parts();
    let forest = &good.plugin;
    let artifact = good.artifact.clone().unwrap();
    let blobs = host.data().join("blobs");
    let before = (tenant.get("/api/models").is(200).text(), files(&blobs));

    let damaged = |position: usize| {
        let mut bytes = artifact.clone();
        bytes[position] ^= 0x55;
        bytes
    };
    let with_artifact = |artifact: Vec<u8>| Parts {
        artifact: Some(artifact),
        ..good.clone()
    };
    let with_runtime = |runtime: Value| good.clone().runtime(runtime);
    let with_settings = |settings: Value| Parts {
        settings: Some(settings),
        ..good.clone()
    };
    let text = wat::parse_str("(module (import \"env\" \"steal\" (func)))").unwrap();
    let cases: Vec<(&str, Parts, Expected<'_>)> = vec![
        (
            "nothing",
            Parts::plugin([]),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "text",
            Parts::plugin(*b"print('hello')"),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "machine code",
            Parts::plugin(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0"),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "the server itself",
            Parts::plugin(std::fs::read(built::server()).unwrap()[..1 << 20].to_vec()),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "four bytes of wasm",
            Parts::plugin(*b"\0asm"),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "half a plugin",
            Parts {
                plugin: forest[..forest.len() / 2].to_vec(),
                ..good.clone()
            },
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "all but a byte",
            Parts {
                plugin: forest[..forest.len() - 1].to_vec(),
                ..good.clone()
            },
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "an empty component",
            Parts::plugin(wat::parse_str("(component)").unwrap()),
            (422, "upload_refused", "foretell:plugin/inference"),
        ),
        (
            "an empty module",
            Parts::plugin(wat::parse_str("(module)").unwrap()),
            (422, "upload_refused", "wrong_world"),
        ),
        (
            "a refused import",
            Parts::plugin(importing("wasi:cli/environment@0.2.0")),
            (422, "upload_refused", "wasi:cli/environment@0.2.0"),
        ),
        (
            "a socket",
            Parts::plugin(importing("wasi:sockets/network@0.2.0")),
            (422, "upload_refused", "import_refused"),
        ),
        (
            "a module's import",
            Parts::plugin(text),
            (422, "upload_refused", "steal"),
        ),
        (
            "a compile bomb",
            Parts::plugin(loops(20_000)),
            (422, "upload_refused", "too_complex"),
        ),
        (
            "no artifact",
            Parts {
                artifact: None,
                ..good.clone()
            },
            (422, "upload_refused", "load_failed"),
        ),
        (
            "another artifact",
            with_artifact(b"weights".to_vec()),
            (422, "upload_refused", "load_failed"),
        ),
        (
            "a damaged artifact",
            with_artifact(damaged(3)),
            (422, "upload_refused", "load_failed"),
        ),
        (
            "half an artifact",
            with_artifact(artifact[..artifact.len() / 2].to_vec()),
            (422, "upload_refused", "load_failed"),
        ),
        (
            "a setting of no plugin",
            with_settings(json!({"threshhold": 0.3})),
            (422, "upload_refused", "threshhold"),
        ),
        (
            "settings that are no object",
            with_settings(json!([1])),
            (400, "malformed", "settings"),
        ),
        (
            "a setting that is a list",
            with_settings(json!({"a": [1]})),
            (400, "invalid_input", "setting `a`"),
        ),
        (
            "an unknown runtime key",
            with_runtime(json!({"deadline": 5})),
            (400, "invalid_input", "did you mean `deadline_ms`?"),
        ),
        (
            "a deadline beyond the ceiling",
            with_runtime(json!({"deadline_ms": 60_001})),
            (400, "invalid_input", "1 to 60000"),
        ),
        (
            "memory beyond the ceiling",
            with_runtime(json!({"memory_mib": 513})),
            (400, "invalid_input", "1 to 512"),
        ),
        (
            "an unknown isolation",
            with_runtime(json!({"isolation": "shared"})),
            (400, "invalid_input", "\"fresh\" or \"reuse\""),
        ),
        (
            "damaged gzip",
            Parts {
                plugin: gzip(forest)[..1_000].to_vec(),
                ..good.clone()
            },
            (400, "malformed", "gzip"),
        ),
        (
            "a bomb",
            Parts::plugin(gzip(&vec![0; 64 << 20])),
            (413, "too_large", "the plugin"),
        ),
        (
            "a plugin beyond its limit",
            Parts::plugin(vec![0; (2 << 20) + 1]),
            (413, "too_large", "2097152"),
        ),
    ];
    for (at, (what, parts, expected)) in cases.into_iter().enumerate() {
        // As a model of its own, and as another version of a good one.
        let (name, version) = if at % 2 == 0 {
            ("new", "1")
        } else {
            ("lead-score", "2")
        };
        check(what, &tenant.push(name, version, &parts), expected);
        let after = (tenant.get("/api/models").is(200).text(), files(&blobs));
        assert_eq!(after, before, "{what} left something behind");
    }

    for (what, path, headers, body, expected) in [
        (
            "a name with a blank",
            "/api/models/a%20b/versions/1",
            WASM,
            forest.clone(),
            (400, "invalid_input", "model name"),
        ),
        (
            "a path for a name",
            "/api/models/a%2fb/versions/1",
            WASM,
            forest.clone(),
            (400, "invalid_input", "model name"),
        ),
        (
            "the reserved name",
            "/api/models/stats/versions/1",
            WASM,
            forest.clone(),
            (400, "invalid_input", "reserved"),
        ),
        (
            "no version's name",
            "/api/models/new/versions/-1",
            WASM,
            forest.clone(),
            (400, "invalid_input", "version"),
        ),
        (
            "another content type",
            "/api/models/new/versions/1",
            JSON,
            b"{}".to_vec(),
            (415, "unsupported_encoding", "multipart/form-data"),
        ),
        (
            "no wasm as it is",
            "/api/models/new/versions/1",
            WASM,
            b"wasm".to_vec(),
            (422, "upload_refused", "not_wasm"),
        ),
        (
            "no parts",
            "/api/models/new/versions/1",
            FORM,
            b"--x--\r\n".to_vec(),
            (400, "malformed", "`plugin`"),
        ),
        (
            "a part that stands twice",
            "/api/models/new/versions/1",
            FORM,
            twice(),
            (400, "malformed", "twice"),
        ),
        (
            "an unknown part",
            "/api/models/new/versions/1",
            FORM,
            part("weights"),
            (400, "malformed", "unknown part `weights`"),
        ),
        (
            "parts cut off",
            "/api/models/new/versions/1",
            FORM,
            part("plugin")[..40].to_vec(),
            (400, "malformed", ""),
        ),
    ] {
        check(what, &tenant.send("PUT", path, headers, body), expected);
    }
    let after = (tenant.get("/api/models").is(200).text(), files(&blobs));
    assert_eq!(after, before);
    until("temporary files to be gone", || {
        files(&host.data().join("tmp")).is_empty().then_some(())
    });
    tenant
        .post("/api/predict/lead-score", &model.request)
        .is(200);
}

fn part(name: &str) -> Vec<u8> {
    format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\nbytes\r\n--x--\r\n")
        .into_bytes()
}

fn twice() -> Vec<u8> {
    let one = "--x\r\ncontent-disposition: form-data; name=\"plugin\"\r\n\r\nbytes\r\n";
    format!("{one}{one}--x--\r\n").into_bytes()
}
