//! KServe's version 1 protocol, which is also TensorFlow Serving's.

mod metadata;
mod request;
mod response;

pub(crate) use metadata::metadata;
pub(crate) use request::{Form, read};
pub(crate) use response::{Alive, ModelStatus, Models, prediction};
