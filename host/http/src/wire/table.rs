//! Rows of a list as a file: CSV (RFC 4180), or JSON Lines.

use http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

/// What a text begins with that spreadsheets take for a formula, and compute.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
/// What a text holds that cannot stand in a line of CSV as it is.
const SPECIAL: [char; 4] = ['"', ',', '\r', '\n'];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Values with commas between them, below a line of names.
    Csv,
    /// One JSON object on each line.
    Jsonl,
}

impl Format {
    /// The content type.
    pub(crate) const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/x-ndjson",
        })
    }

    /// What stands before the rows. The names are ours: nothing in them is special.
    pub(crate) fn header(self, columns: &[&str]) -> Vec<u8> {
        match self {
            Self::Csv => (columns.join(",") + "\r\n").into_bytes(),
            Self::Jsonl => Vec::new(),
        }
    }

    /// Rows, each of which is an object with these columns.
    ///
    /// # Errors
    /// Whatever serde reports; our own types give it no reason.
    pub(crate) fn rows(
        self,
        columns: &[&str],
        rows: impl Iterator<Item = impl Serialize>,
    ) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for row in rows {
            match self {
                Self::Csv => values(&mut bytes, columns, &serde_json::to_value(row)?),
                Self::Jsonl => {
                    serde_json::to_writer(&mut bytes, &row)?;
                    bytes.push(b'\n');
                }
            }
        }
        Ok(bytes)
    }
}

/// A line of CSV. What is null is empty.
fn values(bytes: &mut Vec<u8>, columns: &[&str], row: &Value) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            bytes.push(b',');
        }
        match &row[*column] {
            Value::Null => {}
            // A caller's text must not run in the program of whoever opens the file.
            Value::String(text) if text.starts_with(FORMULA) => {
                value(bytes, &format!("'{text}"));
            }
            Value::String(text) => value(bytes, text),
            // A number may begin with a sign, and is one all the same; JSON begins with a bracket.
            ours => value(bytes, &ours.to_string()),
        }
    }
    bytes.extend_from_slice(b"\r\n");
}

fn value(bytes: &mut Vec<u8>, text: &str) {
    if text.contains(SPECIAL) {
        bytes.push(b'"');
        bytes.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        bytes.push(b'"');
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn csv(columns: &[&str], rows: &[Value]) -> String {
        let mut bytes = Format::Csv.header(columns);
        bytes.extend(Format::Csv.rows(columns, rows.iter()).unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_has_its_columns_in_order_and_quotes_what_must_be() {
        let rows = [
            json!({"b": "two", "a": 1}),
            json!({"a": null, "b": "x,\"y\"\r\nz"}),
            json!({"a": -0.5, "b": {"k": "v"}}),
            json!({"a": true, "b": " spaces, "}),
            json!({"a": "ä", "b": ""}),
        ];
        let lines = [
            "a,b",
            "1,two",
            ",\"x,\"\"y\"\"\r\nz\"",
            "-0.5,\"{\"\"k\"\":\"\"v\"\"}\"",
            "true,\" spaces, \"",
            "ä,",
        ];
        assert_eq!(csv(&["a", "b"], &rows), lines.join("\r\n") + "\r\n");
        assert_eq!(csv(&["a", "b"], &[]), "a,b\r\n");
    }

    #[test]
    fn no_text_of_a_caller_is_a_formula() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\r=1", "\"'\r=1\""),
            (
                "=HYPERLINK(\"x\",\"y\")",
                "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"",
            ),
            ("a=1", "a=1"),
        ] {
            let row = json!({ "a": text });
            assert_eq!(csv(&["a"], &[row]), format!("a\r\n{written}\r\n"));
        }
    }

    #[test]
    fn json_lines_are_the_objects_as_they_are() {
        let rows = [json!({"a": "x\ny"}), json!({"a": null})];
        let lines = Format::Jsonl.rows(&["a"], rows.iter()).unwrap();
        assert_eq!(lines, b"{\"a\":\"x\\ny\"}\n{\"a\":null}\n");
        assert_eq!(Format::Jsonl.header(&["a"]), b"");
    }
}
