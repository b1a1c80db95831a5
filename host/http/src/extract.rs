//! What a request says before its body: who asks, under which id, in which surface's language.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use foretell_predict::{CacheUse, Call, Credentials, PredictError, Subject};
use foretell_types::{ErrorKind, RequestId};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Uri, Version, request};
use warp::{Filter, Rejection};

use crate::body::{Body, Patience};
use crate::browser;
use crate::coding::refuse_any;
use crate::reply::Failure;
use crate::text::{percent_decoded, shown};

/// Names a request in both directions.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_SUBJECT: HeaderName = HeaderName::from_static("x-subject");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whose clients speak on a path: it decides how errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// `/v1`, `/v2` and `/api/predict`: `{"error", "code", "request_id"}`.
    Inference,
    /// Everything else: problem+json.
    Management,
}

impl Surface {
    fn of(path: &str) -> Self {
        let mut segments = path.split('/').skip(1);
        match (segments.next(), segments.next()) {
            (Some("v1" | "v2"), _) | (Some("api"), Some("predict")) => Self::Inference,
            _ => Self::Management,
        }
    }
}

/// A request but for its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) call: Call,
    pub(crate) surface: Surface,
    /// HEAD stands here as GET: the transport leaves the body out by itself.
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// Whether its credentials are a session, which a browser shows by itself.
    pub(crate) is_by_session: bool,
    /// Why it is not done, although it has a route: the session does not count for it.
    pub(crate) refused: Option<Failure>,
    /// Whether its caller can tell an answer that is cut off from a whole one whose length nobody knew before: HTTP/1.0
    /// cannot.
    pub(crate) knows_chunks: bool,
    query: Option<String>,
    /// What a slow caller may do with the body.
    patience: Patience,
}

impl Head {
    /// Takes a request's head apart; what is left in `parts` is the path for the routes, without `/tenants/{t}`.
    pub(crate) fn take(
        parts: &mut request::Parts,
        request_id: RequestId,
        patience: Patience,
        address: Option<IpAddr>,
    ) -> Self {
        let headers = std::mem::take(&mut parts.headers);
        let (prefix, uri) = split_prefix(&parts.uri);
        if let Some(uri) = uri {
            parts.uri = uri;
        }
        let method = if parts.method == Method::HEAD {
            Method::GET
        } else {
            parts.method.clone()
        };
        let key = credentials(&headers);
        let counts = key.is_empty() && !browser::is_door(parts.uri.path());
        // Two sessions are refused before anything is done.
        let session = browser::session(&headers).ok().flatten();
        let session = session.filter(|_| counts);
        Self {
            surface: Surface::of(parts.uri.path()),
            is_by_session: session.is_some(),
            refused: None,
            call: Call {
                request_id,
                credentials: session.map_or(key, Credentials::of_session),
                prefix,
                cache: cache_use(&headers),
                idempotency_key: idempotency_key(&headers),
                // A wrong one is refused before anything is done.
                subject: subject(&headers).ok().flatten(),
                address,
                rate: OnceLock::new(),
            },
            method,
            headers,
            knows_chunks: parts.version >= Version::HTTP_11,
            query: parts.uri.query().map(str::to_owned),
            patience,
        }
    }

    /// A header's text; none where it is absent or no visible ASCII.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn declared_bytes(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let mut values = self.queries().filter(|(key, _)| *key == name);
        values.next().map(|(_, value)| percent_decoded(value))
    }

    /// Refuses a query parameter of another name than these: who mistypes `version` must not get an answer from another one.
    pub(crate) fn only_query(&self, names: &[&str]) -> Result<(), Failure> {
        match self.queries().find(|(key, _)| !names.contains(key)) {
            None => Ok(()),
            Some((key, _)) => Err(Failure::new(
                ErrorKind::InvalidInput,
                format!(
                    "unknown query parameter `{}`; this path has only `{}`",
                    shown(&percent_decoded(key)),
                    names.join("`, `")
                ),
            )),
        }
    }

    /// Refuses `?version=` where a version stands in the path, as in `path`: who asks so must not get another version.
    pub(crate) fn no_version_query(&self, path: &str) -> Result<(), Failure> {
        if self.queries().all(|(key, _)| key != "version") {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::InvalidInput,
            format!("`?version=` does not choose a version here; name it in the path: {path}"),
        ))
    }

    fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&');
        pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

