use anyhow::Result;
use foretell_bench::load::{Pace, Plan};
use serde_json::json;

use super::{Drawing, Sweep, short};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL, infer};
use crate::process::load_that_succeeds;
use crate::site::{Site, Version};

pub(crate) const CURVE: Sweep = Sweep {
    id: "batch",
    what: "rows of one request",
    x: "rows",
    run,
};

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let forest = Forest::grow(USUAL);
    let site = Site::foretell(bench, &[])?;
    site.push(&Version::forest(bench, &forest.artifact, json!({})))?;
    for size in drawing.points(&[1, 8, 64, 512, 4_096, 10_000]) {
        if !drawing.has_time_for(size) {
            break;
        }
        let request = site.keyed(infer("forest", &forest.rows(size)));
        let pace = Pace::Closed { connections: 4 };
        let plan = bench.plan(&site.server.address, vec![request], pace);
        let outcome = load_that_succeeds(&Plan {
            processes: site.server.processes(),
            ..short(plan)
        })?;
        let rows = size as f64;
        let plot = "microseconds per row";
        drawing.point(plot, "processor time", rows, outcome.server_cpu_us / rows);
        drawing.point(plot, "end to end", rows, 1e6 / (outcome.per_second * rows));
    }
    drawing.note("100 trees of depth 6, rows of 30 over JSON, 4 connections, a fresh instance for each request.");
    Ok(())
}
