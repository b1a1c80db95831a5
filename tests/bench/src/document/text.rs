//! The document as Markdown.

use std::fmt::Write as _;

use super::{Results, plot_name};
use crate::figure::{Curve, Figure, Measured, Table, Verdict};

const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench --document`; do not edit. What is measured, against what, and what was to be reached is said in
`tests/bench/src/rows/` and `tests/bench/src/curves/`, one file each. A goal that is missed is shown as missed; where the time
goes then, and what was tried, is told in [PROFILES.md](PROFILES.md).
";

const HOW: &str = "\
## How it is measured

- The server has one processor to itself, the load generator another. Sides are measured in turns (A B, B A, A B, ...), and
  a ratio is formed within each round; shown are the median of the rounds and the least and largest of them.
- Before anything is timed, the answers of both sides are compared, to 1e-5.
- The prediction cache is off, except in row 11. All rows of ours run with a key, its check, the record of each prediction, and
  every limit as shipped but that of requests in an hour, which would end the measurement; row 12 has that, too.
- Load with a fixed rate counts latency from the time at which a request was due, and what is never answered counts, too.
- A load that asks as fast as it is answered never sleeps: to wake it takes the server's own system call some microseconds,
  which no caller across a network costs it.
- Processor time is what the kernel has counted for the server's threads, over the answers of the same time.

Repeat it with `cargo xtask bench`, or with some rows and curves only: `cargo xtask bench 1 2 batch`. It takes two
processors and nobody else on the machine; rows against Python's servers need Python 3.11 with `venv` and make their
environments themselves, under `target/bench/venv`. Results stay under `target/bench/results`. Ten million rows of the audit
log are for who has some minutes and 5 GB of disk: `foretell-bench run --long` (`foretell-bench help`).
";

pub(super) fn document(results: &Results) -> String {
    let mut text = HEAD.to_owned();
    machine(&mut text, results);
    text += "\n## Goals\n\n";
    text += "| row | what | median | rounds | must | stretch | reached |\n|---|---|---|---|---|---|---|\n";
    for row in &results.rows {
        goals(&mut text, row);
    }
    let measured = results.rows.iter().filter(|row| row.not_measured.is_none());
    text += "\n## Rows\n";
    for row in measured {
        details(&mut text, row);
    }
    if !results.curves.is_empty() {
        text += "\n## Curves\n";
    }
    for one in &results.curves {
        curve(&mut text, one);
    }
    text.push('\n');
    text += HOW;
    text
}

fn machine(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "\n{}, commit {}, {}: {}, {} processors, {:.0} GiB, Linux {}. {} rounds.",
        machine.day,
        machine.commit,
        machine.rustc,
        machine.processor,
        machine.processors,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.rounds
    );
}

/// A line for each goal; what a row measures besides stands below.
fn goals(text: &mut String, row: &Measured) {
    let Measured {
        id, what, against, ..
    } = row;
    let against = match against.as_str() {
        "-" => String::new(),
        against => format!("; against {against}"),
    };
    if let Some(why) = &row.not_measured {
        let _ = writeln!(
            text,
            "| {id} | {what}{against} | not measured: {why} | | | | |"
        );
        return;
    }
    let mut goals = row
        .figures
        .iter()
        .filter(|figure| has_goal(figure))
        .peekable();
    let one_alone = row.figures.iter().filter(|figure| has_goal(figure)).count() == 1;
    if goals.peek().is_none() {
        let _ = writeln!(text, "| {id} | {what}{against} | see below | | | | |");
    }
    for figure in goals {
        let [name, median, spread, must, stretch, reached] = figure.columns();
        let what = if one_alone {
            format!("{what}{against}")
        } else {
            format!("{what}{against}: {name}")
        };
        let _ = writeln!(
            text,
            "| {id} | {what} | {median} | {spread} | {must} | {stretch} | {reached} |"
        );
    }
}

fn has_goal(figure: &Figure) -> bool {
    figure.verdict() != Verdict::None
}

fn details(text: &mut String, row: &Measured) {
    let _ = writeln!(text, "\n### Row {}: {}\n", row.id, row.what);
    for note in &row.notes {
        let _ = writeln!(text, "{note}\n");
    }
    *text += "| figure | median | rounds |\n|---|---|---|\n";
    for figure in &row.figures {
        let [name, median, spread, ..] = figure.columns();
        let _ = writeln!(text, "| {name} | {median} | {spread} |");
    }
    for each in &row.tables {
        table(text, each);
    }
}

fn table(text: &mut String, table: &Table) {
    let _ = writeln!(
        text,
        "\n| {} |\n|{}",
        table.head.join(" | "),
        "---|".repeat(table.head.len())
    );
    for row in &table.rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

fn curve(text: &mut String, curve: &Curve) {
    let _ = writeln!(text, "\n### {}\n", capitalised(&curve.what));
    if let Some(why) = &curve.not_measured {
        let _ = writeln!(text, "Not measured: {why}");
    }
    for note in &curve.notes {
        let _ = writeln!(text, "{note}\n");
    }
    for (number, (title, lines)) in curve.plots.iter().enumerate() {
        let _ = writeln!(
            text,
            "![{title}](benchmarks/{})\n",
            plot_name(curve, number)
        );
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        let _ = writeln!(
            text,
            "| {} | {title}: {} |\n|{}",
            curve.x,
            names.join(" | "),
            "---|".repeat(lines.len() + 1)
        );
        let mut places: Vec<f64> = lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(x, _)| *x))
            .collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        for x in places {
            let value = |line: &crate::figure::Line| {
                let point = line.points.iter().find(|(at, _)| *at == x);
                point.map_or(String::new(), |(_, y)| crate::figure::digits(*y))
            };
            let values: Vec<String> = lines.iter().map(value).collect();
            let _ = writeln!(text, "| {x} | {} |", values.join(" | "));
        }
        text.push('\n');
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
