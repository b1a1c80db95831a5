//! From our types to responses: bodies, headers, and the one table of statuses.

use std::fmt::Write;
use std::time::Duration;

use foretell_predict::rate::Rate;
use foretell_predict::{Answer, Call, PredictError};
use foretell_types::compile::Refusal;
use foretell_types::{ErrorKind, RequestId};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::coding::Coding;
use crate::extract::{Head, Surface};
use crate::front::Refused;
use crate::shed::Shed;
use crate::wire::oip::INFERENCE_HEADER_CONTENT_LENGTH;
use crate::wire::written::{Content, Written};

/// A finished response.
pub(crate) type Response = warp::reply::Response;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seconds until the current bucket of the window ends.
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// The call was done before, and is answered again for free.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const X_CREDITS_USED: HeaderName = HeaderName::from_static("x-credits-used");
const X_MODEL_DIGEST: HeaderName = HeaderName::from_static("x-model-digest");
const X_MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");

const JSON: HeaderValue = Content::Json.media_type();
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
/// When to come back if an error of a passing kind does not say: long enough for a restart or a queue to clear.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The status of each kind of error. No other place knows one.
pub(crate) const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed
        | ErrorKind::InvalidInput
        | ErrorKind::MissingFeature
        | ErrorKind::UnknownFeature
        | ErrorKind::UnknownCategory
        | ErrorKind::OutOfRange
        | ErrorKind::TenantRequired
        | ErrorKind::PluginRefused => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::UploadRefused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::RateLimited | ErrorKind::QuotaExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::PluginTrapped
        | ErrorKind::MemoryLimit
        | ErrorKind::StackOverflow
        | ErrorKind::PluginContract
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::ModelSuspended
        | ErrorKind::ModelUnloaded
        | ErrorKind::Overloaded
        | ErrorKind::Draining
        | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Why a request has no answer, with all that its response shows.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    /// The outside message.
    message: String,
    /// The inside one, for the log.
    cause: Option<String>,
    retry_after: Option<Duration>,
    refusals: Vec<Refusal>,
    /// The methods that the path has, for 405.
    allow: Option<&'static str>,
    /// HTTP's own name for a special case of the kind.
    finer_status: Option<StatusCode>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
            retry_after: None,
            refusals: Vec::new(),
            allow: None,
            finer_status: None,
        }
    }

    /// The path exists, the method does not.
    pub(crate) fn method(head: &Head, allow: &'static str) -> Self {
        let message = format!(
            "this path has no method {}; use {allow}",
            head.method.as_str()
        );
        Self {
            allow: Some(allow),
            ..Self::new(ErrorKind::MethodNotAllowed, message)
        }
    }

    pub(crate) fn url_too_long(limit: usize) -> Self {
        let message = format!("the URL is longer than its limit of {limit} bytes");
        Self {
            finer_status: Some(StatusCode::URI_TOO_LONG),
            ..Self::new(ErrorKind::TooLarge, message)
        }
    }

    /// A part of a protocol that this server leaves out.
    pub(crate) fn not_implemented(message: &str) -> Self {
        Self {
            finer_status: Some(StatusCode::NOT_IMPLEMENTED),
            ..Self::new(ErrorKind::NotFound, message)
        }
    }

    /// The same, said to have ended a larger act: `failed to load 'm'`.
    pub(crate) fn of(mut self, act: &str) -> Self {
        self.message = format!("{act}: {}", self.message);
        self
    }

    /// A defect of ours; `cause` is for the log alone.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        PredictError::Internal(cause.into()).into()
    }

    fn status(&self) -> StatusCode {
        self.finer_status.unwrap_or(status(self.kind))
    }

    pub(crate) const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether there is too much to do: such are counted, and not told one by one.
    const fn is_shed(&self) -> bool {
        matches!(self.kind, ErrorKind::Overloaded | ErrorKind::RateLimited)
    }

    /// When to come back, for a caller to whom it is said; whole seconds, and at least one.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        let status = self.status();
        let is_said =
            status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
        is_said.then(|| {
            let wait = self.retry_after.unwrap_or(RETRY_AFTER);
            wait.as_secs_f64().ceil().max(1.0) as u64
        })
    }

    /// Writes what the caller does not see to the log.
    pub(crate) fn log(&self, request_id: &RequestId) {
        let status = self.status();
        // What an owner wants, and what this server leaves out, are no failures of it.
        let is_meant =
            self.kind == ErrorKind::ModelUnloaded || status == StatusCode::NOT_IMPLEMENTED;
        if status.is_server_error() && !is_meant && !self.is_shed() {
            let cause = self.cause.as_deref().unwrap_or(&self.message);
            let (request_id, code) = (request_id.as_str(), self.kind.code());
            tracing::warn!(request_id, code, cause, "request failed");
        }
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        Self {
            cause: error.cause(),
            retry_after: error.retry_after(),
            refusals: error.refusals().to_vec(),
            ..Self::new(error.kind(), error.to_string())
        }
    }
}

