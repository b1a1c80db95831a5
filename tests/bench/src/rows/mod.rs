//! The rows: each one file that says what is measured, against what, what it must reach, and how.

mod race;
mod row01;
mod row02;
mod row03;
mod row04;
mod row05;
mod row07;
mod row08;
mod row09;
mod row10;
mod row11;
mod row12;
mod row13;
mod row14;
mod row15;
mod row16;
mod row18;
mod row19;
mod row20;

use std::time::Instant;

use anyhow::{Context, Result, bail};
use foretell_bench::figure::{Figure, Goal, Measured, Table, Unit};

use crate::bench::Bench;

/// A row.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What is measured.
    pub(crate) what: &'static str,
    /// Against what.
    pub(crate) against: &'static str,
    /// What its figures must reach.
    pub(crate) goals: &'static [Goal],
    pub(crate) run: fn(&Bench) -> Result<Findings>,
}

/// What a row finds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    figures: Vec<Figure>,
    tables: Vec<Table>,
    notes: Vec<String>,
    not_measured: Option<String>,
}

/// Every row, by id.
pub(crate) const ALL: &[&Row] = &[
    &row01::ROW,
    &row02::ROW,
    &row03::ROW,
    &row04::ROW,
    &row05::ROW,
    &row07::ROW,
    &row08::ROW,
    &row09::ROW,
    &row10::ROW,
    &row11::ROW,
    &row12::ROW,
    &row13::ROW,
    &row14::ROW,
    &row15::ROW,
    &row16::ROW,
    &row18::ROW,
    &row19::ROW,
    &row20::ROW,
];

impl Row {
    /// Measures it. What fails is an error; what cannot be measured here says why.
    pub(crate) fn measure(&self, bench: &Bench) -> Result<Measured> {
        eprintln!("row {}: {}", self.id, self.what);
        let began = Instant::now();
        let mut found = (self.run)(bench).with_context(|| format!("row {}", self.id))?;
        if found.not_measured.is_none() {
            for goal in self.goals {
                let figure = found.figures.iter_mut().find(|f| f.name == goal.figure);
                let Some(figure) = figure else {
                    bail!(
                        "row {} has a goal for `{}`, which it did not measure",
                        self.id,
                        goal.figure
                    );
                };
                figure.must = Some(goal.must);
                figure.stretch = goal.stretch;
            }
        }
        found.figures.sort_by_key(|figure| figure.must.is_none());
        eprintln!(
            "row {}: took {:.1} s",
            self.id,
            began.elapsed().as_secs_f64()
        );
        Ok(Measured {
            id: self.id.to_owned(),
            what: self.what.to_owned(),
            against: self.against.to_owned(),
            figures: found.figures,
            tables: found.tables,
            notes: found.notes,
            not_measured: found.not_measured,
        })
    }
}

impl Findings {
    /// With one figure more.
    #[must_use]
    pub(crate) fn figure(mut self, name: &str, unit: Unit, values: Vec<f64>) -> Self {
        self.figures.push(Figure::new(name, unit, values));
        self
    }

    /// With a table of what is no figure.
    #[must_use]
    pub(crate) fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// With a sentence that a reader must know.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, all figures named as parts of something.
    #[must_use]
    pub(crate) fn under(mut self, whole: &str) -> Self {
        for figure in &mut self.figures {
            figure.name = format!("{whole}: {}", figure.name);
        }
        self
    }

    /// With what another has found, whose figures have other names.
    #[must_use]
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.figures.extend(other.figures);
        self.tables.extend(other.tables);
        self.notes.extend(other.notes);
        self.not_measured = self.not_measured.or(other.not_measured);
        self
    }

    /// Nothing, and why.
    pub(crate) fn not_measured(why: impl Into<String>) -> Self {
        Self {
            not_measured: Some(why.into()),
            ..Self::default()
        }
    }
}
