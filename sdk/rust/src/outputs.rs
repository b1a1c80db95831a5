//! The outputs of one prediction.

use crate::tensor::{Tensor, Values};

/// The outputs of one prediction, in signature order. The element types say the datatypes, see [`Values`].
///
/// ```
/// # use foretell_sdk::prelude::*;
/// let probabilities = vec![0.1, 0.9, 0.7, 0.3];
/// let labels = vec![1_u32, 0];
/// let outputs = Outputs::new().table(2, probabilities).vector(labels);
/// assert_eq!(outputs.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outputs {
    pub(crate) tensors: Vec<Tensor>,
}

impl Outputs {
    /// No outputs yet.
    pub const fn new() -> Self {
        Self {
            tensors: Vec::new(),
        }
    }

    /// Adds an output of one axis, `[n]`: one value for each row.
    #[must_use]
    pub fn vector(self, values: impl Into<Values>) -> Self {
        self.with(Tensor::vector(values))
    }

    /// Adds an output of two axes, `[n, width]`: `width` values for each row.
    #[must_use]
    pub fn table(self, width: usize, values: impl Into<Values>) -> Self {
        self.with(Tensor::table(width, values))
    }

    /// Adds an output of any shape.
    #[must_use]
    pub fn tensor(self, shape: &[usize], values: impl Into<Values>) -> Self {
        self.with(Tensor::new(shape, values))
    }

    /// Adds an output.
    #[must_use]
    pub fn with(mut self, tensor: Tensor) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// How many outputs there are.
    pub const fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}
