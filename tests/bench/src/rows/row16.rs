use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Result;
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::load::{Outcome, Pace, Plan};
use foretell_bench::pairs::paired;
use foretell_engine::testkit;
use serde_json::json;

use super::race::one_row_of;
use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::process::{LOAD, load_that_succeeds, on};
use crate::site::{Site, Version};

const SMALL: &str = "100 KB of wasm";
const LARGE: &str = "1 MB of wasm";
const OTHERS: &str = "p99 of others meanwhile, ratio";

/// Requests of others in a second.
const RATE: f64 = 1_000.0;

pub(crate) const ROW: Row = Row {
    id: "16",
    what: "an upload until it is ready",
    against: "others' predictions on a quiet server",
    goals: &[
        Goal {
            figure: SMALL,
            unit: Unit::Nanoseconds,
            must: Bar::AtMost(500e6),
            stretch: None,
        },
        Goal {
            figure: LARGE,
            unit: Unit::Nanoseconds,
            must: Bar::AtMost(2.5e9),
            stretch: None,
        },
        Goal {
            figure: OTHERS,
            unit: Unit::Ratio,
            must: Bar::AtMost(1.1),
            stretch: None,
        },
    ],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    let site = Site::foretell(bench, &[])?;
    let (small, large) = (testkit::of_size(100_000), testkit::of_size(1_000_000));
    let mut number = 0;
    let mut push = |plugin: &[u8]| -> Result<f64> {
        number += 1;
        let began = Instant::now();
        site.push(&Version {
            model: &format!("upload-{number}"),
            plugin,
            // 0 is "do nothing"; what follows makes it another version each time.
            artifact: format!("\0{number}").as_bytes(),
            runtime: json!({}),
        })?;
        Ok(began.elapsed().as_nanos() as f64)
    };
    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        of_small.push(push(&small)?);
        of_large.push(push(&large)?);
    }

    let forest = Forest::grow(USUAL);
    let others = one_row_of(bench, &site, "others", &forest, json!({}))?;
    let pace = Pace::Open {
        connections: 16,
        per_second: RATE,
    };
    let plan: Plan = bench.plan(&site.server.address, others.requests, pace);
    let quiet = || load_that_succeeds(&plan);
    let busy = || -> Result<Outcome> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let outcome = load_that_succeeds(&plan);
                over.store(true, Ordering::Release);
                outcome
            });
            // Whoever uploads is no part of the server, and takes nothing of its processor.
            on(LOAD, || -> Result<()> {
                while !over.load(Ordering::Acquire) {
                    push(&small)?;
                }
                Ok(())
            })??;
            match load.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    };
    let pairs = paired(bench.rounds, busy, quiet)?;
    let p99 = |outcome: &Outcome| outcome.latency.p99 * 1e3;
    Ok(Findings::default()
        .figure(SMALL, Unit::Nanoseconds, of_small)
        .figure(LARGE, Unit::Nanoseconds, of_large)
        .figure(
            OTHERS,
            Unit::Ratio,
            pairs.iter().map(|(busy, quiet)| p99(busy) / p99(quiet)).collect(),
        )
        .figure(
            "p99 of others, quiet",
            Unit::Nanoseconds,
            pairs.iter().map(|(_, quiet)| p99(quiet)).collect(),
        )
        .note(format!(
            "Others: {RATE} predictions due in a second. The compile worker shares the server's one processor with it."
        )))
}
