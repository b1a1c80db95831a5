//! One model, from its signature: names, types, shapes, ranges, vocabularies and examples of what it takes and gives.

use foretell_predict::manage::VersionRecord;
use foretell_types::signature::{Bounds, Column, Domain, Example, Input, Output, Role};
use foretell_types::{Datatype, Elements, Signature, Tensor};
use serde_json::{Map, Value, json};

use super::schemas::{closed, error, list, open, text};
use super::{document, reference};
use crate::wire::json::write::{Bytes, Flat};

/// The document of a model's version, whose calls name that version if `is_named`.
pub(crate) fn model(version: &VersionRecord, is_named: bool) -> Value {
    let (name, signature) = (version.model.as_str(), &version.signature);
    let of_version = if is_named {
        format!("/versions/{}", version.version)
    } else {
        String::new()
    };
    let mut paths = Map::new();
    for (path, id, request, response, example) in [
        (
            format!("/api/predict/{name}"),
            "predict",
            "Records",
            "Predictions",
            signature
                .examples
                .first()
                .and_then(|example| record(signature, example)),
        ),
        (
            format!("/v2/models/{name}{of_version}/infer"),
            "infer",
            "InferRequest",
            "InferResponse",
            signature
                .examples
                .first()
                .map(|example| infer(signature, example)),
        ),
        (
            format!("/v1/models/{name}{of_version}:predict"),
            "v1_predict",
            "Instances",
            "V1Predictions",
            signature
                .examples
                .first()
                .and_then(|example| record(signature, example))
                .map(|record| json!({"instances": [record]})),
        ),
    ] {
        paths.insert(path, operation(id, request, response, example));
    }
    if is_named {
        paths[&format!("/api/predict/{name}")]["post"]["parameters"] = json!([{
            "name": "version",
            "in": "query",
            "required": true,
            "schema": {"const": version.version.as_str()},
        }]);
    }
    let about = format!(
        "{}\n\nVersion {}, {}.",
        signature.doc, version.version, version.digest
    );
    document(
        name,
        &about,
        version.version.as_str(),
        Value::Object(paths),
        schemas(version),
    )
}

fn operation(id: &str, request: &str, response: &str, example: Option<Value>) -> Value {
    let mut content = json!({"schema": reference(request)});
    if let Some(example) = example {
        content["example"] = example;
    }
    let failed = |about: &str| {
        json!({
            "description": about,
            "content": {"application/json": {"schema": reference("Error")}},
        })
    };
    json!({"post": {
        "operationId": id,
        "requestBody": {"required": true, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "the prediction",
                "content": {"application/json": {"schema": reference(response)}},
            },
            "4XX": failed("the request is wrong, or too much"),
            "5XX": failed("the model failed, or the server cannot run it now"),
        },
    }})
}

fn schemas(version: &VersionRecord) -> Value {
    let signature = &version.signature;
    let record = record_schema(signature);
    let rows = json!({
        "type": "array",
        "items": reference("Record"),
        "minItems": 1,
        "maxItems": version.runtime.max_rows,
    });
    let one = || {
        [
            ("prediction", reference("Prediction")),
            (
                "confidence?",
                json!({"type": "number", "minimum": 0, "maximum": 1}),
            ),
        ]
    };
    let [prediction, confidence] = one();
    let inputs: Vec<_> = signature.inputs.iter().map(input_schema).collect();
    let outputs: Vec<_> = signature.outputs.iter().map(output_schema).collect();
    json!({
        "Record": record,
        "Records": {"anyOf": [reference("Record"), rows]},
        "Prediction": prediction_schema(signature),
        "Predictions": open([
            ("model", text("the model")),
            ("version", text("the version that answered")),
            ("prediction?", prediction.1),
            (confidence.0, confidence.1),
            ("predictions?", list(&closed(one()))),
        ]),
        "InferRequest": open([
            ("id?", text("given back")),
            ("inputs", json!({
                "type": "array",
                "minItems": inputs.len(),
                "maxItems": inputs.len(),
                "items": {"oneOf": inputs},
            })),
            ("outputs?", list(&open([("name", json!({"enum": names(signature)}))]))),
        ]),
        "InferResponse": open([
            ("model_name", json!({"const": version.model.as_str()})),
            ("model_version", text("the version that answered")),
            ("id", text("the request's, or a new one")),
            ("outputs", json!({"type": "array", "items": {"oneOf": outputs}})),
        ]),
        "Instances": open([("instances", rows)]),
        "V1Predictions": open([("predictions", list(&json!({})))]),
        "Error": error(),
    })
}

