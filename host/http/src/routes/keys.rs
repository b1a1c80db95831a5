//! `/api/keys`: the keys of one's own tenant.

use http::{Method, StatusCode};
use warp::{Filter, path};

use super::{Group, Handled, handle, post_only, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let list = path!("api" / "keys")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/keys", request, move |request| {
                all(app, request, max_json_bytes)
            })
        });
    let single = path!("api" / "keys" / Segment)
        .and(request())
        .and(with(app))
        .then(|id: Segment, request, app| {
            handle("/api/keys/{id}", request, move |request| {
                one(app, request, id)
            })
        });
    let rotation = path!("api" / "keys" / Segment / "rotate")
        .and(request())
        .and(with(app))
        .then(move |id: Segment, request, app| {
            handle("/api/keys/{id}/rotate", request, move |request| {
                rotate(app, request, id, max_json_bytes)
            })
        });
    list.or(single).unify().or(rotation).unify().boxed()
}

async fn all(app: App, request: Request, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let records = app.manager.list_keys(&head.call).await?;
            let keys = records.iter().map(api::Key::from).collect();
            Ok(reply::ok(&api::Keys { keys }))
        }
        Method::POST => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::NewKey = api::read_json(request, max_json_bytes).await?;
            to_the_end(async move {
                let issued = app.manager.create_key(&head.call, body.into()).await?;
                Ok(reply::json(
                    StatusCode::CREATED,
                    &api::IssuedKey::from(&issued),
                ))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, POST")),
    }
}

async fn one(app: App, request: Request, id: Segment) -> Handled {
    let head = request.head.clone();
    if head.method != Method::DELETE {
        return Err(Failure::method(&head, "DELETE"));
    }
    to_the_end(async move {
        let record = app.manager.revoke_key(&head.call, &id.0).await?;
        Ok(reply::ok(&api::Key::from(&record)))
    })
    .await?
}

async fn rotate(app: App, request: Request, id: Segment, max_json_bytes: u64) -> Handled {
    post_only(&request)?;
    let head = request.head.clone();
    // Who asks comes before what is asked.
    app.manager.caller_of(&head.call).await?;
    let body: api::Rotation = api::read_json(request, max_json_bytes).await?;
    to_the_end(async move {
        let issued = app
            .manager
            .rotate_key(&head.call, &id.0, body.overlap())
            .await?;
        Ok(reply::json(
            StatusCode::CREATED,
            &api::IssuedKey::from(&issued),
        ))
    })
    .await?
}
