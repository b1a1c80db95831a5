//! The routes: path and method to handler. Nothing else decides here.
//!
//! Each path stands in exactly one filter, whatever its methods: the handler of a path answers 405 itself, knowing what
//! there is instead, and a rejection can only mean that there is no such path. Every route is also there under
//! `/tenants/{t}`, which is taken off before (see `extract`).

mod audit;
mod cache;
mod docs;
mod file;
mod health;
mod keys;
mod kserve;
mod limits;
mod models;
mod oip;
pub(crate) mod prediction;
mod recordings;
mod repository;
mod sessions;
mod tenants;
mod upload;
mod usage;
mod users;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use http::Method;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection};

// What gRPC asks in its own words.
pub(crate) use self::oip::described;
pub(crate) use self::repository::{MAX_LOAD_BYTES, load_model};
// What a session does not count for.
pub(crate) use self::sessions::{LOGIN, SETUP};
use crate::extract::{Head, Request, Segment, request};
use crate::front::{Routes, Template};
use crate::reply::{self, Failure, Response};
use crate::{App, HttpConfig, openapi, recover};

/// What a handler returns.
type Handled = Result<Response, Failure>;

/// A group of routes.
type Group = BoxedFilter<(Response,)>;

/// The whole API as one service.
pub fn routes(app: App, config: &HttpConfig) -> Routes {
    let (max_json_bytes, usd_per_credit) = (config.max_json_bytes, config.usd_per_credit);
    // Boxed group by group: a long chain of filters is one type, whose futures overflow the stack.
    let groups = oip::routes(&app)
        .or(repository::routes(&app, max_json_bytes))
        .unify()
        .boxed()
        .or(kserve::routes(&app))
        .unify()
        .boxed()
        .or(models::routes(&app, max_json_bytes))
        .unify()
        .or(cache::routes(&app))
        .unify()
        .or(keys::routes(&app, max_json_bytes))
        .unify()
        .boxed()
        .or(tenants::routes(&app, max_json_bytes))
        .unify()
        .or(limits::routes(&app, max_json_bytes, usd_per_credit))
        .unify()
        .boxed()
        .or(audit::routes(&app))
        .unify()
        .or(usage::routes(&app, usd_per_credit))
        .unify()
        .boxed()
        .or(recordings::routes(&app, max_json_bytes))
        .unify()
        .boxed()
        .or(sessions::routes(&app, max_json_bytes))
        .unify()
        .or(users::routes(&app, max_json_bytes))
        .unify()
        .boxed()
        .or(health::routes(&app))
        .unify()
        .or(docs::routes(&app))
        .unify()
        .boxed();
    let recovered = groups.recover(recover::recover).unify();
    let filter = recovered.map(|response: Response| response).boxed();
    Routes::new(app, filter, config)
}

/// Runs a handler and renders what became of it.
async fn handle<F>(
    template: &'static str,
    request: Request,
    handler: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Handled>,
{
    // A test calls every route; so one that is not in the document is found.
    debug_assert!(
        openapi::OPERATIONS
            .iter()
            .any(|known| known.path == template),
        "`{template}` is not in the OpenAPI document"
    );
    let head: Arc<Head> = Arc::clone(&request.head);
    let mut response = if let Some(failure) = &head.refused {
        reply::failure(&head, failure)
    } else {
        match handler(request).await {
            Ok(response) => response,
            Err(failure) => reply::failure(&head, &failure),
        }
    };
    response.extensions_mut().insert(Template(template));
    response
}

/// A route of a model's active version and of each that is named, with the template of either.
fn of_model<F>(
    app: &App,
    active: impl Filter<Extract = (Segment,), Error = Rejection> + Clone + Send + Sync + 'static,
    named: impl Filter<Extract = (Segment, Segment), Error = Rejection> + Clone + Send + Sync + 'static,
    templates: [&'static str; 2],
    handler: impl Fn(App, Request, Segment, Option<Segment>) -> F + Copy + Send + Sync + 'static,
) -> Group
where
    F: Future<Output = Handled> + Send + 'static,
{
    active
        .map(|model| (model, None))
        .or(named.map(|model, version| (model, Some(version))))
        .unify()
        .and(request())
        .and(with(app))
        .then(
            move |(model, version): (Segment, Option<Segment>), request, app| {
                let template = templates[usize::from(version.is_some())];
                handle(template, request, move |request| {
                    handler(app, request, model, version)
                })
            },
        )
        .boxed()
}

/// For paths that are only read.
fn get_only(request: &Request) -> Result<(), Failure> {
    if request.head.method == Method::GET {
        Ok(())
    } else {
        Err(Failure::method(&request.head, "GET, HEAD"))
    }
}

/// For paths that are only posted to.
fn post_only(request: &Request) -> Result<(), Failure> {
    if request.head.method == Method::POST {
        Ok(())
    } else {
        Err(Failure::method(&request.head, "POST"))
    }
}

/// Runs an act to its end although its caller may hang up: hyper drops a handler whose connection is gone, and half an act
/// is what nobody asked for. A panic goes on in the handler.
pub(crate) async fn to_the_end<T: Send + 'static>(
    act: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(act).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Failure::internal(format!("an act was cut off: {error}"))),
        },
    }
}

/// Hands the application to a handler.
fn with(app: &App) -> impl Filter<Extract = (App,), Error = Infallible> + Clone + use<> {
    let app = app.clone();
    warp::any().map(move || app.clone())
}
