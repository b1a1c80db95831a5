//! Hostile bytes against the whole server, table by table. After each case a neighbour is served as if nothing were.

mod framing;
mod headers;
mod json;
mod lengths;
mod names;
mod random;
mod slow;

use std::io::{Read, Write};
use std::net::TcpStream;

use foretell_tests::wait::PATIENCE;
use foretell_tests::{Client, Tenant, TestHost, guests};
use serde_json::Value;

/// Whether to take the long way: many more cases, which is not for every change.
fn long() -> bool {
    std::env::var_os("FORETELL_LONG").is_some()
}

/// A server with an attacker and its neighbour, who own the model `honest` each: `y` is `x`, FP64 `[-1]`.
struct House {
    host: TestHost,
    attacker: Tenant,
    neighbour: Tenant,
}

impl House {
    fn new(yaml: &str) -> Self {
        let host = TestHost::configured(yaml);
        let (attacker, neighbour) = (host.tenant("attacker"), host.tenant("neighbour"));
        for tenant in [&attacker, &neighbour] {
            tenant.push("honest", "1", &guests::honest()).is(201);
        }
        Self {
            host,
            attacker,
            neighbour,
        }
    }

    /// On a connection of its own: one that was kept could end of its idle time as it is used again.
    #[track_caller]
    fn neighbour_is_served(&self) {
        let answer = self.request(
            &self.neighbour,
            "POST /api/predict/honest",
            b"content-type: application/json\r\n",
            br#"{"x": 0.5}"#,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["prediction"]["y"], 0.5);
    }

    fn connect(&self) -> TcpStream {
        let address = self.host.url().strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes, and returns every answer until the server closes.
    #[track_caller]
    fn exchange(&self, wire: &[u8]) -> Vec<Answer> {
        let mut stream = self.connect();
        // The server may answer and close before it has everything.
        let _sent = stream.write_all(wire);
        Answer::all(&read_to_close(&mut stream))
    }

    /// One request on a connection of its own; exactly one answer.
    #[track_caller]
    fn request(&self, client: &Client, line: &str, fields: &[u8], body: &[u8]) -> Answer {
        let mut wire = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n",
            client.key(),
            body.len()
        )
        .into_bytes();
        wire.extend_from_slice(fields);
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(body);
        let mut answers = self.exchange(&wire);
        assert_eq!(answers.len(), 1, "{line}: {answers:?}");
        answers.remove(0)
    }
}

/// Everything until the other side closes. A reset would have lost an answer on a real network: not accepted.
#[track_caller]
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
    }
}

/// A response as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Status line and headers.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Cuts what came into responses.
    #[track_caller]
    fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let end = bytes
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(bytes)));
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut answer = Self {
                status,
                head,
                body: Vec::new(),
            };
            bytes = &bytes[end + 4..];
            if let Some(length) = answer.header("content-length") {
                let (body, rest) = bytes.split_at(length.parse().unwrap());
                answer.body = body.to_vec();
                bytes = rest;
            }
            answers.push(answer);
        }
        answers
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .split("\r\n")
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    /// The code of an error, after a look at what every error has: an id that the body repeats, and words.
    #[track_caller]
    fn code(&self) -> String {
        let body = self.json();
        let id = self.header("x-request-id").unwrap_or_default();
        let (repeated, words) = match self.header("content-type") {
            Some("application/problem+json") => (&body["instance"], &body["detail"]),
            _ => (&body["request_id"], &body["error"]),
        };
        assert_eq!(repeated, id, "{self:?}");
        assert!(words.as_str().is_some_and(|words| !words.is_empty()));
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Holds status and code against those expected.
    #[track_caller]
    fn is(&self, what: &str, status: u16, code: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        assert_eq!(self.code(), code, "{what}: {self:?}");
    }
}
