//! What the server and its models say of themselves.

use std::collections::HashMap;

use foretell_predict::PredictError;
use foretell_predict::manage::{ModelRecord, VersionRecord};
use serde::Serialize;

/// What runs the models.
pub(super) const PLATFORM: &str = "foretell_wasm";

/// `GET /v2/health/live`.
#[derive(Serialize)]
pub(crate) struct Live {
    pub(crate) live: bool,
}

/// `GET /v2/health/ready`.
#[derive(Serialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    pub(crate) live: bool,
}

/// `GET /v2/models/{m}/ready`.
#[derive(Serialize)]
pub(crate) struct ModelReady<'a> {
    pub(crate) name: &'a str,
    pub(crate) ready: bool,
}

/// `GET /v2`.
#[derive(Serialize)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What of the protocol's extensions is there.
    pub(crate) extensions: [&'static str; 4],
}

impl Server {
    /// This server.
    pub(crate) const THIS: Self = Self {
        name: "foretell",
        version: env!("CARGO_PKG_VERSION"),
        extensions: [
            "binary_tensor_data",
            "model_configuration",
            "model_repository",
            "statistics",
        ],
    };
}

/// `GET /v2/models`.
#[derive(Serialize)]
pub(crate) struct Models<'a> {
    pub(crate) models: Vec<&'a str>,
}

/// `GET /v2/models/{m}`.
#[derive(Serialize)]
pub(crate) struct Model<'a> {
    pub(crate) name: &'a str,
    pub(crate) versions: Vec<&'a str>,
    pub(crate) platform: &'static str,
    pub(crate) inputs: Vec<TensorMetadata<'a>>,
    pub(crate) outputs: Vec<TensorMetadata<'a>>,
    pub(crate) properties: Properties,
}

/// What a tensor is.
#[derive(Serialize)]
pub(crate) struct TensorMetadata<'a> {
    pub(crate) name: &'a str,
    pub(crate) datatype: &'static str,
    pub(crate) shape: &'a [i32],
}

/// Texts by name, as the protocol has it.
#[derive(Serialize)]
pub(crate) struct Properties {
    version: String,
    digest: String,
    /// The whole signature as JSON: columns, vocabularies, classes, examples.
    signature: String,
}

impl From<Properties> for HashMap<String, String> {
    fn from(properties: Properties) -> Self {
        let Properties {
            version,
            digest,
            signature,
        } = properties;
        [
            ("version", version),
            ("digest", digest),
            ("signature", signature),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// The metadata of a model, as seen from one of its versions.
///
/// # Errors
/// `Internal` if the signature cannot be written.
pub(crate) fn metadata<'a>(
    model: &'a ModelRecord,
    version: &'a VersionRecord,
) -> Result<Model<'a>, PredictError> {
    let signature = &version.signature;
    let written = serde_json::to_string(signature)
        .map_err(|error| PredictError::Internal(error.to_string()))?;
    let inputs = signature.inputs.iter();
    let outputs = signature.outputs.iter();
    Ok(Model {
        name: model.name.as_str(),
        versions: model
            .versions
            .iter()
            .map(|version| version.version.as_str())
            .collect(),
        platform: PLATFORM,
        inputs: inputs
            .map(|i| TensorMetadata {
                name: &i.name,
                datatype: i.datatype.as_str(),
                shape: &i.shape,
            })
            .collect(),
        outputs: outputs
            .map(|o| TensorMetadata {
                name: &o.name,
                datatype: o.datatype.as_str(),
                shape: &o.shape,
            })
            .collect(),
        properties: Properties {
            version: version.version.to_string(),
            digest: version.digest.to_string(),
            signature: written,
        },
    })
}
