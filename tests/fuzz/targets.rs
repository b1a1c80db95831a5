//! What each fuzz target does with its bytes, and what must hold whatever they are.
//!
//! The same file is part of the ordinary tests, which run it over the seeds in `corpus`.

use foretell_engine::testkit;
use foretell_http::fuzzing::{self, Protocol};
use foretell_predict::key::checksum_holds;
use foretell_predict::{Inputs, ModelRef, PredictError};
use foretell_types::signature::{
    Bounds, Checked, Column, Domain, Input, Output, Promises, Role, Vocabulary,
};
use foretell_types::{
    Datatype, ErrorKind, KeyId, ModelName, ModelVersion, RequestId, Signature, TenantId,
};
use serde::de::IgnoredAny;

/// Rows that every version here takes.
const MAX_ROWS: u32 = 1_000;

/// Bytes of a message, at most: what a stranger sends must not fill logs and answers.
const MAX_MESSAGE_BYTES: usize = 4_096;

/// A body of V2 or V1, after a byte that chooses protocol and signature.
pub fn json_tensor(data: &[u8]) {
    if let Some((choice, body)) = data.split_first() {
        let protocol = [Protocol::V2, Protocol::V1][usize::from(choice & 1)];
        read(protocol, body, &signature(choice >> 1));
    }
}

/// A body of V2 with raw tensors, after a byte that chooses the signature and two that say how long its JSON is.
pub fn binary_tensor(data: &[u8]) {
    if let Some(([choice, low, high], body)) = data.split_first_chunk() {
        let json_bytes = usize::from(u16::from_le_bytes([*low, *high]));
        let signature = signature(*choice);
        let read = fuzzing::decode_binary(json_bytes, body, &signature, MAX_ROWS);
        // A length of 0 announces a body without JSON.
        let json = match json_bytes {
            0 => b"{}",
            length => body.get(..length).unwrap_or_default(),
        };
        judge(read, json, &signature);
    }
}

/// A record or a list of them, after a byte that chooses the signature.
pub fn record(data: &[u8]) {
    if let Some((choice, body)) = data.split_first() {
        read(Protocol::Records, body, &signature(*choice));
    }
}

/// An upload's bytes.
pub fn admission(data: &[u8]) {
    match testkit::admit(data.to_vec()) {
        Ok(component) => {
            let again = testkit::admit(component.clone());
            assert_eq!(
                again.as_ref(),
                Ok(&component),
                "what was admitted is admitted as it is"
            );
        }
        Err(refusals) => {
            assert!(!refusals.is_empty(), "a refusal without a reason");
            for refusal in refusals {
                for text in [&refusal.subject, &refusal.message] {
                    is_safe_to_show(text);
                }
            }
        }
    }
}

/// A text where a name, an id or a key is expected.
pub fn names(data: &[u8]) {
    let id = fuzzing::request_id(data);
    assert!(RequestId::parse(id.as_str()).is_ok());
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if RequestId::parse(text).is_ok() {
        assert_eq!(id.as_str(), text, "a valid id is taken as it is");
    }
    let decoded = fuzzing::percent_decoded(text);
    assert!(decoded.len() <= 3 * text.len());
    if !text.contains('%') {
        assert_eq!(decoded, text);
    }
    if !text.is_empty() {
        is_safe_to_show(&fuzzing::shown(text));
    }
    for name in [text, &decoded] {
        let parsed = [
            TenantId::parse(name).map(|name| name.to_string()),
            ModelName::parse(name).map(|name| name.to_string()),
            ModelVersion::parse(name).map(|name| name.to_string()),
            KeyId::parse(name).map(|name| name.to_string()),
        ];
        for parsed in parsed {
            match parsed {
                Ok(parsed) => {
                    assert_eq!(parsed, name);
                    // It will stand in paths of URLs and files, in headers and logs.
                    assert!((1..=128).contains(&name.len()), "{name:?}");
                    assert!(!name.starts_with(['.', '-']), "{name:?}");
                    assert!(
                        name.bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
                        "{name:?}"
                    );
                }
                Err(error) => is_safe_to_show(&error.to_string()),
            }
        }
        if let Err(error) = ModelRef::parse(name, Some(name)) {
            is_safe_to_show(&error.to_string());
        }
        if checksum_holds(name) == Some(true) {
            assert_eq!(name.len(), 47, "a key of our form");
        }
    }
}

