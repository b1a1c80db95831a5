//! The document as a page: no script, nothing from elsewhere, readable without a style sheet, too.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::Value;

use super::{DOCUMENT, TAGS};

/// How the page looks.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The page of the whole server.
pub(crate) fn page() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| render(&DOCUMENT));
    &PAGE
}

fn render(document: &Value) -> String {
    let mut html = String::new();
    let info = &document["info"];
    let (title, version) = (told(&info["title"]), told(&info["version"]));
    // Writing to a text cannot fail, here and below.
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} API</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body>\
         <header><h1>{title} <small>{version}</small></h1><p>{}</p>\
         <p>Show a key as <code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>. \
         The same for programs: <a href=\"/openapi.json\">openapi.json</a>.</p></header><nav><ul>",
        prose(&info["description"])
    );
    for (tag, about) in TAGS {
        let _ = write!(html, "<li><a href=\"#{tag}\">{}</a></li>", escaped(about));
    }
    html += "</ul></nav><main>";
    for (tag, about) in TAGS {
        let _ = write!(html, "<section id=\"{tag}\"><h2>{}</h2>", escaped(about));
        for (path, methods) in entries(&document["paths"]) {
            for (method, operation) in entries(methods) {
                if operation["tags"][0] == tag {
                    show(&mut html, document, path, method, operation);
                }
            }
        }
        html += "</section>";
    }
    html += "</main></body></html>";
    html
}

fn show(html: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        html,
        "<details id=\"{}\"><summary><b class=\"{method}\">{}</b> <code>{}</code> <span>{}</span></summary><p>{}</p>",
        told(&operation["operationId"]),
        method.to_uppercase(),
        escaped(path),
        prose(&operation["summary"]),
        prose(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array();
    if let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) {
        html.push_str("<h3>Parameters</h3><dl>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<dt><code>{}</code> <small>{}</small></dt><dd>{}</dd>",
                told(&parameter["name"]),
                told(&parameter["in"]),
                prose(&parameter["description"]),
            );
        }
        html.push_str("</dl>");
    }
    if let Some(content) = operation["requestBody"].get("content") {
        html.push_str("<h3>Body</h3>");
        bodies(html, document, content);
    }
    html.push_str("<h3>Answers</h3><dl>");
    for (status, response) in entries(&operation["responses"]) {
        let _ = write!(
            html,
            "<dt><code>{}</code></dt><dd><p>{}</p>",
            escaped(status),
            prose(&response["description"])
        );
        // What errors look like is the same everywhere.
        if status.starts_with('2')
            && let Some(content) = response.get("content")
        {
            bodies(html, document, content);
        }
        html.push_str("</dd>");
    }
    html.push_str("</dl></details>");
}

fn bodies(html: &mut String, document: &Value, content: &Value) {
    for (media_type, body) in entries(content) {
        let mut lines = String::new();
        outline(&mut lines, document, &body["schema"], 0);
        let _ = write!(
            html,
            "<p><small>{}</small></p><pre>{}</pre>",
            escaped(media_type),
            lines.trim_end()
        );
    }
}

/// A schema, a line for each field, indented by depth.
fn outline(lines: &mut String, document: &Value, schema: &Value, depth: usize) {
    const DEEPEST: usize = 6;
    let schema = resolved(document, schema);
    let indent = "  ".repeat(depth);
    if depth > DEEPEST {
        return;
    }
    for word in ["anyOf", "oneOf"] {
        let options = schema[word].as_array().into_iter().flatten();
        for (at, option) in options.enumerate() {
            let option = resolved(document, option);
            if option["type"] == "null" {
                continue;
            }
            if at > 0 {
                let _ = writeln!(lines, "{indent}or");
            }
            outline(lines, document, option, depth);
        }
    }
    if schema["type"] == "array" {
        let _ = writeln!(lines, "{indent}a list of");
        return outline(lines, document, &schema["items"], depth + 1);
    }
    let Some(properties) = schema["properties"].as_object() else {
        if schema.get("anyOf").is_none() {
            let _ = writeln!(lines, "{indent}{}", kind(schema));
        }
        return;
    };
    let required = schema["required"].as_array();
    for (name, field) in properties {
        let is_required = required.is_some_and(|names| names.iter().any(|known| known == name));
        let field = resolved(document, field);
        let about = match told(&field["description"]) {
            about if about.is_empty() => about,
            about => format!("  {about}"),
        };
        let optional = if is_required { "" } else { "?" };
        let _ = writeln!(
            lines,
            "{indent}<b>{}</b>{optional}: {}{about}",
            escaped(name),
            kind(field)
        );
        let inner = match field["type"].as_str() {
            Some("array") => resolved(document, &field["items"]),
            _ => field,
        };
        let has_more = ["properties", "anyOf", "oneOf"]
            .iter()
            .any(|word| inner.get(word).is_some());
        if has_more {
            outline(lines, document, inner, depth + 1);
        }
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"]
        .as_str()
        .and_then(|target| target.strip_prefix('#'));
    pointer
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(schema)
}

/// The type in a few words.
fn kind(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        const SHOWN: usize = 6;
        let mut words: Vec<_> = values.iter().take(SHOWN).map(told).collect();
        if values.len() > SHOWN {
            words.push("…".to_owned());
        }
        return words.join(" | ");
    }
    if let Some(media_type) = schema["contentMediaType"].as_str() {
        return format!("bytes ({})", escaped(media_type));
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => "list".to_owned(),
        Value::Array(kinds) => kinds.iter().map(told).collect::<Vec<_>>().join(" or "),
        Value::Null => "any".to_owned(),
        kind => told(kind),
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// A value as text for a page.
fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped(text),
        other => escaped(&other.to_string()),
    }
}

/// The same, where `code` stands in backquotes.
fn prose(value: &Value) -> String {
    let text = told(value);
    let mut html = String::with_capacity(text.len());
    for (at, piece) in text.split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(html, "<code>{piece}</code>");
        } else {
            html.push_str(piece);
        }
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_comes_from_elsewhere() {
        let page = page();
        for operation in super::super::OPERATIONS.iter() {
            assert!(
                page.contains(&format!("id=\"{}\"", operation.id())),
                "{}",
                operation.id()
            );
        }
        for elsewhere in ["http://", "https://", "<script", "//cdn", "@import"] {
            assert!(
                !page.contains(elsewhere) && !STYLE.contains(elsewhere),
                "{elsewhere}"
            );
        }
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(
            prose(&Value::from("a `<b>` & c")),
            "a <code>&lt;b&gt;</code> &amp; c"
        );
    }
}
