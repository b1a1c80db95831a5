//! Two servers under the same load, in turns.

use anyhow::Result;
use foretell_bench::figure::Unit;
use foretell_bench::http::Request;
use foretell_bench::load::{Outcome, Pace, Plan};
use foretell_bench::pairs::{median, paired};
use serde_json::{Value, json};

use super::Findings;
use crate::bench::Bench;
use crate::forests::{Forest, USUAL, infer};
use crate::peers::{Peer, Peers};
use crate::process::{Server, load_that_succeeds};
use crate::site::{Site, Version, check, probability};

/// Connections of every comparison.
pub(crate) const CONNECTIONS: usize = 32;

/// The figure that compares them.
pub(crate) const RATIO: &str = "throughput, ratio";

/// Different rows that are asked for in turn.
pub(crate) const ROWS: usize = 64;

/// How busy the generator may be before it is suspected to be what is measured.
const BUSY: f64 = 0.9;

/// One side.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) server: &'a Server,
    pub(crate) requests: Vec<Request>,
}

impl Side<'_> {
    fn plan(&self, bench: &Bench) -> Plan {
        let pace = Pace::Closed {
            connections: CONNECTIONS,
        };
        let plan = bench.plan(&self.server.address, self.requests.clone(), pace);
        Plan {
            processes: self.server.processes(),
            ..plan
        }
    }
}

/// Loads both in turns: how many times the answers of `b` does `a` give, and for how much of the processor.
pub(crate) fn race(bench: &Bench, a: &Side<'_>, b: &Side<'_>) -> Result<Findings> {
    let (plan_a, plan_b) = (a.plan(bench), b.plan(bench));
    let rounds = paired(
        bench.rounds,
        || load_that_succeeds(&plan_a),
        || load_that_succeeds(&plan_b),
    )?;
    let each = |value: fn(&Outcome) -> f64| -> (Vec<f64>, Vec<f64>) {
        let pairs = rounds.iter().map(|(a, b)| (value(a), value(b)));
        pairs.unzip()
    };
    let ratio = |(a, b): &(Vec<f64>, Vec<f64>)| a.iter().zip(b).map(|(a, b)| a / b).collect();
    let rates = each(|outcome| outcome.per_second);
    let cpu = each(|outcome| outcome.server_cpu_us * 1e3);
    let p99 = each(|outcome| outcome.latency.p99 * 1e3);
    let busy = each(|outcome| outcome.own_load);
    let cpu_ratio: Vec<f64> = cpu.1.iter().zip(&cpu.0).map(|(b, a)| b / a).collect();
    let name = |side: &Side<'_>, what: &str| format!("{}: {what}", side.name);
    let mut found = Findings::default()
        .figure(RATIO, Unit::Ratio, ratio(&rates))
        .figure("processor time, inverse ratio", Unit::Ratio, cpu_ratio)
        .figure(&name(a, "answers"), Unit::PerSecond, rates.0)
        .figure(&name(b, "answers"), Unit::PerSecond, rates.1)
        .figure(
            &name(a, "processor time per answer"),
            Unit::Nanoseconds,
            cpu.0,
        )
        .figure(
            &name(b, "processor time per answer"),
            Unit::Nanoseconds,
            cpu.1,
        )
        .figure(&name(a, "p99"), Unit::Nanoseconds, p99.0)
        .figure(&name(b, "p99"), Unit::Nanoseconds, p99.1);
    for (side, busy) in [(a, median(&busy.0)), (b, median(&busy.1))] {
        if busy > BUSY {
            found = found.note(format!(
                "The generator was busy {:.0} % of the time on {}: that side may be able to give more.",
                busy * 100.0,
                side.name
            ));
        }
    }
    Ok(found)
}

/// A server of ours with a model, ready to be asked for one row at a time, and known to answer what it should.
pub(crate) fn one_row<'a>(
    site: &'a Site,
    name: &'a str,
    version: &Version<'_>,
    rows: &[Vec<f64>],
    expected: &[f64],
) -> Result<Side<'a>> {
    site.push(version)?;
    let requests: Vec<Request> = rows
        .iter()
        .map(|row| site.keyed(infer(version.model, std::slice::from_ref(row))))
        .collect();
    check(&site.server.address, &requests, expected, probability)?;
    Ok(Side {
        name,
        server: &site.server,
        requests,
    })
}

/// The same for a forest of ours, whose answers its trees tell.
pub(crate) fn one_row_of<'a>(
    bench: &Bench,
    site: &'a Site,
    name: &'a str,
    forest: &Forest,
    runtime: Value,
) -> Result<Side<'a>> {
    let rows = forest.rows(ROWS);
    let expected: Vec<f64> = rows.iter().map(|row| forest.probability(row)).collect();
    let version = Version::forest(bench, &forest.artifact, runtime);
    one_row(site, name, &version, &rows, &expected)
}

/// Foretell against its native twin: one row over JSON.
pub(crate) fn against_twin(bench: &Bench, isolation: &str) -> Result<Findings> {
    let forest = Forest::grow(USUAL);
    let (ours, twin) = (
        Site::foretell(bench, &[])?,
        Site::twin(bench, &forest.artifact)?,
    );
    let runtime = json!({"isolation": isolation});
    let a = one_row_of(bench, &ours, "Foretell", &forest, runtime.clone())?;
    let b = one_row_of(bench, &twin, "native twin", &forest, runtime)?;
    Ok(race(bench, &a, &b)?.note(format!(
        "V2 inference over JSON, {CONNECTIONS} connections, 100 trees of depth 6, one row of 30; both sides are the same \
         server but for the runner."
    )))
}

/// Foretell as it comes (a fresh instance for each prediction) against a server of Python's: the same trees, one row.
pub(crate) fn against_peer(
    bench: &Bench,
    start: fn(&Bench, &Peers) -> Result<Peer>,
) -> Result<Findings> {
    let peers = match Peers::prepare(bench) {
        Ok(peers) => peers,
        Err(error) => return Ok(Findings::not_measured(format!("{error:#}"))),
    };
    let exported = peers.exported("sklearn")?;
    let ours = Site::foretell(bench, &[])?;
    let version = Version::forest(bench, &exported.artifact, json!({}));
    let a = one_row(
        &ours,
        "Foretell",
        &version,
        &exported.rows,
        &exported.expected,
    )?;
    let peer = start(bench, &peers)?;
    let b = Side {
        name: peer.name,
        server: &peer.server,
        requests: exported
            .rows
            .iter()
            .map(|row| (peer.request)(row))
            .collect(),
    };
    check(
        &b.server.address,
        &b.requests,
        &exported.expected,
        peer.probability,
    )?;
    Ok(race(bench, &a, &b)?.note(format!(
        "{CONNECTIONS} connections; {}; 100 boosted trees of scikit-learn, depth 6, one row of 30, the same rows to both.",
        peer.note
    )))
}
