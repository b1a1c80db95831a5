//! `audit list|verify|export|checkpoints`: what was done, by whom, and whether the log still says so.

mod checkpoints;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::exit::{Exit, Failure};
use super::export::{Export, Target};
use super::listing::{Listing, Query};
use super::output::{self, Format, Rows, cell};

const ROUTE: &str = "/api/audit";
const VERIFY: &str = "/api/audit/verify";

/// Lists, checks or exports the audit log: a tenant's own rows, or, for an operator without --tenant, everybody's.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists what was done; --output json also has each row's detail, origin and hash.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Rows at most.
        #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Begin with the first row instead of the last.
        #[arg(long)]
        oldest_first: bool,
    },
    /// Checks that every row of the log is what was written, and that none is missing.
    Verify {
        /// Compare it also with the checkpoints of this file, which was kept where nobody who can change the log can write;
        /// operators only.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Writes the rows to a file or to stdout.
    Export {
        #[command(flatten)]
        filter: Filter,
        /// The oldest first, as the tree of a checkpoint needs them.
        #[arg(long)]
        oldest_first: bool,
        #[command(flatten)]
        export: Export,
    },
    /// Writes all checkpoints, which are signed, as a file of them has them; operators only. --output json also has the
    /// times.
    Checkpoints(Target),
}

/// Which rows are wanted; all conditions must hold.
#[derive(Debug, Args)]
struct Filter {
    /// Of what was done, such as key.create, limits.set or predict.
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    /// By whom, such as the id of a key, or server.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// With this end: ok, or the code of an error.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// With what it was done, such as lead-score/2.
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Of one request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Not earlier than this: 2026-11-24, 2026-11-24T22:30:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Earlier than this.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default()
            .with("act", self.act.as_ref())
            .with("actor", self.actor.as_ref())
            .with("outcome", self.outcome.as_ref())
            .with("object", self.object.as_ref())
            .with("request_id", self.request_id.as_ref())
            .with("since", self.since.as_ref())
            .with("until", self.until.as_ref())
    }
}

impl Audit {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::List {
                filter,
                limit,
                oldest_first,
            } => {
                let order = if oldest_first { "asc" } else { "desc" };
                let query = filter.query().with("order", Some(order));
                list(context, &query, limit as usize)
            }
            Command::Verify { checkpoints } => verify(context, checkpoints),
            Command::Export {
                filter,
                oldest_first,
                export,
            } => {
                let order = oldest_first.then_some("asc");
                export.execute(context, ROUTE, filter.query().with("order", order))
            }
            Command::Checkpoints(target) => checkpoints::write(context, &target),
        }
    }
}

fn list(context: &Context, query: &Query, wanted: usize) -> Result<(), Failure> {
    let client = context.client()?;
    let listing = context.block_on(Listing::fetch(&client, ROUTE, query, "records", wanted))?;
    match context.format() {
        Format::Json => output::document(&listing.document()),
        Format::Table => rows(listing.rows()).print(),
    }
}

fn rows(records: &[Value]) -> Rows {
    let mut rows = Rows::new(&[
        "ROW", "AT", "TENANT", "ACTOR", "ACT", "OBJECT", "OUTCOME", "REQUEST",
    ]);
    for record in records {
        rows.push(
            [
                "seq",
                "at",
                "tenant",
                "actor",
                "act",
                "object",
                "outcome",
                "request_id",
            ]
            .map(|field| shown(record, field)),
        );
    }
    rows
}

/// A field as a cell. The log holds names that strangers chose, and a terminal obeys some characters.
fn shown(record: &Value, field: &str) -> String {
    let text = cell(record, field);
    match text.as_str() {
        "" => "-".to_owned(),
        _ => text.replace(char::is_control, "\u{fffd}"),
    }
}

fn verify(context: &Context, checkpoints: Option<PathBuf>) -> Result<(), Failure> {
    let client = context.client()?;
    let answer = match checkpoints {
        None => context.block_on(client.tenant(Method::GET, VERIFY, None))?,
        Some(file) => checkpoints::compare(context, &client, &file)?,
    };
    let verdict = verdict(&answer.json);
    match (context.format(), verdict) {
        (Format::Json, verdict) => {
            output::document(&answer.text)?;
            verdict.map(drop)
        }
        (Format::Table, verdict) => output::document(&verdict?),
    }
}

