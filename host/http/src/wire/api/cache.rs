//! The prediction cache as JSON.

use serde::Serialize;

/// What a purge removed.
#[derive(Debug, Serialize)]
pub(crate) struct Purged<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'a str>,
    pub(crate) removed: usize,
}
