use anyhow::Result;
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::pairs::paired;

use super::{Findings, Row};
use crate::audit_log::{BATCH, Log};
use crate::bench::Bench;
use crate::process::{self, on};

const WRITTEN: &str = "rows written in a second, large table";
const SLOWER: &str = "time of a row in the large table, ratio to the small one";
const BATCHED: &str = "a commit per row, ratio";

/// Rows of the small table.
const SMALL: u64 = 10_000;

/// Transactions of one figure, of many rows and of one.
const BATCHES: u64 = 4;
const SINGLES: u64 = 200;

pub(crate) const ROW: Row = Row {
    id: "13",
    what: "rows of the audit log, written with the usage and the cost that they tell of",
    against: "a table of 10,000 rows; a commit per row",
    goals: &[
        Goal {
            figure: WRITTEN,
            unit: Unit::PerSecond,
            must: Bar::AtLeast(200_000.0),
            stretch: None,
        },
        Goal {
            figure: SLOWER,
            unit: Unit::Ratio,
            must: Bar::AtMost(1.3),
            stretch: None,
        },
        Goal {
            figure: BATCHED,
            unit: Unit::Ratio,
            must: Bar::AtLeast(100.0),
            stretch: None,
        },
    ],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    let rows = match (bench.quick, bench.long) {
        (true, _) => 100_000,
        (_, true) => 10_000_000,
        _ => 1_000_000,
    };
    let timed = BATCHES * BATCH;
    // Its own further rows, and the small ones beside it.
    let more = bench.rounds as u64 * (timed + SINGLES) + SMALL + timed;
    let mut large = Log::of(bench, rows, more)?;
    let pairs = paired(
        bench.rounds,
        || large.rate(BATCHES, BATCH),
        // Anew each time: it would not stay small.
        || Log::of(bench, SMALL, timed)?.rate(BATCHES, BATCH),
    )?;
    let (in_large, in_small): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let singles: Result<Vec<f64>> = (0..bench.rounds).map(|_| large.rate(SINGLES, 1)).collect();
    let singles = singles?;
    let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect();
    Ok(Findings::default()
        .figure(SLOWER, Unit::Ratio, ratio(&in_small, &in_large))
        .figure(BATCHED, Unit::Ratio, ratio(&in_large, &singles))
        .figure(WRITTEN, Unit::PerSecond, in_large)
        .figure("rows written in a second, small table", Unit::PerSecond, in_small)
        .figure("a commit per row: rows in a second", Unit::PerSecond, singles)
        .figure("bytes of a row", Unit::Bytes, vec![large.bytes_per_row()?])
        .note(format!(
            "The large table has {rows} rows at first and grows by {timed} in each round, the small one {SMALL} each time; \
             batches of {BATCH} rows as the server's writer makes them, in SQLite, on one processor, nobody else on it. \
             What requests feel of it is in row 12."
        )))
}
