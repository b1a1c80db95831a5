//! From a path to the call behind it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use foretell_predict::{Call, PredictError, apart};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use prost::Message as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::codec::Raw;
use super::infer::{self, Asked, InferPayload};
use super::messages::{DESCRIPTORS, ModelStreamInferResponse};
use super::route::{Method, NAME, Route};
use super::status::status;
use super::unary::{Message, Unary, lost};
use super::{look, repository};
use crate::address::Proxies;
use crate::extract::{self, X_REQUEST_ID};
use crate::front::{caught, panicked};
use crate::reply::{Failure, describe};
use crate::routes::{MAX_LOAD_BYTES, to_the_end};
use crate::shed::Shedding;
use crate::{App, HttpConfig};

/// The tenant that an operator means: gRPC has no path before which it could stand.
const X_FORETELL_TENANT: HeaderName = HeaderName::from_static("x-foretell-tenant");
const GRPC_TIMEOUT: &str = "grpc-timeout";
const GRPC_STATUS: &str = "grpc-status";
/// Bytes of a message that says nothing, or names a service, at most: nobody has shown a key for it.
const MAX_PUBLIC_BYTES: usize = 1 << 10;
/// Parameters of a call of load, at most: its files are among them.
const MAX_LOAD_PARAMETERS: usize = 64;

/// A service of others': health, reflection.
type Other = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// All calls of one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    app: App,
    health: Other,
    reflection: Other,
    older_reflection: Other,
    max_json_bytes: u64,
    proxies: Proxies,
    shedding: Arc<Shedding>,
}