fn read(protocol: Protocol, body: &[u8], signature: &Signature) {
    let read = fuzzing::decode(protocol, body, signature, MAX_ROWS);
    judge(read, body, signature);
}

/// Whether what was read of a body with this JSON is fit for a plugin, or refused for a reason.
fn judge(read: Result<Inputs, PredictError>, json: &[u8], signature: &Signature) {
    let checked = read.and_then(|inputs| {
        // Whatever we accept, another reader of JSON accepts too.
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(json) {
            panic!("accepted what serde_json refuses: {error}");
        }
        Ok(inputs.check(signature)?)
    });
    match checked {
        Ok(checked) => fits(&checked, signature),
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Malformed
                        | ErrorKind::InvalidInput
                        | ErrorKind::MissingFeature
                        | ErrorKind::UnknownFeature
                        | ErrorKind::UnknownCategory
                        | ErrorKind::OutOfRange
                ),
                "{error:?} is not the caller's fault"
            );
            is_safe_to_show(&error.to_string());
        }
    }
}

/// What a plugin may be given.
fn fits(checked: &Checked, signature: &Signature) {
    assert_eq!(checked.inputs().len(), signature.inputs.len());
    for (tensor, input) in checked.inputs().iter().zip(&signature.inputs) {
        assert_eq!(tensor.datatype(), input.datatype);
        assert_eq!(tensor.shape().len(), input.shape.len());
        let mut elements = 1;
        for (found, wanted) in tensor.shape().iter().zip(&input.shape) {
            assert!(*wanted == -1 && *found >= 1 || i64::from(*wanted) == i64::from(*found));
            elements *= *found as usize;
        }
        assert_eq!(tensor.elements().len(), elements);
        if input.shape.first() == Some(&-1) {
            assert_eq!(tensor.rows(), checked.rows());
        }
        for (index, column) in (0..elements).zip(input.columns.iter().cycle()) {
            let value = tensor.elements().number(index).unwrap_or(f64::NAN);
            if value.is_nan() {
                assert!(column.absent.is_some_and(f64::is_nan));
            }
        }
    }
}

fn is_safe_to_show(text: &str) {
    assert!(!text.is_empty(), "a refusal without words");
    assert!(text.len() <= MAX_MESSAGE_BYTES, "{} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// A few kinds of models; the first takes `x` and gives `y`, FP64 `[-1]` each.
pub fn signature(choice: u8) -> Signature {
    let inputs = match choice % 6 {
        0 => vec![input("x", Datatype::Fp64, &[-1])],
        1 => vec![input("x", Datatype::Fp32, &[-1, 2, 2])],
        2 => vec![
            input("a", Datatype::Int64, &[-1, 2]),
            input("b", Datatype::Bool, &[-1]),
        ],
        3 => vec![input("x", Datatype::Bytes, &[-1])],
        4 => vec![input("x", Datatype::Uint8, &[3]), table()],
        _ => vec![table()],
    };
    let output = Output {
        name: "y".into(),
        doc: String::new(),
        datatype: Datatype::Fp64,
        shape: vec![-1],
        role: Role::Prediction,
        classes: vec![],
    };
    Signature {
        doc: String::new(),
        inputs,
        outputs: vec![output],
        examples: vec![],
        promises: Promises::default(),
    }
}

fn input(name: &str, datatype: Datatype, shape: &[i32]) -> Input {
    Input {
        name: name.into(),
        doc: String::new(),
        datatype,
        shape: shape.into(),
        columns: vec![],
    }
}

fn table() -> Input {
    let column = |name: &str, domain, absent| Column {
        name: name.into(),
        doc: String::new(),
        domain,
        absent,
    };
    let bounds = Bounds {
        min: -1.0,
        max: 120.0,
    };
    let jobs = Vocabulary {
        values: vec!["admin".into(), "services".into()],
        unseen: Some(-1.0),
    };
    Input {
        columns: vec![
            column("age", Domain::Integer(bounds), None),
            column("score", Domain::Real(bounds), Some(f64::NAN)),
            column("job", Domain::Category(jobs), None),
            column("known", Domain::Truth, Some(0.0)),
        ],
        ..input("features", Datatype::Fp64, &[-1, 4])
    }
}
