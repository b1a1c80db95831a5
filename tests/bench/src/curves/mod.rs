//! The curves: one thing grows, everything else stays.

mod audit;
mod batch;
mod connections;
mod loaded;
mod payload;
mod size;
mod trees;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use foretell_bench::figure::{Curve, Line};
use foretell_bench::load::Plan;

use crate::bench::Bench;

/// Time for the points of a curve: no new one is begun afterwards.
const LIMIT: Duration = Duration::from_secs(120);

/// A curve to be drawn.
pub(crate) struct Sweep {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    /// The horizontal axis.
    pub(crate) x: &'static str,
    pub(crate) run: fn(&Bench, &mut Drawing) -> Result<()>,
}

/// Every curve.
pub(crate) const ALL: &[&Sweep] = &[
    &loaded::CURVE,
    &batch::CURVE,
    &payload::CURVE,
    &size::CURVE,
    &trees::CURVE,
    &connections::CURVE,
    &audit::CURVE,
];

/// A curve as far as it is drawn.
pub(crate) struct Drawing {
    began: Instant,
    plots: Vec<(String, Vec<Line>)>,
    notes: Vec<String>,
    quick: bool,
}

impl Sweep {
    /// Measures all points for which there is time.
    pub(crate) fn draw(&self, bench: &Bench) -> Result<Curve> {
        eprintln!("curve {}: {}", self.id, self.what);
        let mut drawing = Drawing {
            began: Instant::now(),
            plots: Vec::new(),
            notes: Vec::new(),
            quick: bench.quick,
        };
        (self.run)(bench, &mut drawing).with_context(|| format!("curve {}", self.id))?;
        eprintln!(
            "curve {}: took {:.1} s",
            self.id,
            drawing.began.elapsed().as_secs_f64()
        );
        Ok(Curve {
            id: self.id.to_owned(),
            what: self.what.to_owned(),
            x: self.x.to_owned(),
            plots: drawing.plots,
            notes: drawing.notes,
            not_measured: None,
        })
    }
}

impl Drawing {
    /// The points to measure: the first three in a quick run, and those for which there is time.
    pub(crate) fn points<T: Copy + std::fmt::Display>(&self, points: &[T]) -> Vec<T> {
        let count = if self.quick { 3 } else { points.len() };
        points.iter().take(count).copied().collect()
    }

    /// Whether there is time for this point; a note says where there was none.
    pub(crate) fn has_time_for(&mut self, point: impl std::fmt::Display) -> bool {
        let has_time = self.began.elapsed() < LIMIT;
        if !has_time {
            self.note(format!("Not measured for lack of time: {point}."));
        }
        has_time
    }

    /// A point of a line of a plot.
    pub(crate) fn point(&mut self, plot: &str, line: &str, x: f64, y: f64) {
        let at = self.plots.iter().position(|(name, _)| name == plot);
        let at = at.unwrap_or_else(|| {
            self.plots.push((plot.to_owned(), Vec::new()));
            self.plots.len() - 1
        });
        let lines = &mut self.plots[at].1;
        let of_line = lines.iter().position(|known| known.name == line);
        let of_line = of_line.unwrap_or_else(|| {
            lines.push(Line {
                name: line.to_owned(),
                points: Vec::new(),
            });
            lines.len() - 1
        });
        lines[of_line].points.push((x, y));
    }

    /// A sentence that a reader must know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// A plan for one point: shorter than that of a row, for it is one of many.
fn short(plan: Plan) -> Plan {
    Plan {
        measure: plan.measure / 2,
        ..plan
    }
}
