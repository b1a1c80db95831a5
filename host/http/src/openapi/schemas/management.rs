//! Bodies of `/api`, but for predictions.

use serde_json::json;

use super::super::reference;
use super::{Named, closed, count, list, named, number, one_of, open, or_null, text, time, truth};

pub(super) fn all() -> Named {
    [management(), traffic()].concat()
}

fn management() -> Named {
    let outline = closed([
        ("version", text("its name")),
        ("digest", text("what it is")),
        ("active", truth("whether calls that name none go to it")),
        ("bytes", count("of plugin and artifact")),
        ("created_at", time("when it was accepted")),
    ]);
    let runtime = closed([
        ("isolation", one_of(&["fresh", "reuse"])),
        ("deadline_ms", count("in the sandbox, at most")),
        ("memory_mib", count("of guest memory, at most")),
        ("max_rows", count("of one request, at most")),
        ("cache", truth("whether answers may be kept")),
    ]);
    let key = || {
        [
            ("id", text("names the key")),
            ("tenant", or_null(text("whose it is; null = an operator's"))),
            ("label", text("for people")),
            ("scopes", list(&text("what it may"))),
            (
                "models",
                json!({"type": ["array", "null"], "items": {"type": "string"}, "description": "models that it is for; null = all"}),
            ),
            ("created_at", time("when it was made")),
            ("expires_at", or_null(time("until when it opens something"))),
            ("revoked_at", or_null(time("since when it does not"))),
            (
                "last_used_at",
                or_null(time("when it was last shown, to the minute")),
            ),
        ]
    };
    let mut issued = closed(key());
    issued["properties"]["secret"] = text("shown this once");
    if let Some(required) = issued["required"].as_array_mut() {
        required.push(json!("secret"));
    }
    named([
        (
            "Model",
            closed([
                ("name", text("the model's")),
                ("traffic", reference("TrafficOutline")),
                ("versions", list(&outline)),
            ]),
        ),
        ("Models", closed([("models", list(&reference("Model")))])),
        (
            "Version",
            closed([
                ("model", text("its model")),
                ("version", text("its name")),
                ("active", truth("whether calls that name none go to it")),
                (
                    "digest",
                    text("SHA-256 of plugin, artifact, settings and runtime"),
                ),
                ("plugin", text("SHA-256 of the plugin")),
                ("artifact", or_null(text("SHA-256 of the artifact"))),
                ("bytes", count("of plugin and artifact")),
                ("created_at", time("when it was accepted")),
                ("settings", open([])),
                ("runtime", runtime),
                (
                    "signature",
                    open([
                        ("doc", text("for people")),
                        ("inputs", list(&open([]))),
                        ("outputs", list(&open([]))),
                    ]),
                ),
            ]),
        ),
        (
            "Upload",
            open([
                (
                    "plugin",
                    json!({"type": "string", "contentMediaType": "application/wasm"}),
                ),
                (
                    "artifact?",
                    json!({"type": "string", "contentMediaType": "application/octet-stream"}),
                ),
                ("settings?", text("a JSON object for the plugin's `load`")),
                ("runtime?", text("a JSON object for the host")),
            ]),
        ),
        (
            "Deleted",
            closed([
                ("tenant?", text("the tenant that was deleted")),
                ("model?", text("the model")),
                ("version?", text("the version that was deleted")),
                ("deleted", truth("always true")),
            ]),
        ),
        (
            "Purged",
            closed([("model?", text("the model")), ("removed", count("answers"))]),
        ),
        ("Key", closed(key())),
        ("Keys", closed([("keys", list(&reference("Key")))])),
        ("IssuedKey", issued),
        (
            "NewKey",
            closed([
                (
                    "scopes?",
                    json!({"type": "array", "minItems": 1, "items": one_of(&["infer", "models", "keys", "usage", "audit"]), "description": "what it may do; this or `role`"}),
                ),
                (
                    "role?",
                    json!({"enum": ["owner", "uploader", "caller", "auditor", null], "description": "a name for several scopes, instead of them"}),
                ),
                (
                    "models?",
                    json!({"type": ["array", "null"], "minItems": 1, "maxItems": 100, "items": {"type": "string"}, "description": "models that it is for; absent = all. Such a key has no scopes but infer and models"}),
                ),
                ("label?", or_null(text("for people"))),
                (
                    "expires_in_days?",
                    json!({"type": ["integer", "null"], "minimum": 1, "maximum": 3650}),
                ),
            ]),
        ),
        (
            "Rotation",
            closed([(
                "overlap_seconds",
                json!({"type": "integer", "minimum": 0, "maximum": 2_592_000}),
            )]),
        ),
        (
            "NewTenant",
            closed([(
                "name",
                json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}),
            )]),
        ),
        (
            "Tenant",
            closed([
                ("name", text("the tenant's")),
                ("created_at", time("when it was made")),
            ]),
        ),
        ("Tenants", closed([("tenants", list(&reference("Tenant")))])),
    ])
}

