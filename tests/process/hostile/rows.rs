//! What a siege leaves: one line of JSON for each attack, in `target/hostile/`, and the same for people.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foretell_tests::built;
use foretell_tests::load::Latencies;
use serde::Serialize;

/// One attack.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Its place in the table: `A1`.
    pub(crate) id: String,
    /// What was done.
    pub(crate) what: String,
    /// How often.
    pub(crate) thrown: u64,
    /// Answers by status and code.
    pub(crate) came: BTreeMap<String, u64>,
    /// Of the attack's own answers, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answered_p99_ms: Option<f64>,
    /// The neighbour, before and meanwhile; none where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) neighbour: Option<Neighbour>,
    /// What the server had in memory before, at most meanwhile, and afterwards, in mebibytes.
    pub(crate) resident_mib: [u64; 3],
    /// What else was seen, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) figures: BTreeMap<String, String>,
}

/// What the neighbour felt: predictions, and their times in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Neighbour {
    pub(crate) predictions: u64,
    pub(crate) failures: u64,
    pub(crate) quiet_p50_ms: f64,
    pub(crate) quiet_p99_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Neighbour {
    /// From its times quiet and meanwhile.
    pub(crate) fn of(quiet: &Latencies, meanwhile: &Latencies, failures: u64) -> Self {
        Self {
            predictions: meanwhile.count() as u64 + failures,
            failures,
            quiet_p50_ms: ms(quiet.at(0.5)),
            quiet_p99_ms: ms(quiet.at(0.99)),
            p50_ms: ms(meanwhile.at(0.5)),
            p99_ms: ms(meanwhile.at(0.99)),
        }
    }
}

/// A row, and against which build of the server it was got: `release`, or `debug` for one without optimisation.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    row: &'a Row,
    build: String,
}

/// The file of one test's rows.
#[derive(Debug)]
pub(crate) struct Rows(File);

impl Rows {
    /// Begins anew: rows of an earlier run are gone.
    pub(crate) fn of(test: &str) -> Self {
        let folder = folder();
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let file = folder.join(format!("{test}.jsonl"));
        Self(File::create(file).expect("the target folder can be written"))
    }

    /// Writes one.
    pub(crate) fn add(&mut self, row: &Row) {
        let folder = built::server().parent().and_then(Path::file_name);
        let build = folder.unwrap_or_default().to_string_lossy().into_owned();
        let line = serde_json::to_string(&Line { row, build }).expect("rows are JSON");
        writeln!(self.0, "{line}").expect("the target folder can be written");
        show(&line);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the test runner captures it, and shows it where a test fails or where it is asked for"
)]
fn show(line: &str) {
    println!("{line}");
}

/// Milliseconds, for rows.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// `hostile` in the target folder of the build at hand.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    // target/<profile>/deps/<test>
    let target = test
        .ancestors()
        .nth(3)
        .expect("a test lies in target/<profile>/deps");
    target.join("hostile")
}
