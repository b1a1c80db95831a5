//! What commands print: one document or table on stdout, everything else on stderr.

use std::fmt;
use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::exit::{Exit, Failure};

/// The form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people; tab-separated where stdout is no terminal.
    #[default]
    Table,
    /// The server's own answer, one JSON document.
    Json,
}

/// Writes one document to stdout, with one line break at its end.
///
/// # Errors
/// `Io` if stdout cannot take it.
pub fn document(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.trim_end_matches('\n').as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .or_else(|error| match error.kind() {
            // Whoever reads has read enough: `foretell model list | head -1`.
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(Failure::new(Exit::Io, format_args!("stdout: {error}"))),
        })
}

/// Writes a line for people to stderr.
pub fn note(line: impl fmt::Display) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Rows under a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push<const N: usize>(&mut self, row: [String; N]) {
        self.rows.push(row.into());
    }

    /// Writes them to stdout: a table on a terminal, tab-separated otherwise.
    ///
    /// # Errors
    /// As [`document`].
    pub fn print(&self) -> Result<(), Failure> {
        if std::io::stdout().is_terminal() {
            document(&self.table())
        } else {
            document(&self.plain())
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            // Names, ids and secrets are to be copied: a line that is too long is the terminal's to wrap.
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.header.clone())
            .add_rows(self.rows.clone());
        table.to_string()
    }

    fn plain(&self) -> String {
        let header = self.header.join("\t");
        let rows = self.rows.iter().map(|row| {
            let cells: Vec<_> = row
                .iter()
                .map(|cell| cell.replace(['\t', '\n', '\r'], " "))
                .collect();
            cells.join("\t")
        });
        std::iter::once(header)
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A field of an answer as a cell: texts as they are, lists joined, absent and null as `-`.
pub fn cell(object: &Value, field: &str) -> String {
    match object.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
    }
}

/// The items of a list answer: the array under `field`, or the body itself where it is an array.
pub fn items<'a>(body: &'a Value, field: &str) -> &'a [Value] {
    body.get(field)
        .unwrap_or(body)
        .as_array()
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_readable_whatever_the_field_holds() {
        let object = json!({"a": "text", "b": null, "c": ["x", 1], "d": 2.5, "e": true});
        let cells: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .map(|field| cell(&object, field))
            .collect();
        assert_eq!(cells, ["text", "-", "x,1", "2.5", "true", "-"]);
    }

    #[test]
    fn plain_rows_keep_one_line_each() {
        let mut rows = Rows::new(&["NAME", "NOTE"]);
        rows.push(["a".into(), "two\nlines\tand a tab".into()]);
        assert_eq!(rows.plain(), "NAME\tNOTE\na\ttwo lines and a tab");
        assert!(rows.table().contains("NAME"));
    }
}
