//! Uploads: forms and raw bodies, piece by piece.

use serde_json::json;

use super::host::{Host, Reply};
use foretell_predict::Limits;

use crate::HttpConfig;

const FORM: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=XX")];

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend_from_slice(
            format!(
                "--XX\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

async fn put(host: &Host, key: &str, version: &str, parts: &[(&str, &[u8])]) -> Reply {
    host.call(
        "PUT",
        &format!("/api/models/m/versions/{version}"),
        key,
        FORM,
        &form(parts),
    )
    .await
}

#[tokio::test]
async fn a_form_becomes_a_version_and_the_same_again_is_the_same() {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let artifact: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let parts: [(&str, &[u8]); 4] = [
        ("plugin", b"people"),
        ("artifact", &artifact),
        ("settings", br#"{"threshold":0.5,"name":"x"}"#),
        ("runtime", br#"{"deadline_ms":50,"isolation":"reuse"}"#),
    ];
    let created = put(&host, &key, "1", &parts).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let version = created.json();
    assert_eq!(version["settings"], json!({"name": "x", "threshold": 0.5}));
    assert_eq!(
        version["runtime"],
        json!({"isolation": "reuse", "deadline_ms": 50, "memory_mib": 128, "max_rows": 10240, "cache": true})
    );
    assert_eq!(
        (&version["active"], &version["bytes"]),
        (&json!(true), &json!(3_000_006))
    );
    assert_eq!(version["created_at"], "2026-11-24T22:34:56.123Z");
    assert_eq!(
        version["signature"]["inputs"][0]["columns"][0]["name"],
        "age"
    );
    for digest in ["digest", "plugin", "artifact"] {
        assert_eq!(version[digest].as_str().unwrap().len(), 64, "{digest}");
    }
    let again = put(&host, &key, "1", &parts).await;
    assert_eq!((again.status, again.json()), (200, version.clone()));
    assert_eq!(
        host.get("/api/models/m/versions/1", &key).await.json(),
        version
    );
    let other = put(&host, &key, "1", &parts[..1]).await;
    assert_eq!((other.status, other.code().as_str()), (409, "conflict"));
}

#[tokio::test]
async fn a_refused_upload_lists_every_reason() {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let refused = put(&host, &key, "1", &[("plugin", b"not wasm")]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "upload_refused")
    );
    assert_eq!(
        refused.json()["errors"],
        json!([
            {"code": "import_refused", "subject": "wasi:sockets/tcp", "message": "plugins get no sockets"},
            {"code": "import_refused", "subject": "wasi:sockets/udp", "message": "plugins get no sockets"},
        ])
    );
    assert_eq!(
        host.get("/api/models", &key).await.json(),
        json!({"models": []})
    );
}

#[tokio::test]
async fn what_is_no_upload_is_refused_and_leaves_nothing() {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    for (parts, code) in [
        (&[("artifact", &b"x"[..])][..], "malformed"),
        (&[("plugin", b"p"), ("plugin", b"p")], "malformed"),
        (&[("weights", b"p")], "malformed"),
        (&[("plugin", b"p"), ("settings", b"[1]")], "malformed"),
        (
            &[("plugin", b"p"), ("runtime", br#"{"deadline":1}"#)],
            "invalid_input",
        ),
    ] {
        let reply = put(&host, &key, "1", parts).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{}",
            reply.text
        );
    }
    let path = "/api/models/m/versions/1";
    let text = host
        .call("PUT", path, &key, &[("content-type", "text/plain")], b"x")
        .await;
    assert_eq!(
        (text.status, text.code().as_str()),
        (415, "unsupported_encoding")
    );
    let unbounded = host
        .call(
            "PUT",
            path,
            &key,
            &[("content-type", "multipart/form-data")],
            b"x",
        )
        .await;
    assert_eq!(
        (unbounded.status, unbounded.code().as_str()),
        (400, "malformed")
    );
    let mut cut = form(&[("plugin", b"people")]);
    cut.truncate(cut.len() - 10);
    let ended = host.call("PUT", path, &key, FORM, &cut).await;
    assert_eq!(
        (ended.status, ended.code().as_str()),
        (400, "malformed"),
        "{}",
        ended.text
    );
    assert_eq!(
        host.get("/api/models", &key).await.json(),
        json!({"models": []})
    );
}

#[tokio::test]
async fn a_form_without_an_end_to_its_headers_is_stopped() {
    let host = Host::start().await;
    let key = host.tenant("acme").await;
    let mut body = b"--XX\r\ncontent-disposition: form-data; name=\"".to_vec();
    body.resize(8 << 20, b'a');
    let reply = host
        .call("PUT", "/api/models/m/versions/1", &key, FORM, &body)
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "malformed"));
    assert!(
        reply.text.contains("no part begins where one should"),
        "{}",
        reply.text
    );
}

#[tokio::test]
async fn a_part_over_its_limit_is_413_though_the_rest_still_comes() {
    let limits = Limits {
        max_plugin_bytes: 100_000,
        ..Limits::default()
    };
    let host = Host::with(HttpConfig::default(), limits).await;
    let key = host.tenant("acme").await;
    let reply = put(&host, &key, "1", &[("plugin", &vec![0; 10 << 20])]).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
    assert!(
        reply
            .text
            .contains("the plugin is larger than its limit of 100000 bytes"),
        "{}",
        reply.text
    );
}
