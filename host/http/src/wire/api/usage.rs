//! Usage and what it costs, as JSON.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_predict::manage::{
    self, Day, MAX_USAGE_ROWS, MicroCredits, UsageCursor, UsageQuery, UsageRow,
};
use foretell_types::TenantId;
use serde::Serialize;

use super::credits::Credits;
use super::query::{file, limit, parameter};
use crate::extract::Head;
use crate::reply::Failure;
use crate::text::{date, parse_date};
use crate::wire::table::Format;

/// Rows of a page, if nobody says how many.
const USUAL_ROWS: u32 = 1_000;
const PARAMETERS: &[&str] = &[
    "since", "until", "key", "model", "group", "limit", "cursor", "format",
];
/// What a row of a file has, in this order.
pub(crate) const USAGE_COLUMNS: &[&str] = &[
    "tenant",
    "day",
    "key",
    "model",
    "version",
    "calls",
    "predictions",
    "cached",
    "failed",
    "compute_ms",
    "credits",
    "cost_usd",
];
const DAY: &str = "a day such as 2026-11-24";

/// What a row of usage is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// One key and one version, on one day.
    Version,
    /// All of a tenant's, on one day.
    Day,
}

/// What `GET /api/usage` asks for.
#[derive(Debug)]
pub(crate) struct UsagePage {
    pub(crate) query: UsageQuery,
    pub(crate) group: Group,
    pub(crate) after: Option<UsageCursor>,
    pub(crate) limit: u32,
    /// All rows as a file; none = a page of them.
    pub(crate) file: Option<Format>,
}

