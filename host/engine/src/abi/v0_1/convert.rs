//! Between the generated types and the house's own. Vectors move; nothing of a tensor is copied here.

use foretell_types::compile::{Refusal, RefusalCode, Setting, SettingValue};
use foretell_types::run::RunError;
use foretell_types::signature::{
    Bounds, Column, Domain, Example, Input, Output, Promises, Role, Signature, Vocabulary,
};
use foretell_types::tensor::{Blobs, Datatype, Elements, Tensor, TensorError};

use super::guest;

/// Characters of a plugin's own text that are passed on.
const MAX_TEXT: usize = 4_096;

pub(super) fn input(tensor: &Tensor) -> guest::TensorParam<'_> {
    use guest::ElementsParam as To;
    let elements = match tensor.elements() {
        Elements::Bool(v) => To::Bool(v),
        Elements::Uint8(v) => To::Uint8(v),
        Elements::Uint16(v) => To::Uint16(v),
        Elements::Uint32(v) => To::Uint32(v),
        Elements::Uint64(v) => To::Uint64(v),
        Elements::Int8(v) => To::Int8(v),
        Elements::Int16(v) => To::Int16(v),
        Elements::Int32(v) => To::Int32(v),
        Elements::Int64(v) => To::Int64(v),
        Elements::Fp16(v) => To::Fp16(v),
        Elements::Bf16(v) => To::Bf16(v),
        Elements::Fp32(v) => To::Fp32(v),
        Elements::Fp64(v) => To::Fp64(v),
        Elements::Bytes(v) => To::Bytes(guest::BlobsParam {
            joined: &v.joined,
            ends: &v.ends,
        }),
    };
    guest::TensorParam {
        shape: tensor.shape(),
        elements,
    }
}

/// The outputs as tensors, each NaN made the one canonical NaN: which of the many a CPU produces depends on the CPU.
pub(super) fn outputs(outputs: Vec<guest::TensorResult>) -> Result<Vec<Tensor>, RunError> {
    outputs
        .into_iter()
        .enumerate()
        .map(|(index, output)| {
            tensor(output).map_err(|fault| RunError::Contract(format!("output {index}: {fault}")))
        })
        .collect()
}

fn tensor(tensor: guest::TensorResult) -> Result<Tensor, TensorError> {
    use guest::ElementsResult as From;
    let elements = match tensor.elements {
        From::Bool(v) => Elements::Bool(v),
        From::Uint8(v) => Elements::Uint8(v),
        From::Uint16(v) => Elements::Uint16(v),
        From::Uint32(v) => Elements::Uint32(v),
        From::Uint64(v) => Elements::Uint64(v),
        From::Int8(v) => Elements::Int8(v),
        From::Int16(v) => Elements::Int16(v),
        From::Int32(v) => Elements::Int32(v),
        From::Int64(v) => Elements::Int64(v),
        From::Fp16(v) => Elements::Fp16(canonical(v, |bits| bits & 0x7fff > 0x7c00, 0x7e00)),
        From::Bf16(v) => Elements::Bf16(canonical(v, |bits| bits & 0x7fff > 0x7f80, 0x7fc0)),
        From::Fp32(v) => Elements::Fp32(canonical(v, f32::is_nan, f32::from_bits(0x7fc0_0000))),
        From::Fp64(v) => Elements::Fp64(canonical(
            v,
            f64::is_nan,
            f64::from_bits(0x7ff8_0000_0000_0000),
        )),
        From::Bytes(v) => Elements::Bytes(Blobs {
            joined: v.joined,
            ends: v.ends,
        }),
    };
    Tensor::new(tensor.shape, elements)
}

fn canonical<T: Copy>(mut values: Vec<T>, is_nan: impl Fn(T) -> bool, nan: T) -> Vec<T> {
    for value in &mut values {
        // Written either way: without a branch, several values are looked at at once.
        *value = if is_nan(*value) { nan } else { *value };
    }
    values
}

pub(super) fn predict_error(error: guest::PredictError) -> RunError {
    match error {
        guest::PredictError::BadInput(fault) => RunError::Refused {
            message: cut(fault.message),
            input: fault.input,
            row: fault.row,
            column: fault.column,
        },
        guest::PredictError::Failed(message) => RunError::Failed(cut(message)),
    }
}

pub(super) fn load_error(error: guest::LoadError) -> Refusal {
    let (subject, message) = match error {
        guest::LoadError::BadArtifact(message) => ("artifact".to_owned(), message),
        guest::LoadError::BadSetting(fault) => {
            (format!("setting `{}`", cut(fault.setting)), fault.message)
        }
        guest::LoadError::Failed(message) => ("load".to_owned(), message),
    };
    Refusal::new(RefusalCode::LoadFailed, subject, cut(message))
}

/// A plugin's text for people: without control characters, and not longer than anybody reads.
fn cut(text: String) -> String {
    text.chars()
        .take(MAX_TEXT)
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

pub(super) fn settings(settings: &[Setting]) -> Vec<guest::Setting<'_>> {
    settings
        .iter()
        .map(|setting| guest::Setting {
            name: &setting.name,
            value: match &setting.value {
                SettingValue::Truth(v) => guest::SettingValue::Truth(*v),
                SettingValue::Integer(v) => guest::SettingValue::Integer(*v),
                SettingValue::Real(v) => guest::SettingValue::Real(*v),
                SettingValue::Text(v) => guest::SettingValue::Text(v),
            },
        })
        .collect()
}

