//! What the tests of all families do: hold a model against the library that trained it, and damage artifacts.
//!
//! These functions are for tests: they panic where something is not as it should be.

use std::fs;
use std::path::{Path, PathBuf};

use foretell_sdk::harness;
use foretell_sdk::prelude::*;

/// The folder of a version of a first-party model.
pub fn model_folder(name: &str, version: &str) -> PathBuf {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR"));
    plugins.join("../../models").join(name).join(version)
}

/// Reads a file.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A table of numbers with named columns, as the training scripts write it: rows and their expected answers.
#[derive(Debug)]
pub struct Table {
    /// The columns' names.
    pub names: Vec<String>,
    /// The rows. What is no number (the part of the data that a row is from) is NaN.
    pub rows: Vec<Vec<f64>>,
}

impl Table {
    /// Reads comma-separated values.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn read(path: impl AsRef<Path>) -> Self {
        let bytes = read(path);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().map(|line| line.split(','));
        let names = lines.next().into_iter().flatten();
        Self {
            names: names.map(str::to_owned).collect(),
            rows: lines.map(|fields| fields.map(number).collect()).collect(),
        }
    }

    /// The columns from one place up to another, row by row.
    pub fn columns(&self, from: usize, to: usize) -> Vec<f64> {
        self.rows
            .iter()
            .flat_map(|row| &row[from..to])
            .copied()
            .collect()
    }
}

fn number(field: &str) -> f64 {
    field.parse().unwrap_or(f64::NAN)
}

/// Loads a model of models/, holds it to the host's rules, runs all rows of its `parity.csv` together and one by one,
/// compares labels, and returns the largest difference of a probability.
///
/// # Panics
/// If anything is not as it should be but the probabilities, which the caller judges.
pub fn parity<M: Predictor>(name: &str, version: &str) -> f64 {
    let folder = model_folder(name, version);
    let model = harness::load::<M>(&read(folder.join("model.ftl")), Settings::default());
    let model = model.expect("it loads");
    model
        .check()
        .expect("the signature is sound and the examples give their answers");

    let table = Table::read(folder.join("parity.csv"));
    let columns = &model.signature().inputs[0].columns;
    // The part in front, the features, the probabilities, and the label behind.
    let (width, end) = (columns.len(), table.names.len() - 1);
    let names = columns.iter().map(|column| &column.name);
    assert!(
        names.eq(&table.names[1..=width]),
        "the columns are those of the artifact"
    );
    let features = table.columns(1, 1 + width);
    let expected = table.columns(1 + width, end);
    let labels = table.columns(end, end + 1);

    let predict = |features: &[f64]| {
        model
            .predict([Tensor::table(width, features)])
            .expect("it answers")
    };
    let together = predict(&features);
    let found = together.slice::<f64>(0).expect("probabilities");
    let codes = together.slice::<u32>("label").expect("labels");
    let codes = codes.iter().map(|code| f64::from(*code));
    assert!(codes.eq(labels), "every label is the training library's");
    let scores = found.len() / table.rows.len();
    for (row, together) in features.chunks_exact(width).zip(found.chunks_exact(scores)) {
        let alone = predict(row);
        let alone = alone.slice::<f64>(0).expect("probabilities");
        assert_eq!(
            bits(alone),
            bits(together),
            "a row answers alike alone and among others"
        );
    }
    largest_difference(found, &expected)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The largest absolute difference. Infinite if one is NaN, or the numbers of values differ.
pub fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst, next| {
        if next <= worst {
            worst
        } else if next > worst {
            next
        } else {
            f64::INFINITY
        }
    })
}

/// Damages an artifact in every way that one cut, one flipped bit or one word of ones can: a cut is refused as a bad
/// artifact, everything else is refused as one or describes itself and answers; nothing panics.
///
/// `step` leaves out places, for large artifacts: 1 tries every byte.
///
/// # Panics
/// If not so.
pub fn survives_damage<M: Predictor>(artifact: &[u8], step: usize) {
    for end in (0..artifact.len()).step_by(step) {
        let loaded = harness::load::<M>(&artifact[..end], Settings::default());
        assert!(
            matches!(loaded, Err(LoadError::BadArtifact(_))),
            "cut at byte {end}"
        );
    }
    for at in (0..artifact.len()).step_by(step) {
        for bit in 0..8 {
            let mut damaged = artifact.to_vec();
            damaged[at] ^= 1 << bit;
            survives::<M>(&damaged);
        }
        let mut damaged = artifact.to_vec();
        let end = damaged.len().min(at + 4);
        damaged[at..end].fill(0xff);
        survives::<M>(&damaged);
    }
    let longer = [artifact, &[0]].concat();
    let loaded = harness::load::<M>(&longer, Settings::default());
    assert!(
        matches!(loaded, Err(LoadError::BadArtifact(_))),
        "one byte too many"
    );
}

/// Loads bytes of any kind; if they load, describes and predicts.
///
/// # Panics
/// If the refusal is of another kind than a bad artifact.
pub fn survives<M: Predictor>(artifact: &[u8]) {
    match harness::load::<M>(artifact, Settings::default()) {
        Err(LoadError::BadArtifact(_)) => {}
        Err(other) => panic!("another refusal: {other}"),
        Ok(model) => {
            let width = model.signature().inputs[0].columns.len();
            for value in [0.0, 1.0, -1.5, f64::NAN, f64::INFINITY, 1e300] {
                // Refused by the host's rules or answered: both are fine.
                let _ = model.predict([Tensor::table(width, vec![value; 9 * width])]);
            }
        }
    }
}

/// Writes artifacts in tests, independently of the training scripts.
#[derive(Debug, Clone, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An artifact up to its body: `columns` unbounded columns `x0`, `x1`, ... whose missing value is NaN; one score (a
    /// value) or a class for each of several; no examples but one, a row of zeros with this answer.
    pub fn model(family: &str, columns: u32, scores: u32, zeros: &[f64]) -> Self {
        let writer = Self(b"FTLMODEL".to_vec())
            .u32(1)
            .text(family)
            .text("doc")
            .text("rows");
        let mut writer = writer.u32(columns);
        for index in 0..columns {
            writer = writer.text(&format!("x{index}")).text("").u8(0);
            writer = writer
                .f64(f64::NEG_INFINITY)
                .f64(f64::INFINITY)
                .u8(1)
                .f64(f64::NAN);
        }
        writer = if scores == 1 {
            writer.u8(0).text("a value")
        } else {
            (0..scores).fold(
                writer.u8(2).text("").text("").u32(scores),
                |writer, class| writer.text(&format!("class {class}")),
            )
        };
        writer = writer.f64(1e-12).u32(1).text("zeros");
        writer = (0..columns).fold(writer, |writer, _| writer.f64(0.0));
        zeros
            .iter()
            .fold(writer, |writer, value| writer.f64(*value))
    }

    /// A byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// A whole number of four bytes.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A signed whole number of four bytes.
    #[must_use]
    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A number of eight bytes.
    #[must_use]
    pub fn f64(mut self, value: f64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Numbers of eight bytes.
    #[must_use]
    pub fn f64s(self, values: &[f64]) -> Self {
        values.iter().fold(self, |writer, value| writer.f64(*value))
    }

    /// A text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        let mut writer = self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        writer.0.extend(text.as_bytes());
        writer
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
