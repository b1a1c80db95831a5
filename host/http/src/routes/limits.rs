//! What tenants and keys may use, what it costs them, and where they stand.

use foretell_predict::manage::TenantLimits;
use http::Method;
use warp::{Filter, path};

use super::{Group, Handled, get_only, handle, post_only, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App, max_json_bytes: u64, usd_per_credit: f64) -> Group {
    let own = path!("api" / "limits")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/limits", request, move |request| {
                standing(app, request, usd_per_credit)
            })
        });
    let set = path!("api" / "tenants" / Segment / "limits")
        .and(request())
        .and(with(app))
        .then(move |tenant: Segment, request, app| {
            handle("/api/tenants/{tenant}/limits", request, move |request| {
                of_tenant(app, request, tenant, max_json_bytes, usd_per_credit)
            })
        });
    let given = path!("api" / "tenants" / Segment / "credits")
        .and(request())
        .and(with(app))
        .then(move |tenant: Segment, request, app| {
            handle("/api/tenants/{tenant}/credits", request, move |request| {
                grant(app, request, tenant, max_json_bytes)
            })
        });
    let key = path!("api" / "keys" / Segment / "limits")
        .and(request())
        .and(with(app))
        .then(move |id: Segment, request, app| {
            handle("/api/keys/{id}/limits", request, move |request| {
                of_key(app, request, id, max_json_bytes)
            })
        });
    own.or(set)
        .unify()
        .boxed()
        .or(given)
        .unify()
        .or(key)
        .unify()
        .boxed()
}

async fn standing(app: App, request: Request, usd_per_credit: f64) -> Handled {
    get_only(&request)?;
    let standing = app.manager.standing(&request.head.call).await?;
    Ok(reply::ok(&api::Standing::of(&standing, usd_per_credit)))
}

async fn of_tenant(
    app: App,
    request: Request,
    tenant: Segment,
    max_json_bytes: u64,
    usd_per_credit: f64,
) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let standing = app.manager.tenant_standing(&head.call, &tenant.0).await?;
            Ok(reply::ok(&api::Standing::of(&standing, usd_per_credit)))
        }
        Method::PUT => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::Limits = api::read_json(request, max_json_bytes).await?;
            let limits = TenantLimits::try_from(body)?;
            to_the_end(async move {
                let set = app.manager.set_limits(&head.call, &tenant.0, limits);
                Ok(reply::ok(&api::Standing::of(&set.await?, usd_per_credit)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, PUT")),
    }
}

async fn grant(app: App, request: Request, tenant: Segment, max_json_bytes: u64) -> Handled {
    post_only(&request)?;
    let head = request.head.clone();
    // Who asks comes before what is asked.
    app.manager.caller_of(&head.call).await?;
    let body: api::Grant = api::read_json(request, max_json_bytes).await?;
    to_the_end(async move {
        let reason = body.reason.as_deref().unwrap_or_default();
        let account = app
            .manager
            .grant_credits(&head.call, &tenant.0, body.credits.0, reason)
            .await?;
        Ok(reply::ok(&api::Account::from(&account)))
    })
    .await?
}

async fn of_key(app: App, request: Request, id: Segment, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let quotas = app.manager.key_limits(&head.call, &id.0).await?;
            Ok(reply::ok(&api::Quotas::from(&quotas)))
        }
        Method::PUT => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::Quotas = api::read_json(request, max_json_bytes).await?;
            let quotas = body.of_key()?;
            to_the_end(async move {
                let set = app.manager.set_key_limits(&head.call, &id.0, quotas);
                Ok(reply::ok(&api::Quotas::from(&set.await?)))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, PUT")),
    }
}
