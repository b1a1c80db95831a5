//! What a model accepts and returns, and the check of inputs against it.
//!
//! The JSON form has the field names of the plugin interface (`wit/v0.1/inference.wit`) and is a stored shape: it may
//! only grow. Numbers that JSON lacks are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ErrorKind;
use crate::tensor::{Datatype, Elements, Tensor};

mod check;
mod json;
mod validate;

pub(crate) use check::ordered_inputs as check_ordered;
pub use validate::SignatureFault;

/// What a model accepts, what it returns, and what it promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// One or two sentences for people.
    pub doc: String,
    /// The inputs, names distinct.
    pub inputs: Vec<Input>,
    /// The outputs, names distinct.
    pub outputs: Vec<Output>,
    /// Inputs with their known answers: the self-test.
    pub examples: Vec<Example>,
    /// What the host may rely on.
    pub promises: Promises,
}

/// What the host may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Promises {
    /// Equal inputs give bit-equal outputs.
    pub deterministic: bool,
    /// Axis 0 is the row everywhere, and no row looks at another.
    pub independent_rows: bool,
}

/// One input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// For people.
    pub doc: String,
    /// Its datatype.
    #[serde(with = "json::datatype")]
    pub datatype: Datatype,
    /// Length of each axis; -1 = any length from 1.
    pub shape: Vec<i32>,
    /// Meaning of each position of the last axis: none, or one for each.
    pub columns: Vec<Column>,
}

/// One feature of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name, as it stands in a record.
    pub name: String,
    /// For people.
    pub doc: String,
    /// The values that it takes.
    pub domain: Domain,
    /// The element for a missing or null feature; none = required.
    #[serde(with = "json::optional_number")]
    pub absent: Option<f64>,
}

/// The values that a column takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Any number within the bounds.
    Real(Bounds),
    /// Any whole number within the bounds.
    Integer(Bounds),
    /// `true` is 1, `false` is 0.
    Truth,
    /// A text of the vocabulary, written as its index.
    Category(Vocabulary),
}

/// Both inclusive; an infinity leaves that side open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The smallest value.
    #[serde(with = "json::number")]
    pub min: f64,
    /// The largest value.
    #[serde(with = "json::number")]
    pub max: f64,
}

/// The texts of a category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Distinct; value i is written as the number i.
    pub values: Vec<String>,
    /// The element for a text that is not in `values`; none = refuse.
    #[serde(with = "json::optional_number")]
    pub unseen: Option<f64>,
}

/// One output tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// For people.
    pub doc: String,
    /// Its datatype.
    #[serde(with = "json::datatype")]
    pub datatype: Datatype,
    /// Length of each axis; -1 = any length.
    pub shape: Vec<i32>,
    /// What it is for.
    pub role: Role,
    /// Names of the positions of the last axis, or of the codes of an integer label.
    pub classes: Vec<String>,
}

/// What an output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The answer itself.
    Prediction,
    /// The class decided for, as a code into `classes`.
    Label,
    /// How sure the model is, 0 to 1.
    Confidence,
    /// Anything else.
    Other,
}

/// An input with its known answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its name, for messages.
    pub name: String,
    /// All inputs, in signature order.
    #[serde(with = "json::tensors")]
    pub inputs: Vec<Tensor>,
    /// All outputs, in signature order.
    #[serde(with = "json::tensors")]
    pub outputs: Vec<Tensor>,
    /// Largest absolute difference accepted in any element.
    #[serde(with = "json::number")]
    pub tolerance: f64,
}

/// A tensor as a caller sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The input that it is for.
    pub name: String,
    /// The tensor.
    pub tensor: Tensor,
}

/// Inputs that match the signature: all of them, in signature order.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) rows: u32,
}

impl Checked {
    /// The inputs in signature order.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// How many rows they hold: the length of the free first axis, 1 where no input has one.
    pub const fn rows(&self) -> u32 {
        self.rows
    }
}

/// How inputs differ from the signature. Texts name the input or feature, the row where there are several, and what
/// would be right.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{message}")]
pub struct Mismatch {
    kind: ErrorKind,
    message: String,
}

impl Mismatch {
    /// A difference of one of the kinds of [`Mismatch::kind`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// One of `InvalidInput`, `MissingFeature`, `UnknownFeature`, `UnknownCategory`, `OutOfRange`.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Signature {
    /// The output of the given role.
    pub fn output_of(&self, role: Role) -> Option<(usize, &Output)> {
        self.outputs
            .iter()
            .enumerate()
            .find(|(_, output)| output.role == role)
    }

    /// Compares a plugin's outputs with what the signature promises: number, datatypes and shapes. Values are not
    /// looked at, but for the codes of labels: a label outside its classes has no name.
    ///
    /// # Errors
    /// A text that names the output, for the model's owner.
    pub fn check_outputs(&self, outputs: &[Tensor], rows: u32) -> Result<(), String> {
        check::outputs(self, outputs, rows)
    }

    /// Compares inputs with the signature and puts them in its order.
    ///
    /// # Errors
    /// [`Mismatch`] for the first difference found.
    pub fn check(&self, inputs: Vec<NamedTensor>) -> Result<Checked, Mismatch> {
        check::inputs(self, inputs)
    }

    /// Finds what makes a plugin's description unusable.
    ///
    /// # Errors
    /// Every fault found.
    pub fn validate(&self) -> Result<(), Vec<SignatureFault>> {
        validate::signature(self)
    }
}

impl Example {
    /// Whether `outputs` are the expected ones within the tolerance: same shapes, byte strings and integers equal,
    /// two NaN equal.
    ///
    /// # Errors
    /// A text with output, element, expected and found value.
    pub fn compare(&self, outputs: &[Tensor], names: &[Output]) -> Result<(), String> {
        for (index, (expected, found)) in self.outputs.iter().zip(outputs).enumerate() {
            let name = names.get(index).map_or("?", |output| output.name.as_str());
            if expected.shape() != found.shape() || expected.datatype() != found.datatype() {
                return Err(format!(
                    "output `{name}` is {} {:?}, the example expects {} {:?}",
                    found.datatype(),
                    found.shape(),
                    expected.datatype(),
                    expected.shape()
                ));
            }
            if let Some((at, wanted, got)) =
                difference(expected.elements(), found.elements(), self.tolerance)
            {
                return Err(format!(
                    "output `{name}`, element {at}: expected {wanted}, found {got} (tolerance {})",
                    self.tolerance
                ));
            }
        }
        Ok(())
    }
}

fn difference(
    expected: &Elements,
    found: &Elements,
    tolerance: f64,
) -> Option<(usize, String, String)> {
    if let (Elements::Bytes(expected), Elements::Bytes(found)) = (expected, found) {
        let at = expected
            .iter()
            .zip(found.iter())
            .position(|(a, b)| a != b)?;
        return Some((at, "other bytes".to_owned(), "these".to_owned()));
    }
    // Half floats have no arithmetic here: their bits are compared.
    if let (Elements::Fp16(a), Elements::Fp16(b)) | (Elements::Bf16(a), Elements::Bf16(b)) =
        (expected, found)
    {
        let at = a.iter().zip(b).position(|(a, b)| a != b)?;
        return Some((at, format!("{:#06x}", a[at]), format!("{:#06x}", b[at])));
    }
    (0..expected.len()).find_map(|at| {
        let (wanted, got) = (expected.number(at)?, found.number(at)?);
        let near =
            wanted == got || (wanted.is_nan() && got.is_nan()) || (wanted - got).abs() <= tolerance;
        (!near).then(|| (at, wanted.to_string(), got.to_string()))
    })
}