fn names(signature: &Signature) -> Vec<&str> {
    signature
        .outputs
        .iter()
        .map(|output| output.name.as_str())
        .collect()
}

/// A record: its columns, and inputs that have none, by name.
fn record_schema(signature: &Signature) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for input in &signature.inputs {
        if input.columns.is_empty() {
            let row = match input.shape.split_first() {
                Some((-1, row)) => row,
                _ => &input.shape,
            };
            let mut schema = nested(element(input.datatype), row);
            schema["description"] = json!(input.doc);
            properties.insert(input.name.clone(), schema);
            required.push(json!(input.name));
        }
        for column in &input.columns {
            properties.insert(column.name.clone(), column_schema(column));
            if column.absent.is_none() {
                required.push(json!(column.name));
            }
        }
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    schema
}

/// A feature; one that may be absent may also be null.
fn column_schema(column: &Column) -> Value {
    let (kind, mut schema) = match &column.domain {
        Domain::Real(bounds) => ("number", within(bounds)),
        Domain::Integer(bounds) => ("integer", within(bounds)),
        Domain::Truth => ("boolean", json!({})),
        Domain::Category(vocabulary) if vocabulary.unseen.is_none() => {
            let mut values: Vec<_> = vocabulary.values.iter().map(|text| json!(text)).collect();
            if column.absent.is_some() {
                values.push(Value::Null);
            }
            ("string", json!({"enum": values}))
        }
        Domain::Category(vocabulary) => ("string", json!({"examples": vocabulary.values})),
    };
    schema["type"] = match column.absent {
        Some(_) => json!([kind, "null"]),
        None => json!(kind),
    };
    if !column.doc.is_empty() {
        schema["description"] = json!(column.doc);
    }
    schema
}

fn within(bounds: &Bounds) -> Value {
    let mut schema = json!({});
    for (word, bound) in [("minimum", bounds.min), ("maximum", bounds.max)] {
        if bound.is_finite() {
            schema[word] = json!(bound);
        }
    }
    schema
}

fn input_schema(input: &Input) -> Value {
    let axes: Vec<_> = input
        .shape
        .iter()
        .map(|axis| axis_schema(*axis, 1))
        .collect();
    closed([
        ("name", json!({"const": input.name})),
        ("datatype", json!({"const": input.datatype.as_str()})),
        ("shape", axes_schema(axes)),
        ("data?", json!({"type": "array", "description": input.doc})),
        ("parameters?", open([])),
    ])
}

fn output_schema(output: &Output) -> Value {
    let axes: Vec<_> = output
        .shape
        .iter()
        .map(|axis| axis_schema(*axis, 0))
        .collect();
    open([
        ("name", json!({"const": output.name})),
        ("datatype", json!({"const": output.datatype.as_str()})),
        ("shape", axes_schema(axes)),
        ("data?", json!({"type": "array", "description": output.doc})),
    ])
}

fn axis_schema(axis: i32, least: u32) -> Value {
    if axis < 0 {
        json!({"type": "integer", "minimum": least})
    } else {
        json!({"const": axis})
    }
}

fn axes_schema(axes: Vec<Value>) -> Value {
    let rank = axes.len();
    json!({"type": "array", "prefixItems": axes, "minItems": rank, "maxItems": rank})
}

