//! The Open Inference Protocol over gRPC: another door of the same house.
//!
//! A call is read, checked and answered by the same corridor and the same use cases as over HTTP: with the same keys, limits and
//! errors. tonic speaks gRPC; accepting, limits and drain are those of [`serve`](mod@crate::serve). Messages are handed on as the bytes
//! that they are and decoded here, so that a large one is read only after its caller was admitted, and decoded where long work
//! harms nobody.

mod codec;
mod infer;
mod look;
pub(crate) mod messages;
mod repository;
mod route;
mod service;
mod status;
mod unary;

pub(crate) use route::is_stream;
pub(crate) use service::{Service, not_serving, serving};