/// Whether an error of this kind is none of its caller's.
#[cfg(test)]
pub(crate) fn is_fault_of_server(kind: ErrorKind) -> bool {
    status(kind).is_server_error()
}

/// Renders a failure in the envelope of its surface, and logs what the caller does not see.
pub(crate) fn failure(head: &Head, failure: &Failure) -> Response {
    let (status, request_id) = (failure.status(), head.call.request_id.as_str());
    let (code, message) = (failure.kind.code(), failure.message.as_str());
    failure.log(&head.call.request_id);
    let mut response = match head.surface {
        Surface::Inference => json(
            status,
            &InferenceError {
                error: message,
                code,
                request_id,
            },
        ),
        Surface::Management => {
            let errors = failure.refusals.iter().map(Reason::from).collect();
            let title = code.replace('_', " ");
            let problem = Problem {
                r#type: format!("urn:foretell:error:{code}"),
                title: &title,
                status: status.as_u16(),
                detail: message,
                instance: request_id,
                code,
                errors,
            };
            let mut response = json(status, &problem);
            response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM);
            response
        }
    };
    if failure.is_shed() {
        response.extensions_mut().insert(Shed);
    }
    response.extensions_mut().insert(Refused(failure.kind()));
    let headers = response.headers_mut();
    if let Some(allow) = failure.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = failure.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a connection is told that is turned away before there is a request.
pub(crate) fn full(request_id: &RequestId) -> String {
    let error = "too many connections; try again in 1 s";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    last_words(status, ErrorKind::Overloaded, error, request_id)
}

/// What a caller is told whose head is no request, before its connection ends.
pub(crate) fn unreadable(status: StatusCode, request_id: &RequestId) -> String {
    let (kind, error) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            ErrorKind::TooLarge,
            "the headers are too many or too long; send fewer",
        ),
        StatusCode::URI_TOO_LONG => (ErrorKind::TooLarge, "the URL is too long"),
        _ => (
            ErrorKind::Malformed,
            "this is no request of HTTP/1.1: its first line or a header is not as RFC 9112 has it",
        ),
    };
    last_words(status, kind, error, request_id)
}

/// The bytes of a whole response, where there is no request to answer and so no surface: every client can read
/// `{"error", "code", "request_id"}`. `error` is ours and needs no escapes.
fn last_words(status: StatusCode, kind: ErrorKind, error: &str, request_id: &RequestId) -> String {
    let (reason, code) = (status.canonical_reason().unwrap_or_default(), kind.code());
    let body = format!(r#"{{"error":"{error}","code":"{code}","request_id":"{request_id}"}}"#);
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\n{retry}x-request-id: {request_id}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        status.as_u16(),
        body.len()
    )
}

#[derive(Serialize)]
struct InferenceError<'a> {
    error: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Reason<'a>>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    subject: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Refusal> for Reason<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self {
            code: refusal.code.as_str(),
            subject: &refusal.subject,
            message: &refusal.message,
        }
    }
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let written = match Written::json(body) {
        Ok(written) => written,
        Err(error) => return unwritten(&error),
    };
    let mut response = http::Response::new(written.bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Our own types into memory: only a defect gets here.
fn unwritten(error: &serde_json::Error) -> Response {
    tracing::error!(%error, "a response could not be written");
    let body = r#"{"error":"internal error","code":"internal"}"#;
    let mut response = http::Response::new(body.into());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A JSON body with status 200.
pub(crate) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// A prediction's body, with what its headers say of it; compressed, if its caller prefers that.
pub(crate) async fn prediction(
    head: &Head,
    answer: &Answer,
    write: impl FnOnce() -> serde_json::Result<Written>,
) -> Response {
    let written = answer.write(|| {
        let written = write()?;
        let compressed = Coding::compressed(&head.headers, &written.bytes);
        Ok((written, compressed))
    });
    let (written, compressed) = match written.await {
        Ok(written) => written,
        // Without a body the headers would say something of an error.
        Err(error) => return unwritten(&error),
    };
    let (bytes, coding) = match compressed {
        None => (written.bytes, None),
        Some((coding, bytes)) => (bytes, Some(coding)),
    };
    let mut response = http::Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, written.content.media_type());
    if let Content::Binary { json_bytes } = written.content {
        headers.insert(
            INFERENCE_HEADER_CONTENT_LENGTH,
            HeaderValue::from(json_bytes),
        );
    }
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, coding.header());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    describe(headers, answer);
    response
}

