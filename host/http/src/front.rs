//! The outermost layer of every request: its id, its head, the panic that must not spread, the access log.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use foretell_types::ErrorKind;
use http::{HeaderMap, HeaderValue, Method, Version, header, request};
use tokio::time::Instant;
use tower::Service;
use warp::filters::BoxedFilter;

use crate::address::Proxies;
use crate::body::Patience;
use crate::browser;
use crate::extract::{self, Head, Request, Surface, X_REQUEST_ID};
use crate::recover::Unanswered;
use crate::reply::{self, Failure, Response};
use crate::routes::LOGIN;
use crate::routes::prediction::{self, Asked};
use crate::shed::{Shed, Shedding};
use crate::text::shown;
use crate::{App, HttpConfig};

/// The caller's address, as an extension of its request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The route that answered, as a template: an extension of its response, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template(pub(crate) &'static str);

/// Why a request has no answer: an extension of its response, for the audit log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) ErrorKind);

/// The whole API as a service. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    app: App,
    filter: BoxedFilter<(Response,)>,
    max_url_bytes: usize,
    patience: Patience,
    proxies: Proxies,
    shedding: Arc<Shedding>,
}

/// Whether a method is one that HTTP itself has (RFC 9110, RFC 5789).
fn is_usual(method: &Method) -> bool {
    let usual = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    usual.contains(method)
}

impl Routes {
    pub(crate) fn new(app: App, filter: BoxedFilter<(Response,)>, config: &HttpConfig) -> Self {
        let patience = Patience {
            fixed: config.body_patience,
            bytes_per_second: config.min_body_bytes_per_second.max(1),
        };
        Self {
            app,
            filter,
            max_url_bytes: config.max_url_bytes,
            patience,
            proxies: Proxies::new(&config.trusted_proxies),
            shedding: Arc::new(Shedding::new()),
        }
    }

    /// Answers one request, whatever happens on the way.
    pub async fn answer<B>(&self, request: http::Request<B>) -> warp::reply::Response
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        let method = parts.method.clone();
        let request_id = extract::request_id(&parts.headers);
        let refused = self.refused(&parts);
        let address = self.proxies.origin(&parts.extensions, &parts.headers);
        let mut head = Head::take(&mut parts, request_id, self.patience, address);
        if refused.is_none() && head.is_by_session && head.method != Method::GET {
            // Boxed: predictions by key have no need of it.
            let refused = Box::pin(self.distrusted(&head.headers)).await;
            head.refused = refused;
        }
        let head = Arc::new(head);
        let answered = if let Some(failure) = refused {
            Err(failure)
        } else if let Some(asked) = Asked::of(parts.uri.path()) {
            let request = Request::new(Arc::clone(&head), body);
            let predicted = pin!(prediction::answer(&self.app, asked, request));
            let predicted = caught(predicted).await;
            predicted.map_err(|panic| Failure::internal(panicked(&*panic)))
        } else {
            let path = parts.uri.clone();
            parts.extensions.insert(Arc::clone(&head));
            let request = http::Request::from_parts(parts, body);
            // Boxed: it is larger than all that a prediction needs, which would be moved about with it.
            Box::pin(self.route(request))
                .await
                .map_err(|unanswered| match unanswered {
                    Unanswered::NoRoute => Failure::new(
                        ErrorKind::NotFound,
                        format!("there is no route `{}`", shown(path.path())),
                    ),
                    Unanswered::Defect(cause) => Failure::internal(cause),
                })
        };
        let mut response = answered.unwrap_or_else(|failure| reply::failure(&head, &failure));
        if let Ok(value) = HeaderValue::from_str(head.call.request_id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        if head.surface == Surface::Management {
            reply::kept_by_nobody(response.headers_mut());
        }
        reply::rate(response.headers_mut(), &head.call);
        if head.is_by_session {
            browser::keep_private(response.headers_mut());
        }
        self.record(&head, &method, &response);
        self.log(&head, &method, &response, began);
        response
    }

