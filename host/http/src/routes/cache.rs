//! The prediction cache of a tenant, and of one of its models: purged.

use http::Method;
use warp::{Filter, path};

use super::{Group, Handled, handle, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App) -> Group {
    let all = path!("api" / "cache")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/api/cache", request, move |request| {
                purge(app, request, None)
            })
        });
    let of_model = path!("api" / "models" / Segment / "cache")
        .and(request())
        .and(with(app))
        .then(|model: Segment, request, app| {
            handle("/api/models/{model}/cache", request, move |request| {
                purge(app, request, Some(model.0))
            })
        });
    all.or(of_model).unify().boxed()
}

async fn purge(app: App, request: Request, model: Option<String>) -> Handled {
    let head = request.head;
    if head.method != Method::DELETE {
        return Err(Failure::method(&head, "DELETE"));
    }
    to_the_end(async move {
        let removed = match &model {
            None => app.manager.purge_cache(&head.call).await?,
            Some(model) => app.manager.purge_cache_of(&head.call, model).await?,
        };
        Ok(reply::ok(&api::Purged {
            model: model.as_deref(),
            removed,
        }))
    })
    .await?
}
