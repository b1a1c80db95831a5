//! What bodies look like.
//!
//! Ours are closed: what is not described is not there. Those of the protocols are open where the protocols are.

mod governance;
mod inference;
mod management;
mod recordings;
mod users;

use foretell_types::ErrorKind;
use serde_json::{Map, Value, json};

/// An object of these fields and no others. A name with `?` at its end may be absent.
pub(super) fn closed<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut object = open(fields);
    object["additionalProperties"] = json!(false);
    object
}

/// An object that may have other fields besides.
pub(super) fn open<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in fields {
        let plain = name.trim_end_matches('?');
        if plain == name {
            required.push(plain.to_owned());
        }
        properties.insert(plain.to_owned(), schema);
    }
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

pub(super) fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn count(about: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": about})
}

fn number(about: &str) -> Value {
    json!({"type": "number", "description": about})
}

fn truth(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

fn time(about: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": about})
}

/// The same, or null.
fn or_null(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

fn any(about: &str) -> Value {
    json!({"description": about})
}

/// What a parameter of a path is, and an example.
pub(super) fn path_parameter(name: &str) -> (&'static str, &'static str) {
    match name {
        "model" => ("the model's name", "iris"),
        "version" => ("the version's name", "1"),
        "tenant" => ("the tenant's name", "demo"),
        "request_id" => ("names the request that was recorded", "0123456789abcdef"),
        "subject" => (
            "the person, as `X-Subject` named it: 1 to 256 visible ASCII characters, percent-encoded",
            "customer-17",
        ),
        "user" => ("the user's id", "usr_0000000000000000"),
        _ => ("the key's id", "key_0000000000000000"),
    }
}

/// The error of the inference protocols.
pub(super) fn error() -> Value {
    let codes = ErrorKind::ALL.map(ErrorKind::code);
    closed([
        ("error", text("what is wrong, and what to do")),
        ("code", one_of(&codes)),
        ("request_id", text("names the request in the log")),
    ])
}

fn problem() -> Value {
    let codes = ErrorKind::ALL.map(ErrorKind::code);
    closed([
        ("type", text("`urn:foretell:error:` and the code")),
        ("title", text("the code in words")),
        ("status", count("the status")),
        ("detail", text("what is wrong, and what to do")),
        ("instance", text("names the request in the log")),
        ("code", one_of(&codes)),
        (
            "errors?",
            list(&closed([
                ("code", text("why the upload is refused")),
                ("subject", text("what is refused")),
                ("message", text("what to do")),
            ])),
        ),
    ])
}

/// Every schema that operations name.
pub(super) fn schemas() -> Value {
    let mut all = Map::new();
    for group in [
        errors(),
        server(),
        inference::all(),
        management::all(),
        governance::all(),
        recordings::all(),
        users::all(),
    ] {
        all.extend(group);
    }
    Value::Object(all)
}

type Named = Vec<(String, Value)>;

fn named<const N: usize>(schemas: [(&str, Value); N]) -> Named {
    schemas
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn errors() -> Named {
    named([("Error", error()), ("Problem", problem())])
}

fn server() -> Named {
    let status = |names: &[&str]| closed([("status", one_of(names))]);
    let check = closed([
        ("status", one_of(&["healthy", "unhealthy"])),
        ("detail?", text("what was seen; for operators")),
    ]);
    named([
        ("Alive", status(&["alive"])),
        ("Status", status(&["alive", "ready"])),
        (
            "Health",
            closed([
                ("status", one_of(&["healthy", "degraded"])),
                (
                    "checks?",
                    json!({"type": "object", "additionalProperties": check}),
                ),
            ]),
        ),
        (
            "ServerMetadata",
            open([
                ("name", text("`foretell`")),
                ("version", text("of the server")),
                ("extensions", list(&text("of the protocol"))),
            ]),
        ),
        ("Live", open([("live", truth("always true"))])),
        (
            "Ready",
            open([
                ("ready", truth("whether it takes new calls")),
                ("live", truth("always true")),
            ]),
        ),
        (
            "ModelNames",
            open([("models", list(&text("a model's name")))]),
        ),
        (
            "OpenApi",
            open([
                ("openapi", text("`3.1.0`")),
                ("info", open([])),
                ("paths", open([])),
            ]),
        ),
    ])
}
