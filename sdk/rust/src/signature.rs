//! What a model accepts, what it returns, and what it promises.
//!
//! Every type here is a plain struct with public fields and a few methods to write it down in one go. The methods take
//! what they are given; the rules (names, shapes, examples that fit) are checked by the harness in native tests, by
//! `foretell plugin check`, and by the host at upload, which name every fault.

use crate::tensor::{Datatype, Tensor};

/// An axis of any length from 1, in the shape of an [`Input`] or [`Output`].
pub const ANY: i32 = -1;

/// What a model accepts, what it returns, and what it promises.
///
/// ```
/// use foretell_sdk::prelude::*;
///
/// let signature = Signature::new("Whether a customer will buy.")
///     .input(Input::table(
///         "features",
///         Datatype::Fp64,
///         [
///             Column::integer("age").between(17, 120).doc("in years"),
///             Column::category("job", ["admin", "services"]).absent(f64::NAN),
///             Column::truth("housing").doc("has a housing loan"),
///         ],
///     ))
///     .output(Output::prediction("probability", Datatype::Fp64, &[ANY]))
///     .output(Output::label("label", Datatype::Uint32, &[ANY], ["no", "yes"]))
///     .example(
///         Example::new("a young clerk")
///             .input(Tensor::table(3, [19.0, 0.0, 1.0]))
///             .output(Tensor::vector([0.25]))
///             .output(Tensor::vector([0_u32]))
///             .tolerance(1e-6),
///     )
///     .deterministic()
///     .independent_rows();
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signature {
    /// One or two sentences for people; at most 4 KiB.
    pub doc: String,
    /// 1 to 64, names distinct.
    pub inputs: Vec<Input>,
    /// 1 to 64, names distinct.
    pub outputs: Vec<Output>,
    /// At least one: the self-test that every upload must pass.
    pub examples: Vec<Example>,
    /// What the host may rely on.
    pub promises: Promises,
}

impl Signature {
    /// A signature without inputs, outputs, examples and promises.
    pub fn new(doc: impl Into<String>) -> Self {
        Self {
            doc: doc.into(),
            ..Self::default()
        }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.outputs.push(output);
        self
    }

    /// Adds an example.
    #[must_use]
    pub fn example(mut self, example: Example) -> Self {
        self.examples.push(example);
        self
    }

    /// Promises that equal inputs give bit-equal outputs, see [`Promises::deterministic`].
    #[must_use]
    pub const fn deterministic(mut self) -> Self {
        self.promises.deterministic = true;
        self
    }

    /// Promises that no row looks at another, see [`Promises::independent_rows`].
    #[must_use]
    pub const fn independent_rows(mut self) -> Self {
        self.promises.independent_rows = true;
        self
    }
}

/// What the host may rely on. A promise that is not kept gives wrong answers to your own callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promises {
    /// Equal inputs give bit-equal outputs: answers may be cached, replayed and retried. A sandbox has neither clock
    /// nor randomness, so every model keeps this that holds no state from one prediction to the next.
    pub deterministic: bool,
    /// Axis 0 of every input and output is the row, and no row looks at another: rows of several callers may be run
    /// together.
    pub independent_rows: bool,
}

/// One input tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// 1 to 128 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// For people.
    pub doc: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Length of each axis, outermost first; [`ANY`] = any length from 1.
    pub shape: Vec<i32>,
    /// Meaning of each position of the last axis: none, or exactly as many as that axis is long.
    pub columns: Vec<Column>,
}

impl Input {
    /// A tensor of any shape, without columns.
    pub fn tensor(name: impl Into<String>, datatype: Datatype, shape: &[i32]) -> Self {
        Self {
            name: name.into(),
            doc: String::new(),
            datatype,
            shape: shape.to_vec(),
            columns: Vec::new(),
        }
    }

    /// A table: any number of rows, one element for each column. Callers may send records such as
    /// `{"age": 49, "job": "services"}`; the host turns them into rows.
    pub fn table(
        name: impl Into<String>,
        datatype: Datatype,
        columns: impl IntoIterator<Item = Column>,
    ) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        let width = i32::try_from(columns.len()).unwrap_or(i32::MAX);
        Self {
            columns,
            ..Self::tensor(name, datatype, &[ANY, width])
        }
    }

    /// Documents it.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = doc.into();
        self
    }
}

/// One feature of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Any UTF-8 of 1 to 256 bytes; the key in a record.
    pub name: String,
    /// For people: what it means, its unit.
    pub doc: String,
    /// What values are accepted, and how a text becomes a number.
    pub domain: Domain,
    /// The element for a missing or null feature; NaN is allowed. None: the feature is required.
    pub absent: Option<f64>,
}

impl Column {
    /// Any number; narrow it with [`between`](Self::between).
    pub fn real(name: impl Into<String>) -> Self {
        Self::new(name, Domain::Real(Bounds::OPEN))
    }

    /// Any whole number; narrow it with [`between`](Self::between).
    pub fn integer(name: impl Into<String>) -> Self {
        Self::new(name, Domain::Integer(Bounds::OPEN))
    }

