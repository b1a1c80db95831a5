//! `/api/recording`, `/api/subjects` and replays: what is recorded of predictions, run again, handed out and erased.

use foretell_predict::apart;
use http::Method;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, post_only, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api::{self, Recordings, SubjectPage};
use crate::wire::written::Written;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let rule = path!("api" / "recording")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/recording", request, move |request| {
                rule(app, request, max_json_bytes)
            })
        });
    let retention = path!("api" / "recording" / "retention")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/api/recording/retention", request, move |request| {
                retention(app, request)
            })
        });
    let replayed = path!("api" / "predictions" / Segment / "replay")
        .and(request())
        .and(with(app))
        .then(|of: Segment, request, app| {
            let template = "/api/predictions/{request_id}/replay";
            handle(template, request, move |request| replay(app, request, of))
        });
    let subject = path!("api" / "subjects" / Segment)
        .and(request())
        .and(with(app))
        .then(|name: Segment, request, app| {
            handle("/api/subjects/{subject}", request, move |request| {
                subject(app, request, name)
            })
        });
    rule.or(retention)
        .unify()
        .boxed()
        .or(replayed)
        .unify()
        .or(subject)
        .unify()
        .boxed()
}

async fn rule(app: App, request: Request, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let policy = app.manager.recording(&head.call).await?;
            Ok(reply::ok(&api::RecordingRule::from(policy)))
        }
        Method::PUT => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::RecordingRule = api::read_json(request, max_json_bytes).await?;
            to_the_end(async move {
                let set = app.manager.set_recording(&head.call, body.into());
                Ok(reply::ok(&api::RecordingRule::from(set.await?)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, PUT")),
    }
}

async fn retention(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let preview = app.manager.retention_preview(&request.head.call).await?;
    Ok(reply::ok(&api::Retention::from(preview)))
}

async fn replay(app: App, request: Request, of: Segment) -> Handled {
    post_only(&request)?;
    let head = request.head;
    let replay = app.predictor.replay(&head.call, &of.0).await?;
    let request_id = head.call.request_id.as_str();
    let write = || Written::json(&api::Replayed::of(&replay, request_id));
    Ok(reply::prediction(&head, &replay.answer, write).await)
}

/// The name is in no log and no answer: whom it names is known to its tenant alone.
async fn subject(app: App, request: Request, name: Segment) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let SubjectPage { after, limit } = SubjectPage::of(&head)?;
            let exported = app
                .manager
                .export_subject(&head.call, &name.0, after, limit);
            let page = exported.await?;
            let write = || reply::ok(&Recordings::of(&page));
            Ok(apart(Recordings::bytes(&page), write).await)
        }
        Method::DELETE => {
            to_the_end(async move {
                let receipt = app.manager.erase_subject(&head.call, &name.0).await?;
                Ok(reply::ok(&api::Erased::from(&receipt)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, DELETE")),
    }
}