impl Service {
    /// The service, and what tells its callers of health that it ends.
    ///
    /// # Errors
    /// If our own descriptors cannot be read: a defect of the build.
    pub(crate) fn new(
        app: App,
        config: &HttpConfig,
    ) -> Result<(Self, HealthReporter), tonic_reflection::server::Error> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let service = Self {
            app,
            health: BoxCloneSyncService::new(health.max_decoding_message_size(MAX_PUBLIC_BYTES)),
            reflection: BoxCloneSyncService::new(
                reflection()
                    .build_v1()?
                    .max_decoding_message_size(MAX_PUBLIC_BYTES),
            ),
            older_reflection: BoxCloneSyncService::new(
                reflection()
                    .build_v1alpha()?
                    .max_decoding_message_size(MAX_PUBLIC_BYTES),
            ),
            max_json_bytes: config.max_json_bytes,
            proxies: Proxies::new(&config.trusted_proxies),
            shedding: Arc::new(Shedding::new()),
        };
        Ok((service, reporter))
    }

    /// Answers one call, whatever happens on the way.
    pub(crate) async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let began = Instant::now();
        let request_id = extract::request_id(request.headers());
        let subject = extract::subject(request.headers());
        let call = Call {
            credentials: extract::credentials(request.headers()),
            prefix: tenant(request.headers()),
            cache: extract::cache_use(request.headers()),
            idempotency_key: extract::idempotency_key(request.headers()),
            // A wrong one is refused below.
            subject: subject.as_ref().ok().cloned().flatten(),
            address: self.proxies.origin(request.extensions(), request.headers()),
            rate: OnceLock::new(),
            request_id: request_id.clone(),
        };
        let route = Route::of(request.uri().path());
        let answered = pin!(async {
            match subject {
                Ok(_) => self.route(route, call, request).await,
                Err(error) => status(&Failure::from(error), &request_id).into_http(),
            }
        });
        let mut response = caught(answered).await.unwrap_or_else(|panic| {
            let failure = Failure::internal(panicked(&*panic));
            status(&failure, &request_id).into_http()
        });
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        self.log(route, request_id.as_str(), &response, began);
        response
    }

    async fn route(
        &self,
        route: Route,
        call: Call,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let other = match route {
            Route::Ours(method) => return self.ours(method, call, request).await,
            Route::Health => &self.health,
            Route::Reflection => &self.reflection,
            Route::OlderReflection => &self.older_reflection,
            Route::Unknown => {
                let problem = format!(
                    "there is no such method; this server has {NAME}, health and reflection"
                );
                return Status::unimplemented(problem).into_http();
            }
        };
        match other.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn ours(
        &self,
        method: Method,
        call: Call,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        match method {
            Method::ServerLive => self.public(call, request, look::live).await,
            Method::ServerReady => self.public(call, request, look::ready).await,
            Method::ServerMetadata => self.public(call, request, look::server).await,
            Method::ModelReady => self.keyed(call, request, look::model_ready).await,
            Method::ModelMetadata => self.keyed(call, request, look::metadata).await,
            Method::ModelConfig => self.keyed(call, request, look::config).await,
            Method::ModelStatistics => self.keyed(call, request, look::statistics).await,
            Method::RepositoryIndex => self.keyed(call, request, repository::index).await,
            Method::RepositoryModelLoad => self.load(call, request).await,
            Method::RepositoryModelUnload => {
                self.keyed(call, request, |app, call, asked| {
                    // To its end, although the caller may hang up: half an act is what nobody asked for.
                    to_the_end(repository::unload(app, call, asked)).map(Result::flatten)
                })
                .await
            }
            Method::ModelInfer => self.infer(call, request).await,
            Method::ModelStreamInfer => self.stream_infer(call, request).await,
        }
    }

    /// A call of one message of at most `limit` bytes, and one answer.
    async fn unary<F>(
        &self,
        call: Call,
        limit: u64,
        request: http::Request<Body>,
        answer: impl Fn(App, Call, Message) -> F + Send + Sync + 'static,
    ) -> http::Response<Body>
    where
        F: Future<Output = Result<Response<Bytes>, Failure>> + Send + 'static,
    {
        let app = self.app.clone();
        let unary = Unary::of(&request, move |message: Message| {
            let request_id = call.request_id.clone();
            let answered = answer(app.clone(), call.clone(), message);
            answered.map(move |answered| answered.map_err(|failure| status(&failure, &request_id)))
        });
        grpc(limit).client_streaming(unary, request).await
    }

    /// A call that needs no key, and whose message says nothing.
    async fn public<M, R>(
        &self,
        call: Call,
        request: http::Request<Body>,
        act: fn(&App, M) -> R,
    ) -> http::Response<Body>
    where
        M: prost::Message + Default + 'static,
        R: prost::Message + 'static,
    {
        let limit = MAX_PUBLIC_BYTES as u64;
        self.unary(
            call,
            limit,
            request,
            move |app, _, mut message| async move {
                let asked = decoded(message.read(limit).await?).await?;
                Ok(written(&act(&app, asked)))
            },
        )
        .await
    }

    /// A call whose caller is known before its message is read.
    async fn keyed<M, R, F>(
        &self,
        call: Call,
        request: http::Request<Body>,
        act: impl Fn(App, Call, M) -> F + Send + Sync + Copy + 'static,
    ) -> http::Response<Body>
    where
        M: prost::Message + Default + 'static,
        R: prost::Message + 'static,
        F: Future<Output = Result<R, Failure>> + Send,
    {
        let limit = self.max_json_bytes;
        self.unary(
            call,
            limit,
            request,
            move |app, call, mut message| async move {
                app.manager.caller_of(&call).await?;
                let asked = decoded(message.read(limit).await?).await?;
                Ok(written(&act(app, call, asked).await?))
            },
        )
        .await
    }

    /// As `keyed`, but with a place among the uploads before the message is read: it may be one.
    async fn load(&self, call: Call, request: http::Request<Body>) -> http::Response<Body> {
        self.unary(
            call,
            MAX_LOAD_BYTES,
            request,
            |app, call, mut message| async move {
                let upload = app.manager.begin_unnamed_upload(&call).await?;
                let bytes = message.read(MAX_LOAD_BYTES).await?;
                // Number 3 of the message: its parameters.
                infer::at_most(&bytes, &[3], MAX_LOAD_PARAMETERS, "parameters")?;
                let asked = decoded(bytes).await?;
                let loaded = to_the_end(repository::load(app, call, upload, asked));
                Ok(written(&loaded.await??))
            },
        )
        .await
    }

    async fn infer(&self, call: Call, request: http::Request<Body>) -> http::Response<Body> {
        let headers = Arc::new(request.headers().clone());
        let limit = self.app.predictor.max_body_bytes();
        self.unary(call, limit, request, move |app, call, message| {
            let headers = Arc::clone(&headers);
            async move {
                let mut asked = Asked::default();
                let timeout = timeout(&headers);
                let payload = InferPayload::unread(message, &headers, timeout, &mut asked);
                let answer = app.predictor.predict(&call, payload).await?;
                let id = call.request_id.as_str();
                let response = answer.write(|| written(&infer::response(&answer, &asked, id)));
                let mut response = response.await;
                let mut headers = HeaderMap::new();
                describe(&mut headers, &answer);
                *response.metadata_mut() = MetadataMap::from_headers(headers);
                Ok(response)
            }
        })
        .await
    }

    async fn stream_infer(&self, call: Call, request: http::Request<Body>) -> http::Response<Body> {
        let limit = self.app.predictor.max_body_bytes();
        let stream = InferStream {
            app: self.app.clone(),
            call,
            headers: Arc::new(request.headers().clone()),
            limit,
        };
        grpc(limit).streaming(stream, request).await
    }

    /// One line for each call.
    fn log(&self, route: Route, request_id: &str, response: &http::Response<Body>, began: Instant) {
        let code = response.headers().get(GRPC_STATUS);
        let code = code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        let is_shed = response.headers().get("code").is_some_and(|code| {
            code.as_bytes() == b"overloaded" || code.as_bytes() == b"rate_limited"
        });
        if is_shed && let Some(refused) = self.shedding.note(began) {
            tracing::warn!(refused, "more was asked than can be done");
        }
        let route = route.template();
        let ms = began.elapsed().as_secs_f64() * 1e3;
        if code == Code::Ok || is_shed {
            tracing::debug!(request_id, route, ?code, ms, "call");
        } else {
            tracing::info!(request_id, route, ?code, ms, "call");
        }
    }
}

