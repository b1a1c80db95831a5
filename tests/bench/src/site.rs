//! A server with a tenant, its key, and what is pushed to it.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use foretell_bench::http::{Answer, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::Bench;
use crate::process::Server;
use crate::twin;

const OPERATOR_KEY: &str = "operator-key-of-the-benches";
const TENANT: &str = "bench";

/// A quota that nothing reaches.
const PLENTY: u64 = 1 << 40;
const BOUNDARY: &str = "bench-9d1f6a3e";

/// Largest difference of a probability between two sides that are to be compared in speed.
const TOLERANCE: f64 = 1e-5;

/// A server of ours over a data folder of its own.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
    key: String,
    key_id: String,
    data: TempDir,
}

/// A version to push.
#[derive(Debug, Clone)]
pub(crate) struct Version<'a> {
    pub(crate) model: &'a str,
    pub(crate) plugin: &'a [u8],
    pub(crate) artifact: &'a [u8],
    pub(crate) runtime: Value,
}

impl<'a> Version<'a> {
    /// A forest, by the plugin that the rows run.
    pub(crate) fn forest(bench: &'a Bench, artifact: &'a [u8], runtime: Value) -> Self {
        Self {
            model: "forest",
            plugin: &bench.plugin,
            artifact,
            runtime,
        }
    }
}

impl Site {
    /// Foretell, with this environment besides.
    pub(crate) fn foretell(bench: &Bench, environment: &[(&str, &str)]) -> Result<Self> {
        let data = bench.scratch()?;
        Self::open(bench, serve(bench, &data), environment, data)
    }

    /// The native twin for this artifact.
    pub(crate) fn twin(bench: &Bench, artifact: &[u8]) -> Result<Self> {
        let data = bench.scratch()?;
        let file = data.path().join("artifact");
        std::fs::write(&file, artifact)?;
        let command = twin::command(&file, &data.path().join("data"), &bench.foretell)?;
        Self::open(bench, command, &[], data)
    }

    fn open(
        bench: &Bench,
        command: Command,
        environment: &[(&str, &str)],
        data: TempDir,
    ) -> Result<Self> {
        let server = start(bench, command, environment)?;
        let mut site = Self {
            server,
            key: String::new(),
            key_id: String::new(),
            data,
        };
        let tenant = json!({"name": TENANT});
        site.operate(Request::post("/api/tenants", tenant.to_string()))?;
        let scopes = json!({"scopes": ["infer", "models"]});
        let created = site
            .operate(Request::post(
                format!("/tenants/{TENANT}/api/keys"),
                scopes.to_string(),
            ))?
            .json()?;
        let field = |name: &str| {
            let value = created[name].as_str().map(str::to_owned);
            value.with_context(|| format!("a new key without `{name}`"))
        };
        site.key = field("secret")?;
        site.key_id = field("id")?;
        Ok(site)
    }

    /// Sends a request of the operator.
    pub(crate) fn operate(&self, request: Request) -> Result<Answer> {
        let request = request.key(OPERATOR_KEY);
        request.send(&self.server.address)?.success()
    }

    /// Sets every quota that there is, for the tenant, its key and the usual model, so high that none is reached.
    pub(crate) fn set_quotas(&self) -> Result<()> {
        // As many as can be counted in a window.
        let requests = 4_000_000_000_u64;
        let of_key = json!({
            "requests_per_window": requests,
            "predictions_per_day": PLENTY,
            "predictions_per_month": PLENTY,
            "compute_ms_per_day": PLENTY,
            "compute_ms_per_month": PLENTY,
            "credits_per_month": 1_000_000_000,
        });
        let mut of_tenant = of_key.clone();
        of_tenant["concurrent"] = json!(1_000);
        let limits = json!({
            "quotas": of_tenant,
            "stored_bytes": PLENTY,
            "models": 1_000,
            "uploads_per_day": 1_000,
            "prepaid": false,
            "models_requests": {"forest": requests},
        });
        let key = format!("/tenants/{TENANT}/api/keys/{}/limits", self.key_id);
        for (path, body) in [
            (format!("/api/tenants/{TENANT}/limits"), limits),
            (key, of_key),
        ] {
            self.operate(Request {
                method: "PUT".to_owned(),
                ..Request::post(path, body.to_string())
            })?;
        }
        Ok(())
    }

