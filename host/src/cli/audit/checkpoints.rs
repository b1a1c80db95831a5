//! Checkpoints of the log: written to a file, and a file of them compared with the log.

use std::fs;
use std::iter;
use std::ops::ControlFlow;
use std::path::Path;

use foretell_store::checkpoint::split;
use reqwest::Method;
use serde_json::Value;

use super::VERIFY;
use crate::cli::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::export::Target;
use crate::cli::listing::{BY_NUMBER, Query, pages, strange};
use crate::cli::output::{self, Format, cell};
use crate::client::{Answer, Client};

const ROUTE: &str = "/api/audit/checkpoints";
/// Bytes of checkpoints that are sent at once: the server takes twice as many. It reads its whole log for each part.
const PART_BYTES: usize = 8 << 20;

/// Writes all checkpoints, in the form of a file of them.
pub(super) fn write(context: &Context, target: &Target) -> Result<(), Failure> {
    if context.format() == Format::Json && target.is_stdout() {
        return output::document(&document(context)?.to_string());
    }
    let client = context.client()?;
    let mut sink = target.open()?;
    let mut key = String::new();
    let page = async |query: Query| client.host(Method::GET, &query.of(ROUTE), None).await;
    context.block_on(pages(BY_NUMBER, "checkpoints", page, |page, rows| {
        key = cell(page, "key");
        for row in rows {
            if sink.take(note(row)?.as_bytes())?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }))?;
    sink.finish()?;
    output::note(format_args!(
        "signed with {key}; keep this key, too, where the server cannot write"
    ));
    Ok(())
}

/// All pages as one.
fn document(context: &Context) -> Result<Value, Failure> {
    let client = context.client()?;
    let mut checkpoints = Vec::new();
    let mut document = Value::Null;
    let page = async |query: Query| client.host(Method::GET, &query.of(ROUTE), None).await;
    context.block_on(pages(BY_NUMBER, "checkpoints", page, |page, rows| {
        checkpoints.extend_from_slice(rows);
        document = page.clone();
        Ok(ControlFlow::Continue(()))
    }))?;
    document["checkpoints"] = Value::Array(checkpoints);
    Ok(document)
}

/// A checkpoint as it stands in a file, with the empty line that follows it there.
fn note(checkpoint: &Value) -> Result<String, Failure> {
    let note = checkpoint["note"].as_str();
    let note = note.ok_or_else(|| strange("a checkpoint without `note`"))?;
    Ok(format!("{}\n\n", note.trim_end()))
}

/// Has the server compare its log with the checkpoints of a file. What it answers is about the first part of the file that
/// does not hold, or about the last.
pub(super) fn compare(context: &Context, client: &Client, file: &Path) -> Result<Answer, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?;
    let parts = parts(&text, PART_BYTES);
    context.block_on(async {
        let mut last = None;
        for part in parts {
            let answer = client.host_text(Method::POST, VERIFY, part.text).await;
            let answer = answer.map_err(|failure| placed(failure, part.first))?;
            if answer.json["ok"] != true {
                return Ok(answer);
            }
            last = Some(answer);
        }
        last.ok_or_else(|| {
            Failure::new(
                Exit::Data,
                format_args!("there is no checkpoint in {}", file.display()),
            )
        })
    })
}

/// A refusal names a line of the part.
fn placed(failure: Failure, first: usize) -> Failure {
    if first == 1 || failure.exit != Exit::Data {
        return failure;
    }
    Failure::new(
        failure.exit,
        format_args!("{failure}\nlines are counted from line {first} of the file"),
    )
}

/// Some of the checkpoints of a file, as far apart as they are there.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// The number of the line where it begins.
    first: usize,
    /// And of the one after its end.
    next: usize,
    text: String,
}

/// All checkpoints, in parts of at most `most` bytes; one that has more is a part of its own.
fn parts(text: &str, most: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (first, note) in split(text) {
        let next = first + note.lines().count();
        match parts.last_mut() {
            Some(part) if part.text.len() + (first - part.next) + note.len() <= most => {
                part.text.extend(iter::repeat_n('\n', first - part.next));
                part.text.push_str(&note);
                part.next = next;
            }
            _ => parts.push(Part {
                first,
                next,
                text: note,
            }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOTE: &str = "log/1\n5\nroot\n\n— log/1 signature====\n";

    #[test]
    fn a_file_is_sent_in_parts_of_whole_checkpoints_whose_lines_can_be_counted() {
        let text = format!("\n{NOTE}\n{NOTE}\n\n{NOTE}");
        let whole = Part {
            first: 2,
            next: 20,
            text: format!("{NOTE}\n{NOTE}\n\n{NOTE}"),
        };
        assert_eq!(parts(&text, 1_000), [whole]);
        let part = |first: usize, next: usize, text: String| Part { first, next, text };
        let two = NOTE.len() * 2 + 1;
        let of_two = [
            part(2, 13, format!("{NOTE}\n{NOTE}")),
            part(15, 20, NOTE.to_owned()),
        ];
        assert_eq!(parts(&text, two), of_two);
        let alone = [(2, 7), (8, 13), (15, 20)].map(|(first, next)| part(first, next, NOTE.into()));
        assert_eq!(parts(&text, two - 1), alone);
        assert_eq!(parts(&text, 1), alone);
        assert!(parts("\n\n", 1_000).is_empty());
    }

    #[test]
    fn a_refusal_within_a_part_says_where_the_part_begins() {
        let refused = Failure::new(Exit::Data, "the checkpoint at line 3: unsigned");
        assert_eq!(placed(refused.clone(), 1), refused);
        assert!(placed(refused, 8).message.ends_with("line 8 of the file"));
        let unreached = Failure::new(Exit::Unavailable, "no server");
        assert_eq!(placed(unreached.clone(), 8), unreached);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let rows = [json!({"size": 5, "note": NOTE}), json!({"note": NOTE})];
        let file: String = rows.iter().map(|row| note(row).unwrap()).collect();
        assert_eq!(split(&file), [(1, NOTE.to_owned()), (7, NOTE.to_owned())]);
        assert_eq!(
            note(&json!({"size": 5})).unwrap_err().exit,
            Exit::Unavailable
        );
    }
}