/// What speaks gRPC for one call: messages of at most `limit` bytes, inflated too.
fn grpc(limit: u64) -> Grpc<Raw> {
    Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(usize::try_from(limit).unwrap_or(usize::MAX))
        .max_encoding_message_size(usize::MAX)
}

async fn decoded<M: prost::Message + Default>(bytes: Bytes) -> Result<M, Failure> {
    let decoded = apart(bytes.len(), || M::decode(bytes)).await;
    decoded.map_err(|error| PredictError::Malformed(format!("the message: {error}")).into())
}

fn written(answer: &impl prost::Message) -> Response<Bytes> {
    Response::new(answer.encode_to_vec().into())
}

fn tenant(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(X_FORETELL_TENANT)?;
    // What is no text is no tenant's name: it is looked for and not found.
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What the caller's own deadline leaves: up to 8 digits and a unit. What cannot be read is no deadline.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok())??;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Inferences one after the other on one call.
struct InferStream {
    app: App,
    call: Call,
    headers: Arc<HeaderMap>,
    limit: u64,
}

impl StreamingService<Bytes> for InferStream {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future =
        futures_util::future::BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (app, call, limit) = (self.app.clone(), self.call.clone(), self.limit);
        let headers = Arc::clone(&self.headers);
        async move {
            // A stream is under way as long as it is open: what it sends lies here before it is admitted.
            let permit = app.predictor.admit(&call).await;
            let permit = permit.map_err(|error| status(&error.into(), &call.request_id))?;
            let (permit, state) = (Arc::new(permit), Some(request.into_inner()));
            let answers = stream::unfold(state, move |messages| {
                let (app, call, permit) = (app.clone(), call.clone(), Arc::clone(&permit));
                let headers = Arc::clone(&headers);
                async move {
                    let _permit = permit;
                    let mut messages = messages?;
                    match messages.message().await {
                        Ok(None) => None,
                        Ok(Some(message)) => {
                            let answer = one_of_stream(&app, &call, &headers, message).await;
                            Some((Ok(answer), Some(messages)))
                        }
                        Err(error) => {
                            let failure = lost(&error, limit).into();
                            Some((Err(status(&failure, &call.request_id)), None))
                        }
                    }
                }
            });
            Ok(Response::new(answers.boxed()))
        }
        .boxed()
    }
}

/// One inference of a stream. Its error is its answer.
async fn one_of_stream(app: &App, call: &Call, headers: &HeaderMap, message: Bytes) -> Bytes {
    let mut asked = Asked::default();
    let answered = async {
        let payload = InferPayload::read(message, headers, &mut asked);
        app.predictor.predict(call, payload).await
    };
    match answered.await {
        Ok(answer) => {
            let id = call.request_id.as_str();
            let written = answer.write(|| {
                let response = ModelStreamInferResponse {
                    error_message: String::new(),
                    infer_response: Some(infer::response(&answer, &asked, id)),
                };
                response.encode_to_vec().into()
            });
            written.await
        }
        Err(error) => {
            let failure = Failure::from(error);
            failure.log(&call.request_id);
            let response = ModelStreamInferResponse {
                error_message: failure.message().to_owned(),
                infer_response: None,
            };
            response.encode_to_vec().into()
        }
    }
}

/// Tells callers of health that the server ends.
pub(crate) async fn not_serving(reporter: &HealthReporter) {
    for service in ["", NAME] {
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
}

/// Tells callers of health that the server is there.
pub(crate) async fn serving(reporter: &HealthReporter) {
    reporter
        .set_service_status(NAME, ServingStatus::Serving)
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_number_and_its_unit() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_str(text).unwrap());
            timeout(&headers)
        };
        for (text, expected) in [
            ("1H", Duration::from_hours(1)),
            ("2M", Duration::from_mins(2)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("100m", Duration::from_millis(100)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(of(text), Some(expected), "{text}");
        }
        for text in ["", "m", "1", "1x", "-1m", "999999999S", "1.5S", "1 S"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
