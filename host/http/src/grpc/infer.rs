//! Inference: messages to inputs, and answers to messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use foretell_predict::{Answer, Decoded, Inputs, ModelRef, Payload, PredictError, Target, Urgency};
use foretell_types::signature::NamedTensor;
use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements, ErrorKind, Mismatch, Signature, Tensor};
use http::HeaderMap;
use prost::Message as _;
use prost::encoding::{self, DecodeContext, WireType};

use super::messages::infer_parameter::ParameterChoice;
use super::messages::model_infer_request::InferInputTensor;
use super::messages::model_infer_response::InferOutputTensor;
use super::messages::{InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};
use super::unary::Message;
use crate::extract::text_of;
use crate::text::shown;
use crate::wire::{oip, raw};

/// What the caller asked for besides its inputs.
#[derive(Debug, Default)]
pub(super) struct Asked {
    id: String,
    /// Places in the signature of the outputs it wants, in its order.
    outputs: Vec<usize>,
}

/// The message of an inference on its way into the corridor.
///
/// It stays the bytes that it is until its version is known: two bytes of a message may become three hundred once it is decoded,
/// and as many as arrive would wait so for their turn.
pub(super) struct InferPayload<'a> {
    /// None where it is there already: a stream has read it.
    message: Option<Message>,
    bytes: Bytes,
    /// Of the call that it came with.
    headers: &'a HeaderMap,
    /// What the call as a whole may take.
    timeout: Option<Duration>,
    asked: &'a mut Asked,
}

impl<'a> InferPayload<'a> {
    /// A message that is still unread.
    pub(super) const fn unread(
        message: Message,
        headers: &'a HeaderMap,
        timeout: Option<Duration>,
        asked: &'a mut Asked,
    ) -> Self {
        Self {
            message: Some(message),
            bytes: Bytes::new(),
            headers,
            timeout,
            asked,
        }
    }

    /// One of a stream's.
    pub(super) const fn read(bytes: Bytes, headers: &'a HeaderMap, asked: &'a mut Asked) -> Self {
        Self {
            message: None,
            bytes,
            headers,
            timeout: None,
            asked,
        }
    }
}

/// What of a message says which model it is for; the rest is passed over.
#[derive(Clone, PartialEq, prost::Message)]
struct ForModel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

impl Payload for InferPayload<'_> {
    async fn read(&mut self, limit_bytes: u64) -> Result<usize, PredictError> {
        if let Some(mut message) = self.message.take() {
            self.bytes = message.read(limit_bytes).await?;
        }
        Ok(self.bytes.len())
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        let model = ForModel::decode(self.bytes.clone()).map_err(no_message)?;
        reference(&model.name, &model.version).map(Cow::Owned)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(self.headers, name)
    }

    fn decode(&mut self, target: &Target, again: bool) -> Result<Decoded, PredictError> {
        let kept = if again {
            self.bytes.clone()
        } else {
            Bytes::new()
        };
        let bytes = std::mem::replace(&mut self.bytes, kept);
        let (signature, max_rows) = (&target.signature, target.runtime.max_rows);
        let inputs = signature.inputs.len();
        // Numbers of the fields of the message, and of an input.
        at_most(&bytes, &[4], MAX_PARAMETERS, "parameters")?;
        at_most(&bytes, &[5], inputs, "inputs than the model has")?;
        at_most(
            &bytes,
            &[7],
            inputs,
            "`raw_input_contents` than the model has inputs",
        )?;
        let outputs_of_model = signature.outputs.len();
        at_most(&bytes, &[6], outputs_of_model, "outputs than the model has")?;
        at_most(&bytes, &[5, 4], MAX_PARAMETERS, "parameters of inputs")?;
        at_most(&bytes, &[6, 2], MAX_PARAMETERS, "parameters of outputs")?;
        let request = ModelInferRequest::decode(bytes).map_err(no_message)?;
        let mut urgency = urgency(&request.parameters);
        urgency.timeout = match (urgency.timeout, self.timeout) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.asked.outputs = outputs(&request, signature)?;
        self.asked.id = request.id;
        let inputs = tensors(
            request.inputs,
            &request.raw_input_contents,
            signature,
            max_rows,
        )?;
        Ok(Decoded {
            inputs: Inputs::Tensors(inputs),
            urgency,
        })
    }
}

/// Parameters of a request, or of its inputs together, at most.
const MAX_PARAMETERS: usize = 256;

