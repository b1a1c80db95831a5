//! The Open Inference Protocol, version 2.

mod metadata;
mod request;
mod response;

pub(crate) use metadata::{Live, ModelReady, Models, Ready, Server, metadata};
pub(crate) use request::{Asked, read};
pub(crate) use response::response;
