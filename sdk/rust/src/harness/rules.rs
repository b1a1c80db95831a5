//! What makes a signature unusable, as the host judges it: all of it, one line each.

use std::collections::HashSet;

use super::call;
use crate::signature::{ANY, Column, Domain, Input, Output, Role, Signature};
use crate::tensor::Datatype;

/// The host's limits, see `docs/PLUGINS.md`.
const MAX_TENSORS: usize = 64;
const MAX_AXES: usize = 8;
const MAX_COLUMNS: usize = 65_536;
const MAX_NAMES: usize = 65_536;
const MAX_NAME_BYTES: usize = 256;
const MAX_DOC_BYTES: usize = 4_096;
const MAX_EXAMPLES: usize = 1_024;

pub(super) fn signature(signature: &Signature) -> Vec<String> {
    let mut faults = Vec::new();
    let mut add = |subject: &str, message: String| faults.push(format!("{subject}: {message}"));
    doc("signature", &signature.doc, &mut add);
    count("inputs", signature.inputs.len(), MAX_TENSORS, &mut add);
    count("outputs", signature.outputs.len(), MAX_TENSORS, &mut add);
    count("examples", signature.examples.len(), MAX_EXAMPLES, &mut add);
    distinct(
        "inputs",
        signature.inputs.iter().map(|input| &input.name),
        &mut add,
    );
    distinct(
        "outputs",
        signature.outputs.iter().map(|output| &output.name),
        &mut add,
    );
    let columns = signature.inputs.iter().flat_map(|input| &input.columns);
    distinct(
        "columns of all inputs",
        columns.map(|column| &column.name),
        &mut add,
    );
    for declared in &signature.inputs {
        input(declared, &mut add);
    }
    for declared in &signature.outputs {
        output(declared, &mut add);
    }
    for role in [Role::Prediction, Role::Label, Role::Confidence] {
        let outputs = signature.outputs.iter();
        let count = outputs.filter(|output| output.role == role).count();
        if count > 1 {
            add(
                "outputs",
                format!("{count} have the role {role:?}; at most one may"),
            );
        }
    }
    for example in &signature.examples {
        let subject = format!("example `{}`", example.name);
        if !(example.tolerance >= 0.0 && example.tolerance.is_finite()) {
            let message = format!("a tolerance of {}; use 0 or more", example.tolerance);
            add(&subject, message);
        }
        let checked = call::inputs(signature, &example.inputs)
            .and_then(|rows| call::outputs(signature, &example.outputs, rows));
        if let Err(message) = checked {
            add(&subject, message);
        }
    }
    faults
}

fn input(input: &Input, add: &mut impl FnMut(&str, String)) {
    let subject = format!("input `{}`", input.name);
    tensor_name(&subject, &input.name, add);
    doc(&subject, &input.doc, add);
    shape(&subject, &input.shape, add);
    let width = input.columns.len();
    if width == 0 {
        return;
    }
    count(&format!("{subject}, columns"), width, MAX_COLUMNS, add);
    let last = input
        .shape
        .last()
        .and_then(|last| usize::try_from(*last).ok());
    if last != Some(width) {
        let shape = &input.shape;
        let message = format!("{width} columns, but the last axis of {shape:?} is not that long");
        add(&subject, message);
    }
    if matches!(
        input.datatype,
        Datatype::Bytes | Datatype::Fp16 | Datatype::Bf16
    ) {
        let message = format!(
            "columns need a datatype with numbers, not {}",
            input.datatype
        );
        add(&subject, message);
    }
    for declared in &input.columns {
        let subject = format!("{subject}, column `{}`", declared.name);
        column(&subject, declared, input.datatype, add);
    }
}

fn column(subject: &str, column: &Column, datatype: Datatype, add: &mut impl FnMut(&str, String)) {
    short_name(subject, &column.name, add);
    doc(subject, &column.doc, add);
    match &column.domain {
        Domain::Real(bounds) | Domain::Integer(bounds) => {
            let (min, max) = (bounds.min, bounds.max);
            // NaN is no bound, so it is a fault as well.
            if min.is_nan() || max.is_nan() || min > max {
                add(subject, format!("bounds {min} to {max} leave no value"));
            }
        }
        Domain::Category(vocabulary) => {
            count(
                &format!("{subject}, vocabulary"),
                vocabulary.values.len(),
                MAX_NAMES,
                add,
            );
            distinct(subject, vocabulary.values.iter(), add);
            for value in &vocabulary.values {
                short_name(subject, value, add);
            }
        }
        Domain::Truth => {}
    }
    let floats = matches!(datatype, Datatype::Fp32 | Datatype::Fp64);
    if column.absent.is_some_and(f64::is_nan) && !floats {
        add(
            subject,
            format!("absent is NaN, which {datatype} cannot hold"),
        );
    }
}

fn output(output: &Output, add: &mut impl FnMut(&str, String)) {
    let subject = format!("output `{}`", output.name);
    tensor_name(&subject, &output.name, add);
    doc(&subject, &output.doc, add);
    shape(&subject, &output.shape, add);
    if !output.classes.is_empty() {
        let classes = format!("{subject}, classes");
        count(&classes, output.classes.len(), MAX_NAMES, add);
        distinct(&classes, output.classes.iter(), add);
        for class in &output.classes {
            short_name(&classes, class, add);
        }
    }
}

