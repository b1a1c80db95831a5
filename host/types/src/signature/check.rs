//! Inputs and outputs against the signature: names, datatypes, shapes, bounds and codes.

use super::{Checked, Column, Domain, Input, Mismatch, NamedTensor, Output, Role, Signature};
use crate::ErrorKind;
use crate::tensor::{Elements, Tensor};
use crate::text::{list, shown};

/// Elements of an output that belongs to no row, at most, in an answer of several rows: records repeat it for each.
const MAX_SHARED_ELEMENTS: usize = 1_024;

pub(super) fn inputs(signature: &Signature, given: Vec<NamedTensor>) -> Result<Checked, Mismatch> {
    let mut slots: Vec<Option<Tensor>> = signature.inputs.iter().map(|_| None).collect();
    for NamedTensor { name, tensor } in given {
        let Some(index) = signature.inputs.iter().position(|input| input.name == name) else {
            let known: Vec<_> = signature
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .collect();
            return Err(invalid(format!(
                "unknown input `{}`; the model has {}",
                shown(&name),
                list(&known)
            )));
        };
        if slots[index].replace(tensor).is_some() {
            return Err(invalid(format!("input `{name}` stands twice")));
        }
    }
    if let Some((input, _)) = signature
        .inputs
        .iter()
        .zip(&slots)
        .find(|(_, slot)| slot.is_none())
    {
        return Err(invalid(format!("input `{}` is missing", input.name)));
    }
    ordered_inputs(signature, slots.into_iter().flatten().collect())
}

/// As [`inputs`], for tensors that are already all there and in order.
pub(crate) fn ordered_inputs(
    signature: &Signature,
    inputs: Vec<Tensor>,
) -> Result<Checked, Mismatch> {
    if inputs.len() != signature.inputs.len() {
        return Err(invalid(format!(
            "{} inputs are given, the model has {}",
            inputs.len(),
            signature.inputs.len()
        )));
    }
    let mut rows = None;
    for (input, tensor) in signature.inputs.iter().zip(&inputs) {
        input_shape(input, tensor)?;
        if input.shape.first() == Some(&-1) {
            let found = tensor.rows();
            if *rows.get_or_insert(found) != found {
                return Err(invalid(format!(
                    "input `{}` has {found} rows, another input has {}",
                    input.name,
                    rows.unwrap_or_default()
                )));
            }
        }
        column_values(input, tensor)?;
    }
    Ok(Checked {
        inputs,
        rows: rows.unwrap_or(1),
    })
}

fn input_shape(input: &Input, tensor: &Tensor) -> Result<(), Mismatch> {
    if tensor.datatype() != input.datatype {
        return Err(invalid(format!(
            "input `{}` has datatype {}, the model wants {}",
            input.name,
            tensor.datatype(),
            input.datatype
        )));
    }
    let fits = tensor.shape().len() == input.shape.len()
        && tensor
            .shape()
            .iter()
            .zip(&input.shape)
            .all(|(found, wanted)| {
                if *wanted == -1 {
                    *found >= 1
                } else {
                    u32::try_from(*wanted) == Ok(*found)
                }
            });
    if fits {
        Ok(())
    } else {
        Err(invalid(format!(
            "input `{}` has shape {:?}, the model wants {:?} (-1 = any length from 1)",
            input.name,
            tensor.shape(),
            input.shape
        )))
    }
}

/// Bounds and codes of every column, row by row. The common case (FP64) runs over the slice itself.
fn column_values(input: &Input, tensor: &Tensor) -> Result<(), Mismatch> {
    let width = input.columns.len();
    if width == 0 {
        return Ok(());
    }
    let check = |index: usize, value: f64| {
        let column = &input.columns[index % width];
        column.accepts(value).map_err(|problem| {
            let row = index / width;
            let place = if tensor.elements().len() > width {
                format!(" in row {row}")
            } else {
                String::new()
            };
            let kind = if matches!(problem, Problem::Missing) {
                ErrorKind::MissingFeature
            } else {
                ErrorKind::OutOfRange
            };
            Mismatch::new(
                kind,
                format!(
                    "feature `{}`{place}: {}",
                    column.name,
                    problem.message(column, value)
                ),
            )
        })
    };
    if let Elements::Fp64(values) = tensor.elements() {
        return values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check(index, *value));
    }
    (0..tensor.elements().len())
        .try_for_each(|index| check(index, tensor.elements().number(index).unwrap_or(f64::NAN)))
}

/// What is wrong with an element of a column.
enum Problem {
    Missing,
    Outside,
    Fraction,
    NotTruth,
    NoCode,
}

impl Problem {
    fn message(&self, column: &Column, value: f64) -> String {
        match (self, &column.domain) {
            (Self::Missing, _) => {
                "NaN stands for a missing value, and this feature is required".to_owned()
            }
            (Self::Fraction, _) => format!("{value} is not a whole number"),
            (Self::NotTruth, _) => format!("{value} is neither 0 nor 1"),
            (Self::NoCode, Domain::Category(vocabulary)) => {
                format!(
                    "{value} is no code of the vocabulary; use a whole number from 0 to {}",
                    vocabulary.values.len() - 1
                )
            }
            (_, Domain::Real(bounds) | Domain::Integer(bounds)) => {
                format!("{value} is outside {} to {}", bounds.min, bounds.max)
            }
            _ => format!("{value} is not accepted"),
        }
    }
}

