//! A client that shows what came back, whatever it is.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Until an answer is there; an upload waits for the compiler of a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

const JSON: (&str, &str) = ("content-type", "application/json");

/// Speaks to one server, under one path, with one key or none. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
    headers: reqwest::header::HeaderMap,
    asked: String,
}

/// The parts of an upload.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The component or core module, plain or gzip.
    pub plugin: Vec<u8>,
    /// The weights.
    pub artifact: Option<Vec<u8>>,
    /// Settings for the plugin.
    pub settings: Option<Value>,
    /// Settings for the host.
    pub runtime: Option<Value>,
}

impl Parts {
    /// A plugin alone.
    pub fn plugin(plugin: impl Into<Vec<u8>>) -> Self {
        Self {
            plugin: plugin.into(),
            ..Self::default()
        }
    }

    /// The same with settings for the host.
    #[must_use]
    pub fn runtime(self, runtime: Value) -> Self {
        Self {
            runtime: Some(runtime),
            ..self
        }
    }
}

impl Client {
    /// A client of the server at `url` (`http://127.0.0.1:4711`) that shows no key.
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .expect("an HTTP client");
        Self {
            http,
            base: url.to_owned(),
            key: None,
        }
    }

    /// The same client with a key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same client with `path` before every path: `/tenants/ada`.
    #[must_use]
    pub fn under(&self, path: &str) -> Self {
        Self {
            base: format!("{}{path}", self.base),
            ..self.clone()
        }
    }

    /// The key that it shows.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], Vec::new())
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], Vec::new())
    }

    /// POST of a JSON body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, &[JSON], body.to_string().into())
    }

    /// PUT of a JSON body.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Response {
        self.send("PUT", path, &[JSON], body.to_string().into())
    }

    /// Any method, any headers, any body.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response {
        match self.try_send(method, path, headers, body) {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: no answer: {error:#}"),
        }
    }

    /// As [`Client::send`], for servers that may be gone.
    ///
    /// # Errors
    /// If no answer came.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Response> {
        let request = headers
            .iter()
            .fold(self.request(method, path), |request, (name, value)| {
                request.header(*name, *value)
            });
        finish(request.body(body), format!("{method} {path}"))
    }

    /// Uploads a version.
    #[track_caller]
    pub fn push(&self, model: &str, version: &str, parts: &Parts) -> Response {
        match self.try_push(model, version, parts) {
            Ok(response) => response,
            Err(error) => panic!("push of {model} {version}: no answer: {error:#}"),
        }
    }

    /// As [`Client::push`], for servers that may be gone.
    ///
    /// # Errors
    /// If no answer came.
    pub fn try_push(&self, model: &str, version: &str, parts: &Parts) -> anyhow::Result<Response> {
        let file = |bytes: &[u8], name: &'static str| {
            multipart::Part::bytes(bytes.to_vec()).file_name(name)
        };
        let mut form = multipart::Form::new().part("plugin", file(&parts.plugin, "plugin.wasm"));
        if let Some(artifact) = &parts.artifact {
            form = form.part("artifact", file(artifact, "artifact"));
        }
        for (name, json) in [("settings", &parts.settings), ("runtime", &parts.runtime)] {
            if let Some(json) = json {
                form = form.text(name, json.to_string());
            }
        }
        let path = version_path(model, version);
        finish(
            self.request("PUT", &path).multipart(form),
            format!("PUT {path}"),
        )
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

/// The path of a version among the model routes.
pub fn version_path(model: &str, version: &str) -> String {
    format!("/api/models/{model}/versions/{version}")
}

impl Response {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Milliseconds of one entry of `Server-Timing`, such as `compute`.
    pub fn timing_ms(&self, entry: &str) -> Option<f64> {
        self.header("server-timing")?.split(',').find_map(|part| {
            let (name, duration) = part.trim().split_once(";dur=")?;
            (name == entry).then(|| duration.parse().ok())?
        })
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!(
                "{}: {} with a body that is not JSON ({error}): {}",
                self.asked,
                self.status,
                self.text()
            ),
        }
    }

    /// Holds the status against the expected one.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    /// The stable code of an error body.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What an error body says to people, with its reasons.
    #[track_caller]
    pub fn message(&self) -> String {
        let json = self.json();
        let said = json["error"]
            .as_str()
            .or(json["detail"].as_str())
            .unwrap_or_default();
        let reasons = json["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|reason| {
                format!(
                    "\n{}: {}: {}",
                    reason["code"].as_str().unwrap_or_default(),
                    reason["subject"].as_str().unwrap_or_default(),
                    reason["message"].as_str().unwrap_or_default()
                )
            });
        std::iter::once(said.to_owned()).chain(reasons).collect()
    }
}

fn finish(request: reqwest::RequestBuilder, asked: String) -> anyhow::Result<Response> {
    runtime().block_on(async {
        let response = request.send().await?;
        Ok(Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
            asked,
        })
    })
}

/// The runtime of all clients of this process: pooled connections live as long as theirs.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("client")
            .build()
            .expect("a runtime")
    })
}
