//! The API in the words of OpenAPI 3.1: what is there (`operations`), what its bodies look like (`schemas`), the document
//! made of both, the page for people (`page`), and the same for one model, from its signature (`model`).
//!
//! Bodies of predictions are read and written by hand, in five protocols; so the document is written by hand, too, and held
//! against the server by tests: every route is in it, and what is in it is a route.

mod model;
mod operations;
mod page;
mod schemas;

use std::sync::LazyLock;

use foretell_types::ErrorKind;
use serde_json::{Map, Value, json};

pub(crate) use self::model::model;
pub(crate) use self::operations::OPERATIONS;
use self::operations::{Access, Body, Content, Operation};
pub(crate) use self::page::{STYLE, page};
use crate::browser::SESSION;
use crate::reply::status;

/// The document of the whole server.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = document(
        "Foretell",
        "Models that were uploaded as WebAssembly plugins, each run in a sandbox and served over the standard inference \
         protocols. Every route is also there under `/tenants/{tenant}`, for operators.",
        env!("CARGO_PKG_VERSION"),
        paths(&OPERATIONS),
        schemas::schemas(),
    );
    document["info"]["license"] = json!({"name": "Apache-2.0", "identifier": "Apache-2.0"});
    document["tags"] = TAGS
        .map(|(name, about)| json!({"name": name, "description": about}))
        .into();
    document
});

/// A document around these paths and schemas.
fn document(title: &str, about: &str, version: &str, paths: Value, schemas: Value) -> Value {
    let session = json!({
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION,
        "description": "from a login; what changes something takes its `csrf` as well, as the header `X-CSRF-Token`",
    });
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": title,
            "version": version,
            "description": about,
        },
        "servers": [
            {"url": "/", "description": "the tenant of the key"},
            {
                "url": "/tenants/{tenant}",
                "description": "for operators: any tenant",
                "variables": {"tenant": {"default": "demo"}},
            },
        ],
        "security": [{"bearer": []}, {"key": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, `ftl_...`"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": session,
            },
        },
    })
}

/// The groups of routes, in the order in which they are shown.
const TAGS: [(&str, &str); 13] = [
    ("predict", "Predictions by record"),
    ("v2", "Open Inference Protocol V2"),
    ("v1", "KServe V1 and TensorFlow Serving"),
    ("repository", "Triton's model repository"),
    ("models", "Models, versions, traffic"),
    ("keys", "API keys"),
    ("users", "Users and sessions"),
    ("tenants", "Tenants, for operators"),
    ("audit", "The audit log"),
    ("usage", "Usage and limits"),
    ("recordings", "Recordings, replays, and persons"),
    ("health", "Whether the server is well; without a key"),
    ("docs", "This document"),
];

/// The operations by path and method.
fn paths(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = described(operation);
    }
    Value::Object(paths)
}

fn described(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id(),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description(),
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    if operation.access == Access::Public {
        described["security"] = json!([]);
    }
    // The public's routes that show more to whoever has a key.
    if operation.access == Access::PublicOrKey {
        described["security"] = json!([{}, {"bearer": []}, {"key": []}, {"session": []}]);
    }
    if operation.access == Access::Session {
        described["security"] = json!([{"session": []}]);
    }
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({
            "required": body.required,
            "content": body_content(body),
        });
    }
    described
}

fn body_content(body: &Body) -> Value {
    let types = body.types.iter().map(|(media_type, schema)| {
        (
            (*media_type).to_owned(),
            json!({"schema": reference(schema)}),
        )
    });
    Value::Object(types.collect())
}

fn parameters(operation: &Operation) -> Value {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| {
        let name = rest.split('}').next()?;
        let (about, example) = schemas::path_parameter(name);
        Some(json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": {"type": "string", "minLength": 1},
            "description": about,
            // Whoever tries the examples out should not lose what the other examples are about.
            "example": if operation.takes_away() { "retired" } else { example },
        }))
    });
    let in_query = operation.query.iter().map(|(name, about)| {
        json!({
            "name": name,
            "in": "query",
            "required": false,
            "schema": {"type": "string"},
            "description": about,
        })
    });
    in_path
        .chain(in_query)
        .chain(in_headers(operation))
        .collect()
}

