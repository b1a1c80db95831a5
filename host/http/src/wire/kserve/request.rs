//! `POST /v1/models/{m}:predict`, from its body to inputs.
//!
//! Either `instances`, row by row: a row of the one input, an object of rows by input name, or a record. Or `inputs`,
//! column by column: the one input as a whole, or an object of inputs by name.

use foretell_predict::Inputs;
use foretell_types::signature::{Input, NamedTensor};
use foretell_types::{Datatype, Elements, Signature};

use crate::text::shown;
use crate::wire::api::max_keys;
use crate::wire::json::{Fault, Leaf, Mark, Nested, Reader, read_nested, read_record};
use crate::wire::rows::Labels;

/// In which form the caller asked, and so gets its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `instances`: answered by `predictions`.
    Rows(Labels),
    /// `inputs`: answered by `outputs`.
    Columns,
}

/// Reads the body of a prediction. Other keys than the two are passed over, `signature_name` among them.
///
/// # Errors
/// `Malformed` for what is no such request, `InvalidInput` for values that fit no input, and for more than `max_rows`
/// instances.
pub(crate) fn read(
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Form), Fault> {
    let mut reader = Reader::new(body)?;
    let mut instances = None;
    let mut columns = None;
    let by_rows = signature
        .inputs
        .iter()
        .any(|input| input.shape.first() == Some(&-1));
    reader.object(|reader, key| {
        // Read once more below: which of the two there is must be known before either is understood.
        match key.as_ref() {
            "instances" => {
                instances = Some(reader.mark());
                if by_rows && reader.peek() == Some(b'[') {
                    reader.array(|reader, index| {
                        reader.at_most(max_rows, index + 1)?;
                        reader.skip()
                    })?;
                    return Ok(());
                }
            }
            "inputs" => columns = Some(reader.mark()),
            _ => {}
        }
        reader.skip()
    })?;
    let read = match (instances, columns) {
        (Some(mark), None) => rows(&mut reader, mark, signature)?,
        (None, Some(mark)) => {
            let tensors = reader.again(mark, "inputs", |reader| read_columns(reader, signature))?;
            (Inputs::Tensors(tensors), Form::Columns)
        }
        (None, None) => {
            return Err(reader.malformed(
                "send `instances` (rows) or `inputs` (columns); a record alone goes to /api/predict/{model}",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(reader.malformed("send either `instances` (rows) or `inputs` (columns)"));
        }
    };
    reader.finish()?;
    Ok(read)
}

/// How the rows of `instances` are written; the first one shows it.
enum Style {
    /// Objects of feature names.
    Records,
    /// Objects of input names.
    ByInput,
    /// Rows of the one input.
    Bare,
}

fn rows(
    reader: &mut Reader<'_>,
    mark: Mark,
    signature: &Signature,
) -> Result<(Inputs, Form), Fault> {
    reader.again(mark, "instances", |reader| {
        if reader.peek() != Some(b'[') {
            return Err(reader.malformed("Expected \"instances\" to be a list"));
        }
        match style(reader, signature) {
            Style::Records => {
                let max_keys = max_keys(signature);
                let mut records = Vec::new();
                reader.array(|reader, _| {
                    records.push(read_record(reader, max_keys)?);
                    Ok(())
                })?;
                Ok((Inputs::Records(records), Form::Rows(Labels::Names)))
            }
            Style::ByInput => {
                let tensors = rows_by_input(reader, signature)?;
                Ok((Inputs::Tensors(tensors), Form::Rows(Labels::Codes)))
            }
            Style::Bare => {
                let input = only_input(reader, signature)?;
                let nested = read_nested(reader, input.datatype, Leaf::OrBase64, None)?;
                Ok((
                    Inputs::Tensors(vec![named(reader, input, nested)?]),
                    Form::Rows(Labels::Codes),
                ))
            }
        }
    })
}

fn style(reader: &mut Reader<'_>, signature: &Signature) -> Style {
    let Some(key) = reader.first_key_of_first_item() else {
        return Style::Bare;
    };
    let plain = |input: &Input| input.columns.is_empty();
    match signature.inputs.as_slice() {
        [only] if plain(only) && only.datatype == Datatype::Bytes && key == "b64" => Style::Bare,
        inputs => match inputs.iter().find(|input| input.name == key) {
            Some(input) if !plain(input) || inputs.iter().all(plain) => Style::ByInput,
            _ => Style::Records,
        },
    }
}

fn only_input<'a>(reader: &Reader<'_>, signature: &'a Signature) -> Result<&'a Input, Fault> {
    match signature.inputs.as_slice() {
        [only] => Ok(only),
        inputs => {
            let names: Vec<_> = inputs
                .iter()
                .map(|input| format!("`{}`", input.name))
                .collect();
            let names = names.join(", ");
            Err(reader.invalid(&format!(
                "the model has several inputs; send objects with the keys {names}"
            )))
        }
    }
}

/// Collects one input over all rows.
struct Column<'a> {
    input: &'a Input,
    rows: usize,
    collected: Option<Nested>,
}

fn rows_by_input(
    reader: &mut Reader<'_>,
    signature: &Signature,
) -> Result<Vec<NamedTensor>, Fault> {
    let mut columns: Vec<_> = signature
        .inputs
        .iter()
        .map(|input| Column {
            input,
            rows: 0,
            collected: None,
        })
        .collect();
    let rows = reader.array(|reader, _| {
        reader.object(|reader, key| {
            let Some(column) = columns.iter_mut().find(|column| column.input.name == *key) else {
                return Err(reader.invalid(&format!("the model has no input `{}`", shown(key))));
            };
            let row = read_nested(reader, column.input.datatype, Leaf::OrBase64, Some(1))?;
            column.rows += 1;
            match &mut column.collected {
                None => column.collected = Some(row),
                Some(collected) if collected.lengths == row.lengths => {
                    append(&mut collected.elements, row.elements)
                }
                Some(collected) => {
                    let (first, this) = (&collected.lengths, &row.lengths);
                    return Err(reader.invalid(&format!(
                        "this row has the shape {this:?}, the first has {first:?}"
                    )));
                }
            }
            Ok(())
        })
    })?;
    columns
        .into_iter()
        .map(|column| match column.collected {
            Some(mut nested) if column.rows == rows => {
                nested.lengths.insert(0, rows);
                named(reader, column.input, nested)
            }
            _ => Err(reader.invalid(&format!(
                "input `{}` is missing in a row",
                column.input.name
            ))),
        })
        .collect()
}

/// Appends elements of the same datatype.
fn append(to: &mut Elements, from: Elements) {
    match (to, from) {
        (Elements::Bool(to), Elements::Bool(from))
        | (Elements::Uint8(to), Elements::Uint8(from)) => to.extend(from),
        (Elements::Uint16(to), Elements::Uint16(from))
        | (Elements::Fp16(to), Elements::Fp16(from))
        | (Elements::Bf16(to), Elements::Bf16(from)) => to.extend(from),
        (Elements::Uint32(to), Elements::Uint32(from)) => to.extend(from),
        (Elements::Uint64(to), Elements::Uint64(from)) => to.extend(from),
        (Elements::Int8(to), Elements::Int8(from)) => to.extend(from),
        (Elements::Int16(to), Elements::Int16(from)) => to.extend(from),
        (Elements::Int32(to), Elements::Int32(from)) => to.extend(from),
        (Elements::Int64(to), Elements::Int64(from)) => to.extend(from),
        (Elements::Fp32(to), Elements::Fp32(from)) => to.extend(from),
        (Elements::Fp64(to), Elements::Fp64(from)) => to.extend(from),
        // A body is far from 4 GiB, so each push is taken.
        (Elements::Bytes(to), Elements::Bytes(from)) => {
            from.iter().for_each(|bytes| _ = to.push(bytes))
        }
        // Both were read for one input, so they have its datatype; a count that is wrong is refused as such later.
        _ => {}
    }
}

fn read_columns(reader: &mut Reader<'_>, signature: &Signature) -> Result<Vec<NamedTensor>, Fault> {
    let mut tensors = Vec::with_capacity(signature.inputs.len());
    if reader.peek() != Some(b'{') {
        let input = only_input(reader, signature)?;
        let nested = read_nested(reader, input.datatype, Leaf::OrBase64, None)?;
        tensors.push(named(reader, input, nested)?);
        return Ok(tensors);
    }
    reader.object(|reader, key| {
        let Some(input) = signature.inputs.iter().find(|input| input.name == *key) else {
            return Err(reader.invalid(&format!("the model has no input `{}`", shown(key))));
        };
        let nested = read_nested(reader, input.datatype, Leaf::OrBase64, None)?;
        tensors.push(named(reader, input, nested)?);
        Ok(())
    })?;
    Ok(tensors)
}

fn named(reader: &Reader<'_>, input: &Input, nested: Nested) -> Result<NamedTensor, Fault> {
    let tensor = nested
        .tensor()
        .map_err(|fault| reader.invalid(&format!("input `{}`: {fault}", input.name)))?;
    Ok(NamedTensor {
        name: input.name.clone(),
        tensor,
    })
}

#[cfg(test)]
mod tests;
