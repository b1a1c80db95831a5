use anyhow::{Result, anyhow};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_engine::testkit;
use foretell_types::run::Isolation;

use super::{Findings, Row};
use crate::bench::Bench;
use crate::process::{self, on};
use crate::sandbox::Sandbox;

const CALL: &str = "warm call";

pub(crate) const ROW: Row = Row {
    id: "8",
    what: "a call into a warm instance, 30 numbers in, everything but the kernel",
    against: "-",
    goals: &[Goal {
        figure: CALL,
        unit: Unit::Nanoseconds,
        must: Bar::AtMost(500.0),
        stretch: Some(Bar::AtMost(250.0)),
    }],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    let sandbox = Sandbox::compile(bench, &testkit::echo(), &[])?;
    let probe = sandbox.probe()?;
    let inputs = [testkit::numbers(&[0.5; 30])];
    let call = |isolation| probe.predict(&inputs, isolation);
    if call(Isolation::Reuse).map_err(|error| anyhow!("{error}"))? != inputs {
        anyhow::bail!("the guest does not give back what it is given");
    }
    let checked = sandbox.checked(&inputs)?;
    let rounds = |time: &dyn Fn() -> f64| (0..bench.rounds).map(|_| time()).collect();
    Ok(Findings::default()
        .figure(
            CALL,
            Unit::Nanoseconds,
            rounds(&|| bench.time(|| call(Isolation::Reuse))),
        )
        .figure(
            "the same through queues and async",
            Unit::Nanoseconds,
            rounds(&|| bench.time(|| sandbox.run(&checked, Isolation::Reuse))),
        )
        .note("The guest gives back its input, so 30 numbers come out, too."))
}
