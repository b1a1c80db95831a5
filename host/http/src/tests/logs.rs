//! What the log says of requests, and what it never says.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::Level;

use super::host::{Host, OPERATOR, age};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(has_all).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn each_request_has_one_line_by_its_template_and_no_key_or_body_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For this thread, which is the only one of a test's runtime.
    let _logging = tracing::subscriber::set_default(subscriber);
    let (host, key) = Host::with_models().await;
    let secret_job = r#"{"age":49,"job":"canary-job"}"#;
    let id = &[("x-request-id", "bad-one")];
    let path = "/api/predict/people?version=1";
    let bad = host
        .call("POST", path, &key, id, secret_job.as_bytes())
        .await;
    assert_eq!(bad.status, 400);
    let trap = format!(r#"{{"age":{}}}"#, age::TRAPS);
    let id = &[("x-request-id", "trap-one")];
    host.call("POST", path, &key, id, trap.as_bytes()).await;
    host.get("/api/tenants", OPERATOR).await;
    host.get("/nowhere", "canary-key").await;

    let line = log.lines_with(&["INFO", "bad-one"]);
    assert_eq!(line.len(), 1, "{line:?}");
    for part in ["/api/predict/{model}", "status=400", "POST", "ms="] {
        assert!(line[0].contains(part), "{part}: {line:?}");
    }
    let cause = log.lines_with(&["WARN", "trap-one"]);
    assert_eq!(cause.len(), 1, "{cause:?}");
    assert!(
        cause[0].contains("secret words") && cause[0].contains("plugin_trapped"),
        "{cause:?}"
    );
    for status in ["status=201", "status=200"] {
        let line = log.lines_with(&["foretell_http", "/api/tenants", status]);
        assert_eq!(line.len(), 1, "{status}: {line:?}");
    }
    for never in [key.as_str(), OPERATOR, "canary"] {
        assert_eq!(log.lines_with(&[never]), Vec::<String>::new());
    }
}