fn traffic() -> Named {
    let percent =
        json!({"type": "number", "minimum": 0, "maximum": 100, "description": "in steps of 0.01"});
    let whole = |most: u32| json!({"type": ["integer", "null"], "minimum": 1, "maximum": most});
    let header = closed([("name", text("in any case")), ("value", text("exactly"))]);
    let guard = closed([
        (
            "window?",
            json!({"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100, "description": "how many of its latest calls are looked at"}),
        ),
        (
            "min_calls?",
            json!({"type": ["integer", "null"], "minimum": 1, "maximum": 10_000, "default": 20, "description": "from so many calls on errors and latency count"}),
        ),
        ("error_percent?", or_null(percent.clone())),
        ("traps?", whole(u32::MAX)),
        ("latency_ms?", whole(u32::MAX)),
    ]);
    let canary = closed([
        ("version", text("the version")),
        ("percent?", percent),
        ("header?", or_null(header)),
        ("keys?", list(&text("the id of an API key"))),
        (
            "sticky?",
            or_null(text("the header that keeps a caller with one version")),
        ),
        ("guard?", or_null(guard)),
    ]);
    let change = closed([
        ("revision", count("of the model since then")),
        ("at", time("when")),
        ("by", or_null(text("the id of the key; null = the server"))),
        ("reason", text("why")),
        ("before", reference("Traffic")),
        ("after", reference("Traffic")),
    ]);
    let milliseconds = |about: &str| or_null(number(about));
    let shadow = closed([
        ("ran", count("copies that were run to an answer")),
        ("differing", count("of them with another answer")),
        ("largest_difference", number("between two numbers")),
        ("failed", count("copies without an answer")),
        ("skipped", count("copies that were not run")),
        ("mean_ms", milliseconds("in the sandbox")),
        (
            "answered_mean_ms",
            milliseconds("of the versions that answered the same calls"),
        ),
        ("last", or_null(text("what differed or failed last"))),
    ]);
    let version = closed([
        ("version", text("its name")),
        (
            "role",
            json!({"enum": ["active", "canary", "shadow", null]}),
        ),
        ("answered", count("predictions")),
        ("failed", count("predictions")),
        ("faults", count("of the failures, its own")),
        (
            "p50_ms",
            milliseconds("half of its answers took at most so long"),
        ),
        ("p99_ms", milliseconds("99 of 100 took at most so long")),
        ("shadow", or_null(shadow)),
    ]);
    named([
        ("Canary", canary),
        (
            "TrafficOutline",
            closed([
                ("active", or_null(text("the version that answers"))),
                (
                    "canary",
                    or_null(closed([
                        (
                            "version",
                            text("the version that answers some of the calls"),
                        ),
                        (
                            "percent",
                            number("of the calls that no other rule gives it"),
                        ),
                    ])),
                ),
                ("shadow", or_null(text("the version that is given copies"))),
                ("revision", count("how often it was changed")),
            ]),
        ),
        (
            "Traffic",
            closed([
                ("active", or_null(text("the version that answers"))),
                ("canary", or_null(reference("Canary"))),
                ("shadow", or_null(text("the version that is given copies"))),
                ("revision?", count("how often it was changed")),
            ]),
        ),
        (
            "TrafficRequest",
            closed([
                ("active?", or_null(text("the version that is to answer"))),
                ("canary?", or_null(reference("Canary"))),
                (
                    "shadow?",
                    or_null(text("the version that is to be given copies")),
                ),
                ("promote?", truth("makes the canary the active version")),
                (
                    "rollback?",
                    truth("takes the canary back, or the last activation"),
                ),
                (
                    "reason?",
                    json!({"type": ["string", "null"], "maxLength": 500}),
                ),
                (
                    "revision?",
                    json!({"type": ["integer", "null"], "minimum": 0}),
                ),
            ]),
        ),
        (
            "TrafficReport",
            closed([
                ("model", text("the model")),
                ("traffic", reference("Traffic")),
                ("versions", list(&version)),
                ("changes", list(&change)),
            ]),
        ),
    ])
}
