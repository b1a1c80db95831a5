use foretell_bench::figure::{Bar, Goal, Unit};

use super::Row;
use super::race::{RATIO, against_peer};
use crate::peers;

pub(crate) const ROW: Row = Row {
    id: "4",
    what: "one row of boosted trees over JSON",
    against: "FastAPI + uvicorn + onnxruntime + orjson",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(4.5),
        stretch: Some(Bar::AtLeast(6.5)),
    }],
    run: |bench| against_peer(bench, peers::fastapi),
};
