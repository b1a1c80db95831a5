//! `/api/models`: uploads, versions, traffic.

use http::{Method, StatusCode};
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, to_the_end, upload, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let all = path!("api" / "models")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/api/models", request, move |request| list(app, request)));
    let single = path!("api" / "models" / Segment)
        .and(request())
        .and(with(app))
        .then(|model: Segment, request, app| {
            handle("/api/models/{model}", request, move |request| {
                one(app, request, model)
            })
        });
    let versioned = path!("api" / "models" / Segment / "versions" / Segment)
        .and(request())
        .and(with(app))
        .then(|model: Segment, version: Segment, request, app| {
            handle(
                "/api/models/{model}/versions/{version}",
                request,
                move |request| version_of(app, request, model, version),
            )
        });
    let switched = path!("api" / "models" / Segment / "traffic")
        .and(request())
        .and(with(app))
        .then(move |model: Segment, request, app| {
            handle("/api/models/{model}/traffic", request, move |request| {
                traffic(app, request, model, max_json_bytes)
            })
        });
    all.or(single)
        .unify()
        .boxed()
        .or(versioned)
        .unify()
        .or(switched)
        .unify()
        .boxed()
}

async fn list(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let records = app.manager.list_models(&request.head.call).await?;
    Ok(reply::ok(&api::Models {
        models: records.iter().map(api::Model::from).collect(),
    }))
}

async fn one(app: App, request: Request, model: Segment) -> Handled {
    get_only(&request)?;
    let record = app.manager.model(&request.head.call, &model.0).await?;
    Ok(reply::ok(&api::Model::from(&record)))
}

async fn version_of(app: App, request: Request, model: Segment, version: Segment) -> Handled {
    let call = request.head.call.clone();
    match request.head.method {
        Method::GET => {
            let found = app.manager.version(&call, &model.0, &version.0).await?;
            Ok(reply::ok(&api::version(&found)?))
        }
        Method::PUT => {
            let upload = app
                .manager
                .begin_upload(&call, &model.0, &version.0)
                .await?;
            let upload = upload::receive(request, upload).await?;
            let published =
                to_the_end(async move { app.manager.publish(&call, upload).await }).await??;
            let status = if published.created {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            Ok(reply::json(status, &api::version(&published)?))
        }
        Method::DELETE => {
            to_the_end(async move {
                app.manager
                    .delete_version(&call, &model.0, &version.0)
                    .await?;
                Ok(reply::ok(&api::Deleted::version(&model.0, &version.0)))
            })
            .await?
        }
        _ => Err(Failure::method(&request.head, "GET, HEAD, PUT, DELETE")),
    }
}

async fn traffic(app: App, request: Request, model: Segment, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let report = app.manager.traffic(&head.call, &model.0).await?;
            Ok(reply::ok(&api::TrafficReport::from(&report)))
        }
        Method::PUT => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::TrafficBody = api::read_json(request, max_json_bytes).await?;
            let wanted = body.try_into()?;
            to_the_end(async move {
                let set = app.manager.set_traffic(&head.call, &model.0, wanted);
                Ok(reply::ok(&api::Model::from(&set.await?)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, PUT")),
    }
}
