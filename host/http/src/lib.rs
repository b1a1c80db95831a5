//! Foretell over HTTP and gRPC: routes, bodies, and the accept loop under them. The only crate that names warp, hyper and tonic.
//!
//! A handler extracts, calls one use case of `foretell-predict`, and renders; it decides nothing about the business. The
//! hazard that this crate exists to contain is the network: every byte that arrives is counted, timed and bounded here
//! before anything further in sees it, and no text of a caller leaves in a header unless it was checked.
//!
//! - [`mod@serve`] is the accept loop: limits of connections, timeouts, drain.
//! - [`routes()`] is the whole API as one service; the accept loop runs it.
//! - `grpc` is the same house by another door.
//! - `wire` holds the JSON of each surface: `/v2` (Open Inference Protocol), `/v1` (KServe), `/api` (ours).
//! - `reply` alone knows which status belongs to which kind of error.

use std::sync::Arc;

use foretell_predict::health::Health;
use foretell_predict::{Manager, Predictor, Sessions};

mod address;
mod body;
mod browser;
mod coding;
pub mod config;
mod extract;
mod front;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
mod openapi;
mod recover;
mod reply;
mod routes;
pub mod serve;
mod shed;
mod text;
mod wire;

pub use config::{HttpConfig, Network};
pub use front::{Peer, Routes};
pub use routes::routes;
pub use serve::{Listeners, Summary, serve};

/// What the handlers call: one for each server, cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Answers predictions.
    pub predictor: Arc<Predictor>,
    /// Manages tenants, keys and models.
    pub manager: Arc<Manager>,
    /// Tells which page a session's browser shows; the manager's.
    pub sessions: Arc<Sessions>,
    /// Says whether the server is well, and whether it takes new calls.
    pub health: Arc<Health>,
}

#[cfg(test)]
mod tests;