fn no_message(error: prost::DecodeError) -> PredictError {
    PredictError::Malformed(format!("the message: {error}"))
}

/// Refuses a message in which a field stands too often, before anything is made of it. `path` leads to the field through the
/// messages that hold it, whose fields are counted together.
///
/// # Errors
/// `InvalidInput`, and `Malformed` for bytes that are no message.
pub(super) fn at_most(
    message: &[u8],
    path: &[u32],
    most: usize,
    what: &str,
) -> Result<(), PredictError> {
    let mut found = 0;
    count(message, path, most, &mut found).map_err(no_message)?;
    if found > most {
        return Err(invalid(format!("there are more {what}: at most {most}")));
    }
    Ok(())
}

/// Counts a field, and stops beyond `most`.
fn count(
    mut message: &[u8],
    path: &[u32],
    most: usize,
    found: &mut usize,
) -> Result<(), prost::DecodeError> {
    let Some((field, inner)) = path.split_first() else {
        return Ok(());
    };
    while !message.is_empty() && *found <= most {
        let (tag, wire) = encoding::decode_key(&mut message)?;
        if tag == *field && wire == WireType::LengthDelimited {
            let length = encoding::decode_varint(&mut message)?;
            let length = usize::try_from(length).ok();
            let split = length.and_then(|length| message.split_at_checked(length));
            // A message that ends early: prost says so when it reads on.
            let Some((field, rest)) = split else {
                return Ok(());
            };
            if inner.is_empty() {
                *found += 1;
            } else {
                count(field, inner, most, found)?;
            }
            message = rest;
        } else {
            encoding::skip_field(wire, tag, &mut message, DecodeContext::default())?;
        }
    }
    Ok(())
}

/// A model, and its version where one is named.
pub(super) fn reference(model: &str, version: &str) -> Result<ModelRef, PredictError> {
    ModelRef::parse(model, Some(version).filter(|version| !version.is_empty()))
}

fn invalid(problem: String) -> PredictError {
    PredictError::Mismatch(Mismatch::new(ErrorKind::InvalidInput, problem))
}

/// What of the parameters means something here; what cannot be honoured is passed over.
fn urgency(parameters: &HashMap<String, InferParameter>) -> Urgency {
    let whole = |name: &str| {
        let parameter = parameters.get(name)?.parameter_choice.as_ref()?;
        match parameter {
            ParameterChoice::Uint64Param(value) => Some(*value),
            ParameterChoice::Int64Param(value) => u64::try_from(*value).ok(),
            ParameterChoice::StringParam(text) => text.parse().ok(),
            _ => None,
        }
    };
    Urgency {
        timeout: whole("timeout").and_then(oip::timeout),
        priority: whole("priority").unwrap_or(0),
    }
}

/// Where the outputs stand that the caller wants; all of them, if it names none.
fn outputs(request: &ModelInferRequest, signature: &Signature) -> Result<Vec<usize>, PredictError> {
    if request.outputs.is_empty() {
        return Ok((0..signature.outputs.len()).collect());
    }
    let mut wanted = Vec::new();
    for output in &request.outputs {
        no_shared_memory(&output.parameters)?;
        let place = oip::output_place(signature, &output.name, &wanted).map_err(invalid)?;
        wanted.push(place);
    }
    Ok(wanted)
}

fn no_shared_memory(parameters: &HashMap<String, InferParameter>) -> Result<(), PredictError> {
    match parameters.get("shared_memory_region") {
        None => Ok(()),
        Some(_) => Err(invalid(oip::NO_SHARED_MEMORY.into())),
    }
}

fn tensors(
    inputs: Vec<InferInputTensor>,
    raws: &[Bytes],
    signature: &Signature,
    max_rows: u32,
) -> Result<Vec<NamedTensor>, PredictError> {
    if !raws.is_empty() && raws.len() != inputs.len() {
        return Err(invalid(format!(
            "there are {} `raw_input_contents` for {} inputs: one for each, or none",
            raws.len(),
            inputs.len()
        )));
    }
    let mut raws = raws.iter();
    inputs
        .into_iter()
        .map(|input| {
            let name = input.name.clone();
            let tensor = tensor(input, raws.next(), signature, max_rows);
            let tensor = tensor
                .map_err(|problem| invalid(format!("input `{}`: {problem}", shown(&name))))?;
            Ok(NamedTensor { name, tensor })
        })
        .collect()
}

