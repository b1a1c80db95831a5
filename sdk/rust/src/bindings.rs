//! The generated side of the plugin interface, and the moves between its types and ours.
//!
//! `bindings/generated.rs` is what wit-bindgen makes of `wit/`. It is committed rather than made by a macro because the
//! generator would be most of what a plugin compiles. The host holds every finished component against `wit/`, so a copy
//! that is not true to it fails at the first `foretell plugin check`. To make it anew, for a new track of the interface, with wit-bindgen-cli 0.63.0:
//!
//! ```text
//! wit-bindgen rust wit --world predictor --generate-all --format --pub-export-macro \
//!     --export-macro-name __export_bindings --default-bindings-module ::foretell_sdk::__private::bindings
//! sed -i 's/(&raw mut _RET_AREA.0).cast::<u8>()/crate::memory::result::<_RetArea>()/' generated.rs
//! ```
//!
//! The last line spares each prediction a page: see [`crate::memory`].
//!
//! Nothing else names a generated type. A tensor's vectors are moved from one type to the other: no element is looked
//! at. Everything else here runs once, at upload.

use crate::error::{InputFault, LoadError, PredictError};
use crate::settings::{SettingValue, Settings};
use crate::signature as ours;
use crate::tensor::{self, Elements};

#[rustfmt::skip]
#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    reason = "generated"
)]
mod generated;

pub use generated::__export_bindings;
pub use generated::exports;
pub use generated::exports::foretell::plugin::inference as wit;

/// Writes one line to the host's log.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log(level: crate::log::Level, line: &str) {
    use crate::log::Level;
    use generated::foretell::plugin::log as host;

    let level = match level {
        Level::Error => host::Level::Error,
        Level::Warn => host::Level::Warn,
        Level::Info => host::Level::Info,
        Level::Debug => host::Level::Debug,
    };
    host::write(level, line);
}

impl From<wit::Tensor> for tensor::Tensor {
    fn from(tensor: wit::Tensor) -> Self {
        let elements = match tensor.elements {
            wit::Elements::Bool(values) => Elements::Bool(values),
            wit::Elements::Uint8(values) => Elements::Uint8(values),
            wit::Elements::Uint16(values) => Elements::Uint16(values),
            wit::Elements::Uint32(values) => Elements::Uint32(values),
            wit::Elements::Uint64(values) => Elements::Uint64(values),
            wit::Elements::Int8(values) => Elements::Int8(values),
            wit::Elements::Int16(values) => Elements::Int16(values),
            wit::Elements::Int32(values) => Elements::Int32(values),
            wit::Elements::Int64(values) => Elements::Int64(values),
            wit::Elements::Fp16(values) => Elements::Fp16(values),
            wit::Elements::Bf16(values) => Elements::Bf16(values),
            wit::Elements::Fp32(values) => Elements::Fp32(values),
            wit::Elements::Fp64(values) => Elements::Fp64(values),
            wit::Elements::Bytes(wit::Blobs { joined, ends }) => Elements::Bytes { joined, ends },
        };
        let shape = tensor.shape;
        Self { shape, elements }
    }
}

impl From<tensor::Tensor> for wit::Tensor {
    fn from(tensor: tensor::Tensor) -> Self {
        let elements = match tensor.elements {
            Elements::Bool(values) => wit::Elements::Bool(values),
            Elements::Uint8(values) => wit::Elements::Uint8(values),
            Elements::Uint16(values) => wit::Elements::Uint16(values),
            Elements::Uint32(values) => wit::Elements::Uint32(values),
            Elements::Uint64(values) => wit::Elements::Uint64(values),
            Elements::Int8(values) => wit::Elements::Int8(values),
            Elements::Int16(values) => wit::Elements::Int16(values),
            Elements::Int32(values) => wit::Elements::Int32(values),
            Elements::Int64(values) => wit::Elements::Int64(values),
            Elements::Fp16(values) => wit::Elements::Fp16(values),
            Elements::Bf16(values) => wit::Elements::Bf16(values),
            Elements::Fp32(values) => wit::Elements::Fp32(values),
            Elements::Fp64(values) => wit::Elements::Fp64(values),
            Elements::Bytes { joined, ends } => wit::Elements::Bytes(wit::Blobs { joined, ends }),
        };
        let shape = tensor.shape;
        Self { shape, elements }
    }
}

impl From<Vec<wit::Setting>> for Settings {
    fn from(settings: Vec<wit::Setting>) -> Self {
        let value = |value| match value {
            wit::SettingValue::Truth(value) => SettingValue::Truth(value),
            wit::SettingValue::Integer(value) => SettingValue::Integer(value),
            wit::SettingValue::Real(value) => SettingValue::Real(value),
            wit::SettingValue::Text(value) => SettingValue::Text(value),
        };
        let settings = settings.into_iter();
        Self::new(settings.map(|setting| (setting.name, value(setting.value))))
    }
}

