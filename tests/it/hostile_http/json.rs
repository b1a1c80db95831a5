//! JSON that two readers could understand differently, or that costs a careless one its stack or its memory.

use foretell_tests::{Client, Parts, guests, host};
use serde_json::json;

use super::House;
use crate::refusal::JSON;

/// A route of predictions, and how one value becomes a body for it.
const INFERENCE: [(&str, &str); 3] = [
    ("/api/predict/honest", r#"{"x": VALUE}"#),
    (
        "/v2/models/honest/infer",
        r#"{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [VALUE]}]}"#,
    ),
    ("/v1/models/honest:predict", r#"{"instances": [VALUE]}"#),
];

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn object_of_a_million_keys() -> Vec<u8> {
    let mut body = b"{".to_vec();
    for key in 0..1_000_000 {
        body.extend_from_slice(format!("\"{key:05x}\":1,").as_bytes());
    }
    body.extend_from_slice(b"\"x\":1}");
    body
}

#[test]
fn values_that_json_or_a_double_lacks_are_refused_on_every_route_and_minus_zero_is_a_number() {
    let house = House::new("");
    let (digits, deep) = ("7".repeat(400), "[".repeat(100_000));
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let deep_objects = r#"{"a":"#.repeat(100_000);
    let (malformed, invalid) = ((400, "malformed"), (400, "invalid_input"));
    for (path, template) in INFERENCE {
        for (value, (status, code)) in [
            ("NaN", malformed),
            ("nan", malformed),
            ("Infinity", malformed),
            ("-Infinity", malformed),
            ("1e400", invalid),
            ("-1e400", invalid),
            (digits.as_str(), invalid),
            ("01", malformed),
            ("+1", malformed),
            (".5", malformed),
            ("5.", malformed),
            ("0x10", malformed),
            ("1_000", malformed),
            ("1e", malformed),
            (r#""\ud800""#, malformed),
            (r#""\udc00\ud800""#, malformed),
            ("\"\u{0}\"", malformed),
            (r#""\x41""#, malformed),
            ("\u{ff11}", malformed),
            ("/* one */ 1", malformed),
            (deep.as_str(), malformed),
            (closed.as_str(), malformed),
            (deep_objects.as_str(), malformed),
        ] {
            // What is of the wrong kind is refused as soon as it begins: an object here, a text there.
            let is_soon_refused = match path {
                "/api/predict/honest" => value.starts_with('{'),
                "/v2/models/honest/infer" => value.starts_with(['{', '"']),
                _ => false,
            };
            let code = if is_soon_refused {
                "invalid_input"
            } else {
                code
            };
            let shown: String = value.chars().take(20).collect();
            let what = format!("{shown} on {path}");
            let body = template.replace("VALUE", value);
            house
                .request(
                    &house.attacker,
                    &format!("POST {path}"),
                    b"",
                    body.as_bytes(),
                )
                .is(&what, status, code);
            house.neighbour_is_served();
        }
        for value in ["-0", "-0.0", "0.00000000000000000000000000000000001e35"] {
            let body = template.replace("VALUE", value);
            let answer = house.request(
                &house.attacker,
                &format!("POST {path}"),
                b"",
                body.as_bytes(),
            );
            assert_eq!(answer.status, 200, "{value} on {path}: {answer:?}");
        }
    }
}

#[test]
fn bodies_that_readers_could_understand_differently_are_refused_on_every_route() {
    let house = House::new("predictions:\n  max_body: 16MiB\n");
    let million = object_of_a_million_keys();
    for (path, template) in INFERENCE {
        let good = template.replace("VALUE", "1");
        let with_key = |key: &str| good.replacen('{', &format!("{{{key}, "), 1);
        let twice = |first: &str| {
            let value = good.split_once(':').unwrap().1.trim_end_matches('}');
            with_key(&format!("{first}: {value}"))
        };
        let key = good.split('"').nth(1).unwrap();
        let escaped: String = key
            .bytes()
            .map(|byte| format!("\\u{:04x}", u32::from(byte)))
            .collect();
        let bodies: [(&str, Vec<u8>, &str); 8] = [
            (
                "a key twice",
                twice(&format!("\"{key}\"")).into(),
                "malformed",
            ),
            (
                "a key twice, once escaped",
                twice(&format!("\"{escaped}\"")).into(),
                "malformed",
            ),
            (
                "bytes after the end",
                format!("{good} {good}").into(),
                "malformed",
            ),
            (
                "a NUL after the end",
                format!("{good}\0").into(),
                "malformed",
            ),
            (
                "a byte order mark",
                format!("\u{feff}{good}").into(),
                "malformed",
            ),
            ("UTF-16", utf16(&good, u16::to_le_bytes), "malformed"),
            (
                "UTF-16 the other way round",
                utf16(&good, u16::to_be_bytes),
                "malformed",
            ),
            (
                "a million keys",
                million.clone(),
                if path.starts_with("/api") {
                    "invalid_input"
                } else {
                    "malformed"
                },
            ),
        ];
        for (what, body, code) in bodies {
            house
                .request(&house.attacker, &format!("POST {path}"), b"", &body)
                .is(&format!("{what} on {path}"), 400, code);
            house.neighbour_is_served();
        }
    }
}

#[test]
fn management_bodies_are_as_strict_and_change_nothing() {
    let house = House::new("");
    let operator = house.host.operator();
    let before = operator.get("/api/tenants").is(200).json();
    let key = house
        .attacker
        .post("/api/keys", &json!({"scopes": ["infer"]}))
        .is(201)
        .json();
    let rotate = format!("/api/keys/{}/rotate", key["id"].as_str().unwrap());
    let routes: [(&Client, &str, &str, &str); 4] = [
        (&operator, "POST", "/api/tenants", r#"{"name": "new"}"#),
        (
            &house.attacker,
            "POST",
            "/api/keys",
            r#"{"label": "a", "scopes": ["infer"], "expires_in_days": 7}"#,
        ),
        (
            &house.attacker,
            "POST",
            &rotate,
            r#"{"overlap_seconds": 7}"#,
        ),
        (
            &house.attacker,
            "PUT",
            "/api/models/honest/traffic",
            r#"{"active": "1"}"#,
        ),
    ];
    let deep = "[".repeat(20_000);
    for (client, method, path, good) in routes {
        let key = good.split('"').nth(1).unwrap();
        let value = good
            .split_once(": ")
            .unwrap()
            .1
            .split([',', '}'])
            .next()
            .unwrap();
        let with = |value: &str| {
            let rest = good.split_once(": ").unwrap().1;
            format!(
                "{{\"{key}\": {value}{}",
                &rest[rest.find([',', '}']).unwrap()..]
            )
        };
        let again = good.replacen('{', &format!("{{\"{key}\": {value}, "), 1);
        let bodies: [(&str, Vec<u8>, u16); 14] = [
            ("nothing", Vec::new(), 400),
            ("a key twice", again.into(), 400),
            (
                "an unknown key",
                good.replacen('{', "{\"_\": 1, ", 1).into(),
                400,
            ),
            ("bytes after the end", format!("{good} 1").into(), 400),
            ("a byte order mark", format!("\u{feff}{good}").into(), 400),
            ("UTF-16", utf16(good, u16::to_le_bytes), 400),
            ("NaN", with("NaN").into(), 400),
            ("Infinity", with("Infinity").into(), 400),
            ("1e400", with("1e400").into(), 400),
            ("400 digits", with(&"7".repeat(400)).into(), 400),
            ("half a surrogate pair", with(r#""\ud800""#).into(), 400),
            (
                "no UTF-8",
                [with("\"").as_bytes(), b"\xff\"}"].concat(),
                400,
            ),
            ("lists without end", with(&deep).into(), 400),
            ("a million keys", object_of_a_million_keys(), 413),
        ];
        for (what, body, status) in bodies {
            let code = if status == 413 {
                "too_large"
            } else {
                "malformed"
            };
            let answer = house.request(client, &format!("{method} {path}"), b"", &body);
            answer.is(&format!("{what} on {path}"), status, code);
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            house.neighbour_is_served();
        }
        // The template itself is good: what was refused was refused for its fault.
        let good = client.send(method, path, JSON, good.into());
        assert!(matches!(good.status, 200 | 201), "{path}: {}", good.text());
    }
    operator.delete("/api/tenants/new").is(200);
    assert_eq!(operator.get("/api/tenants").json(), before);
}

#[test]
fn parts_of_an_upload_are_as_strict() {
    let house = House::new("");
    let boundary = "b0undary";
    let plugin = guests::honest().plugin;
    for (part, json, fragment) in [
        ("settings", r#"{"a": 1, "a": 2}"#, "`a` stands twice"),
        ("settings", r#"{"a": 1, "\u0061": 2}"#, "`a` stands twice"),
        (
            "runtime",
            r#"{"max_rows": 1, "max_rows": 2}"#,
            "`max_rows` stands twice",
        ),
        ("settings", r#"{"a": NaN}"#, "settings"),
        ("settings", r#"{"a": 1} 2"#, "trailing"),
        ("runtime", "\u{feff}{}", "runtime"),
    ] {
        let mut body = Vec::new();
        for (name, bytes) in [("plugin", plugin.as_slice()), (part, json.as_bytes())] {
            let head = format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let field = format!("content-type: multipart/form-data; boundary={boundary}\r\n");
        let answer = house.request(
            &house.attacker,
            "PUT /api/models/strict/versions/1",
            field.as_bytes(),
            &body,
        );
        answer.is(json, 400, "malformed");
        assert!(answer.text().contains(fragment), "{json}: {answer:?}");
        house.neighbour_is_served();
    }
    let empty = Parts {
        settings: Some(json!({})),
        ..guests::honest()
    };
    house.attacker.push("strict", "1", &empty).is(201);
    assert!(
        host::files(&house.host.data().join("tmp")).is_empty(),
        "what was refused leaves nothing"
    );
}