fn tensor(
    input: InferInputTensor,
    raw: Option<&Bytes>,
    signature: &Signature,
    max_rows: u32,
) -> Result<Tensor, String> {
    if input.parameters.contains_key("shared_memory_region") {
        return Err(oip::NO_SHARED_MEMORY.into());
    }
    let datatype = oip::datatype(&input.datatype)?;
    let shape = input.shape.iter().map(|axis| {
        u32::try_from(*axis).map_err(|_| format!("an axis is from 0 to 4294967295, not {axis}"))
    });
    let shape = shape.collect::<Result<Vec<u32>, _>>()?;
    let mut declared = signature.inputs.iter();
    let declared = declared.find(|declared| declared.name == input.name);
    let by_rows = declared.is_some_and(|declared| declared.shape.first() == Some(&-1));
    if by_rows && shape.first().is_some_and(|rows| *rows > max_rows) {
        return Err(format!(
            "there are more rows than the {max_rows} that this version takes"
        ));
    }
    let elements = match (raw, input.contents) {
        (Some(_), Some(_)) => {
            return Err("it has `contents` beside `raw_input_contents`: send one of them".into());
        }
        (Some(raw), None) => raw::read(datatype, raw)?,
        (None, contents) => typed(datatype, contents.unwrap_or_default())?,
    };
    Tensor::new(shape, elements).map_err(|fault| fault.to_string())
}

/// The elements in the list for their datatype.
fn typed(datatype: Datatype, contents: InferTensorContents) -> Result<Elements, String> {
    Ok(match datatype {
        Datatype::Bool => {
            let values = contents.bool_contents.into_iter();
            Elements::Bool(values.map(u8::from).collect())
        }
        Datatype::Uint8 => Elements::Uint8(narrow(datatype, contents.uint_contents)?),
        Datatype::Uint16 => Elements::Uint16(narrow(datatype, contents.uint_contents)?),
        Datatype::Uint32 => Elements::Uint32(contents.uint_contents),
        Datatype::Uint64 => Elements::Uint64(contents.uint64_contents),
        Datatype::Int8 => Elements::Int8(narrow(datatype, contents.int_contents)?),
        Datatype::Int16 => Elements::Int16(narrow(datatype, contents.int_contents)?),
        Datatype::Int32 => Elements::Int32(contents.int_contents),
        Datatype::Int64 => Elements::Int64(contents.int64_contents),
        Datatype::Fp32 => Elements::Fp32(contents.fp32_contents),
        Datatype::Fp64 => Elements::Fp64(contents.fp64_contents),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!(
                "{datatype} has no list of its own: send `raw_input_contents`"
            ));
        }
        Datatype::Bytes => {
            let mut blobs = Blobs::default();
            for bytes in &contents.bytes_contents {
                if !blobs.push(bytes) {
                    return Err("the byte strings are longer than 4 GiB".into());
                }
            }
            Elements::Bytes(blobs)
        }
    })
}

/// Whole numbers that travel in a wider list than their own.
fn narrow<W: Copy + ToString, N: TryFrom<W>>(
    datatype: Datatype,
    values: Vec<W>,
) -> Result<Vec<N>, String> {
    let narrowed = values.into_iter().map(|value| {
        N::try_from(value)
            .map_err(|_| format!("{} is outside the range of {datatype}", value.to_string()))
    });
    narrowed.collect()
}

/// The answer as a message; `request_id` stands in for an id that the caller did not give.
pub(super) fn response(answer: &Answer, asked: &Asked, request_id: &str) -> ModelInferResponse {
    let target = &answer.target;
    let mut outputs = Vec::with_capacity(asked.outputs.len());
    let mut raws = Vec::with_capacity(asked.outputs.len());
    for place in &asked.outputs {
        let declared = target.signature.outputs.get(*place);
        let (Some(declared), Some(tensor)) = (declared, answer.outputs.get(*place)) else {
            continue;
        };
        outputs.push(InferOutputTensor {
            name: declared.name.clone(),
            datatype: tensor.datatype().as_str().into(),
            shape: tensor.shape().iter().map(|axis| i64::from(*axis)).collect(),
            ..InferOutputTensor::default()
        });
        let mut raw = Vec::new();
        raw::write(tensor.elements(), &mut raw);
        raws.push(raw.into());
    }
    ModelInferResponse {
        model_name: target.model.to_string(),
        model_version: target.version.to_string(),
        id: match asked.id.as_str() {
            "" => request_id.to_owned(),
            id => id.to_owned(),
        },
        parameters: HashMap::new(),
        outputs,
        raw_output_contents: raws,
    }
}
