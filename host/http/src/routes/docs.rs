//! What the API is, for programs and for people.

use foretell_types::ErrorKind;
use http::header::{self, HeaderName, HeaderValue};
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::openapi;
use crate::reply::{self, Failure, Response};

/// The page loads its style sheet from here, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes(app: &App) -> Group {
    let document = path!("openapi.json")
        .and(request())
        .then(|request| handle("/openapi.json", request, document));
    let page = path!("docs")
        .and(request())
        .then(|request| handle("/docs", request, page));
    let style = path!("docs" / "style.css")
        .and(request())
        .then(|request| handle("/docs/style.css", request, style));
    let of_model = path!("api" / "models" / Segment / "openapi.json")
        .and(request())
        .and(with(app))
        .then(|model: Segment, request, app| {
            handle(
                "/api/models/{model}/openapi.json",
                request,
                move |request| model_document(app, request, model),
            )
        });
    document
        .or(page)
        .unify()
        .or(style)
        .unify()
        .or(of_model)
        .unify()
        .boxed()
}

async fn document(request: Request) -> Handled {
    get_only(&request)?;
    Ok(reply::ok(&*openapi::DOCUMENT))
}

async fn page(request: Request) -> Handled {
    get_only(&request)?;
    let mut response = text(openapi::page(), "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        HeaderName::from_static("referrer-policy"),
        HeaderValue::from_static("no-referrer"),
    );
    Ok(response)
}

async fn style(request: Request) -> Handled {
    get_only(&request)?;
    Ok(text(openapi::STYLE, "text/css; charset=utf-8"))
}

fn text(body: &'static str, media_type: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn model_document(app: App, request: Request, model: Segment) -> Handled {
    get_only(&request)?;
    request.head.only_query(&["version"])?;
    let (call, named) = (request.head.call.clone(), request.head.query("version"));
    let version = match &named {
        Some(version) => version.clone(),
        None => {
            let record = app.manager.model(&call, &model.0).await?;
            let active = record.traffic.active.as_ref().map(ToString::to_string);
            active.ok_or_else(|| {
                let message = "the model has no active version; name one with `?version=`";
                Failure::new(ErrorKind::NotFound, message)
            })?
        }
    };
    let found = app.manager.version(&call, &model.0, &version).await?;
    Ok(reply::ok(&openapi::model(&found.record, named.is_some())))
}
