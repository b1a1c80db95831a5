use anyhow::Result;
use foretell_bench::figure::{Bar, Goal, Unit};

use super::{Findings, Row};
use crate::bench::Bench;
use crate::crowd::{Crowd, ask};

const START: &str = "start to first answer";

pub(crate) const ROW: Row = Row {
    id: "19",
    what: "start to the first prediction that is answered, with 1,000 stored versions",
    against: "-",
    goals: &[Goal {
        figure: START,
        unit: Unit::Nanoseconds,
        must: Bar::AtMost(100e6),
        stretch: None,
    }],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    let stored = if bench.quick { 50 } else { 1_000 };
    let mut crowd = Crowd::open(bench)?;
    crowd.grow(stored)?;
    let request = crowd.site.keyed(ask(stored / 2));
    let starts: Result<Vec<f64>> = (0..bench.rounds)
        .map(|_| Ok(crowd.site.restart(bench, &request)?.as_nanos() as f64))
        .collect();
    Ok(Findings::default()
        .figure(START, Unit::Nanoseconds, starts?)
        .note(format!(
            "{stored} versions of the least plugin there is, each compiled and stored for itself. From the start of the \
             process to the answer of a prediction by one of them, whose code is read, checked and mapped on the way."
        )))
}
