//! `usage` and `usage export`: what was used, and what it cost.

use clap::{Args, Subcommand, ValueEnum};
use foretell_types::ModelName;
use serde_json::Value;

use super::Context;
use super::amount::{Amount, Dollars, Milliseconds};
use super::exit::Failure;
use super::export::Export;
use super::listing::{Listing, Query};
use super::output::{self, Format, Rows, cell};

const ROUTE: &str = "/api/usage";
/// What is counted, in the order of the table.
const COUNTS: [&str; 4] = ["calls", "predictions", "cached", "failed"];

/// Shows what was used and what it cost, with the sum: a tenant's own, or, for an operator without --tenant, everybody's.
#[derive(Debug, Args)]
pub(super) struct Usage {
    #[command(flatten)]
    filter: Filter,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the rows to a file or to stdout.
    Export(Export),
}

/// Which rows are wanted. Global, so that they may stand before and behind `export`.
#[derive(Debug, Args)]
struct Filter {
    /// From this day on, such as 2026-11-24.
    #[arg(long, global = true, value_name = "DAY")]
    since: Option<String>,
    /// Before this day.
    #[arg(long, global = true, value_name = "DAY")]
    until: Option<String>,
    /// Of one key, or of another caller, as it stands under KEY.
    #[arg(long = "key-id", global = true, value_name = "ID")]
    caller: Option<String>,
    /// Of one model.
    #[arg(long, global = true, value_name = "MODEL")]
    model: Option<ModelName>,
    /// What a row is about [default: one key and one version on one day].
    #[arg(long, global = true, value_name = "WHAT")]
    by: Option<By>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// All of a tenant's on one day.
    Day,
}

impl Filter {
    fn query(&self) -> Query {
        let group = self.by.map(|By::Day| "day");
        Query::default()
            .with("since", self.since.as_ref())
            .with("until", self.until.as_ref())
            .with("key", self.caller.as_ref())
            .with("model", self.model.as_ref())
            .with("group", group)
    }
}

impl Usage {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = self.filter.query();
        if let Some(Command::Export(export)) = self.command {
            return export.execute(context, ROUTE, query);
        }
        let client = context.client()?;
        let all = usize::MAX;
        let listing = context.block_on(Listing::fetch(&client, ROUTE, &query, "usage", all))?;
        match context.format() {
            Format::Json => output::document(&listing.document()),
            Format::Table => rows(listing.rows()).print(),
        }
    }
}

/// A sum of rows.
#[derive(Debug, Default)]
struct Total {
    counts: [u64; 4],
    compute: Milliseconds,
    credits: Amount,
    cost: Dollars,
}

impl Total {
    fn add(&mut self, row: &Value) {
        for (sum, field) in self.counts.iter_mut().zip(COUNTS) {
            *sum = sum.saturating_add(row[field].as_u64().unwrap_or(0));
        }
        self.compute += Milliseconds::of(&row["compute_ms"]);
        self.credits += Amount::of(&row["credits"]);
        self.cost += Dollars::of(&row["cost_usd"]);
    }
}

fn rows(usage: &[Value]) -> Rows {
    let mut rows = Rows::new(&[
        "DAY",
        "TENANT",
        "KEY",
        "MODEL",
        "VERSION",
        "CALLS",
        "PREDICTIONS",
        "CACHED",
        "FAILED",
        "COMPUTE MS",
        "CREDITS",
        "COST USD",
    ]);
    let mut total = Total::default();
    for row in usage {
        total.add(row);
        let [calls, predictions, cached, failed] = COUNTS.map(|field| cell(row, field));
        rows.push([
            cell(row, "day"),
            cell(row, "tenant"),
            caller(row),
            cell(row, "model"),
            cell(row, "version"),
            calls,
            predictions,
            cached,
            failed,
            Milliseconds::cell(row, "compute_ms"),
            Amount::cell(row, "credits"),
            Dollars::cell(row, "cost_usd"),
        ]);
    }
    let [calls, predictions, cached, failed] = total.counts.map(|count| count.to_string());
    let none = || "-".to_owned();
    rows.push([
        "total".to_owned(),
        none(),
        none(),
        none(),
        none(),
        calls,
        predictions,
        cached,
        failed,
        total.compute.to_string(),
        total.credits.to_string(),
        total.cost.to_string(),
    ]);
    rows
}

/// Who called. Who comes with a token has a name that others chose, and a terminal obeys some characters.
fn caller(row: &Value) -> String {
    cell(row, "key").replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;
    use serde_json::json;

    fn parsed(arguments: &[&str]) -> Usage {
        let command = Usage::augment_args(clap::Command::new("usage").no_binary_name(true));
        Usage::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
    }

    #[test]
    fn the_table_ends_with_a_sum_that_is_exact() {
        let row = |day: &str, key: Value, credits: f64, cost: f64| {
            json!({
                "tenant": "acme", "day": day, "key": key, "model": "iris", "version": "1", "calls": 2,
                "predictions": 3, "cached": 1, "failed": 0, "compute_ms": 0.125, "credits": credits, "cost_usd": cost,
            })
        };
        let usage = [
            row("2026-11-23", json!("key_0123"), 0.1, 0.001),
            row("2026-11-24", Value::Null, 0.2, 0.002),
        ];
        assert_eq!(rows(&[]), table(&["total - - - - 0 0 0 0 0 0 0"]));
        let expected = table(&[
            "2026-11-23 acme key_0123 iris 1 2 3 1 0 0.125 0.1 0.001",
            "2026-11-24 acme - iris 1 2 3 1 0 0.125 0.2 0.002",
            "total - - - - 4 6 2 0 0.25 0.3 0.003",
        ]);
        assert_eq!(rows(&usage), expected);
    }

    fn table(lines: &[&str]) -> Rows {
        let mut rows = Rows::new(&[
            "DAY",
            "TENANT",
            "KEY",
            "MODEL",
            "VERSION",
            "CALLS",
            "PREDICTIONS",
            "CACHED",
            "FAILED",
            "COMPUTE MS",
            "CREDITS",
            "COST USD",
        ]);
        for line in lines {
            let cells: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let cells: [String; 12] = cells.try_into().unwrap();
            rows.push(cells);
        }
        rows
    }

    #[test]
    fn what_is_wanted_may_stand_before_and_behind_export() {
        for arguments in [
            &[
                "--since",
                "2026-11-01",
                "--key-id",
                "key_7",
                "--by",
                "day",
                "export",
            ][..],
            &[
                "export",
                "--since",
                "2026-11-01",
                "--key-id",
                "key_7",
                "--by",
                "day",
            ],
            &[
                "--since",
                "2026-11-01",
                "export",
                "--key-id",
                "key_7",
                "--by",
                "day",
            ],
        ] {
            let usage = parsed(arguments);
            assert!(usage.command.is_some(), "{arguments:?}");
            assert_eq!(
                usage.filter.query().of(ROUTE),
                "/api/usage?since=2026-11-01&key=key_7&group=day",
                "{arguments:?}"
            );
        }
        let plain = parsed(&["--model", "lead-score", "--until", "2026-12-01"]);
        assert!(plain.command.is_none());
        assert_eq!(
            plain.filter.query().of(ROUTE),
            "/api/usage?until=2026-12-01&model=lead-score"
        );
    }
}
