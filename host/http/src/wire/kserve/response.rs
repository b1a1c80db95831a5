//! Bodies of the version 1 protocol.

use foretell_predict::Answer;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Form;
use crate::wire::json::write::{Bytes, Flat, Shaped};
use crate::wire::rows::{Labels, Row};

/// `GET /`.
#[derive(serde::Serialize)]
pub(crate) struct Alive {
    status: &'static str,
}

impl Alive {
    /// This server answers.
    pub(crate) const YES: Self = Self { status: "alive" };
}

/// `GET /v1/models`.
#[derive(serde::Serialize)]
pub(crate) struct Models<'a> {
    pub(crate) models: Vec<&'a str>,
}

/// `GET /v1/models/{m}`: what KServe's clients look for, and TensorFlow Serving's beside it.
#[derive(serde::Serialize)]
pub(crate) struct ModelStatus<'a> {
    name: &'a str,
    ready: bool,
    model_version_status: [VersionStatus<'a>; 1],
}

#[derive(serde::Serialize)]
struct VersionStatus<'a> {
    version: &'a str,
    state: &'static str,
    status: Status,
}

#[derive(serde::Serialize)]
struct Status {
    error_code: &'static str,
    error_message: &'static str,
}

impl<'a> ModelStatus<'a> {
    /// A model that answers with this version.
    pub(crate) const fn available(name: &'a str, version: &'a str) -> Self {
        let status = Status {
            error_code: "OK",
            error_message: "",
        };
        Self {
            name,
            ready: true,
            model_version_status: [VersionStatus {
                version,
                state: "AVAILABLE",
                status,
            }],
        }
    }
}

/// The body of an answer, in the form of its question.
pub(crate) const fn prediction(answer: &Answer, form: Form) -> Prediction<'_> {
    Prediction { answer, form }
}

/// `{"predictions": [row…]}` or `{"outputs": …}`. With one output its values stand bare, with several by name.
pub(crate) struct Prediction<'a> {
    answer: &'a Answer,
    form: Form,
}

impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.form {
            Form::Rows(labels) => map.serialize_entry(
                "predictions",
                &Rows {
                    answer: self.answer,
                    labels,
                },
            )?,
            Form::Columns => map.serialize_entry("outputs", &Columns(self.answer))?,
        }
        map.end()
    }
}

struct Rows<'a> {
    answer: &'a Answer,
    labels: Labels,
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { answer, labels } = *self;
        serializer.collect_seq((0..answer.rows as usize).map(|index| {
            Bare(Row {
                answer,
                index,
                labels,
            })
        }))
    }
}

/// A row that stands bare if it has one output.
struct Bare<'a>(Row<'a>);

impl Serialize for Bare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.only() {
            Some(cell) => cell.serialize(serializer),
            None => self.0.serialize(serializer),
        }
    }
}

struct Columns<'a>(&'a Answer);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self
            .0
            .target
            .signature
            .outputs
            .iter()
            .map(|output| &output.name);
        let values = self.0.outputs.iter().map(|tensor| Shaped {
            shape: tensor.shape(),
            flat: Flat::all(tensor.elements(), Bytes::TextOrObject),
        });
        let mut pairs = names.zip(values);
        match (pairs.next(), pairs.next()) {
            (Some((_, only)), None) => only.serialize(serializer),
            (first, second) => serializer.collect_map(first.into_iter().chain(second).chain(pairs)),
        }
    }
}
