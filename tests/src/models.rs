//! The first-party models, as they lie under `models/`, with what the training library says of their rows.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Client, Parts, built};

/// The models that every installation can push.
pub const ALL: [&str; 4] = ["lead-score", "churn", "iris", "digits"];

/// A model on disk.
#[derive(Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The sample, a record.
    pub request: Value,
    /// What the training library answers.
    pub response: Value,
    /// The plugin that it runs in.
    pub plugin: String,
}

/// Rows with the outputs that the training library gives.
#[derive(Debug)]
pub struct Parity {
    /// The features of each row; a missing value is NaN.
    pub rows: Vec<Vec<f64>>,
    /// The probabilities of each row: one for two classes, else one for each class.
    pub probabilities: Vec<Vec<f64>>,
    /// The class of each row.
    pub labels: Vec<u64>,
}

impl Model {
    /// Reads version 1 of a model.
    pub fn read(name: &str) -> Self {
        let folder = built::root().join("models").join(name).join("1");
        let manifest: toml::Table = text(&folder.join("model.toml"))
            .parse()
            .expect("model.toml is TOML");
        let source = manifest["plugin"]["crate"]
            .as_str()
            .expect("plugin.crate is a path");
        let plugin = Path::new(source).file_name().expect("a path with a name");
        Self {
            name: name.to_owned(),
            request: read_json(&folder.join("sample.request.json")),
            response: read_json(&folder.join("sample.response.json")),
            plugin: plugin.to_string_lossy().into_owned(),
            folder,
        }
    }

    /// What is uploaded.
    pub fn parts(&self) -> Parts {
        Parts {
            plugin: built::plugin(&self.plugin),
            artifact: Some(fs::read(self.folder.join("model.ftl")).expect("the artifact")),
            ..Parts::default()
        }
    }

    /// Uploads it as version 1.
    #[track_caller]
    pub fn push(&self, client: &Client) {
        client.push(&self.name, "1", &self.parts()).is(201);
    }

    /// The output that holds the probabilities.
    pub fn probabilities_output(&self) -> &'static str {
        if self.response.get("probability").is_some() {
            "probability"
        } else {
            "probabilities"
        }
    }

    /// The rows of `parity.csv`.
    pub fn parity(&self) -> Parity {
        let text = text(&self.folder.join("parity.csv"));
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().expect("a header").split(',').collect();
        let outputs = names
            .iter()
            .position(|name| name.starts_with("probability"))
            .expect("a probability");
        assert_eq!(
            (names[0], names[names.len() - 1]),
            ("part", "label"),
            "{}: the header",
            self.name
        );
        let mut parity = Parity {
            rows: Vec::new(),
            probabilities: Vec::new(),
            labels: Vec::new(),
        };
        for line in lines {
            let cells: Vec<f64> = line
                .split(',')
                .skip(1)
                .map(|cell| cell.parse().expect("a number"))
                .collect();
            assert_eq!(cells.len(), names.len() - 1, "{}: {line}", self.name);
            parity.rows.push(cells[..outputs - 1].to_vec());
            parity
                .probabilities
                .push(cells[outputs - 1..cells.len() - 1].to_vec());
            parity.labels.push(cells[cells.len() - 1] as u64);
        }
        parity
    }
}

/// A `/v2` inference request over rows of features.
pub fn infer_request(rows: &[Vec<f64>]) -> Value {
    let data: Vec<Value> = rows
        .iter()
        .flatten()
        // JSON has no NaN; null is what the protocol reads as one.
        .map(|value| {
            if value.is_nan() {
                Value::Null
            } else {
                json!(value)
            }
        })
        .collect();
    json!({"inputs": [{
        "name": "features",
        "datatype": "FP64",
        "shape": [rows.len(), rows.first().map_or(0, Vec::len)],
        "data": data,
    }]})
}

/// The data of an output of a `/v2` inference response.
#[track_caller]
pub fn output<'a>(response: &'a Value, name: &str) -> &'a [Value] {
    let outputs = response["outputs"].as_array().expect("a list of outputs");
    let output = outputs.iter().find(|output| output["name"] == name);
    let Some(data) = output.and_then(|output| output["data"].as_array()) else {
        panic!("no data of an output `{name}` in {response}");
    };
    data
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn read_json(file: &Path) -> Value {
    serde_json::from_str(&text(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