    /// `true` or `false`, as 1 and 0.
    pub fn truth(name: impl Into<String>) -> Self {
        Self::new(name, Domain::Truth)
    }

    /// A text of the vocabulary, as its index in `values`.
    pub fn category<T: Into<String>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        let unseen = None;
        Self::new(name, Domain::Category(Vocabulary { values, unseen }))
    }

    /// A column with any domain, required.
    pub fn new(name: impl Into<String>, domain: Domain) -> Self {
        Self {
            name: name.into(),
            doc: String::new(),
            domain,
            absent: None,
        }
    }

    /// Accepts numbers from `min` to `max` only, both inclusive; an infinity leaves a side open. Means nothing for
    /// truths and categories.
    #[must_use]
    pub fn between(mut self, min: impl Into<f64>, max: impl Into<f64>) -> Self {
        if let Domain::Real(bounds) | Domain::Integer(bounds) = &mut self.domain {
            *bounds = Bounds {
                min: min.into(),
                max: max.into(),
            };
        }
        self
    }

    /// Accepts a missing or null feature and writes `element` for it.
    #[must_use]
    pub const fn absent(mut self, element: f64) -> Self {
        self.absent = Some(element);
        self
    }

    /// Accepts a text that is not in the vocabulary and writes `element` for it. Means nothing but for categories.
    #[must_use]
    pub fn unseen(mut self, element: f64) -> Self {
        if let Domain::Category(vocabulary) = &mut self.domain {
            vocabulary.unseen = Some(element);
        }
        self
    }

    /// Documents it.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = doc.into();
        self
    }
}

/// The values that a column takes.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Bounds {
    /// Every number.
    pub const OPEN: Self = Self {
        min: f64::NEG_INFINITY,
        max: f64::INFINITY,
    };
}

/// The texts of a category.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// Distinct, 1 to 256 bytes each; value i is written as the number i.
    pub values: Vec<String>,
    /// The element for a text that is not in `values`. None: it is refused.
    pub unseen: Option<f64>,
}

/// One output tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// 1 to 128 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// For people.
    pub doc: String,
    /// What its elements are.
    pub datatype: Datatype,
    /// Length of each axis, outermost first. [`ANY`] as the first axis is as many as there are rows, elsewhere any.
    pub shape: Vec<i32>,
    /// What it is for; at most one output of each role but [`Role::Other`].
    pub role: Role,
    /// Names of the positions of the last axis, or of the codes of an integer label; may be empty.
    pub classes: Vec<String>,
}

impl Output {
    /// The answer itself: a score, a probability, a value.
    pub fn prediction(name: impl Into<String>, datatype: Datatype, shape: &[i32]) -> Self {
        Self::new(name, datatype, shape, Role::Prediction)
    }

    /// The class decided for, as a code into `classes`.
    pub fn label<T: Into<String>>(
        name: impl Into<String>,
        datatype: Datatype,
        shape: &[i32],
        classes: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::new(name, datatype, shape, Role::Label).classes(classes)
    }

    /// How sure the model is, 0 to 1.
    pub fn confidence(name: impl Into<String>, datatype: Datatype, shape: &[i32]) -> Self {
        Self::new(name, datatype, shape, Role::Confidence)
    }

    /// An output with any role, without classes.
    pub fn new(name: impl Into<String>, datatype: Datatype, shape: &[i32], role: Role) -> Self {
        Self {
            name: name.into(),
            doc: String::new(),
            datatype,
            shape: shape.to_vec(),
            role,
            classes: Vec::new(),
        }
    }

    /// Names the positions of the last axis, or the codes of a label.
    #[must_use]
    pub fn classes<T: Into<String>>(mut self, classes: impl IntoIterator<Item = T>) -> Self {
        self.classes = classes.into_iter().map(Into::into).collect();
        self
    }

    /// Documents it.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = doc.into();
        self
    }
}

/// What an output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The answer itself: a score, a probability, a value.
    Prediction,
    /// The class decided for, as a code into the output's classes.
    Label,
    /// How sure the model is, 0 to 1.
    Confidence,
    /// Anything else.
    Other,
}

/// Inputs with their known answer: the model's own self-test, run at every upload. Take the answer from where the
/// model comes from, such as the library that trained it, not from the plugin.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// For messages.
    pub name: String,
    /// All inputs, in signature order.
    pub inputs: Vec<Tensor>,
    /// All outputs, in signature order.
    pub outputs: Vec<Tensor>,
    /// Largest absolute difference accepted in any element; 0 = equal. Two NaN are equal.
    pub tolerance: f64,
}

impl Example {
    /// An example without inputs and outputs, with tolerance 0.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Adds the next input.
    #[must_use]
    pub fn input(mut self, tensor: Tensor) -> Self {
        self.inputs.push(tensor);
        self
    }

    /// Adds the answer expected in the next output.
    #[must_use]
    pub fn output(mut self, tensor: Tensor) -> Self {
        self.outputs.push(tensor);
        self
    }

    /// Accepts answers that are off by so much, in any element.
    #[must_use]
    pub const fn tolerance(mut self, absolute: f64) -> Self {
        self.tolerance = absolute;
        self
    }
}
