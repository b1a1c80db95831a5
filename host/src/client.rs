//! The management API as a client: one server, one key, one tenant.

use std::net::IpAddr;
use std::time::Duration;

use foretell_types::TenantId;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::Value;

use crate::cli::exit::{self, Exit, Failure};

/// Where a server is looked for when nobody says.
pub const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until an answer is there. Uploads wait for the compile worker, which has limits of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Until the next part of an answer is there, however long the whole one is.
const PART_TIMEOUT: Duration = Duration::from_secs(600);

/// Speaks to one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
    tenant: Option<TenantId>,
}

/// What the server answered, when it did what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null where it is empty.
    pub json: Value,
}

impl Client {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// `Usage` for a URL that no server can have.
    pub fn new(url: &str, key: Option<String>, tenant: Option<TenantId>) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::new(
                Exit::Usage,
                format_args!("the server's URL `{url}` {what}; use one such as {DEFAULT_URL}"),
            )
        };
        let base = Url::parse(url).map_err(|error| wrong(&format!("is not valid ({error})")))?;
        match base.scheme() {
            "http" | "https" => {}
            _ => return Err(wrong("does not begin with http:// or https://")),
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("has more than address and path"));
        }
        if let Some(key) = &key
            && (key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(Failure::new(
                Exit::Usage,
                "the key holds blanks or other characters that no key has; copy it again",
            ));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(PART_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("foretell/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            // A proxy of the environment is meant for the world outside, and would be asked for its own loopback.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| Failure::new(Exit::Software, format_args!("HTTP client: {error}")))?;
        Ok(Self {
            http,
            base,
            key,
            tenant,
        })
    }

    /// The URL for people.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Calls a route of the host itself: tenants, health.
    ///
    /// # Errors
    /// `Unavailable` if no server answers; the code of [`exit::of_status`] for an answer that is no success.
    pub async fn host(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.call(self.request(method, path), body).await
    }

    /// Sends a text to a route of the host itself, however long the server takes.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn host_text(
        &self,
        method: Method,
        path: &str,
        text: String,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, path);
        let request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8");
        self.send(request.body(text)).await
    }

    /// Calls a route of a tenant: the one that the key belongs to, or the one that an operator names.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn tenant(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.call(self.tenant_request(method, path), body).await
    }

    /// Sends a multipart form to a route of a tenant, however long the server takes.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn upload(
        &self,
        path: &str,
        form: reqwest::multipart::Form,
    ) -> Result<Answer, Failure> {
        self.send(self.tenant_request(Method::PUT, path).multipart(form))
            .await
    }

    /// Asks a route of a tenant for an answer of any length, whose body is not read yet.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn open(&self, path: &str) -> Result<Response, Failure> {
        let response = self.sent(self.tenant_request(Method::GET, path)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.text().await.unwrap_or_default();
        let body = serde_json::from_str(&body).unwrap_or_default();
        Err(self.refused(status, &body))
    }

    async fn call(
        &self,
        mut request: RequestBuilder,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request.timeout(ANSWER_TIMEOUT)).await
    }

    fn tenant_request(&self, method: Method, path: &str) -> RequestBuilder {
        match &self.tenant {
            Some(tenant) => self.request(method, &format!("/tenants/{tenant}{path}")),
            None => self.request(method, path),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url()));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let response = self.sent(request).await?;
        let status = response.status().as_u16();
        let text = response
            .text()
            .await
            .map_err(|error| self.unreached(&error))?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            if json.is_null() && !text.trim().is_empty() {
                return Err(Failure::new(
                    Exit::Unavailable,
                    format_args!(
                        "{} answers, but not as a Foretell server; check --url",
                        self.url()
                    ),
                ));
            }
            return Ok(Answer { status, text, json });
        }
        Err(self.refused(status, &json))
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = request.send().await;
        sent.map_err(|error| self.unreached(&error))
    }

    fn refused(&self, status: u16, body: &Value) -> Failure {
        Failure::new(
            exit::of_status(status),
            refusal(status, body, self.key.is_some()),
        )
    }

    fn unreached(&self, error: &reqwest::Error) -> Failure {
        let message = if error.is_timeout() && !error.is_connect() {
            format!(
                "{} did not answer in time; try again, or look at its log",
                self.url()
            )
        } else if error.is_connect() {
            format!(
                "no server answers at {} ({}); start one with `foretell serve`, or name another with --url",
                self.url(),
                innermost(error)
            )
        } else {
            format!(
                "the connection to {} broke ({}); look at the server's log",
                self.url(),
                innermost(error)
            )
        };
        Failure::new(Exit::Unavailable, message)
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The cause at the end of the chain: "connection refused" rather than "error sending request".
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An error body for people: problem+json, or the form of the inference routes.
fn refusal(status: u16, body: &Value, had_key: bool) -> String {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let message = text("detail")
        .or(text("error"))
        .or(text("title"))
        .unwrap_or("no reason given");
    let mut shown = match text("code") {
        Some(code) => format!("{message} ({code})"),
        None => format!("{message} (HTTP status {status})"),
    };
    let reasons = body.get("errors").and_then(Value::as_array);
    for reason in reasons.into_iter().flatten() {
        let part = |field: &str| reason.get(field).and_then(Value::as_str);
        let parts: Vec<_> = ["code", "subject", "pointer", "message"]
            .into_iter()
            .filter_map(part)
            .collect();
        shown.push_str("\n  ");
        shown.push_str(&parts.join(": "));
    }
    if status == 401 && !had_key {
        shown.push_str("\ngive a key with --key or FORETELL_KEY");
    }
    if let Some(id) = text("request_id")
        .or(text("instance"))
        .filter(|_| status >= 500)
    {
        shown.push_str(&format!("\nrequest id {id}, for the server's log"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_body_becomes_a_message_with_its_code() {
        for (status, body, shown) in [
            (
                404,
                json!({"title": "Not found", "detail": "there is no model `x`", "code": "not_found"}),
                "there is no model `x` (not_found)",
            ),
            (
                400,
                json!({"error": "unknown feature `agee`", "code": "unknown_feature", "request_id": "r"}),
                "unknown feature `agee` (unknown_feature)",
            ),
            (
                422,
                json!({"detail": "the upload is refused", "code": "upload_refused", "errors": [
                    {"code": "import_refused", "subject": "wasi:cli/env", "message": "no plugin gets it"},
                    {"code": "limit", "subject": "memory", "message": "too much"},
                ]}),
                "the upload is refused (upload_refused)\n  import_refused: wasi:cli/env: no plugin gets it\n  limit: memory: too much",
            ),
            (502, Value::Null, "no reason given (HTTP status 502)"),
            (
                500,
                json!({"detail": "internal error", "code": "internal", "instance": "abc"}),
                "internal error (internal)\nrequest id abc, for the server's log",
            ),
        ] {
            assert_eq!(refusal(status, &body, true), shown);
        }
        let without_key = refusal(
            401,
            &json!({"detail": "no API key", "code": "unauthenticated"}),
            false,
        );
        assert!(
            without_key.ends_with("give a key with --key or FORETELL_KEY"),
            "{without_key}"
        );
    }

    #[test]
    fn a_url_that_no_server_can_have_is_refused_before_anything_is_sent() {
        for good in [
            "http://127.0.0.1:5000",
            "http://host:1/base/",
            "http://[::1]:5000",
            "https://host",
        ] {
            assert!(Client::new(good, None, None).is_ok(), "{good}");
        }
        for bad in ["localhost:5000", "ftp://host", "http://host/?x", ""] {
            let failure = Client::new(bad, None, None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{bad}");
        }
        assert!(Client::new(DEFAULT_URL, Some("a b".into()), None).is_err());
    }

    #[test]
    fn loopback_is_recognised_in_every_form() {
        for (url, loopback) in [
            ("http://127.0.0.1:5000", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://example.com", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_what_to_do() {
        // A port that was free a moment ago and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::new(&url, None, None).unwrap();
        let failure = client.host(Method::GET, "/livez", None).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains(&url), "{failure}");
        assert!(failure.message.contains("foretell serve"), "{failure}");
    }
}
