use anyhow::Result;
use foretell_bench::load::{Pace, Plan};

use super::{Drawing, Sweep, short};
use crate::bench::Bench;
use crate::crowd::{Crowd, ask};
use crate::process::load_that_succeeds;

pub(crate) const CURVE: Sweep = Sweep {
    id: "loaded",
    what: "versions that are loaded",
    x: "versions",
    run,
};

fn run(bench: &Bench, drawing: &mut Drawing) -> Result<()> {
    let mut crowd = Crowd::open(bench)?;
    let (mut base, mut loaded) = (None, 0);
    for size in drawing.points(&[1, 10, 100, 300, 1_000, 3_000, 10_000]) {
        if !drawing.has_time_for(size) {
            break;
        }
        crowd.grow(size)?;
        // Loading is no part of it.
        for number in loaded..size {
            crowd.site.send(ask(number))?;
        }
        loaded = size;
        let x = size as f64;
        for (line, asked) in [("uniform", (0..size).collect()), ("Zipf", zipf(size))] {
            let requests = asked
                .into_iter()
                .map(|number| crowd.site.keyed(ask(number)));
            let pace = Pace::Closed { connections: 32 };
            let plan = bench.plan(&crowd.site.server.address, requests.collect(), pace);
            let outcome = load_that_succeeds(&Plan {
                processes: crowd.site.server.processes(),
                ..short(plan)
            })?;
            drawing.point("answers per second", line, x, outcome.per_second);
            drawing.point("p99, microseconds", line, x, outcome.latency.p99);
            drawing.point(
                "processor time per answer, microseconds",
                line,
                x,
                outcome.server_cpu_us,
            );
        }
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
    drawing.note(
        "The least plugin there is (it gives back its input), with another artifact for each version. Uniform: all are asked \
         equally often, one after the other. Zipf: the n-th is asked one n-th as often as the first.",
    );
    Ok(())
}

/// Which versions are asked, in turn, 20,000 times: the n-th one n-th as often as the first.
fn zipf(size: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let weights = (1..=size).map(|rank| {
        sum += 1.0 / rank as f64;
        sum
    });
    let weights: Vec<f64> = weights.collect();
    // Multiples of the golden ratio: spread as evenly as chance would have it in the end.
    let asked = (0..20_000).map(|turn| {
        let place = (f64::from(turn) * 0.618_033_988_749_895).fract() * sum;
        weights.partition_point(|weight| *weight < place)
    });
    asked.map(|number| number.min(size - 1)).collect()
}
