//! `/api/predict`: predictions in the form of records.

use foretell_predict::ModelRef;
use http::Method;
use warp::{Filter, path};

use super::{Group, Handled, handle, with};
use crate::App;
use crate::extract::{Request, Segment, request};
use crate::reply::{self, Failure};
use crate::wire::api;
use crate::wire::payload::JsonBody;

pub(super) fn routes(app: &App) -> Group {
    path!("api" / "predict" / Segment)
        .and(request())
        .and(with(app))
        .then(|model: Segment, request, app| {
            handle("/api/predict/{model}", request, move |request| {
                predict(app, request, model)
            })
        })
        .boxed()
}

async fn predict(app: App, request: Request, model: Segment) -> Handled {
    let head = request.head.clone();
    if head.method != Method::POST {
        return Err(Failure::method(&head, "POST"));
    }
    head.only_query("version")?;
    let model = ModelRef::parse(&model.0, head.query("version").as_deref())?;
    let mut form = api::Form::One;
    let body = JsonBody::new(request, |body, target| {
        let (inputs, found) = api::read(body, &target.signature, target.runtime.max_rows)?;
        form = found;
        Ok(inputs)
    });
    let answer = app.predictor.predict(&head.call, &model, body).await?;
    let request_id = head.call.request_id.as_str();
    Ok(reply::prediction(&answer, || api::prediction(&answer, form, request_id)).await)
}
