//! `predict MODEL JSON|@FILE|-`.

use std::io::Read;
use std::path::Path;

use clap::Args;
use foretell_types::{ModelName, ModelVersion};
use reqwest::Method;
use serde_json::Value;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{self, Format, Rows, cell};

/// Asks a model for a prediction.
#[derive(Debug, Args)]
pub(super) struct Predict {
    /// Which model.
    model: ModelName,
    /// One record or a list of records as JSON; @FILE reads it from a file, - from stdin.
    #[arg(value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    record: String,
    /// Which version [default: the active one].
    #[arg(long, value_name = "VERSION")]
    model_version: Option<ModelVersion>,
}

impl Predict {
    pub(super) fn execute(self, context: &Context) -> Result<(), Failure> {
        let record = read(&self.record)?;
        let client = context.client()?;
        let path = path(&self.model, self.model_version.as_ref());
        context.block_on(async {
            let answer = client.tenant(Method::POST, &path, Some(&record)).await?;
            match context.format() {
                Format::Json => output::document(&answer.text),
                Format::Table => rows(&answer.json).print(),
            }
        })
    }
}

/// The route of a prediction in the record form.
pub(super) fn path(model: &ModelName, version: Option<&ModelVersion>) -> String {
    match version {
        Some(version) => format!("/api/predict/{model}?version={version}"),
        None => format!("/api/predict/{model}"),
    }
}

fn read(given: &str) -> Result<Value, Failure> {
    let (text, source) = if given == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::io("stdin", &error))?;
        (text, "stdin")
    } else if let Some(path) = given.strip_prefix('@') {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?;
        (text, path)
    } else {
        (given.to_owned(), "the record")
    };
    serde_json::from_str(&text).map_err(|error| {
        let advice = if Path::new(given).is_file() {
            format!("to send the file of this name, write @{given}")
        } else {
            "give one such as '{\"age\": 49}'".to_owned()
        };
        Failure::new(
            Exit::Data,
            format_args!("{source} is not JSON ({error}); {advice}"),
        )
    })
}

/// One row per output, or one line per record.
fn rows(body: &Value) -> Rows {
    let Some(list) = body.get("predictions").and_then(Value::as_array) else {
        let mut rows = Rows::new(&["OUTPUT", "VALUE"]);
        for name in names(body.get("prediction")) {
            rows.push([name.clone(), cell(&body["prediction"], &name)]);
        }
        if body.get("confidence").is_some() {
            rows.push(["(confidence)".to_owned(), cell(body, "confidence")]);
        }
        rows.push(["(version)".to_owned(), cell(body, "version")]);
        return rows;
    };
    let mut rows = Rows::new(&["RECORD", "PREDICTION", "CONFIDENCE"]);
    for (at, one) in list.iter().enumerate() {
        let prediction = &one["prediction"];
        let outputs: Vec<_> = names(Some(prediction))
            .into_iter()
            .map(|name| format!("{name}={}", cell(prediction, &name)))
            .collect();
        rows.push([at.to_string(), outputs.join(" "), cell(one, "confidence")]);
    }
    rows
}

fn names(prediction: Option<&Value>) -> Vec<String> {
    prediction
        .and_then(Value::as_object)
        .map(|outputs| outputs.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_given_in_place_or_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"age": 49}"#).unwrap();
        let at = format!("@{}", file.path().display());
        for given in [r#"{"age": 49}"#, &at] {
            assert_eq!(read(given).unwrap()["age"], 49, "{given}");
        }
        for (given, exit) in [("{age: 49}", Exit::Data), ("@/no/such/file", Exit::NoInput)] {
            assert_eq!(read(given).unwrap_err().exit, exit, "{given}");
        }
    }

    #[test]
    fn who_forgets_the_sign_before_a_files_name_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().display().to_string();
        let failure = read(&name).unwrap_err();
        let advice = format!("write @{name}");
        assert!(failure.to_string().contains(&advice), "{failure}");
    }
}