/// A request as handlers get it.
pub(crate) struct Request {
    pub(crate) head: Arc<Head>,
    pub(crate) body: Body,
}

impl Request {
    /// A request straight from the transport.
    pub(crate) fn new<B>(head: Arc<Head>, body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self {
            body: Body::new(body, head.declared_bytes(), head.patience),
            head,
        }
    }
}

impl Request {
    /// The whole body, which may not be compressed.
    ///
    /// # Errors
    /// `UnsupportedEncoding`, and those of [`Body::read`].
    pub(crate) async fn read_plain(&mut self, limit_bytes: u64) -> Result<Bytes, PredictError> {
        refuse_any(&self.head.headers)?;
        self.body.read(limit_bytes).await
    }
}

/// Extracts the request. The front puts the head there before the routes see it.
pub(crate) fn request() -> impl Filter<Extract = (Request,), Error = Rejection> + Copy {
    warp::ext::get::<Arc<Head>>()
        .and(warp::body::stream())
        .map(|head: Arc<Head>, stream| Request {
            body: Body::of_warp(stream, head.declared_bytes(), head.patience),
            head,
        })
}

/// One segment of a path, percent-decoded once. It is some text: whoever reads it as a name checks it.
pub(crate) struct Segment(pub(crate) String);

impl FromStr for Segment {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(percent_decoded(text)))
    }
}

/// A header's value, where it is text.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let value = headers.get(name)?;
    str::from_utf8(value.as_bytes()).ok().map(Cow::Borrowed)
}

/// The caller's request id if it is one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match given.map(RequestId::parse) {
        Some(Ok(id)) => id,
        _ => generated_id(),
    }
}

/// 128 random bits as hexadecimal digits. An id names a request and protects nothing, so it need not be beyond guessing, and
/// most requests bring none: it costs no system call.
pub(crate) fn generated_id() -> RequestId {
    RequestId::from_bits(fastrand::u128(..))
}

/// The key of `Authorization: Bearer KEY` or `X-API-Key: KEY`; the former wins. Any other scheme, and what is not visible
/// ASCII, is no key. A session is none either: over gRPC there are no browsers.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| {
            let (scheme, key) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
    let key = bearer.or_else(|| headers.get(X_API_KEY)?.to_str().ok().map(str::trim));
    Credentials::new(key.filter(|key| !key.is_empty()).map(str::to_owned))
}

/// Whom the inputs are about.
///
/// # Errors
/// `Invalid` for a header that names nobody: what is recorded must not be recorded of somebody else.
pub(crate) fn subject(headers: &HeaderMap) -> Result<Option<Subject>, PredictError> {
    let mut values = headers.get_all(X_SUBJECT).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(PredictError::Invalid(
            "`X-Subject` stands more than once; a call is about one person".to_owned(),
        ));
    }
    let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
    text.map(|text| Subject::parse(&text)).transpose()
}

/// What the call is to be done once for; a text that no header should hold is refused by whoever reads it.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = values.next()?;
    // Two of them are as good as a wrong one.
    let value = values.next().map_or(value.as_bytes(), |_| b"");
    Some(String::from_utf8_lossy(value).into())
}

/// What `Cache-Control` wants of the prediction cache: `no-store` is the stronger word, and what else may stand there has no
/// effect.
pub(crate) fn cache_use(headers: &HeaderMap) -> CacheUse {
    let says = |word: &str| {
        let values = headers.get_all(header::CACHE_CONTROL).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .any(|directive| directive.trim().eq_ignore_ascii_case(word))
    };
    if says("no-store") {
        CacheUse::Bypass
    } else if says("no-cache") {
        CacheUse::Refresh
    } else {
        CacheUse::Recall
    }
}

