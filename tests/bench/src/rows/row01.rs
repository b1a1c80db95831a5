use foretell_bench::figure::{Bar, Goal, Unit};

use super::Row;
use super::race::{RATIO, against_twin};

pub(crate) const ROW: Row = Row {
    id: "1",
    what: "one row of a forest over JSON, instances reused",
    against: "the same server with the same kernel linked natively",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(0.9),
        stretch: Some(Bar::AtLeast(0.97)),
    }],
    run: |bench| against_twin(bench, "reuse"),
};
