//! The part of an artifact that every family has: table, answer and examples.

use foretell_sdk::prelude::*;

use crate::answer::Answer;
use crate::reader::{Fault, Reader};

const MAGIC: &[u8; 8] = b"FTLMODEL";
const VERSION: u32 = 1;
/// The name of the one input.
const INPUT: &str = "features";

/// Bytes of an artifact whose model is copied to lie together; a larger one may not have the memory for it.
const MAX_COPIED: usize = 4 << 20;

/// What is known of a model apart from its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    doc: String,
    input_doc: String,
    columns: Vec<Column>,
    answer: Answer,
    examples: Vec<Row>,
    tolerance: f64,
}

/// A row with its known answer.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    inputs: Vec<f64>,
    outputs: Vec<f64>,
}

/// Reads an artifact of a family: its common part here, its weights by `body`, which must take every byte that is left.
///
/// The setting `threshold` (0 to 1), for models of two classes, replaces the artifact's.
///
/// # Errors
/// `BadArtifact` with what is wrong and at which byte; `BadSetting`.
pub fn open<B: Clone>(
    artifact: &[u8],
    settings: &Settings,
    family: &str,
    body: impl FnOnce(&Model, &mut Reader<'_>) -> Result<B, Fault>,
) -> Result<(Model, B), LoadError> {
    let mut reader = Reader::new(artifact);
    let mut model = Model::read(&mut reader, family)?;
    let body = body(&model, &mut reader)?;
    reader.finish()?;
    if let Answer::Binary { threshold, .. } = &mut model.answer {
        *threshold = settings
            .real("threshold")
            .between(0.0, 1.0)
            .or(*threshold)?;
    }
    if artifact.len() > MAX_COPIED {
        return Ok((model, body));
    }
    // What predictions read comes first.
    let (body, model) = together(|| (body.clone(), model.clone()));
    Ok((model, body))
}

impl Model {
    fn read(reader: &mut Reader<'_>, family: &str) -> Result<Self, Fault> {
        head(reader, family)?;
        let doc = reader.text("documentation of the model")?;
        let input_doc = reader.text("documentation of the input")?;
        // Two texts, a domain and a flag for `absent`.
        let count = reader.count(2 * size_of::<u32>() + 2, "columns")?;
        if count == 0 {
            return Err(reader.fault("the model has no columns"));
        }
        let columns = (0..count)
            .map(|index| {
                column(reader).map_err(|fault| fault.inside(format_args!("column {index}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let answer = Answer::read(reader).map_err(|fault| fault.inside("answer"))?;
        let tolerance = reader.finite("tolerance of the examples")?;
        let width = (columns.len() + answer.scores()) * size_of::<f64>();
        let count = reader.count(size_of::<u32>() + width, "examples")?;
        let mut examples = Vec::with_capacity(count);
        for index in 0..count {
            let row = Row::read(reader, columns.len(), answer.scores());
            examples.push(row.map_err(|fault| fault.inside(format_args!("example {index}")))?);
        }
        Ok(Self {
            doc,
            input_doc,
            columns,
            answer,
            examples,
            tolerance,
        })
    }

    /// The columns of the input, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What the model answers.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The rows of a prediction: one slice, as many numbers to a row as there are columns.
    ///
    /// # Errors
    /// `Failed` where the inputs are not as [`signature`](Self::signature) declares them.
    pub fn features<'a>(&self, inputs: &'a Inputs) -> Result<&'a [f64], PredictError> {
        let features = inputs.slice(0)?;
        if features.len() % self.columns.len() == 0 {
            Ok(features)
        } else {
            Err(PredictError::failed(format_args!(
                "{} elements are no rows of {}",
                features.len(),
                self.columns.len()
            )))
        }
    }

    /// The signature: one table of doubles in; value, or probabilities and label out.
    pub fn signature(&self) -> Signature {
        let input =
            Input::table(INPUT, Datatype::Fp64, self.columns.iter().cloned()).doc(&self.input_doc);
        let mut signature = self.answer.describe(Signature::new(&self.doc).input(input));
        for row in &self.examples {
            let example = Example::new(&row.name)
                .input(Tensor::table(self.columns.len(), row.inputs.clone()))
                .tolerance(self.tolerance);
            signature = signature.example(self.answer.expected(example, row.outputs.clone()));
        }
        signature.deterministic().independent_rows()
    }
}

fn head(reader: &mut Reader<'_>, family: &str) -> Result<(), Fault> {
    let start = reader.at();
    if reader.bytes(MAGIC.len(), "magic")? != MAGIC {
        return Err(reader.fault_at(
            start,
            "this is no Foretell model: it does not begin with FTLMODEL",
        ));
    }
    let start = reader.at();
    let version = reader.u32("version")?;
    if version != VERSION {
        return Err(reader.fault_at(
            start,
            format_args!(
                "format version {version} is unknown; this plugin reads version {VERSION}"
            ),
        ));
    }
    let start = reader.at();
    let found = reader.text("family")?;
    if found != family {
        return Err(reader.fault_at(
            start,
            format_args!("this is a model of family {found:?}; this plugin runs family {family:?}"),
        ));
    }
    Ok(())
}

fn column(reader: &mut Reader<'_>) -> Result<Column, Fault> {
    let name = reader.text("name")?;
    let doc = reader.text("documentation")?;
    let domain = domain(reader)?;
    Ok(Column {
        name,
        doc,
        domain,
        absent: reader.optional("the value for a missing feature")?,
    })
}

fn domain(reader: &mut Reader<'_>) -> Result<Domain, Fault> {
    let start = reader.at();
    match reader.u8("domain")? {
        0 => Ok(Domain::Real(bounds(reader)?)),
        1 => Ok(Domain::Integer(bounds(reader)?)),
        2 => Ok(Domain::Truth),
        3 => {
            let values = reader.texts("vocabulary")?;
            if values.is_empty() {
                return Err(reader.fault_at(start, "the vocabulary is empty"));
            }
            let unseen = reader.optional("the value for an unseen category")?;
            Ok(Domain::Category(Vocabulary { values, unseen }))
        }
        other => Err(reader.fault_at(
            start,
            format_args!("domain {other} is unknown; use 0 real, 1 integer, 2 truth, 3 category"),
        )),
    }
}

fn bounds(reader: &mut Reader<'_>) -> Result<Bounds, Fault> {
    let (min, max) = (reader.f64("smallest value")?, reader.f64("largest value")?);
    if min <= max {
        Ok(Bounds { min, max })
    } else {
        Err(reader.fault(format_args!(
            "the bounds before this, {min} to {max}, leave no value"
        )))
    }
}

impl Row {
    fn read(reader: &mut Reader<'_>, inputs: usize, outputs: usize) -> Result<Self, Fault> {
        let name = reader.text("name")?;
        let inputs = (0..inputs)
            .map(|_| reader.f64("inputs"))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            inputs,
            outputs: reader.finites(outputs, "expected outputs")?,
        })
    }
}
