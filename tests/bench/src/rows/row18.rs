use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::http::Request;
use foretell_bench::load::{Outcome, Pace};
use foretell_bench::pairs::paired;
use foretell_engine::testkit::{self, Misdeed};
use serde_json::json;

use super::race::one_row_of;
use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::process::{load, load_that_succeeds};
use crate::site::{Site, Version};

const NEIGHBOUR: &str = "the neighbour's p99, ratio";
const KILLED: &str = "beyond its deadline, a loop lives";

/// What a loop may take.
const DEADLINE_MS: u64 = 200;

/// The neighbour's requests in a second.
const RATE: f64 = 1_000.0;

pub(crate) const ROW: Row = Row {
    id: "18",
    what: "a neighbour's p99 beside a plugin that loops for ever",
    against: "its own p99 on a quiet server",
    goals: &[
        Goal {
            figure: NEIGHBOUR,
            unit: Unit::Ratio,
            must: Bar::AtMost(1.5),
            stretch: None,
        },
        Goal {
            figure: KILLED,
            unit: Unit::Nanoseconds,
            must: Bar::AtMost(50e6),
            stretch: None,
        },
    ],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    // Loops must be run, not refused.
    let site = Site::foretell(bench, &[("FORETELL_SANDBOX__SUSPEND_AFTER", "0")])?;
    let forest = Forest::grow(USUAL);
    let neighbour = one_row_of(bench, &site, "neighbour", &forest, json!({}))?;
    site.push(&Version {
        model: "loop",
        plugin: &testkit::chameleon(),
        artifact: &[0],
        runtime: json!({"deadline_ms": DEADLINE_MS}),
    })?;
    let body = json!({"inputs": [{
        "name": "x", "datatype": "FP64", "shape": [1], "data": [Misdeed::Loop.input()],
    }]});
    let looping = site.keyed(Request::post("/v2/models/loop/infer", body.to_string()));

    let pace = Pace::Open {
        connections: 16,
        per_second: RATE,
    };
    let plan = bench.plan(&site.server.address, neighbour.requests, pace);
    let mut loops = bench.plan(
        &site.server.address,
        vec![looping],
        Pace::Closed { connections: 1 },
    );
    // From before the neighbour is counted until after.
    loops.warm_up = Duration::ZERO;
    loops.measure = bench.warm_up + bench.measure + Duration::from_millis(200);
    let mut beyond = Vec::new();
    let pairs = paired(
        bench.rounds,
        || {
            thread::scope(|scope| {
                let loops = scope.spawn(|| load(&loops));
                let outcome = load_that_succeeds(&plan)?;
                let loops: Outcome = match loops.join() {
                    Ok(outcome) => outcome?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                if loops.answered == 0 || !loops.statuses.keys().eq([&504]) {
                    bail!("loops do not end as they should: {loops:?}");
                }
                beyond.push(loops.latency.max * 1e3 - DEADLINE_MS as f64 * 1e6);
                Ok(outcome)
            })
        },
        || load_that_succeeds(&plan),
    )?;
    let p99 = |outcome: &Outcome| outcome.latency.p99 * 1e3;
    Ok(Findings::default()
        .figure(
            NEIGHBOUR,
            Unit::Ratio,
            pairs.iter().map(|(beside, quiet)| p99(beside) / p99(quiet)).collect(),
        )
        .figure(KILLED, Unit::Nanoseconds, beyond)
        .figure(
            "the neighbour's p99, quiet",
            Unit::Nanoseconds,
            pairs.iter().map(|(_, quiet)| p99(quiet)).collect(),
        )
        .note(format!(
            "The neighbour: {RATE} predictions due in a second; one caller asks for a loop again and again, with a deadline \
             of {DEADLINE_MS} ms. Both are versions of one tenant, on one processor. A loop's time is that of the slowest, \
             as its caller sees it."
        )))
}
