use foretell_bench::figure::{Bar, Goal, Unit};

use super::Row;
use super::race::{RATIO, against_peer};
use crate::peers;

pub(crate) const ROW: Row = Row {
    id: "5",
    what: "one row of boosted trees, V2 REST",
    against: "MLServer 1.7.1",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(50.0),
        stretch: Some(Bar::AtLeast(75.0)),
    }],
    run: |bench| against_peer(bench, peers::mlserver),
};
