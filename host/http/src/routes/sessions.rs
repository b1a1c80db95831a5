//! Logging in and out, who is in, and the first operator.

use http::StatusCode;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, post_only, to_the_end, with};
use crate::App;
use crate::browser;
use crate::extract::{Request, request};
use crate::reply::{self, Response};
use crate::wire::api;

pub(crate) const LOGIN: &str = "/api/login";
pub(crate) const SETUP: &str = "/api/setup";

/// Bytes of a body that is read before it is known who sent it, at most: the longest name and the longest password, all in
/// escapes, and a little more.
const MAX_BYTES: u64 = 8 << 10;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let max_bytes = max_json_bytes.min(MAX_BYTES);
    let login = path!("api" / "login")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle(LOGIN, request, move |request| {
                log_in(app, request, max_bytes)
            })
        });
    let logout = path!("api" / "logout")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/api/logout", request, move |request| log_out(app, request)));
    let session = path!("api" / "session")
        .and(request())
        .and(with(app))
        .then(|request, app| {
            handle("/api/session", request, move |request| {
                who_is_in(app, request)
            })
        });
    let setup = path!("api" / "setup")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle(SETUP, request, move |request| {
                set_up(app, request, max_bytes)
            })
        });
    login
        .or(logout)
        .unify()
        .boxed()
        .or(session)
        .unify()
        .or(setup)
        .unify()
        .boxed()
}

async fn log_in(app: App, request: Request, max_bytes: u64) -> Handled {
    post_only(&request)?;
    // Or another site's page could make its visitor somebody else here, who then tells us things that are not for that one.
    browser::not_of_another_site(&request.head.headers)?;
    let head = request.head.clone();
    let body: api::Login = api::read_json(request, max_bytes).await?;
    to_the_end(async move {
        let login = app
            .manager
            .log_in(&head.call, &body.name, &body.password.0)
            .await?;
        let mut response = private(reply::ok(&api::LoggedIn::from(&login)));
        browser::give(response.headers_mut(), login.secret.expose());
        Ok(response)
    })
    .await?
}

async fn log_out(app: App, request: Request) -> Handled {
    post_only(&request)?;
    let head = request.head;
    to_the_end(async move {
        app.manager.log_out(&head.call).await?;
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = StatusCode::NO_CONTENT;
        browser::take_back(response.headers_mut());
        Ok(private(response))
    })
    .await?
}

async fn who_is_in(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let (user, idle_until) = app.manager.session(&request.head.call).await?;
    Ok(private(reply::ok(&api::Session::of(&user, idle_until))))
}

async fn set_up(app: App, request: Request, max_bytes: u64) -> Handled {
    post_only(&request)?;
    browser::not_of_another_site(&request.head.headers)?;
    let head = request.head.clone();
    let body: api::Setup = api::read_json(request, max_bytes).await?;
    to_the_end(async move {
        let record = app
            .manager
            .set_up(&head.call, &body.token, &body.name, &body.password.0)
            .await?;
        let user = api::User::from(&record);
        Ok(private(reply::json(StatusCode::CREATED, &user)))
    })
    .await?
}

fn private(mut response: Response) -> Response {
    browser::keep_private(response.headers_mut());
    response
}