impl From<LoadError> for wit::LoadError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::BadArtifact(message) => Self::BadArtifact(message),
            LoadError::BadSetting { setting, message } => {
                Self::BadSetting(wit::SettingFault { setting, message })
            }
            LoadError::Failed(message) => Self::Failed(message),
        }
    }
}

impl From<PredictError> for wit::PredictError {
    fn from(error: PredictError) -> Self {
        // Places that do not exist in a tensor are cut off rather than wrapped around.
        let place = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        match error {
            PredictError::Failed(message) => Self::Failed(message),
            PredictError::BadInput(InputFault {
                input,
                row,
                column,
                message,
            }) => Self::BadInput(wit::InputFault {
                input: place(input),
                row: row.map(place),
                column: column.map(place),
                message,
            }),
        }
    }
}

impl From<ours::Signature> for wit::Signature {
    fn from(signature: ours::Signature) -> Self {
        let ours::Promises {
            deterministic,
            independent_rows,
        } = signature.promises;
        let mut promises = wit::Promises::empty();
        promises.set(wit::Promises::DETERMINISTIC, deterministic);
        promises.set(wit::Promises::INDEPENDENT_ROWS, independent_rows);
        Self {
            doc: signature.doc,
            inputs: signature.inputs.into_iter().map(input).collect(),
            outputs: signature.outputs.into_iter().map(output).collect(),
            examples: signature.examples.into_iter().map(example).collect(),
            promises,
        }
    }
}

fn input(input: ours::Input) -> wit::Input {
    wit::Input {
        name: input.name,
        doc: input.doc,
        datatype: datatype(input.datatype),
        shape: input.shape,
        columns: input.columns.into_iter().map(column).collect(),
    }
}

fn column(column: ours::Column) -> wit::Column {
    let bounds = |ours::Bounds { min, max }| wit::Bounds { min, max };
    wit::Column {
        name: column.name,
        doc: column.doc,
        domain: match column.domain {
            ours::Domain::Real(range) => wit::Domain::Real(bounds(range)),
            ours::Domain::Integer(range) => wit::Domain::Integer(bounds(range)),
            ours::Domain::Truth => wit::Domain::Truth,
            ours::Domain::Category(ours::Vocabulary { values, unseen }) => {
                wit::Domain::Category(wit::Vocabulary { values, unseen })
            }
        },
        absent: column.absent,
    }
}

fn output(output: ours::Output) -> wit::Output {
    wit::Output {
        name: output.name,
        doc: output.doc,
        datatype: datatype(output.datatype),
        shape: output.shape,
        role: match output.role {
            ours::Role::Prediction => wit::Role::Prediction,
            ours::Role::Label => wit::Role::Label,
            ours::Role::Confidence => wit::Role::Confidence,
            ours::Role::Other => wit::Role::Other,
        },
        classes: output.classes,
    }
}

fn example(example: ours::Example) -> wit::Example {
    wit::Example {
        name: example.name,
        inputs: example.inputs.into_iter().map(Into::into).collect(),
        outputs: example.outputs.into_iter().map(Into::into).collect(),
        tolerance: example.tolerance,
    }
}

const fn datatype(datatype: tensor::Datatype) -> wit::Datatype {
    match datatype {
        tensor::Datatype::Bool => wit::Datatype::Bool,
        tensor::Datatype::Uint8 => wit::Datatype::Uint8,
        tensor::Datatype::Uint16 => wit::Datatype::Uint16,
        tensor::Datatype::Uint32 => wit::Datatype::Uint32,
        tensor::Datatype::Uint64 => wit::Datatype::Uint64,
        tensor::Datatype::Int8 => wit::Datatype::Int8,
        tensor::Datatype::Int16 => wit::Datatype::Int16,
        tensor::Datatype::Int32 => wit::Datatype::Int32,
        tensor::Datatype::Int64 => wit::Datatype::Int64,
        tensor::Datatype::Fp16 => wit::Datatype::Fp16,
        tensor::Datatype::Bf16 => wit::Datatype::Bf16,
        tensor::Datatype::Fp32 => wit::Datatype::Fp32,
        tensor::Datatype::Fp64 => wit::Datatype::Fp64,
        tensor::Datatype::Bytes => wit::Datatype::Bytes,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_exports_leave_what_they_return_on_the_page_of_the_block() {
        let generated = include_str!("bindings/generated.rs");
        assert!(generated.contains("crate::memory::result::<_RetArea>()"));
        assert!(
            !generated.contains("&raw mut _RET_AREA"),
            "the sed above has not been run"
        );
    }
}