    /// Stops the server and starts it again on the same data folder; the time from then to the first answer to `request`
    /// that is one of success.
    pub(crate) fn restart(
        &mut self,
        bench: &Bench,
        request: &Request,
    ) -> Result<std::time::Duration> {
        self.server.stop();
        let began = std::time::Instant::now();
        self.server = start(bench, serve(bench, &self.data), &[])?;
        request.send(&self.server.address)?.success()?;
        Ok(began.elapsed())
    }

    /// A request with the tenant's key.
    pub(crate) fn keyed(&self, request: Request) -> Request {
        request.key(&self.key)
    }

    /// Sends one.
    pub(crate) fn send(&self, request: Request) -> Result<Answer> {
        self.keyed(request).send(&self.server.address)?.success()
    }

    /// Pushes a version; it is ready afterwards.
    pub(crate) fn push(&self, version: &Version<'_>) -> Result<()> {
        let mut body = Vec::new();
        let mut part = |name: &str, content: &[u8]| {
            body.extend_from_slice(
                format!(
                    "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        };
        part("plugin", version.plugin);
        part("artifact", version.artifact);
        part("runtime", version.runtime.to_string().as_bytes());
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let mut request = Request::new("PUT", format!("/api/models/{}/versions/1", version.model))
            .header(
                "content-type",
                &format!("multipart/form-data; boundary={BOUNDARY}"),
            );
        request.body = body;
        self.send(request)
            .with_context(|| format!("pushing `{}`", version.model))?;
        Ok(())
    }
}

fn serve(bench: &Bench, data: &TempDir) -> Command {
    let mut command = Command::new(&bench.foretell);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path().join("data"));
    command
}

fn start(bench: &Bench, mut command: Command, environment: &[(&str, &str)]) -> Result<Server> {
    static LOGS: AtomicU32 = AtomicU32::new(0);
    command
        .env("FORETELL_ADMIN_KEY", OPERATOR_KEY)
        // An answer from memory measures the memory; the one row that does says so.
        .env("CACHE_ENABLED", "false")
        // A limit of requests would end the measurement.
        .env("RATE_LIMIT_ENABLED", "false")
        .envs(environment.iter().copied());
    let log = format!("server-{}.log", LOGS.fetch_add(1, Ordering::Relaxed));
    Server::start(command, &bench.logs()?.join(log))
}

/// Holds the answers of a server against the expected ones. `probability` finds it in an answer.
pub(crate) fn check(
    address: &str,
    requests: &[Request],
    expected: &[f64],
    probability: fn(&Value) -> Option<f64>,
) -> Result<()> {
    for (request, expected) in requests.iter().zip(expected) {
        let answer = request.send(address)?.success()?.json()?;
        let found = probability(&answer);
        is_close(
            found.with_context(|| format!("no probability in {answer}"))?,
            *expected,
        )?;
    }
    Ok(())
}

/// The probability of the first row in an answer of ours.
pub(crate) fn probability(answer: &Value) -> Option<f64> {
    let outputs = answer["outputs"].as_array()?;
    let output = outputs
        .iter()
        .find(|output| output["name"] == "probability")?;
    output["data"][0].as_f64()
}

/// Whether two sides give the same answer, without which their speeds cannot be compared.
pub(crate) fn is_close(found: f64, expected: f64) -> Result<()> {
    let difference = (found - expected).abs();
    if difference <= TOLERANCE {
        return Ok(());
    }
    bail!(
        "a side answers {found} where {expected} is right: speeds of different answers say nothing"
    )
}
