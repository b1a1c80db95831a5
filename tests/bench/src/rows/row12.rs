use anyhow::{Result, bail};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::http::Request;
use foretell_bench::load::Pace;
use foretell_bench::pairs::paired;
use serde_json::json;

use super::race::{CONNECTIONS, RATIO, Side, one_row_of, race};
use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::process::load_that_succeeds;
use crate::site::Site;

const P99: &str = "p99 at a fixed rate, ratio";

/// Requests due in a second, where latencies are compared: a fifth of what the server can do.
const RATE: f64 = 10_000.0;

const ON: &[(&str, &str)] = &[
    ("RATE_LIMIT_ENABLED", "true"),
    // More than can be asked: what is measured is the counting.
    ("MAX_REQUESTS_PER_HOUR", "4000000000"),
    ("FORETELL_AUDIT__PREDICTIONS", "true"),
    ("FORETELL_COST__PREPAID", "false"),
];

const OFF: &[(&str, &str)] = &[
    ("RATE_LIMIT_ENABLED", "false"),
    ("FORETELL_AUDIT__PREDICTIONS", "false"),
];

pub(crate) const ROW: Row = Row {
    id: "12",
    what: "one row of a forest over JSON with all governance on",
    against: "the same server with as much of it off as can be switched off",
    goals: &[
        Goal {
            figure: RATIO,
            unit: Unit::Ratio,
            must: Bar::AtLeast(0.93),
            stretch: None,
        },
        Goal {
            figure: P99,
            unit: Unit::Ratio,
            must: Bar::AtMost(1.05),
            stretch: None,
        },
    ],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    let forest = Forest::grow(USUAL);
    let (governed, free) = (Site::foretell(bench, ON)?, Site::foretell(bench, OFF)?);
    governed.set_quotas()?;
    let on = one_row_of(bench, &governed, "on", &forest, json!({}))?;
    let off = one_row_of(bench, &free, "off", &forest, json!({}))?;
    let found = race(bench, &on, &off)?;

    let p99 = |side: &Side<'_>| -> Result<f64> {
        let pace = Pace::Open {
            connections: CONNECTIONS,
            per_second: RATE,
        };
        let plan = bench.plan(&side.server.address, side.requests.clone(), pace);
        Ok(load_that_succeeds(&plan)?.latency.p99 * 1e3)
    };
    let pairs = paired(bench.rounds, || p99(&on), || p99(&off))?;
    if !has_records(&governed)? || has_records(&free)? {
        bail!(
            "predictions are not recorded where they should be, or recorded where they should not"
        );
    }
    Ok(found
        .figure(
            P99,
            Unit::Ratio,
            pairs.iter().map(|(on, off)| on / off).collect(),
        )
        .figure(
            "on: p99 at a fixed rate",
            Unit::Nanoseconds,
            pairs.iter().map(|(on, _)| *on).collect(),
        )
        .figure(
            "off: p99 at a fixed rate",
            Unit::Nanoseconds,
            pairs.iter().map(|(_, off)| *off).collect(),
        )
        .note(format!(
            "{CONNECTIONS} connections, 100 trees of depth 6, one row of 30, a fresh instance for each prediction. On: a \
             limit of requests of the host, of the tenant, of its key and of the model, every quota of the tenant and of \
             the key, a budget of credits, and a row of the audit log, in SQLite, for each prediction. Off: none of these. \
             Keys, limits of what is under way, and metrics cannot be switched off. The writer of records shares the \
             server's one processor."
        ))
        .note(format!(
            "`on: p99` and `off: p99` are of servers that answer as fast as they can, so that records are written at full \
             speed; a fixed rate is {RATE} requests due in a second, the same to both."
        )))
}

fn has_records(site: &Site) -> Result<bool> {
    let request = Request::new("GET", "/api/audit?act=predict&limit=1");
    let page = site.operate(request)?.json()?;
    Ok(page["records"]
        .as_array()
        .is_some_and(|records| !records.is_empty()))
}
