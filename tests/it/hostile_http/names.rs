//! Texts where a name is expected, on every route that takes one.

use foretell_tests::host::files;
use foretell_tests::{Client, guests};
use serde_json::json;

use super::House;
use crate::refusal::JSON;

/// Percent-encodes every byte that cannot stand in a path as it is.
fn in_path(name: &str) -> String {
    name.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"._-~%".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[test]
fn what_is_no_name_names_nothing_on_any_route_and_leaves_nothing_behind() {
    let house = House::new("");
    let operator = house.host.operator();
    let before = files(&house.host.data().join("blobs"));
    let (long, too_long) = ("x".repeat(10_000), "x".repeat(129));
    let bad_names = [
        "..",
        ".",
        ".hidden",
        "%2e%2e%2f",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5c..%5c",
        "%252e%252e%252f",
        "%00",
        "honest%00",
        "honest%00.wasm",
        "%0d%0aX-Evil: 1",
        "honest%0a",
        "%20honest",
        "honest%20",
        "honest%2f",
        "-honest",
        "~honest",
        "HONEST",
        "Honest",
        "stats",
        "%",
        "%zz",
        "%ff%fe",
        "%c0%ae%c0%ae%c0%af",
        // Reads `honest` from right to left.
        "\u{202e}tsenoh",
        // Cyrillic o, full-width h, a soft hyphen, a combining mark.
        "h\u{43e}nest",
        "\u{ff48}onest",
        "hon\u{ad}est",
        "hone\u{301}st",
        "hon\u{200b}est",
        "a:b",
        "honest:predict:predict",
        "a b",
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "${jndi:ldap://x}",
        &too_long,
        &long,
    ];
    // No route may take another's model for its own, or a name for what it is not.
    let body = r#"{"x":1}"#;
    let v2 = r#"{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}"#;
    let v1 = r#"{"instances":[1]}"#;
    let attacker: &Client = &house.attacker;
    let routes: [(&Client, &str, &str, &str); 30] = [
        (attacker, "POST", "/api/predict/NAME", body),
        (attacker, "POST", "/api/predict/honest?version=NAME", body),
        (attacker, "POST", "/v2/models/NAME/infer", v2),
        (
            attacker,
            "POST",
            "/v2/models/honest/versions/NAME/infer",
            v2,
        ),
        (attacker, "GET", "/v2/models/NAME", ""),
        (attacker, "GET", "/v2/models/NAME/ready", ""),
        (attacker, "GET", "/v2/models/honest/versions/NAME", ""),
        (attacker, "GET", "/v2/models/NAME/config", ""),
        (attacker, "GET", "/v2/models/honest/versions/NAME/stats", ""),
        (attacker, "POST", "/v2/models/NAME/generate", r#"{"x":[1]}"#),
        (
            attacker,
            "POST",
            "/v2/models/honest/versions/NAME/infer_stream",
            v2,
        ),
        (attacker, "POST", "/v2/repository/models/NAME/unload", ""),
        (attacker, "GET", "/v1/models/NAME/metadata", ""),
        (attacker, "POST", "/v1/models/NAME:predict", v1),
        (
            attacker,
            "POST",
            "/v1/models/honest/versions/NAME:predict",
            v1,
        ),
        (attacker, "GET", "/v1/models/NAME", ""),
        (attacker, "GET", "/v1/models/honest/versions/NAME", ""),
        (attacker, "GET", "/api/models/NAME", ""),
        (attacker, "GET", "/api/models/honest/versions/NAME", ""),
        (attacker, "DELETE", "/api/models/NAME/versions/1", ""),
        (attacker, "DELETE", "/api/models/honest/versions/NAME", ""),
        (
            attacker,
            "PUT",
            "/api/models/NAME/traffic",
            r#"{"active":"1"}"#,
        ),
        (attacker, "DELETE", "/api/keys/NAME", ""),
        (
            attacker,
            "POST",
            "/api/keys/NAME/rotate",
            r#"{"overlap_seconds":1}"#,
        ),
        (&operator, "GET", "/api/tenants/NAME", ""),
        (&operator, "DELETE", "/api/tenants/NAME", ""),
        (&operator, "GET", "/tenants/NAME/api/models", ""),
        (&operator, "POST", "/tenants/NAME/api/predict/honest", body),
        (attacker, "GET", "/tenants/NAME/v2/models", ""),
        (attacker, "GET", "/NAME", ""),
    ];
    for name in bad_names {
        let encoded = in_path(name);
        for (client, method, path, body) in routes {
            let path = path.replace("NAME", &encoded);
            if path == "/v2/models/stats" {
                // The statistics: why no model may have this name.
                continue;
            }
            let line = format!("{method} {path}");
            let answer = house.request(client, &line, b"", body.as_bytes());
            let shown: String = line.chars().take(100).collect();
            match (answer.status, answer.code().as_str()) {
                (404, "not_found") => {}
                (414, "too_large") if name.len() > 8_000 => {}
                other => panic!("{shown}: {other:?}: {}", answer.text()),
            }
            assert!(answer.header("x-evil").is_none(), "{shown}");
            assert!(!answer.text().contains('\u{202e}'), "{shown}");
            assert!(answer.text().len() < 1_000, "{shown}: {}", answer.text());
        }
        house.neighbour_is_served();
        // Where a name would be given, it is refused as such, before anything is received.
        if name.eq_ignore_ascii_case("honest") {
            // A good name of another model.
            continue;
        }
        for path in [
            "/api/models/NAME/versions/1",
            "/api/models/new/versions/NAME",
        ] {
            let line = format!("PUT {}", path.replace("NAME", &encoded));
            let field = b"content-type: application/wasm\r\n";
            let answer = house.request(attacker, &line, field, &guests::honest().plugin);
            match (answer.status, answer.code().as_str()) {
                (400, "invalid_input") => {}
                // A path that ends elsewhere.
                (414, "too_large") if name.len() > 8_000 => {}
                other => panic!("{line}: {other:?}: {}", answer.text()),
            }
        }
        for (client, method, path, body) in [
            (
                &operator,
                "POST",
                "/api/tenants",
                // Reserved among models alone.
                json!({"name": name.replace("stats", "Stats")}),
            ),
            (
                attacker,
                "PUT",
                "/api/models/honest/traffic",
                json!({"active": name}),
            ),
        ] {
            let answer = client.send(method, path, JSON, body.to_string().into());
            assert!(
                matches!(
                    (answer.status, answer.code().as_str()),
                    (400, "invalid_input") | (404, "not_found")
                ),
                "{path} {name:?}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(files(&house.host.data().join("blobs")), before);
}

#[test]
fn names_are_told_apart_to_the_letter_and_never_become_files() {
    let house = House::new("");
    // Devices of another system, and a name that differs in case alone.
    for name in [
        "con", "NUL", "aux.txt", "com1", "HONEST", "a..b", "x--", "1",
    ] {
        house.attacker.push(name, "con", &guests::honest()).is(201);
        let answer = house
            .attacker
            .post(
                &format!("/api/predict/{name}?version=con"),
                &json!({"x": 2}),
            )
            .is(200)
            .json();
        assert_eq!(
            (&answer["model"], &answer["version"]),
            (&json!(name), &json!("con"))
        );
        for (file, _) in files(&house.host.data()) {
            let parts: Vec<_> = file.components().map(|part| part.as_os_str()).collect();
            assert!(
                parts.iter().all(|part| *part != name && *part != "con"),
                "{}",
                file.display()
            );
        }
    }
    // The model of the other case has a version that this one has not.
    house
        .attacker
        .get("/api/models/honest/versions/con")
        .is(404);
    house.neighbour_is_served();
}
