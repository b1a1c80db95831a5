//! One call against the signature, as the host checks it: inputs, outputs, expected outputs.

use crate::signature::{ANY, Column, Domain, Example, Input, Output, Role, Signature};
use crate::tensor::{Elements, Tensor};

/// Checks the inputs and gives the number of rows: the length of the free first axes, if there are any.
pub(super) fn inputs(signature: &Signature, given: &[Tensor]) -> Result<Option<u32>, String> {
    if given.len() != signature.inputs.len() {
        return Err(format!(
            "{} inputs are given, the signature has {}",
            given.len(),
            signature.inputs.len()
        ));
    }
    let mut rows = None;
    for (input, tensor) in signature.inputs.iter().zip(given) {
        let name = &input.name;
        tensor
            .fault()
            .map_or(Ok(()), |fault| Err(format!("input `{name}`: {fault}")))?;
        if tensor.datatype() != input.datatype || !fits(&tensor.shape, &input.shape, 1) {
            return Err(format!(
                "input `{name}` is {} {:?}, the signature says {} {:?}",
                tensor.datatype(),
                tensor.shape,
                input.datatype,
                input.shape
            ));
        }
        if input.shape.first() == Some(&ANY) {
            let found = tensor.shape.first().copied();
            if rows.is_some() && rows != found {
                return Err(format!("input `{name}` has other rows than the one before"));
            }
            rows = found;
        }
        columns(input, tensor)?;
    }
    Ok(rows)
}

/// Checks the outputs for so many rows.
pub(super) fn outputs(
    signature: &Signature,
    given: &[Tensor],
    rows: Option<u32>,
) -> Result<(), String> {
    if given.len() != signature.outputs.len() {
        return Err(format!(
            "{} outputs are given, the signature has {}",
            given.len(),
            signature.outputs.len()
        ));
    }
    for (output, tensor) in signature.outputs.iter().zip(given) {
        let name = &output.name;
        tensor
            .fault()
            .map_or(Ok(()), |fault| Err(format!("output `{name}`: {fault}")))?;
        if tensor.datatype() != output.datatype || !fits(&tensor.shape, &output.shape, 0) {
            return Err(format!(
                "output `{name}` is {} {:?}, the signature says {} {:?}",
                tensor.datatype(),
                tensor.shape,
                output.datatype,
                output.shape
            ));
        }
        if let (Some(rows), Some(&ANY), Some(found)) =
            (rows, output.shape.first(), tensor.shape.first())
            && *found != rows
        {
            return Err(format!(
                "output `{name}` has {found} rows, the inputs have {rows}"
            ));
        }
        labels(output, tensor)?;
    }
    Ok(())
}

/// Compares an answer with the expected one.
pub(super) fn compare(
    signature: &Signature,
    example: &Example,
    found: &[Tensor],
) -> Result<(), String> {
    let tolerance = example.tolerance;
    for ((output, expected), found) in signature.outputs.iter().zip(&example.outputs).zip(found) {
        let name = &output.name;
        if expected.shape != found.shape {
            return Err(format!(
                "output `{name}` has shape {:?}, expected is {:?}",
                found.shape, expected.shape
            ));
        }
        let different = (0..found.elements.len()).find_map(|index| {
            match (
                expected.elements.number(index),
                found.elements.number(index),
            ) {
                (Some(expected), Some(found)) if near(expected, found, tolerance) => None,
                (Some(expected), Some(found)) => {
                    Some((index, format!("{expected}, found {found}")))
                }
                _ => None,
            }
        });
        if let Some((index, difference)) = different {
            return Err(format!(
                "output `{name}`, element {index}: expected {difference} (tolerance {tolerance})"
            ));
        }
        // Byte strings and half floats have no arithmetic here: they are equal or not.
        if expected.elements.number(0).is_none() && expected.elements != found.elements {
            return Err(format!("output `{name}` has other bytes than expected"));
        }
    }
    Ok(())
}

fn near(expected: f64, found: f64, tolerance: f64) -> bool {
    expected == found
        || (expected.is_nan() && found.is_nan())
        || (expected - found).abs() <= tolerance
}

fn fits(found: &[u32], wanted: &[i32], shortest: u32) -> bool {
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(found, wanted)| {
            u32::try_from(*wanted).map_or(*found >= shortest, |wanted| wanted == *found)
        })
}

fn columns(input: &Input, tensor: &Tensor) -> Result<(), String> {
    let width = input.columns.len();
    for index in 0..tensor.elements.len() {
        let Some((row, column)) = index.checked_div(width).zip(index.checked_rem(width)) else {
            return Ok(());
        };
        let (Some(column), Some(value)) =
            (input.columns.get(column), tensor.elements.number(index))
        else {
            continue;
        };
        if !accepts(column, value) {
            return Err(format!(
                "feature `{}` in row {row}: {value} is not accepted",
                column.name
            ));
        }
    }
    Ok(())
}

fn accepts(column: &Column, value: f64) -> bool {
    let stands_for = |element: Option<f64>| {
        element.is_some_and(|element| element == value || (element.is_nan() && value.is_nan()))
    };
    let whole = value.fract() == 0.0;
    let fits = match &column.domain {
        Domain::Real(bounds) => bounds.min <= value && value <= bounds.max,
        Domain::Integer(bounds) => bounds.min <= value && value <= bounds.max && whole,
        Domain::Truth => value == 0.0 || value == 1.0,
        Domain::Category(vocabulary) => {
            let code = value >= 0.0 && value < vocabulary.values.len() as f64 && whole;
            code || stands_for(vocabulary.unseen)
        }
    };
    fits || stands_for(column.absent)
}

/// A label outside its classes has no name.
fn labels(output: &Output, tensor: &Tensor) -> Result<(), String> {
    let classes = output.classes.len();
    if output.role != Role::Label
        || classes == 0
        || matches!(tensor.elements, Elements::Bytes { .. })
    {
        return Ok(());
    }
    let stray = (0..tensor.elements.len())
        .filter_map(|index| tensor.elements.number(index))
        .find(|code| !(*code >= 0.0 && *code < classes as f64 && code.fract() == 0.0));
    stray.map_or(Ok(()), |code| {
        Err(format!(
            "output `{}` has the code {code}, and {classes} classes are declared",
            output.name
        ))
    })
}