impl Column {
    /// Whether `value` is an element that this column takes.
    fn accepts(&self, value: f64) -> Result<(), Problem> {
        let stands_for_absent = || self.absent.is_some_and(|absent| same(absent, value));
        match &self.domain {
            _ if value.is_nan() => stands_for_absent().then_some(()).ok_or(Problem::Missing),
            Domain::Real(bounds) => (bounds.min <= value && value <= bounds.max
                || stands_for_absent())
            .then_some(())
            .ok_or(Problem::Outside),
            Domain::Integer(bounds) => {
                if stands_for_absent() {
                    Ok(())
                } else if !(bounds.min <= value && value <= bounds.max) {
                    Err(Problem::Outside)
                } else if value.fract() != 0.0 {
                    Err(Problem::Fraction)
                } else {
                    Ok(())
                }
            }
            Domain::Truth => (value == 0.0 || value == 1.0 || stands_for_absent())
                .then_some(())
                .ok_or(Problem::NotTruth),
            Domain::Category(vocabulary) => {
                let coded =
                    value >= 0.0 && value < vocabulary.values.len() as f64 && value.fract() == 0.0;
                let unseen = || vocabulary.unseen.is_some_and(|unseen| same(unseen, value));
                (coded || unseen() || stands_for_absent())
                    .then_some(())
                    .ok_or(Problem::NoCode)
            }
        }
    }