    /// Records what was refused; of predictions that came so far, the corridor does, and of logins that failed, the login.
    fn record(&self, head: &Head, method: &Method, response: &Response) {
        let extensions = response.extensions();
        let (Some(Refused(kind)), Some(Template(route))) = (extensions.get(), extensions.get())
        else {
            return;
        };
        let is_recorded = (prediction::is_one(route) && head.refused.is_none())
            || (*route == LOGIN && *kind == ErrorKind::Unauthenticated);
        if response.status().is_client_error() && !is_recorded {
            // A method may be any word, and as long as a head may be: nobody writes a text of their own into the log.
            let method = if is_usual(method) {
                method.as_str()
            } else {
                "other"
            };
            let what = format!("{method} {route}");
            self.app.manager.refused(&head.call, &what, *kind);
        }
    }

    /// One line for each request; never a path, which may hold anything, but its route's template.
    fn log(&self, head: &Head, method: &Method, response: &Response, began: Instant) {
        let status = response.status().as_u16();
        let is_shed = response.extensions().get::<Shed>().is_some();
        if is_shed && let Some(refused) = self.shedding.note(began) {
            tracing::warn!(refused, "more was asked than can be done");
        }
        let is_usual = status < 400 || is_shed;
        if is_usual && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let request_id = head.call.request_id.as_str();
        let route = response.extensions().get::<Template>();
        let route = route.map_or("none", |template| template.0);
        let (method, ms) = (method.as_str(), began.elapsed().as_secs_f64() * 1e3);
        if is_usual {
            tracing::debug!(request_id, method, route, status, ms, "request");
        } else {
            tracing::info!(request_id, method, route, status, ms, "request");
        }
    }

    /// Why a head that hyper could read is no request for any route.
    fn refused(&self, parts: &request::Parts) -> Option<Failure> {
        let url = parts.uri.path_and_query();
        if url.is_some_and(|url| url.as_str().len() > self.max_url_bytes) {
            return Some(Failure::url_too_long(self.max_url_bytes));
        }
        let problem = if parts.uri.scheme().is_none() && parts.uri.authority().is_some() {
            "the request names a host where its path should stand; this server is no proxy"
        } else if parts.version == Version::HTTP_11
            && parts.headers.get_all(header::HOST).iter().count() != 1
        {
            // RFC 9112, 3.2: two readers could take it for requests to two hosts.
            "a request of HTTP/1.1 has exactly one header `Host`"
        } else {
            let subject = extract::subject(&parts.headers).err();
            let refused = subject.or_else(|| browser::session(&parts.headers).err());
            return refused.map(Failure::from);
        };
        Some(Failure::new(ErrorKind::Malformed, problem))
    }

    /// Why a session does not count for what changes something.
    async fn distrusted(&self, headers: &HeaderMap) -> Option<Failure> {
        let looked = pin!(browser::trust(&self.app.sessions, headers));
        match caught(looked).await {
            Ok(trusted) => trusted.err(),
            Err(panic) => Some(Failure::internal(panicked(&*panic))),
        }
    }

    /// Runs the routes. What they leave unanswered, a panic among it, comes back as an error.
    async fn route<B>(&self, request: http::Request<B>) -> Result<Response, Unanswered>
    where
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let routed = pin!(warp::service(self.filter.clone()).call(request));
        let mut response = match caught(routed).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            // What it had in hand is gone with it; locks of std that it held are poisoned, ours recover from that.
            Err(panic) => return Err(Unanswered::Defect(panicked(&*panic))),
        };
        match response.extensions_mut().remove::<Unanswered>() {
            None => Ok(response),
            Some(unanswered) => Err(unanswered),
        }
    }
}

impl<B> Service<http::Request<B>> for Routes
where
    B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = warp::reply::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let routes = self.clone();
        Box::pin(async move { Ok(routes.answer(request).await) })
    }
}

/// Runs a future to its end or to its panic. It is lent: a future that is handed over is kept twice, before and after its
/// first step.
pub(crate) async fn caught<F: Future>(mut future: Pin<&mut F>) -> std::thread::Result<F::Output> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            // It is not polled again.
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", words.unwrap_or("no message"))
}
