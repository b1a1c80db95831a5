use foretell_bench::figure::{Bar, Goal, Unit};

use super::{Findings, Row};

pub(crate) const ROW: Row = Row {
    id: "7",
    what: "the same logic as a `wasi:http` component",
    against: "`wasmtime serve` 48",
    goals: &[
        Goal {
            figure: "fresh, ratio",
            unit: Unit::Ratio,
            must: Bar::AtLeast(1.3),
            stretch: None,
        },
        Goal {
            figure: "reuse, ratio",
            unit: Unit::Ratio,
            must: Bar::AtLeast(2.5),
            stretch: None,
        },
    ],
    run: |_| {
        Ok(Findings::not_measured(
            "it takes wasmtime's command line, which is built for longer than all of Foretell, and a component of another \
             world",
        ))
    },
};
