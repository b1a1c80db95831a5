//! `POST /v2/models/{m}/infer`, from its body to tensors.

use std::borrow::Cow;
use std::time::Duration;

use foretell_predict::{Inputs, Urgency};
use foretell_types::signature::NamedTensor;
use foretell_types::{Datatype, Signature, Tensor, tensor};

use super::binary::Binary;
use crate::text::shown;
use crate::wire::json::{Fault, Leaf, Mark, Nested, Reader, read_nested};
use crate::wire::raw;

/// Characters of a caller's request id, at most: it is echoed.
const MAX_ID_CHARS: usize = 1_024;

/// What a caller is told who has put its tensors where this server does not look.
pub(crate) const NO_SHARED_MEMORY: &str =
    "shared memory is not supported: send and take tensors in the bodies";

/// What the caller asked for besides its inputs.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Its own name for the request, echoed.
    pub(crate) id: Option<String>,
    /// The outputs that it wants, in its order; `None` = all.
    pub(crate) outputs: Option<Vec<Wanted>>,
    /// Whether outputs are to come as raw bytes, where they do not say so themselves.
    pub(crate) binary: bool,
    /// How urgent it is.
    pub(crate) urgency: Urgency,
}

/// An output that the caller names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wanted {
    /// Its place in the signature.
    pub(crate) place: usize,
    /// Whether it is to come as raw bytes; `None` = as the request says of all.
    pub(crate) binary: Option<bool>,
}

impl Asked {
    /// Whether some output is to come as raw bytes.
    pub(crate) fn wants_binary(&self) -> bool {
        let wanted = self.outputs.iter().flatten();
        self.binary
            || wanted
                .filter_map(|wanted| wanted.binary)
                .any(|binary| binary)
    }

    /// The outputs to be sent: their places in a signature of so many, and whether as raw bytes.
    pub(crate) fn wanted(&self, outputs: usize) -> Vec<(usize, bool)> {
        match &self.outputs {
            None => (0..outputs).map(|place| (place, self.binary)).collect(),
            Some(wanted) => {
                let wanted = wanted.iter();
                wanted
                    .map(|wanted| (wanted.place, wanted.binary.unwrap_or(self.binary)))
                    .collect()
            }
        }
    }
}