fn in_headers(operation: &Operation) -> impl Iterator<Item = Value> {
    let header = |name: &str, schema: Value, about: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": false,
            "schema": schema,
            "description": about,
        })
    };
    let is_new = operation.is_prediction() && !operation.is_replay();
    let cached = is_new.then(|| {
        header(
            "Cache-Control",
            json!({"type": "string", "enum": ["no-cache", "no-store"]}),
            "`no-cache`: run, and keep the answer; `no-store`: run, and do not keep it",
        )
    });
    let subject = is_new.then(|| {
        header(
            "X-Subject",
            json!({"type": "string", "pattern": "^[!-~]{1,256}$"}),
            "whom it is about, as the caller names the person: what is recorded is handed out and erased by this name",
        )
    });
    let once = operation.is_once().then(|| {
        header(
            "Idempotency-Key",
            json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
            "names the request, such as a new UUID: sent again with the same key, it is neither charged nor done twice",
        )
    });
    [cached, subject, once].into_iter().flatten()
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, about, content) in &operation.answers {
        let mut response = json!({"description": about, "headers": headers(operation)});
        match content {
            Content::Nothing => {}
            Content::Json(schema) => {
                response["content"] = json!({"application/json": {"schema": reference(schema)}});
            }
            Content::Either(types) => {
                let types = types.iter().map(|(media_type, schema)| {
                    let schema = match *schema {
                        "" => json!({"type": "string", "contentMediaType": media_type}),
                        schema => reference(schema),
                    };
                    ((*media_type).to_owned(), json!({"schema": schema}))
                });
                response["content"] = Value::Object(types.collect());
            }
        }
        responses.insert(status.to_string(), response);
    }
    for (status, codes) in by_status(&operation.errors()) {
        let (media_type, schema) = if operation.is_inference() {
            ("application/json", "Error")
        } else {
            ("application/problem+json", "Problem")
        };
        let list: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
        let mut response = json!({
            "description": list.join(", "),
            "content": {media_type: {"schema": reference(schema)}},
        });
        if matches!(status, 429 | 503) {
            let wait = header("seconds after which it may well be answered");
            response["headers"] = json!({ "Retry-After": wait });
        }
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn header(about: &str) -> Value {
    json!({"description": about, "schema": {"type": "string"}})
}

fn headers(operation: &Operation) -> Value {
    let mut headers = Map::new();
    headers.insert("X-Request-Id".into(), header("names the request"));
    if operation.is_prediction() {
        for (name, about) in [
            ("X-Model-Version", "the version that answered"),
            ("X-Model-Digest", "what that version is"),
            ("X-Cache", "`hit`, `miss` or `bypass`"),
            ("X-Credits-Used", "what the prediction costs, in credits"),
            (
                "X-RateLimit-Limit",
                "requests in a window, where they are limited",
            ),
            ("X-RateLimit-Remaining", "how many of them are left"),
            ("X-RateLimit-Reset", "seconds until there are more"),
            (
                "Idempotency-Replayed",
                "`true`: the same request was answered before, and this answer is free of charge",
            ),
            (
                "Server-Timing",
                "milliseconds queued, in the cache, and in the sandbox",
            ),
        ] {
            headers.insert(name.into(), header(about));
        }
    }
    Value::Object(headers)
}

/// The codes of these kinds by their status, smallest first.
fn by_status(kinds: &[ErrorKind]) -> Vec<(u16, Vec<&'static str>)> {
    let mut all: Vec<(u16, Vec<&'static str>)> = Vec::new();
    for kind in ErrorKind::ALL
        .into_iter()
        .filter(|kind| kinds.contains(kind))
    {
        let number = status(kind).as_u16();
        match all.iter_mut().find(|(known, _)| *known == number) {
            Some((_, codes)) => codes.push(kind.code()),
            None => all.push((number, vec![kind.code()])),
        }
    }
    all.sort_unstable_by_key(|(number, _)| *number);
    all
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
