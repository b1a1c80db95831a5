use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow, bail};
use foretell_bench::figure::{Bar, Goal, Unit};
use foretell_bench::pairs::paired;
use foretell_http::fuzzing::{Protocol, decode};
use foretell_types::signature::{Input, Promises, Signature};
use foretell_types::tensor::{Datatype, Elements};

use super::{Findings, Row};
use crate::bench::Bench;
use crate::forests;
use crate::process::{self, on};

const ROWS: usize = 1_000;
const FEATURES: usize = 30;
const RATIO: &str = "time, ratio";

pub(crate) const ROW: Row = Row {
    id: "14",
    what: "JSON of 1,000 rows of 30 to a tensor",
    against: "serde_json into `Vec<Vec<f32>>`",
    goals: &[Goal {
        figure: RATIO,
        unit: Unit::Ratio,
        must: Bar::AtLeast(2.0),
        stretch: None,
    }],
    run: |bench| on(process::SERVER, || run(bench))?,
};

fn run(bench: &Bench) -> Result<Findings> {
    let rows = forests::rows(FEATURES, ROWS);
    let mut table = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // As serde_json and most other writers do: as few digits as tell the number from its neighbours in FP32.
        let row: Vec<String> = row
            .iter()
            .map(|value| (*value as f32).to_string())
            .collect();
        write!(table, "{comma}[{}]", row.join(","))?;
    }
    table.push(']');
    let body = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[{ROWS},{FEATURES}],"data":{table}}}]}}"#
    );
    let signature = signature();
    let ours = || decode(Protocol::V2, body.as_bytes(), &signature, 10_000);
    let theirs = || serde_json::from_str::<Vec<Vec<f32>>>(&table);

    let expected = theirs()?.concat();
    let read = ours().map_err(|error| anyhow!("{error}"))?;
    let read = read
        .check(&signature)
        .map_err(|error| anyhow!("{error:?}"))?;
    let tensor = read.inputs().first().context("no input")?;
    if *tensor.elements() != Elements::Fp32(expected) {
        bail!("the two sides read different numbers");
    }
    let pairs = paired(
        bench.rounds,
        || Ok(bench.time(ours)),
        || Ok(bench.time(theirs)),
    )?;
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Ok(Findings::default()
        .figure(
            RATIO,
            Unit::Ratio,
            theirs.iter().zip(&ours).map(|(b, a)| b / a).collect(),
        )
        .figure(
            "ours, bytes of JSON",
            Unit::BytesPerSecond,
            ours.iter().map(|ns| body.len() as f64 / ns * 1e9).collect(),
        )
        .figure("ours", Unit::Nanoseconds, ours)
        .figure("serde_json", Unit::Nanoseconds, theirs)
        .note("Ours reads a whole V2 body, the other the table alone."))
}

/// A table of FP32.
fn signature() -> Signature {
    Signature {
        doc: String::new(),
        inputs: vec![Input {
            name: "x".to_owned(),
            doc: String::new(),
            datatype: Datatype::Fp32,
            shape: vec![-1, FEATURES as i32],
            columns: Vec::new(),
        }],
        outputs: Vec::new(),
        examples: Vec::new(),
        promises: Promises {
            deterministic: true,
            independent_rows: true,
        },
    }
}
