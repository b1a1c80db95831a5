//! `/api/tenants`: an operator's work.

use http::{Method, StatusCode};
use warp::{Filter, path};

use super::{Group, Handled, handle, to_the_end, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;

pub(super) fn routes(app: &App, max_json_bytes: u64) -> Group {
    let list = path!("api" / "tenants")
        .and(request())
        .and(with(app))
        .then(move |request, app| {
            handle("/api/tenants", request, move |request| {
                all(app, request, max_json_bytes)
            })
        });
    let single = path!("api" / "tenants" / Segment)
        .and(request())
        .and(with(app))
        .then(|tenant: Segment, request, app| {
            handle("/api/tenants/{tenant}", request, move |request| {
                one(app, request, tenant)
            })
        });
    list.or(single).unify().boxed()
}

async fn all(app: App, request: Request, max_json_bytes: u64) -> Handled {
    let head = request.head.clone();
    match head.method {
        Method::GET => {
            let records = app.manager.list_tenants(&head.call).await?;
            let tenants = records.iter().map(api::Tenant::from).collect();
            Ok(reply::ok(&api::Tenants { tenants }))
        }
        Method::POST => {
            // Who asks comes before what is asked.
            app.manager.caller_of(&head.call).await?;
            let body: api::NewTenant = api::read_json(request, max_json_bytes).await?;
            to_the_end(async move {
                let record = app.manager.create_tenant(&head.call, &body.name).await?;
                Ok(reply::json(
                    StatusCode::CREATED,
                    &api::Tenant::from(&record),
                ))
            })
            .await?
        }
        _ => Err(Failure::method(&head, "GET, HEAD, POST")),
    }
}

async fn one(app: App, request: Request, tenant: Segment) -> Handled {
    let call = request.head.call.clone();
    match request.head.method {
        Method::GET => {
            let record = app.manager.tenant(&call, &tenant.0).await?;
            Ok(reply::ok(&api::Tenant::from(&record)))
        }
        Method::DELETE => {
            to_the_end(async move {
                app.manager.delete_tenant(&call, &tenant.0).await?;
                Ok(reply::ok(&api::Deleted::tenant(&tenant.0)))
            })
            .await?
        }
        _ => Err(Failure::method(&request.head, "GET, HEAD, DELETE")),
    }
}
