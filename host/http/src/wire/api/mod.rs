//! Foretell's own API under `/api`.

mod audit;
mod cache;
mod checkpoints;
mod credits;
mod keys;
mod limits;
mod models;
mod predict;
mod query;
mod recordings;
mod request;
mod tenants;
mod traffic;
mod usage;
mod users;

pub(crate) use audit::{AUDIT_COLUMNS, AuditPage, AuditRecords, AuditVerdict, audit_rows};
pub(crate) use cache::Purged;
pub(crate) use checkpoints::{Checkpoints, CheckpointsAsked};
pub(crate) use keys::{IssuedKey, Key, Keys, NewKey, Rotation};
pub(crate) use limits::{Account, Grant, Limits, Quotas, Standing};
pub(crate) use models::{Deleted, Model, Models, version};
pub(crate) use predict::{Form, max_keys, prediction, read};
pub(crate) use recordings::{Erased, RecordingRule, Recordings, Replayed, Retention, SubjectPage};
pub(crate) use request::read_json;
pub(crate) use tenants::{NewTenant, Tenant, Tenants};
pub(crate) use traffic::{Report as TrafficReport, TrafficBody};
pub(crate) use usage::{
    Group, USAGE_COLUMNS, UsagePage, UsageRows, cursor_after, cursor_after_day, usage_rows,
};
pub(crate) use users::{
    DeletedUser, EndedSessions, LoggedIn, Login, NewPassword, NewUser, Session, Setup, User,
    UserChange, Users,
};
