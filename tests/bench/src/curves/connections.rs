use anyhow::Result;
use foretell_bench::load::{Pace, Plan};
use serde_json::json;

use super::{Drawing, Sweep, short};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL, infer};
use crate::process::load_that_succeeds;
use crate::site::{Site, Version};

pub(crate) const CURVE: Sweep = Sweep {
    id: "connections",
    what: "connections, of which 32 ask",
    x: "connections",
    run,
};

const ACTIVE: usize = 32;

/// Requests in a second: well below what a server can do, for latencies.
const RATE: f64 = 2_000.0;

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let forest = Forest::grow(USUAL);
    let site = Site::foretell(bench, &[("FORETELL_SERVER__MAX_CONNECTIONS", "20000")])?;
    site.push(&Version::forest(bench, &forest.artifact, json!({})))?;
    let request = site.keyed(infer("forest", &forest.rows(1)));
    let mut base = None;
    for connections in drawing.points(&[ACTIVE, 100, 1_000, 4_000, 10_000]) {
        if !drawing.has_time_for(connections) {
            break;
        }
        let pace = Pace::Open {
            connections: ACTIVE,
            per_second: RATE,
        };
        let plan = bench.plan(&site.server.address, vec![request.clone()], pace);
        let plan = Plan {
            processes: site.server.processes(),
            idle_connections: connections - ACTIVE,
            ..short(plan)
        };
        let outcome = load_that_succeeds(&plan)?;
        let x = connections as f64;
        drawing.point("microseconds", "p50", x, outcome.latency.p50);
        drawing.point("microseconds", "p99", x, outcome.latency.p99);
        // The largest memory so far, which only a larger number of connections moves.
        let peak = site.server.peak_bytes() as f64;
        match base {
            None => base = Some((x, peak)),
            Some((least, base)) => {
                let each = (peak - base) / (x - least) / 1024.0;
                drawing.point("KiB per connection", "resident", x, each);
            }
        }
    }
    drawing.note(format!(
        "{RATE} requests due in a second over {ACTIVE} connections; the others are open and silent."
    ));
    Ok(())
}