/// Reads the body of an inference request. `tail` is what follows its JSON, where the request announces binary tensors.
///
/// Unknown keys are passed over, and so are parameters: clients send many that mean something to other servers.
///
/// # Errors
/// `Malformed` for what is no such request, `InvalidInput` for tensors whose data do not fit their datatype or shape, for
/// outputs that the model does not have, and for more than `max_rows` rows.
pub(crate) fn read(
    json: &[u8],
    tail: Option<&[u8]>,
    signature: &Signature,
    max_rows: u32,
) -> Result<(Inputs, Asked), Fault> {
    let mut reader = Reader::new(json)?;
    let mut asked = Asked::default();
    let mut inputs = None;
    let mut binary = Binary::new(tail);
    reader.object(|reader, key| {
        match key.as_ref() {
            "id" => asked.id = Some(id(reader)?),
            "inputs" => inputs = Some(tensors(reader, &mut binary, signature, max_rows)?),
            "outputs" => asked.outputs = outputs(reader, signature)?,
            "parameters" => parameters(reader, &mut asked)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let Some(inputs) = inputs else {
        return Err(reader.malformed(
            "`inputs` is missing: a list of tensors; a record goes to /api/predict/{model}",
        ));
    };
    // Refused before anything is run: what could not be answered.
    for (place, binary) in asked.wanted(signature.outputs.len()) {
        let output = &signature.outputs[place];
        if !binary && matches!(output.datatype, Datatype::Fp16 | Datatype::Bf16) {
            return Err(reader.invalid(&not_via_json(output.datatype, "output", &output.name)));
        }
    }
    let left = binary.left();
    if left > 0 {
        return Err(reader.malformed(&format!(
            "{left} bytes follow the JSON that no input's `binary_data_size` announces"
        )));
    }
    reader.finish()?;
    Ok((Inputs::Tensors(inputs), asked))
}

/// The parameters of the request: those that mean something here.
fn parameters(reader: &mut Reader<'_>, asked: &mut Asked) -> Result<(), Fault> {
    parameters_of(reader, |reader, key| {
        match key.as_ref() {
            "binary_data_output" => asked.binary = reader.truth()?,
            "timeout" => asked.urgency.timeout = wish(reader)?.and_then(timeout),
            "priority" => asked.urgency.priority = wish(reader)?.unwrap_or(0),
            _ => reader.skip()?,
        }
        Ok(())
    })
}

/// A time in microseconds; 0 leaves it to the version.
pub(crate) fn timeout(micros: u64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// A whole number, also as a text, of a parameter that may be passed over: what is none is as if it were not there.
fn wish(reader: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
    Ok(match reader.peek() {
        Some(b'"') => reader.string()?.parse().ok(),
        Some(b'-' | b'0'..=b'9') => reader.number()?.text.parse().ok(),
        _ => {
            reader.skip()?;
            None
        }
    })
}

/// Parameters, where there are some: `null` stands for none.
fn parameters_of<'a>(
    reader: &mut Reader<'a>,
    each: impl FnMut(&mut Reader<'a>, &Cow<'a, str>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if reader.peek() == Some(b'n') {
        return reader.null();
    }
    reader.object(each).map(drop)
}

/// A whole number, also as a text: some clients write all parameters as texts.
fn whole(reader: &mut Reader<'_>, name: &str) -> Result<u64, Fault> {
    let number = match reader.peek() {
        Some(b'"') => reader.string()?.parse(),
        _ => reader.number()?.text.parse(),
    };
    number.map_err(|_| reader.malformed(&format!("`{name}` is a whole number from 0 to 2^64 - 1")))
}

/// The caller's own name for its request.
pub(super) fn id(reader: &mut Reader<'_>) -> Result<String, Fault> {
    let id = reader.string()?;
    if id.chars().nth(MAX_ID_CHARS).is_some() {
        return Err(reader.malformed("`id` is longer than 1024 characters"));
    }
    Ok(id.into_owned())
}

fn tensors(
    reader: &mut Reader<'_>,
    binary: &mut Binary<'_>,
    signature: &Signature,
    max_rows: u32,
) -> Result<Vec<NamedTensor>, Fault> {
    let mut tensors = Vec::with_capacity(signature.inputs.len());
    reader.array(|reader, index| {
        // One too many is enough to be refused by name further in; a million would only cost memory.
        if index > signature.inputs.len() {
            return Err(reader.invalid("there are more inputs than the model has"));
        }
        tensors.push(tensor(reader, binary, signature, max_rows)?);
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
    /// Bytes that it has behind the JSON.
    binary_size: Option<u64>,
}

enum Data {
    /// Where it stands: what it is was not known yet.
    At(Mark),
    Read(Nested),
}

fn tensor(
    reader: &mut Reader<'_>,
    binary: &mut Binary<'_>,
    signature: &Signature,
    max_rows: u32,
) -> Result<NamedTensor, Fault> {
    let mut fields = Fields::default();
    reader.object(|reader, key| {
        match key.as_ref() {
            "name" => fields.name = Some(reader.string()?),
            "datatype" => fields.datatype = Some(read_datatype(reader)?),
            "shape" => fields.shape = Some(shape(reader)?),
            "parameters" => fields.binary_size = binary_size(reader)?,
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
    let lacks =
        |reader: &Reader<'_>, field: &str| reader.malformed(&format!("a tensor lacks `{field}`"));
    if fields.name.is_none() {
        return Err(lacks(reader, "name"));
    }
    let Some(datatype) = fields.datatype else {
        return Err(lacks(reader, "datatype"));
    };
    let read = match (fields.data.take(), fields.binary_size) {
        (None, None) => return Err(lacks(reader, "data` or the parameter `binary_data_size")),
        (Some(_), Some(_)) => {
            return Err(reader.malformed("a tensor has `data` or `binary_data_size`, not both"));
        }
        (None, Some(bytes)) => {
            few_rows(reader, &fields, signature, max_rows)?;
            let name = fields.name.as_deref().unwrap_or_default();
            let bytes = binary
                .take(bytes)
                .map_err(|fault| reader.malformed(&of_input(name, &fault)))?;
            let read = raw::read(datatype, bytes);
            Nested::flat(read.map_err(|fault| reader.invalid(&of_input(name, &fault)))?)
        }
        (Some(Data::Read(read)), None) => read,
        (Some(Data::At(mark)), None) => {
            reader.again(mark, "data", |reader| data(reader, &fields))?
        }
    };
    let Fields {
        name: Some(name),
        shape: Some(shape),
        ..
    } = fields
    else {
        return Err(lacks(reader, "shape"));
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
        .map_err(|fault| reader.invalid(&of_input(&name, &fault.to_string())))?;
    Ok(NamedTensor {
        name: name.into_owned(),
        tensor,
    })
}

fn of_input(name: &str, fault: &str) -> String {
    format!("input `{}`: {fault}", shown(name))
}

/// What the parameters of a tensor say of where its data stand.
fn binary_size(reader: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
    let mut size = None;
    parameters_of(reader, |reader, key| {
        match key.as_ref() {
            "binary_data_size" => size = Some(whole(reader, "binary_data_size")?),
            "shared_memory_region" => return Err(shared_memory(reader)),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(size)
}

/// Passed over, it would leave the caller with whatever its memory held before.
fn shared_memory(reader: &Reader<'_>) -> Fault {
    reader.invalid(NO_SHARED_MEMORY)
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

fn read_datatype(reader: &mut Reader<'_>) -> Result<Datatype, Fault> {
    let name = reader.string()?;
    datatype(&name).map_err(|problem| reader.malformed(&problem))
}

/// A datatype by its name.
///
/// # Errors
/// The names that there are.
pub(crate) fn datatype(name: &str) -> Result<Datatype, String> {
    Datatype::parse(name).ok_or_else(|| {
        let known = Datatype::ALL.iter();
        let known: Vec<_> = known.map(|datatype| datatype.as_str()).collect();
        format!(
            "unknown datatype `{}`; use one of {}",
            shown(name),
            known.join(", ")
        )
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
fn outputs(reader: &mut Reader<'_>, signature: &Signature) -> Result<Option<Vec<Wanted>>, Fault> {
    let mut wanted: Vec<Wanted> = Vec::new();
    reader.array(|reader, _| {
        let mut name = None;
        let mut binary = None;
        reader.object(|reader, key| {
            match key.as_ref() {
                "name" => name = Some(reader.string()?),
                "parameters" => binary = output_binary(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let name = name.ok_or_else(|| reader.malformed("an output lacks `name`"))?;
        let known: Vec<_> = wanted.iter().map(|wanted| wanted.place).collect();
        let place = output_place(signature, &name, &known);
        let place = place.map_err(|problem| reader.invalid(&problem))?;
        wanted.push(Wanted { place, binary });
        Ok(())
    })?;
    Ok((!wanted.is_empty()).then_some(wanted))
}

/// Where an output stands in the signature; `wanted` are those that were named before.
///
/// # Errors
/// What is wrong: the model has no such output, or it was named before.
pub(crate) fn output_place(
    signature: &Signature,
    name: &str,
    wanted: &[usize],
) -> Result<usize, String> {
    let mut outputs = signature.outputs.iter();
    let Some(place) = outputs.position(|output| output.name == name) else {
        let known = signature.outputs.iter();
        let known: Vec<_> = known.map(|output| format!("`{}`", output.name)).collect();
        return Err(format!(
            "unknown output `{}`; the model has {}",
            shown(name),
            known.join(", ")
        ));
    };
    if wanted.contains(&place) {
        return Err(format!("output `{name}` stands twice"));
    }
    Ok(place)
}

fn output_binary(reader: &mut Reader<'_>) -> Result<Option<bool>, Fault> {
    let mut binary = None;
    parameters_of(reader, |reader, key| {
        match key.as_ref() {
            "binary_data" => binary = Some(reader.truth()?),
            "shared_memory_region" => return Err(shared_memory(reader)),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(binary)
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
