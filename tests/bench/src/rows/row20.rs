use anyhow::{Context, Result, bail};
use foretell_bench::figure::{Bar, Goal, Table, Unit};

use super::{Findings, Row};
use crate::audit_log::Log;
use crate::bench::Bench;
use crate::process::{self, on};

const LOOK: &str = "a look at the whole log";
const FOUND: &str = "kinds of tampering, of 4, that are found at their row";

pub(crate) const ROW: Row = Row {
    id: "20",
    what: "`audit verify` of 1,000,000 rows, and what it says of a file that somebody edited",
    against: "-",
    goals: &[Goal {
        figure: FOUND,
        unit: Unit::Count,
        must: Bar::AtLeast(4.0),
        stretch: None,
    }],
    run: |bench| on(process::SERVER, || run(bench))?,
};

/// What somebody does to the file, and how it is undone.
struct Tampering {
    what: &'static str,
    /// The first row that is not what was written.
    seq: u64,
    done: String,
    undone: String,
}

/// Each kind, far apart, in a log of so many rows.
fn tamperings(rows: u64) -> [Tampering; 4] {
    let (changed, removed, swapped, appended) = (rows / 4, rows / 2, rows / 4 * 3, rows + 1);
    let swap = format!(
        "UPDATE audit SET seq = -1 WHERE seq = {swapped};
         UPDATE audit SET seq = {swapped} WHERE seq = {swapped} + 1;
         UPDATE audit SET seq = {swapped} + 1 WHERE seq = -1;"
    );
    [
        Tampering {
            what: "one row is changed",
            seq: changed,
            done: format!("UPDATE audit SET actor = actor || 'x' WHERE seq = {changed};"),
            undone: format!("UPDATE audit SET actor = rtrim(actor, 'x') WHERE seq = {changed};"),
        },
        Tampering {
            what: "one row is removed",
            seq: removed,
            done: format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM audit WHERE seq = {removed};
                 DELETE FROM audit WHERE seq = {removed};"
            ),
            undone: "INSERT INTO audit SELECT * FROM kept; DROP TABLE kept;".to_owned(),
        },
        Tampering {
            what: "two rows are swapped",
            seq: swapped,
            done: swap.clone(),
            undone: swap,
        },
        Tampering {
            what: "a row is appended",
            seq: appended,
            done: format!(
                "INSERT INTO audit
                 SELECT {appended}, at, tenant, actor, act, object, outcome, request_id, origin, detail, hash, NULL
                 FROM audit WHERE seq = {rows};"
            ),
            undone: format!("DELETE FROM audit WHERE seq = {appended};"),
        },
    ]
}

fn run(bench: &Bench) -> Result<Findings> {
    let rows = if bench.quick { 100_000 } else { 1_000_000 };
    let log = Log::of(bench, rows, 0)?;
    let looks: Result<Vec<f64>> = (0..bench.rounds)
        .map(|_| Ok(log.verify_all()?.as_nanos() as f64))
        .collect();
    let looks = looks?;

    let file = log.file()?;
    let edit = |sql: &str| file.execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT;"));
    edit("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;")?;
    let (mut found, mut told) = (0.0, Vec::new());
    for Tampering {
        what,
        seq,
        done,
        undone,
    } in tamperings(rows)
    {
        edit(&done).context(what)?;
        let (took, verdict) = log.verify()?;
        edit(&undone).context(what)?;
        let named = verdict.broken.as_ref().map(|broken| broken.seq);
        if named == Some(seq) {
            found += 1.0;
        }
        told.push(vec![
            what.to_owned(),
            seq.to_string(),
            named.map_or("none".to_owned(), |named| named.to_string()),
            verdict
                .broken
                .map_or("", |broken| broken.fault.as_str())
                .to_owned(),
            Unit::Nanoseconds.show(took.as_nanos() as f64),
        ]);
    }
    if log.verify()?.1.broken.is_some() {
        bail!("what was done to the log was not undone: one kind may have been taken for another");
    }
    let head = ["what somebody does", "to row", "named", "as", "after"];
    Ok(Findings::default()
        .figure(FOUND, Unit::Count, vec![found])
        .figure(
            "rows looked at in a second",
            Unit::PerSecond,
            looks.iter().map(|ns| rows as f64 / ns * 1e9).collect(),
        )
        .figure(LOOK, Unit::Nanoseconds, looks)
        .table(Table {
            head: head.map(str::to_owned).to_vec(),
            rows: told,
        })
        .note(format!(
            "{rows} rows in SQLite, read and checked on one processor by the call behind `foretell audit verify`, without \
             checkpoints. Somebody who has the file takes away the triggers that protect it and edits it, by a connection \
             of their own; after each kind the file is put right again. A look ends at the first row that is not what was \
             written."
        )))
}
