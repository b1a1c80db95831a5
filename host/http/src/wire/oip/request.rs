//! `POST /v2/models/{m}/infer`, from its body to tensors.

use std::borrow::Cow;

use foretell_predict::Inputs;
use foretell_types::signature::NamedTensor;
use foretell_types::{Datatype, Signature, Tensor, tensor};

use crate::text::shown;
use crate::wire::json::{Fault, Leaf, Mark, Nested, Reader, read_nested};

/// Characters of a caller's request id, at most: it is echoed.
const MAX_ID_CHARS: usize = 1_024;

/// What the caller asked for besides its inputs.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Its own name for the request, echoed.
    pub(crate) id: Option<String>,
    /// Places in the signature of the outputs it wants, in its order; `None` = all.
    pub(crate) outputs: Option<Vec<usize>>,
}

/// Reads the body of an inference request.
///
/// Unknown keys are passed over, and so are all parameters: clients send many that mean something to other servers.
///
/// # Errors
/// `Malformed` for what is no such request, `InvalidInput` for tensors whose data do not fit their datatype or shape, for
/// outputs that the model does not have, and for more than `max_rows` rows.
pub(crate) fn read(
    body: &[u8],
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Asked), Fault> {
    let mut reader = Reader::new(body)?;
    let mut asked = Asked::default();
    let mut inputs = None;
    let mut wants_outputs = false;
    reader.object(|reader, key| {
        match key.as_ref() {
            "id" => asked.id = Some(id(reader)?),
            "inputs" => inputs = Some(tensors(reader, signature, max_rows)?),
            "outputs" => {
                wants_outputs = true;
                asked.outputs = outputs(reader, signature)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let Some(inputs) = inputs else {
        return Err(reader.malformed(
            "`inputs` is missing: a list of tensors; a record goes to /api/predict/{model}",
        ));
    };
    if !wants_outputs {
        // All of them will be written.
        signature
            .outputs
            .iter()
            .try_for_each(|output| writable(&reader, output.datatype, &output.name))?;
    }
    reader.finish()?;
    Ok((Inputs::Tensors(inputs), asked))
}

fn id(reader: &mut Reader<'_>) -> Result<String, Fault> {
    let id = reader.string()?;
    if id.chars().nth(MAX_ID_CHARS).is_some() {
        return Err(reader.malformed("`id` is longer than 1024 characters"));
    }
    Ok(id.into_owned())
}

fn tensors(
    reader: &mut Reader<'_>,
    signature: &Signature,
    max_rows: u32,
) -> Result<Vec<NamedTensor>, Fault> {
    let mut tensors = Vec::with_capacity(signature.inputs.len());
    reader.array(|reader, index| {
        // One too many is enough to be refused by name further in; a million would only cost memory.
        if index > signature.inputs.len() {
            return Err(reader.invalid("there are more inputs than the model has"));
        }
        tensors.push(tensor(reader, signature, max_rows)?);
        Ok(())
    })?;
    Ok(tensors)
}

/// A tensor's fields, in whatever order they stand: clients that sort their keys send `data` first.
#[derive(Default)]
struct Fields<'a> {
    name: Option<Cow<'a, str>>,
    datatype: Option<Datatype>,
    shape: Option<Vec<u32>>,
    data: Option<Data>,
}

enum Data {
    /// Where it stands: what it is was not known yet.
    At(Mark),
    Read(Nested),
}

fn tensor(
    reader: &mut Reader<'_>,
    signature: &Signature,
    max_rows: u32,
) -> Result<NamedTensor, Fault> {
    let mut fields = Fields::default();
    reader.object(|reader, key| {
        match key.as_ref() {
            "name" => fields.name = Some(reader.string()?),
            "datatype" => fields.datatype = Some(datatype(reader)?),
            "shape" => fields.shape = Some(shape(reader)?),
            "data" => {
                few_rows(reader, &fields, signature, max_rows)?;
                fields.data = Some(if fields.datatype.is_some() && fields.name.is_some() {
                    Data::Read(data(reader, &fields)?)
                } else {
                    let mark = reader.mark();
                    reader.skip()?;
                    Data::At(mark)
                });
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let missing =
        |reader: &Reader<'_>, field: &str| reader.malformed(&format!("a tensor lacks `{field}`"));
    if fields.name.is_none() {
        return Err(missing(reader, "name"));
    }
    if fields.datatype.is_none() {
        return Err(missing(reader, "datatype"));
    }
    let read = match fields.data.take() {
        None => {
            let hint = "`data` (binary tensors, as `binary_data_size` announces them, are not supported yet)";
            return Err(reader.malformed(&format!("a tensor lacks {hint}")));
        }
        Some(Data::Read(read)) => read,
        Some(Data::At(mark)) => reader.again(mark, "data", |reader| data(reader, &fields))?,
    };
    let Fields {
        name: Some(name),
        shape: Some(shape),
        ..
    } = fields
    else {
        return Err(missing(reader, "shape"));
    };
    if read.lengths.len() > 1 && !same_lengths(&read.lengths, &shape) {
        let nested = format!(
            "the lists of input `{}` have the shape {:?}, stated is {shape:?}",
            shown(&name),
            read.lengths
        );
        return Err(reader.invalid(&nested));
    }
    let tensor = Tensor::new(shape, read.elements)
        .map_err(|fault| reader.invalid(&format!("input `{}`: {fault}", shown(&name))))?;
    Ok(NamedTensor {
        name: name.into_owned(),
        tensor,
    })
}

/// Refuses a stated shape of too many rows before its data are read.
fn few_rows(
    reader: &Reader<'_>,
    fields: &Fields<'_>,
    signature: &Signature,
    max_rows: u32,
) -> Result<(), Fault> {
    let (Some(name), Some([rows, ..])) = (&fields.name, fields.shape.as_deref()) else {
        return Ok(());
    };
    let input = signature.inputs.iter().find(|input| input.name == *name);
    match input.and_then(|input| input.shape.first()) {
        Some(-1) => reader.at_most(max_rows, *rows as usize),
        _ => Ok(()),
    }
}

fn same_lengths(lengths: &[usize], shape: &[u32]) -> bool {
    lengths
        .iter()
        .copied()
        .eq(shape.iter().map(|axis| *axis as usize))
}

fn datatype(reader: &mut Reader<'_>) -> Result<Datatype, Fault> {
    let name = reader.string()?;
    Datatype::parse(&name).ok_or_else(|| {
        let known: Vec<_> = Datatype::ALL
            .iter()
            .map(|datatype| datatype.as_str())
            .collect();
        reader.malformed(&format!(
            "unknown datatype `{}`; use one of {}",
            shown(&name),
            known.join(", ")
        ))
    })
}

fn shape(reader: &mut Reader<'_>) -> Result<Vec<u32>, Fault> {
    let mut shape = Vec::new();
    reader.array(|reader, index| {
        if index >= tensor::MAX_RANK {
            return Err(reader.invalid(&format!("a shape has at most {} axes", tensor::MAX_RANK)));
        }
        let number = reader.number()?;
        let axis = number.text.parse();
        shape.push(
            axis.map_err(|_| reader.invalid("an axis is a whole number from 0 to 4294967295"))?,
        );
        Ok(())
    })?;
    Ok(shape)
}

/// Reads the data of a tensor whose name and datatype are known.
fn data(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Result<Nested, Fault> {
    let (Some(name), Some(datatype)) = (&fields.name, fields.datatype) else {
        return Err(reader.malformed("a tensor lacks `name` or `datatype`"));
    };
    if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
        return Err(reader.invalid(&not_via_json(datatype, "input", name)));
    }
    if reader.peek() != Some(b'[') {
        return Err(reader.unexpected("the list of a tensor's data"));
    }
    let expected = fields
        .shape
        .as_deref()
        .and_then(|shape| tensor::count(shape).ok());
    read_nested(reader, datatype, Leaf::Plain, expected)
}

/// Which outputs the caller wants; `None` for an empty list, which means all.
fn outputs(reader: &mut Reader<'_>, signature: &Signature) -> Result<Option<Vec<usize>>, Fault> {
    let mut wanted: Vec<usize> = Vec::new();
    reader.array(|reader, _| {
        let mut name = None;
        reader.object(|reader, key| {
            match key.as_ref() {
                "name" => name = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let name = name.ok_or_else(|| reader.malformed("an output lacks `name`"))?;
        let place = signature
            .outputs
            .iter()
            .position(|output| output.name == name);
        let Some(place) = place else {
            let known: Vec<_> = signature
                .outputs
                .iter()
                .map(|output| format!("`{}`", output.name))
                .collect();
            let known = known.join(", ");
            return Err(reader.invalid(&format!(
                "unknown output `{}`; the model has {known}",
                shown(&name)
            )));
        };
        if wanted.contains(&place) {
            return Err(reader.invalid(&format!("output `{name}` stands twice")));
        }
        writable(reader, signature.outputs[place].datatype, &name)?;
        wanted.push(place);
        Ok(())
    })?;
    if wanted.is_empty() {
        signature
            .outputs
            .iter()
            .try_for_each(|output| writable(reader, output.datatype, &output.name))?;
        return Ok(None);
    }
    Ok(Some(wanted))
}

/// Refuses, before anything is run, what could not be answered.
fn writable(reader: &Reader<'_>, datatype: Datatype, name: &str) -> Result<(), Fault> {
    match datatype {
        Datatype::Fp16 | Datatype::Bf16 => {
            Err(reader.invalid(&not_via_json(datatype, "output", name)))
        }
        _ => Ok(()),
    }
}

/// A phrase that clients of Triton know.
fn not_via_json(datatype: Datatype, what: &str, name: &str) -> String {
    let name = shown(name);
    format!(
        "sending {datatype} data via JSON is not supported. Please use the binary data format for {what} {name}"
    )
}

#[cfg(test)]
mod tests;