/// The outputs of one row by name; a label by its class's name.
fn prediction_schema(signature: &Signature) -> Value {
    let outputs = signature.outputs.iter().map(|output| {
        let row = match output.shape.split_first() {
            Some((-1, row)) => row,
            _ => &output.shape,
        };
        let item = if output.role == Role::Label && !output.classes.is_empty() {
            json!({"enum": output.classes})
        } else {
            element(output.datatype)
        };
        let mut schema = nested(item, row);
        if !output.doc.is_empty() {
            schema["description"] = json!(output.doc);
        }
        (output.name.clone(), schema)
    });
    json!({"type": "object", "properties": outputs.collect::<Map<_, _>>()})
}

/// Lists in lists, down to the element.
fn nested(element: Value, axes: &[i32]) -> Value {
    axes.iter().rev().fold(element, |items, axis| {
        let mut schema = json!({"type": "array", "items": items});
        if let Ok(length) = u32::try_from(*axis) {
            schema["minItems"] = json!(length);
            schema["maxItems"] = json!(length);
        }
        schema
    })
}

/// An element in JSON.
fn element(datatype: Datatype) -> Value {
    let whole = |min: i64, max: u64| json!({"type": "integer", "minimum": min, "maximum": max});
    match datatype {
        Datatype::Bool => json!({"type": "boolean"}),
        Datatype::Uint8 => whole(0, u64::from(u8::MAX)),
        Datatype::Uint16 => whole(0, u64::from(u16::MAX)),
        Datatype::Uint32 => whole(0, u64::from(u32::MAX)),
        Datatype::Uint64 => whole(0, u64::MAX),
        Datatype::Int8 => whole(i64::from(i8::MIN), i8::MAX as u64),
        Datatype::Int16 => whole(i64::from(i16::MIN), i16::MAX as u64),
        Datatype::Int32 => whole(i64::from(i32::MIN), i32::MAX as u64),
        Datatype::Int64 => whole(i64::MIN, i64::MAX as u64),
        // What JSON lacks (NaN, infinity) is null.
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => {
            json!({"type": ["number", "null"]})
        }
        Datatype::Bytes => json!({"type": "string"}),
    }
}

/// An example as a V2 request.
fn infer(signature: &Signature, example: &Example) -> Value {
    let inputs = signature
        .inputs
        .iter()
        .zip(&example.inputs)
        .map(|(input, tensor)| {
            json!({
                "name": input.name,
                "datatype": input.datatype.as_str(),
                "shape": tensor.shape(),
                "data": data(tensor),
            })
        });
    json!({"inputs": inputs.collect::<Vec<_>>()})
}

fn data(tensor: &Tensor) -> Value {
    serde_json::to_value(Flat::all(tensor.elements(), Bytes::Text)).unwrap_or_default()
}

/// The first row of an example as a record; none for a model that is not all columns.
fn record(signature: &Signature, example: &Example) -> Option<Value> {
    let mut record = Map::new();
    for (input, tensor) in signature.inputs.iter().zip(&example.inputs) {
        if input.columns.is_empty() {
            return None;
        }
        for (at, column) in input.columns.iter().enumerate() {
            let value = told(column, tensor.elements(), at)?;
            record.insert(column.name.clone(), value);
        }
    }
    Some(Value::Object(record))
}

/// An element as it stands in a record.
fn told(column: &Column, elements: &Elements, at: usize) -> Option<Value> {
    let number = elements.number(at)?;
    if column
        .absent
        .is_some_and(|absent| absent.to_bits() == number.to_bits())
    {
        return Some(Value::Null);
    }
    Some(match &column.domain {
        Domain::Truth => json!(number != 0.0),
        Domain::Real(_) => json!(number),
        Domain::Integer(_) => json!(number as i64),
        // The code is a place in the vocabulary, by the check of examples at the upload.
        Domain::Category(vocabulary) => json!(vocabulary.values.get(number as usize)?),
    })
}
