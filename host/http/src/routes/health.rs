//! `/livez`, `/readyz`, `/health`: for whatever watches the server.

use std::sync::Arc;
use std::time::Duration;

use foretell_predict::health::Report;
use foretell_types::ErrorKind;
use serde::Serialize;
use serde::ser::Serializer;
use tokio::sync::Mutex;
use tokio::time::Instant;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, with};
use crate::App;
use crate::extract::{Request, request};
use crate::reply::{self, Failure};

/// How long the public is told the same.
const FRESH: Duration = Duration::from_secs(1);

pub(super) fn routes(app: &App) -> Group {
    let is_live = path!("livez")
        .and(request())
        .then(|request| handle("/livez", request, live));
    let is_ready = path!("readyz")
        .and(request())
        .and(with(app))
        .then(|request, app| handle("/readyz", request, move |request| ready(app, request)));
    let last = Arc::new(Last::default());
    let report = path!("health")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            let last = Arc::clone(&last);
            handle("/health", request, move |request| {
                health(app, request, last)
            })
        });
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
async fn health(app: App, request: Request, last: Arc<Last>) -> Handled {
    get_only(&request)?;
    let call = &request.head.call;
    if call.credentials.is_empty() {
        let status = last.report(&app).await.status();
        return Ok(reply::ok(&Status { status }));
    }
    // Who shows a key wants to see the checks, and is told if the key does not open them.
    let caller = app.manager.caller_of(call).await?;
    // Operators look themselves: what they have just repaired or broken must show.
    let report = if caller.is_operator() {
        last.look(&app).await
    } else {
        last.report(&app).await
    };
    let checks = Checks {
        report: &report,
        details: caller.is_operator(),
    };
    Ok(reply::ok(&Body {
        status: report.status(),
        checks,
    }))
}

/// What was last seen. Each look writes to the disk, and callers may ask as often as they like.
#[derive(Default)]
struct Last(Mutex<Option<(Instant, Arc<Report>)>>);

impl Last {
    /// The report as of at most a second ago; who asks at the same time waits for the same look.
    async fn report(&self, app: &App) -> Arc<Report> {
        let mut last = self.0.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
        {
            return Arc::clone(report);
        }
        Self::renew(&mut last, app).await
    }

    /// A report as of now.
    async fn look(&self, app: &App) -> Arc<Report> {
        Self::renew(&mut *self.0.lock().await, app).await
    }

    async fn renew(last: &mut Option<(Instant, Arc<Report>)>, app: &App) -> Arc<Report> {
        let report = Arc::new(app.health.report().await);
        *last = Some((Instant::now(), Arc::clone(&report)));
        report
    }
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    checks: Checks<'a>,
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
