//! Bodies beyond their limit, and bodies whose length is a lie.

use std::io::{Read, Write};

use super::{Answer, House, read_to_close};

const LIMIT: usize = 64 << 10;

fn house() -> House {
    House::new("predictions:\n  max_body: 64KiB\n")
}

/// A chunked body of this many bytes: spaces, and a record at the end.
fn chunked(bytes: usize) -> Vec<u8> {
    let record = br#"{"x":1}"#;
    let mut wire = Vec::new();
    let mut left = bytes - record.len();
    while left > 0 {
        let size = left.min(4_000);
        wire.extend_from_slice(format!("{size:x}\r\n{}\r\n", " ".repeat(size)).as_bytes());
        left -= size;
    }
    wire.extend_from_slice(format!("{:x}\r\n", record.len()).as_bytes());
    wire.extend_from_slice(record);
    wire.extend_from_slice(b"\r\n0\r\n\r\n");
    wire
}

fn head(key: &str, path: &str, fields: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{fields}\r\n"
    )
    .into_bytes()
}

#[test]
fn a_body_over_its_limit_is_413_however_it_is_announced() {
    let house = house();
    let operator = house.host.operator();
    for (key, path) in [
        (house.attacker.key(), "/api/predict/honest"),
        (house.attacker.key(), "/v2/models/honest/infer"),
        (house.attacker.key(), "/v1/models/honest:predict"),
        // The limit of management bodies is the same number.
        (house.attacker.key(), "/api/keys"),
        (operator.key(), "/api/tenants"),
    ] {
        let over = LIMIT + 1;
        let cases: [(&str, String, Vec<u8>); 6] = [
            (
                "announced, and none of it sent",
                format!("content-length: {over}\r\n"),
                vec![],
            ),
            (
                "announced and sent",
                format!("content-length: {over}\r\n"),
                vec![b' '; over],
            ),
            (
                "announced beyond all",
                format!("content-length: {}\r\n", u64::MAX / 2),
                vec![b' '; 100],
            ),
            (
                "chunked, one byte over",
                "transfer-encoding: chunked\r\n".into(),
                chunked(over),
            ),
            (
                "chunked, far over",
                "transfer-encoding: chunked\r\n".into(),
                chunked(20 * LIMIT),
            ),
            (
                "announced to be asked for",
                format!("expect: 100-continue\r\ncontent-length: {over}\r\n"),
                vec![],
            ),
        ];
        for (what, fields, body) in cases {
            let answers = house.exchange(&[head(key, path, &fields), body].concat());
            assert_eq!(answers.len(), 1, "{what}: {answers:?}");
            answers[0].is(&format!("{what} on {path}"), 413, "too_large");
            house.neighbour_is_served();
        }
    }
    let up_to = house.exchange(
        &[
            head(
                house.attacker.key(),
                "/api/predict/honest",
                "transfer-encoding: chunked\r\n",
            ),
            chunked(LIMIT),
        ]
        .concat(),
    );
    assert_eq!(up_to[0].status, 200, "{up_to:?}");
}

#[test]
fn a_length_that_lies_costs_its_caller_the_connection_and_no_more() {
    let house = house();
    let path = "/api/predict/honest";
    let record = br#"{"x":1}"#.as_slice();
    // Less is sent than announced, and then nothing any more.
    for fields in ["content-length: 50\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = house.connect();
        let wire = [head(house.attacker.key(), path, fields), record.into()].concat();
        stream.write_all(&wire).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // It may be told why, or find the connection ended; it is never answered.
        let answers = Answer::all(&read_to_close(&mut stream));
        assert!(
            answers.iter().all(|answer| answer.status == 400),
            "{answers:?}"
        );
        house.neighbour_is_served();
    }
    // More is sent than announced: what is over is the begin of nothing.
    let keep_open = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 7\r\n\r\n",
        house.attacker.key()
    );
    let answers = house.exchange(&[keep_open.as_bytes(), record, b"}}}}\r\n\r\n"].concat());
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!(answers[0].status, 200);
    answers[1].is("what is over", 400, "malformed");
    // Chunks that are none.
    for chunks in [
        "ffffffffffffffffff\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "0x7\r\n{\"x\":1}\r\n0\r\n\r\n",
        "7;\n{\"x\":1}\r\n0\r\n\r\n",
        "7\n{\"x\":1}\n0\n\n",
        "7\r\n{\"x\":1}0\r\n\r\n",
        "\r\n7\r\n{\"x\":1}\r\n0\r\n\r\n",
        "7 7\r\n{\"x\":1}\r\n0\r\n\r\n",
    ] {
        let wire = head(house.attacker.key(), path, "transfer-encoding: chunked\r\n");
        let answers = house.exchange(&[wire.as_slice(), chunks.as_bytes()].concat());
        assert!(
            answers.len() <= 1 && answers.iter().all(|answer| answer.status == 400),
            "{chunks:?}: {answers:?}"
        );
        house.neighbour_is_served();
    }
    // Extensions and trailers are passed over, within bounds.
    for (chunks, status) in [
        ("7;a=b\r\n{\"x\":1}\r\n0\r\nx: y\r\n\r\n".to_owned(), 200),
        (
            format!("7;{}\r\n{{\"x\":1}}\r\n0\r\n\r\n", "a".repeat(1 << 20)),
            400,
        ),
        (
            format!(
                "7\r\n{{\"x\":1}}\r\n0\r\n{}\r\n",
                "x: y\r\n".repeat(100_000)
            ),
            400,
        ),
    ] {
        let wire = head(house.attacker.key(), path, "transfer-encoding: chunked\r\n");
        let answers = house.exchange(&[wire.as_slice(), chunks.as_bytes()].concat());
        assert!(
            answers.iter().all(|answer| answer.status == status),
            "{status}: {answers:?}"
        );
        assert!(status != 200 || answers.len() == 1);
        house.neighbour_is_served();
    }
}

#[test]
fn who_asks_first_is_told_to_go_on() {
    let house = house();
    for path in ["/api/predict/honest", "/v1/models/honest:predict"] {
        let body: &[u8] = if path.starts_with("/api") {
            br#"{"x":1}"#
        } else {
            br#"{"instances":[1]}"#
        };
        let mut stream = house.connect();
        let fields = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
        stream
            .write_all(&head(house.attacker.key(), path, &fields))
            .unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body).unwrap();
        let answers = Answer::all(&read_to_close(&mut stream));
        assert_eq!(answers[0].status, 200, "{answers:?}");
    }
    // Who may not predict is not asked for the body.
    let fields = "expect: 100-continue\r\ncontent-length: 10\r\n";
    let answers = house.exchange(&head("nobody", "/api/predict/honest", fields));
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0].is("a stranger", 401, "unauthenticated");
}