/// What is told of tenants, keys and people is for nobody's disk but the caller's, and is what it says it is.
pub(crate) fn kept_by_nobody(headers: &mut HeaderMap) {
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// What the headers say of the caller's limit of requests, once it was counted.
pub(crate) fn rate(headers: &mut HeaderMap, call: &Call) {
    if let Some(Rate {
        limit,
        remaining,
        reset,
    }) = call.rate.get().copied()
    {
        headers.insert(X_RATELIMIT_LIMIT, HeaderValue::from(limit));
        headers.insert(X_RATELIMIT_REMAINING, HeaderValue::from(remaining));
        headers.insert(X_RATELIMIT_RESET, HeaderValue::from(reset.as_secs() + 1));
    }
}

/// What the headers of a prediction say of it.
pub(crate) fn describe(headers: &mut HeaderMap, answer: &Answer) {
    let target = &answer.target;
    let cached = HeaderValue::from_static(answer.lookup.cached.as_str());
    headers.insert(X_CACHE, cached);
    if answer.is_repeated {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    for (name, value) in [
        (
            X_CREDITS_USED,
            HeaderValue::try_from(answer.credits().to_string()),
        ),
        (SERVER_TIMING, HeaderValue::try_from(timing(answer))),
        (
            X_MODEL_DIGEST,
            HeaderValue::try_from(target.digest.to_string()),
        ),
    ] {
        // Digits, letters and signs: all of them can stand in a header.
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    // A name that was parsed can, too.
    if let Ok(version) = HeaderValue::from_str(target.version.as_str()) {
        headers.insert(X_MODEL_VERSION, version);
    }
}

/// The value of `Server-Timing`: milliseconds with three decimals.
fn timing(answer: &Answer) -> String {
    let mut text = String::with_capacity(64);
    for (name, took) in [
        ("queue", answer.usage.queued),
        ("cache", answer.lookup.took),
        ("compute", answer.usage.compute),
    ] {
        let between = if text.is_empty() { "" } else { ", " };
        // Wider numbers are divided by a function. 64 bits of microseconds are more than half a million years.
        let us = took.as_micros() as u64;
        // Writing into a string cannot fail. Whole numbers, because writing a fraction takes several times as long.
        let _ = write!(text, "{between}{name};dur={}.{:03}", us / 1_000, us % 1_000);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let table: [(u16, &[ErrorKind]); 13] = [
            (
                400,
                &[
                    ErrorKind::Malformed,
                    ErrorKind::InvalidInput,
                    ErrorKind::MissingFeature,
                    ErrorKind::UnknownFeature,
                    ErrorKind::UnknownCategory,
                    ErrorKind::OutOfRange,
                    ErrorKind::TenantRequired,
                    ErrorKind::PluginRefused,
                ],
            ),
            (401, &[ErrorKind::Unauthenticated]),
            (403, &[ErrorKind::Forbidden]),
            (404, &[ErrorKind::NotFound]),
            (405, &[ErrorKind::MethodNotAllowed]),
            (409, &[ErrorKind::Conflict]),
            (413, &[ErrorKind::TooLarge]),
            (415, &[ErrorKind::UnsupportedEncoding]),
            (422, &[ErrorKind::UploadRefused]),
            (429, &[ErrorKind::RateLimited, ErrorKind::QuotaExhausted]),
            (
                500,
                &[
                    ErrorKind::PluginTrapped,
                    ErrorKind::MemoryLimit,
                    ErrorKind::StackOverflow,
                    ErrorKind::PluginContract,
                    ErrorKind::Internal,
                ],
            ),
            (
                503,
                &[
                    ErrorKind::ModelSuspended,
                    ErrorKind::ModelUnloaded,
                    ErrorKind::Overloaded,
                    ErrorKind::Draining,
                    ErrorKind::Unavailable,
                ],
            ),
            (504, &[ErrorKind::DeadlineExceeded]),
        ];
        for (expected, kinds) in table {
            for kind in kinds {
                assert_eq!(status(*kind).as_u16(), expected, "{kind:?}");
            }
        }
        let listed: usize = table.iter().map(|(_, kinds)| kinds.len()).sum();
        assert_eq!(
            listed,
            ErrorKind::ALL.len(),
            "a kind is missing in this table"
        );
    }
}
