//! Bodies of audit, checkpoints, usage, limits and credits.

use foretell_types::ErrorKind;
use serde_json::{Value, json};

use super::super::reference;
use super::{Named, closed, count, list, named, number, or_null, text, time, truth};

pub(super) fn all() -> Named {
    [audit(), checkpoints(), usage(), limits()].concat()
}

/// Where the page after this one begins.
fn cursor() -> Value {
    or_null(text("where the next page begins; null = there is none"))
}

/// Credits that are given, or asked for one prediction, at most.
const MOST: i64 = 1_000_000_000;

/// Credits as they are sent.
fn credits(least: i64, most: i64, about: &str) -> Value {
    json!({
        "type": "number",
        "minimum": least,
        "maximum": most,
        "description": format!("{about}, in credits with at most six decimals"),
    })
}

fn audit() -> Named {
    let codes = ErrorKind::ALL.map(ErrorKind::code);
    let outcomes = format!("`ok`, `abandoned`, or an error: {}", codes.join(", "));
    let record = closed([
        ("seq", count("its number in the log of the host")),
        ("at", time("when")),
        ("tenant", or_null(text("whose things; null = the host's"))),
        (
            "actor",
            text("who: the id of a key, or `server`; empty = nobody who is known"),
        ),
        ("act", text("what was done")),
        ("object", text("what with; may be empty")),
        ("outcome", text(&outcomes)),
        (
            "request_id",
            or_null(text("the request that asked for it; null = none did")),
        ),
        (
            "origin",
            or_null(text(
                "a keyed hash of the address that it came from; null = it is not kept",
            )),
        ),
        (
            "detail",
            json!({"description": "what else is known, such as what was before and after; amounts are in millionths of credits"}),
        ),
        ("hash", text("its link in the chain")),
    ]);
    let broken = closed([
        ("row", count("the first row that is not what was written")),
        (
            "fault",
            text(
                "what is wrong there: `missing`, `altered`, `cut_off`, or with a checkpoint: `checkpoint_differs`, \
                 `checkpoint_cut_off`, `checkpoint_altered`",
            ),
        ),
        (
            "size?",
            count("how many rows the checkpoint is over; for faults of checkpoints"),
        ),
    ]);
    named([
        ("AuditRecord", record),
        (
            "AuditRecords",
            closed([
                ("records", list(&reference("AuditRecord"))),
                ("next_cursor", cursor()),
            ]),
        ),
        (
            "AuditVerdict",
            closed([
                ("ok", truth("whether every row is what was written")),
                ("rows?", count("how many are; for operators")),
                (
                    "checkpoints?",
                    count("how many were compared and hold; for operators"),
                ),
                ("broken", or_null(broken)),
            ]),
        ),
    ])
}

fn checkpoints() -> Named {
    let checkpoint = closed([
        ("size", count("how many rows it is over")),
        ("at", time("when it was made")),
        ("note", text("the signed note, as C2SP has it")),
    ]);
    named([
        (
            "Checkpoints",
            closed([
                (
                    "key",
                    text("the public key, as tools for signed notes take it"),
                ),
                ("checkpoints", list(&checkpoint)),
                (
                    "next",
                    or_null(count("`after` of the next page; null = there is none")),
                ),
            ]),
        ),
        (
            "CheckpointFile",
            text("the content of a file of checkpoints, at most 16 MiB"),
        ),
    ])
}

/// Sums of usage.
fn sums() -> [(&'static str, Value); 7] {
    [
        ("calls", count("requests")),
        ("predictions", count("rows that were answered or run")),
        ("cached", count("requests that the cache answered")),
        ("failed", count("requests that were run and failed")),
        ("compute_ms", number("in the sandbox")),
        ("credits", number("what it cost")),
        ("cost_usd", number("the same in US dollars")),
    ]
}

fn usage() -> Named {
    let of_one = |about: &str| or_null(text(about));
    let [calls, predictions, cached, failed, compute, credits, cost] = sums();
    let row = closed([
        ("tenant", text("whose")),
        (
            "day",
            json!({"type": "string", "format": "date", "description": "of UTC"}),
        ),
        ("key", of_one("who asked; null = all of the tenant's")),
        ("model", of_one("the model; null = all")),
        ("version", of_one("the version; null = all")),
        calls,
        predictions,
        cached,
        failed,
        compute,
        credits,
        cost,
    ]);
    named([
        ("UsageRow", row),
        (
            "UsageRows",
            closed([
                ("usage", list(&reference("UsageRow"))),
                ("next_cursor", cursor()),
            ]),
        ),
        ("Used", closed(sums())),
    ])
}

fn limits() -> Named {
    let limit = |about: &str| or_null(count(about));
    let price = closed([
        ("prediction?", or_null(credits(0, MOST, "for each row"))),
        (
            "compute_ms?",
            or_null(credits(0, MOST, "for each millisecond in the sandbox")),
        ),
    ]);
    let quotas = closed([
        (
            "requests_per_window?",
            limit("requests in a window, which is an hour unless configured otherwise"),
        ),
        (
            "concurrent?",
            limit("predictions under way; of tenants alone"),
        ),
        ("predictions_per_day?", limit("rows in a day of UTC")),
        ("predictions_per_month?", limit("rows in a calendar month")),
        ("compute_ms_per_day?", limit("milliseconds in the sandbox")),
        (
            "compute_ms_per_month?",
            limit("milliseconds in the sandbox"),
        ),
        (
            "credits_per_month?",
            or_null(credits(0, 8 * MOST, "the budget")),
        ),
    ]);
    let limits = closed([
        ("quotas?", or_null(reference("Quotas"))),
        ("stored_bytes?", limit("of plugins and artifacts")),
        ("models?", limit("models")),
        ("uploads_per_day?", limit("uploads in a day of UTC")),
        (
            "prepaid?",
            or_null(truth(
                "whether only credits are spent that were given before",
            )),
        ),
        ("price?", or_null(reference("Price"))),
        (
            "models_price?",
            json!({
                "type": "object",
                "additionalProperties": reference("Price"),
                "description": "prices of single models, by name",
            }),
        ),
        (
            "models_requests?",
            json!({
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
                "description": "requests of single models in a window, by name",
            }),
        ),
    ]);
    let key = closed([
        ("id", text("names the key")),
        ("quotas", reference("Quotas")),
    ]);
    named([
        ("Price", price),
        ("Quotas", quotas),
        ("Limits", limits),
        (
            "Standing",
            closed([
                ("tenant", text("whose")),
                ("limits", reference("Limits")),
                ("in_force", reference("Limits")),
                ("keys", list(&key)),
                ("today", reference("Used")),
                ("month", reference("Used")),
                ("account", reference("Account")),
            ]),
        ),
        (
            "Grant",
            closed([
                (
                    "credits",
                    credits(-MOST, MOST, "how many are given; below zero, taken back"),
                ),
                (
                    "reason?",
                    json!({"type": ["string", "null"], "maxLength": 256, "description": "one line for the record"}),
                ),
            ]),
        ),
        (
            "Account",
            closed([
                ("granted", number("credits that were given")),
                ("spent", number("credits that were spent")),
                ("balance", number("credits that are left")),
            ]),
        ),
    ])
}
