//! Mistakes of clients on every route of the inference protocols, over REST and gRPC: what was sent, and what came back.
//!
//! The table is kept in `docs/BAD-INPUT.md`, and every run holds the server against it.

use std::fmt::Write as _;

use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use tonic::Code;

use super::grpc::{Called, frame, raw_call};
use super::host::{Host, Reply};

mod bodies;
mod calls;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/BAD-INPUT.md");

/// The table as it grows.
struct Table {
    host: Host,
    key: String,
    other: String,
    rows: String,
    count: usize,
}

impl Table {
    fn row(&mut self, asked: &str, what: &str, came: &str, message: &str) {
        // A mistake of mine is none of the server's.
        let message = message.replace('|', "\\|").replace('\n', " ");
        let mut message: String = message.chars().take(180).collect();
        if message.len() >= 180 {
            message.push('…');
        }
        let _ = writeln!(self.rows, "| `{asked}` | {what} | {came} | {message} |");
        self.count += 1;
    }

    fn heading(&mut self, text: &str, first: &str) {
        let _ = write!(
            self.rows,
            "\n## {text}\n\n| {first} | what is wrong | comes back | and says |\n|---|---|---|---|\n"
        );
    }

    /// What a request with a mistake is answered: a status of 4xx with the protocol's error, or, for what is not there at all,
    /// 501.
    fn told(&mut self, (method, path): (&str, &str), what: &str, reply: &Reply) {
        let asked = format!("{method} {path}");
        let is_mistake = (400..500).contains(&reply.status) || reply.status == 501;
        assert!(
            is_mistake,
            "{asked}, {what}: {} {}",
            reply.status, reply.text
        );
        let code = reply.code();
        let message = reply.json()["error"].as_str().unwrap().to_owned();
        self.row(
            &asked,
            what,
            &format!("{} `{code}`", reply.status),
            &message,
        );
    }

    async fn rest(
        &mut self,
        method: &str,
        path: &str,
        what: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let reply = self.host.call(method, path, &self.key, headers, body).await;
        self.told((method, path), what, &reply);
    }

    async fn json(&mut self, path: &str, what: &str, body: &Value) {
        self.rest("POST", path, what, &[], body.to_string().as_bytes())
            .await;
    }

    async fn call(&mut self, method: &str, what: &str, key: Option<&str>, message: Bytes) {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let called = raw_call(&self.host, method, &headers, message).await;
        self.called(method, what, &called);
    }

    fn called(&mut self, method: &str, what: &str, called: &Called) {
        let is_mistake = matches!(
            called.code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::Unauthenticated
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::Unimplemented
        );
        assert!(
            is_mistake,
            "{method}, {what}: {:?} {}",
            called.code, called.said
        );
        let code = called
            .metadata
            .get("code")
            .map(|code| code.to_str().unwrap());
        let came = match code {
            Some(code) => format!("{:?} `{code}`", called.code),
            None => format!("{:?}", called.code),
        };
        self.row(method, what, &came, &called.said.clone());
    }

    async fn message(&mut self, method: &str, what: &str, message: &impl Message) {
        let (key, framed) = (self.key.clone(), frame(&message.encode_to_vec()));
        self.call(method, what, Some(&key), framed).await;
    }
}

/// Routes of one model, each also of a version of it.
const OF_MODELS: [(&str, &str); 10] = [
    ("GET", "/v2/models/{m}"),
    ("GET", "/v2/models/{m}/ready"),
    ("GET", "/v2/models/{m}/config"),
    ("GET", "/v2/models/{m}/stats"),
    ("POST", "/v2/models/{m}/infer"),
    ("POST", "/v2/models/{m}/infer_stream"),
    ("POST", "/v2/models/{m}/generate"),
    ("POST", "/v2/models/{m}/generate_stream"),
    ("GET", "/v1/models/{m}"),
    ("GET", "/v1/models/{m}/metadata"),
];

/// A body that is right for `matrix`, on whichever of these routes.
fn right(path: &str) -> &'static str {
    if path.contains("generate") {
        r#"{"x":[[1,2]]}"#
    } else if path.contains("infer") {
        r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#
    } else if path.contains(":predict") {
        r#"{"instances":[[1,2]]}"#
    } else {
        ""
    }
}

async fn who_and_which(table: &mut Table) {
    table.heading("Who asks, and for what", "request");
    let predicts = [("POST", "/v1/models/{m}:predict")];
    for (method, path) in OF_MODELS.into_iter().chain(predicts) {
        let (target, body) = (path.replace("{m}", "matrix"), right(path).as_bytes());
        for (what, key) in [("no key", ""), ("a key that is none", "wrong")] {
            let reply = table.host.call(method, &target, key, &[], body).await;
            table.told((method, &target), what, &reply);
        }
        let other = table.other.clone();
        let reply = table.host.call(method, &target, &other, &[], body).await;
        table.told((method, &target), "another tenant's model", &reply);
        for (name, what) in [
            ("nobody", "no such model"),
            ("a%2Fb", "a name that no model has"),
        ] {
            table
                .rest(method, &path.replace("{m}", name), what, &[], body)
                .await;
        }
        let named = match path.split_once("{m}") {
            Some((before, after)) => format!("{before}matrix/versions/9{after}"),
            None => continue,
        };
        table
            .rest(method, &named, "no such version", &[], body)
            .await;
        let wrong = if method == "GET" { "DELETE" } else { "GET" };
        table.rest(wrong, &target, "another method", &[], b"").await;
    }
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2",
        "/v2/models",
        "/v2/models/stats",
        "/v1/models",
    ] {
        table.rest("POST", path, "another method", &[], b"{}").await;
    }
    for path in [
        "/v2/nothing",
        "/v2/models/matrix/nothing",
        "/v1/models/matrix:classify",
    ] {
        table.rest("POST", path, "no such route", &[], b"{}").await;
    }
    table
        .rest(
            "POST",
            "/v1/models/matrix:explain",
            "a part of the protocol that is left out",
            &[],
            b"{}",
        )
        .await;
    table
        .rest(
            "POST",
            "/v2/models/matrix/infer?version=1",
            "a version in the query",
            &[],
            b"{}",
        )
        .await;
}

#[tokio::test]
async fn no_mistake_of_a_client_is_the_server_s_and_each_is_told_as_documented() {
    let (host, key) = Host::with_models().await;
    let other = host.tenant("globex").await;
    let mut table = Table {
        host,
        key,
        other,
        rows: String::new(),
        count: 0,
    };
    who_and_which(&mut table).await;
    bodies::all(&mut table).await;
    calls::all(&mut table).await;
    let found = format!(
        "# Bad input\n\n\
         {} mistakes that a client can make on the routes of the inference protocols, and what each is answered. None is answered\n\
         5xx, but for 501, which says that a part of a protocol is left out; over gRPC none is `INTERNAL`, `UNAVAILABLE` or `UNKNOWN`.\n\
         The models are `matrix` (one input `x`, FP32 `[-1, 2]`) and `people` (`age`, 0 to 120, and `job`, `admin` or `services`).\n\n\
         Written by the test that holds the server against it: `cargo test -p foretell-http mistakes` says where the new one is, if they differ.\n{}",
        table.count, table.rows
    );
    let known = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    if known == found {
        return;
    }
    let new = std::env::temp_dir().join("BAD-INPUT.md");
    std::fs::write(&new, &found).unwrap();
    let mut lines = known.lines().zip(found.lines());
    let first = lines.find(|(known, found)| known != found);
    panic!(
        "docs/BAD-INPUT.md is not what is answered; what is, is in {}; first: {first:?}",
        new.display()
    );
}