impl UsagePage {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidInput` for a parameter that there is not, and for a value that is none.
    pub(crate) fn of(head: &Head) -> Result<Self, Failure> {
        head.only_query(PARAMETERS)?;
        let query = UsageQuery {
            since: parameter(head, "since", DAY, parse_date)?,
            until: parameter(head, "until", DAY, parse_date)?,
            actor: head.query("key"),
            model: head.query("model"),
            ..UsageQuery::default()
        };
        let group = parameter(
            head,
            "group",
            "`day`, the only group that there is",
            |text| (text == "day").then_some(Group::Day),
        )?;
        Ok(Self {
            query,
            group: group.unwrap_or(Group::Version),
            after: parameter(head, "cursor", "the `next_cursor` of a page", read_cursor)?,
            limit: limit(head, USUAL_ROWS, MAX_USAGE_ROWS)?,
            file: file(head)?,
        })
    }
}

/// Where the next page begins, if this row is the last of one.
pub(crate) fn cursor_after(row: &UsageRow) -> UsageCursor {
    (
        row.tenant.clone(),
        row.day,
        row.actor.clone(),
        row.model.clone(),
        row.version.clone(),
    )
}

/// The same after all of the row's day: what is added to that day meanwhile is not told as a day of its own.
pub(crate) fn cursor_after_day(row: &UsageRow) -> UsageCursor {
    // The first name of all, which is that of nobody and of no model.
    let first = String::new;
    (row.tenant.clone(), row.day + 1, first(), first(), first())
}

/// A cursor as callers see it: one word, which says nothing to them.
fn write_cursor((tenant, day, actor, model, version): &UsageCursor) -> String {
    let parts = serde_json::json!([tenant.as_str(), day, actor, model, version]);
    URL_SAFE_NO_PAD.encode(parts.to_string())
}

fn read_cursor(text: &str) -> Option<UsageCursor> {
    type Parts = (String, Day, String, String, String);
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (tenant, day, actor, model, version): Parts = serde_json::from_slice(&bytes).ok()?;
    Some((TenantId::parse(&tenant).ok()?, day, actor, model, version))
}

/// The body of `GET /api/usage`.
#[derive(Debug, Serialize)]
pub(crate) struct UsageRows<'a> {
    usage: Vec<Row<'a>>,
    /// Where the next page goes on; null = there is none.
    next_cursor: Option<String>,
}

impl<'a> UsageRows<'a> {
    /// A page of rows of this group.
    pub(crate) fn of(
        rows: &'a [UsageRow],
        group: Group,
        usd_per_credit: f64,
        next: Option<&UsageCursor>,
    ) -> Self {
        let rows = rows.iter().map(|row| Row::of(row, group, usd_per_credit));
        Self {
            usage: rows.collect(),
            next_cursor: next.map(write_cursor),
        }
    }
}

/// Rows of a file.
///
/// # Errors
/// Those of [`Format::rows`].
pub(crate) fn usage_rows(
    format: Format,
    rows: &[UsageRow],
    group: Group,
    usd_per_credit: f64,
) -> serde_json::Result<Vec<u8>> {
    let rows = rows.iter().map(|row| Row::of(row, group, usd_per_credit));
    format.rows(USAGE_COLUMNS, rows)
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    tenant: &'a str,
    day: String,
    /// Null = all of them, here and below.
    key: Option<&'a str>,
    model: Option<&'a str>,
    version: Option<&'a str>,
    #[serde(flatten)]
    used: Used,
}

impl<'a> Row<'a> {
    fn of(row: &'a UsageRow, group: Group, usd_per_credit: f64) -> Self {
        let one = |name: &'a str| match group {
            Group::Version => Some(name),
            Group::Day => None,
        };
        Self {
            tenant: row.tenant.as_str(),
            day: date(row.day),
            key: one(&row.actor),
            model: one(&row.model),
            version: one(&row.version),
            used: Used::of(&row.used, usd_per_credit),
        }
    }
}

/// Sums of usage.
#[derive(Debug, Serialize)]
pub(super) struct Used {
    calls: u64,
    predictions: u64,
    cached: u64,
    failed: u64,
    compute_ms: f64,
    credits: Credits,
    cost_usd: f64,
}

impl Used {
    pub(super) fn of(used: &manage::Used, usd_per_credit: f64) -> Self {
        Self {
            calls: used.calls,
            predictions: used.predictions,
            cached: used.cached,
            failed: used.failed,
            // The double that is nearest to three decimals, and written as them.
            compute_ms: used.compute_us as f64 / 1e3,
            credits: Credits(used.credits),
            cost_usd: cost_usd(used.credits, usd_per_credit),
        }
    }
}

/// What credits cost, to a millionth of a cent: a product of doubles alone would show digits that nobody meant.
fn cost_usd(credits: MicroCredits, usd_per_credit: f64) -> f64 {
    (credits as f64 * (usd_per_credit * 1e2)).round() / 1e8
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_whatever_the_names_are() {
        for actor in ["key_0000000000000000", "jwt:https://issuer/\"ä\" ", ""] {
            let cursor = (
                TenantId::parse("acme").unwrap(),
                20_781,
                actor.to_owned(),
                "lead-score".to_owned(),
                "1".to_owned(),
            );
            let word = write_cursor(&cursor);
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
                "{word}"
            );
            assert_eq!(read_cursor(&word), Some(cursor));
        }
        for none in ["", "7", "====", "W10", "bnVsbA"] {
            assert_eq!(read_cursor(none), None, "{none}");
        }
    }

    #[test]
    fn a_row_has_the_columns_of_a_file() {
        let row = UsageRow {
            tenant: TenantId::parse("acme").unwrap(),
            day: 20_781,
            actor: "key_0000000000000000".to_owned(),
            model: "iris".to_owned(),
            version: "1".to_owned(),
            used: manage::Used::default(),
        };
        for group in [Group::Version, Group::Day] {
            let row = json!(Row::of(&row, group, 0.01));
            let fields: Vec<_> = row.as_object().unwrap().keys().collect();
            assert_eq!(fields, USAGE_COLUMNS);
        }
    }

    #[test]
    fn the_next_day_begins_after_all_rows_of_a_day_and_before_its_own() {
        let row = |day, actor: &str, model: &str| UsageRow {
            tenant: TenantId::parse("acme").unwrap(),
            day,
            actor: actor.to_owned(),
            model: model.to_owned(),
            version: String::new(),
            used: manage::Used::default(),
        };
        let cursor = cursor_after_day(&row(7, "a", "a"));
        assert!(cursor > cursor_after(&row(7, "\u{10ffff}", "z")));
        for later in [row(8, "", "a"), row(8, "a", "")] {
            assert!(cursor < cursor_after(&later));
        }
        assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
    }

    #[test]
    fn sums_are_shown_to_the_last_digit() {
        let used = manage::Used {
            calls: 3,
            predictions: 57,
            cached: 1,
            failed: 0,
            compute_us: 4_503_599_627_370_001,
            credits: 57_000_001,
        };
        assert_eq!(
            json!(Used::of(&used, 0.01)),
            json!({
                "calls": 3, "predictions": 57, "cached": 1, "failed": 0,
                "compute_ms": 4_503_599_627_370.001, "credits": 57.000_001, "cost_usd": 0.570_000_01,
            })
        );
        for (usd_per_credit, cost) in [(0.0, 0.0), (0.02, 1.140_000_02), (1.0, 57.000_001)] {
            assert_eq!(cost_usd(used.credits, usd_per_credit), cost);
        }
    }
}
