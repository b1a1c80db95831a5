use anyhow::Result;

use super::{Drawing, Sweep};
use crate::audit_log::{BATCH, Log, PATIENCE, Search};
use crate::bench::Bench;
use crate::process::{self, on};

pub(crate) const CURVE: Sweep = Sweep {
    id: "audit",
    what: "audit rows that are there",
    x: "rows",
    run: |bench, drawing| on(process::SERVER, || run(bench, drawing))?,
};

const USUAL: &[u64] = &[10_000, 100_000, 1_000_000];
const LONG: &[u64] = &[10_000, 100_000, 1_000_000, 10_000_000];

/// Transactions that are timed at each point: few enough that the smallest log is not ten times as large afterwards.
const TIMED: u64 = 8;

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let points = drawing.points(if bench.long { LONG } else { USUAL });
    let most = points.iter().max().copied().unwrap_or_default();
    let mut log = Log::open(bench, most + TIMED * BATCH)?;
    let mut bytes = 0.0;
    for rows in points {
        if !drawing.has_time_for(rows) {
            break;
        }
        if !log.fill(rows, PATIENCE)? {
            drawing.note(format!(
                "Not measured, because it takes longer than {} s to write them: {rows}.",
                PATIENCE.as_secs()
            ));
            break;
        }
        let x = rows as f64;
        for (plot, line, search) in [
            (
                "p95 of a page of 100, milliseconds",
                "a tenant's predictions",
                Search::Predictions,
            ),
            (
                "p95 of a page of 100, milliseconds",
                "what a tenant was refused",
                Search::Refusals,
            ),
            (
                "p95 of one row by its request, milliseconds",
                "among all tenants",
                Search::Request,
            ),
        ] {
            let p95 = log.page_p95(search, bench.measure)?;
            drawing.point(plot, line, x, p95.as_secs_f64() * 1e3);
        }
        let verified = log.verify_all()?;
        let plot = "seconds of a look at the whole log";
        drawing.point(plot, "verify", x, verified.as_secs_f64());
        bytes = log.bytes_per_row()?;
        drawing.point("bytes of the database for each row", "file", x, bytes);
        // Last, for it makes the log longer.
        let plot = "rows written in a second";
        drawing.point(plot, "batches of 8,192", x, log.rate(TIMED, BATCH)?);
    }
    drawing.note(format!(
        "SQLite, on one processor, without HTTP and without anybody else; every transaction is on the medium before the \
         next begins. Rows of predictions with details of about 240 bytes, of 3 tenants, 20 keys and 5 models; one of \
         1,024 tells of what was refused. {TIMED} transactions are timed at each point. A million rows take {:.2} GB.",
        bytes / 1e3
    ));
    drawing.note(
        "Pages are the newest first, through the store's own call. No index is over requests: a row that is sought by its \
         request alone is found by reading all of them.",
    );
    Ok(())
}
