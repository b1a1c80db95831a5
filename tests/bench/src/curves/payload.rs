use anyhow::Result;
use foretell_bench::load::{Pace, Plan};
use serde_json::json;

use super::{Drawing, Sweep, short};
use crate::bench::Bench;
use crate::forests::{Forest, Shape, infer};
use crate::process::load_that_succeeds;
use crate::site::{Site, Version};

pub(crate) const CURVE: Sweep = Sweep {
    id: "payload",
    what: "bytes of a request's body",
    x: "bytes",
    run,
};

/// Bytes of a row of 30 numbers in JSON, about.
const ROW_BYTES: usize = 600;

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    // One tree of one split: next to nothing is computed.
    let forest = Forest::grow(Shape {
        trees: 1,
        depth: 1,
        features: 30,
    });
    for size in drawing.points(&[1 << 10, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]) {
        if !drawing.has_time_for(size) {
            break;
        }
        // A server for each, as its largest memory is kept count of from its start.
        let site = Site::foretell(bench, &[("FORETELL_PREDICTIONS__MAX_BODY", "64MiB")])?;
        site.push(&Version::forest(
            bench,
            &forest.artifact,
            json!({"max_rows": 1_000_000, "deadline_ms": 10_000}),
        ))?;
        let request = site.keyed(infer("forest", &forest.rows((size / ROW_BYTES).max(1))));
        let bytes = request.body.len() as f64;
        let before = site.server.peak_bytes() as f64;
        let pace = Pace::Closed { connections: 1 };
        let plan = bench.plan(&site.server.address, vec![request], pace);
        let outcome = load_that_succeeds(&Plan {
            processes: site.server.processes(),
            ..short(plan)
        })?;
        drawing.point(
            "MB per second",
            "JSON",
            bytes,
            outcome.per_second * bytes / 1e6,
        );
        let peak = site.server.peak_bytes() as f64 - before;
        if bytes >= 1e6 {
            drawing.point("peak memory, times the body", "JSON", bytes, peak / bytes);
        }
    }
    drawing.note("A forest of one split, rows of 30 over JSON, one connection.");
    Ok(())
}
