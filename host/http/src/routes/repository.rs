//! `/v2/repository`: what models there are, and whether they are in service. A client of Triton can upload here, too.

use foretell_predict::manage::{TrafficRequest, UnnamedUpload};
use foretell_predict::{Call, PredictError, apart};
use warp::{Filter, path};

use super::{Group, Handled, handle, post_only, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Response};
use crate::wire::oip;

/// Bytes of a `load` with files, at most, by whichever protocol: it is held whole. What is larger goes to `/api/models`.
pub(crate) const MAX_LOAD_BYTES: u64 = 32 << 20;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let listed = path!("v2" / "repository" / "index")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/v2/repository/index", request, move |request| {
                index(app, request, max_json_bytes)
            })
        });
    let loaded = path!("v2" / "repository" / "models" / Segment / "load")
        .and(request())
        .and(with(app))
        .then(|model: Segment, request, app| {
            handle(
                "/v2/repository/models/{model}/load",
                request,
                move |request| load(app, request, model),
            )
        });
    let unloaded = path!("v2" / "repository" / "models" / Segment / "unload")
        .and(request())
        .and(with(app))
        .then(move |model: Segment, request, app| {
            handle(
                "/v2/repository/models/{model}/unload",
                request,
                move |request| unload(app, request, model, max_json_bytes),
            )
        });
    listed.or(loaded).unify().or(unloaded).unify().boxed()
}

async fn index(app: App, mut request: Request, max_json_bytes: u64) -> Handled {
    post_only(&request)?;
    // Who asks comes before what is asked.
    app.manager.caller_of(&request.head.call).await?;
    let body = request.read_plain(max_json_bytes).await?;
    let only_ready = oip::read_index(&body).map_err(PredictError::from)?;
    let models = app.manager.list_models(&request.head.call).await?;
    Ok(reply::ok(&oip::index(&models, only_ready)))
}

async fn load(app: App, request: Request, model: Segment) -> Handled {
    post_only(&request)?;
    let act = oip::failed_to_load(&model.0);
    let loaded = load_or_publish(app, request, model).await;
    loaded.map_err(|failure| failure.of(&act))
}

async fn load_or_publish(app: App, mut request: Request, model: Segment) -> Handled {
    let call = request.head.call.clone();
    // It takes a place among the uploads before its body is read: the body may be one.
    let upload = app.manager.begin_unnamed_upload(&call).await?;
    let body = request.read_plain(MAX_LOAD_BYTES).await?;
    let files = apart(body.len(), || oip::read_load(&body)).await;
    let files = files.map_err(PredictError::from)?;
    drop(body);
    to_the_end(async move {
        load_model(&app, &call, upload, &model.0, files).await?;
        Ok(done())
    })
    .await?
}

/// Puts a model into service, of which the files, if there are any, become a version first.
///
/// # Errors
/// Those of an upload, and of [`load`](foretell_predict::Manager::load).
pub(crate) async fn load_model(
    app: &App,
    call: &Call,
    upload: UnnamedUpload,
    model: &str,
    files: Option<oip::Files>,
) -> Result<(), PredictError> {
    match files {
        Some(files) => publish(app, call, upload, model, files).await?,
        None => drop(upload),
    }
    app.manager.load(call, model).await
}

/// Makes the files a version, and has calls go to it: who loads a model so has no other means to say it.
async fn publish(
    app: &App,
    call: &Call,
    upload: UnnamedUpload,
    model: &str,
    files: oip::Files,
) -> Result<(), PredictError> {
    let oip::Files { version, parts } = files;
    let mut upload = upload.named(model, &version)?;
    for (name, bytes) in parts {
        let mut part = upload.part(name).await?;
        part.write(bytes).await?;
        upload.finish_part(part).await?;
    }
    app.manager.publish(call, upload).await?;
    let traffic = TrafficRequest {
        reason: Some("loaded from files".into()),
        ..TrafficRequest::activate(version)
    };
    app.manager
        .set_traffic(call, model, traffic)
        .await
        .map(drop)
}

async fn unload(app: App, mut request: Request, model: Segment, max_json_bytes: u64) -> Handled {
    post_only(&request)?;
    let call = request.head.call.clone();
    app.manager.caller_of(&call).await?;
    let body = request.read_plain(max_json_bytes).await?;
    oip::read_unload(&body)?;
    to_the_end(async move {
        app.manager.unload(&call, &model.0).await?;
        Ok(done())
    })
    .await?
}

/// 200 without a body: clients take nothing else for success.
fn done() -> Response {
    Response::new(Vec::new().into())
}
