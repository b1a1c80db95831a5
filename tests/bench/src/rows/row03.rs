use foretell_bench::figure::{Bar, Goal, Unit};

use super::Row;
use super::race::{RATIO, against_peer};
use crate::peers;

pub(crate) const ROW: Row = Row {
    id: "3",
    what: "one row of boosted trees over JSON",
    against: "Flask + gunicorn + scikit-learn",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(45.0),
        stretch: Some(Bar::AtLeast(65.0)),
    }],
    run: |bench| against_peer(bench, peers::flask),
};