/// The tenant of a `/tenants/{t}` prefix, and the URI without it.
fn split_prefix(uri: &Uri) -> (Option<String>, Option<Uri>) {
    let Some(rest) = uri.path().strip_prefix("/tenants/") else {
        return (None, None);
    };
    let (tenant, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let rewritten = match uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    // A piece of a URI that begins with a slash is a URI.
    (Some(percent_decoded(tenant)), rewritten.ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn head(uri: &str, headers: &[(HeaderName, &str)]) -> (Head, Uri) {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = uri.parse().unwrap();
        for (name, value) in headers {
            parts
                .headers
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        let id = request_id(&parts.headers);
        (
            Head::take(&mut parts, id, Patience::default(), None),
            parts.uri,
        )
    }

    #[test]
    fn a_tenant_prefix_is_taken_off_before_the_routes() {
        for (uri, prefix, path, surface) in [
            ("/v2/models", None, "/v2/models", Surface::Inference),
            (
                "/tenants/acme/v2/models?x=1",
                Some("acme"),
                "/v2/models?x=1",
                Surface::Inference,
            ),
            ("/tenants/acme", Some("acme"), "/", Surface::Management),
            ("/tenants/acme/", Some("acme"), "/", Surface::Management),
            (
                "/tenants/%61%2f/api/predict/m",
                Some("a/"),
                "/api/predict/m",
                Surface::Inference,
            ),
            ("/tenants", None, "/tenants", Surface::Management),
            ("/api/models", None, "/api/models", Surface::Management),
            ("/v22", None, "/v22", Surface::Management),
        ] {
            let (head, rest) = head(uri, &[]);
            assert_eq!(head.call.prefix.as_deref(), prefix, "{uri}");
            assert_eq!(
                (rest.to_string().as_str(), head.surface),
                (path, surface),
                "{uri}"
            );
        }
    }

    #[test]
    fn a_request_id_is_taken_if_it_is_one_and_made_otherwise() {
        let id = |text: &str| {
            head("/", &[(X_REQUEST_ID, text)])
                .0
                .call
                .request_id
                .to_string()
        };
        assert_eq!(id("abc-1.2_3"), "abc-1.2_3");
        for bad in ["", "a b", "a\tb", "x;y", &"x".repeat(129)] {
            let made = id(bad);
            assert_eq!(made.len(), 32, "{bad:?} became {made}");
        }
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn keys_come_in_either_header() {
        let shows =
            |headers: &[(HeaderName, &str)]| !head("/", headers).0.call.credentials.is_empty();
        let authorization = header::AUTHORIZATION;
        assert!(shows(&[(authorization.clone(), "Bearer k")]));
        assert!(shows(&[(authorization.clone(), "bearer  k")]));
        assert!(shows(&[(X_API_KEY, "k")]));
        for none in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"] {
            assert!(!shows(&[(authorization.clone(), none)]), "{none:?}");
        }
        assert!(!shows(&[]));
    }

    #[test]
    fn a_session_counts_where_no_key_is_shown_and_somebody_may_be_in() {
        let cookie = (header::COOKIE, "__Host-foretell-session=s");
        let basic = (header::AUTHORIZATION, "Basic dXNlcjpwYXNz");
        for (uri, headers, counts) in [
            ("/api/keys", &[cookie.clone()][..], true),
            ("/tenants/a/v2/models", &[cookie.clone(), basic], true),
            ("/api/keys", &[cookie.clone(), (X_API_KEY, "k")], false),
            ("/api/keys", &[cookie.clone(), cookie.clone()], false),
            ("/api/login", std::slice::from_ref(&cookie), false),
            (
                "/tenants/a/api/setup/",
                std::slice::from_ref(&cookie),
                false,
            ),
            ("/api/keys", &[(header::COOKIE, "session=s")], false),
        ] {
            let (head, _) = head(uri, headers);
            assert_eq!(head.is_by_session, counts, "{uri} {headers:?}");
            let is_key = headers.iter().any(|(name, _)| *name == X_API_KEY);
            assert_eq!(head.call.credentials.is_empty(), !counts && !is_key);
        }
    }

    #[test]
    fn a_caller_may_do_without_the_cache() {
        for (values, wanted) in [
            (&[][..], CacheUse::Recall),
            (&["max-age=0"], CacheUse::Recall),
            (&["no-cache"], CacheUse::Refresh),
            (&["max-age=0, No-Cache"], CacheUse::Refresh),
            (&["no-cache", "no-store"], CacheUse::Bypass),
            (&["no-cachet"], CacheUse::Recall),
        ] {
            let headers: Vec<_> = values
                .iter()
                .map(|value| (header::CACHE_CONTROL, *value))
                .collect();
            assert_eq!(head("/", &headers).0.call.cache, wanted, "{values:?}");
        }
    }

    #[test]
    fn query_parameters_are_decoded() {
        let (head, _) = head("/x?a=1&version=1%2e0&version=2&b", &[]);
        assert_eq!(head.query("version").as_deref(), Some("1.0"));
        assert_eq!(head.query("b").as_deref(), Some(""));
        assert_eq!(head.query("c"), None);
    }
}
