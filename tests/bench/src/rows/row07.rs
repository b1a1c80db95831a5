use anyhow::Result;
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::http::Request;
use serde_json::json;

use super::race::{ROWS, Side, one_row, race};
use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL, infer};
use crate::peers::Wasmtime;
use crate::site::{Site, Version, check, probability};

const FRESH: &str = "fresh against fresh";
const REUSE: &str = "kept against fresh";
const BOTH_KEPT: &str = "kept against kept";

/// Requests that one of their instances answers, where they are kept: as many as one of ours.
const KEPT: u32 = 10_000;

pub(crate) const ROW: Row = Row {
    id: "7",
    what: "the same logic as a `wasi:http` component",
    against: "`wasmtime serve` 48",
    goals: &[
        Goal {
            figure: "fresh against fresh: throughput, ratio",
            unit: Unit::Ratio,
            must: Bar::AtLeast(1.3),
            stretch: None,
        },
        Goal {
            figure: "kept against fresh: throughput, ratio",
            unit: Unit::Ratio,
            must: Bar::AtLeast(2.5),
            stretch: None,
        },
    ],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    let forest = Forest::grow(USUAL);
    let wasmtime = match Wasmtime::install(bench) {
        Ok(program) => Wasmtime::with(program, bench, &forest)?,
        Err(error) => return Ok(Findings::not_measured(format!("{error:#}"))),
    };
    let rows = forest.rows(ROWS);
    let expected: Vec<f64> = rows.iter().map(|row| forest.probability(row)).collect();
    let site = Site::foretell(bench, &[])?;
    let ours = |model, isolation| -> Result<Side<'_>> {
        let version = Version {
            model,
            ..Version::forest(bench, &forest.artifact, json!({"isolation": isolation}))
        };
        one_row(&site, "Foretell", &version, &rows, &expected)
    };
    let (fresh, kept) = (ours("fresh", "fresh")?, ours("kept", "reuse")?);
    let requests: Vec<Request> = rows
        .iter()
        .map(|row| infer("forest", std::slice::from_ref(row)))
        .collect();
    let mut found = Findings::default();
    for (reused, pairs) in [
        (1, &[(FRESH, &fresh), (REUSE, &kept)][..]),
        (KEPT, &[(BOTH_KEPT, &kept)][..]),
    ] {
        let server = wasmtime.serve(bench, reused)?;
        check(&server.address, &requests, &expected, probability)?;
        let theirs = Side {
            name: "wasmtime serve",
            server: &server,
            requests: requests.clone(),
        };
        for (name, ours) in pairs {
            found = found.with(race(bench, ours, &theirs)?.under(name));
        }
    }
    Ok(found.note(
        "Their component reads and writes JSON itself and has its model laid out in the module; it checks no key, no \
         signature and no bound of memory. An instance of theirs answers one request, as it comes, or up to 10,000.",
    ))
}
