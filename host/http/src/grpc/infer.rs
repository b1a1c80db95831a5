//! Inference: messages to inputs, and answers to messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use foretell_predict::{
    Answer, Decoded, Inputs, ModelRef, Payload, PredictError, Target, Urgency, apart,
};
use foretell_types::signature::NamedTensor;
use foretell_types::tensor::Blobs;
use foretell_types::{Datatype, Elements, ErrorKind, Mismatch, Signature, Tensor};
use prost::Message as _;

use super::messages::infer_parameter::ParameterChoice;
use super::messages::model_infer_request::InferInputTensor;
use super::messages::model_infer_response::InferOutputTensor;
use super::messages::{InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};
use super::unary::Message;
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
pub(super) struct InferPayload<'a> {
    /// None where the request is there already: a stream has read it.
    message: Option<Message>,
    request: Box<ModelInferRequest>,
    /// What the call as a whole may take.
    timeout: Option<Duration>,
    asked: &'a mut Asked,
}

impl<'a> InferPayload<'a> {
    /// A message that is still unread.
    pub(super) fn unread(
        message: Message,
        timeout: Option<Duration>,
        asked: &'a mut Asked,
    ) -> Self {
        Self {
            message: Some(message),
            request: Box::default(),
            timeout,
            asked,
        }
    }

    /// One of a stream's.
    pub(super) const fn read(
        request: Box<ModelInferRequest>,
        timeout: Option<Duration>,
        asked: &'a mut Asked,
    ) -> Self {
        Self {
            message: None,
            request,
            timeout,
            asked,
        }
    }
}

impl Payload for InferPayload<'_> {
    async fn read(&mut self, limit_bytes: u64) -> Result<usize, PredictError> {
        if let Some(mut message) = self.message.take() {
            let bytes = message.read(limit_bytes).await?;
            *self.request = decode(bytes).await?;
        }
        Ok(self.request.encoded_len())
    }

    fn model(&self) -> Result<Cow<'_, ModelRef>, PredictError> {
        let ModelInferRequest {
            model_name,
            model_version,
            ..
        } = &*self.request;
        reference(model_name, model_version).map(Cow::Owned)
    }

    fn decode(&mut self, target: &Target) -> Result<Decoded, PredictError> {
        let request = std::mem::take(&mut *self.request);
        let (signature, max_rows) = (&target.signature, target.runtime.max_rows);
        let mut urgency = urgency(&request.parameters)?;
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

/// A message as a request.
///
/// # Errors
/// `Malformed` for bytes that are none.
pub(super) async fn decode(message: Bytes) -> Result<ModelInferRequest, PredictError> {
    apart(message.len(), || ModelInferRequest::decode(message))
        .await
        .map_err(|error| PredictError::Malformed(format!("the message: {error}")))
}

/// A model, and its version where one is named.
pub(super) fn reference(model: &str, version: &str) -> Result<ModelRef, PredictError> {
    ModelRef::parse(model, Some(version).filter(|version| !version.is_empty()))
}

fn invalid(problem: String) -> PredictError {
    PredictError::Mismatch(Mismatch::new(ErrorKind::InvalidInput, problem))
}

fn urgency(parameters: &HashMap<String, InferParameter>) -> Result<Urgency, PredictError> {
    let whole = |name: &str| match parameters
        .get(name)
        .and_then(|p| p.parameter_choice.as_ref())
    {
        None => Ok(0),
        Some(ParameterChoice::Uint64Param(value)) => Ok(*value),
        Some(ParameterChoice::Int64Param(value)) if *value >= 0 => Ok(*value as u64),
        Some(ParameterChoice::StringParam(text)) if text.parse::<u64>().is_ok() => {
            Ok(text.parse().unwrap_or_default())
        }
        Some(_) => Err(PredictError::Malformed(format!(
            "`{name}` is a whole number from 0 to 2^64 - 1"
        ))),
    };
    let micros = whole("timeout")?;
    Ok(Urgency {
        timeout: (micros > 0).then(|| Duration::from_micros(micros)),
        priority: whole("priority")?,
    })
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
    if inputs.len() > signature.inputs.len() {
        return Err(invalid("there are more inputs than the model has".into()));
    }
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
