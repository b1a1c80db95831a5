//! What is recorded of predictions, run again, handed out and erased.

use foretell_types::ErrorKind;

use super::table::PREDICTS;
use super::{Access, Operation};

const KEYS: Access = Access::Scopes(&["keys"]);

const TAG: &str = "recordings";
const JSON: &str = "application/json";
/// A name that names nobody.
const INVALID: &[ErrorKind] = &[ErrorKind::InvalidInput];

const PAGE: &[(&str, &str)] = &[
    (
        "limit",
        "recordings of the page, 1 to 1,000; 100 by default",
    ),
    ("cursor", "the `next_cursor` of the page before"),
];

pub(super) fn all() -> [Operation; 6] {
    const RULE: &str = "/api/recording";
    const SUBJECT: &str = "/api/subjects/{subject}";
    [
        Operation::of(
            "GET",
            RULE,
            TAG,
            "Whether predictions are recorded, and for how long",
        )
        .needs(KEYS)
        .gives("RecordingRule"),
        Operation::of(
            "PUT",
            RULE,
            TAG,
            "Sets whether predictions are recorded from now on, and how long all recordings are kept",
        )
        .needs(KEYS)
        .takes(&[(JSON, "RecordingRule")])
        .gives("RecordingRule"),
        Operation::of(
            "GET",
            "/api/recording/retention",
            TAG,
            "What is recorded, and how much of it would be deleted now; nothing is",
        )
        .needs(KEYS)
        .gives("Retention"),
        Operation::of(
            "POST",
            "/api/predictions/{request_id}/replay",
            TAG,
            "Runs a recorded prediction again, by the same version and past the cache",
        )
        .needs(KEYS)
        .gives("Replayed")
        .fails(PREDICTS),
        Operation::of("GET", SUBJECT, TAG, "All that was recorded of a person")
            .needs(KEYS)
            .query(PAGE)
            .gives("Recordings")
            .fails(INVALID),
        Operation::of(
            "DELETE",
            SUBJECT,
            TAG,
            "Erases what was recorded of a person, for good; the answer is a receipt",
        )
        .needs(KEYS)
        .gives("Receipt")
        .fails(INVALID),
    ]
}
