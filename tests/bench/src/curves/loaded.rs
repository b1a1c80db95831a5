use anyhow::Result;
use foretell_bench::load::{Pace, Plan};

use super::{Drawing, Sweep, short};
use crate::bench::Bench;
use crate::crowd::{Crowd, ask};
use crate::process::load_that_succeeds;

pub(crate) const CURVE: Sweep = Sweep {
    id: "loaded",
    what: "versions that are loaded, all asked equally often",
    x: "versions",
    run,
};

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let mut crowd = Crowd::open(bench)?;
    let mut base = None;
    for size in drawing.points(&[1, 10, 100, 300, 1_000]) {
        if !drawing.has_time_for(size) {
            break;
        }
        crowd.grow(size)?;
        let requests = (0..size).map(|number| crowd.site.keyed(ask(number)));
        let pace = Pace::Closed { connections: 32 };
        let plan = bench.plan(&crowd.site.server.address, requests.collect(), pace);
        let outcome = load_that_succeeds(&Plan {
            processes: crowd.site.server.processes(),
            ..short(plan)
        })?;
        let x = size as f64;
        drawing.point("answers per second", "uniform", x, outcome.per_second);
        drawing.point("microseconds", "p99", x, outcome.latency.p99);
        drawing.point(
            "microseconds",
            "processor time per answer",
            x,
            outcome.server_cpu_us,
        );
        let private = crowd.site.server.private_bytes() as f64;
        match base {
            None => base = Some((x, private)),
            Some((least, base)) => {
                let each = (private - base) / (x - least) / 1024.0;
                drawing.point("private KiB per version", "beyond the first", x, each);
            }
        }
        let (files, maps) = crowd.site.server.files_and_maps();
        drawing.point("open files, mappings", "files", x, files as f64);
        drawing.point("open files, mappings", "mappings", x, maps as f64);
    }
    drawing.note("The least plugin there is (it gives back its input), with another artifact for each version.");
    Ok(())
}
