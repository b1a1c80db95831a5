//! What the tests of the whole server stand on: a server in this process or in one of its own, a client without
//! conveniences, and the models and guests that they are fed with.
//!
//! Nothing here waits for a fixed time: every wait is for an event, or polls a condition up to a deadline. Nothing here
//! returns errors either: a helper that cannot do its work panics where the test called it.

pub mod built;
pub mod client;
pub mod guests;
pub mod host;
pub mod load;
pub mod models;
pub mod process;
pub mod wait;
pub mod wire;

pub use client::{Client, Parts, Response};
pub use host::{OPERATOR_KEY, Tenant, TestHost};
pub use models::Model;
pub use process::{Finished, ServerProcess};