/// What a check of the log came to, in words.
///
/// # Errors
/// `Data` if the log is not what was written.
fn verdict(body: &Value) -> Result<String, Failure> {
    if body["ok"] == true {
        let count = |before: &str, what: &str| match cell(body, what) {
            none if none == "-" => String::new(),
            count => format!("{before}{count} {what}"),
        };
        let counts = [count(": ", "rows"), count(", ", "checkpoints")].concat();
        return Ok(format!("the audit log is what was written{counts}"));
    }
    let broken = &body["broken"];
    let [row, size] = ["row", "size"].map(|field| cell(broken, field));
    let what = match cell(broken, "fault").as_str() {
        "missing" => format!("row {row} is missing, and there are later ones"),
        "altered" => format!("row {row} is not what was written"),
        "cut_off" => format!("it ends before row {row}, which was there once"),
        "checkpoint_differs" => {
            format!(
                "a row from {row} to {size} is not what the checkpoint over {size} rows was signed for"
            )
        }
        "checkpoint_cut_off" => format!(
            "it ends before row {row}, and a checkpoint was signed over {size} rows: it was cut, or comes from a backup of before"
        ),
        "checkpoint_altered" => {
            format!(
                "from row {row} on, the stored checkpoint over {size} rows is not what this server signed"
            )
        }
        "-" => "the server does not say where".to_owned(),
        other => format!("row {row}: {other}"),
    };
    Err(Failure::new(
        Exit::Data,
        format_args!(
            "the audit log is broken: {what}\n\
             rows before it are as they were written; keep a copy of the data folder as it is now, compare from there on \
             with an export or a backup of before, and find out who could write to the database"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_that_is_not_what_was_written_fails_and_names_the_row() {
        for (body, words) in [
            (json!({"ok": true, "rows": 7, "broken": null}), ": 7 rows"),
            (json!({"ok": true, "broken": null}), "what was written"),
            (
                json!({"ok": true, "rows": 7, "checkpoints": 2, "broken": null}),
                ": 7 rows, 2 checkpoints",
            ),
        ] {
            let verdict = verdict(&body).unwrap();
            assert!(verdict.ends_with(words), "{verdict}");
        }
        for (fault, words) in [
            ("missing", "row 17 is missing"),
            ("altered", "row 17 is not what was written"),
            ("cut_off", "ends before row 17"),
            ("checkpoint_differs", "from 17 to 25"),
            ("checkpoint_cut_off", "signed over 25 rows"),
            (
                "checkpoint_altered",
                "over 25 rows is not what this server signed",
            ),
            ("burnt", "row 17: burnt"),
        ] {
            let body = json!({"ok": false, "broken": {"row": 17, "fault": fault, "size": 25}});
            let failure = verdict(&body).unwrap_err();
            assert_eq!(failure.exit, Exit::Data);
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.message.contains("keep a copy"), "{failure}");
        }
        // What nobody understands is no good news.
        for body in [json!({}), json!([]), json!({"ok": "true"}), Value::Null] {
            assert!(verdict(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_row_of_the_log_cannot_command_the_terminal() {
        let record = json!({
            "seq": 1, "at": "2026-11-24T22:30:00.000Z", "tenant": null, "actor": "jwt:\u{1b}[2Jx", "act": "refuse",
            "object": "", "outcome": "forbidden", "request_id": null, "detail": {},
        });
        let mut expected = Rows::new(&[
            "ROW", "AT", "TENANT", "ACTOR", "ACT", "OBJECT", "OUTCOME", "REQUEST",
        ]);
        expected.push(
            [
                "1",
                "2026-11-24T22:30:00.000Z",
                "-",
                "jwt:\u{fffd}[2Jx",
                "refuse",
                "-",
                "forbidden",
                "-",
            ]
            .map(str::to_owned),
        );
        assert_eq!(rows(&[record]), expected);
    }

    #[test]
    fn only_conditions_that_were_given_are_asked_for() {
        let filter = Filter {
            act: Some("predict".to_owned()),
            actor: None,
            outcome: None,
            object: Some("lead-score/2".to_owned()),
            request_id: None,
            since: Some("2026-11-24T22:30:00Z".to_owned()),
            until: None,
        };
        assert_eq!(
            filter.query().of(ROUTE),
            "/api/audit?act=predict&object=lead-score%2F2&since=2026-11-24T22%3A30%3A00Z"
        );
    }
}
