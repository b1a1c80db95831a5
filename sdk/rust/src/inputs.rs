//! The inputs of one prediction: typed views, nothing copied.

use std::borrow::Cow;
use std::slice::ChunksExact;

use crate::PredictError;
use crate::tensor::{ByteStrings, Element, Tensor};

/// The inputs of one prediction, all of them and in signature order. The host has checked number, datatypes, shapes,
/// bounds and vocabularies.
///
/// Every getter takes the input's name or its place in the signature. Asking for what the signature does not declare
/// is the model's own mistake: an error that fails the prediction, never a panic.
#[derive(Debug)]
pub struct Inputs {
    tensors: Vec<Tensor>,
    names: Names,
}

/// The inputs' names in signature order. In the sandbox they live as long as the model does.
pub(crate) type Names = Cow<'static, [String]>;

/// What an input is asked for by: its name, or its place in the signature.
pub trait Key: Copy {
    #[doc(hidden)]
    fn find(self, names: &[String]) -> Result<usize, PredictError>;
}

impl Key for usize {
    fn find(self, _: &[String]) -> Result<usize, PredictError> {
        Ok(self)
    }
}

impl Key for &str {
    fn find(self, names: &[String]) -> Result<usize, PredictError> {
        names.iter().position(|name| name == self).ok_or_else(|| {
            PredictError::failed(format!(
                "the model asks for `{self}`, but its signature has only {names:?}"
            ))
        })
    }
}

impl Inputs {
    pub(crate) const fn new(tensors: Vec<Tensor>, names: Names) -> Self {
        Self { tensors, names }
    }

    /// One input as a tensor.
    ///
    /// # Errors
    /// [`PredictError::Failed`] if there is no such input.
    pub fn tensor(&self, key: impl Key) -> Result<&Tensor, PredictError> {
        let index = key.find(&self.names)?;
        self.tensors.get(index).ok_or_else(|| {
            PredictError::failed(format!(
                "the model asks for input {index}, but its signature has {}",
                self.tensors.len()
            ))
        })
    }

    /// Length of each axis of an input, outermost first.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn shape(&self, key: impl Key) -> Result<&[u32], PredictError> {
        Ok(self.tensor(key)?.shape())
    }

    /// All elements of an input in row-major order.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and if its elements are of another type than `T`.
    pub fn slice<T: Element>(&self, key: impl Key) -> Result<&[T], PredictError> {
        let tensor = self.tensor(key)?;
        tensor.slice().ok_or_else(|| {
            let (found, name) = (tensor.datatype(), T::NAME);
            PredictError::failed(format!(
                "the model reads a {found} input as {name}; read it as its signature declares it"
            ))
        })
    }

    /// The rows of an input: an iterator of slices, one for each position of the first axis, with the elements of all
    /// further axes. A one-axis input has rows of one element, a scalar is one row.
    ///
    /// ```
    /// # use foretell_sdk::prelude::*;
    /// # fn predict(inputs: &Inputs) -> Result<Outputs, PredictError> {
    /// let sums: Vec<f64> = inputs.rows::<f64>("features")?.map(|row| row.iter().sum()).collect();
    /// # Ok(Outputs::new().vector(sums)) }
    /// ```
    ///
    /// # Errors
    /// As [`slice`](Self::slice).
    pub fn rows<T: Element>(&self, key: impl Key) -> Result<Rows<'_, T>, PredictError> {
        let elements = self.slice(key)?;
        let inner = self.shape(key)?.get(1..).unwrap_or_default();
        let width: usize = inner.iter().map(|axis| *axis as usize).product();
        Ok(Rows {
            // No row is empty where the host has checked the shape; an empty tensor of a native test has no rows.
            chunks: elements.chunks_exact(width.max(1)),
        })
    }

    /// The rows of an input whose rows have `N` elements, as arrays: a row can be taken apart by a pattern, and
    /// indices into it need no check at run time.
    ///
    /// ```
    /// # use foretell_sdk::prelude::*;
    /// # fn predict(inputs: &Inputs) -> Result<Outputs, PredictError> {
    /// let areas: Vec<f64> = inputs.arrays("rectangles")?.iter().map(|[width, height]: &[f64; 2]| width * height).collect();
    /// # Ok(Outputs::new().vector(areas)) }
    /// ```
    ///
    /// # Errors
    /// As [`slice`](Self::slice), and if the rows have another length than `N`.
    pub fn arrays<T: Element, const N: usize>(
        &self,
        key: impl Key,
    ) -> Result<&[[T; N]], PredictError> {
        let elements = self.slice(key)?;
        let inner = self.shape(key)?.get(1..).unwrap_or_default();
        let width: usize = inner.iter().map(|axis| *axis as usize).product();
        if width != N || N == 0 {
            return Err(PredictError::failed(format!(
                "the model reads rows of {width} elements as rows of {N}"
            )));
        }
        Ok(elements.as_chunks().0)
    }

    /// The one element of an input.
    ///
    /// # Errors
    /// As [`slice`](Self::slice), and if there is not exactly one.
    pub fn scalar<T: Element>(&self, key: impl Key) -> Result<T, PredictError> {
        match self.slice(key)? {
            [value] => Ok(*value),
            elements => Err(PredictError::failed(format!(
                "the model reads an input of {} elements as one",
                elements.len()
            ))),
        }
    }

    /// The byte strings of a `BYTES` input.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and if it is of another datatype.
    pub fn byte_strings(&self, key: impl Key) -> Result<ByteStrings<'_>, PredictError> {
        let tensor = self.tensor(key)?;
        tensor.byte_strings().ok_or_else(|| {
            PredictError::failed(format!(
                "the model reads a {} input as byte strings",
                tensor.datatype()
            ))
        })
    }

    /// The byte strings of a `BYTES` input as texts.
    ///
    /// # Errors
    /// As [`byte_strings`](Self::byte_strings); [`PredictError::BadInput`] with the place of the first one that is
    /// not UTF-8.
    pub fn texts(&self, key: impl Key) -> Result<Vec<&str>, PredictError> {
        let index = key.find(&self.names)?;
        let read = |(row, bytes)| {
            str::from_utf8(bytes)
                .map_err(|_| PredictError::bad_input("not UTF-8").input(index).row(row))
        };
        self.byte_strings(index)?
            .iter()
            .enumerate()
            .map(read)
            .collect()
    }

    /// How many rows there are: the length of the first axis of the first input, 1 if that is a scalar.
    pub fn row_count(&self) -> usize {
        let first = self
            .tensors
            .first()
            .and_then(|tensor| tensor.shape().first());
        first.map_or(1, |rows| *rows as usize)
    }

    /// How many inputs there are.
    pub const fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