fn doc(subject: &str, doc: &str, add: &mut impl FnMut(&str, String)) {
    let length = doc.len();
    if length > MAX_DOC_BYTES {
        let message = format!("a doc of {length} bytes; at most {MAX_DOC_BYTES} are kept");
        add(subject, message);
    }
}

fn count(subject: &str, count: usize, most: usize, add: &mut impl FnMut(&str, String)) {
    if !(1..=most).contains(&count) {
        add(subject, format!("{count} are given; give 1 to {most}"));
    }
}

fn distinct<'a>(
    subject: &str,
    names: impl Iterator<Item = &'a String>,
    add: &mut impl FnMut(&str, String),
) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            add(subject, format!("the name {name:?} stands twice"));
        }
    }
}

fn tensor_name(subject: &str, name: &str, add: &mut impl FnMut(&str, String)) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=128).contains(&name.len()) || !name.bytes().all(plain) {
        let message = "a tensor name is 1 to 128 of A-Z, a-z, 0-9, ., _ and -";
        add(subject, message.to_owned());
    }
}

fn short_name(subject: &str, name: &str, add: &mut impl FnMut(&str, String)) {
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
        let message = format!(
            "the name {name:?} is not 1 to {MAX_NAME_BYTES} bytes without control characters"
        );
        add(subject, message);
    }
}

fn shape(subject: &str, shape: &[i32], add: &mut impl FnMut(&str, String)) {
    if shape.len() > MAX_AXES {
        add(subject, format!("{} axes; at most {MAX_AXES}", shape.len()));
    }
    if !shape.iter().all(|axis| *axis == ANY || *axis >= 1) {
        let message = format!("shape {shape:?}: an axis is -1 (any) or 1 and more");
        add(subject, message);
    }
}

#[cfg(test)]
mod tests {
    use super::signature as faults;
    use crate::prelude::*;

    fn sound() -> Signature {
        Signature::new("")
            .input(Input::table(
                "features",
                Datatype::Fp64,
                [
                    Column::integer("age").between(0, 120).absent(f64::NAN),
                    Column::category("job", ["a", "b"]),
                ],
            ))
            .output(Output::label(
                "label",
                Datatype::Uint32,
                &[ANY],
                ["no", "yes"],
            ))
            .example(
                Example::new("one")
                    .input(Tensor::table(2, [49.0, 1.0]))
                    .output(Tensor::vector([1_u32])),
            )
    }

    #[test]
    fn a_sound_signature_has_no_fault() {
        assert_eq!(faults(&sound()), [""; 0]);
    }

    /// Breaks one thing and looks for the line that says so.
    #[track_caller]
    fn check(expected: &str, spoil: impl FnOnce(&mut Signature)) {
        let mut signature = sound();
        spoil(&mut signature);
        let faults = faults(&signature);
        assert!(faults.iter().any(|line| line == expected), "{faults:#?}");
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        check("inputs: 0 are given; give 1 to 64", |s| s.inputs.clear());
        check("examples: 0 are given; give 1 to 1024", |s| {
            s.examples.clear()
        });
        check("inputs: the name \"features\" stands twice", |s| {
            s.inputs
                .push(Input::tensor("features", Datatype::Fp64, &[1]));
        });
        check(
            "input `a b`: a tensor name is 1 to 128 of A-Z, a-z, 0-9, ., _ and -",
            |s| {
                s.inputs[0].name = "a b".into();
            },
        );
        check(
            "input `features`: shape [0, 2]: an axis is -1 (any) or 1 and more",
            |s| {
                s.inputs[0].shape = vec![0, 2];
            },
        );
        check(
            "input `features`: 1 columns, but the last axis of [-1, 2] is not that long",
            |s| {
                s.inputs[0].columns.pop();
            },
        );
        check(
            "input `features`, column `age`: bounds 2 to 1 leave no value",
            |s| {
                s.inputs[0].columns[0] = Column::real("age").between(2, 1);
            },
        );
        check(
            "input `features`, column `age`: absent is NaN, which INT64 cannot hold",
            |s| {
                s.inputs[0].datatype = Datatype::Int64;
            },
        );
        check(
            "input `features`, column `job`: the name \"a\" stands twice",
            |s| {
                s.inputs[0].columns[1] = Column::category("job", ["a", "a"]);
            },
        );
        check("outputs: 2 have the role Label; at most one may", |s| {
            s.outputs
                .push(Output::label("other", Datatype::Uint32, &[ANY], [""; 0]));
        });
        check(
            "example `one`: output `label` has the code 2, and 2 classes are declared",
            |s| {
                s.examples[0].outputs[0] = Tensor::vector([2_u32]);
            },
        );
        check(
            "example `one`: feature `job` in row 0: 2 is not accepted",
            |s| {
                s.examples[0].inputs[0] = Tensor::table(2, [49.0, 2.0]);
            },
        );
        check("example `one`: a tolerance of -1; use 0 or more", |s| {
            s.examples[0].tolerance = -1.0;
        });
    }
}
