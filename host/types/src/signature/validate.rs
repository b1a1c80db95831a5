//! What makes a description unusable: found once, at upload, all of it.

use std::collections::HashSet;
use std::fmt;

use super::{Column, Domain, Role, Signature};
use crate::tensor::{self, Datatype, MAX_RANK};

/// Inputs, and outputs, of one model, at most.
const MAX_TENSORS: usize = 64;
/// Columns of one input, at most. Wide tables exist; a million columns is a mistake.
const MAX_COLUMNS: usize = 65_536;
/// Values of one vocabulary, and classes of one output, at most.
const MAX_NAMES: usize = 65_536;
/// Bytes of a column, class or vocabulary name, at most.
const MAX_NAME_BYTES: usize = 256;
/// Bytes of a documentation text, at most.
const MAX_DOC_BYTES: usize = 4_096;
/// Examples, at most: each is a run at upload.
const MAX_EXAMPLES: usize = 1_024;

/// One fault of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFault {
    /// Where, such as ``input `features`, column `age` ``.
    pub subject: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

#[derive(Default)]
struct Faults(Vec<SignatureFault>);

impl Faults {
    fn add(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.0.push(SignatureFault {
            subject: subject.into(),
            message: message.into(),
        });
    }

    fn require(&mut self, holds: bool, subject: &str, message: impl Into<String>) {
        if !holds {
            self.add(subject, message);
        }
    }
}

pub(super) fn signature(signature: &Signature) -> Result<(), Vec<SignatureFault>> {
    let mut faults = Faults::default();
    doc(&mut faults, "signature", &signature.doc);
    tensor_count(&mut faults, "inputs", signature.inputs.len());
    tensor_count(&mut faults, "outputs", signature.outputs.len());
    distinct(
        &mut faults,
        "inputs",
        signature.inputs.iter().map(|input| input.name.as_str()),
    );
    distinct(
        &mut faults,
        "outputs",
        signature.outputs.iter().map(|output| output.name.as_str()),
    );
    for input in &signature.inputs {
        let subject = format!("input `{}`", input.name);
        tensor_name(&mut faults, &subject, &input.name);
        doc(&mut faults, &subject, &input.doc);
        shape(&mut faults, &subject, &input.shape);
        columns(
            &mut faults,
            &subject,
            input.datatype,
            &input.shape,
            &input.columns,
        );
    }
    distinct(
        &mut faults,
        "columns of all inputs",
        signature
            .inputs
            .iter()
            .flat_map(|input| &input.columns)
            .map(|column| column.name.as_str()),
    );
    for output in &signature.outputs {
        let subject = format!("output `{}`", output.name);
        tensor_name(&mut faults, &subject, &output.name);
        doc(&mut faults, &subject, &output.doc);
        shape(&mut faults, &subject, &output.shape);
        faults.require(
            output.classes.len() <= MAX_NAMES,
            &subject,
            format!("more than {MAX_NAMES} classes"),
        );
        for class in &output.classes {
            short_name(&mut faults, &subject, "class", class);
        }
        distinct(
            &mut faults,
            &subject,
            output.classes.iter().map(String::as_str),
        );
    }
    for role in [Role::Prediction, Role::Label, Role::Confidence] {
        let count = signature
            .outputs
            .iter()
            .filter(|output| output.role == role)
            .count();
        faults.require(
            count <= 1,
            "outputs",
            format!("{count} have the role {role:?}; at most one may"),
        );
    }
    examples(&mut faults, signature);
    if faults.0.is_empty() {
        Ok(())
    } else {
        Err(faults.0)
    }
}

fn tensor_count(faults: &mut Faults, subject: &str, count: usize) {
    faults.require(
        (1..=MAX_TENSORS).contains(&count),
        subject,
        format!("{count} are declared; declare 1 to {MAX_TENSORS}"),
    );
}

fn doc(faults: &mut Faults, subject: &str, text: &str) {
    faults.require(
        text.len() <= MAX_DOC_BYTES,
        subject,
        format!(
            "documentation of {} bytes; at most {MAX_DOC_BYTES} are kept",
            text.len()
        ),
    );
}

