//! What was done and how that is shown to be true, what was used, what may be used and what it costs.

use foretell_types::ErrorKind;

use super::{Access, Content, Operation};

const AUDIT: Access = Access::Views(&["audit"]);
const USAGE: Access = Access::Views(&["usage"]);
const OWN_USAGE: Access = Access::Scopes(&["usage"]);
const KEYS: Access = Access::Scopes(&["keys"]);
const OPERATOR: Access = Access::Scopes(&["operator"]);

const NOT_FOUND: &[ErrorKind] = &[ErrorKind::NotFound];
const JSON: &str = "application/json";
const CSV: &str = "text/csv";
const JSON_LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

const FORMAT: (&str, &str) = (
    "format",
    "`json`: a page; `csv` or `jsonl`: all rows as a file, without `limit` and `cursor`",
);
const AUDIT_QUERY: &[(&str, &str)] = &[
    ("act", "what was done, such as `predict`"),
    ("actor", "who did it: the id of a key, or `server`"),
    ("outcome", "how it ended: `ok`, or the code of an error"),
    ("object", "what with, such as `iris/1`"),
    ("request_id", "the request that asked for it"),
    (
        "since",
        "not earlier: `2026-11-24`, `2026-11-24T22:30:00Z`, or milliseconds since 1970",
    ),
    ("until", "earlier than this"),
    ("limit", "rows of the page, 1 to 1,000; 100 by default"),
    ("cursor", "the `next_cursor` of the page before"),
    (
        "order",
        "`desc`, the newest first, or `asc`; `desc` by default",
    ),
    FORMAT,
];
const CHECKPOINTS_QUERY: &[(&str, &str)] = &[
    (
        "after",
        "those over more rows than this: the `next` of the page before",
    ),
    (
        "limit",
        "checkpoints of the page, 1 to 1,000; 100 by default",
    ),
];
const USAGE_QUERY: &[(&str, &str)] = &[
    ("since", "from this day of UTC on, such as `2026-11-24`"),
    ("until", "before this day"),
    ("key", "of this key, by its id"),
    ("model", "of this model"),
    (
        "group",
        "`day`: sums of days instead of each key and version",
    ),
    ("limit", "rows of the page, 1 to 10,000; 1,000 by default"),
    ("cursor", "the `next_cursor` of the page before"),
    FORMAT,
];

pub(super) fn all() -> [Operation; 11] {
    const OF_TENANT: &str = "/api/tenants/{tenant}/limits";
    const OF_KEY: &str = "/api/keys/{id}/limits";
    [
        Operation::of("GET", "/api/audit", "audit", "What was done, and by whom")
            .needs(AUDIT)
            .query(AUDIT_QUERY)
            .answers(
                200,
                "a page, or a file",
                Content::Either(&[(JSON, "AuditRecords"), (CSV, ""), (JSON_LINES, "")]),
            ),
        Operation::of(
            "GET",
            "/api/audit/verify",
            "audit",
            "Whether the whole log is what was written",
        )
        .needs(AUDIT)
        .gives("AuditVerdict"),
        Operation::of(
            "POST",
            "/api/audit/verify",
            "audit",
            "The same, and whether it still has the rows of checkpoints that were kept elsewhere",
        )
        .needs(OPERATOR)
        .takes(&[(TEXT, "CheckpointFile")])
        .gives("AuditVerdict")
        .fails(NOT_FOUND),
        Operation::of(
            "GET",
            "/api/audit/checkpoints",
            "audit",
            "Signed checkpoints of the log, and the key to check them with",
        )
        .needs(OPERATOR)
        .query(CHECKPOINTS_QUERY)
        .gives("Checkpoints")
        .fails(NOT_FOUND),
        Operation::of(
            "GET",
            "/api/usage",
            "usage",
            "What was used and what it costs, by day, key and version",
        )
        .needs(USAGE)
        .query(USAGE_QUERY)
        .answers(
            200,
            "a page, or a file",
            Content::Either(&[(JSON, "UsageRows"), (CSV, ""), (JSON_LINES, "")]),
        ),
        Operation::of(
            "GET",
            "/api/limits",
            "usage",
            "One's own limits, prices and credits, and what is used up",
        )
        .needs(OWN_USAGE)
        .gives("Standing"),
        Operation::of(
            "GET",
            OF_TENANT,
            "tenants",
            "A tenant's limits, prices and credits, and what is used up",
        )
        .needs(OPERATOR)
        .gives("Standing")
        .fails(NOT_FOUND),
        Operation::of(
            "PUT",
            OF_TENANT,
            "tenants",
            "Sets all of a tenant's limits and prices",
        )
        .needs(OPERATOR)
        .takes(&[(JSON, "Limits")])
        .gives("Standing")
        .fails(NOT_FOUND),
        Operation::of(
            "POST",
            "/api/tenants/{tenant}/credits",
            "tenants",
            "Gives a tenant credits, or takes some back",
        )
        .needs(OPERATOR)
        .takes(&[(JSON, "Grant")])
        .gives("Account")
        .once()
        .fails(&[ErrorKind::NotFound, ErrorKind::Conflict]),
        Operation::of("GET", OF_KEY, "keys", "What a key may use")
            .needs(KEYS)
            .gives("Quotas")
            .fails(NOT_FOUND),
        Operation::of("PUT", OF_KEY, "keys", "Sets all of what a key may use")
            .needs(KEYS)
            .takes(&[(JSON, "Quotas")])
            .gives("Quotas")
            .fails(NOT_FOUND),
    ]
}
