//! What was measured, and what was to be reached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pairs::median;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Times as much.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// In a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// A plain number.
    Count,
}

/// A goal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Bar {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What one figure of a row has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The figure's name.
    pub figure: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// What it must reach.
    pub must: Bar,
    /// What it should reach.
    pub stretch: Option<Bar>,
}

/// One figure, measured several times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// What each round measured.
    pub values: Vec<f64>,
    /// What it must reach, where it has a goal.
    pub must: Option<Bar>,
    /// What it should reach.
    pub stretch: Option<Bar>,
}

/// What a row measured, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The row's id.
    pub id: String,
    /// What is measured.
    pub what: String,
    /// Against what.
    pub against: String,
    /// The figures, those with goals first.
    pub figures: Vec<Figure>,
    /// What is told in words beside them.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// What a reader must know to judge them.
    pub notes: Vec<String>,
    /// Why nothing was measured, if nothing was.
    pub not_measured: Option<String>,
}

/// A small table of what is no figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What its columns are.
    pub head: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// Points, by ascending x.
    pub points: Vec<(f64, f64)>,
}

/// A curve, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its id, which names its file.
    pub id: String,
    /// What it shows.
    pub what: String,
    /// The horizontal axis, which is logarithmic.
    pub x: String,
    /// The vertical axis of each plot, with its lines.
    pub plots: Vec<(String, Vec<Line>)>,
    /// What a reader must know to judge it.
    pub notes: Vec<String>,
    /// Why nothing was measured, if nothing was.
    pub not_measured: Option<String>,
}

impl Unit {
    /// A value for people.
    pub fn show(self, value: f64) -> String {
        let scaled = |units: &[(f64, &str)]| {
            let last = units.len() - 1;
            let fits = |unit: &&(f64, &str)| value.abs() < unit.0 * 1e3;
            let (scale, name) = units.iter().find(fits).unwrap_or(&units[last]);
            format!("{} {name}", digits(value / scale))
        };
        match self {
            Self::Ratio => format!("{}x", digits(value)),
            Self::Nanoseconds => scaled(&[(1.0, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")]),
            Self::PerSecond => scaled(&[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")]),
            Self::Bytes => scaled(&[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")]),
            Self::BytesPerSecond => {
                scaled(&[(1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")])
            }
            Self::Count => digits(value),
        }
    }
}

/// Three digits that count.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.0995 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

impl Bar {
    /// Whether a value reaches it.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) => value >= bar,
            Self::AtMost(bar) => value <= bar,
        }
    }

    /// The bar for people.
    pub fn show(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(bar) => format!(">= {}", unit.show(bar)),
            Self::AtMost(bar) => format!("<= {}", unit.show(bar)),
        }
    }
}

/// How far a figure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has no goal.
    None,
    /// Below what it must reach.
    Missed,
    /// What it must reach.
    Met,
    /// What it should reach.
    Stretch,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Missed => "no",
            Self::Met => "yes",
            Self::Stretch => "yes, stretch",
        })
    }
}

impl Figure {
    /// A figure without a goal.
    pub fn new(name: &str, unit: Unit, values: Vec<f64>) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            values,
            must: None,
            stretch: None,
        }
    }

    /// The median of its rounds.
    pub fn median(&self) -> f64 {
        median(&self.values)
    }

    /// The least and the largest of its rounds.
    pub fn spread(&self) -> (f64, f64) {
        self.values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(*value), high.max(*value))
            })
    }

    /// How far its median reaches.
    pub fn verdict(&self) -> Verdict {
        let reaches = |bar: Option<Bar>| bar.map(|bar| bar.is_met(self.median()));
        match (reaches(self.must), reaches(self.stretch)) {
            (None, _) => Verdict::None,
            (Some(false), _) => Verdict::Missed,
            (Some(true), Some(true)) => Verdict::Stretch,
            (Some(true), _) => Verdict::Met,
        }
    }

    /// Name, median, spread, what it must and should reach, and whether it does: the columns of every table of figures.
    pub fn columns(&self) -> [String; 6] {
        let (low, high) = self.spread();
        let show = |bar: Option<Bar>| bar.map_or(String::new(), |bar| bar.show(self.unit));
        [
            self.name.clone(),
            self.unit.show(self.median()),
            format!("{} to {}", self.unit.show(low), self.unit.show(high)),
            show(self.must),
            show(self.stretch),
            self.verdict().to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_three_digits_and_a_unit_that_fits() {
        for (unit, value, shown) in [
            (Unit::Ratio, 0.904, "0.90x"),
            (Unit::Ratio, 45.04, "45.0x"),
            (Unit::Nanoseconds, 250.0, "250 ns"),
            (Unit::Nanoseconds, 7_040.0, "7.04 us"),
            (Unit::Nanoseconds, 2.5e9, "2.50 s"),
            (Unit::PerSecond, 96_000.0, "96.0 k/s"),
            (Unit::Bytes, 65_536.0, "65.5 kB"),
            (Unit::BytesPerSecond, 2e12, "2000 GB/s"),
            (Unit::Count, 0.0, "0"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }

    #[test]
    fn the_median_decides_whether_a_goal_is_reached() {
        let mut figure = Figure::new("ratio", Unit::Ratio, vec![0.5, 0.91, 1.2]);
        assert_eq!(figure.verdict(), Verdict::None);
        figure.must = Some(Bar::AtLeast(0.9));
        figure.stretch = Some(Bar::AtLeast(0.97));
        assert_eq!(figure.verdict(), Verdict::Met);
        figure.values[0] = 0.98;
        assert_eq!(figure.verdict(), Verdict::Stretch);
        figure.values = vec![0.1];
        assert_eq!(figure.verdict(), Verdict::Missed);
        figure.values.clear();
        assert_eq!(figure.verdict(), Verdict::Missed, "nothing reaches nothing");
        assert!(Bar::AtMost(7.0).is_met(7.0) && !Bar::AtMost(7.0).is_met(7.1));
    }
}
