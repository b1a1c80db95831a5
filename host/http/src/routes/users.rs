//! `/api/users`: the users of a tenant; of an operator without prefix, the operators.

use foretell_types::{ErrorKind, UserId};
use http::{Method, StatusCode};
use warp::{Filter, path};

use super::{Group, Handled, handle, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let list = path!("api" / "users")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/users", request, move |request| {
                all(app, request, max_json_bytes)
            })
        });
    let single = path!("api" / "users" / Segment)
        .and(request())
        .and(with(app))
        .then(move |id: Segment, request, app| {
            handle("/api/users/{user}", request, move |request| {
                one(app, request, id, max_json_bytes)
            })
        });
    let password = path!("api" / "users" / Segment / "password")
        .and(request())
        .and(with(app))
        .then(move |id: Segment, request, app| {
            handle("/api/users/{user}/password", request, move |request| {
                set_password(app, request, id, max_json_bytes)
            })
        });
    let sessions = path!("api" / "users" / Segment / "sessions")
        .and(request())
        .and(with(app))
        .then(|id: Segment, request, app| {
            handle("/api/users/{user}/sessions", request, move |request| {
                end_sessions(app, request, id)
            })
        });
    list.or(single)
        .unify()
        .boxed()
        .or(password)
        .unify()
        .or(sessions)
        .unify()
        .boxed()
}

async fn all(app: App, request: Request, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let records = app.manager.users(&head.call).await?;
            let users = records.iter().map(api::User::from).collect();
            Ok(reply::ok(&api::Users { users }))
        }
        Method::POST => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::NewUser = api::read_json(request, max_json_bytes).await?;
            to_the_end(async move {
                let record = app.manager.create_user(&head.call, body.into()).await?;
                Ok(reply::json(StatusCode::CREATED, &api::User::from(&record)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, POST")),
    }
}

async fn one(app: App, request: Request, id: Segment, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let records = app.manager.users(&head.call).await?;
            let not_found = |problem| Failure::new(ErrorKind::NotFound, problem);
            let id = UserId::parse(&id.0).map_err(|error| not_found(error.to_string()))?;
            let record = records.iter().find(|record| record.id == id);
            let record = record.ok_or_else(|| not_found(format!("there is no user `{id}`")))?;
            Ok(reply::ok(&api::User::from(record)))
        }
        Method::PATCH => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::UserChange = api::read_json(request, max_json_bytes).await?;
            to_the_end(async move {
                let set = app.manager.set_user(&head.call, &id.0, body.into());
                Ok(reply::ok(&api::User::from(&set.await?)))
            })
            .await?
        }
        Method::DELETE => {
            to_the_end(async move {
                app.manager.delete_user(&head.call, &id.0).await?;
                Ok(reply::ok(&api::DeletedUser::of(&id.0)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, PATCH, DELETE")),
    }
}

async fn set_password(app: App, request: Request, id: Segment, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    if head.method != Method::PUT {
        return Err(Failure::method(&head, "PUT"));
    }
    // Who asks comes before what is asked.
    app.manager.caller_of(&head.call).await?;
    let body: api::NewPassword = api::read_json(request, max_json_bytes).await?;
    to_the_end(async move {
        let set = app.manager.set_password(&head.call, &id.0, body.into());
        Ok(reply::ok(&api::User::from(&set.await?)))
    })
    .await?
}

async fn end_sessions(app: App, request: Request, id: Segment) -> Handled {
    let head = request.head;
    if head.method != Method::DELETE {
        return Err(Failure::method(&head, "DELETE"));
    }
    // Who asks comes before what is asked.
    app.manager.caller_of(&head.call).await?;
    to_the_end(async move {
        let ended = app.manager.end_sessions(&head.call, &id.0).await?;
        Ok(reply::ok(&api::EndedSessions::of(&id.0, ended)))
    })
    .await?
}