fn tensor_name(faults: &mut Faults, subject: &str, name: &str) {
    let valid = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    faults.require(
        valid,
        subject,
        "a tensor name is 1 to 128 of A-Z, a-z, 0-9, ., _ and -",
    );
}

fn short_name(faults: &mut Faults, subject: &str, what: &str, name: &str) {
    faults.require(
        (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control),
        subject,
        format!(
            "{what} name {name:?} is not 1 to {MAX_NAME_BYTES} bytes without control characters"
        ),
    );
}

fn shape(faults: &mut Faults, subject: &str, shape: &[i32]) {
    faults.require(
        shape.len() <= MAX_RANK,
        subject,
        format!("{} axes; at most {MAX_RANK}", shape.len()),
    );
    faults.require(
        shape.iter().all(|axis| *axis == -1 || *axis >= 1),
        subject,
        format!("shape {shape:?}: an axis is -1 (any) or 1 and more"),
    );
    let fixed: Vec<u32> = shape
        .iter()
        .filter_map(|axis| u32::try_from(*axis).ok())
        .collect();
    if fixed.len() <= MAX_RANK && tensor::count(&fixed).is_err() {
        faults.add(subject, format!("shape {shape:?} holds too many elements"));
    }
}

fn columns(
    faults: &mut Faults,
    subject: &str,
    datatype: Datatype,
    shape: &[i32],
    columns: &[Column],
) {
    if columns.is_empty() {
        return;
    }
    faults.require(
        columns.len() <= MAX_COLUMNS,
        subject,
        format!("more than {MAX_COLUMNS} columns"),
    );
    faults.require(
        shape
            .last()
            .is_some_and(|last| usize::try_from(*last) == Ok(columns.len())),
        subject,
        format!(
            "{} columns are declared, but the last axis of {shape:?} is not that long",
            columns.len()
        ),
    );
    faults.require(
        !matches!(datatype, Datatype::Bytes | Datatype::Fp16 | Datatype::Bf16),
        subject,
        format!("columns need a datatype with numbers, not {datatype}"),
    );
    for column in columns {
        let subject = format!("{subject}, column `{}`", column.name);
        short_name(faults, &subject, "column", &column.name);
        doc(faults, &subject, &column.doc);
        if let Domain::Real(bounds) | Domain::Integer(bounds) = &column.domain {
            faults.require(
                bounds.min <= bounds.max,
                &subject,
                format!("bounds {} to {} leave no value", bounds.min, bounds.max),
            );
        }
        if let Domain::Category(vocabulary) = &column.domain {
            faults.require(
                (1..=MAX_NAMES).contains(&vocabulary.values.len()),
                &subject,
                format!("a vocabulary has 1 to {MAX_NAMES} values"),
            );
            for value in &vocabulary.values {
                short_name(faults, &subject, "category", value);
            }
            distinct(
                faults,
                &subject,
                vocabulary.values.iter().map(String::as_str),
            );
        }
        if let Some(absent) = column.absent {
            let has_nan = matches!(datatype, Datatype::Fp32 | Datatype::Fp64);
            faults.require(
                !absent.is_nan() || has_nan,
                &subject,
                format!("`absent` is NaN, which {datatype} cannot hold"),
            );
        }
    }
}

fn distinct<'a>(faults: &mut Faults, subject: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            faults.add(subject, format!("the name {name:?} stands twice"));
        }
    }
}

fn examples(faults: &mut Faults, signature: &Signature) {
    let count = signature.examples.len();
    faults.require(
        (1..=MAX_EXAMPLES).contains(&count),
        "examples",
        format!("{count} are given; give 1 to {MAX_EXAMPLES}, they are the self-test"),
    );
    for example in signature.examples.iter().take(MAX_EXAMPLES) {
        let subject = format!("example `{}`", example.name);
        faults.require(
            example.tolerance >= 0.0 && example.tolerance.is_finite(),
            &subject,
            format!("a tolerance of {}; use 0 or more", example.tolerance),
        );
        match super::check::ordered_inputs(signature, example.inputs.clone()) {
            Err(mismatch) => faults.add(&subject, mismatch.to_string()),
            Ok(checked) => {
                if let Err(message) =
                    super::check::outputs(signature, &example.outputs, checked.rows)
                {
                    faults.add(&subject, message);
                }
            }
        }
    }
}
