//! The audit log as JSON.

use foretell_predict::manage::{Act, AuditQuery, AuditRecord, Checked, MAX_AUDIT_ROWS, Page};
use foretell_types::{Digest, RequestId, TenantId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::query::{file, limit, parameter};
use crate::extract::Head;
use crate::reply::Failure;
use crate::text::{parse_time, rfc3339};
use crate::wire::table::Format;

/// Rows of a page, if nobody says how many.
const USUAL_ROWS: u32 = 100;
const PARAMETERS: &[&str] = &[
    "act",
    "actor",
    "outcome",
    "object",
    "request_id",
    "since",
    "until",
    "limit",
    "cursor",
    "order",
    "format",
];
/// What a row of a file has, in this order.
pub(crate) const AUDIT_COLUMNS: &[&str] = &[
    "seq",
    "at",
    "tenant",
    "actor",
    "act",
    "object",
    "outcome",
    "request_id",
    "origin",
    "detail",
    "hash",
];
const TIME: &str = "a time such as 2026-11-24, 2026-11-24T22:30:00Z, or milliseconds since 1970";

/// What `GET /api/audit` asks for.
#[derive(Debug)]
pub(crate) struct AuditPage {
    pub(crate) query: AuditQuery,
    pub(crate) page: Page,
    pub(crate) limit: u32,
    /// All rows as a file; none = a page of them.
    pub(crate) file: Option<Format>,
}

impl AuditPage {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidInput` for a parameter that there is not, and for a value that is none.
    pub(crate) fn of(head: &Head) -> Result<Self, Failure> {
        head.only_query(PARAMETERS)?;
        let acts = format!("an act: {}", Act::ALL.map(Act::as_str).join(", "));
        let request = |text: &str| RequestId::parse(text).ok();
        let query = AuditQuery {
            act: parameter(head, "act", &acts, Act::parse)?,
            actor: head.query("actor"),
            outcome: head.query("outcome"),
            object: head.query("object"),
            request_id: parameter(head, "request_id", "the id of a request", request)?,
            since: parameter(head, "since", TIME, parse_time)?,
            until: parameter(head, "until", TIME, parse_time)?,
            ..AuditQuery::default()
        };
        let row = |text: &str| text.parse::<u64>().ok();
        let cursor = parameter(head, "cursor", "the `next_cursor` of a page", row)?;
        let newest_first = Page::Before(cursor);
        let page = parameter(head, "order", "`asc` or `desc`", |text| match text {
            "asc" => Some(Page::After(cursor.unwrap_or(0))),
            "desc" => Some(newest_first),
            _ => None,
        })?;
        Ok(Self {
            query,
            page: page.unwrap_or(newest_first),
            limit: limit(head, USUAL_ROWS, MAX_AUDIT_ROWS)?,
            file: file(head)?,
        })
    }
}

/// The body of `GET /api/audit`.
#[derive(Debug, Serialize)]
pub(crate) struct AuditRecords<'a> {
    records: Vec<Record<'a>>,
    /// Where the next page goes on; null = there is none.
    next_cursor: Option<String>,
}

impl<'a> AuditRecords<'a> {
    /// A page of at most `limit` rows.
    pub(crate) fn of(records: &'a [AuditRecord], limit: u32) -> Self {
        let is_full = records.len() >= limit as usize;
        let last = records.last().filter(|_| is_full);
        Self {
            records: records.iter().map(Record::from).collect(),
            next_cursor: last.map(|last| last.seq.to_string()),
        }
    }
}

/// Rows of a file.
///
/// # Errors
/// Those of [`Format::rows`].
pub(crate) fn audit_rows(format: Format, records: &[AuditRecord]) -> serde_json::Result<Vec<u8>> {
    format.rows(AUDIT_COLUMNS, records.iter().map(Record::from))
}

/// A row of the log.
#[derive(Debug, Serialize)]
struct Record<'a> {
    seq: u64,
    at: String,
    /// Null = the host's own.
    tenant: Option<&'a str>,
    actor: &'a str,
    act: &'static str,
    object: &'a str,
    outcome: &'a str,
    request_id: Option<&'a str>,
    origin: Option<&'a str>,
    detail: Value,
    hash: String,
}

impl<'a> From<&'a AuditRecord> for Record<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        let entry = &record.entry;
        Self {
            seq: record.seq,
            at: rfc3339(entry.at),
            tenant: entry.tenant.as_ref().map(TenantId::as_str),
            actor: &entry.actor,
            act: entry.act.as_str(),
            object: &entry.object,
            outcome: &entry.outcome,
            request_id: entry.request_id.as_ref().map(RequestId::as_str),
            origin: entry.origin.as_deref(),
            detail: detail(&entry.detail),
            hash: Digest::from_bytes(record.hash).to_string(),
        }
    }
}

/// The object that the text of a row is; the text itself if it is none, for that row was not written by us.
fn detail(text: &str) -> Value {
    let object = serde_json::from_str::<Map<String, Value>>(text);
    object.map_or_else(|_| text.into(), Value::Object)
}

/// The body that `GET` and `POST /api/audit/verify` answer.
#[derive(Debug, Serialize)]
pub(crate) struct AuditVerdict {
    ok: bool,
    /// How many rows are good, for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// At how many sizes a checkpoint holds, for operators: whoever knows how often one is made knows how many rows there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoints: Option<u64>,
    broken: Option<Broken>,
}

#[derive(Debug, Serialize)]
struct Broken {
    row: u64,
    fault: &'static str,
    /// How many rows the checkpoint is over that does not hold; none = it is no fault of checkpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl From<&Checked> for AuditVerdict {
    fn from(checked: &Checked) -> Self {
        let verdict = &checked.verdict;
        Self {
            ok: verdict.broken.is_none(),
            rows: checked.is_operators.then_some(verdict.good),
            checkpoints: checked.is_operators.then_some(verdict.checkpoints),
            broken: verdict.broken.as_ref().map(|broken| Broken {
                row: broken.seq,
                fault: broken.fault.as_str(),
                size: broken.fault.checkpoint(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_detail_that_is_no_object_is_shown_as_its_text() {
        assert_eq!(detail(r#"{"b":1,"a":[]}"#), json!({"b": 1, "a": []}));
        for text in ["", "[1]", "{\"a\":", "edited by hand"] {
            assert_eq!(detail(text), json!(text));
        }
    }
}
