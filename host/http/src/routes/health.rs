//! `/livez`, `/readyz`, `/health`: for whatever watches the server.

use foretell_predict::health::Report;
use foretell_types::ErrorKind;
use http::Method;
use serde::Serialize;
use serde::ser::Serializer;
use warp::{Filter, path};

use super::{Group, Handled, handle, with};
use crate::App;
use crate::extract::{Request, request};
use crate::reply::{self, Failure};

pub(super) fn routes(app: &App) -> Group {
    let is_live = path!("livez")
        .and(request())
        .then(|request| handle("/livez", request, live));
    let is_ready = path!("readyz")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/readyz", request, move |request| ready(app, request)));
    let report = path!("health")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/health", request, move |request| health(app, request)));
    is_live.or(is_ready).unify().or(report).unify().boxed()
}

/// What a server that stops answers to "are you ready".
pub(super) fn draining() -> Failure {
    Failure::new(
        ErrorKind::Draining,
        "the server is stopping; send new requests elsewhere",
    )
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

fn get_only(request: &Request) -> Result<(), Failure> {
    if request.head.method == Method::GET {
        Ok(())
    } else {
        Err(Failure::method(&request.head, "GET, HEAD"))
    }
}

async fn live(request: Request) -> Handled {
    get_only(&request)?;
    Ok(reply::ok(&Status { status: "alive" }))
}

async fn ready(app: App, request: Request) -> Handled {
    get_only(&request)?;
    if app.health.ready() {
        Ok(reply::ok(&Status { status: "ready" }))
    } else {
        Err(draining())
    }
}

/// The public sees whether the server is well, any key's holder which checks are, and operators what was seen: that names
/// other tenants' models.
async fn health(app: App, request: Request) -> Handled {
    get_only(&request)?;
    let report = app.health.report().await;
    let call = &request.head.call;
    let body = if call.credentials.is_empty() {
        Body {
            status: report.status(),
            checks: None,
        }
    } else {
        // Who shows a key wants to see the checks, and is told if the key does not open them.
        let caller = app.manager.caller_of(call).await?;
        Body {
            status: report.status(),
            checks: Some(Checks {
                report: &report,
                details: caller.is_operator(),
            }),
        }
    };
    Ok(reply::ok(&body))
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks<'a>>,
}

struct Checks<'a> {
    report: &'a Report,
    details: bool,
}

#[derive(Serialize)]
struct Check<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.report.checks.iter().map(|seen| {
            let status = if seen.healthy { "healthy" } else { "unhealthy" };
            (
                seen.name,
                Check {
                    status,
                    detail: self.details.then_some(seen.detail.as_str()),
                },
            )
        }))
    }
}
