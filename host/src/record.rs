//! Samples run without a server: JSON records to inputs, outputs to predictions, in the form of `/api/predict`.

use foretell_types::record::{Record, Value as Field};
use foretell_types::signature::{Checked, Output, Role};
use foretell_types::{Elements, Mismatch, Signature, Tensor};
use serde_json::Value;

/// One record or a list of records as inputs of a model.
///
/// # Errors
/// The first difference from the signature.
pub fn inputs(signature: &Signature, sample: &Value) -> Result<Checked, Mismatch> {
    let records: Vec<_> = match sample {
        Value::Array(list) => list.iter().map(record).collect(),
        one => vec![record(one)],
    };
    signature.tensors_from_records(&records)
}

/// The prediction for one record, or a list for a list of records: outputs by name, a row's lone element as a scalar,
/// labels by their class name.
pub fn predictions(signature: &Signature, outputs: &[Tensor], sample: &Value) -> Value {
    match sample {
        Value::Array(list) => (0..list.len())
            .map(|row| prediction(signature, outputs, row, list.len()))
            .collect(),
        _ => prediction(signature, outputs, 0, 1),
    }
}

fn record(object: &Value) -> Record {
    let fields = object.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), field(value)))
        .collect()
}

fn field(value: &Value) -> Field {
    match value {
        Value::Null => Field::Null,
        Value::Bool(truth) => Field::Truth(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Field::Whole(whole.into()),
            (_, Some(whole)) => Field::Whole(whole.into()),
            _ => Field::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Field::Text(text.clone()),
        Value::Array(items) => Field::List(items.iter().map(field).collect()),
        // No feature takes an object; the signature refuses the text with the feature's name.
        Value::Object(_) => Field::Text(value.to_string()),
    }
}

fn prediction(signature: &Signature, outputs: &[Tensor], row: usize, rows: usize) -> Value {
    let named = signature.outputs.iter().zip(outputs);
    Value::Object(
        named
            .map(|(output, tensor)| (output.name.clone(), row_of(output, tensor, row, rows)))
            .collect(),
    )
}

fn row_of(output: &Output, tensor: &Tensor, row: usize, rows: usize) -> Value {
    let elements = tensor.elements();
    let has_rows = output.shape.first() == Some(&-1)
        && tensor.shape().first().copied() == u32::try_from(rows).ok();
    let (width, first, axes) = if has_rows {
        let width = elements.len().checked_div(rows).unwrap_or_default();
        (
            width,
            row * width,
            tensor.shape().get(1..).unwrap_or_default(),
        )
    } else {
        (elements.len(), 0, tensor.shape())
    };
    let leaf = |at: usize| element(output, elements, at);
    if width == 1 {
        return leaf(first);
    }
    nested(axes, first, &leaf)
}

/// Elements from `first` on, as lists nested by the axes.
fn nested(axes: &[u32], first: usize, leaf: &dyn Fn(usize) -> Value) -> Value {
    let Some((length, inner)) = axes.split_first() else {
        return leaf(first);
    };
    let stride: usize = inner.iter().map(|axis| *axis as usize).product();
    (0..*length as usize)
        .map(|at| nested(inner, first + at * stride, leaf))
        .collect()
}

fn element(output: &Output, elements: &Elements, at: usize) -> Value {
    let code = || {
        elements
            .number(at)
            .filter(|code| code.fract() == 0.0 && *code >= 0.0)
    };
    if output.role == Role::Label
        && let Some(name) = code().and_then(|code| output.classes.get(code as usize))
    {
        return Value::from(name.as_str());
    }
    match elements {
        Elements::Bool(values) => values.get(at).map(|value| Value::from(*value != 0)),
        Elements::Uint64(values) => values.get(at).map(|value| Value::from(*value)),
        Elements::Int64(values) => values.get(at).map(|value| Value::from(*value)),
        Elements::Fp32(values) => values.get(at).map(|value| Value::from(*value)),
        Elements::Fp64(values) => values.get(at).map(|value| Value::from(*value)),
        Elements::Bytes(blobs) => blobs
            .iter()
            .nth(at)
            .map(|bytes| Value::from(String::from_utf8_lossy(bytes))),
        // Whole numbers of at most 32 bits: exact as a float, written without a point.
        other => other.number(at).map(|value| Value::from(value as i64)),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_types::Datatype;
    use foretell_types::signature::Promises;
    use serde_json::json;

    fn output(
        name: &str,
        datatype: Datatype,
        shape: &[i32],
        role: Role,
        classes: &[&str],
    ) -> Output {
        Output {
            name: name.into(),
            doc: String::new(),
            datatype,
            shape: shape.into(),
            role,
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        }
    }

    #[test]
    fn outputs_become_predictions_by_row() {
        let signature = Signature {
            doc: String::new(),
            inputs: vec![],
            outputs: vec![
                output(
                    "probabilities",
                    Datatype::Fp64,
                    &[-1, 2],
                    Role::Prediction,
                    &[],
                ),
                output(
                    "label",
                    Datatype::Uint32,
                    &[-1],
                    Role::Label,
                    &["no", "yes"],
                ),
                output("count", Datatype::Int32, &[-1], Role::Other, &[]),
            ],
            examples: vec![],
            promises: Promises::default(),
        };
        let outputs = [
            Tensor::new(vec![2, 2], Elements::Fp64(vec![0.25, 0.75, 1.0, f64::NAN])).unwrap(),
            Tensor::new(vec![2], Elements::Uint32(vec![1, 7])).unwrap(),
            Tensor::new(vec![2], Elements::Int32(vec![-3, 4])).unwrap(),
        ];
        assert_eq!(
            predictions(&signature, &outputs, &json!([{}, {}])),
            json!([
                {"probabilities": [0.25, 0.75], "label": "yes", "count": -3},
                {"probabilities": [1.0, null], "label": 7, "count": 4},
            ])
        );
        let one: Vec<_> = [
            Tensor::new(vec![1, 2], Elements::Fp64(vec![0.5, 0.5])),
            Tensor::new(vec![1], Elements::Uint32(vec![0])),
            Tensor::new(vec![1], Elements::Int32(vec![9])),
        ]
        .into_iter()
        .map(Result::unwrap)
        .collect();
        assert_eq!(
            predictions(&signature, &one, &json!({})),
            json!({"probabilities": [0.5, 0.5], "label": "no", "count": 9})
        );
    }
}
