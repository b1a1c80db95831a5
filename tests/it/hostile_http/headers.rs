//! Nothing that a caller sends becomes a header of an answer, or a line of one.

use foretell_tests::Client;

use super::{Answer, House};

/// Every header that an answer may have.
const KNOWN: [&str; 16] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server-timing",
    "transfer-encoding",
    "www-authenticate",
    "x-cache",
    "x-content-type-options",
    "x-credits-used",
    "x-model-digest",
    "x-model-version",
    "x-request-id",
];

#[track_caller]
fn has_only_its_own_headers(what: &str, answer: &Answer) {
    let mut lines = answer.head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    assert!(status.starts_with("HTTP/1.1 "), "{what}: {status}");
    let mut seen = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("{what}: {line:?}"));
        assert!(KNOWN.contains(&name), "{what}: {line:?}");
        assert!(!seen.contains(&name), "{what}: {name} stands twice");
        assert!(
            value.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{what}: {line:?}"
        );
        seen.push(name);
    }
    assert!(seen.contains(&"x-request-id"), "{what}: {answer:?}");
}

#[test]
fn a_request_id_that_is_none_is_replaced() {
    let house = House::new("");
    let anonymous = house.host.anonymous();
    let (long, limit) = ("y".repeat(129), "y".repeat(128));
    let huge = "z".repeat(10_000);
    let bad: Vec<&[u8]> = vec![
        b"",
        b"a b",
        b"a\tb",
        b"evil; x",
        b"%0d%0aX-Evil: 1",
        b"\\r\\nX-Evil: 1",
        b"<b>",
        b"\"",
        b"a,b",
        b"\xff\xfe",
        "\u{202e}x".as_bytes(),
        "\u{560a}\u{560d}X-Evil: 1".as_bytes(),
        long.as_bytes(),
        huge.as_bytes(),
    ];
    for given in bad {
        let what = String::from_utf8_lossy(given).into_owned();
        let field = [b"x-request-id: ".as_slice(), given, b"\r\n"].concat();
        for line in ["GET /livez", "GET /none", "GET /v2/none", "POST /livez"] {
            let answer = house.request(&anonymous, line, &field, b"");
            has_only_its_own_headers(&what, &answer);
            let id = answer.header("x-request-id").unwrap_or_default();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{what:?} became {id}"
            );
            assert!(!answer.text().contains("Evil"), "{what:?}: {answer:?}");
        }
        house.neighbour_is_served();
    }
    for good in ["a", "A.b_c-9", &limit] {
        let field = format!("x-request-id: {good}\r\n");
        let answer = house.request(&anonymous, "GET /livez", field.as_bytes(), b"");
        assert_eq!(answer.header("x-request-id"), Some(good));
    }
    // A line break in the value is the end of the header: what follows is a header of the request, and stays one.
    let answer = house.request(
        &anonymous,
        "GET /livez",
        b"x-request-id: a\r\nx-evil: 1\r\n",
        b"",
    );
    has_only_its_own_headers("a second header", &answer);
    // Two ids: the first counts, one goes out.
    let twice = b"x-request-id: first\r\nx-request-id: second\r\n";
    let answer = house.request(&anonymous, "GET /livez", twice, b"");
    has_only_its_own_headers("two ids", &answer);
    assert_eq!(answer.header("x-request-id"), Some("first"));
}

#[test]
fn no_text_of_a_request_comes_back_as_a_header() {
    let house = House::new("");
    let attacker: &Client = &house.attacker;
    let v2 = r#"{"id":"a\r\nX-Evil: 1\u0000","inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}"#;
    let record = r#"{"x":1}"#;
    let evil = "%0d%0aX-Evil:%201";
    let cases: Vec<(String, &[u8], &str, u16)> = vec![
        // The id of a body is the caller's own text, and comes back in a body alone.
        ("POST /v2/models/honest/infer".into(), b"", v2, 200),
        ("POST /api/predict/honest".into(), b"traceparent: 00-\xff\xfe-%0d%0aX-Evil: 1\r\ntracestate: a=b, X-Evil=1\r\nbaggage: x=%0d%0a\r\n", record, 200),
        ("POST /api/predict/honest".into(), b"accept: text/html%0d%0aX-Evil: 1\r\norigin: null\r\nreferer: %0d%0a\r\naccept-language: \xff\r\n", record, 200),
        ("POST /api/predict/honest".into(), b"x-forwarded-for: 1.2.3.4%0d%0aX-Evil: 1\r\nx-forwarded-host: evil.invalid\r\nx-http-method-override: DELETE\r\n", record, 200),
        (format!("POST /api/predict/{evil}"), b"", record, 404),
        (format!("POST /api/predict/honest?version={evil}"), b"", record, 404),
        (format!("POST /api/predict/honest?{evil}=1"), b"", record, 400),
        (format!("GET /v2/models/{evil}"), b"", "", 404),
        (format!("GET /v1/models/{evil}:explain"), b"", "", 404),
        (format!("GET /v1/models/honest:{evil}"), b"", "", 404),
        (format!("GET /{evil}"), b"", "", 404),
        (format!("GET /tenants/{evil}/api/models"), b"", "", 404),
        (format!("DELETE /api/keys/{evil}"), b"", "", 404),
        (format!("PUT /api/models/{evil}/versions/1"), b"", "x", 400),
        ("PUT /api/models/m/versions/1".into(), b"content-type: text/x%0d%0aX-Evil: 1\xff\r\n", "x", 415),
        ("PUT /api/models/m/versions/1".into(), b"content-type: multipart/form-data; boundary=\"\xff%0d%0a\"\r\n", "x", 400),
        ("POST /api/predict/honest".into(), b"content-encoding: gzip%0d%0aX-Evil: 1\xff\r\n", record, 415),
        ("POST /v2/models/honest/infer".into(), b"inference-header-content-length: %0d%0aX-Evil: 1\r\n", v2, 400),
        ("X-EVIL /api/predict/honest".into(), b"", record, 405),
        ("POST /api/keys".into(), b"", r#"{"label":"a\r\nX-Evil: 1","scopes":["infer\r\nX-Evil: 1"]}"#, 400),
    ];
    for (line, fields, body, status) in cases {
        let answer = house.request(attacker, &line, fields, body.as_bytes());
        let what = format!("{line} {}", String::from_utf8_lossy(fields));
        assert!(
            answer.status == status
                || (400..500).contains(&status) && (400..500).contains(&answer.status),
            "{what}: {answer:?}"
        );
        has_only_its_own_headers(&what, &answer);
        // What an error repeats of it is escaped.
        assert!(
            !answer.body.iter().any(|byte| byte.is_ascii_control()),
            "{what}: {answer:?}"
        );
        house.neighbour_is_served();
    }
    let answer = house.request(attacker, "POST /v2/models/honest/infer", b"", v2.as_bytes());
    assert_eq!(answer.json()["id"], "a\r\nX-Evil: 1\u{0}");
}
