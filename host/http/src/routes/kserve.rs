//! `/v1` and `/`: KServe's version 1 protocol, but for predictions: see `prediction`.

use foretell_predict::ModelRef;
use foretell_types::ErrorKind;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, of_model, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::text::shown;
use crate::wire::kserve;

pub(super) fn routes(app: &App) -> Group {
    let root = path::end()
        .and(request())
        .then(|request| handle("/", request, alive));
    let all = path!("v1" / "models")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/v1/models", request, move |request| models(app, request)));
    let one = path!("v1" / "models" / Segment)
        .and(request())
        .and(with(app))
        .then(|segment: Segment, request, app| {
            let (name, verb) = split_verb(&segment);
            let template = if verb.is_some() {
                "/v1/models/{model}:predict"
            } else {
                "/v1/models/{model}"
            };
            handle(template, request, move |request| {
                model(app, request, name, None, verb)
            })
        });
    let versioned = path!("v1" / "models" / Segment / "versions" / Segment)
        .and(request())
        .and(with(app))
        .then(|name: Segment, segment: Segment, request, app| {
            let (version, verb) = split_verb(&segment);
            let template = match verb {
                Some(_) => "/v1/models/{model}/versions/{version}:predict",
                None => "/v1/models/{model}/versions/{version}",
            };
            handle(template, request, move |request| {
                model(app, request, name.0, Some(version), verb)
            })
        });
    let described = of_model(
        app,
        path!("v1" / "models" / Segment / "metadata"),
        path!("v1" / "models" / Segment / "versions" / Segment / "metadata"),
        [
            "/v1/models/{model}/metadata",
            "/v1/models/{model}/versions/{version}/metadata",
        ],
        metadata,
    );
    one.or(versioned)
        .unify()
        .boxed()
        .or(described)
        .unify()
        .boxed()
        .or(all)
        .unify()
        .or(root)
        .unify()
        .boxed()
}

/// `iris:predict` to `iris` and `predict`.
fn split_verb(segment: &Segment) -> (String, Option<String>) {
    match segment.0.split_once(':') {
        Some((name, verb)) => (name.to_owned(), Some(verb.to_owned())),
        None => (segment.0.clone(), None),
    }
}

async fn alive(request: Request) -> Handled {
    get_only(&request)?;
    Ok(reply::ok(&kserve::Alive::YES))
}

async fn models(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let models = app.manager.list_models(&request.head.call).await?;
    Ok(reply::ok(&kserve::Models {
        models: models.iter().map(|model| model.name.as_str()).collect(),
    }))
}

async fn metadata(app: App, request: Request, model: Segment, version: Option<Segment>) -> Handled {
    get_only(&request)?;
    request
        .head
        .no_version_query("/v1/models/{model}/versions/{version}/metadata")?;
    let version = version.as_ref().map(|version| version.0.as_str());
    let reference = ModelRef::parse(&model.0, version)?;
    let target = app.predictor.target(&request.head.call, &reference).await?;
    Ok(reply::ok(&kserve::metadata(&target)))
}

async fn model(
    app: App,
    request: Request,
    name: String,
    version: Option<String>,
    verb: Option<String>,
) -> Handled {
    request
        .head
        .no_version_query("/v1/models/{model}/versions/{version}")?;
    match verb.as_deref() {
        None => get_only(&request)?,
        Some("explain") => {
            return Err(Failure::not_implemented(
                "no model explains its predictions yet",
            ));
        }
        Some(verb) => {
            let message = format!(
                "there is no `:{}` here; models answer `:predict`",
                shown(verb)
            );
            return Err(Failure::new(ErrorKind::NotFound, message));
        }
    }
    let reference = ModelRef::parse(&name, version.as_deref())?;
    let target = app.predictor.ready(&request.head.call, &reference).await?;
    Ok(reply::ok(&kserve::ModelStatus::available(
        target.model.as_str(),
        target.version.as_str(),
    )))
}
