use foretell_bench::figure::{Bar, Goal, Unit};

use super::Row;
use super::race::{RATIO, against_twin};

pub(crate) const ROW: Row = Row {
    id: "2",
    what: "one row of a forest over JSON, a fresh instance for each prediction (the default)",
    against: "the same server with the same kernel linked natively",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(0.6),
        stretch: Some(Bar::AtLeast(0.8)),
    }],
    run: |bench| against_twin(bench, "fresh"),
};
