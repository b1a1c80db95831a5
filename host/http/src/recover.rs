//! Where a request ends up that no route took.
//!
//! Each path stands in exactly one filter, which answers every method; so a rejection means "no such path", and anything
//! else is a defect. The routes cannot see the head of the request at this point: the front renders what is said here.

use std::convert::Infallible;

use warp::Rejection;

use crate::reply::Response;

/// Travels in the response's extensions to the front.
#[derive(Debug, Clone)]
pub(crate) enum Unanswered {
    /// There is no such path.
    NoRoute,
    /// A filter rejected what it should have answered.
    Defect(String),
}

/// The final recover.
pub(crate) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let unanswered = if rejection.is_not_found() {
        Unanswered::NoRoute
    } else {
        Unanswered::Defect(format!("{rejection:?}"))
    };
    let mut response = Response::new(Vec::new().into());
    response.extensions_mut().insert(unanswered);
    Ok(response)
}
