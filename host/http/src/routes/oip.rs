//! `/v2`: the Open Inference Protocol, but for inference itself: see `prediction`.

use foretell_predict::manage::{ModelRecord, VersionRecord};
use foretell_predict::{Call, ModelRef};
use foretell_types::ErrorKind;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, of_model, with};
use crate::App;
use crate::extract::{Head, Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::oip;

pub(super) fn routes(app: &App) -> Group {
    let root = path::end()
        .and(request())
        .then(|request| handle("/v2", request, server));
    let is_live = path!("health" / "live")
        .and(request())
        .then(|request| handle("/v2/health/live", request, live));
    let is_ready = path!("health" / "ready")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/v2/health/ready", request, move |request| {
                ready(app, request)
            })
        });
    let all = path!("models")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/v2/models", request, move |request| models(app, request)));

    let counts = path!("models" / "stats")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/v2/models/stats", request, move |request| {
                statistics(app, request, None)
            })
        });

    let readiness = of_model(
        app,
        path!("models" / Segment / "ready"),
        path!("models" / Segment / "versions" / Segment / "ready"),
        [
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}/ready",
        ],
        model_ready,
    );
    let described = of_model(
        app,
        path!("models" / Segment),
        path!("models" / Segment / "versions" / Segment),
        [
            "/v2/models/{model}",
            "/v2/models/{model}/versions/{version}",
        ],
        metadata,
    );
    let configured = of_model(
        app,
        path!("models" / Segment / "config"),
        path!("models" / Segment / "versions" / Segment / "config"),
        [
            "/v2/models/{model}/config",
            "/v2/models/{model}/versions/{version}/config",
        ],
        config,
    );
    let counted = of_model(
        app,
        path!("models" / Segment / "stats"),
        path!("models" / Segment / "versions" / Segment / "stats"),
        [
            "/v2/models/{model}/stats",
            "/v2/models/{model}/versions/{version}/stats",
        ],
        model_statistics,
    );

    path("v2")
        .and(
            // `stats` is no model's name: it comes before them.
            counts
                .or(readiness)
                .unify()
                .or(described)
                .unify()
                .boxed()
                .or(configured)
                .unify()
                .or(counted)
                .unify()
                .boxed()
                .or(root)
                .unify()
                .or(is_live)
                .unify()
                .or(is_ready)
                .unify()
                .or(all)
                .unify(),
        )
        .boxed()
}

fn reference(head: &Head, model: &Segment, version: Option<&Segment>) -> Result<ModelRef, Failure> {
    head.no_version_query("/v2/models/{model}/versions/{version}")?;
    Ok(ModelRef::parse(
        &model.0,
        version.map(|version| version.0.as_str()),
    )?)
}

/// The model, and that version of it which a call would go to.
pub(crate) async fn described(
    app: &App,
    call: &Call,
    wanted: &ModelRef,
) -> Result<(ModelRecord, VersionRecord), Failure> {
    let target = app.predictor.target(call, wanted).await?;
    let record = app.manager.model(call, target.model.as_str()).await?;
    let mut versions = record.versions.iter();
    let version = versions.find(|version| version.version == target.version);
    // Deleted between the two looks.
    let version = version.cloned().ok_or_else(|| {
        Failure::new(
            ErrorKind::NotFound,
            format!(
                "model `{}` has no version `{}`",
                target.model, target.version
            ),
        )
    })?;
    Ok((record, version))
}

async fn metadata(app: App, request: Request, model: Segment, version: Option<Segment>) -> Handled {
    get_only(&request)?;
    let wanted = reference(&request.head, &model, version.as_ref())?;
    let (model, version) = described(&app, &request.head.call, &wanted).await?;
    Ok(reply::ok(&oip::metadata(&model, &version)?))
}

async fn config(app: App, request: Request, model: Segment, version: Option<Segment>) -> Handled {
    get_only(&request)?;
    let wanted = reference(&request.head, &model, version.as_ref())?;
    let (_, version) = described(&app, &request.head.call, &wanted).await?;
    Ok(reply::ok(&oip::config(&version)))
}

async fn model_statistics(
    app: App,
    request: Request,
    model: Segment,
    version: Option<Segment>,
) -> Handled {
    let wanted = reference(&request.head, &model, version.as_ref())?;
    statistics(app, request, Some(wanted)).await
}

async fn statistics(app: App, request: Request, wanted: Option<ModelRef>) -> Handled {
    get_only(&request)?;
    let call = &request.head.call;
    let counts = app.manager.statistics(call, wanted.as_ref()).await?;
    Ok(reply::ok(&oip::statistics(&counts)))
}

async fn model_ready(
    app: App,
    request: Request,
    model: Segment,
    version: Option<Segment>,
) -> Handled {
    get_only(&request)?;
    let wanted = reference(&request.head, &model, version.as_ref())?;
    let target = app.predictor.ready(&request.head.call, &wanted).await?;
    Ok(reply::ok(&oip::ModelReady {
        name: target.model.as_str(),
        ready: true,
    }))
}

async fn models(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let models = app.manager.list_models(&request.head.call).await?;
    Ok(reply::ok(&oip::Models {
        models: models.iter().map(|model| model.name.as_str()).collect(),
    }))
}

async fn server(request: Request) -> Handled {
    get_only(&request)?;
    Ok(reply::ok(&oip::Server::THIS))
}

async fn live(request: Request) -> Handled {
    get_only(&request)?;
    Ok(reply::ok(&oip::Live { live: true }))
}

async fn ready(app: App, request: Request) -> Handled {
    get_only(&request)?;
    if !app.health.ready() {
        return Err(super::health::draining());
    }
    Ok(reply::ok(&oip::Ready {
        ready: true,
        live: true,
    }))
}
