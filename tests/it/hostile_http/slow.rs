//! Callers that take their time: each is let go in time, and meanwhile a neighbour is served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use foretell_tests::{Parts, guests};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{Answer, House, long, read_to_close};

/// Short times, so that the tests need not be long.
const SHORT: &str = "server:\n  header_timeout: 300ms\n  idle_timeout: 2s\n";

/// Far less than the server's own times would take; far more than its configured ones.
const IN_TIME: Duration = Duration::from_secs(20);

/// Sends one byte after another, for as long as the server listens; returns how long that was, and what it said.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> (Duration, Vec<u8>) {
    // The wait for an answer that is not yet due is what makes it slow.
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let (since, mut said) = (Instant::now(), Vec::new());
    for byte in bytes.iter().cycle() {
        assert!(since.elapsed() < IN_TIME, "still listened to");
        let sent = stream.write_all(&[*byte]);
        let mut piece = [0; 4_096];
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(_) if sent.is_err() => break,
            Err(_) => {}
        }
    }
    (since.elapsed(), said)
}

#[test]
fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let house = House::new(SHORT);
    for head in [
        "GET /livez HTTP/1.1\r\nx: ",
        "G",
        "\r\n",
        "GET /livez HTTP/1.1\r\nx",
    ] {
        let mut stream = house.connect();
        let (_, said) = drip(&mut stream, head.as_bytes());
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
            "{head:?}: {:?}",
            String::from_utf8_lossy(&said)
        );
        house.neighbour_is_served();
    }
}

#[test]
fn a_body_that_stops_is_refused_and_its_place_given_back() {
    let house = House::new("predictions:\n  max_concurrent_per_tenant: 2\n");
    let halting = ["content-length: 500", "transfer-encoding: chunked"].map(|length| {
        let mut stream = house.connect();
        let wire = format!(
            "POST /api/predict/honest HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{length}\r\n\r\n",
            house.attacker.key()
        );
        stream.write_all(wire.as_bytes()).unwrap();
        stream
    });
    house.neighbour_is_served();
    for mut stream in halting {
        let answers = Answer::all(&read_to_close(&mut stream));
        assert_eq!(answers.len(), 1);
        answers[0].is("a body that stops", 400, "malformed");
        assert!(answers[0].text().contains("too slowly"), "{answers:?}");
    }
    // Who was refused for its slowness held a place: both are free again.
    house
        .attacker
        .post("/api/predict/honest", &json!({"x": 1}))
        .is(200);
}

#[test]
fn who_does_not_read_a_large_answer_is_let_go() {
    const ROWS: usize = 900_000;
    let house = House::new(
        "server:\n  idle_timeout: 1s\n  drain_grace: 60s\npredictions:\n  max_body: 32MiB\n",
    );
    let wide = Parts {
        runtime: Some(json!({"max_rows": ROWS, "deadline_ms": 60_000})),
        ..guests::honest()
    };
    house.attacker.push("wide", "1", &wide).is(201);
    let number = "0.1234567890123456";
    let body = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"FP64","shape":[{ROWS}],"data":[{}]}}]}}"#,
        vec![number; ROWS].join(",")
    );
    let mut stream = house.connect();
    let head = format!(
        "POST /v2/models/wide/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        house.attacker.key(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    // Nothing more is read until the server has let go, which its drain would otherwise wait for.
    house.neighbour_is_served();
    let since = Instant::now();
    let folder = house.host.stop();
    assert!(since.elapsed() < IN_TIME, "it was waited for");
    let mut rest = Vec::new();
    let _end_or_reset = stream.read_to_end(&mut rest);
    assert!(
        rest.len() < ROWS * number.len(),
        "the whole answer was taken"
    );
    drop(folder);
}

#[test]
fn many_idle_connections_cost_nobody_anything_and_end() {
    let count: u64 = if long() { 4_096 } else { 512 };
    // Both ends of each are ours.
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * count + 1_024;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit
                .maximum
                .map_or(Some(wanted), |most| Some(wanted.min(most))),
            ..limit
        },
    )
    .unwrap();
    let house = House::new(
        "server:\n  header_timeout: 3s\n  idle_timeout: 3s\n  max_connections: 8192\n  max_connections_per_ip: 8192\n",
    );
    // Half of them ask once and wait, half say nothing. Each asks as soon as it is there: on a busy machine the first
    // may be at the end of its time before the last has come.
    let mut streams: Vec<_> = (0..count)
        .map(|index| {
            let mut stream = house.connect();
            if index % 2 == 0 {
                stream
                    .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
                    .unwrap();
            }
            stream
        })
        .collect();
    for _ in 0..20 {
        house.neighbour_is_served();
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        let answers = Answer::all(&read_to_close(stream));
        let expected = usize::from(index % 2 == 0);
        assert_eq!(answers.len(), expected, "connection {index}");
    }
    house.neighbour_is_served();
}