/// The signature as described.
///
/// # Errors
/// The example whose tensor is none: shape and elements do not fit each other.
pub(super) fn signature(described: guest::Signature) -> Result<Signature, String> {
    Ok(Signature {
        doc: described.doc,
        inputs: described.inputs.into_iter().map(input_declared).collect(),
        outputs: described.outputs.into_iter().map(output_declared).collect(),
        examples: described
            .examples
            .into_iter()
            .map(example)
            .collect::<Result<_, _>>()?,
        promises: Promises {
            deterministic: described.promises.contains(guest::Promises::DETERMINISTIC),
            independent_rows: described
                .promises
                .contains(guest::Promises::INDEPENDENT_ROWS),
        },
    })
}

fn input_declared(input: guest::Input) -> Input {
    Input {
        name: input.name,
        doc: input.doc,
        datatype: datatype(input.datatype),
        shape: input.shape,
        columns: input.columns.into_iter().map(column).collect(),
    }
}

fn column(column: guest::Column) -> Column {
    Column {
        name: column.name,
        doc: column.doc,
        domain: domain(column.domain),
        absent: column.absent,
    }
}

fn domain(domain: guest::Domain) -> Domain {
    match domain {
        guest::Domain::Real(bounds) => Domain::Real(Bounds {
            min: bounds.min,
            max: bounds.max,
        }),
        guest::Domain::Integer(bounds) => Domain::Integer(Bounds {
            min: bounds.min,
            max: bounds.max,
        }),
        guest::Domain::Truth => Domain::Truth,
        guest::Domain::Category(vocabulary) => Domain::Category(Vocabulary {
            values: vocabulary.values,
            unseen: vocabulary.unseen,
        }),
    }
}

fn output_declared(output: guest::Output) -> Output {
    Output {
        name: output.name,
        doc: output.doc,
        datatype: datatype(output.datatype),
        shape: output.shape,
        role: match output.role {
            guest::Role::Prediction => Role::Prediction,
            guest::Role::Label => Role::Label,
            guest::Role::Confidence => Role::Confidence,
            guest::Role::Other => Role::Other,
        },
        classes: output.classes,
    }
}

fn example(example: guest::Example) -> Result<Example, String> {
    let tensors = |tensors: Vec<guest::TensorResult>, side: &str| {
        tensors
            .into_iter()
            .enumerate()
            .map(|(index, t)| {
                tensor(t).map_err(|fault| {
                    format!(
                        "example `{}`, {side} {index}: {fault}",
                        cut(example.name.clone())
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let inputs = tensors(example.inputs, "input")?;
    let outputs = tensors(example.outputs, "output")?;
    Ok(Example {
        name: example.name,
        inputs,
        outputs,
        tolerance: example.tolerance,
    })
}

const fn datatype(datatype: guest::Datatype) -> Datatype {
    match datatype {
        guest::Datatype::Bool => Datatype::Bool,
        guest::Datatype::Uint8 => Datatype::Uint8,
        guest::Datatype::Uint16 => Datatype::Uint16,
        guest::Datatype::Uint32 => Datatype::Uint32,
        guest::Datatype::Uint64 => Datatype::Uint64,
        guest::Datatype::Int8 => Datatype::Int8,
        guest::Datatype::Int16 => Datatype::Int16,
        guest::Datatype::Int32 => Datatype::Int32,
        guest::Datatype::Int64 => Datatype::Int64,
        guest::Datatype::Fp16 => Datatype::Fp16,
        guest::Datatype::Bf16 => Datatype::Bf16,
        guest::Datatype::Fp32 => Datatype::Fp32,
        guest::Datatype::Fp64 => Datatype::Fp64,
        guest::Datatype::Bytes => Datatype::Bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nan_becomes_the_one_canonical_nan() {
        let odd = [
            f64::from_bits(0xfff8_0000_0000_0001),
            f64::from_bits(0x7ff0_0000_0000_0001),
            1.5,
        ];
        let output = guest::TensorResult {
            shape: vec![3],
            elements: guest::ElementsResult::Fp64(odd.to_vec()),
        };
        let tensors = outputs(vec![output]).unwrap();
        let Elements::Fp64(values) = tensors[0].elements() else {
            panic!("datatype changed")
        };
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(
            bits,
            [
                0x7ff8_0000_0000_0000,
                0x7ff8_0000_0000_0000,
                1.5_f64.to_bits()
            ]
        );
    }

    #[test]
    fn infinities_of_half_floats_are_no_nan() {
        let half = vec![0x7c00, 0xfc00, 0x7c01, 0xffff, 0x3c00];
        let output = guest::TensorResult {
            shape: vec![5],
            elements: guest::ElementsResult::Fp16(half),
        };
        let tensors = outputs(vec![output]).unwrap();
        assert_eq!(
            tensors[0].elements(),
            &Elements::Fp16(vec![0x7c00, 0xfc00, 0x7e00, 0x7e00, 0x3c00])
        );
    }

    #[test]
    fn an_output_that_is_no_tensor_is_named() {
        let output = guest::TensorResult {
            shape: vec![3],
            elements: guest::ElementsResult::Fp64(vec![1.0]),
        };
        let error = outputs(vec![output]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the plugin returned what is not valid: output 0: the shape holds 3 elements, the data 1"
        );
    }
}
