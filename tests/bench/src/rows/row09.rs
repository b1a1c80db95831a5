use anyhow::{Result, anyhow};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::pairs::paired;
use foretell_engine::testkit::{self, Misdeed};
use foretell_types::run::Isolation;

use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::process::{self, on};
use crate::sandbox::{Sandbox, table};
use crate::twin::Native;

/// Pages of 4 KiB that a call reads; the last is all that a guest of 16 MiB can.
const PAGES: [u32; 6] = [1, 16, 64, 256, 1_024, 3_900];

const ACCUMULATED: &str = "1 page, where an earlier call read all, ratio to 1 page";
const LOADED: &str = "loading at each call, ratio";

const fn at_most(figure: &'static str, microseconds: f64, stretch: Option<Bar>) -> Goal {
    Goal {
        figure,
        unit: Unit::Nanoseconds,
        must: Bar::AtMost(microseconds * 1e3),
        stretch,
    }
}

pub(crate) const ROW: Row = Row {
    id: "9",
    what: "a fresh instance, a call, and its end, over pages touched of 16 MiB",
    against: "loading the model at every call",
    goals: &[
        at_most("1 page", 7.0, Some(Bar::AtMost(3_500.0))),
        at_most("16 pages", 7.0, Some(Bar::AtMost(3_500.0))),
        at_most("64 pages", 10.0, None),
        Goal {
            figure: ACCUMULATED,
            unit: Unit::Ratio,
            must: Bar::AtMost(1.1),
            stretch: None,
        },
        Goal {
            figure: LOADED,
            unit: Unit::Ratio,
            must: Bar::AtLeast(25.0),
            stretch: None,
        },
    ],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    let sandbox = Sandbox::compile(bench, &testkit::chameleon_of(256), &[])?;
    let probe = sandbox.probe()?;
    let touch = |pages: u32| {
        [testkit::numbers(&[
            Misdeed::Touch.input(),
            f64::from(pages),
        ])]
    };
    let time = |pages: u32| {
        let inputs = touch(pages);
        bench.time(|| probe.predict(&inputs, Isolation::Fresh))
    };
    let answer = probe.predict(&touch(1), Isolation::Fresh);
    answer.map_err(|error| anyhow!("{error}"))?;

    // Ascending: a small one after a large one is the figure below.
    let mut found = Findings::default();
    let mut first = Vec::new();
    for pages in PAGES {
        let times: Vec<f64> = (0..bench.rounds).map(|_| time(pages)).collect();
        if pages == PAGES[0] {
            first.clone_from(&times);
        }
        let name = if pages == 1 {
            "1 page".to_owned()
        } else {
            format!("{pages} pages")
        };
        found = found.figure(&name, Unit::Nanoseconds, times);
    }
    let again = (0..bench.rounds).map(|_| time(PAGES[0]));
    let accumulated = again
        .zip(&first)
        .map(|(again, first)| again / first)
        .collect();
    found = found.figure(ACCUMULATED, Unit::Ratio, accumulated);

    let forest = Forest::grow(USUAL);
    let sandbox = Sandbox::compile(bench, &bench.plugin, &forest.artifact)?;
    let (probe, inputs) = (sandbox.probe()?, [table(&forest.rows(1))?]);
    let pairs = paired(
        bench.rounds,
        || Ok(bench.time(|| probe.predict(&inputs, Isolation::Fresh))),
        || Ok(bench.time(|| Native::of(&forest.artifact).map(drop))),
    )?;
    let ratio = pairs.iter().map(|(call, load)| (call + load) / call);
    Ok(found
        .figure(LOADED, Unit::Ratio, ratio.collect())
        .figure(
            "a forest, fresh",
            Unit::Nanoseconds,
            pairs.iter().map(|(call, _)| *call).collect(),
        )
        .note(
            "The model of the ratio is the usual forest (100 trees of depth 6). Its load is timed natively: in the \
             sandbox it takes longer, so the true ratio is larger.",
        ))
}