/// The rows of an input, in order. See [`Inputs::rows`].
#[derive(Debug, Clone)]
pub struct Rows<'a, T> {
    chunks: ChunksExact<'a, T>,
}

impl<'a, T> Iterator for Rows<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.chunks.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.chunks.nth(n)
    }
}

impl<T> DoubleEndedIterator for Rows<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.chunks.next_back()
    }
}

impl<T> ExactSizeIterator for Rows<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(tensors: Vec<Tensor>) -> Inputs {
        let names = ["a", "b", "c"].iter().take(tensors.len());
        let names: Vec<_> = names.map(ToString::to_string).collect();
        Inputs::new(tensors, Cow::Owned(names))
    }

    #[test]
    fn rows_are_the_positions_of_the_first_axis() {
        let inputs = inputs(vec![
            Tensor::new(&[2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]),
            Tensor::vector(vec![5_i64, 6]),
            Tensor::new(&[], vec![7_u32]),
        ]);
        let rows: Vec<_> = inputs.rows::<f64>("a").unwrap().collect();
        assert_eq!(rows, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(inputs.rows::<i64>(1).unwrap().len(), 2);
        assert_eq!(inputs.rows::<u32>("c").unwrap().next(), Some(&[7][..]));
        assert_eq!(inputs.scalar::<u32>("c"), Ok(7));
        assert_eq!(
            inputs.arrays::<f64, 2>("a").unwrap(),
            [[1.0, 2.0], [3.0, 4.0]]
        );
        assert_eq!(inputs.row_count(), 2);
    }

    #[test]
    fn asking_for_what_is_not_declared_is_an_error() {
        let inputs = inputs(vec![Tensor::vector(vec![1.0])]);
        let failed = |error: PredictError| match error {
            PredictError::Failed(message) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            failed(inputs.slice::<f32>("a").unwrap_err()),
            "the model reads a FP64 input as f32; read it as its signature declares it"
        );
        assert_eq!(
            failed(inputs.slice::<f64>("z").unwrap_err()),
            "the model asks for `z`, but its signature has only [\"a\"]"
        );
        failed(inputs.slice::<f64>(1).unwrap_err());
        failed(inputs.arrays::<f64, 2>(0).unwrap_err());
        failed(inputs.arrays::<f64, 0>(0).unwrap_err());
        failed(inputs.byte_strings(0).unwrap_err());
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_the_callers_fault_and_has_a_row() {
        let inputs = inputs(vec![
            Tensor::vector([1_u8]),
            Tensor::vector(vec![b"fine".to_vec(), vec![0xff]]),
        ]);
        assert_eq!(
            inputs.texts("b"),
            Err(PredictError::bad_input("not UTF-8").input(1).row(1))
        );
    }

    #[test]
    fn an_empty_tensor_has_no_rows() {
        let inputs = inputs(vec![Tensor::new(&[0, 0], Vec::<f64>::new())]);
        assert_eq!(inputs.rows::<f64>(0).unwrap().count(), 0);
    }
}