    /// Checks one number of a record, for the message that names the feature.
    pub(crate) fn check_number(&self, value: f64) -> Result<(), (ErrorKind, String)> {
        self.accepts(value)
            .map_err(|problem| (ErrorKind::OutOfRange, problem.message(self, value)))
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

pub(super) fn outputs(signature: &Signature, outputs: &[Tensor], rows: u32) -> Result<(), String> {
    if outputs.len() != signature.outputs.len() {
        return Err(format!(
            "{} outputs are given, the signature declares {}",
            outputs.len(),
            signature.outputs.len()
        ));
    }
    let by_rows = signature
        .inputs
        .iter()
        .any(|input| input.shape.first() == Some(&-1));
    for (declared, tensor) in signature.outputs.iter().zip(outputs) {
        output(declared, tensor, by_rows.then_some(rows))?;
    }
    Ok(())
}

fn output(declared: &Output, tensor: &Tensor, rows: Option<u32>) -> Result<(), String> {
    let name = &declared.name;
    if tensor.datatype() != declared.datatype {
        return Err(format!(
            "output `{name}` has datatype {}, declared is {}",
            tensor.datatype(),
            declared.datatype
        ));
    }
    let fits = tensor.shape().len() == declared.shape.len()
        && tensor
            .shape()
            .iter()
            .zip(&declared.shape)
            .all(|(found, wanted)| *wanted == -1 || u32::try_from(*wanted) == Ok(*found));
    if !fits {
        return Err(format!(
            "output `{name}` has shape {:?}, declared is {:?}",
            tensor.shape(),
            declared.shape
        ));
    }
    if let (Some(rows), Some(-1)) = (rows, declared.shape.first())
        && tensor.rows() != rows
    {
        return Err(format!(
            "output `{name}` has {} rows, the input has {rows}",
            tensor.rows()
        ));
    }
    if let Some(2..) = rows
        && declared.shape.first() != Some(&-1)
        && tensor.elements().len() > MAX_SHARED_ELEMENTS
    {
        return Err(format!(
            "output `{name}` belongs to no row and has {} elements; beside several rows at most {MAX_SHARED_ELEMENTS} \
             are kept, since each row's record repeats them",
            tensor.elements().len()
        ));
    }
    if declared.role == Role::Label && !declared.classes.is_empty() {
        let classes = declared.classes.len() as f64;
        let stray = (0..tensor.elements().len())
            .filter_map(|index| tensor.elements().number(index))
            .find(|code| !(*code >= 0.0 && *code < classes && code.fract() == 0.0));
        if let Some(code) = stray {
            return Err(format!(
                "output `{name}` has the code {code}, and {classes} classes are declared"
            ));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Mismatch {
    Mismatch::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Promises, Vocabulary};
    use super::*;
    use crate::tensor::Datatype;

    fn column(name: &str, domain: Domain, absent: Option<f64>) -> Column {
        Column {
            name: name.into(),
            doc: String::new(),
            domain,
            absent,
        }
    }

    fn table() -> Signature {
        let columns = vec![
            column(
                "age",
                Domain::Integer(Bounds {
                    min: 0.0,
                    max: 120.0,
                }),
                Some(f64::NAN),
            ),
            column(
                "rate",
                Domain::Real(Bounds {
                    min: f64::NEG_INFINITY,
                    max: 5.0,
                }),
                None,
            ),
            column(
                "job",
                Domain::Category(Vocabulary {
                    values: vec!["a".into(), "b".into()],
                    unseen: None,
                }),
                None,
            ),
        ];
        Signature {
            doc: String::new(),
            inputs: vec![Input {
                name: "features".into(),
                doc: String::new(),
                datatype: Datatype::Fp64,
                shape: vec![-1, 3],
                columns,
            }],
            outputs: vec![Output {
                name: "label".into(),
                doc: String::new(),
                datatype: Datatype::Uint32,
                shape: vec![-1],
                role: Role::Label,
                classes: vec!["no".into(), "yes".into()],
            }],
            examples: vec![],
            promises: Promises::default(),
        }
    }

    fn features(shape: Vec<u32>, values: &[f64]) -> Vec<NamedTensor> {
        let tensor = Tensor::new(shape, Elements::Fp64(values.to_vec())).unwrap();
        vec![NamedTensor {
            name: "features".into(),
            tensor,
        }]
    }

    #[test]
    fn inputs_are_accepted_or_refused_by_what_the_signature_says() {
        let cases: [(&[f64], Option<&str>); 9] = [
            (&[30.0, 1.0, 0.0], None),
            (&[f64::NAN, -1e300, 1.0], None),
            (
                &[30.5, 1.0, 0.0],
                Some("feature `age`: 30.5 is not a whole number"),
            ),
            (
                &[-1.0, 1.0, 0.0],
                Some("feature `age`: -1 is outside 0 to 120"),
            ),
            (
                &[30.0, 5.5, 0.0],
                Some("feature `rate`: 5.5 is outside -inf to 5"),
            ),
            (
                &[30.0, f64::NAN, 0.0],
                Some(
                    "feature `rate`: NaN stands for a missing value, and this feature is required",
                ),
            ),
            (
                &[30.0, 1.0, 2.0],
                Some(
                    "feature `job`: 2 is no code of the vocabulary; use a whole number from 0 to 1",
                ),
            ),
            (
                &[30.0, 1.0, 0.5],
                Some(
                    "feature `job`: 0.5 is no code of the vocabulary; use a whole number from 0 to 1",
                ),
            ),
            (&[30.0, f64::NEG_INFINITY, 1.0], None),
        ];
        for (values, expected) in cases {
            let found = table()
                .check(features(vec![1, 3], values))
                .err()
                .map(|mismatch| mismatch.to_string());
            assert_eq!(found.as_deref(), expected, "{values:?}");
        }
    }

    #[test]
    fn the_row_is_named_where_there_are_several() {
        let mismatch = table()
            .check(features(vec![2, 3], &[1.0, 1.0, 1.0, 300.0, 1.0, 1.0]))
            .unwrap_err();
        assert_eq!(
            mismatch.to_string(),
            "feature `age` in row 1: 300 is outside 0 to 120"
        );
        assert_eq!(mismatch.kind(), ErrorKind::OutOfRange);
    }

    #[test]
    fn names_datatypes_and_shapes_are_checked() {
        let tensor = || Tensor::new(vec![1, 3], Elements::Fp64(vec![1.0; 3])).unwrap();
        let named = |name: &str, tensor: Tensor| NamedTensor {
            name: name.into(),
            tensor,
        };
        let wrong_type = Tensor::new(vec![1, 3], Elements::Fp32(vec![1.0; 3])).unwrap();
        let cases = [
            (vec![], "input `features` is missing"),
            (
                vec![named("x", tensor())],
                "unknown input `x`; the model has `features`",
            ),
            (
                vec![named("features", tensor()), named("features", tensor())],
                "input `features` stands twice",
            ),
            (
                vec![named("features", wrong_type)],
                "input `features` has datatype FP32, the model wants FP64",
            ),
            (
                features(vec![3], &[1.0; 3]),
                "input `features` has shape [3], the model wants [-1, 3] (-1 = any length from 1)",
            ),
            (
                features(vec![0, 3], &[]),
                "input `features` has shape [0, 3], the model wants [-1, 3] (-1 = any length from 1)",
            ),
        ];
        for (inputs, expected) in cases {
            assert_eq!(table().check(inputs).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn outputs_must_be_what_was_promised() {
        let label = |codes: Vec<u32>| {
            Tensor::new(vec![codes.len() as u32], Elements::Uint32(codes)).unwrap()
        };
        assert_eq!(table().check_outputs(&[label(vec![0, 1])], 2), Ok(()));
        for (outputs, expected) in [
            (vec![], "0 outputs are given, the signature declares 1"),
            (
                vec![label(vec![0, 2])],
                "output `label` has the code 2, and 2 classes are declared",
            ),
            (
                vec![label(vec![0])],
                "output `label` has 1 rows, the input has 2",
            ),
        ] {
            assert_eq!(table().check_outputs(&outputs, 2), Err(expected.to_owned()));
        }
    }
}
