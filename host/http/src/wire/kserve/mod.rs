//! KServe's version 1 protocol, which is also TensorFlow Serving's.

mod request;
mod response;

pub(crate) use request::{Form, read};
pub(crate) use response::{Alive, ModelStatus, Models, prediction};
