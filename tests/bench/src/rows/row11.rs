use anyhow::{Result, bail};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::http::Request;
use serde_json::json;

use super::race::{CONNECTIONS, RATIO, ROWS, Side, one_row_of, race};
use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests::{Forest, USUAL};
use crate::site::Site;

pub(crate) const ROW: Row = Row {
    id: "11",
    what: "a prediction that is answered from the cache",
    against: "a route of the same server whose answer never changes (`/livez`)",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(0.9),
        stretch: None,
    }],
    run,
};

fn run(bench: &Bench) -> Result<Findings> {
    let forest = Forest::grow(USUAL);
    let site = Site::foretell(bench, &[("CACHE_ENABLED", "true")])?;
    let hit = one_row_of(bench, &site, "cache hit", &forest, json!({}))?;
    let still = Side {
        name: "static body",
        server: &site.server,
        requests: vec![Request::new("GET", "/livez")],
    };
    let found = race(bench, &hit, &still)?;
    // Were an answer not kept, it would have been computed each time.
    let purged = site.send(Request::new("DELETE", "/api/cache"))?.json()?;
    if purged["removed"] != json!(ROWS) {
        bail!("the cache held {} answers, not {ROWS}", purged["removed"]);
    }
    Ok(found.note(format!(
        "{CONNECTIONS} connections; {ROWS} different questions, all asked before. A hit has a key to check and a body to \
         read; the other has neither."
    )))
}
