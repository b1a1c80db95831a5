//! Requests that two readers could cut differently, and heads that are none.

use super::House;

/// Times that end what the server keeps open.
const SHORT: &str = "server:\n  header_timeout: 1s\n  idle_timeout: 1s\n";

/// What no head may bring in with it: a tenant, made with the operator's own key.
fn smuggled(key: &str) -> String {
    let body = r#"{"name":"smuggled"}"#;
    format!(
        "POST /api/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn what_two_readers_could_cut_differently_brings_no_second_request_in() {
    let house = House::new(SHORT);
    let operator = house.host.operator();
    let inside = smuggled(operator.key());
    let before = operator.get("/api/tenants").json();
    // One answer and an end; which one is 400 where the head is at fault, and the route's where its chunks count.
    let chunked = format!("0\r\n\r\n{inside}");
    for (fields, body, status) in [
        (
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
            &chunked,
            405,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
            &chunked,
            405,
        ),
        (
            "content-length: 4\r\nTransfer-Encoding : chunked\r\n",
            &chunked,
            400,
        ),
        (
            "content-length: 4\r\ntransfer-encoding: \u{b}chunked\r\n",
            &chunked,
            400,
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            &chunked,
            400,
        ),
        ("transfer-encoding: chunked, identity\r\n", &chunked, 400),
        ("transfer-encoding: xchunked\r\n", &chunked, 400),
        ("transfer-encoding: gzip\r\n", &chunked, 400),
        ("content-length: 0\r\ncontent-length: 5\r\n", &inside, 400),
        ("content-length: 5\r\ncontent-length: 0\r\n", &inside, 400),
        ("content-length: 0, 5\r\n", &inside, 400),
        ("content-length: +0\r\n", &inside, 400),
        ("content-length: -0\r\n", &inside, 400),
        ("content-length: 0x0\r\n", &inside, 400),
        ("content-length: 1e0\r\n", &inside, 400),
        ("content-length: \u{ff10}\r\n", &inside, 400),
        ("content-length: 18446744073709551616\r\n", &inside, 400),
        ("content-length : 0\r\n", &inside, 400),
        ("content-length: 0\r\n continued: 5\r\n", &inside, 400),
        ("x: a\r\n\tcontent-length: 5\r\n", &inside, 400),
        ("x: a\rcontent-length: 5\r\n", &inside, 400),
        ("x: a\0b\r\n", &inside, 400),
        ("x\0: a\r\n", &inside, 400),
        ("x y: a\r\n", &inside, 400),
        (": a\r\n", &inside, 400),
        ("no colon\r\n", &inside, 400),
        ("x: a\u{7f}b\r\n", &inside, 400),
    ] {
        let wire = format!("POST /livez HTTP/1.1\r\nhost: x\r\n{fields}\r\n{body}");
        let answers = house.exchange(wire.as_bytes());
        assert_eq!(answers.len(), 1, "{fields:?}: {answers:?}");
        let code = if status == 400 {
            "malformed"
        } else {
            "method_not_allowed"
        };
        answers[0].is(&format!("{fields:?}"), status, code);
        house.neighbour_is_served();
    }
    assert_eq!(operator.get("/api/tenants").json(), before);
    // The thing itself works, or nothing above would show anything.
    let answers = house.exchange(inside.as_bytes());
    assert_eq!(answers[0].status, 201, "{answers:?}");
}

#[test]
fn heads_beyond_their_limits_and_lines_that_are_none_are_refused() {
    let house = House::new(SHORT);
    let many: String = (0..10_000).map(|i| format!("x{i}: 1\r\n")).collect();
    let (long, name) = ("y".repeat(64 << 10), "n".repeat(64 << 10));
    let get = "GET /livez HTTP/1.1\r\nhost: x\r\n";
    let cases: Vec<(&str, String, u16, &str)> = vec![
        (
            "10,000 headers",
            format!("{get}{many}\r\n"),
            431,
            "too_large",
        ),
        (
            "a header of 64 KiB",
            format!("{get}x: {long}\r\n\r\n"),
            431,
            "too_large",
        ),
        (
            "a name of 64 KiB",
            format!("{get}{name}: x\r\n\r\n"),
            431,
            "too_large",
        ),
        (
            "a head without end",
            format!("{get}x: {long}"),
            431,
            "too_large",
        ),
        (
            "a URL of 10 KB",
            format!(
                "GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                &long[..10_000]
            ),
            414,
            "too_large",
        ),
        (
            "a URL of 64 KiB",
            format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
            431,
            "too_large",
        ),
        (
            "a method of 64 KiB",
            format!("{name} / HTTP/1.1\r\n\r\n"),
            431,
            "too_large",
        ),
        ("HTTP/0.9", "GET /livez\r\n\r\n".into(), 400, "malformed"),
        (
            "HTTP/3.0",
            "GET /livez HTTP/3.0\r\n\r\n".into(),
            400,
            "malformed",
        ),
        (
            "HTTP/1.2",
            "GET /livez HTTP/1.2\r\n\r\n".into(),
            400,
            "malformed",
        ),
        (
            "http in small letters",
            "GET /livez http/1.1\r\n\r\n".into(),
            400,
            "malformed",
        ),
        ("no target", "GET HTTP/1.1\r\n\r\n".into(), 400, "malformed"),
        (
            "two targets",
            "GET /livez /readyz HTTP/1.1\r\n\r\n".into(),
            400,
            "malformed",
        ),
        (
            "a control character in the target",
            "GET /li\u{1}vez HTTP/1.1\r\n\r\n".into(),
            400,
            "malformed",
        ),
        (
            "a method that is no token",
            "G(T /livez HTTP/1.1\r\n\r\n".into(),
            400,
            "malformed",
        ),
        (
            "TLS",
            "\u{16}\u{3}\u{1}\u{0}\u{5}hello".into(),
            400,
            "malformed",
        ),
        (
            "another protocol",
            "SSH-2.0-OpenSSH_9.2\r\n".into(),
            400,
            "malformed",
        ),
    ];
    for (what, wire, status, code) in cases {
        let answers = house.exchange(wire.as_bytes());
        assert_eq!(answers.len(), 1, "{what}: {answers:?}");
        answers[0].is(what, status, code);
        assert_eq!(answers[0].header("connection"), Some("close"), "{what}");
        house.neighbour_is_served();
    }
    // HTTP/2 without having asked: an answer in HTTP/1.1 would mean nothing to it.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert!(house.exchange(preface).is_empty());
    house.neighbour_is_served();
}

#[test]
fn odd_requests_are_answered_as_the_requests_that_they_are_or_refused() {
    let house = House::new(SHORT);
    for (what, wire, status) in [
        (
            "the absolute form",
            "GET http://elsewhere.invalid/livez HTTP/1.1\r\nhost: x\r\n\r\n",
            200,
        ),
        (
            "the absolute form of another route",
            "GET https://elsewhere.invalid:1/v2/none HTTP/1.1\r\nhost: x\r\n\r\n",
            404,
        ),
        (
            "the authority form",
            "CONNECT elsewhere.invalid:443 HTTP/1.1\r\nhost: x\r\n\r\n",
            400,
        ),
        (
            "the asterisk form",
            "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
            404,
        ),
        (
            "TRACE",
            "TRACE /livez HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n\r\n",
            405,
        ),
        (
            "a method of nobody",
            "BREW /livez HTTP/1.1\r\nhost: x\r\n\r\n",
            405,
        ),
        ("get", "get /livez HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        ("HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n", 200),
        (
            "a target without slash",
            "GET livez HTTP/1.1\r\nhost: x\r\n\r\n",
            400,
        ),
        ("no host", "GET /livez HTTP/1.1\r\n\r\n", 400),
        (
            "two hosts",
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            400,
        ),
        (
            "an upgrade",
            "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n",
            200,
        ),
        (
            "empty lines before it",
            "\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
            200,
        ),
        // RFC 9112 lets a server take a lone LF for the end of a line, and hyper does, consistently: no second reader of
        // ours cuts it otherwise.
        (
            "lines that end in LF alone",
            "GET /livez HTTP/1.1\nhost: x\n\n",
            200,
        ),
        ("slashes", "GET //livez HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (
            "a fragment",
            "GET /livez#x HTTP/1.1\r\nhost: x\r\n\r\n",
            200,
        ),
    ] {
        let answers = house.exchange(wire.as_bytes());
        assert_eq!(answers.len(), 1, "{what}: {answers:?}");
        assert_eq!(answers[0].status, status, "{what}: {answers:?}");
        assert!(answers[0].header("x-request-id").is_some(), "{what}");
        assert!(!answers[0].text().contains("secret"), "{what}");
        house.neighbour_is_served();
    }
}
