//! Checkpoints of the audit log as JSON.

use foretell_predict::manage::{Checkpoint, CheckpointPage, MAX_CHECKPOINTS};
use serde::Serialize;

use super::query::{limit, parameter};
use crate::extract::Head;
use crate::reply::Failure;
use crate::text::rfc3339;

/// Checkpoints of a page, if nobody says how many.
const USUAL_CHECKPOINTS: u32 = 100;
const PARAMETERS: &[&str] = &["after", "limit"];

/// What `GET /api/audit/checkpoints` asks for.
#[derive(Debug)]
pub(crate) struct CheckpointsAsked {
    /// Those over more rows.
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

impl CheckpointsAsked {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidInput` for a parameter that there is not, and for a value that is none.
    pub(crate) fn of(head: &Head) -> Result<Self, Failure> {
        head.only_query(PARAMETERS)?;
        let size = |text: &str| text.parse::<u64>().ok();
        let after = parameter(head, "after", "the `next` of a page", size)?;
        Ok(Self {
            after: after.unwrap_or(0),
            limit: limit(head, USUAL_CHECKPOINTS, MAX_CHECKPOINTS)?,
        })
    }
}

/// The body of `GET /api/audit/checkpoints`.
#[derive(Debug, Serialize)]
pub(crate) struct Checkpoints<'a> {
    key: &'a str,
    checkpoints: Vec<Signed<'a>>,
    /// Where the next page goes on; null = there is none.
    next: Option<u64>,
}

impl<'a> Checkpoints<'a> {
    /// A page of at most `limit` checkpoints.
    pub(crate) fn of(page: &'a CheckpointPage, limit: u32) -> Self {
        let CheckpointPage { key, checkpoints } = page;
        let is_full = checkpoints.len() >= limit as usize;
        let last = checkpoints.last().filter(|_| is_full);
        Self {
            key,
            checkpoints: checkpoints.iter().map(Signed::from).collect(),
            next: last.map(|last| last.size),
        }
    }
}

#[derive(Debug, Serialize)]
struct Signed<'a> {
    size: u64,
    at: String,
    note: &'a str,
}

impl<'a> From<&'a Checkpoint> for Signed<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        Self {
            size: checkpoint.size,
            at: rfc3339(checkpoint.at),
            note: &checkpoint.note,
        }
    }
}
