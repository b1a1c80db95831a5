//! Foretell's own API under `/api`.

mod cache;
mod credits;
mod keys;
mod models;
mod predict;
mod request;
mod tenants;
mod traffic;

pub(crate) use cache::Purged;
pub(crate) use keys::{IssuedKey, Key, Keys, NewKey, Rotation};
pub(crate) use models::{Deleted, Model, Models, version};
pub(crate) use predict::{Form, max_keys, prediction, read};
pub(crate) use request::read_json;
pub(crate) use tenants::{NewTenant, Tenant, Tenants};
pub(crate) use traffic::{Report as TrafficReport, TrafficBody};
